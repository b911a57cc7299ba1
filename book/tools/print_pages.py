"""A Sphinx extension for the printed book: what stands before a page, such as the beginning of a part, tables that fit."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

# up to how many characters beside each other a table is set in which size; beyond, lines in its cells break
SIZES = ((92, ""), (112, r"\footnotesize"))
SMALL = r"\scriptsize\setlength{\tabcolsep}{3pt}\setlength{\tymin}{2.5em}"
MOST = 135  # characters that fit beside each other in the smallest size; a table with longer words is turned
LONGEST_LINE = 22  # characters of a cell; longer ones become paragraphs


def widths(table: nodes.table) -> tuple[int, int]:
    """How many characters of a table stand beside each other, with the gaps between columns: if cells' lines do not break, and
    if every word has a line of its own."""
    lines: dict[int, int] = {}
    words: dict[int, int] = {}
    for row in table.findall(nodes.row):
        for column, entry in enumerate(row.children):
            text = entry.astext()
            lines[column] = max(lines.get(column, 0), min(len(text), LONGEST_LINE))
            words[column] = max([words.get(column, 0), *map(len, text.split())])
    return sum(lines.values()) + 2 * len(lines), sum(words.values()) + 2 * len(words)


class Fit(SphinxPostTransform):
    """Tables that are too wide for the page in smaller letters, and the widest on a page turned on its side."""

    default_priority = 850
    formats = ("latex",)

    def run(self, **kwargs: Any) -> None:
        for table in list(self.document.findall(nodes.table)):
            line, least = widths(table)
            start, end = f"{{{next((size for most, size in SIZES if line <= most), SMALL)}", "}"
            if least > MOST and not any(isinstance(above, nodes.Admonition) for above in _above(table)):
                start, end = f"\\begin{{landscape}}{SMALL}", "\\end{landscape}"
            place = table.parent.index(table)
            table.parent.insert(place + 1, nodes.raw("", f"\n{end}\n", format="latex"))
            table.parent.insert(place, nodes.raw("", f"\n{start}\n", format="latex"))


def _above(node: nodes.Node) -> list[nodes.Node]:
    above = []
    while node.parent is not None:
        node = node.parent
        above.append(node)
    return above


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
    return {"parallel_read_safe": True, "parallel_write_safe": True}
