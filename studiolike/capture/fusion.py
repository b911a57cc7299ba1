"""Many captures of one person → one texture: the robust, weighted blend behind a phone video.

1. *Gains.* Frames differ in exposure and white balance. Each gets one gain per channel in linear light, the
   median ratio to the reference over texels that both saw and neither clipped.
2. *Robust mean.* Per texel, frames are weighted by visibility, local sharpness and exposure; those far from
   the weighted median (a hand, a blink, a misplaced mesh) lose their weight by Tukey's biweight.
3. *Two bands.* Landmarks jitter by about half a per cent of the face width, so a plain mean is soft. Colour
   comes from the mean of all frames, fine detail from the best frames of each place (Burt & Adelson, *A
   multiresolution spline*, 1983).

In and out: `Capture`. Biweight: Beaton & Tukey, *Technometrics* 1974.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..image import blur, fill_unobserved, in_strips, luminance, relight, resize, srgb_to_linear
from .shape import head_shape
from .unwrap import Capture

MIN_SEEN = 0.3  # visibility from which a texel counts in the gain estimate
TONE = (0.01, 0.9)  # linear luminance between which a texel tells its tone
SPREAD_FLOOR = 0.03  # smallest spread in sRGB units: below it frames agree
CUTOFF = 3.0  # spreads from the median at which a frame's weight reaches zero
CHOOSY = 6.0  # power on the weights in the fine band: near a choice of the best frame, still seamless
WHOLE = 512  # texels along a side above which frames are blended in strips
SAFE_BAND = 0.25  # visibility below which a frame lends no fine detail


def fuse(captures: Sequence[Capture]) -> Capture:
    """Blend captures of one person in one layout.

    Args:
        captures: one or more, all of one resolution. With three or more, a bad frame is outvoted.
    Returns:
        The fused capture. Its landmarks are those of the best frame, its shape is all frames', its quality the best one's with
        ``frames``, ``gains`` (per frame and channel, linear) and ``kept`` (part of each frame's weight that
        survived the vote).
    Raises:
        InputError: nothing to fuse, or different resolutions.
    """
    captures = list(captures)
    if not captures:
        raise InputError("nothing to fuse: give at least one capture")
    sizes = sorted({capture.texture.shape[-1] for capture in captures})
    if len(sizes) > 1:
        raise InputError(f"captures of different sizes {sizes} cannot be fused; unwrap all with one --res")
    best = max(range(len(captures)), key=lambda k: _merit(captures[k]))
    if len(captures) == 1:
        return captures[0]

    textures = torch.cat([capture.texture for capture in captures])
    visibility = torch.cat([capture.visibility for capture in captures])
    gains = frame_gains(textures, visibility, best)
    size = textures.shape[-1]
    rows = size if size <= WHOLE else size // 4
    texture, seen, given, kept = in_strips(partial(_blend, gains=gains), (textures, visibility), rows, halo=rows // 2)
    texture = fill_unobserved(texture, (seen * 4).clamp(0, 1)).clamp(0, 1)
    kept = kept.sum((1, 2, 3)) / given.sum((1, 2, 3)).clamp_min(1e-8)

    facts = dict(captures[best].quality)
    facts["frames"] = len(captures)
    facts["gains"] = np.round(gains.double().numpy(), 3).tolist()
    facts["kept"] = [round(float(k), 3) for k in kept]
    facts["seen"] = round(float((seen > MIN_SEEN).float().mean()), 4)
    shaped = [capture for capture in captures if capture.shape is not None]
    shape = head_shape([c.landmarks for c in shaped], [c.outward for c in shaped]) if shaped else None
    return Capture(texture, seen, captures[best].landmarks, facts, shape)


def _blend(textures: Tensor, visibility: Tensor, gains: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Texture ``(1, 3, R, W)``, visibility ``(1, 1, R, W)``, and each frame's weight before and after the vote, summed
    along each row, ``(N, 1, R, 1)``. Nothing is read further off than an eighth of the layout's side."""
    aligned = relight(textures, gains[:, :, None, None])
    weights = visibility * _focus(aligned, visibility) * _tone(textures)
    votes = agreement(aligned, weights)
    kept = weights * votes
    # a texel is as visible as in the frame that saw it best, unless the vote threw that frame out
    seen = (visibility * votes).amax(0, keepdim=True)
    return two_bands(aligned, kept, visibility), seen, weights.sum(-1, keepdim=True), kept.sum(-1, keepdim=True)


def _merit(capture: Capture) -> float:
    quality = capture.quality
    seen = float((capture.visibility > MIN_SEEN).float().mean())
    return seen * (0.1 + quality.get("sharpness", 1.0)) * (1 - quality.get("clipped", 0.0))


