"""The studio: a dome of even light around the head, exposure and white balance fixed, everything seen."""

from __future__ import annotations

import torch
from torch import Tensor

from ..io import linear_to_srgb
from .head import Subjects

EXPOSURE = 1.12  # fixed for everybody, so that skin tones keep their differences
FLARE = 0.004


def studio_texture(subjects: Subjects) -> Tensor:
    """Studio textures ``(B, 3, H, W)`` in [0, 1], sRGB: albedo under a uniform dome, dulled by ambient occlusion^0.8,
    with hardly any gloss. The lighting of phone captures has no part in it."""
    shade = subjects.occlusion.clamp_min(1e-3) ** 0.8
    sheen = 0.006 * subjects.gloss.clamp(0, 1.5) * subjects.occlusion
    light = (subjects.albedo_linear * shade + sheen * (1 - subjects.hair) + FLARE) * EXPOSURE
    return linear_to_srgb(torch.clamp(light, 0, 1))
