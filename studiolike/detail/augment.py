"""Making training inputs that look like those of test time.

At test time the coarse texture is a generator's output, not a shrunken photograph: it is softer, its features
sit a little off, its colours wander smoothly. `degrade` does that to the shrunken true texture, so that the
detailer learns to trust the phone's gradients about *where* things are. `relight` makes a phone-like texture
out of a studio texture where no phone capture of that person exists: smooth light, a cast-shadow edge, blur,
gain and noise.

All randomness comes from the CPU generator handed in; results land on the input's device.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..io import linear_to_srgb, srgb_to_linear
from .model import blur


def _normal(shape: tuple[int, ...], rng: torch.Generator, like: Tensor) -> Tensor:
    return torch.randn(shape, generator=rng).to(like)


def _uniform(low: float, high: float, shape: tuple[int, ...], rng: torch.Generator, like: Tensor) -> Tensor:
    return (low + (high - low) * torch.rand(shape, generator=rng)).to(like)


def _smooth_field(channels: int, cells: int, x: Tensor, rng: torch.Generator) -> Tensor:
    """Smooth random field ``(B, channels, H, W)`` over ``x``, about unit variance, ``cells`` bumps across."""
    field = _normal((len(x), channels, cells + 3, cells + 3), rng, x)
    return F.interpolate(field, x.shape[-2:], mode="bicubic", align_corners=True)


def degrade(texture: Tensor, factor: int, rng: torch.Generator, strength: float = 1.0) -> Tensor:
    """A coarse texture like a generator's, made from the true one.

    Shrinks by area means, then blurs (σ up to 1.2 coarse texels), shifts features smoothly (up to about half
    a coarse texel), lowers or raises local contrast and bends the colours with a smooth field.

    Args:
        texture: ``(B, 3, H, W)`` in [0, 1], H and W multiples of ``factor``.
        factor: texels of the full texture per coarse texel.
        rng: CPU generator.
        strength: 0 gives plain area means, 1 the full disturbance.
    Returns:
        ``(B, 3, H / factor, W / factor)`` in [0, 1].
    """
    low = F.avg_pool2d(texture, factor)
    batch, _, height, width = low.shape
    soft = max(1.0, 4 / factor)  # a generator as large as the texture itself still lacks its finest detail
    sigma = _uniform(0, 1.2, (batch,), rng, low) * strength * soft
    amount = _uniform(0, 0.6, (batch, 1, 1, 1), rng, low) * strength * soft
    shift = _smooth_field(2, 4, low, rng) * amount
    contrast = 1 + _uniform(-0.4, 0.15, (batch, 1, 1, 1), rng, low) * strength
    gain = 1 + 0.06 * strength * (_normal((batch, 3, 1, 1), rng, low) + 0.5 * _smooth_field(3, 2, low, rng))
    low = blur(low, sigma)
    y = (torch.arange(height, device=low.device) + 0.5) / height * 2 - 1
    x = (torch.arange(width, device=low.device) + 0.5) / width * 2 - 1
    grid = torch.stack([x.expand(height, width), y[:, None].expand(height, width)], -1)
    grid = grid + (shift * shift.new_tensor([2 / width, 2 / height]).view(1, 2, 1, 1)).permute(0, 2, 3, 1)
    low = F.grid_sample(low, grid, mode="bilinear", padding_mode="border", align_corners=False)
    base = blur(low, 2.0)
    return ((base + contrast * (low - base)) * gain).clamp(0, 1)


def relight(texture: Tensor, uv: Tensor, rng: torch.Generator) -> Tensor:
    """A studio texture as a phone might have seen it: uneven light, a shadow edge, softness, noise.

    Args:
        texture: ``(B, 3, H, W)`` sRGB in [0, 1], evenly lit.
        uv: ``(B, 2, H, W)`` in [-1, 1], so that shadows run across the map and not across the crop.
        rng: CPU generator.
    Returns:
        ``(B, 3, H, W)`` sRGB in [0, 1].
    """
    batch = len(texture)
    light = torch.zeros_like(texture[:, :1])
    for _ in range(3):  # a few long waves: the shading of a smooth head under one to three lights
        wave = _normal((batch, 2, 1, 1), rng, texture) * 1.8
        phase = _uniform(0, 6.2832, (batch, 1, 1, 1), rng, texture)
        light = light + 0.35 * torch.cos((wave * uv).sum(1, keepdim=True) + phase)
    normal = F.normalize(_normal((batch, 2, 1, 1), rng, texture), dim=1)
    bend = 0.15 * _smooth_field(1, 3, texture, rng)
    distance = (normal * uv).sum(1, keepdim=True) + bend + _uniform(-0.6, 0.6, (batch, 1, 1, 1), rng, texture)
    softness = _uniform(0.01, 0.12, (batch, 1, 1, 1), rng, texture)
    hard = _uniform(0, 1, (batch, 1, 1, 1), rng, texture) < 0.5  # half of the samples carry a cast shadow
    depth = hard * _uniform(0, 1.4, (batch, 1, 1, 1), rng, texture)
    light = light - depth * torch.sigmoid(distance / softness)
    tint = 0.05 * _normal((batch, 3, 1, 1), rng, texture)
    linear = srgb_to_linear(texture) * (light + tint).exp()
    linear = blur(linear, _uniform(0, 1.0, (batch,), rng, texture))
    noise = _uniform(0, 0.012, (batch, 1, 1, 1), rng, texture) * _normal(tuple(texture.shape), rng, texture)
    return (linear_to_srgb(linear.clamp(0, 1)) + noise).clamp(0, 1)
