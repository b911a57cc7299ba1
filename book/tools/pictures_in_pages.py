"""What cells show as HTML, made fit for a page: numbered captions, and pictures as files that load when they are seen.

A notebook carries its pictures inside, so that it is one file. A page of them weighs megabytes before its first line is
read; here the pictures move into ``_static/figures``, named by their content, and the page points at them.
"""

from __future__ import annotations

import base64
import hashlib
import html
import io
import re
from pathlib import Path
from typing import Any

from PIL import Image

DATA_IMAGE = re.compile(r'<img (?P<before>[^>]*?)src="data:image/(?P<kind>png|jpeg);base64,(?P<data>[A-Za-z0-9+/=\s]+)"')
FRAME = re.compile(r'srcdoc="(?P<page>[^"]*)"')
CAPTION = re.compile(
    r"<figure(?P<attributes>[^>]*)>(?P<body>.*?)<figcaption(?P<look>[^>]*)>(?P<text>.*?)</figcaption>", re.DOTALL
)
FOLDER = "_static/figures"


class Shelf:
    """The folder that a site's pictures go to; ``source`` is that of the book's sources. Pages lie one folder below it."""

    def __init__(self, source: Path) -> None:
        self.folder, self.address = source / FOLDER, "../" + FOLDER
        self.folder.mkdir(parents=True, exist_ok=True)

    def put(self, content: bytes, ending: str) -> str:
        """Store content once; its address from the page."""
        name = f"{hashlib.sha256(content).hexdigest()[:16]}.{ending}"
        path = self.folder / name
        if not path.exists():
            path.write_bytes(content)
        return f"{self.address}/{name}"


def move_out(text: str, shelf: Shelf) -> str:
    """HTML whose pictures and framed pages are files."""

    def picture(found: re.Match[str]) -> str:
        content = base64.b64decode(found["data"])
        with Image.open(io.BytesIO(content)) as opened:
            width, height = opened.size
        address = shelf.put(content, "jpg" if found["kind"] == "jpeg" else "png")
        return f'<img {found["before"]}loading="lazy" decoding="async" width="{width}" height="{height}" src="{address}"'

    def frame(found: re.Match[str]) -> str:
        address = shelf.put(html.unescape(found["page"]).encode(), "html")
        return f'loading="lazy" src="{address}"'

    return FRAME.sub(frame, DATA_IMAGE.sub(picture, text))


def numbered(text: str, chapter: int, before: int) -> tuple[str, int]:
    """Put "Figure 4.3" in front of every caption.

    Args:
        text: HTML of one output. chapter: its number. before: how many figures the chapter has had.
    Returns:
        The HTML, and how many figures the chapter has now.
    """
    count = before

    def number(found: re.Match[str]) -> str:
        nonlocal count
        count += 1
        name = f"Figure {chapter}.{count}"
        attributes = found["attributes"]
        anchor = f"figure-{chapter}-{count}"
        mark = "" if " id=" in attributes else f' id="{anchor}"'
        body = re.sub(r'(<img alt=")', rf"\g<1>{name}. ", found["body"], count=1)
        return (
            f'<figure{mark}{attributes}>{body}<figcaption{found["look"]}><span class="caption-number">{name}.</span> '
            f"{found['text']}</figcaption>"
        )

    return CAPTION.sub(number, text), count


def prepare(cells: list[dict[str, Any]], chapter: int, shelf: Shelf) -> None:
    """Number the figures that cells show as HTML and move their pictures out. In place."""
    count = 0
    for cell in cells:
        seen = not {"remove-cell", "remove-output"} & set(cell["metadata"].get("tags", []))
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if seen and "text/html" in data:
                text, count = numbered("".join(data["text/html"]), chapter, count)
                data["text/html"] = move_out(text, shelf)
