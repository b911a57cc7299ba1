"""What may differ between two captures of one person, made up at random: light, camera, small misalignment,
holes.

Training the identity network on such variations tells it what identity is *not*. Visibility is varied too
(other captures' holes, discs, half planes), or the network would learn to recognise captures by their holes.
All functions take and return textures ``(B, 3, H, W)`` in [0, 1], sRGB, and draw from the generator handed
in.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..image import blur, relight


def _normal(rng: torch.Generator, *shape: int, like: Tensor) -> Tensor:
    return torch.randn(shape, generator=rng, device=rng.device).to(like)


def _uniform(rng: torch.Generator, *shape: int, like: Tensor) -> Tensor:
    return torch.rand(shape, generator=rng, device=rng.device).to(like)


def another_light(texture: Tensor, rng: torch.Generator, strength: float = 0.25) -> Tensor:
    """Multiply linear light by a smooth random field, a random exposure and a random white balance.

    ``strength``: standard deviation of the field's and the exposure's logarithm; the white balance gets a
    quarter of it.
    """
    b = len(texture)
    field = F.interpolate(_normal(rng, b, 1, 4, 4, like=texture), texture.shape[-2:], mode="bicubic", align_corners=False)
    exposure = _normal(rng, b, 1, 1, 1, like=texture)
    balance = _normal(rng, b, 3, 1, 1, like=texture) / 4
    return relight(texture, torch.exp(strength * (field + exposure + balance)))


def camera(texture: Tensor, rng: torch.Generator, sigma: float = 0.8, noise: float = 0.03) -> Tensor:
    """Blur by a Gaussian of up to ``sigma`` texels and add noise of a standard deviation of up to
    ``noise``."""
    b = len(texture)
    blurred = blur(texture, _uniform(rng, b, like=texture) * sigma)
    level = _uniform(rng, b, 1, 1, 1, like=texture) * noise
    return (blurred + level * _normal(rng, *texture.shape, like=texture)).clamp(0, 1)


def misalign(texture: Tensor, visibility: Tensor, rng: torch.Generator, texels: float = 1.0) -> tuple[Tensor, Tensor]:
    """Shift by up to ``texels`` and scale by up to 2 %, both maps alike."""
    b = len(texture)
    theta = torch.zeros(b, 2, 3, device=texture.device, dtype=texture.dtype)
    theta[:, 0, 0] = theta[:, 1, 1] = 1 + 0.02 * (2 * _uniform(rng, b, like=texture) - 1)
    theta[:, :, 2] = (2 * _uniform(rng, b, 2, like=texture) - 1) * 2 * texels / texture.shape[-1]
    grid = F.affine_grid(theta, [b, 4, *texture.shape[-2:]], align_corners=False)
    moved = F.grid_sample(torch.cat([texture * visibility, visibility], 1), grid, padding_mode="border", align_corners=False)
    seen = moved[:, 3:]
    return (moved[:, :3] / seen.clamp_min(1e-4)).clamp(0, 1), seen.clamp(0, 1)


def hide(visibility: Tensor, rng: torch.Generator, share: float = 0.5) -> Tensor:
    """Hide more than was hidden: for a ``share`` of the samples another sample's holes, for others a disc or
    a half plane."""
    b, _, height, width = visibility.shape
    choice = _uniform(rng, b, 3, like=visibility)
    other = visibility[torch.randperm(b, generator=rng, device=rng.device).to(visibility.device)]
    seen = torch.where((choice[:, 0] < share).view(b, 1, 1, 1), visibility * other, visibility)

    y, x = torch.meshgrid(
        *(torch.linspace(-1, 1, n, device=seen.device, dtype=seen.dtype) for n in (height, width)),
        indexing="ij",
    )
    centre = 2 * _uniform(rng, b, 2, 1, 1, like=seen) - 1
    radius = 0.1 + 0.35 * _uniform(rng, b, 1, 1, like=seen)
    disc = ((x - centre[:, 0]) ** 2 + (y - centre[:, 1]) ** 2 > radius**2).to(seen)[:, None]
    angle = 2 * math.pi * _uniform(rng, b, 1, 1, like=seen)
    cut = 0.2 + 0.8 * _uniform(rng, b, 1, 1, like=seen)
    plane = (x * angle.cos() + y * angle.sin() < cut).to(seen)[:, None]
    seen = torch.where((choice[:, 1] < share / 2).view(b, 1, 1, 1), seen * disc, seen)
    return torch.where((choice[:, 2] < share / 2).view(b, 1, 1, 1), seen * plane, seen)


def another_capture(texture: Tensor, visibility: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """The whole variation: `another_light`, `camera`, `misalign`, `hide`. Returns texture and visibility."""
    texture = camera(another_light(texture, rng), rng)
    texture, visibility = misalign(texture, visibility, rng)
    return texture, hide(visibility, rng)
