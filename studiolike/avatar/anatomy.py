"""What the base head lacks and an avatar has: a neck under the jaw, and ears with smooth rims.

The layout is a cylinder, and so the base head's neck falls straight down from the jaw: captures and trainings ask for no more. A
face on such a pillar has no chin from the side and no jaw from the front. Here the neck is drawn in to an oval that begins behind
the chin. Nothing on or above the jaw moves but the ears, so that the face stays the pictures'.

The oval is that of an adult between the sexes, about 36 cm around: no picture measures it. The ears lose what is finer than a
mesh can follow, or their rims would be saws.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from scipy.interpolate import PchipInterpolator
from torch import Tensor

from .. import layout
from ..image import blur, smoothstep

CENTRE_Z, WIDE, DEEP = -4.6, 5.6, 5.8  # cm: of the oval, its centre, and half of its width and depth
JAW = layout.REGIONS["face"][10:27]  # landmarks of the face's lower border, from ear to ear over the chin
BEHIND = {105: -4.0, 130: -5.0, 180: -6.0}  # degrees from the nose: heights at which the neck begins behind the ears, cm
UNDER = 2.4, 5.5  # cm of height over which the surface is drawn in, under the chin and at the back
RISE = 0.7  # cm by which what lies under the jaw is lifted: there the surface runs to the throat, hardly downward
RIM = 0.75 / 128  # standard deviation, as a share of the side, of what smooths the ears
FLARE, FROM = 1.1, -9.5  # cm by which the neck grows wider down to its end, and the height from which on it does


@lru_cache(1)
def _jaw() -> PchipInterpolator:
    """Height of the jaw's line over the azimuth in [0, π], cm."""
    azimuth, height = layout.cylinder_of(layout.landmark_uv()[JAW].double())
    # left and right are one
    azimuth, height = ((x + x.flip(0))[len(JAW) // 2 :].tolist() for x in (azimuth.abs() / 2, height / 2))
    line = dict(sorted(zip(azimuth, height, strict=True))) | {math.radians(a): h for a, h in BEHIND.items()}
    return PchipInterpolator([*line], [*line.values()])


@lru_cache(4)
def change(resolution: int) -> Tensor:
    """By how much an avatar's places differ from those of a head of the layout, ``(3, N, N)`` float32, cm."""
    return drawn_in(resolution) + smoothed_ears(resolution)


def smoothed_ears(resolution: int) -> Tensor:
    """By how much the ears of the base head move, ``(3, N, N)`` float32, cm."""
    around, place = resolution // 64, layout.position_map(resolution)[None]
    ears = F.max_pool2d(layout.region_mask("ears", resolution)[None], 2 * around + 1, 1, around)
    return ((blur(place, RIM * resolution) - place) * blur(ears, resolution / 128))[0]


def drawn_in(resolution: int) -> Tensor:
    """By how much the places of the base head's neck move, ``(3, N, N)`` float32, cm."""
    azimuth, height = layout.cylinder_of(layout.texel_uv(resolution))
    sine, cosine = azimuth.sin(), azimuth.cos()
    place = layout.position_map(resolution)
    radius = torch.hypot(place[0], place[2] - layout.AXIS_Z)
    # where a ray from the layout's axis leaves the oval
    a, b = (sine / WIDE) ** 2 + (cosine / DEEP) ** 2, cosine * (layout.AXIS_Z - CENTRE_Z) / DEEP**2
    c = ((layout.AXIS_Z - CENTRE_Z) / DEEP) ** 2 - 1
    oval = (-b + (b * b - a * c).sqrt()) / a
    front = (1 + cosine) / 2
    wider = FLARE * (1 - 0.5 * front) * ((FROM - height) / (FROM - layout.BOTTOM)).clamp_min(0).square()
    below = torch.from_numpy(_jaw()(azimuth.abs().double().numpy())).float() - height
    share = (below / torch.lerp(torch.tensor(UNDER[1]), torch.tensor(UNDER[0]), front)).clamp(0, 1)
    inward = (radius - oval - wider).clamp_min(0) * smoothstep(share)
    lift = RISE * front * (share * (1 - share)).square() * 16
    return torch.stack([-sine * inward, lift, -cosine * inward])
