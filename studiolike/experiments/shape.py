"""How much of a head's shape photographs tell: synthetic people, whose shape is known, drawn, photographed and found again.

Landmarks are those of the networks in the package. Both shapes are laid on the canonical face: size and pose do not count.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from .. import avatar, capture, layout
from ..capture.detection import find_faces
from ..capture.pose import fit_pose, to_view
from ..config import Profile
from ..synth import studio_texture, synthesise_subjects
from .core import Outcome, declare
from .lab import Lab

SIDE = 512  # pixels of a picture, and texels of the head in it
YAWS = {1: (0,), 3: (-30, 0, 30)}  # degrees that the head is turned by, for so many photos
JITTER = 5.0  # degrees, standard deviation, that a pose is off by
AXES = ("width", "height", "depth")


@lru_cache(4)
def photographed(lab: Lab, seed: int) -> tuple[list[list[np.ndarray]], np.ndarray]:
    """Of each person of "val" the landmarks in three pictures, and the true points ``(N, 468, 3)``, cm."""
    rng = torch.Generator().manual_seed(seed)
    found, truth = [], []
    for person in lab.val_seeds:
        head = synthesise_subjects(person[None], SIDE)
        texture, mesh = studio_texture(head)[0], avatar.head_mesh(head.position[0])
        grid = (layout.landmark_uv() * 2 - 1)[None, None]
        truth.append(F.grid_sample(head.position, grid, padding_mode="border", align_corners=False)[0, :, 0].T.double().numpy())
        pictures = []
        for yaw in YAWS[3]:
            off = JITTER * torch.randn(2, generator=rng)
            drawn = avatar.render(mesh, texture, yaw=yaw + float(off[0]), pitch=float(off[1]), size=SIDE)
            faces = find_faces((drawn.permute(1, 2, 0) * 255).round().byte().numpy())
            pictures.append(faces[0] if faces else np.full((468, 3), np.nan))
        found.append(pictures)
    return found, np.stack(truth)


def laid(points: np.ndarray) -> np.ndarray:
    """Points ``(468, 3)`` in the size and place of the canonical face, as a pose sees them."""
    return fit_pose(to_view(points)).undo(points)


def believed(landmarks: list[np.ndarray], how: str) -> np.ndarray:
    """A shape ``(468, 3)``: nobody's, that of the landmarks with their depth as the network says it, or ours."""
    if how == "base":
        return layout.face_vertices().double().numpy()
    if how == "told":
        return np.mean([laid(to_view(points)) for points in landmarks], axis=0)
    return laid(capture.face_shape(landmarks).double().numpy())


def measure(lab: Lab, settings: Mapping[str, Any], seed: int) -> Outcome:
    """How well what tells people apart is found: error in mm, person by person, and correlation along each axis."""
    found, truth = photographed(lab, seed)
    chosen = [YAWS[3].index(yaw) for yaw in YAWS[settings["photos"]]]
    pictures = [[person[k] for k in chosen if np.isfinite(person[k]).all()] for person in found]
    usable = [k for k, some in enumerate(pictures) if some]
    shapes = np.stack([believed(pictures[k], settings["depth"]) for k in usable])
    true = np.stack([laid(truth[k]) for k in usable])
    apart, truly = shapes - shapes.mean(0), true - true.mean(0)
    error = np.full(len(found), np.nan)
    error[usable] = 10 * np.sqrt(((apart - truly) ** 2).sum(-1).mean(-1))
    both = (apart * truly).sum((0, 1))
    scale = np.sqrt((apart**2).sum((0, 1)) * (truly**2).sum((0, 1)))
    correlation = both / scale.clip(1e-12)  # 0 of the base head, which tells nobody apart
    return Outcome(lab.val_seeds.numpy(), {"shape_error": error}, dict(zip(AXES, correlation.tolist(), strict=True)))


def _settings(profile: Profile) -> dict[str, Any]:
    rules = capture.shape
    return {
        "side": SIDE, "yaws": YAWS, "jitter": JITTER, "photos": 1, "depth": "ours", "believed": rules.DEPTH, "prior": rules.PRIOR,
        "odd": rules.ODD, "distance": rules.DISTANCE, "people": profile.data.val_subjects, "first_seed": profile.data.first_seed,
    }  # fmt: skip


declare(
    "shape",
    "How much of a head's shape do photographs tell?",
    {
        "one photo": {},
        "three photos": {"photos": 3},
        "one photo, depth as the network says": {"depth": "told"},
        "three photos, depth as the network says": {"photos": 3, "depth": "told"},
        "the base head": {"depth": "base"},
    },
    measure,
    _settings,
    "one photo",
    ("shape_error", *AXES),
    "The faces are drawn, and the landmark networks have learnt from photographs of real ones: they see brows and mouths of "
    "drawn faces a few millimetres from where the layout has them, the same for everybody. So the mean over all people is "
    "taken from both shapes, and what is compared is what tells people apart. Whether real faces are found better "
    "cannot be said here.",
    version=3,  # pictures are taken without the perspective of their camera
    files=("face_detector", "face_mesh"),
)
