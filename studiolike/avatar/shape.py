"""The base head with somebody's own face and outline.

In: a shape, points in head space, see `capture.head_shape`. Out: a position map or a mesh. A smile stays; an open mouth is
closed, for the layout has no teeth.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from .. import layout, outline
from ..image import fill_unobserved
from .mesh import HeadMesh, head_mesh

UPPER_LIP = [191, 80, 81, 82, 13, 312, 311, 310, 415]  # of the inner lips, from the right corner of the mouth to the left one
LOWER_LIP = [95, 88, 178, 87, 14, 317, 402, 318, 324]
CORNERS = [78, 308]
# what a person should know of the two kinds of heads
OWN = (
    "The face has its own shape, as far as the pictures tell it: width and height are measured, depth is mostly the base head's, "
    "ears and neck are nobody's; of skull and hair the outline is the pictures'. A smile stays; an open mouth is closed."
)
BASE = "The head is the base head, which everybody gets where no shape is known: only the texture is the person's."
TOUCHING = 0.05  # cm between the points of inner lips that touch
RAISED = 0.35  # share of an open mouth that the upper lip has moved by; the lower lip did the rest
RIGID, REACH = 1.0, 2.0  # cm around the lips that move with them, and how fast the movement fades beyond
MIDDLE = [13, 14]  # of the inner lips
# Lips that close over teeth draw the corners of the mouth together. By how much is our guess: to this share of the way to a mouth
# this much wider than the canonical one, when it was open by so many cm; what is within so many cm goes along.
RELAXED, WIDE, OPEN, CHEEK = 0.7, 1.05, 0.5, 1.8


def own_position_map(shape: Tensor, resolution: int = 256) -> Tensor:
    """Position map ``(3, N, N)``, cm, of the base head with this shape.

    What the points of the face differ from the canonical face by is added to the base head, and runs on smoothly over skull,
    ears and neck, of which no camera measured more than the outline; what that differs by is added too. N is a power of two.
    """
    face, outward = outline.parted(shape)
    offset, inside = layout.interpolate(layout.landmark_uv(), layout.face_triangles(), face - layout.face_vertices(), resolution)
    place = layout.position_map(resolution) + fill_unobserved(offset[None], inside[None])[0]
    return place if outward is None else place + outline.movement(outward, resolution)


def own_head(shape: Tensor | None, grid: int = 128, *, closed: bool = True) -> HeadMesh:
    """The mesh of a person's head.

    Args:
        shape: ``(468, 3)`` or ``(489, 3)`` in head space, cm, see `capture.head_shape`; None: the base head as it is, whose lips
            are 6 mm apart.
        grid: as in `head_mesh`. closed: close a mouth that is open, since behind the lips there are no teeth.
    Raises:
        InputError: another shape, values that are not finite, or a grid below 8.
    """
    if shape is None:
        return head_mesh(grid=grid)
    outline.parted(shape)
    return head_mesh(own_position_map(close_mouth(shape) if closed else shape), grid)


def close_mouth(shape: Tensor) -> Tensor:
    """The same shape with its lips together, and its corners nearer to each other, if it was open."""
    points, rest = shape[: outline.POINTS].double().numpy(), layout.face_vertices().double().numpy()
    # counted from the canonical face's, which are 6 mm apart: the corners of a mouth that is open less stay where they are
    opened = np.linalg.norm(np.subtract(*points[MIDDLE])) - np.linalg.norm(np.subtract(*rest[MIDDLE]))
    closed = lips_together(shape)
    points = closed[: outline.POINTS].double().numpy()
    wanted = points[MIDDLE].mean(0) + WIDE * (rest[CORNERS] - rest[MIDDLE].mean(0))
    near = np.exp(-(np.linalg.norm(rest[:, None] - rest[CORNERS], axis=-1) ** 2) / CHEEK**2)
    points = points + RELAXED * np.clip(opened / OPEN, 0, 1) * near @ (wanted - points[CORNERS])
    return torch.cat([torch.from_numpy(points).to(shape), shape[outline.POINTS :]])


def lips_together(shape: Tensor) -> Tensor:
    """The same shape with its lips together and the corners of the mouth where they are; what is near the lips goes along."""
    points = shape[: outline.POINTS].double()
    gap = points[UPPER_LIP] - points[LOWER_LIP]
    # lips that touch stay as they are; those of the canonical face do not touch
    gap = gap * (1 - TOUCHING / gap.norm(dim=1, keepdim=True).clamp_min(TOUCHING))
    return torch.cat([(points + closing() @ gap).to(shape), shape[outline.POINTS :]])


@lru_cache(1)
def closing() -> Tensor:
    """How points follow the inner lips, ``(468, 9)`` float64: a pair that is apart by a vector moves a point by this share of it.
    Not to be written into."""
    rest = layout.face_vertices().double().numpy()
    right, left = rest[CORNERS]  # where there is no gap
    line = np.vstack([right, (rest[UPPER_LIP] + rest[LOWER_LIP]) / 2, left])
    pairs = np.pad(np.eye(len(UPPER_LIP)), ((1, 1), (0, 0)))
    move = np.stack([np.interp(rest[:, 0], line[:, 0], pair) for pair in pairs.T], 1)
    below = rest[:, 1] < np.interp(rest[:, 0], line[:, 0], line[:, 1])
    below[UPPER_LIP], below[LOWER_LIP] = False, True  # by name, for the line runs between them
    distance = np.sqrt(((rest[:, None] - line) ** 2).sum(-1)).min(1)
    share = np.where(below, 1 - RAISED, -RAISED) * np.exp(-(((distance - RIGID).clip(0) / REACH) ** 2))
    share[CORNERS] = 0
    return torch.from_numpy(move * share[:, None])
