"""Chapter 4's figures and tables: terms and symbols, two readings of "after 8", codes, runs, light."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from .. import adaptation
from ..evaluation import EvaluationTable, faceid, variance_ratio
from ..experiments.few_shot import OURS, PAPER, STRONG, TOO_STRONG, Block, FewShotLaboratory, Source
from ..stylegan2 import losses
from . import figures, notebook
from .notebook import table_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..adaptation import AdaptStage
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
PICTURED = ("no L_adv", "no pairs", "no L_faceID, L_percp", TOO_STRONG)  # of the short runs, those that a picture can tell
WEIGHTS = {name: name for name in TERMS} | {"adv": "adversarial", "percp": "perceptual", "face_id": "identity"}  # settings
CODE = {  # what computes each term, by its name in the page
    "L_adv, the generator's": losses.generator_loss,
    "L_adv, the discriminator's": losses.discriminator_loss,
    "L_R1, without its factor": losses.r1_penalty,
    "L_percp": adaptation.perceptual_loss,
    "L_faceID": adaptation.identity_loss,
    "L_percp-recons": adaptation.pair_loss,
    TERMS["recons_detail"]: adaptation.detail_loss,
    TERMS["low_light"]: adaptation.low_light_loss,
    TERMS["invariance"]: adaptation.invariance_loss,
    TERMS["other_light"]: adaptation.other_light_loss,
}
OPINIONS = {"d_train": "its training textures", "d_held_out": "held-out studio textures", "d_fake": "generated textures"}
SOURCES = {"z": "Z", "w": "W", "bank": "bank", "bank_mixture": "bank mixtures", "captures": "captures"}
LEDGER = ("faceid_kept", "faceid_mse", "kid", "low_band", "variance_ratio")  # measures of an experiment that fit a page
EFFECTS = {"colour": "colour error ↓", "faceid_cosine": "identity cosine ↑", "asymmetry": "asymmetry ↓"}


# --- the objective


def objective(lab: FewShotLaboratory, stage: AdaptStage, terms: Mapping[str, float]) -> dict[str, float | str]:
    """The generator's terms with their weights and first values, and every other symbol with its value, as two tables.

    Args:
        stage: with the settings of this profile. terms: weighted, of an untouched copy of G_phone.
    Returns:
        What the prose says of them.
    """
    config, generator = stage.config, lab.g_phone
    table_of(
        ["term of the generator", "its weight", "weight × term, before the first step"],
        [[TERMS[name], f"{getattr(config, WEIGHTS[name]):g}", f"{value:.3f}"] for name, value in terms.items()],
    )
    share = sum(p.numel() for p in stage.trained) / sum(p.numel() for p in generator.parameters())
    table_of(
        ["symbol", "what it is", "here"],
        [
            ["θ(8+)", "the blocks above 8×8, and the toRGB layers of the frozen ones (below)", f"{share:.0%} of G_phone"],
            ["w⁺", "code: one row of numbers per layer", f"{generator.num_ws} rows of {generator.config.w_dim}"],
            ["P", "people with a capture and a studio texture", len(lab.pairs)],
            ["γ", "weight of L_R1", f"{stage.gamma:.2g}, in every {config.r1_every}th step"],
            ["–", "learning rate", f"{config.lr:g}"],
            ["–", "textures per step, and in a whole run", f"{config.batch} and {lab.settings.adapt.images:,}"],
        ],
        "All values are our choices; the authors' are unknown to us.",
    )
    paper, ours = (sum(terms[k] for k in names if k in terms) for names in (PAPER, OURS))
    word = "outweigh" if ours > paper else "weigh no more than"
    return {"ours_first": ours, "paper_first": paper, "ours_word": word}


def code() -> None:
    """The library's code of every term, each behind a click under the term's name."""
    for title, function in CODE.items():
        notebook.source(function, title)


# --- which layers, which codes


def readings(blocks: Sequence[Block]) -> dict[str, float | int]:
    """What the two readings of "after 8" move in each block, as a table; what the prose says of them."""
    head = ["block", "rows of w+ for its features", "row for its toRGB", "trained"]
    head += ["modules after 8² changed: features", "toRGB", "rows after 8² changed: features", "toRGB"]
    lines = [
        [
            f"{b.size}²",
            ", ".join(map(str, b.rows)),
            b.shared,
            "yes" if b.trained else "no",
            *(f"{x:.2f}" for x in (*b.by_module, *b.by_row)),
        ]
        for b in blocks
    ]
    table_of(head, lines, "Last four columns: size of the change ÷ size of what was there; 0.00 is no change.")
    last = [b for b in blocks if not b.trained][-1]
    first = next(b for b in blocks if b.trained)
    return {"train_from": last.size, "trained_from": first.size, "shared_row": last.shared, "leak": last.by_row[1]}


def sources(lab: FewShotLaboratory, found: Mapping[str, Source]) -> dict[str, float | str]:
    """Faces of each kind of code, and how near the codes are to unseen captures'; what the prose says of them."""
    # both are drawn from one seed, so that a mixture's first part is the bank's code in its place
    bank, mixed = (found[name].codes for name in ("bank", "bank_mixture"))
    order = (bank - mixed).flatten(1).norm(dim=1).argsort()
    middle = 2 * len(order) // 3  # half are not mixed at all, and the last hardly have the code above them
    apart = order[middle - 3 : middle + 3]
    chosen = {name: apart if name.startswith("bank") else slice(6) for name in SOURCES}
    rows = [lab.translate(lab.g_phone, found[name].codes[place]) for name, place in chosen.items()]
    figures.show(
        figures.texture_grid(rows, list(SOURCES.values())),
        "Where codes come from. Each row shows six codes of one origin, drawn by G_phone: from Z and from W (one row of numbers "
        "repeated for all layers), from the bank of inverted captures, from mixtures of the bank's codes, and from captures "
        "as they come in, through the encoder. A mixture has the code above it as one part; of both, six draws are shown that "
        "are neither little nor wholly changed. The last row is what G_studio will be asked for.",
    )
    table_of(
        [
            "codes from",
            "distance from an unseen capture's code to the nearest of 256 of them",
            "difference between the rows of one code",
        ],
        [[label, f"{found[name].distance:.2f}", f"{found[name].layers:.2f}"] for name, label in SOURCES.items()],
        "Both in units of the bank's own standard deviation.",
    )
    closest = min(found, key=lambda name: found[name].distance)
    ratio = min(found["z"].distance, found["w"].distance) / found["captures"].distance
    return {"codes_closest": SOURCES[closest], "codes_ratio": ratio}


