"""Hair as the capture shows it: its colour, and where it begins.

G_studio guesses hair from few texels, and what nobody has among the people that it learnt from it cannot paint. But where hair
was seen, the phone's own texels say what is hair and what is not: after the light that falls on the face is taken from them,
hair is darker than the skin beside it, or greyer. Two things are corrected then, both smoothly:

1. *Colour.* All hair that G_studio painted is moved by the difference of the two mean colours of hair, where it is larger than
   light can make it.
2. *Place.* Where one of the two shows hair and the other skin, the phone is right; and where nobody has looked, there is hair
   on the top of a head that has hair on the other side, or on most of what was seen.

A lamp behind a head can make hair as bright as skin. But light never falls on all of it: between lit strands it is dark, and so
hair is judged by its dark strands, and what is taken for skin is painted no lighter than the face. And where a cast of the light
makes black hair blue it is painted grey: nobody's hair is bluer than that, unless it is dyed.

It is a matter of scalp and forehead. Nothing changes where no hair was seen.
"""

from __future__ import annotations

from functools import lru_cache, partial

import torch
from torch import Tensor

from ..evaluation.masked import channel_means, masked_blur
from ..image import blur
from ..layout import region_mask
from .network import log_texels, skin_mask, texels_of

DARKER, GREYER, SOFT = 0.5, 0.6, 0.2  # log units: so much darker or greyer than skin is hair as likely as not; how soft this is
LIGHT = 5 / 128  # standard deviation, as a share of the side, of the light that is taken from the face
NEAR = 2 / 128  # and of what is compared
LIKE = 0.3  # log units: hair of mean colours nearer than this is of one colour in another light; three times as far, of another
ROUGH = 1.5  # standard deviations by which dark strands are darker than the mean around them
FADING = 5 / 128  # standard deviation, as a share of the side, over which painted hair ends above the ears
HAIRY = 0.2, 0.5  # shares of the seen top of the head: hair on less says nothing of the rest, on more everything
ENOUGH = 0.02  # share of the layout in which hair must be seen for its colour to count half


@lru_cache(8)
def hair_mask(size: int) -> Tensor:
    """Where hair may be: scalp and forehead, ``(1, 1, size, size)`` in [0, 1]."""
    scalp, crown, face = (region_mask(name, size)[None] for name in ("scalp", "crown", "face"))
    return scalp + crown * face


@lru_cache(8)
def top_mask(size: int) -> Tensor:
    """The top of the head, above brows and ears, ``(1, 1, size, size)`` in [0, 1], with a soft border: a haircut ends softly."""
    top = (region_mask("scalp", size) * region_mask("crown", size))[None]
    return (2 * blur(top, FADING * size) - 1).clamp(0, 1)


def hair_likelihood(light: Tensor, skin: Tensor, grey: bool = False) -> Tensor:
    """How likely texels show hair, ``(B, 1, H, W)`` in [0, 1]: because they are darker than skin, or ``grey`` and skin is not.

    Args:
        light: smooth log light ``(B, 3, H, W)``, evenly lit. skin: mean log light of the skin beside it, ``(B, 3, 1, 1)``.
    """
    less = skin - light
    darker, greyer = less.mean(1, keepdim=True), less[:, :1] - less[:, 2:]
    coloured = torch.sigmoid((GREYER - greyer) / SOFT) if grey else 1.0
    return 1 - torch.sigmoid((DARKER - darker) / SOFT) * coloured


def natural(light: Tensor) -> Tensor:
    """Log light ``(B, 3, H, W)`` of hair that is bluer than grey, made grey, as light as before."""
    red, green, blue = light.split(1, 1)
    excess = (blue - (red + green) / 2).clamp_min(0) / 3
    return torch.cat([red + excess, green + excess, blue - 2 * excess], 1)


def with_hair(studio: Tensor, texture: Tensor, visibility: Tensor) -> Tensor:
    """G_studio's texture with the capture's hair, see the module's text.

    Args:
        studio: ``(B, 3, H, W)`` sRGB in [0, 1]. texture: the capture's, the same shape. visibility: ``(B, 1, H, W)`` in [0, 1].
    Returns:
        ``(B, 3, H, W)`` sRGB in [0, 1].
    """
    side = studio.shape[-1]
    painted, own = log_texels(studio), log_texels(texture)
    bare, may, top = (mask(side).to(studio) for mask in (skin_mask, hair_mask, top_mask))
    face, seen = bare * visibility.square(), may * visibility
    skin = channel_means(painted, face)
    hair = partial(hair_likelihood, skin=skin)
    drawn = hair(painted)

    # the light is read where both show skin
    evenly = own + channel_means(painted - own, face)
    face = face * (1 - may * (hair(evenly) - drawn).abs())
    own = own + blur(masked_blur(painted - own, face, LIGHT * side), LIGHT * side)

    near, weight = NEAR * side, seen * visibility
    shown = masked_blur(own, weight, near)
    strands = masked_blur((own - shown).mean(1, keepdim=True).square(), weight, near).sqrt()
    likely = hair(shown - ROUGH * strands, grey=True)

    there = seen * likely.square()  # squared: much skin must not pass for little hair
    amount, colour = there.mean((2, 3), keepdim=True).square(), natural(channel_means(own, there))
    known = amount / (amount + ENOUGH**2)
    share = (top * there).sum((2, 3), keepdim=True) / (top * seen).sum((2, 3), keepdim=True).clamp_min(1e-6)
    bald = top * (1 - visibility) * (1 - drawn)
    hairy = ((share - HAIRY[0]) / (HAIRY[1] - HAIRY[0])).clamp(0, 1)
    hairy = torch.lerp(hairy, likely.flip(-1).square(), seen.flip(-1))  # the other side of the head knows better
    painted = torch.lerp(painted, colour, known * bald * hairy)

    everywhere = may * hair(painted)
    apart = colour - channel_means(painted, everywhere)
    other = ((apart.abs().mean(1, keepdim=True) / LIKE - 1) / 2).clamp(0, 1)
    painted = painted + apart * known * other * everywhere
    before = masked_blur(painted, weight, near)
    shown = torch.lerp(shown - (shown - skin).mean(1, keepdim=True).clamp_min(0), natural(shown), likely)
    wrong = (likely - hair(before)).abs() * seen
    return texels_of(painted + blur(wrong * (shown - before), 1.0))
