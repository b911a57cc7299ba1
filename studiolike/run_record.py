"""What a run of `training.fit` leaves behind for who reads or repeats it: its record, and the log of its scalars."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import platform
import subprocess
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from .io import write_text
from .json_files import parse_json


@dataclasses.dataclass
class RunRecord:
    """What is needed to make a result again; stored as ``record.json`` beside it."""

    name: str
    images: int
    seconds: float
    seed: int
    device: str
    settings: dict[str, Any]
    metrics: dict[str, float]
    studiolike: str = ""
    commit: str = ""
    torch: str = torch.__version__
    python: str = platform.python_version()

    def __post_init__(self) -> None:
        self.studiolike = self.studiolike or package_hash()
        self.commit = self.commit or commit()

    def write(self, path: Path) -> None:
        """Write as JSON, atomically."""
        write_text(path, json.dumps(dataclasses.asdict(self), indent=2, sort_keys=True) + "\n")


@lru_cache(1)
def package_hash() -> str:
    """First 16 hex digits of the SHA-256 over the package's Python files, in order of their names."""
    root = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


@lru_cache(1)
def commit() -> str:
    """Commit of the checkout the package runs from, or "" outside one."""
    try:
        return subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def trim_log(log: Path, images: int) -> None:
    """Drop log lines written after the checkpoint that is resumed, so that no interval stands twice."""
    if log.exists():
        kept = [line for line in log.read_text().splitlines() if _images(line) <= images]
        write_text(log, "".join(line + "\n" for line in kept))


def _images(line: str) -> float:
    """What a line of a log says of its time; a damaged one is after all others."""
    try:
        return float(parse_json(line)["images"])
    except (ValueError, KeyError, TypeError):
        return float("inf")


def read_log(*run_dirs: str | os.PathLike) -> dict[str, list[float]]:
    """The ``log.jsonl`` of a run, or of stages that followed each other, as columns; a line that lacks a scalar gives nan."""
    lines = [parse_json(line) for run_dir in run_dirs for line in (Path(run_dir) / "log.jsonl").read_text().splitlines()]
    keys = dict.fromkeys(key for line in lines for key in line)
    return {key: [line.get(key, float("nan")) for line in lines] for key in keys}
