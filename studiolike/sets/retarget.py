"""A texture in a foreign UV layout → the `head` layout, by its face landmarks.

A face detector finds faces on most unwrapped textures too. Its 468 landmarks have fixed places in the head layout, so
they say where each of these places lies in the foreign texture; a thin-plate spline carries that to every texel. It is
C1, passes close by the landmarks of the front, and has the least bending outside of them:

    f(u, v) = A·(1, u, v) + Σ_k c_k φ(|(u, v) − p_k|),  φ(r) = r² log r        (Bookstein, PAMI 1989, eq. 1–3)

Beyond the face nothing ties it down: ears and scalp come out roughly, so visibility fades to 0 with the distance from
the face oval, and is 0 where the map folds over or leaves the picture.
In: float32 ``(3, H, W)`` in [0, 1], sRGB. Out: a `Capture`, like that of a photograph.
"""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .. import io, layout
from ..capture.detection import find_faces
from ..capture.landmarks import Finder, StoredLandmarks, load_landmarks, save_landmarks
from ..capture.unwrap import OPAQUE, Capture, given_or_found
from ..errors import CaptureError, InputError, OutputError
from ..files import file_key, protect, refuse_existing, shown, together
from ..image import fill_unobserved, from_bytes, to_bytes
from ..io import PICTURES, check_output, check_size, visibility_path
from ..pictures import on_grey
from ..progress import bar
from ..record import visibility_beside, write_visibility
from .loaders import Place, load, places

if TYPE_CHECKING:
    from ..cli.data import Retarget

REACH = 0.08  # width of the fade outside the face oval, in parts of the map (the face is 0.63 wide)
GRID = 160  # the spline is evaluated at so many texels a side; it is smooth, the rest is bicubic
# A detector takes the texture for a photograph and expects the cheeks to turn away, so it bunches the landmarks of the
# outline where an unwrapped face goes on. Landmarks beyond this azimuth are left out. On two textures of other layouts,
# where the ears show the truth, that took their sideways error from 0.27 and 0.10 to 0.12 and 0.05 face widths.
FRONTAL = 50.0  # degrees
SMOOTHING = 1e-4  # lets the spline miss a landmark by about a pixel: detectors jitter, and a closed mouth must not fold
MISFIT = 0.10  # in face widths: root mean square distance from an affine image of the layout's landmarks that a face may have
BARELY = 0.25  # below this visibility a texel's colour is mostly its neighbours'
STRETCH = 12.0  # texels stretched so many times more than the face's middle carry no picture


def retarget(
    texture: Tensor,
    size: int = 512,
    landmarks: np.ndarray | StoredLandmarks | None = None,
    visibility: Tensor | None = None,
    *,
    finder: Finder = find_faces,
) -> Capture:
    """Bring one texture into the head layout.

    Args:
        texture: ``(3, H, W)`` float32 in [0, 1], sRGB, any size and any layout that shows the face upright.
        size: side of the result, a power of two from 32 to 2048.
        landmarks: ``(468, 2|3)`` in pixels of ``texture``, or a stored set; found when absent.
        visibility: ``(1, H, W)`` in [0, 1], what the foreign texture itself knows; default everything.
        finder: a function that finds landmarks, see `landmarks`.
    Returns:
        `Capture`: texture ``(1, 3, size, size)`` filled smoothly where nothing is known, visibility
        ``(1, 1, size, size)``, the landmarks, and facts ``oversampling`` (texels per pixel), ``misfit``, ``warnings``.
    Raises:
        CaptureError: no face, several, a mirrored one, or landmarks that resemble no face.
        InputError: wrong shape or size.
    """
    check_size(size, low=32)
    if texture.ndim != 3 or texture.shape[0] != 3 or min(texture.shape[1:]) < 16:
        raise InputError(f"a texture must be (3, H, W) of at least 16×16 texels, got {tuple(texture.shape)}")
    image = to_bytes(texture)
    if isinstance(landmarks, np.ndarray) and landmarks.ndim == 2 and landmarks.shape[1] == 2:
        landmarks = np.concatenate([landmarks, np.zeros((len(landmarks), 1))], 1)
    points, warnings = given_or_found(image, landmarks, finder)
    misfit = refuse_misfit(points)

    position = source_map(points, size)  # (2, S, S) pixels
    trust, density = trust_map(position, texture.shape[1:])
    if visibility is None:
        colours = look_up(texture, position, density)
    else:  # weighted, so that colours of unknown texels do not bleed over the border of what is known
        seen = look_up(visibility, position, density)
        colours = (look_up(texture * visibility, position, density) / seen.clamp_min(BARELY)).clamp(0, 1)
        trust = trust * ((seen - BARELY) / (1 - BARELY)).clamp(0, 1)
    if density < 0.5:
        warnings.append(
            f"a texel of the source is spread over {1 / density:.1f} texels a side at {size}; a smaller --size would be honest"
        )
    filled = fill_unobserved(colours[None], (trust[None] * OPAQUE).clamp(0, 1)).clamp(0, 1)
    facts = {"oversampling": round(1 / density, 2), "misfit": round(misfit, 4), "warnings": warnings}
    return Capture(filled, trust[None], points, facts)


