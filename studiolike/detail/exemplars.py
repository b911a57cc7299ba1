"""What nobody saw: its detail is borrowed from a person whose studio texture is known.

Where the capture has a hole the generator paints what is likely, and what is likely is a mean: hair without strands, ears
without folds, skin without pores, and a visible border where the seen begins. No capture can say what is right there, so the
detail is taken from one of a few *exemplars*, studio textures of people of the few-shot set, whichever is most like the
generator's picture in the hole, or like its mirror image. `fuse` puts it on the generator's light and colour, as it puts the
phone's on the rest: texture transfer by example (Efros & Freeman, *Image quilting*, SIGGRAPH 2001), without a seam to
search for, because all textures share one layout.

It is an invention, and a plausible one: nearer to studio textures by a perceptual distance, farther from this person's own by
PSNR. It never touches an observed texel, nor eyes, brows and lips, by which people are known: there an independent face network
notices the stranger.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from ..errors import InputError
from ..image import resize, srgb_to_linear
from .fusion import FLOOR, feature_mask, fuse
from .model import upsample

WIDTH = 5 / 128  # of the low pass that stays the generator's, as a share of the side; between 3 and 12 it hardly matters
KEY = 32  # texels along a side of what is compared
EVERYWHERE = 0.05  # the seen counts a little too: somebody like this person


def keys(textures: Tensor) -> Tensor:
    """Log light of area means, ``(B, 3, KEY, KEY)``, of textures ``(B, 3, H, W)`` sRGB in [0, 1]."""
    return resize((srgb_to_linear(textures) + FLOOR).log(), KEY)


def difference(a: Tensor, b: Tensor, weight: Tensor) -> Tensor:
    """Mean squared difference ``(A, B)`` of keys ``(A, 3, k, k)`` and ``(B, 3, k, k)`` after each's mean colour is taken away.

    Args:
        weight: ``(A, 1, k, k)``, of the places, one map for each of ``a``.
    """
    gap = a[:, None] - b[None]
    where = weight[:, None]
    total = where.sum((-2, -1), keepdim=True).clamp_min(1e-6)
    gap = gap - (gap * where).sum((-2, -1), keepdim=True) / total
    return (gap.square() * where / total).sum((2, 3, 4)) / gap.shape[2]


def choose(textures: Tensor, count: int) -> Tensor:
    """Rows ``(count,)`` of the textures ``(N, 3, H, W)`` that stand best for all of them: greedy k-medoids on `keys`, where a
    mirror image is as good as the original. Never more than there are."""
    own = keys(textures)
    everywhere = torch.ones_like(own[:, :1])
    apart = torch.minimum(difference(own, own, everywhere), difference(own, own.flip(-1), everywhere))
    nearest, chosen = torch.full_like(apart[0], torch.inf), []
    for _ in range(min(count, len(textures))):
        left = torch.minimum(nearest, apart).mean(1)
        left[chosen] = torch.inf
        chosen.append(int(left.argmin()))
        nearest = torch.minimum(nearest, apart[chosen[-1]])
    return torch.tensor(chosen, dtype=torch.long)


@lru_cache(2)  # they cost more than all the rest of `complete`, and are the same for every texture
def _keys_of(exemplars: Tensor) -> Tensor:
    """`keys` of exemplars ``(K, 3, h, h)`` uint8, and then of their mirror images, ``(2K, 3, KEY, KEY)``."""
    own = torch.cat([keys(part.float() / 255) for part in exemplars.split(4)])  # a few at a time: they are large
    return torch.cat([own, own.flip(-1)])


def borrowed(visibility: Tensor) -> Tensor:
    """How far the detail of each texel is borrowed by `complete`: where nobody saw, but for eyes, brows and lips.

    Args:
        visibility: ``(B, 1, H, W)`` in [0, 1].
    Returns:
        The same shape and range.
    """
    return (1 - visibility) * (1 - feature_mask(visibility.shape[-1]).to(visibility))


def complete(texture: Tensor, visibility: Tensor, exemplars: Tensor) -> Tensor:
    """A texture whose unseen texels have the detail of an exemplar; observed ones stay, and so do eyes, brows and lips.

    Args:
        texture: ``(B, 3, H, W)`` sRGB in [0, 1], a result of `fuse` or `detail`: smooth where nothing was seen.
        visibility: ``(B, 1, H, W)`` in [0, 1].
        exemplars: ``(K, 3, h, h)`` uint8, studio textures in the same layout; which of them, and whether mirrored, is decided
            for each texture by `difference` in its holes.
    Returns:
        ``(B, 3, H, W)`` sRGB in [0, 1].
    Raises:
        InputError: shapes that do not fit, or no exemplar.
    """
    if visibility.shape != (len(texture), 1, *texture.shape[-2:]) or exemplars.ndim != 4 or not len(exemplars):
        raise InputError(
            f"texture {tuple(texture.shape)} and visibility {tuple(visibility.shape)} must have one batch and one size, and "
            f"exemplars (K, 3, h, h), here {tuple(exemplars.shape)}, at least one"
        )
    hidden = borrowed(visibility)
    weight = resize(hidden, KEY) + EVERYWHERE
    nearest = difference(keys(texture), _keys_of(exemplars).to(texture), weight).argmin(1).to(exemplars.device)
    lent, mirrored = exemplars[nearest % len(exemplars)], nearest >= len(exemplars)
    lent = torch.where(mirrored.view(-1, 1, 1, 1), lent.flip(-1), lent)
    lent = resize(lent.to(texture) / 255, texture.shape[-1]).clamp(0, 1)
    return torch.lerp(texture, fuse(lent, torch.ones_like(visibility), texture, WIDTH, edges=False), hidden)


def closed_form(texture: Tensor, visibility: Tensor, studio: Tensor, exemplars: Tensor | None) -> Tensor:
    """The rest of the chain without a detailer: fusion, and borrowed detail where nothing was seen.

    Args:
        texture: ``(B, 3, H, W)`` sRGB in [0, 1]. visibility: ``(B, 1, H, W)`` in [0, 1].
        studio: ``(B, 3, h, w)`` from `tone.translate`; it is enlarged here.
        exemplars: see `complete`; None: nothing is borrowed.
    Returns:
        ``(B, 3, H, W)`` sRGB in [0, 1].
    """
    fused = fuse(texture, visibility, upsample(studio, texture.shape[-1]))
    return fused if exemplars is None else complete(fused, visibility, exemplars)
