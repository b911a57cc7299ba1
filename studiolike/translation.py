"""What the chain does with a capture up to and after its detailer, as two functions: the pipeline, trainings and experiments
call the same ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from .detail.exemplars import complete
from .detail.fusion import fuse
from .detail.model import upsample
from .image import from_signed
from .inversion.distance import resize_observed
from .stylegan2 import encode
from .tone.network import with_level

if TYPE_CHECKING:
    from .tone import ToneNet


@torch.no_grad()
def translate(
    g_phone: nn.Module,
    encoder: nn.Module,
    g_studio: nn.Module,
    tone: ToneNet | None,
    texture: Tensor,
    visibility: Tensor,
) -> Tensor:
    """G_studio's texture of captures, as light as their skin.

    Args:
        texture: ``(B, 3, H, W)`` sRGB in [0, 1]. visibility: ``(B, 1, H, W)`` in [0, 1]; both on the networks' device.
        tone: None: G_studio's own choice of tone.
    Returns:
        ``(B, 3, h, w)`` sRGB in [0, 1], at the generator's resolution.
    """
    low, seen = resize_observed(texture, visibility, g_studio.config.resolution)
    codes = encode(encoder, g_phone, low, seen)
    studio = from_signed(g_studio.synthesis(codes, "none").float())
    return studio if tone is None else with_level(studio, tone(low, seen))


def closed_form(texture: Tensor, visibility: Tensor, studio: Tensor, exemplars: Tensor | None) -> Tensor:
    """The rest of the chain without a detailer: fusion, and borrowed detail where nothing was seen.

    Args:
        texture: ``(B, 3, H, W)`` sRGB in [0, 1]. visibility: ``(B, 1, H, W)`` in [0, 1].
        studio: ``(B, 3, h, w)`` from `translate`; it is enlarged here.
        exemplars: see `detail.complete`; None: nothing is borrowed.
    Returns:
        ``(B, 3, H, W)`` sRGB in [0, 1].
    """
    fused = fuse(texture, visibility, upsample(studio, texture.shape[-1]))
    return fused if exemplars is None else complete(fused, visibility, exemplars)
