"""What the chain does with a capture before fusion, as functions that the pipeline, trainings and experiments call.

A face and its mirror image are equally likely faces, but a network that was trained on finitely many answers differently for
the two. The mean of both answers errs less than either: what differs is error, and half of it cancels (Timofte et al., *Seven
ways to improve example-based single image super resolution*, CVPR 2016, call it self-ensemble).

Levels of skin are read twice in the same way, and under a hard sun the two readings of a real photo can lie a factor of two
apart. A mean would be wrong then; the median with a third opinion, the level that G_studio itself chose, believes the reading
that something speaks for.

Encoder and tone network are shown the face alone. They have met hair, ears and necks in training, of synthetic heads; those of
real people lead them astray.

Real people are another matter than the synthetic ones that the network learnt from. It reads their skin too dark: by about 0.3
log units, we guess by eye from some ninety portraits, most of them of light or brown people. Half of that is given back to
photographs. Whoever took one, person or automaton, mostly exposed it for the face, and the person in it expects to be as light as
there. `translate` can keep that, within limits. Rooms are dim and windows stand behind people, so a face is darker in a photo
than it is more often than lighter: of how much darker than read it is shown, a quarter is kept.

And real skin is redder than the generator's, which lacks blood. The two skins of the ColorChecker chart (McCamy et al., *A
color-rendition chart*, 1976), sRGB (194, 150, 130) and (115, 82, 68), differ in hue from synthetic people as light as they by
0.05, −0.05 and 0.00 log units of red, green and blue on average. Photographs get this on the whole texture, as a white balance.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..image import from_signed
from ..inversion.distance import resize_observed
from ..layout import face_mask
from ..stylegan2 import encode
from .hair import with_hair
from .network import ToneNet, log_texels, skin_level, texels_of, with_level

KEPT = 1.0  # log units: how far from what is read, at most, the level of a photo is kept; beyond, it is wrongly exposed
LIGHTER = 0.15  # log units: what is read of a photo is lifted by so much
DARKER = 0.25  # share that is kept where the photo is darker
REDDER = 0.05, -0.05, 0.0  # log units of red, green and blue: see the module's text


def face_alone(texture: Tensor, visibility: Tensor) -> tuple[Tensor, Tensor]:
    """What encoder and tone network are shown of captures: texture ``(B, 3, N, N)`` and visibility ``(B, 1, N, N)`` of the face
    oval. See the module's text."""
    oval = face_mask(texture.shape[-1]).to(texture)
    return texture * (oval > 0), visibility * oval


def with_mirrored(texture: Tensor, visibility: Tensor) -> tuple[Tensor, Tensor]:
    """Captures ``(B, ·, H, W)``, and after them their mirror images: ``(2B, ·, H, W)``."""
    return torch.cat([texture, texture.flip(-1)]), torch.cat([visibility, visibility.flip(-1)])


def kept_level(read: Tensor, shown: Tensor) -> Tensor:
    """The level of skin, from what is ``read`` ``(B,)`` and what a photo has ``shown`` ``(B,)``, nan where it shows none; log
    units. See the module's text."""
    read = read + LIGHTER
    apart = (shown - read).clamp(-KEPT, KEPT).nan_to_num(0.0)
    return read + torch.where(apart > 0, apart, DARKER * apart)


def redder(texture: Tensor) -> Tensor:
    """``texture (B, 3, H, W)``, sRGB in [0, 1], of the generator, a little redder. See the module's text."""
    return texels_of(log_texels(texture) + texture.new_tensor(REDDER).view(1, 3, 1, 1))


@torch.no_grad()
def paint(
    g_studio: nn.Module,
    tone: ToneNet | None,
    codes: Tensor,
    texture: Tensor,
    visibility: Tensor,
    keep_tone: bool = False,
    hair: bool = True,
) -> Tensor:
    """G_studio's texture of captures and of their mirror images, averaged in log light, as light as their skin.

    Args:
        tone: reads that; None: G_studio's own choice of tone.
        codes: ``(2B, L, D)``. texture: ``(2B, 3, H, W)`` sRGB in [0, 1]. visibility: ``(2B, 1, H, W)``: see `with_mirrored`.
        keep_tone: for photographs of people: skin about as light as they show it, see `kept_level`, and a little redder, see
            `redder`.
        hair: whether hair has the colour and the place that the capture shows, see `hair.with_hair`.
    Returns:
        ``(B, 3, h, w)`` sRGB in [0, 1], at the generator's resolution.
    """
    straight, mirrored = log_texels(from_signed(g_studio.synthesis(codes, "none").float())).chunk(2)
    studio = texels_of((straight + mirrored.flip(-1)) / 2)
    level = skin_level(studio)
    if tone is not None:
        low, high = torch.stack(tone(*face_alone(texture, visibility)).chunk(2)).aminmax(dim=0)
        level = torch.maximum(low, torch.minimum(high, level))
    if keep_tone:
        studio, shown = redder(studio), skin_level(*(x.chunk(2)[0] for x in (texture, visibility)))
        level = kept_level(level, shown)
    if tone is not None or keep_tone:
        studio = with_level(studio, level)
    return with_hair(studio, *(x.chunk(2)[0] for x in (texture, visibility))) if hair else studio


@torch.no_grad()
def translate(
    g_phone: nn.Module,
    encoder: nn.Module,
    g_studio: nn.Module,
    tone: ToneNet | None,
    texture: Tensor,
    visibility: Tensor,
    keep_tone: bool = False,
    hair: bool = True,
    whole: bool = False,
) -> Tensor:
    """G_studio's texture of captures, as light as their skin.

    Args:
        texture: ``(B, 3, H, W)`` sRGB in [0, 1]. visibility: ``(B, 1, H, W)`` in [0, 1]; both on the networks' device.
        tone: None: G_studio's own choice of tone. keep_tone, hair: see `paint`.
        whole: whether the encoder is shown all that was seen, and not the face alone.
    Returns:
        ``(B, 3, h, w)`` sRGB in [0, 1], at the generator's resolution.
    """
    both = with_mirrored(*resize_observed(texture, visibility, g_studio.config.resolution))
    codes = encode(encoder, g_phone, *(both if whole else face_alone(*both)))
    return paint(g_studio, tone, codes, *both, keep_tone, hair)
