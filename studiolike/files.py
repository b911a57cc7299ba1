"""What the command line does with files: photos to textures, textures to avatars; `convert` has a file of its own."""

from __future__ import annotations

import os
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from PIL import Image
from torch import Tensor

from . import io
from .errors import InputError, OutputError, StudioError
from .image import from_bytes, resize
from .io import PICTURES, atomic, check_output, check_size, visibility_path
from .pictures import MAX_PIXELS, head
from .progress import bar
from .record import read_record, read_shape, sentence, tells_texture, visibility_beside, write_marked, write_visibility

if TYPE_CHECKING:
    from .capture.contact import ContactSheet
    from .cli import Capture, View

LARGEST_GLB = 4096  # texels of an avatar's texture: what every device can hold
FEW_PHOTOS = 4  # of one person, that are unwrapped as finely as the result is wanted
TURNS, TURN_SIZE = 72, 512  # pictures of a turntable, three seconds, and their edge in pixels


def shown(path: Path | str) -> str:
    """A file's name for messages and pages; bytes that are no text are shown as �."""
    return os.fsencode(path).decode("utf-8", "replace")


def was_left_out(name: str, reason: str) -> str:
    """A sentence about a file that could not be used; most reasons begin with its name."""
    return f"left out {name}: {f'it {reason[len(name) + 1 :]}' if reason.startswith(f'{name} ') else reason}"


def file_key(name: str) -> str:
    """The same for two names that many file systems take for one."""
    return unicodedata.normalize("NFC", name).casefold()


def protect(inputs: Iterable[Path], outputs: Iterable[Path]) -> None:
    """Refuse to write over what is read, by whatever name or link, and to write one file twice. Raises `OutputError`."""
    read = {place: path for path in inputs for place in _places(path)}
    written: dict[object, Path] = {}
    for path in outputs:
        for place in _places(path):
            if place in read:
                raise OutputError(f"{shown(path)} would overwrite the input {shown(read[place])}; choose another name")
            if written.get(place, path) is not path:
                raise OutputError(f"{shown(path)} would be written twice; choose different names")
            written[place] = path


def refuse_existing(outputs: Iterable[Path], overwrite: bool = False) -> None:
    """Refuse to replace what stands there, unless that is asked for. Raises `OutputError`."""
    there = [] if overwrite else [shown(path) for path in outputs if os.path.lexists(path)]
    if there:
        names = ", ".join(there[:3]) + (f" and {len(there) - 3} more" if len(there) > 3 else "")
        raise OutputError(f"{names} exist{'s' if len(there) == 1 else ''}; choose another name, or add --overwrite")


def _places(path: Path) -> list[object]:
    """What identifies a file: its resolved path, and once it exists its inode."""
    places: list[object] = [os.path.realpath(path)]
    try:
        status = path.stat()
        places.append((status.st_dev, status.st_ino))
    except OSError:
        pass
    return places


def capture_person(
    photos: tuple[Path, ...],
    size: int,
    stored=None,
    sheet: ContactSheet | None = None,
    *,
    whole: bool = True,
    progress: bool = False,
):
    """One person's photos, or one video, as a fused `Capture`; photos that cannot be used are named in its warnings.

    Args:
        stored: landmarks of one pose, used for every photo. sheet: gets every picture with what became of it.
        whole: whether hair and the sides of the head are read as well. progress: show a bar, of several pictures.
    Raises:
        CaptureError: no photo can be used. InputError: a file that is not readable, alone.
    """
    from . import capture

    videos = [photo for photo in photos if capture.is_video(photo)]
    if videos:
        if len(photos) > 1:
            raise InputError(f"{shown(videos[0])} is a video: give one video alone, or several photos")
        if stored is not None:
            raise InputError("--landmarks belong to a photo, not to a video")
        return capture.capture_video(videos[0], size, whole=whole, sheet=sheet, progress=progress)
    given = None if stored is None else [stored] * len(photos)
    names = [shown(photo) for photo in photos]
    several = progress and len(photos) > 1
    result = capture.capture_photos(photos, size, given, whole=whole, names=names, sheet=sheet, progress=several)
    left_out = [was_left_out(name, reason) for name, reason in result.quality.get("left_out", {}).items()]
    result.quality = {**result.quality, "warnings": [*left_out, *result.quality.get("warnings", [])]}
    return result


