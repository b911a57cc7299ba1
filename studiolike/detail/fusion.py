"""Gradient-domain fusion: the generator's light and colour, the phone's detail, in closed form.

A phone texture is albedo times light, I = A · S, channel by channel; in logarithms the product is a sum. Where light is
smooth, ∇log I is ∇log A, so a texture with the phone's log gradients and the *low band* of an evenly lit one has the right
detail under the right light. With B a blur over observed texels,

    log T = log I + B(log G − log I),

which keeps every gradient of log I that is finer than B, and takes everything coarser from the generator's texture G. A
screened Poisson equation (Bhat et al., *GradientShop*, TOG 2010; Pérez et al., SIGGRAPH 2003) has the same solution with
another low pass, see `guidance.screened_poisson`; a normalised Gaussian needs no boundary conditions at holes. What nobody
saw comes from G alone. Shadow edges and highlights are finer than B: they leak, and are the detailer's to repair.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..errors import InputError
from ..evaluation.masked import masked_blur
from ..image import in_strips, linear_to_srgb, srgb_to_linear

# Of the low pass, a standard deviation as a share of the side. It decides whose the middle band is. By PSNR on the split "val"
# a third of this is best, because the phone's middle band holds shadows too; but there too lies what makes a person: at a third
# of this, an independent face network takes photographs and their results for different people.
WIDTH = 3 / 128
WHOLE = 1024  # texels along a side above which a texture is fused in strips
FLOOR = 0.02  # linear light added before the logarithm: sensor noise in the dark stays small


def fuse(phone: Tensor, visibility: Tensor, studio: Tensor, width: float = WIDTH) -> Tensor:
    """The phone's detail on the low band of an evenly lit texture.

    Args:
        phone: ``(B, 3, H, W)`` sRGB in [0, 1]. visibility: ``(B, 1, H, W)`` in [0, 1]; where it is 0 the result is
            ``studio``.
        studio: ``(B, 3, H, W)`` sRGB in [0, 1], for example G_studio's picture, enlarged.
        width: standard deviation of the low pass, as a share of the side.
    Returns:
        ``(B, 3, H, W)`` sRGB in [0, 1].
    Raises:
        InputError: shapes that do not fit.
    """
    if phone.shape != studio.shape or visibility.shape != (len(phone), 1, *phone.shape[-2:]):
        raise InputError(
            f"phone texture {tuple(phone.shape)}, visibility {tuple(visibility.shape)} and studio texture "
            f"{tuple(studio.shape)} must have one batch and one size"
        )
    sigma = width * phone.shape[-1]
    if phone.shape[-2] <= WHOLE:
        return _fuse(phone, visibility, studio, sigma)[0]
    rows = max(WHOLE // 4, 2 ** math.ceil(math.log2(4 * sigma)))  # as far as the low pass reads, and a power of two
    return in_strips(lambda *maps: _fuse(*maps, sigma), (phone, visibility, studio), rows, halo=rows)[0]


def _fuse(phone: Tensor, visibility: Tensor, studio: Tensor, sigma: float) -> tuple[Tensor]:
    before = (srgb_to_linear(phone) + FLOOR).log()
    change = (srgb_to_linear(studio) + FLOOR).log() - before
    # squared: texels seen at a grazing angle have unsure colours, and should not spread them
    light = masked_blur(change, visibility.square(), sigma)
    fused = linear_to_srgb(((before + light).exp() - FLOOR).clamp(0, 1))
    return (torch.lerp(studio, fused, visibility),)
