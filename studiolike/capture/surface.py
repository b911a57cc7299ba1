"""Where every texel of the layout lies before the camera.

The canonical head is posed to the landmarks by a similarity (`fit_pose`); what is left between the two, a few per cent of the
face width, is interpolated over the mesh triangles and added. So the surface keeps the smooth curvature of the layout's position
map and still passes through every landmark. Beyond the face, where there are no landmarks, what is left runs on smoothly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .. import layout
from ..image import fill_unobserved, normals_of
from ..outline import movement
from .pose import Pose, to_view

CHUNK = 1 << 18  # texels that are posed at a time
SMOOTH = 256  # texels along a side at which what has no landmarks is posed: it is smooth


@dataclass(frozen=True)
class Surface:
    """The posed face, or the whole head, texel by texel, in the picture's own axes.

    Attributes:
        position: ``(2, R, R)`` x right, y down, pixels.
        depth: ``(1, R, R)`` pixels toward the camera.
        facing: ``(1, R, R)`` cosine between the surface normal and the direction to the camera.
        mask: ``(1, R, R)`` 1 inside the face mesh. A `face_surface` is 0 everywhere else.
    """

    position: Tensor
    depth: Tensor
    facing: Tensor
    mask: Tensor


def face_surface(points: np.ndarray, pose: Pose, res: int) -> Surface:
    """Pose the layout's face to the landmarks, see the module's text.

    Args:
        points: ``(468, 3)`` landmarks in pixels. pose: its fit. res: side of the map.
    """
    triangles = layout.face_triangles()
    index, weights = layout.face_coverage(res)
    mask = index >= 0
    index, weights, base = index.flatten(), weights.view(-1, 3), layout.position_map(res).view(3, -1)

    view = torch.from_numpy(to_view(points))
    rest = view - torch.from_numpy(pose.apply(layout.face_vertices().double().numpy()))
    normals = vertex_normals(view, triangles)
    painted = torch.zeros(4, res * res)
    for texels in mask.flatten().nonzero().squeeze(1).split(CHUNK):  # double precision of all at once takes a gigabyte
        corners = triangles[index[texels]]  # (M, 3) vertex numbers
        shares = weights[texels].double()[..., None]
        smooth = torch.from_numpy(pose.apply(base[:, texels].T.double().numpy()))
        place = smooth + (rest[corners] * shares).sum(1)
        painted[:3, texels] = (place * torch.tensor([1.0, -1.0, 1.0])).T.float()
        painted[3, texels] = F.normalize((normals[corners] * shares).sum(1), dim=-1)[:, 2].float()
    position, depth, facing = painted.view(4, res, res).split((2, 1, 1))
    return Surface(position, depth, facing, mask[None].float())


def head_surface(points: np.ndarray, pose: Pose, res: int, outward: Tensor | None = None) -> Surface:
    """The face of `face_surface`, and around it the rest of the head; arguments as there, and the head's `outline`."""
    face = face_surface(points, pose, res)
    side = min(res, SMOOTH)
    rest = torch.from_numpy(to_view(points) - pose.apply(layout.face_vertices().double().numpy())).float()
    rest, known = layout.interpolate(layout.landmark_uv(), layout.face_triangles(), rest, side)
    place = layout.position_map(side) + (0 if outward is None else movement(outward, side))
    base = torch.from_numpy(pose.apply(place.flatten(1).T.double().numpy())).float()
    view = base.T.view(3, side, side) + fill_unobserved(rest[None], known[None])[0]
    around = torch.cat([view * torch.tensor([1.0, -1.0, 1.0]).view(3, 1, 1), normals_of(view[None])[0, 2:]])
    if side < res:
        around = F.interpolate(around[None], res, mode="bilinear", align_corners=False)[0]
    own = torch.cat([face.position, face.depth, face.facing])
    position, depth, facing = torch.where(face.mask > 0, own, around).split((2, 1, 1))
    return Surface(position, depth, facing, face.mask)


def vertex_normals(vertices: Tensor, triangles: Tensor) -> Tensor:
    """Area-weighted unit normals ``(V, 3)`` of a mesh; outward where triangles run counter-clockwise."""
    a, b, c = vertices[triangles].unbind(1)
    faces = torch.linalg.cross(b - a, c - a)
    normals = torch.zeros_like(vertices)
    for corner in range(3):
        normals.index_add_(0, triangles[:, corner], faces)
    return F.normalize(normals, dim=-1)


def texel_footprint(surface: Surface) -> Tensor:
    """Side in pixels of the patch of the photo that a texel covers, ``(1, R, R)``; 0 outside the face."""
    across = torch.diff(surface.position, dim=2, append=surface.position[:, :, -1:])
    down = torch.diff(surface.position, dim=1, append=surface.position[:, -1:])
    area = (across[0] * down[1] - across[1] * down[0]).abs()[None]
    # a difference that reaches over the mask's edge is no footprint
    whole = -F.max_pool2d(-surface.mask[None], 3, stride=1, padding=1)[0]
    return area.sqrt() * whole
