"""One HTML page that shows the head: no network, no library; opens from disk, from a server and in a book.

The page holds the mesh as quantised integers, the textures as data addresses, a small WebGL 2 program with
the very lamps of `render`, and a still picture for browsers without WebGL or JavaScript. Its content
security policy forbids every outside request. The page itself is the template ``viewer.html`` beside this
file.
"""

from __future__ import annotations

import base64
import html
import io as bytes_io
import json
import os
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from string import Template

import numpy as np
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from .. import io
from ..errors import InputError
from ..image import to_bytes
from .glb import encode_png, read_glb
from .mesh import HeadMesh
from .relight import ONE_LAMP
from .render import FIELD_OF_VIEW, FLOOR, INSIDE, LAMPS, MARGIN, SKY, camera_distance, render

LARGEST_PNG = 512  # textures above this edge travel as JPEG: a 1024² PNG of skin takes 2 MB
JPEG_QUALITY = 93
LARGEST = 2048  # texels: WebGL 2 promises no more, and a page of larger textures would take seconds to open


def write_viewer(
    head: HeadMesh | str | os.PathLike,
    path: str | os.PathLike,
    textures: Tensor | Mapping[str, Tensor] | None = None,
    **texts: str,
) -> Path:
    """Write the page of `viewer_page`, whose arguments and errors it has.

    Args:
        path: the HTML file to write.
    Returns:
        The path.
    Raises:
        OutputError: a path that cannot be written.
    """
    return io.write_text(path, viewer_page(head, textures, **texts))


def viewer_page(
    head: HeadMesh | str | os.PathLike,
    textures: Tensor | Mapping[str, Tensor] | None = None,
    *,
    title: str = "Studio-like head",
    description: str = "A head that can be turned, seen from the front",
    note: str = "",
) -> str:
    """The viewer page.

    Args:
        head: a mesh, or the path of a ``.glb`` written by `write_glb`.
        textures: ``(3, H, W)`` in [0, 1], sRGB, or several by name, such as
            ``{"phone": …, "studio": …, "detailed": …}``, shown in that order with a switch. May be left out
            for a ``.glb``, which brings its own. Larger ones than 2048 texels are halved until they fit.
        title: shown above the head and in the window's title.
        description: what a screen reader says of the picture. note: a sentence below it.
    Returns:
        HTML; the same input gives the same text.
    Raises:
        InputError: no texture, a texture of another shape, or an unreadable ``.glb``.
    """
    if not isinstance(head, HeadMesh):
        head, own = read_glb(head)
        textures = own if textures is None else textures
    if isinstance(textures, Tensor):
        textures = {"texture": textures}
    if not textures:
        raise InputError("the viewer needs at least one texture")
    textures = {name: fitting(texture, LARGEST) for name, texture in textures.items()}

    low, extent = head.vertices.amin(0), head.vertices.amax(0) - head.vertices.amin(0)
    data = {
        # attributes are normalised integers, each padded to four bytes
        "positions": _base64(_padded(((head.vertices - low) / extent).numpy() * 65535, "<u2")),
        "normals": _base64(_padded(head.normals.numpy() * 127, "i1")),
        "uv": _base64(np.rint(head.uv.numpy() * 65535).astype("<u2")),
        "indices": _base64(head.triangles.numpy().astype("<u4")),
        "count": head.triangles.numel(),
        "extent": [round(v, 5) for v in extent.tolist()],
        "distance": round(camera_distance(head), 3),
        "fov": FIELD_OF_VIEW,
        "margin": MARGIN,
        "lamps": LAMPS,
        "sky": SKY,
        "floor": FLOOR,
        "inside": INSIDE,
        "own": ONE_LAMP,
        "textures": [[name, data_address(texture)] for name, texture in textures.items()],
    }
    still = render(head, next(iter(textures.values())), yaw=20, size=384)
    return Template(resources.files(__package__).joinpath("viewer.html").read_text("utf-8")).substitute(
        title=html.escape(title),
        description=html.escape(description),
        note=f'<p id="note">{html.escape(note)}</p>' if note else "",
        still=data_address(still),
        data=json.dumps(data, separators=(",", ":")).replace("<", "\\u003c"),
    )  # names stay data


def fitting(texture: Tensor, largest: int) -> Tensor:
    """``(3, H, W)`` halved until no side is larger than ``largest``."""
    while max(texture.shape[-2:]) > largest:
        texture = F.avg_pool2d(texture, 2)
    return texture


def _padded(values: np.ndarray, dtype: str) -> np.ndarray:
    """``(V, 3)`` rounded to integers with a fourth column of zeros, as WebGL wants its rows aligned."""
    return np.pad(np.rint(values), ((0, 0), (0, 1))).astype(dtype)


def _base64(data: np.ndarray | bytes) -> str:
    return base64.b64encode(data if isinstance(data, bytes) else data.tobytes()).decode()


def data_address(picture: Tensor) -> str:
    """``(3, H, W)`` in [0, 1] → ``data:`` address of a PNG, or of a JPEG when it is large."""
    if max(picture.shape[-2:]) <= LARGEST_PNG:
        return "data:image/png;base64," + _base64(encode_png(picture))
    stream = bytes_io.BytesIO()
    Image.fromarray(to_bytes(picture)).save(stream, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return "data:image/jpeg;base64," + _base64(stream.getvalue())
