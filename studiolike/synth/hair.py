"""Scalp hair and beards: a hairline, a field of directions, and noise combed along it.

Combing is line-integral convolution (see `draw.comb`); the same combed noise roughens the hairline, and single hairs are
drawn across it. Beards are single hairs over the shade of the many that cannot be told apart. Hair lies in the texture,
as it does when a real head is unwrapped, and lifts the surface a little.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..image import smoothstep
from .draw import Draws, blur, column, comb, fbm, sample_points, strokes
from .features import over
from .marks import ear_mask
from .traits import BEARDS, HAIR_STYLES, Placement, Traits

# the hairline: arc height (cm) at azimuths (radians) from the forehead's middle to the nape, per style
KNOTS = (0.0, 0.3, 0.6, 0.85, 1.05, 1.25, 1.42, 1.75, 2.05, 2.5, 3.1416)
NATURAL = (7.5, 7.4, 7.2, 6.3, 4.6, 2.4, 0.4, 3.0, -1.2, -5.0, -6.0)
HAIRLINES = {style: NATURAL for style in HAIR_STYLES} | {
    "side": (7.4, 7.3, 7.0, 6.0, 4.2, 2.2, 0.0, 2.5, -2.0, -5.4, -6.5),
    "fringe": (5.4, 5.3, 5.2, 5.0, 4.0, 1.6, -0.6, 1.5, -3.0, -6.0, -7.0),
    "long": (7.7, 7.4, 6.6, 5.2, 3.0, -3.0, -14.0, -14.0, -14.0, -14.0, -14.0),
    "receding": (8.4, 9.0, 9.4, 8.2, 5.4, 2.6, 0.6, 3.0, -1.2, -5.0, -6.0),
    "horseshoe": (15.0, 15.0, 14.5, 12.0, 7.6, 3.4, 0.8, 3.2, -1.2, -5.0, -6.0),
}
# lift of the surface in cm, and roughness of the edge in cm
SURFACE = {
    "none": (0.0, 0.5),
    "buzz": (0.08, 0.35),
    "short": (0.45, 0.65),
    "side": (0.8, 0.7),
    "fringe": (0.7, 0.9),
    "long": (1.0, 0.55),
    "tied": (0.35, 0.35),
    "curly": (1.1, 1.0),
    "coily": (0.9, 0.5),
    "receding": (0.3, 0.8),
    "horseshoe": (0.25, 0.8),
}
LIFT, RAGGED = ({style: both[k] for style, both in SURFACE.items()} for k in (0, 1))


def _by_style(table: dict[str, float], style: Tensor) -> Tensor:
    return column(torch.tensor([table[s] for s in HAIR_STYLES], device=style.device)[style])


def _has(style: Tensor, *names: str) -> Tensor:
    """1 for who has one of these styles, else 0, ``(B, 1, 1, 1)``."""
    return column(sum(style == HAIR_STYLES.index(name) for name in names).float())  # type: ignore[union-attr]


def hairline(traits: Traits, at: Placement) -> Tensor:
    """Arc height (cm) of the hairline over every column, ``(B, 1, H, W)``; left and right differ a little."""
    device = traits.tone.device
    rng = Draws(traits.seeds, "hairline", device)
    style = traits["hair_style"]
    heights = torch.tensor([HAIRLINES[s] for s in HAIR_STYLES], device=device)[style]
    spread = torch.tensor([0.55, 0.5, 0.6, 0.6, 0.45, 0.5, 0.6, 0.25, 0.5, 0.6, 0.6], device=device)
    recede = (0.9 * traits.masculinity * traits.age)[:, None] * torch.tensor(
        [0.5, 0.9, 1.4, 1.0, 0.3, 0, 0, 0, 0, 0, 0], device=device
    )
    both = heights + rng.normal(len(KNOTS)) * spread + rng.normal(1, scale=0.3) + recede
    knots = torch.tensor(KNOTS, device=device)
    n = at.azimuth.shape[-1]
    place = at.azimuth.abs() + 0.05 * fbm(rng, n, 8, 3)
    position = torch.bucketize(place, knots).clamp(1, len(KNOTS) - 1)
    low, high = knots[position - 1], knots[position]
    t = smoothstep((place - low) / (high - low)).flatten(1)
    index = position.flatten(1)
    sides = []
    for _ in range(2):
        h = both + rng.normal(len(KNOTS), scale=0.15)
        sides.append(torch.lerp(h.gather(1, index - 1), h.gather(1, index), t))
    line = torch.lerp(sides[0], sides[1], smoothstep(at.azimuth / 0.3 + 0.5).flatten(1))
    peak = column(rng.uniform(-0.2, 0.8)) * torch.exp(-((at.azimuth / 0.16) ** 2))
    return line.view(len(both), 1, *at.azimuth.shape[-2:]) - peak


def _directions(traits: Traits, at: Placement) -> Tensor:
    """Angle of the hairs ``(B, 1, H, W)`` in the texture plane (π/2 = down)."""
    device = traits.tone.device
    n = at.azimuth.shape[-1]
    rng = Draws(traits.seeds, "hair flow", device)
    az = at.azimuth
    side = column(rng.chance(0.5) * 2 - 1)
    part = side * column(rng.uniform(0.15, 0.5))
    back = -math.pi / 2 + 0.55 * torch.sin(az) + 0.2 * column(rng.normal())  # from the forehead over the crown
    down = math.pi / 2 - 0.25 * torch.sin(az)
    sideways = torch.where(az > part, torch.full_like(az, 0.35), torch.full_like(az, math.pi - 0.35)) + 0.5 * (az - part).clamp(
        -1, 1
    )
    low = smoothstep((az.abs() - 1.0) / 0.5)
    sideways = torch.lerp(sideways, down.expand_as(sideways), low)
    fields = {
        "none": down,
        "buzz": back,
        "short": torch.lerp(back, down + 0 * back, low),
        "side": sideways,
        "fringe": down + 0.35 * column(rng.normal()) * (1 - low),
        "long": torch.where(az.abs() < 0.9, sideways, down.expand_as(sideways)),
        "tied": back,
        "curly": down,
        "coily": down,
        "receding": back,
        "horseshoe": down,
    }
    stack = torch.stack([fields[s].expand(len(part), 1, n, n) for s in HAIR_STYLES], 1)
    index = traits["hair_style"].view(-1, 1, 1, 1, 1).expand(-1, 1, 1, n, n)
    angle = stack.gather(1, index)[:, 0]
    swirl = _by_style(
        {s: 0.22 for s in HAIR_STYLES} | {"curly": 1.6, "coily": 3.0, "long": 0.16, "tied": 0.12}, traits["hair_style"]
    )
    fine = fbm(rng, n, 16, 3, 0.8)
    broad = fbm(rng, n, 4, 3)
    curly = (swirl > 1).float()
    return angle + swirl * torch.lerp(broad, fine, 0.75 * curly)


STRAY_HAIRS = 2400
STRAY = {s: 0.9 for s in HAIR_STYLES} | {"none": 0.0, "buzz": 0.0, "coily": 0.5, "tied": 0.6}


def _stray_hairs(rng: Draws, angle: Tensor, depth: Tensor, n: int) -> Tensor:
    """Opacity of single hairs about the hairline, ``(B, 1, H, W)``: an edge of hair is never a cut."""
    root = torch.stack([rng.uniform(0.1, 0.9, STRAY_HAIRS), rng.uniform(0.12, 0.9, STRAY_HAIRS)], -1)
    near = sample_points(torch.cat([depth, angle], 1), root)
    keep = torch.exp(-(((near[..., 0] - 0.1) / 0.55) ** 2))  # depth in cm: rooted just inside
    heading = near[..., 1] + rng.normal(STRAY_HAIRS, scale=0.35)
    # against the comb as often as with it: hair combed back starts at its edge, a fringe ends there
    heading = heading + math.pi * rng.chance(0.35, STRAY_HAIRS)
    length = rng.uniform(0.008, 0.034, STRAY_HAIRS)
    hairs = strokes(
        root, heading, length, torch.full_like(length, 0.0011), n, bend=rng.normal(STRAY_HAIRS, scale=0.5), points=9, opacity=keep
    )
    return 1 - torch.exp(-1.6 * hairs)


def paint_hair(albedo: Tensor, bump: Tensor, gloss: Tensor, traits: Traits, at: Placement) -> tuple[Tensor, ...]:
    """Scalp hair over the painted skin. Returns albedo, bump, gloss, the hair's cover ``(B, 1, H, W)``, and its lift
    in cm (for geometry)."""
    n, device = albedo.shape[-1], albedo.device
    style = traits["hair_style"]
    rng = Draws(traits.seeds, "hair", device)
    angle = _directions(traits, at)
    white = fbm(rng, n, 64, 4, 1.6)
    strand = comb(white, angle, 0.09)
    locks = comb(fbm(rng, n, 32, 2, 0.7), angle, 0.12)
    coily = _has(style, "coily")
    buzz = _has(style, "buzz")
    strand = torch.lerp(strand, white, 0.75 * torch.maximum(coily, buzz))

    ears = ear_mask(at)
    line = hairline(traits, at)
    ragged = _by_style(RAGGED, style)
    depth = at.height - line + ragged * (0.55 * locks + 0.45 * strand)
    cover = smoothstep(depth / (0.9 * ragged + 0.25) + 0.35)
    long = _has(style, "long")
    over_ears = long * column(rng.chance(0.6))
    cover = cover * (1 - ears * (1 - over_ears))
    # cut styles thin out toward the edge; shaved heads show a shadow of stubble
    density = _by_style({s: 1.0 for s in HAIR_STYLES} | {"none": 0.0, "buzz": 0.72, "receding": 0.9}, style)
    thin = smoothstep((at.height - line) / 2.2 + 0.2)
    fade = torch.lerp(torch.ones_like(thin), 0.35 + 0.65 * thin, torch.maximum(buzz, 0.6 * _has(style, "short")))
    speckle = torch.lerp(torch.ones_like(white), (0.88 + 0.20 * white).clamp(0.3, 1.05), buzz)
    shaved = _has(style, "none") * column(rng.chance(0.6))
    bald_above = smoothstep((9.3 - at.height + 0.6 * locks) / 1.2)
    cover = torch.where(_has(style, "horseshoe") > 0, cover * bald_above, cover)
    stubble = 0.34 * shaved * cover * (0.9 + 0.12 * white) * column(traits.masculinity)
    cover = (cover * density * fade * speckle).clamp(0, 1)
    cover = torch.maximum(cover, _stray_hairs(rng, angle, depth, n) * _by_style(STRAY, style) * (1 - ears))

    # a parting shows skin
    part_at = column(rng.chance(0.5) * 2 - 1) * column(rng.uniform(0.0, 0.45))
    parted = _has(style, "side", "long") * column(rng.chance(0.75))
    wiggle = 0.03 * fbm(rng, n, 8, 2)
    parting = (
        torch.exp(-(((at.azimuth - part_at + wiggle) * 6.0 / 0.13) ** 2))
        * parted
        * smoothstep((at.height - line) / 0.4)
        * smoothstep((13.0 - at.height) / 3.5)
    )
    cover = cover * (1 - 0.3 * parting * (1 + 0.4 * strand).clamp(0, 1.5))

    contrast = _by_style({s: 0.34 for s in HAIR_STYLES} | {"coily": 0.38, "buzz": 0.16}, style)
    contrast = contrast * (1 - 0.45 * smoothstep(column(traits["hair_colour"].mean(1)) / 0.25))  # light hair scatters its shade
    shade = (contrast * strand + 0.15 * locks + 0.12 * fbm(rng, n, 4, 2)).clamp(-1.2, 1.3).exp()
    colour = traits["hair_colour"][..., None, None] * shade
    warm = albedo.new_tensor([1.10, 1.0, 0.90]).view(1, 3, 1, 1)
    colour = colour * torch.lerp(torch.ones_like(warm), warm, smoothstep(locks * 0.5 + 0.3))
    silver = smoothstep((strand * 0.5 + locks * 0.3 + column(traits["grey"]) * 3 - 1.6) / 1.2) * column(
        (traits["grey"] > 0.02).float()
    )
    colour = torch.lerp(colour, albedo.new_tensor([0.34, 0.335, 0.33]).view(1, 3, 1, 1) * shade.clamp(0.6, 1.3), 0.5 * silver)
    roots = torch.exp(-((at.height - line) / 0.8).clamp_min(0)) * cover
    albedo = albedo * (1 - 0.18 * blur(cover, 0.006) * (1 - cover))  # hair shades the skin beside it
    albedo = over(albedo, 0.5 * traits["brow_colour"][..., None, None] + 0.25 * albedo, stubble)
    albedo = over(albedo, colour * (1 - 0.2 * roots), cover)
    tall = _by_style(LIFT, style)
    bump = bump * (1 - 0.8 * cover) + cover * (0.024 * strand + 0.035 * locks * tall.clamp(0.3, 1)) * (0.4 + tall).clamp_max(1.2)
    gloss = torch.lerp(gloss, (0.60 + 0.35 * strand).clamp(0.05, 1.4) * (1 - 0.7 * torch.maximum(coily, buzz)), cover)
    lift = blur(cover, 0.012) * tall * smoothstep((at.height - line) / 2.5 + 0.25)
    return albedo, bump, gloss, cover, lift


def beard_map(traits: Traits, at: Placement) -> Tensor:
    """Where this subject's beard grows, ``(B, 1, H, W)`` in [0, 1]."""
    device = traits.tone.device
    rng = Draws(traits.seeds, "beard", device)
    n = at.azimuth.shape[-1]
    az, high = at.azimuth, at.height
    uneven = fbm(rng, n, 8, 3, 0.6)
    upper = -4.8 + 3.9 * (az.abs() / 1.25) ** 1.6 + column(rng.normal(scale=0.5)) + 0.4 * uneven
    cheek = smoothstep((upper - high) / 1.7 + 0.4)
    cheek = torch.maximum(cheek, smoothstep((az.abs() - 1.12) / 0.26) * smoothstep((1.4 - high) / 2.2))
    bottom = smoothstep((high + 11.2 - 2.7 * az**2 + column(rng.uniform(-0.9, 0.9)) + 0.25 * uneven) / 2.4)
    jaw = cheek * bottom * smoothstep((1.50 - az.abs()) / 0.22)
    moustache = smoothstep(at.field("moustache") / 0.012 + 0.55)
    chin = torch.exp(-(((az.abs() / (0.30 + 0.06 * column(rng.normal()))) ** 2) ** 2)) * smoothstep((-5.3 - high) / 0.7) * bottom
    u, v = (at.canonical[..., k][:, None] for k in (0, 1))
    beside = column(0.060 + 0.010 * rng.normal().clamp(-1.5, 1.5))
    round_mouth = smoothstep((1.0 - ((u - 0.5) / beside) ** 2 - ((v - 0.755) / 0.105) ** 2) / 0.45)
    lips = smoothstep((at.field("lips") + column(traits["lip_full"]) - 0.004) / 0.005 + 0.5)
    zero = torch.zeros_like(jaw)
    full = torch.maximum(torch.maximum(jaw, moustache * 0.95), chin)
    gap = 1 - 0.6 * torch.exp(-((((u - 0.5).abs() - 0.042) / 0.018) ** 2) - ((v - 0.730) / 0.016) ** 2)
    full = full * gap
    goatee = torch.maximum(moustache, round_mouth * gap)
    kinds = {"none": zero, "stubble": full, "moustache": moustache, "goatee": goatee, "short": full, "full": full}
    stack = torch.stack([kinds[k].expand_as(full) for k in BEARDS], 1)
    index = traits["beard"].view(-1, 1, 1, 1, 1).expand(-1, 1, 1, n, n)
    patchy = (1 + 0.22 * uneven).clamp(0, 1.2)
    return (stack.gather(1, index)[:, 0] * patchy * (1 - lips)).clamp(0, 1)


