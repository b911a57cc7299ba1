"""A small software renderer: the head from any side, on the CPU, the same bytes every time.

In: a `HeadMesh` and a texture. Out: pictures ``(3, S, S)``. A perspective camera looks along −z; triangles
are rasterised all at once into a z-buffer, the texture is read trilinearly from mip maps (Williams,
*Pyramidal parametrics*, SIGGRAPH 1983), and light is added up in linear space. The camera and the lights
stand still, the head turns: so a light that is baked into a texture turns with the head and shows itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import InputError
from ..image import linear_to_srgb, srgb_to_linear
from ..progress import bar
from ..raster import Hits, doubled_area, rasterise
from .mesh import HeadMesh

# Soft studio shading in camera space: three broad lamps (direction, strength, wrap) and an ambient term from
# sky to floor. Our choice. The sum is scaled: a surface facing the camera keeps the texture's own colour.
LAMPS = (((-0.55, 0.55, 0.75), 0.42, 0.5), ((0.80, 0.15, 0.55), 0.16, 0.6), ((0.0, 0.30, -1.0), 0.10, 0.3))
SKY, FLOOR = 0.56, 0.36
INSIDE = 0.18  # the inner side of the open neck is drawn this dark, so that it reads as an inside
FIELD_OF_VIEW = 20.0  # degrees; a portrait lens, about 100 mm on a full-frame camera
MARGIN = 1.06  # free space around the head

Light = Callable[[Tensor], Tensor]


def render(
    mesh: HeadMesh,
    texture: Tensor,
    yaw: float = 0.0,
    pitch: float = 0.0,
    size: int = 256,
    *,
    shading: str | Light = "studio",
    background: float | tuple[float, float, float] = 0.95,
    supersample: int = 2,
) -> Tensor:
    """Draw one view.

    Args:
        mesh: the head. Distance is chosen so that it fits the frame at this pitch from every side.
        texture: ``(3, H, W)`` in [0, 1], sRGB.
        yaw: degrees; positive turns the nose to the right of the picture, the subject's left. pitch: degrees;
            positive lifts the nose.
        size: edge of the picture in pixels.
        shading: ``"studio"`` (soft lamps), ``"unlit"`` (the texture's own colours), or a light of your own: a function of
            unit normals ``(P, 3)`` in camera space that gives linear light, ``(P,)`` or coloured ``(P, 3)``.
        background: sRGB grey or colour in [0, 1].
        supersample: samples per pixel edge; 2 is antialiased, 1 is not.
    Returns:
        ``(3, size, size)`` float32 in [0, 1], sRGB, on the CPU.
    Raises:
        InputError: a texture of another shape, or unknown shading.
    """
    return _draw(mesh, _mip_maps(texture), yaw, pitch, size, shading, background, supersample)


def turntable(
    mesh: HeadMesh,
    texture: Tensor,
    views: int | Iterable[float] = 8,
    size: int = 256,
    *,
    pitch: float = 0.0,
    progress: bool = False,
    **options,
) -> Tensor:
    """Draw several views at one scale.

    Args:
        views: how many, evenly spread over the full turn and starting in front; or the yaw angles themselves.
        progress: show a bar. options: as for `render`.
    Returns:
        ``(V, 3, size, size)`` float32 in [0, 1], sRGB.
    """
    angles = [360.0 * k / views for k in range(views)] if isinstance(views, int) else list(views)
    if not angles:
        raise InputError("a turntable needs at least one view")
    settings = {"shading": "studio", "background": 0.95, "supersample": 2} | options
    mips = _mip_maps(texture)
    return torch.stack(
        [_draw(mesh, mips, yaw, pitch, size, **settings) for yaw in bar(angles, "turntable", "picture", show=progress)]
    )


def _draw(mesh, mips, yaw, pitch, size, shading, background, supersample) -> Tensor:
    if not callable(shading) and shading not in ("studio", "unlit"):
        raise InputError(f"unknown shading '{shading}'; known: studio, unlit")
    if size < 8 or supersample < 1:
        raise InputError(f"cannot draw {size} pixels with {supersample} samples; use at least 8 and 1")
    edge = size * supersample
    points, turn = _place(mesh, yaw, pitch)
    screen = _project(points, edge)
    hits, front = _visible(screen, mesh.triangles, edge, pitch > 0)  # from above, the neck's inside is hidden
    corners = mesh.triangles[hits.triangle]

    def at_hits(values: Tensor) -> Tensor:
        return (values.to(hits.weights.dtype)[corners] * hits.weights[..., None]).sum(1).float()

    level = _detail_level(screen, mesh, mips[0].shape[-1])
    colour = _sample(mips, at_hits(mesh.uv), at_hits(level[:, None])[:, 0])  # (P, 3) linear light
    normals = F.normalize(at_hits(mesh.normals) @ turn.T.float(), dim=-1)
    if shading != "unlit":
        light = shading(normals) if callable(shading) else studio_light(normals)
        colour = colour * light.reshape(len(normals), -1)
    # a fold at an ear may turn a single triangle around; inside means that the smooth surface faces away as well
    inside = ~front & (normals[:, 2] < 0)
    colour = torch.where(inside[:, None], colour * INSIDE, colour)

    ground = torch.as_tensor(background, dtype=torch.float32).expand(3)
    canvas = srgb_to_linear(ground).repeat(edge * edge, 1)
    canvas[hits.pixel] = colour.clamp(0, 1)
    picture = F.avg_pool2d(canvas.T.reshape(1, 3, edge, edge), supersample)[0]  # in linear light
    return linear_to_srgb(picture).clamp(0, 1)


def studio_light(normals: Tensor) -> Tensor:
    """The studio's light on unit normals ``(..., 3)`` in camera space; 1 on a surface facing the camera."""
    return _raw_light(normals) / _raw_light(torch.tensor([0.0, 0.0, 1.0]))


def _raw_light(normals: Tensor) -> Tensor:
    total = FLOOR + (SKY - FLOOR) * (0.5 + 0.5 * normals[..., 1])
    for direction, strength, wrap in LAMPS:
        facing = normals @ F.normalize(torch.tensor(direction), dim=0)
        total = total + strength * ((facing + wrap) / (1 + wrap)).clamp_min(0) ** 1.5
    return total


def _place(mesh: HeadMesh, yaw: float, pitch: float) -> tuple[Tensor, Tensor]:
    """Turn the head and set it before the camera, at z < 0: points ``(V, 3)`` float64, and the rotation."""
    turn = rotation(yaw, pitch)
    back = torch.tensor([0, 0, camera_distance(mesh, pitch)], dtype=torch.float64)
    return _centred(mesh) @ turn.T - back, turn


def camera_distance(mesh: HeadMesh, pitch: float = 0.0) -> float:
    """Centimetres from the head's middle at which every yaw fits the frame: turntables keep one scale."""
    points = _centred(mesh)[::3]
    slope = math.tan(math.radians(FIELD_OF_VIEW / 2)) / MARGIN
    distance = 0.0
    for angle in range(0, 360, 15):
        x, y, z = (points @ rotation(angle, pitch).T).unbind(-1)
        distance = max(distance, float((torch.maximum(x.abs(), y.abs()) / slope + z).max()))
    return distance


def _centred(mesh: HeadMesh) -> Tensor:
    """Vertices ``(V, 3)`` float64 about the middle of their bounding box."""
    return (mesh.vertices - (mesh.vertices.amin(0) + mesh.vertices.amax(0)) / 2).double()


def rotation(yaw: float, pitch: float) -> Tensor:
    """Rotation ``(3, 3)`` float64: yaw about the upright axis, then pitch about the picture's horizontal."""
    (ca, sa), (cb, sb) = ((math.cos(math.radians(t)), math.sin(math.radians(t))) for t in (yaw, pitch))
    about_y = torch.tensor([[ca, 0, sa], [0, 1, 0], [-sa, 0, ca]], dtype=torch.float64)
    about_x = torch.tensor([[1, 0, 0], [0, cb, sb], [0, -sb, cb]], dtype=torch.float64)
    return about_x @ about_y


def _project(points: Tensor, edge: int) -> Tensor:
    """Camera space ``(V, 3)`` → pixels x, y (y down; pixel centres at .5) and 1/depth, ``(V, 3)`` float64."""
    near = 1 / -points[:, 2]
    focal = edge / 2 / math.tan(math.radians(FIELD_OF_VIEW / 2))
    x, y = focal * points[:, 0] * near, focal * points[:, 1] * near
    return torch.stack([edge / 2 + x, edge / 2 - y, near], -1)


def _visible(screen: Tensor, triangles: Tensor, edge: int, inside_too: bool) -> tuple[Hits, Tensor]:
    """What each pixel sees, with weights correct in perspective, and whether it is the outer side, ``(P,)``.

    ``inside_too`` keeps triangles seen from within the head, which only an open neck can show.
    """
    front = doubled_area(screen[triangles]) < 0  # y runs down on the screen, so outer sides turn clockwise
    kept = torch.nonzero(front | inside_too)[:, 0]
    pixel, k, weights, near = rasterise(screen, triangles[kept], edge)
    k = kept[k]
    return Hits(pixel, k, weights * screen[triangles[k], 2] / near[:, None], near), front[k]


def _detail_level(screen: Tensor, mesh: HeadMesh, resolution: int) -> Tensor:
    """Mip level per vertex ``(V,)``: half the log2 of texels per pixel, mean of the triangles around it."""
    flat, drawn = (doubled_area(points[mesh.triangles]).abs() for points in (mesh.uv.double(), screen))
    ratio = flat * resolution**2 / drawn.clamp_min(1e-3)
    level = 0.5 * ratio.clamp_min(1e-6).log2()
    corners = mesh.triangles.reshape(-1)
    total = torch.zeros(len(screen), 2, dtype=torch.float64)
    total.index_add_(0, corners, torch.stack([level, torch.ones_like(level)], -1).repeat_interleave(3, 0))
    return total[:, 0] / total[:, 1].clamp_min(1)


def _mip_maps(texture: Tensor) -> list[Tensor]:
    """Halved copies of a texture in linear light, ``[(1, 3, H, W), (1, 3, H/2, W/2), …]`` to 8 texels."""
    if texture.ndim != 3 or texture.shape[0] != 3:
        raise InputError(f"a texture is (3, H, W), not {tuple(texture.shape)}")
    mips = [srgb_to_linear(texture.detach().float().cpu().clamp(0, 1))[None]]
    while min(mips[-1].shape[-2:]) >= 16:
        mips.append(F.avg_pool2d(mips[-1], 2))
    return mips


def _sample(mips: list[Tensor], uv: Tensor, level: Tensor) -> Tensor:
    """Trilinear lookup ``(P, 3)`` at ``uv (P, 2)``: periodic in u, clamped in v."""
    level = level.clamp(0, len(mips) - 1)
    colour = torch.zeros(len(uv), 3)
    for k, mip in enumerate(mips):
        share = (1 - (level - k).abs()).clamp_min(0)
        rows = torch.nonzero(share > 0)[:, 0]
        if not len(rows):
            continue
        height, width = mip.shape[-2:]
        wrapped = F.pad(mip, (1, 1, 0, 0), mode="circular")
        x = (uv[rows, 0] * width + 1) / (width + 2) * 2 - 1
        y = uv[rows, 1] * 2 - 1
        grid = torch.stack([x, y], -1)[None, None]
        values = F.grid_sample(wrapped, grid, mode="bilinear", padding_mode="border", align_corners=False)
        colour[rows] += values[0, :, 0].T * share[rows, None]
    return colour
