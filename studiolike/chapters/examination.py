"""Chapter 6's figures and tables: every subject as a dot, chosen cases, by light and by skin tone, the head."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from .. import avatar, evaluation
from ..evaluation import EvaluationTable, Verdict, over_people
from ..evaluation.bootstrap import clustered_mean
from ..evaluation.table import arrow, heading
from ..evaluation.verdict import BETTER, CANNOT_TELL, NOT_REPRODUCED, PARTLY, REPRODUCED, WORSE, claim_word, within_limits
from ..experiments import record
from ..experiments.chain import RANKS
from ..experiments.examination import DOSES, OFF, Examination, Lights, Shadow
from . import figures, interactive
from .notebook import table_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METRICS = {  # what is judged, under the one name that the chapter has for it
    "psnr/observed": "PSNR (observed)",
    "psnr/holes": "PSNR (holes)",
    "psnr_fitted/observed": "PSNR after a gain fit (observed)",
    "low_band": "low-band error (observed)",
    "perceptual/observed": "perceptual distance (observed)",
    "perceptual/holes": "perceptual distance (holes)",
    "faceid_cosine": "identity cosine",
    "colour": "colour error",
    OFF: "asymmetry, distance to the truth's",
    "variance_ratio": "variance over lights",
}
CLOSE = tuple(METRICS)[:6]  # the first table; the second has the rest
LOOK = {  # black is the truth's
    "nothing": {"color": figures.COLOURS["phone"], "marker": "o"},
    "mean_studio": {"color": figures.PALETTE[5], "marker": "P"},
    "colour_transfer": {"color": figures.PALETTE[1], "marker": "s"},
    "quotient": {"color": figures.COLOURS["baseline"], "marker": "D"},
    "generator": {"color": figures.COLOURS["studio"], "marker": "v"},
    "fusion": {"color": "#8A8A8A", "marker": "<"},
    "chain": {"color": figures.COLOURS["detailed"], "marker": "^"},
    "chain (open)": {"color": "#00442F", "marker": ">"},  # the chain's green, darker
}
SIMPLE = ("nothing", "mean_studio", "colour_transfer", "quotient")
TONES = ("lightest", "middle", "darkest")
AIM_GAP, AIM_LEFT, AIM_COSINE = 1.2, 0.10, 0.89  # what we ask of the chain
AIM = {
    REPRODUCED: "is met",
    PARTLY: "is met in part",
    NOT_REPRODUCED: "is not met",
    CANNOT_TELL: "is neither clearly met nor clearly missed",
}
LEADS = {BETTER: "better in", WORSE: "worse in", CANNOT_TELL: "not to be told apart in"}
Judged = Mapping[tuple[str, str], Verdict]


# --- words


def told(table: EvaluationTable, judged: Judged) -> dict[str, str | int]:
    """For the prose: what the chain wins against methods that learn nothing, and what each of the last steps is worth."""
    regions = ("psnr/observed", "psnr/holes", "perceptual/observed", "perceptual/holes")
    promised = [(rival, metric) for rival in ("nothing", "colour_transfer") for metric in regions]
    simple = [(rival, metric) for rival in SIMPLE for metric in METRICS]
    best = max(SIMPLE, key=lambda rival: table.estimate(rival, "psnr/observed").mean)
    gain = judged[best, "psnr/observed"]
    return {
        "promised": len(promised),
        "kept": sum(judged[pair].word == BETTER for pair in promised),
        "lost": _losses(judged, promised),
        "simple": len(simple),
        "simple_wins": sum(judged[pair].word == BETTER for pair in simple),
        "simple_losses": _losses(judged, simple),
        "simple_open": sum(judged[pair].word == CANNOT_TELL for pair in simple),
        "rival": best,
        "gain": f"{gain.difference:+.1f}",
        "gain_says": gain.say("nearer to the truth than", "farther from the truth than", "not to be told from"),
        "gain_seen": f"{judged['nothing', 'psnr/observed'].difference.mean:+.1f}",
        "gain_holes": f"{judged['nothing', 'psnr/holes'].difference.mean:+.1f}",
        "vs_quotient": outcome(judged, "quotient"),
        "step_fusion": outcome(table.verdicts("fusion", ["generator"], list(METRICS)), "generator"),
        "step_detailer": outcome(judged, "fusion"),
        "step_open": outcome(judged, "chain (open)", turned=True),
    }


def outcome(judged: Judged, rival: str, turned: bool = False) -> str:
    """In which measures a method is better than a rival, worse, or not to be told from it, in a sentence that leaves out none;
    ``turned``: what the rival is."""
    told = []
    for word, lead in LEADS.items():
        seen = {BETTER: WORSE, WORSE: BETTER}.get(word, word) if turned else word
        names = [name for metric, name in METRICS.items() if judged[rival, metric].word == seen]
        if names:
            told.append(f"{lead} {'all measures' if len(names) == len(METRICS) else ', '.join(names)}")
    return "; ".join(told)


def _losses(judged: Judged, pairs: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{METRICS[m]} against {r}" for r, m in pairs if judged[r, m].word == WORSE) or "none of them"


def aim(*outcomes: str) -> str:
    """What is said of an aim whose limits came out so (`verdict.within_limits`): the ledger's word, as one says it of an aim."""
    return AIM[claim_word(outcomes)]


