"""What hides what: a depth buffer of the 468-landmark mesh in the plane of the picture.

In: landmarks in pixels. Out, for any place in the picture: the depth of the frontmost surface, and how far
the outline of the face is. A buffer of 192 cells across the face is finer than the mesh.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .. import layout
from ..raster import rasterise

CELLS = 192
BORDER = 4  # empty cells around the face, so that its outline is always inside


@dataclass(frozen=True)
class DepthBuffer:
    """Depth toward the camera per cell, ``(CELLS, CELLS)`` float64, −inf where there is no face.

    A place (x, y) in pixels falls into cell ``((x, y) − low) · scale + BORDER``.
    """

    values: np.ndarray
    low: np.ndarray
    scale: float

    @classmethod
    def of(cls, points: np.ndarray) -> DepthBuffer:
        """Draw landmarks ``(468, 3)`` in pixels (x right, y down, z away)."""
        low, span = points[:, :2].min(0), float(np.ptp(points[:, :2], axis=0).max())
        scale = (CELLS - 1 - 2 * BORDER) / max(span, 1e-6)
        vertices = np.concatenate([(points[:, :2] - low) * scale + BORDER + 0.5, -points[:, 2:]], 1)  # a cell's middle is whole
        hits = rasterise(torch.from_numpy(vertices), layout.face_triangles(), CELLS)
        values = np.full((CELLS, CELLS), -np.inf)
        values.flat[hits.pixel.numpy()] = hits.near.numpy()
        return cls(values, low, scale)

    def _cells(self, position: Tensor) -> tuple[Tensor, Tensor]:
        low = torch.from_numpy(self.low).to(position)[:, None, None]
        x, y = ((position - low) * self.scale + BORDER).round().long().clamp(0, CELLS - 1)
        return y, x

    def depth_at(self, position: Tensor) -> Tensor:
        """Depth of the frontmost surface at places ``(2, H, W)`` in pixels, as ``(1, H, W)``; −inf beside the face."""
        return torch.from_numpy(self.values).float()[self._cells(position)][None]

    def distance_to_outline(self, position: Tensor) -> Tensor:
        """Distance in pixels from places ``(2, H, W)`` to the face's outline, ``(1, H, W)``; 0 outside."""
        from scipy.ndimage import distance_transform_edt

        inside = distance_transform_edt(np.isfinite(self.values)) / self.scale
        return torch.from_numpy(inside).float()[self._cells(position)][None]
