"""Means, spreads and blurs that count only part of a picture; every metric here is built on them.

A mask is ``(B, 1, H, W)`` in [0, 1]: the weight of each texel. Texels of weight 0 have no influence at all.
"""

from __future__ import annotations

import torch
from torch import Tensor

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


def gaussian_matrix(size: int, sigma: float, wrap: bool, like: Tensor) -> Tensor:
    """Blur along one axis as a matrix ``(size, size)`` (one multiplication is faster than a long
    convolution).

    ``sigma`` in texels. With ``wrap`` the axis is a circle; without, weight falls off the edge and rows sum
    to less than 1.
    """
    index = torch.arange(size, device=like.device, dtype=like.dtype)
    distance = index[:, None] - index[None]
    taps = torch.exp(-0.5 * (distance / sigma) ** 2)
    if wrap:
        taps = taps + torch.exp(-0.5 * ((distance.abs() - size) / sigma) ** 2)
    return taps / torch.exp(-0.5 * ((index - size // 2) / sigma) ** 2).sum()


def gaussian_blur(x: Tensor, sigma: float) -> Tensor:
    """Plain Gaussian blur of ``(B, C, H, W)``; ``sigma`` in texels. Columns wrap around: left and right edge
    of the head layout meet at the back of the head."""
    down, across = (gaussian_matrix(n, sigma, wrap, x) for n, wrap in zip(x.shape[-2:], (False, True), strict=True))
    return down @ x @ across.T


def masked_blur(x: Tensor, mask: Tensor | None, sigma: float) -> Tensor:
    """Gaussian blur that looks at weighted texels only (normalised convolution, Knutsson & Westin, CVPR
    1993).

    Args:
        x: ``(B, C, H, W)``. mask: ``(B, 1, H, W)`` in [0, 1]. sigma: in texels.
    Returns:
        ``(B, C, H, W)``, also defined outside the mask, from the nearest weighted texels; where none is near,
            the
        weighted mean of the sample.
    """
    mask = full(x, mask)
    weight = gaussian_blur(mask, sigma)
    mean = (x * mask).sum((2, 3), keepdim=True) / mask.sum((2, 3), keepdim=True).clamp_min(1e-12)
    floor = 1e-4  # the mean takes over smoothly where hardly any weight arrives
    return (gaussian_blur(x * mask, sigma) + floor * mean) / (weight + floor)
