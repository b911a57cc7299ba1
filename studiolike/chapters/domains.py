"""Chapter 1's figures of the two domains: lights, the phone's steps, holes, severity, diversity, a real capture."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..evaluation import asymmetry
from ..evaluation.masked import masked_mean
from ..experiments.domains import Diversity, LineUp, Registration, fine_contrast
from ..image import linear_to_srgb, luminance, srgb_to_lab
from ..layout import face_mask, region_mask
from ..synth import PhoneCapture, TextureSet
from ..synth.camera import draw_cameras
from ..synth.light import draw_lighting
from ..synth.phone import STAGES
from . import figures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STEPS = {
    "light": (
        "the place's light and shadow",
        "albedo times the irradiance E, times the exposure that the camera chose",
        "few places are lit evenly",
    ),
    "gloss": (
        "gloss, as the first camera sees it",
        "lamps mirror in the skin's oil; where, depends on the camera's place",
        "wet and oily surfaces mirror",
    ),
    "white balance": (
        "white balance",
        "one factor for each of red, green and blue, meant to turn the light white, and often wrong",
        "a camera must guess the colour of the light from one picture",
    ),
    "views": (
        "views blended, holes open",
        "a *photo* is one view, cut to the face's oval, a *film* two or three, each with an exposure of its own; a texel is the "
        "mean of the views that saw it, and black (a *hole*) if none did",
        "nobody sees all of a head from one place",
    ),
    "background": (
        "background bleeds in at the rim",
        "where the head turns away, texels take colour of what is behind it",
        "the outline that was found is not quite the head's",
    ),
    "misregistration": (
        "each view misregistered",
        "each view is shifted and warped by one or two per cent of the face's width",
        "landmarks are found with errors",
    ),
    "blur": (
        "blur at grazing angles",
        "the further skin turns away, the softer it gets; some pictures are out of focus",
        "skin that turns away gets few pixels",
    ),
    "holes filled": (
        "holes smeared over",
        "holes take the colours around them (a *smear*); in a photo, texels that were seen badly give up part of theirs too",
        "software wants a texture without gaps",
    ),
    "noise": ("sensor noise", "grain, and coloured blotches", "a sensor counts few photons"),
    "tone curve": (
        "tone curve and saturation",
        "bright tones are squeezed, contrast and colours strengthened",
        "a picture should please",
    ),
    "sharpening": (
        "sharpening halo",
        "edges get a bright and a dark line; in some captures fine structure as a whole is made stronger or weaker",
        "blur should not show",
    ),
    "JPEG": ("JPEG", "blocks of 8×8 texels are stored coarsely", "files should be small"),
}  # what `phone_capture` does: in a few words, in a sentence, and why phones do it
MARKED, PLAIN = figures.PALETTE[1], figures.PALETTE[5]  # two colours that stand for no domain and no method
REGIONS = {
    "skin_face": "facial skin",
    "lips": "lips",
    "ears": "ears",
    "neck": "neck",
    "scalp": "scalp",
    "head": "whole head",
}


def lights_figure(captures: PhoneCapture) -> Figure:
    """One person's captures in order of severity, two rows of them, with the brightness of the true light below each."""
    order = captures.severity.argsort()
    light = luminance(captures.irradiance[order])  # without its colour, which white balance takes out of the pictures
    light = linear_to_srgb((light / (2.2 * light.mean((1, 2, 3), keepdim=True))).clamp(0, 1))
    half = len(order) // 2
    texture, severity = captures.texture[order], captures.severity[order]
    rows = [texture[:half], light[:half], texture[half:], light[half:]]
    fig = figures.texture_grid(rows, ["phone", "light alone"] * 2)
    for first, part in ((0, severity[:half]), (2 * half, severity[half:])):
        for ax, value in zip(fig.axes[first : first + half], part, strict=True):
            ax.set_title(f"s = {value:.2f}", fontsize=9, loc="center")
    return fig


def step_rows() -> list[tuple[str, ...]]:
    """A table's rows: every step of the phone, what happens, and why phones do it."""
    return [(f"{k} · {name}", what, why) for k, (name, (_, what, why)) in enumerate(STEPS.items(), 1)]


def steps_figure(changes: Tensor) -> Figure:
    """Bars of `step_changes`, for every step of the phone."""
    fig, (ax,) = figures.plot()
    place = torch.arange(len(changes))
    for k, (name, colour, hatch) in enumerate((("broad", PLAIN, ""), ("fine", MARKED, "//"))):
        ax.bar(place + 0.4 * k, changes[:, k], 0.38, color=colour, label=f"{name} change", hatch=hatch, edgecolor="white")
    ax.set_xticks(place + 0.2, [name.replace(" ", "\n") for name in STAGES], rotation=45, ha="right")
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
    look = {"stacked": True, "color": [MARKED, PLAIN], "edgecolor": "white", "linewidth": 0.5}
    left.hist(parts, torch.linspace(0, 1, 17).tolist(), label=["split “val”", "all other splits"], **look)
    left.set(xlabel="severity (true light)", ylabel="captures", ylim=(0, 1.25 * left.get_ylim()[1]))
    left.legend(loc="upper left", ncols=2)
    right.plot(data.severity, uneven, ".", color=figures.COLOURS["phone"])
    right.set(xlabel="severity (true light)", ylabel="asymmetry of the picture\n(log units)")
    return fig


