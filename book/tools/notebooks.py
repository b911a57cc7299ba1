"""Chapters' text sources → notebooks. One way only: nobody edits an .ipynb by hand.

Two flavours of one source. The *book* flavour keeps the MyST Markdown; papermill executes it and
the book shows it. The *Colab* flavour, committed beside the source, has its Markdown made plain
(lowering.py), a badge, and a cell that installs the package where it is missing. The code cells
are the same in both. Converting twice gives the same bytes.

    python book/tools/notebooks.py            write notebooks/*.ipynb
    python book/tools/notebooks.py --check    fail if one is not what its source gives
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import chain
import run_times
from lowering import lower
from naming import Names, gather
from project import NOTEBOOKS, RELEASED, ROOT, BookError, chapters, project, tool

METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
COLAB_METADATA = {"accelerator": "GPU", "colab": {"gpuType": "T4", "provenance": []}}

SETUP = """\
# Set-up, only where studiolike is missing (Colab, Kaggle …): it keeps the machine's own torch.
import importlib.util
import os

# Before torch is imported: its threads wait without spinning, which on two busy cores costs more than it gains.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
if importlib.util.find_spec("studiolike") is None:
    from importlib.metadata import PackageNotFoundError, version
    from pathlib import Path

    kept = {}
    for package in ("torch", "torchvision", "numpy", "pillow", "scipy"):
        try:
            kept[package] = version(package)
        except PackageNotFoundError:
            pass
    Path("constraints.txt").write_text("".join(f"{name}=={number}\\n" for name, number in kept.items()))
    get_ipython().run_line_magic("pip", "install -q -c constraints.txt git+ADDRESS@REF")
    importlib.invalidate_caches()
    if importlib.util.find_spec("studiolike") is None:
        raise RuntimeError("the installation failed; its messages are above")
    if "torch" in kept:
        assert version("torch") == kept["torch"], "torch was replaced: restart the session and run this cell again"

    import torch

    gpu = torch.cuda.is_available()
    device = torch.cuda.get_device_name() if gpu else "CPU"
    memory = f", {torch.cuda.get_device_properties(0).total_memory / 2**30:.0f} GB" if gpu else ""
    print(f"studiolike {version('studiolike')} · torch {version('torch')} · {device}{memory} · "
          f"profile {'gpu' if gpu else 'cpu'}")
    print("all cells of this chapter:", "GPU COST" if gpu else "CPU COST")"""


def read_cells(source: Path) -> list[dict[str, Any]]:
    """The cells of a percent script: dictionaries with ``cell_type``, ``source`` and ``tags``."""
    import jupytext

    read = jupytext.reads(source.read_text(encoding="utf-8"), fmt="py:percent")
    cells = []
    for cell in read.cells:
        if cell.cell_type not in ("markdown", "code"):
            raise BookError(f"{source.name}: a cell of type '{cell.cell_type}'; only markdown and code")
        if cell.source.strip():
            metadata = {key: value for key, value in cell.metadata.items() if key in ("tags", "mystnb")}
            cells.append({"cell_type": cell.cell_type, "source": cell.source, "metadata": metadata})
    first = cells[0]["source"] if cells and cells[0]["cell_type"] == "markdown" else ""
    if not any(line.startswith("# ") for line in first.splitlines()):
        raise BookError(f"{source.name}: the first cell must be Markdown with the title, a line that begins with '# '")
    return cells


def _notebook(cells: list[dict[str, Any]], metadata: dict[str, Any]) -> str:
    """JSON of a notebook without outputs. A cell's id is made from what it says, so that it stays when
    other cells come and go; the n-th cell that says the same gets an n."""
    seen: dict[str, int] = {}
    finished = []
    for cell in cells:
        digest = hashlib.sha256(f"{cell['cell_type']}\n{cell['source']}".encode()).hexdigest()[:12]
        seen[digest] = seen.get(digest, 0) + 1
        entry = {
            "cell_type": cell["cell_type"],
            "id": digest if seen[digest] == 1 else f"{digest}-{seen[digest]}",
            "metadata": cell["metadata"],
            "source": cell["source"].splitlines(keepends=True),
        }
        if cell["cell_type"] == "code":
            entry |= {"execution_count": None, "outputs": []}
        finished.append(entry)
    document = {"cells": finished, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def book_flavour(source: Path) -> str:
    """The notebook that is executed and shown in the book."""
    return _notebook(read_cells(source), METADATA)


def colab_flavour(source: Path, names: Names, cells: list[dict[str, Any]] | None = None) -> str:
    """The notebook that is committed, for Colab and every other viewer; with other ``cells`` a variant of it, without the
    badge that opens the committed one."""
    about = names.project
    badge = f"[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({about.colab(source.stem)})"
    page = f"{about.homepage}notebooks/{source.stem}.html"
    costs = run_times.load()
    setup = SETUP.replace("ADDRESS", about.repository).replace("REF", about.ref)
    for profile in run_times.READERS:
        setup = setup.replace(f"{profile.upper()} COST", run_times.expected(source.stem, profile, costs))
    links = [*([badge] if cells is None else []), f"[this chapter in the book]({page})"]
    first = " · ".join(links)
    for note in (run_times.note(source.stem, costs), results_note(source.stem, names)):
        first += f"\n\n{note}" if note else ""
    head = [
        {"cell_type": "markdown", "metadata": {}, "source": first},
        {"cell_type": "code", "metadata": {"tags": ["setup"]}, "source": setup},
    ]
    body = []
    parts = read_cells(source) if cells is None else cells
    for cell in chain.put_in({"cells": parts}, source.stem, pictures=False)["cells"]:
        if cell["cell_type"] == "markdown":
            cell = cell | {"source": lower(cell["source"], names, source.stem)}
            if not cell["source"]:
                continue
        body.append(cell)
    return _notebook([body[0], *head, *body[1:]], METADATA | COLAB_METADATA)


def released_values() -> dict[str, float | int | str]:
    """The results of the released run by name, if there is a file of them; ``released_run`` says which run it was."""
    return json.loads(RELEASED.read_text(encoding="utf-8")) if RELEASED.exists() else {}


def results_note(chapter: str, names: Names) -> str:
    """What a reader must know of the results in the text: whose they are, and where one's own are printed."""
    start = f"{chapter[:4]}_"
    if not any(name.startswith(start) for name in names.values):
        return ""
    return (
        "*Results in italics in the text are those of the released run "
        f"({names.values['released_run']}). Yours may differ a little; cells print them by name.*"
    )


