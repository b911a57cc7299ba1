"""Eyes, lips, brows, lashes and nostrils, painted over the bare skin from a subject's traits."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..image import smoothstep
from ..layout import REGIONS, landmark_uv
from .draw import Draws, column, fbm, sample, spots, strokes
from .skin import skin_colour
from .traits import Placement, Traits, eye_frame


def edge(distance: Tensor, resolution: int, feather: float = 0.0) -> Tensor:
    """Antialiased inside of a signed distance: one texel wide, or ``feather`` layout units if that is wider."""
    return smoothstep(distance / max(feather, 1.3 / resolution) + 0.5)


def over(albedo: Tensor, colour: Tensor, alpha: Tensor) -> Tensor:
    """``colour`` (map or ``(B, 3)``) painted over ``albedo`` with opacity ``alpha``."""
    return torch.lerp(albedo, colour[..., None, None].expand_as(albedo) if colour.ndim == 2 else colour, alpha)


def paint_lips(albedo: Tensor, bump: Tensor, gloss: Tensor, traits: Traits, at: Placement, melanin: Tensor) -> tuple[Tensor, ...]:
    """Vermilion with vertical furrows, its soft border, the dark line between the lips, and lipstick on some."""
    n = albedo.shape[-1]
    rng = Draws(traits.seeds, "lips", albedo.device)
    full = column(traits["lip_full"])
    lips, mouth = at.field("lips") + full, -at.field("mouth")
    mask = edge(lips - 0.002, n, 0.011)
    core = edge(lips - 0.004, n, 0.012)
    furrow = fbm(rng, n, 64, 3, 0.8)
    shifted = at.canonical * torch.tensor([1.6, 0.35], device=albedo.device)
    furrow = 0.6 * furrow + sample(furrow, shifted.remainder(1.0))
    pigment = (melanin * column(traits["lip_melanin"]) * 0.75 + 0.05 + 0.05 * traits.tone.view(-1, 1, 1, 1)).clamp(0.02, 4)
    blood = column(traits["lip_blood"]) * (1 + 0.10 * furrow + 0.25 * (at.canonical[..., 1] > landmark_uv()[14][1])[:, None])
    colour = skin_colour(pigment, blood.clamp(0.004, 0.16)) * albedo.new_tensor([0.98, 0.90, 0.95]).view(1, 3, 1, 1)
    # the upper lip turns from the light of its own accord; the lower one is fullest and reddest in its middle
    v = at.canonical[..., 1][:, None]
    upper = smoothstep((landmark_uv()[14][1] - v) / 0.008 + 0.5)
    middle = torch.exp(-(((at.canonical[..., 0][:, None] - 0.5) / 0.035) ** 2)) * (1 - upper)
    colour = colour * (1 - upper * albedo.new_tensor([0.16, 0.20, 0.13]).view(1, 3, 1, 1))
    colour = colour * (1 + middle * albedo.new_tensor([0.14, 0.08, 0.10]).view(1, 3, 1, 1)) * (0.06 * furrow).exp()
    stick = torch.stack(
        [
            0.30 + 0.15 * (1 - traits["lipstick_hue"]),
            0.035 + 0.10 * traits["lipstick_hue"],
            0.06 + 0.07 * traits["lipstick_hue"],
        ],
        -1,
    )
    colour = torch.lerp(
        colour,
        stick[..., None, None] * (0.5 + 0.5 * colour / colour.mean((2, 3), keepdim=True)),
        column(traits["lipstick"]),
    )
    albedo = over(albedo, colour, mask * (0.62 + 0.25 * core))
    line = torch.exp(-((mouth / max(0.0035, 0.55 / n)) ** 2)) * min(1.0, 0.0035 * n / 0.55 + 0.35)
    near = torch.exp(-((mouth / 0.010) ** 2)) * core
    albedo = albedo * (1 - near * albedo.new_tensor([0.16, 0.26, 0.22]).view(1, 3, 1, 1))
    albedo = albedo * (1 - line * albedo.new_tensor([0.70, 0.80, 0.78]).view(1, 3, 1, 1))
    below = torch.exp(-(((at.field("lips") + full + 0.012) / 0.008) ** 2)) * smoothstep(
        (at.canonical[..., 1:].permute(0, 3, 1, 2) - 0.69) / 0.02
    )
    albedo = albedo * (1 - 0.10 * below)
    bump = bump + 0.0045 * furrow * core - 0.04 * line + 0.08 * mask * (1 - near) + 0.9 * full / 0.0045 * 0.04 * core
    gloss = torch.lerp(gloss, torch.full_like(gloss, 0.85) + 0.2 * furrow + column(traits["lipstick"]), 0.8 * core)
    gloss = gloss * (1 - 0.85 * torch.exp(-((mouth / 0.0075) ** 2)))
    return albedo, bump, gloss, mask


def paint_eyes(albedo: Tensor, bump: Tensor, gloss: Tensor, traits: Traits, at: Placement) -> tuple[Tensor, ...]:
    """Both eyes with one iris, lids, creases, lashes; returns also the eyes' mask."""
    n = albedo.shape[-1]
    rng = Draws(traits.seeds, "eyes", albedo.device)
    device = albedo.device
    fibres = fbm(rng, 64, 16, 2)  # read in polar coordinates, alike for both eyes
    gaze = rng.normal(2, scale=0.05)
    eyes = torch.zeros_like(gloss)
    veins = fbm(rng, n, 32, 3, 0.8)
    for name in ("left_eye", "right_eye"):
        centre, half = eye_frame(name)
        mirror = 1.0 if name == "left_eye" else -1.0
        distance = at.field(name) + column(traits["eye_open"])
        local = (at.canonical - centre.to(device)) / half
        x, y = local[..., 0:1].permute(0, 3, 1, 2), local[..., 1:2].permute(0, 3, 1, 2)
        gx, gy = column(gaze[:, 0]), column(gaze[:, 1]) - 0.06
        radius = torch.hypot(x - gx, (y - gy) * 1.02) / 0.46
        angle = torch.atan2(y - gy, x - gx) * mirror
        polar = torch.stack([angle[:, 0] / (2 * math.pi) + 0.5, (radius[:, 0] * 0.5).clamp(0, 1)], -1)
        fibre = sample(fibres, polar)
        soft = max(0.06, 1.0 / (n * half * 0.46))
        iris = traits["iris"][..., None, None] * (1 + 0.28 * fibre).clamp_min(0.3)
        iris = iris * (1.25 - 0.85 * smoothstep((radius - 0.68) / 0.34) + 0.12 * smoothstep((0.75 - radius) / 0.3))
        iris = iris * (1 - 0.45 * smoothstep((0.1 - y) / 0.5))
        pupil = 1 - smoothstep((radius - column(traits["pupil"])) / (soft * 1.5) + 0.5)
        iris = over(iris, iris.new_full((len(iris), 3), 0.004), pupil)
        white = albedo.new_tensor([0.335, 0.30, 0.285]).view(1, 3, 1, 1) * (1 - 0.12 * column(traits.age))
        corner = smoothstep((x.abs() - 0.55) / 0.5)
        pink = 0.5 * corner + 0.12 * veins.clamp(0, 2) * smoothstep((x.abs() - 0.3) / 0.5)
        white = white * (1 - pink * albedo.new_tensor([0.10, 0.34, 0.32]).view(1, 3, 1, 1))
        inner = smoothstep((-x * mirror - 0.86) / 0.14)  # caruncle
        white = torch.lerp(white, albedo.new_tensor([0.36, 0.16, 0.14]).view(1, 3, 1, 1), 0.8 * inner)
        ball = torch.lerp(iris, white, smoothstep((radius - 1) / soft + 0.5))
        lid_shade = 0.7 * torch.exp(-distance.clamp_min(0) / 0.0055) * (0.55 + 0.45 * smoothstep(-y * 3 + 0.5))
        ball = ball * (1 - lid_shade)
        mask = edge(distance, n, 0.0035)
        skin = albedo
        # upper lid: fold, its shade; lower lid: wet rim and pink
        upper, lower = smoothstep(-y * 4 + 0.5 - 0.6 * (x.abs() - 0.7).clamp_min(0)), smoothstep(y * 4 + 0.5)
        fold_at = 0.0125 + 0.006 * column(traits["lid_fold"])
        fold = torch.exp(-(((distance + fold_at) / max(0.0028, 0.6 / n)) ** 2)) * upper * smoothstep((1.15 - x.abs()) / 0.3)
        fold = fold * (0.35 + 0.65 * column(traits["lid_fold"])) * min(1, 0.0028 * n / 0.6 + 0.2)
        skin = skin * (1 - fold * albedo.new_tensor([0.30, 0.40, 0.40]).view(1, 3, 1, 1))
        lid = torch.exp(-(((distance + 0.006) / 0.006) ** 2))
        skin = skin * (1 - lid * albedo.new_tensor([0.10, 0.20, 0.18]).view(1, 3, 1, 1))
        rim = torch.exp(-(((distance + 0.0022) / max(0.0022, 0.5 / n)) ** 2)) * min(1, 0.0022 * n / 0.5 + 0.2)
        skin = torch.lerp(skin, skin * 0.75 + albedo.new_tensor([0.10, 0.045, 0.04]).view(1, 3, 1, 1), 0.6 * rim * lower)
        albedo = over(skin, ball, mask)
        # lashes: a dark line at the upper lid's edge and fine hairs leaving it
        lash = torch.exp(-(((distance + 0.0008) / max(0.0030, 0.6 / n)) ** 2)) * min(1, 0.0030 * n / 0.6 + 0.15)
        lash = lash * (upper * (0.45 + 0.45 * column(traits["lashes"])) + lower * 0.16) * smoothstep((1.12 - x.abs()) / 0.2)
        ring = landmark_uv()[REGIONS[name]].to(device)
        upper_lid = torch.cat([ring[:1], ring[8:].flip(0)])
        t = rng.uniform(0.5, len(upper_lid) - 1.5, 46)
        k = t.long()
        root = torch.lerp(upper_lid[k], upper_lid[k + 1], (t - k)[..., None])
        out = (root[..., 0] - centre[0].to(device)) / half
        heading = -math.pi / 2 + out * 0.8 + rng.normal(46, scale=0.12)
        length = (0.009 + 0.007 * traits["lashes"])[:, None] * rng.uniform(0.6, 1.1, 46)
        hairs = strokes(at.to_subject(root), heading, length, torch.full_like(length, 0.0011), n, bend=0.5 * out, points=6)
        lash = torch.maximum(lash, 1 - torch.exp(-hairs * (0.45 + 0.5 * traits["lashes"]).view(-1, 1, 1, 1)))
        albedo = over(albedo, (traits["brow_colour"] * 0.5).clamp_max(0.03), lash.clamp(0, 0.92))
        bump = torch.lerp(bump, 0.10 * (1 - 0.55 * (x**2 + y**2)).clamp_min(0), mask) - 0.07 * fold + 0.045 * lid * upper
        gloss = torch.lerp(gloss, torch.full_like(gloss, 1.5), mask)
        eyes = torch.maximum(eyes, mask)
    return albedo, bump, gloss, eyes


