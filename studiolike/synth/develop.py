"""What a phone's software makes of scene light: noise, tone curve, sharpening, JPEG."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from ..image import linear_to_srgb, luminance, smoothstep
from .draw import Draws, blur, column, enlarge

PERTURBED = 0.35  # share of the captures whose amplitude spectrum is perturbed


class Recorder:
    """Keeps the picture after each step of a capture, if anybody asked for it."""

    def __init__(self, stages: dict[str, Tensor] | None):
        self.stages = stages
        self.sums: dict[str, Tensor] = {}

    def keep(self, name: str, picture: Tensor, linear: bool = True) -> None:
        if self.stages is not None:
            picture = picture.clamp(0, 1)
            self.stages[name] = linear_to_srgb(picture) if linear else picture

    def blend(self, name: str, picture: Tensor, share: Tensor, rows: Tensor) -> None:
        """Add one view's linear picture of some captures to the blend of views that a step would have left; the first view
        has all captures."""
        if self.stages is not None:
            if name not in self.sums:
                self.sums[name] = torch.zeros_like(picture)
            self.sums[name][rows] += picture * share

    def settle(self, weight: Tensor, known: Tensor) -> None:
        for name, total in self.sums.items():
            self.keep(name, total / weight.clamp_min(1e-8) * known)


def develop(linear: Tensor, seeds: Tensor, recorder: Recorder) -> Tensor:
    """Scene light → the 8-bit JPEG a phone would keep, as sRGB in [0, 1]."""
    n = linear.shape[-1]
    rng = Draws(seeds, "develop", linear.device)
    gain = column(rng.uniform(0.00006, 0.0008) * rng.uniform(0.2, 1.0))
    late = Draws(seeds, "software", linear.device)
    gain = gain * (1 + 3 * column(late.chance(0.12)))  # little light, high sensitivity
    grain = rng.normal(3, n, n) * min(1.0, n / 256)
    blotch = enlarge(rng.normal(3, max(n // 4, 8), max(n // 4, 8)), n) * 0.5  # chroma noise left by the phone's denoiser
    linear = linear + (grain + blotch) * (gain * linear.clamp_min(0) + 0.04 * gain).sqrt()
    recorder.keep("noise", linear)
    shoulder = 0.22
    linear = (linear * (1 + shoulder) / (1 + shoulder * linear.clamp_min(0))).clamp(0, 1)
    x = linear_to_srgb(linear)
    grey = luminance(x)
    x = grey + (x - grey) * column(rng.uniform(0.88, 1.28))
    contrast = column(rng.uniform(0.0, 0.55))
    x = torch.lerp(x, smoothstep(x), contrast).clamp_min(0) ** column(late.normal(scale=0.10).exp())
    recorder.keep("tone curve", x, linear=False)
    x = x + column(rng.uniform(0.1, 0.9)) * (x - blur(x, max(0.004, 0.8 / n)))
    x = perturb_spectrum(x, seeds)
    recorder.keep("sharpening", x, linear=False)
    x = jpeg(x.clamp(0, 1), rng.uniform(50, 94))
    recorder.keep("JPEG", x, linear=False)
    return x


def perturb_spectrum(x: Tensor, seeds: Tensor) -> Tensor:
    """Multiply the amplitudes of a share `PERTURBED` of ``(B, 3, H, W)`` pictures, high frequencies most, by smooth and by
    rough random factors; phases and mean colours stay (PASTA, Chattopadhyay et al., ICCV 2023)."""
    n = x.shape[-1]
    rows = Draws(seeds, "spectrum", x.device).chance(PERTURBED).nonzero().flatten()
    if not len(rows):
        return x
    rng = Draws(seeds[rows.cpu()], "amplitudes", x.device)
    strong, bend, wave = rng.uniform(0.05, 0.35), rng.normal(scale=0.18), rng.normal(scale=0.12)
    f = torch.hypot(torch.fft.fftfreq(n, device=x.device)[:, None], torch.fft.rfftfreq(n, device=x.device)) / 0.7072
    rough = rng.normal(1, n, n // 2 + 1) * column(strong) * f**1.2
    smooth = column(bend) * (f * 4).clamp_max(1) + column(wave) * torch.sin(2 * math.pi * f)
    factor = torch.where(f > 0, (rough + smooth).exp(), torch.ones_like(f))
    out = x.clone()
    out[rows] = torch.fft.irfft2(torch.fft.rfft2(x[rows]) * factor, s=(n, n))
    return out


@lru_cache(1)
def _dct() -> Tensor:
    k = torch.arange(8.0)[:, None]
    basis = torch.cos((2 * torch.arange(8.0)[None] + 1) * k * math.pi / 16) / 2
    basis[0] /= math.sqrt(2)
    return basis


# quantisation tables of ITU-T T.81 (JPEG), annex K.1 and K.2
# fmt: off
LUMA = torch.tensor([
    [16, 11, 10, 16, 24, 40, 51, 61],
    [12, 12, 14, 19, 26, 58, 60, 55],
    [14, 13, 16, 24, 40, 57, 69, 56],
    [14, 17, 22, 29, 51, 87, 80, 62],
    [18, 22, 37, 56, 68, 109, 103, 77],
    [24, 35, 55, 64, 81, 104, 113, 92],
    [49, 64, 78, 87, 103, 121, 120, 101],
    [72, 92, 95, 98, 112, 100, 103, 99],
]).float()
CHROMA = torch.full((8, 8), 99.0)
CHROMA[:4, :4] = torch.tensor([[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99.0]])
# fmt: on


def jpeg(x: Tensor, quality: Tensor) -> Tensor:
    """What JPEG leaves of ``(B, 3, H, W)`` sRGB in [0, 1]: 8×8 DCT quantisation of luma and halved chroma (ITU-T T.81).

    Args:
        quality: ``(B,)`` 1…100 on the scale of the Independent JPEG Group's library.
    """
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality).view(-1, 1, 1, 1, 1) / 100
    y = luminance_601(x)
    cb, cr = (x[:, 2:] - y) / 1.772, (x[:, :1] - y) / 1.402
    chroma = F.avg_pool2d(torch.cat([cb, cr], 1), 2)
    y = _quantise(y - 0.5, (LUMA.to(x.device) * scale).round().clamp(1, 255)) + 0.5
    chroma = enlarge(_quantise(chroma, (CHROMA.to(x.device) * scale).round().clamp(1, 255)), x.shape[-1])
    cb, cr = chroma[:, :1], chroma[:, 1:]
    red, blue = y + 1.402 * cr, y + 1.772 * cb
    return torch.cat([red, (y - 0.299 * red - 0.114 * blue) / 0.587, blue], 1).clamp(0, 1)


def luminance_601(x: Tensor) -> Tensor:
    """Luma of JPEG's YCbCr (ITU-R BT.601), ``(B, 1, H, W)``."""
    return (x * x.new_tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(1, keepdim=True)


def _quantise(x: Tensor, table: Tensor) -> Tensor:
    b, c, h, w = x.shape
    d = _dct().to(x.device)
    blocks = x.view(b, c, h // 8, 8, w // 8, 8).transpose(3, 4)
    coefficients = d @ (blocks * 255) @ d.T
    table = table.view(b, 1, 1, 1, 8, 8)
    blocks = d.T @ ((coefficients / table).round() * table) @ d / 255
    return blocks.transpose(3, 4).reshape(b, c, h, w)