def capture_files(command: Capture, note: Callable[[str], None] = lambda _: None) -> dict:
    """Unwrap photos of one person, or a video, into a texture and its visibility map; returns the quality facts.

    The file of the texture also tells the shape of the head, see `record.read_shape`. All files are written, or none.

    Of several photos, those that cannot be used are left out and named in ``quality["left_out"]``. The contact sheet is
    written also when nothing could be used.

    Args:
        note: is told of a contact sheet that is all that was written.
    Raises:
        CaptureError, InputError, OutputError, MissingExtra: see `studiolike.capture`.
    """
    from . import capture
    from .capture.contact import ENDINGS, ContactSheet

    photos, out, save_landmarks, report = command.photos, command.out, command.save_landmarks, command.report
    check_output(out, PICTURES)
    check_size(command.size, low=32)
    if report:
        check_output(report, ENDINGS)
    written = [out, visibility_path(out), *(path for path in (save_landmarks, report) if path)]
    protect([*photos, *([command.landmarks] if command.landmarks else [])], written)
    refuse_existing(written, command.overwrite)
    if save_landmarks and (len(photos) > 1 or capture.is_video(photos[0])):
        raise InputError("--save-landmarks stores those of one photo; give one photo")
    stored = capture.load_landmarks(command.landmarks) if command.landmarks else None
    refuse_textures(photos, "photos alone can be unwrapped; studiolike convert takes a texture as it is")
    sheet = ContactSheet()
    try:
        result = capture_person(photos, command.size, stored, sheet, whole=command.hair, progress=True)
    except StudioError:
        if report and len(sheet):
            sheet.write(report)
            note(f"wrote {shown(report)}")
        raise
    with together(written) as place:
        if save_landmarks:
            capture.save_landmarks(result.landmarks, place[save_landmarks], io.read_image(photos[0]))
        if report:
            sheet.write(place[report])
        write_marked(result.texture[0], place[out], None, result.shape)
        write_visibility(result.visibility[0], place[visibility_path(out)], out)
    return result.quality


@dataclass
class PersonInput:
    """What the chain takes: texture ``(1, 3, N, N)``, visibility ``(1, 1, N, N)`` or None, and facts for the report; beside it
    the shape of face and head where it is known, see `capture.head_shape`."""

    texture: Tensor
    visibility: Tensor | None
    facts: dict = field(default_factory=dict)
    shape: Tensor | None = None