def diversity_figure(apart: Diversity, line_up: LineUp) -> Figure:
    """How far apart colourless faces are; an identity network's cosines of one person's and of two people's captures."""
    fig, axes = figures.plot(2.4, (1, 1))
    sides = (
        ((apart.any_two, apart.nearest), ("any two subjects", "a subject and the most alike"), "distance of colourless faces"),
        ((line_up.impostor, line_up.genuine), ("two subjects", "one subject, two lights"), "cosine of phone captures"),
    )
    for ax, (groups, names, label) in zip(axes, sides, strict=True):
        edges = torch.linspace(min(float(g.min()) for g in groups), max(float(g.max()) for g in groups), 28).tolist()
        for values, name, colour, hatch in zip(groups, names, (PLAIN, MARKED), ("", "///"), strict=True):
            look = {"histtype": "stepfilled", "alpha": 0.65, "color": colour, "hatch": hatch}
            ax.hist(values.tolist(), edges, density=True, label=name, **look)
        ax.set(xlabel=label, ylabel="density", ylim=(0, 1.45 * ax.get_ylim()[1]))
        ax.legend(loc="upper left")
    axes[1].axvline(line_up.grade.threshold, color=figures.COLOURS["truth"], linestyle="--", linewidth=1)
    return fig


def facts(texture: Tensor, visibility: Tensor, zone: Tensor) -> dict[str, Tensor]:
    """Five measures ``(B,)`` of phone textures ``(B, 3, H, W)``, by name, over the part of ``zone (1, 1, H, W)`` that each of
    them saw well."""
    where, lab = zone * seen_skin(visibility), srgb_to_lab(texture)
    return {
        "map observed (%)": 100 * visibility.gt(0).float().mean((1, 2, 3)),
        "skin lightness L*": masked_mean(lab[:, :1], where),
        "skin colourfulness": masked_mean(lab[:, 1:].norm(dim=1, keepdim=True), where),
        "left-right asymmetry (log units)": asymmetry(texture, where),
        "fine contrast (log units)": fine_contrast(texture, where),
    }


def facts_rows(real: dict[str, Tensor], ours: dict[str, Tensor]) -> tuple[list[list[str]], int]:
    """A table's rows that place one real capture's `facts` among ours, and how many lie outside of the middle 90 % of ours."""
    rows, outside = [], 0
    for name, value in real.items():
        known = ours[name][ours[name].isfinite()]  # nan for a capture that saw nothing of the zone
        low, middle, high = torch.quantile(known, torch.tensor([0.05, 0.5, 0.95])).tolist()
        inside = low <= float(value) <= high
        outside += not inside
        rank = f"{100 * float((known < value).float().mean()):.0f} %"
        rows.append([name, f"{float(value):.2f}", f"{middle:.2f}", f"{low:.2f} … {high:.2f}", rank if inside else f"**{rank}**"])
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
    """Of a set's captures: how much they observe, how severe their light is, whether ``uneven (N,)`` ranks it, and how uneven
    the studio textures are over the same texels."""
    from scipy.stats import spearmanr

    shares, visibility = observed_shares(data), data.phone_batch(torch.arange(len(data)))[1]
    studio = asymmetry(data.studio_batch(data.subject), visibility * face_mask(data.resolution))
    return {
        "asymmetry_phone": float(uneven.mean()),
        "asymmetry_factor": math.exp(float(uneven.mean())),
        "asymmetry_studio": float(studio.mean()),
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


def step_numbers(changes: Tensor) -> dict[str, float | str]:
    """Of `step_changes`: what the light changes, and which later step changes most that is broad, and that is fine."""
    later = changes[1:].argmax(0) + 1
    names = [list(STEPS)[k] for k in later]
    told: dict[str, float | str] = {"light_broad": float(changes[0, 0])}
    for kind, (k, name) in enumerate(zip(later, names, strict=True)):
        told |= {f"most_{('broad', 'fine')[kind]}": name, f"most_{('broad', 'fine')[kind]}_by": float(changes[k, kind])}
    return told


def light_numbers(lights: float, with_camera: float, people: float) -> dict[str, float | str]:
    """Of `light_against_people`: the three spreads, and which is the largest in words."""

    def word(ratio: float) -> str:
        return "more than" if ratio > 1.25 else "less than" if ratio < 0.8 else "about as much as"

    return {
        "sd_light": lights,
        "sd_lights": with_camera,
        "sd_people": people,
        "light_moves": word(lights / people),
        "capture_moves": word(with_camera / people),
    }


def diversity_numbers(apart: Diversity, line_up: LineUp) -> dict[str, float | str]:
    """Of `diversity` and `line_up`: distances of colourless faces, and how well one person is told from two."""
    auc = line_up.grade.auc
    told, use = "nearly always", "for single people too"
    if auc <= 0.97:
        told, use = "more often than not, and far from always", "as a mean over many people, not for a single one"
    if auc <= 0.65:
        told, use = "hardly", "not at all by this judge"
    return {
        "nearest_r": 1 - float(apart.nearest.median()) ** 2 / 2,
        "any_r": 1 - float(apart.any_two.median()) ** 2 / 2,
        "copies": "and so no two are copies" if apart.nearest.min() > 0.2 else "**and so some are close to copies**",
        "told": told,
        "told_use": use,
        "any": float(apart.any_two.median()),
        "nearest": float(apart.nearest.median()),
        "closest": float(apart.nearest.min()),
        "line_up": line_up.people,
        "line_up_all": 2 * line_up.people,
        "verified": 100 * line_up.grade.accuracy,
        "auc": line_up.grade.auc,
        "genuine": line_up.grade.pairs[0],
        "impostor": line_up.grade.pairs[1],
    }
