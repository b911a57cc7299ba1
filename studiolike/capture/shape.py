"""The shape of somebody's face as far as photographs tell it: 468 points in head space, cm.

Landmarks are turned back by their pose. Across the line of sight they are measured; along it a network has guessed, and on heads
whose depth is known its guess says next to nothing. So every picture gives each point a precision that is small along its
own line of sight, and a weak prior holds the rest at the canonical face (least squares with a Gaussian prior):

    x = argmin Σ_f ‖x − x_f‖²_{A_f} / F + PRIOR ‖x − canonical‖²,   A_f = R_fᵀ diag(1, 1, DEPTH) R_f.

A camera draws what is nearer larger: noses, and not jaws. How far away it was nobody tells; pictures are taken to be from where
avatars are drawn from, so that from the front these look as the picture does.

In pictures from several sides the lines of sight cross, and depth is measured too, if not well (experiment `shape`). What differs
between left and right is halved: most of it is a pose that was not quite met. A smile stays. `head_shape` adds the 21 points of
the head's `outline` where a picture shows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from .. import layout, outline
from ..errors import InputError
from .outline import MOST
from .pose import fit_pose, to_view

Points = TypeVar("Points", np.ndarray, Tensor)
DEPTH = 0.05  # precision along the line of sight, against 1 across it
PRIOR = 0.15  # precision of the canonical face
DISTANCE = 77.0  # cm from the camera to the middle of the face; `avatar.render` draws heads from about there
ROUNDS = 3  # of pose and perspective, for each is read from what the other leaves
ODD = 0.5  # share of the left-right differences that is believed
OUTLIER = 2.0  # pictures further than so many times the median from the others are left out


def canonical() -> np.ndarray:
    """The canonical face's points, ``(468, 3)`` float64, cm."""
    return layout.face_vertices().double().numpy()


@lru_cache(1)
def _mirrored() -> np.ndarray:
    """For each point of the canonical face the one on the other side."""
    points = canonical()
    return np.array([np.argmin(((points * (-1, 1, 1) - point) ** 2).sum(1)) for point in points])


def face_shape(landmarks: Sequence[np.ndarray]) -> Tensor:
    """The shape behind one or more pictures of a person.

    Args:
        landmarks: of each picture ``(468, 3)`` in its pixels, as `landmarks` finds them.
    Returns:
        ``(468, 3)`` float32, head space, cm: in the size and place of the canonical face, with the pictures' expression.
    Raises:
        InputError: no picture.
    """
    if not len(landmarks):
        raise InputError("a shape needs the landmarks of at least one picture")
    told, precision = [], []
    for points in landmarks:
        view = from_afar(to_view(np.asarray(points, dtype=np.float64)[: len(canonical())]))
        pose = fit_pose(to_view(view))
        told.append(pose.undo(view))
        precision.append(pose.rotation.T @ np.diag([1.0, 1.0, DEPTH]) @ pose.rotation)
    shape = _solve(told, precision)
    if len(told) > 2:  # a mesh that sat on a hand, or in the wrong place, must not deform the head
        off = [points - shape for points in told]
        far = np.array([np.sqrt(((x @ p) * x).sum(1).mean()) for x, p in zip(off, precision, strict=True)])
        kept = [k for k in range(len(told)) if far[k] <= OUTLIER * np.median(far)]
        shape = _solve([told[k] for k in kept], [precision[k] for k in kept])
    other = shape[_mirrored()] * (-1, 1, 1)
    return torch.from_numpy((shape + other) / 2 + ODD * (shape - other) / 2).float()


def from_afar(view: np.ndarray) -> np.ndarray:
    """Points of a picture where a camera infinitely far away would have them. How near they are, the canonical face says.

    Args:
        view: ``(468, 3)``, view space.
    Returns:
        The same; x and y have moved toward or away from the middle of the face.
    """
    afar = view
    for _ in range(ROUNDS):
        pose = fit_pose(to_view(afar))
        face = pose.apply(canonical())
        middle = face.mean(0)
        afar = np.hstack([_shrunk(view, face[:, 2:], middle, pose.scale), view[:, 2:]])
    return afar


def _shrunk(points: Points, depth: Points, middle: Points, scale: float = 1.0) -> Points:
    """x and y ``(N, 2)`` of points without perspective: what is nearer than the ``middle (3,)`` of the face was drawn larger.

    Args:
        depth: ``(N, 1)``, z of each point. scale: pixels per cm of all of them.
    """
    return middle[:2] + (points[:, :2] - middle[:2]) * (1 - (depth - middle[2]) / (scale * DISTANCE))


def head_shape(landmarks: Sequence[np.ndarray], outlines: Sequence[Tensor | None]) -> Tensor:
    """The `face_shape` of pictures, and below it the points of the head's outline, without perspective too, if one is seen.

    Args:
        landmarks: as there. outlines: of each picture, see `capture.outline`; their median is taken.
    Returns:
        ``(468, 3)`` or ``(468 + outline.COUNT, 3)`` float32, head space, cm.
    """
    face, seen = face_shape(landmarks), [outward for outward in outlines if outward is not None]
    if not seen:
        return face
    around, middle = outline.points_of(torch.stack(seen).quantile(0.5, dim=0)), layout.face_vertices().mean(0)
    around[:, :2] = _shrunk(around, around[:, 2:], middle)
    return torch.cat([face, outline.points_of(outline.outward_of(around).clamp_max(MOST))])


def _solve(told: list[np.ndarray], precision: list[np.ndarray]) -> np.ndarray:
    total = PRIOR * np.eye(3) + sum(precision) / len(told)
    right = PRIOR * canonical() + sum(points @ p for points, p in zip(told, precision, strict=True)) / len(told)
    return np.linalg.solve(total, right.T).T
