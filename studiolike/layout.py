"""The `head` UV layout: one square map of the whole head in which texels correspond across people.

A cylinder around the vertical head axis with a dome on top, unrolled so that the nose is in the middle and the face
gets more texels than the back. The 468 landmarks of the canonical face mesh have *fixed* places in it
(`landmark_uv`), so a photo unwraps into it by its landmarks and a synthetic head is painted straight onto it.

Head space: centimetres of the canonical face mesh; x to the subject's left, y up, z forward. UV: u right, v down,
both in [0, 1]; the centre of texel (row i, column j) of an N×N map is ((j + .5)/N, (i + .5)/N).
Source of the mesh: MediaPipe canonical face model (Apache-2.0, see NOTICE).
"""

from __future__ import annotations

import math
from functools import lru_cache
from importlib import resources

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .errors import InputError
from .raster import rasterise

AXIS_Z = -3.0  # z of the cylinder's axis, cm
DOME_Y, TOP, BOTTOM = 6.0, 13.5, -13.0  # where the dome begins; arc heights of crown and neck's end, cm
POLE = math.radians(88.0)  # elevation at the top row: short of 90°, so that no texel is degenerate
FRONT = 0.62  # 0 = even in azimuth; the face's middle gets 1 + FRONT, the back 1 − FRONT texels

# landmark rings of the canonical face mesh (MediaPipe's own numbering)
REGIONS: dict[str, list[int]] = {
    # fmt: off
    "face": [
        10,
        338,
        297,
        332,
        284,
        251,
        389,
        356,
        454,
        323,
        361,
        288,
        397,
        365,
        379,
        378,
        400,
        377,
        152,
        148,
        176,
        149,
        150,
        136,
        172,
        58,
        132,
        93,
        234,
        127,
        162,
        21,
        54,
        103,
        67,
        109,
    ],
    # fmt: on
    "lips": [61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185],
    "inner_lips": [78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191],
    "left_eye": [263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466],
    "right_eye": [33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246],
    "left_brow": [276, 283, 282, 295, 285, 336, 296, 334, 293, 300],
    "right_brow": [46, 53, 52, 65, 55, 107, 66, 105, 63, 70],
    "nose": [193, 245, 188, 174, 217, 126, 209, 49, 129, 98, 97, 2, 326, 327, 358, 279, 429, 355, 437, 399, 412, 465, 417, 168],
    "left_nostril": [438, 457, 461, 462, 328, 460, 289],
    "right_nostril": [218, 237, 241, 242, 99, 240, 59],
}
REGIONS["mouth"] = [{78: 61, 308: 291}.get(point, point) for point in REGIONS["inner_lips"]]  # to the corners of the lips
FEATURES = ("lips", "left_eye", "right_eye", "left_brow", "right_brow")  # regions of the face that are not skin


BAND = 128  # rows of a mask that are drawn at a time


@lru_cache(1)
def _asset() -> dict[str, np.ndarray]:
    with resources.files("studiolike.assets").joinpath("head.npz").open("rb") as handle, np.load(handle) as arrays:
        return {name: arrays[name] for name in arrays.files}


def face_vertices() -> Tensor:
    """Canonical face mesh, ``(468, 3)`` float32, centimetres."""
    return torch.from_numpy(_asset()["vertices"])


def face_triangles() -> Tensor:
    """Its triangles, ``(898, 3)`` int64, counter-clockwise seen from outside."""
    return torch.from_numpy(_asset()["triangles"])


def landmark_uv() -> Tensor:
    """Fixed places of the 468 landmarks in the layout, ``(468, 2)`` float32 (u, v)."""
    return torch.from_numpy(_asset()["landmark_uv"])


