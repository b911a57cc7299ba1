"""The outline of skull and hair: how far they reach beyond the base head, seen from the front.

Landmarks end at the face. What is above and beside it shows in a photograph as an outline only, so that is what is known of it:
`COUNT` points on rays from `CENTRE` in the plane of the face, at `ANGLES` from straight up. Between the rays, and from front to
back, the base head is moved outward smoothly, as a tall skull or thick hair would; face, ears and neck stay, and hair rises
from them no more steeply than hair does.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from scipy.spatial import cKDTree
from torch import Tensor

from . import layout
from .errors import InputError
from .image import blur, smoothstep

COUNT = 21
ANGLES = torch.linspace(-math.radians(125), math.radians(125), COUNT)  # + is the subject's left
FADE = -6.0, 1.0  # heights, cm: at the first, below the ears, nothing is moved any more
CENTRE = (0.0, 4.0, layout.AXIS_Z)  # head space, cm
WIDTH = math.radians(5)  # to either side of a ray, where the farthest point is looked for
SIDE = 256  # texels of the map that the base head's outline is read from
DEPTH = 0.6  # of a movement to the front or the back, against one to the side: what no outline shows is believed less
SLOPE = 0.8  # cm that hair may stand out for every cm from what rests: steeper, it would look like a hat
AROUND = 1 / 128  # as a share of the side: what is so near to an ear rests with it, or thick hair would draw the ear to a point
POINTS = 468  # of the face, which come first in a shape


def polar(points: Tensor) -> tuple[Tensor, Tensor]:
    """Angle from straight up, + to the first axis, and distance of points ``(..., 2)`` from the origin, ``(...)`` each."""
    return torch.atan2(points[..., 0], points[..., 1]), torch.hypot(points[..., 0], points[..., 1])


def farthest(points: Tensor) -> Tensor:
    """Distance ``(COUNT,)`` of the farthest of points ``(N, 2)`` about each ray."""
    angle, distance = polar(points)
    near = (angle[None] - ANGLES[:, None].to(points)).abs() < WIDTH
    return torch.where(near, distance[None], 0.0).amax(1)


@lru_cache(1)
def base() -> Tensor:
    """Distance ``(COUNT,)`` of the base head's outline from the centre, cm."""
    place = layout.position_map(SIDE)[:2].flatten(1).T - torch.tensor(CENTRE[:2])
    return farthest(place)


def points_of(outward: Tensor) -> Tensor:
    """Outline points ``(COUNT, 3)``, head space, cm, that lie ``outward (COUNT,)`` cm beyond the base head's."""
    distance = base() + outward
    flat = torch.stack([ANGLES.sin() * distance, ANGLES.cos() * distance, torch.zeros(COUNT)], 1)
    return flat + torch.tensor(CENTRE)


def outward_of(points: Tensor) -> Tensor:
    """How far outline points ``(COUNT, 3)`` lie beyond the base head's, ``(COUNT,)`` cm."""
    return polar((points - torch.tensor(CENTRE))[:, :2])[1] - base()


def rest_shape() -> Tensor:
    """The shape that is nobody's: canonical face and the base head's outline, ``(POINTS + COUNT, 3)``, head space, cm."""
    return torch.cat([layout.face_vertices(), points_of(torch.zeros(COUNT))])


def parted(shape: Tensor) -> tuple[Tensor, Tensor | None]:
    """The face ``(POINTS, 3)`` of a shape, and how far its outline lies `outward`; None if it has none.

    Raises:
        InputError: neither ``(POINTS, 3)`` nor ``(POINTS + COUNT, 3)``, or numbers that are not finite.
    """
    if tuple(shape.shape) not in ((POINTS, 3), (POINTS + COUNT, 3)) or not torch.isfinite(shape).all():
        raise InputError(f"a shape is ({POINTS}, 3) or ({POINTS + COUNT}, 3) finite numbers, not {tuple(shape.shape)}")
    return shape[:POINTS], outward_of(shape[POINTS:].float()) if len(shape) > POINTS else None


def movement(outward: Tensor, resolution: int) -> Tensor:
    """By how much the base head is moved, ``(3, N, N)`` cm, so that its outline lies ``outward (COUNT,)`` cm farther out."""
    place = layout.position_map(resolution) - torch.tensor(CENTRE).view(3, 1, 1)
    angle, distance = polar(place[:2].permute(1, 2, 0))
    step = (angle.clamp(ANGLES[0], ANGLES[-1]) - ANGLES[0]) / (ANGLES[1] - ANGLES[0])
    before = step.long().clamp_max(COUNT - 2)
    between = step - before

    def along(values: Tensor) -> Tensor:
        return torch.lerp(values[before], values[before + 1], between)

    # in front of the centre and behind it a direction tells little, and the mean of all is better
    aside = (distance / along(base())).clamp(0, 1)
    amount = torch.lerp(outward.mean(), along(outward), aside)
    most = room(resolution)
    amount = most * torch.tanh(amount / most.clamp_min(1e-6))
    return F.normalize(place, dim=0) * torch.tensor([1.0, 1.0, DEPTH]).view(3, 1, 1) * amount


@lru_cache(4)
def room(resolution: int) -> Tensor:
    """By how many cm each place of the base head may be moved, ``(1, N, N)``: face, ears and neck not at all."""
    place = layout.position_map(resolution)
    below = ((place[1:2] - FADE[0]) / (FADE[1] - FADE[0])).clamp(0, 1)
    around = max(1, round(AROUND * resolution))
    ears = F.max_pool2d(layout.region_mask("ears", resolution)[None], 2 * around + 1, 1, around)[0]
    rests = (layout.face_mask(resolution) + layout.region_mask("neck", resolution) + ears > 0.5) | (below <= 0)
    border = rests & (F.max_pool2d((~rests)[None].float(), 3, 1, 1)[0] > 0)
    far = torch.zeros_like(below)
    tree = cKDTree(place[:, border[0]].T.numpy())
    far[~rests] = torch.from_numpy(tree.query(place[:, ~rests[0]].T.numpy())[0]).float()
    soft = blur(far[None], AROUND * resolution)[0].minimum(far)
    return SLOPE * soft * smoothstep(below)
