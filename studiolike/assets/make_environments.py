"""How `environments.npz` was made: high-dynamic-range photographs of places → small maps, their suns apart.

    python make_environments.py FOLDER [FOLDER …] [-o environments.npz]

Reads every ``*.exr`` below the folders, and every ``*.exr.js`` (a base64 EXR in a module), in any aspect, as an
equirectangular map with the zenith in the top row. The sources are 26 CC0 maps of Poly Haven (formerly HDRI Haven):
8 in Debian's ``blender-data`` 3.4.1 (``datafiles/studiolights/world``), 18 in the npm package ``@pmndrs/assets``
1.7.0 (``hdri``). Needs the packages OpenEXR and numpy; nothing else in the project does.

A sun is too small and too bright for a map of 64 × 32: it would become a lamp of six degrees, without the
shadows it casts. So a small source that outshines its surroundings is taken out and kept as direction, colour and
size. Each place is scaled to an average radiance of 1 over the sphere, sun included.
"""

from __future__ import annotations

import argparse
import base64
import tempfile
from pathlib import Path

import numpy as np

HEIGHT, WIDTH = 32, 64
CORE, RING = np.radians(7.0), np.radians(13.0)  # a sun with its glare; what it is compared with
OUTSHINES, MATTERS = 3.0, 0.10  # times the ring's bright end; irradiance against that of the whole average
DAMAGED = 6.0  # ratio of a source's channels that no lamp and no sun has
LUMA = np.array([0.2126, 0.7152, 0.0722])


def read(path: Path) -> np.ndarray:
    """``(H, W, 3)`` float64 linear RGB."""
    import OpenEXR

    if path.suffix == ".js":
        text = path.read_text()
        data = base64.b64decode(text[text.index("base64,") + 7 : text.rindex("'")])
        with tempfile.NamedTemporaryFile(suffix=".exr") as handle:
            handle.write(data)
            handle.flush()
            channels = OpenEXR.File(handle.name).channels()
    else:
        channels = OpenEXR.File(str(path)).channels()
    pixels = next((channels[k].pixels for k in ("RGB", "RGBA") if k in channels), None)
    if pixels is None:
        pixels = np.stack([channels[k].pixels for k in "RGB"], -1)
    return np.maximum(pixels[..., :3].astype(np.float64), 0)


def angles(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit directions ``(H, W, 3)`` (y up; z at the middle column, x a quarter to its right) and solid angles ``(H, W)``."""
    elevation = np.pi * (0.5 - (np.arange(height) + 0.5) / height)[:, None]
    azimuth = 2 * np.pi * ((np.arange(width) + 0.5) / width - 0.5)[None]
    ring = np.cos(elevation)
    d = np.stack([ring * np.sin(azimuth), np.sin(elevation) + 0 * azimuth, ring * np.cos(azimuth)], -1)
    return d, np.broadcast_to(ring * (np.pi / height) * (2 * np.pi / width), (height, width))


def split_sun(sky: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """The map without its strongest small source, and that source's direction ``(3,)``, irradiance / π ``(3,)`` (0: none)
    and radius in radians."""
    d, solid = angles(*sky.shape[:2])
    light = sky @ LUMA
    average = (light * solid).sum() / (4 * np.pi)
    core, best = np.zeros(light.shape, bool), (np.array([0.0, 1.0, 0.0]), np.zeros(3), 0.0)
    left = light.copy()
    for _ in range(8):  # a lamp's pixel may be brighter than the sun's without giving more light
        peak = d.reshape(-1, 3)[np.argmax(left)]
        away = np.arccos(np.clip(d @ peak, -1, 1))
        left[away <= CORE] = 0
        ring = (away > CORE) & (away < RING)
        near = (away <= CORE) & (light > OUTSHINES * np.quantile(light[ring], 0.9))
        around = np.average(sky[ring], axis=0, weights=solid[ring])
        extra = np.maximum(sky - around, 0) * (near * solid)[..., None]
        colour = extra.sum((0, 1)) / np.pi
        if colour.max() > DAMAGED * colour.min():  # two of the packed suns lost red and green: none is better than a blue one
            sky = np.where(near[..., None], around, sky)
            continue
        if colour @ LUMA > max(MATTERS * average, best[1] @ LUMA):
            weight = extra @ LUMA
            direction = (d * weight[..., None]).sum((0, 1))
            direction /= np.linalg.norm(direction)
            spread = np.arccos(np.clip(d @ direction, -1, 1))
            radius = np.sqrt((weight * spread**2).sum() / weight.sum() * 2)  # of the even disc with this second moment
            core, ground, best = near, around, (direction, colour, float(radius))
    return (np.where(core[..., None], ground, sky) if core.any() else sky), *best


def reduce(sky: np.ndarray) -> np.ndarray:
    """Averages over solid angle, ``(HEIGHT, WIDTH, 3)``."""
    h, w = sky.shape[0] // HEIGHT, sky.shape[1] // WIDTH
    solid = angles(*sky.shape[:2])[1][..., None]

    def total(x: np.ndarray) -> np.ndarray:
        return x.reshape(HEIGHT, h, WIDTH, w, -1).sum((1, 3))

    return total(sky * solid) / total(solid)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("-o", "--out", type=Path, default=Path(__file__).with_name("environments.npz"))
    options = parser.parse_args()
    names, maps, suns = [], [], []
    for k, folder in enumerate(options.folders):
        for path in sorted([*folder.rglob("*.exr"), *folder.rglob("*.exr.js")]):
            sky, direction, colour, radius = split_sun(read(path))
            small = reduce(sky)
            scale = 1 / ((small @ LUMA * angles(HEIGHT, WIDTH)[1]).sum() / (4 * np.pi) + colour @ LUMA / 4)
            names.append(f"{k}/{path.name.split('.')[0]}")
            maps.append(np.clip(small * scale, 0, 6e4).astype(np.float16))
            suns.append([*direction, *(colour * scale), radius])
            print(f"{names[-1]:14s} brightest {maps[-1].max():8.1f}  sun {colour @ LUMA * scale:6.2f}  {np.degrees(radius):.1f}°")
    np.savez_compressed(
        options.out, names=np.array(names), maps=np.stack(maps).transpose(0, 3, 1, 2), suns=np.array(suns, np.float32)
    )


if __name__ == "__main__":
    main()
