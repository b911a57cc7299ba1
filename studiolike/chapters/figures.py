"""One look for every figure of the book, and the few kinds of figure that chapters need.

A chapter calls `apply_style` once, draws, and hands each figure to `show`. All figures sit on a white card with
some padding, so that they read the same on light and dark pages. Colours are those of Okabe and Ito (*Color
Universal Design*, 2008), which stay apart for colour-blind readers; `MARKERS` and `DASHES` back them up in print.
Matplotlib, and IPython for display, are imported inside the functions.
"""

from __future__ import annotations

import base64
import hashlib
import html
import io as bytes_io
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image
from torch import Tensor

from ..errors import InputError, MissingExtra
from ..image import to_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe–Ito, ordered so that neighbours differ in lightness too
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000", "#F0E442")
COLOURS = {
    "phone": "#D55E00",
    "studio": "#0072B2",
    "detailed": "#009E73",
    "truth": "#000000",
    "baseline": "#CC79A7",
}  # one meaning, one colour, in every chapter
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)), (0, (3, 2)))
MAP = "viridis"  # for one-signed fields
WIDTH = 7.2  # inches, the text width of a page
TILE = 1.45  # inches, one texture in a grid
DPI = 150
PADDING = 0.12  # inches of white around every figure
PAPER, INK, QUIET = "#FFFFFF", "#1B1B1B", "#5A5A5A"

STYLE = {
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "figure.dpi": DPI,
    "savefig.dpi": DPI,
    "figure.figsize": (WIDTH, 2.8),
    "figure.constrained_layout.use": True,
    "font.family": "DejaVu Sans",  # comes with matplotlib, so it is everywhere
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.facecolor": PAPER,
    "legend.edgecolor": "none",
    "legend.framealpha": 0.85,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.edgecolor": QUIET,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.8,
    "lines.markersize": 4,
    "image.cmap": MAP,
    "image.interpolation": "nearest",
    "axes.titlelocation": "left",
}


def style():
    """The style sheet as a context manager: ``with figures.style(): …``. Outside the block nothing changes.

    Raises:
        MissingExtra: without matplotlib.
    """
    return _matplotlib().rc_context(_settings())


def apply_style() -> None:
    """Take the style sheet for the rest of the session: the first call of a chapter.

    Raises:
        MissingExtra: without matplotlib.
    """
    _matplotlib().rcParams.update(_settings())


def png_bytes(fig: Figure) -> bytes:
    """A figure as PNG on a white, padded card; the same figure gives the same bytes."""
    stream = bytes_io.BytesIO()
    with style():
        fig.savefig(stream, format="png", bbox_inches="tight", pad_inches=PADDING, facecolor=PAPER, metadata={"Software": None})
    return stream.getvalue()


def show(fig: Figure, alt: str) -> None:
    """Display a figure once in a notebook, as PNG with a caption that is its text alternative too, and close it.

    Returning a figure *and* letting the notebook flush it would show it twice; this is the one way by which
    figures leave a cell. The HTML flavour carries the text to screen readers in every front end, the plain PNG
    serves print.

    Args:
        fig: any matplotlib figure.
        alt: what the picture shows, in a sentence or two.
    Raises:
        InputError: an empty text.
        MissingExtra: without IPython.
    """
    data = png_bytes(fig)
    with Image.open(bytes_io.BytesIO(data)) as picture:
        width = round(picture.width * 96 / DPI)  # a CSS pixel is 1/96 inch: letters keep their size
    look = f"width:{width}px;max-width:100%;height:auto"
    picture = _picture(data, "png", _checked(alt), look)
    _display(Html(f'<figure style="margin:0">{picture}{_caption(alt)}</figure>', data, alt))
    if pyplot := sys.modules.get("matplotlib.pyplot"):  # only figures that pyplot knows can be flushed again
        pyplot.close(fig)


def plot(height: float = 2.6, widths: Sequence[float] = (1,), rows: int = 1) -> tuple[Figure, list[Axes]]:
    """An empty figure as wide as the page, for `show`, with one pair of axes per entry of ``widths`` (their relative widths).

    Args:
        height: of the whole figure, in inches. rows: of axes, each with these widths; the axes come row by row.
    """
    with style():
        from matplotlib.figure import Figure

        fig = Figure(figsize=(WIDTH, height))
        return fig, list(fig.subplots(rows, len(widths), squeeze=False, width_ratios=widths).flat)