# --- runs


def ledger(name: str, limits: bool = False) -> None:
    """`notebook.ledger` with the measures of stage 3 that fit a page."""
    notebook.ledger(name, LEDGER, limits)


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
    figures.legend_outside(fig, axes[-1], 3)
    return fig


def _opinions(ax, log: Mapping[str, list[float]]) -> None:
    for k, (key, label) in enumerate(OPINIONS.items()):
        points = None if len(log["images"]) > 1 else figures.MARKERS[k]  # a line of one point is nothing to see
        ax.plot(log["images"], log[key], marker=points, ls=figures.DASHES[k], label=label)
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


def cases(table: EvaluationTable, method: str, columns: Mapping[str, Tensor]) -> None:
    """The best, the median and the three worst captures of a method by PSNR on the face, as a figure.

    Args:
        columns: textures ``(N, 3, H, W)`` of the table's captures, by name.
    """
    ranked = table.ranked(method, "psnr/face")
    chosen = {"best": ranked[0], "median": ranked[len(ranked) // 2]}
    chosen |= {f"worst {n}" if n > 1 else "worst": ranked[-n] for n in (1, 2, 3)}
    figures.show(
        figures.texture_grid(
            [[textures[k] for textures in columns.values()] for k in chosen.values()],
            [f"{name}\nlight {table.severity[k]:.2f}" for name, k in chosen.items()],
            list(columns),
        ),
        f"Of {len(table.rows)} captures of unseen people the best, the median and the three worst for {method}, by PSNR on the "
        "face; at the left how uneven the light on the face was, from 0 to 1. Columns: the phone texture; what G_phone, the "
        "short run's generator and the released G_studio draw of its code; the true studio texture. Compare the last two for "
        "light and skin colour. Where the second column has lost the person, the fourth cannot find them.",
    )


def effects(table: EvaluationTable, results: Mapping[str, Tensor], truth: Tensor) -> dict[str, float | str]:
    """What each switched-off term changes after short runs, as a figure and a table; what the prose says of it.

    Args:
        table: of the runs. results: their textures ``(N, 3, H, W)`` by name; the first is where all runs start.
    """
    start, *runs = results
    columns = {n: x for n, x in results.items() if n in (start, runs[0], *PICTURED)} | {"truth": truth}
    titles = [name.replace("L_faceID, ", "L_faceID,\n") for name in columns]
    figures.show(
        figures.texture_grid(list(zip(*(x[:3:2] for x in columns.values()), strict=True)), (), titles),
        "Two unseen people, one per row. First column: G_phone, where every run starts. Then short runs: with all terms; "
        "without the discriminator; without the terms on pairs; without both ties to G_phone; with "
        f"{STRONG} times L_faceID. Last "
        "column: the truth. Differences are small after so few steps: compare light and skin colour with the second column.",
    )
    moved = {name: float((x - results[start]).abs().mean()) for name, x in results.items()}
    table_of(
        ["run", *EFFECTS.values(), f"mean change of a texel from {start}"],
        [[name, *(f"{table.estimate(name, m).mean:.3f}" for m in EFFECTS), f"{moved[name]:.3f}"] for name in results],
        "Texels are numbers from 0 to 1.",
    )
    strong = table.verdicts(TOO_STRONG, [runs[0]], ["asymmetry"])[runs[0], "asymmetry"]
    light = ("leaves less light than", "leaves more light than", "cannot be told in left-over light from")
    return {"strong_times": STRONG, "strong_moved": moved[TOO_STRONG] / moved[runs[0]], "strong_light": strong.say(*light)}


# --- light


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
