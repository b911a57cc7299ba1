"""Chapter 1's figures of the two domains: lights, the phone's steps, holes, severity, shortcuts, a crowd, a real capture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..evaluation import asymmetry
from ..evaluation.masked import masked_mean
from ..experiments.domains import Diversity, LineUp, OneExponent, Registration, fine_contrast
from ..image import linear_to_srgb, luminance, srgb_to_lab
from ..layout import face_mask, region_mask
from ..synth import PhoneCapture, TextureSet
from ..synth.camera import draw_cameras
from ..synth.dataset import SPLIT_SEEDS, SPLITS, STRETCH
from ..synth.light import draw_lighting
from ..synth.phone import STAGES
from . import figures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STEPS = {
    "light": "the place's light and shadow",
    "gloss": "gloss, seen from the first camera",
    "white balance": "white balance",
    "views": "views blended, holes open",
    "background": "background bleeds in at the rim",
    "misregistration": "each view misregistered",
    "blur": "blur at grazing angles",
    "holes filled": "holes smeared over",
    "noise": "sensor noise",
    "tone curve": "tone curve and saturation",
    "sharpening": "sharpening halo",
    "JPEG": "JPEG",
}  # what `phone_capture` does, in words
LOOKS = {
    "holes": "holes (the map alone)",
    "smears": "smears (never-seen texels)",
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
REGIONS = {
    "skin_face": "facial skin",
    "lips": "lips",
    "ears": "ears",
    "neck": "neck",
    "scalp": "scalp",
    "head": "whole head",
}


def lights_figure(captures: PhoneCapture) -> Figure:
    """One person's captures in order of severity, two rows of them, with the true light of each below it."""
    order = captures.severity.argsort()
    light = captures.irradiance[order]
    light = linear_to_srgb((light / (2.2 * luminance(light).mean((1, 2, 3), keepdim=True))).clamp(0, 1))
    half = len(order) // 2
    texture, severity = captures.texture[order], captures.severity[order]
    rows = [texture[:half], light[:half], texture[half:], light[half:]]
    fig = figures.texture_grid(rows, ["phone", "true light"] * 2)
    for first, part in ((0, severity[:half]), (2 * half, severity[half:])):
        for ax, value in zip(fig.axes[first : first + half], part, strict=True):
            ax.set_title(f"s = {value:.2f}", fontsize=9, loc="center")
    return fig


def steps_figure(changes: Tensor) -> Figure:
    """Bars of `step_changes`, for every step after the light."""
    fig, (ax,) = figures.plot()
    place = torch.arange(len(changes))
    for k, (name, colour, hatch) in enumerate((("broad", "phone", ""), ("fine", "detailed", "//"))):
        look = {"color": figures.COLOURS[colour], "label": f"{name} change", "hatch": hatch}
        ax.bar(place + 0.4 * k, changes[:, k], 0.38, **look)
    ax.set_xticks(place + 0.2, [name.replace(" ", "\n") for name in STAGES[1:]], rotation=45, ha="right")
    ax.set(ylabel="RMS change on the\nseen face (levels)")
    ax.legend()
    return fig


def observed_shares(data: TextureSet) -> dict[str, float]:
    """Share of texels that a capture observes, by region, over all captures of a set."""
    often = (data.phone_batch(torch.arange(len(data)))[1] > 0).float().mean(0)
    masks = {name: region_mask(name, data.resolution) for name in REGIONS}
    return {name: float((often * mask).sum() / mask.sum()) for name, mask in masks.items()}


def holes_figure(data: TextureSet) -> Figure:
    """Where captures look, how well they see there, and the observed share by region."""
    visibility = data.phone_batch(torch.arange(len(data)))[1]
    fig, (left, middle, right) = figures.plot(2.3, (1, 1, 1.1))
    look = {"vmin": 0, "vmax": 1, "cmap": figures.MAP}
    figures.picture(left, (visibility > 0).float().mean(0)[0], "share of captures", **look)
    shown = figures.picture(middle, visibility.mean(0)[0], "mean visibility", **look)
    fig.colorbar(shown, ax=[left, middle], fraction=0.03, pad=0.02)
    shares = observed_shares(data)
    right.barh([REGIONS[name] for name in shares], list(shares.values()), color=figures.COLOURS["phone"])
    right.invert_yaxis()
    right.set(xlim=(0, 1), xlabel="share of texels observed")
    return fig


