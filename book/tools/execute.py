"""Run the chapters with papermill; store what they showed, how long they took and how much memory.

    python book/tools/execute.py --profile smoke [--chapters ch03 ch04] [--parameter NAME=VALUE] [--force]

The executed notebooks go to _build/notebooks/PROFILE/, the records to _build/records/PROFILE/. A cell
that fails fails the run. A parameter that a chapter does not have fails the run before anything is
executed (papermill alone would only warn). A chapter is run again only if something changed that it
depends on: its text, the package with its weights, the lock, the parameters, the device, the number of threads.

Where there are cores and memory for it, two chapters run at a time, the longest first (`side_by_side`); else one after the
other, in order. The first that fails ends the other.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import multiprocessing
import os
import platform
import resource
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from functools import cache
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import side_by_side
from notebooks import book_flavour
from parameters import check_parameters, parameter
from project import BUILD, PROFILES, ROOT, BookError, chapters, tool


@dataclass(frozen=True)
class Record:
    """What one chapter's run cost, and of what it was made.

    ``seconds`` of wall time, on ``threads`` threads (None: as many as torch takes by itself), while up to ``at_a_time`` chapters
    ran together; ``peak_memory`` in MB, of all its processes' largest.
    """

    chapter: str
    profile: str
    seconds: float
    peak_memory: float
    device: str
    cores: int
    threads: int | None
    at_a_time: int
    python: str
    torch: str
    commit: str
    package: str
    key: str


# --- what a run depends on


@cache
def package_hash() -> str:
    """Hash of every file of the package, weights included."""
    digest = hashlib.sha256()
    for path in sorted((ROOT / "studiolike").rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(f"{path.relative_to(ROOT).as_posix()}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


@cache
def device_name() -> str:
    """The GPU's name, or the processor's architecture."""
    if shutil.which("nvidia-smi"):
        ask = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        listed = subprocess.run(ask, capture_output=True, text=True)
        if listed.returncode == 0 and listed.stdout.strip():
            return listed.stdout.strip().splitlines()[0]
    return f"CPU ({platform.machine()})"


def on_gpu() -> bool:
    return not device_name().startswith("CPU")


def key_of(notebook: str, profile: str, parameters: dict[str, Any], threads: int | None = None) -> str:
    """Hash of all that can change what a chapter shows. Other threads add in another order, so the last digits differ."""
    parts = [
        notebook,
        profile,
        json.dumps(parameters, sort_keys=True),
        package_hash(),
        device_name(),
        (ROOT / "requirements.lock").read_text(),
        platform.python_version(),
        os.environ.get("STUDIOLIKE_WEIGHTS", ""),
        str(threads),
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _commit() -> str:
    asked = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    return asked.stdout.strip() or "unknown"


# --- running


class _Lines:
    """Where the bar of a chapter writes that is not alone: whole lines, for two bars on one line would not be readable."""

    def write(self, text: str) -> None:
        if text.strip():
            print(text.strip(), flush=True)

    def flush(self) -> None:
        pass


def _bar(name: str, alone: bool) -> bool | dict[str, Any]:
    """What papermill shows of its progress; beside another chapter, a line every half a minute."""
    words = "{desc}: {n_fmt} of {total_fmt} cells, {elapsed}"
    rare = {"mininterval": 30, "maxinterval": 60, "miniters": 1, "leave": False, "delay": 1}
    return True if alone else {"desc": name, "file": _Lines(), "bar_format": words, **rare}


def _work(task: Task) -> None:
    """In a process of its own, so that the peak memory of its children is this chapter's alone."""
    import papermill
    import tqdm.auto  # noqa: F401 read the environment now: papermill's own bar stays
    from papermill.exceptions import PapermillExecutionError
    from traitlets.config import Config

    side_by_side.follow()
    # the kernel inherits this: chapters' bars would fill pages with half-drawn lines
    os.environ["TQDM_DISABLE"] = "1"
    os.environ.setdefault(
        "OMP_WAIT_POLICY", "PASSIVE"
    )  # a reader's machine is seldom idle, and threads that spin stand in the way
    side_by_side.set_threads(task.threads)
    error = ""
    start = time.perf_counter()
    try:
        with side_by_side.talking() as words:
            papermill.execute_notebook(
                str(task.raw),
                str(task.half),
                task.parameters,
                kernel_name="python3",
                cwd=str(task.raw.parent),
                log_output=False,
                progress_bar=_bar(task.name, task.at_a_time == 1),
                start_timeout=120,
                config=Config(KernelManager=words),
            )
    except PapermillExecutionError as failure:
        error = f"cell {failure.exec_count} failed with {failure.ename}: {failure.evalue}\n\n{failure.source}"
    except Exception as failure:  # a dead kernel, a full disk: told to the parent, which stops
        error = f"{type(failure).__name__}: {failure}"
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    task.result.write_text(json.dumps({"error": error, "seconds": seconds, "peak_memory": peak}))


