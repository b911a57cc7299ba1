"""Fill a grading sheet with what the checks said in handed-in notebooks; nothing is executed.

    make grade FOLDER=handed-in [SHEET=sheet.csv]

A notebook's name is NAME-chNN-….ipynb or lies in a folder NAME; what Colab and browsers make of names, "Copy of …" and "… (1)",
is understood. Of several notebooks of one student and chapter the best answer counts. Exercises that are graded by reading stay
empty, and do not count in the sum. The points are those of `exercises.POINTS`. Notebooks that cannot be used are named on stderr.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import re
import sys
from collections import defaultdict
from pathlib import Path

from exercises import CHECK, POINTS, POSSIBLE, TAG, Exercise, read_exercises
from notebooks import read_cells
from project import chapters

CHAPTER = re.compile(r"(?<![A-Za-z])(?P<chapter>ch\d\d)-[a-z]")
COPY = re.compile(r"^(copy of|kopie von|copie de|copia de|cópia de)\b", re.IGNORECASE)  # Colab speaks its user's language

Sheet = dict[str, dict[str, int]]  # student → label of an exercise → points


def said(notebook: dict) -> dict[str, bool]:
    """Checker → did it say "right"? Of the last output of each exercise's cell."""
    found = {}
    for cell in notebook["cells"]:
        called = CHECK.search("".join(cell["source"])) if TAG in cell["metadata"].get("tags", []) else None
        if called:
            texts = ["".join(output.get("data", {}).get("text/plain", "")) for output in cell.get("outputs", [])]
            found[called[2]] = bool(texts) and texts[-1].startswith("✓")
    return found


def owner(path: Path, top: Path) -> tuple[str, str]:
    """Whose notebook it is, from its name or its folder, and of which chapter (``ch04``).

    Raises:
        ValueError: neither name nor folder says it.
    """
    chapter = CHAPTER.search(path.stem)
    if not chapter:
        raise ValueError("its name has no chapter")
    name = COPY.sub("", path.stem[: chapter.start()].strip("-_ ")).strip("-_ ")
    if not name and path.parent == top:
        raise ValueError("neither its name nor its folder says whose it is")
    return name or path.parent.name, chapter["chapter"]


def collect(folder: Path, asked: list[Exercise]) -> Sheet:
    """Points of all notebooks below ``folder``."""
    points: Sheet = defaultdict(dict)
    for path in sorted(folder.rglob("*.ipynb")):
        if ".ipynb_checkpoints" in path.parts:
            continue
        try:
            name, chapter = owner(path, folder)
            right = said(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            why = error if type(error) is ValueError else "it cannot be read as a notebook"
            print(f"left out, {why}: {path}", file=sys.stderr)
            continue
        for exercise in asked:
            if exercise.check in right and exercise.label.startswith(f"ex-{chapter}-"):
                reached = POINTS[exercise.level] * right[exercise.check]
                points[name][exercise.label] = max(reached, points[name].get(exercise.label, 0))
    return points


def as_csv(points: Sheet, asked: list[Exercise]) -> str:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["name", *(exercise.label for exercise in asked), "sum"])
    possible = [POINTS[exercise.level] for exercise in asked]
    rows.writerow([POSSIBLE, *possible, sum(possible)])
    for name, own in points.items():
        rows.writerow([name, *(own.get(exercise.label, "") for exercise in asked), sum(own.values())])
    return text.getvalue()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Points of handed-in notebooks, as CSV.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("-o", "--out", type=Path, help="file to write; printed without it")
    options = parser.parse_args(arguments)
    if not options.folder.is_dir():
        print(f"there is no folder {options.folder}", file=sys.stderr)
        return 2
    asked = [exercise for source in chapters() for exercise in read_exercises(read_cells(source), source.stem)]
    points = collect(options.folder, asked)
    if not options.out:
        print(as_csv(points, asked), end="")
        return 0
    half = options.out.with_name(options.out.name + ".new")
    half.write_text(as_csv(points, asked), encoding="utf-8")
    os.replace(half, options.out)
    print(f"{len(points)} students in {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