def frame_gains(textures: Tensor, visibility: Tensor, reference: int) -> Tensor:
    """What to multiply every frame's light by, so that all have one exposure and white balance: the median of what they had.

    Args:
        textures: ``(N, 3, R, R)`` sRGB. visibility: ``(N, 1, R, R)``. reference: index of the frame to
            follow.
    Returns:
        linear gains ``(N, 3)``. A frame that shares less than 50 texels with the reference keeps its tone.
    """
    if textures.shape[-1] > WHOLE:
        textures, visibility = (resize(maps, WHOLE) for maps in (textures, visibility))
    linear = srgb_to_linear(textures)
    tone = luminance(linear)
    usable = (visibility > MIN_SEEN) & (tone > TONE[0]) & (linear.amax(1, keepdim=True) < TONE[1])
    gains = torch.ones(len(textures), 3)
    target = linear[reference]
    for k in range(len(textures)):
        both = (usable[k] & usable[reference])[0]
        if k != reference and int(both.sum()) >= 50:
            ratio = target[:, both].clamp_min(1e-3).log() - linear[k][:, both].clamp_min(1e-3).log()
            gains[k] = ratio.median(1).values.exp()
    gains /= gains.log().quantile(0.5, dim=0).exp()  # one oddly exposed reference must not set the tone for all
    return gains


def _focus(textures: Tensor, visibility: Tensor) -> Tensor:
    """Local sharpness of each frame against the sharpest one there, ``(N, 1, R, R)`` in (0, 1]."""
    size = textures.shape[-1]
    luma = luminance(textures)
    near, far = max(1.0, size / 256), max(2.0, size / 48)
    share = blur(visibility, near).clamp_min(1e-3)
    detail = (luma - blur(luma * visibility, near) / share).abs() * visibility
    energy = blur(detail, far) / blur(visibility, far).clamp_min(1e-3)
    # the floor keeps noise on smooth skin from deciding
    return ((energy + 0.004) / (energy.amax(0, keepdim=True) + 0.004)).clamp(0.05, 1)


def _tone(textures: Tensor) -> Tensor:
    """Trust in the exposure, ``(N, 1, R, R)``: falls to a twentieth where the frame is black or burnt out."""
    high, low = textures.amax(1, keepdim=True), luminance(textures)
    return (((1 - high) / 0.06).clamp(0, 1) * (low / 0.06).clamp(0, 1)).clamp_min(0.05)


def weighted_median(values: Tensor, weights: Tensor) -> Tensor:
    """Weighted median over the first axis, ``(N, …)`` → ``(1, …)``."""
    order = values.argsort(0)
    cumulated = weights.gather(0, order).cumsum(0)
    index = (cumulated < cumulated[-1:] / 2).sum(0, keepdim=True).clamp_max(len(values) - 1)
    return values.gather(0, order.gather(0, index))


def agreement(textures: Tensor, weights: Tensor) -> Tensor:
    """How far each frame agrees with the rest, ``(N, 1, R, R)`` in [0, 1]; 1 if fewer than three."""
    if len(textures) < 3:
        return torch.ones_like(weights)
    sigma = max(1.0, textures.shape[-1] / 128)
    share = blur(weights, sigma).clamp_min(1e-4)
    smooth = blur(textures * weights, sigma) / share  # compare tones, not the jitter of fine detail
    spread_weights = weights.expand_as(smooth).contiguous()
    middle = weighted_median(smooth, spread_weights)
    distance = (smooth - middle).abs().amax(1, keepdim=True)
    spread = weighted_median(distance, weights).clamp_min(SPREAD_FLOOR) * 1.4826
    return (1 - (distance / (CUTOFF * spread)).clamp(0, 1) ** 2) ** 2


def two_bands(textures: Tensor, weights: Tensor, visibility: Tensor) -> Tensor:
    """Coarse band from all frames, fine band from the best ones; ``(N, 3, R, R)`` → ``(1, 3, R, R)``."""
    sigma = max(1.5, textures.shape[-1] / 96)
    known = (weights > 1e-6).float()
    share = blur(known, sigma).clamp_min(1e-3)
    coarse = blur(textures * known, sigma) / share
    fine = textures - coarse
    mean = (coarse * weights).sum(0, keepdim=True) / weights.sum(0, keepdim=True).clamp_min(1e-8)
    lenders = weights * (visibility / SAFE_BAND).clamp(0, 1)
    sharp = blur((lenders / lenders.amax(0, keepdim=True).clamp_min(1e-8)) ** CHOOSY, sigma / 2) * known
    detail = (fine * sharp).sum(0, keepdim=True) / sharp.sum(0, keepdim=True).clamp_min(1e-6)
    return (mean + detail).clamp(0, 1)
