"""From a photo to 468 face landmarks, live through MediaPipe or read back from a file.

MediaPipe comes in two shapes, and this file speaks to both. Wheels up to 0.10.21 carry the ``solutions``
package with its model inside; later ones have only the Tasks API, which wants a ``face_landmarker.task``
file. It is an optional library: landmarks can be stored once and used everywhere without it, and the demo
photo's are shipped.

In: uint8 RGB ``(H, W, 3)``. Out: float64 ``(468, 3)``, x right and y down in pixels of the picture (the
    centre of
the first pixel is at 0.5), z away from the camera in the same unit, with an arbitrary origin.

Model: Kartynnik et al., *Real-time Facial Surface Geometry from Monocular Video on Mobile GPUs*, 2019.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import CaptureError, InputError, MissingExtra
from ..io import atomic

COUNT = 468
TASK_FILE = "face_landmarker.task"
TASK_URL = "https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/" + TASK_FILE
CONFIDENCE = 0.5
CROP_PIXELS = 512  # the closer looks see the face at this size
MARGINS = (1.6, 1.9, 2.2)  # sides of their crops, in face widths
SECOND_FACE = 0.5  # a face narrower than this part of the largest one is taken for a passer-by

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
    return hashlib.sha256(np.ascontiguousarray(image, dtype=np.uint8)).hexdigest()


def landmarks(
    image: np.ndarray,
    *,
    backend: str = "auto",
    model: str | os.PathLike | None = None,
    finder: Finder | None = None,
) -> np.ndarray:
    """Find the face in a photo and return its landmarks.

    The face is found first in the whole picture (and in overlapping quarters if it hides there), then in
    enlarged crops around it, which is more precise when the face is small. The picture whose landmarks are
    shipped is recognised by its pixels and needs no detector.

    Args:
        image: uint8 RGB ``(H, W, 3)``.
        backend: ``"auto"``, ``"solutions"`` or ``"tasks"``.
        model: the ``face_landmarker.task`` file for the Tasks API; by default the one named by
            ``$STUDIOLIKE_FACE_LANDMARKER``.
        finder: any function from a picture to a list of ``(468, 3)`` landmark sets, used instead of
            MediaPipe.
    Returns:
        float64 ``(468, 3)`` in pixels.
    Raises:
        CaptureError: no face, or several.
        MissingExtra: MediaPipe is not installed.
        InputError: the model file is missing, or the array is not a picture.
    """
    check_picture(image)
    if finder is None:
        shipped = astronaut_landmarks()
        if shipped.same_picture(image):
            return shipped.points.copy()
        finder = open_finder(backend, model)
    face = _only_face(_search(finder, image))
    return _closer_look(finder, image, face)


def check_picture(image: np.ndarray) -> None:
    """Raise ``InputError`` unless ``image`` is uint8 RGB ``(H, W, 3)`` of at least 16 × 16 pixels."""
    if not isinstance(image, np.ndarray) or image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        shape, kind = getattr(image, "shape", "?"), getattr(image, "dtype", type(image).__name__)
        raise InputError(f"a photo must be a uint8 array of shape (H, W, 3), got {kind} {shape}; read it with io.read_image")
    if min(image.shape[:2]) < 16:
        raise InputError(f"the picture is only {image.shape[1]}×{image.shape[0]} pixels; use a larger photo")


def _width(points: np.ndarray) -> float:
    return float(max(np.ptp(points[:, 0]), np.ptp(points[:, 1])))


def _search(finder: Finder, image: np.ndarray) -> list[np.ndarray]:
    faces = finder(image)
    if faces:
        return faces
    # detectors shrink the picture to 128–192 pixels, so a small face is lost in a large photo; look closer
    height, width = image.shape[:2]
    for top in (0, height // 4, height // 2):
        for left in (0, width // 4, width // 2):
            tile = image[top : top + (height + 1) // 2, left : left + (width + 1) // 2]
            faces += [face + (left, top, 0) for face in finder(np.ascontiguousarray(tile))]
    return faces


def _only_face(faces: list[np.ndarray]) -> np.ndarray:
    if not faces:
        raise CaptureError("no face found in this picture; use a well lit photo that shows the whole face from the front")
    faces = sorted(faces, key=_width, reverse=True)
    largest = faces[0]
    centre, width = largest[:, :2].mean(0), _width(largest)
    rivals = 0
    for other in faces[1:]:
        # overlapping tiles and detectors report one face twice: only a distant centre makes another person
        apart = np.linalg.norm(other[:, :2].mean(0) - centre) > 0.5 * width
        rivals += int(apart and _width(other) > SECOND_FACE * width)
    if rivals:
        raise CaptureError(f"several faces in this picture ({rivals + 1} of similar size); crop it to one person")
    return largest


def _closer_look(finder: Finder, image: np.ndarray, face: np.ndarray) -> np.ndarray:
    """Median of the landmarks in three enlarged square crops; it halves the detector's own jitter."""
    centre, width = face[:, :2].mean(0), _width(face)
    looks = []
    for margin in MARGINS:
        side = max(round(margin * width), 16)
        left, top = np.round(centre - side / 2).astype(int)
        crop = _square(image, left, top, side).resize((CROP_PIXELS, CROP_PIXELS), Image.Resampling.BICUBIC)
        found = [points * (side / CROP_PIXELS) + (left, top, 0) for points in finder(np.asarray(crop))]
        if found:
            best = min(found, key=lambda points: np.linalg.norm(points[:, :2].mean(0) - centre))
            near = np.linalg.norm(best[:, :2].mean(0) - centre) < 0.25 * width
            looks += [best] if near and 0.7 < _width(best) / width < 1.4 else []
    return np.median(looks, axis=0) if looks else face


