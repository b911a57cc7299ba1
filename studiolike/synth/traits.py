"""What makes a face somebody's: traits drawn per subject, and where its features lie.

Features are drawn in *canonical* layout coordinates and reach a subject's texture through a small smooth warp of its
own (`place_features`), so that eyes, mouth and nostrils differ in size, tilt and place while texels still correspond.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from ..image import resize, smoothstep
from ..layout import REGIONS, cylinder_of, landmark_uv, polygon_mask, texel_uv
from .draw import Draws, blur, fbm, sample, sample_points
from .skin import hair_colour

CANON = 512
FIELDS = ("lips", "mouth", "left_eye", "right_eye", "face", "moustache")
MOUSTACHE = [98, 97, 2, 326, 327, 322, 287, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185, 61, 57, 92]
HAIR_STYLES = ("none", "buzz", "short", "side", "fringe", "long", "tied", "curly", "coily", "receding", "horseshoe")
BEARDS = ("none", "stubble", "moustache", "goatee", "short", "full")
# rows: hair colours black, dark brown, brown, blond, red; eumelanin and pheomelanin
HAIR_PIGMENT = torch.tensor([[6.0, 0.2], [3.2, 0.3], [1.7, 0.4], [0.42, 0.16], [0.55, 1.5]])
# irises: dark brown, brown, hazel, green, blue, grey (linear sRGB at the middle of the stroma)
IRIS = torch.tensor(
    [
        [0.020, 0.010, 0.006],
        [0.060, 0.028, 0.012],
        [0.095, 0.060, 0.022],
        [0.065, 0.080, 0.042],
        [0.060, 0.095, 0.145],
        [0.095, 0.115, 0.125],
    ]
)


@lru_cache(1)
def canonical_fields() -> Tensor:
    """Signed distances (layout units, inside positive) to `FIELDS`, ``(1, F, CANON, CANON)``; "mouth" is the unsigned
    distance to the line between the lips, negated."""
    uv = landmark_uv()
    polygons = {name: uv[REGIONS[name]] for name in ("lips", "left_eye", "right_eye", "face")} | {"moustache": uv[MOUSTACHE]}
    upper = uv[[78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308]]
    lower = uv[[78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308]]
    t = torch.linspace(0, 9.999, 300)
    k = t.long()
    middle = 0.5 * (upper + lower)
    line = torch.lerp(middle[k], middle[k + 1], (t - k)[:, None])
    ends = 0.4 * torch.tensor([[-1.0, 0.0], [1.0, 0.0]]) * 0.02
    line = torch.cat([line, line[:1] + ends[:1], line[-1:] + ends[1:]])
    maps = []
    for name in FIELDS:
        if name == "mouth":
            texels = texel_uv(CANON)
            far = torch.cdist(texels.reshape(-1, 2), line).amin(1).view(CANON, CANON)
            maps.append(-far)
            continue
        inside = polygon_mask(polygons[name], CANON)[0].numpy() > 0.5
        maps.append(torch.from_numpy(distance_transform_edt(inside) - distance_transform_edt(~inside)).float() / CANON)
    return blur(torch.stack(maps)[None], 0.8 / CANON)


@lru_cache(8)
def fields_at(resolution: int) -> Tensor:
    """`canonical_fields` no finer than needed."""
    fields = canonical_fields()
    return resize(fields, resolution) if resolution < CANON and CANON % resolution == 0 else fields


@dataclass
class Traits:
    """Everything drawn once per subject; each ``(B, ...)``. See `draw_traits` for ranges."""

    seeds: Tensor
    tone: Tensor
    age: Tensor
    masculinity: Tensor
    values: dict[str, Tensor]

    def __getitem__(self, name: str) -> Tensor:
        return self.values[name]


def draw_traits(seeds: Tensor, device: torch.device | str = "cpu") -> Traits:
    """Who the subjects are: tone 0 (lightest)…1, age 0 (18 years)…1 (80), masculinity 0…1, then the features'
    colours, sizes and places. Correlations (hair and iris with tone, beard and baldness with masculinity, grey with
    age) are loose on purpose."""
    rng = Draws(seeds, "traits", device)
    tone, age = rng.uniform(0, 1), rng.uniform(0, 1) ** 1.5
    masculinity = smoothstep(rng.uniform(-0.15, 1.15))
    light = (1 - tone * 1.35).clamp(0, 1)
    v: dict[str, Tensor] = {}

    weights = torch.stack(
        [0.28 + 0.6 * (1 - light), 0.30 + 0 * light, 0.25 * light + 0.03, 0.24 * light**1.5, 0.09 * light**1.5], -1
    )
    pigment = HAIR_PIGMENT.to(device)[rng.choice(weights)] * rng.normal(2, scale=0.22).exp()
    v["grey"] = (smoothstep((age - 0.58 + 0.12 * rng.normal()) / 0.5) * rng.uniform(0.2, 1.0)).clamp(0, 0.95)
    v["hair_colour"] = hair_colour(pigment[:, 0], pigment[:, 1], v["grey"])
    v["brow_colour"] = hair_colour(pigment[:, 0] * 1.25 + 0.5, pigment[:, 1], v["grey"] * 0.3)
    iris = torch.stack(
        [
            0.25 + 1.2 * (1 - light),
            0.4 + 0 * light,
            0.22 * light + 0.04,
            0.14 * light**1.3,
            0.34 * light**1.3,
            0.14 * light**1.3,
        ],
        -1,
    )
    v["iris"] = IRIS.to(device)[rng.choice(iris)] * rng.normal(3, scale=0.07).exp() * rng.normal(1, scale=0.25).exp()
    for name, low, high in (
        ("pupil", 0.30, 0.50),
        ("eye_open", -0.0005, 0.0060),
        ("lid_fold", 0.0, 1.0),
        ("blood", 0.003, 0.017),
        ("undertone", -1, 1),
        ("flush", 0.2, 1.3),
        ("nose_flush", 0.2, 1.4),
        ("under_eye", 0.1, 1.0),
        ("lip_blood", 0.022, 0.075),
        ("lip_melanin", 0.7, 1.35),
        ("lip_full", -0.0045, 0.0045),
        ("brow_density", 0.35, 1.0),
        ("brow_arch", -0.006, 0.010),
        ("brow_length", 0.82, 1.12),
        ("brow_height", -0.008, 0.006),
        ("shine", 0.5, 1.5),
        ("pores", 0.4, 1.5),
        ("lashes", 0.3, 1.0),
        ("unibrow", -2.0, 0.7),
        ("mottle", 0.5, 1.6),
    ):
        v[name] = rng.uniform(low, high)
    # pale skin may be nearly bloodless; under more melanin that would turn olive green
    v["blood"] = torch.lerp(v["blood"], torch.full_like(tone, 0.017), 0.4 * (2 * tone).clamp_max(1))
    v["brow_thick"] = 0.0060 + 0.0055 * masculinity + rng.normal(scale=0.0026).clamp(-0.0045, 0.007)
    v["brow_thick"] = v["brow_thick"].clamp_min(0.003)
    v["lipstick"] = rng.chance(0.28) * (masculinity < 0.4).float() * rng.uniform(0.35, 0.85)
    v["lipstick_hue"] = rng.uniform(0, 1)
    v["freckles"] = rng.chance(0.22) * rng.uniform(0.25, 1.0) * (light > 0.25).float()
    v["spots"] = smoothstep((age - 0.35) / 0.6) * rng.uniform(0.2, 1.0)
    v["acne"] = rng.chance(0.3) * rng.uniform(0.3, 1) * (1 - age)
    v["wrinkles"] = (0.10 + 0.9 * age**1.5) * rng.uniform(0.7, 1.25)

    m = masculinity
    curl = 1 - light
    style = torch.stack(
        [
            0.16 * m,
            0.30 * m,
            0.40 * m + 0.08,
            0.30 * m + 0.2,
            0.22 + 0 * m,
            0.75 * (1 - m),
            0.5 * (1 - m) + 0.02,
            0.14 + 0.25 * curl,
            0.55 * curl**2,
            0.5 * m * age,
            0.55 * m * age**2,
        ],
        -1,
    )
    v["hair_style"] = rng.choice(style)
    beard = torch.stack([0.55 - 0.2 * m, 0.35 * m, 0.08 * m, 0.16 * m, 0.32 * m, 0.2 * m], -1)
    v["beard"] = torch.where(m > 0.5, rng.choice(beard), torch.zeros_like(v["hair_style"]))
    v["beard_density"] = rng.uniform(0.45, 1.0)

    # smooth feature warp: each part's scale (x, y), tilt and shift in layout units; left/right differ a little
    v["eye_scale"] = 1 + rng.normal(2, scale=0.085).clamp(-0.2, 0.2)
    v["eye_tilt"] = rng.normal(scale=0.065)
    v["eye_shift"] = rng.normal(2, scale=0.0055)
    v["mouth_scale"] = 1 + rng.normal(2, scale=0.11).clamp(-0.27, 0.27)
    v["mouth_shift"] = rng.normal(2, scale=0.0055) * torch.tensor([0.5, 1.0], device=device)
    v["nose_scale"] = 1 + rng.normal(scale=0.12).clamp(-0.28, 0.28)
    v["side"] = rng.normal(2, 4, scale=1.0)  # asymmetry of each eye: x, y, scale, tilt
    return Traits(seeds, tone, age, masculinity, v)


def eye_frame(name: str) -> tuple[Tensor, float]:
    """Centre (u, v) and half width of an eye in the layout."""
    corners = landmark_uv()[[263, 362] if name == "left_eye" else [33, 133]]
    return corners.mean(0), float((corners[0] - corners[1]).norm()) / 2


@dataclass
class Placement:
    """``canonical``: ``(B, H, W, 2)`` canonical (u, v) of every texel. ``fields``: the distances there,
    ``(B, F, H, W)``. ``azimuth``, ``height``: ``(1, 1, H, W)`` of the layout."""

    canonical: Tensor
    fields: Tensor
    azimuth: Tensor
    height: Tensor

    def field(self, name: str) -> Tensor:
        k = FIELDS.index(name)
        return self.fields[:, k : k + 1]

    def to_subject(self, points: Tensor) -> Tensor:
        """Canonical points ``(B, N, 2)`` → where this subject has them (first-order inverse of the warp)."""
        n = self.canonical.shape[1]
        offset = (self.canonical - texel_uv(n).to(points.device)).permute(0, 3, 1, 2)
        return points - sample_points(offset, points)


def place_features(traits: Traits, resolution: int) -> Placement:
    """The subject's feature warp at a resolution."""
    device = traits.tone.device
    uv = texel_uv(resolution).to(device)
    offset = torch.zeros(len(traits.tone), resolution, resolution, 2, device=device)
    parts = []
    for k, name in enumerate(("left_eye", "right_eye")):
        centre, _ = eye_frame(name)
        mirror = 1 if name == "left_eye" else -1
        side = traits["side"][:, k]
        scale = traits["eye_scale"] + side[:, 2:3] * 0.015
        tilt = mirror * (traits["eye_tilt"] + side[:, 3] * 0.012)
        shift = traits["eye_shift"] * torch.tensor([mirror, 1.0], device=device) + side[:, :2] * 0.0010
        parts.append((centre, 0.042, scale, tilt, shift))
    zero = torch.zeros_like(traits.tone)
    lips = landmark_uv()[REGIONS["lips"]].mean(0)
    parts.append((lips, 0.060, traits["mouth_scale"], zero + traits["side"][:, 0, 0] * 0.012, traits["mouth_shift"]))
    nose = landmark_uv()[2]
    parts.append((nose, 0.034, torch.stack([traits["nose_scale"], zero + 1], -1), zero, torch.stack([zero, zero], -1)))
    for centre, reach, scale, tilt, shift in parts:
        d = uv - centre.to(device)
        window = torch.exp(-(((d**2).sum(-1) / (2 * reach**2)) ** 2))[..., None]
        dx, dy = d[..., 0], d[..., 1]
        inverse = 1 / scale - 1
        local = torch.stack(
            [
                inverse[:, :1, None] * dx + tilt[:, None, None] * dy,
                inverse[:, 1:, None] * dy - tilt[:, None, None] * dx,
            ],
            -1,
        )
        offset = offset + window * (local - shift[:, None, None])
    wobble = [fbm(Draws(traits.seeds, f"wobble{k}", device), min(resolution, 32), 4, 2) for k in (0, 1)]
    wobble = F.interpolate(torch.cat(wobble, 1), (resolution, resolution), mode="bicubic", align_corners=False)
    canonical = uv + offset + 0.0022 * wobble.permute(0, 2, 3, 1)
    fields = sample(fields_at(resolution).to(device), canonical)
    azimuth, height = (x.to(device)[None, None] for x in cylinder_of(uv.cpu()))
    return Placement(canonical, fields, azimuth, height)
