"""Run the chapters, in order, with papermill; store what they showed, how long they took and how much memory.

    python book/tools/execute.py --profile smoke [--chapters ch03 ch04] [--parameter NAME=VALUE] [--force]

The executed notebooks go to _build/notebooks/PROFILE/, the records to _build/records/PROFILE/. A cell
that fails fails the run. A parameter that a chapter does not have fails the run before anything is
executed (papermill alone would only warn). A chapter is run again only if something changed that it
depends on: its text, the package with its weights, the lock, the parameters, the device.
"""

from __future__ import annotations

import argparse
import ast
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
from pathlib import Path
from typing import Any

from notebooks import book_flavour
from project import BUILD, PROFILES, ROOT, BookError, chapters


@dataclass(frozen=True)
class Record:
    """What one chapter's run cost, and of what it was made. ``peak_memory`` in MB, of all its processes' largest."""

    chapter: str
    profile: str
    seconds: float
    peak_memory: float
    device: str
    cores: int
    python: str
    torch: str
    commit: str
    package: str
    key: str


# --- parameters


def parameters_of(notebook: dict[str, Any], name: str) -> dict[str, Any]:
    """Names and default values in the cell tagged ``parameters``.

    Raises:
        BookError: there is no such cell, or more than one, or it holds more than ``name = literal`` lines.
    """
    cells = [cell for cell in notebook["cells"] if "parameters" in cell["metadata"].get("tags", [])]
    if len(cells) != 1:
        raise BookError(f"{name}: exactly one cell must be tagged 'parameters', there are {len(cells)}")
    found = {}
    for statement in ast.parse("".join(cells[0]["source"])).body:
        try:
            if isinstance(statement, ast.AnnAssign):
                target, value = statement.target, ast.literal_eval(statement.value)
            else:
                (target,), value = statement.targets, ast.literal_eval(statement.value)
            found[target.id] = value
        except (AttributeError, ValueError, TypeError):
            raise BookError(f"{name}: the parameters cell may hold only lines of the form name = literal") from None
    return found


def check_parameters(notebook: dict[str, Any], name: str, given: dict[str, Any]) -> None:
    """Every given parameter must exist in the chapter.

    Raises:
        BookError: one does not.
    """
    known = parameters_of(notebook, name)
    for unknown in sorted(set(given) - set(known)):
        raise BookError(f"{name}: there is no parameter '{unknown}'; it has: {', '.join(known) or 'none'}")


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


