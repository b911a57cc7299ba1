"""The verbs for the laboratory behind the book's claims: list, run, again, table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg, subcommand

from ..config import profile
from ..errors import InputError
from .options import OptionalOut, say


@dataclass(frozen=True)
class ListExperiments:
    """What experiments there are, and how much of each has been run."""

    records: Path | None = None
    """folder of records; default: the ones that come with the package"""

    def run(self) -> None:
        from ..experiments import experiments, records_dir
        from ..experiments.records import Record

        for name, one in experiments().items():
            path = (self.records or records_dir()) / f"{name}.json"
            done = len(Record.read(path).entries) if path.is_file() else 0
            print(f"{name}: {one.question} {len(one.rows)} rows, {done} runs recorded")


@dataclass(frozen=True)
class RunExperiments:
    """Run what is missing or stale of some experiments, one after the other; a sweep that was stopped goes on."""

    names: Positional[tuple[str, ...]]
    """names of experiments, or all"""
    seeds: int | None = None
    """of every row; default: what each experiment says, three for most"""
    rows: tuple[str, ...] | None = None
    """only these rows"""
    profile: str = "cpu"
    runs: Path = Path("runs")
    """folder of data sets"""
    records: OptionalOut = None
    """folder of records; default: the package's"""
    device: str | None = None

    def run(self) -> None:
        from ..experiments import experiment, experiments
        from ..experiments.lab import Lab
        from ..experiments.run import run

        if self.seeds is not None and self.seeds < 1:
            raise InputError("--seeds must be at least 1")
        names = list(experiments()) if self.names == ("all",) else self.names
        if not names:
            raise InputError("name the experiments to run, or all: studiolike experiment list")
        chosen = [experiment(name) for name in names]
        lab = Lab(profile(self.profile), self.runs, self.device)
        for one in chosen:
            run(one, lab, seeds=self.seeds, rows=self.rows, root=self.records, say=say)


@dataclass(frozen=True)
class TableOfExperiment:
    """The table of an experiment's record, as Markdown."""

    names: Positional[tuple[str, ...]]
    """names of experiments; default: all that have a record"""
    records: Path | None = None
    """folder of records; default: the ones that come with the package"""

    def run(self) -> None:
        from ..experiments import experiments, record, records_dir

        root = self.records or records_dir()
        names = self.names or [name for name in experiments() if (root / f"{name}.json").is_file()]
        for name in names:
            made = record(name, root)
            print(f"## {made.question}\n\n{made.table()}")
            for row, seed in made.stale():
                say(f"stale: {name}, {row}, seed {seed}: studiolike experiment run {name}")


@dataclass(frozen=True)
class RepeatExperiments:
    """Make one run of each record once more and compare; a result that differs gives exit code 1. Records are not touched."""

    names: Positional[tuple[str, ...]]
    """names of experiments, or all"""
    row: str | None = None
    """default: the row that the others are compared with; of trainings the first one beside it"""
    seed: int = 0
    profile: str = "cpu"
    runs: Path = Path("runs")
    """folder of data sets"""
    records: Path | None = None
    """folder of records; default: the ones that come with the package"""
    device: str | None = None

    def run(self) -> int:
        from ..experiments import experiment, experiments, records_dir
        from ..experiments.lab import Lab
        from ..experiments.run import again

        root = self.records or records_dir()
        recorded = [name for name in experiments() if (root / f"{name}.json").is_file()]
        names = recorded if self.names == ("all",) else self.names
        if not names:
            raise InputError("name the experiments to repeat, or all: studiolike experiment list")
        lab, wrong = Lab(profile(self.profile), self.runs, self.device), 0
        for name in names:
            row, differing = again(experiment(name), lab, row=self.row, seed=self.seed, root=self.records)
            say(f"{name}: {row}, seed {self.seed}: {'as recorded' if not differing else 'differs'}")
            for line in differing:
                say(f"  {line}")
            wrong += bool(differing)
        return 1 if wrong else 0


@dataclass(frozen=True)
class ExperimentVerb:
    """The laboratory behind the book's claims: list the experiments, run them over several seeds, show their tables."""

    verb: Annotated[
        Annotated[ListExperiments, subcommand("list")]
        | Annotated[RunExperiments, subcommand("run")]
        | Annotated[RepeatExperiments, subcommand("again")]
        | Annotated[TableOfExperiment, subcommand("table")],
        arg(name=""),
    ]

    def run(self) -> int | None:
        return self.verb.run()
