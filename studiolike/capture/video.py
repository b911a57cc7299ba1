"""A short video or several photos of one person → one fused capture.

Decoding is PyAV's or OpenCV's work, whichever is installed; both are optional. Frames that cannot be used are
dropped, and if none is left the most frequent reason is told.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from ..errors import CaptureError, InputError, MissingExtra
from .detection import find_faces
from .fusion import fuse
from .landmarks import Finder, StoredLandmarks
from .unwrap import Capture, capture_photo

VIDEO_ENDINGS = {".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".3gp"}


def is_video(path: str | os.PathLike) -> bool:
    """Whether a file name ends like a video's."""
    return Path(path).suffix.lower() in VIDEO_ENDINGS


def read_frames(path: str | os.PathLike, count: int = 24) -> Iterator[np.ndarray]:
    """Yield up to ``count`` frames, evenly spread over a video, as uint8 RGB ``(H, W, 3)``, turned upright.

    Raises:
        InputError: missing file or no video in it.
        MissingExtra: neither PyAV nor OpenCV is installed.
    """
    path = Path(path)
    if count < 1:
        raise InputError(f"{count} frames asked for; at least one is needed")
    if not path.is_file():
        raise InputError(f"no such video: {path}")
    try:
        import av  # noqa: F401

        return _read_pyav(path, count)
    except ImportError:
        pass
    try:
        import cv2  # noqa: F401
    except ImportError as error:
        raise MissingExtra("capture", "av (PyAV) or opencv-python-headless") from error
    return _read_opencv(path, count)


def _wanted(total: int, count: int) -> set[int]:
    return set(np.unique(np.linspace(0, total - 1, min(count, total)).round().astype(int)).tolist())


def _read_pyav(path: Path, count: int) -> Iterator[np.ndarray]:
    import av

    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            total = stream.frames or sum(1 for _ in container.decode(video=0))
        with av.open(str(path)) as container:
            wanted = _wanted(total, count)
            for number, frame in enumerate(container.decode(video=0)):
                if number in wanted:
                    turns = int(round((getattr(frame, "rotation", 0) or 0) / 90)) % 4
                    yield np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), turns))
    except (av.error.FFmpegError, IndexError, ValueError) as error:
        raise InputError(f"{path} is not a readable video; try to convert it to MP4") from error


def _read_opencv(path: Path, count: int) -> Iterator[np.ndarray]:
    import cv2

    video = cv2.VideoCapture(str(path))
    try:
        total = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
        if not video.isOpened() or total < 1:
            raise InputError(f"{path} is not a readable video; try to convert it to MP4")
        wanted, number, found = _wanted(total, count), 0, 0
        while video.grab():
            if number in wanted:
                good, frame = video.retrieve()
                if good:
                    found += 1
                    yield np.ascontiguousarray(frame[..., ::-1])
            number += 1
        if not found:
            raise InputError(f"{path} holds no frame that can be read; try to convert it to MP4")
    finally:
        video.release()


def capture_photos(
    images: Iterable[np.ndarray],
    res: int = 512,
    landmarks: Sequence[np.ndarray | StoredLandmarks] | None = None,
    *,
    finder: Finder = find_faces,
) -> Capture:
    """Unwrap several photos of one person and fuse them.

    Args:
        images: uint8 RGB ``(H, W, 3)`` each.
        res: side of the texture.
        landmarks: one set per picture; found live when absent.
        finder: a function that finds landmarks, instead of the networks in the package.
    Returns:
        The fused capture; ``quality["dropped"]`` maps each reason to the number of pictures lost to it.
    Raises:
        CaptureError: no picture could be used; the message is the most frequent reason.
        InputError: no picture at all.
    """
    captures, reasons, examined = [], [], 0
    for number, image in enumerate(images):
        examined += 1
        try:
            given = None if landmarks is None else landmarks[number]
            captures.append(capture_photo(image, res, given, finder=finder))
        except CaptureError as error:
            reasons.append(str(error))
        except IndexError as error:
            raise InputError(f"{len(landmarks)} landmark sets for at least {examined} pictures; give one each") from error
    if not examined:
        raise InputError("no picture to capture from")
    if not captures:
        reason, times = Counter(reasons).most_common(1)[0]
        raise CaptureError(f"none of the {examined} pictures can be used; {times}×: {reason}")
    fused = fuse(captures)
    fused.quality = {**fused.quality, "frames": len(captures), "dropped": dict(Counter(reasons))}
    return fused


def capture_video(path: str | os.PathLike, res: int = 512, frames: int = 24, *, finder: Finder = find_faces) -> Capture:
    """Capture from a short video in which the head turns slowly; arguments and errors as `capture_photos`."""
    return capture_photos(read_frames(path, frames), res, finder=finder)
