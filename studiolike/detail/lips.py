"""Lips that meet, for what lies between them no capture shows: of closed ones a pixel, of open ones teeth, which have no place in
the layout.

The generator draws the mouth of everybody: a dark band, for where lips meet lies a little elsewhere on every face. So what is not
seen of lips is painted in the colour of what is seen of them, and between them runs the line that exemplars have on average: it
is nobody's.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from ..evaluation.masked import masked_blur
from ..image import blur, resize
from ..layout import region_mask
from ..tone.network import log_texels, texels_of
from .masks import COARSE, enlarged, lip_mask

WIDTH = 1.5 / 128  # standard deviation, as a share of the side, of the lips' colour
ALONG = 3 / 128  # as a share of the side: over so much of its length the line is averaged too, or it would be ragged
ENOUGH = 0.25  # share of the lips near by from which, if it was seen, their colour is known


@lru_cache(2)
def line_of(exemplars: Tensor, size: int) -> Tensor:
    """Mean line between the lips of exemplars ``(K, 3, h, h)`` uint8, averaged along itself: ``(1, 3, size, size)`` log units, at
    most 0, against the colour of the lips around, which is taken outside of the line."""
    lips = lip_mask(size) * (1 - region_mask("inner_lips", size)[None])
    logs = [log_texels(resize(part.float() / 255, size).clamp(0, 1)) for part in exemplars.cpu().split(4)]
    lines = [x - masked_blur(x, lips.expand(len(x), -1, -1, -1), WIDTH * size) for x in logs]
    reach = round(ALONG * size / 2)
    return F.avg_pool2d(torch.cat(lines).mean(0, keepdim=True), (1, 2 * reach + 1), 1, (0, reach)).clamp_max(0)


def with_lips(texture: Tensor, visibility: Tensor, exemplars: Tensor) -> Tensor:
    """A texture whose unseen lips are closed, in the colour of those that were seen. See the module's text.

    Args:
        texture: ``(B, 3, H, W)`` sRGB in [0, 1]. visibility: ``(B, 1, H, W)`` in [0, 1].
        exemplars: ``(K, 3, h, h)`` uint8.
    Returns:
        ``(B, 3, H, W)`` sRGB in [0, 1]; the same where all was seen, or nothing of the lips.
    """
    side = texture.shape[-1]
    size = min(side, COARSE)
    own, seen = log_texels(resize(texture, size).clamp(0, 1)), resize(visibility, size)
    lips = lip_mask(size).to(own)
    known = blur(lips * seen, WIDTH * size) / blur(lips, WIDTH * size).clamp_min(1e-3)
    closed = texels_of(masked_blur(own, lips * seen, WIDTH * size) + line_of(exemplars, size).to(own))
    share = enlarged((known / ENOUGH).clamp(0, 1) * lips, side) * (1 - visibility)
    return torch.lerp(texture, F.interpolate(closed, (side, side), mode="bilinear"), share)
