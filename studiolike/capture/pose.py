"""How the head stands before the camera: a similarity between the canonical face mesh and the landmarks.

In: landmarks ``(468, 3)`` in pixels. Out: a `Pose` that carries head space (centimetres) to *view space*: pixels with
x right, y **up** and z toward the camera, so that nothing is mirrored and normals keep their sign.

Least-squares fit in closed form: Umeyama, *Least-squares estimation of transformation parameters between
two point patterns*, PAMI 1991.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .. import layout

_TO_VIEW = np.array([1.0, -1.0, -1.0])  # a half turn about x: image axes (y down, z away) to view axes


@dataclass(frozen=True)
class Pose:
    """``view = scale · rotation @ head + offset``.

    Attributes:
        scale: pixels per centimetre of the canonical head.
        rotation: ``(3, 3)``, determinant 1.
        offset: ``(3,)`` in pixels.

    Angles: the rotation is a pitch, then a yaw, then a roll in the picture's plane.
    """

    scale: float
    rotation: np.ndarray
    offset: np.ndarray

    def apply(self, points: np.ndarray) -> np.ndarray:
        """Head-space ``(..., 3)`` in cm → view space ``(..., 3)`` in pixels."""
        return self.scale * points @ self.rotation.T + self.offset

    def undo(self, points: np.ndarray) -> np.ndarray:
        """View space ``(..., 3)`` in pixels → head space in cm, the inverse of `apply`."""
        return (points - self.offset) @ self.rotation / self.scale

    @property
    def yaw(self) -> float:
        """Degrees by which the head, once upright, looks to the right of the picture (the subject's left)."""
        return math.degrees(math.asin(max(-1.0, min(1.0, -self.rotation[2, 0]))))

    @property
    def pitch(self) -> float:
        """Degrees by which the nose points up."""
        return math.degrees(math.atan2(-self.rotation[2, 1], self.rotation[2, 2]))

    @property
    def roll(self) -> float:
        """Degrees by which the head leans, counter-clockwise in the picture."""
        return math.degrees(math.atan2(self.rotation[1, 0], self.rotation[0, 0]))

    @property
    def face_pixels(self) -> float:
        """Width in pixels that the canonical face (between the ears) would have if seen from the front."""
        return self.scale * float(np.ptp(layout.face_vertices().numpy()[:, 0]))


def to_view(points: np.ndarray) -> np.ndarray:
    """Landmarks in image axes (y down, z away) ↔ view axes (y up, z near); its own inverse."""
    return points * _TO_VIEW


def fit_pose(points: np.ndarray) -> Pose:
    """Fit the canonical face mesh to landmarks ``(468, 3)`` in pixels (image axes)."""
    source = layout.face_vertices().double().numpy()
    target = to_view(np.asarray(points, dtype=np.float64)[: len(source)])
    source_mean, target_mean = source.mean(0), target.mean(0)
    covariance = (target - target_mean).T @ (source - source_mean) / len(source)
    left, singular, right = np.linalg.svd(covariance)
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(left @ right)) or 1.0])
    rotation = left * signs @ right
    variance = ((source - source_mean) ** 2).sum() / len(source)
    scale = float((singular * signs).sum() / variance)
    return Pose(scale, rotation, target_mean - scale * rotation @ source_mean)
