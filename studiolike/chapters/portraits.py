"""Chapter 1's figures of heads: the layout, what registration is worth, skin, who is in a set, everything that is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import avatar, layout
from ..experiments.domains import Registration
from ..image import linear_to_srgb, srgb_to_lab
from ..synth import PhoneCapture, Subjects, TextureSet, skin
from ..synth.dataset import SPLIT_SEEDS, STRETCH
from ..synth.traits import BEARDS, HAIR_STYLES, draw_traits
from . import figures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REGION_COLOURS = {
    "scalp": 5,
    "neck": 2,
    "face": 1,
    "ears": 4,
    "lips": 3,
    "left_eye": 0,
    "right_eye": 0,
    "left_brow": 6,
    "right_brow": 6,
}  # places in `figures.PALETTE`
REGION_LABELS = {"scalp": (128, 26), "face": (78, 212), "ears": (39, 168), "neck": (30, 238)}  # texels of 256
ITA_EDGES = (55, 41, 28, 10, -30)  # degrees (Del Bino and Bernerd 2013)
ITA_NAMES = ("very light", "light", "intermediate", "tan", "brown", "dark")
ITA_LABELS = ((1, 79), (25, 77), (25, 68.8), (25, 58.5), (25, 45), (25, 25))  # b*, L* of the classes' names
AGES = ("18–29", "30–44", "45–59", "60–80")


# --- the layout


def layout_figure() -> Figure:
    """The layout's regions and landmarks, its position map, and the layout on the head."""
    from matplotlib.colors import to_rgb

    regions = torch.ones(3, 256, 256)
    for name, colour in REGION_COLOURS.items():
        paint = torch.tensor(to_rgb(figures.PALETTE[colour])).view(3, 1, 1)
        regions = torch.lerp(regions, paint.expand_as(regions), layout.region_mask(name, 256) * 0.75)
    lines = (layout.texel_uv(256) * 16 % 1 < 0.07).any(-1)
    painted = torch.where(lines[None], regions * 0.45, regions)
    position = layout.position_map(256)
    low, high = position.amin((1, 2), keepdim=True), position.amax((1, 2), keepdim=True)
    views = avatar.turntable(avatar.head_mesh(grid=64), painted, [0, 60], 192, shading="unlit", supersample=1)
    fig, (left, middle, right) = figures.plot(2.2, (1, 1, 1.75))
    figures.picture(left, painted, "regions, landmarks")
    left.plot(*(layout.landmark_uv() * 256 - 0.5).T, ".", color="black", ms=0.7)
    for name, (across, down) in REGION_LABELS.items():
        card = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        left.text(across, down, name, ha="center", va="center", fontsize=8, bbox=card)
    figures.picture(middle, (position - low) / (high - low), "position map")
    figures.picture(right, torch.cat(list(views), -1)[:, :, 20:-20], "the layout on the head")
    return fig


def face_share() -> dict[str, float]:
    """Per cent of the texels that are the face oval's, and of the head's surface."""
    position, face = layout.position_map(256), layout.face_mask(256)[0]
    step_u = F.pad(position, (0, 1, 0, 0), mode="circular").diff(dim=2)[:, :-1]
    area = torch.linalg.cross(position.diff(dim=1), step_u, dim=0).norm(dim=0)
    return {"face_texels": 100 * float(face.mean()), "face_area": 100 * float((area * face[:-1]).sum() / area.sum())}


def registration_figure(result: Registration) -> Figure:
    """Mean textures with and without correspondence, and what few faces explain of others."""
    fig, (left, middle, right) = figures.plot(2.4, (1, 1, 2))
    for ax, name in ((left, "registered"), (middle, "jittered")):
        figures.picture(ax, result.means[name], f"mean, {name}", interpolation="antialiased")
    for (name, shares), marker, dash in zip(result.explained.items(), figures.MARKERS, figures.DASHES, strict=False):
        right.errorbar(result.counts, shares.mean(0), shares.std(0), marker=marker, linestyle=dash, capsize=2, label=name)
    right.axhline(0, color=figures.QUIET, linewidth=0.6)
    right.set(xscale="log", xlabel="number of training textures", ylabel="explained of new\nfaces' structure (%)")
    right.set(xticks=result.counts, xticklabels=[str(n) for n in result.counts])
    right.minorticks_off()
    right.legend()
    return fig


