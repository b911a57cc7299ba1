"""A contact sheet: every photo or frame that was looked at, used or left out, with the reason in words.

One PNG, or one HTML page that holds its pictures and reads well on a phone. Small pictures only, so memory stays flat.
"""

from __future__ import annotations

import base64
import html
import io as buffers
import textwrap
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..errors import OutputError
from ..io import atomic, write_text
from ..pictures import on_grey

SIDE = 200  # pixels of a small picture
COLUMNS = 6
LINES = 5  # of text below a picture
USED, LEFT_OUT = (0, 114, 178), (213, 94, 0)  # blue and vermilion of Okabe & Ito, told apart by the colour-blind
ENDINGS = {".png", ".html"}


class ContactSheet:
    """Collects small pictures with what became of them; `write` makes the sheet."""

    def __init__(self) -> None:
        self._looks: list[tuple[str, Image.Image, str | None]] = []

    def __len__(self) -> int:
        return len(self._looks)

    def add(self, name: str, image: np.ndarray | None, reason: str | None = None) -> None:
        """Take one picture.

        Args:
            name: of the file or frame.
            image: uint8 ``(H, W, 3)``, or RGBA, None if it could not be read.
            reason: why it was left out; None if it was used.
        """
        small = Image.new("RGB", (SIDE, SIDE), (235, 235, 235))
        if image is not None:
            thumbnail = Image.fromarray(on_grey(image))
            thumbnail.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
            small.paste(thumbnail, ((SIDE - thumbnail.width) // 2, (SIDE - thumbnail.height) // 2))
        self._looks.append((Path(name).name or name, small, " ".join(reason.split()) if reason else None))

    def write(self, path: Path) -> Path:
        """Write the sheet; the ending decides between PNG and a self-contained HTML page.

        Raises:
            OutputError: another ending, or a folder that cannot be written.
        """
        path = Path(path)
        if path.suffix.lower() not in ENDINGS:
            raise OutputError(f"{path}: a contact sheet is written as .png or .html")
        if path.suffix.lower() == ".html":
            return write_text(path, self._page())
        with atomic(path) as temporary:
            self._picture().save(temporary)
        return path

    def _picture(self) -> Image.Image:
        rows = -(-len(self._looks) // COLUMNS) or 1
        cell, height = SIDE + 12, SIDE + 12 + 15 * (LINES + 1)
        sheet = Image.new("RGB", (COLUMNS * cell, rows * height), "white")
        draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
        for number, (name, small, reason) in enumerate(self._looks):
            left, top = number % COLUMNS * cell + 6, number // COLUMNS * height + 6
            colour = LEFT_OUT if reason else USED
            sheet.paste(small, (left, top))
            draw.rectangle((left - 3, top - 3, left + SIDE + 2, top + SIDE + 2), outline=colour, width=3)
            said = textwrap.wrap(reason or "used", 33)
            if len(said) > LINES:
                said = [*said[: LINES - 1], said[LINES - 1][:30] + " …"]
            for line, (text, ink) in enumerate([(name[-33:], (0, 0, 0)), *((text, colour) for text in said)]):
                draw.text((left, top + SIDE + 4 + 15 * line), text, ink, font)
        return sheet

    def _page(self) -> str:
        cells = []
        for name, small, reason in self._looks:
            buffer = buffers.BytesIO()
            small.save(buffer, "JPEG", quality=88)
            data = base64.b64encode(buffer.getvalue()).decode()
            kind = "left" if reason else "used"
            cells.append(
                f'<figure class="{kind}"><img src="data:image/jpeg;base64,{data}" alt="{html.escape(name)}" width="{SIDE}" '
                f'height="{SIDE}"><figcaption><b>{html.escape(name)}</b><br>{html.escape(reason or "used")}</figcaption></figure>'
            )
        used = sum(reason is None for *_, reason in self._looks)
        return (
            '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
            "<title>Contact sheet</title><style>body{font:15px system-ui,sans-serif;margin:1rem}main{display:flex;flex-wrap:wrap;"
            "gap:1rem}figure{margin:0;width:200px}img{border:3px solid}.used{color:#0072b2}.left{color:#b34f00}"
            f"figcaption b{{color:#000}}</style><h1>{used} of {len(self._looks)} pictures used</h1>"
            f"<main>{''.join(cells)}</main></html>\n"
        )
