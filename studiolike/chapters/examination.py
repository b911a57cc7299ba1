"""Chapter 6's figures and tables: every subject as a dot, chosen cases, by light and by skin tone, the head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from .. import avatar, evaluation
from ..evaluation import EvaluationTable, Verdict
from ..evaluation.verdict import CANNOT_TELL, NOT_REPRODUCED, PARTLY, REPRODUCED, claim_word, within_limits
from ..experiments import record
from ..experiments.chain import RANKS
from ..experiments.examination import DOSES, Examination, Lights, Shadow
from . import figures, interactive
from .notebook import table_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METRICS = {
    "psnr/observed": "PSNR (observed)",
    "psnr/holes": "PSNR (holes)",
    "psnr_fitted/observed": "PSNR after a gain fit (observed)",
    "low_band": "low-band error (observed)",
    "perceptual/observed": "perceptual (observed)",
    "perceptual/holes": "perceptual (holes)",
    "faceid_cosine": "identity cosine",
    "colour": "colour error",
    "asymmetry": "asymmetry (residual light)",
    "variance_ratio": "variance over lights",
}
LOOK = {
    "nothing": (figures.COLOURS["phone"], "o"),
    "mean_studio": (figures.PALETTE[5], "P"),
    "colour_transfer": (figures.PALETTE[1], "s"),
    "quotient": (figures.COLOURS["baseline"], "D"),
    "generator": (figures.COLOURS["studio"], "v"),
    "fusion": (figures.PALETTE[4], "<"),
    "chain": (figures.COLOURS["detailed"], "^"),
    "chain (open)": (figures.COLOURS["truth"], ">"),
}
RIVALS = ("nothing", "quotient", "mean_studio", "generator", "fusion", "chain (open)")
TONES = ("lightest", "middle", "darkest")
AIM_GAP, AIM_LEFT, AIM_COSINE = 1.2, 0.10, 0.89  # what we ask of the chain
AIM = {
    REPRODUCED: "is met",
    PARTLY: "is met in part",
    NOT_REPRODUCED: "is not met",
    CANNOT_TELL: "is neither clearly met nor clearly missed",
}
Judged = Mapping[tuple[str, str], Verdict]


# --- words


def told(judged: Judged) -> dict[str, str | int]:
    """For the prose: how many promised comparisons are won, and where the chain wins and loses against each rival."""
    regions = ("psnr/observed", "psnr/holes", "perceptual/observed", "perceptual/holes")
    promised = [(rival, metric) for rival in ("nothing", "colour_transfer") for metric in regions]
    lost = [f"{METRICS[m]} against {r}" for r, m in promised if judged[r, m].word == "worse"]
    numbers: dict[str, str | int] = {
        "promised": len(promised),
        "kept": sum(judged[pair].word == "better" for pair in promised),
        "lost": ", ".join(lost) or "none of them",
    }
    for rival in RIVALS:
        for word, key in (("better", "wins"), ("worse", "losses")):
            metrics = [label for metric, label in METRICS.items() if judged[rival, metric].word == word]
            numbers[f"{key}_{rival.split()[-1].strip('()')}"] = ", ".join(metrics) or "no metric"
    return numbers


def aim(*outcomes: str) -> str:
    """What is said of an aim whose limits came out so (`verdict.within_limits`): the ledger's word, as one says it of an aim."""
    return AIM[claim_word(outcomes)]


# --- tables and figures of the whole set


def dots_figure(table: EvaluationTable) -> Figure:
    """Every subject as a dot, and each method's mean with its interval, in four metrics."""
    shown = ["psnr/observed", "psnr/holes", "faceid_cosine", "asymmetry"]
    fig, axes = figures.plot(5.0, (1, 1), rows=2)
    order = [name for name in LOOK if name in table.methods][::-1]
    for ax, metric in zip(axes, shown, strict=True):
        for k, name in enumerate(order):
            colour, marker = LOOK[name]
            each = [table.values[name][metric][table.subject == s].mean() for s in np.unique(table.subject)]
            ax.plot(each, k + np.linspace(-0.3, 0.3, len(each)), ".", color=colour, alpha=0.35, ms=3)
            e = table.estimate(name, metric)
            span, look = [[e.mean - e.low], [e.high - e.mean]], {"color": colour, "marker": marker, "mec": "white"}
            ax.errorbar(e.mean, k, xerr=span, ms=6, capsize=3, **look)
        ax.set_title(f"{METRICS[metric]} {'→' if evaluation.higher_is_better(metric) else '←'} better", fontsize=9)
        ax.grid(axis="y", visible=False)
        ax.locator_params(axis="x", nbins=5)
        ax.set_yticks(range(len(order)), order if ax in axes[::2] else [""] * len(order))
    return fig


