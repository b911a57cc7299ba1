"""Pictures in and out, colour spaces, resampling, and files that are never half written.

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
import torch.nn.functional as F
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from .errors import InputError, OutputError

# Rec. 709 luminance weights (ITU-R BT.709), the primaries of sRGB
LUMINANCE = (0.2126, 0.7152, 0.0722)
MAX_PIXELS = 100_000_000  # larger pictures are refused: a guard against decompression bombs


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
        yield temporary
        try:
            os.replace(temporary, path)
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
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


def to_signed(x: Tensor) -> Tensor:
    """[0, 1] → [-1, 1], the range in which the networks work."""
    return x * 2 - 1


def from_signed(x: Tensor) -> Tensor:
    """[-1, 1] → [0, 1], clamped."""
    return (x * 0.5 + 0.5).clamp(0, 1)


def srgb_to_linear(x: Tensor) -> Tensor:
    """sRGB-encoded → linear light, both in [0, 1] (IEC 61966-2-1)."""
    return torch.where(x <= 0.04045, x / 12.92, ((x.clamp_min(0) + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(x: Tensor) -> Tensor:
    """Linear light → sRGB-encoded, both in [0, 1] (IEC 61966-2-1)."""
    return torch.where(x <= 0.0031308, x * 12.92, 1.055 * x.clamp_min(1e-8) ** (1 / 2.4) - 0.055)


def luminance(rgb: Tensor) -> Tensor:
    """Rec. 709 luminance ``(B, 1, H, W)`` of linear ``(B, 3, H, W)``; on sRGB input it is luma."""
    return (rgb * rgb.new_tensor(LUMINANCE).view(3, 1, 1)).sum(-3, keepdim=True)


def resize(x: Tensor, size: int) -> Tensor:
    """Resample ``(B, C, H, W)`` to ``size``×``size``: exact area means by whole factors, else antialiased bicubic.

    Bicubic overshoot is clamped to the input's own range, so [0, 1] stays [0, 1].
    """
    if x.shape[-1] == size and x.shape[-2] == size:
        return x
    if x.shape[-1] % size == 0 and x.shape[-2] % size == 0:
        return F.avg_pool2d(x, (x.shape[-2] // size, x.shape[-1] // size))
    low, high = x.amin(), x.amax()
    return F.interpolate(x, (size, size), mode="bicubic", antialias=x.shape[-1] > size, align_corners=False).clamp(low, high)


def fill_unobserved(texture: Tensor, visibility: Tensor) -> Tensor:
    """Give unobserved texels a smooth continuation of their observed neighbours (push–pull pyramid).

    Gortler et al., *The Lumigraph*, SIGGRAPH 1996. Observed texels (visibility 1) are returned unchanged, partly
    observed ones are blended.

    Args:
        texture: ``(B, 3, H, W)`` in [0, 1]; H and W powers of two.
        visibility: ``(B, 1, H, W)`` in [0, 1].
    Returns:
        ``(B, 3, H, W)``; where nothing at all is observed, the input itself.
    """
    colours, weights = [texture * visibility], [visibility]
    while colours[-1].shape[-1] > 1:
        colours.append(F.avg_pool2d(colours[-1], 2))
        weights.append(F.avg_pool2d(weights[-1], 2))
    filled = torch.where(weights[-1] > 1e-8, colours[-1] / weights[-1].clamp_min(1e-8), texture.mean((2, 3), keepdim=True))
    for colour, weight in zip(reversed(colours[:-1]), reversed(weights[:-1]), strict=True):
        around = F.pad(filled, (1, 1, 0, 0), mode="circular")  # the layout's left and right border are one seam
        size = 2 * filled.shape[-2], 2 * around.shape[-1]
        filled = F.interpolate(around, size, mode="bilinear", align_corners=False)[..., 2:-2]
        trust = (weight * 4).clamp(0, 1) if weight is not weights[0] else weight
        filled = torch.lerp(filled, colour / weight.clamp_min(1e-8), trust)
    return filled
