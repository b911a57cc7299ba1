"""What stands between a face and its light or its camera: foreign shadows, glasses, loose strands of hair.

Everything here belongs to a capture (its lighting seed), never to the subject: the studio texture shows none of it.
Shadows of things outside the picture follow Zhang et al., *Portrait Shadow Manipulation*, SIGGRAPH 2020: a hat's brim,
a hand, leaves, bars, an edge, with a penumbra whose width changes over the face. The red seam of such an edge comes
later, from the skin's scattering (`light.irradiance`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from ..image import smoothstep
from ..layout import texel_uv
from .draw import Batched, Draws, column, enlarge, fbm, strokes
from .head import Subjects
from .traits import HAIR_STYLES, eye_frame

# what throws a shadow, and its share among the captures whose key is blocked at all
BLOCKERS = (("brim", 0.22), ("hand", 0.16), ("leaves", 0.28), ("bars", 0.10), ("edge", 0.24))
BLOCKED = 0.45  # of the captures with a key
GLASSES, STRANDS = 0.08, 0.12
BALD = ("none", "buzz", "receding", "horseshoe", "coily")
STAND_OFF = (0.042, 0.050)  # layout units (u, v) by which a pair of glasses slides over the face per unit of slope


def foreign_shadow(position: Tensor, frame: Tensor, seeds: Tensor) -> Tensor:
    """Share of the key's light that foreign things let through, ``(B, 1, H, W)`` in [0, 1].

    Args:
        position: ``(B, 3, H, W)`` cm. frame: ``(B, 2, 3)``, two unit vectors across the light. seeds: of the lightings.
    """
    device = position.device
    rng = Draws(seeds, "foreign", device)
    kind = rng.choice(torch.tensor([weight for _, weight in BLOCKERS]))
    off, angle = rng.normal(2, scale=2.2), rng.uniform(-math.pi, math.pi)
    size, thin, opacity = rng.uniform(0, 1), rng.uniform(0, 1), rng.uniform(0.75, 1.0)
    width = (rng.uniform(math.log(0.10), math.log(1.8))).exp()
    slope, slant = rng.normal(2, scale=0.09), rng.normal(scale=0.25)
    height = rng.uniform(-2.5, 4.5)
    centre = position.new_tensor([0.0, 0.0, 3.0])  # between the eyes and the mouth, at the face's depth
    place = (frame @ (position.flatten(2) - centre[:, None])).view(len(seeds), 2, *position.shape[2:])

    far = torch.ones_like(place[:, :1])  # signed distance in cm to the shadow's border, positive in the light
    for k, (name, _) in enumerate(BLOCKERS):
        rows = (kind == k).nonzero().flatten()
        if not len(rows):
            continue
        x, y = (place[rows] - off[rows, :, None, None] * (0.3 if name == "brim" else 1)).split(1, 1)
        c, s = column(angle[rows].cos()), column(angle[rows].sin())
        across, along = c * x + s * y, c * y - s * x
        if name == "brim":
            far[rows] = column(height[rows]) + 0.02 * x**2 * column(size[rows]) + column(slant[rows]) * x - y
        elif name == "hand":
            far[rows] = _hand(across, along, size[rows], thin[rows])
        elif name == "bars":
            period = column(2.5 + 6 * size[rows])
            far[rows] = ((across / period).remainder(1) - 0.5).abs() * period - column(0.12 + 0.22 * thin[rows]) * period
        else:
            cells = column(9 + 18 * size[rows])  # cm covered by a quarter of the noise
            noise = fbm(Draws(seeds[rows.cpu()], "leaves", device), 64, 8, 4, 0.6)
            grid = torch.cat([across, along], 1).permute(0, 2, 3, 1) / cells.view(-1, 1, 1, 1)
            noise = F.grid_sample(noise, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
            if name == "leaves":
                far[rows] = (noise + column(1.3 * thin[rows] - 0.5)) * cells * 0.10
            else:
                far[rows] = across + noise * column(1.5 * thin[rows])
    spread = column(width) * (place * slope[:, :, None, None]).sum(1, keepdim=True).clamp(-1.2, 1.2).exp()
    return 1 - column(opacity) * (1 - smoothstep(0.5 + 0.5 * far / spread))


def _hand(x: Tensor, y: Tensor, size: Tensor, thin: Tensor) -> Tensor:
    """Signed distance in cm to a palm with four spread fingers, positive outside."""
    scale = column(0.8 + 0.8 * size)
    x, y = x / scale, y / scale
    far = torch.hypot(x * 0.9, y + 4.5) - 3.6
    for k in range(4):
        lean = (k - 1.5) * column(0.10 + 0.20 * thin)
        root, length = (k - 1.5) * 1.7, (4.6, 5.6, 5.2, 4.0)[k]
        dx, dy = x - root, y + 2.0
        t = (dx * lean.sin() + dy * lean.cos()).clamp(0, length)
        far = torch.minimum(far, torch.hypot(dx - t * lean.sin(), dy - t * lean.cos()) - 0.75)
    return far * scale


@dataclass
class Glasses(Batched):
    """Glasses of the captures of a batch: ``worn`` ``(B,)`` 1 or 0, half ``size`` of the lenses ``(B, 2)``, ``roundness``,
    ``thickness`` (layout units), ``sheen`` of the lenses ``(B,)``, ``colour`` of the frame linear ``(B, 3)``."""

    worn: Tensor
    size: Tensor
    roundness: Tensor
    thickness: Tensor
    sheen: Tensor
    colour: Tensor

    def on_face(self, direction: Tensor, resolution: int, soft: float = 0.0) -> tuple[Tensor, Tensor]:
        """Where a direction sees the frames and the lenses on the face, each ``(B, 1, H, W)`` in [0, 1].

        Args:
            direction: ``(B, 3)`` unit, toward the camera or the light; glasses stand off the face, so they slide over it.
            soft: width of the edge in layout units, a texel at least.
        """
        x, y, apart = _lens_axes(resolution)
        x, y = x.to(direction.device), y.to(direction.device)
        slope = (direction[:, :2] / direction[:, 2:].clamp_min(0.25)).clamp(-1.6, 1.6)
        x = x + column(slope[:, 0] * STAND_OFF[0])
        y = y - column(slope[:, 1] * STAND_OFF[1]) - 0.004
        half_x, half_y = (column(self.size[:, k]) for k in (0, 1))
        power, thick = column(self.roundness), column(self.thickness)
        edge = max(soft, 1 / resolution)
        radius = (((x.abs() - apart) / half_x).abs() ** power + (y / half_y).abs() ** power) ** (1 / power)
        rim = (radius - 1) * half_y
        arms = torch.maximum((y + half_y * 0.45).abs() - thick * 0.4, apart + half_x - x.abs())
        bridge = torch.maximum((y + half_y * 0.30 + 2 * x**2).abs() - thick * 0.5, x.abs() - (apart - half_x))
        far = torch.minimum(torch.minimum(rim.abs() - thick * 0.5, arms), bridge)
        return smoothstep(0.5 - far / edge), smoothstep(0.5 - rim / edge)

    def before(self, colour: Tensor, camera: Tensor, light: Tensor) -> Tensor:
        """Faces ``(B, 3, H, W)`` as cameras ``(B, 3)`` see them with the glasses on; ``light`` ``(B, 3, H, W)`` falls on them."""
        rows = self.worn.nonzero().flatten()
        if not len(rows):
            return colour
        own = self[rows]
        frame, lens = own.on_face(camera[rows], colour.shape[-1])
        bright = light[rows].mean((2, 3), keepdim=True)
        glass = lens * column(own.sheen) * enlarge(bright.new_tensor([[1.0, 0.5], [0.4, 0.1]])[None, None], lens.shape[-1])
        out = colour.clone()
        out[rows] = torch.lerp(colour[rows] * (1 - 0.08 * lens) + bright * glass, bright * own.colour[..., None, None], frame)
        return out


def draw_glasses(seeds: Tensor, device: torch.device) -> Glasses:
    """Glasses on a share `GLASSES` of the lightings."""
    rng = Draws(seeds, "glasses", device)
    worn, wide = rng.chance(GLASSES), rng.uniform(0.044, 0.056)
    metal = rng.chance(0.3)
    colour = torch.where(metal[:, None] > 0, rng.uniform(0.10, 0.35, 1), rng.uniform(0.004, 0.03, 1))
    return Glasses(
        worn,
        torch.stack([wide, wide * rng.uniform(0.68, 1.05)], -1),
        rng.uniform(2.0, 4.5),
        torch.where(metal > 0, rng.uniform(0.0022, 0.0040), rng.uniform(0.0045, 0.0100)),
        rng.uniform(0.0, 0.2),
        colour * rng.normal(3, scale=0.25).exp(),
    )


@lru_cache(4)
def _lens_axes(resolution: int) -> tuple[Tensor, Tensor, float]:
    """u and v of all texels from the middle between the eyes, each ``(1, 1, H, W)``, and half the distance of the lenses."""
    left, right = (eye_frame(name)[0] for name in ("left_eye", "right_eye"))
    middle = 0.5 * (left + right)
    x, y = (texel_uv(resolution) - middle).permute(2, 0, 1)[:, None, None]
    return x, y, float((left - middle)[0])


def loose_strands(subjects: Subjects, seeds: Tensor) -> Tensor:
    """Cover ``(B, 1, H, W)`` in [0, 1] by tufts of hair that hang over the forehead in some captures, if there is hair."""
    device, n = subjects.hair.device, subjects.resolution
    rng = Draws(seeds, "strands", device)
    bald = torch.tensor([name in BALD for name in HAIR_STYLES], device=device)[subjects.hair_style]
    worn = rng.chance(STRANDS) * (~bald).float()
    cover = torch.zeros(len(seeds), 1, n, n, device=device)
    rows = worn.nonzero().flatten()
    if len(rows):
        rng = Draws(seeds[rows.cpu()], "tufts", device)
        tufts, hairs = 9, 34
        side = rng.normal(1, 1, scale=0.5)
        middle = rng.uniform(-0.15, 0.15, tufts, 1)
        start = 0.5 + middle + rng.normal(tufts, hairs, scale=0.007)
        heading = math.pi / 2 + side + 1.2 * middle + rng.normal(tufts, 1, scale=0.15) + rng.normal(tufts, hairs, scale=0.05)
        length = (rng.uniform(0.05, 0.17, tufts, 1) * rng.uniform(0.7, 1.0, tufts, hairs)).flatten(1)
        height = (0.215 + 0.25 * middle**2 + rng.normal(tufts, hairs, scale=0.006)).expand(-1, tufts, hairs)
        root = torch.stack([start, height], -1).flatten(1, 2)
        bend = (rng.normal(tufts, 1, scale=0.5) + rng.normal(tufts, hairs, scale=0.12)).flatten(1)
        width = torch.full_like(length, 0.0016)
        cover[rows] = 1 - torch.exp(-1.6 * strokes(root, heading.flatten(1), length, width, n, bend=bend, points=14))
    return cover
