"""Peak signal-to-noise ratio, per sample, over any part of the texture."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio

from .masked import masked_mean


def psnr(output: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """PSNR in dB, ``(B,)``; equal pictures give ``inf``, an empty mask gives ``nan``.

    Args:
        output, target: ``(B, 3, H, W)`` in [0, 1] (so the peak is 1).
        mask: ``(B, 1, H, W)`` weights in [0, 1].
    """
    if mask is None:
        return peak_signal_noise_ratio(output, target, data_range=1.0, reduction="none", dim=(1, 2, 3))
    return -10 * torch.log10(masked_mean((output - target).square(), mask))
