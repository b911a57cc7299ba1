"""Chapter 3's figures and the numbers that its text quotes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..config import InversionConfig
from ..evaluation.bootstrap import clustered_mean
from ..evaluation.verdict import (
    BETTER,
    CANNOT_TELL,
    FAILS,
    HOLDS,
    SMALLER,
    WORSE,
    Verdict,
    claim_word,
    decidable,
    listed,
    within_limits,
)
from ..experiments.inversion import (
    ADAM_LONGER,
    AFTER,
    BEHIND,
    DEFAULT,
    ENCODER,
    ENERGY,
    GIVEN,
    HIDDEN,
    LONGER,
    MEAN,
    PERCEPTUAL,
    TIGHT,
    Measures,
    NoiseTrap,
    Pair,
    Race,
    variants,
)
from ..inversion import CodeBank, WPrior
from . import figures
from .notebook import table_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FREE, LONG, FEATURES = "W+ free", "W+ long", "W+ features"
KEYS = {
    "w": "W",
    "wplus": DEFAULT,
    "free": FREE,
    "long": LONG,
    "encoder": ENCODER,
    "mean": MEAN,
}  # of methods, in the names of quoted numbers
LOOKS: dict[str, tuple[str, str, Any]] = {
    "fill": ("#999999", "1", "-"),
    MEAN: ("#5A5A5A", "x", "-"),
    ENCODER: ("#000000", "*", "-"),
    "W": ("#0072B2", "s", "-"),
    "W+ tight": ("#E69F00", "^", "--"),
    DEFAULT: ("#009E73", "o", "-"),
    FREE: ("#D55E00", "D", "-."),
    LONG: ("#CC79A7", "v", ":"),
    FEATURES: ("#56B4E9", "P", (0, (5, 1, 1, 1))),
    "Adam, W+": ("#999999", "1", "--"),
    "Adam, mean code": ("#5A5A5A", "x", "-."),
}  # colour, marker and line of every method, the same in all figures of the chapter
PERFECT = 30.0  # dB; our tolerance for "near-perfect": an error of 3 % of the range
NEARLY = 6.0  # dB short of it: twice that error, "partly"


def look(name: str, *kinds: str) -> dict[str, Any]:
    """Of a method's look its colour, and those of "marker" and "linestyle" that a plot needs."""
    colour, marker, line = LOOKS[name]
    kept = {"marker": marker, "linestyle": line}
    return {"color": colour, **{kind: kept[kind] for kind in kinds}}


def methods_table(base: InversionConfig) -> None:
    """The key to the names: space, weights, steps and start of everything that is compared."""
    rows = [
        [MEAN, "–", "–", "–", 0, "the mean of W: the same code for everybody"],
        [ENCODER, "W+", "–", "–", 0, "the encoder's two looks"],
    ]
    for name, wanted in variants(base).items():
        start = "the encoder's code" + ", the mean of its rows" * (wanted.space == "w")
        rows.append([name, wanted.space.upper(), f"{wanted.prior:g}", f"{wanted.features:g}", wanted.steps, start])
    table_of(["name", "space", "λ_p (pull)", "λ_f (features)", "steps", "starts from"], rows)