def picture(ax: Axes, texture: Tensor, title: str = "", **look: Any) -> Any:
    """Draw a texture ``(3, H, W)`` or a field ``(H, W)`` into axes, without frame and ticks; what matplotlib returns."""
    values = texture.permute(1, 2, 0).clamp(0, 1) if texture.ndim == 3 else texture
    ax.set_axis_off()
    ax.set_title(title)
    return ax.imshow(values.detach().cpu(), **look)


def texture_grid(
    rows: Sequence[Sequence[Tensor | None] | Tensor],
    row_titles: Sequence[str] = (),
    col_titles: Sequence[str] = (),
    *,
    tile: float = TILE,
) -> Figure:
    """Textures side by side.

    Args:
        rows: each a list of ``(3, H, W)`` or ``(1, H, W)`` in [0, 1] (``None`` leaves a gap), or a ``(B, C, H, W)``.
        row_titles: one per row, or none. col_titles: one per column, or none.
        tile: edge of one picture in inches; made smaller when the page is too narrow.
    Returns:
        The figure, for `show`.
    Raises:
        InputError: no picture, rows of different lengths, a wrong number of titles or a wrong shape.
    """
    grid = [list(row) for row in rows]
    if not grid or not grid[0] or len({len(row) for row in grid}) > 1:
        raise InputError("a texture grid needs at least one picture and rows of equal length")
    if len(row_titles) not in (0, len(grid)) or len(col_titles) not in (0, len(grid[0])):
        raise InputError("a texture grid needs one title per row and column, or none")
    margin = 0.3 if row_titles else 0.0
    tile = min(tile, (WIDTH - margin) / len(grid[0]))
    with style():
        from matplotlib.figure import Figure

        fig = Figure(figsize=(tile * len(grid[0]) + margin, tile * len(grid) + (0.25 if col_titles else 0)))
        fig.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0, hspace=0)  # type: ignore[call-arg]
        axes = fig.subplots(len(grid), len(grid[0]), squeeze=False)
        for r, row in enumerate(grid):
            for c, (picture, ax) in enumerate(zip(row, axes[r], strict=True)):
                ax.set(xticks=[], yticks=[])
                ax.spines[:].set_visible(False)
                if picture is not None:
                    ax.imshow(_pixels(picture), interpolation="antialiased", cmap="gray", vmin=0, vmax=255)
                if r == 0 and col_titles:
                    ax.set_title(col_titles[c], fontsize=9, loc="center")
                if c == 0 and row_titles:
                    ax.set_ylabel(row_titles[r], fontsize=9)
        return fig


@dataclass(frozen=True)
class Html:
    """A piece of a page that a notebook shows as its cell's value.

    Attributes:
        html: self-contained HTML.
        still: a PNG for print and for front ends without HTML.
        alt: its text alternative.
    """

    html: str
    still: bytes
    alt: str

    def _repr_mimebundle_(self, include=None, exclude=None) -> tuple[dict, dict]:
        still = base64.b64encode(self.still).decode()
        flavours = {"text/html": self.html, "image/png": still, "text/plain": self.alt}
        return flavours, {"image/png": {"alt": self.alt}}


CARD = (
    "display:inline-block;max-width:100%;box-sizing:border-box;margin:0 0 12px;padding:12px;color-scheme:light;"
    f"background:{PAPER};color:{INK};border-radius:6px;font:13px/1.4 system-ui,sans-serif"
)
CONTROL = f"width:100%;margin:8px 0 0;accent-color:{PALETTE[0]};min-height:24px"

# `this` is the range input; its figure is found from it, so no script block and no global name is needed
SLIDE = (
    "const k=+this.value,p=[...this.closest('figure').querySelectorAll('img')];"
    "p.forEach((m,i)=>{m.style.display=i===k?'block':'none'});const t=p[k].dataset.label;"
    "this.setAttribute('aria-valuetext',t);this.closest('figure').querySelector('output').textContent=t"
)
DRAG = (  # `this` is the pair of pictures
    "if(event.type==='pointerdown')this.setPointerCapture(event.pointerId);"
    "if(event.buttons){const b=this.getBoundingClientRect(),s=this.closest('figure').querySelector('input');"
    "s.value=(event.clientX-b.left)/b.width*100;s.dispatchEvent(new Event('input'))}"
)
WIPE = (
    "const f=this.closest('figure');"
    "f.querySelectorAll('img')[1].style.clipPath='inset(0 0 0 '+this.value+'%)';"
    "f.querySelector('i').style.left=this.value+'%';"
    "this.setAttribute('aria-valuetext',this.value+' % '+this.dataset.first)"
)