def paint_brows(albedo: Tensor, bump: Tensor, traits: Traits, at: Placement) -> tuple[Tensor, Tensor]:
    """Brows of a few hundred hairs each over a soft shade; thickness, arch, length, height, density are traits."""
    n, device = albedo.shape[-1], albedo.device
    count = 420
    total = shade = torch.zeros((), device=device)
    uv = landmark_uv().to(device)
    for k, name in enumerate(("left_brow", "right_brow")):
        rng = Draws(traits.seeds, name, device)
        ids = REGIONS[name]
        low, high = uv[ids[:5]], uv[ids[5:]].flip(0)
        middle = (0.5 * (low + high)).flip(0)  # from the nose outwards
        mirror = 1.0 if name == "left_brow" else -1.0
        s = rng.uniform(0, 1, count) ** 0.9
        along = (s * (1 + 0.03 * traits["side"][:, k, 0:1]) * traits["brow_length"][:, None]).clamp(0, 1.1)
        start = -0.10 * (traits["unibrow"][:, None].clamp_min(0))
        along = start + along * (1 - start)
        t = (along * 4).clamp(0, 3.999)
        j = t.long()
        spine = torch.lerp(middle[j], middle[j + 1], (t - j)[..., None])
        spine = spine + (along * 4 - t)[..., None] * (middle[4] - middle[3])
        profile = (0.62 + 0.55 * smoothstep(along / 0.3)) * (1 - 0.8 * smoothstep((along - 0.5) / 0.62))
        across = rng.normal(count, scale=0.62).clamp(-1.7, 1.7)
        half = traits["brow_thick"][:, None] * profile
        arch = traits["brow_arch"][:, None] * torch.sin(math.pi * along.clamp(0, 1) ** 1.4)
        lift = traits["brow_height"][:, None] + 0.0012 * traits["side"][:, k, 1:2] - arch
        root = spine + torch.stack([torch.zeros_like(across), across * half + lift + 0.003], -1)
        # hairs rise at the nose, lie along the brow further out, the upper ones turning down
        heading = -1.35 + 1.25 * smoothstep(along / 0.55) + 0.35 * smoothstep((along - 0.5) / 0.5) - 0.45 * across * (1 - along)
        heading = heading + rng.normal(count, scale=0.24)
        heading = torch.where(torch.tensor(mirror > 0, device=device), heading, math.pi - heading)
        length = (0.010 + 0.0065 * smoothstep(along / 0.4)) * rng.uniform(0.4, 1.35, count)
        keep = (rng.uniform(0, 1, count) < (0.35 + 0.65 * traits["brow_density"][:, None])).float()
        root = at.to_subject(root)
        total = total + strokes(
            root,
            heading,
            length,
            torch.full_like(length, 0.0015),
            n,
            bend=mirror * 0.35 * torch.ones_like(length),
            points=7,
            opacity=keep,
        )
        shade = shade + spots(root[:, ::6], half[:, ::6] * 0.55 + 0.0022, torch.full_like(half[:, ::6], 0.05) * keep[:, ::6], n)
    alpha = 1 - torch.exp(-0.95 * total)
    under = 1 - torch.exp(-shade * column(0.5 + 1.0 * traits["brow_density"]))
    albedo = over(albedo, 0.35 * albedo + 0.65 * traits["brow_colour"][..., None, None], 0.75 * under)
    return over(albedo, traits["brow_colour"], alpha.clamp(0, 0.93)), bump + 0.012 * alpha


