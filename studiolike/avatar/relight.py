"""The test of a studio-like texture that anyone can read: light the head anew, under four lights that differ.

On a texture without light in it, every light looks as it should. On a phone texture the light of the capture stays
where it was and adds itself to each of them. The lights are small sums of distant lamps and a gradient from sky to
floor, in camera space as in `render`; their numbers are our choice.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..errors import InputError
from ..image import from_bytes, to_bytes
from ..progress import bar
from .mesh import HeadMesh
from .render import Light, render

# name → linear RGB of sky and floor, and lamps: direction, linear RGB, wrap (0: a hard lamp, 1: a wall of light)
ENVIRONMENTS: dict[str, tuple[tuple, tuple, tuple]] = {
    "overcast sky": ((0.92, 0.98, 1.08), (0.30, 0.29, 0.27), (((0.0, 0.6, 0.8), (0.25, 0.25, 0.25), 0.8),)),
    "window, left": ((0.20, 0.22, 0.25), (0.10, 0.09, 0.08), (((-1.0, 0.25, 0.45), (1.05, 1.0, 0.95), 0.25),)),
    "low sun, right": (
        (0.22, 0.26, 0.36),
        (0.16, 0.13, 0.10),
        (((0.85, 0.20, 0.50), (1.30, 0.95, 0.62), 0.05),),
    ),
    "stage": (
        (0.04, 0.04, 0.06),
        (0.03, 0.02, 0.03),
        (((-0.9, 0.3, 0.45), (0.15, 0.45, 1.15), 0.15), ((0.9, 0.2, 0.45), (1.15, 0.25, 0.45), 0.15)),
    ),
}
ONE_LAMP = 0.22, 1.1, 0.1  # light from everywhere, strength and wrap of the lamp that readers move, here and in the viewer
GAP, BAND, SIDE = 8, 30, 110  # pixels: between pictures, of the names above, of the names beside


def light_of(environment: str) -> Light:
    """The light of one of the `ENVIRONMENTS`, for `render`: unit normals ``(P, 3)`` → linear RGB ``(P, 3)``.

    Raises:
        InputError: unknown name.
    """
    if environment not in ENVIRONMENTS:
        raise InputError(f"unknown light '{environment}'; known: {', '.join(ENVIRONMENTS)}")
    sky, floor, lamps = ENVIRONMENTS[environment]

    def light(normals: Tensor) -> Tensor:
        up = (0.5 + 0.5 * normals[:, 1:2]).clamp(0, 1)
        total = torch.lerp(torch.tensor(floor).expand(len(normals), 3), torch.tensor(sky).expand(len(normals), 3), up)
        for direction, colour, wrap in lamps:
            facing = normals @ F.normalize(torch.tensor(direction), dim=0)
            total = total + ((facing + wrap) / (1 + wrap)).clamp_min(0)[:, None] * torch.tensor(colour)
        return total

    return light


def lamp(side: float, height: float) -> Light:
    """One hard lamp that can stand anywhere, for `render`.

    Args:
        side: degrees, positive to the right of the picture; 0 beside the camera, 180 behind the head. height: degrees.
    """
    a, b = math.radians(side), math.radians(height)
    direction = torch.tensor([math.sin(a) * math.cos(b), math.sin(b), math.cos(a) * math.cos(b)])
    ambient, strength, wrap = ONE_LAMP
    return lambda normals: ambient + strength * ((normals @ direction + wrap) / (1 + wrap)).clamp_min(0)


def relit_sheet(
    mesh: HeadMesh, textures: Mapping[str, Tensor], size: int = 320, yaw: float = 20.0, *, progress: bool = False
) -> Tensor:
    """One row per texture: the head in the texture's own colours, then under each of the four lights.

    Args:
        mesh: the head.
        textures: ``(3, H, W)`` in [0, 1], sRGB, by the name that is written beside the row.
        size: edge of each picture in pixels. yaw: degrees, see `render`. progress: show a bar.
    Returns:
        ``(3, H, W)`` in [0, 1], the labelled sheet.
    """
    columns = {"no light": "unlit"} | {name: light_of(name) for name in ENVIRONMENTS}
    width = SIDE + len(columns) * (size + GAP)
    sheet = Image.new("RGB", (width, BAND + len(textures) * (size + GAP)), (242, 242, 242))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(16)
    for k, name in enumerate(columns):
        draw.text((SIDE + k * (size + GAP) + size // 2, BAND // 2), name, fill=(30, 30, 30), font=font, anchor="mm")
    drawn = bar(None, "lights", "picture", show=progress, total=len(textures) * len(columns))
    for row, (name, texture) in enumerate(textures.items()):
        top = BAND + row * (size + GAP)
        shown = name if len(name) <= 12 else name[:11] + "…"
        draw.text((SIDE // 2, top + size // 2), shown, fill=(30, 30, 30), font=font, anchor="mm")
        for k, shading in enumerate(columns.values()):
            picture = to_bytes(render(mesh, texture, yaw, size=size, shading=shading))
            sheet.paste(Image.fromarray(picture), (SIDE + k * (size + GAP), top))
            drawn.update()
    drawn.close()
    return from_bytes(sheet)