def read_person(
    paths: tuple[Path, ...],
    kind: str,
    visibility: Path | None,
    size: int,
    *,
    whole: bool = True,
    progress: bool = False,
) -> PersonInput:
    """A texture file, a photo, several photos of one person, or a video, made ready for the chain.

    With ``kind="auto"`` a single picture is a texture if its file says so, if it resembles the mean face of the layout, or if
    it is square and a visibility map lies beside it that speaks for it, see `record.visibility_beside`; everything else is
    unwrapped, hair and the sides of the head too if ``whole``. What is transparent in a texture is unseen.

    Raises:
        CaptureError, InputError, MissingExtra: see `studiolike.capture` and `io.read_texture`.
    """
    from .capture import is_video

    path = paths[0]
    alone = len(paths) == 1 and not is_video(path)
    if kind == "texture" and not alone:
        what = f"{shown(path)} is a video" if is_video(path) else f"these are {len(paths)} files"
        raise InputError(f"--kind texture is one picture, and {what}")
    beside = visibility or (visibility_beside(path) if alone else None)
    told = []
    if kind == "auto":
        kind = "texture" if alone and (visibility or tells_texture(path) or _resembles_texture(path)) else "photo"
        if not alone:
            refuse_textures(paths, "convert it alone: several files are photos of one person (are they all? add --kind photo)")
        if kind == "photo" and beside and _is_square(path):
            kind = "texture"
            told.append(
                f"{shown(path.name)} is taken for an unrolled texture, because {shown(beside.name)} lies beside it; "
                "if it is a photo, add --kind photo"
            )
    if kind == "texture":
        if not beside and (other := visibility_path(path)).is_file():
            told.append(
                f"{shown(other.name)} was written with another texture than {shown(path.name)}, and is not used; "
                f"if it fits this one too, add --visibility {shown(other)}"
            )
        texture, opacity = io.read_layers(path)
        side = min(max(_power_of_two(texture.shape[-1]), 64), 2048)
        if side < min(size, texture.shape[-1]):
            why = "the next power of two below" if side < 2048 else "the most that there may be"
            told.append(f"{shown(path)} is {texture.shape[-1]} texels wide, and was read at {side}, {why}")
        if side != texture.shape[-1]:
            texture, opacity = io.read_layers(path, side)
        seen = io.read_visibility(beside, side).clamp(0, 1) if beside else None
        if opacity is not None:
            seen = opacity if seen is None else seen * opacity
        facts = {"kind": "texture"} | ({"warnings": told} if told else {})
        return PersonInput(texture[None], None if seen is None else seen[None], facts, read_shape(path))
    if visibility:
        raise InputError(f"--visibility belongs to a texture, and {shown(path)} is none; photos bring their own")
    # landmarks of many pictures differ by half a per cent of the face width: finer than that their blend holds nothing
    largest = 2048 if len(paths) <= FEW_PHOTOS and not is_video(path) else 1024
    result = capture_person(paths, min(max(size, 256), largest), whole=whole, progress=progress)
    kind = "photo" if alone else "video" if is_video(path) else "photos"
    return PersonInput(result.texture, result.visibility, {"kind": kind, **result.quality}, result.shape)


def _power_of_two(n: int) -> int:
    return 1 << (n.bit_length() - 1)


def doubts(texture: Path) -> list[str]:
    """Sentences about a file that `export_avatar` would lay on the head though it seems to be no texture."""
    if visibility_beside(texture) or tells_texture(texture) or _resembles_texture(texture):
        return []
    return [f"{shown(texture)} looks like no texture of a face; to make one of a photo:  studiolike convert"]


def refuse_textures(paths: Iterable[Path], cure: str) -> None:
    """Raise `InputError` for an unrolled texture among photos; what cannot be read is told later."""
    from .capture import is_video

    for path in paths:
        try:
            known = not is_video(path) and (tells_texture(path) or _resembles_texture(path))
        except InputError:
            continue
        if known or visibility_beside(path) and _is_square(path):
            raise InputError(f"{shown(path)} is an unrolled texture and no photo: {cure}")


def _is_square(path: Path) -> bool:
    try:
        head(path)  # or to open a pipe would wait for ever
        with warnings.catch_warnings(action="ignore"), Image.open(path) as picture:
            return picture.width == picture.height
    except Exception:  # a format that only `pictures` reads, which also says what is wrong with a file
        height, width = io.read_image(path).shape[:2]
        return height == width


def _resembles_texture(path: Path) -> bool:
    from .weights import studio_mean

    if not _is_square(path) or (picture := io.read_image(path)).shape[0] < 32:
        return False

    def signature(texture: Tensor) -> Tensor:
        low = resize(texture, 16)
        return (low - low.mean((2, 3), keepdim=True)).flatten()

    mine = signature(from_bytes(picture)[None])
    return torch.cosine_similarity(mine, signature(studio_mean()), dim=0).item() > 0.6