def refuse_misfit(points: np.ndarray) -> float:
    """Distance (root mean square, in face widths) of landmarks from the best affine image of the layout's own.

    Raises:
        CaptureError: it is larger than a face in any UV layout would give, or the image is mirrored.
    """
    places = np.concatenate([layout.landmark_uv().double().numpy(), np.ones((468, 1))], 1)
    affine, *_ = np.linalg.lstsq(places, points[:, :2], rcond=None)
    width = float(np.ptp((places @ affine)[:, 0]))
    misfit = float(np.sqrt(((places @ affine - points[:, :2]) ** 2).sum(1).mean())) / max(width, 1e-6)
    if misfit > MISFIT:
        raise CaptureError(
            f"these landmarks resemble no unwrapped face (off by {misfit:.0%} of its width, at most "
            f"{MISFIT:.0%} is usual); check that the texture shows the face upright"
        )
    if np.linalg.det(affine[:2]) < 0:
        raise CaptureError("the face in this texture is mirrored or upside down; flip the picture first")
    return misfit


def source_map(points: np.ndarray, size: int) -> Tensor:
    """Where in the foreign texture each texel of the layout lies: ``(2, size, size)`` float32, x and y in pixels.

    Args:
        points: ``(468, 2|3)`` landmarks in pixels of the foreign texture.
    """
    from scipy.interpolate import RBFInterpolator

    grid = min(size, GRID)
    frontal = (layout.cylinder_of(layout.landmark_uv())[0].abs() <= math.radians(FRONTAL)).numpy()
    places, scale = layout.landmark_uv().double().numpy(), np.ptp(points[:, 0])  # smoothing relative to the face's size
    spline = RBFInterpolator(places[frontal], points[frontal, :2] / scale, kernel="thin_plate_spline", smoothing=SMOOTHING)
    values = spline(layout.texel_uv(grid).reshape(-1, 2).double().numpy()) * scale
    coarse = torch.from_numpy(values).float().reshape(1, grid, grid, 2).permute(0, 3, 1, 2)
    return F.interpolate(coarse, (size, size), mode="bicubic", align_corners=False)[0]


