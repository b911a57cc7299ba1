"""What hides what: a depth buffer of the 468-landmark mesh in the plane of the picture.

In: landmarks in pixels. Out, for any place in the picture: the depth of the frontmost surface, and how far
    the outline
of the face is. A buffer of 192 cells across the face is finer than the mesh, whose triangles are drawn into
it one by one (Catmull, *A subdivision algorithm for computer display of curved surfaces*, 1974).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .. import layout

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
        vertices = np.concatenate([(points[:, :2] - low) * scale + BORDER, -points[:, 2:]], 1)
        corners = vertices[layout.face_triangles().numpy()]
        first = np.ceil(corners[..., :2].min(1)).astype(int)
        last = np.floor(corners[..., :2].max(1)).astype(int)
        values = np.full((CELLS, CELLS), -np.inf)
        for ((ax, ay, az), (bx, by, bz), (cx, cy, cz)), (x0, y0), (x1, y1) in zip(corners, first, last, strict=True):
            area = (by - cy) * (ax - cx) + (cx - bx) * (ay - cy)
            if x1 < x0 or y1 < y0 or abs(area) < 1e-9:
                continue
            y, x = np.arange(y0, y1 + 1)[:, None], np.arange(x0, x1 + 1)[None]
            wa = ((by - cy) * (x - cx) + (cx - bx) * (y - cy)) / area
            wb = ((cy - ay) * (x - cx) + (ax - cx) * (y - cy)) / area
            wc = 1 - wa - wb
            depth = np.where((wa >= 0) & (wb >= 0) & (wc >= 0), wa * az + wb * bz + wc * cz, -np.inf)
            np.maximum(values[y0 : y1 + 1, x0 : x1 + 1], depth, out=values[y0 : y1 + 1, x0 : x1 + 1])
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