def read_bounded(path: Path, largest: int = LARGEST_GLB) -> Tensor:
    """A texture ``(3, N, N)``, N a power of two up to ``largest``. Larger 8-bit pictures shrink before they become floats.

    Raises:
        InputError: as `io.read_texture`.
    """
    head(path)  # or to open a pipe would wait for ever
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path) as picture:  # odd sizes and tags: they are checked below
            width, height = picture.size
            if largest < width == height and picture.mode in ("RGB", "L") and width * height <= MAX_PIXELS:
                small = picture.reduce(-(-width // largest)).convert("RGB").resize((largest, largest), Image.Resampling.BOX)
                return from_bytes(small)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        pass  # read_texture says what is wrong
    texture = io.read_texture(path)
    return resize(texture[None], min(_power_of_two(texture.shape[-1]), largest))[0]


def _reduced(path: Path, read: Tensor) -> list[str]:
    """A sentence about a texture that `read_bounded` has made smaller."""
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path) as picture:
            width = picture.width
    except Exception:  # only `pictures` reads it
        width = io.read_texture(path).shape[-1]
    size = read.shape[-1]
    if size >= width:
        return []
    why = "the most that every device can hold" if size == LARGEST_GLB else "the next power of two below"
    return [f"{shown(path)} is {width} texels wide, and the avatar has it with {size}, {why}"]


def export_avatar(command: View, note: Callable[[str], None] = lambda _: None) -> list[Path]:
    """Write a GLB with a texture on the head and an HTML page that turns it, and what else is asked for; all or nothing.

    Args:
        note: receives sentences for the user.
    Returns:
        The paths that were written.
    Raises:
        InputError, OutputError, MissingExtra: a file that cannot be read or written.
    """
    from . import avatar
    from .avatar.movie import check_movie

    texture, out, compare = command.texture, command.out, command.compare
    turntable, relit, before = command.turntable, command.relit, command.before
    page = out.with_suffix(".html")
    outputs = [path for path in (out, page, turntable, relit) if path]
    check_output(out, {".glb"})
    check_output(page, {".html"})
    if turntable:
        check_movie(turntable)
        check_output(turntable, {turntable.suffix.lower()})
    if relit:
        check_output(relit, PICTURES)
    if before and not relit:
        raise InputError("--before is the first row of a sheet: name the sheet with --relit")
    protect([path for path in (texture, compare, before) if path], outputs)
    refuse_existing(outputs, command.overwrite)
    main = read_bounded(texture)
    images = {shown(texture.stem): main}
    if compare:
        name = shown(compare.stem)
        images[name if name not in images else f"{name} (compared)"] = read_bounded(compare)
    rows = {shown(before.stem): read_bounded(before)} if before else {}
    rows[shown(texture.stem) if shown(texture.stem) not in rows else f"{shown(texture.stem)} (2)"] = main
    for line in _reduced(texture, main):
        note(line)

    shape, made = read_shape(texture) if command.own_head else None, read_record(texture)
    mesh, told = avatar.own_head(shape), avatar.shape.BASE if shape is None else avatar.shape.OWN
    with together(outputs) as place, bar(None, "view", "file", total=len(outputs), leave=False) as written:
        avatar.write_glb(mesh, main, place[out], avatar.normal_map(main) if command.normals else None, made)
        written.update()
        avatar.write_viewer(mesh, place[page], images, title=shown(out.stem), note=f"{sentence(made)} {told}" if made else told)
        written.update()
        if turntable:
            frames = avatar.turntable(mesh, avatar.viewer.fitting(main, 1024), TURNS, TURN_SIZE, progress=True)
            avatar.write_movie(frames, place[turntable], turntable.suffix.lower())
            written.update()
        if relit:
            small = {name: avatar.viewer.fitting(picture, 1024) for name, picture in rows.items()}
            io.write_image(avatar.relit_sheet(mesh, small, progress=True), place[relit])
            written.update()
    return outputs


@contextmanager
def together(outputs: list[Path]) -> Iterator[dict[Path, Path]]:
    """Where to write each of ``outputs``, so that all get their names together, when the block is left, or none.

    Raises:
        OutputError: a write that failed, told with the names that the user gave.
    """
    if len(outputs) == 1:  # whoever writes a file does it whole or not at all
        yield {outputs[0]: outputs[0]}
        return
    with ExitStack() as stack:
        temporary = {path: stack.enter_context(atomic(path)) for path in outputs}
        stack.enter_context(_naming_failures(outputs))
        yield temporary


@contextmanager
def _naming_failures(outputs: list[Path]) -> Iterator[None]:
    """A write that fails is told with the names that the user gave, not with temporary ones."""
    try:
        yield
    except (OSError, OutputError) as error:
        cause = error if isinstance(error, OSError) else error.__cause__
        reason = getattr(cause, "strerror", None) or error
        names = ", ".join(map(shown, outputs))
        raise OutputError(f"cannot write {names}: {reason}; free some space or choose another folder") from error
