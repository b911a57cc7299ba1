"""One page that tells a person what was done with their face: before and after, the head to turn, and what nobody saw.

It is self-contained as `viewer` is: nothing is fetched, the head's page lies inside it. What the phone never saw is the
generator's guess; the page says how much of the face that is, and shows where.
"""

from __future__ import annotations

import html
import os
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import torch
from torch import Tensor

from .. import io, layout
from ..errors import InputError
from ..image import resize
from .mesh import head_mesh
from .render import render
from .viewer import data_address, fitting, viewer_page

LARGEST = 1024  # texels of the pictures on the page
SEEN, PARTLY = 0.5, 0.05  # visibility from which a texel counts as seen, and as seen in part
GUESSED = (0.90, 0.35, 0.05)  # colour that marks what was not seen; readable for the colour-blind
NAMES = {  # facts that a person can read, with their units
    "face_pixels": ("width of the face", "{:.0f} pixels"),
    "yaw": ("head turned by", "{:.0f}°"),
    "pitch": ("head tilted by", "{:.0f}°"),
    "frames": ("pictures used", "{}"),
    "sharpness": ("sharpness, 0 to 1", "{:.2f}"),
    "clipped": ("burnt out to white", "{:.0%}"),
}


def observed_shares(visibility: Tensor) -> dict[str, float]:
    """How much of the face was seen, seen in part, and not seen.

    Args:
        visibility: ``(1, N, N)`` in [0, 1].
    Returns:
        ``seen``, ``partly``, ``unseen``: shares of the face's area in the texture, together 1; ``unseen_head``: the share of
        the whole map that the generator filled.
    """
    face = layout.region_mask("face", visibility.shape[-1])
    seen, partly = (float(((visibility >= level) * face).sum() / face.sum()) for level in (SEEN, PARTLY))
    head = float((visibility < PARTLY).float().mean())
    return {"seen": seen, "partly": partly - seen, "unseen": 1 - partly, "unseen_head": head}


def write_report(
    path: str | os.PathLike,
    phone: Tensor,
    visibility: Tensor,
    result: Tensor,
    *,
    name: str = "face",
    facts: Mapping[str, Any] | None = None,
) -> Path:
    """Write the page.

    Args:
        path: the HTML file.
        phone: ``(3, N, N)`` in [0, 1], sRGB, the input texture. visibility: ``(1, N, N)`` in [0, 1].
        result: ``(3, M, M)`` in [0, 1], sRGB, the studio-like texture.
        name: of the input, for the title.
        facts: a report of `convert`: quality, ``warnings``, ``metrics``, ``seconds``; all optional.
    Raises:
        InputError: other shapes. OutputError: a path that cannot be written.
    """
    if phone.shape[-2:] != visibility.shape[-2:] or phone.ndim != 3 or result.ndim != 3 or visibility.ndim != 3:
        raise InputError(f"texture {tuple(phone.shape)}, visibility {tuple(visibility.shape)} and result {tuple(result.shape)}")
    facts = facts or {}
    mesh, size = head_mesh(), min(result.shape[-1], LARGEST)
    before, after = (resize(picture[None].float().cpu(), size)[0] for picture in (phone, result))
    seen = resize(visibility[None].float().cpu(), size)[0]
    marked = torch.lerp(torch.tensor(GUESSED).view(3, 1, 1) * 0.6 + after * 0.4, after, seen.clamp(0, 1))
    shares = observed_shares(seen)
    heads = [render(mesh, picture, yaw=15, size=560) for picture in (before, after)]
    viewer = viewer_page(
        mesh,
        {"studio-like": after, "phone": before, "what was guessed": marked},
        title="The head",
        description="The head with the studio-like texture, seen from the front",
    )
    rows = [(label, form.format(facts[key])) for key, (label, form) in NAMES.items() if key in facts]
    rows += [(key.replace("_", " "), str(value)) for key, value in facts.get("metrics", {}).items()]
    seconds = [(key, f"{value:.2f} s") for key, value in facts.get("seconds", {}).items()]
    warnings = "".join(f"<li>{html.escape(str(line))}</li>" for line in facts.get("warnings", []))
    page = Template(resources.files(__package__).joinpath("report.html").read_text("utf-8")).substitute(
        title=html.escape(name),
        head_before=data_address(heads[0]),
        head_after=data_address(heads[1]),
        map_before=data_address(before),
        map_after=data_address(after),
        map_marked=data_address(fitting(marked, 512)),
        map_seen=data_address(fitting(seen.expand(3, -1, -1), 512)),
        uncertain=_uncertain(shares),
        warnings=f"<ul>{warnings}</ul>" if warnings else "",
        facts=_table(rows, "Of the capture and the result") if rows else "",
        seconds=_table(seconds, "Time") if seconds else "",
        viewer=html.escape(viewer, quote=True),
    )
    with io.atomic(path) as temporary:
        temporary.write_text(page, "utf-8")
    return Path(path)


def _uncertain(shares: dict[str, float]) -> str:
    return (
        f"{shares['seen']:.0%} of the face was seen well, {shares['partly']:.0%} in part, and {shares['unseen']:.0%} not at all. "
        f"Of the whole head, {shares['unseen_head']:.0%} was not seen: hair, ears, neck and the back are the generator's guess."
    )


def _table(rows: list[tuple[str, str]], caption: str) -> str:
    cells = "".join(f'<tr><th scope="row">{html.escape(k)}</th><td>{html.escape(v)}</td></tr>' for k, v in rows)
    return f"<table><caption>{html.escape(caption)}</caption>{cells}</table>"
