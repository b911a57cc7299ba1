"""Perceptual distance of outputs to the truth, by a network that no loss has seen, at the size that is judged."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn

from .. import weights
from ..features import PerceptualDistance
from .masked import EMPTY, full


@lru_cache(2)
def perceptual_judge(device: str = "cpu") -> PerceptualDistance:
    """The distance of our tables: LPIPS in form, on the public trunk `EfficientNetLite`, at the textures' own size.

    Raises:
        WeightsError: the trunk's file is missing or damaged.
    """
    return PerceptualDistance(weights.load("perceptual_judge", device=device))


@torch.no_grad()
def perceptual(
    distance: PerceptualDistance | nn.Module,
    output: Tensor,
    target: Tensor,
    mask: Tensor | None = None,
    described: list[Tensor] | None = None,
) -> Tensor:
    """LPIPS-form distance, ``(B,)``, 0 for equal pictures; ``nan`` for an empty mask.

    Where the mask is 0 the network is shown the target on both sides, so nothing outside counts and no cut-out edge is seen;
    the distance is then taken per masked-in texel.

    Args:
        distance: a `PerceptualDistance`, such as `perceptual_judge` gives, or `lpips_pretrained`; its ``name`` belongs in
            the table.
        output, target: ``(B, 3, H, W)`` in [0, 1]. They are judged at the size at which they come.
        mask: ``(B, 1, H, W)`` weights in [0, 1].
        described: what ``distance.describe(target)`` gave, to save doing it again.
    """
    mask = full(output, mask)
    mixed = torch.lerp(target, output, mask)
    if isinstance(distance, PerceptualDistance):
        value = distance.compare(distance.describe(mixed), distance.describe(target) if described is None else described)
    else:
        value = distance(mixed, target)
    return torch.where(mask.sum((1, 2, 3)) >= EMPTY, value / mask.mean((1, 2, 3)).clamp_min(1e-8), torch.nan)
