"""What nobody saw: its detail is borrowed from a person whose studio texture is known.

Where the capture has a hole the generator paints what is likely, and what is likely is a mean: hair without strands, ears
without folds, skin without pores, and a visible border where the seen begins. No capture can say what is right there, so the
detail is taken from one of a few *exemplars*, studio textures of people of the few-shot set, whichever is most like the
generator's picture in the hole, or like its mirror image. It is put on the generator's light and colour, as `fuse` puts the
phone's on the rest: texture transfer by example (Efros & Freeman, *Image quilting*, SIGGRAPH 2001), without a seam to
search for, because all textures share one layout. Hair lends to hair and skin to skin, no beard to a bare chin and no hairline to
another; and of skin only what is fine and faint is lent, and no rougher than the seen skin is: blotches, moles and stubble are
somebody's own.

It is an invention, and a plausible one: nearer to studio textures by a perceptual distance, farther from this person's own by
PSNR. It never touches an observed texel, nor eyes and brows, by which people are known: there an independent face network notices
the stranger. Of `lips` a line between them is all that is lent.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from ..errors import InputError
from ..evaluation.masked import channel_means
from ..image import blur, in_strips, resize, srgb_to_linear
from ..layout import region_mask
from ..tone.hair import hair_likelihood
from ..tone.network import log_texels, skin_level, skin_mask, texels_of
from .fusion import FLOOR, counted, fuse
from .lips import with_lips
from .masks import COARSE, feature_mask
from .model import upsample

WIDTH = 5 / 128  # of the low pass that stays the generator's, as a share of the side; between 3 and 12 it hardly matters
FINE = 1.2 / 128  # the same for skin: pores are finer, and blotches, which are somebody's own, wider
KEY = 32  # texels along a side of what is compared
NEAR = 2 / 128  # standard deviation, as a share of the side, of what tells hair from skin
HAIRLINE = 4.0  # nothing is lent where the two differ in hair unevenly, by a quarter: a hairline is somebody's own
FAINT = 0.2  # log units: pores and freckles stand out by less, moles by more
STRIP = 512  # rows that are worked at a time
SOURCES = ("phone", "generator", "exemplar")  # of detail
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


def origin(visibility: Tensor, guided: bool = True, borrow: bool = True) -> Tensor:
    """From which of the `SOURCES` the detail of a result is taken. Light and colour are the networks' everywhere. What is drawn
    between lips is nobody's, and counts as the generator's.

    Args:
        visibility: ``(B, 1, H, W)`` in [0, 1], as the result was fused with, of photographs `counted`.
        guided, borrow: as `StudioPipeline` was called; a result without guidance has all its detail from the generator and the
            detailer.
    Returns:
        ``(B, 3, H, W)`` in [0, 1], shares whose sum is 1.
    """
    phone = visibility if guided else torch.zeros_like(visibility)
    exemplar = borrowed(visibility) if guided and borrow else torch.zeros_like(visibility)
    return torch.cat([phone, 1 - phone - exemplar, exemplar], 1)


def complete(texture: Tensor, visibility: Tensor, exemplars: Tensor) -> Tensor:
    """A texture whose unseen texels have the detail of an exemplar; observed ones stay, and so do eyes and brows. Unseen lips are
    closed, see `lips`.

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
    texture, hidden = with_lips(texture, visibility, exemplars), borrowed(visibility)
    weight = resize(hidden, KEY) + EVERYWHERE
    nearest = difference(keys(texture), _keys_of(exemplars).to(texture), weight).argmin(1).to(exemplars.device)
    lent, mirrored = exemplars[nearest % len(exemplars)], nearest >= len(exemplars)
    lent = torch.where(mirrored.view(-1, 1, 1, 1), lent.flip(-1), lent)
    lent = resize(lent.to(texture) / 255, texture.shape[-1]).clamp(0, 1)
    side = texture.shape[-1]
    small = [resize(x, min(side, COARSE)) for x in (texture, lent, visibility)]
    levels = [skin_level(x).view(-1, 1, 1, 1) for x in small[:2]]
    smoother = _roughness(small[0], small[2]) / _roughness(small[1], small[2]).clamp_min(1e-6)

    # the folds of ears are dark, and no hair
    not_ears = (1 - region_mask("ears", side)).to(texture).expand(len(texture), -1, -1, -1)

    def part(texture: Tensor, lent: Tensor, hidden: Tensor, not_ears: Tensor) -> tuple[Tensor]:
        own, other = log_texels(texture), log_texels(lent)
        here, there = (hair_likelihood(blur(x, NEAR * side), level) for x, level in zip((own, other), levels, strict=True))
        hair, pores = (other - blur(other, width * side) for width in (WIDTH, FINE))
        detail = torch.lerp(pores.clamp(-FAINT, FAINT) * smoother.clamp_max(1), hair, there)
        apart = there - here
        uneven = (blur(apart.square(), NEAR * side) - blur(apart, NEAR * side).square()).clamp_min(0).sqrt() * not_ears
        alike = (1 - apart.abs()) * (1 - HAIRLINE * uneven).clamp_min(0)
        lit = torch.lerp(own, blur(own, WIDTH * side) + detail, alike)
        return (torch.lerp(texture, texels_of(lit), hidden),)

    return in_strips(part, [texture, lent, hidden, not_ears], min(side, STRIP), halo=min(side, STRIP))[0]


def _roughness(texture: Tensor, seen: Tensor) -> Tensor:
    """Root mean square of the faint detail of skin, where it was ``seen``, ``(B, 1, 1, 1)``, log units."""
    light = log_texels(texture)
    detail = (light - blur(light, FINE * light.shape[-1])).mean(1, keepdim=True).clamp(-FAINT, FAINT)
    return channel_means(detail.square(), skin_mask(light.shape[-1]).to(light) * seen).sqrt()


def closed_form(texture: Tensor, visibility: Tensor, studio: Tensor, exemplars: Tensor | None, real: bool = False) -> Tensor:
    """The rest of the chain without a detailer: fusion, and borrowed detail where nothing was seen.

    Args:
        texture: ``(B, 3, H, W)`` sRGB in [0, 1]. visibility: ``(B, 1, H, W)`` in [0, 1].
        studio: ``(B, 3, h, w)`` from `tone.translate`; it is enlarged here.
        exemplars: see `complete`; None: nothing is borrowed. real: see `fuse` and `counted`.
    Returns:
        ``(B, 3, H, W)`` sRGB in [0, 1].
    """
    visibility = counted(visibility) if real else visibility
    fused = fuse(texture, visibility, upsample(studio, texture.shape[-1]), real=real)
    return fused if exemplars is None else complete(fused, visibility, exemplars)
