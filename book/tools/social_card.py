"""The picture that messengers show beside a link to the book: its title, and the pair of the first page."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

SIZE = (1200, 630)  # what messengers ask for
PAPER, INK, ACCENT = "#14212a", "#ffffff", "#6fc3e0"
TITLE = ("Studio-like avatars", "from a phone capture")
BELOW = "A book that runs: method, code and measurements"
PAIR = ("lead-photo.jpg", "lead-result.jpg")  # made by before_after.py
WHOLE = "before_after.png"


def _font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    import matplotlib  # its fonts are wherever the book can be built

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), size)


def draw(static: Path) -> Image.Image:
    """The card. Args: static: the folder with the first page's pictures; without the pair it shows the whole grid."""
    card = Image.new("RGB", SIZE, PAPER)
    pen = ImageDraw.Draw(card)
    for number, line in enumerate(TITLE):
        pen.text((60, 48 + 66 * number), line, fill=INK, font=_font(52, bold=True))
    pair = [static / name for name in PAIR if (static / name).exists()]
    if len(pair) == len(PAIR):
        for number, (path, name) in enumerate(zip(pair, ("a photograph", "its avatar"), strict=True)):
            with Image.open(path) as opened:
                picture = ImageOps.fit(opened.convert("RGB"), (350, 350))
            left = 235 + 380 * number
            card.paste(picture, (left, 200))
            pen.text((left + 175, 572), name, fill=ACCENT, font=_font(24), anchor="mm")
    else:
        with Image.open(static / WHOLE) as opened:
            grid = opened.convert("RGB")
        grid.thumbnail((1080, 360))
        card.paste(grid, ((SIZE[0] - grid.width) // 2, 200))
    pen.text((1140, 598), BELOW, fill=ACCENT, font=_font(20), anchor="rm")
    return card


def write(static: Path) -> None:
    """Put ``social-card.png`` beside the pictures."""
    draw(static).save(static / "social-card.png", optimize=True)
