"""Predict-first questions: one form in the source, read by the page (predict.py), by Colab (lowering.py) and by the course.

```{predict} 1. A classifier sees no picture, only the visibility map. How well does it tell phone from studio?
- [ ] No better than a coin.
  What a reader is told who has chosen this.
- [x] Perfectly.

The answer, any MyST.
```
"""

from __future__ import annotations

import re
from dataclasses import dataclass

CHOICE = re.compile(r"^- \[(?P<mark>[ x])\] (?P<text>.+)$")


@dataclass(frozen=True)
class Choice:
    """One answer to choose: its text, whether it is right, and what to tell who chose it (may be empty)."""

    text: str
    right: bool
    reply: str


def read_choices(lines: list[str]) -> tuple[list[Choice], list[str]]:
    """The choices at the beginning of a question's body, and the lines of its answer.

    Raises:
        ValueError: fewer than two choices, none or more than one of them right, or no answer; the message says which.
    """
    choices: list[Choice] = []
    place = 0
    while place < len(lines):
        line = lines[place]
        if found := CHOICE.match(line):
            choices.append(Choice(found["text"].strip(), found["mark"] == "x", ""))
        elif line.startswith("  ") and line.strip() and choices:
            last = choices.pop()
            choices.append(Choice(last.text, last.right, f"{last.reply} {line.strip()}".strip()))
        elif line.strip():
            break
        place += 1
    answer = lines[place:]
    if len(choices) < 2 or sum(choice.right for choice in choices) != 1:
        raise ValueError("a predict box needs two or more lines '- [ ] choice', one of them marked '[x]'")
    if not any(line.strip() for line in answer):
        raise ValueError("a predict box needs an answer below its choices")
    return choices, answer