def key_of(notebook: str, profile: str, parameters: dict[str, Any]) -> str:
    """Hash of all that can change what a chapter shows."""
    parts = [
        notebook,
        profile,
        json.dumps(parameters, sort_keys=True),
        package_hash(),
        device_name(),
        (ROOT / "requirements.lock").read_text(),
        platform.python_version(),
        os.environ.get("STUDIOLIKE_WEIGHTS", ""),
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _commit() -> str:
    asked = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    return asked.stdout.strip() or "unknown"


# --- running


def _work(source: str, target: str, folder: str, parameters: dict[str, Any], result: str) -> None:
    """In a process of its own, so that the peak memory of its children is this chapter's alone."""
    import papermill
    import tqdm.auto  # noqa: F401 read the environment now: papermill's own bar stays
    from papermill.exceptions import PapermillExecutionError
    from traitlets.config import Config

    # the kernel inherits this: chapters' bars would fill pages with half-drawn lines
    os.environ["TQDM_DISABLE"] = "1"
    os.environ.setdefault(
        "OMP_WAIT_POLICY", "PASSIVE"
    )  # a reader's machine is seldom idle, and threads that spin stand in the way
    error = ""
    start = time.perf_counter()
    try:
        papermill.execute_notebook(
            source,
            target,
            parameters,
            kernel_name="python3",
            cwd=folder,
            log_output=False,
            progress_bar=True,
            start_timeout=120,
            # files of this user instead of ports, which everybody on the machine can reach and of which a kernel warns
            config=Config(KernelManager={"transport": "ipc" if os.name == "posix" else "tcp"}),
        )
    except PapermillExecutionError as failure:
        error = f"cell {failure.exec_count} failed with {failure.ename}: {failure.evalue}\n\n{failure.source}"
    except Exception as failure:  # a dead kernel, a full disk: told to the parent, which stops
        error = f"{type(failure).__name__}: {failure}"
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    Path(result).write_text(json.dumps({"error": error, "seconds": seconds, "peak_memory": peak}))


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


def run_chapter(source: Path, profile: str, parameters: dict[str, Any], *, build: Path = BUILD, force: bool = False) -> Record:
    """Execute one chapter and store its notebook and record; nothing to do if they are up to date.

    Raises:
        BookError: a cell failed, a parameter is unknown, or the kernel died. The half-executed notebook is
            kept as ``NAME.failed.ipynb`` beside the good ones.
    """
    name, text = source.stem, book_flavour(source)
    notebook = json.loads(text)
    parameters = {"profile": profile} | parameters
    check_parameters(notebook, name, parameters)
    target = build / "notebooks" / profile / f"{name}.ipynb"
    record_path = build / "records" / profile / f"{name}.json"
    key = key_of(text, profile, parameters)
    if not force and target.exists() and record_path.exists():
        stored = json.loads(record_path.read_text())
        if stored["key"] == key:
            print(f"{name}: nothing changed since it ran ({stored['seconds']:.0f} s then)", flush=True)
            return Record(**stored)

    folder = build / "work" / profile
    for path in (target.parent, record_path.parent, folder):
        path.mkdir(parents=True, exist_ok=True)
    raw, half, result = (folder / f"{name}.{end}" for end in ("in.ipynb", "out.ipynb", "result.json"))
    raw.write_text(text, encoding="utf-8")
    result.unlink(missing_ok=True)
    print(f"{name}: running, profile {profile}", flush=True)
    worker = multiprocessing.get_context("spawn").Process(
        target=_work, args=(str(raw), str(half), str(folder), parameters, str(result))
    )
    worker.start()
    worker.join()
    if not result.exists():
        raise BookError(f"{name}: the process that ran it died (exit code {worker.exitcode})")
    outcome = json.loads(result.read_text())
    if outcome["error"]:
        failed = target.with_name(f"{name}.failed.ipynb")
        if half.exists():
            os.replace(half, failed)
        raise BookError(f"{name}: {outcome['error']}\n\nSee {failed.relative_to(build.parent)}")
    record = Record(
        name,
        profile,
        round(outcome["seconds"], 1),
        round(outcome["peak_memory"]),
        device_name(),
        os.cpu_count() or 1,
        platform.python_version(),
        importlib.metadata.version("torch"),
        _commit(),
        package_hash()[:12],
        key,
    )
    warned = warnings_in(json.loads(half.read_text(encoding="utf-8")))
    if warned:
        raise BookError(f"{name}: a cell warned, and readers would see it:\n\n{warned}")
    of_cells = record_path.parent / "cells" / record_path.name
    of_cells.parent.mkdir(exist_ok=True)
    of_cells.write_text(json.dumps(cell_seconds(json.loads(half.read_text(encoding="utf-8")))) + "\n")
    half.write_text(_tidy(half), encoding="utf-8")
    os.replace(half, target)
    target.with_name(f"{name}.failed.ipynb").unlink(missing_ok=True)
    record_path.write_text(json.dumps(asdict(record), indent=1) + "\n")
    print(f"{name}: {record.seconds:.0f} s, {record.peak_memory:.0f} MB", flush=True)
    return record


def _parameter(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Run the chapters in order with papermill.")
    parser.add_argument("--profile", choices=PROFILES, default="cpu")
    parser.add_argument("--chapters", nargs="*", default=[], help="beginnings of names; all chapters if none is given")
    parser.add_argument("--parameter", "-p", action="append", type=_parameter, default=[], metavar="NAME=VALUE")
    parser.add_argument("--force", action="store_true", help="run also what is up to date")
    options = parser.parse_args(arguments)
    try:
        chosen, given = chapters(options.chapters), dict(options.parameter)
        for source in chosen:  # all checks before the first long run
            check_parameters(json.loads(book_flavour(source)), source.stem, {"profile": options.profile} | given)
        records = [run_chapter(source, options.profile, given, force=options.force) for source in chosen]
    except BookError as error:
        print(f"\nFAILED {error}", file=sys.stderr)
        return 1
    print(
        f"{len(records)} chapters, {sum(record.seconds for record in records):.0f} s altogether, "
        f"at most {max((record.peak_memory for record in records), default=0):.0f} MB"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
