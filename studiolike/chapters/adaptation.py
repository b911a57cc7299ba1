"""Chapter 4's figures and tables: terms and symbols, two readings of "after 8", codes, runs, light, claims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from ..evaluation import EvaluationTable, Verdict, faceid, variance_ratio
from ..evaluation.verdict import WORSE, claim_word, outcome_of
from ..experiments import experiment, record, records_dir
from ..experiments.few_shot import OURS, PAPER, Block, FewShotLaboratory, Source
from . import figures
from .notebook import table_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..synth import PhoneCapture

TERMS = {
    "adv": "L_adv",
    "percp": "λ1 · L_percp",
    "face_id": "λ2 · L_faceID",
    "recons": "L_percp-recons",
    "recons_detail": "ours: texels of pairs",
    "low_light": "ours: low band of pairs",
    "invariance": "ours: light-invariance",
    "other_light": "ours: other captures",
}
OPINIONS = {"d_train": "its training textures", "d_held_out": "held-out studio textures", "d_fake": "generated textures"}
SOURCES = {"z": "Z", "w": "W", "bank": "bank", "bank_mixture": "bank mixtures", "captures": "captures"}
EFFECTS = {"colour": "colour error ↓", "faceid_cosine": "identity cosine ↑", "asymmetry": "asymmetry ↓"}


# --- the objective


def symbols(lab: FewShotLaboratory) -> None:
    """Every symbol of the objective, what it is, and its value in the settings of this profile."""
    weights, stage = lab.settings.adapt, lab.stage(batch=lab.settings.adapt.batch)
    generator = lab.g_phone
    share = sum(p.numel() for p in generator.modules_from(weights.train_from).parameters())
    share /= sum(p.numel() for p in generator.parameters())
    table_of(
        ["symbol", "what it is", "here"],
        [
            ["θ(8+)", "parameters of the blocks above 8×8; ours adds the frozen blocks' toRGB", f"{share:.0%} of G_phone"],
            ["$w^+$", "code: one row of numbers per layer", f"{generator.num_ws} rows of {generator.config.w_dim}"],
            ["$P$", "people with a capture and a studio texture", len(lab.pairs)],
            ["$λ_1$", "weight of $L_\\text{percp}$", f"{weights.perceptual:g}"],
            ["$λ_2$", "weight of $L_\\text{faceID}$", f"{weights.identity:g}"],
            ["γ", "weight of $L_\\text{R1}$, on real studio textures", f"{stage.gamma:.2g}, every {weights.r1_every} steps"],
            ["–", "weight of $L_\\text{adv}$ for the generator", f"{weights.adversarial:g}"],
            ["–", "weight of $L_\\text{percp-recons}$", f"{weights.recons:g}"],
            [
                "–",
                "weights of our four terms",
                f"{weights.recons_detail:g}, {weights.low_light:g}, {weights.invariance:g}, {weights.other_light:g}",
            ],
            ["–", "learning rate, images, batch", f"{weights.lr:g}, {weights.images:,}, {weights.batch}"],
        ],
        "All values are our choices; the authors' are unknown to us.",
    )


def first_terms(terms: Mapping[str, float]) -> dict[str, float | str]:
    """The weighted terms before the first step as a table; what the prose says of them."""
    table_of(["weighted term", "before the first step"], [[TERMS[k], f"{v:.3f}"] for k, v in terms.items()])
    paper, ours = (sum(terms[k] for k in names if k in terms) for names in (PAPER, OURS))
    word = "outweigh" if ours > paper else "weigh no more than"
    return {"ours_first": ours, "paper_first": paper, "ours_word": word}


# --- which layers, which codes


def readings(blocks: Sequence[Block]) -> dict[str, float | int]:
    """What the two readings of "after 8" move in each block, as a table; what the prose says of them."""
    head = ["block", "rows of its convolutions", "row of its toRGB", "parameters", "trained"]
    head += ["later modules changed: features", "… toRGB", "later rows changed: features", "… toRGB"]
    lines = [
        [
            f"{b.size}²",
            ", ".join(map(str, b.rows)),
            b.shared,
            f"{b.parameters:,}",
            "yes" if b.trained else "no",
            *(f"{x:.2f}" for x in (*b.by_module, *b.by_row)),
        ]
        for b in blocks
    ]
    table_of(head, lines)
    last = [b for b in blocks if not b.trained][-1]
    return {"shared_row": last.shared, "leak": last.by_row[1]}


def sources(lab: FewShotLaboratory, found: Mapping[str, Source]) -> dict[str, float | str]:
    """Faces of each kind of code, and how near the codes are to unseen captures'; what the prose says of them."""
    rows = [lab.translate(lab.g_phone, found[name].codes[:6]) for name in SOURCES]
    figures.show(
        figures.texture_grid(rows, list(SOURCES.values())),
        "Where codes come from. Each row shows six codes of one origin, drawn by G_phone: from Z and from W (one row of numbers "
        "repeated for all layers), from the bank of inverted captures, from mixtures of two or three of these, and from captures "
        "as they come in, through the encoder. The last are what G_studio will be asked for.",
    )
    table_of(
        ["codes from", "distance of an unseen capture's code to the nearest of 256", "spread between the rows of one code"],
        [[label, f"{found[name].distance:.2f}", f"{found[name].layers:.2f}"] for name, label in SOURCES.items()],
        "Both in units of the bank's own standard deviation.",
    )
    closest = min(found, key=lambda name: found[name].distance)
    ratio = min(found["z"].distance, found["w"].distance) / found["captures"].distance
    return {"codes_closest": SOURCES[closest], "codes_ratio": ratio}


