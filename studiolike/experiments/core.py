"""What an experiment is: rows of settings, one function that measures a row with a seed, and what it cannot show."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..config import Profile
from ..errors import InputError

if TYPE_CHECKING:
    from .lab import Lab

# modules that declare experiments, in the order in which the sweep runs them
MODULES = ("gradients", "shape", "chain", "hair", "adaptation", "rivals")
SEEDS = 3  # that a conclusion rests on at least
_DECLARED: dict[str, Experiment] = {}


@dataclass(frozen=True)
class Outcome:
    """What one row gave with one seed.

    Attributes:
        subject: ``(N,)`` seeds of the people that were measured, the same for all rows of an experiment.
        values: measure → one mean per person ``(N,)``; nan where there was nothing to measure.
        scalars: measure → one number for all people together, as KID is.
    """

    subject: np.ndarray
    values: Mapping[str, np.ndarray]
    scalars: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Experiment:
    """Rows that differ in one thing each, all measured alike.

    Attributes:
        name: of its record.
        question: one sentence.
        rows: name → the settings in which the row differs from ``settings``; the most important ones first.
        measure: ``(lab, settings, seed) -> Outcome``, with the settings of one row merged into the shared ones. The seed
            decides whatever is random: draws of a training, captures, noise.
        settings: the shared settings under a profile; all that decides a result must stand there.
        baseline: the row that others are compared with.
        measures: what a table shows.
        networks: released networks that it starts from, ``"few/g_studio"`` under a protocol; other weights make a record
            stale.
        limits: why this size is enough, and what it cannot show. Pages print it.
        files: what else of the shipped weights a result depends on: networks that judge or that find a face, and plain files
            such as ``"exemplars.webp"``.
        trains: every row is a training of its own; otherwise a seed is only another draw of captures or lamps.
        deterministic: nothing in it is random, so that one seed is all there is to know.
        single: rows that take too long for several seeds. They are run with one, and nothing is concluded from them.
        version: raise it when ``measure`` has changed its meaning; older records are stale then.
    """

    name: str
    question: str
    rows: Mapping[str, Mapping[str, Any]]
    measure: Callable[[Lab, Mapping[str, Any], int], Outcome]
    settings: Callable[[Profile], dict[str, Any]]
    baseline: str
    measures: tuple[str, ...]
    limits: str
    networks: tuple[str, ...] = ()
    version: int = 1
    files: tuple[str, ...] = ()
    trains: bool = False
    deterministic: bool = False
    single: tuple[str, ...] = ()

    def seeds_of(self, row: str) -> int:
        """How many seeds a row is run with unless another number is asked for."""
        return 1 if self.deterministic or row in self.single else SEEDS

    def merged(self, row: str, profile: Profile) -> dict[str, Any]:
        """All settings of one row.

        Raises:
            InputError: no such row.
        """
        if row not in self.rows:
            raise InputError(f"the experiment {self.name} has no row '{row}'; there are: {', '.join(self.rows)}")
        return self.settings(profile) | dict(self.rows[row])

    def digest(self, row: str, seed: int, profile: Profile) -> str:
        """What a result of this row and seed depends on, as 16 hex digits: function, settings, seed, networks and files.

        Rows of two experiments with one digest are the same run, and it is made once.
        """
        facts = {
            "measure": f"{self.measure.__module__}.{self.measure.__qualname__}",
            "version": self.version,
            "settings": self.merged(row, profile),
            "seed": seed,
            "networks": {name: _file_digest(name) for name in self.networks},
        }
        if self.files:
            facts["files"] = {name: _file_digest(name) for name in self.files}
        return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _file_digest(name: str) -> str:
    """SHA-256 of a network's weights, or of a file that lies beside the networks: a name with a dot."""
    path = shipped(name)
    if not path.is_file():
        return "none"
    facts = path.stat()
    return _sha256(path, facts.st_mtime_ns, facts.st_size)


def shipped(name: str) -> Path:
    """Where what `Experiment.networks` or `Experiment.files` names is stored."""
    from ..weights import FILE, folder_of, weights_dir

    if "." in name:
        return weights_dir() / name
    protocol, _, network = name.rpartition("/")
    return folder_of(network, protocol or "open") / FILE


@lru_cache(None)
def _sha256(path: Path, changed: int, size: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def declare(*args: Any, **options: Any) -> Experiment:
    """Make an `Experiment`, and make it known by its name.

    Raises:
        InputError: another one has the name, or the baseline is no row.
    """
    made = Experiment(*args, **options)
    if made.name in _DECLARED:
        raise InputError(f"two experiments are called '{made.name}': rename one")
    if made.baseline not in made.rows:
        raise InputError(f"the experiment {made.name} has no row '{made.baseline}' to compare the others with")
    _DECLARED[made.name] = made
    return made


def experiments() -> dict[str, Experiment]:
    """All declared experiments, in the order of the sweep, whichever module was imported first."""
    for module in MODULES:
        import_module(f".{module}", __package__)
    names = [f"{__package__}.{module}" for module in MODULES]

    def place(one: Experiment) -> int:
        return names.index(one.measure.__module__) if one.measure.__module__ in names else len(names)

    return {one.name: one for one in sorted(_DECLARED.values(), key=place)}


def experiment(name: str) -> Experiment:
    """One experiment by its name.

    Raises:
        InputError: there is none.
    """
    known = experiments()
    if name not in known:
        raise InputError(f"no experiment is called '{name}'; there are: {', '.join(known)}")
    return known[name]