def cases(exam: Examination, table: EvaluationTable) -> dict[str, float]:
    """The best, the median and the worst capture of the chain by PSNR over the face, as a figure; their PSNR."""
    ranked = table.best("chain", "psnr/face", len(exam.rows))
    chosen = {"best": ranked[0], "median": ranked[len(ranked) // 2], "worst": ranked[-1]}
    place = {int(row): k for k, row in enumerate(table.rows)}
    rows, titles, found = [], [], {}
    for name, row in chosen.items():
        k = place[int(row)]
        texture, visibility = exam.data.phone_batch(torch.tensor([row]))
        truth = exam.data.studio_batch(torch.as_tensor(exam.data.subject[row])[None])
        mine, rival = exam.result[k : k + 1], evaluation.quotient(texture, visibility, exam.reference)
        rows.append([x[0] for x in (texture, texture * visibility, rival, mine, truth, ((mine - truth).abs() * 3).clamp(0, 1))])
        found[name] = float(table.values["chain"]["psnr/face"][k])
        titles.append(f"{name}\n{found[name]:.1f} dB")
    figures.show(
        figures.texture_grid(rows, titles, ["phone", "seen part", "quotient", "chain", "truth", "chain error × 3"]),
        "The best, the median and the worst test capture of the chain by PSNR over the face. Columns: phone texture, the part "
        "that was seen, quotient, chain, true studio texture, and the chain's absolute error, enlarged three times.",
    )
    return found


def severity_figure(table: EvaluationTable) -> Figure:
    """PSNR and asymmetry for mild, medium and severe light, of doing nothing, the quotient and the chain."""
    fig, axes = figures.plot(2.7, (1, 1))
    for ax, metric in zip(axes, ("psnr/observed", "asymmetry"), strict=True):
        for k, name in enumerate(["nothing", "quotient", "chain"]):
            groups = table.by_severity(name, metric)
            _intervals(ax, groups.values(), 0.08 * (k - 1), name, figures.DASHES[k])
        labels = [f"{word}\n{span}" for word, span in zip(("mild", "medium", "severe"), groups, strict=False)]
        ax.set_xticks(range(len(groups)), labels)
        ax.set_title(f"{METRICS[metric]} ({'higher' if evaluation.higher_is_better(metric) else 'lower'} is better)")
    axes[0].legend()
    return fig


def severity_curve() -> Figure:
    """Errors of the chain against the severity of the light, from the ledger's record, under both protocols."""
    kept = record("severity")
    fig, axes = figures.plot(2.7, (1, 1, 1))
    for ax, metric in zip(axes, ("low_band", "psnr/observed", "faceid_cosine"), strict=True):
        for k, protocol in enumerate(("few", "open")):
            rows = [row for row in (f"{rank} light, {protocol}" for rank in RANKS) if kept.seeds(row)]
            x = [kept.estimate(row, "severity").mean + 0.01 * k for row in rows]  # beside each other, to be seen both
            found = [kept.estimate(row, metric) for row in rows]
            span = np.array([[e.mean - e.low, e.high - e.mean] for e in found]).T
            look = {"marker": figures.MARKERS[k], "linestyle": figures.DASHES[k], "capsize": 3, "label": protocol}
            ax.errorbar(x, [e.mean for e in found], np.where(np.isfinite(span), span, 0.0), **look)
        ax.set(xlabel="severity of the light", title=f"{METRICS[metric].split(' (')[0]} {_arrow(metric)}")
    axes[0].legend()
    return fig


def _arrow(metric: str) -> str:
    return "↑" if evaluation.higher_is_better(metric) else "↓"


def tones(table: EvaluationTable) -> dict[str, float | str]:
    """Colour error by skin tone, as a figure; the chain's gap, who is worst off, and whether the aim is met."""
    shown = ("nothing", "colour_transfer", "quotient", "chain")
    fig, axes = figures.plot(2.7, (1.5, 1))
    for k, name in enumerate(shown):
        groups = table.by_tone(name, "colour")
        _intervals(axes[0], groups.values(), 0.08 * (k - 1.5), name, "none")
    axes[0].set_xticks(range(len(groups)), TONES[: len(groups)])
    axes[0].set_ylim(0, 1.4 * axes[0].get_ylim()[1])  # room for the legend
    axes[0].set_title("colour error, ΔE2000 (lower is better)")
    axes[0].legend(ncols=2)
    gaps = {name: table.tone_gap(name) for name in shown}
    axes[1].barh(list(gaps), list(gaps.values()), color=[LOOK[name][0] for name in gaps])
    axes[1].axvline(1, color=figures.INK, linewidth=1)
    axes[1].invert_yaxis()
    axes[1].grid(axis="y", visible=False)
    axes[1].set_title("gap: worst group ÷ best group")
    figures.show(
        fig,
        "Left: colour error of four methods in three groups of skin tone, with 95 % intervals over subjects. Right: each "
        "method's gap, the error of its worst served group ÷ that of its best; the line marks 1, the same for everybody.",
    )
    worst = max(table.by_tone("chain", "colour").items(), key=lambda item: item[1].mean)[0]
    gap = table.tone_gap_estimate("chain")
    return {
        "gap": gaps["chain"],
        "gap_range": f"[{gap.low:.2f}, {gap.high:.2f}]",
        "gap_nothing": gaps["nothing"],
        "gap_worst": TONES[worst],
        "gap_aim": AIM_GAP,
        "gap_met": aim(within_limits(gap, at_most=AIM_GAP)),
    }


def _intervals(ax, groups, shift: float, name: str, dash) -> None:
    """A method's means with intervals, one per group."""
    mean, low, high = (np.array([getattr(e, a) for e in groups]) for a in ("mean", "low", "high"))
    look = {"color": LOOK[name][0], "marker": LOOK[name][1], "linestyle": dash, "capsize": 3, "label": name}
    ax.errorbar(np.arange(len(mean)) + shift, mean, [mean - low, high - mean], **look)


# --- one subject


def lights(seen: Lights, table: EvaluationTable) -> dict[str, float | str]:
    """One subject under many lights, as a figure; what is left of the input's variance, for it and for everybody."""
    rows = [[*x, (x.std(0).mean(0, keepdim=True) * 4).clamp(0, 1) * (seen.face > 0.3), seen.truth] for x in seen.results.values()]
    titles = [f"severity {s:.2f}" for s in seen.severity] + ["spread × 4", "truth"]
    figures.show(
        figures.texture_grid(rows, list(seen.results), titles),
        "One subject under several lights, from mild to severe. Rows: phone texture, quotient, chain. Last columns: the "
        "standard deviation over the lights inside the face, four times enlarged (black: all alike), and the truth.",
    )
    ratio, cosine = table.estimate("chain", "variance_ratio"), table.estimate("chain", "faceid_cosine")
    return {
        "one_chain": 100 * seen.left["chain"],
        "one_quotient": 100 * seen.left["quotient"],
        "ratio": f"{100 * ratio.mean:.0f} % [{100 * ratio.low:.0f}, {100 * ratio.high:.0f}]",
        "cosine": f"{cosine.mean:.2f} [{cosine.low:.2f}, {cosine.high:.2f}]",
        "aim_left": 100 * AIM_LEFT,
        "aim_cosine": AIM_COSINE,
        "aim": aim(within_limits(ratio, at_most=AIM_LEFT), within_limits(cosine, at_least=AIM_COSINE)),
    }


def turning(mesh: avatar.HeadMesh, skins: Mapping[str, Tensor]) -> figures.Html:
    """The head with every skin side by side, on a slider that turns it."""
    angles = [0, 30, 60, 90, 135, 180, 225, 270, 300, 330]
    turns = [avatar.turntable(mesh, skin, angles, size=208) for skin in skins.values()]
    frames = [torch.cat(views, -1) for views in zip(*turns, strict=True)]
    alt = "The head with the phone texture, the chain's result and the truth, side by side, turned once around"
    return interactive.image_slider(frames, [f"{a}°" for a in angles], alt, name="Turn", width=624)


def close_figure(mesh: avatar.HeadMesh, skins: Mapping[str, Tensor]) -> Figure:
    """The face from close by, with the chain's texture, and the true one with and without lamps."""

    def view(skin: Tensor, **look: str) -> Tensor:
        return avatar.render(mesh, skin, yaw=20, size=640, **look)[:, 200:440, 230:470]

    close = [view(skins["chain"]), view(skins["truth"]), view(skins["truth"], shading="unlit")]
    return figures.texture_grid([close], (), ["chain", "truth, same mesh", "truth, no lamps"], tile=2.3)


def shadow(found: Shadow) -> dict[str, float | str]:
    """The shadow in doses, as a figure and a table; what the prose says of it."""
    change = (found.answers - found.answers[:1]).abs().mul(3).clamp(0, 1)
    rows = [list(found.inputs), list(found.answers), list(change)]
    figures.show(
        figures.texture_grid(rows, ["input", "chain", "change × 3"], [f"light × {d:g}" for d in DOSES]),
        "The true texture with one half darkened by a hard-edged shadow, stronger from left to right; the chain's answers; and "
        "how far each answer differs from the one without shadow, three times enlarged.",
    )
    before, after = found.asymmetry
    lines = zip(DOSES, before, after, found.psnr, strict=True)
    table_of(
        ["light in the shadow", "asymmetry of the input", "of the output", "PSNR to the truth, dB"],
        [[f"× {d:g}", f"{a:.3f}", f"{b:.3f}", f"{q:.1f}"] for d, a, b, q in lines],
    )
    return {
        "shadow_change": f"{found.psnr[-1] - found.psnr[0]:+.1f} dB",
        "shadow_left": 100 * float((after[-1] - after[0]) / (before[-1] - before[0])),
    }