def severity_figure(data: TextureSet, uneven: Tensor) -> Figure:
    """How severe the light of a set's captures is, and the asymmetry ``uneven (N,)`` that their pictures show."""
    held = torch.isin(torch.arange(len(data)), data.captures("val"))
    fig, (left, right) = figures.plot(2.5, (1, 1))
    parts = [data.severity[rows].tolist() for rows in (held, ~held)]
    colours = [figures.COLOURS["studio"], figures.COLOURS["phone"]]
    look = {"stacked": True, "color": colours, "edgecolor": "white", "linewidth": 0.5}
    left.hist(parts, torch.linspace(0, 1, 17).tolist(), label=["split “val”", "all other splits"], **look)
    left.set(xlabel="severity (true light)", ylabel="captures")
    left.legend()
    right.plot(data.severity, uneven, ".", color=figures.COLOURS["phone"])
    right.set(xlabel="severity (true light)", ylabel="asymmetry of the picture\n(log units)")
    return fig


def shortcuts_figure(grades: dict[str, tuple[float, float]]) -> Figure:
    """Bars of `shortcuts`."""
    fig, (ax,) = figures.plot(2.2)
    place = torch.arange(len(grades))
    for k, (name, colour, hatch) in enumerate((("raw", "phone", ""), ("masked", "studio", "//"))):
        values = [pair[k] for pair in grades.values()]
        look = {"color": figures.COLOURS[colour], "hatch": hatch, "edgecolor": "white", "label": name}
        ax.bar_label(ax.barh(place + 0.4 * k, values, 0.38, **look), fmt="%.2f", fontsize=8, padding=2)
    ax.axvline(0.5, color=figures.INK, linewidth=0.8)
    ax.set_yticks(place + 0.2, [LOOKS[name] for name in grades])
    ax.set(xlim=(0, 1.12), xlabel="AUC, phone against studio, unseen subjects")
    ax.invert_yaxis()
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, 1.22), ncols=2)
    return fig


def exponent_rows(fits: dict[str, OneExponent]) -> list[list[str]]:
    """A table's rows: PSNR of doing nothing, of one exponent, their difference, and what the eye gets."""
    names = {"shared": "one encoding (sRGB)", "mixed": "studio left linear"}
    return [
        [
            names[name],
            f"{fit.before:.1f} dB",
            f"{fit.after:.1f} dB, γ = {fit.gamma:.2f}",
            f"**{fit.after - fit.before:+.1f} dB**",
            f"{fit.decoded:.1f} dB",
        ]
        for name, fit in fits.items()
    ]


def split_rows(data: TextureSet) -> list[list[object]]:
    """A table's rows: every split, what it is for, how many are in it, and the seed of its first person."""
    first = data.manifest["spec"]["first_seed"]
    return [
        [name, USES[name], len(data.subjects(name)), len(data.captures(name)), first + STRETCH[name] * SPLIT_SEEDS]
        for name in SPLITS
    ]


def diversity_figure(apart: Diversity, line_up: LineUp) -> Figure:
    """How far apart colourless faces are; an identity network's cosines of one person's and of two people's captures."""
    fig, axes = figures.plot(2.4, (1, 1))
    sides = (
        ((apart.any_two, apart.nearest), ("any two subjects", "a subject and the most alike"), "distance of colourless faces"),
        ((line_up.impostor, line_up.genuine), ("two subjects", "one subject, two lights"), "cosine of phone captures"),
    )
    for ax, (groups, names, label) in zip(axes, sides, strict=True):
        edges = torch.linspace(min(float(g.min()) for g in groups), max(float(g.max()) for g in groups), 28).tolist()
        for values, name, role, hatch in zip(groups, names, ("studio", "phone"), ("", "///"), strict=True):
            look = {"histtype": "stepfilled", "alpha": 0.65, "color": figures.COLOURS[role], "hatch": hatch}
            ax.hist(values.tolist(), edges, density=True, label=name, **look)
        ax.set(xlabel=label, ylabel="density", ylim=(0, 1.45 * ax.get_ylim()[1]))
        ax.legend(loc="upper left")
    axes[1].axvline(line_up.grade.threshold, color=figures.COLOURS["truth"], linestyle="--", linewidth=1)
    return fig


def facts(texture: Tensor, visibility: Tensor, zone: Tensor) -> dict[str, Tensor]:
    """Five measures ``(B,)`` of phone textures ``(B, 3, H, W)``, by name, over the same skin ``zone (1, 1, H, W)``."""
    where, lab = zone.expand(len(texture), -1, -1, -1), srgb_to_lab(texture)
    return {
        "map observed (%)": 100 * visibility.gt(0).float().mean((1, 2, 3)),
        "skin lightness L*": masked_mean(lab[:, :1], where),
        "skin colourfulness": masked_mean(lab[:, 1:].norm(dim=1, keepdim=True), where),
        "left-right asymmetry (log units)": asymmetry(texture, where),
        "fine contrast (log units)": fine_contrast(texture, where),
    }


