"""The exercises of a chapter, read from its source: what is asked, the stub, its checker, the solution.

An exercise begins with the directive ``exercise-start`` and ends with ``exercise-end``; a code cell between them, tagged
``exercise``, is the stub, whose last line calls the checker. Its title begins with its level. The directive ``solution`` of
the same label follows, whose first Python block, if there is a stub, is the code to put in its place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from naming import DIRECTIVE, closing, split_options
from project import BookError

LEVELS = ("Recall", "Code", "Explain", "Research")
POINTS = {"Recall": 1, "Code": 3, "Explain": 2, "Research": 4}
POSSIBLE = "points possible"  # the name in a grading sheet's row of maxima
CHECK = re.compile(r"^(ch\d\d)\.(check_\w+)\(", re.MULTILINE)
TAG = "exercise"


@dataclass
class Exercise:
    """One exercise; ``stub``, ``check`` and ``code`` are empty where nothing is to be programmed."""

    label: str
    level: str
    title: str
    text: str = ""
    stub: str = ""
    check: str = ""
    solution: str = ""
    code: str = ""

    @property
    def solved(self) -> str:
        """The stub cell with the solution in it: the solution, then what the stub imports and checks."""
        imports = [line for line in self.stub.splitlines() if line.startswith(("from studiolike.exercises", "import studiolike"))]
        last = self.stub[CHECK.search(self.stub).start() :]
        own = [line for line in self.code.splitlines() if line.startswith(("import ", "from "))]
        body = "\n".join(line for line in self.code.splitlines() if line not in own).strip("\n")
        gap = "\n\n\n" if body.startswith("def ") else "\n\n"
        return "\n".join(sorted(own + imports)) + gap + body + (gap if "def " in body else "\n") + last


def read_exercises(cells: list[dict[str, Any]], chapter: str) -> list[Exercise]:
    """The exercises in the cells of a chapter (`notebooks.read_cells`), in order.

    Raises:
        BookError: an exercise has no level, is not closed, or has no solution; a stub calls no checker or has no code in its
            solution.
    """
    found: dict[str, Exercise] = {}
    now: Exercise | None = None
    for cell in cells:
        if cell["cell_type"] == "code":
            if TAG in cell["metadata"].get("tags", []):
                if now is None:
                    raise BookError(f"{chapter}: a stub stands in no exercise")
                called = CHECK.search(cell["source"])
                if not called:
                    raise BookError(f"{chapter}: the stub of {now.label} calls no checker")
                now.stub, now.check = cell["source"], called[2]
            continue
        lines = cell["source"].splitlines()
        place = 0
        while place < len(lines):
            match = DIRECTIVE.match(lines[place])
            end = closing(lines, place, match["marks"], chapter) if match else place
            if match and match["name"] == "exercise-start":
                now = _begin(match["argument"], split_options(lines[place + 1 : end])[0], chapter)
                found[now.label] = now
            elif match and match["name"] == "exercise-end":
                now = None
            elif match and match["name"] == "solution":
                if match["argument"] not in found:
                    raise BookError(f"{chapter}: a solution of '{match['argument']}', which is no exercise before it")
                _solve(found[match["argument"]], split_options(lines[place + 1 : end])[1])
            elif now is not None:
                now.text += lines[place] + "\n"
                end = place
            place = end + 1
    if now is not None:
        raise BookError(f"{chapter}: {now.label} is not closed")
    for exercise in found.values():
        exercise.text = exercise.text.strip()
        if not exercise.solution or bool(exercise.stub) != bool(exercise.code):
            raise BookError(f"{chapter}: {exercise.label} has no solution, or code without a stub, or a stub without code")
    return list(found.values())


def _begin(title: str, options: dict[str, str], chapter: str) -> Exercise:
    level, _, rest = title.partition(": ")
    if level not in LEVELS or "label" not in options:
        raise BookError(f"{chapter}: an exercise needs a label and a title that begins with {', '.join(LEVELS)}: {title}")
    return Exercise(options["label"], level, rest[:1].upper() + rest[1:])


def _solve(exercise: Exercise, lines: list[str]) -> None:
    exercise.solution = "\n".join(lines).strip()
    if code := re.match(r"```python\n(.*?)\n```", exercise.solution, re.DOTALL):
        exercise.code = code[1]
