"""From any picture file that a phone or a paint program writes to upright sRGB pixels, or to the true reason why not.

What a file is, its content says, never its ending. Orientation, bit depth, transparency and colour profile are brought
to one form: rows from the top, [0, 1] or uint8, sRGB (IEC 61966-2-1), transparency apart. Memory is bounded: sizes are
checked before the first pixel is decoded, and a JPEG can be decoded at a fraction of its size.
"""

from __future__ import annotations

import io as buffers
import logging
import os
import stat
import struct
import warnings
from pathlib import Path
from typing import cast

import numpy as np
from PIL import Image, ImageCms, ImageOps

from .colour_tags import ColourTag, check_tag, read_tag
from .errors import InputError, MissingExtra, optional
from .hdr import to_srgb

MAX_PIXELS = 100_000_000  # larger pictures are refused: a guard against decompression bombs
MAX_JPEG_PIXELS = 178_000_000  # a JPEG is reduced while it is decoded; Pillow itself refuses more than this
PHOTO_PIXELS = 16_000_000  # photos are reduced by a whole factor to at most this: a face fills far more than a texture
BACKGROUND = 128  # the level behind a transparent photo: neutral, so that it tints no rim

PNG = b"\x89PNG\r\n\x1a\n"
# first bytes → what the file is; pictures that can be read are not in the list
FOREIGN = {
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a ZIP archive",
    b"8BPS": "a Photoshop document",
    b"\xff\x0a": "a JPEG XL picture",
    b"\x00\x00\x00\x0cJXL ": "a JPEG XL picture",
    b"\x93NUMPY": "a NumPy array",
    b"glTF": "a GLB scene",
    b"FUJIFILMCCD-RAW": "a camera's raw file",
}
CONTAINERS = {
    b"\x1aE\xdf\xa3": "Matroska",
    b"FLV\x01": "Flash video",
    b"OggS": "Ogg",
    b"\x30\x26\xb2\x75": "Windows Media",
    b"\x00\x00\x01\xba": "MPEG",
    b"\x00\x00\x01\xb3": "MPEG",
}
HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
AVIF_BRANDS = {b"avif", b"avis"}
SOUND_BRANDS = {b"M4A ", b"M4B ", b"F4A "}
ATOMS = {b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"}  # an old QuickTime file begins with one of these


def head(path: str | os.PathLike, count: int = 512) -> bytes:
    """The first bytes of a file.

    Raises:
        InputError: missing, a folder, a device, a loop of links, empty, or not permitted; the message says which.
    """
    path = Path(path)
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise InputError(f"{path} is a folder; name a file in it")
        if not stat.S_ISREG(mode):
            raise InputError(f"{path} is a device or a pipe, not a file")
        with open(path, "rb") as file:
            first = file.read(count)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"no such file: {path}") from error
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise InputError(f"cannot open {path}: {getattr(error, 'strerror', None) or error}") from error
    if not first:
        raise InputError(f"{path} is empty (0 bytes); copy it again")
    return first


def container(first: bytes) -> str | None:
    """The kind of video that these first bytes begin, or None if it is none."""
    if first[4:8] == b"ftyp":
        brand = first[8:12]
        return None if brand in HEIF_BRANDS | AVIF_BRANDS | SOUND_BRANDS else "3GP" if brand.startswith(b"3g") else "MP4"
    if first[4:8] in ATOMS:
        return "QuickTime"
    if first[:4] == b"RIFF" and first[8:12] == b"AVI ":
        return "AVI"
    if len(first) > 376 and first[0] == first[188] == first[376] == 0x47:
        return "MPEG"
    return next((name for start, name in CONTAINERS.items() if first.startswith(start)), None)


def is_picture(path: str | os.PathLike) -> bool:
    """Whether a file begins as JPEG, PNG, WebP, GIF, HEIC or AVIF do. Never raises."""
    try:
        first = head(path)
    except InputError:
        return False
    coded = first[4:8] == b"ftyp" and first[8:12] in HEIF_BRANDS | AVIF_BRANDS
    return coded or first.startswith((b"\xff\xd8\xff", PNG, b"GIF8")) or (first[:4] == b"RIFF" and first[8:12] == b"WEBP")