def canyon_figure(steep: Tensor, pull: float) -> Figure:
    """`second_derivatives` of every other row, steepest first; ``pull`` is what the prior adds to each direction."""
    fig, (ax,) = figures.plot()
    for k, row in enumerate(range(0, len(steep), 2)):
        look = {"color": figures.PALETTE[k % len(figures.PALETTE)], "linestyle": figures.DASHES[k % len(figures.DASHES)]}
        side = 4 * 2 ** (row // 2)
        ax.plot(range(1, steep.shape[1] + 1), steep[row], label=f"{row + 1}: {side}×{side}", **look)
    ax.axhline(pull, color=figures.QUIET, linewidth=0.8)
    ax.text(1, 1.3 * pull, "the prior's share", color=figures.QUIET, fontsize=8)
    ax.set(xlabel="direction of a row, steepest first", xscale="log")
    ax.set(ylabel="second derivative", yscale="log", ylim=(1e-11, None))
    ax.legend(ncols=2, title="row: resolution of its layer", loc="center left", bbox_to_anchor=(1, 0.5))
    return fig


def fall(steep: Tensor) -> str:
    """By what factor the second derivative falls in the first row, from the steepest direction to the one in the middle."""
    ratio = float(steep[0, 0] / steep[0, steep.shape[1] // 2])
    return f"{float(f'{ratio:.0e}'):,.0f}"


def race_figure(result: Race) -> Figure:
    """Mean PSNR over the steps of every inversion, and the range over captures of the default as a band."""
    fig, (ax,) = figures.plot(2.9)
    for name, run in {**result.runs, "Adam, W+": result.adam}.items():
        curve = run.history["psnr"].cpu()
        ax.plot(curve.mean(1), label=name, **look(name, "linestyle"))
        if name == DEFAULT:
            ax.fill_between(range(len(curve)), curve.amin(1), curve.amax(1), alpha=0.12, linewidth=0, **look(name))
    ax.set(xlabel="step", ylabel="PSNR in given texels, dB")
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return fig


def time_figure(result: Race) -> Figure:
    """Mean PSNR over the seconds spent on a texture."""
    fig, (ax,) = figures.plot(2.5)
    count = len(result.start)
    names = {DEFAULT: "W+, encoder's code", "Adam, W+": "Adam, encoder's code", "Adam, mean code": "Adam, mean code"}
    for k, (name, curve) in enumerate(zip(names, result.climbs(), strict=True)):
        seconds = ((0 if k == 2 else result.seconds) + result.step * torch.arange(len(curve))) / count
        first = int(k == 2)  # without an encoder nothing is there at second 0, which no logarithmic axis has
        ax.plot(seconds[first:], curve[first:], label=names[name], **look(name, "linestyle"))
    star = {"markersize": 8, "linestyle": "none", **look(ENCODER, "marker")}
    ax.plot(result.seconds / count, result.climbs()[0][0], label="encoder alone", **star)
    ax.set(xlabel="seconds per texture, on this machine", ylabel="PSNR in given texels, dB", xscale="log")
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return fig


def race_numbers(result: Race, steps: int) -> dict[str, float | str]:
    """Of `race`: where the methods begin and end, and how likely their codes are."""
    climb, slow, far = result.climbs()
    reached = (climb >= far[-1] - 1).nonzero()
    told = (
        f"comes within 1 dB of that at step {int(reached[0])}"
        if len(reached)
        else f"stays {float(far[-1] - climb[-1]):.1f} dB below that in {steps} steps"
    )
    energies = result.runs[DEFAULT].history["prior"]
    return {
        "hidden_below": HIDDEN,
        "tight_times": TIGHT,
        "long_times": LONGER,
        "adam_times": ADAM_LONGER,
        "start": float(climb[0]),
        "newton": float(climb[-1]),
        "w_start": float(result.runs["W"].history["psnr"][0].mean()),
        "adam": float(slow[-1]),
        "adam_long": float(far[-1]),
        "start_energy": float(energies[0].mean()),
        "newton_energy": float(energies[-1].mean()),
        "adam_energy": float(result.adam.history["prior"][-1].mean()),
        "reached": told,
    }


def measures_rows(measures: Measures) -> list[list[str]]:
    """A table's rows: the mean of every measure, by method, the best of each in bold."""
    rows = []
    for measure, values in measures.values.items():
        means = {name: measures.mean(measure, name) for name in values}
        best = means[measures.best(measure, list(means))] if measure[-1] in "↑↓" else None
        told = {name: f"{mean:.3g}" if abs(mean) >= 0.005 else "0" for name, mean in means.items()}
        named = measure.replace("perceptual", f"perceptual@{measures.side}")
        rows.append([named, *(f"**{text}**" if means[name] == best else text for name, text in told.items())])
    return rows


def trade_figure(measures: Measures, codes: dict[str, Tensor], prior: WPrior) -> Figure:
    """What every inversion gains and loses beside the encoder's code, person by person; how far each row is from the mean."""
    fig, (left, right) = figures.plot(3.2, (1.2, 1))
    names = [name for name in codes if name != MEAN]
    before, after = measures.values[GIVEN], measures.values[AFTER]
    for line in (left.axhline, left.axvline):
        line(0, color=figures.QUIET, linewidth=0.8)
    for name in names:
        gains = before[name] - before[ENCODER], after[name] - after[ENCODER]
        if name != ENCODER:
            left.scatter(*gains, s=9, alpha=0.6, zorder=2, linewidths=0, **look(name) | {"marker": "o"})
        left.scatter(*(x.mean() for x in gains), s=70, zorder=3, edgecolors="white", **look(name, "marker"))
        right.plot(prior.whiten(codes[name]).square().mean((0, 2)).cpu(), label=name, **look(name, "marker", "linestyle"))
    left.set(xlabel="copy of the given side, dB more than encoder", ylabel="studio texture, dB more than encoder")
    right.axhline(1, color=figures.QUIET, linewidth=0.8)
    right.set(xlabel="row of the code, coarse to fine", ylabel="energy, 1: a sample", yscale="log")
    right.set_xticks(range(0, codes[DEFAULT].shape[1], 2), [str(k + 1) for k in range(0, codes[DEFAULT].shape[1], 2)])
    figures.legend_outside(fig, right, len(names))
    return fig


def hidden_figure(scores: dict[str, Tensor]) -> Figure:
    """PSNR on the hidden side by method, a mark per person and a line at the mean."""
    fig, (ax,) = figures.plot(2.4)
    for k, (name, values) in enumerate(scores.items()):
        ax.plot(values, [-k] * len(values), **look(name, "marker") | {"linestyle": "none"})
        ax.plot([values.nanmean()] * 2, [-k - 0.3, -k + 0.3], color=figures.INK)
    ax.set_yticks([-k for k in range(len(scores))], list(scores))
    ax.set(xlabel="PSNR on the hidden side, dB (line: mean)")
    return fig


# --- what the text says


def say(told: Verdict, better: str, worse: str, unsure: str, few: str = "cannot be decided with {} people") -> str:
    """A verdict in a sentence's own words; where no numbers of so ``few`` people could have decided, that."""
    people = told.difference.subjects
    return told.say(better, worse, unsure if decidable(people, told.comparisons) else few.format(people))


def compared(measures: Measures) -> dict[Pair, Verdict]:
    """Every comparison of codes that the chapter draws words from, corrected together."""
    methods = inversions(measures)
    pairs = [(measure, name, ENCODER) for measure in (GIVEN, AFTER) for name in methods]
    pairs += [(AFTER, name, MEAN) for name in (ENCODER, *methods)]
    pairs += [(GIVEN, FREE, DEFAULT), (GIVEN, DEFAULT, "W"), (AFTER, DEFAULT, FREE), (AFTER, "W+ tight", DEFAULT)]
    before, after = winners(measures)
    return measures.compare(*pairs, *([(AFTER, before, after)] if before != after else []))


def winners(measures: Measures) -> list[str]:
    """The best of the codes before translation, and after it."""
    return [measures.best(measure, [ENCODER, *inversions(measures)]) for measure in (GIVEN, AFTER)]


def inversions(measures: Measures) -> list[str]:
    """Names of the methods that take steps."""
    return [name for name in measures.values[GIVEN] if name not in (MEAN, ENCODER)]


def gains_table(measures: Measures) -> None:
    """Of every method the differences to the encoder's code and to the mean code, each with its word."""
    told = compared(measures)
    people = len(measures.subject.unique())
    words = ("better", "worse", "cannot tell")

    def cell(*pair: str) -> str:
        found = told.get(pair)
        return f"{found.difference:.1f}, {found.say(*words)}" if found else "–"

    table_of(
        ["dB, with 95 % interval", "copy − encoder's", "studio − encoder's", "studio − mean code's"],
        [
            [name, cell(GIVEN, name, ENCODER), cell(AFTER, name, ENCODER), cell(AFTER, name, MEAN)]
            for name in (ENCODER, *inversions(measures))
        ],
        ""
        if decidable(people, len(told))
        else f"With {people} people the test can tell nothing of {len(told)} comparisons, however far from 0 they lie: "
        "here “cannot tell” means “not decidable”.",
    )


def measure_numbers(measures: Measures) -> dict[str, float | str]:
    """Means that the text quotes, by method and measure."""
    kinds = {"recon": GIVEN, "studio": AFTER, "hidden": BEHIND, "energy": ENERGY}
    wanted = {
        "recon": ("encoder", "wplus", "long"),
        "studio": ("long", "mean"),
        "hidden": ("wplus", "mean"),
        "energy": ("encoder", "w", "wplus", "free", "long"),
    }
    found = {f"{kind}_{key}": measures.mean(kinds[kind], KEYS[key]) for kind, keys in wanted.items() for key in keys}
    studio = {name: list(values) for name, values in measures.values.items() if name.startswith("studio")}
    first = [name for name, methods in studio.items() if measures.best(name, methods) == ENCODER]
    return found | {
        "encoder_first": f"in {len(first)} of the {len(studio)}",
        "features_perceptual": measures.mean(PERCEPTUAL, FEATURES),
        "pixels_perceptual": measures.mean(PERCEPTUAL, DEFAULT),
    }


def verdict_words(measures: Measures) -> dict[str, str]:
    """Differences with their intervals, and what they say; all of them corrected together."""
    told = compared(measures)
    methods = inversions(measures)
    people, best = len(measures.subject.unique()), winners(measures)[1]
    prior, tight, descent = (told[AFTER, *pair] for pair in ((DEFAULT, FREE), ("W+ tight", DEFAULT), (DEFAULT, ENCODER)))
    freedom = [told[GIVEN, FREE, DEFAULT], told[GIVEN, DEFAULT, "W"]]
    weakest = min(freedom, key=lambda v: (WORSE, CANNOT_TELL, BETTER).index(v.word))

    def names(rival: str, word: str, among: Sequence[str]) -> str:
        return listed([name for name in among if told[AFTER, name, rival].word == word])

    few = "" if decidable(people, len(told)) else f" ({people} people are too few to decide any of it)"
    return {
        "after_best": "the encoder's guess, with no step at all," if best == ENCODER else f"“{best}”",
        "after_best_db": f"{measures.mean(AFTER, best):.1f}",
        "after_worse": names(ENCODER, WORSE, methods) + few,
        "after_better": names(ENCODER, BETTER, methods) + few,
        "beat_mean": names(MEAN, BETTER, [ENCODER, *methods]) + few,
        "freedom": " and ".join(f"{v.difference:.1f}" for v in freedom),
        "freedom_words": say(weakest, "holds", "does not hold", "cannot tell"),
        "prior_effect": f"{prior.difference:.2f}",
        "prior_words": say(
            prior,
            "the pull helps after translation",
            "the pull harms after translation",
            "no effect of the pull can be shown after translation",
            "{} people are too few to decide",
        ),
        "tight_effect": f"{tight.difference:.2f}",
        "tight_words": say(
            tight, "is better still", "is worse", "changes nothing that can be shown", "does what {} people cannot decide"
        ),
        "descent": f"{descent.difference:.2f}",
        "descent_words": say(
            descent, "helps", "harms", "has no effect that can be shown", "has an effect that {} people cannot decide"
        ),
    }


def claim_words(measures: Measures) -> dict[str, float | str]:
    """What becomes of the claims: near-perfect reconstruction, and whether the winner before translation is beaten after it."""
    best = measures.estimate(GIVEN, LONG)
    perfect = within_limits(best, at_least=PERFECT)
    if perfect == FAILS and within_limits(best, at_least=PERFECT - NEARLY) == HOLDS:
        perfect = SMALLER
    before, after = winners(measures)
    beaten = compared(measures).get((AFTER, before, after))
    return {
        "limit": PERFECT,
        "perfect": claim_word([perfect]),
        "perfect_long": f"{best:.1f}",
        "best_before": before,
        "best_after": after,
        "beaten": f"{beaten.difference:.1f} dB" if beaten else "no difference: they are one",
        "differs": say(beaten, "does not hold", "holds", "cannot tell") if beaten else "does not hold",
    }


def bank_words(unseen: Tensor, bank: CodeBank, steps: int) -> dict[str, float | str]:
    """The code bank beside unseen people, one capture each, inverted in the same way: whether being unseen has a price.

    Args:
        unseen: PSNRs ``(B,)`` of unseen people after so many ``steps``.
    """
    found, mean = clustered_mean(unseen.cpu().numpy(), np.arange(len(unseen))), float(bank.psnr.nanmean())
    bank_steps = json.loads(bank.meta["config"])["steps"]
    if bank_steps != steps:
        told = f"the bank's had {bank_steps} steps, and here there were {steps}, so the two cannot be compared"
    elif found.low <= mean <= found.high:
        told = "so no price of being unseen can be shown"
    else:
        told = "so being unseen has its price" if mean > found.high else "so these unseen people are even easier to copy"
    return {
        "bank": len(bank),
        "bank_psnr": mean,
        "bank_low": float(bank.psnr.nanquantile(0.1)),
        "bank_high": float(bank.psnr.nanquantile(0.9)),
        "bank_steps": bank_steps,
        "bank_unseen": f"{found:.1f}",
        "bank_words": told,
    }


def hidden_words(measures: Measures, scores: dict[str, Tensor]) -> dict[str, float | str]:
    """Of what was hidden: the best method, comparisons with two rivals, and what is lost from the given side to the hidden."""
    both = replace(measures, values={"hidden": scores})
    words = ("beats", "is worse than", "cannot be told from", "cannot, with {} people, be told from")
    against = list(both.compare(("hidden", DEFAULT, MEAN), ("hidden", DEFAULT, "fill")).values())
    return {
        "hidden_fill": both.mean("hidden", "fill"),
        "hidden_best": both.best("hidden", list(scores)),
        "hidden_vs_mean": say(against[0], *words),
        "hidden_vs_fill": say(against[1], *words),
        "hidden_gap": measures.mean(GIVEN, LONG) - both.mean("hidden", LONG),
        "hidden_gap_w": measures.mean(GIVEN, "W") - both.mean("hidden", "W"),
    }


def noise_numbers(trap: NoiseTrap, left: float, moved: float, honest: float) -> dict[str, float | str]:
    """Of `noise_trap`: PSNRs of the reconstruction, and of the translation with maps left behind, with maps moved along, and
    of the honest code."""
    return {
        "noise_start": trap.start,
        "noise_end": trap.end,
        "noise_after": left,
        "noise_moved": moved,
        "noise_code": honest,
        "noise_words": "worse than" if max(left, moved) < honest else "not both worse, here, than",
    }
