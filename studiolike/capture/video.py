"""A short video or several photos of one person → one fused capture.

Decoding is PyAV's work, an optional library. A phone's clip is turned upright, brought from whatever it was coded in to
sRGB, and sampled evenly in time. Pictures and frames that cannot be used are left out, each with its reason.
"""

from __future__ import annotations

import os
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import CaptureError, InputError, StudioError, optional
from ..hdr import REC709, to_srgb
from ..io import read_photo
from ..pictures import container, head
from ..progress import bar
from .contact import ContactSheet
from .detection import find_faces
from .fusion import fuse
from .landmarks import LARGEST, Finder, StoredLandmarks
from .unwrap import Capture, capture_photo

VIDEO_ENDINGS = {".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".3gp", ".3g2", ".wmv", ".mts", ".m2ts", ".ts", ".mpg"}
# pixels that are decoded to reach the frames in between; beyond it the frames a clip can be entered at must do
DECODE_BUDGET = 3e9
MAX_FRAME_PIXELS = 40_000_000
MATRICES = {1: "bt709", 4: "fcc", 5: "bt601", 6: "bt601", 7: "smpte240m", 9: "bt2020", 10: "bt2020"}  # H.273 → libswscale


def is_video(path: str | os.PathLike) -> bool:
    """Whether a file is a video by its first bytes or, if they tell nothing, by its name's ending."""
    try:
        first = head(path)
    except InputError:
        first = b""
    if container(first):
        return True
    return Path(path).suffix.lower() in VIDEO_ENDINGS


def read_frames(path: str | os.PathLike, count: int = 24) -> Iterator[np.ndarray]:
    """Yield up to ``count`` frames, evenly spread in time over a video, as uint8 sRGB ``(H, W, 3)``, turned upright.

    HLG, PQ and wide primaries are converted (see `studiolike.hdr`); matrix and range are those that the file states,
    BT.709 for high definition and BT.601 below it if it states none. Of long 4K clips only frames that can be decoded
    alone are used. What lies behind a damaged place is left out.

    Raises:
        InputError: missing file, or no frame in it that can be decoded; the message says why.
        MissingExtra: PyAV is not installed.
    """
    path = Path(path)
    if count < 1:
        raise InputError(f"{count} frames asked for; at least one is needed")
    first = head(path)
    optional("av", "capture", "av (PyAV)")
    return _frames(path, count, first)


def _open(path: Path):
    """A clip, whose metadata may be in any encoding: until PyAV 19 that had to be said."""
    import av

    options: dict[str, Any] = {"metadata_errors": "ignore"} if int(av.__version__.partition(".")[0]) < 19 else {}
    return av.open(str(path), **options)


def _frames(path: Path, count: int, first: bytes) -> Iterator[np.ndarray]:
    import av

    av.logging.set_level(av.logging.PANIC)  # a damaged clip makes libavcodec chatty
    found = 0
    try:
        with _open(path) as media:
            if media.format.name.startswith("image2") or media.format.name.endswith("_pipe"):
                raise InputError(f"{path} is a picture, not a video")
            if not media.streams.video:
                raise InputError(f"{path} holds no video" + (", only sound" if media.streams.audio else ""))
            stream = media.streams.video[0]
            if stream.codec_context.width * stream.codec_context.height > MAX_FRAME_PIXELS:
                raise InputError(f"{path}: frames of {stream.codec_context.width}×{stream.codec_context.height} are too large")
            stream.thread_type = "AUTO"
            times, entries = _times(media, stream)
            wanted = _wanted(times, entries, count, stream.codec_context.width * stream.codec_context.height)
        with _open(path) as media:
            stream = media.streams.video[0]
            stream.thread_type = "AUTO"
            for frame in _at(media, stream, wanted, entries):
                found += 1
                yield upright_srgb(frame, stream.codec_context)
    except (av.error.FFmpegError, IndexError, ValueError, OSError, AttributeError) as error:
        if not found:
            raise InputError(f"{path} {_why(first, error)}") from error
    if not found:
        raise InputError(f"{path} is damaged: no frame of it can be decoded; copy it again")


def _why(first: bytes, error: Exception) -> str:
    kind = container(first)
    if kind is None:
        return "is not a video in any known format"
    if kind in ("MP4", "3GP", "QuickTime") and "nvalid data" in str(error):
        return "is cut off: its table of contents is missing, the recording or the copy was interrupted; copy it again"
    return f"is not a readable video ({str(error).splitlines()[0][:120]}); copy it again or convert it to MP4"


def _times(media, stream) -> tuple[list[int], list[int]]:
    """Times of all frames, and of those that decoding can start at, in the stream's unit, in order."""
    import av

    times, entries = [], []
    try:
        for packet in media.demux(stream):
            if packet.pts is None or packet.size == 0:
                continue
            times.append(packet.pts)
            if packet.is_keyframe:
                entries.append(packet.pts)
    except av.error.FFmpegError:
        pass  # a broken tail: what came before it counts
    return sorted(times), sorted(entries)


def _wanted(times: list[int], entries: list[int], count: int, pixels: int) -> list[int]:
    """The times of the frames to use: evenly spread, moved to entry points where the rest would be too dear."""
    if not times:
        return []
    wanted = _nearest(times, count)
    if not entries:
        return wanted
    ways = {}  # the way to a frame begins at the entry before it; frames behind the same entry share it
    for time in wanted:
        entry = max(bisect_right(entries, time) - 1, 0)
        ways[entry] = max(ways.get(entry, 0), bisect_right(times, time) - bisect_left(times, entries[entry]))
    return wanted if sum(ways.values()) * pixels <= DECODE_BUDGET else _nearest(entries, count)


def _nearest(times: list[int], count: int) -> list[int]:
    even = np.linspace(times[0], times[-1], min(count, len(times)))
    chosen = np.abs(np.array(times) - even[:, None]).argmin(1)  # of two as near the earlier
    return sorted({times[k] for k in chosen})


def _at(media, stream, wanted: list[int], entries: list[int]) -> Iterator:
    """Decoded frames at the wanted times; damaged places are stepped over. A clip without times gives its first frame."""
    import av

    position = None  # time of the last decoded frame
    frames = iter(())
    for time in wanted:
        entry = entries[max(bisect_right(entries, time) - 1, 0)] if entries else None
        if position is None or (entry is not None and entry > position):
            try:
                media.seek(entry if entry is not None else time, stream=stream)
                position, frames = None, media.decode(stream)
            except av.error.FFmpegError:
                pass  # not seekable: decode on
        if position is not None and position >= time:
            continue
        try:
            for frame in frames:
                if frame.pts is None:
                    continue
                position = frame.pts
                if position >= time:
                    if not getattr(frame, "is_corrupt", False):
                        yield frame
                    break
        except av.error.FFmpegError:
            position = None  # damaged here: enter again behind it
    if not wanted:
        yield from (frame for frame, _ in zip(media.decode(stream), range(1), strict=False))


def upright_srgb(frame, codec) -> np.ndarray:
    """One decoded frame as uint8 sRGB ``(H, W, 3)``, turned as its display matrix says.

    Args:
        frame: ``av.VideoFrame``. codec: the context it was decoded with, which knows what the frame of an older PyAV
            does not tell.
    """
    import av

    def told(name: str) -> int:
        value = int(getattr(frame, name, None) or 0)
        return value if value not in (0, 2) or name == "color_range" else int(getattr(codec, name, None) or 2)

    transfer, primaries, matrix = (told(name) for name in ("color_trc", "color_primaries", "colorspace"))
    full = told("color_range") == 2 or frame.format.name.startswith("yuvj")
    if matrix not in MATRICES:
        matrix = 1 if min(frame.width, frame.height) >= 720 or primaries == REC709 else 6
    deep = frame.format.components and frame.format.components[0].bits > 8
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base or codec.time_base
    )
    scale = graph.add(
        "scale",
        f"in_color_matrix={MATRICES[matrix]}:in_range={'full' if full else 'limited'}:out_range=full"
        ":flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp",
    )
    form = graph.add("format", f"pix_fmts={'rgb48le' if deep else 'rgb24'}")
    graph.link_nodes(source, scale, form, graph.add("buffersink")).configure()
    graph.push(frame)
    rgb = to_srgb(graph.pull().to_ndarray(), transfer, primaries)
    return np.ascontiguousarray(np.rot90(rgb, int(round((frame.rotation or 0) / 90)) % 4))


