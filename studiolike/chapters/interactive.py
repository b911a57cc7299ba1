"""Figures that readers move: a stack of pictures with a slider, two with a line between them, a page of its own.

All are plain HTML without a script block, so that they live in a static page, in Jupyter and in Colab; each brings a still
picture for print.
"""

from __future__ import annotations

import hashlib
import html
import io as bytes_io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from ..avatar import HeadMesh, turntable
from ..errors import InputError
from .figures import INK, PALETTE, PAPER, QUIET, Html, caption, checked_alt, jpeg_bytes, picture_tag, pixels

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
    frames: Sequence[Tensor] | Tensor, labels: Sequence[str], alt: str, *, name: str = "Frame", width: int = 384
) -> Html:
    """A stack of pictures with a slider under it: plain HTML that lives in a static page, Jupyter and Colab.

    Args:
        frames: ``(V, 3, H, W)`` or a list of ``(3, H, W)``, in [0, 1].
        labels: one per frame; spoken and shown while the slider moves.
        alt: what the stack shows. name: the slider's name. width: in CSS pixels.
    Returns:
        `Html`; leave it as the last value of a cell. In print it becomes a strip of up to five frames.
    Raises:
        InputError: no frame, a wrong number of labels, a wrong shape or an empty text.
    """
    frames = list(frames)
    if not frames or len(frames) != len(labels):
        raise InputError(f"a slider needs one label per frame: {len(frames)} frames, {len(labels)} labels")
    alt = checked_alt(alt)
    pictures = [jpeg_bytes(frame) for frame in frames]
    mark = _mark("stack", pictures, [*labels, alt, name])
    images = ""
    for k, (data, label) in enumerate(zip(pictures, labels, strict=True)):
        look = f"display:{'none' if k else 'block'};width:{width}px;max-width:100%"
        images += picture_tag(data, "jpeg", f"{alt}: {label}", look, f' data-label="{html.escape(label)}"')
    first = html.escape(labels[0])
    body = (
        f'<figure id="{mark}" role="group" aria-label="{html.escape(alt)}" style="{CARD}">{images}'
        f'<label for="{mark}-at" style="display:block;margin-top:8px">{html.escape(name)}: '
        f'<output for="{mark}-at" style="font-weight:600">{first}</output></label>'
        f'<input id="{mark}-at" type="range" min="0" max="{len(frames) - 1}" step="1" value="0" '
        f'aria-valuetext="{first}" oninput="{html.escape(SLIDE)}" style="{CONTROL}">{caption(alt)}</figure>'
    )
    chosen = sorted({round(k * (len(frames) - 1) / 4) for k in range(5)})
    return Html(body, _strip([frames[k] for k in chosen]), f"{alt} ({', '.join(labels[k] for k in chosen)})")


def turning(mesh: HeadMesh, skins: Mapping[str, Tensor], alt: str) -> Html:
    """A head with every skin ``(3, H, W)`` side by side, on an `image_slider` that turns it."""
    angles, width = (0, 30, 60, 90, 135, 180, 225, 270, 300, 330), 624
    turns = [turntable(mesh, skin, angles, size=width // len(skins)) for skin in skins.values()]
    frames = [torch.cat(views, -1) for views in zip(*turns, strict=True)]
    return image_slider(frames, [f"{a}°" for a in angles], alt, name="Turn", width=width)


def before_after(
    before: Tensor, after: Tensor, alt: str, *, labels: tuple[str, str] = ("before", "after"), width: int = 384
) -> Html:
    """Two pictures on top of each other, and a line between them that keyboard, mouse and touch move.

    Args:
        before, after: ``(3, H, W)`` in [0, 1], of one size.
        alt, width: as for `image_slider`. labels: names of the left and the right picture.
    Returns:
        `Html`; in print the two stand side by side.
    Raises:
        InputError: different sizes, a wrong shape or an empty text.
    """
    if before.shape != after.shape:
        raise InputError(f"before is {tuple(before.shape)}, after {tuple(after.shape)}: resize one of them")
    alt = checked_alt(alt)
    pictures = [jpeg_bytes(before), jpeg_bytes(after)]
    mark = _mark("wipe", pictures, [*labels, alt])
    left, right = (html.escape(label) for label in labels)
    over = "position:absolute;inset:0;width:100%;height:100%;clip-path:inset(0 0 0 50%)"
    body = (
        f'<figure id="{mark}" role="group" aria-label="{html.escape(alt)}" style="{CARD}">'
        f'<div style="position:relative;width:{width}px;max-width:100%;cursor:ew-resize;touch-action:pan-y;user-select:none" '
        f'onpointerdown="{html.escape(DRAG)}" onpointermove="{html.escape(DRAG)}" ondragstart="return false">'
        + picture_tag(pictures[0], "jpeg", f"{alt}: {labels[0]}", "display:block;width:100%")
        + picture_tag(pictures[1], "jpeg", f"{alt}: {labels[1]}", over)
        + '<i aria-hidden="true" style="position:absolute;top:0;bottom:0;left:50%;width:2px;'
        f'margin-left:-1px;background:{PAPER};box-shadow:0 0 2px {INK};pointer-events:none"></i></div>'
        f'<input type="range" min="0" max="100" step="1" value="50" aria-label="share of {left}" '
        f'data-first="{left}" aria-valuetext="50 % {left}" oninput="{html.escape(WIPE)}" style="{CONTROL}">'
        f'<div aria-hidden="true" style="display:flex;justify-content:space-between"><span>{left}</span>'
        f"<span>{right}</span></div>{caption(alt)}</figure>"
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
    frame = (
        f'<iframe title="{html.escape(checked_alt(title))}" sandbox="allow-scripts" style="{look}" srcdoc="{source}"></iframe>'
    )
    return Html(f'<figure style="margin:0">{frame}{caption(title)}</figure>', _strip([still]), title)


def _strip(pictures: Sequence[Tensor]) -> bytes:
    """Pictures side by side on white, all 256 pixels high, as PNG; in rows where one would be more than six times as wide as
    high, so that a page shows them at a size to look at."""
    tiles = [Image.fromarray(pixels(picture)).convert("RGB") for picture in pictures]
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
