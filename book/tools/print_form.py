"""The printed form of an executed chapter: what a page shows as HTML becomes a numbered figure, what it folds is left out.

Every figure of a chapter carries a PNG beside its HTML, and a sentence that is its text alternative and its caption
(`studiolike.chapters.figures`); for sliders and viewers the PNG is a strip or a still. Print takes these two.
"""

from __future__ import annotations

import re
from typing import Any

from project import BookError

MARKDOWN = re.compile(r"([\\`*_{}\[\]<>$#|~])")
OPENS = re.compile(r"^(\s*)([-+]|\d+\.)(?=\s)")


def plain(text: str) -> str:
    """A sentence as Markdown that shows just these characters."""
    return OPENS.sub(r"\1\\\2", MARKDOWN.sub(r"\\\1", " ".join(text.split())))


def print_cells(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The cells as print shows them: folded code gone, one cell for each figure, with its caption.

    Raises:
        BookError: a cell shows HTML without a picture that could stand for it.
    """
    shown = [part for cell in cells for part in (_parts(cell) if cell["cell_type"] == "code" else [cell])]
    return [part | {"id": f"cell-{number}"} for number, part in enumerate(shown)]


def _parts(cell: dict[str, Any]) -> list[dict[str, Any]]:
    tags = ["remove-input" if tag == "hide-input" else tag for tag in cell["metadata"].get("tags", [])]
    if {"remove-cell", "remove-output"} & set(tags):
        return [_cell(cell, tags, cell.get("outputs", []))]  # not shown, but numbers for the text may be among them
    parts: list[dict[str, Any]] = [_cell(cell, tags, [])]
    further = [*tags, "remove-input"]  # the code stands once, above the first of them
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        if "text/html" not in data:
            if "figure" in parts[-1]["metadata"].get("mystnb", {}):
                parts.append(_cell(cell, further, []))
            parts[-1]["outputs"].append(output)
            continue
        if "image/png" not in data:
            raise BookError(f"a cell shows HTML that has no printed form, only: {''.join(data['text/html'])[:80]}")
        alt = output["metadata"]["image/png"]["alt"]
        still = output | {"data": {"image/png": data["image/png"], "text/plain": alt}}
        part = _cell(cell, further, [still])
        part["metadata"]["mystnb"] = {"image": {"alt": alt}, "figure": {"caption": plain(alt)}}
        parts.append(part)
    return parts


def _cell(cell: dict[str, Any], tags: list[str], outputs: list[dict[str, Any]]) -> dict[str, Any]:
    """A copy with these tags and outputs."""
    return cell | {"metadata": {"tags": list(dict.fromkeys(tags))}, "outputs": outputs}
