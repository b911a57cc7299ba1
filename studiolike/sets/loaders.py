"""Reading the sets from disk, each in its *own* UV layout; `retarget` brings them into the head layout.

A loader takes the set's folder and yields `Place`: what a texture is called, and how to read it, as it comes. What is read is
a `Sample`: name, texture float32 ``(3, H, W)`` in [0, 1], sRGB; visibility float32 ``(1, H, W)`` in [0, 1]; facts. Names begin
with the subject, up to the first ``--``, because data is split by subject. Archives are read in memory, nothing of them is
unpacked to the disk.
"""

from __future__ import annotations

import io as streams
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .. import io, pictures
from ..errors import InputError
from ..image import from_bytes
from ..io import READABLE
from ..record import visibility_beside
from .catalogue import CATALOGUE
from .fetch import LOCK, read_lock

# Ava-256's camera colours → display: gains per channel, black level, exposure, gamma, and what is taken off at the end.
# A look for the dome's pictures, not a colorimetric calibration; it was not compared with pictures of the set.
AVA_GAIN = (1.4 / 1.1, 1.1 / 1.1, 1.6 / 1.1)
AVA_BLACK, AVA_EXPOSURE, AVA_GAMMA, AVA_LIFT = 3 / 255, 0.95, 2.0, 15 / 255


class Sample(NamedTuple):
    """One texture of a set, see the module's text."""

    name: str
    texture: Tensor
    visibility: Tensor
    metadata: dict[str, Any]


class Place(NamedTuple):
    """Where a texture of a set lies.

    Attributes:
        name: as its sample has it. file: the picture, or the archive that it is in. read: reads it, at once: what comes next in
            an archive may not wait.
    """

    name: str
    file: Path
    read: Callable[[], Sample]


def ava_display(linear: Tensor) -> Tensor:
    """Linear camera RGB of the dome ``(..., 3, H, W)`` in [0, 1] → display colours (taken as sRGB) in [0, 1]."""
    gained = linear * linear.new_tensor(AVA_GAIN).view(3, 1, 1)
    exposed = AVA_EXPOSURE * (gained - AVA_BLACK).clamp_min(0) / (1 - AVA_BLACK)
    return (exposed ** (1 / AVA_GAMMA) - AVA_LIFT).clamp(0, 1)


def _picture(source: Any, name: str) -> Tensor:
    """A picture file, or the bytes of one, as ``(3, H, W)``."""
    if isinstance(source, Path):
        array = io.read_image(source, reduce_to=None)
    else:
        try:
            with Image.open(streams.BytesIO(source)) as image:
                if image.width * image.height > pictures.MAX_PIXELS:
                    raise InputError(f"{name} is {image.width}×{image.height}, which is too large")
                array = np.asarray(image.convert("RGB"))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise InputError(f"{name} is not a readable image; fetch the set again") from error
    return from_bytes(array)


def _sample(name: str, texture: Tensor, **facts: Any) -> Sample:
    return Sample(name, texture, torch.ones_like(texture[:1]), facts)


def _expect(found: list, folder: Path, what: str) -> list:
    if not folder.is_dir():
        raise InputError(f"no such folder: {folder}")
    if not found:
        raise InputError(f"no {what} below {folder}; is this the set's folder?")
    return sorted(found)


def ava_256(folder: Path) -> Iterator[Place]:
    """Ava-256: one mean texture a person, brought from camera to display colours."""
    place = "*--*--*/decoder/uv_image/color_mean.png"
    for path in _expect(list(folder.glob(place)), folder, place):
        date, time, subject = path.parents[2].name.split("--")[:3]
        name = f"{subject}--{date}-{time}"
        yield Place(name, path, partial(_dome, name, path, subject=subject))


def _dome(name: str, path: Path, **facts: Any) -> Sample:
    """A picture of the dome's cameras."""
    return _sample(name, ava_display(_picture(path, str(path))), file=str(path), **facts)


def _plain(name: str, path: Path, subject: str) -> Sample:
    return _sample(name, _picture(path, str(path)), subject=subject, file=str(path))


def multiface(folder: Path) -> Iterator[Place]:
    """Multiface: ``tex_mean.png``, unpacked or inside each person's ``metadata.tar``."""
    found = [*folder.glob("*/metadata.tar"), *folder.glob("*/tex_mean.png")]
    for path in _expect(found, folder, "*/metadata.tar or */tex_mean.png"):
        person = path.parent.name
        if path.suffix == ".tar":
            if (path.parent / "tex_mean.png").is_file():
                continue  # unpacked by hand: the picture itself is in the list
            yield Place(person, path, partial(_in_tar, person, path))
        else:
            yield Place(person, path, partial(_plain, person, path, person))


def _in_tar(person: str, path: Path) -> Sample:
    try:
        with tarfile.open(path) as archive:
            member = next((m for m in archive if m.isfile() and Path(m.name).name == "tex_mean.png"), None)
            content = archive.extractfile(member).read() if member else None
    except (tarfile.TarError, OSError, EOFError) as error:
        raise InputError(f"{path} is damaged ({error}); delete it and fetch the set again") from error
    if content is None:
        raise InputError(f"{path} holds no tex_mean.png; fetch the set again")
    return _sample(person, _picture(content, f"tex_mean.png of {path}"), subject=person, file=str(path))