# --- who is in the data


def skin_colours(data: TextureSet) -> Tensor:
    """Median skin colour of every subject's studio texture, L*a*b*, ``(S, 3)``: read off as a camera would."""
    mask = (layout.region_mask("skin_face", data.resolution)[0] > 0.9).flatten()
    studio = data.studio_batch(torch.arange(len(data.studio)))
    return torch.stack([srgb_to_lab(one[None])[0].flatten(1)[:, mask].median(1).values for one in studio])


def ita_class(lab: Tensor) -> Tensor:
    """Place in `ITA_NAMES` of skin colours ``(B, 3)`` in L*a*b*, by the individual typology angle; b* of skin is positive."""
    angle = torch.rad2deg(torch.atan2(lab[:, 0] - 50, lab[:, 2]))
    return (angle[:, None] <= torch.tensor(ITA_EDGES)).sum(1)


def skin_figure(measured: Tensor) -> Figure:
    """The range of the absorption model, and where the subjects' skin ``(S, 3)`` lies among the six classes."""
    tone, blood = torch.linspace(0, 1, 48), torch.linspace(0.004, 0.05, 16)
    chart = skin.skin_colour(skin.melanin_of_tone(tone).expand(1, 1, 16, -1), blood[:, None].expand(1, 1, -1, 48))
    line = skin.skin_colour(skin.melanin_of_tone(tone).view(1, 1, 1, -1), torch.full((1, 1, 1, 48), 0.012))
    lightness, _, yellowness = srgb_to_lab(linear_to_srgb(line))[0, :, 0]
    fig, (left, right) = figures.plot(2.7, (1, 1))
    shape = {"extent": (0, 1, 0.05, 0.004), "aspect": "auto", "interpolation": "bilinear"}
    figures.picture(left, linear_to_srgb(chart)[0], "the absorption model's range", **shape)
    left.set_axis_on()
    left.set(xlabel="tone (0 = least melanin)", ylabel="blood fraction")
    left.grid(False)
    right.plot(yellowness, lightness, color=figures.INK, linewidth=1.2, label="model, blood fraction 0.012")
    dots = {"s": 16, "color": figures.COLOURS["studio"], "linewidths": 0, "alpha": 0.7}
    right.scatter(measured[:, 2], measured[:, 0], label="one subject", **dots)
    reach = torch.tensor([0.0, 40.0])
    for edge in ITA_EDGES:
        slope = torch.tan(torch.deg2rad(torch.tensor(float(edge))))
        right.plot(reach, 50 + reach * slope, color=figures.QUIET, linewidth=0.6)
    bounds = [f"> {ITA_EDGES[0]}°", *(f"> {edge}°" for edge in ITA_EDGES[1:]), f"≤ {ITA_EDGES[-1]}°"]
    for name, bound, (x, y) in zip(ITA_NAMES, bounds, ITA_LABELS, strict=True):
        right.text(x, y, f"{name} {bound}".replace("-", "−"), fontsize=7, color=figures.QUIET)
    right.set(xlabel="yellowness b*", ylabel="lightness L*", xlim=(0, 37), ylim=(15, 85), title="against the six ITA classes")
    right.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, fontsize=8)
    return fig


