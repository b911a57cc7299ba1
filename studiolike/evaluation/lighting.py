"""How much of the capture's light is left? Two measures that need no ground truth, and one that does.

`asymmetry`: faces are nearly symmetric, light seldom is. `variance_ratio`: one subject under several lights
should give one output; what still varies is light (and other capture effects) that came through. An output
that ignores its input is perfect in both, so they belong beside an identity metric, always.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..image import luminance, srgb_to_linear
from .masked import full, masked_blur, masked_mean

LOW_BAND = 6 / 256  # sigma of the blur below which the low band lies, as a share of the width: 6 texels at 256²
BROAD = 0.04  # sigma of the blur that leaves light and broad pigment, as a share of the width
DARK = 1e-3  # added to linear luminance before the logarithm, so that near-black texels do not rule


def asymmetry(texture: Tensor, mask: Tensor | None = None) -> Tensor:
    """Left-right difference of low-frequency log luminance, root mean square, ``(B,)``, in natural-log units.

    0 for a mirror-symmetric texture; 0.1 means that the light of the two sides typically differs
    by 10 %.

    Args:
        texture: ``(B, 3, H, W)`` in [0, 1], sRGB, in the head layout (the mirror is the middle column's).
        mask: ``(B, 1, H, W)``; a texel counts as far as it and its mirror image do.
    """
    low, mask = _broad_light(texture, mask)
    return masked_mean((low - low.flip(-1)).square(), mask * mask.flip(-1)).sqrt()


def _broad_light(texture: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Low-frequency log luminance ``(B, 1, H, W)``, and the mask as weights."""
    mask = full(texture, mask)
    logarithm = torch.log(luminance(srgb_to_linear(texture)) + DARK)
    return masked_blur(logarithm, mask, BROAD * texture.shape[-1]), mask


def variance_over_lights(textures: Tensor, subject: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Mean variance of a subject's textures over its captures.

    Args:
        textures: ``(N, 3, H, W)`` in [0, 1]. subject: ``(N,)`` integers. mask: ``(N, 1, H, W)`` weights.
    Returns:
        ``variance (S,)`` per subject in ``subject.unique()`` order, unbiased and averaged over the texels that every
        capture of the subject shares (``nan`` with fewer than two captures or no shared texel); and those ids ``(S,)``.
    """
    mask, ids = full(textures, mask), subject.unique()
    variance = []
    for k in ids:
        own = subject == k
        if int(own.sum()) < 2:
            variance.append(textures.new_tensor(torch.nan))
            continue
        shared = mask[own].amin(0, keepdim=True)
        variance.append(masked_mean(textures[own].var(0, keepdim=True), shared)[0])
    return torch.stack(variance), ids


def variance_ratio(outputs: Tensor, inputs: Tensor, subject: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Variance over lights of the outputs ÷ that of the inputs, per subject; 0 is perfect de-lighting, 1 none.

    Both over the same texels: give the inputs' visibility as ``mask``. Arguments and results as
    `variance_over_lights`.
    """
    of_outputs, ids = variance_over_lights(outputs, subject, mask)
    of_inputs, _ = variance_over_lights(inputs, subject, mask)
    return of_outputs / of_inputs.clamp_min(1e-12), ids


def shading_energy(texture: Tensor, mask: Tensor | None = None) -> Tensor:
    """Standard deviation of low-frequency log luminance inside the mask, ``(B,)``: light and broad pigment together."""
    low, mask = _broad_light(texture, mask)
    mean = masked_mean(low, mask).view(-1, 1, 1, 1)
    return masked_mean((low - mean).square(), mask).sqrt()


def low_band_error(output: Tensor, target: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
    """Error of light and colour after a blur of linear light that looks at masked-in texels only.

    Args:
        output, target: ``(B, 3, H, W)`` in [0, 1], sRGB. mask: ``(B, 1, H, W)`` weights, usually the visibility.
    Returns:
        Root mean squares over the mask, ``(B,)`` each, in natural-log units (0.1 is about 10 %), ``nan`` for an empty mask:
        ``low_band_luminance`` of log Y, ``low_band_chroma`` of the log ratios R/G and B/G (Finlayson et al. 2006), and
        ``low_band``, the root of the sum of their squares.
    """
    mask = full(output, mask)
    low = [masked_blur(srgb_to_linear(x), mask, LOW_BAND * x.shape[-1]).clamp_min(0) + DARK for x in (output, target)]
    ratio = torch.log(low[0] / low[1])
    luminance_error = torch.log(luminance(low[0]) / luminance(low[1]))
    chroma_error = ratio[:, [0, 2]] - ratio[:, 1:2]
    light, chroma = (masked_mean(x.square(), mask) for x in (luminance_error, chroma_error))
    return {"low_band": (light + chroma).sqrt(), "low_band_luminance": light.sqrt(), "low_band_chroma": chroma.sqrt()}