def ffhq_uv(folder: Path) -> Iterator[Place]:
    """FFHQ-UV: PNG files anywhere below the folder, or inside zip archives. One map is one subject."""
    found = [path for path in folder.rglob("*") if path.suffix.lower() in (".png", ".zip")]
    for path in _expect(found, folder, "PNG files or zip archives"):
        if path.suffix.lower() == ".png":
            yield Place(path.stem, path, partial(_plain, path.stem, path, path.stem))
            continue
        with _whole_zip(path), zipfile.ZipFile(path) as archive:
            for name in sorted(n for n in archive.namelist() if n.lower().endswith(".png")):
                yield Place(Path(name).stem, path, partial(_in_zip, path, archive, name))


def _in_zip(path: Path, archive: zipfile.ZipFile, name: str) -> Sample:
    with _whole_zip(path):
        content = archive.read(name)
    return _sample(Path(name).stem, _picture(content, f"{name} of {path}"), subject=Path(name).stem, file=f"{path}:{name}")


@contextmanager
def _whole_zip(path: Path) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, OSError, RuntimeError) as error:
        raise InputError(f"{path} is damaged ({error}); delete it and fetch the set again") from error


def leeperrysmith(folder: Path) -> Iterator[Place]:
    """The head scan by Lee Perry-Smith: one texture."""
    path = folder / "Map-COL.jpg"
    yield Place("leeperrysmith", path, partial(_plain, "leeperrysmith", path, "leeperrysmith"))


def goliath_4(folder: Path) -> Iterator[Place]:
    """Goliath-4: the dome's mean texture of each head; ``metadata["phone_videos"]`` are for ``studiolike capture``.

    The same cameras as Ava-256, so the same colours are assumed; it has not been tried on the set itself.
    """
    found = list(folder.glob("*Goliath*Head*/uv_image/color_mean.png"))
    for path in _expect(found, folder, "*--ProjectGoliath--Head/uv_image/color_mean.png"):
        parts = path.parents[1].name.split("--")
        subject = parts[3] if len(parts) > 3 else parts[-1]
        videos = [str(video) for video in sorted(folder.rglob("rgb.mov")) if subject in str(video) and "Head" in str(video)]
        name = f"{subject}--dome"
        yield Place(name, path, partial(_dome, name, path, subject=subject, phone_videos=videos))


def imagefolder(folder: Path) -> Iterator[Place]:
    """Any pictures of a folder and its sub-folders, in name order, with optional ``.visibility.png`` or ``.mask.png`` maps.

    Raises:
        InputError: an unreadable picture, or a map of another size than its texture.
    """

    def is_map(path: Path) -> bool:
        return path.stem.endswith((".visibility", ".mask"))

    found = [path for path in folder.rglob("*") if path.suffix.lower() in READABLE and not is_map(path)]
    for path in _expect(found, folder, "pictures"):
        yield Place(path.stem, path, partial(_with_map, path))


def _with_map(path: Path) -> Sample:
    sample = _plain(path.stem, path, subject_of(path.stem))
    layers = io.read_photo(path, reduce_to=None)
    if layers.shape[2] == 4:  # transparent is unseen
        sample = sample._replace(visibility=from_bytes(layers)[3:])
    maps = [visibility_beside(path), path.with_name(f"{path.stem}.mask.png")]
    for mask in (found for found in maps if found and found.is_file()):
        seen = io.read_grey(mask)
        if seen.shape[1:] != sample.texture.shape[1:]:
            raise InputError(f"{mask} must have the size of {path.name}, {sample.texture.shape[2]}×{sample.texture.shape[1]}")
        sample = sample._replace(visibility=seen * sample.visibility)
    return sample


LOADERS: dict[str, Callable[[Path], Iterator[Place]]] = {
    "ava-256": ava_256,
    "multiface": multiface,
    "ffhq-uv": ffhq_uv,
    "leeperrysmith": leeperrysmith,
    "goliath-4": goliath_4,
    "imagefolder": imagefolder,
}


def subject_of(name: str) -> str:
    """The subject that a file's name begins with: everything up to the first ``--``."""
    return name.split("--", 1)[0]


def places(folder: Path, name: str = "auto") -> Iterator[Place]:
    """Where the textures of a set lie; none is read. Arguments and errors as `load`."""
    if name == "auto":
        name = read_lock(folder)["set"] if (folder / LOCK).is_file() else "imagefolder"
    if name not in LOADERS:
        raise InputError(f"unknown set '{name}'; known: {', '.join(CATALOGUE)}, auto")
    return LOADERS[name](folder)


def load(folder: Path, name: str = "auto") -> Iterator[Sample]:
    """The samples of a set on disk.

    Args:
        folder: where `fetch` put it, or where it was unpacked.
        name: which set; ``"auto"`` reads it from ``fetched.json`` and falls back to ``imagefolder``.
    Raises:
        InputError: unknown name, missing or damaged files; raised when the sample is reached.
    """
    return (place.read() for place in places(folder, name))
