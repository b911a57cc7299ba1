"""Light on a head: environments of lobes or of real places, hard keys with cast shadows, and precomputed transfer.

Which directions a texel of the head can see is computed once for the base head and kept (precomputed radiance
transfer, Sloan, Kautz and Snyder, SIGGRAPH 2002, with the visibility sampled in `DIRECTIONS` directions instead of
projected). An environment's diffuse light is then one product of matrices per lighting. A hard key is too sharp for
that, so it gets its own shadow map (Williams 1978, filtered after Reeves et al. 1987) of the subject's own head.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from ..image import luminance, normals_of, unit
from ..layout import position_map
from . import sky
from .draw import Batched, Draws, blur, column, enlarge
from .skin import black_body

DIRECTIONS = 80
TRANSFER_SIZE = 64  # soft visibility needs no more
SPAN = 46.0  # cm covered by a shadow map
REAL = 0.5  # share of the lightings that are real places
OCCLUDER = 6.0  # cm between a shadow's edge and what casts it, nose or brow: a wide source blurs the edge in proportion


@lru_cache(1)
def directions() -> Tensor:
    """`DIRECTIONS` even directions on the sphere (Fibonacci lattice), ``(D, 3)``."""
    i = torch.arange(DIRECTIONS, dtype=torch.float32) + 0.5
    y = 1 - 2 * i / DIRECTIONS
    ring, angle = (1 - y * y).sqrt(), math.pi * (1 + 5**0.5) * i
    return torch.stack([ring * angle.cos(), y, ring * angle.sin()], -1)


def across(direction: Tensor) -> tuple[Tensor, Tensor]:
    """Two unit vectors ``(B, 3)`` across each direction ``(B, 3)``."""
    up = torch.tensor([0.0, 1.0, 0.0], device=direction.device).expand_as(direction)
    side = torch.tensor([1.0, 0.0, 0.0], device=direction.device).expand_as(direction)
    a = F.normalize(
        torch.where(direction[:, 1:2].abs() < 0.95, torch.cross(up, direction, dim=1), torch.cross(side, direction, dim=1)),
        dim=1,
    )
    return a, torch.cross(direction, a, dim=1)


def shadow(
    position: Tensor,
    normal: Tensor,
    direction: Tensor,
    size: int = 160,
    softness: float | Tensor = 0.6,
    bias: float = 0.35,
) -> Tensor:
    """Share of a distant light that reaches each texel, ``(B, 1, H, W)`` in [0, 1].

    Args:
        position, normal: ``(B, 3, H, W)``, cm. direction: ``(B, 3)`` unit, toward the light.
        size: texels of the square depth map over `SPAN` cm. softness: filter radius in cm, number or ``(B,)``.
    """
    b, _, h, w = position.shape
    frame = torch.stack([*across(direction), direction], 1)  # (B, 3, 3)
    centre = position.new_tensor([0.0, 0.0, -2.5]).view(1, 3, 1)

    def project(p: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q = frame @ (p.flatten(2) - centre)
        return (q[:, 0] / SPAN + 0.5) * size, (q[:, 1] / SPAN + 0.5) * size, q[:, 2]

    dense = F.interpolate(position, scale_factor=2, mode="bilinear", align_corners=False) if h <= 1.2 * size else position
    x, y, z = project(dense)
    index = y.long().clamp(0, size - 1) * size + x.long().clamp(0, size - 1)
    depth = torch.full((b, size * size), -100.0, device=position.device).scatter_reduce_(1, index, z, "amax")
    depth = depth.view(b, 1, size, size)
    depth = -F.max_pool2d(-F.max_pool2d(depth, 3, 1, 1), 3, 1, 1).flatten(1)  # close the gaps between splats

    x, y, z = project(position + normal * 0.18)
    radius = torch.as_tensor(softness, dtype=position.dtype, device=position.device) / SPAN * size
    radius = radius.reshape(-1, 1)
    lit = torch.zeros_like(z)
    # a slanted surface spans more depth within one cell: give it more slack, or it shades itself in rings
    slope = (direction[:, None] @ normal.flatten(2))[:, 0].clamp(0.2, 1)
    slack = bias + (SPAN / size + 0.5 * radius * SPAN / size) * ((1 / slope**2 - 1).sqrt() * 0.6).clamp_max(1.5)
    outer = (0.95, 0.3), (-0.3, 0.95), (-0.95, -0.3), (0.3, -0.95)
    inner = (0.42, 0.42), (-0.42, -0.42), (0.45, -0.45), (-0.45, 0.45)
    taps = (0.0, 0.0), *outer, *inner
    for ox, oy in taps:
        i = (y + oy * radius).long().clamp(0, size - 1) * size + (x + ox * radius).long().clamp(0, size - 1)
        lit += ((z - depth.gather(1, i) + slack) * 6 + 0.5).clamp(0, 1)
    return (lit / len(taps)).view(b, 1, h, w)


@lru_cache(1)
def _transfer() -> Tensor:
    """Soft visibility of every direction on the base head, ``(D, H, W)`` float32 at `TRANSFER_SIZE`."""
    position = position_map(2 * TRANSFER_SIZE)[None]
    normal = normals_of(position)
    rows = [shadow(position, normal, d[None], size=96, softness=1.2, bias=0.6) for d in directions()]
    return blur(F.avg_pool2d(torch.cat(rows, 1), 2), 0.012)[0]


@lru_cache(4)
def transfer(resolution: int, device: str = "cpu") -> Tensor:
    """The same, upsampled and laid out for products: ``(H·W, D)``."""
    maps = enlarge(_transfer()[None], resolution)[0]
    return maps.flatten(1).T.contiguous().to(device)


def diffuse(normal: Tensor, radiance: Tensor) -> Tensor:
    """Irradiance / π of environments on heads: Σ_d L_d V_d max(n·d, 0) · 4/D; a uniform unit dome gives at most 1.

    Args:
        normal: ``(B, 3, H, W)`` unit. radiance: ``(B, D, C)`` over `directions`.
    Returns:
        ``(B, C, H, W)``
    """
    b, _, h, w = normal.shape
    reach = directions().to(normal.device).T
    seen = transfer(h, str(normal.device))
    rows = 4096 if normal.device.type == "cpu" else h * w  # a block's cosines stay in the cache: four times faster at 512²
    out = normal.new_empty(b, radiance.shape[-1], h * w)
    for n, light, sums in zip(normal.flatten(2), radiance, out, strict=True):
        for k in range(0, h * w, rows):
            cosine = (n[:, k : k + rows].T @ reach).clamp_min_(0).mul_(seen[k : k + rows])
            sums[:, k : k + rows] = (cosine @ light).T
    return out.view(b, -1, h, w) * (4 / DIRECTIONS)


def occlusion(position: Tensor, normal: Tensor) -> Tensor:
    """Ambient occlusion ``(B, 1, H, W)`` in (0, 1]: the irradiance of a uniform unit dome on the base head, times the
    subject's own hollows (how far a blurred surface stands above it, at four sizes)."""
    dome = diffuse(normal, torch.ones(len(normal), DIRECTIONS, 1, device=normal.device)).clamp(0, 1)
    for size, depth in ((0.0024, 4.5), (0.007, 3.2), (0.022, 1.1), (0.05, 0.35)):
        hollow = ((blur(position, size) - position) * normal).sum(1, keepdim=True)
        dome = dome * torch.exp(-depth * hollow.clamp(-0.03 if size < 0.03 else -0.4, 0.8))
    return dome.clamp(0, 1)


