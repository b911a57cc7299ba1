"""What running a chapter costs, by profile: kept from runs, told where a reader decides whether to begin.

    python book/tools/run_times.py --profile gpu      keep what `make book PROFILE=gpu` has measured here

`execute.py` measures every run, and its records stay on the machine of the run. `released.py` and this command keep the few
numbers that a reader of a notebook wants in book/timings.json. Nobody writes that file by hand; a profile that nobody has run is
not in it, and the text says so.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from project import BUILD, PROFILES, ROOT, BookError, chapters, tool
from side_by_side import told

TIMINGS = ROOT / "book" / "timings.json"
KEPT = ("seconds", "peak_memory", "device", "cores", "threads", "at_a_time", "torch", "commit")  # of a record; memory in MB
READERS = {"cpu": "without a GPU", "gpu": "on a GPU"}  # the profiles that a notebook chooses by itself
MEMORY = "<!-- memory -->"  # in a page: what running the chapters takes
OWN_MEMORY = "<!-- memory of one's own capture -->"

Costs = dict[str, dict[str, dict[str, Any]]]  # profile → chapter → what of KEPT


def duration(seconds: float) -> str:
    """Seconds as a reader says them."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.1f} min"


def gigabytes(megabytes: float) -> str:
    return f"{megabytes / 1024:.1f} GB"


def on(record: dict[str, Any]) -> str:
    """The machine of a run, and how much of it a chapter had; what was kept of an old run does not say the latter."""
    return f"{told(record['cores'], record.get('threads'), record.get('at_a_time', 1))}, {record['device']}"


def load(path: Path = TIMINGS) -> Costs:
    """All that was kept; empty if nothing was."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def keep(profile: str, build: Path = BUILD, path: Path = TIMINGS, names: list[str] | None = None) -> Costs:
    """Take the records of a run over into the file; other profiles stay as they are.

    Raises:
        BookError: a chapter was not executed in this profile.
    """
    found = {}
    for name in names or [source.stem for source in chapters()]:
        record = build / "records" / profile / f"{name}.json"
        if not record.exists():
            raise BookError(f"{name} was not executed in profile {profile}: run make book PROFILE={profile}")
        whole = json.loads(record.read_text())
        found[name] = {key: whole[key] for key in KEPT}
    every = load(path) | {profile: found}
    every = {name: every[name] for name in PROFILES if name in every}
    path.write_text(json.dumps(every, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return every


# --- what is told


def expected(chapter: str, profile: str, costs: Costs) -> str:
    """What all cells of a chapter cost in a profile, in words."""
    one = costs.get(profile, {}).get(chapter)
    if one is None:
        return "nobody has measured its time and memory yet"
    return f"{duration(one['seconds'])} and {gigabytes(one['peak_memory'])} of memory on {on(one)}"


def note(chapter: str, costs: Costs) -> str:
    """The line in a notebook's head: what will it take, before somebody runs it?"""
    each = "; ".join(f"{where} (profile `{name}`): {expected(chapter, name, costs)}" for name, where in READERS.items())
    return f"*All cells of this chapter, {each}.*"


def table(titles: dict[str, str], costs: Costs) -> str:
    """A section for the page of run times: every chapter, a column for each profile that was measured; empty without any."""
    if not costs:
        return ""
    head = " | ".join(f"`{name}`, {' and '.join(_machines(of))}" for name, of in costs.items())
    lines = [f"| chapter | {head} |", "| --- |" + " ---: |" * len(costs)]
    for chapter, title in titles.items():
        cells = [
            f"{duration(one['seconds'])}, {gigabytes(one['peak_memory'])}" if (one := of.get(chapter)) else "–"
            for of in costs.values()
        ]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    missing = [f"`{name}`" for name in READERS if name not in costs]
    unknown = f"\n\nNobody has measured {' and '.join(missing)} yet." if missing else ""
    head = "\n## In other sizes\n\nWhat was measured when the results of a size were last kept.\n\n"
    return head + "\n".join(lines) + unknown + "\n"


def _machines(of: dict[str, dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(on(one) for one in of.values()))


def fill(text: str, costs: Costs) -> str:
    """A page with its sentences about memory, each in the place of a comment that asks for it.

    Raises:
        BookError: nothing was measured in the profile `cpu`, which a reader's machine runs.
    """
    if MEMORY not in text and OWN_MEMORY not in text:
        return text
    if not (cpu := costs.get("cpu")):
        raise BookError("book/timings.json has nothing of the profile cpu: run make book, then book/tools/released.py")
    most = max(cpu, key=lambda name: cpu[name]["peak_memory"])
    total = duration(sum(one["seconds"] for one in cpu.values()))
    together = any(one.get("at_a_time", 1) > 1 for one in cpu.values())  # then they were there sooner than that
    took = f"the times of all chapters add up to {total}" if together else f"all chapters took {total}"
    all_of_it = (
        f"On {' and '.join(_machines(cpu))}, {took}; the most memory, "
        f"{gigabytes(cpu[most]['peak_memory'])}, was taken by {{ref}}`{most[:4]}`"
    )
    capture = gigabytes(cpu["ch07-your-capture"]["peak_memory"])
    own = f"{{ref}}`ch07`, which does the same and more, took at most {capture} of memory"
    return text.replace(MEMORY, all_of_it).replace(OWN_MEMORY, own)


@tool
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Keep what the chapters cost in a run.")
    parser.add_argument("--profile", choices=PROFILES, default="cpu")
    options = parser.parse_args(arguments)
    keep(options.profile)
    print(f"kept the times of profile {options.profile} in book/timings.json; now: make notebooks")
    return 0


if __name__ == "__main__":
    sys.exit(main())
