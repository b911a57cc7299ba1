"""Chapter 3's figures and the numbers that its text quotes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..evaluation.verdict import FAILS, HOLDS, SMALLER, claim_word
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
    Race,
)
from ..inversion import WPrior
from . import figures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KEYS = {
    "w": "W",
    "tight": "W+ tight",
    "wplus": DEFAULT,
    "free": "W+ free",
    "long": "W+ long",
    "encoder": ENCODER,
    "mean": MEAN,
}  # of methods, in the names of quoted numbers
PERFECT = 30.0  # dB; our tolerance for "near-perfect": an error of 3 % of the range
NEARLY = 6.0  # dB short of it: twice that error, "partly"


def canyon_figure(steep: Tensor, pull: float) -> Figure:
    """`second_derivatives` of every other row, steepest first; ``pull`` is what the prior adds to each direction."""
    fig, (ax,) = figures.plot()
    for k, row in enumerate(range(0, len(steep), 2)):
        look = {"color": figures.PALETTE[k % len(figures.PALETTE)], "linestyle": figures.DASHES[k % len(figures.DASHES)]}
        ax.plot(range(1, steep.shape[1] + 1), steep[row], label=f"{4 * 2 ** (row // 2)}²", **look)
    ax.axhline(pull, color=figures.QUIET, linewidth=0.8)
    ax.set(xlabel="direction of W, steepest first", ylabel="second derivative", xscale="log", yscale="log", ylim=(1e-11, None))
    ax.legend(ncols=3, title="row drives the layers at")
    return fig


def race_figure(result: Race) -> Figure:
    """Median PSNR over the steps of every inversion, with the range over captures as a band."""
    fig, (ax,) = figures.plot(2.7)
    for k, (name, run) in enumerate({**result.runs, "Adam, W+": result.adam}.items()):
        curve, colour = run.history["psnr"].cpu(), figures.PALETTE[k]
        ax.plot(curve.median(1).values, label=name, color=colour, linestyle=figures.DASHES[k])
        ax.fill_between(range(len(curve)), curve.amin(1), curve.amax(1), color=colour, alpha=0.12, linewidth=0)
    ax.set(xlabel="step", ylabel="PSNR in given texels, dB")
    ax.legend(ncols=2)
    return fig


def time_figure(result: Race) -> Figure:
    """Median PSNR over the seconds spent on a texture."""
    fig, (ax,) = figures.plot(2.5)
    count = len(result.start)
    names = ("quasi-Newton, encoder's code", "Adam, encoder's code", "Adam, mean code")
    for k, (name, curve) in enumerate(zip(names, result.climbs(), strict=True)):
        seconds = ((0 if k == 2 else result.seconds) + result.step * torch.arange(len(curve))) / count
        first = int(k == 2)  # without an encoder nothing is there at second 0, which no logarithmic axis has
        ax.plot(seconds[first:], curve[first:], label=name, color=figures.PALETTE[k], linestyle=figures.DASHES[k])
    star = {"marker": "*", "color": figures.INK, "markersize": 8, "linestyle": "none"}
    ax.plot(result.seconds / count, result.climbs()[0][0], label="encoder alone", **star)
    ax.set(xlabel="seconds per texture, on this machine", ylabel="PSNR in given texels, dB", xscale="log")
    ax.legend()
    return fig


def race_numbers(result: Race, steps: int) -> dict[str, float | str]:
    """Of `race`: where the methods begin and end, and how likely their codes are."""
    climb, slow, far = result.climbs()
    reached = (climb >= far[-1] - 1).nonzero()
    told = (
        f"comes within 1 dB of that after {int(reached[0])}"
        if len(reached)
        else f"stays {float(far[-1] - climb[-1]):.1f} dB below that with {steps}"
    )
    energies = result.runs[DEFAULT].history["prior"]
    return {
        "hidden_below": HIDDEN,
        "tight_times": TIGHT,
        "long_times": LONGER,
        "adam_times": ADAM_LONGER,
        "start": float(climb[0]),
        "newton": float(climb[-1]),
        "last_step": float(climb[-1] - climb[-2]),
        "adam": float(slow[-1]),
        "adam_long": float(far[-1]),
        "start_energy": float(energies[0].mean()),
        "newton_energy": float(energies[-1].mean()),
        "adam_energy": float(result.adam.history["prior"][-1].mean()),
        "reached": told,
    }


def measures_rows(measures: Measures) -> list[list[str]]:
    """A table's rows: the mean of every measure, by method."""
    means = {name: [float(v.nanmean()) for v in values.values()] for name, values in measures.values.items()}
    return [[name, *(f"{mean:.3g}" if abs(mean) >= 0.005 else "0" for mean in row)] for name, row in means.items()]


def trade_figure(measures: Measures, codes: dict[str, Tensor], prior: WPrior) -> Figure:
    """Quality after translation against quality of the reconstruction, person by person; how far each row is from the mean."""
    fig, (left, right) = figures.plot(3.0, (1.2, 1))
    names = [name for name in codes if name != MEAN]
    before, after = measures.values[GIVEN], measures.values[AFTER]
    for person in range(len(measures.subject)):
        line = [before[n][person] for n in names], [after[n][person] for n in names]
        left.plot(*line, color="#BBBBBB", linewidth=0.8, zorder=1)
    for k, name in enumerate(names):
        look = {"marker": figures.MARKERS[k], "color": figures.PALETTE[k], "label": name}
        left.scatter(before[name], after[name], s=22, zorder=2, **look)
        right.plot(prior.whiten(codes[name]).square().mean((0, 2)).cpu(), linestyle=figures.DASHES[k], **look)
    left.set(xlabel="reconstruction of the given side, dB", ylabel="studio texture, given side, dB")
    left.legend()
    right.axhline(1, color=figures.QUIET, linewidth=0.8)
    right.set(xlabel="row of W+ (coarse to fine)", ylabel="energy, 1 = a sample", yscale="log")
    return fig


