"""The rasteriser: which triangle of a mesh is seen at each pixel's centre, and where in it.

One for textures drawn in the layout, for what hides what in a photo, and for pictures of the head. All triangles of about
one size are tested at once, into a depth buffer (Catmull, *A subdivision algorithm for computer display of curved
surfaces*, 1974); results repeat to the byte.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

EDGE = -1e-9  # smallest weight of a hit: shared edges belong to both sides, so that there are no cracks
FLAT = 1e-12  # twice the area in pixels of a triangle that is no more than a line
CELLS = 1 << 20  # pixels that are tested at a time


class Hits(NamedTuple):
    """What is seen, for every covered pixel: its flat number, the triangle ``(P,)``, barycentric weights ``(P, 3)``, nearness."""

    pixel: Tensor
    triangle: Tensor
    weights: Tensor
    near: Tensor

    def where(self, kept: Tensor) -> Hits:
        """Those that are ``kept`` ``(P,)``."""
        return self if kept.all() else Hits(*(part[kept] for part in self))


def doubled_area(corners: Tensor) -> Tensor:
    """Twice the area ``(T,)`` of triangles ``(T, 3, 2+)``; negative where they turn counter-clockwise as seen with y down."""
    a, b, c = corners[..., :2].unbind(1)
    return (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]


def rasterise(screen: Tensor, triangles: Tensor, side: int) -> Hits:
    """Nearest triangle at the centre of every pixel of a square picture; ties go to the lower number.

    Args:
        screen: ``(V, 3)`` float64 on the CPU: x, y in pixels, whose centres are at .5, and nearness, which is larger in front and
            linear over a triangle on the screen: a depth, or its inverse behind a lens.
        triangles: ``(T, 3)`` int64, of either orientation.
    """
    corners = screen[triangles]
    # first and last pixel centre inside the box of each triangle
    low = (corners[..., :2].amin(1) - 0.5).ceil().clamp(0, side).long()
    high = (corners[..., :2].amax(1) - 0.5).floor().clamp(-1, side - 1).long()
    box = high - low + 1
    span = box.amax(1) * ((box.amin(1) > 0) & (doubled_area(corners).abs() > FLAT))

    found = [Hits(*(triangles.new_zeros(0),) * 2, screen.new_zeros(0, 3), screen.new_zeros(0))]
    done, last = 0, max(span.tolist(), default=0)
    while done < last:  # boxes grouped by size: little is tested in vain, no loop over triangles
        reach = min(done + max(1, done // 3), side)
        for group in torch.nonzero((span > done) & (span <= reach))[:, 0].split(max(1, CELLS // reach**2)):
            corner = low[group].clamp_max(side - reach)
            a, b, c = parts = _weights(corners[group], corner, reach)
            which, i, j = torch.nonzero((a >= EDGE) & (b >= EDGE) & (c >= EDGE), as_tuple=True)
            k, weights = group[which], torch.stack([part[which, i, j] for part in parts], 1)
            pixel = (corner[which, 1] + i) * side + corner[which, 0] + j
            found.append(Hits(pixel, k, weights, (weights * corners[k, :, 2]).sum(-1)))
        done = reach
    hits = Hits(*(torch.cat(parts) for parts in zip(*found, strict=True)))
    nearest = screen.new_full((side * side,), -torch.inf).scatter_reduce_(0, hits.pixel, hits.near, "amax")
    hits = hits.where(hits.near >= nearest[hits.pixel])
    first = hits.pixel.new_full((side * side,), len(triangles)).scatter_reduce_(0, hits.pixel, hits.triangle, "amin")
    return hits.where(hits.triangle == first[hits.pixel])


def _weights(corners: Tensor, low: Tensor, reach: int) -> list[Tensor]:
    """Barycentric weights of ``reach``² pixel centres right of and below ``low (G, 2)``: three of ``(G, reach, reach)``."""
    (ax, ay), (bx, by), (cx, cy) = (corner[:, :2].unbind(-1) for corner in corners.unbind(1))
    (x, y), area = (low.to(corners) + 0.5).unbind(-1), doubled_area(corners)
    steps = torch.arange(reach, dtype=corners.dtype, device=corners.device)
    parts = []
    for px, py, qx, qy in ((bx, by, cx, cy), (cx, cy, ax, ay), (ax, ay, bx, by)):
        along, down = (py - qy) / area, (qx - px) / area  # a weight is linear on the screen: its slopes
        start = ((px - x) * (qy - y) - (py - y) * (qx - x)) / area
        parts.append((start[:, None] + down[:, None] * steps)[:, :, None] + (along[:, None] * steps)[:, None])
    return parts