def paint_nostrils(albedo: Tensor, bump: Tensor, at: Placement) -> tuple[Tensor, Tensor]:
    """Two soft dark hollows and the crease around the wings of the nose."""
    uv = landmark_uv().to(albedo.device)
    dark = 0
    for wing, out in ((327, 1.0), (98, -1.0)):
        centre = uv[2] * 0.42 + uv[wing] * 0.58 + uv.new_tensor([0.0, -0.0035])
        d = at.canonical - centre
        x, y = d[..., 0], d[..., 1] + 0.25 * out * d[..., 0]
        dark = dark + torch.exp(-(((x / 0.0115) ** 2 + (y / 0.0062) ** 2) ** 1.3))[:, None]
    crease = 0
    for path in ((279, 358, 327), (49, 129, 98)):
        a, b, c = (uv[i] for i in path)
        t = torch.linspace(0, 1, 24, device=albedo.device)[:, None]
        curve = (1 - t) ** 2 * a + 2 * t * (1 - t) * b + t**2 * c
        curve = curve[None].expand(len(albedo), -1, -1)
        crease = crease + spots(
            at.to_subject(curve),
            torch.full_like(curve[..., 0], 0.0042),
            torch.full_like(curve[..., 0], 0.16),
            albedo.shape[-1],
        )
    crease = crease.clamp(0, 1)
    albedo = albedo * (1 - 0.88 * dark * albedo.new_tensor([0.92, 1.0, 1.0]).view(1, 3, 1, 1))
    albedo = albedo * (1 - 0.38 * crease * albedo.new_tensor([0.8, 1.0, 1.0]).view(1, 3, 1, 1))
    return albedo, bump - 0.12 * dark - 0.035 * crease
