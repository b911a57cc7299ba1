"""What the page of metrics tells from records: what three answers that everybody can picture score in each measure.

A measure's number says little alone. Beside it the page has the phone texture left as it is, the mean face for everybody, and
our chain, from the records of the rivals; a comment in the page asks for them (``<!-- scores: low_band -->``), so that no number
there is older than the networks it speaks of.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

ASKED = re.compile(r"<!-- scores: (\S+) -->")
PEOPLE = "<!-- scored people -->"
ANSWERS = {"nothing": "phone texture", "mean_studio": "mean face", "chain": "our chain"}
UNKNOWN = "not measured with the present weights"


def fill(text: str, root: Path | None = None) -> str:
    """A page with its scores, each in the place of a comment that asks for it. ``root``: of the records."""
    if PEOPLE not in text and not ASKED.search(text):
        return text
    from rivals_contest import Contest  # with torch, which a page without scores does not need

    contest = Contest.read("few", root)
    known = [name for name in ANSWERS if name in contest.records]

    def scores(found: re.Match[str]) -> str:
        means = [(ANSWERS[name], float(np.nanmean(contest.values(name, found[1])))) for name in known]
        return f"({', '.join(f'{called} {mean:.3g}' for called, mean in means) or UNKNOWN})"

    people = max((len(contest.records[name].subject) for name in known), default=0)
    told = f'The scores are means over {people} unseen people (split "val"), protocol `few`, as on the page of the rivals.'
    return ASKED.sub(scores, text).replace(PEOPLE, told if people else f"Scores are {UNKNOWN}.")
