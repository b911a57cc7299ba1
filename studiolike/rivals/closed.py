"""Rival in closed form: homomorphic de-lighting, the oldest idea of all."""

from __future__ import annotations

import torch
from torch import Tensor

from ..evaluation.baselines import StudioReference
from ..evaluation.masked import channel_means, masked_blur
from ..image import linear_to_srgb, srgb_to_linear

LOW = 0.4  # share of the low frequencies' deviation from their mean that stays; 1 would be a gain per channel
SIGMA = 0.08  # of the blur, as a share of the width
FLOOR = 2e-3  # linear light added before the logarithm, as in `baselines.quotient`


def homomorphic(texture: Tensor, visibility: Tensor, reference: StudioReference) -> Tensor:
    """Turn down the low frequencies of log light, and give the whole the mean studio texture's exposure and colour.

    Light multiplies, so in logarithms it adds; it is mostly low-frequency, so a linear filter that passes `LOW` of the low
    frequencies and all of the high ones weakens it, and the broad pigment with it (Oppenheim, Schafer and Stockham,
    Proc. IEEE 1968; Stockham, Proc. IEEE 1972). Nothing of the mean studio texture is used but its mean logarithm over the texels
    that were seen. Holes are the mean studio texture.

    Args:
        texture: ``(B, 3, H, W)`` in [0, 1], sRGB. visibility: ``(B, 1, H, W)``. reference: the studio domain's mean texture.
    Returns:
        ``(B, 3, H, W)`` in [0, 1], sRGB.
    """
    mean = reference.like(texture).expand_as(texture)
    logarithm, wanted = ((srgb_to_linear(x) + FLOOR).log() for x in (texture, mean))
    coarse = masked_blur(logarithm, visibility, SIGMA * texture.shape[-1])
    level, target = (channel_means(x, visibility) for x in (coarse, wanted))
    result = linear_to_srgb(((logarithm - coarse + LOW * (coarse - level) + target).exp() - FLOOR).clamp(0, 1))
    return torch.lerp(mean, result, visibility)
