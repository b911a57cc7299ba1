"""From a photo to 468 face landmarks, found by the networks that ship with the package or read back from a file.

In: uint8 RGB ``(H, W, 3)``. Out: float64 ``(468, 3)``, x right and y down in pixels of the picture (the centre of
the first pixel is at 0.5), z away from the camera in the same unit, with an arbitrary origin.

Model: Grishchenko et al., *Attention Mesh: High-fidelity Face Mesh Prediction in Real-time*, 2020.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..errors import CaptureError, InputError
from ..io import atomic, write_text
from ..json_files import read_json
from ..pictures import on_grey
from .detection import LEVELS, find_faces, width

COUNT = 468
SMALLEST = 24  # pixels that a face needs in the picture scaled to the last of `LEVELS` to be found for sure
SECOND_FACE = 0.5  # a face narrower than this part of the largest one is taken for a passer-by
LARGEST = "the largest of "  # how the sentence about smaller faces begins

Finder = Callable[[np.ndarray], list[np.ndarray]]


@dataclass(frozen=True)
class StoredLandmarks:
    """Landmarks together with the picture that they belong to.

    Attributes:
        points: float64 ``(468, 3)`` in pixels.
        width, height: size of the picture in pixels.
        sha256: digest of its uint8 RGB pixels in row order.
        source: which detector made them.
    """

    points: np.ndarray
    width: int
    height: int
    sha256: str
    source: str = ""

    def same_size(self, image: np.ndarray) -> bool:
        """Whether ``image`` has the size of the picture that the landmarks were made from."""
        return image.shape[:2] == (self.height, self.width)

    def same_picture(self, image: np.ndarray) -> bool:
        """Whether ``image`` is, pixel for pixel, the picture that the landmarks were made from."""
        return self.same_size(image) and pixel_digest(image) == self.sha256


def pixel_digest(image: np.ndarray) -> str:
    """SHA-256 of uint8 RGB ``(H, W, 3)`` pixels, as hexadecimal text."""
    return hashlib.sha256(np.ascontiguousarray(image, dtype=np.uint8).data).hexdigest()


def landmarks(image: np.ndarray, *, finder: Finder = find_faces) -> np.ndarray:
    """Find the face in a photo and return its landmarks.

    The photo may lie on its side or upside down: the landmarks come out in the picture as it is.

    Args:
        image: uint8 RGB or RGBA ``(H, W, 3|4)``.
        finder: any function from a picture to a list of ``(468, 3)`` landmark sets, instead of the networks in the package.
    Returns:
        float64 ``(468, 3)`` in pixels.
    Raises:
        CaptureError: no face, or several.
        InputError: the array is not a picture. WeightsError: the networks' files are missing or damaged.
    """
    return largest_face(image, finder)[0]


def largest_face(image: np.ndarray, finder: Finder) -> tuple[np.ndarray, list[str]]:
    """As `landmarks`, and a sentence for the user where smaller faces were left alone."""
    check_picture(image)
    image = on_grey(image)
    return _only_face(finder(image), image)


def check_picture(image: np.ndarray) -> None:
    """Raise ``InputError`` unless ``image`` is uint8 RGB or RGBA ``(H, W, 3|4)`` of at least 16 × 16 pixels."""
    if not isinstance(image, np.ndarray) or image.ndim != 3 or image.shape[2] not in (3, 4) or image.dtype != np.uint8:
        shape, kind = getattr(image, "shape", "?"), getattr(image, "dtype", type(image).__name__)
        raise InputError(f"a photo must be a uint8 array of shape (H, W, 3), got {kind} {shape}; read it with io.read_image")
    if min(image.shape[:2]) < 16:
        raise InputError(f"the picture is only {image.shape[1]}×{image.shape[0]} pixels; use a larger photo")


def _only_face(faces: list[np.ndarray], image: np.ndarray) -> tuple[np.ndarray, list[str]]:
    if not faces:
        smallest = math.ceil(SMALLEST * max(image.shape[:2]) / LEVELS[-1])
        raise CaptureError(
            "no face found in this picture; use a well lit photo that shows the whole face from the front"
            + (f", and if the face is smaller than {smallest} pixels in it, crop around it" if smallest > SMALLEST else "")
        )
    faces = sorted(faces, key=width, reverse=True)
    largest = faces[0]
    centre, size = largest[:, :2].mean(0), width(largest)
    # overlapping tiles and detectors report one face twice: only a distant centre makes another person
    others = [other for other in faces[1:] if np.linalg.norm(other[:, :2].mean(0) - centre) > 0.5 * size]
    rivals = sum(width(other) > SECOND_FACE * size for other in others)
    if rivals:
        raise CaptureError(f"several faces in this picture ({rivals + 1} of similar size); crop it to one person")
    return largest, [f"{LARGEST}{len(others) + 1} faces was used"] if others else []


def save_landmarks(points: np.ndarray, path: str | os.PathLike, image: np.ndarray, source: str = "") -> StoredLandmarks:
    """Write landmarks with the size and the digest of their picture; ``.json`` (readable) or ``.npz``
    (exact).

    Args:
        points: ``(468, 3)`` in pixels of ``image``.
        path: target file; its ending decides the format. JSON keeps three decimals, a thousandth of a pixel.
        image: the uint8 RGB picture.
        source: free text naming the detector.
    Raises:
        InputError: wrong shape or an unknown ending.
        OutputError: the file cannot be written.
    """
    path = Path(path)
    stored = StoredLandmarks(checked(points, "the array"), image.shape[1], image.shape[0], pixel_digest(image), str(source))
    facts = {"width": stored.width, "height": stored.height, "sha256": stored.sha256, "source": stored.source}
    if path.suffix == ".json":
        text = json.dumps({"format": "studiolike-landmarks", **facts, "points": stored.points.round(3).tolist()})
        write_text(path, text + "\n")
    elif path.suffix == ".npz":
        with atomic(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, points=stored.points, **{name: np.array(value) for name, value in facts.items()})  # type: ignore[arg-type]
    else:
        raise InputError(f"{path}: landmarks are stored as .json or .npz")
    return stored


def load_landmarks(path: str | os.PathLike) -> StoredLandmarks:
    """Read what `save_landmarks` wrote. Nothing is unpickled.

    Raises:
        InputError: missing, damaged or foreign file.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no such landmark file: {path}")
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as archive:
                facts = {name: archive[name][()] for name in ("width", "height", "sha256", "source")}
                points = archive["points"]
        else:
            facts = read_json(path)
            points = np.array(facts["points"], dtype=np.float64)
        told = int(facts["width"]), int(facts["height"]), str(facts["sha256"]), str(facts.get("source", ""))
    except (OSError, ValueError, KeyError, TypeError, OverflowError, zipfile.BadZipFile, EOFError) as error:
        raise InputError(f"{path} is not a landmark file; make it with  studiolike capture --save-landmarks") from error
    return StoredLandmarks(checked(points, str(path)), *told)


def checked(points: np.ndarray, name: str) -> np.ndarray:
    """Landmarks float64 ``(468, 3)``, a copy. Raises `InputError`, which names them, if they are none."""
    try:
        points = np.asarray(points, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} does not hold numbers") from error
    if points.ndim != 2 or points.shape[0] < COUNT or points.shape[1] != 3 or not np.isfinite(points).all():
        raise InputError(f"{name} must hold {COUNT} finite landmarks with x, y, z; it has shape {points.shape}")
    return points[:COUNT].copy()


@lru_cache(maxsize=1)
def astronaut_landmarks() -> StoredLandmarks:
    """The shipped landmarks of the demo photo, ``skimage.data.astronaut()`` (NASA, public domain)."""
    return load_landmarks(Path(__file__).parent / "astronaut_landmarks.json")
