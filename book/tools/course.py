"""The course: from the chapters and book/teaching/plan.yml everything that a teacher needs, into _build/course.

    python book/tools/course.py --profile cpu

Student notebooks have stubs and no solutions; instructor notebooks have solutions, what typical wrong answers show, prompts,
and the time of each slow cell, where the chapters were executed before (make book). Slides, quizzes, two schedules and a
grading sheet come from the same sources.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from build import copy_mathjax
from exercises import POINTS, POSSIBLE, read_exercises
from handouts import load_times, student_cells, teacher_cells
from lowering import lower
from naming import DIRECTIVE, Names, closing
from notebooks import book_flavour, colab_flavour, names_of, read_cells
from project import BUILD, PROFILES, BookError, chapters, project, tool
from questions import Choice, read_choices
from run_times import duration
from schedules import Asked, load_plan, one_day, six_weeks, titles_of
from slides import deck, glued, read_slides

# --- quizzes


def read_questions(cells: list[dict[str, Any]]) -> list[tuple[str, list[Choice], list[str]]]:
    """The predict-first questions of a chapter: title, choices, lines of the answer."""
    found = []
    for cell in cells:
        lines = cell["source"].splitlines() if cell["cell_type"] == "markdown" else []
        for place, line in enumerate(lines):
            box = DIRECTIVE.match(line)
            if box and box["name"] == "predict":
                choices, answer = read_choices(lines[place + 1 : closing(lines, place, box["marks"])])
                found.append((box["argument"], choices, answer))
    return found


def quiz(title: str, questions: list[tuple[str, list[Choice], list[str]]], chapter: str, names: Names, key: bool) -> str:
    """A quiz as Markdown; with ``key`` the answers too."""
    lines = [f"# {'Answers' if key else 'Quiz'}: {title}", "", *([] if key else ["Name:", ""])]
    for question, choices, answer in questions:
        lines += [f"**{lower(question, names, chapter)}**", ""]
        for letter, choice in zip("abcdefgh", choices, strict=False):
            mark = " ←" if key and choice.right else ""
            lines.append(f"- {letter}) {lower(choice.text, names, chapter)}{mark}")
            if key and choice.reply:
                lines.append(f"  - who says so hears: {lower(choice.reply, names, chapter)}")
        lines += ["", *([lower("\n".join(answer), names, chapter), ""] if key else [])]
    return "\n".join(lines)


# --- schedules


def runs(profile: str, names: list[str]) -> str:
    """What running the chapters took, as measured; a sentence if they were not run."""
    lines = []
    for name in names:
        path = BUILD / "records" / profile / f"{name}.json"
        if path.exists():
            record = json.loads(path.read_text())
            lines.append(f"| {name} | {duration(record['seconds'])} | {record['peak_memory'] / 1024:.1f} GB |")
    if not lines:
        return f"No chapter has been run in the profile `{profile}` here: `make book PROFILE={profile}` measures them."
    return "\n".join([f"| chapter, profile `{profile}` | time | memory |", "| --- | ---: | ---: |", *lines])


# --- grading


def sheet(asked: Asked) -> str:
    """The grading sheet as CSV: a column for each exercise, a row with the points that there are, rows for students."""
    columns = [exercise for exercises in asked.values() for exercise in exercises]
    points = [POINTS[exercise.level] for exercise in columns]
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["name", *(exercise.label for exercise in columns), "sum"])
    rows.writerow([POSSIBLE, *points, sum(points)])
    return text.getvalue()


def reachable(asked: Asked, plan: dict[str, Any]) -> tuple[int, int]:
    """Points of all checked exercises, and the most that one exercise a week graded by reading adds to them."""
    checked = sum(POINTS[one.level] for exercises in asked.values() for one in exercises if one.check)
    weeks = [[one for name in week["chapters"] for one in asked[name] if not one.check] for week in plan["six_weeks"]]
    return checked, sum(max((POINTS[one.level] for one in week), default=0) for week in weeks)


def rubric(asked: Asked, titles: dict[str, str], plan: dict[str, Any]) -> str:
    """How each exercise is graded, as Markdown."""
    checked, read = reachable(asked, plan)
    lines = [
        "# How to grade",
        "",
        "`grading-sheet.csv` has a column for each exercise. `make grade FOLDER=handed-in` fills it with what the checks "
        "have said in the notebooks that students hand in; what is graded by reading stays empty.",
        "Two points of an exercise that is graded by reading are for the argument, the others for a measurement or a proof; an "
        "answer that differs from the solution and says how it could be tested is a good answer.",
        "",
        f"The checks give at most {checked} points. Whoever hands in one further exercise a week, as `six-weeks.md` has it, can "
        f"reach {checked + read}; the sheet's largest sum is for all of them.",
        "",
        "| chapter | exercise | level | points | graded |",
        "| --- | --- | --- | ---: | --- |",
    ]
    for name, exercises in asked.items():
        for one in exercises:
            how = "by its check" if one.check else "by reading"
            lines.append(f"| {titles[name]} | {one.title} | {one.level} | {POINTS[one.level]} | {how} |")
    return "\n".join(lines) + "\n"


# --- all of it


def shown_cells(source: Path, profile: str, build: Path) -> list[dict[str, Any]]:
    """A chapter's cells as they are now, with what they showed when they last ran in this profile, if they did."""
    cells = json.loads(book_flavour(source))["cells"]
    path = build / "notebooks" / profile / f"{source.stem}.ipynb"
    ran = json.loads(path.read_text(encoding="utf-8"))["cells"] if path.exists() else []
    outputs = {cell["id"]: cell["outputs"] for cell in ran if cell["cell_type"] == "code"}
    return [cell | {"outputs": outputs.get(cell["id"], [])} for cell in cells]


