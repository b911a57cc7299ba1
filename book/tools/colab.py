"""Colab without Colab: the set-up cell and the first cells of every chapter among a snapshot of Colab's packages.

Run by ``make colab``, in an environment of its own that holds what Colab has (tests/colab/packages.txt). The set-up cell
installs the project as it is committed here instead of from the address in the notebook; the chapters then find themselves
in the smoke profile. One chapter's sliders are made and moved as well, for Colab's ipywidgets are older than the book's. The
cells run in the IPython shell of that environment, in a process for each chapter.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from project import NOTEBOOKS, ROOT

CELLS = 4  # set-up, parameters, imports, and the first that does something
EXPLORED = "ch02-pretraining"  # whose sliders need nothing but those cells
PINNED = ("torch", "torchvision", "numpy", "pillow", "scipy", "ipython", "ipywidgets", "matplotlib", "diffusers", "accelerate")


def first_cells(notebook: Path) -> list[str]:
    """Source of the first code cells, with the set-up cell pointed at this checkout and the smallest profile."""
    cells = [cell for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    sources = ["".join(cell["source"]) for cell in cells[:CELLS]]
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    sources[0], moved = re.subn(r"git\+https://[^\"]+", f"git+file://{ROOT}@{commit}", sources[0])
    if not moved or "\nprofile = " not in f"\n{sources[1]}":
        raise SystemExit(f"{notebook.name}: its first cells are not a set-up and a choice of the profile")
    sources[1] += '\nprofile = "smoke"'  # below, as papermill does it: the formatter breaks a long choice into lines
    return sources


def sliders(notebook: Path) -> str:
    """Source of the first cell with sliders that compute."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return next(text for cell in cells if (text := "".join(cell["source"])).startswith("explore("))


def move(box: Any) -> bool:
    """Whether what `explore` has made shows a picture, and another one when its last control moves."""
    picture, control = box.children[0], box.children[-1]
    before, control.value = bytes(picture.value), control.max
    return len(before) > 1000 and len(picture.value) > 1000 and bytes(picture.value) != before


def run_cells(notebook: Path) -> None:
    """Run the first cells in this process's IPython, and move the sliders of one chapter; exits with 1 where one fails."""
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance()
    for number, source in enumerate(first_cells(notebook), 1):
        if not shell.run_cell(source, store_history=True).success:
            raise SystemExit(f"{notebook.name}: code cell {number} fails")
    if notebook.stem == EXPLORED:
        done = shell.run_cell(sliders(notebook))
        if not (done.success and move(done.result)):
            raise SystemExit(f"{notebook.name}: its sliders draw nothing")
        print("sliders compute")


def versions() -> dict[str, str]:
    """What is installed of that which Colab must keep."""
    from importlib.metadata import version

    return {name: version(name) for name in PINNED}


def main() -> int:
    if len(sys.argv) > 1:
        run_cells(Path(sys.argv[1]))
        return 0
    before, failed = versions(), []
    for notebook in sorted(NOTEBOOKS.glob("ch*.ipynb")):
        with tempfile.TemporaryDirectory() as folder:  # Colab's working folder holds no checkout
            command = [sys.executable, __file__, str(notebook)]
            done = subprocess.run(command, cwd=folder, env=os.environ | {"MPLBACKEND": "agg"})
        print(f"{notebook.stem}: {'its first cells run' if not done.returncode else 'FAILED'}", flush=True)
        failed += [notebook.stem] * bool(done.returncode)
    if versions() != before:
        raise SystemExit(f"the set-up cell replaced packages: {before} became {versions()}")
    print(f"Python {sys.version.split()[0]}, " + ", ".join(f"{name} {number}" for name, number in before.items()) + ": all kept")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
