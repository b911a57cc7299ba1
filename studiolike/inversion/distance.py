"""Distances between two textures that look only where the phone has looked.

The functions take signed images ``(B, 3, H, W)`` and a visibility map ``(B, 1, H, W)`` in [0, 1], and returns
one number per image ``(B,)``. A texel with visibility 0 has exactly no influence on the value or on its
gradient: it is multiplied by zero *before* anything is averaged, filtered or fed to a network.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..features.perceptual import PerceptualDistance
from ..image import resize
from ..stylegan2.discriminator import Discriminator

TINY = 1e-6


def resize_observed(texture: Tensor, visibility: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Resample a texture with its visibility so that no colour of an unobserved texel leaks into an observed
    one.

    Args:
        texture: ``(B, 3, H, W)`` in [0, 1]; visibility: ``(B, 1, H, W)`` in [0, 1].
    Returns:
        both at ``size``×``size``; colours are the means over what was observed, 0 where nothing was.
    """
    if texture.shape[-1] == size:
        return texture, visibility
    weight = resize(visibility, size)
    colour = resize(torch.where(visibility > 0, texture, 0.0) * visibility, size)
    return (colour / weight.clamp_min(TINY)).clamp(0, 1), weight


def pyramid_distance(a: Tensor, b: Tensor, visibility: Tensor, levels: int = 4) -> tuple[Tensor, Tensor]:
    """Visibility-weighted mean squared difference, averaged over the levels of an area pyramid.

    At each level the *weighted difference* v·(a − b) and the weight v are halved together, so a coarse texel
    is the mean over its observed part only. The coarse levels give long-range gradients while the image is
    still far away.

    Returns:
        the distance ``(B,)`` and its finest level ``(B,)``, the plain weighted MSE in signed units. Both are
        0 for an image of which nothing is observed.
    """
    difference, weight = (a - b) * visibility, visibility
    errors = []
    for level in range(levels):
        if level:
            if difference.shape[-1] < 8:
                break
            difference, weight = F.avg_pool2d(difference, 2), F.avg_pool2d(weight, 2)
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


Compare = Callable[[Tensor, Tensor, Tensor], Tensor]
"""``(a, b (B,3,H,W) in [0, 1], weight (B,1,H,W)) -> distance (B,)``."""


def distance_of(network: Any) -> Compare | None:
    """Turn what the caller has into a perceptual distance on [0, 1] textures.

    None stays None; a trunk with ``features(...)`` (D_phone, the identity network) becomes a
    `PerceptualDistance`; a `PerceptualDistance`, the real LPIPS or any other callable ``(a, b, weight) ->
    (B,)`` is taken as it is.
    """
    if not hasattr(network, "features"):
        return network
    signed = getattr(network, "signed_input", isinstance(network, Discriminator))
    return PerceptualDistance(network, signed=signed)


def to_target(network: Compare, target: Tensor, visibility: Tensor) -> Callable[[Tensor], Tensor]:
    """The distance to one fixed target ``(B, 3, H, W)`` in [0, 1], whose features are computed only once if possible."""
    if not isinstance(network, PerceptualDistance):
        return lambda image: network(image, target, visibility)
    with torch.no_grad():
        wanted = network.describe(target, visibility)
    return lambda image: network.compare(network.describe(image, visibility), wanted, visibility)


def trunk_of(network: Any) -> list[Any]:
    """The modules a distance runs through, to be frozen while it is used (a trunk is kept out of the module tree)."""
    return [network, *getattr(network, "trunk", ())] if isinstance(network, nn.Module) else []
