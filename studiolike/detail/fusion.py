"""Gradient-domain fusion: the generator's light and colour, the phone's detail, in closed form.

A phone texture is albedo times light, I = A · S, channel by channel; in logarithms the product is a sum. Where light is
smooth, ∇log I is ∇log A, so a texture with the phone's log gradients and the *low band* of an evenly lit one has the right
detail under the right light. With B a blur over observed texels,

    log T = log I + B(log G − log I),

which keeps every gradient of log I that is finer than B, and takes everything coarser from the generator's texture G. A
screened Poisson equation (Bhat et al., *GradientShop*, TOG 2010; Pérez et al., SIGGRAPH 2003) has the same solution with
another low pass, see `guidance.screened_poisson`; a normalised Gaussian needs no boundary conditions at holes. What nobody
saw comes from G alone.

The edge of a cast shadow is finer than any blur, and would stay behind as a relief of its own. So on skin B is a bilateral
filter: it averages log G − log I over texels near by *and* of like value, follows a steep step, which is then the light's, and
smooths over wrinkles and pores, which are shallow (Oh et al., SIGGRAPH 2001, took texture and illumination apart in this way;
the filter is Tomasi & Manduchi's, ICCV 1998, computed level by level as in Durand & Dorsey, SIGGRAPH 2002). At eyes and brows
a steep step is the person's, whatever G thinks of it, and B stays a Gaussian. Of a step on the lips it may be either, for they
stand out into the light, and the two filters share it.

Brows are not alike, and seldom lie where the layout has them (`masks.own_brows` finds them). Where G has brows and the person
none, or the other way round, log G − log I tells nothing of the light, and it would shine around them like a halo. So it is read
beside brows, not on them: they keep the contrast to the skin that they have in the phone's texture. And beside lips, which G
draws as a mean of all people's: theirs keep their own red.

Nor is a highlight the person's. Shine on lips and skin is thin, and brighter than any pigment around it: what stands out of
log I, channel by channel, by more than G itself does, and a little more, is cut off. On lips, which are wet, little is allowed;
on skin more, for the ridges of wrinkles are a person's too; in eyes and brows nothing is cut.

What is noise in the phone's detail is left out beforehand, see `noise`.

Of real people G knows less than of synthetic ones: what it changes between B and a much wider blur is as often the person as the
light. Light that changes within a face changes a lot there. So for their photographs (``real``) that middle band is taken from G
only as far as it is strong in the region: where a face is evenly lit, nearly all of it stays the phone's.

And their noses. The generator's has dark sides and hardly nostrils, as everybody's there, and next to it those of people vanish:
a nostril is a steep step, and so is the side of a nose that is turned away from a lamp. On photographs steps on the nose are the
person's, light is read beside nostrils as it is beside brows, and of the generator's nose only the low band is asked for. The
sides of a nose are seen at a slant, too, and what is half trusted is half the generator's. What it guesses there of synthetic
people is better than a slanted look, what it guesses of real ones is not: see `counted`.

No filter follows a step to the texel, so along it a thin outline is left, bright on one side and dark on the other. There the
result is not believed at all, and filled in from what is believed beside it (normalised convolution again).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import InputError
from ..evaluation.masked import channel_means, masked_blur
from ..image import blur, in_strips, linear_to_srgb, resize, srgb_to_linear
from ..inversion.distance import resize_observed
from .masks import COARSE, enlarged, fusion_masks, nose_mask, own_brows
from .noise import balance, quieted

# Of the low pass, a standard deviation as a share of the side. It decides whose the middle band is. By PSNR on the split "val"
# a third of this is best, because the phone's middle band holds shadows too; but there too lies what makes a person: at a third
# of this, an independent face network takes photographs and their results for different people.
WIDTH = 3 / 128
WHOLE = 1024  # texels along a side above which a texture is fused in strips
FLOOR = 0.02  # linear light added before the logarithm: sensor noise in the dark stays small
STEP = 0.4  # log units: steps of the light above this are followed
REACH = 4  # steps of this size to either side of the mean change
EDGE = 0.4  # log units by which light changes within NEAR: from about here on the phone's detail is the outline of a shadow
NEAR = 1 / 128  # as a share of the side; what is filled in comes from about as far
BESIDE = 0.9  # how far brows and lips have no say in the light
SHINE = 0.3, 0.05  # log units, on skin and on lips, by which the phone's texture may stand out of its surroundings more than G's
# For real people: what lies between the low pass and one this wide, as a share of the side, is light as far as it is as strong as
# this, log units, within a region of this size.
WIDER, EVEN, REGION = 24 / 128, 0.2, 12 / 128
NOSELESS = 6 / 128  # standard deviation, as a share of the side, of what is left of the generator's nose
COUNTED = 0.4  # visibility from which a texel is the person's alone; in a single photo that of a surface seen at 71 degrees
# By `real` and `counted` together synthetic people of the split "val" lose 1 dB of PSNR. On photographs an independent face
# network recognises people much better, and of two people under eight hard lights one is .7 dB nearer to the truth, the other .3
# further away.
THIN = 0.5 / 128  # what is thinner than this, as a share of the side, is not light: hairs, the lines of wrinkles


def fuse(
    phone: Tensor, visibility: Tensor, studio: Tensor, width: float = WIDTH, edges: bool = True, real: bool = False
) -> Tensor:
    """The phone's detail on the low band of an evenly lit texture.

    Args:
        phone: ``(B, 3, H, W)`` sRGB in [0, 1], in the head layout. visibility: ``(B, 1, H, W)`` in [0, 1]; where it is 0 the
            result is ``studio``, but for the nose of ``real`` people.
        studio: ``(B, 3, H, W)`` sRGB in [0, 1], for example G_studio's picture, enlarged.
        width: standard deviation of the low pass, as a share of the side.
        edges: whether highlights are cut, noise is kept out, and the low pass follows the edges of shadows on skin.
        real: with ``edges``, for photographs of real people: more of the phone's is kept where they are evenly lit and on the
            nose, of whose generated one only the low band counts; nostrils have no say in the light. `counted` belongs to it.
    Returns:
        ``(B, 3, H, W)`` sRGB in [0, 1].
    Raises:
        InputError: shapes that do not fit.
    """
    if phone.shape != studio.shape or visibility.shape != (len(phone), 1, *phone.shape[-2:]):
        raise InputError(
            f"phone texture {tuple(phone.shape)}, visibility {tuple(visibility.shape)} "
            f"and studio texture {tuple(studio.shape)} must have one batch and one size"
        )
    real = real and edges
    studio = _noseless(studio) if real else studio
    maps, level, factor = [phone, visibility, studio], phone.new_zeros(()), phone.new_ones(())
    if edges:
        steps, coloured, shiny = (mask.to(phone) for mask in fusion_masks(phone.shape[-1], real))
        factor, level, brows = _whole(phone, visibility, studio)
        maps.append(torch.cat([torch.maximum(steps, brows), torch.maximum(coloured, brows), shiny * (1 - brows)], 1))

    def light_of(phone: Tensor, visibility: Tensor, studio: Tensor, *masks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log light of the phone's texture, what it is changed by, and the weight of each texel."""
        sigma, linear = width * phone.shape[-1], srgb_to_linear(phone)
        before, wanted = _log(linear * factor), _log(srgb_to_linear(studio))
        # squared: texels seen at a grazing angle have unsure colours, and should not spread them
        weight = visibility.square()
        if masks:
            features, coloured, shiny = masks[0].split((1, 1, 2), 1)
            before = quieted(before, linear + FLOOR / factor, weight, features)
            before = before - _shine(before, wanted, weight, sigma, shiny)
        change = wanted - before
        if masks:
            weight = weight * (1 - BESIDE * coloured)
        light = masked_blur(change, weight, sigma)
        if masks:
            guide = masked_blur(change.mean(1, keepdim=True), weight, THIN * phone.shape[-1]) - level
            light = torch.lerp(bilateral(change, weight, guide, sigma), light, features)
        return before, light, weight

    def part(phone: Tensor, visibility: Tensor, studio: Tensor, *masks: Tensor) -> tuple[Tensor]:
        before, light, weight = light_of(phone, visibility, studio, *masks[:1])
        if real:
            wide, uneven = (masks[1] if masks[1:] else _uneven(light, weight)).split((3, 1), 1)
            light = torch.lerp(wide, light, uneven)
        fused = before + light
        if masks:
            features = masks[0][:, :1]
            believed = torch.lerp(_steady(light, NEAR * phone.shape[-1]), torch.ones_like(weight), features)
            filled = masked_blur(fused, weight * (believed.square() + 1e-3), NEAR * phone.shape[-1])
            fused = torch.lerp(filled, fused, believed)
        fused = linear_to_srgb((fused.exp() - FLOOR).clamp(0, 1))
        return (torch.lerp(studio, fused, visibility),)

    if phone.shape[-2] <= WHOLE:
        return part(*maps)[0]
    if real:  # a strip does not hold the region
        small = *resize_observed(phone, visibility, COARSE), *(resize(x, COARSE).clamp(0, 1) for x in maps[2:])
        maps.append(enlarged(_uneven(*light_of(*small)[1:]), phone.shape[-1]))
    # as far as the low pass reads, and a power of two
    rows = max(WHOLE // 4, 2 ** math.ceil(math.log2(4 * width * phone.shape[-1])))
    return in_strips(part, maps, rows, halo=rows)[0]


def counted(visibility: Tensor) -> Tensor:
    """How far a photograph's texels count as seen when they are fused: fully from `COUNTED` on, below it in proportion.

    Args:
        visibility: ``(B, 1, H, W)`` in [0, 1].
    Returns:
        The same shape and range; 0 stays 0. See the module's text.
    """
    return (visibility / COUNTED).clamp(0, 1)


def _noseless(studio: Tensor) -> Tensor:
    """The generator's texture ``(B, 3, N, N)``, sRGB in [0, 1], with the low band alone of its nose."""
    full = studio.shape[-1]
    log = _log(srgb_to_linear(resize(studio, min(full, COARSE)).clamp(0, 1)))
    change = enlarged(blur(log, NOSELESS * log.shape[-1]) - log, full) * nose_mask(full).to(studio)
    return linear_to_srgb(((_log(srgb_to_linear(studio)) + change).exp() - FLOOR).clamp(0, 1))


def _uneven(light: Tensor, weight: Tensor) -> Tensor:
    """The wide band of what a texture is changed by, and how far its middle band is light and not the person.

    Args:
        light: ``(B, 3, N, N)`` log units. weight: ``(B, 1, N, N)`` in [0, 1].
    Returns:
        ``(B, 4, N, N)``, the last channel in [0, 1].
    """
    full = light.shape[-1]
    light, weight = (resize(x, min(full, COARSE)) for x in (light, weight))
    wide = masked_blur(light, weight, WIDER * light.shape[-1])
    strength = masked_blur((light - wide).square().mean(1, keepdim=True), weight, REGION * light.shape[-1])
    return enlarged(torch.cat([wide, strength / (strength + EVEN**2)], 1), full)


def _log(linear: Tensor) -> Tensor:
    """Log light of linear light."""
    return (linear + FLOOR).log()


def _shine(phone: Tensor, studio: Tensor, weight: Tensor, sigma: float, shiny: Tensor) -> Tensor:
    """What is too bright to be pigment, ``(B, 3, H, W)`` log units: see the module's text.

    Args:
        phone, studio: log light ``(B, 3, H, W)``. shiny: see `masks.fusion_masks`.
    """
    relief = phone - masked_blur(phone, weight, sigma) - (studio - blur(studio, sigma)).clamp_min(0)
    skin, lips = shiny.split(1, 1)
    return torch.maximum((relief - SHINE[0]).clamp_min(0) * skin, (relief - SHINE[1]).clamp_min(0) * lips) * (weight > 0)


def _steady(light: Tensor, near: float) -> Tensor:
    """How far light may be taken to be the same within ``near`` texels: ``(B, 1, H, W)`` in [0, 1], 0 at steep edges."""
    mean, radius = light.mean(1, keepdim=True), max(1, round(near / 2))
    high, low = (F.max_pool2d(x, 2 * radius + 1, stride=1, padding=radius) for x in (mean, -mean))
    return torch.exp(-((high + low) / EDGE).square())


def _whole(phone: Tensor, visibility: Tensor, studio: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What is the same for all strips of a texture: `noise.balance`, the mean change ``(B, 1, 1, 1)`` around which the levels of
    its light lie, and `masks.own_brows`."""
    linear, wanted = (srgb_to_linear(texture[..., ::4, ::4]) for texture in (phone, studio))
    seen = visibility[..., ::4, ::4].square()
    factor = balance(linear, wanted, seen)
    level = channel_means((_log(wanted) - _log(linear * factor)).mean(1, keepdim=True), seen)
    size = min(phone.shape[-1], COARSE)
    seen = resize(visibility, size)
    linear = resize(srgb_to_linear(phone) * visibility, size) / seen.clamp_min(1e-6)
    return factor, level, enlarged(own_brows(_log(linear * factor), seen.square()), phone.shape[-1])


def bilateral(x: Tensor, weight: Tensor, guide: Tensor, sigma: float) -> Tensor:
    """Mean of ``x`` over texels near by whose ``guide`` is alike (within `STEP`, a standard deviation too).

    One Gaussian for each of a few levels of the guide, between levels a linear blend; where ``sigma`` is wide, on reduced maps.

    Args:
        x: ``(B, C, H, W)``. weight: ``(B, 1, H, W)``. guide: ``(B, 1, H, W)`` around 0, log units. sigma: in texels.
    """
    place = (guide / STEP).clamp(-REACH, REACH)
    rest = channel_means(x, weight)
    factor = 1
    while sigma / factor >= 6 and x.shape[-1] % (2 * factor) == x.shape[-2] % (2 * factor) == 0:
        factor *= 2
    out = torch.zeros_like(x)
    for level in range(-REACH, REACH + 1):
        near = weight * torch.exp(-0.5 * (place - level).square())
        both = blur(F.avg_pool2d(torch.cat([x * near, near], 1), factor), sigma / factor)
        smooth = (both[:, :-1] + 1e-5 * rest) / (both[:, -1:] + 1e-5)  # where nobody is alike, everybody counts
        if factor > 1:
            smooth = F.interpolate(smooth, x.shape[-2:], mode="bilinear")
        out += (1 - (place - level).abs()).clamp_min(0) * smooth
    return out


def relief(phone: Tensor, visibility: Tensor, fused: Tensor) -> Tensor:
    """The light that fusion took away, log I − log T per channel, without its mean: its slopes are where shadows end.

    Args:
        phone, fused: ``(B, 3, H, W)`` sRGB in [0, 1]. visibility: ``(B, 1, H, W)`` in [0, 1].
    Returns:
        ``(B, 3, H, W)`` in [−2, 2], zero where nothing was seen. The mean over what was seen is taken away, and with it exposure
        and white balance.
    """
    light = ((srgb_to_linear(phone) + FLOOR) / (srgb_to_linear(fused) + FLOOR)).log()
    return (light - channel_means(light, visibility)).clamp(-2, 2) * visibility