def trust_map(position: Tensor, shape: torch.Size | tuple[int, int]) -> tuple[Tensor, float]:
    """How far the map is to be believed, ``(1, S, S)`` in [0, 1], and the source pixels per texel in the face (a side)."""
    size = position.shape[-1]
    across = (position[:, :, 2:] - position[:, :, :-2]) / 2
    down = (position[:, 2:] - position[:, :-2]) / 2
    area = across[0, 1:-1] * down[1, :, 1:-1] - across[1, 1:-1] * down[0, :, 1:-1]
    area = F.pad(area[None, None], (1, 1, 1, 1), mode="replicate")
    inside = fade(size) >= 1
    middle = float(area[0][inside].clamp_min(1e-6).median())
    # eyelids that are shut, or lips, may fold in a few texels and no harm is done: only wide folds count
    wide = size // 32 * 2 + 1
    area = F.avg_pool2d(F.pad(area, (wide // 2,) * 4, mode="replicate"), wide, stride=1)[0]
    sound = (area * STRETCH / middle - 1).clamp(0, 1) * (STRETCH - area / middle).clamp(0, 1)
    height, width = shape
    x, y = position
    margin = torch.minimum(torch.minimum(x, width - x), torch.minimum(y, height - y)) / (0.01 * max(height, width))
    return fade(size) * sound * margin.clamp(0, 1), middle**0.5


@lru_cache(4)
def fade(size: int) -> Tensor:
    """1 inside the face oval of the layout, falling to 0 at a distance of `REACH`, ``(1, size, size)``."""
    from scipy.ndimage import distance_transform_edt

    away = distance_transform_edt((layout.face_mask(size)[0] < 0.5).numpy()) / size
    return torch.from_numpy(1 - away / REACH).float().clamp(0, 1)[None]


def look_up(picture: Tensor, position: Tensor, density: float) -> Tensor:
    """``(C, H, W)`` at pixel places ``(2, S, S)``: area means where a texel covers several pixels, else bicubic."""
    shrink = max(1, round(density))
    size = torch.tensor([picture.shape[2], picture.shape[1]], dtype=torch.float32)
    small = F.avg_pool2d(picture[None], shrink, ceil_mode=True, count_include_pad=False)
    covered = torch.tensor([small.shape[3], small.shape[2]], dtype=torch.float32) * shrink  # ≥ size if not divisible
    grid = position.permute(1, 2, 0)[None].clamp(min=torch.zeros(2), max=size) / covered * 2 - 1
    return F.grid_sample(small, grid, mode="bicubic", padding_mode="border", align_corners=False)[0].clamp(0, 1)


def retarget_path(command: Retarget) -> tuple[list[Path], list[str]]:
    """Bring a file, or all textures of a set's folder, into the head layout and write them, each with its visibility.

    Returns:
        The textures written, and a sentence about each one that was left out or is doubtful.
    Raises:
        CaptureError: no texture could be used. InputError, OutputError: see `retarget`.
    """
    source, out, size, limit = command.input, command.out, command.size, command.limit
    landmarks, save = command.landmarks, command.save_landmarks
    check_size(size, low=32)
    if not source.exists():
        raise InputError(f"no such file: {source}")
    if source.is_file():
        check_output(out, PICTURES)
        beside = visibility_beside(source)
        written = [out, visibility_path(out), *([save] if save else [])]
        protect([source, *(path for path in (beside, landmarks) if path)], written)
        refuse_existing(written, command.overwrite)
        layers = io.read_photo(source, reduce_to=None)
        texture, seen = from_bytes(on_grey(layers)), from_bytes(layers)[3:] if layers.shape[2] == 4 else None
        if beside:
            told = io.read_grey(beside)
            if told.shape[1:] != texture.shape[1:]:
                raise InputError(f"{beside} must have the size of {source.name}")
            seen = told if seen is None else told * seen
        result = retarget(texture, size, load_landmarks(landmarks) if landmarks else None, seen)
        with together(written) as place:
            if save:
                save_landmarks(result.landmarks, place[save], to_bytes(texture))
            _write(result, place, out)
        return [out], [f"{source.name}: {warning}" for warning in result.quality["warnings"]]
    if landmarks or save:
        raise InputError("--landmarks and --save-landmarks belong to one picture, not to a folder")
    if limit is not None and limit < 1:
        raise InputError(f"--limit {limit} is not possible: use 1 or more")
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} is a file; name a folder, as the input is one")
    if out.exists() and out.resolve() == source.resolve():
        raise OutputError(f"{out} is the input itself; name another folder")
    textures = _targets(source, command.set, out, command.overwrite)
    written, notes = [], []
    with bar(None, "retarget", "texture") as read:
        for sample in load(source, command.set):
            if limit is not None and len(written) >= limit:
                break
            read.update()
            target = textures[sample.name]
            try:
                result = retarget(sample.texture, size, visibility=sample.visibility)
            except CaptureError as error:  # one bad texture is no reason to lose the others
                notes.append(f"left out {sample.name}: {error}")
                continue
            with together([target, visibility_path(target)]) as place:
                _write(result, place, target)
            written.append(target)
            notes += [f"{sample.name}: {warning}" for warning in result.quality["warnings"]]
    if not written:
        raise CaptureError(f"no texture of {source} could be used; the first one: {notes[0] if notes else 'there is none'}")
    return written, notes


def _targets(source: Path, set_name: str, out: Path, overwrite: bool) -> dict[str, Path]:
    """The file that every texture of a folder will be written to, by its name, checked before the first one is read."""
    found: dict[str, Place] = {}
    for place in places(source, set_name):
        other = found.setdefault(file_key(place.name), place)
        if other is not place:
            raise InputError(f"{shown(other.file)} and {shown(place.file)} would give one result; rename one of them")
    targets = {place.name: out / f"{place.name}.png" for place in found.values()}
    for target in targets.values():
        check_output(target, PICTURES)
    written = [path for target in targets.values() for path in (target, visibility_path(target))]
    protect((place.file for place in found.values()), written)
    refuse_existing(written, overwrite)
    return targets


def _write(result: Capture, place: dict[Path, Path], texture: Path) -> None:
    io.write_image(result.texture[0], place[texture])
    write_visibility(result.visibility[0], place[visibility_path(texture)], texture)
