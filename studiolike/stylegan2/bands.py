"""The finest octaves of a picture, made as large as its colours, for networks that would not see them otherwise.

The grain of a phone texture and the rim of an iris have a hundredth of the energy of skin tone and light. A leaky ReLU
that such a small signal crosses is a straight line almost everywhere, and a straight line cannot tell whether a texture
has grain: a fresh discriminator that saw colours alone was still at chance after 160 steps against blurred pictures.
So the discriminator and the encoder also read the bands of the Laplacian pyramid (Burt and Adelson 1983), amplified.
Discriminators on wavelet bands: Gal et al., *SWAGAN* (TOG 2021).
"""
from __future__ import annotations

import torch
from torch import Tensor

from .ops import downsample, upsample

LEVELS = 2  # octaves: up to two and up to four texels
GAIN = 30.0  # 10 would bring their standard deviation to that of colours, but most of it belongs to a few edges
CHANNELS = 3 * LEVELS


def bands(rgb: Tensor, visibility: Tensor) -> Tensor:
    """What each of the finest octaves adds to the coarser picture, times `GAIN`; zero where nothing was observed.

    A normalised convolution: the coarser picture is a mean over observed texels, so that the rim of a hole is no detail.

    Args:
        rgb: signed ``(B, 3, H, W)``. visibility: ``(B, 1, H, W)`` in [0, 1].
    Returns:
        ``(B, 6, H, W)``, the finest first; linear in ``rgb``, so differentiable any number of times.
    """
    found, picture, weight = [], rgb * visibility, visibility
    for level in range(LEVELS):
        smaller, seen = downsample(picture), downsample(weight)
        coarse = upsample(smaller) / upsample(seen).clamp_min(1e-4)
        band = (picture - coarse * weight) * GAIN  # picture is already weighted
        for _ in range(level):
            band = upsample(band)
        found.append(band if level == 0 else band * visibility)
        picture, weight = smaller, seen
    return torch.cat(found, 1)