# --- tables and figures of the whole set


def tables(exam: Examination, table: EvaluationTable) -> dict[str, str | float]:
    """The two tables of all methods, with the truth's own values in the second; what the prose says of scales and of time."""
    note = f"Mean [95 % interval over people], bold the best mean; at {table.resolution}². "
    head = [f"{METRICS[m]} {arrow(m)}" for m in CLOSE]
    table_of(["how close to the truth", *head], [[name, *_cells(table, name, CLOSE)] for name in table.methods], note)
    who = [*list(METRICS)[6:8], "asymmetry", OFF, "variance_ratio"]
    own = exam.truth.estimate("truth", "asymmetry")
    kid = {name: f"{1000 * k.mean:.0f} ± {1000 * k.std:.0f}" for name, k in (table.kid | exam.truth.kid).items()}
    head = ["asymmetry" if m == "asymmetry" else f"{METRICS[m]} {arrow(m)}" for m in who]
    lines = [[name, *_cells(table, name, who), kid.get(name, "–")] for name in table.methods]
    lines.append(["*the truth itself*", "1", "0", f"{own:.2g}", "0", "0", kid.get("truth", "–")])
    table_of(["who is it, in which light", *head, "KID × 1000 ↓"], lines, note + "KID: ± over subsets.")
    pace = table.estimate("chain", "seconds").mean
    timed = {name: table.estimate(name, "seconds").mean for name in table.methods if name not in ("nothing", "mean_studio")}
    print("for each face:", ", ".join(f"{name} {seconds:.2f} s" for name, seconds in timed.items()))
    # a time differs from run to run, and the text must not: its size alone is told
    size = next((word for limit, word in ((10, "ten seconds"), (60, "a minute")) if pace < limit), "an hour")
    return {
        "pace": f"less than {size}",
        "strangers": float(exam.strangers.mean()),
        "strangers_high": float(np.quantile(exam.strangers, 0.95)),
        "mean_face": table.estimate("mean_studio", "faceid_cosine").mean,
        "as_it_came": table.estimate("nothing", "faceid_cosine").mean,
        "own_asymmetry": own.mean,
        "chain_asymmetry": table.estimate("chain", "asymmetry").mean,
    }


