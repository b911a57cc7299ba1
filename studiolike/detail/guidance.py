"""Gradient guidance: what the detailer may learn from the phone texture, and what it must not.

A phone texture is roughly albedo times shading, ``I = A · S``. Taking logarithms turns the product into a
sum, so ``∇log I = ∇log A + ∇log S``, and where the shading is smooth the second term is small: the log
gradient is nearly that of the albedo (the reasoning of Land & McCann's Retinex, 1971, and Horn, 1974). A
gradient has no mean, so no colour and no exposure can pass through it. Cast-shadow edges, highlights and
self-occlusion do leak: no exact illumination invariant exists (Chen, Belhumeur & Jacobs, CVPR 2000).

In: phone textures ``(B, 3, H, W)`` sRGB in [0, 1] with visibility ``(B, 1, H, W)``. Out: signed fields
``(B, 2, H, W)`` in log units per texel (horizontal, vertical), exactly zero in and around holes, and the mask
of the texels that they are valid on. The last function puts such a field into a texture in closed form.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import InputError
from ..image import linear_to_srgb, luminance, srgb_to_linear

FLOOR = 0.03  # of the mean luminance: keeps the logarithm finite at black, and sensor noise in the dark small
KINDS = ("log", "raw")


def trusted(visibility: Tensor, border: int = 3, threshold: float = 0.5) -> Tensor:
    """Visibility with holes grown by ``border`` texels: the texels whose differences touch no hole.

    A hole's rim is a giant false edge, and unwrapping smears the texels beside it, so they go too.

    Args:
        visibility: ``(B, 1, H, W)`` in [0, 1].
        border: how many texels every hole grows, in each direction.
        threshold: texels seen less than this count as a hole.
    Returns:
        ``(B, 1, H, W)`` in [0, 1]: the visibility itself, zero in the grown holes.
    """
    hole = (visibility < threshold).to(visibility.dtype)
    for _ in range(border):  # repeated 3×3 maxima touch far fewer texels than one large window
        hole = F.max_pool2d(hole, 3, stride=1, padding=1)
    return visibility * (1 - hole)


def differences(x: Tensor) -> Tensor:
    """Forward differences, (horizontal, vertical): ``(B, 1, H, W)`` → ``(B, 2, H, W)``, zero at the edge."""
    right = F.pad(x[..., :, 1:] - x[..., :, :-1], (0, 1))
    down = F.pad(x[..., 1:, :] - x[..., :-1, :], (0, 0, 0, 1))
    return torch.cat([right, down], 1)


def divergence(field: Tensor) -> Tensor:
    """Minus the adjoint of `differences`: ``(B, 2, H, W)`` → ``(B, 1, H, W)``."""
    right, down = field[:, :1], field[:, 1:]
    right = F.pad(right[..., :, :-1], (1, 1))
    down = F.pad(down[..., :-1, :], (0, 0, 1, 1))
    return (right[..., :, 1:] - right[..., :, :-1]) + (down[..., 1:, :] - down[..., :-1, :])


def mean_luminance(texture: Tensor, visibility: Tensor) -> Tensor:
    """Mean linear luminance ``(B, 1, 1, 1)`` over the observed texels; over all, if none is observed."""
    light = luminance(srgb_to_linear(texture))
    weight = visibility + 1e-6
    return (light * weight).sum((1, 2, 3), keepdim=True) / weight.sum((1, 2, 3), keepdim=True)


def gradients(texture: Tensor, visibility: Tensor, kind: str = "log", border: int = 3) -> tuple[Tensor, Tensor]:
    """Signed luminance gradients of a phone texture, zero in and around its holes.

    The logarithm is taken of ``Y + FLOOR · mean(Y)``: finite at black, and, because the floor scales with the
    exposure, exactly unchanged when the whole texture is made brighter or darker (in linear light).

    Args:
        texture: ``(B, 3, H, W)`` sRGB in [0, 1].
        visibility: ``(B, 1, H, W)`` in [0, 1].
        kind: ``"log"``, or ``"raw"`` for ``∇Y / mean(Y)``, which keeps the shading as a factor (for
            comparison).
        border: texels by which holes grow, see `trusted`.
    Returns:
        field ``(B, 2, H, W)`` and the mask ``(B, 1, H, W)`` of `trusted` texels.
    Raises:
        InputError: unknown kind or shapes that do not fit.
    """
    if kind not in KINDS:
        raise InputError(f"unknown gradient kind {kind!r}; use one of {', '.join(KINDS)}")
    if texture.shape[-2:] != visibility.shape[-2:] or texture.shape[0] != visibility.shape[0]:
        given, seen = tuple(texture.shape), tuple(visibility.shape)
        raise InputError(f"texture {given} does not fit visibility {seen}")
    light = luminance(srgb_to_linear(texture))
    mean = mean_luminance(texture, visibility).clamp_min(1e-4)
    signal = torch.log(light + FLOOR * mean) if kind == "log" else light / mean
    mask = trusted(visibility, border)
    return differences(signal) * pair_mask(mask), mask


def pair_mask(mask: Tensor) -> Tensor:
    """1 where both texels of a difference are trusted: ``(B, 1, H, W)`` → ``(B, 2, H, W)``."""
    seen = (mask > 0).to(mask.dtype)
    right = seen * F.pad(seen[..., :, 1:], (0, 1))
    down = seen * F.pad(seen[..., 1:, :], (0, 0, 0, 1))
    return torch.cat([right, down], 1)


def normalise(field: Tensor, scale: float) -> Tensor:
    """Compress a field for a network: ``asinh(field / scale)``.

    Pores have log gradients of about ``scale``, brows and shadow edges ten times that; asinh is linear for
    the first and logarithmic for the second, keeps the sign, and keeps zero at zero.
    """
    return torch.asinh(field / scale)


@lru_cache(maxsize=8)
def _cosines(n: int) -> Tensor:
    """The orthonormal DCT-II as a matrix ``(n, n)``: exact, differentiable, and quick enough up to 1024."""
    k = torch.arange(n, dtype=torch.float64)
    basis = torch.cos(math.pi / n * (k + 0.5) * k[:, None]) * math.sqrt(2 / n)
    basis[0] /= math.sqrt(2)
    return basis.float()


def screened_poisson(image: Tensor, field: Tensor, mask: Tensor, screen: float = 0.02) -> Tensor:
    """The image nearest to ``image`` whose gradients inside the mask are ``field``, in closed form.

    Solves ``min_u  screen · |u − image|² + |∇u − g|²`` where g is ``field`` inside the mask and ``∇image``
    outside, so nothing is asked of the holes. With ``u = image + d`` that is ``(screen − Δ) d = −div(m ·
    (field − ∇image))``, diagonal in the cosine basis (no flow through the border). The mean of ``image`` is
    kept. Bhat et al., *GradientShop*, TOG 2010; Pérez et al., *Poisson image editing*, SIGGRAPH 2003.

    Args:
        image: ``(B, 1, H, W)``, here a log luminance.
        field: ``(B, 2, H, W)`` in the same units per texel.
        mask: ``(B, 1, H, W)``, positive where ``field`` is to be believed.
        screen: the pull to ``image``; differences wider than about ``1/√screen`` texels stay those of
            ``image``.
    Returns:
        ``(B, 1, H, W)``.
    """
    height, width = image.shape[-2:]
    rows, columns = _cosines(height).to(image), _cosines(width).to(image)
    source = -divergence(pair_mask(mask) * (field - differences(image)))
    spectrum = rows @ source @ columns.T
    stiffness_y = 2 - 2 * torch.cos(math.pi * torch.arange(height, device=image.device) / height)
    stiffness_x = 2 - 2 * torch.cos(math.pi * torch.arange(width, device=image.device) / width)
    spectrum = spectrum / (screen + stiffness_y[:, None] + stiffness_x).to(image)
    spectrum[..., 0, 0] = 0  # the mean: zero but for rounding, which a small screen would blow up
    return image + rows.T @ spectrum @ columns


SCREEN = 0.02  # of `impose_gradients`, see `screened_poisson`


def impose_gradients(texture: Tensor, field: Tensor, mask: Tensor) -> Tensor:
    """Put a log-gradient field into a texture's luminance by `screened_poisson`; chromaticity stays.

    Args:
        texture: ``(B, 3, H, W)`` sRGB; clamped to [0, 1].
        field, mask: from `gradients` with ``kind="log"``.
    Returns:
        ``(B, 3, H, W)`` sRGB in [0, 1].
    """
    linear = srgb_to_linear(texture.clamp(0, 1))
    light = luminance(linear)
    before = torch.log(light + FLOOR * light.mean((1, 2, 3), keepdim=True).clamp_min(1e-4))
    after = screened_poisson(before, field, mask, SCREEN)
    change = (after - before).clamp(-3, 3)  # e³: at most twentyfold brighter or darker
    return linear_to_srgb(linear * change.exp()).clamp(0, 1)
