"""Folders of textures in the head layout → a set that training reads, with the files and manifest of synthetic ones.

A subject is what a file's name begins with, up to the first ``--``. Subjects seen in both domains become pairs (some
of them are kept for validation and test), all others go to the split of their domain, of which studio-only subjects
also give validation and test. No subject is in two splits; the order by a hash of the name decides, not chance.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path

import numpy as np
from torch import Tensor

from .. import io
from ..errors import InputError, OutputError
from ..files import refuse_existing
from ..io import READABLE, atomic, check_size, sha256_of, write_text
from ..progress import bar
from ..record import visibility_beside
from ..synth.dataset import ARRAYS, SPLITS, TextureSet, _bytes, _visibility_bytes
from .loaders import subject_of

FORMAT = "imported-1"
FILES = (*(f"{name}.npy" for name in ARRAYS), "index.npz", "manifest.json")  # the last one last: a set without it is unfinished


def textures_of(folder: Path | None) -> dict[str, list[Path]]:
    """Textures of a folder by subject, both in name order. Raises ``InputError`` for a folder without any."""
    if folder is None:
        return {}
    there = sorted(folder.iterdir()) if folder.is_dir() else []
    found = [path for path in there if path.suffix.lower() in READABLE and not path.stem.endswith(".visibility")]
    if not found:
        raise InputError(f"no textures in {folder}: make them with  studiolike data retarget, or  studiolike capture")
    people: dict[str, list[Path]] = {}
    for path in found:
        people.setdefault(subject_of(path.stem), []).append(path)
    return people


def splits_of(studio: set[str], phone: set[str], held_out: float) -> dict[str, str]:
    """Split of every subject. ``held_out`` is the part that goes to "val", and again to "test"."""
    splits = dict.fromkeys(phone - studio, "phone")
    both, alone = studio & phone, studio - phone
    for group, name in ((both, "pairs"), (alone, "studio")):
        order = sorted(group, key=lambda subject: hashlib.sha256(subject.encode()).digest())
        kept = int(held_out * len(order) + 0.5)
        for k, subject in enumerate(order):
            splits[subject] = "test" if k < kept else "val" if k < 2 * kept else name
    return splits


def collect(
    out: Path,
    *,
    studio: Path | None = None,
    phone: Path | None = None,
    size: int = 256,
    held_out: float = 0.1,
    progress: bool = True,
    overwrite: bool = False,
) -> TextureSet:
    """Write folders of textures in the head layout as one `TextureSet`.

    Rows of ``studio`` are the subjects that have a studio texture (their first one: it is one truth per person); every
    phone texture is a row of ``phone``, with its visibility map. ``subject`` of a phone-only capture points behind the
    end of ``studio``, so asking for its truth is an error and no silent zero. Lightings are counted per subject,
    severity and tone are unknown (NaN), seeds are −1.

    Args:
        out: the set's folder; what else is in it stays.
        studio, phone: folders of textures; at least one. A texture without a visibility map beside it counts as complete.
        size: texels, 32…1024, a power of two.
        held_out: part of the subjects with a studio texture for "val", and as many for "test", in [0, 0.4].
        overwrite: replace files of a set's names, which is refused otherwise; they stay until the new ones are whole.
    Raises:
        InputError: no textures, not square, impossible numbers. OutputError: ``out`` holds such files, or a set that is being
            made, or cannot be written.
    """
    check_size(size, 32, 1024)
    if studio is None and phone is None:
        raise InputError("name a folder of studio textures (--studio), of phone textures (--phone), or both")
    if not 0 <= held_out <= 0.4:
        raise InputError(f"--held-out {held_out} is not possible: use 0 to 0.4")
    if (out / "progress.json").exists():
        raise OutputError(f"{out} holds a set that is being made; choose another folder")
    refuse_existing((out / name for name in FILES), overwrite)
    studios, phones = textures_of(studio), textures_of(phone)
    splits = splits_of(set(studios), set(phones), held_out)
    people = sorted(studios) + sorted(set(phones) - set(studios))  # those with a truth first, see above
    captures = [(row, k, path) for row, name in enumerate(people) for k, path in enumerate(phones.get(name, []))]
    made = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write {out}: {error.strerror or error}; choose another folder") from error
    try:
        with tempfile.TemporaryDirectory(prefix=".set-", dir=out) as folder:  # arrays of half a set are large and of no use
            _write(Path(folder), studios, captures, people, splits, size, held_out, progress)
            for name in FILES:
                os.replace(Path(folder) / name, out / name)
    except BaseException as error:  # also Ctrl-C
        if made and not any(out.iterdir()):
            out.rmdir()
        if isinstance(error, OSError):
            raise OutputError(f"cannot write {out}: {error.strerror or error}; choose another folder") from error
        raise
    return TextureSet.open(out)


def _write(
    out: Path,
    studios: dict[str, list[Path]],
    captures: list[tuple[int, int, Path]],
    people: list[str],
    splits: dict[str, str],
    size: int,
    held_out: float,
    progress: bool,
) -> None:
    kinds = {"phone": (len(captures), 3), "visibility": (len(captures), 1), "studio": (len(studios), 3)}
    arrays = {name: _new(out / f"{name}.npy", (*kind, size, size)) for name, kind in kinds.items()}
    with bar(None, "collect", "texture", show=progress, total=len(studios) + len(captures)) as written:
        for row, name in enumerate(sorted(studios)):
            arrays["studio"][row] = _bytes(io.read_texture(studios[name][0], size))
            written.update()
        for row, (_, _, path) in enumerate(captures):
            arrays["phone"][row] = _bytes(io.read_texture(path, size))
            arrays["visibility"][row] = _visibility_bytes(_seen(path, size))
            written.update()
    for array in arrays.values():
        if isinstance(array, np.memmap):
            array.flush()
    del arrays
    index = {
        "subject": np.array([row for row, _, _ in captures], np.int64),
        "lighting": np.array([k for _, k, _ in captures], np.int64),
        "severity": np.full(len(captures), np.nan, np.float32),
        "tone": np.full(len(people), np.nan, np.float32),
        "seeds": np.full(len(people), -1, np.int64),
        "split": np.array([SPLITS.index(splits[name]) for name in people], np.int64),
    }
    with atomic(out / "index.npz") as temporary:
        np.savez(temporary, **index)  # type: ignore[arg-type]
    counts = {name: sum(split == name for split in splits.values()) for name in SPLITS}
    hashes = {name: sha256_of(out / f"{name}.npy") for name in ARRAYS}
    # the spec stands for the data where runs compare their settings, so it must change with the pictures
    manifest = {
        "generator": FORMAT,
        "spec": {"resolution": size, "version": FORMAT, "held_out": held_out, "sha256": hashes},
        "splits": counts,
        "captures": len(captures),
        "sha256": hashes,
        "subjects": people,
    }
    write_text(out / "manifest.json", json.dumps(manifest, indent=2) + "\n")


def _new(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    if shape[0] == 0:  # an empty array cannot be mapped for writing, a written one can be mapped for reading
        np.save(path, np.zeros(shape, np.uint8))
        return np.zeros(shape, np.uint8)
    return np.lib.format.open_memmap(path, "w+", dtype=np.uint8, shape=shape)


def _seen(path: Path, size: int) -> Tensor:
    beside = visibility_beside(path)
    texture, opacity = io.read_layers(path, size)
    seen = io.read_visibility(beside, size) if beside else texture.new_ones(texture[:1].shape)
    return seen if opacity is None else seen * opacity