def capture_photos(
    images: Iterable[np.ndarray | str | os.PathLike],
    res: int = 512,
    landmarks: Sequence[np.ndarray | StoredLandmarks] | None = None,
    *,
    whole: bool = True,
    names: Iterable[str] | None = None,
    finder: Finder = find_faces,
    sheet: ContactSheet | None = None,
    progress: bool = False,
) -> Capture:
    """Unwrap several photos of one person and fuse them; a picture that cannot be used is left out with its reason.

    Args:
        images: as `capture_photo` takes them, or files.
        res, whole, finder: as in `capture_photo`. landmarks: one set per picture; found live when absent.
        names: what to call the pictures in reasons; by default file names, or ``picture 1``…
        sheet: gets every picture with what became of it.
        progress: show a bar.
    Returns:
        The fused capture; ``quality["left_out"]`` maps the name of each picture that was not used to the reason,
        ``quality["frames"]`` counts those that were.
    Raises:
        CaptureError: no picture could be used; the message is the most frequent reason, or the only one.
        InputError: no picture at all, or none that can be read.
    """
    captures, examined = [], 0
    refused: dict[str, StudioError] = {}
    names = iter(names or ())
    for number, image in enumerate(bar(images, "capture", "picture", show=progress)):
        examined += 1
        name = next(names, None) or (f"picture {number + 1}" if isinstance(image, np.ndarray) else str(image))
        if landmarks is not None and number >= len(landmarks):
            raise InputError(f"{len(landmarks)} landmark sets for at least {examined} pictures; give one each")
        try:
            image = image if isinstance(image, np.ndarray) else read_photo(image)
            given = None if landmarks is None else landmarks[number]
            captures.append(capture_photo(image, res, given, whole=whole, finder=finder))
            reason = None
        except (CaptureError, InputError) as error:
            refused[name] = reason = error
        if sheet is not None:
            sheet.add(name, image if isinstance(image, np.ndarray) else None, str(reason) if reason else None)
    if not examined:
        raise InputError("no picture to capture from")
    if not captures:
        raise _nothing_used(refused)
    fused = fuse(captures)
    left_out = {name: str(why) for name, why in refused.items()}
    fused.quality = {**fused.quality, "frames": len(captures), "left_out": left_out, "warnings": _warnings(fused, captures)}
    return fused


