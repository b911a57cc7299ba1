"""Distances between two textures that look only where the phone has looked.

Every function takes signed images ``(B, 3, H, W)`` and a visibility map ``(B, 1, H, W)`` in [0, 1], and returns one
number per image ``(B,)``. A texel with visibility 0 has exactly no influence on the value or on its gradient: it is
multiplied by zero *before* anything is averaged, filtered or fed to a network.
"""
from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

FeatureFunction = Callable[[Tensor, Tensor], list[Tensor]]
"""``(signed rgb (B,3,H,W), visibility (B,1,H,W)) -> [feature map (B,C,h,w), ...]``, fine to coarse."""

TINY = 1e-6


def halve(x: Tensor) -> Tensor:
    """Area mean over 2×2 texels: ``(B, C, H, W)`` to ``(B, C, H/2, W/2)``."""
    return F.avg_pool2d(x, 2)


def pyramid_distance(a: Tensor, b: Tensor, visibility: Tensor, levels: int = 4) -> tuple[Tensor, Tensor]:
    """Visibility-weighted mean squared difference, averaged over the levels of an area pyramid.

    At each level the *weighted difference* v·(a − b) and the weight v are halved together, so a coarse texel is the
    mean over its observed part only. The coarse levels give long-range gradients while the image is still far away.

    Returns:
        the distance ``(B,)`` and its finest level ``(B,)``, the plain weighted MSE in signed units. Both are 0 for an
        image of which nothing is observed.
    """
    difference, weight = (a - b) * visibility, visibility
    errors = []
    for level in range(levels):
        if level:
            if difference.shape[-1] < 8:
                break
            difference, weight = halve(difference), halve(weight)
        # (v·d)² / v = v·d², with d the mean difference over the observed part of the texel
        squared = difference.square().mean(1, keepdim=True) / weight.clamp_min(TINY)
        errors.append(squared.sum((1, 2, 3)) / weight.sum((1, 2, 3)).clamp_min(TINY))
    return torch.stack(errors).mean(0), errors[0]


def observed_psnr(a: Tensor, b: Tensor, visibility: Tensor) -> Tensor:
    """PSNR in dB ``(B,)`` over observed texels, for signed images (peak-to-peak 2). ``nan`` if nothing is observed."""
    return psnr_from_signed_mse(pyramid_distance(a, b, visibility, levels=1)[1], visibility)


def psnr_from_signed_mse(mse: Tensor, visibility: Tensor) -> Tensor:
    """dB ``(B,)`` from the weighted MSE of signed images; ``nan`` where the visibility map is empty."""
    psnr = -10 * torch.log10(mse.clamp_min(1e-12) / 4)
    return torch.where(visibility.sum((1, 2, 3)) > 0, psnr, torch.full_like(psnr, float("nan")))


def feature_function(network: Any) -> FeatureFunction | None:
    """Wrap a network so that it can be called as ``(signed rgb, visibility) -> list of feature maps``.

    Accepts None, a network with ``features(rgb, visibility)`` on signed images (the discriminators), a network with
    ``features(texture)`` on [0, 1] images (the identity network), or any callable of the right form. Networks that do
    not know visibility are shown mid-grey where nothing was observed.
    """
    if network is None:
        return None
    features = getattr(network, "features", None)
    if features is None:
        return network
    required = [p for p in inspect.signature(features).parameters.values() if p.default is p.empty]
    if len(required) >= 2:
        return lambda rgb, visibility: features(rgb * visibility, visibility)
    return lambda rgb, visibility: features(rgb * visibility * 0.5 + 0.5)


def feature_distance(a: list[Tensor], b: list[Tensor], visibility: Tensor) -> Tensor:
    """Mean squared difference of channel-normalised features, averaged over scales: ``(B,)``.

    The form is that of LPIPS (Zhang et al., CVPR 2018) with all channel weights equal: every feature vector is scaled to
    unit length, so the value is 0 for parallel and 2 for orthogonal features. Positions count by their visibility.
    """
    total = []
    for x, y in zip(a, b, strict=True):
        weight = F.adaptive_avg_pool2d(visibility, x.shape[-2:])
        difference = (F.normalize(x, dim=1, eps=1e-4) - F.normalize(y, dim=1, eps=1e-4)).square().sum(1, keepdim=True)
        total.append((difference * weight).sum((1, 2, 3)) / weight.sum((1, 2, 3)).clamp_min(TINY))
    return torch.stack(total).mean(0)