def _cells(table: EvaluationTable, method: str, metrics: Sequence[str]) -> list[str]:
    """A row of a table: means with intervals, the best of a column in bold, where one may be called best."""
    cells = []
    for metric in metrics:
        means = {name: table.estimate(name, metric).mean for name in table.methods}
        pick = max if evaluation.higher_is_better(metric) else min
        best = metric in METRICS and method == pick(means, key=means.__getitem__)
        found = table.estimate(method, metric)
        cells.append(f"{'**' * best}{found.mean:.3g}{'**' * best}{found.interval('.2g' if abs(found.mean) < 1 else '.3g')}")
    return cells


def dots_figure(exam: Examination, table: EvaluationTable) -> Figure:
    """Every subject as a dot, and each method's mean with its interval, in four metrics."""
    shown = ["psnr/observed", "psnr/holes", "faceid_cosine", "asymmetry"]
    fig, axes = figures.plot(5.0, (1, 1), rows=2)
    order = [name for name in LOOK if name in table.methods][::-1]
    for ax, metric in zip(axes, shown, strict=True):
        for k, name in enumerate(order):
            each = [table.values[name][metric][table.subject == s].mean() for s in np.unique(table.subject)]
            ax.plot(each, k + np.linspace(-0.3, 0.3, len(each)), ".", color=LOOK[name]["color"], alpha=0.35, ms=3)
            e = table.estimate(name, metric)
            ax.errorbar(e.mean, k, xerr=figures.reach([e]), ms=6, capsize=3, mec="white", **LOOK[name])
        if metric in METRICS:
            ax.set_title(f"{METRICS[metric]} {'→' if evaluation.higher_is_better(metric) else '←'} better", fontsize=9)
        else:
            _own(ax.axvline, exam)
            ax.set_title(f"{metric} (line: the truth's own)", fontsize=9)
        ax.grid(axis="y", visible=False)
        ax.locator_params(axis="x", nbins=5)
        ax.set_yticks(range(len(order)), order if ax in axes[::2] else [""] * len(order))
    return fig


def _own(line, exam: Examination) -> None:
    """Where the asymmetry of the true textures themselves lies, in the mean: a line across."""
    line(exam.truth.estimate("truth", "asymmetry").mean, color=figures.COLOURS["truth"], linewidth=1, linestyle=":")