def warnings_in(notebook: dict[str, Any]) -> str:
    """What the cells wrote to stderr, if there is a warning in it; else nothing."""
    told = [
        "".join(output["text"])
        for cell in notebook["cells"]
        for output in cell.get("outputs", [])
        if output.get("name") == "stderr"
    ]
    return "\n".join(text for text in told if "Warning" in text)


def cell_seconds(notebook: dict[str, Any]) -> dict[str, float]:
    """How long each code cell ran, by the cell's id, as papermill measured it; what a teacher plans a lesson by."""
    measured = ((cell["id"], cell["metadata"].get("papermill", {}).get("duration")) for cell in notebook["cells"])
    return {name: round(seconds, 2) for name, seconds in measured if seconds is not None}


def _tidy(path: Path) -> str:
    """The executed notebook without what differs from run to run and says nothing: times, widget states."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    for level in (notebook, *notebook["cells"]):
        for name in ("papermill", "execution", "widgets"):
            level["metadata"].pop(name, None)
    for cell in notebook["cells"]:
        if "injected-parameters" in cell["metadata"].get("tags", []):
            cell["metadata"]["tags"] = ["injected-parameters", "remove-cell"]
            cell["id"] = "injected-parameters"
    return json.dumps(notebook, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


@dataclass(frozen=True)
class Task:
    """One chapter that has to run: its text, what it runs with, and its files."""

    name: str
    profile: str
    text: str
    parameters: dict[str, Any]
    threads: int | None
    at_a_time: int
    build: Path

    @property
    def key(self) -> str:
        return key_of(self.text, self.profile, self.parameters, self.threads)

    @property
    def target(self) -> Path:
        return self.build / "notebooks" / self.profile / f"{self.name}.ipynb"

    @property
    def record(self) -> Path:
        return self.build / "records" / self.profile / f"{self.name}.json"

    def _file(self, end: str) -> Path:
        return self.build / "work" / self.profile / f"{self.name}.{end}"

    @property
    def raw(self) -> Path:
        return self._file("in.ipynb")

    @property
    def half(self) -> Path:
        return self._file("out.ipynb")

    @property
    def result(self) -> Path:
        return self._file("result.json")

    def expected(self) -> side_by_side.Job:
        """By its last run, if there was one, of whatever state of the project."""
        if not self.record.exists():
            return side_by_side.usual(self.name)
        stored = json.loads(self.record.read_text())
        return side_by_side.Job(self.name, stored["seconds"], stored["peak_memory"])


def up_to_date(task: Task) -> Record | None:
    """The record of a chapter that has run just like this, and is said to have; None: it has to run."""
    if not (task.target.exists() and task.record.exists()):
        return None
    stored = json.loads(task.record.read_text())
    if stored["key"] != task.key:
        return None
    print(f"{task.name}: nothing changed since it ran ({stored['seconds']:.0f} s then)", flush=True)
    return Record(**stored)


def begin(task: Task) -> BaseProcess:
    """Start a chapter; the process ends with it."""
    for path in (task.target, task.record, task.raw):
        path.parent.mkdir(parents=True, exist_ok=True)
    task.raw.write_text(task.text, encoding="utf-8")
    for path in (task.half, task.result):
        path.unlink(missing_ok=True)
    print(f"{task.name}: running, profile {task.profile}", flush=True)
    worker = multiprocessing.get_context("spawn").Process(target=_work, args=(task,))
    worker.start()
    return worker


def end(task: Task, worker: BaseProcess) -> Record:
    """Keep what a chapter showed, whose process has ended.

    Raises:
        BookError: a cell failed or warned, or the kernel died. The half-executed notebook is kept as
            ``NAME.failed.ipynb`` beside the good ones.
    """
    worker.join()
    if not task.result.exists():
        raise BookError(f"{task.name}: the process that ran it died (exit code {worker.exitcode})")
    outcome = json.loads(task.result.read_text())
    failed = task.target.with_name(f"{task.name}.failed.ipynb")
    if outcome["error"]:
        if task.half.exists():
            os.replace(task.half, failed)
        raise BookError(f"{task.name}: {outcome['error']}\n\nSee {failed.relative_to(task.build.parent)}")
    record = Record(
        task.name,
        task.profile,
        round(outcome["seconds"], 1),
        round(outcome["peak_memory"]),
        device_name(),
        side_by_side.cores(),
        task.threads,
        task.at_a_time,
        platform.python_version(),
        importlib.metadata.version("torch"),
        _commit(),
        package_hash()[:12],
        task.key,
    )
    notebook = json.loads(task.half.read_text(encoding="utf-8"))
    warned = warnings_in(notebook)
    if warned:
        raise BookError(f"{task.name}: a cell warned, and readers would see it:\n\n{warned}")
    of_cells = task.record.parent / "cells" / task.record.name
    of_cells.parent.mkdir(exist_ok=True)
    of_cells.write_text(json.dumps(cell_seconds(notebook)) + "\n")
    task.half.write_text(_tidy(task.half), encoding="utf-8")
    os.replace(task.half, task.target)
    failed.unlink(missing_ok=True)
    task.record.write_text(json.dumps(asdict(record), indent=1) + "\n")
    print(f"{task.name}: {record.seconds:.0f} s, {record.peak_memory:.0f} MB", flush=True)
    return record


def run_chapters(
    sources: list[Path], profile: str, parameters: dict[str, Any], *, build: Path = BUILD, force: bool = False
) -> list[Record]:
    """Execute chapters and store notebooks and records; nothing to do for those that are up to date.

    Raises:
        BookError: a parameter is unknown, told before anything runs; or a chapter failed, see `end`.
    """
    at_a_time, threads = side_by_side.lanes(on_gpu(), profile)
    tasks = {}
    for source in sources:
        text, given = book_flavour(source), {"profile": profile} | parameters
        check_parameters(json.loads(text), source.stem, given)
        tasks[source.stem] = Task(source.stem, profile, text, given, threads, at_a_time, build)
    records = {}
    for name, task in tasks.items():
        if not force and (record := up_to_date(task)):
            records[name] = record
    jobs = [task.expected() for name, task in tasks.items() if name not in records]

    def ended(job: side_by_side.Job, worker: BaseProcess) -> None:
        records[job.name] = end(tasks[job.name], worker)

    side_by_side.run(jobs, lambda job: begin(tasks[job.name]), ended, at_a_time)
    return [records[name] for name in tasks]


@tool
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Run the chapters with papermill.")
    parser.add_argument("--profile", choices=PROFILES, default="cpu")
    parser.add_argument("--chapters", nargs="*", default=[], help="beginnings of names; all chapters if none is given")
    parser.add_argument("--parameter", "-p", action="append", type=parameter, default=[], metavar="NAME=VALUE")
    parser.add_argument("--force", action="store_true", help="run also what is up to date")
    options = parser.parse_args(arguments)
    began = time.perf_counter()
    try:
        chosen = chapters(options.chapters)
        records = run_chapters(chosen, options.profile, dict(options.parameter), force=options.force)
    except KeyboardInterrupt:
        print("\nstopped; chapters that had ended are kept", file=sys.stderr)
        return 130
    print(
        f"{len(records)} chapters, {sum(record.seconds for record in records):.0f} s if one adds them up, "
        f"at most {max((record.peak_memory for record in records), default=0):.0f} MB; "
        f"this run took {time.perf_counter() - began:.0f} s"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
