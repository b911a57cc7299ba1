"""The phone: a head in some light, photographed once or filmed from two or three sides, unwrapped with all that goes wrong.

Per view: gloss from that camera, its own exposure and white balance, a smooth misregistration of about one to two per
cent of the face's width, blur and background colour where the surface turns away. Then the views are blended by
how well they saw each texel, holes are smeared over (visibility exactly 0), and the picture passes through a tone
curve, shot noise, sharpening and JPEG (`develop`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..capture.unwrap import OPAQUE
from ..image import fill_unobserved, normals_of, smoothstep, unit
from ..layout import face_mask, position_map, texel_uv
from .camera import VIEWS, draw_cameras, mesh_visibility, meter
from .develop import Recorder, develop
from .draw import Draws, blur, column, enlarge, fbm, sample
from .foreign import BLOCKED, Glasses, draw_glasses, foreign_shadow, loose_strands
from .head import Subjects
from .light import Lighting, across, draw_lighting, gloss, irradiance, severity, shadow

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
    linear, the ground truth of the light. ``single``: bool ``(B,)``, one photograph unwrapped by a face mesh."""

    texture: Tensor
    visibility: Tensor
    severity: Tensor
    irradiance: Tensor
    single: Tensor


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
    seeds = lighting_seeds.cpu()
    lighting = draw_lighting(seeds, device)
    cameras = draw_cameras(seeds, device)
    glasses = draw_glasses(seeds, device)
    passing, dimming = _foreign_light(subjects, lighting, glasses, seeds)
    skin = 1 - subjects.hair
    light, lit = irradiance(subjects.position, subjects.smooth_normals, subjects.normals, lighting, skin, passing, dimming)
    uneven = severity(light, face_mask(n).to(device))

    strands = loose_strands(subjects, seeds)
    albedo = torch.lerp(subjects.albedo_linear, subjects.hair_colour[:, :, None, None], 0.95 * strands)
    exposure, gains, own = meter(albedo, light, seeds)
    rng = Draws(seeds, "surface", device)
    roughness = column(rng.uniform(0.37, 0.50))
    shiny = subjects.gloss * column(0.55 * rng.normal(scale=0.32).exp()) * (1 - 0.7 * strands)
    background = rng.uniform(0.02, 0.5, 3, 1) * rng.normal(3, 3, scale=0.10).exp()

    recorder = Recorder(stages)
    recorder.keep("light", albedo * light * column(exposure))
    uv = texel_uv(n).to(device)
    total = torch.zeros_like(albedo)
    weight = torch.zeros_like(subjects.hair)
    visibility = torch.zeros_like(weight)
    for k in range(VIEWS):
        rows = cameras.use[:, k].nonzero().flatten()
        if not len(rows):
            continue
        at = slice(None) if len(rows) == len(seeds) else rows  # a slice copies nothing
        its_seeds = seeds[rows.cpu()]
        position, normals, smooth = subjects.position[at], subjects.normals[at], subjects.smooth_normals[at]
        camera = cameras.direction[at, k]
        surface, outward = position, smooth
        alone = cameras.single.nonzero().flatten() if k == 0 else rows[:0]
        if len(alone):  # a face mesh knows no hair that could hide it
            base = position_map(n).to(device)[None]
            surface, outward = position.clone(), smooth.clone()
            surface[alone], outward[alone] = base, normals_of(base)
        seen = shadow(surface, outward, camera, size=144, softness=0.35, bias=0.55)
        eye = camera * cameras.distance[at, k : k + 1]
        facing = (unit(eye[:, :, None, None] - surface) * outward).sum(1, keepdim=True)
        sight = smoothstep((seen - 0.25) / 0.6)
        quality = smoothstep((facing - 0.10) / 0.75) * sight
        quality = torch.where(quality >= SEEN, quality, torch.zeros_like(quality))
        share = quality**2.5 * (1.25 if k == 0 else 1.0)
        if len(alone):
            quality[alone] = mesh_visibility(facing[alone], sight[alone], seeds[alone.cpu()])
            share[alone] = (quality[alone] > 0).float()
        shine = gloss(position, normals, eye, lighting[at], roughness[at], lit[at], subjects.occlusion[at])
        colour = albedo[at] * light[at] + shine * shiny[at]
        colour = glasses[at].before(colour, camera, light[at])
        level = (gains * exposure[:, None])[at, :, None, None]
        if k == 0:
            recorder.keep("gloss", colour * column(exposure))
            recorder.keep("white balance", colour * level)
        colour = colour * level * own[at, k, :, None, None]
        recorder.blend("views", colour, share, rows)
        away = smoothstep((0.46 - facing) / 0.36)
        streak = smoothstep(0.5 + 0.6 * fbm(Draws(its_seeds, f"bleed{k}", device), min(n, 128), 16, 3))
        bleed = away**2 * 0.4 * enlarge(streak, n)
        colour = torch.lerp(colour, background[at, k, :, None, None].expand_as(colour), bleed)
        recorder.blend("background", colour, share, rows)
        flow = torch.cat([fbm(Draws(its_seeds, f"drift{k}{axis}", device), min(n, 32), 4, 2, 0.4) for axis in "uv"], 1)
        flow = enlarge(flow, n) * column(cameras.drift[at, k] * 0.75)
        flow = flow + cameras.shift[at, k, :, None, None]
        flow = flow + column(cameras.zoom[at, k]) * (uv - 0.5).permute(2, 0, 1)
        # where the surface turns away, few pixels of the photo are pulled over many texels
        azimuth = torch.atan2(camera[:, 0], camera[:, 2])
        pull = away * 0.030 * (0.5 + column(azimuth) / (2 * math.pi) - uv[None, None, :, :, 0]).sign()
        flow = flow + torch.cat([blur(pull, 0.01), torch.zeros_like(pull)], 1)
        colour = sample(colour, uv + flow.permute(0, 2, 3, 1))
        recorder.blend("misregistration", colour, share, rows)
        sharp = colour if n <= 64 else blur(colour, 0.0016)
        soft = blur(colour, 0.0065)
        focus = cameras.focus[at]
        mix = smoothstep((facing - 0.10) / 0.55) - 0.25 * column(focus - 0.5).clamp_min(0)
        crisp = column(smoothstep((1.15 - focus) / 0.5)) * mix
        colour = torch.lerp(soft, torch.lerp(sharp, colour, crisp.clamp(0, 1)), mix.clamp(0, 1))
        recorder.blend("blur", colour, share, rows)
        total[rows] += colour * share
        weight[rows] += share
        visibility[rows] = torch.maximum(visibility[rows], quality)
    picture = total / weight.clamp_min(1e-8)
    known = (visibility > 0).float()
    recorder.settle(weight, known)
    # an unwrapped photograph keeps a texel's colour the less the worse it was seen
    trust = torch.where(cameras.single.view(-1, 1, 1, 1), (visibility * OPAQUE).clamp(0, 1), known)
    picture = fill_unobserved(picture * known, trust)
    recorder.keep("holes filled", picture)
    return PhoneCapture(develop(picture, seeds, recorder), visibility, uneven, light, cameras.single)


def _foreign_light(subjects: Subjects, lighting: Lighting, glasses: Glasses, seeds: Tensor) -> tuple[Tensor, Tensor]:
    """Share of the key that foreign things and glasses let through, ``(B, 1, H, W)``, and of the soft light that they take
    where they block the key, ``(B,)``."""
    position = subjects.position
    rng = Draws(seeds, "foreign light", position.device)
    blocked, dimming = rng.chance(BLOCKED), rng.uniform(0, 0.4)
    passing = torch.ones_like(position[:, :1])
    rows = (blocked * lighting.key_colour.sum(1)).nonzero().flatten()
    if len(rows):
        frame = torch.stack(across(lighting.key_direction[rows]), 1)
        passing[rows] = foreign_shadow(position[rows], frame, seeds[rows.cpu()])
    rows = (glasses.worn * lighting.key_colour.sum(1) * (lighting.key_direction[:, 2] > 0.1)).nonzero().flatten()
    if len(rows):
        frame, _ = glasses[rows].on_face(lighting.key_direction[rows], subjects.resolution, soft=0.006)
        passing[rows] *= 1 - 0.85 * frame
    return passing, dimming
