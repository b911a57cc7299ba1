"""Seeded randomness and the few painting tools of the head generator: noise, splats, spots, strokes, blurs, warps.

Every subject and every lighting has its own random streams, named by what they are for, so that a batch's make-up
never changes a face, and a new feature never shifts the draws of an old one. All coordinates are (u, v) of the head
layout; widths and lengths are in layout units too, so one seed gives the same face at any resolution.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import fields
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import image


def stream(seed: int, name: str) -> torch.Generator:
    """A CPU generator for one purpose of one subject or lighting; the same (seed, name) always draws the same."""
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)


class Draws:
    """Batched random numbers, row ``b`` drawn only from the stream of ``seeds[b]``.

    Args:
        seeds: int64 ``(B,)``. name: purpose, part of the stream's key. device: where the results go.
    """

    def __init__(self, seeds: Tensor, name: str, device: torch.device | str = "cpu"):
        self.streams = [stream(int(s), name) for s in seeds]
        self.device = device

    def __len__(self) -> int:
        return len(self.streams)

    def normal(self, *shape: int, scale: float = 1.0) -> Tensor:
        """``(B, *shape)`` float32, standard normal times ``scale``."""
        return torch.stack([torch.randn(shape, generator=g) for g in self.streams]).to(self.device) * scale

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """``(B, *shape)`` float32 in [low, high)."""
        return torch.stack([torch.rand(shape, generator=g) for g in self.streams]).to(self.device) * (high - low) + low

    def chance(self, probability: Tensor | float, *shape: int) -> Tensor:
        """``(B, *shape)`` float32, 1 with the given probability, else 0."""
        return (self.uniform(0, 1, *shape) < probability).float()

    def choice(self, weights: Tensor) -> Tensor:
        """``(B,)`` int64 drawn with the weights ``(B, K)`` or ``(K,)``."""
        cumulative = weights.to(self.device).expand(len(self), -1).cumsum(-1)
        return (self.uniform(0, 1, 1) * cumulative[:, -1:] > cumulative).sum(-1).clamp_max(weights.shape[-1] - 1)


class Batched:
    """A dataclass whose fields are tensors ``(B, …)``; indexed, it gives the same of those rows, repeats allowed."""

    def __getitem__(self, rows: Tensor | slice) -> Self:
        return type(self)(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})  # type: ignore[arg-type]


def column(x: Tensor) -> Tensor:
    """``(B,)`` → ``(B, 1, 1, 1)``, to multiply maps."""
    return x.reshape(-1, 1, 1, 1)


def enlarge(x: Tensor, size: int) -> Tensor:
    """Bilinear resampling of ``(B, C, H, W)`` to a larger (or, antialiased, smaller) square."""
    if x.shape[-1] == size:
        return x
    return F.interpolate(x, (size, size), mode="bilinear", align_corners=False, antialias=x.shape[-1] > size)


def fbm(draws: Draws, resolution: int, base: int, octaves: int, gain: float = 0.55) -> Tensor:
    """Fractal noise ``(B, 1, H, W)`` of unit variance: octave k has ``base``·2^k cells across the map.

    Octaves finer than a texel are never drawn, which leaves the coarser ones as they are at any resolution.
    (Perlin 1985; here value noise carried up a pyramid.)
    """
    size, amplitude = base, 1.0
    noise = draws.normal(1, size, size)
    for octave in range(1, 16):
        if size * 2 > resolution:
            break
        size *= 2
        padded = F.pad(noise, (1, 1, 0, 0), mode="circular")  # the map's left and right borders are the same meridian
        padded = F.pad(padded, (0, 0, 1, 1), mode="replicate")
        noise = F.interpolate(padded, scale_factor=2, mode="bilinear", align_corners=False)[..., 2:-2, 2:-2]
        if octave < octaves:
            amplitude *= gain
            noise = noise + amplitude * draws.normal(1, size, size)
    noise = enlarge(noise, resolution)
    return (noise - noise.mean((2, 3), keepdim=True)) / noise.std((2, 3), keepdim=True).clamp_min(1e-6)


def blur(x: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of ``(B, C, H, W)``; ``sigma`` in layout units."""
    return image.blur(x, sigma * x.shape[-1])


def sample(maps: Tensor, uv: Tensor) -> Tensor:
    """Read ``(B|1, C, h, w)`` maps at ``(B, H, W, 2)`` (u, v), bilinear → ``(B, C, H, W)``."""
    maps = maps.expand(uv.shape[0], -1, -1, -1)
    return F.grid_sample(maps, uv * 2 - 1, mode="bilinear", padding_mode="border", align_corners=False)


def sample_points(maps: Tensor, points: Tensor) -> Tensor:
    """Read ``(B|1, C, h, w)`` maps at points ``(B, N, 2)`` (u, v) → ``(B, N, C)``."""
    return sample(maps, points[:, None])[:, :, 0].transpose(1, 2)


