"""Chapter 2's figures, and the numbers and verdicts that its text quotes."""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..evaluation import KID
from ..evaluation.bootstrap import clustered_mean
from ..experiments import samples
from ..experiments.pretraining import Contest, Swaps, loudness
from ..experiments.samples import CopyCheck, MeanFaces
from ..image import to_signed
from ..stylegan2 import Generator
from . import figures, notebook

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HELD_OUT, TRAINING, REBUILT, SAMPLES, DAMAGED, BLIND, BRIEF = (figures.PALETTE[k] for k in (0, 1, 2, 3, 4, 5, 6))
"""One kind of picture, one colour, in the whole chapter; `DAMAGED` are real ones that were changed on purpose."""


# --- training


def table_of_rows(g_phone: Generator) -> None:
    """Which rows of a code the layers of each block read, counted from 1."""
    lines = []
    for name in g_phone.blocks:
        rows = g_phone.rows(int(name))
        convolutions = range(rows.start + 1, rows.stop)
        lines.append((f"{name}²", " and ".join(map(str, convolutions)), rows.stop))
    lines[-1] = (*lines[-1][:2], f"{lines[-1][2]} (alone)")
    head = ("block", "rows that its convolutions read", "row that its toRGB reads")
    notebook.table_of(head, lines, "The toRGB of a block shares its row with the next block's first convolution.")


def history(card: Mapping[str, Any]) -> str:
    """What a network has learnt from, leg by leg, as its card tells: "6000 showings of …", in the order of training."""
    legs, leg = [], card
    while leg:
        begun_with_game = leg.get("settings", {}).get("pretrain", {}).get("warm_up") == 0
        data = leg["data"].replace("generator heads-", "version ")
        legs.append(f"{leg['images']} showings ({data})" + (", in the game alone" if begun_with_game else ""))
        leg = leg.get("started_from")
    return ", and then from ".join(reversed(legs))