def uv_of(points: Tensor) -> Tensor:
    """Head-space points ``(..., 3)`` in cm → their (u, v), ``(..., 2)``."""
    x, y, z = points[..., 0], points[..., 1], points[..., 2] - AXIS_Z
    azimuth, ring = torch.atan2(x, z), torch.hypot(x, z)
    dome = TOP - DOME_Y
    height = torch.where(y > DOME_Y, DOME_Y + torch.atan2(y - DOME_Y, ring) / POLE * dome, y)
    a = azimuth.abs() / math.pi
    u = 0.5 + 0.5 * azimuth.sign() * a * (1 + FRONT - FRONT * a)
    return torch.stack([u, (TOP - height) / (TOP - BOTTOM)], -1)


def cylinder_of(uv: Tensor) -> tuple[Tensor, Tensor]:
    """(u, v) ``(..., 2)`` → azimuth in radians (0 at the nose, + to the subject's left) and arc height in cm."""
    a = (uv[..., 0] - 0.5).abs() * 2
    a = ((1 + FRONT) - ((1 + FRONT) ** 2 - 4 * FRONT * a).clamp_min(0).sqrt()) / (2 * FRONT)
    return (uv[..., 0] - 0.5).sign() * a * math.pi, TOP - uv[..., 1] * (TOP - BOTTOM)


def point_at(azimuth: Tensor, height: Tensor, radius: Tensor) -> Tensor:
    """Head-space point ``(..., 3)`` at a distance ``radius`` (cm) from the axis, or from the dome's centre above it."""
    elevation = ((height - DOME_Y) / (TOP - DOME_Y)).clamp_min(0) * POLE
    ring = radius * elevation.cos()
    y = height.clamp_max(DOME_Y) + radius * elevation.sin()
    return torch.stack([ring * azimuth.sin(), y, AXIS_Z + ring * azimuth.cos()], -1)


def texel_uv(resolution: int) -> Tensor:
    """(u, v) of all texel centres, ``(H, W, 2)`` float32."""
    c = (torch.arange(resolution, dtype=torch.float32) + 0.5) / resolution
    return torch.stack(torch.meshgrid(c, c, indexing="xy"), -1)


@lru_cache(8)
def position_map(resolution: int) -> Tensor:
    """Base head as a position map, ``(3, H, W)`` float32, centimetres; normals, meshes and light follow from it.

    The face interpolates the canonical mesh exactly at the landmarks and runs smoothly into scalp, ears and neck.
    """
    base = torch.from_numpy(_asset()["position_map"])[None].float()
    if resolution == base.shape[-1]:
        return base[0]
    wrapped = F.pad(base, (8, 8, 0, 0), mode="circular")  # the seam at the back is no border
    wrapped = F.pad(wrapped, (0, 0, 8, 8), mode="replicate")
    size = resolution * wrapped.shape[-1] // base.shape[-1]
    big = F.interpolate(wrapped, (size, size), mode="bicubic", antialias=resolution < base.shape[-1], align_corners=False)
    edge = (size - resolution) // 2
    return big[0, :, edge : edge + resolution, edge : edge + resolution].contiguous()


