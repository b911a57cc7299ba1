"""What hides what: a depth buffer of the 468-landmark mesh, or of the whole head, in the plane of the picture.

In: vertices in pixels. Out, for any place in the picture: the depth of the frontmost surface, and how far
the outline of the mesh is. A buffer of 192 cells across the face is finer than the mesh.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .. import layout
from ..raster import rasterise

CELLS = 192
NODES = 128  # of a head, along either side of its map
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
    def of(cls, points: np.ndarray, triangles: Tensor | None = None) -> DepthBuffer:
        """Draw vertices ``(V, 3)`` in pixels (x right, y down, z away) and ``triangles (T, 3)``; None: landmarks and theirs."""
        low, span = points[:, :2].min(0), float(np.ptp(points[:, :2], axis=0).max())
        scale = (CELLS - 1 - 2 * BORDER) / max(span, 1e-6)
        vertices = np.concatenate([(points[:, :2] - low) * scale + BORDER + 0.5, -points[:, 2:]], 1)  # a cell's middle is whole
        hits = rasterise(torch.from_numpy(vertices), layout.face_triangles() if triangles is None else triangles, CELLS)
        values = np.full((CELLS, CELLS), -np.inf)
        values.flat[hits.pixel.numpy()] = hits.near.numpy()
        return cls(values, low, scale)

    @classmethod
    def of_map(cls, position: Tensor, depth: Tensor) -> DepthBuffer:
        """Draw a surface whose texels lie at ``position (2, N, N)`` in pixels, and at ``depth (1, N, N)`` toward the camera."""
        step = max(1, depth.shape[-1] // NODES)
        places = torch.cat([position, -depth])[:, ::step, ::step]
        rows, columns = places.shape[1:]
        number = torch.arange(rows * columns).view(rows, columns)
        a, b, c, d = (x.flatten() for x in (number[:-1, :-1], number[:-1, 1:], number[1:, :-1], number[1:, 1:]))
        triangles = torch.cat([torch.stack([a, c, b], 1), torch.stack([b, c, d], 1)])
        return cls.of(places.flatten(1).T.double().numpy(), triangles)

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