@dataclass
class Lighting(Batched):
    """A batch of light situations.

    Attributes:
        ambient: ``(B, 3, 3)`` sky, horizon and ground radiance (linear RGB in the last axis).
        lobe_direction ``(B, K, 3)``, lobe_sharpness ``(B, K)``, lobe_colour ``(B, K, 3)``: spherical Gaussians
            L(d) = colour · exp(sharpness (d·direction − 1)).
        key_direction ``(B, 3)``, key_colour ``(B, 3)`` (zero without a key), key_softness ``(B,)`` in cm.
        place: int64 ``(B,)``, a real place of `sky.places`, whose light is added to the lobes; −1: none.
        turn: ``(B, 3, 3)`` from the head's frame to the place's map. tint: ``(B, 3)``, factor on its radiance.
    """

    ambient: Tensor
    lobe_direction: Tensor
    lobe_sharpness: Tensor
    lobe_colour: Tensor
    key_direction: Tensor
    key_colour: Tensor
    key_softness: Tensor
    place: Tensor
    turn: Tensor
    tint: Tensor

    def radiance(self, d: Tensor) -> Tensor:
        """Environment without the key along ``(D, 3)``, ``(B, D, 3)``."""
        up = d[None, :, 1:2]
        zenith, horizon, ground = self.ambient.unbind(1)
        toward = torch.where(up > 0, up * (zenith - horizon)[:, None], -up * (ground - horizon)[:, None])
        smooth = horizon[:, None] + toward
        lobes = torch.exp(self.lobe_sharpness[:, None] * (d @ self.lobe_direction.transpose(1, 2) - 1))
        out = smooth + lobes @ self.lobe_colour
        rows = (self.place >= 0).nonzero().flatten()
        if len(rows):
            seen = sky.look(self.place[rows], (self.turn[rows] @ d.T)[:, :, None], sky.SHARPNESS[1])
            out[rows] += (seen[:, :, 0] * self.tint[rows, :, None]).transpose(1, 2)
        return out


