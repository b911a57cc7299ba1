"""Where a face has eyes, brows, lips and a nose, as masks of the layout, and where a person's own brows are."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from ..evaluation.masked import masked_blur
from ..image import blur
from ..layout import FEATURES, face_mask, region_mask

COARSE = 256  # texels along a side at which masks are drawn: polygons are slow to fill, and their borders are soft anyway
LIPS = 0.5  # share of a step on the lips that is the person's
OTHERS = tuple(name for name in FEATURES if name != "lips")
BROWS = tuple(name for name in FEATURES if name.endswith("brow"))
NOSTRILS = ("left_nostril", "right_nostril")
EYES = tuple(name for name in FEATURES if name.endswith("eye"))
# Log units by which brows are darker, and less red, than the skin beside them as likely as not, and how soft that is. A shadow is
# darker too, but hardly greyer. By PSNR on "val" and on real faces half or twice of each makes little difference.
DARKER, GREYER = (0.4, 0.15), (0.2, 0.1)
AROUND, NEAR, SKIN = 4 / 128, 0.75 / 128, 10 / 128  # shares of the side: how far from the layout's brows; of what; of skin beside


@lru_cache(8)
def feature_mask(size: int) -> Tensor:
    """Eyes, brows and lips with a soft border, ``(1, 1, size, size)`` in [0, 1]."""
    return enlarged(_soft(FEATURES, min(size, COARSE), 1.5 / 128), size)


@lru_cache(8)
def fusion_masks(size: int, real: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """What fusion must know of a face, in [0, 1].

    Args:
        size: texels along a side. real: for photographs of real people, see `fusion`.
    Returns:
        steps: ``(1, 1, size, size)``, how far steep steps are the person's: in eyes and brows, by `LIPS` on lips, on real noses.
        coloured: ``(1, 1, size, size)``, whose colour is no light: the layout's brows and lips, and real nostrils, which are dark
            in every light.
        shiny: ``(1, 2, size, size)``, where highlights are cut: on skin, which is all but eyes, brows and lips, and on lips.
    """
    small = min(size, COARSE)
    others = _soft(OTHERS, small, 1.5 / 128)
    steps, coloured = torch.maximum(others, LIPS * _soft(["lips"], small, 1.5 / 128)), _soft([*BROWS, "lips"], small, 1 / 128)
    if real:
        steps = torch.maximum(steps, nose_mask(small))
        coloured = torch.maximum(coloured, _soft(NOSTRILS, small, 0.5 / 128))
    lips = _soft(["lips"], small, 0.75 / 128)

    def whole(mask: Tensor) -> Tensor:
        mask = enlarged(mask, size)
        return _rounded(mask) if real else mask  # the page has the chain for photographs alone

    return whole(steps), whole(coloured), whole(torch.cat([(1 - others) * (1 - lips), lips], 1))


@lru_cache(8)
def nose_mask(size: int) -> Tensor:
    """The nose with a soft border, ``(1, 1, size, size)`` in [0, 1]."""
    return _rounded(enlarged(_soft(["nose"], min(size, COARSE), 1 / 128), size))


@lru_cache(8)
def lip_mask(size: int) -> Tensor:
    """The lips with a soft border, ``(1, 1, size, size)`` in [0, 1]."""
    return enlarged(_soft(["lips"], min(size, COARSE), 0.5 / 128), size)


def own_brows(log: Tensor, weight: Tensor) -> Tensor:
    """Where the person has brows, near those of the layout: what is darker than the skin beside it, and greyer.

    Args:
        log: log light of a capture, ``(B, 3, N, N)``, N at most `COARSE`. weight: ``(B, 1, N, N)`` in [0, 1], 0 where it was not
            seen.
    Returns:
        ``(B, 1, N, N)`` in [0, 1].
    """
    size = log.shape[-1]
    may, bare = (mask.to(log) for mask in _beside(size))
    less = masked_blur(log, weight * bare, SKIN * size) - masked_blur(log, weight, NEAR * size)
    darker, greyer = less.mean(1, keepdim=True), less[:, :1] - less[:, 2:]
    likely = torch.sigmoid((darker - DARKER[0]) / DARKER[1]) * torch.sigmoid((greyer - GREYER[0]) / GREYER[1])
    return may * likely * (weight > 0)


@lru_cache(8)
def _beside(size: int) -> tuple[Tensor, Tensor]:
    """Where brows may be, and the skin that they are compared with: twice ``(1, 1, size, size)`` in [0, 1]."""
    may = _soft(BROWS, size, AROUND) * (1 - _soft(EYES, size, 0.75 / 128))
    return may, face_mask(size) * (1 - _soft(FEATURES, size, 1.5 / 128)) * (1 - may)


def _soft(names: Sequence[str], size: int, border: float) -> Tensor:
    """Regions of the layout, grown by a soft border, ``(1, 1, size, size)`` in [0, 1]; ``border`` as a share of the side."""
    mask = torch.stack([region_mask(name, size) for name in names]).amax(0)[None]
    return (4 * blur(mask, size * border)).clamp(0, 1)


def _rounded(mask: Tensor) -> Tensor:
    """A mask in steps that half precision holds, in which the page's copy of the chain is stored."""
    return (mask * 256).round() / 256


def enlarged(mask: Tensor, size: int) -> Tensor:
    """Maps ``(B, C, N, N)`` at a larger size, bilinear."""
    return F.interpolate(mask, (size, size), mode="bilinear") if size != mask.shape[-1] else mask
