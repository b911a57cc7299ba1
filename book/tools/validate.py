"""Run the committed notebooks with nbval and compare with what papermill saw.

    python book/tools/validate.py --profile smoke [--chapters ch03]

execute.py has run every chapter's book flavour and stored its outputs. Here the *committed* notebook
(the Colab flavour) gets those outputs as its reference, cell by cell, and the same parameters, and
nbval runs it strictly: a cell that fails, or shows something else the second time, fails. So one
further run per chapter answers three questions: do the committed notebooks run, do both flavours say
the same, are the results repeatable. Pictures are not compared. Times and the like are replaced by
patterns (nbval.cfg); a cell whose output cannot repeat carries the tag ``nbval-ignore-output``.

Each chapter gets as many threads as when it was executed, since the last digits depend on that. Two run at a time where that
is possible (`side_by_side`), and what pytest says of a chapter is shown when it has ended. All are compared, also after one
that failed.
"""

from __future__ import annotations

import argparse
import functools
import json
import multiprocessing
import os
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import side_by_side
from execute import on_gpu
from project import BUILD, NOTEBOOKS, PROFILES, ROOT, BookError, chapters, tool


def reference(committed: dict[str, Any], executed: dict[str, Any], name: str) -> dict[str, Any]:
    """The committed notebook with the executed one's outputs and injected parameters.

    Raises:
        BookError: the two have different code.
    """
    stored = [cell for cell in executed["cells"] if cell["cell_type"] == "code"]
    injected = [cell for cell in stored if "injected-parameters" in cell["metadata"].get("tags", [])]
    by_id = {cell["id"]: cell for cell in stored if cell not in injected}
    cells = []
    for cell in committed["cells"]:
        tags = cell["metadata"].get("tags", [])
        if cell["cell_type"] == "code" and "setup" not in tags:
            if cell["id"] not in by_id:
                raise BookError(
                    f"{name}: a code cell of the committed notebook was not executed: "
                    "run `make notebooks` and execute the chapter again"
                )
            run = by_id.pop(cell["id"])
            cell = cell | {"outputs": run["outputs"], "execution_count": run["execution_count"]}
        cells.append(cell)
        if "parameters" in tags:
            cells += injected
    if by_id:
        raise BookError(f"{name}: {len(by_id)} executed cells are not in the committed notebook: run `make notebooks`")
    return committed | {"cells": cells}


def prepare(profile: str, only: list[str]) -> dict[str, tuple[Path, dict[str, Any]]]:
    """Write the notebooks that nbval runs; by name of the chapter that path, and the record of the chapter's run.

    Raises:
        BookError: a chapter was not executed, or its committed notebook is another one.
    """
    folder = BUILD / "nbval" / profile
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for source in chapters(only):
        executed = BUILD / "notebooks" / profile / f"{source.stem}.ipynb"
        record = BUILD / "records" / profile / f"{source.stem}.json"
        committed = NOTEBOOKS / f"{source.stem}.ipynb"
        for path in (executed, record, committed):
            if not path.exists():
                raise BookError(f"{path} is missing")
        merged = reference(json.loads(committed.read_text()), json.loads(executed.read_text()), source.stem)
        path = folder / f"{source.stem}.ipynb"
        path.write_text(json.dumps(merged, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        found[source.stem] = path, json.loads(record.read_text())
    return found


class _Talking:
    """Has nbval talk to its kernels like this."""

    def __init__(self, words: dict[str, str]) -> None:
        self.words = words

    def pytest_configure(self) -> None:
        import nbval.kernel

        nbval.kernel.KernelManager = functools.partial(nbval.kernel.KernelManager, **self.words)


def _check(path: Path, threads: int | None, log: Path | None) -> None:
    """In a process of its own: nbval on one notebook; to a file, if one is named."""
    side_by_side.follow()
    if log:
        sys.stdout.flush()
        with open(log, "wb") as file:
            for stream in (1, 2):
                os.dup2(file.fileno(), stream)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ["TQDM_DISABLE"] = "1"  # as in execute.py: no bars, whose number of lines depends on the machine's mood
    side_by_side.set_threads(threads)
    import pytest

    os.chdir(path.parent)
    settings = str(ROOT / "book" / "tools" / "nbval.cfg")
    arguments = ["--nbval", "--nbval-cell-timeout", "600", "--nbval-sanitize-with", settings, "--timeout", "0"]
    arguments += ["-p", "no:cacheprovider", "-p", "no:xdist", "--rootdir", str(path.parent), str(path)]
    with side_by_side.talking() as words:
        code = int(pytest.main(arguments, plugins=[_Talking(words)]))
    sys.exit(code)


@tool
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Run the committed notebooks with nbval, strictly.")
    parser.add_argument("--profile", choices=PROFILES, default="smoke")
    parser.add_argument("--chapters", nargs="*", default=[])
    options = parser.parse_args(arguments)
    found = prepare(options.profile, options.chapters)
    if not found:
        print("there are no chapters to validate")
        return 0
    together = all(record["threads"] for _, record in found.values())  # each has cores of its own then
    at_a_time = side_by_side.lanes(on_gpu(), options.profile)[0] if together else 1
    failed = []

    def log_of(job: side_by_side.Job) -> Path | None:
        return found[job.name][0].with_suffix(".log") if at_a_time > 1 else None

    def begin(job: side_by_side.Job) -> BaseProcess:
        path, record = found[job.name]
        if at_a_time > 1:
            print(f"{job.name}: running again, with nbval", flush=True)
        worker = multiprocessing.get_context("spawn").Process(target=_check, args=(path, record["threads"], log_of(job)))
        worker.start()
        return worker

    def end(job: side_by_side.Job, worker: BaseProcess) -> None:
        worker.join()
        if log := log_of(job):
            print(log.read_text(encoding="utf-8", errors="replace"), flush=True)
        if worker.exitcode:
            failed.append(job.name)

    jobs = [side_by_side.Job(name, record["seconds"], record["peak_memory"]) for name, (_, record) in found.items()]
    try:
        side_by_side.run(jobs, begin, end, at_a_time)
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    for name in failed:
        print(f"FAILED {name}: it does not run, or does not show again what it showed, see above", file=sys.stderr)
    print(f"{len(found) - len(failed)} of {len(found)} chapters repeat")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