def image_slider(
    frames: Sequence[Tensor] | Tensor, labels: Sequence[str], alt: str, *, name: str = "Frame", width: int = 384, key: str = ""
) -> Html:
    """A stack of pictures with a slider under it: plain HTML that lives in a static page, Jupyter and Colab.

    Args:
        frames: ``(V, 3, H, W)`` or a list of ``(3, H, W)``, in [0, 1].
        labels: one per frame; spoken and shown while the slider moves.
        alt: what the stack shows. name: the slider's name. width: in CSS pixels.
        key: tells apart two sliders with the same content on one page; the id follows from content and key.
    Returns:
        `Html`; leave it as the last value of a cell. In print it becomes a strip of up to five frames.
    Raises:
        InputError: no frame, a wrong number of labels, a wrong shape or an empty text.
    """
    frames = list(frames)
    if not frames or len(frames) != len(labels):
        raise InputError(f"a slider needs one label per frame: {len(frames)} frames, {len(labels)} labels")
    alt = _checked(alt)
    pictures = [jpeg_bytes(frame) for frame in frames]
    mark = _mark("stack", pictures, [*labels, alt, name, key])
    images = ""
    for k, (data, label) in enumerate(zip(pictures, labels, strict=True)):
        look = f"display:{'none' if k else 'block'};width:{width}px;max-width:100%"
        images += _picture(data, "jpeg", f"{alt}: {label}", look, f' data-label="{html.escape(label)}"')
    first = html.escape(labels[0])
    body = (
        f'<figure id="{mark}" role="group" aria-label="{html.escape(alt)}" style="{CARD}">{images}'
        f'<label for="{mark}-at" style="display:block;margin-top:8px">{html.escape(name)}: '
        f'<output for="{mark}-at" style="font-weight:600">{first}</output></label>'
        f'<input id="{mark}-at" type="range" min="0" max="{len(frames) - 1}" step="1" value="0" '
        f'aria-valuetext="{first}" oninput="{html.escape(SLIDE)}" style="{CONTROL}">{_caption(alt)}</figure>'
    )
    chosen = sorted({round(k * (len(frames) - 1) / 4) for k in range(5)})
    return Html(body, _strip([frames[k] for k in chosen]), f"{alt} ({', '.join(labels[k] for k in chosen)})")


def before_after(
    before: Tensor, after: Tensor, alt: str, *, labels: tuple[str, str] = ("before", "after"), width: int = 384, key: str = ""
) -> Html:
    """Two pictures on top of each other, and a line between them that keyboard, mouse and touch move.

    Args:
        before, after: ``(3, H, W)`` in [0, 1], of one size.
        alt, width, key: as for `image_slider`. labels: names of the left and the right picture.
    Returns:
        `Html`; in print the two stand side by side.
    Raises:
        InputError: different sizes, a wrong shape or an empty text.
    """
    if before.shape != after.shape:
        raise InputError(f"before is {tuple(before.shape)}, after {tuple(after.shape)}: resize one of them")
    alt = _checked(alt)
    pictures = [jpeg_bytes(before), jpeg_bytes(after)]
    mark = _mark("wipe", pictures, [*labels, alt, key])
    left, right = (html.escape(label) for label in labels)
    over = "position:absolute;inset:0;width:100%;height:100%;clip-path:inset(0 0 0 50%)"
    body = (
        f'<figure id="{mark}" role="group" aria-label="{html.escape(alt)}" style="{CARD}">'
        f'<div style="position:relative;width:{width}px;max-width:100%;cursor:ew-resize;touch-action:pan-y;user-select:none" '
        f'onpointerdown="{html.escape(DRAG)}" onpointermove="{html.escape(DRAG)}" ondragstart="return false">'
        + _picture(pictures[0], "jpeg", f"{alt}: {labels[0]}", "display:block;width:100%")
        + _picture(pictures[1], "jpeg", f"{alt}: {labels[1]}", over)
        + '<i aria-hidden="true" style="position:absolute;top:0;bottom:0;left:50%;width:2px;'
        f'margin-left:-1px;background:{PAPER};box-shadow:0 0 2px {INK};pointer-events:none"></i></div>'
        f'<input type="range" min="0" max="100" step="1" value="50" aria-label="share of {left}" '
        f'data-first="{left}" aria-valuetext="50 % {left}" oninput="{html.escape(WIPE)}" style="{CONTROL}">'
        f'<div aria-hidden="true" style="display:flex;justify-content:space-between"><span>{left}</span>'
        f"<span>{right}</span></div>{_caption(alt)}</figure>"
    )
    return Html(body, _strip([before, after]), f"{alt} ({labels[0]}, {labels[1]})")


