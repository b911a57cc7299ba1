"""A chapter's cells for students (stubs, no solutions) and for teachers (solutions, times, misconceptions, prompts)."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from exercises import TAG, Exercise
from naming import DIRECTIVE, closing, split_options
from notebooks import book_flavour
from questions import read_choices
from run_times import duration

Cells = list[dict[str, Any]]
FOLDED = "A folded solution follows each exercise."  # a chapter's sentence that students' notebooks would belie
SLOW = 1.0  # seconds from which a cell's time is written above it


def rewrite(text: str, changes: dict[str, Callable[[str, list[str], list[str]], list[str]]]) -> str:
    """MyST text with some directives changed: name → function of (argument, its body, all its lines) that gives new lines."""
    lines, out, place = text.splitlines(), [], 0
    while place < len(lines):
        found = DIRECTIVE.match(lines[place])
        end = closing(lines, place, found["marks"]) if found else place
        block = lines[place : end + 1]
        change = changes.get(found["name"]) if found else None
        out += change(found["argument"], split_options(block[1:-1])[1], block) if change else block
        place = end + 1
    return "\n".join(out).strip("\n")


def _asked(title: str, body: list[str], _: list[str]) -> list[str]:
    choices, _ = read_choices(body)
    return ["```{admonition} " + title, *(f"- [ ] {choice.text}" for choice in choices), "```"]


def student_cells(cells: Cells) -> Cells:
    """Stubs as they are; no solutions, and no answers to the questions that are asked before."""
    out = []
    for cell in cells:
        if cell["cell_type"] == "markdown":
            text = rewrite(cell["source"], {"solution": lambda *_: [], "predict": _asked})
            cell = cell | {"source": text.replace(f"{FOLDED}\n", "")}
        if cell["source"].strip():
            out.append(cell)
    return out


def checker(chapter: str, name: str) -> Any:
    """The checker of an exercise, from the package of this checkout."""
    return getattr(importlib.import_module(f"studiolike.exercises.{chapter[:4]}"), name)


def _box(title: str, lines: list[str]) -> list[str]:
    return ["", "````{admonition} For the teacher: " + title, *lines, "````", ""]


def teacher_cells(source: Path, cells: Cells, asked: list[Exercise], plan: dict[str, Any], times: dict[str, float]) -> Cells:
    """Solutions in the stubs' place, the time of every slow cell above it, and boxes for the teacher.

    Args:
        source: the chapter. cells: of `notebooks.read_cells`. asked: its exercises.
        plan: its entry in book/teaching/plan.yml.
        times: seconds of each code cell by id, as `execute.py` recorded them; may be empty.
    """
    chapter, of = source.stem, {exercise.label: exercise for exercise in asked}
    by_stub = {exercise.stub: exercise for exercise in asked if exercise.stub}

    def with_beliefs(label: str, _: list[str], block: list[str]) -> list[str]:
        exercise = of[label]
        if not exercise.check:
            return block
        wrong = [f"- *{m.belief}* Hint: {m.hint}" for m in checker(chapter, exercise.check).mistakes]
        return [*block, *_box("what wrong answers show", wrong)]

    identities = [cell["id"] for cell in json.loads(book_flavour(source))["cells"]]
    out, sections, section = [], {}, "The beginning"
    for cell, identity in zip(cells, identities, strict=True):
        if cell["cell_type"] == "markdown":
            heads = [line[3:] for line in cell["source"].splitlines() if line.startswith("## ")]
            section = heads[-1] if heads else section
            out.append(cell | {"source": rewrite(cell["source"], {"solution": with_beliefs})})
            continue
        seconds = times.get(identity, 0.0)
        sections[section] = sections.get(section, 0.0) + seconds
        text = by_stub[cell["source"]].solved if TAG in cell["metadata"].get("tags", []) else cell["source"]
        if seconds >= SLOW and not text.startswith("%"):
            text = f"# measured: {seconds:.0f} s\n{text}"
        out.append(cell | {"source": text})
    return [out[0], _overview(plan, sections if times else {}), *out[1:]]


def _overview(plan: dict[str, Any], sections: dict[str, float]) -> dict[str, Any]:
    lines = [f"Plan {plan['lecture']} minutes with the slides and {plan['lab']} minutes for notebook and exercises.", ""]
    if sections:
        lines += ["| section | time to run, measured |", "| --- | ---: |"]
        lines += [f"| {name} | {duration(seconds)} |" for name, seconds in sections.items() if seconds >= SLOW]
        lines += [f"| **all cells** | **{duration(sum(sections.values()))}** |"]
    else:
        lines += ["No cell has been measured: run `make book`, then `make course` again."]
    lines += ["", "To discuss:", "", *(f"- {prompt}" for prompt in plan["discussion"])]
    return {"cell_type": "markdown", "metadata": {}, "source": "\n".join(_box("time and talk", lines)).strip()}


def load_times(chapter: str, profile: str, build: Path) -> dict[str, float]:
    """Seconds of each cell by id; empty if the chapter was not executed in this profile."""
    path = build / "records" / profile / "cells" / f"{chapter}.json"
    return json.loads(path.read_text()) if path.exists() else {}
