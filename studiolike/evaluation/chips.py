"""Faces as the face-identity network wants them: upright, 150 pixels wide, eye corners and nose at fixed places.

A *chip* is ``(B, 3, 150, 150)`` in [0, 1], sRGB. `photo_chip` cuts one out of a photograph by its landmarks; `render_chip` draws
textures as a `ChipView` sees the head: in the texture's own colours without any light, so that what is compared is what the
texture says. With a photo's landmarks the view has that person's shape and smile. On the base head the same texture is closer
to a stranger: the canonical face has nobody's mouth and nobody's nose.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .. import avatar, layout, outline
from ..avatar.render import rotation
from ..capture.shape import head_shape
from ..image import linear_to_srgb, resize, srgb_to_linear
from ..raster import doubled_area
from .face_net import SIDE

# the five points, in the face mesh's numbering: outer and inner corner of the subject's left eye, of the right one, nose base
POINTS = (263, 362, 33, 133, 2)
# where they stand in a chip (x, y), as shares of its width, before the margin; dlib's mean face of five points
PLACES = ((0.8596, 0.2135), (0.6461, 0.2290), (0.1206, 0.2137), (0.3341, 0.2291), (0.4901, 0.6278))
PADDING = 0.25  # margin around the mean face, in its own widths
DISTANCE = 90.0  # cm between the camera and the head's axis: a portrait's
OVER = 2  # samples per pixel edge
WALL = 0.2  # linear grey behind a drawn head


@dataclass(frozen=True)
class ChipView:
    """What each sample of a chip shows of the head; one view serves any number of textures.

    Attributes:
        uv: ``(300, 300, 2)`` float32, the place in the `head` layout, u right and v down.
        covered: ``(300, 300)`` float32, 1 where the head is.
    """

    uv: Tensor
    covered: Tensor


def alignment(points: np.ndarray) -> np.ndarray:
    """Similarity ``(2, 3)`` that carries five points ``(5, 2)`` in pixels to their places in a chip (least squares)."""
    places = (np.array(PLACES) + PADDING) / (1 + 2 * PADDING) * SIDE
    source, target = points - points.mean(0), places - places.mean(0)
    cosine = (source * target).sum() / (source**2).sum()
    sine = (source[:, 0] * target[:, 1] - source[:, 1] * target[:, 0]).sum() / (source**2).sum()
    rotation = np.array([[cosine, -sine], [sine, cosine]])
    return np.concatenate([rotation, (places.mean(0) - rotation @ points.mean(0))[:, None]], 1)


def photo_chip(image: np.ndarray, landmarks: np.ndarray) -> Tensor:
    """The chip ``(1, 3, 150, 150)`` of a photograph.

    Args:
        image: uint8 RGB ``(H, W, 3)``. landmarks: ``(468, 3)`` in its pixels, as `capture.landmarks` gives them.
    """
    picture = torch.tensor(image).permute(2, 0, 1)[None].float() / 255
    forward = alignment(np.asarray(landmarks)[list(POINTS), :2])
    shrink = max(1, int(1 / (OVER * math.hypot(*forward[:, 0]))))  # area means first: a large photo must not alias
    picture = F.avg_pool2d(srgb_to_linear(picture), shrink)
    backward = torch.from_numpy(np.linalg.inv(np.vstack([forward, [0, 0, 1]]))[:2])
    centres = (torch.arange(SIDE * OVER, dtype=torch.float64) + 0.5) / OVER
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    place = torch.stack([x, y, torch.ones_like(x)], -1) @ backward.T / shrink
    grid = place / torch.tensor([picture.shape[-1], picture.shape[-2]]) * 2 - 1
    return _shown(F.grid_sample(picture, grid[None].float(), padding_mode="border", align_corners=False))


def render_chip(texture: Tensor, view: ChipView | None = None) -> Tensor:
    """Chips ``(B, 3, 150, 150)`` of textures ``(B, 3, H, W)`` in [0, 1]; default view: the base head from the front."""
    view = view or chip_view()
    grid, covered = (view.uv * 2 - 1).to(texture)[None], view.covered.to(texture)
    light = srgb_to_linear(resize(texture, min(texture.shape[-1], 512)))  # as fine as a chip can show
    drawn = F.grid_sample(light, grid.expand(len(texture), -1, -1, -1), padding_mode="border", align_corners=False)
    return _shown(drawn * covered + WALL * (1 - covered))


def _shown(light: Tensor) -> Tensor:
    return linear_to_srgb(F.avg_pool2d(light, OVER)).clamp(0, 1)


def chip_view(
    landmarks: np.ndarray | None = None,
    yaw: float = 0.0,
    pitch: float = 0.0,
    *,
    closed: bool = False,
    outward: Tensor | None = None,
) -> ChipView:
    """How a chip sees the head.

    Args:
        landmarks: ``(468, 3)`` in pixels of a photo, whose shape and expression the head takes on; None: the base head.
        yaw, pitch: of the head in degrees; positive yaw looks to the right of the picture, positive pitch up.
        closed: close an open mouth, as the avatar does; else the expression is the photo's.
        outward: outline of the head in that photo, see `capture.Capture`, which the avatar follows; None: the base head's.
    """
    if landmarks is None:
        return _base_view(float(yaw), float(pitch))
    shape = head_shape([landmarks], [outward])
    return _draw(avatar.own_head(shape, closed=closed), shape[: outline.POINTS], yaw, pitch)


@lru_cache(16)
def _base_view(yaw: float, pitch: float) -> ChipView:
    return _draw(avatar.head_mesh(), layout.face_vertices(), yaw, pitch)


def _draw(mesh: avatar.HeadMesh, points: Tensor, yaw: float, pitch: float) -> ChipView:
    turn = rotation(yaw, pitch)
    axis = torch.tensor([0.0, 0.0, layout.AXIS_Z])

    def seen(places: Tensor) -> tuple[Tensor, Tensor]:
        x, y, z = ((places - axis).double() @ turn.T).unbind(-1)
        return torch.stack([x, -y], -1) / (DISTANCE - z)[:, None], 1 / (DISTANCE - z)

    forward = torch.from_numpy(alignment(seen(points[list(POINTS)])[0].numpy()))
    flat, nearness = seen(mesh.vertices)
    flat = (flat @ forward[:, :2].T + forward[:, 2]) / SIDE
    area = doubled_area(corners := flat[mesh.triangles])
    near = (corners > -0.1).all(2).any(1) & (corners < 1.1).all(2).any(1)
    kept = mesh.triangles[(area < 0) & near]  # y runs down, so outer sides turn clockwise
    uv, covered = layout.interpolate(flat, kept, mesh.uv, SIDE * OVER, nearness)
    return ChipView(uv.permute(1, 2, 0), covered[0])