BEARD_HAIRS = 9000
# length and width of a hair in layout units, by kind
BEARD_LENGTH = (0.0, 0.0034, 0.017, 0.014, 0.010, 0.024)
BEARD_WIDTH = (0.0, 0.0013, 0.0016, 0.0015, 0.0016, 0.0018)


def _beard_hairs(traits: Traits, where: Tensor, n: int) -> Tensor:
    """Cover by single beard hairs, ``(B, 1, H, W)`` ≥ 0; they grow where the map ``where`` says, as densely as it says."""
    out = torch.zeros_like(where)
    bearded = (traits["beard"] > 0).nonzero().flatten()
    if not len(bearded):
        return out
    kind = traits["beard"][bearded]
    rng = Draws(traits.seeds[bearded.to(traits.seeds.device)], "beard hair", where.device)
    root = torch.stack([rng.uniform(0.18, 0.82, BEARD_HAIRS), rng.uniform(0.50, 0.99, BEARD_HAIRS)], -1)
    keep = rng.chance(sample_points(where[bearded], root)[..., 0], BEARD_HAIRS)
    curl = smoothstep((traits.tone[bearded] - 0.45) / 0.4)[:, None]
    azimuth = (root[..., 0] - 0.5) * 5.0
    angle = math.pi / 2 - 0.55 * torch.sin(azimuth * 0.9) + rng.normal(BEARD_HAIRS) * (0.32 + 0.5 * curl)
    length, width = (torch.tensor(t, device=where.device)[kind][:, None] for t in (BEARD_LENGTH, BEARD_WIDTH))
    length = length * rng.uniform(0.4, 1.3, BEARD_HAIRS)
    bend = rng.normal(BEARD_HAIRS) * (0.6 + 1.6 * curl)
    out[bearded] = strokes(root, angle, length, width.expand_as(length), n, bend=bend, points=10, opacity=keep)
    return out