# kind of place: weight, ambient level, (low, high) kelvin of the main lobe, elevation range, azimuth range, strength,
# sharpness, chance of a hard key, kelvin of the key
# fmt: off
PLACES = (
    ("overcast", 0.15, 0.75, (5600, 7800), (0.5, 1.4), (-3.1, 3.1), (0.3, 1.2), (1.0, 3.0), 0.05, (5200, 6500)),
    ("window", 0.23, 0.22, (4600, 7500), (0.0, 0.6), (0.4, 1.7), (1.2, 4.5), (3.0, 9.0), 0.25, (4800, 6000)),
    ("ceiling", 0.17, 0.25, (2700, 4300), (0.8, 1.4), (-1.0, 1.0), (1.2, 4.0), (4.0, 16.0), 0.5, (2600, 4000)),
    ("sun", 0.25, 0.35, (6500, 11000), (0.4, 1.4), (-3.1, 3.1), (0.2, 0.8), (1.0, 2.5), 1.0, (4200, 5600)),
    ("evening", 0.13, 0.16, (2300, 3400), (-0.1, 0.8), (0.2, 2.2), (1.2, 4.5), (5.0, 22.0), 0.45, (2300, 3400)),
    ("front", 0.07, 0.22, (5000, 7000), (-0.2, 0.3), (-0.4, 0.4), (0.6, 2.0), (6.0, 25.0), 0.35, (5000, 6500)),
)
# fmt: on


def draw_lighting(seeds: Tensor, device: torch.device | str = "cpu") -> Lighting:
    """The lighting of each seed ``(B,)``: for half of them a real place, turned and tinted, its sun as a key; for the others a
    kind of place, its ambient light, 2–3 lobes, and a hard key in about half."""
    rng = Draws(seeds, "light", device)
    place = rng.choice(torch.tensor([p[1] for p in PLACES]))

    def pick(column_: int, low: int | None = None) -> Tensor:
        values = [p[column_] if low is None else p[column_][low] for p in PLACES]  # type: ignore[index]
        return torch.tensor(values, dtype=torch.float32, device=device)[place]

    def between(column_: int, *shape: int) -> Tensor:
        t = rng.uniform(0, 1, *shape)
        low, high = (pick(column_, k).view(-1, *[1] * len(shape)) for k in (0, 1))
        return low + (high - low) * t

    level = pick(2) * rng.uniform(math.log(0.15), math.log(1.5)).exp()
    sky_kelvin, ground_tint = rng.uniform(4200, 8500), rng.normal(3, scale=0.12).exp()
    zenith = black_body(sky_kelvin) * (level * rng.uniform(0.9, 1.8))[:, None]
    horizon = black_body(sky_kelvin * rng.uniform(0.75, 1.1)) * level[:, None]
    ground = horizon * ground_tint * rng.uniform(0.25, 0.8, 1)

    count = 3
    side = rng.choice(torch.tensor([1.0, 1.0])) * 2.0 - 1
    azimuth = between(5, count) * side[:, None]
    azimuth[:, 1:] = rng.uniform(-2.6, 2.6, count - 1)
    elevation = between(4, count)
    elevation[:, 1:] = rng.uniform(-0.4, 1.2, count - 1)
    strength = between(6, count) * torch.tensor([1.0, 0.45, 0.3], device=device)
    strength[:, 1:] *= rng.chance(0.6, count - 1)
    kelvin = between(3, count)
    kelvin[:, 1:] = rng.uniform(2600, 8500, count - 1)
    sharpness = between(7, count)

    has_key = rng.chance(pick(8))
    key_azimuth = rng.uniform(0.1, 1.5) * side
    key_elevation = rng.uniform(0.15, 1.15)
    key_power = rng.uniform(1.2, 5.0) * has_key * (0.35 + level).clamp_max(1.2)
    lighting = Lighting(
        ambient=torch.stack([zenith, horizon, ground], 1),
        lobe_direction=sky.toward(azimuth, elevation),
        lobe_sharpness=sharpness,
        lobe_colour=black_body(kelvin) * strength[..., None],
        key_direction=sky.toward(key_azimuth, key_elevation),
        key_colour=black_body(between(9)) * key_power[:, None],
        key_softness=rng.uniform(0.12, 1.1),
        place=torch.full_like(place, -1),
        turn=torch.eye(3, device=device).expand(len(seeds), 3, 3),
        tint=torch.ones(len(seeds), 3, device=device),
    )
    _go_outside(lighting, Draws(seeds, "place", device))
    return lighting