def splat(points: Tensor, weight: Tensor, resolution: int) -> Tensor:
    """Add points to a map, each spread bilinearly over its four nearest texels.

    Args:
        points: ``(B, N, 2)`` (u, v). weight: ``(B, N)``, the share of one texel's area that a point covers.
    Returns:
        ``(B, 1, H, W)``. Sums are kept in integers, so that the order of addition cannot change a bit of them.
    """
    b, n, _ = points.shape
    place = points * resolution - 0.5
    corner = place.floor()
    frac = place - corner
    out = torch.zeros(b, resolution * resolution, dtype=torch.int32, device=points.device)
    for dy in (0, 1):
        for dx in (0, 1):
            x, y = corner[..., 0] + dx, corner[..., 1] + dy
            share = (frac[..., 0] if dx else 1 - frac[..., 0]) * (frac[..., 1] if dy else 1 - frac[..., 1])
            inside = (y >= 0) & (y < resolution)
            index = (y.clamp(0, resolution - 1) * resolution + x.remainder(resolution)).long()
            out.scatter_add_(1, index, (weight * share * inside * 16384).round().to(torch.int32))
    return out.view(b, 1, resolution, resolution).float() / 16384


def strokes(
    start: Tensor,
    angle: Tensor,
    length: Tensor,
    width: Tensor,
    resolution: int,
    bend: Tensor | None = None,
    points: int = 8,
    opacity: Tensor | float = 1.0,
) -> Tensor:
    """Cover of many short curved strokes (hairs), ``(B, 1, H, W)`` ≥ 0; put through 1 − exp(−x) for opacity.

    Args:
        start: ``(B, N, 2)``. angle: ``(B, N)`` radians, 0 = +u, π/2 = +v (down). length, width: ``(B, N)`` in layout
            units. bend: ``(B, N)`` radians turned along the stroke. points: samples along it.
    """
    t = (torch.arange(points, device=start.device) + 0.5) / points
    turn = angle[..., None] + (0 if bend is None else bend[..., None]) * t
    step = torch.stack([turn.cos(), turn.sin()], -1) * (length / points)[..., None, None]
    path = start[..., None, :] + step.cumsum(-2)
    taper = 1.25 - 0.75 * t  # a hair is thickest at its root
    share = (length * width * resolution**2 / points * opacity)[..., None] * taper
    return splat(path.flatten(1, 2), share.flatten(1, 2), resolution)


def spots(centre: Tensor, radius: Tensor, amount: Tensor, resolution: int, power: float = 1.0) -> Tensor:
    """Sum of round spots ``(B, 1, H, W)``: Gaussian for ``power`` 1, flatter and sharper-edged above.

    Args:
        centre: ``(B, N, 2)``. radius: ``(B, N)`` standard deviation in layout units. amount: ``(B, N)`` peak height.
            Spots below a texel's size keep their area.
    """
    b, n, _ = centre.shape
    sigma = radius * resolution
    wide = (sigma**2 + 0.09).sqrt()
    height = amount * (sigma / wide) ** 2
    reach = int(math.ceil(2.6 * float(wide.max()))) if n else 0
    d = torch.arange(-reach, reach + 1, device=centre.device)
    place = centre * resolution - 0.5
    near = place.round()
    off = near - place
    gx = ((off[..., 0:1] + d) / wide[..., None]) ** 2
    gy = ((off[..., 1:2] + d) / wide[..., None]) ** 2
    value = torch.exp(-0.5 * (gy[..., :, None] + gx[..., None, :]) ** power) * height[..., None, None]
    y, x = near[..., 1:2] + d, near[..., 0:1] + d
    inside = ((y >= 0) & (y < resolution)).float()
    index = (y.clamp(0, resolution - 1)[..., :, None] * resolution + x.remainder(resolution)[..., None, :]).long()
    out = torch.zeros(b, resolution * resolution, dtype=torch.int32, device=centre.device)
    out.scatter_add_(1, index.flatten(1), (value * inside[..., :, None] * 16384).round().to(torch.int32).flatten(1))
    return out.view(b, 1, resolution, resolution).float() / 16384


def comb(noise: Tensor, angle: Tensor, length: float) -> Tensor:
    """Line-integral convolution: smear ``(B, 1, H, W)`` noise along a field of angles, so that it looks like hair.

    Cabral and Leedom, SIGGRAPH 1993; here by doubling, each pass averaging at twice the last distance, so that the
    path bends with the field. ``length`` in layout units is half the smeared distance.
    """
    b, _, h, w = noise.shape
    c = (torch.arange(w, device=noise.device, dtype=noise.dtype) + 0.5) / w
    uv = torch.stack(torch.meshgrid(c, c, indexing="xy"), -1)[None]
    heading = torch.cat([angle.cos(), angle.sin()], 1).permute(0, 2, 3, 1)
    passes = max(1, round(math.log2(max(length * w / 0.7, 1))) + 1)
    step = length / 2 ** (passes - 1)
    for k in range(passes):
        offset = heading * (step * 2**k * 0.5)
        noise = 0.5 * (sample(noise, uv + offset) + sample(noise, uv - offset))
    return (noise - noise.mean((2, 3), keepdim=True)) / noise.std((2, 3), keepdim=True).clamp_min(1e-6)
