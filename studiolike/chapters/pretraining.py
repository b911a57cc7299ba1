"""Chapter 2's figures and the numbers that its text quotes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..evaluation import KID
from ..experiments import samples
from ..experiments.pretraining import Contest, loudness
from ..experiments.samples import CopyCheck, MeanFaces
from ..image import to_signed
from . import figures

if TYPE_CHECKING:
    from matplotlib.figure import Figure


# --- training


def history(card: Mapping[str, Any]) -> str:
    """What a network has learnt from, leg by leg, as its card tells: "6000 images of …", in the order of training."""
    legs, leg = [], card
    while leg:
        begun_with_game = leg.get("settings", {}).get("pretrain", {}).get("warm_up") == 0
        legs.append(f"{leg['images']} images of {leg['data']}" + (" (the game alone)" if begun_with_game else ""))
        leg = leg.get("started_from")
    return "; and then from ".join(reversed(legs))


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
        ax.set(xlabel="images seen", title=title, xlim=(0, images))
        ax.legend()
    return fig


def clouds_figure(cloud: Tensor, codes: dict[str, Tensor]) -> Figure:
    """Codes ``(N, D)`` by name along the two principal axes of the mapping network's ``cloud (M, D)``."""
    _, _, axes = torch.pca_lowrank(cloud, 2)
    fig, (ax,) = figures.plot(2.8)
    for k, (name, points) in enumerate({"mapping network": cloud, **codes}.items()):
        flat = ((points - cloud.mean(0)) @ axes).cpu()
        look = {"s": 10, "marker": figures.MARKERS[k], "color": figures.PALETTE[k], "alpha": 0.7}
        ax.scatter(flat[:, 0], flat[:, 1], label=name, **look)
    ax.set(xlabel="first principal axis of w", ylabel="second principal axis of w")
    ax.legend()
    return fig


# --- whole faces, rows, distances


def whole_words(means: MeanFaces) -> dict[str, str]:
    """What `mean_faces` says: is what the network paints nearer to what was seen, or to smears?"""
    nearer = sum(means.apart(name, "seen") < means.apart(name, "smeared") for name in ("rebuilt", "painted"))
    told = (
        "both means are nearer to the smears than to what was seen: masking has not been enough, at this length "
        "of training, to overcome the smooth habits of an up-sampling network",
        "one of the two is nearer to what was seen, the other to the smears",
        "both means are nearer to what was seen than to the smears",
    )
    return {"whole": told[nearer], "whole_verdict": ("not shown here", "partly", "supported")[nearer]}


def rows_figure(shares: dict[str, list[float]], blocks: Sequence[str]) -> Figure:
    """Bars of `swapped_blocks`."""
    fig, (ax,) = figures.plot()
    places = torch.arange(len(blocks))
    for k, (name, values) in enumerate(shares.items()):
        look = {"color": figures.PALETTE[k], "edgecolor": figures.INK, "linewidth": 0.5, "hatch": ("", "//", "..")[k]}
        ax.bar(places + (k - 1) * 0.27, values, 0.25, label=name, **look)
    ax.set_xticks(places, [f"{name}²" for name in blocks])
    ax.set(xlabel="block whose rows are replaced", ylabel="change, 1 = all rows replaced")
    ax.legend()
    return fig


def rows_numbers(shares: dict[str, list[float]], blocks: Sequence[str]) -> dict[str, float]:
    """The strongest single block up to 8², and above it, for identity and for light."""
    early = sum(int(name) <= 8 for name in blocks)
    numbers = {}
    for name, key in (("identity", "identity"), ("light", "broad light and colour")):
        numbers |= {f"{name}_early": max(shares[key][:early]), f"{name}_late": max(shares[key][early:])}
    return numbers


def distances_figure(results: dict[str, list[KID]]) -> Figure:
    """KIDs with their spreads, a row per kind of picture, one mark per draw."""
    fig, (ax,) = figures.plot()
    for row, values in enumerate(results.values()):
        for k, value in enumerate(values):
            look = {"marker": figures.MARKERS[row], "color": figures.PALETTE[row], "capsize": 2}
            ax.errorbar(value.mean, -row + (k - 1) * 0.2, xerr=value.std, **look)
    largest = max(value.mean for values in results.values() for value in values)
    floor = max(abs(value.mean) for value in results[samples.FLOORS[0]])
    ax.set_xscale("symlog", linthresh=max(floor, largest / 1e4))
    ax.axvline(0, color=figures.QUIET, linewidth=0.8)
    ax.set_yticks([-row for row in range(len(results))], list(results))
    ax.set(xlabel="KID to held-out phone textures (symmetric logarithmic axis)")
    return fig