def facts_rows(real: dict[str, Tensor], ours: dict[str, Tensor]) -> tuple[list[list[str]], int]:
    """A table's rows that compare one real capture's `facts` with the range of ours, and how many lie outside."""
    rows, outside = [], 0
    for name, value in real.items():
        low, high = float(ours[name].min()), float(ours[name].max())
        inside = low <= float(value) <= high
        outside += not inside
        rows.append([name, f"{float(value):.2f}", f"{low:.2f} … {high:.2f}", "yes" if inside else "**no**"])
    return rows, outside


def seen_skin(visibility: Tensor) -> Tensor:
    """Facial skin that captures saw well, ``(B, 1, H, W)`` in {0, 1}."""
    skin = region_mask("skin_face", visibility.shape[-1]).gt(0.9)
    return (visibility.gt(0.5) & skin).float()


def seen_face(visibility: Tensor) -> Tensor:
    """The part of the face oval that captures saw at all, ``(B, 1, H, W)`` in [0, 1]."""
    return visibility.gt(0).float() * face_mask(visibility.shape[-1])


# --- what the text says


def registration_numbers(result: Registration) -> dict[str, float | str]:
    """Of `registration`: what the largest number of textures explains, and how many registered ones do as well."""
    most = result.counts[-1]
    told = (
        f"{result.enough} registered textures do as well as {most} jittered ones"
        if result.enough
        else "no number of registered textures does as well as the jittered ones, against our expectation"
    )
    explained = {name: float(shares[:, -1].mean()) for name, shares in result.explained.items()}
    return {**explained, "counts": most, "enough": told}


def capture_numbers(data: TextureSet, uneven: Tensor) -> dict[str, float]:
    """Of a set's captures: how much they observe, how severe their light is, and whether ``uneven (N,)`` ranks it."""
    from scipy.stats import spearmanr

    shares, visibility = observed_shares(data), data.phone_batch(torch.arange(len(data)))[1]
    return {
        "observed": 100 * shares["head"],
        "ears": 100 * shares["ears"],
        "never": 100 * float((visibility == 0).all(0).float().mean()),
        "severity_median": float(data.severity.median()),
        "severity_high": float(data.severity.quantile(0.9)),
        "rank": float(spearmanr(data.severity.numpy(), uneven.numpy()).statistic),
    }


def habits(count: int = 4096) -> dict[str, float]:
    """How often, in % of many drawn captures, there is a hard key light, a place that was measured, a single photograph."""
    seeds = torch.arange(count)
    light, cameras = draw_lighting(seeds), draw_cameras(seeds, torch.device("cpu"))
    shares = {
        "key": (light.key_colour > 0).any(1),
        "places": light.place >= 0,
        "single": cameras.single,
    }
    return {name: 100 * float(share.float().mean()) for name, share in shares.items()}


def shortcut_numbers(grades: dict[str, tuple[float, float]]) -> dict[str, float | str]:
    """Of `shortcuts`: every AUC, and whether masking closes holes and smears and what the camera gives away."""
    closed = max(abs(grades[name][1] - 0.5) for name in ("holes", "smears")) < 0.05
    betrayed = grades["camera"][1] > 0.7
    raw = {f"auc_{name}_raw": grades[name][0] for name in ("holes", "smears")}
    return (
        raw
        | {f"auc_{name}_masked": pair[1] for name, pair in grades.items()}
        | {
            "closed": "closes both, hole and smear" if closed else "does not close both, hole and smear",
            "camera": "give the domain away as well" if betrayed else "give little away at this resolution",
        }
    )


def diversity_numbers(apart: Diversity, line_up: LineUp) -> dict[str, float]:
    """Of `diversity` and `line_up`: distances of colourless faces, and how well one person is told from two."""
    return {
        "any": float(apart.any_two.median()),
        "nearest": float(apart.nearest.median()),
        "closest": float(apart.nearest.min()),
        "line_up": line_up.people,
        "verified": 100 * line_up.grade.accuracy,
        "auc": line_up.grade.auc,
        "genuine": line_up.grade.pairs[0],
        "impostor": line_up.grade.pairs[1],
    }
