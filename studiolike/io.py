"""Pictures in and out, and files that are never half written.

A *texture* is a float32 tensor ``(B, 3, H, W)`` or ``(3, H, W)`` in [0, 1], sRGB-encoded unless a name says
linear. A *visibility* map is ``(B, 1, H, W)`` or ``(1, H, W)`` in [0, 1]; 0 means that no frame ever saw the texel.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from . import pictures
from .errors import InputError, OutputError
from .image import resize, to_bytes

PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}  # written
# a texture is data: what a format loses by default (colour at half size, 8 × 8 blocks) shows on the head
SAVING: dict[str, dict] = {
    "JPEG": {"quality": 97, "subsampling": 0},
    "WEBP": {"lossless": True},
    "AVIF": {"quality": 95, "subsampling": "4:4:4"},
}
COLOURLESS = 8.5 / 255  # by how much the channels of a grey picture may differ: a lossy format rounds them
READABLE = PICTURES | {".heic", ".heif", ".hif", ".avif", ".gif", ".mpo", ".jfif"}  # what counts as a picture in a folder


def visibility_path(path: Path) -> Path:
    """Where the visibility map of a texture file stands: ``phone.png`` → ``phone.visibility.png``."""
    return path.with_name(f"{path.stem}.visibility.png")


def check_output(path: Path, suffixes: set[str]) -> None:
    """Refuse an output before any work is done. Raises `OutputError`."""
    if path.suffix.lower() not in suffixes:
        *others, last = sorted(suffixes)
        raise OutputError(f"{path}: the ending must be {', '.join(others) + ' or ' if others else ''}{last}")
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
        # a face that fills half the height of a photo, of which 16 megapixels are read, spans 2400 pixels, and 3/4 of a texture
        why = ": a finer texel is smaller than a pixel of the photo" if size > high == 2048 else ""
        raise InputError(f"--size {size} is not possible: use a power of two from {low} to {high}{why}")


def usual_permissions(*paths: Path) -> None:
    """Let files and folders be read by whom the umask lets read new ones: `tempfile` and safetensors make private ones."""
    umask = os.umask(0)
    os.umask(umask)
    for path in paths:
        path.chmod((0o777 if path.is_dir() else 0o666) & ~umask)


@contextmanager
def atomic(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it to ``path`` on success, remove it on any failure.

    Whatever wrote it, the file has the usual permissions in the end.

    Raises:
        OutputError: if the folder cannot be made or written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}; choose another output folder") from error
    temporary = Path(name)
    try:
        try:
            yield temporary
            usual_permissions(temporary)
            os.replace(temporary, path)
        except OSError as error:  # a full disk shows itself only now
            raise OutputError(f"cannot write {path}: {error.strerror or error}; choose another output folder") from error
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | os.PathLike, text: str) -> Path:
    """Write a text file, UTF-8, whole or not at all. Raises `OutputError` as `atomic` does."""
    with atomic(path) as temporary:
        temporary.write_text(text, "utf-8")
    return Path(path)


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def read_image(path: str | os.PathLike, reduce_to: int | None = pictures.PHOTO_PIXELS) -> np.ndarray:
    """Read a photograph as uint8 sRGB ``(H, W, 3)``, upright, what is transparent in it on neutral grey.

    JPEG, PNG, TIFF, WebP, HEIC, AVIF, BMP… of any depth and colour profile. Photos of more than ``reduce_to``
    pixels (16 megapixels, None for no limit but that of memory) are reduced by a whole factor while they are read.

    Raises:
        InputError: the message names the file and says what it is or what is wrong with it.
    """
    return pictures.on_grey(pictures.photo(path, reduce_to))


def read_photo(path: str | os.PathLike, reduce_to: int | None = pictures.PHOTO_PIXELS) -> np.ndarray:
    """As `read_image`, but RGBA ``(H, W, 4)`` if something is transparent, which is unseen to `capture.capture_photo`."""
    return pictures.photo(path, reduce_to)


def read_texture(path: str | os.PathLike, size: int | None = None) -> Tensor:
    """Read a square texture as float32 ``(3, H, W)`` in [0, 1], resampled to ``size`` if given.

    Texels that are transparent in the file are black, whatever colour lies under them: they are unseen, see
    `read_layers`.

    Raises:
        InputError: missing or unreadable file, a picture that is not square, or smaller than 32 texels.
    """
    return read_layers(path, size)[0]


def read_layers(path: str | os.PathLike, size: int | None = None) -> tuple[Tensor, Tensor | None]:
    """A texture as `read_texture` and its opacity float32 ``(1, H, W)`` in [0, 1], None if the file has none.

    Opacity 0 means that the texel is unseen: it multiplies the visibility.
    """
    pixels, opacity = pictures.decode(path)
    texture = _unit(pixels).permute(2, 0, 1)
    height, width = texture.shape[-2:]
    if height != width:
        raise InputError(f"{path} is {width}×{height}, a texture must be square: unwrap a photo with  studiolike capture")
    if height < 32:
        raise InputError(f"{path} is only {width} texel{'s' if width > 1 else ''} wide; at least 32 are needed")
    alpha = None if opacity is None or opacity.min() == 255 else _unit(opacity)[None]
    if alpha is None:
        return (texture if size is None or size == height else resize(texture[None], size)[0]), None
    if size is not None and size != height:  # weighted, so that what lies under a hole bleeds into nothing
        texture, alpha = resize((texture * alpha)[None], size)[0], resize(alpha[None], size)[0].clamp(0, 1)
        texture = (texture / alpha.clamp_min(1e-4)).clamp(0, 1)
    return texture * (alpha > 0.5 / 255), alpha


def read_visibility(path: str | os.PathLike, size: int | None = None) -> Tensor:
    """Read a visibility map as float32 ``(1, H, W)`` in [0, 1]. Raises ``InputError`` as `read_texture` and `read_grey` do."""
    visibility = read_grey(path)
    if visibility.shape[-1] != visibility.shape[-2]:
        raise InputError(f"{path} is not square, as a visibility map must be")
    return visibility if size is None or size == visibility.shape[-1] else resize(visibility[None], size)[0]


def read_grey(path: str | os.PathLike) -> Tensor:
    """Read a map of any shape as float32 ``(1, H, W)`` in [0, 1], 0 where the file is transparent.

    Raises:
        InputError: an unreadable file, or a picture in colour: what it shows is no map.
    """
    pixels, opacity = pictures.decode(path)
    levels = _unit(pixels)
    if (levels.amax(2) - levels.amin(2)).max() > COLOURLESS:
        raise InputError(
            f"{path} is a picture in colour; a visibility map is grey: white where the texel was seen, black where not"
        )
    grey = levels.mean(2)[None]
    return grey if opacity is None else grey * _unit(opacity)


def _unit(array: np.ndarray) -> Tensor:
    tensor = torch.from_numpy(np.array(array))
    return tensor.float() / 255 if tensor.dtype == torch.uint8 else tensor.float()


def write_image(image: Tensor, path: str | os.PathLike, **marks: Any) -> Path:
    """Write ``(3|1, H, W)`` in [0, 1] as an 8-bit picture; the format follows the file name's ending.

    Args:
        marks: what else the file holds, in Pillow's words for that format, such as ``exif``.
    Raises:
        OutputError: unknown ending or a folder that cannot be written.
    """
    path = Path(path)
    form = Image.registered_extensions().get(path.suffix.lower())
    if form not in Image.SAVE:
        raise OutputError(f"{path}: unknown picture format '{path.suffix}'; use .png")
    with atomic(path) as temporary:
        Image.fromarray(to_bytes(image).squeeze()).save(temporary, form, **SAVING.get(form, {}), **marks)
    return path