def distance_numbers(results: dict[str, list[KID]]) -> dict[str, float | str]:
    """Of `distances`: the middle one of the draws, and whether samples are above what real captures reach."""
    middle = {name: sorted(value.mean for value in values)[len(values) // 2] for name, values in results.items()}
    ours = "G_phone, ψ = 1"
    real = max(value.mean + value.std for name in samples.FLOORS for value in results[name])
    best = min((name for name in middle if "ψ" in name), key=middle.get)
    return {
        "kid": middle[ours],
        "kid_std": results[ours][1].std,
        "kid_floor": middle[samples.FLOORS[0]],
        "kid_train": middle[samples.FLOORS[1]],
        "kid_encoded": middle[samples.RECONSTRUCTED],
        "kid_live": middle[samples.BRIEF],
        "told": "cannot be told from" if middle[ours] <= real else "can be told from",
        "best_psi": best.rpartition(" ")[2],
    }


def copies_figure(check: CopyCheck) -> Figure:
    """Cumulative distributions of the relative distance to the nearest training capture."""
    fig, (ax,) = figures.plot(2.3)
    for k, (name, ratio) in enumerate(check.ratios.items()):
        share = torch.arange(1, len(ratio) + 1) / len(ratio)
        look = {"color": figures.PALETTE[k], "linestyle": figures.DASHES[k], "where": "post"}
        ax.step(ratio.sort().values, share, label=name, **look)
    ax.set(xlabel="distance to the nearest training capture ÷ usual distance", ylabel="share of queries", xlim=(0, None))
    ax.legend()
    return fig


def copy_numbers(check: CopyCheck) -> dict[str, float | str]:
    """Of `copy_check`: median relative distances, and the verdict."""
    names = {"planted": samples.PLANTED, "unseen": samples.UNSEEN, "drawn": samples.SAMPLED}
    few = check.suspicious <= len(check.ratios[samples.SAMPLED]) // 50
    return {
        **{key: float(check.ratios[name].median()) for key, name in names.items()},
        "copies": check.suspicious,
        "copy_verdict": "no sign of copying" if few else "signs of copying",
    }


# --- what goes wrong


def curves(ax, contests: dict[str, Contest], label: str) -> None:
    """AUC of contests over the images seen, into axes."""
    for k, (name, contest) in enumerate(contests.items()):
        ax.plot(contest.images, contest.auc, label=name, linestyle=figures.DASHES[k], marker=figures.MARKERS[k])
    ax.axhline(0.5, color=figures.QUIET, linewidth=0.8)
    ax.set(xlabel="images seen", ylabel=label, ylim=(0.0, 1.05))
    ax.legend(loc="lower right")


def holes_figure(contests: dict[str, Contest]) -> Figure:
    """AUC of two discriminators on perfect completions, and where the gradient points that a generator would get."""
    fig, axes = figures.plot(2.5, (1.5, 1, 1))
    curves(axes[0], contests, "AUC, real or completed?")
    for ax, (name, contest) in zip(axes[1:], contests.items(), strict=True):
        strength = contest.gradient.mean(0)[0].sqrt()
        figures.picture(ax, strength / strength.max().clamp_min(1e-12), f"{name}: gradient", vmin=0, vmax=1)
    return fig


def hole_numbers(plain: Contest, masked: Contest) -> dict[str, float | str]:
    """Of the contest over holes: last AUCs, shares of the gradient in holes, and whether the shortcut was found."""
    found = "has found the shortcut" if plain.auc[-1] > 0.75 else "has not yet found the shortcut in so few steps"
    return {
        "auc_plain": plain.auc[-1],
        "auc_masked": masked.auc[-1],
        "holes_plain": 100 * plain.in_holes,
        "holes_masked": 100 * masked.in_holes,
        "shortcut": found,
    }


def octaves(contest: Contest, others: dict[str, Tensor]) -> dict[str, Tensor]:
    """`loudness` of captures, of the same without their finest octave, and of ``others`` (in [0, 1]), by name."""
    sides = {"real": contest.real, "without its finest octave": contest.fake}
    sides |= {name: to_signed(images) for name, images in others.items()}
    return {name: loudness(images, contest.visibility) for name, images in sides.items()}


def grain_figure(contests: dict[str, Contest], loud: dict[str, Tensor]) -> Figure:
    """AUC of two discriminators on captures without grain, and how strong the finest octaves are in several pictures."""
    fig, (left, right) = figures.plot(2.5, (1.2, 1))
    curves(left, contests, "AUC, grainy or smooth?")
    for k, (name, values) in enumerate(loud.items()):
        right.bar(torch.arange(2) + 0.2 * k - 0.3, values, width=0.2, color=figures.PALETTE[k], label=name)
    right.set_xticks([0, 1], ["finest octave", "second"])
    highest = max(float(values.max()) for values in loud.values())
    right.set(ylabel="standard deviation (signed)", ylim=(0, 1.6 * highest))
    right.legend(ncols=1, fontsize=8)
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
    return {
        "auc_bands": a,
        "auc_blind": b,
        "grain_words": told,
        "grain_share": 100 * float((loud["real"][0] / real.std()) ** 2),
        "octave_samples": 100 * float(loud["samples"][0] / loud["real"][0]),
        "octave_rebuilt": 100 * float(loud["G(E(·))"][0] / loud["real"][0]),
    }