def _warnings(fused: Capture, captures: list[Capture]) -> list[str]:
    """Sentences for the user: of the picture that the others follow, and in how many there was more than one face."""
    said = fused.quality.get("warnings", [])
    crowded = sum(any(line.startswith(LARGEST) for line in one.quality.get("warnings", [])) for one in captures)
    if len(captures) == 1 or not crowded:
        return said
    counted = f"in {crowded} of {len(captures)} pictures the largest of several faces was used"
    return [*(line for line in said if not line.startswith(LARGEST)), counted]


FEW = 8  # pictures whose reasons are each told when none could be used; of more, the most frequent one


def _nothing_used(refused: dict[str, StudioError]) -> StudioError:
    if len(refused) == 1:
        return next(iter(refused.values()))
    if len(refused) <= FEW:
        told = (str(error) if name in str(error) else f"{name}: {error}" for name, error in refused.items())
        said = f"none of the {len(refused)} pictures can be used: {'; '.join(told)}"
    else:
        reason, times = Counter(map(str, refused.values())).most_common(1)[0]
        said = f"none of the {len(refused)} pictures can be used; {times}×: {reason}"
    return InputError(said) if all(isinstance(error, InputError) for error in refused.values()) else CaptureError(said)


def capture_video(
    path: str | os.PathLike,
    res: int = 512,
    frames: int = 24,
    *,
    whole: bool = True,
    finder: Finder = find_faces,
    sheet: ContactSheet | None = None,
    progress: bool = False,
) -> Capture:
    """Capture from a short video in which the head turns slowly; arguments and errors as `capture_photos`."""
    names = (f"frame {number + 1}" for number in range(frames))
    chosen = bar(read_frames(path, frames), "capture", "frame", show=progress, total=frames)
    return capture_photos(chosen, res, whole=whole, names=names, finder=finder, sheet=sheet)
