"""Fill a grading sheet with what the checks said in handed-in notebooks; nothing is executed.

    python book/tools/grading.py FOLDER > sheet.csv

A notebook's name is NAME-chNN-….ipynb or lies in a folder NAME. Exercises that are graded by reading stay empty, and do not
count in the sum. The points are those of `exercises.POINTS`.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections import defaultdict
from pathlib import Path

from exercises import CHECK, POINTS, POSSIBLE, TAG, read_exercises
from notebooks import read_cells
from project import CHAPTER_NAME, chapters


def said(notebook: dict) -> dict[str, bool]:
    """Checker → did it say "right"? Of the last output of each exercise's cell."""
    found = {}
    for cell in notebook["cells"]:
        called = CHECK.search("".join(cell["source"])) if TAG in cell["metadata"].get("tags", []) else None
        if called:
            texts = ["".join(output.get("data", {}).get("text/plain", "")) for output in cell.get("outputs", [])]
            found[called[2]] = bool(texts) and texts[-1].startswith("✓")
    return found


def student_of(path: Path, chapter: str) -> str:
    """Whose notebook it is, from its name or its folder."""
    return path.stem.removesuffix(chapter).strip("-_ ") or path.parent.name


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Points of handed-in notebooks, as CSV.")
    parser.add_argument("folder", type=Path)
    options = parser.parse_args(arguments)
    asked = [exercise for source in chapters() for exercise in read_exercises(read_cells(source), source.stem)]
    points: dict[str, dict[str, int]] = defaultdict(dict)
    for path in sorted(options.folder.rglob("*.ipynb")):
        chapter = CHAPTER_NAME.search(path.stem)
        if not chapter:
            print(f"left out, its name has no chapter: {path}", file=sys.stderr)
            continue
        right = said(json.loads(path.read_text(encoding="utf-8")))
        for exercise in asked:
            if exercise.check in right and exercise.label.startswith(f"ex-{chapter.group()[:4]}-"):
                points[student_of(path, chapter.group())][exercise.label] = POINTS[exercise.level] * right[exercise.check]
    rows = csv.writer(sys.stdout, lineterminator="\n")
    rows.writerow(["name", *(exercise.label for exercise in asked), "sum"])
    possible = [POINTS[exercise.level] for exercise in asked]
    rows.writerow([POSSIBLE, *possible, sum(possible)])
    for name, own in points.items():
        rows.writerow([name, *(own.get(exercise.label, "") for exercise in asked), sum(own.values())])
    return 0


if __name__ == "__main__":
    sys.exit(main())
