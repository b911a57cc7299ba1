"""A triangle mesh of the head, made from a position map in the `head` layout.

In: a position map ``(3, N, N)`` in centimetres (or nothing, for the base head). Out: a `HeadMesh` whose UV coordinates are
the layout's own, so that every texture of the project fits it. Its neck and ears are an avatar's (`anatomy`). The grid of
vertices is regular in (u, v); three places need care: u = 0 and u = 1 are the same line at the back of the head, the whole row
v = 0 is the crown, and v = 1 is the end of the neck, which stays open.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .. import layout
from ..errors import InputError
from .anatomy import change


@dataclass(frozen=True)
class HeadMesh:
    """Triangles of a head, counter-clockwise seen from outside.

    Attributes:
        vertices: ``(V, 3)`` float32, head space (cm; x to the subject's left, y up, z forward).
        uv: ``(V, 2)`` float32 in [0, 1], u right, v down. Seam vertices exist twice, with u = 0 and u = 1.
        triangles: ``(T, 3)`` int64.
        normals: ``(V, 3)`` float32, unit length, pointing outward, equal where positions are equal.
    """

    vertices: Tensor
    uv: Tensor
    triangles: Tensor
    normals: Tensor


def head_mesh(position_map: Tensor | None = None, grid: int = 128) -> HeadMesh:
    """Build the head mesh of a position map, with an avatar's neck and ears: what `anatomy.change` gives is added to it.

    Args:
        position_map: ``(3, N, N)`` float, centimetres; ``None`` takes the base head of the layout.
        grid: number of cells along u and along v; the mesh has 2·grid² − grid triangles.
    Returns:
        A `HeadMesh`, closed along the back and at the crown, open at the neck.
    Raises:
        InputError: a map of another shape or with values that are not finite, or a grid below 8.
    """
    if grid < 8:
        raise InputError(f"a head mesh needs at least 8 grid cells, not {grid}")
    if position_map is None:
        position_map = layout.position_map(2 * grid)
    if position_map.ndim != 3 or position_map.shape[0] != 3 or position_map.shape[1] != position_map.shape[2]:
        raise InputError(f"a position map is (3, N, N), not {tuple(position_map.shape)}")
    if not torch.isfinite(position_map).all():
        raise InputError("the position map holds values that are not finite")

    positions = position_map.detach().double().cpu()
    nodes = _sample_nodes(positions + change(positions.shape[-1]), grid)  # (grid + 1, grid + 1, 3)
    nodes[:, -1] = nodes[:, 0]
    crown = nodes[0, :-1].mean(0)

    # one crown vertex per cell, in the middle of its top edge: a fan without degenerate triangles
    steps = torch.arange(grid + 1, dtype=torch.float64) / grid
    body_uv = torch.stack(torch.meshgrid(steps, steps[1:], indexing="xy"), -1).reshape(-1, 2)
    crown_uv = torch.stack([steps[:-1] + 0.5 / grid, torch.zeros(grid, dtype=torch.float64)], -1)
    vertices = torch.cat([crown.expand(grid, 3), nodes[1:].reshape(-1, 3)])
    triangles = _triangles(grid)
    normals = _smooth_normals(vertices, triangles)
    return HeadMesh(vertices.float(), torch.cat([crown_uv, body_uv]).float(), triangles, normals.float())


def tangents(mesh: HeadMesh) -> Tensor:
    """Tangents as glTF wants them, ``(V, 4)`` float32: unit vectors along +u, across the normal, and the hand, here always 1.

    With v running down, normal × tangent points up in the texture on a map that is not mirrored, as the layout is not.
    """
    corners = mesh.triangles
    a, b, c = mesh.vertices.double()[corners].unbind(1)
    ua, ub, uc = mesh.uv.double()[corners].unbind(1)
    (du1, dv1), (du2, dv2) = (ub - ua).unbind(-1), (uc - ua).unbind(-1)
    along = ((b - a) * dv2[:, None] - (c - a) * dv1[:, None]) * (du1 * dv2 - du2 * dv1).sign()[:, None]
    # both copies of a seam vertex get one tangent, but at the crown every direction has a vertex of its own
    u, v = mesh.uv.double().unbind(-1)
    groups = weld(torch.cat([mesh.vertices.double(), torch.where(v > 0, -1.0, u)[:, None]], -1))
    total = torch.zeros(int(groups.max()) + 1, 3, dtype=torch.float64)
    total.index_add_(0, groups[corners].reshape(-1), along.repeat_interleave(3, 0))
    normals = mesh.normals.double()
    flat = total[groups]
    flat = torch.nn.functional.normalize(flat - (flat * normals).sum(-1, keepdim=True) * normals, dim=-1)
    return torch.cat([flat, torch.ones(len(flat), 1, dtype=torch.float64)], -1).float()


def weld(vertices: Tensor) -> Tensor:
    """Group vertices at exactly the same place: ``(V, C)`` → group numbers ``(V,)`` int64, 0 … groups − 1."""
    return torch.unique(vertices, dim=0, return_inverse=True)[1]


def _sample_nodes(positions: Tensor, grid: int) -> Tensor:
    """Bilinear values of a ``(3, N, N)`` map at the grid's nodes: periodic in u, extended linearly in v."""
    n = positions.shape[-1]
    place = torch.arange(grid + 1, dtype=torch.float64) * n / grid - 0.5
    left, row = place.floor().long(), place.floor().long().clamp(0, n - 2)
    across, down = place - left, (place - row)[:, None]  # down leaves [0, 1] half a texel outside
    columns = torch.lerp(positions[..., left % n], positions[..., (left + 1) % n], across)
    return torch.lerp(columns[:, row], columns[:, row + 1], down).permute(1, 2, 0)


def _triangles(grid: int) -> Tensor:
    """Connectivity ``(T, 3)``: a crown fan, then two triangles per cell."""
    width = grid + 1
    j = torch.arange(grid)
    fan = torch.stack([j, grid + j, grid + j + 1], -1)
    corner = grid + (torch.arange(grid - 1)[:, None] * width + j).reshape(-1)  # each cell's upper left vertex
    upper = torch.stack([corner, corner + width, corner + width + 1], -1)
    lower = torch.stack([corner, corner + width + 1, corner + 1], -1)
    return torch.cat([fan, torch.stack([upper, lower], 1).reshape(-1, 3)])


def _smooth_normals(vertices: Tensor, triangles: Tensor) -> Tensor:
    """Area-weighted vertex normals ``(V, 3)``; vertices at one place share theirs, so no seam is shaded."""
    a, b, c = vertices[triangles].unbind(1)
    faces = torch.linalg.cross(b - a, c - a)
    groups = weld(vertices)
    total = torch.zeros(int(groups.max()) + 1, 3, dtype=vertices.dtype)
    total.index_add_(0, groups[triangles].reshape(-1), faces.repeat_interleave(3, 0))
    return torch.nn.functional.normalize(total, dim=-1)[groups]
