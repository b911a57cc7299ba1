"""Records of experiments: every row and seed with its values, where and when it was made, and what a reader may conclude.

A record is one JSON file with one entry a line. It holds a mean per person and seed, so that intervals and comparisons are
computed when they are read and never stored; a word that rests on it cannot be older than it.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..config import Profile, profile
from ..errors import InputError
from ..io import atomic
from ..json_files import read_json
from .core import SEEDS, experiment, experiments

DIGITS = 5  # significant, of a stored value


def records_dir() -> Path:
    """Folder of the records that come with the package."""
    return Path(__file__).parent / "records"


@dataclass(frozen=True)
class Entry:
    """One row with one seed. ``digest`` says what it depends on; times are in seconds, memory in GiB."""

    row: str
    seed: int
    digest: str
    values: dict[str, list[float]]
    scalars: dict[str, float]
    seconds: float
    cpu_seconds: float
    peak_gib: float
    device: str
    commit: str
    package: str
    torch: str
    made: str


@dataclass
class Record:
    """All entries of one experiment under one profile.

    Attributes:
        name, question, baseline, measures, limits: as declared.
        settings: those that all rows share. rows: name → in what it differs.
        subject: ``(N,)`` seeds of the people in ``values``.
    """

    name: str
    question: str
    baseline: str
    measures: list[str]
    limits: str
    profile: str
    settings: dict[str, Any]
    rows: dict[str, dict[str, Any]]
    subject: list[int] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)

    # ------------------------------------------------------------------------------------------- reading values

    @property
    def columns(self) -> list[str]:
        """What a table shows: the measures that the code declares today, where every entry holds them; else as recorded."""
        wanted = getattr(self._declared, "measures", self.measures)
        held = [{*entry.values, *entry.scalars} for entry in self.entries]
        return [name for name in wanted if name in self.measures or all(name in names for names in held)]

    def seeds(self, row: str) -> list[int]:
        """Seeds that a row has been run with."""
        return sorted(entry.seed for entry in self.entries if entry.row == row)

    @property
    def deterministic(self) -> bool:
        """Whether nothing in the experiment is random, so that one seed says all."""
        return getattr(self._declared, "deterministic", False)

    @property
    def _declared(self):
        return experiments().get(self.name)

    def known(self, row: str) -> bool:
        """Has this row enough seeds to conclude anything from?"""
        return len(self.seeds(row)) >= (1 if self.deterministic else SEEDS)

    def per_person(self, row: str, measure: str, seeds: Iterable[int] | None = None) -> np.ndarray:
        """``(seeds, people)``, in order of the seeds; ``(seeds, 1)`` of a measure of all people together.

        Raises:
            InputError: not run, or no such measure.
        """
        wanted = self.seeds(row) if seeds is None else list(seeds)
        found = {entry.seed: entry for entry in self.entries if entry.row == row}
        if not wanted or not set(wanted) <= found.keys():
            raise InputError(f"row '{row}' of the experiment {self.name} has not been run: studiolike experiment run {self.name}")
        lines = []
        for seed in wanted:
            entry = found[seed]
            if measure in entry.values:
                lines.append(np.array(entry.values[measure], float))
            elif measure in entry.scalars:
                lines.append(np.array([entry.scalars[measure]], float))
            else:
                told = ", ".join([*entry.values, *entry.scalars])
                raise InputError(f"the experiment {self.name} measures no '{measure}', but: {told}")
        return np.stack(lines)

    def difference(self, row: str, rival: str, measure: str) -> np.ndarray:
        """``row − rival``, ``(seeds, people)``, seed by seed and person by person, over the seeds that both have."""
        both = sorted(set(self.seeds(row)) & set(self.seeds(rival)))
        return self.per_person(row, measure, both) - self.per_person(rival, measure, both)

    def ratios(self, row: str, rival: str, measure: str) -> np.ndarray:
        """Mean over people of ``row`` ÷ that of ``rival``, one for each seed that both have."""
        both = sorted(set(self.seeds(row)) & set(self.seeds(rival)))
        above, below = (np.nanmean(self.per_person(name, measure, both), 1) for name in (row, rival))
        return above / below

    def estimate(self, row: str, measure: str):
        """Mean and 95 % interval over the seeds, as an `evaluation.Estimate`; over the people where nothing is random."""
        from ..evaluation.verdict import over_people, over_seeds

        values = self.per_person(row, measure)
        return over_people(values) if self.deterministic else over_seeds(np.nanmean(values, 1))

    def spoken(self, row: str, measure: str) -> str:
        """An `estimate` as a reader reads it; one that rests on a single seed says so, for it would look like a constant."""
        alone = len(self.seeds(row)) == 1 and not self.deterministic
        return spoken(self.estimate(row, measure)) + " (1 seed)" * alone

    def processor(self, entry: Entry) -> float:
        """Processor seconds of an entry. A training that was made before and only loaded counts with what it took then."""
        trained = entry.scalars.get("train_seconds", 0.0) if getattr(self._declared, "trains", False) else 0.0
        return max(entry.cpu_seconds or entry.seconds, trained)

    def finished(self) -> list[str]:
        """Rows that have been run at least once, as declared."""
        return [row for row in self.rows if self.seeds(row)]

    # ---------------------------------------------------------------------------------------------- freshness

    def stale(self) -> list[tuple[str, int]]:
        """Rows and seeds that the code would no longer make like this. Empty if all is fresh.

        Raises:
            InputError: the code declares no such experiment.
        """
        declared, settings = experiment(self.name), profile(self.profile)
        return [
            (entry.row, entry.seed)
            for entry in self.entries
            if entry.row not in declared.rows or entry.digest != declared.digest(entry.row, entry.seed, settings)
        ]

    # ------------------------------------------------------------------------------------------------- tables

    def table(self, measures: Sequence[str] | None = None, rows: Sequence[str] | None = None) -> str:
        """Markdown: a line for each row, means with 95 % intervals over the seeds; what was not run says so.

        Args:
            measures: columns, default `columns`; a perceptual distance has the size of the textures in its name.
        """
        from ..evaluation.table import heading, pipe_table

        measures, side = list(measures or self.columns), self._side
        lines = []
        for row in rows or self.rows:
            runs = len(self.seeds(row))
            cells = [self.spoken(row, name) if runs else "not run" for name in measures]
            lines.append([row, *cells, runs, self._time(row) if runs else "–"])
        head = [heading(name, side) for name in measures]
        return pipe_table(["", *head, "seeds", "time"], lines) + f"\n\n{self.caption()}\n"

    def caption(self) -> str:
        """Where the numbers of a table come from, in one sentence."""
        if not self.entries:
            return f"The experiment `{self.name}` has not been run."
        devices = ", ".join(sorted({entry.device for entry in self.entries}))
        commits = ", ".join(sorted({entry.commit for entry in self.entries if entry.commit}))
        minutes = sum(self.processor(entry) for entry in self.entries) / 60
        over = "people, for nothing in it is random" if self.deterministic else "seeds"
        shared = "; a dash: another row had made what this one needed" if "–" in map(self._time, self.finished()) else ""
        return (
            f"{len(self.subject)} people of the split `val`, mean ± half the 95 % interval over the {over}. Experiment "
            f"`{self.name}`, profile `{self.profile}`, on {devices}, {minutes:.0f} min of processor time in all. The time "
            f"is the processor's, of one row with one seed{shared}. {self._looked_at()}Commits {commits}. "
            f"Again: `studiolike experiment run {self.name}`."
        )

    @property
    def _side(self) -> int | None:
        """At which size textures were judged, in texels; None where none were."""
        return self.settings.get("resolution", self.settings.get("data", {}).get("resolution"))

    def _looked_at(self) -> str:
        """At which size textures were judged, and whom KID compares with; empty where none were."""
        low, side = self.settings.get("data", {}).get("resolution"), self._side
        if side is None:
            return ""
        told = f"Textures are judged at {side}² texels"
        if "kid" in self.measures and low is not None:
            told += f", by KID at {low}², against people of the pre-training split, whose studio textures `open` has learnt from"
        return told + ". "

    def _time(self, row: str) -> str:
        made = [self.processor(entry) for entry in self.entries if entry.row == row]
        seconds = sum(made) / len(made)
        return f"{seconds:.0f} s" if seconds >= 0.5 else "–"

    # -------------------------------------------------------------------------------------------------- files

    def write(self, root: Path | None = None) -> Path:
        """Write ``root/name.json``, atomically."""
        path = (root or records_dir()) / f"{self.name}.json"
        head = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "entries"}
        lines = [json.dumps(_plain(dataclasses.asdict(entry)), allow_nan=False) for entry in self.entries]
        text = json.dumps(head, indent=1, default=str, ensure_ascii=False)[:-2]
        body = ",\n  ".join(lines)
        with atomic(path) as temporary:
            temporary.write_text(f'{text},\n "entries": [\n  {body}\n ]\n}}\n', encoding="utf-8")
        return path

    @classmethod
    def read(cls, path: Path) -> Record:
        """Read what `write` wrote.

        Raises:
            InputError: no such file, or another kind of file.
        """
        try:
            plain = read_json(path)
            entries = [Entry(**{**entry, "values": _numbers(entry["values"])}) for entry in plain.pop("entries")]
            return cls(**plain, entries=entries)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{path} is no record of an experiment; make one with  studiolike experiment run") from error


def record(name: str, root: Path | None = None) -> Record:
    """The record of an experiment, by default the one that comes with the package.

    Raises:
        InputError: there is none.
    """
    path = (root or records_dir()) / f"{name}.json"
    if not path.is_file():
        raise InputError(f"there is no record of an experiment '{name}': studiolike experiment run {name}")
    return Record.read(path)


def empty(made, settings: Profile) -> Record:
    """The record of a declared experiment before its first run."""
    return Record(
        made.name,
        made.question,
        made.baseline,
        list(made.measures),
        made.limits,
        settings.name,
        made.settings(settings),
        {row: dict(changes) for row, changes in made.rows.items()},
    )


def spoken(estimate, digits: int = 3) -> str:
    """An estimate as a reader reads it: ``0.412 ± 0.02``, the half width of its interval; without, if nothing varies."""
    from ..evaluation.table import with_minus

    half = (estimate.high - estimate.low) / 2
    varies = math.isfinite(half) and half > 1e-9 * abs(estimate.mean)  # what is left of a mean of equal numbers is rounding
    return with_minus(f"{estimate.mean:.{digits}g}" + (f" ± {half:.1g}" if varies else ""))


def rounded(x: float) -> float:
    """A value as it is stored."""
    return float(f"{x:.{DIGITS}g}")


def _plain(entry: dict[str, Any]) -> dict[str, Any]:
    """nan has no place in JSON: null stands for it."""
    values = {name: [None if math.isnan(x) else rounded(x) for x in column] for name, column in entry["values"].items()}
    return entry | {"values": values, "scalars": {name: rounded(x) for name, x in entry["scalars"].items()}}


def _numbers(values: dict[str, list[float | None]]) -> dict[str, list[float]]:
    return {name: [math.nan if x is None else x for x in column] for name, column in values.items()}
