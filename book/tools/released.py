"""Keep the results of a run, so that the notebooks' text can quote them where no book was built: in Colab.

    make book PROFILE=cpu && python book/tools/released.py [--profile cpu] && make notebooks

The chapters give results names (``notebook.glue``) and quote them. The book fills them in from the run that built it; a
notebook opened elsewhere has not run yet, so its text shows the released run's, marked as such. They go to
book/released.json, numbers shortened to six digits, with a line that says which run it was; what the run cost goes to
book/timings.json (run_times.py).
"""

from __future__ import annotations

import argparse
import ast
import json
import sys
from typing import Any

import run_times
from project import BUILD, PROFILES, RELEASED, BookError, chapters, tool
from side_by_side import told

MIME = "application/papermill.record/text/plain"


def results(notebook: dict[str, Any]) -> dict[str, float | int | str]:
    """What an executed notebook has named: numbers with six digits, texts as they are."""
    found: dict[str, float | int | str] = {}
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            name = output.get("metadata", {}).get("scrapbook", {}).get("name")
            if name and MIME in output.get("data", {}):
                value = ast.literal_eval("".join(output["data"][MIME]))
                found[name] = float(f"{value:.6g}") if isinstance(value, float) else value
    return found


def collect(profile: str) -> dict[str, float | int | str]:
    """The results of all chapters, and ``released_run``.

    Raises:
        BookError: a chapter was not executed in this profile, or two chapters name a result alike.
    """
    values: dict[str, float | int | str] = {}
    records = []
    for source in chapters():
        executed = BUILD / "notebooks" / profile / f"{source.stem}.ipynb"
        record = BUILD / "records" / profile / f"{source.stem}.json"
        if not (executed.exists() and record.exists()):
            raise BookError(f"{source.stem} was not executed in profile {profile}: run make book PROFILE={profile}")
        new = results(json.loads(executed.read_text(encoding="utf-8")))
        if twice := sorted(set(new) & set(values)):
            raise BookError(f"{source.stem}: named in another chapter too: {', '.join(twice)}")
        values |= new
        records.append(json.loads(record.read_text()))
    last = records[-1]
    machine = told(last["cores"], last["threads"], last["at_a_time"])
    run = f"profile {profile}, {machine}, {last['device']}, torch {last['torch']}, commit {last['commit']}"
    return {"released_run": run} | dict(sorted(values.items()))


@tool
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Keep the results of a run for the notebooks' text.")
    parser.add_argument("--profile", choices=PROFILES, default="cpu")
    options = parser.parse_args(arguments)
    values = collect(options.profile)
    run_times.keep(options.profile, BUILD, run_times.TIMINGS, [source.stem for source in chapters()])
    RELEASED.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"wrote {len(values) - 1} results to book/released.json; now: make notebooks")
    return 0


if __name__ == "__main__":
    sys.exit(main())