def page(path: str | os.PathLike, title: str, still: Tensor, *, height: int = 560) -> Html:
    """A self-contained HTML file, such as the avatar viewer's, inside a notebook or a page of the book.

    Args:
        path: the file; it is copied into the output. title: what a screen reader calls the frame.
        still: ``(3, H, W)``, shown instead in print. height: in CSS pixels.
    Raises:
        InputError: no such file or an empty title.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no such file: {path}")
    source = html.escape(path.read_text("utf-8"))
    look = f"width:100%;height:{height}px;border:1px solid {QUIET};border-radius:6px"
    frame = f'<iframe title="{html.escape(_checked(title))}" sandbox="allow-scripts" style="{look}" srcdoc="{source}"></iframe>'
    return Html(f'<figure style="margin:0">{frame}{_caption(title)}</figure>', _strip([still]), title)


def _matplotlib():
    try:
        import matplotlib
    except ImportError as error:
        raise MissingExtra("book", "matplotlib") from error
    return matplotlib


def _settings() -> dict:
    from cycler import cycler  # comes with matplotlib

    return STYLE | {"axes.prop_cycle": cycler(color=PALETTE)}


def _display(piece: Html) -> None:
    try:
        from IPython.display import display
    except ImportError as error:
        raise MissingExtra("book", "ipython") from error
    data, metadata = piece._repr_mimebundle_()
    display(data, metadata=metadata, raw=True)


def _checked(alt: str) -> str:
    if not alt.strip():
        raise InputError("every picture needs a text alternative: say in a sentence what it shows")
    return alt.strip()


def _picture(data: bytes, kind: str, alt: str, look: str, more: str = "") -> str:
    source = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    return f'<img alt="{html.escape(alt)}"{more} style="{look};margin:0" src="{source}">'


def _caption(text: str) -> str:
    """The text alternative for those who see. Screen readers have read it with the picture, so they skip it here."""
    look = "max-width:70ch;margin:6px 0 0;font:13px/1.4 system-ui,sans-serif;color:inherit"
    return f'<figcaption aria-hidden="true" style="{look}">{html.escape(text.strip())}</figcaption>'


def _pixels(picture: Tensor):
    """``(3|1, H, W)`` in [0, 1] → uint8 ``(H, W, 3)`` or ``(H, W)``."""
    if picture.ndim != 3 or picture.shape[0] not in (1, 3):
        raise InputError(f"a picture is (3, H, W) or (1, H, W), not {tuple(picture.shape)}")
    pixels = to_bytes(picture)
    return pixels[..., 0] if pixels.shape[-1] == 1 else pixels


def jpeg_bytes(picture: Tensor) -> bytes:
    """A JPEG file of a picture ``(3|1, H, W)`` in [0, 1]. Raises ``InputError`` for another shape."""
    stream = bytes_io.BytesIO()
    Image.fromarray(_pixels(picture)).save(stream, "JPEG", quality=90, subsampling=0)
    return stream.getvalue()


def _strip(pictures: Sequence[Tensor]) -> bytes:
    """Pictures side by side on white, all 256 pixels high, as PNG; in rows where one would be more than six times as wide as
    high, so that a page shows them at a size to look at."""
    tiles = [Image.fromarray(_pixels(picture)).convert("RGB") for picture in pictures]
    tiles = [tile.resize((max(1, round(256 * tile.width / tile.height)), 256), Image.Resampling.LANCZOS) for tile in tiles]
    step = max(tile.width for tile in tiles) + 8
    rows = next(n for n in range(1, len(tiles) + 1) if n == len(tiles) or step * -(-len(tiles) // n) <= 6 * 264 * n)
    across = -(-len(tiles) // rows)
    sheet = Image.new("RGB", (step * across + 8, 264 * -(-len(tiles) // across) + 8), PAPER)
    for place, tile in enumerate(tiles):
        sheet.paste(tile, (8 + step * (place % across), 8 + 264 * (place // across)))
    stream = bytes_io.BytesIO()
    sheet.save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _mark(kind: str, pictures: Sequence[bytes], texts: Sequence[str]) -> str:
    """An id that follows from the content alone, so that a page built twice is the same page."""
    digest = hashlib.sha256("\0".join(texts).encode())
    for data in pictures:
        digest.update(data)
    return f"{kind}-{digest.hexdigest()[:12]}"