def hidden_figure(scores: dict[str, Tensor]) -> Figure:
    """PSNR on the hidden side by method, a mark per person and a line at the mean."""
    fig, (ax,) = figures.plot(2.4)
    for k, values in enumerate(scores.values()):
        look = {"marker": figures.MARKERS[k % len(figures.MARKERS)], "color": figures.PALETTE[k % len(figures.PALETTE)]}
        ax.plot(values, [-k] * len(values), linestyle="none", **look)
        ax.plot([values.nanmean()] * 2, [-k - 0.3, -k + 0.3], color=figures.INK)
    ax.set_yticks([-k for k in range(len(scores))], list(scores))
    ax.set(xlabel="PSNR on the hidden side, dB (line: mean)")
    return fig


# --- what the text says


def measure_numbers(measures: Measures) -> dict[str, float]:
    """Means that the text quotes, by method and measure."""
    kinds = {"recon": GIVEN, "studio": AFTER, "hidden": BEHIND, "energy": ENERGY}
    wanted = {"recon": ("w", "wplus", "free", "long"), "hidden": ("wplus", "mean"), "energy": ("w", "wplus", "free", "long")}
    found = {f"{kind}_{key}": measures.mean(kinds[kind], KEYS[key]) for kind, keys in wanted.items() for key in keys}
    return found | {
        "features_perceptual": measures.mean(PERCEPTUAL, "W+ features"),
        "pixels_perceptual": measures.mean(PERCEPTUAL, DEFAULT),
    }


def verdict_words(measures: Measures) -> dict[str, str]:
    """Differences with their intervals, and what they say; all of them corrected together."""
    freedom, prior, longer, descent, tight, information, before, after = measures.compare(
        (GIVEN, "W+ free", "W"),
        (AFTER, DEFAULT, "W+ free"),
        (AFTER, "W+ long", DEFAULT),
        (AFTER, DEFAULT, ENCODER),
        (AFTER, "W+ tight", DEFAULT),
        (AFTER, DEFAULT, MEAN),
        (GIVEN, "W+ features", DEFAULT),
        (AFTER, "W+ features", DEFAULT),
    )
    effect = ("helps", "harms", "has no effect that can be shown")
    return {
        "freedom": f"{freedom.difference:.1f}",
        "freedom_words": freedom.say("W+ buys reconstruction", "W+ loses reconstruction", "no difference can be shown"),
        "prior_effect": f"{prior.difference:.2f}",
        "prior_words": prior.say(
            "the prior helps after translation",
            "the prior harms after translation",
            "no effect of the prior can be shown after translation",
        ),
        "tight_effect": f"{tight.difference:.2f}",
        "tight_words": tight.say(
            "a prior thirty times as strong is better still",
            "a prior thirty times as strong is worse",
            "a prior thirty times as strong changes nothing that can be shown",
        ),
        "longer": f"{longer.difference:.2f}",
        "longer_words": longer.say(*effect),
        "descent": f"{descent.difference:.2f}",
        "descent_words": descent.say(*effect),
        "information": f"{information.difference:.2f}",
        "information_words": information.say("beats", "is worse than", "cannot be told from"),
        "features_before": f"{before.difference:.2f}",
        "features_after": f"{after.difference:.2f}",
    }


def claim_words(measures: Measures, methods: list[str]) -> dict[str, float | str]:
    """What becomes of the claims: near-perfect reconstruction, the ranking before translation, the two winners."""
    best = max(measures.mean(GIVEN, name) for name in ("W+ free", "W+ long"))
    ranked = measures.mean(GIVEN, "W+ free") >= measures.mean(GIVEN, DEFAULT) >= measures.mean(GIVEN, "W")
    winners = [measures.best(measure, methods) for measure in (GIVEN, AFTER)]
    return {
        "limit": PERFECT,
        "perfect": claim_word([HOLDS if best >= PERFECT else SMALLER if best >= PERFECT - NEARLY else FAILS]),
        "ranking": "holds" if ranked else "does not hold",
        "best_before": winners[0],
        "best_after": winners[1],
        "differs": "differ" if winners[0] != winners[1] else "agree",
    }


def hidden_words(measures: Measures, scores: dict[str, Tensor]) -> dict[str, float | str]:
    """Of what was hidden: the best method, comparisons with two rivals, and what is lost from the given side to the hidden."""
    both = Measures({"hidden": scores}, measures.subject)
    words = ("beats", "is worse than", "cannot be told from")
    against = both.compare(("hidden", DEFAULT, MEAN), ("hidden", DEFAULT, "fill"))
    return {
        "hidden_fill": both.mean("hidden", "fill"),
        "hidden_best": both.best("hidden", list(scores)),
        "hidden_vs_mean": against[0].say(*words),
        "hidden_vs_fill": against[1].say(*words),
        "hidden_gap": measures.mean(GIVEN, "W+ long") - both.mean("hidden", "W+ long"),
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
