"""Where the cameras stand, how they expose, and what a face mesh sees of their pictures.

Half of the captures are one photograph, unwrapped by a face mesh: only the face's oval comes in, as from
`capture.capture_photo` without hair. The others are a short film of the whole head from two or three sides.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..capture.unwrap import GRAZING, SQUARE
from ..image import luminance
from ..layout import face_mask, region_mask
from .draw import Draws, blur, column, enlarge, fbm
from .sky import toward
from .traits import FIELDS, fields_at

VIEWS = 3
SINGLE = 0.5  # share of the captures from one photograph
OPEN_MOUTH = 0.3  # share of those whose lips part: teeth have no place in the layout
FACE_WIDTH = 0.63  # of the layout's width, ear to ear along landmarks 234 and 454


@dataclass
class Cameras:
    """``direction`` ``(B, V, 3)`` unit and ``distance`` ``(B, V)`` cm from the head's middle. ``use`` ``(B, V)`` 1 or 0.
    ``single`` ``(B,)`` bool. ``drift``: root mean square of the landmarks' error in layout units, ``(B, V)``.
    ``shift`` ``(B, V, 2)``, ``zoom`` ``(B, V)``: the part of it that is the same everywhere. ``focus`` ``(B,)``: sharpness."""

    direction: Tensor
    distance: Tensor
    use: Tensor
    single: Tensor
    drift: Tensor
    shift: Tensor
    zoom: Tensor
    focus: Tensor


def draw_cameras(seeds: Tensor, device: torch.device) -> Cameras:
    """The cameras of each lighting."""
    rng = Draws(seeds, "cameras", device)
    single = rng.chance(SINGLE)
    turned = rng.chance(0.3)  # a three-quarter view
    photo_azimuth = torch.where(turned > 0, rng.uniform(-0.8, 0.8), rng.normal(scale=0.16))
    photo_elevation = rng.normal(scale=0.13)
    photo_distance = rng.uniform(math.log(34), math.log(170)).exp()
    missed = rng.uniform(0, 1)

    middle = torch.tensor([0.0, 1.0, -1.0], device=device) * rng.uniform(0.55, 1.05, VIEWS)
    azimuth = middle + rng.normal(VIEWS, scale=0.07)
    elevation = rng.uniform(-0.20, 0.26, 1) + rng.normal(VIEWS, scale=0.06)
    distance = rng.uniform(34, 60, VIEWS)
    azimuth[:, 0] = torch.where(single > 0, photo_azimuth, azimuth[:, 0])
    elevation[:, 0] = torch.where(single > 0, photo_elevation, elevation[:, 0])
    distance[:, 0] = torch.where(single > 0, photo_distance, distance[:, 0])
    use = torch.ones(len(seeds), VIEWS, device=device)
    use[:, 1] = (missed > 0.13) * (1 - single)
    use[:, 2] = (missed < 0.87) * (1 - single)  # a quarter of the films miss one side
    # one photograph's landmarks have nothing to be averaged with
    drift = rng.uniform(0.010, 0.020, 1) * FACE_WIDTH * torch.tensor([0.5, 0.8, 0.8], device=device)
    drift[:, 0] *= 1 + 0.5 * single
    return Cameras(
        direction=toward(azimuth, elevation),
        distance=distance,
        use=use,
        single=single > 0,
        drift=drift,
        shift=rng.normal(VIEWS, 2) * drift[..., None] * 0.7,
        zoom=rng.normal(VIEWS, scale=0.010),
        focus=rng.uniform(0.5, 1.6),
    )


def meter(albedo: Tensor, light: Tensor, seeds: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Automatic exposure and white balance, both imperfect, some far off.

    Args:
        albedo, light: linear ``(B, 3, H, W)``.
    Returns:
        exposure ``(B,)``, white balance ``(B, 3)`` and the views' own factors on both ``(B, V, 3)``.
    """
    rng = Draws(seeds, "meter", albedo.device)
    face = face_mask(albedo.shape[-1]).to(albedo.device)
    values = luminance(albedo * light).flatten(1)[:, (face > 0.5).flatten()]
    bright = torch.quantile(values, 0.75, dim=1)
    wrong = rng.chance(0.2) * rng.uniform(-1.6, 0.3)
    level = bright.clamp_min(1e-4)
    exposure = 0.46 * level**-0.72 * (rng.normal(scale=0.30) + wrong).exp()  # −0.72: a camera leaves dark skin darker
    cast = (light * face).sum((2, 3)) / face.sum()
    cast = (cast / cast.mean(1, keepdim=True).clamp_min(1e-6)).clamp_min(0.05)
    left = cast.log() * rng.uniform(0.0, 0.45, 1)  # of the light's colour
    green = left[:, 1] - 0.5 * (left[:, 0] + left[:, 2])
    left[:, 1] -= 0.8 * green  # cameras look for daylight and lamps, which are never green
    gains = (left - cast.log() + rng.normal(3, scale=0.06)).exp()
    # some take the light for another one: most often warm rooms stay yellow (blue is lost), now and then all turns blue
    warm, cold = rng.uniform(0.2, 1.4) * rng.chance(0.25), rng.uniform(0.2, 1.0) * rng.chance(0.06)
    mistaken = warm[:, None] * torch.tensor([0.0, -0.04, -1.0], device=albedo.device)
    gains = gains * (mistaken + cold[:, None] * torch.tensor([-0.45, -0.10, 0.25], device=albedo.device)).exp()
    return exposure, gains, rng.normal(VIEWS, 1, scale=0.075).exp() * rng.normal(VIEWS, 3, scale=0.018).exp()


def mesh_visibility(facing: Tensor, sight: Tensor, seeds: Tensor) -> Tensor:
    """Visibility ``(B, 1, H, W)`` of one photograph unwrapped by a face mesh, as `capture.unwrap.visibility_map` makes it;
    0 outside the face's oval.

    Args:
        facing: cosine to the camera. sight: share not hidden, both ``(B, 1, H, W)``.
    """
    n, device = facing.shape[-1], facing.device
    rng = Draws(seeds, "mesh", device)
    inside = (face_mask(n) > 0.5).float().to(device)
    border = enlarge(fields_at(n)[:, FIELDS.index("face")][:, None], n).to(device)
    border = border + column(rng.uniform(0.0, 0.007)) * enlarge(fbm(rng, min(n, 64), 8, 3), n)
    inner = column(rng.uniform(0.002, 0.012))
    outline = ((border - inner) / column(rng.uniform(0.010, 0.030))).clamp(0, 1)
    seen = ((facing - GRAZING) / (SQUARE - GRAZING)).clamp(0, 1) * sight * outline * inside
    seen = seen * (1 - column(rng.chance(OPEN_MOUTH)) * region_mask("inner_lips", n).to(device))
    reach = max(1, round(n / 96))
    worn = -F.max_pool2d(-seen, 2 * reach + 1, 1, reach)
    return torch.minimum(blur(worn, 1 / 160), (seen > 0).float())