def _go_outside(lighting: Lighting, rng: Draws) -> None:
    """Take a share `REAL` of the lightings to a real place; places with a strong sun are visited more often."""
    suns = sky.places()[1].to(lighting.tint.device)
    there = rng.chance(REAL)
    place = rng.choice(1 + 2.5 * (luminance(suns[:, 3:6, None, None]).flatten() > 0.8))
    mirrored = 2 * rng.chance(0.5) - 1
    # who takes a picture seldom has the sun behind the subject
    azimuth = torch.where(rng.chance(0.75) > 0, rng.uniform(-1.6, 1.6), rng.uniform(-math.pi, math.pi))
    tilt = rng.normal(scale=0.10)
    tint = rng.normal(3, scale=0.10).exp()
    power = 1.9 * rng.normal(1, scale=0.4).exp()  # the map's ground and sky light a head from below its shoulders too
    sun = suns[place]
    turn = sky.turning(torch.atan2(sun[:, 0], sun[:, 2]) - mirrored * azimuth, tilt, mirrored)
    rows = there.nonzero().flatten()
    lighting.place = torch.where(there > 0, place, lighting.place)
    lighting.turn = torch.where(there.view(-1, 1, 1) > 0, turn, lighting.turn)
    lighting.tint = torch.where(there[:, None] > 0, tint, lighting.tint)
    lighting.ambient[rows] = 0
    lighting.lobe_colour[rows] = 0
    lighting.key_direction[rows] = (turn.transpose(1, 2) @ sun[:, :3, None])[rows, :, 0]
    lighting.key_colour[rows] = (sun[:, 3:6] * tint * power)[rows]
    lighting.key_softness[rows] = (sun[:, 6] * OCCLUDER).clamp(0.12, 1.2)[rows]


def _along(field: Tensor, direction: Tensor) -> Tensor:
    """Component ``(B, 1, H, W)`` of a vector map along one direction ``(B, 3)`` per head."""
    return (direction[:, None] @ field.flatten(2)).view(len(field), 1, *field.shape[2:])


