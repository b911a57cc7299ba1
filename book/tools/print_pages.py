"""A Sphinx extension for the printed book: what stands before a page, such as the beginning of a part, tables that fit."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

# up to how many characters beside each other a table is set in which size; beyond, lines in its cells break
SIZES = ((92, ""), (112, r"\footnotesize"))
SMALL = r"\scriptsize\setlength{\tabcolsep}{3pt}\setlength{\tymin}{2.5em}"
FEW = 4  # columns that stand beside each other in normal size
NORMAL = r"\setlength{\tymin}{10em}"  # then no column below this width breaks its lines, and a sentence beside it does
MOST = 135  # characters that fit beside each other in the smallest size; a table with longer words is turned
LONGEST_LINE = 22  # characters of a cell; longer ones become paragraphs
LINE = 90  # characters of a line of text
LONG = 32  # lines of a table that may not fit on what is left of a page


@dataclass
class Measure:
    """What a table holds: characters of the longest text and of the longest word of each column, and lines, more or less."""

    texts: list[int]
    words: list[int]
    lines: float

    @property
    def across(self) -> int:
        """Characters beside each other if few lines break."""
        return sum(min(text, LONGEST_LINE) + 2 for text in self.texts)

    @property
    def least(self) -> int:
        """Characters beside each other if every word has a line of its own."""
        return sum(word + 2 for word in self.words)

    @property
    def shares(self) -> list[int]:
        """Widths of the columns in per cent: room for every word, and what is left by the length of the texts, dampened."""
        room = [1.15 * word + 4 for word in self.words]
        more = [max(0.0, text**0.75 - least) for text, least in zip(self.texts, room, strict=True)]
        left = max(0.0, SIZES[0][0] - sum(room)) / (sum(more) or 1)
        wanted = [least + left * further for least, further in zip(room, more, strict=True)]
        return [max(1, round(100 * width / sum(wanted))) for width in wanted]


def measure(table: nodes.table) -> Measure:
    """Measure a table."""
    rows = [[entry.astext() for entry in row.children] for row in table.findall(nodes.row)]
    columns = list(zip(*rows, strict=True)) if len({len(row) for row in rows}) == 1 else [[text] for row in rows for text in row]
    texts = [max(map(len, column)) for column in columns]
    words = [max((len(word) for text in column for word in re.split("[ \n]+", text)), default=0) for column in columns]
    found = Measure(texts, words, 0)
    wide = [max(1, share / 100 * SIZES[0][0]) for share in found.shares]
    found.lines = sum(
        max((math.ceil(len(text) / room) for text, room in zip(row, wide, strict=False)), default=1) for row in rows
    )
    return found


def size_of(found: Measure) -> str:
    """LaTeX that sets a table's size: smaller the more stands beside each other, but a few columns of sentences break lines."""
    if found.across <= SIZES[0][0]:
        return SIZES[0][1]
    sentences = len(found.texts) < 7 and found.least < SIZES[0][0]
    return SIZES[1][1] if found.across <= SIZES[1][0] or sentences else SMALL


class Fit(SphinxPostTransform):
    """Tables that are too wide for the page in smaller letters, the widest on a page turned on its side, and the longest over
    several pages."""

    default_priority = 850
    formats = ("latex",)

    def run(self, **kwargs: Any) -> None:
        for table in list(self.document.findall(nodes.table)):
            for entry in table.findall(nodes.entry):
                if not entry.astext() and not list(entry.findall(nodes.image)):
                    entry.clear()  # an empty paragraph would be a line high
            table = _whole(table)
            found = measure(table)
            boxed = any(isinstance(above, nodes.Admonition) for above in _above(table))
            start, end = f"{{{size_of(found) or NORMAL * (len(found.texts) <= FEW)}", "}"
            if found.least > MOST and not boxed:
                start, end = f"\\begin{{landscape}}{SMALL}", "\\end{landscape}"
            if found.lines > LONG and not boxed:
                table["classes"] += ["longtable", "colwidths-given"]
                for column, share in zip(table.findall(nodes.colspec), found.shares, strict=True):
                    column["colwidth"] = share
                _room(table)
            place = table.parent.index(table)
            table.parent.insert(place + 1, nodes.raw("", f"\n{end}\n", format="latex"))
            table.parent.insert(place, nodes.raw("", f"\n{start}\n", format="latex"))


def _whole(table: nodes.table) -> nodes.table:
    """The table with numbers and their intervals on one line, where the page is wide enough for that."""
    joined = table.deepcopy()
    for text in list(joined.findall(nodes.Text)):
        text.parent.replace(text, nodes.Text(text.replace(" ± ", "\u00a0±\u00a0")))
    if measure(joined).least > MOST:
        return table
    table.replace_self(joined)
    return joined


def _room(table: nodes.table) -> None:
    """Room for a long table's first rows: a page that ended between a heading and them would get the table's foot."""
    above, place = table.parent, table.parent.index(table)
    if isinstance(above, nodes.section) and place and isinstance(above[place - 1], nodes.title):
        above, place = above.parent, above.parent.index(above)
    # a heading's label is the end of the section before, and must stay beside the heading: else LaTeX would see it twice
    while place and isinstance(before := above[place - 1], nodes.section | nodes.target):
        above, place = (before, len(before)) if isinstance(before, nodes.section) else (above, place - 1)
    above.insert(place, nodes.raw("", "\\Needspace{18\\baselineskip}\n", format="latex"))


def _above(node: nodes.Node) -> list[nodes.Node]:
    above = []
    while node.parent is not None:
        node = node.parent
        above.append(node)
    return above


class Together(SphinxPostTransform):
    """A line that names or announces code or a table stays on its page. Boxes see to that themselves."""

    default_priority = 840  # before tables have LaTeX around them
    formats = ("latex",)

    def run(self, **kwargs: Any) -> None:
        for kind in (nodes.literal_block, nodes.table):
            for shown in list(self.document.findall(kind)):
                above, place = shown.parent, shown.parent.index(shown) - 1
                line = above[place] if place >= 0 else None
                boxed = any(isinstance(one, nodes.Admonition) for one in _above(shown))
                if isinstance(line, nodes.paragraph) and len(line.astext()) <= LINE and not boxed:
                    above.insert(place, nodes.raw("", "\\Needspace{8\\baselineskip}\n", format="latex"))


class Before(SphinxPostTransform):
    """LaTeX of the setting ``print_before``, by page, put before that page's title."""

    default_priority = 900
    formats = ("latex",)

    def run(self, **kwargs: Any) -> None:
        for page in self.document.findall(addnodes.start_of_file):
            if latex := self.config.print_before.get(page["docname"]):
                page.insert(0, nodes.raw("", latex + "\n", format="latex"))


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_config_value("print_before", {}, "env", dict)
    app.add_post_transform(Before)
    app.add_post_transform(Fit)
    app.add_post_transform(Together)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
