"""A turntable as a moving picture: MP4 where PyAV is installed, else GIF, WebP or animated PNG, which Pillow writes."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from ..errors import InputError, optional
from ..image import to_bytes

MOVIES = {".mp4", ".gif", ".webp", ".png"}
RATE = 24  # pictures per second


def check_movie(path: str | os.PathLike) -> None:
    """Refuse what `write_movie` could not write, before anything is drawn. Raises as `write_movie` does."""
    ending = Path(path).suffix.lower()
    if ending not in MOVIES:
        raise InputError(f"{path}: a turntable can end in {', '.join(sorted(MOVIES))}")
    if ending == ".mp4":
        optional("av", "capture", "PyAV for MP4 (a name that ends in .webp, .gif or .png works without)")


def write_movie(frames: Tensor, path: str | os.PathLike, ending: str | None = None) -> Path:
    """Write pictures as an endless loop.

    Args:
        frames: ``(V, 3, S, S)`` in [0, 1], sRGB; S even.
        path: where to write. ending: the format, default that of ``path``.
    Raises:
        InputError: another format. MissingExtra: MP4 without PyAV. OSError: a path that cannot be written.
    """
    ending = ending or Path(path).suffix.lower()
    check_movie(f"turntable{ending}")
    pixels = to_bytes(frames)
    if ending == ".mp4":
        _write_mp4(pixels, Path(path))
        return Path(path)
    first, *rest = [Image.fromarray(picture) for picture in pixels]
    kind = {".gif": "GIF", ".webp": "WEBP", ".png": "PNG"}[ending]
    options = {"quality": 85, "method": 4} if kind == "WEBP" else {}
    first.save(path, kind, save_all=True, append_images=rest, duration=round(1000 / RATE), loop=0, **options)
    return Path(path)


def _write_mp4(pixels: np.ndarray, path: Path) -> None:
    import av

    # written by Python: a full disk is then an error of the system and not one of the many of the library
    with open(path, "wb") as handle, av.open(handle, "w", format="mp4") as container:
        names = [name for name in ("libx264", "h264", "mpeg4") if name in av.codecs_available]
        stream = container.add_stream(names[0], rate=Fraction(RATE))
        stream.width, stream.height, stream.pix_fmt = pixels.shape[2], pixels.shape[1], "yuv420p"
        if names[0] == "libx264":
            stream.options = {"crf": "18"}
        else:
            stream.bit_rate = 8_000_000
        for picture in pixels:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
