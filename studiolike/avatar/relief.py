"""Fine relief of the skin, read from the texture: a tangent-space normal map for viewers that light the head anew.

*Dark is deep*: in an evenly lit texture, pores and wrinkles are darker because less light reaches their ground. So the
band of log luminance between pores and folds stands for height, as in the mesoscopic step of Beeler et al.,
*High-quality single-shot capture of facial geometry*, SIGGRAPH 2010. Brows, eyes, lips and hair are dark by their
colour; there the surface stays smooth.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import layout
from ..errors import InputError
from ..image import blur, differences, luminance, srgb_to_linear

PORES, FOLDS = 0.03, 0.25  # cm, standard deviations that bound the band: below is noise, above is shape and colour
DEPTH = 0.05  # cm of height per unit of log luminance: a crease a tenth darker is half a tenth of a millimetre deep
STEEPEST = 0.5  # slope at which relief is cut off, 27°
SMALLEST, LARGEST = 256, 2048  # texels: coarser textures hold no relief, finer ones are not needed for it


def normal_map(texture: Tensor) -> Tensor | None:
    """Normals of the skin's relief in the texture's tangent space, as glTF wants them.

    Args:
        texture: ``(3, N, N)`` in [0, 1], sRGB, `head` layout, of an evenly lit face.
    Returns:
        ``(3, M, M)`` in [0, 1], M = N but at most 2048; (.5, .5, 1) is flat; red is +u, green up in the picture. None for a
        texture below 256 texels, whose smallest detail is larger than relief.
    Raises:
        InputError: another shape.
    """
    if texture.ndim != 3 or texture.shape[0] != 3 or texture.shape[1] != texture.shape[2]:
        raise InputError(f"a texture is (3, N, N), not {tuple(texture.shape)}")
    if texture.shape[-1] < SMALLEST:
        return None
    texture = texture.detach().float().cpu()[None]
    while texture.shape[-1] > LARGEST:
        texture = F.avg_pool2d(texture, 2)
    size = texture.shape[-1]
    wide, high = _lengths(size)
    texel = float(wide[size // 2, size // 2]) / size  # cm, in the middle of the face
    tone = luminance(srgb_to_linear(texture)).clamp_min(1e-3).log()
    skin = layout.region_mask("skin_face", size)[None]
    # colours beyond the mask must not lean into the band at its border
    share = blur(skin, FOLDS / texel).clamp_min(1e-3)
    band = blur(tone, PORES / texel) - blur(tone * skin, FOLDS / texel) / share
    height = band * DEPTH * (2 * blur(skin, FOLDS / texel) - 1).clamp_min(0)  # ends short of brows and lips
    along_u, along_v = (rise * (size / 2) / length for rise, length in zip(differences(height), (wide, high), strict=True))
    slopes = torch.cat([-along_u, along_v], 1).clamp(-STEEPEST, STEEPEST)  # v runs down, green points up
    normals = F.normalize(torch.cat([slopes, torch.ones_like(slopes[:, :1])], 1), dim=1)
    return (normals * 0.5 + 0.5)[0]


def _lengths(size: int) -> tuple[Tensor, Tensor]:
    """Centimetres of surface per unit of u and of v at every texel, two ``(size, size)``."""
    coarse = 256
    steps = torch.cat(differences(layout.position_map(coarse)[None])) * (coarse / 2)
    wide, high = F.interpolate(steps.norm(dim=1)[None].clamp_min(1.0), (size, size), mode="bilinear", align_corners=False)[0]
    return wide, high