def interpolate(
    uv: Tensor, triangles: Tensor, attributes: Tensor, resolution: int, near: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Interpolate vertex attributes over triangles drawn in UV space.

    Args:
        uv: ``(V, 2)`` in [0, 1]. triangles: ``(T, 3)`` int64. attributes: ``(V, C)``.
        near: ``(V,)``, larger for what covers other triangles; without it there should be no such.
    Returns:
        ``(C, H, W)`` values (0 outside) and a ``(1, H, W)`` mask, 1 where a triangle covers the texel's centre.
    """
    index, weights = _coverage(uv, triangles, resolution, near)
    inside = index >= 0
    corners = attributes[triangles[index.clamp_min(0)]]  # (H, W, 3, C)
    values = (corners * weights[..., None].to(attributes.dtype)).sum(2) * inside[..., None]
    return values.permute(2, 0, 1), inside[None].float()


def _coverage(uv: Tensor, triangles: Tensor, n: int, near: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Which triangle covers each texel (−1: none), ``(n, n)``, and its barycentric weights ``(n, n, 3)``."""
    depth = uv.new_zeros(len(uv)) if near is None else near
    hits = rasterise(torch.column_stack([uv.double() * n, depth.double()]), triangles, n)
    index = torch.full((n * n,), -1)
    weights = torch.zeros(n * n, 3)
    index[hits.pixel], weights[hits.pixel] = hits.triangle, hits.weights.float()
    return index.view(n, n), weights.view(n, n, 3)


@lru_cache(8)
def face_coverage(resolution: int) -> tuple[Tensor, Tensor]:
    """Canonical face mesh in the layout: triangle index ``(H, W)`` int64 (−1 outside) and barycentric weights ``(H, W, 3)``."""
    return _coverage(landmark_uv(), face_triangles(), resolution)


def polygon_mask(uv: Tensor, resolution: int) -> Tensor:
    """Antialiased fill of a polygon given by ``(P, 2)`` (u, v), as ``(1, H, W)`` in [0, 1]."""
    from skimage.draw import polygon2mask

    # only the box around it is drawn finely, band by band: of a whole map of 2048 texels that takes gigabytes
    place = uv.double() * resolution
    left, top = place.amin(0).floor().int().clamp_min(0).tolist()
    right, bottom = place.amax(0).ceil().int().clamp_max(resolution).tolist()
    mask = torch.zeros(1, resolution, resolution)
    for start in range(top, bottom, BAND):
        end = min(start + BAND, bottom)
        corners = (place - torch.tensor([left, start])) * 4 - 0.5
        fine = polygon2mask(((end - start) * 4, (right - left) * 4), corners.flip(-1).numpy())
        mask[:, start:end, left:right] = F.avg_pool2d(torch.from_numpy(fine)[None, None].float(), 4)[0]
    return mask


@lru_cache(64)
def region_mask(name: str, resolution: int) -> Tensor:
    """Soft mask ``(1, H, W)`` in [0, 1] of a region: any key of `REGIONS`, or ears, neck, scalp, crown, head, skin_face.

    ``skin_face`` is the face without eyes, brows and lips; ``crown`` is all above the brows; ``head`` is the whole map.

    Raises:
        InputError: unknown region.
    """
    if name in REGIONS:
        return polygon_mask(landmark_uv()[REGIONS[name]], resolution)
    if name == "head":
        return torch.ones(1, resolution, resolution)
    if name == "skin_face":
        holes = sum(region_mask(part, resolution) for part in FEATURES)
        return (region_mask("face", resolution) - holes).clamp(0, 1)
    azimuth, height = cylinder_of(texel_uv(resolution))
    soft = 26.5 / resolution * 2  # two texels of feather, in cm of height
    if name == "ears":
        a, b = (azimuth.abs() - EAR_AZIMUTH) / EAR_WIDTH, (height - EAR_HEIGHT) / EAR_SIZE
        return ((1.05 - torch.hypot(a, b)) / (soft / EAR_SIZE)).clamp(0, 1)[None]
    if name == "neck":
        below = ((-6.2 - 1.6 * azimuth.cos() - height) / soft).clamp(0, 1)[None]
        return (below - region_mask("face", resolution)).clamp(0, 1)
    if name == "crown":
        brows = landmark_uv()[REGIONS["left_brow"] + REGIONS["right_brow"], 1].min()
        return ((brows - texel_uv(resolution)[None, ..., 1]) * resolution / 2).clamp(0, 1)
    if name == "scalp":
        rest = 1 - region_mask("face", resolution) - region_mask("ears", resolution) - region_mask("neck", resolution)
        return rest.clamp(0, 1)
    raise InputError(
        f"unknown region '{name}'; known: {', '.join([*REGIONS, 'ears', 'neck', 'scalp', 'crown', 'head', 'skin_face'])}"
    )


def face_mask(resolution: int) -> Tensor:
    """The face oval, ``(1, H, W)`` in [0, 1]."""
    return region_mask("face", resolution)


# the ears' place on the cylinder: radians, and cm of height
EAR_AZIMUTH, EAR_WIDTH = math.radians(98), math.radians(15)
EAR_HEIGHT, EAR_SIZE = 1.2, 3.4
