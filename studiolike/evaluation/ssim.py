"""Structural similarity, per sample, over any part of the texture.

Wang, Bovik, Sheikh, Simoncelli, *Image Quality Assessment: From Error Visibility to Structural Similarity*,
TIP 2004, eq. 13, with its constants and its 11×11 Gaussian window of 1.5 texels. The local means and
variances count masked-in texels only, so a hole does not spoil its neighbourhood. torchmetrics has no masks;
away from any border both agree.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .masked import full, masked_mean

SIGMA, RADIUS = 1.5, 5
C1, C2 = 0.01**2, 0.03**2  # for values in [0, 1]


def _window(x: Tensor) -> Tensor:
    """Gaussian window sums of ``(B, C, H, W)``; nothing lies outside the picture."""
    taps = torch.exp(-0.5 * (torch.arange(-RADIUS, RADIUS + 1, device=x.device, dtype=x.dtype) / SIGMA) ** 2)
    taps = (taps / taps.sum()).view(1, 1, 1, -1)
    flat = x.reshape(-1, 1, *x.shape[-2:])
    flat = F.conv2d(F.conv2d(flat, taps, padding=(0, RADIUS)), taps.transpose(2, 3), padding=(RADIUS, 0))
    return flat.reshape_as(x)


def ssim_map(output: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """SSIM around each texel, ``(B, 3, H, W)`` in [-1, 1], from texels inside the mask; see `ssim`."""
    mask = full(output, mask)
    weight = _window(mask).clamp_min(1e-6)
    stack = torch.cat([output, target, output**2, target**2, output * target], 1) * mask
    mean_o, mean_t, square_o, square_t, product = (_window(stack) / weight).chunk(5, 1)
    variance_o, variance_t = (square_o - mean_o**2).clamp_min(0), (square_t - mean_t**2).clamp_min(0)
    covariance = product - mean_o * mean_t
    likeness = (2 * mean_o * mean_t + C1) * (2 * covariance + C2)
    return likeness / ((mean_o**2 + mean_t**2 + C1) * (variance_o + variance_t + C2))


def ssim(output: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean SSIM, ``(B,)``, 1 for equal pictures; ``nan`` for an empty mask.

    Args:
        output, target: ``(B, 3, H, W)`` in [0, 1].
        mask: ``(B, 1, H, W)`` weights in [0, 1].
    """
    return masked_mean(ssim_map(output, target, mask), mask)
