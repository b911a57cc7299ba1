"""Is the skin the right colour? CIEDE2000 after a low-pass, and the gap between skin tones.

CIE colour spaces for the 2° observer and D65; ΔE2000 after Sharma, Wu, Dalal, *The CIEDE2000 Color-Difference
Formula: Implementation Notes, Supplementary Test Data, and Mathematical Observations*, Color Research &
Application 2005 (their equations 2–22; their test pairs are in our tests). A ΔE of 1 is just noticeable, 2–3
is seen at a glance.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..image import linear_to_srgb, srgb_to_lab, srgb_to_linear
from .masked import masked_blur, masked_mean

BROAD = 0.03  # sigma of the low-pass, as a share of the width


def delta_e(first: Tensor, second: Tensor) -> Tensor:
    """CIEDE2000 of L*a*b* colours; ``(B, 3, …)`` twice → ``(B, …)``. Weights k_L = k_C = k_H = 1."""
    (l1, a1, b1), (l2, a2, b2) = first.unbind(1), second.unbind(1)
    power7 = ((torch.hypot(a1, b1) + torch.hypot(a2, b2)) / 2) ** 7
    stretch = 1.5 - 0.5 * torch.sqrt(power7 / (power7 + 25.0**7))  # 1 + G
    a1, a2 = a1 * stretch, a2 * stretch
    c1, c2 = torch.hypot(a1, b1), torch.hypot(a2, b2)
    turn = 2 * math.pi
    h1, h2 = torch.atan2(b1, a1) % turn, torch.atan2(b2, a2) % turn
    grey = c1 * c2 == 0  # no hue to compare
    dh = h2 - h1
    dh = torch.where(dh > math.pi, dh - turn, torch.where(dh < -math.pi, dh + turn, dh))
    dh = torch.where(grey, 0.0, dh)
    hue = (h1 + h2) / 2
    far = (h1 - h2).abs() > math.pi
    hue = torch.where(far & (h1 + h2 < turn), hue + math.pi, torch.where(far, hue - math.pi, hue))
    hue = torch.where(grey, h1 + h2, hue)
    lightness, chroma = (l1 + l2) / 2, (c1 + c2) / 2
    t = (
        1
        - 0.17 * torch.cos(hue - math.radians(30))
        + 0.24 * torch.cos(2 * hue)
        + 0.32 * torch.cos(3 * hue + math.radians(6))
        - 0.20 * torch.cos(4 * hue - math.radians(63))
    )
    turning = 30 * torch.exp(-(((torch.rad2deg(hue) - 275) / 25) ** 2))
    rc = 2 * torch.sqrt(chroma**7 / (chroma**7 + 25.0**7))
    middle = (lightness - 50) ** 2
    dl = (l2 - l1) / (1 + 0.015 * middle / torch.sqrt(20 + middle))
    dc = (c2 - c1) / (1 + 0.045 * chroma)
    dhue = 2 * torch.sqrt(c1 * c2) * torch.sin(dh / 2) / (1 + 0.015 * chroma * t)
    rotation = -torch.sin(2 * torch.deg2rad(turning)) * rc
    return torch.sqrt((dl**2 + dc**2 + dhue**2 + rotation * dc * dhue).clamp_min(0))


def colour_error(output: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean ΔE2000 of the low-passed textures inside the mask, ``(B,)``; ``nan`` for an empty mask.

    The low-pass, in linear light, asks for colour only: detail has its own metrics.
    """
    size = BROAD * output.shape[-1]
    low = [srgb_to_lab(linear_to_srgb(masked_blur(srgb_to_linear(x), mask, size)).clamp(0, 1)) for x in (output, target)]
    return masked_mean(delta_e(*low)[:, None], mask)


def tone_gap(errors: Tensor, group: Tensor) -> float:
    """The worst tone group's mean error ÷ the best group's; 1 means equally good for everybody.

    ``errors (N,)`` (``nan`` ignored) and integer ``group (N,)``.
    """
    means = [float(errors[group == k].nanmean()) for k in group.unique()]
    known = [m for m in means if not math.isnan(m)]
    return max(known) / max(min(known), 1e-12) if known else math.nan
