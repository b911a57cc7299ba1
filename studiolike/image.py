"""Arithmetic of pictures on tensors: ranges, colour spaces, light, resampling, blur, filling of holes. One of each.

Textures are ``(B, 3, H, W)`` in [0, 1], sRGB-encoded unless a name says linear. Every function treats each sample for
itself: a result never depends on the sample's neighbours in the batch. In the head layout the left and the right border
are one meridian, so what reads neighbourhoods wraps around horizontally.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

# Rec. 709 luminance weights (ITU-R BT.709), the primaries of sRGB
LUMINANCE = (0.2126, 0.7152, 0.0722)
# linear sRGB → CIE XYZ (IEC 61966-2-1); its row sums are the white
RGB_TO_XYZ = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041))
KNEE = 6 / 29  # where L*a*b*'s cube root turns into a line (CIE 15:2004)


def to_signed(x: Tensor) -> Tensor:
    """[0, 1] → [-1, 1], the range in which the networks work."""
    return x * 2 - 1


def from_signed(x: Tensor) -> Tensor:
    """[-1, 1] → [0, 1], clamped."""
    return (x * 0.5 + 0.5).clamp(0, 1)


def to_bytes(picture: Tensor) -> np.ndarray:
    """``(…, C, H, W)``, clamped to [0, 1] → uint8 ``(…, H, W, C)``, rounded; by rows, to save a float copy."""
    rows = picture.detach().split(256, -2)
    return torch.cat([(r.float().clamp(0, 1) * 255 + 0.5).to(torch.uint8).movedim(-3, -1).cpu() for r in rows], -3).numpy()


def from_bytes(pixels: np.ndarray | Image.Image) -> Tensor:
    """uint8 ``(H, W, C)``, or such a picture of Pillow's → float32 ``(C, H, W)`` in [0, 1]."""
    return torch.from_numpy(np.array(pixels)).permute(2, 0, 1).float().div_(255)


