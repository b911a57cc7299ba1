"""Whose the detail of a result is, texel by texel."""

from __future__ import annotations

import torch
from torch import Tensor

from .exemplars import borrowed

SOURCES = ("phone", "generator", "exemplar")


def origin(visibility: Tensor, guided: bool = True, borrow: bool = True) -> Tensor:
    """From which of the `SOURCES` the detail of a result is taken. Light and colour are the networks' everywhere.

    Args:
        visibility: ``(B, 1, H, W)`` in [0, 1]. guided, borrow: as `StudioPipeline` was called; a result without guidance has
            all its detail from the generator and the detailer.
    Returns:
        ``(B, 3, H, W)`` in [0, 1], shares whose sum is 1.
    """
    phone = visibility if guided else torch.zeros_like(visibility)
    exemplar = borrowed(visibility) if guided and borrow else torch.zeros_like(visibility)
    return torch.cat([phone, 1 - phone - exemplar, exemplar], 1)