def _square(image: np.ndarray, left: int, top: int, side: int) -> Image.Image:
    height, width = image.shape[:2]
    rows = np.clip(np.arange(top, top + side), 0, height - 1)  # repeat the border where the square leaves the picture
    columns = np.clip(np.arange(left, left + side), 0, width - 1)
    return Image.fromarray(np.ascontiguousarray(image[rows][:, columns]))


def open_finder(backend: str = "auto", model: str | os.PathLike | None = None) -> Finder:
    """Prepare a MediaPipe detector: a function from a picture to a list of ``(468, 3)`` landmark sets.

    Raises:
        MissingExtra: MediaPipe, or the back-end asked for, is not installed.
        InputError: the Tasks API is used and its model file is missing.
    """
    if backend not in ("auto", "solutions", "tasks"):
        raise InputError(f"unknown landmark back-end '{backend}'; use auto, solutions or tasks")
    os.environ.setdefault("GLOG_minloglevel", "2")  # MediaPipe's C++ side is chatty
    if importlib.util.find_spec("mediapipe") is None:
        raise MissingExtra("capture", "mediapipe")
    import mediapipe

    has_solutions = hasattr(mediapipe, "solutions")
    if backend == "solutions" and not has_solutions:
        raise MissingExtra("capture", "mediapipe 0.10.21 or older (newer wheels lack the solutions package)")
    if backend == "tasks" or model is not None or not has_solutions:
        return _tasks_finder(model)
    return _solutions_finder()


@lru_cache(maxsize=1)
def _solutions_finder() -> Finder:
    import mediapipe

    mesh = mediapipe.solutions.face_mesh.FaceMesh(
        static_image_mode=True,
        refine_landmarks=True,  # closer lips and eyelids; the iris points it adds are dropped
        max_num_faces=4,
        min_detection_confidence=CONFIDENCE,
    )

    def find(image: np.ndarray) -> list[np.ndarray]:
        result = mesh.process(np.ascontiguousarray(image))
        return [_to_pixels(face.landmark, image) for face in result.multi_face_landmarks or ()]

    return find


def _tasks_finder(model: str | os.PathLike | None) -> Finder:
    path = Path(model or os.environ.get("STUDIOLIKE_FACE_LANDMARKER") or TASK_FILE)
    if not path.is_file():
        raise InputError(
            f"this mediapipe needs the model file {TASK_FILE}: download {TASK_URL} (3.8 MB) "
            "and give its path, "
            "or set STUDIOLIKE_FACE_LANDMARKER to it"
        )
    return _open_task(str(path.resolve()))


@lru_cache(maxsize=1)
def _open_task(path: str) -> Finder:
    import mediapipe

    vision = mediapipe.tasks.vision
    try:
        options = vision.FaceLandmarkerOptions(
            base_options=mediapipe.tasks.BaseOptions(model_asset_path=path),
            num_faces=4,
            min_face_detection_confidence=CONFIDENCE,
        )
        landmarker = vision.FaceLandmarker.create_from_options(options)
    except (RuntimeError, ValueError, OSError) as error:
        raise InputError(f"{path} is not a usable face landmarker model; download it again from {TASK_URL}") from error

    def find(image: np.ndarray) -> list[np.ndarray]:
        picture = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(image))
        return [_to_pixels(face, image) for face in landmarker.detect(picture).face_landmarks]

    return find


def _to_pixels(points, image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    # z is given in the unit of x
    return np.array([(p.x * width, p.y * height, p.z * width) for p in list(points)[:COUNT]], dtype=np.float64)


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
    stored = StoredLandmarks(_checked(points, "the array"), image.shape[1], image.shape[0], pixel_digest(image), str(source))
    facts = {"width": stored.width, "height": stored.height, "sha256": stored.sha256, "source": stored.source}
    if path.suffix == ".json":
        text = json.dumps({"format": "studiolike-landmarks", **facts, "points": stored.points.round(3).tolist()})
        with atomic(path) as temporary:
            temporary.write_text(text + "\n")
    elif path.suffix == ".npz":
        with atomic(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, points=stored.points, **{name: np.array(value) for name, value in facts.items()})
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
            facts = json.loads(path.read_text())
            points = np.array(facts["points"], dtype=np.float64)
        numbers = (
            int(facts["width"]),
            int(facts["height"]),
            str(facts["sha256"]),
            str(facts.get("source", "")),
        )
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        UnicodeDecodeError,
        zipfile.BadZipFile,
        EOFError,
    ) as error:
        raise InputError(f"{path} is not a landmark file; make it with  studiolike capture --save-landmarks") from error
    return StoredLandmarks(_checked(points, str(path)), *numbers)


def _checked(points: np.ndarray, name: str) -> np.ndarray:
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
