"""One page that tells a person what was done with their face: before and after, the head to turn, and what nobody saw.

It is self-contained as `viewer` is: nothing is fetched, the head's page lies inside it. What the phone never saw is invented;
the page says how much of the face that is, and shows where, on the texture and on the head, and whose the detail is there. The
switch between these views is made of radio buttons and styles alone, so it works by keyboard and without scripts.
"""

from __future__ import annotations

import html
import os
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import torch
from torch import Tensor

from .. import io
from ..errors import InputError
from ..image import resize
from ..record import sentence
from .render import render
from .shape import BASE, OWN, own_head
from .viewer import data_address, fitting, viewer_page

LARGEST = 1024  # texels of the pictures on the page
SMALL = 512  # of those that only mark places
# colours that mark what was not seen, told apart by the colour-blind; what is borrowed is striped too
GUESSED, LENT = (0.90, 0.35, 0.05), (0.10, 0.30, 0.85)
STRIPES = 32  # along a side
SIDEWAYS = 40  # degrees by which the marked head is turned: some of what a frontal picture does not show is in sight
NAMES = {  # facts that a person can read, with their units
    "face_pixels": ("width of the face", "{:.0f} pixels"),
    "yaw": ("head turned by", "{:.0f}°"),
    "pitch": ("head tilted by", "{:.0f}°"),
    "frames": ("pictures used", "{}"),
    "sharpness": ("sharpness, 0 to 1", "{:.2f}"),
    "clipped": ("burnt out to white", "{:.0%}"),
}


def marked_origin(texture: Tensor, sources: Tensor) -> Tensor:
    """A texture on which colours tell whose the detail is: orange the generator's, striped blue an exemplar's.

    Args:
        texture: ``(3, N, N)`` in [0, 1]. sources: ``(3, N, N)``, of `detail.origin`.
    Returns:
        ``(3, N, N)`` in [0, 1].
    """
    place = torch.arange(texture.shape[-1]) / texture.shape[-1]
    striped = 0.4 + 0.4 * (((place[:, None] + place) * STRIPES) % 1 < 0.5)
    for share, colour, strength in ((sources[1], GUESSED, 0.7), (sources[2], LENT, striped)):
        texture = torch.lerp(texture, torch.tensor(colour).view(3, 1, 1), (share * strength).expand_as(texture))
    return texture


def write_report(
    path: str | os.PathLike,
    phone: Tensor,
    visibility: Tensor,
    result: Tensor,
    sources: Tensor,
    made: dict[str, Any],
    *,
    name: str = "face",
    facts: Mapping[str, Any] | None = None,
    shape: Tensor | None = None,
) -> Path:
    """Write the page.

    Args:
        path: the HTML file.
        phone: ``(3, N, N)`` in [0, 1], sRGB, the input texture. visibility: ``(1, N, N)`` in [0, 1].
        result: ``(3, M, M)`` in [0, 1], sRGB, the studio-like texture. sources: ``(3, M, M)``, its
            `detail.origin`. made: its `record.record`.
        name: of the input, for the title.
        facts: a report of `convert`: quality, ``warnings``, ``metrics``, ``seconds``, and ``likeness``, a sentence; all optional.
        shape: of the head, see `own_head`; None: the base head.
    Raises:
        InputError: other shapes. OutputError: a path that cannot be written.
    """
    if phone.shape[-2:] != visibility.shape[-2:] or phone.ndim != 3 or result.ndim != 3 or visibility.ndim != 3:
        raise InputError(f"texture {tuple(phone.shape)}, visibility {tuple(visibility.shape)} and result {tuple(result.shape)}")
    facts = facts or {}
    mesh, size = own_head(shape), min(result.shape[-1], LARGEST)
    before, after = (resize(picture[None].float().cpu(), size)[0] for picture in (phone, result))
    seen, sources = (resize(maps[None].float().cpu(), size)[0].clamp(0, 1) for maps in (visibility, sources))
    marked = marked_origin(after, sources)
    views = {"marked": marked, "result": after, "seen": torch.lerp(torch.full_like(after, 0.5), after, seen)}
    heads = [render(mesh, picture, yaw=15, size=560) for picture in (before, after)]
    viewer = viewer_page(
        mesh,
        {"studio-like": after, "phone": before, "what was invented": marked},
        title="The head",
        description="The head with the studio-like texture, seen from the front",
    )
    rows = [(label, _number(form.format(facts[key]))) for key, (label, form) in NAMES.items() if key in facts]
    rows += [(key.replace("_", " "), str(value)) for key, value in facts.get("metrics", {}).items()]
    parts = {key: round(value, 2) for key, value in facts.get("seconds", {}).items()}
    seconds = [(key, f"{value:.2f} s") for key, value in {**parts, "together": sum(parts.values())}.items()]
    warnings = "".join(f"<li>{html.escape(str(line))}</li>" for line in facts.get("warnings", []))
    page = Template(resources.files(__package__).joinpath("report.html").read_text("utf-8")).substitute(
        title=html.escape(name),
        head_before=data_address(heads[0]),
        head_after=data_address(heads[1]),
        map_before=data_address(before),
        map_after=data_address(after),
        **{f"map_{view}": data_address(fitting(picture, SMALL)) for view, picture in views.items()},
        **{f"side_{view}": data_address(render(mesh, picture, yaw=SIDEWAYS, size=SMALL)) for view, picture in views.items()},
        share=f"{made['seen']['face_seen']:.0%}",
        well=f"{made['seen']['face_seen']:.1%}",
        partly=f"{made['seen']['face_partly']:.1%}",
        origin=html.escape(sentence(made)),
        shape=html.escape(BASE if shape is None else OWN),
        legend=_legend(sources),
        warnings=f"<ul>{warnings}</ul>" if warnings else "",
        facts=_table(rows, "Of the capture and the result") if rows else "",
        seconds=_table(seconds, "Time, without loading the networks and writing the files") if parts else "",
        likeness=f"<h2>Likeness</h2>\n<p>{html.escape(facts['likeness'])}</p>" if facts.get("likeness") else "",
        viewer=html.escape(viewer, quote=True),
    )
    return io.write_text(path, page)


def _legend(sources: Tensor) -> str:
    """What the colours mean of those that occur."""
    meanings = ("guessed", "invented by the networks"), ("lent", "invented, with fine detail borrowed from somebody else")
    there = [meaning for meaning, share in zip(meanings, sources[1:], strict=True) if share.max() > 0.05]
    return "".join(f'<span class="key {name}"></span> {words}. ' for name, words in there)


def _number(text: str) -> str:
    """A number for readers: a minus sign for its hyphen, and none before a zero."""
    return re.sub(r"^-(?=0\D*$)", "", text).replace("-", "−")


def _table(rows: list[tuple[str, str]], caption: str) -> str:
    cells = "".join(f'<tr><th scope="row">{html.escape(k)}</th><td>{html.escape(v)}</td></tr>' for k, v in rows)
    return f"<table><caption>{html.escape(caption)}</caption>{cells}</table>"
