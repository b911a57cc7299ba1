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

GAIN = 30.0  # 10 would bring their standard deviation to that of colours, but most of it belongs to a few edges
COARSEST = 32  # side of the picture that no band is taken from: its own contrasts are large enough


def octaves(resolution: int) -> int:
    """How many bands a picture of this side has: all between itself and 32², at least one."""
    return max(resolution.bit_length() - COARSEST.bit_length(), 1)


def channels_of_bands(resolution: int) -> int:
    """Channels that `bands` returns."""
    return 3 * octaves(resolution)


def bands(rgb: Tensor, visibility: Tensor) -> Tensor:
    """What each of the finest octaves adds to the coarser picture, times `GAIN`; zero where nothing was observed.

    A normalised convolution: the coarser picture is a mean over observed texels, so that the rim of a hole is no detail.

    Args:
        rgb: signed ``(B, 3, H, W)``. visibility: ``(B, 1, H, W)`` in [0, 1].
    Returns:
        ``(B, 3 · octaves(H), H, W)``, the finest first; linear in ``rgb``, so differentiable any number of times. Never in
        half precision, whose rounding the gain would amplify as well.
    """
    both = torch.cat([rgb * visibility, visibility], 1)  # together: to filter four channels costs no more than three
    both = both.to(torch.promote_types(both.dtype, torch.float32))
    with torch.autocast(rgb.device.type, enabled=False):
        found = _octaves(both)
    return torch.cat(found, 1) * GAIN


def _octaves(both: Tensor) -> list[Tensor]:
    visibility, found = both[:, 3:], []
    for level in range(octaves(both.shape[-1])):
        smaller = downsample(both)
        coarse = upsample(smaller)
        band = both[:, :3] - coarse[:, :3] * (both[:, 3:] / coarse[:, 3:].clamp_min(1e-4))  # the picture is already weighted
        for _ in range(level):
            band = upsample(band)
        found.append(band if level == 0 else band * visibility)
        both = smaller
    return found
