"""One look for every figure of the book, and the few kinds of figure that chapters need; `interactive` has those that move.

A chapter calls `apply_style` once, draws, and hands each figure to `show`. All figures sit on a white card with
some padding, so that they read the same on light and dark pages. Colours are those of Okabe and Ito (*Color
Universal Design*, 2008), which stay apart for colour-blind readers; `MARKERS` and `DASHES` back them up in print.
Matplotlib, and IPython for display, are imported inside the functions.
"""

from __future__ import annotations

import base64
import html
import io as bytes_io
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from torch import Tensor

from ..errors import InputError, MissingExtra
from ..image import to_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..evaluation import Estimate

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
    picture = picture_tag(data, "png", checked_alt(alt), look)
    _display(Html(f'<figure style="margin:0">{picture}{caption(alt)}</figure>', data, alt))
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


def legend_above(ax: Axes, columns: int = 4) -> None:
    """A legend that cannot hide data."""
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=columns, borderaxespad=0.2, handletextpad=0.4, columnspacing=1)


def legend_outside(fig: Figure, ax: Axes, columns: int, side: str = "lower") -> None:
    """A legend of one pair of axes for a whole figure, above or below it."""
    fig.legend(*ax.get_legend_handles_labels(), loc=f"outside {side} center", ncols=columns)


def reach(found: Iterable[Estimate]) -> np.ndarray:
    """How far intervals reach below and above their means, ``(2, N)``, for error bars; 0 where there is none."""
    ends = np.array([[e.mean - e.low, e.high - e.mean] for e in found]).T
    return np.where(np.isfinite(ends), ends, 0.0)


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
                    ax.imshow(pixels(picture), interpolation="antialiased", cmap="gray", vmin=0, vmax=255)
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


def checked_alt(alt: str) -> str:
    """A text alternative without space around it. Raises `InputError`: there is none."""
    if not alt.strip():
        raise InputError("every picture needs a text alternative: say in a sentence what it shows")
    return alt.strip()


def picture_tag(data: bytes, kind: str, alt: str, look: str, more: str = "") -> str:
    """HTML of a PNG or JPEG file, which it carries within; ``look`` is its CSS, ``more`` further attributes."""
    source = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    return f'<img alt="{html.escape(alt)}"{more} style="{look};margin:0" src="{source}">'


def caption(text: str) -> str:
    """The text alternative for those who see. Screen readers have read it with the picture, so they skip it here."""
    look = "max-width:70ch;margin:6px 0 0;font:13px/1.4 system-ui,sans-serif;color:inherit"
    return f'<figcaption aria-hidden="true" style="{look}">{html.escape(text.strip())}</figcaption>'


def pixels(picture: Tensor):
    """``(3|1, H, W)`` in [0, 1] → uint8 ``(H, W, 3)`` or ``(H, W)``."""
    if picture.ndim != 3 or picture.shape[0] not in (1, 3):
        raise InputError(f"a picture is (3, H, W) or (1, H, W), not {tuple(picture.shape)}")
    levels = to_bytes(picture)
    return levels[..., 0] if levels.shape[-1] == 1 else levels


def jpeg_bytes(picture: Tensor) -> bytes:
    """A JPEG file of a picture ``(3|1, H, W)`` in [0, 1]. Raises ``InputError`` for another shape."""
    stream = bytes_io.BytesIO()
    Image.fromarray(pixels(picture)).save(stream, "JPEG", quality=90, subsampling=0)
    return stream.getvalue()
