"""The skin's own maps: regional melanin and blood, pores, freckles, moles, blemishes, wrinkles.

Regional blood follows Jimenez et al. (SIGGRAPH Asia 2010): cheeks, nose, ears and chin carry more of it, the forehead
less. Colour noise stays at a few per cent, or skin turns into orange peel. Wrinkles change height and pigment.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..image import smoothstep
from ..layout import EAR_AZIMUTH, EAR_HEIGHT, EAR_SIZE, EAR_WIDTH, landmark_uv
from .draw import Draws, blur, column, fbm, spots
from .skin import melanin_of_tone
from .traits import Placement, Traits

MOLES, FRECKLES, AGE_SPOTS, BLEMISHES = 14, 260, 60, 16


@dataclass
class SkinMaps:
    """``melanin``, ``blood``, ``bump`` (cm), ``gloss`` (factor), each ``(B, 1, H, W)``; ``moles`` ``(B, MOLES, 4)``:
    u, v, radius (layout units), strength (0: no mole)."""

    melanin: Tensor
    blood: Tensor
    bump: Tensor
    gloss: Tensor
    moles: Tensor


def ear_mask(at: Placement) -> Tensor:
    """The ears, ``(1, 1, H, W)`` in [0, 1]."""
    a, b = (at.azimuth.abs() - EAR_AZIMUTH) / EAR_WIDTH, (at.height - EAR_HEIGHT) / EAR_SIZE
    return ((1.08 - torch.hypot(a, b)) / 0.15).clamp(0, 1)


def _blob(at: Placement, landmark: int, wide: float, high: float, shift: tuple[float, float] = (0, 0)) -> Tensor:
    centre = landmark_uv()[landmark].tolist()
    x, y = ((at.canonical[..., k] - centre[k]).sub_(shift[k]).div_(size).square_() for k, size in enumerate((wide, high)))
    return x.add_(y).mul_(-0.5).exp_()[:, None]  # in place: a face has many blobs


def skin_maps(traits: Traits, at: Placement) -> SkinMaps:
    """Pigment, height and gloss of the bare skin (no lips, eyes or hair yet)."""
    n, device = at.canonical.shape[1], traits.tone.device
    seeds = traits.seeds

    def noise(name: str, base: int, octaves: int, gain: float = 0.55) -> Tensor:
        return fbm(Draws(seeds, name, device), n, base, octaves, gain)

    tone_map = melanin_of_tone(column(traits.tone))
    mottle = column(traits["mottle"])
    melanin = tone_map * (mottle * (0.050 * noise("melanin", 4, 4) + 0.040 * noise("melanin fine", 32, 4, 0.75))).exp()
    blood = column(traits["blood"]) * (mottle * (0.10 * noise("blood", 4, 4) + 0.12 * noise("blood fine", 32, 4, 0.8))).exp()

    cheeks = _blob(at, 50, 0.062, 0.050) + _blob(at, 280, 0.062, 0.050)
    wings = _blob(at, 48, 0.020, 0.022) + _blob(at, 278, 0.020, 0.022)
    nose = _blob(at, 4, 0.030, 0.030) + 0.5 * _blob(at, 195, 0.022, 0.04)
    under = _blob(at, 145, 0.036, 0.014, (0, 0.018)) + _blob(at, 374, 0.036, 0.014, (0, 0.018))
    lids = _blob(at, 159, 0.034, 0.014, (0, -0.014)) + _blob(at, 386, 0.034, 0.014, (0, -0.014))
    forehead = _blob(at, 151, 0.12, 0.045)
    chin = _blob(at, 152, 0.055, 0.03, (0, -0.03))
    around_mouth = _blob(at, 13, 0.075, 0.06)
    ears = ear_mask(at)
    blood = blood * (
        1
        + column(traits["flush"]) * cheeks
        + column(traits["nose_flush"]) * (0.8 * nose + 0.9 * wings)
        + 0.30 * chin
        + 0.9 * ears
        + 0.35 * lids
        + 0.25 * under
        - 0.20 * forehead
    )
    dark_ring = column(traits["under_eye"])
    melanin = melanin * (
        1
        + dark_ring * (0.40 * under + 0.25 * lids)
        + 0.10 * forehead * mottle
        + 0.10 * around_mouth * tone_map.clamp_max(1.5)
        + 0.06 * wings
    )
    melanin = melanin * (1 - 0.10 * smoothstep((-at.height - 8.5) / 3))
    a, b = (at.azimuth.abs() - EAR_AZIMUTH) / EAR_WIDTH + 0.2, (at.height - EAR_HEIGHT) / EAR_SIZE + 0.1
    concha = torch.exp(-((torch.hypot(a * 1.3, b * 1.2) / 0.38) ** 4))
    melanin = melanin + (0.35 + 0.25 * tone_map) * concha

    uv = landmark_uv().to(device)
    bump = torch.zeros_like(melanin)
    # freckles: over nose and cheeks, only visible on lighter skin
    rng = Draws(seeds, "freckles", device)
    middle = 0.6 * uv[torch.where(rng.uniform(0, 1, FRECKLES) < 0.5, 50, 280)] + 0.4 * uv[4]
    place = middle + rng.normal(FRECKLES, 2) * uv.new_tensor([0.072, 0.044])
    keep = rng.chance((traits["freckles"] ** 0.7)[:, None], FRECKLES)
    melanin = melanin + spots(place, rng.uniform(0.0011, 0.0026, FRECKLES), keep * rng.uniform(0.10, 0.55, FRECKLES), n, 1.3)
    # age spots
    rng = Draws(seeds, "age spots", device)
    place = torch.stack([rng.uniform(0.2, 0.8, AGE_SPOTS), rng.uniform(0.18, 0.80, AGE_SPOTS)], -1)
    keep = rng.chance((traits["spots"] * 0.9)[:, None], AGE_SPOTS)
    melanin = melanin + spots(place, rng.uniform(0.002, 0.007, AGE_SPOTS), keep * rng.uniform(0.05, 0.30, AGE_SPOTS), n, 2)
    # moles, pigmented and a little raised
    rng = Draws(seeds, "moles", device)
    place = torch.stack([rng.uniform(0.22, 0.78, MOLES), rng.uniform(0.25, 0.95, MOLES)], -1)
    radius = 0.0016 + 0.0030 * rng.uniform(0, 1, MOLES) ** 2.5
    count = 1 + 10 * rng.uniform(0, 1, 1) ** 1.5
    strength = rng.uniform(0.6, 2.2, MOLES) * (torch.arange(MOLES, device=device) < count)
    melanin = melanin + spots(place, radius, strength, n, 2)
    bump = bump + spots(place, radius, strength * 0.012, n, 1.5)
    moles = torch.cat([place, radius[..., None], strength[..., None]], -1)
    # blemishes
    rng = Draws(seeds, "blemishes", device)
    place = torch.stack([rng.uniform(0.32, 0.68, BLEMISHES), rng.uniform(0.24, 0.84, BLEMISHES)], -1)
    keep = rng.chance((traits["acne"] * 0.9)[:, None], BLEMISHES)
    size = rng.uniform(0.0022, 0.0055, BLEMISHES)
    red = spots(place, size, keep * rng.uniform(0.5, 1.8, BLEMISHES), n)
    blood = blood * (1 + red)
    melanin = melanin * (1 + 0.10 * red)
    bump = bump + 0.012 * red

    # mesostructure: pores where oil glands are, fine relief everywhere
    oily = (0.35 + 0.9 * cheeks + 1.1 * nose + 0.6 * forehead + 0.4 * chin).clamp_max(1.6)
    pores = smoothstep((noise("pores", min(n, 256) // 2, 3, 1.0) - 0.7) / 1.4) * column(traits["pores"])
    bump = bump - 0.012 * pores * oily + 0.0060 * noise("relief", 64, 3, 0.9) + 0.010 * noise("lumps", 16, 2, 0.6)
    melanin = melanin * (1 + 0.20 * pores * oily)
    blood = blood * (1 + 0.10 * pores * oily)
    gloss = column(traits["shine"]) * (0.55 + 0.55 * (0.8 * forehead + nose + 0.4 * cheeks + 0.4 * chin + 0.5 * lids))
    gloss = (
        gloss
        * (1 + 0.30 * noise("gloss", 64, 3, 0.8) + 0.15 * noise("oil", 8, 2)).clamp(0.15, 2.2)
        * (1 - 0.35 * pores)
        * (1 - 0.7 * ears)
        * (1 - 0.9 * _blob(at, 2, 0.034, 0.012))
    )

    lines, folds = wrinkle_maps(traits, at)
    bump = bump - 0.065 * lines - 0.11 * folds
    blood = blood * (1 + 0.30 * lines + 0.30 * folds)
    melanin = melanin * (1 + 0.16 * lines + 0.14 * folds)
    return SkinMaps(melanin.clamp(0.02, 4.4), blood.clamp(0.003, 0.15), bump, gloss, moles)


def wrinkle_maps(traits: Traits, at: Placement) -> tuple[Tensor, Tensor]:
    """Thin lines and broad folds, each ``(B, 1, H, W)`` in about [0, 1]; both grow with age, folds are never absent."""
    n, device = at.canonical.shape[1], traits.tone.device
    b = len(traits.tone)
    uv = landmark_uv().to(device)
    rng = Draws(traits.seeds, "wrinkles", device)
    amount = traits["wrinkles"]
    steps = 72
    t = torch.linspace(0, 1, steps, device=device)
    fade = (torch.sin(torch.pi * t)).clamp_min(0) ** 1.3  # lines thin out toward both ends

    def curve(a: Tensor, m: Tensor, c: Tensor, jitter: float) -> Tensor:
        """Quadratic through three points ``(2,)`` with jittered control points, ``(B, steps, 2)``."""
        p = torch.stack([a, m, c])[None] + rng.normal(3, 2, scale=jitter)
        w = torch.stack([(1 - t) * (1 - 2 * t), 4 * t * (1 - t), t * (2 * t - 1)], -1)
        return torch.einsum("sk,bkd->bsd", w, p)

    thin: list[tuple[Tensor, Tensor]] = []
    wide: list[tuple[Tensor, Tensor]] = []
    up = uv.new_tensor
    for wing, corner, outer, inner, lower, out in ((358, 291, 263, 362, 374, 1.0), (129, 61, 33, 133, 145, -1.0)):
        side = up([out, 1.0])
        start, stop = uv[wing] + up([0.012, -0.006]) * side, uv[corner] + up([0.022, 0.002]) * side
        wide.append((curve(start, 0.5 * (start + stop) + up([0.012, -0.006]) * side, stop, 0.0022), 0.30 + 0.75 * amount))
        chin = uv[corner] + up([0.014, 0.055]) * side
        wide.append(
            (
                curve(uv[corner] + up([0.010, 0.006]) * side, uv[corner] + up([0.016, 0.03]) * side, chin, 0.003),
                0.75 * amount - 0.1,
            )
        )
        bag = up([0.0, 0.026])
        wide.append((curve(uv[inner] + bag * 0.45, uv[lower] + bag, uv[outer] + bag * 0.5, 0.0018), 0.30 + 0.65 * amount))
        thin.append((curve(uv[inner] + bag * 0.3, uv[lower] + bag * 0.62, uv[outer] + bag * 0.25, 0.0015), 0.9 * amount))
        for k in range(4):
            p = uv[outer] + up([0.014, -0.006 + 0.008 * k]) * side
            q = p + up([0.036, (-0.018, -0.005, 0.008, 0.020)[k]]) * side
            thin.append((curve(p, 0.5 * (p + q) + up([0.0, 0.002]), q, 0.0028), (1.25 * amount - 0.2) * rng.uniform(0.3, 1.2)))
        frown = uv[9] + up([0.013, -0.006]) * side
        thin.append(
            (
                curve(frown + up([0, 0.034]), frown + up([0.002, 0.016]) * side, frown, 0.003),
                (1.3 * amount - 0.25) * rng.uniform(0, 1.2),
            )
        )
    for k in range(5):
        y = 0.248 + 0.0155 * k
        half = 0.105 - 0.008 * abs(k - 2)
        bow = 0.008 * float(1 - k * 0.3)
        shift = rng.normal(1, 2, scale=0.004)
        path = curve(up([0.5 - half, y + bow]), up([0.5, y]), up([0.5 + half, y + bow]), 0.004) + shift
        wave = 0.0022 * torch.sin(rng.uniform(4, 11, 1) * t * 3 + rng.uniform(0, 6, 1))
        path = torch.stack([path[..., 0], path[..., 1] + wave], -1)
        thin.append((path, (1.2 * amount - 0.15) * rng.uniform(0.2, 1.2)))
    for k in range(3):
        y = 0.905 + 0.030 * k
        wide.append(
            (
                curve(up([0.30, y - 0.03]), up([0.5, y]), up([0.70, y - 0.03]), 0.006),
                0.22 + 0.4 * amount * rng.uniform(0.4, 1.2),
            )
        )

    def draw(curves: list[tuple[Tensor, Tensor]], radius: float) -> Tensor:
        points = torch.stack([p for p, _ in curves], 1)  # (B, curves, steps, 2)
        weight = torch.stack([w for _, w in curves], 1).clamp_min(0)[..., None] * fade
        gap = (points[:, :, 1:] - points[:, :, :-1]).norm(dim=-1).mean(-1, keepdim=True)
        weight = weight * gap / (radius * 2.507)  # overlapping Gaussians add up to the line's height
        points = at.to_subject(points.reshape(b, -1, 2))
        return spots(points, torch.full_like(points[..., 0], radius), weight.reshape(b, -1), n).clamp(0, 1.6)

    return draw(thin, 0.0017), blur(draw(wide, 0.0045), 0.001)
