"""The phone: a head in some light, filmed from two or three sides, unwrapped with all that goes wrong on the way.

Per view: gloss from that camera, its own exposure and white balance, a smooth misregistration of about a half to one
per cent of the face's width, blur and background colour where the surface turns away. Then the views are blended by
how well they saw each texel, holes are smeared over (visibility exactly 0), and the picture passes through a tone
curve, shot noise, sharpening and JPEG.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from ..io import fill_unobserved, linear_to_srgb, luminance
from ..layout import face_mask, texel_uv
from .draw import Draws, blur, column, enlarge, fbm, sample, smoothstep, unit
from .head import Subjects
from .light import draw_lighting, gloss, irradiance, severity, shadow

VIEWS = 3
FACE_WIDTH = 0.63  # of the layout's width, ear to ear along landmarks 234 and 454
SEEN = 0.04  # texels that every view saw worse than this count as never observed
STAGES = (
    "light",
    "gloss",
    "white balance",
    "views",
    "background",
    "misregistration",
    "blur",
    "holes filled",
    "noise",
    "tone curve",
    "sharpening",
    "JPEG",
)  # in "views", "background", "misregistration" and "blur" holes are black


@dataclass
class PhoneCapture:
    """``texture``: ``(B, 3, H, W)`` in [0, 1], sRGB. ``visibility``: ``(B, 1, H, W)`` in [0, 1], exactly 0 where no view saw
    the texel. ``severity``: ``(B,)`` in [0, 1], unevenness of the light on the face. ``irradiance``: ``(B, 3, H, W)``
    linear, the ground truth of the light."""

    texture: Tensor
    visibility: Tensor
    severity: Tensor
    irradiance: Tensor


def phone_capture(subjects: Subjects, lighting_seeds: Tensor, stages: dict[str, Tensor] | None = None) -> PhoneCapture:
    """One capture per subject.

    Args:
        subjects: ``B`` heads (index it with repeats for several captures of one head).
        lighting_seeds: int64 ``(B,)``. A capture depends on (subject seed, lighting seed) only; the light, the cameras'
            places and the damage come from the lighting seed alone, so two subjects can be seen under the same light.
        stages: if given, it receives the picture after every step of the way, ``(B, 3, H, W)`` sRGB under the step's
            name, in order: the names of `STAGES`. Recording changes nothing.
    """
    device, n = subjects.albedo_linear.device, subjects.resolution
    lighting = draw_lighting(lighting_seeds, device)
    skin = 1 - subjects.hair
    light, lit = irradiance(subjects.position, subjects.smooth_normals, subjects.normals, lighting, scatter=skin)
    face = face_mask(n).to(device)
    uneven = severity(light, face)

    rng = Draws(lighting_seeds, "camera", device)
    albedo = subjects.albedo_linear
    meter = luminance(albedo * light).flatten(1)[:, (face > 0.5).flatten()]
    bright = torch.quantile(meter, 0.75, dim=1)
    target = 0.24 * rng.normal(scale=0.28).exp()
    exposure = target * (0.30 / target) ** 0.15 * bright.clamp_min(1e-4) ** -0.72 * 0.24**-0.28 * 0.72
    cast = (light * face).sum((2, 3)) / face.sum()
    gains = (cast / cast.mean(1, keepdim=True).clamp_min(1e-6)).clamp_min(0.05) ** -rng.uniform(0.5, 1.0, 1)
    gains = gains * rng.normal(3, scale=0.05).exp()
    background = rng.uniform(0.02, 0.5, 3, 1) * rng.normal(3, 3, scale=0.10).exp()

    single = rng.uniform(0, 1)
    base_azimuth = torch.tensor([0.0, 1.0, -1.0], device=device) * rng.uniform(0.55, 1.05, VIEWS)
    azimuth = base_azimuth + rng.normal(VIEWS, scale=0.07)
    elevation = rng.uniform(-0.20, 0.26, 1) + rng.normal(VIEWS, scale=0.06)
    distance = rng.uniform(34, 60, VIEWS)
    use = torch.ones(len(albedo), VIEWS, device=device)
    use[:, 1] = (single > 0.13).float()
    use[:, 2] = (single < 0.87).float()  # a quarter of the captures miss one side
    roughness = column(rng.uniform(0.36, 0.50))
    drift = rng.uniform(0.0045, 0.0095) * FACE_WIDTH
    focus = rng.uniform(0.5, 1.6)

    recorder = _Recorder(stages)
    recorder.keep("light", albedo * light * exposure.view(-1, 1, 1, 1))
    uv = texel_uv(n).to(device)
    total = torch.zeros_like(albedo)
    weight = torch.zeros_like(subjects.hair)
    best = torch.zeros_like(weight)
    for k in range(VIEWS):
        camera = torch.stack(
            [
                azimuth[:, k].sin() * elevation[:, k].cos(),
                elevation[:, k].sin(),
                azimuth[:, k].cos() * elevation[:, k].cos(),
            ],
            -1,
        )
        seen = shadow(subjects.position, subjects.smooth_normals, camera, size=144, softness=0.35, bias=0.55)
        eye = camera * distance[:, k : k + 1]
        facing = (unit(eye[:, :, None, None] - subjects.position) * subjects.smooth_normals).sum(1, keepdim=True)
        quality = smoothstep((facing - 0.10) / 0.75) * smoothstep((seen - 0.25) / 0.6) * column(use[:, k])
        shine = gloss(subjects.position, subjects.normals, eye, lighting, roughness, lit, subjects.occlusion)
        colour = albedo * light + shine * subjects.gloss * 0.55
        share = quality**2.5 * (1.25 if k == 0 else 1.0)
        if k == 0:
            recorder.keep("gloss", colour * exposure.view(-1, 1, 1, 1))
            recorder.keep("white balance", colour * (gains * exposure[:, None])[..., None, None])
        view_gain = gains * rng.normal(1, scale=0.075).exp() * rng.normal(3, scale=0.018).exp()
        colour = colour * (view_gain * exposure[:, None])[..., None, None]
        recorder.blend("views", colour, share)
        away = smoothstep((0.46 - facing) / 0.36)
        streak = smoothstep(0.5 + 0.6 * fbm(Draws(lighting_seeds, f"bleed{k}", device), min(n, 128), 16, 3))
        bleed = away**2 * 0.4 * enlarge(streak, n)
        colour = torch.lerp(colour, background[:, k, :, None, None].expand_as(colour), bleed)
        recorder.blend("background", colour, share)
        flow = torch.cat([fbm(Draws(lighting_seeds, f"drift{k}{axis}", device), min(n, 32), 4, 2, 0.4) for axis in "uv"], 1)
        flow = enlarge(flow, n) * column(drift * (0.6 if k == 0 else 1.1))
        # where the surface turns away, few pixels of the photo are pulled over many texels
        pull = away * 0.030 * (0.5 + azimuth[:, k].view(-1, 1, 1, 1) / (2 * math.pi) - uv[None, None, :, :, 0]).sign()
        flow = flow + torch.cat([blur(pull, 0.01), torch.zeros_like(pull)], 1)
        colour = sample(colour, uv + flow.permute(0, 2, 3, 1))
        recorder.blend("misregistration", colour, share)
        sharp = colour if n <= 64 else blur(colour, 0.0016)
        soft = blur(colour, 0.0065)
        mix = smoothstep((facing - 0.10) / 0.55) - 0.25 * column(focus - 0.5).clamp_min(0)
        crisp = column(smoothstep((1.15 - focus) / 0.5)) * mix
        colour = torch.lerp(soft, torch.lerp(sharp, colour, crisp.clamp(0, 1)), mix.clamp(0, 1))
        recorder.blend("blur", colour, share)
        total = total + colour * share
        weight = weight + share
        best = torch.maximum(best, quality)
    visibility = torch.where(best >= SEEN, best, torch.zeros_like(best))
    picture = total / weight.clamp_min(1e-8)
    known = (visibility > 0).float()
    recorder.settle(weight, known)
    picture = fill_unobserved(picture * known, known)
    recorder.keep("holes filled", picture)
    return PhoneCapture(_develop(picture, lighting_seeds, recorder), visibility, uneven, light)


class _Recorder:
    """Keeps the picture after each step of a capture, if anybody asked for it."""

    def __init__(self, stages: dict[str, Tensor] | None):
        self.stages = stages
        self.sums: dict[str, Tensor] = {}

    def keep(self, name: str, picture: Tensor, linear: bool = True) -> None:
        if self.stages is not None:
            picture = picture.clamp(0, 1)
            self.stages[name] = linear_to_srgb(picture) if linear else picture

    def blend(self, name: str, picture: Tensor, share: Tensor) -> None:
        """Add one view's linear picture to the blend of views that a step would have left."""
        if self.stages is not None:
            self.sums[name] = self.sums.get(name, 0) + picture * share

    def settle(self, weight: Tensor, known: Tensor) -> None:
        for name, total in self.sums.items():
            self.keep(name, total / weight.clamp_min(1e-8) * known)


def _develop(linear: Tensor, seeds: Tensor, recorder: _Recorder) -> Tensor:
    """Scene light → the 8-bit JPEG a phone would keep, as sRGB in [0, 1]."""
    n = linear.shape[-1]
    rng = Draws(seeds, "develop", linear.device)
    gain = column(rng.uniform(0.00006, 0.0008) * rng.uniform(0.2, 1.0))
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
    x = torch.lerp(x, smoothstep(x), contrast)
    recorder.keep("tone curve", x, linear=False)
    x = x + column(rng.uniform(0.1, 0.9)) * (x - blur(x, max(0.004, 0.8 / n)))
    recorder.keep("sharpening", x, linear=False)
    x = jpeg(x.clamp(0, 1), rng.uniform(50, 94))
    recorder.keep("JPEG", x, linear=False)
    return x


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