# --- runs


def ledger(name: str) -> None:
    """What the ledger has recorded of an experiment over several seeds, with what it cannot show; or that it has nothing."""
    from IPython.display import Markdown, display

    made = experiment(name)
    if not (records_dir() / f"{name}.json").is_file():
        text = f"*{made.question}* The ledger holds no record of the experiment `{name}` yet."
    else:
        kept = record(name)
        stale = f"\n\n**Made with other settings or weights than today's:** {len(kept.stale())} entries." if kept.stale() else ""
        shown = [m for m in kept.measures if m not in ("faceid_mse", "psnr/observed", "colour")]  # what fits a page
        text = f"**From the ledger: {made.question}**\n\n{kept.table(shown)}{stale}\n\n{made.limits}"
    display(Markdown(text))


def run_figure(log: Mapping[str, list[float]]) -> Figure:
    """The generator's terms and D's opinions over one run."""
    fig, (left, right) = figures.plot(3.3, (1, 1))
    for k, (key, label) in enumerate(TERMS.items()):
        left.plot(log["images"], log[f"g_{key}"], ls=figures.DASHES[k], label=label)
    left.set(xlabel="images", ylabel="weighted term", title="The generator's terms")
    left.legend(loc="upper center", bbox_to_anchor=(0.5, -0.25), ncols=2)
    _opinions(right, log)
    right.set(ylabel="mean logit", title="What the discriminator thinks of")
    right.legend(loc="upper center", bbox_to_anchor=(0.5, -0.25), ncols=2)
    return fig


def opinions_figure(logs: Mapping[str, Mapping[str, list[float]]], images: int) -> Figure:
    """D's opinions over several runs, side by side, up to ``images``."""
    fig, axes = figures.plot(2.7, (1,) * len(logs))
    for ax, (title, log) in zip(axes, logs.items(), strict=True):
        _opinions(ax, log)
        ax.set(title=title, xlim=(0, images), ylabel="D's mean logit")
    axes[-1].legend(loc="upper center", bbox_to_anchor=(0.0, -0.28), ncols=3)
    return fig


def _opinions(ax, log: Mapping[str, list[float]]) -> None:
    for k, (key, label) in enumerate(OPINIONS.items()):
        ax.plot(log["images"], log[key], ls=figures.DASHES[k], label=label)
    ax.set(xlabel="images")


def gap(log: Mapping[str, list[float]]) -> float:
    """How far D's last mark for its training textures lies above that for held-out ones."""
    return log["d_train"][-1] - log["d_held_out"][-1]


def released(card: Mapping) -> dict[str, float]:
    """The facts of a released G_studio's card, and what its D thought at the end."""
    facts, end = card["settings"], card["metrics"]
    table_of(
        ["of the released G_studio", ""],
        [
            ["data", card["data"]],
            ["images", f"{card['images']:,}"],
            ["trained on", card["device"]],
            ["studio textures D learns from", facts["studio"]],
            ["people with a pair", facts["pairs"]],
            ["`train_from`", facts["train_from"]],
            ["seed", card["seed"]],
        ],
    )
    return {
        "gap_released": end["d_train"] - end["d_held_out"],
        "overfit_released": end["overfit"],
        "final_train": end["d_train"],
        "final_fake": end["d_fake"],
        "final_right": 100 / (1 + np.exp(-(end["d_train"] - end["d_fake"]) / 2)),
    }


def effects(table: EvaluationTable, results: Mapping[str, Tensor], start: Tensor) -> dict[str, float]:
    """What each switched-off term changes after short runs, as a table; the mean distance of each from ``start``.

    Args:
        table: of the runs. results: their textures ``(N, 3, H, W)`` by name. start: G_phone's.
    """
    moved = {name: float((x - start).abs().mean()) for name, x in results.items()}
    table_of(
        ["run", *EFFECTS.values(), "mean change of a texel from G_phone(w), of 1"],
        [
            [name, *(f"{table.estimate(name, m).mean:.3f}" for m in EFFECTS), f"{moved.get(name, 0):.3f}"]
            for name in table.methods
        ],
    )
    return moved


# --- light


