"""What the cards of stage 1's networks say of them, measured on held-out captures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ..image import from_signed

if TYPE_CHECKING:
    from ..synth import TextureSet


@torch.no_grad()
def phone_quality(g_phone: nn.Module, data: TextureSet, count: int = 256) -> dict[str, float]:
    """KID of samples against held-out phone textures (both seen through the same visibility), and its floor."""
    from ..evaluation import PooledFeatures, kid

    rows = data.captures("val")[:count]
    texture, visibility = data.phone_batch(rows, "cpu")
    rng = torch.Generator().manual_seed(0)
    z = torch.randn(len(rows), g_phone.config.w_dim, generator=rng)
    device = next(g_phone.parameters()).device
    samples = torch.cat([from_signed(g_phone(part.to(device))).cpu() for part in z.split(16)])
    features = PooledFeatures()
    shuffled = torch.randperm(len(rows), generator=rng)
    half = len(rows) // 2
    value = kid(features, samples * visibility, texture * visibility)
    floor = kid(features, (texture * visibility)[shuffled[:half]], (texture * visibility)[shuffled[half:]])
    return {"kid": value.mean, "kid_std": value.std, "kid_floor": floor.mean, "kid_floor_std": floor.std}


def encoder_quality(encoder: nn.Module, g_phone: nn.Module, data: TextureSet) -> dict[str, float]:
    """PSNR in observed texels of reconstructions of held-out captures, after one pass and after two; dB."""
    from ..image import to_signed
    from ..inversion import observed_psnr
    from ..stylegan2 import encode

    rows = data.captures("val")
    values: dict[str, list[Tensor]] = {"psnr_one_pass": [], "psnr_two_passes": []}
    for part in rows.split(16):
        texture, visibility = data.phone_batch(part, "cpu")
        for passes, kept in enumerate(values.values(), start=1):
            picture = g_phone.synthesis(encode(encoder, g_phone, texture, visibility, passes)).detach().clamp(-1, 1)
            kept.append(observed_psnr(picture, to_signed(texture), visibility))
    return {name: torch.cat(kept).nanmean().item() for name, kept in values.items()}