def composition(data: TextureSet, skin_class: Tensor) -> dict[str, tuple[Sequence[str], Tensor]]:
    """Names and counts of groups, by trait, over all subjects of a set."""
    traits = draw_traits(data.seeds)
    age = torch.bucketize(18 + 62 * traits.age, torch.tensor([30.0, 45.0, 60.0]))
    return {
        "skin (ITA class)": (ITA_NAMES, torch.bincount(skin_class, minlength=len(ITA_NAMES))),
        "age (years)": (AGES, torch.bincount(age, minlength=len(AGES))),
        "hair": (HAIR_STYLES, torch.bincount(traits["hair_style"], minlength=len(HAIR_STYLES))),
        "beard": (BEARDS, torch.bincount(traits["beard"], minlength=len(BEARDS))),
    }


def skin_numbers(data: TextureSet, measured: Tensor, groups: dict[str, tuple[Sequence[str], Tensor]]) -> dict[str, float | str]:
    """What the text says of a set's people, by name; ``measured`` from `skin_colours`, ``groups`` from `composition`."""
    names, counts = groups["skin (ITA class)"]
    found = int((counts > 0).sum())
    return {
        "classes": f"all {len(names)}" if found == len(names) else f"{found} of the {len(names)}",
        "lightest": float(measured[:, 0].max()),
        "darkest": float(measured[:, 0].min()),
        "smallest": names[int(counts.argmin())],
        "smallest_count": int(counts.min()),
        "largest_count": int(counts.max()),
        "old": 100 * float((draw_traits(data.seeds).age >= (60 - 18) / 62).float().mean()),
        "subjects": len(data.studio),
        "captures": len(data),
        "generator": data.manifest["generator"],
    }


def composition_figure(groups: dict[str, tuple[Sequence[str], Tensor]]) -> Figure:
    """Bars of `composition`."""
    fig, axes = figures.plot(3.0, (1,) * len(groups))
    for ax, (title, (names, counts)) in zip(axes, groups.items(), strict=True):
        bars = ax.barh(names, counts, color=figures.COLOURS["studio"])
        ax.bar_label(bars, fontsize=8, padding=1)
        ax.set(title=title, xticks=[], xlim=(0, float(counts.max()) * 1.25))
        ax.grid(False)
        ax.invert_yaxis()
        ax.tick_params(axis="y", labelsize=8)
    return fig


# --- everything is known


def evenly_by_tone(count: int, among: int = 64) -> Tensor:
    """Seeds ``(count,)`` of people of the split "val", evenly spaced in skin tone: by tone alone, not for their looks."""
    seeds = STRETCH["val"] * SPLIT_SEEDS + torch.arange(among)
    wanted = torch.linspace(0.05, 0.95, count)
    return seeds[(draw_traits(seeds).tone[None] - wanted[:, None]).abs().argmin(1)]


def maps_figure(heads: Subjects, shots: PhoneCapture, studio: Tensor, one: int) -> Figure:
    """Ten maps of subject ``one``, in two rows: what it is made of, and what light and two cameras make of it."""
    size = studio.shape[-1]
    light = shots.irradiance[one] / shots.irradiance[one].amax()
    maps = {
        "albedo": linear_to_srgb(heads.albedo_linear[one]),
        "normals": heads.normals[one] * 0.5 + 0.5,
        "off the base head": (heads.position[one] - layout.position_map(size)).norm(dim=0, keepdim=True) / 3,
        "sky seen": heads.occlusion[one],
        "gloss": heads.gloss[one] / 2,
        "hair": heads.hair[one],
        "light": linear_to_srgb(light.clamp(0, 1)),
        "visibility": shots.visibility[one],
        "studio texture": studio[one],
        "phone texture": shots.texture[one],
    }
    pictures, names = list(maps.values()), list(maps)
    fig = figures.texture_grid([pictures[:5], pictures[5:]], (), names[:5])
    for ax, name in zip(fig.axes[5:], names[5:], strict=True):
        ax.set_title(name, fontsize=9, loc="center")
    moles = heads.moles[one][heads.moles[one][:, 3] > 0.05]
    ring = {"s": 18, "facecolors": "none", "edgecolors": figures.PALETTE[5], "linewidths": 0.7}
    fig.axes[0].scatter(moles[:, 0] * size, moles[:, 1] * size, **ring)
    return fig
