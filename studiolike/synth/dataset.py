"""Sets of textures on disk: written in resumable chunks, read by memory map, named by a manifest.

A set is (generator version, seeds, resolution): the manifest says which, and the same manifest gives byte-identical
arrays on one machine. Files: ``phone.npy``, ``visibility.npy``, ``studio.npy`` (uint8), ``index.npz``, ``manifest.json``.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError, OutputError
from ..io import atomic, sha256_of, write_text
from ..json_files import read_json
from ..progress import bar
from .head import synthesise_subjects
from .phone import phone_capture
from .studio import studio_texture

GENERATOR_VERSION = "heads-6"
SPLITS = ("phone", "studio", "pairs", "val", "test")
ARRAYS = ("phone", "visibility", "studio")
SPLIT_SEEDS = 1_000_000  # seeds set apart for each split
# Which of these stretches of seeds is whose. Stretch 4 was the test split's once and was looked at while settings were
# chosen; the final evaluation has a fresh one.
STRETCH = {"phone": 0, "studio": 1, "pairs": 2, "val": 3, "test": 5}


def chunk_size(resolution: int) -> int:
    """Subjects made together: eight up to 256², fewer above to bound the memory. Part of the bytes' recipe."""
    return max(1, min(8, 8 * 256**2 // resolution**2))


@dataclass(frozen=True)
class SetSpec:
    """What a set holds.

    Attributes:
        resolution: 32…1024, a power of two.
        phone_subjects, studio_subjects, pair_subjects, val_subjects, test_subjects: subjects of each split, in this
            order of seeds; no subject is in two splits.
        lightings: captures per subject of the phone, studio, pairs and val splits. test_lightings: of the test split.
        first_seed: the k-th subject of a split has the seed ``first_seed + STRETCH[split] · SPLIT_SEEDS + k``, so that a
            larger set of the same ``first_seed`` holds a smaller one's subjects, each in the same split.
        shared_test_light: test subjects are all seen under the same lightings.
        version: of the generator.
    """

    resolution: int = 64
    phone_subjects: int = 512
    studio_subjects: int = 64
    pair_subjects: int = 8
    val_subjects: int = 16
    test_subjects: int = 32
    lightings: int = 2
    test_lightings: int = 8
    first_seed: int = 0
    shared_test_light: bool = True
    version: str = GENERATOR_VERSION

    def __post_init__(self):
        if self.resolution not in (32, 64, 128, 256, 512, 1024):
            raise InputError(f"resolution {self.resolution}: use 32, 64, 128, 256, 512 or 1024")
        if min(self.counts().values()) < 0 or self.lightings < 1 or self.test_lightings < 1 or not sum(self.counts().values()):
            raise InputError("a set needs at least one subject, one lighting, and no negative counts")

    def counts(self) -> dict[str, int]:
        """Subjects per split."""
        numbers = self.phone_subjects, self.studio_subjects, self.pair_subjects, self.val_subjects, self.test_subjects
        return dict(zip(SPLITS, numbers, strict=True))

    def seeds(self) -> Tensor:
        """Seed of every subject, int64 ``(S,)``."""
        return torch.cat([self.first_seed + STRETCH[split] * SPLIT_SEEDS + torch.arange(c) for split, c in self.counts().items()])

    def digest(self) -> str:
        """SHA-256 of the spec, for names of folders."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def rows(self) -> tuple[Tensor, Tensor, Tensor]:
        """Split of every subject ``(S,)`` (place in `SPLITS`), and of every capture its subject ``(N,)`` and lighting
        seed ``(N,)``."""
        split = torch.cat([torch.full((c,), k) for k, c in enumerate(self.counts().values())])
        subject, lighting, seeds = [], [], self.seeds().tolist()
        for row, k in enumerate(split.tolist()):
            test = SPLITS[k] == "test"
            for j in range(self.test_lightings if test else self.lightings):
                subject.append(row)
                # subjects of the test split may share their lightings; every other capture has its own
                lighting.append(1_000_003 + j if test and self.shared_test_light else seeds[row] * 64 + j + 2_000_000)
        return split, torch.tensor(subject), torch.tensor(lighting)


class TextureSet:
    """A set on disk, read through memory maps.

    Attributes:
        phone: uint8 ``(N, 3, H, W)``. visibility: uint8 ``(N, 1, H, W)``. studio: uint8 ``(S, 3, H, W)``.
        subject: int64 ``(N,)``, row of ``studio``. lighting: int64 ``(N,)`` seeds. severity: float32 ``(N,)``.
        tone, seeds, split: ``(S,)``. resolution: int. manifest: dict.
    """

    def __init__(self, path: Path, manifest: dict):
        self.path, self.manifest = path, manifest
        try:
            self.resolution: int = manifest["spec"]["resolution"]
            self.phone, self.visibility, self.studio = (np.load(path / f"{name}.npy", mmap_mode="r") for name in ARRAYS)
            with np.load(path / "index.npz") as index:
                arrays = {name: torch.from_numpy(index[name].copy()) for name in index.files}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} is not a complete texture set ({error}); write it again") from error
        self.subject, self.lighting, self.severity = arrays["subject"], arrays["lighting"], arrays["severity"]
        self.tone, self.seeds, self.split = arrays["tone"], arrays["seeds"], arrays["split"]

    @classmethod
    def open(cls, path: str | Path) -> TextureSet:
        """Open a written set. Raises ``InputError`` if there is none, or an unfinished one."""
        path = Path(path)
        try:
            manifest = read_json(path / "manifest.json")
        except OSError as error:
            raise InputError(f"no texture set at {path}: make one with  studiolike data synth") from error
        except ValueError as error:
            raise InputError(f"{path / 'manifest.json'} is damaged; write the set again") from error
        return cls(path, manifest)

    def __len__(self) -> int:
        return len(self.phone)

    def subjects(self, split: str) -> Tensor:
        """Rows of ``studio`` that belong to a split, int64."""
        if split not in SPLITS:
            raise InputError(f"unknown split '{split}'; known: {', '.join(SPLITS)}")
        return (self.split == SPLITS.index(split)).nonzero().flatten()

    def captures(self, split: str) -> Tensor:
        """Rows of ``phone`` that belong to a split, int64."""
        return torch.isin(self.subject, self.subjects(split)).nonzero().flatten()

    def phone_batch(self, rows: Tensor, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
        """Texture ``(B, 3, H, W)`` and visibility ``(B, 1, H, W)`` of captures, float32 in [0, 1]."""
        return self._read(self.phone, rows, device), self._read(self.visibility, rows, device)

    def studio_batch(self, rows: Tensor, device: torch.device | str = "cpu") -> Tensor:
        """Studio textures ``(B, 3, H, W)`` of subjects, float32 in [0, 1]."""
        return self._read(self.studio, rows, device)

    @staticmethod
    def _read(array: np.ndarray, rows: Tensor, device: torch.device | str) -> Tensor:
        picked = np.asarray(array[torch.as_tensor(rows).cpu().numpy()])
        return torch.from_numpy(picked).to(device).float() / 255


def _bytes(x: Tensor) -> np.ndarray:
    return (x.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()


def _visibility_bytes(x: Tensor) -> np.ndarray:
    """Like `_bytes`, but what was seen at all stays above 0."""
    return torch.where(x > 0, (x * 255).round().clamp(1, 255), torch.zeros_like(x)).to(torch.uint8).cpu().numpy()


def write_set(spec: SetSpec, path: str | Path, device: torch.device | str = "cpu", progress: bool = True) -> TextureSet:
    """Write a set, or go on with one that was interrupted; a finished one is opened as it is.

    Chunks of `chunk_size` subjects are recorded in ``progress.json`` when their bytes are on disk; ``manifest.json`` appears
    last, so a set without it is unfinished.

    Raises:
        OutputError: the folder holds a set of another spec, or cannot be written.
    """
    path = Path(path)
    recipe = asdict(spec)
    manifest_file, progress_file = path / "manifest.json", path / "progress.json"
    if manifest_file.is_file():
        ready = TextureSet.open(path)
        if ready.manifest["spec"] != recipe:
            raise OutputError(f"{path} already holds another set; choose another folder or remove it")
        return ready
    if spec.version != GENERATOR_VERSION:
        raise OutputError(f"this generator is {GENERATOR_VERSION}, it cannot write a set of {spec.version}")
    split, subject, lighting = spec.rows()
    seeds = spec.seeds()
    total, captures, n = len(split), len(subject), spec.resolution
    shapes = {"phone": (captures, 3, n, n), "visibility": (captures, 1, n, n), "studio": (total, 3, n, n)}
    done = 0
    if progress_file.is_file():
        try:
            state = read_json(progress_file)
            same, done = state["spec"] == recipe, int(state["chunks"])
        except (ValueError, KeyError, TypeError) as error:
            raise OutputError(f"{progress_file} is damaged; remove it, and the set is written anew") from error
        if not same:
            raise OutputError(f"{path} holds an unfinished set of another spec; choose another folder or remove it")
    try:
        path.mkdir(parents=True, exist_ok=True)
        files = {name: path / f"{name}.npy" for name in ARRAYS}
        fresh = done == 0 or not all(f.is_file() for f in files.values())
        done = 0 if fresh else done
        arrays = {
            name: np.lib.format.open_memmap(
                files[name], "w+" if fresh else "r+", dtype=np.uint8, shape=shapes[name] if fresh else None
            )
            for name in ARRAYS
        }
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}; choose another folder") from error
    scalars = {"severity": torch.zeros(captures), "tone": torch.zeros(total)}
    if not fresh:
        with np.load(path / "partial.npz") as kept:
            scalars = {name: torch.from_numpy(kept[name].copy()) for name in scalars}

    size = chunk_size(n)
    chunks = [torch.arange(k, min(k + size, total)) for k in range(0, total, size)]
    before = int((subject < done * size).sum())
    with bar(None, f"heads at {n}²", "capture", show=progress, total=captures, initial=before) as made:
        for number, rows in enumerate(chunks):
            if number < done:
                continue
            with torch.no_grad():
                heads = synthesise_subjects(seeds[rows], n, device)
                arrays["studio"][rows[0] : rows[-1] + 1] = _bytes(studio_texture(heads))
                scalars["tone"][rows] = heads.tone.cpu()
                mine = ((subject >= rows[0]) & (subject <= rows[-1])).nonzero().flatten()
                for part in mine.split(size):
                    shot = phone_capture(heads[subject[part] - rows[0]], lighting[part])
                    arrays["phone"][part[0] : part[-1] + 1] = _bytes(shot.texture)
                    arrays["visibility"][part[0] : part[-1] + 1] = _visibility_bytes(shot.visibility)
                    scalars["severity"][part] = shot.severity.cpu()
                    made.update(len(part))
            for array in arrays.values():
                array.flush()
            with atomic(path / "partial.npz") as temporary:
                np.savez(temporary, **{k: v.numpy() for k, v in scalars.items()})  # type: ignore[arg-type]
            write_text(progress_file, json.dumps({"spec": recipe, "chunks": number + 1}))
    del arrays
    index = {"subject": subject, "lighting": lighting, "seeds": seeds, "split": split} | scalars
    with atomic(path / "index.npz") as temporary:
        np.savez(temporary, **{k: v.numpy() for k, v in index.items()})  # type: ignore[arg-type]
    hashes = {name: sha256_of(files[name]) for name in ARRAYS}
    manifest = {
        "generator": GENERATOR_VERSION,
        "spec": recipe,
        "splits": spec.counts(),
        "captures": captures,
        "sha256": hashes,
        "torch": torch.__version__.split("+")[0],
    }
    write_text(manifest_file, json.dumps(manifest, indent=2) + "\n")
    progress_file.unlink(missing_ok=True)
    (path / "partial.npz").unlink(missing_ok=True)
    return TextureSet.open(path)
