"""Perceptual distance of outputs to the truth, with a trunk that no loss has seen."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..features import PerceptualDistance
from .masked import EMPTY, full


@torch.no_grad()
def perceptual(distance: PerceptualDistance | nn.Module, output: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """LPIPS-form distance, ``(B,)``, 0 for equal pictures; ``nan`` for an empty mask.

    Args:
        distance: a `PerceptualDistance` (or `lpips_pretrained(..., spatial=True)`); its ``name`` belongs in
            the table.
        output, target: ``(B, 3, H, W)`` in [0, 1].
        mask: ``(B, 1, H, W)`` weights in [0, 1]; texels of weight 0 are hidden from the trunk on both sides.
    """
    mask = full(output, mask)
    return torch.where(mask.sum((1, 2, 3)) >= EMPTY, distance(output, target, mask), torch.nan)
