"""The chain of the method as one small picture, shown at the top of every chapter with that chapter's stage marked.

It is drawn as SVG inside the page, in the page's own colours, so that it follows the light and the dark theme; where HTML is
not shown (Colab, other viewers) a line of words stands in its place.
"""

from __future__ import annotations

import html
import re
from typing import Any

STAGES = {
    1: ("two domains", "phone and studio"),
    2: ("G_phone", "learns phone textures"),
    3: ("w+", "the code of a face"),
    4: ("G_studio", "same face, even light"),
    5: ("fusion, detailer", "the phone's detail"),
    6: ("avatar", "and the examination"),
    7: ("your own capture", "a real photograph through all of it"),
}
ACROSS, DOWN, WIDE, HIGH, GAP = 3, 2, 160, 50, 24  # boxes in a row, rows, and their sizes
LINE = 'fill="none" stroke="currentColor" stroke-width="1.5"'


def number_of(chapter: str) -> int | None:
    """The stage that a chapter called ``ch04-adaptation`` stands for; None if it stands for none."""
    found = re.match(r"ch(\d\d)-", chapter)
    return int(found[1]) if found and int(found[1]) in STAGES else None


def in_words(here: int) -> str:
    """The chain as one line of Markdown."""
    names = [f"**{name}**" if number == here else name for number, (name, _) in STAGES.items() if number < 7]
    line = " → ".join(names)
    return f"*You are here:* {line}" + (f"; **{STAGES[7][0]}** goes through all of it" if here == 7 else "")


def as_svg(here: int) -> str:
    """The chain as an SVG picture with its text alternative; box ``here`` is filled."""
    width = ACROSS * WIDE + (ACROSS - 1) * GAP
    parts = []
    for number in range(1, 7):
        x, y = _place(number)
        parts.append(_box(number, x, y, WIDE, here))
        if number % ACROSS and number < 6:
            parts.append(_arrow(f"M{x + WIDE + 2} {y + HIGH / 2} h{GAP - 6}"))
    # from the end of the first row to the beginning of the second
    (x3, y3), (x4, y4) = _place(3), _place(4)
    middle = (y3 + HIGH + y4) / 2
    parts.append(_arrow(f"M{x3 + WIDE / 2} {y3 + HIGH} V{middle} H{x4 + WIDE / 2} V{y4 - 4}"))
    parts.append(_box(7, 1, DOWN * (HIGH + GAP) + 1, width, here))
    name = f"You are here: chapter {here}, {STAGES[here][0]}. The chain: " + ", then ".join(
        f"{n} {STAGES[n][0]}" for n in range(1, 7)
    )
    height = (DOWN + 1) * (HIGH + GAP) - GAP + 2
    return (
        f'<svg class="chain" role="img" aria-label="{html.escape(name)}" viewBox="0 0 {width + 2} {height}" '
        f'style="width:100%;max-width:{width + 2}px;height:auto;margin-bottom:1rem;color:var(--pst-color-text-base,#1b1b1b)" '
        'font-family="inherit">'
        '<defs><marker id="chain-tip" viewBox="0 0 6 6" refX="4" refY="3" markerWidth="6" markerHeight="6" orient="auto">'
        f'<path d="M0 0 L6 3 L0 6 z" fill="currentColor"/></marker></defs>{"".join(parts)}</svg>'
    )


def put_in(page: dict[str, Any], chapter: str, pictures: bool = True) -> dict[str, Any]:
    """A notebook with the chain below the title in its first cell, as a picture or in words."""
    here = number_of(chapter)
    if here is None:
        return page
    block = f"```{{raw}} html\n{as_svg(here)}\n```" if pictures else in_words(here)
    cell = page["cells"][0]
    text = "".join(cell["source"])
    cell["source"] = re.sub(r"^(# .+)$", lambda title: f"{title[1]}\n\n{block}", text, count=1, flags=re.MULTILINE)
    return page


def _place(number: int) -> tuple[float, float]:
    row, column = divmod(number - 1, ACROSS)
    return column * (WIDE + GAP) + 1, row * (HIGH + GAP) + 1


def _box(number: int, x: float, y: float, wide: float, here: int) -> str:
    name, about = STAGES[number]
    look, ink = (LINE, "currentColor")
    if number == here:
        look, ink = 'fill="currentColor" stroke="currentColor" stroke-width="1.5"', "var(--pst-color-background,#fff)"
    text = f'text-anchor="middle" fill="{ink}"'
    return (
        f'<rect x="{x}" y="{y}" width="{wide}" height="{HIGH}" rx="7" {look}/>'
        f'<text x="{x + wide / 2}" y="{y + 21}" font-size="14" font-weight="600" {text}>{number} · {html.escape(name)}</text>'
        f'<text x="{x + wide / 2}" y="{y + 38}" font-size="11.5" {text}>{html.escape(about)}</text>'
    )


def _arrow(path: str) -> str:
    return f'<path d="{path}" {LINE} marker-end="url(#chain-tip)"/>'