def make(profile: str, target: Path, build: Path = BUILD) -> Path:
    """Write the course. The last good one stays until this one is whole.

    Raises:
        BookError: a chapter is not in the plan, or an exercise is not whole.
    """
    sources, plan = chapters(), load_plan()
    cells = {source.stem: read_cells(source) for source in sources}
    if set(plan["chapters"]) != set(cells):
        raise BookError(f"book/teaching/plan.yml and the chapters differ in {sorted(set(plan['chapters']) ^ set(cells))}")
    names, titles = names_of(sources), titles_of(cells)
    asked = {name: read_exercises(parts, name) for name, parts in cells.items()}
    fresh = target.with_name(target.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    for folder in ("student", "instructor", "slides", "quiz"):
        (fresh / folder).mkdir(parents=True)
    answers = []
    for source in sources:
        name, parts = source.stem, cells[source.stem]
        executed = shown_cells(source, profile, build)
        taught = teacher_cells(source, parts, asked[name], plan["chapters"][name], load_times(name, profile, build))
        shown = deck(name, read_slides(executed, glued(executed)), asked[name], plan["chapters"][name]["discussion"], names)
        questions = read_questions(parts)
        for path, text in {
            f"student/{name}.ipynb": colab_flavour(source, names, student_cells(parts)),
            f"instructor/{name}.ipynb": colab_flavour(source, names, taught),
            f"slides/{name}.html": shown,
            f"quiz/{name}.md": quiz(titles[name], questions, name, names, key=False),
        }.items():
            (fresh / path).write_text(text, encoding="utf-8")
        answers.append(quiz(titles[name], questions, name, names, key=True))
    copy_mathjax(fresh / "slides" / "mathjax")
    for drawn in (fresh / "slides" / "mathjax").iterdir():
        os.replace(drawn, fresh / "slides" / "mathjax.js")
    (fresh / "slides" / "mathjax").rmdir()
    about = project()
    for path, text in {
        "instructor/quiz-answers.md": "\n".join(answers),
        "six-weeks.md": f"# Six weeks\n\n{six_weeks(plan, titles, asked)}\n\n## Minutes to run\n\n{runs(profile, list(cells))}\n",
        "one-day.md": f"# One day\n\n{one_day(plan, titles)}\n\n## Minutes to run\n\n{runs(profile, list(cells))}\n",
        "grading-sheet.csv": sheet(asked),
        "grading.md": rubric(asked, titles, plan),
        "README.md": README.format(name=about.name, version=about.version, homepage=about.homepage),
    }.items():
        (fresh / path).write_text(text, encoding="utf-8")
    shutil.rmtree(target, ignore_errors=True)
    os.replace(fresh, target)
    return target


README = """# A course with the book

Made from {name} {version}; the book is at <{homepage}>.

| folder or file | for whom | what |
| --- | --- | --- |
| `student/` | students | the chapters with stubs; each says itself whether an answer is right |
| `instructor/` | you | the same with solutions, times, prompts, what wrong answers show; `quiz-answers.md` |
| `slides/` | both | one HTML file a chapter; arrow keys turn pages, printing makes a PDF; keep `mathjax.js` beside them |
| `quiz/` | students | the questions of each chapter to answer before reading |
| `six-weeks.md`, `one-day.md` | you | two schedules |
| `grading-sheet.csv`, `grading.md` | you | points, and how they are given |

Nothing here needs a network once the package is installed. `make course` writes all of it anew.
"""


@tool
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Make the course from the chapters.")
    parser.add_argument(
        "--profile", choices=PROFILES, default="cpu", help="whose run times and figures are used, if there are any"
    )
    options = parser.parse_args(arguments)
    target = make(options.profile, BUILD / "course")
    print(f"{sum(1 for path in target.rglob('*') if path.is_file())} files in {target.relative_to(BUILD.parent)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
