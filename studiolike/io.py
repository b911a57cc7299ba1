"""Pictures in and out, and files that are never half written.

A *texture* is a float32 tensor ``(B, 3, H, W)`` or ``(3, H, W)`` in [0, 1], sRGB-encoded unless a name says
linear. A *visibility* map is ``(B, 1, H, W)`` or ``(1, H, W)`` in [0, 1]; 0 means that no frame ever saw the texel.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from .errors import InputError, OutputError
from .image import fill_unobserved, from_signed, linear_to_srgb, luminance, resize, srgb_to_linear, to_signed  # noqa: F401

PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}
MAX_PIXELS = 100_000_000  # larger pictures are refused: a guard against decompression bombs


def visibility_path(path: Path) -> Path:
    """Where the visibility map of a texture file stands: ``phone.png`` → ``phone.visibility.png``."""
    return path.with_name(f"{path.stem}.visibility.png")


def check_output(path: Path, suffixes: set[str]) -> None:
    """Refuse an output before any work is done. Raises `OutputError`."""
    if path.suffix.lower() not in suffixes:
        raise OutputError(f"{path}: the ending must be one of {', '.join(sorted(suffixes))}")
    if path.is_dir():
        raise OutputError(f"{path} is a folder; name a file")
    folder = path.parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise OutputError(f"cannot write into {folder}; choose another output folder")


def check_size(size: int, low: int = 64, high: int = 2048) -> None:
    """Raise `InputError` unless ``size`` is a power of two in [low, high]."""
    if size & (size - 1) or not low <= size <= high:
        raise InputError(f"--size {size} is not possible: use a power of two from {low} to {high}")


@contextmanager
def atomic(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it to ``path`` on success, remove it on any failure.

    Raises:
        OutputError: if the folder cannot be made or written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)  # mkstemp makes private files; results should have the usual permissions
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}; choose another output folder") from error
    temporary = Path(name)
    try:
        try:
            yield temporary
            os.replace(temporary, path)
        except OSError as error:  # a full disk shows itself only now
            raise OutputError(f"cannot write {path}: {error.strerror or error}; choose another output folder") from error
    finally:
        temporary.unlink(missing_ok=True)


def _open(path: str | os.PathLike, mode: str) -> np.ndarray:
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no such file: {path}")
    try:
        with Image.open(path) as image:
            if image.width * image.height > MAX_PIXELS:
                raise InputError(f"{path} is {image.width}×{image.height}; scale it below {MAX_PIXELS // 10**6} megapixels")
            return np.asarray(image.convert(mode))
    except InputError:
        raise
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"{path} is not a readable image (PNG, JPEG, WebP… are)") from error


def read_image(path: str | os.PathLike) -> np.ndarray:
    """Read a photograph as uint8 RGB ``(H, W, 3)``, turned upright by its EXIF tag.

    Raises:
        InputError: missing file, not an image, or larger than 100 megapixels.
    """
    from PIL import ImageOps

    path = Path(path)
    _open(path, "RGB")
    with Image.open(path) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def read_texture(path: str | os.PathLike, size: int | None = None) -> Tensor:
    """Read a square texture as float32 ``(3, H, W)`` in [0, 1], resampled to ``size`` if given.

    Raises:
        InputError: missing or unreadable file, a picture that is not square, or smaller than 32 texels.
    """
    texture = torch.from_numpy(_open(path, "RGB").copy()).permute(2, 0, 1).float() / 255
    height, width = texture.shape[-2:]
    if height != width:
        raise InputError(f"{path} is {width}×{height}, a texture must be square: unwrap a photo with  studiolike capture")
    if height < 32:
        raise InputError(f"{path} is only {width} texels wide; at least 32 are needed")
    return texture if size is None or size == height else resize(texture[None], size)[0]


def read_visibility(path: str | os.PathLike, size: int | None = None) -> Tensor:
    """Read a visibility map as float32 ``(1, H, W)`` in [0, 1]. Raises ``InputError`` as `read_texture` does."""
    visibility = torch.from_numpy(_open(path, "L").copy())[None].float() / 255
    if visibility.shape[-1] != visibility.shape[-2]:
        raise InputError(f"{path} is not square, as a visibility map must be")
    return visibility if size is None or size == visibility.shape[-1] else resize(visibility[None], size)[0]


def write_image(image: Tensor, path: str | os.PathLike) -> Path:
    """Write ``(3|1, H, W)`` in [0, 1] as an 8-bit picture; the format follows the file name's ending.

    Raises:
        OutputError: unknown ending or a folder that cannot be written.
    """
    array = (image.detach().float().clamp(0, 1).cpu().permute(1, 2, 0).numpy() * 255 + 0.5).astype(np.uint8)
    path = Path(path)
    if path.suffix.lower() not in Image.registered_extensions():
        raise OutputError(f"{path}: unknown picture format '{path.suffix}'; use .png")
    with atomic(path) as temporary:
        Image.fromarray(array.squeeze()).save(temporary)
    return path