def severity_figure(severity: np.ndarray, table: EvaluationTable, methods: Mapping[str, str]) -> Figure:
    """Every capture's PSNR and left-over asymmetry against the unevenness of its light; ``methods``: name → label."""
    fig, axes = figures.plot(2.6, (1, 1))
    looks = ((figures.COLOURS["phone"], "s"), (figures.COLOURS["studio"], "o"))
    measures = {"psnr/face": "PSNR on the face, dB", "asymmetry": "asymmetry left over"}
    for ax, (metric, label) in zip(axes, measures.items(), strict=True):
        for (name, text), (colour, marker) in zip(methods.items(), looks, strict=True):
            ax.plot(severity, table.values[name][metric], marker, color=colour, label=text)
        ax.set(xlabel="unevenness of the capture's light", ylabel=label)
    axes[0].legend()
    return fig


def one_person(lab: FewShotLaboratory, shots: PhoneCapture, generators: Mapping[str, nn.Module]) -> dict[str, float]:
    """One person's captures under several lights, what each generator makes of them, and how much still varies with the light.

    Returns:
        variance over lights ÷ the phone's, by name.
    """
    codes = lab.codes_of(shots.texture, shots.visibility)
    made = {"phone": shots.texture} | {name: lab.translate(net, codes) for name, net in generators.items()}
    count = len(shots.texture)
    figures.show(
        figures.texture_grid(list(made.values()), list(made), [f"light {k + 1}" for k in range(count)]),
        "One unseen person under six lights, a column each. Rows: the phone textures, G_phone's reconstructions, and "
        "G_studio's outputs, which should all be the same picture.",
    )
    made["mean_studio"] = lab.reference.like(shots.texture).expand_as(shots.texture)
    truth = lab.data.studio_batch(lab.data.subjects("val")[:1]).expand_as(shots.texture)
    same, lines, ratios = torch.zeros(count, dtype=torch.long), [], {}
    for name, result in made.items():
        ratios[name] = float(variance_ratio(result, shots.texture, same, shots.visibility)[0])
        lines.append([name, f"{ratios[name]:.2f}", f"{faceid(lab.judge, result, truth)['cosine'].mean():.3f}"])
    table_of(["method", "variance over lights ÷ the phone's ↓", "identity cosine to the true studio texture ↑"], lines)
    return ratios


# --- claims


@dataclass(frozen=True)
class Evidence:
    """What chapter 4 has found, for its table of claims.

    Attributes:
        judged: G_studio against simple rivals, ``[rival, metric]``. sources: of codes. effects: of short runs, with ``short``
            images each. uneven: whether uneven light makes PSNR worse.
    """

    judged: Mapping[tuple[str, str], Verdict]
    sources: Mapping[str, Source]
    effects: EvaluationTable
    short: int
    uneven: Verdict


def claims(found: Evidence) -> None:
    """What the authors state or others report, and what this chapter sees of it."""

    def ratio(run: str, metric: str) -> float:
        return float(found.effects.estimate(run, metric).mean / found.effects.estimate("all terms", metric).mean)

    told = {
        "asymmetry": found.judged["nothing", "asymmetry"],
        "PSNR": found.judged["nothing", "psnr/observed"],
        "identity": found.judged["mean_studio", "faceid_cosine"],
    }
    whole = claim_word([outcome_of(verdict) for verdict in told.values()])
    closest = min(found.sources, key=lambda name: found.sources[name].distance)
    slope, short = found.uneven.difference, f"after {found.short} images"
    early = "the ledger's, over seeds: one short run cannot tell"
    table_of(
        ["what the authors state, or others report", "what we see here", "verdict on synthetic heads"],
        [
            [
                "stated: G_studio gives evenly lit, complete textures of the same person",
                f"asymmetry and PSNR against doing nothing: {told['asymmetry']}, {told['PSNR']}; "
                f"identity against the mean texture: {told['identity']}",
                whole,
            ],
            [
                "stated: codes from W+, not from Z",
                f"closest to unseen captures: {SOURCES[closest]}; distances only, no training compared",
                "supported" if closest not in ("z", "w") else "not supported",
            ],
            [
                "reported: without L_faceID, FaceID at least doubles",
                f"identity MSE × {ratio('no L_faceID', 'faceid_mse'):.2f} {short}",
                early,
            ],
            [
                "reported: without L_faceID and L_percp, training diverges",
                f"identity MSE × {ratio('no L_faceID, L_percp', 'faceid_mse'):.2f} {short}",
                early,
            ],
            [
                "reported: the pairs stop a global shift of skin tone",
                f"without them the colour error is × {ratio('no pairs', 'colour'):.2f} {short}",
                early,
            ],
            [
                "reported: strongly uneven light degrades the result",
                f"PSNR per unit of unevenness, within people: {slope:+.1f} dB",
                claim_word([outcome_of(found.uneven, WORSE)]),
            ],
            ["stated: after 8 is the best compromise of FaceID and KID", "not trained here", "not tested in this chapter"],
        ],
    )
