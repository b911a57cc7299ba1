"""Chapter 1's figures and tables of three ways in which data fool their users: shortcuts, encodings, leaks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ..experiments.domains import Leak, OneExponent, auc_error
from ..synth import TextureSet
from ..synth.dataset import SPLIT_SEEDS, SPLITS, STRETCH
from . import figures
from .domains import MARKED, PLAIN

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOOKS = {
    "holes": "holes (the map alone)",
    "smears": "smears (never-seen texels alone)",
    "light": "left against right: light",
    "camera": "blur and noise of the face",
}
USES = dict(
    zip(
        SPLITS,
        (
            "pre-training: the phone generator, identity networks",
            "few-shot set: captures and studio textures",
            "the rest of the few-shot set",
            "choosing settings",
            "the final evaluation alone; a set of its own",
        ),
        strict=True,
    )
)


def shortcuts_figure(grades: dict[str, tuple[float, float]]) -> Figure:
    """Bars of `shortcuts`."""
    fig, (ax,) = figures.plot(2.2)
    place = torch.arange(len(grades))
    for k, (name, colour, hatch) in enumerate((("raw", PLAIN, ""), ("masked", MARKED, "//"))):
        values = [pair[k] for pair in grades.values()]
        bars = ax.barh(place + 0.4 * k, values, 0.38, color=colour, hatch=hatch, edgecolor="white", label=name)
        ax.bar_label(bars, fmt="%.2f", fontsize=8, padding=2)
    ax.axvline(0.5, color=figures.INK, linewidth=0.8)
    ax.set_yticks(place + 0.2, [LOOKS[name] for name in grades])
    ax.set(xlim=(0, 1.12), xlabel="AUC, phone against studio, unseen subjects")
    ax.invert_yaxis()
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, 1.22), ncols=2)
    return fig


def exponent_rows(fits: dict[str, OneExponent]) -> list[list[str]]:
    """A table's rows: PSNR of doing nothing and of one exponent, and their difference, for the loss and for the eye."""
    names = {"shared": "both in sRGB", "mixed": "studio left linear"}

    def way(before: float, after: float) -> str:
        return f"{before:.2f} → {after:.2f} dB: **{after - before:+.2f}**"

    return [
        [names[name], f"{fit.gamma:.2f}", way(fit.before, fit.after), way(fit.eye_before, fit.eye_after)]
        for name, fit in fits.items()
    ]


def leak_figure(data: TextureSet, leak: Leak, each: int = 3) -> Figure:
    """Questions to the memoriser and its answers: the first people whom the leak finds, framed, and the first that it misses."""
    shown = torch.cat([leak.hits.nonzero().flatten()[:each], (~leak.hits).nonzero().flatten()[:each]])
    asked, hits = leak.asked[shown], leak.hits[shown].tolist()
    answers = [data.studio_batch(data.subject[leak.answers[name][shown]]) for name in ("capture", "subject")]
    rows = [data.phone_batch(asked)[0], *answers, data.studio_batch(data.subject[asked])]
    columns = ["found" if hit else "missed" for hit in hits]
    fig = figures.texture_grid(rows, ["question", "split by\ncapture", "split by\nsubject", "truth"], columns)
    for ax, hit in zip(fig.axes[len(hits) : 2 * len(hits)], hits, strict=True):
        ax.spines[:].set(visible=hit, color=MARKED, linewidth=3)
    return fig


def split_rows(data: TextureSet) -> list[list[object]]:
    """A table's rows: every split, what it is for, how many are in it, and the seed of its first person."""
    first = data.manifest["spec"]["first_seed"]
    return [
        [name, USES[name], len(data.subjects(name)) or "–", len(data.captures(name)) or "–", first + STRETCH[name] * SPLIT_SEEDS]
        for name in SPLITS
    ]


# --- what the text says


def shortcut_numbers(grades: dict[str, tuple[float, float]], people: int) -> dict[str, float | str]:
    """Of `shortcuts`: every AUC, and whether masking closes holes and smears and what the camera gives away.

    Args:
        people: how many were graded, in either domain.
    """
    closed = max(abs(grades[name][1] - 0.5) for name in ("holes", "smears")) < 0.05
    raw, masked = grades["camera"]
    error = auc_error(masked, people, people)
    moved = abs(masked - raw) > 2 * error
    told: dict[str, float | str] = {
        "closed": "closes both, hole and smear" if closed else "does not close both, hole and smear",
        "camera": "give the domain away as well" if masked > 0.7 else "give little away at this resolution",
        "auc_error": error,
        "auc_people": people,
        "camera_moved": f"the two bars differ by {'more' if moved else 'less'} than twice that",
    }
    for name, (of_raw, of_masked) in grades.items():
        told |= {f"auc_{name}_raw": of_raw, f"auc_{name}_masked": of_masked}
    return told


def leak_numbers(leak: Leak) -> dict[str, float | str]:
    """Of `split_leak`: how many people are found, the errors, and whether a memory of others beats one answer for everybody."""
    ratio = leak.error["subject"] / leak.error["mean"]
    word = "worse than" if ratio > 1.05 else "better than" if ratio < 0.95 else "no better than"
    numbers = {f"leak_{name}": value for name, value in leak.error.items()}
    return numbers | {"leak_found": 100 * leak.found, "leak_people": len(leak.asked), "leak_honest": word}


def trap_numbers(fits: dict[str, OneExponent]) -> dict[str, float | str]:
    """Of `one_exponent`: what the loss gains where the encodings differ, and what is left of it for the eye."""
    trap, honest = fits["mixed"], fits["shared"]
    return {
        "nothing": honest.before,
        "trap_gain": trap.after - trap.before,
        "trap_gamma": trap.gamma,
        "trap_true": trap.eye_after - trap.eye_before,
        "honest_gain": honest.after - honest.before,
    }