def chosen(table: EvaluationTable) -> dict[str, int]:
    """Places in the table of the chain's best, median and worst capture by PSNR over the face: the rule for all pictures."""
    order = np.argsort(-table.values["chain"]["psnr/face"], kind="stable")
    return {"best": int(order[0]), "median": int(order[len(order) // 2]), "worst": int(order[-1])}


def cases(exam: Examination, table: EvaluationTable) -> dict[str, float]:
    """The best, the median and the worst capture of the chain as a figure, and what can be read off them as a table; PSNR."""
    rows, titles, lines, found = [], [], [], {}
    chain, truth_of = table.values["chain"], exam.truth.values["truth"]["asymmetry"]
    for name, k in chosen(table).items():
        row = torch.as_tensor(exam.rows)[k]
        texture, visibility = exam.data.phone_batch(row[None])
        truth = exam.data.studio_batch(torch.as_tensor(exam.data.subject)[row][None])
        mine, rival = exam.result[k : k + 1], evaluation.quotient(texture, visibility, exam.reference)
        rows.append([x[0] for x in (texture, texture * visibility, rival, mine, truth, ((mine - truth).abs() * 3).clamp(0, 1))])
        found[name] = float(chain["psnr/face"][k])
        titles.append(f"{name}\n{found[name]:.1f} dB")
        before, after, own = (float(x[k]) for x in (table.values["nothing"]["asymmetry"], chain["asymmetry"], truth_of))
        light = f"{table.severity[k]:.2f}: {before:.2f} → {after:.2f} ({own:.2f})"
        lines.append([name, light, f"{chain['faceid_cosine'][k]:.2f}", f"{chain['colour'][k]:.1f}"])
    figures.show(
        figures.texture_grid(rows, titles, ["phone", "seen part", "quotient", "chain", "truth", "chain error × 3"]),
        "Rows: the chain's best, median and worst test capture by PSNR over the face. Columns: the phone texture, its holes "
        "filled with smeared colour; the part of it that was seen; quotient; chain; the true studio texture; and the chain's "
        "absolute error, three times enlarged, black where there is none.",
    )
    head = ["capture", "severity: asymmetry, phone → chain (truth)", "identity cosine ↑", "colour error ↓"]
    table_of(head, lines)
    return found


def severity_figure(exam: Examination, table: EvaluationTable) -> Figure:
    """PSNR and asymmetry for mild, medium and severe light, of doing nothing, the quotient and the chain."""
    fig, axes = figures.plot(2.9, (1, 1))
    for ax, metric in zip(axes, ("psnr/observed", "asymmetry"), strict=True):
        for k, name in enumerate(["nothing", "quotient", "chain"]):
            groups = table.by_severity(name, metric)
            _intervals(ax, groups.values(), 0.08 * (k - 1), name, figures.DASHES[k])
        labels = [f"{word}\n{span}" for word, span in zip(("mild", "medium", "severe"), groups, strict=False)]
        ax.set_xticks(range(len(groups)), labels)
    axes[0].set_title(f"{METRICS['psnr/observed']} ↑")
    _own(axes[1].axhline, exam)
    axes[1].set_title("asymmetry (dotted: the truth's own)")
    figures.legend_outside(fig, axes[0], 4, "upper")
    return fig


def severity_curve() -> Figure:
    """From the ledger's record: by how much each person's result differs from that under his or her most even light, under
    both protocols."""
    kept = record("severity")
    fig, axes = figures.plot(2.9, (1, 1, 1))
    for ax, metric in zip(axes, ("low_band", "psnr/observed", "faceid_cosine"), strict=True):
        for k, (protocol, name) in enumerate({"few": "fusion", "open": "chain (open)"}.items()):
            rows = [row for row in (f"{rank} light, {protocol}" for rank in RANKS) if kept.seeds(row)]
            x = [kept.estimate(row, "severity").mean + 0.01 * k for row in rows]  # beside each other, to be seen both
            found = [over_people(kept.difference(row, rows[0], metric)) for row in rows]
            look = LOOK[name] | {"linestyle": figures.DASHES[k], "capsize": 3}
            ax.errorbar(x, [e.mean for e in found], figures.reach(found), label=protocol, **look)
        ax.axhline(0, color=figures.QUIET, linewidth=0.8)
        ax.set(xlabel="severity of the light", title=heading(metric))
    axes[0].set_ylabel("change")
    figures.legend_outside(fig, axes[0], 4, "upper")
    return fig


def severity(exam: Examination, table: EvaluationTable) -> dict[str, int | str]:
    """Both figures of the light, and what the prose says: whether the chain gets worse in less even light, within people, and
    by how much from the most to the least even one."""
    figures.show(
        severity_figure(exam, table),
        "PSNR in the observed region and asymmetry for mild, medium and severe light (below: from which severity to which): "
        "doing nothing, quotient and chain, with 95 % intervals over people. A method that removes the light has a level line.",
    )
    figures.show(
        severity_curve(),
        "From the ledger: by how much a person's result differs from the same person's under his or her most even light (the "
        "first point, 0), with 95 % intervals over people, in low-band error, PSNR where the camera looked and identity cosine, "
        "under the protocols few and open (a hair to the right). The arrow points to better; an interval that keeps off the "
        "line at 0 is a change.",
    )
    low, high = float(table.severity.min()), float(table.severity.max())
    found = evaluation.trend(table.severity / (high - low), table.values["chain"]["psnr/face"], table.subject)
    people = record("severity").per_person(f"{RANKS[0]} light, few", "low_band").shape
    return {
        "trend": f"{found.difference:+.1f}",
        "trend_says": found.say("gets better", "gets worse", "shows no trend that these people could resolve"),
        "trend_limit": found.say("", "uneven light, ", ""),
        "span": f"{low:.2f} to {high:.2f}",
        "curve_seeds": people[0],
        "curve_people": people[1],
        "curve_lights": record("severity").settings["lights"],
    }


def tones(table: EvaluationTable) -> dict[str, float | str]:
    """Colour error by skin tone, as a figure; the chain's gap, who is worst off, and whether the aim is met."""
    shown = ("nothing", "colour_transfer", "quotient", "chain")
    fig, axes = figures.plot(2.9, (1.5, 1))
    for k, name in enumerate(shown):
        groups = table.by_tone(name, "colour")
        _intervals(axes[0], groups.values(), 0.08 * (k - 1.5), name, "none")
    axes[0].set_xticks(range(len(groups)), [f"{TONES[k]}\n(n = {e.subjects})" for k, e in groups.items()])
    axes[0].set_ylim(0)
    axes[0].set_title(f"{METRICS['colour']}, ΔE2000 ↓")
    gaps = {name: table.tone_gap_estimate(name) for name in shown}
    for k, (name, gap) in enumerate(gaps.items()):
        axes[1].errorbar(gap.mean, k, xerr=figures.reach([gap]), capsize=3, **LOOK[name])
    axes[1].axvline(1, color=figures.INK, linewidth=1)
    axes[1].axvline(AIM_GAP, color=figures.QUIET, linewidth=1, linestyle="--")
    axes[1].set_yticks(range(len(gaps)), [""] * len(gaps))
    axes[1].invert_yaxis()
    axes[1].set_title("gap: worst group ÷ best group")
    figures.legend_outside(fig, axes[0], 4, "upper")
    figures.show(
        fig,
        "Left: colour error of four methods in three groups of skin tone (n people each), with 95 % intervals over people. "
        "Right, in the same colours: each method's gap, the error of its worst served group ÷ that of its best, with a 95 % "
        "interval over the people of these two groups; the line marks 1, the same for everybody, the dashes our aim.",
    )
    worst = max(table.by_tone("chain", "colour").items(), key=lambda item: item[1].mean)[0]
    gap = gaps["chain"]
    return {
        "gap": f"{gap:.2f}",
        "gap_nothing": f"{gaps['nothing']:.2f}",
        "gap_error": table.estimate("chain", "colour").mean,
        "gap_error_nothing": table.estimate("nothing", "colour").mean,
        "gap_worst": TONES[worst],
        "gap_aim": AIM_GAP,
        "gap_met": aim(within_limits(gap, at_most=AIM_GAP)),
    }


def _intervals(ax, groups, shift: float, name: str, dash) -> None:
    """A method's means with intervals, one per group."""
    look = LOOK[name] | {"linestyle": dash, "capsize": 3, "label": name}
    ax.errorbar(np.arange(len(groups)) + shift, [e.mean for e in groups], figures.reach(groups), **look)


# --- one subject


def lights(seen: Lights, table: EvaluationTable, judged: Judged) -> dict[str, float | str]:
    """One subject under many lights, as a figure; what is left of the input's variance, for it and for everybody."""
    rows = [[*x, (x.std(0).mean(0, keepdim=True) * 4).clamp(0, 1) * (seen.face > 0.3), seen.truth] for x in seen.results.values()]
    titles = [f"severity {s:.2f}" for s in seen.severity] + ["spread × 4", "truth"]
    figures.show(
        figures.texture_grid(rows, list(seen.results), titles),
        "One person under several lights, the most even first. Rows: phone texture, quotient, chain. The column before the "
        "last: how much a texel varies over the lights (standard deviation, mean of the three colours, four times as bright; "
        "black: all alike, or not seen by all), where every capture saw the face. Stripes in it are shadows that stayed, an even "
        "grey is a tone of skin that changes from light to light.",
    )
    ratio, cosine = table.estimate("chain", "variance_ratio"), table.estimate("chain", "faceid_cosine")
    here = min(("chain", "quotient"), key=seen.left.__getitem__)
    word = judged["quotient", "variance_ratio"].word
    return {
        **{f"one_{name}": 100 * seen.left[name] for name in ("chain", "quotient")},
        **{f"level_{name}": 100 * seen.level[name] for name in ("chain", "quotient")},
        "one_less": here,
        "all_less": {BETTER: "the chain leaves less", WORSE: "the quotient leaves less"}.get(word, "they cannot be told apart"),
        "ratio": f"{100 * ratio.mean:.0f} % [{100 * ratio.low:.0f}, {100 * ratio.high:.0f}]",
        "cosine": f"{cosine:.2f}",
        "aim_left": 100 * AIM_LEFT,
        "aim_cosine": AIM_COSINE,
        "left_met": aim(within_limits(ratio, at_most=AIM_LEFT)),
        "cosine_met": aim(within_limits(cosine, at_least=AIM_COSINE)),
    }


turning = partial(
    interactive.turning,
    alt="The head with the phone texture, the chain's and the true one, from left to right; lamps and camera stand still",
)


def close_figure(mesh: avatar.HeadMesh, skins: Mapping[str, Tensor]) -> Figure:
    """The face from close by, with the chain's texture, and the true one with and without lamps."""

    def view(skin: Tensor, **look: str) -> Tensor:
        return avatar.render(mesh, skin, yaw=20, size=640, **look)[:, 200:440, 230:470]

    close = [view(skins["chain"]), view(skins["truth"]), view(skins["truth"], shading="unlit")]
    return figures.texture_grid([close], (), ["chain", "truth, same mesh", "truth, no lamps"], tile=2.3)


def shadow(found: Shadow) -> dict[str, float | str]:
    """The shadow in doses, as a figure of one person and a table over all; what the prose says of it."""
    change = (found.answers - found.answers[:1]).abs().mul(3).clamp(0, 1)
    rows = [list(found.inputs), list(found.answers), list(change)]
    before, after, raw, fitted = (x.numpy() for x in (*found.asymmetry, *found.psnr))
    people = np.arange(len(raw))
    figures.show(
        figures.texture_grid(rows, ["input", "chain", "change × 3"], [f"light × {d:g}" for d in DOSES]),
        "Columns: the true texture of one person, one half of it darkened by a hard edge, more from left to right; at × 1 it is "
        "the truth itself. Rows: what goes in; the chain's answer; and how far each answer is from the first one, three times "
        "enlarged. Look for the edge in the middle of the face.",
    )
    over = [[clustered_mean(column, people) for column in x.T] for x in (before, after, raw, fitted)]
    table_of(
        ["light in the shadow", "asymmetry of the input", "of the answer", "PSNR to the truth, dB", "PSNR after a gain fit, dB"],
        [[f"× {d:g}", f"{a:.2f}", f"{b:.3f}", f"{p:.1f}", f"{q:.1f}"] for d, a, b, p, q in zip(DOSES, *over, strict=True)],
        f"Over the face, mean [95 % interval] over {len(raw)} people.",
    )
    judged = evaluation.verdicts({"raw": raw[:, -1] - raw[:, 0], "fitted": fitted[:, -1] - fitted[:, 0]}, people, True)
    says = "rises", "falls", "changes by no more than these people can tell"
    told = {f"shadow_{name}": f"{one.say(*says)} ({one.difference:+.1f} dB)" for name, one in judged.items()}
    part = (after[:, -1] - after[:, 0]).mean() / (before[:, -1] - before[:, 0]).mean()
    return told | {
        "shadow_floor": float(raw[:, 0].mean()),
        "shadow_left": f"{100 * part:.0f}",
        "shadow_limit": "hard shadows, " if judged["fitted"].word == WORSE else "",
    }
