"""Which colours a picture without an ICC profile says it is in: the numbers of ITU-T H.273 in AVIF and PNG.

AVIF: the property ``colr`` of kind ``nclx`` of the primary item (ISO/IEC 14496-12, 12.1.5, and 23008-12, 9.3). PNG: the chunk
``cICP`` (PNG specification, third edition, 11.3.2.6). In: a file. Out: a `ColourTag`, which `studiolike.hdr` converts.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from .errors import InputError

# what the curve and primaries of sRGB do not stand for even nearly, and `hdr` has no conversion for
FOREIGN_PRIMARIES = {4, 8, 10, 11}  # NTSC of 1953, film, CIE XYZ, cinema's P3 with its greenish white
FOREIGN_TRANSFERS = {5, 8, 9, 10, 17}  # gamma 2.8, linear light, two logarithms, cinema


class ColourTag(NamedTuple):
    """Numbers of H.273: ``primaries``, ``transfer``; ``full``: False where black is not 0 in the decoded pixels."""

    primaries: int
    transfer: int
    full: bool = True


def read_tag(path: Path, kind: str | None) -> ColourTag | None:
    """The tag of a file of Pillow's format ``kind``, None if it has none or is of another format."""
    if kind not in ("AVIF", "PNG"):
        return None
    with open(path, "rb") as file:
        try:
            return _png(file) if kind == "PNG" else _avif(file.read())
        except (struct.error, IndexError):  # its decoder read it nevertheless: as if nothing were stated
            return None


def check_tag(tag: ColourTag, path: Path) -> None:
    """Raise ``InputError`` where the colours can neither be converted nor be taken for sRGB."""
    if tag.primaries in FOREIGN_PRIMARIES or tag.transfer in FOREIGN_TRANSFERS or not tag.full:
        raise InputError(
            f"{path} states colours that are not converted here (primaries {tag.primaries}, curve {tag.transfer} of H.273"
            f"{'' if tag.full else ', narrow range'}); save it in sRGB or Display P3"
        )


def _png(file: BinaryIO) -> ColourTag | None:
    file.seek(8)
    while True:
        length, kind = struct.unpack(">I4s", file.read(8))
        if kind == b"cICP":
            primaries, transfer, _, full = struct.unpack(">4B", file.read(4))
            return ColourTag(primaries, transfer, bool(full))
        if kind in (b"IDAT", b"IEND"):
            return None
        file.seek(length + 4, 1)


def _boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of every box, in order."""
    at = 0
    while at + 8 <= len(content):
        size, kind = struct.unpack_from(">I4s", content, at)
        begin = at + 8
        if size == 1:
            (size,), begin = struct.unpack_from(">Q", content, begin), at + 16
        end = at + size if size else len(content)
        if end <= at:
            return
        yield kind, content[begin:end]
        at = end


def _avif(content: bytes) -> ColourTag | None:
    meta = dict(_boxes(dict(_boxes(content)).get(b"meta", b"")[4:]))
    parts = dict(_boxes(meta.get(b"iprp", b"")))
    if not {b"ipco", b"ipma"} <= parts.keys() or b"pitm" not in meta:
        return None
    pitm, properties = meta[b"pitm"], list(_boxes(parts[b"ipco"]))
    (primary,) = struct.unpack_from(">I" if pitm[0] else ">H", pitm, 4)
    # gain maps and depth maps have properties of their own, so only those of the primary item count
    for number in _properties_of(primary, parts[b"ipma"]):
        kind, value = properties[number - 1]
        if kind == b"colr" and value[:4] == b"nclx":
            primaries, transfer = struct.unpack_from(">2H", value, 4)
            return ColourTag(primaries, transfer)  # the decoder has undone matrix and range
    return None


def _properties_of(wanted: int, ipma: bytes) -> list[int]:
    """Numbers of the properties of an item, from 1."""
    wide_item, wide_number = ipma[0] > 0, ipma[3] & 1
    (count,), at = struct.unpack_from(">I", ipma, 4), 8
    for _ in range(count):
        (item,) = struct.unpack_from(">I" if wide_item else ">H", ipma, at)
        at += 4 if wide_item else 2
        many, at = ipma[at], at + 1
        code, size, mask = ("H", 2, 0x7FFF) if wide_number else ("B", 1, 0x7F)
        numbers = [n & mask for n in struct.unpack_from(f">{many}{code}", ipma, at)]
        at += many * size
        if item == wanted:
            return [n for n in numbers if n]
    return []
