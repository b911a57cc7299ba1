"""Peak signal-to-noise ratio, per sample, over any part of the texture, as it is or after a gain fit.

Nobody can read the exposure and the white balance of a studio off one phone capture, so both figures stand side by
side: the PSNR as it is, and the PSNR after the three gains that would have been the best guess (`gain_fitted`).
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..image import linear_to_srgb, srgb_to_linear
from .masked import full, masked_mean


def psnr(output: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """PSNR in dB, ``(B,)``; equal pictures give ``inf``, an empty mask gives ``nan``.

    Args:
        output, target: ``(B, 3, H, W)`` in [0, 1] (so the peak is 1).
        mask: ``(B, 1, H, W)`` weights in [0, 1].
    """
    if mask is None:
        from torchmetrics.functional.image import peak_signal_noise_ratio  # brings matplotlib; the chain is started without it

        return peak_signal_noise_ratio(output, target, data_range=1.0, reduction="none", dim=(1, 2, 3))
    return -10 * torch.log10(masked_mean((output - target).square(), mask))


def gain_fitted(output: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """``output`` with one gain per sample and colour channel, fitted to ``target`` by least squares in linear light.

    Args:
        output, target: ``(B, 3, H, W)`` in [0, 1], sRGB.
        mask: ``(B, 1, H, W)`` weights in [0, 1] of the texels that decide the gain; all are scaled by it.
    Returns:
        ``(B, 3, H, W)`` in [0, 1], sRGB.
    """
    mask = full(output, mask)
    light, wanted = srgb_to_linear(output), srgb_to_linear(target)
    power = (light.square() * mask).sum((2, 3), keepdim=True).clamp_min(1e-9)
    gain = (light * wanted * mask).sum((2, 3), keepdim=True) / power
    return linear_to_srgb((light * gain).clamp(0, 1))