def irradiance(
    position: Tensor,
    smooth_normal: Tensor,
    normal: Tensor,
    lighting: Lighting,
    scatter: Tensor | None = None,
    passing: Tensor | None = None,
    dimming: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Diffuse light ``(B, 3, H, W)`` (irradiance / π) on heads, and the share of the key that arrives, ``(B, 1, H, W)``.

    Light that enters the skin leaves it some millimetres away, red farthest, so irradiance is blurred per channel
    (Borshukov and Lewis 2003; widths after d'Eon and Luebke 2007) where ``scatter`` ``(B, 1, H, W)`` says skin.

    Args:
        passing: ``(B, 1, H, W)``, share of the key that foreign things let through. dimming: ``(B,)``, share of the soft
            light that they take where they take all of the key.
    """
    soft = diffuse(normal, lighting.radiance(directions().to(normal.device)))
    size = 128 if normal.shape[-1] <= 128 else 208
    lit = torch.ones_like(normal[:, :1])
    rows = (lighting.key_colour.sum(1) > 0).nonzero().flatten()
    if len(rows):
        toward, softness = lighting.key_direction[rows], lighting.key_softness[rows]
        lit[rows] = shadow(position[rows], smooth_normal[rows], toward, size=size, softness=softness)
    if passing is not None:
        assert dimming is not None
        lit = lit * passing
        soft = soft * (1 - column(dimming) * (1 - passing))
    facing = _along(normal, lighting.key_direction).clamp_min(0)
    light = soft + facing * lit * lighting.key_colour[:, :, None, None]
    if scatter is not None:
        spread = torch.cat([blur(light[:, k : k + 1], s) for k, s in enumerate((0.0075, 0.0035, 0.0018))], 1)
        light = torch.lerp(light, spread, 0.75 * scatter)
    return light, lit


def severity(light: Tensor, mask: Tensor) -> Tensor:
    """Unevenness ``(B,)`` in [0, 1] of the light on the face: (p95 − p5) / (p95 + p5) of its luminance.

    Args:
        light: irradiance ``(B, 3, H, W)``. mask: face, ``(1, H, W)`` in [0, 1]; texels above one half count.
    """
    values = luminance(light).flatten(1)[:, (mask > 0.5).flatten()]
    low, high = torch.quantile(values, torch.tensor([0.05, 0.95], device=light.device), dim=1)
    return (high - low) / (high + low).clamp_min(1e-6)


def gloss(
    position: Tensor,
    normal: Tensor,
    camera: Tensor,
    lighting: Lighting,
    roughness: Tensor,
    lit: Tensor,
    open_sky: Tensor,
) -> Tensor:
    """Specular reflection seen from a camera, linear RGB ``(B, 3, H, W)``, before any gloss map.

    The environment's lobes are Gaussians, so the rough mirror's answer is one too: its sharpness is the harmonic sum of
    the lobe's and the surface's (spherical Gaussian product, Wang et al., SIGGRAPH Asia 2009). Fresnel by Schlick with
    F0 = 0.028 (skin's index 1.4).

    Args:
        camera: ``(B, 3)`` cm. roughness: ``(B, 1, 1, 1)`` in 0.2…0.6.
        lit: key shadow ``(B, 1, H, W)``. open_sky: ambient occlusion ``(B, 1, H, W)``.
    """
    view = unit(camera[:, :, None, None] - position)
    cosine = (view * normal).sum(1, keepdim=True)
    mirror = 2 * cosine * normal - view
    fresnel = 0.028 + 0.5 * (1 - cosine.clamp(0.12, 1)) ** 5 * (1 - roughness) ** 2
    surface = 0.5 / roughness**4  # sharpness of the reflected lobe
    up = mirror[:, 1:2]
    zenith, horizon, ground = (column_[:, :, None, None] for column_ in lighting.ambient.unbind(1))
    out = horizon + 0.7 * torch.where(up > 0, up * (zenith - horizon), -up * (ground - horizon))
    for k in range(lighting.lobe_direction.shape[1]):
        sharp = column(lighting.lobe_sharpness[:, k])
        width = sharp * surface / (sharp + surface)
        toward = _along(mirror, lighting.lobe_direction[:, k])
        out = out + torch.exp(width * (toward - 1)) * (width / sharp) * lighting.lobe_colour[:, k, :, None, None]
    rows = (lighting.place >= 0).nonzero().flatten()
    if len(rows):
        turned = (lighting.turn[rows] @ mirror[rows].flatten(2)).view_as(mirror[rows])
        seen = sky.look(lighting.place[rows], turned, surface.flatten()[rows])
        out[rows] += seen * lighting.tint[rows, :, None, None]
    out = out * open_sky**3
    toward = _along(mirror, lighting.key_direction)
    peak = (surface / 2).clamp_max(9.0)
    key = torch.exp(surface * (toward - 1)) * peak * lit
    facing = _along(normal, lighting.key_direction)
    return fresnel * (out + key * (facing > 0) * lighting.key_colour[:, :, None, None])
