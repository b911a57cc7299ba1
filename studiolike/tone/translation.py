"""What the chain does with a capture before fusion, as one function that trainings and experiments call."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..image import from_signed
from ..inversion.distance import resize_observed
from ..stylegan2 import encode
from .network import ToneNet, with_level


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
