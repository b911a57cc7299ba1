"""Means, spreads and blurs that count only part of a picture; every metric here is built on them.

A mask is ``(B, 1, H, W)`` in [0, 1]: the weight of each texel. Texels of weight 0 have no influence at all.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..image import blur

EMPTY = 0.5  # a mask that holds less than half a texel in all has no measurable content: results are nan


def full(x: Tensor, mask: Tensor | None) -> Tensor:
    """``mask`` as float ``(B, 1, H, W)`` for ``x (B, C, H, W)``; ones if there is none."""
    if mask is None:
        return torch.ones_like(x[:, :1])
    return mask.to(x).expand(len(x), 1, *x.shape[-2:])


def masked_mean(x: Tensor, mask: Tensor | None = None) -> Tensor:
    """Weighted mean over channels and texels, ``(B,)``; nan for a sample whose mask is empty."""
    mask = full(x, mask)
    weight = mask.sum((1, 2, 3))
    mean = (x * mask).sum((1, 2, 3)) / (weight * x.shape[1]).clamp_min(1e-12)
    return torch.where(weight >= EMPTY, mean, torch.nan)


def channel_means(x: Tensor, mask: Tensor) -> Tensor:
    """Weighted mean of each channel over texels, ``(B, C, 1, 1)``; 0 for a sample whose mask is empty."""
    return (x * mask).sum((2, 3), keepdim=True) / mask.sum((2, 3), keepdim=True).clamp_min(1e-12)


def masked_blur(x: Tensor, mask: Tensor | None, sigma: float) -> Tensor:
    """Gaussian blur that looks at weighted texels only (normalised convolution, Knutsson & Westin, CVPR 1993).

    Args:
        x: ``(B, C, H, W)``. mask: ``(B, 1, H, W)`` in [0, 1]. sigma: in texels.
    Returns:
        ``(B, C, H, W)``, also defined outside the mask, from the nearest weighted texels; where none is near, the weighted
        mean of the sample.
    """
    mask = full(x, mask)
    weight = blur(mask, sigma)
    mean = channel_means(x, mask)
    floor = 1e-4  # the mean takes over smoothly where hardly any weight arrives
    return (blur(x * mask, sigma) + floor * mean) / (weight + floor)
