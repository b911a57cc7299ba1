"""Run the committed notebooks with nbval and compare with what papermill saw.

    python book/tools/validate.py --profile smoke [--chapters ch03]

execute.py has run every chapter's book flavour and stored its outputs. Here the *committed* notebook
(the Colab flavour) gets those outputs as its reference, cell by cell, and the same parameters, and
nbval runs it strictly: a cell that fails, or shows something else the second time, fails. So one
further run per chapter answers three questions: do the committed notebooks run, do both flavours say
the same, are the results repeatable. Pictures are not compared. Times and the like are replaced by
patterns (nbval.cfg); a cell whose output cannot repeat carries the tag ``nbval-ignore-output``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from project import BUILD, NOTEBOOKS, PROFILES, ROOT, BookError, chapters


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


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Run the committed notebooks with nbval, strictly.")
    parser.add_argument("--profile", choices=PROFILES, default="smoke")
    parser.add_argument("--chapters", nargs="*", default=[])
    options = parser.parse_args(arguments)
    folder = BUILD / "nbval" / options.profile
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    try:
        for source in chapters(options.chapters):
            executed = BUILD / "notebooks" / options.profile / f"{source.stem}.ipynb"
            committed = NOTEBOOKS / f"{source.stem}.ipynb"
            for path in (executed, committed):
                if not path.exists():
                    raise BookError(f"{path.relative_to(ROOT)} is missing")
            merged = reference(json.loads(committed.read_text()), json.loads(executed.read_text()), source.stem)
            paths.append(folder / f"{source.stem}.ipynb")
            paths[-1].write_text(json.dumps(merged, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    except BookError as error:
        print(f"FAILED {error}", file=sys.stderr)
        return 1
    if not paths:
        print("there are no chapters to validate")
        return 0
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--nbval",
        "--nbval-cell-timeout",
        "600",
        "--nbval-sanitize-with",
        str(ROOT / "book" / "tools" / "nbval.cfg"),
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "--timeout",
        "0",
        "--rootdir",
        str(folder),
        *map(str, paths),
    ]
    # as in execute.py: no progress bars, whose number of lines depends on the machine's mood
    return subprocess.run(command, cwd=folder, env={"OMP_WAIT_POLICY": "PASSIVE"} | os.environ | {"TQDM_DISABLE": "1"}).returncode


if __name__ == "__main__":
    sys.exit(main())