def _what_it_is(first: bytes) -> str | None:
    """In words what a file is that is no readable picture, as far as its first bytes tell."""
    kind = container(first)
    if kind:
        return f"a video ({kind}), not a picture: give it alone to  studiolike capture"
    for start, name in FOREIGN.items():
        if first.startswith(start):
            return f"{name}, not a picture"
    if first[:5] == b"<?xml" or b"<svg" in first[:256]:
        return "an SVG or XML document, not a picture"
    if first[4:8] == b"ftyp" and first[8:12] in SOUND_BRANDS:
        return "a sound recording, not a picture"
    if first[:4] == b"\x00\x05\x16\x07":
        return "a companion file of macOS (its name begins with ._), not the picture"
    try:
        text = first.decode()
    except UnicodeDecodeError as error:
        text = first[: error.start].decode() if error.start > len(first) - 4 else ""
    return "a text file, not a picture" if text and text.isprintable() or len(text.split()) > 3 and "\0" not in text else None


def _is_heif(first: bytes) -> bool:
    return first[4:8] == b"ftyp" and first[8:12] in HEIF_BRANDS


def decode(path: str | os.PathLike, reduce_to: int | None = None) -> tuple[np.ndarray, np.ndarray | None]:
    """Pixels of a picture file, upright and in sRGB, and its transparency.

    Args:
        path: JPEG, PNG, TIFF, WebP, HEIC, AVIF, BMP, GIF… by content, whatever the file is called.
        reduce_to: pixels from which the picture is reduced by the smallest whole factor that brings it below.
    Returns:
        ``(H, W, 3)``, uint8, or float32 in [0, 1] where the file holds more than 8 bits of grey or float numbers, and
        ``(H, W)`` uint8 opacity, None if the file has no transparency.
    Raises:
        InputError: the message names the file and the true reason.
    """
    path = Path(path)
    first = head(path)
    if _is_heif(first):
        _register_heif(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Pillow, about sizes and odd tags: sizes are checked here
            try:
                return _decode(path, path, reduce_to)
            except ValueError:
                if not first.startswith(PNG):
                    raise
                # Pillow refuses long texts (a megabyte of XMP is common); nothing here reads them
                return _decode(path, buffers.BytesIO(_without_texts(path.read_bytes())), reduce_to)
    except InputError:
        raise
    except Image.DecompressionBombError as error:
        raise InputError(f"{path} has more than {MAX_JPEG_PIXELS // 10**6} megapixels; scale it down") from error
    except MemoryError as error:
        raise InputError(f"{path} does not fit into memory; scale it down") from error
    except Exception as error:  # decoders raise whatever they please: struct.error, zlib.error, TypeError…
        raise InputError(f"{path} {_reason(first, error)}") from error


def _reason(first: bytes, error: Exception) -> str:
    what = _what_it_is(first)
    if what:
        return f"is {what}"
    if isinstance(error, Image.UnidentifiedImageError):
        known = first.startswith((PNG, b"\xff\xd8\xff", b"GIF8", b"II*\0", b"MM\0*", b"BM")) or _is_heif(first)
        if first[:4] in (b"II*\0", b"MM\0*"):
            return "is a TIFF or raw file of a kind that cannot be read; export it as 16-bit PNG or as JPEG"
        return "is damaged or cut off in its first bytes; copy it again" if known else "is not a picture in any known format"
    text = " ".join(str(error).split())
    if any(word in text.lower() for word in ("truncated", "broken data stream", "end of file", "incomplete", "not enough")):
        return "is cut off: its end is missing; copy it again"
    return f"is damaged ({text[:120] or type(error).__name__}); copy it again"


def _register_heif(path: Path) -> None:
    try:
        pi_heif = optional("pi_heif", "")
    except MissingExtra as error:
        raise InputError(
            f"{path} is a HEIC photo, and the library for it {error.trouble}: install it with  pip install pi-heif , "
            "or export the photo as JPEG"
        ) from error
    pi_heif.register_heif_opener(thumbnails=False)


def _decode(path: Path, source: Path | buffers.BytesIO, reduce_to: int | None) -> tuple[np.ndarray, np.ndarray | None]:
    try:
        image = Image.open(source)
    except Image.UnidentifiedImageError:
        if head(path)[:4] not in (b"II*\0", b"MM\0*"):
            raise
        return _decode_tiff(path, reduce_to), None  # Pillow knows no float TIFF of several channels
    with image:
        pixels = image.width * image.height
        if pixels > (MAX_JPEG_PIXELS if image.format in ("JPEG", "MPO") else MAX_PIXELS):
            raise InputError(f"{path} is {image.width}×{image.height}; scale it below {MAX_PIXELS // 10**6} megapixels")
        if pixels == 0:
            raise InputError(f"{path} has no pixels: its size is given as {image.width}×{image.height}")
        factor = _factor(image.width, image.height, reduce_to)
        if factor > 1 and image.format in ("JPEG", "MPO"):
            width = image.width
            image.draft(None, (image.width // factor, image.height // factor))
            factor = max(1, round(factor * image.width / width))
        colours = _colours(image, path)
        image.load()
        if factor > 1:
            exif = image.getexif()
            image = _averageable(image).reduce(factor)
            image.info["exif"] = exif.tobytes()
        image = ImageOps.exif_transpose(image)
        if image.mode.startswith("I") or image.mode == "F":
            return _deep_grey(image, path, colours), None
        opacity = None
        if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
            image = image.convert("RGBA")
            opacity = np.asarray(image.getchannel("A"))
            image = image.convert("RGB")  # drops the opacity, keeps the colours
        return _levels(image, colours), opacity


def _factor(width: int, height: int, reduce_to: int | None) -> int:
    factor = 1
    while reduce_to and (width // factor) * (height // factor) > reduce_to:
        factor += 1
    return factor


def _averageable(image: Image.Image) -> Image.Image:
    """The picture in a mode whose numbers may be averaged: no palette, no single bits, no colour that means transparent."""
    if "transparency" in image.info and image.mode in ("1", "L", "P", "RGB") or image.mode == "PA":
        return image.convert("RGBA")
    wanted = {"P": "RGB", "1": "L"}.get(image.mode, "I" if image.mode.startswith("I;") else image.mode)
    return image if wanted == image.mode else image.convert(wanted)


def _colours(image: Image.Image, path: Path) -> ImageCms.ImageCmsProfile | ColourTag | None:
    """What a file says about its colours: its ICC profile, else its numbers of H.273, None for those of sRGB."""
    profile = _profile(image.info.get("icc_profile"))
    if profile:
        return profile
    nclx = image.info.get("nclx_profile")  # of HEIC
    if nclx:
        tag: ColourTag | None = ColourTag(nclx.get("color_primaries", 2), nclx.get("transfer_characteristics", 2))
    else:
        tag = read_tag(path, image.format)
    if tag:
        check_tag(tag, path)
    return tag


def _profile(content: bytes | None) -> ImageCms.ImageCmsProfile | None:
    """An ICC profile; a damaged one is ignored, as viewers do."""
    try:
        return ImageCms.ImageCmsProfile(buffers.BytesIO(content)) if content else None
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


def _levels(image: Image.Image, colours: ImageCms.ImageCmsProfile | ColourTag | None) -> np.ndarray:
    """uint8 ``(H, W, 3)`` in sRGB."""
    if isinstance(colours, ColourTag):
        return to_srgb(np.asarray(_in_srgb(image, None)), colours.transfer, colours.primaries)
    return np.asarray(_in_srgb(image, colours))


def _in_srgb(image: Image.Image, profile: ImageCms.ImageCmsProfile | None) -> Image.Image:
    """RGB, brought to sRGB by its profile, relative colorimetric, if it has one that fits its mode."""
    if image.mode == "1":
        image = image.convert("L")
    elif image.mode in ("P", "YCbCr", "HSV", "RGBX"):
        image = image.convert("RGB")
    if image.mode == "LAB":
        lab = ImageCms.createProfile("LAB")
        # None is only what a conversion in place returns
        return cast(Image.Image, ImageCms.profileToProfile(image, lab, ImageCms.createProfile("sRGB"), outputMode="RGB"))
    if profile:
        try:
            # a profile of sRGB itself would only add rounding
            if "srgb" not in (ImageCms.getProfileDescription(profile) or "").lower():
                converted = ImageCms.profileToProfile(
                    image,
                    profile,
                    ImageCms.createProfile("sRGB"),
                    renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
                    outputMode="RGB",
                    flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
                )
                return cast(Image.Image, converted)
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            pass
    return image.convert("RGB")


def _deep_grey(image: Image.Image, path: Path, colours: ImageCms.ImageCmsProfile | ColourTag | None) -> np.ndarray:
    """Grey of 16 bits or of float numbers as ``(H, W, 3)`` float32."""
    grey = np.asarray(image)
    if grey.dtype == np.uint16 or image.format == "PNG" or image.mode.startswith("I;16"):
        grey = grey.astype(np.float32) / 65535
    elif image.mode == "F":
        grey = _unit_range(grey.astype(np.float32), path)
    elif grey.min() >= 0 and grey.max() <= 65535:  # older Pillow opens 16-bit pictures as 32-bit ones
        grey = grey.astype(np.float32) / 65535
    else:
        raise InputError(f"{path} holds 32-bit or signed whole numbers, whose white is not known; save it as 16-bit PNG")
    ramp = _levels(Image.fromarray(np.arange(256, dtype=np.uint8)[None]), colours)
    curves = ramp[0].astype(np.float32) / 255
    if np.array_equal(curves[:, 0] * 255, np.arange(256, dtype=np.float32)):
        return np.repeat(grey[..., None], 3, axis=2)
    levels = np.linspace(0, 1, 256, dtype=np.float32)
    return np.stack([np.interp(grey, levels, curves[:, k]) for k in range(3)], axis=2).astype(np.float32)


def _unit_range(values: np.ndarray, path: Path) -> np.ndarray:
    if not np.isfinite(values).all():
        raise InputError(f"{path} holds numbers that are not finite (NaN or infinite); mend it, or save it as 16-bit PNG")
    low, high = float(values.min()), float(values.max())
    if low < -1e-3 or high > 1 + 1e-3:
        raise InputError(
            f"{path} holds float numbers from {low:.3g} to {high:.3g}; scale them to sRGB values from 0 to 1, "
            "or save it as 16-bit PNG"
        )
    return values.clip(0, 1)


def _decode_tiff(path: Path, reduce_to: int | None) -> np.ndarray:
    import tifffile  # comes with scikit-image

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # it tells every odd tag; the user gets one line
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        if page.samplesperpixel not in (1, 3) or page.imagewidth * page.imagelength > MAX_PIXELS:
            raise InputError(
                f"{path} is a TIFF of {page.imagewidth}×{page.imagelength} with {page.samplesperpixel} channels; "
                "save it as 16-bit PNG"
            )
        profile = page.tags.get(34675)
        if page.imagewidth * page.imagelength == 0:
            raise InputError(f"{path} has no pixels: its size is given as {page.imagewidth}×{page.imagelength}")
        values = page.asarray()
        if page.planarconfig == 2 and values.ndim == 3:
            values = values.transpose(1, 2, 0)
    if values.dtype.kind == "f":
        rgb = _unit_range(values.astype(np.float32), path)
    elif values.dtype in (np.uint8, np.uint16):
        rgb = values.astype(np.float32) / np.iinfo(values.dtype).max
    else:
        raise InputError(f"{path} holds numbers of type {values.dtype}, whose white is not known; save it as 16-bit PNG")
    rgb = np.repeat(rgb[..., None], 3, axis=2) if rgb.ndim == 2 else rgb
    if rgb.ndim != 3 or rgb.shape[2] != 3 or not rgb.size:  # a damaged file may claim anything
        raise InputError(f"{path} is damaged (pixels of shape {rgb.shape}); copy it again")
    factor = _factor(rgb.shape[1], rgb.shape[0], reduce_to)
    if factor > 1:
        rgb = np.stack([np.asarray(Image.fromarray(np.ascontiguousarray(rgb[..., k])).reduce(factor)) for k in range(3)], axis=2)
    if profile is None:
        return rgb
    return _levels(Image.fromarray((rgb * 255 + 0.5).astype(np.uint8)), _profile(bytes(profile.value)))


def _without_texts(content: bytes) -> bytes:
    """A PNG without its text chunks (PNG specification, 11.3.3)."""
    kept, at = [content[:8]], 8
    while at + 8 <= len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        if content[at + 4 : at + 8] not in (b"tEXt", b"zTXt", b"iTXt"):
            kept.append(content[at : at + 12 + length])
        at += 12 + length
    return b"".join(kept)


def photo(path: str | os.PathLike, reduce_to: int | None = PHOTO_PIXELS) -> np.ndarray:
    """A photograph as uint8 RGB ``(H, W, 3)``, or RGBA ``(H, W, 4)`` if something in it is transparent."""
    rgb, opacity = decode(path, reduce_to)
    if rgb.dtype != np.uint8:
        rgb = (rgb * 255 + 0.5).astype(np.uint8)
    if opacity is not None and opacity.min() < 255:
        rgb = np.dstack([rgb, opacity])
    return np.ascontiguousarray(rgb)


def on_grey(image: np.ndarray) -> np.ndarray:
    """uint8 RGB or RGBA ``(H, W, 3|4)`` → RGB, what is transparent on neutral grey: how networks and people look at it."""
    if image.shape[2] == 3:
        return image
    share = image[..., 3:].astype(np.uint16)
    return ((image[..., :3] * share + BACKGROUND * (255 - share) + 127) // 255).astype(np.uint8)
