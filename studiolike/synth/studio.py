"""The studio: a dome of even light around the head, exposure and white balance fixed, everything seen."""

from __future__ import annotations

import torch
from torch import Tensor

from ..image import linear_to_srgb
from .head import Subjects

EXPOSURE = 1.12  # fixed for everybody, so that skin tones keep their differences
FLARE = 0.004


def studio_texture(subjects: Subjects) -> Tensor:
    """Studio textures ``(B, 3, H, W)`` in [0, 1], sRGB: albedo under a uniform dome, dulled by ambient occlusion with
    the light that skin throws into its own hollows (fit of Jimenez et al., SIGGRAPH 2016 course "Practical real-time
    strategies for accurate indirect occlusion", eq. of multiple bounces), with hardly any gloss. The lighting of phone
    captures has no part in it."""
    open_sky, albedo = subjects.occlusion.clamp_min(1e-3), subjects.albedo_linear
    a, b, c = 2.0404 * albedo - 0.3324, 0.6417 - 4.7951 * albedo, 2.7552 * albedo + 0.6903
    bounced = ((a * open_sky + b) * open_sky + c) * open_sky
    shade = torch.maximum(open_sky, bounced)
    sheen = 0.006 * subjects.gloss.clamp(0, 1.5) * subjects.occlusion
    light = (subjects.albedo_linear * shade + sheen * (1 - subjects.hair) + FLARE) * EXPOSURE
    return linear_to_srgb(torch.clamp(light, 0, 1))
