"""Builds the one geometric asset of the package, ``assets/head.npz``, from the canonical face mesh.

    python -m studiolike.head_model canonical_face_model.obj

Two things are computed once and shipped: landmark places without folded triangles, and the base head's position map,
in which a thin-plate spline carries the face smoothly into an ellipsoidal skull, a neck and ears.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from scipy.interpolate import RBFInterpolator
from scipy.ndimage import gaussian_filter
from torch import Tensor

from . import layout
from .io import atomic
from .raster import doubled_area

# the skull: an ellipsoid of revolution-free radii (cm) about a centre behind the face, fitted by eye to the mesh's rim
SKULL_CENTRE, SKULL_RADII = (0.0, 2.6, -3.4), (7.7, 9.6, 9.9)
NECK_RADIUS = 5.4


def read_obj(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Vertices ``(V, 3)`` float64 and triangles ``(T, 3)`` int64 of a Wavefront file."""
    vertices, triangles = [], []
    for line in Path(path).read_text().splitlines():
        key, *fields = line.split() or [""]
        if key == "v":
            vertices.append([float(x) for x in fields[:3]])
        elif key == "f":
            triangles.append([int(x.split("/")[0]) - 1 for x in fields[:3]])
    return np.array(vertices), np.array(triangles)


def unfold(uv: np.ndarray, triangles: np.ndarray, rounds: int = 400) -> np.ndarray:
    """Move the few vertices of folded triangles (under the nose, between the lips) to their neighbours' mean until
    every triangle of the map keeps its orientation and at least a hundredth of the median area."""
    uv = uv.copy()
    neighbours = [set() for _ in uv]
    for a, b, c in triangles:
        for i, j in ((a, b), (b, c), (c, a)):
            neighbours[i].add(j)
            neighbours[j].add(i)

    def areas() -> np.ndarray:
        return doubled_area(torch.from_numpy(uv[triangles])).numpy()

    sign = np.sign(np.median(areas()))
    floor = 0.01 * np.median(np.abs(areas()))
    for _ in range(rounds):
        bad = np.unique(triangles[areas() * sign < floor])
        if not len(bad):
            return uv
        for i in bad:
            uv[i] += 0.3 * (uv[list(neighbours[i])].mean(0) - uv[i])
    raise RuntimeError("the landmark map still has folded triangles")


def skull(azimuth: Tensor, height: Tensor) -> Tensor:
    """Points ``(..., 3)`` of skull and neck without a face: where the layout's ray leaves the ellipsoid."""
    origin = layout.point_at(azimuth, height, torch.zeros_like(azimuth))
    ray = layout.point_at(azimuth, height, torch.ones_like(azimuth)) - origin
    radii, centre = ray.new_tensor(SKULL_RADII), ray.new_tensor(SKULL_CENTRE)
    o, d = (origin - centre) / radii, ray / radii
    a, b, c = (d * d).sum(-1), (o * d).sum(-1), (o * o).sum(-1) - 1
    root = b * b - a * c
    ellipsoid = torch.where(root > 0, (-b + root.clamp_min(0).sqrt()) / a, torch.zeros_like(a)).clamp_min(0)
    neck = NECK_RADIUS + 0.3 * (1 - azimuth.cos()) ** 2 + ((-height - 9) / 4).clamp_min(0) ** 2 * 1.4
    neck = neck - 0.5 * torch.nn.functional.softplus(height + 3)  # the neck has no say in the skull
    radius = torch.log(torch.exp(1.5 * ellipsoid) + torch.exp(1.5 * neck)) / 1.5  # smooth maximum
    return origin + ray * radius[..., None]


def ear_relief(azimuth: Tensor, height: Tensor) -> Tensor:
    """Outward displacement of the ears in cm: rim, inner fold, lobe and hollow in ear-local polar coordinates."""
    a = (azimuth.abs() - layout.EAR_AZIMUTH) / layout.EAR_WIDTH + 0.04 * (height - 1)
    b = (height - layout.EAR_HEIGHT) / layout.EAR_SIZE
    rho = torch.hypot(a * (1 + 0.25 * (-b).clamp(0, 1)), b)
    ridge = lambda centre, width, r=rho: torch.exp(-(((r - centre) / width) ** 2))  # noqa: E731
    rim = 1.1 * ridge(0.80, 0.17) * (0.35 + 0.65 * (0.7 * a + 0.3 * b + 0.5).clamp(0, 1))
    fold = 0.5 * ridge(0.48, 0.13) * (a + 0.55).clamp(0, 1) * (b + 0.75).clamp(0, 1)
    lobe = 0.35 * torch.exp(-((torch.hypot(a, (b + 0.8) * 1.2) / 0.3) ** 2))
    hollow = 0.7 * torch.exp(-((torch.hypot((a + 0.22) * 1.2, b + 0.12) / 0.26) ** 2))
    return (rim + fold + lobe - hollow) * ((1.08 - rho) / 0.15).clamp(0, 1)


def base_head(vertices: np.ndarray, landmark_uv: np.ndarray, resolution: int) -> np.ndarray:
    """Position map ``(3, H, W)`` float32: skull + thin-plate spline of the face's offsets from it + ears."""
    on_skull = skull(*layout.cylinder_of(torch.from_numpy(landmark_uv))).numpy()
    step = np.linspace(0.02, 0.98, 13)
    anchors = np.array(
        [(u, v) for u in (-0.02, 0.02, 0.06, 0.94, 0.98, 1.02) for v in step]
        + [(u, v) for u in step for v in (0.0, 0.05, 0.98, 1.03)]
    )
    places = np.concatenate([landmark_uv, anchors])
    offsets = np.concatenate([vertices - on_skull, np.zeros((len(anchors), 3))])
    spline = RBFInterpolator(places, offsets, kernel="thin_plate_spline", smoothing=1e-6)
    texels = layout.texel_uv(resolution).double()
    azimuth, height = layout.cylinder_of(texels)
    points = skull(azimuth, height).numpy() + spline(texels.reshape(-1, 2).numpy()).reshape(resolution, resolution, 3)
    du = np.gradient(points, axis=1)
    dv = np.gradient(points, axis=0)
    normal = np.cross(dv, du)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    normal = np.stack([gaussian_filter(normal[..., k], 4, mode=("nearest", "wrap")) for k in range(3)], -1)
    points += normal * ear_relief(azimuth, height).numpy()[..., None]
    return points.transpose(2, 0, 1).astype(np.float32)


def build(obj: str | Path, out: str | Path, resolution: int = 256) -> None:
    """Write the asset."""
    vertices, triangles = read_obj(obj)
    flat = layout.uv_of(torch.from_numpy(vertices)).numpy()
    landmark_uv = unfold(flat, triangles)
    arrays = dict(
        vertices=vertices.astype(np.float32),
        triangles=triangles.astype(np.int64),
        landmark_uv=landmark_uv.astype(np.float32),
        position_map=base_head(vertices, landmark_uv, resolution),
    )
    with atomic(out) as temporary:
        np.savez_compressed(temporary, **arrays)  # type: ignore[arg-type]


if __name__ == "__main__":
    build(sys.argv[1], Path(__file__).parent / "assets" / "head.npz")