def paint_beard(albedo: Tensor, bump: Tensor, gloss: Tensor, traits: Traits, at: Placement) -> tuple[Tensor, ...]:
    """Beard, or the faint shadow of a shaved one. Returns albedo, bump, gloss, cover ``(B, 1, H, W)``, lift in cm."""
    n, device = albedo.shape[-1], albedo.device
    rng = Draws(traits.seeds, "beard hairs", device)
    where = beard_map(traits, at)
    kind = traits["beard"]
    strength = torch.tensor([0.0, 0.42, 0.9, 0.88, 0.9, 1.0], device=device)[kind].view(-1, 1, 1, 1)
    strength = strength * column(0.6 + 0.4 * traits["beard_density"])
    white = fbm(rng, n, 128, 3, 1.4)
    thick = column((kind >= 4).float())
    hairs = _beard_hairs(traits, where, n)
    shade = where * strength
    dense = smoothstep((where - 0.35) / 0.65)  # hair behind hair, where a beard is thick
    base = dense * (0.16 + 0.44 * thick + 0.18 * column((kind == 5).float())) * (1 + 0.18 * white)
    cover = 1 - torch.exp(-hairs * strength * 1.3) * (1 - (base * strength).clamp(0, 0.9))
    cover = cover.clamp(0, 0.97)
    grain = (hairs - blur(hairs, 0.006)).clamp(-1.5, 1.5)
    grey = 0.9 * column(traits["grey"])
    silver = albedo.new_tensor([0.27, 0.255, 0.235]).view(1, 3, 1, 1)
    # grey comes hair by hair, not as a wash
    strands = smoothstep((0.5 * grain + 0.25 * white + 2.0 * grey - 0.7) / 1.3) * smoothstep(grey / 0.2)
    colour = torch.lerp(traits["brow_colour"][..., None, None] * (0.35 * grain).exp(), silver * (0.15 * grain).exp(), strands)
    blue = albedo * albedo.new_tensor([0.60, 0.66, 0.72]).view(1, 3, 1, 1)  # roots under the skin look bluish
    soft_shadow = torch.lerp(0.55 * shade, 0.3 * shade, thick)
    clean = (traits.masculinity - 0.45).clamp_min(0).view(-1, 1, 1, 1) * column((kind == 0).float())
    if float(clean.max()) > 0:
        every = Traits(
            traits.seeds, traits.tone, traits.age, traits.masculinity, traits.values | {"beard": torch.ones_like(kind)}
        )
        shaved = blur(beard_map(every, at), 0.014)
        soft_shadow = soft_shadow + 0.55 * clean * shaved * (1 + 0.2 * white)
    albedo = over(albedo, blue, soft_shadow.clamp(0, 0.8))
    albedo = over(albedo, colour, cover)
    bump = bump + cover * (0.014 + 0.02 * thick) * grain
    gloss = gloss * (1 - 0.7 * cover)
    return albedo, bump, gloss, cover, blur(cover, 0.010) * (0.05 + 0.35 * column((kind == 5).float()))
