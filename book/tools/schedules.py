"""Schedules for teachers, from book/teaching/plan.yml, and the page that shows them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from exercises import LEVELS, POINTS, Exercise, read_exercises
from notebooks import read_cells
from project import ROOT

Asked = dict[str, list[Exercise]]


def load_plan() -> dict[str, Any]:
    """book/teaching/plan.yml."""
    import yaml

    return yaml.safe_load((ROOT / "book" / "teaching" / "plan.yml").read_text(encoding="utf-8"))


def titles_of(cells: dict[str, list[dict[str, Any]]]) -> dict[str, str]:
    """The chapters' titles."""
    return {
        name: next(line[2:] for line in parts[0]["source"].splitlines() if line.startswith("# ")) for name, parts in cells.items()
    }


def six_weeks(plan: dict[str, Any], titles: dict[str, str], asked: Asked) -> str:
    """The schedule of six weeks, a Markdown table."""
    rows = [
        "| week | chapters | you can, afterwards | lecture, min | lab, min | to hand in |",
        "| ---: | --- | --- | ---: | ---: | --- |",
    ]
    for week in plan["six_weeks"]:
        names = week["chapters"]
        lecture, lab = (sum(plan["chapters"][name][kind] for name in names) for kind in ("lecture", "lab"))
        home = [exercise for name in names for exercise in asked[name] if exercise.level in ("Explain", "Research")]
        rows.append(
            f"| {week['week']} | {'; '.join(titles[name] for name in names)} | {week['goal']} | {lecture} | {lab} "
            f"| one of {len(home)}: {'; '.join(exercise.title for exercise in home)} |"
        )
    return "\n".join(rows)


def one_day(plan: dict[str, Any], titles: dict[str, str]) -> str:
    """The schedule of one day, a Markdown table."""
    hours, minutes = map(int, plan["one_day"]["start"].split(":"))
    clock = 60 * hours + minutes
    rows = ["| from | to | chapter | what |", "| --- | --- | --- | --- |"]
    for session in plan["one_day"]["sessions"]:
        end = clock + session["minutes"]
        chapter = "; ".join(titles[name] for name in session.get("chapters", []))
        rows.append(f"| {clock // 60:02}:{clock % 60:02} | {end // 60:02}:{end % 60:02} | {chapter} | {session['what']} |")
        clock = end
    return "\n".join(rows)


def overview(plan: dict[str, Any], titles: dict[str, str], asked: Asked) -> str:
    """What each chapter has to work on, a Markdown table."""
    rows = [
        "| chapter | lecture, min | lab, min | " + " | ".join(LEVELS) + " | points |",
        "| --- |" + " ---: |" * (len(LEVELS) + 3),
    ]
    for name, exercises in asked.items():
        levels = [exercise.level for exercise in exercises]
        counts = " | ".join(str(levels.count(level)) for level in LEVELS)
        times = plan["chapters"][name]
        points = sum(POINTS[level] for level in levels)
        rows.append(f"| {titles[name]} | {times['lecture']} | {times['lab']} | {counts} | {points} |")
    return "\n".join(rows)


def fill(text: str, sources: list[Path]) -> str:
    """The page for teachers with its tables, each in the place of a comment that names it."""
    cells = {source.stem: read_cells(source) for source in sources}
    asked = {name: read_exercises(parts, name) for name, parts in cells.items()}
    plan, titles = load_plan(), titles_of(cells)
    for name, table in {
        "overview": overview(plan, titles, asked),
        "six weeks": six_weeks(plan, titles, asked),
        "one day": one_day(plan, titles),
    }.items():
        text = text.replace(f"<!-- {name} -->", table)
    return text