def live_words(log: Mapping[str, Sequence[float]]) -> dict[str, float | str]:
    """How the short game stands at its end: D's marks of real textures above those of generated ones, and what that means."""
    gaps = [a - b for a, b in zip(log["logit_real"], log["logit_fake"], strict=True) if math.isfinite(a + b)]
    last = gaps[-max(len(gaps) // 4, 1) :]
    gap = sum(last) / len(last)
    return {
        "live_gap": gap,
        "live_words": "the discriminator is winning: after so few images the generator has nothing to set against it"
        if gap > 1.5
        else "neither player is clearly ahead yet",
    }


def training_figure(log: dict[str, Sequence[float]], warm_up: int, images: int) -> Figure:
    """Curves of a live training: pixel loss of reconstructions, the game's losses, and what D thinks."""
    fig, axes = figures.plot(2.4, (1, 1, 1))
    panels = (
        ("pixel loss", {"recons": "G(E(x, v))"}),
        ("loss of the game", {"loss_d": "D", "loss_g": "G"}),
        ("mean logit of D", {"logit_real": "real", "logit_fake": "generated"}),
    )
    for ax, (title, curves) in zip(axes, panels, strict=True):
        for (key, label), dash, marker in zip(curves.items(), figures.DASHES, figures.MARKERS, strict=False):
            ax.plot(log["images"], log[key], linestyle=dash, marker=marker, label=label)
        ax.axvline(warm_up, color=figures.QUIET, linewidth=0.8)
        ax.set(xlabel="images seen", ylabel=title, xlim=(0, images))
        figures.legend_above(ax)
    return fig


def clouds_figure(cloud: Tensor, codes: dict[str, Tensor]) -> Figure:
    """Codes ``(N, D)`` by name along the two principal axes of the mapping network's ``cloud (M, D)``."""
    _, _, axes = torch.pca_lowrank(cloud, 2)
    fig, (ax,) = figures.plot(3.0)
    for k, (name, points) in enumerate({"mapping network": cloud, **codes}.items()):
        flat = ((points - cloud.mean(0)) @ axes).cpu()
        look = {"s": 10, "marker": figures.MARKERS[k], "color": (SAMPLES, TRAINING, HELD_OUT)[k], "alpha": 0.8 if k else 0.3}
        ax.scatter(flat[:, 0], flat[:, 1], label=name, **look)
    ax.set(xlabel="first principal axis of the mapping network's w", ylabel="second")
    figures.legend_above(ax)
    return fig


def cloud_numbers(cloud: Tensor, codes: Tensor, rows: Tensor) -> dict[str, float]:
    """How wide the cloud of random w ``(M, D)`` is beside that of codes ``(N, D)``, on the whole and along the axes of
    `clouds_figure`, and what share of the variance of ``rows (N, L, D)`` between captures all rows have in common."""
    _, _, axes = torch.pca_lowrank(cloud, 2)

    def width(x: Tensor) -> float:
        return float((x - x.mean(0)).square().sum(1).mean().sqrt())

    common = rows.shape[1] * width(rows.mean(1)) ** 2 / width(rows.flatten(1)) ** 2
    return {
        "wider": width(cloud) / width(codes),
        "wider_shown": width(cloud @ axes) / width(codes @ axes),
        "common": 100 * common,
    }


# --- whole faces, rows, distances


def verdict_of(low: float, high: float, words: tuple[str, str, str]) -> str:
    """Of an interval: what to say where it lies below zero, where above, and where it does not tell."""
    return words[0] if high < 0 else words[1] if low > 0 else words[2]


def reconstruction_numbers(quality: tuple[Tensor, Tensor], owners: tuple[np.ndarray, np.ndarray]) -> dict[str, float | str]:
    """PSNRs of training captures and of unseen people, their difference with an interval over people, and what it says."""
    a, b = (clustered_mean(x.numpy(), owner) for x, owner in zip(quality, owners, strict=True))
    gap, half = a.mean - b.mean, math.hypot((a.high - a.low) / 2, (b.high - b.low) / 2)
    words = ("unseen people do no worse", "this is what the encoder has learned by heart", "no sign of learning by heart")
    return {
        "psnr_known": a.mean,
        "psnr_unseen": b.mean,
        "learned": f"a difference of {gap:.1f} dB (95 % interval {gap - half:.1f} to {gap + half:.1f}): "
        + verdict_of(gap - half, gap + half, words),
    }


def whole_words(means: MeanFaces) -> dict[str, str | float]:
    """What `mean_faces` says: is what the network paints on average nearer to what was seen, or to smears?"""
    names = {"rebuilt": "the mean reconstruction", "painted": "the mean sample"}
    told = ("nearer to what was seen", "nearer to the smears", "not surely nearer to either")
    found = {name: verdict_of(*means.gaps[name], told) for name in names}
    marks = tuple(list(found.values()).count(words) for words in told[:2])  # for and against
    return {
        "whole": f"both means are {found['rebuilt']}"
        if len(set(found.values())) == 1
        else " and ".join(f"{names[name]} is {words}" for name, words in found.items()),
        "whole_verdict": {(2, 0): "supported", (1, 0): "partly supported", (0, 2): "contradicted"}.get(marks, "cannot tell"),
        "apart": means.apart("seen", "smeared"),
        "rebuilt_seen": means.apart("rebuilt", "seen"),
        "rebuilt_smeared": means.apart("rebuilt", "smeared"),
        "to_seen": means.apart("painted", "seen"),
        "to_smeared": means.apart("painted", "smeared"),
        "rebuilt_gap": "{:.1f} to {:.1f}".format(*means.gaps["rebuilt"]),
        "to_gap": "{:.1f} to {:.1f}".format(*means.gaps["painted"]),
    }


def truth_words(errors: dict[str, Tensor], owner: np.ndarray) -> dict[str, float | str]:
    """Of `hole_errors`: are reconstructions nearer to the true skin than smears are?"""
    gap = clustered_mean((errors["rebuilt"] - errors["smeared"]).numpy(), owner)
    told = (
        "nearer to the truth than smears are",
        "further from the truth than smears are",
        "no nearer to the truth than smears, as far as these captures can tell",
    )
    return {
        "truth_rebuilt": float(errors["rebuilt"].nanmean()),
        "truth_smeared": float(errors["smeared"].nanmean()),
        "truth_gap": f"{gap.low:.1f} to {gap.high:.1f}",
        "truth_words": verdict_of(gap.low, gap.high, told),
    }


def hair_words(real: tuple[float, float, float], drawn: tuple[float, float, float], faces: Sequence[float]) -> dict[str, Any]:
    """Of `likeness` of hair, among captures and among samples (and of faces, means only): does the hair of samples repeat?"""
    told = ("less alike than captures", "more alike than captures", "about as alike as captures")
    return {
        "hair_real": real[0],
        "hair_drawn": drawn[0],
        "hair_real_range": f"{real[1]:.2f} to {real[2]:.2f}",
        "hair_drawn_range": f"{drawn[1]:.2f} to {drawn[2]:.2f}",
        "faces_real": faces[0],
        "faces_drawn": faces[1],
        "hair": verdict_of(drawn[1] - real[2], drawn[2] - real[1], told),
    }


def variety_words(texture: Tensor, painted: Tensor, visibility: Tensor) -> dict[str, Any]:
    """`hair_words` of captures and of as many samples, both seen through the captures' maps."""
    hair, faces = ([samples.likeness(x, visibility, region) for x in (texture, painted)] for region in ("scalp", "face"))
    return hair_words(*hair, [mean for mean, _, _ in faces])


def rows_figure(swaps: Swaps, blocks: int) -> Figure:
    """Bars of `swapped_rows`: one group for each block, then one for all rows up to 8² and one for all others."""
    fig, (ax,) = figures.plot()
    names = list(swaps.rows)[: blocks + 2]
    places = torch.arange(len(names)) + 0.5 * (torch.arange(len(names)) >= blocks)
    colours = (figures.PALETTE[5], figures.PALETTE[7], figures.QUIET)
    for k, (name, values) in enumerate(swaps.moved.items()):
        look = {"color": colours[k], "edgecolor": figures.INK, "linewidth": 0.5, "hatch": ("", "//", "..")[k]}
        ax.bar(places + (k - 1) * 0.27, values[: len(names)], 0.25, label=name, **look)
    ax.axvline(blocks - 0.25, color=figures.QUIET, linewidth=0.8)
    ax.set_xticks(places, names)
    ax.set(xlabel="rows that are replaced: one block's, or (right) all up to 8² and all others", ylabel="change, 1 = all rows")
    figures.legend_above(ax)
    return fig


def rows_numbers(swaps: Swaps, blocks: Sequence[str]) -> dict[str, Any]:
    """The strongest single block up to 8² and above it, whose face and light a mixture shows, and what one more row changes."""
    early = sum(int(name) <= 8 for name in blocks)
    numbers: dict[str, Any] = {}
    coarse, fine, one_more, _ = list(swaps.rows)[len(blocks) :]
    for name, key in (("identity", "identity"), ("light", "broad light"), ("detail", "detail above 8²")):
        single = swaps.moved[key][: len(blocks)]
        if name != "detail":
            numbers |= {f"{name}_early": max(single[:early]), f"{name}_late": max(single[early:])}
        numbers |= {f"{name}_coarse": swaps.of(coarse, key)[0], f"{name}_fine": swaps.of(fine, key)[0]}
    numbers["identity_to_fine"] = 100 * swaps.of(fine, "identity")[1]
    numbers["identity_one_more"] = 100 * swaps.of(one_more, "identity")[1]
    share = numbers["identity_to_fine"]
    whose = "the finer rows" if share > 60 else "the coarse rows" if share < 40 else "neither"
    return numbers | {"cut": len(swaps.rows[coarse]), "whose": whose}


def distances_figure(results: dict[str, list[KID]]) -> Figure:
    """KIDs with their spreads, a row per kind of picture, one mark per draw."""
    fig, (ax,) = figures.plot()
    colours = (HELD_OUT, TRAINING, REBUILT, *[SAMPLES] * (len(results) - 4), BRIEF)
    for row, values in enumerate(results.values()):
        for k, value in enumerate(values):
            look = {"marker": figures.MARKERS[row], "color": colours[row], "capsize": 2}
            ax.errorbar(value.mean, -row + (k - 1) * 0.2, xerr=value.std, **look)
    largest = max(value.mean for values in results.values() for value in values)
    floor = max(abs(value.mean) for value in results[samples.FLOORS[0]])
    ax.set_xscale("symlog", linthresh=max(floor, largest / 1e4))
    ax.axvline(0, color=figures.QUIET, linewidth=0.8)
    ax.set_yticks([-row for row in range(len(results))], list(results))
    ax.set(xlabel="KID to held-out phone textures (even steps about 0, factors of ten beyond)")
    return fig


def distance_numbers(results: dict[str, list[KID]]) -> dict[str, float | str]:
    """Of `distances`: the middle one of the draws, whether samples are above what real captures reach, and whether random
    codes are what keeps them there."""
    middle = {name: sorted(values, key=lambda value: value.mean)[len(values) // 2] for name, values in results.items()}
    ours, rebuilt = middle["G_phone, ψ = 1"], middle[samples.RECONSTRUCTED]
    real = max(value.mean + value.std for name in samples.FLOORS for value in results[name])
    best = min((name for name in middle if "ψ" in name), key=lambda name: middle[name].mean)
    gap, spread = ours.mean - rebuilt.mean, ours.std + rebuilt.std
    codes = (
        "reconstructions are further from real captures than samples are, so it is not random codes that cost distance here, "
        "it is what reconstructions lack",
        "what lies between the two is owed to where random codes fall, not to what $G$ can paint",
        "the two cannot be told apart, so random codes cost nothing that this measure sees",
    )
    return {
        "kid": ours.mean,
        "kid_std": ours.std,
        "kid_floor": middle[samples.FLOORS[0]].mean,
        "kid_train": middle[samples.FLOORS[1]].mean,
        "kid_encoded": rebuilt.mean,
        "kid_live": middle[samples.BRIEF].mean,
        "kid_codes": verdict_of(gap - spread, gap + spread, codes),
        "told": "cannot be told from" if ours.mean <= real else "can be told from",
        "best_psi": best.rpartition(" ")[2],
    }


def copies_figure(check: CopyCheck) -> Figure:
    """Cumulative distributions of the distance to the nearest training capture, and the threshold."""
    fig, (ax,) = figures.plot(2.5)
    for k, (name, distance) in enumerate(check.distance.items()):
        share = torch.arange(1, len(distance) + 1) / len(distance)
        look = {"color": (DAMAGED, REBUILT, HELD_OUT, SAMPLES)[k], "linestyle": figures.DASHES[k], "where": "post"}
        ax.step(distance.sort().values, share, label=name, **look)
    ax.axvline(check.threshold, color=figures.QUIET, linewidth=0.8)
    ax.set(xlabel="distance to the nearest training capture (0 copy, 1.41 nothing in common)", ylabel="share", xlim=(0, 1.45))
    figures.legend_above(ax)
    return fig


def copy_numbers(check: CopyCheck) -> dict[str, float | str]:
    """Of `copy_check`: median distances, how many are caught, and the verdict."""
    names = {"planted": samples.PLANTED, "imitated": samples.IMITATED, "unseen": samples.UNSEEN, "drawn": samples.SAMPLED}
    shares = {key: 100 * check.caught(name) / len(check.distance[name]) for key, name in names.items()}
    blind = shares["planted"] < 80
    signs = check.chance < 0.05 and check.caught(samples.SAMPLED) > 0
    return {
        **{key: float(check.distance[name].median()) for key, name in names.items()},
        "caught": shares["planted"],
        "caught_imitated": shares["imitated"],
        "threshold": check.threshold,
        "copies": check.caught(samples.SAMPLED),
        "copies_of": len(check.distance[samples.SAMPLED]),
        "copies_chance": 100 * check.chance,
        "copy_verdict": "signs of copying"
        if signs
        else "cannot tell: the detector misses copies"
        if blind
        else "no sign of copying",
    }


# --- what goes wrong

SMOOTHED = "real, finest octave taken away"


def curves(ax: Axes, contests: dict[str, Contest], label: str) -> None:
    """AUC of contests over the images seen, into axes."""
    for k, (name, contest) in enumerate(contests.items()):
        look = {"linestyle": figures.DASHES[k], "marker": figures.MARKERS[k], "color": (BLIND, figures.INK)[k]}
        ax.plot(contest.images, contest.auc, label=name, **look)
    ax.axhline(0.5, color=figures.QUIET, linewidth=0.8)
    ax.set(xlabel="images seen", ylabel=label, ylim=(0.0, 1.05))
    figures.legend_above(ax)


def holes_figure(contests: dict[str, Contest]) -> Figure:
    """AUC of two discriminators on completed captures, and how strong the gradient is, place by place, that a generator would
    get from either, both on one scale."""
    fig, axes = figures.plot(2.5, (1.5, 1, 1))
    curves(axes[0], contests, "AUC, real or completed?")
    maps = {name: contest.gradient.mean(0)[0].sqrt() for name, contest in contests.items()}
    largest = max(float(strength.max()) for strength in maps.values())
    for ax, (name, strength) in zip(axes[1:], maps.items(), strict=True):
        figures.picture(ax, strength / max(largest, 1e-12), f"{name}: gradient", vmin=0, vmax=1)
    return fig


def hole_numbers(plain: Contest, masked: Contest) -> dict[str, float | str]:
    """Of the contest over holes: last AUCs, shares of the gradient in holes, and whether the shortcut was found."""
    found = "has found the shortcut" if plain.auc[-1] > 0.75 else "has not yet found the shortcut in so few steps"
    return {
        "auc_plain": plain.auc[-1],
        "auc_masked": masked.auc[-1],
        "holes_plain": 100 * plain.in_holes,
        "holes_masked": 100 * masked.in_holes,
        "fainter": math.sqrt(float(plain.gradient.sum() / masked.gradient.sum().clamp_min(1e-20))),
        "step_real": plain.steps[0],
        "step_filled": plain.steps[1],
        "shortcut": found,
    }


def octaves(contest: Contest, others: dict[str, Tensor]) -> dict[str, Tensor]:
    """`loudness` of captures, of the same without their finest octave, and of ``others`` (in [0, 1]), by name."""
    sides = {"real": contest.real, SMOOTHED: contest.fake}
    sides |= {name: to_signed(images) for name, images in others.items()}
    return {name: loudness(images, contest.visibility) for name, images in sides.items()}


def grain_figure(contests: dict[str, Contest], loud: dict[str, Tensor]) -> Figure:
    """AUC of two discriminators on captures without grain, and how strong the finest octaves are in several pictures."""
    fig, (left, right) = figures.plot(2.5, (1.2, 1))
    curves(left, contests, "AUC, grainy or smooth?")
    for k, (name, values) in enumerate(loud.items()):
        colour = (HELD_OUT, DAMAGED, REBUILT, SAMPLES)[k]
        right.bar(torch.arange(2) + 0.2 * k - 0.3, 127.5 * values, width=0.2, color=colour, label=name)
    right.set_xticks([0, 1], ["finest octave", "second"])
    right.set(ylabel="standard deviation, levels")
    figures.legend_above(right, columns=2)
    return fig


def grain_numbers(seeing: Contest, blind: Contest, loud: dict[str, Tensor]) -> dict[str, float | str]:
    """Of the contest over grain: last AUCs, what the finest octave weighs, and how much of it generated pictures have."""
    a, b = seeing.auc[-1], blind.auc[-1]
    told = (
        "sees the grain, and the other one guesses"
        if a > 0.8 > 0.65 > b
        else "is ahead"
        if a > b + 0.1
        else "is not ahead after so few steps"
    )
    real = seeing.real[seeing.visibility.expand_as(seeing.real) > 0]
    share = {name: float(values[0] / loud["real"][0]) for name, values in loud.items()}
    floor = share[SMOOTHED]
    rebuilt = (share["G(E(·))"] - floor) / max(1 - floor, 1e-6)
    grain = ("no grain of their own", "little grain of their own", "most of the grain of real captures")
    return {
        "auc_bands": a,
        "auc_blind": b,
        "grain_words": told,
        "grain_share": 100 * float((loud["real"][0] / real.std()) ** 2),
        "octave_samples": 100 * share["samples"],
        "octave_rebuilt": 100 * share["G(E(·))"],
        "octave_floor": 100 * floor,
        "rebuilt_grain": grain[bisect((0.1, 0.5), rebuilt)],
    }