def names_of(sources: list[Path]) -> Names:
    """Labels, equations and citations over these chapters."""
    texts = {
        source.stem: "\n".join(cell["source"] for cell in read_cells(source) if cell["cell_type"] == "markdown")
        for source in sources
    }
    return gather(project(), texts, ROOT / "book" / "references.bib", released_values())


@tool
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Write the notebooks from their text sources.")
    parser.add_argument("--check", action="store_true", help="write nothing, fail if a notebook is out of date")
    options = parser.parse_args(arguments)
    sources = chapters()
    names = names_of(sources)
    wanted = {source.with_suffix(".ipynb"): colab_flavour(source, names) for source in sources}
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    orphans = sorted(set(NOTEBOOKS.glob("*.ipynb")) - set(wanted))
    for path in orphans:
        print(f"{path.name} has no source beside it", file=sys.stderr)
    if options.check:
        for path in stale:
            print(f"{path.name} is not what its source gives: run `make notebooks`", file=sys.stderr)
        return 1 if stale or orphans else 0
    for path in stale:
        path.write_text(wanted[path], encoding="utf-8")
        print(f"wrote notebooks/{path.name}")
    print(f"{len(wanted)} notebooks, {len(stale)} changed")
    return 1 if orphans else 0


if __name__ == "__main__":
    sys.exit(main())