def srgb_to_linear(x: Tensor) -> Tensor:
    """sRGB-encoded → linear light, both in [0, 1] (IEC 61966-2-1)."""
    return torch.where(x <= 0.04045, x / 12.92, ((x.clamp_min(0) + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(x: Tensor) -> Tensor:
    """Linear light → sRGB-encoded, both in [0, 1] (IEC 61966-2-1)."""
    return torch.where(x <= 0.0031308, x * 12.92, 1.055 * x.clamp_min(1e-8) ** (1 / 2.4) - 0.055)


def luminance(rgb: Tensor) -> Tensor:
    """Rec. 709 luminance ``(B, 1, H, W)`` of linear ``(B, 3, H, W)``; on sRGB input it is luma."""
    return (rgb * rgb.new_tensor(LUMINANCE).view(3, 1, 1)).sum(-3, keepdim=True)


def relight(texture: Tensor, gain: Tensor) -> Tensor:
    """Multiply the light of sRGB ``(B, 3, H, W)`` by ``gain`` (broadcast against it); the result is sRGB in [0, 1]."""
    return linear_to_srgb((srgb_to_linear(texture) * gain).clamp(0, 1))


def _to_white(like: Tensor) -> Tensor:
    """Linear sRGB → XYZ relative to the white, ``(3, 3)`` in double precision."""
    matrix = torch.tensor(RGB_TO_XYZ, dtype=torch.float64, device=like.device)
    return matrix / matrix.sum(1, keepdim=True)


def srgb_to_lab(texture: Tensor) -> Tensor:
    """sRGB ``(B, 3, H, W)`` in [0, 1] → CIE 1976 L*a*b* (L in [0, 100]) for the 2° observer and D65."""
    xyz = torch.einsum("ij,bjhw->bihw", _to_white(texture).to(texture), srgb_to_linear(texture))
    f = torch.where(xyz > KNEE**3, xyz.clamp_min(1e-12) ** (1 / 3), xyz / (3 * KNEE**2) + 4 / 29)
    x, y, z = f.unbind(1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], 1)


def lab_to_srgb(lab: Tensor) -> Tensor:
    """CIE L*a*b* ``(B, 3, H, W)`` → sRGB, clamped to [0, 1]."""
    lightness, a, b = lab.unbind(1)
    y = (lightness + 16) / 116
    f = torch.stack([y + a / 500, y, y - b / 200], 1)
    xyz = torch.where(f > KNEE, f**3, 3 * KNEE**2 * (f - 4 / 29))
    inverse = torch.linalg.inv(_to_white(lab)).to(lab)
    return linear_to_srgb(torch.einsum("ij,bjhw->bihw", inverse, xyz).clamp(0, 1)).clamp(0, 1)


def resize(x: Tensor, size: int) -> Tensor:
    """Resample ``(B, C, H, W)`` to ``size``×``size``: exact area means by whole factors, else antialiased bicubic.

    Bicubic overshoot is clamped to the range of each channel of each sample, so [0, 1] stays [0, 1].
    """
    if x.shape[-1] == size and x.shape[-2] == size:
        return x
    if x.shape[-1] % size == 0 and x.shape[-2] % size == 0:
        return F.avg_pool2d(x, (x.shape[-2] // size, x.shape[-1] // size))
    low, high = x.amin((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
    return F.interpolate(x, (size, size), mode="bicubic", antialias=x.shape[-1] > size, align_corners=False).clamp(low, high)


def blur(x: Tensor, sigma: float | Tensor) -> Tensor:
    """Gaussian blur of ``(B, C, H, W)``; wraps around horizontally, repeats the upper and lower edge.

    Args:
        x: maps in the head layout.
        sigma: in texels, one for all or ``(B,)``. One wide blur for all runs on a reduced map, a few
            thousandths off (more where noise meets the upper or lower edge).
    """
    b, c, h, w = x.shape
    factor = 1
    if not isinstance(sigma, Tensor):
        if sigma < 0.25:  # a neighbour would weigh less than 1/1000
            return x
        while sigma / factor > 5 and h % (factor * 2) == w % (factor * 2) == 0 and min(h, w) // (factor * 2) >= 8:
            factor *= 2
        if factor > 1:  # area means and the bilinear way back blur by 0.12 coarse texels² themselves
            x, sigma = F.avg_pool2d(x, factor), math.sqrt((sigma / factor) ** 2 - 0.12)
    sigma = torch.as_tensor(sigma, dtype=x.dtype, device=x.device).expand(b).clamp_min(1e-3)
    radius = min(max(1, math.ceil(3 * float(sigma.max()))), x.shape[-1] - 1)
    offsets = torch.arange(-radius, radius + 1, dtype=x.dtype, device=x.device)
    taps = torch.exp(-0.5 * (offsets / sigma[:, None]) ** 2)
    taps = (taps / taps.sum(1, keepdim=True)).repeat_interleave(c, 0)[:, None, None]
    # maps as channels of one picture: the depthwise kernel takes a tenth of the time of a batch of one-channel pictures
    y = x.reshape(1, b * c, *x.shape[-2:])
    y = F.conv2d(F.pad(y, (radius, radius, 0, 0), "circular"), taps, groups=b * c)
    y = F.conv2d(F.pad(y, (0, 0, radius, radius), "replicate"), taps.transpose(2, 3), groups=b * c)
    if factor > 1:
        y = F.pad(y, (1, 1, 0, 0), "circular")
        y = F.interpolate(y, scale_factor=factor, mode="bilinear", align_corners=False)[..., factor:-factor]
    return y.reshape(b, c, h, w)


def smoothstep(x: Tensor) -> Tensor:
    """0 below 0, 1 above 1, cubic between; any shape."""
    x = x.clamp(0, 1)
    return (x * x).mul_(x.mul_(-2).add_(3))


def unit(x: Tensor) -> Tensor:
    """``(B, 3, H, W)`` scaled to unit length; several times faster here than ``F.normalize``."""
    return x * (x * x).sum(1, keepdim=True).clamp_min(1e-12).rsqrt()


def differences(x: Tensor) -> tuple[Tensor, Tensor]:
    """Differences ``(B, C, H, W)`` of the right and the left neighbour, and of the lower and the upper one."""
    p = F.pad(F.pad(x, (1, 1, 0, 0), mode="circular"), (0, 0, 1, 1), mode="replicate")
    return p[:, :, 1:-1, 2:] - p[:, :, 1:-1, :-2], p[:, :, 2:, 1:-1] - p[:, :, :-2, 1:-1]


def normals_of(position: Tensor) -> Tensor:
    """Outward unit normals ``(B, 3, H, W)`` of a position map; the map is periodic in u."""
    du, dv = differences(position)
    (ax, ay, az), (bx, by, bz) = dv.unbind(1), du.unbind(1)  # torch.cross takes three times as long on planes
    return unit(torch.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], 1))


def in_strips(function: Callable[..., tuple[Tensor, ...]], maps: Sequence[Tensor], rows: int, halo: int) -> tuple[Tensor, ...]:
    """Apply a function of maps strip by strip, so that what it needs in between stays small.

    Args:
        function: maps ``(B, C, R, W)`` → maps ``(B, C', R, W')``; what it reads of its neighbourhood lies within ``halo`` rows.
        maps: ``(B, C, H, W)``, one height. rows: of a strip, as it counts in the result. halo: rows read on both sides; like
            ``rows`` a multiple of what the function reduces by.
    Returns:
        What ``function(*maps)`` would.
    """
    height, strips = maps[0].shape[-2], []
    for start in range(0, height, rows):
        top, end = max(start - halo, 0), min(start + rows, height)
        results = function(*(m[..., top : min(end + halo, height), :] for m in maps))
        strips.append([result[..., start - top : end - top, :].clone() for result in results])
    return tuple(torch.cat(parts, -2) for parts in zip(*strips, strict=True))


def fill_unobserved(texture: Tensor, visibility: Tensor) -> Tensor:
    """Give unobserved texels a smooth continuation of their observed neighbours (push–pull pyramid).

    Gortler et al., *The Lumigraph*, SIGGRAPH 1996. Observed texels (visibility 1) are returned unchanged, partly
    observed ones are blended.

    Args:
        texture: ``(B, 3, H, W)`` in [0, 1]; H and W powers of two.
        visibility: ``(B, 1, H, W)`` in [0, 1].
    Returns:
        ``(B, 3, H, W)``; where nothing at all is observed, the input itself.
    """
    colours, weights = [texture * visibility], [visibility]
    while colours[-1].shape[-1] > 1:
        colours.append(F.avg_pool2d(colours[-1], 2))
        weights.append(F.avg_pool2d(weights[-1], 2))
    filled = torch.where(weights[-1] > 1e-8, colours[-1] / weights[-1].clamp_min(1e-8), texture.mean((2, 3), keepdim=True))
    for colour, weight in zip(reversed(colours[:-1]), reversed(weights[:-1]), strict=True):
        around = F.pad(filled, (1, 1, 0, 0), mode="circular")  # the layout's left and right border are one seam
        size = 2 * filled.shape[-2], 2 * around.shape[-1]
        filled = F.interpolate(around, size, mode="bilinear", align_corners=False)[..., 2:-2]
        trust = (weight * 4).clamp(0, 1) if weight is not weights[0] else weight
        filled = torch.lerp(filled, colour / weight.clamp_min(1e-8), trust)
    return filled
