"""Synthetic subjects: from seeds to a head's shape and its albedo, in the head layout.

Shape is the base head of the layout plus smooth bumps at chosen places, drawn per subject, nearly symmetric; texels
keep their (u, v), so they correspond across subjects. Colour is painted in layers: skin pigments, features, hair.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor

from ..image import normals_of, resize, unit
from ..layout import face_vertices, position_map
from .draw import Batched, Draws, blur, enlarge
from .features import paint_brows, paint_eyes, paint_lips, paint_nostrils
from .hair import paint_beard, paint_hair
from .light import occlusion
from .marks import skin_maps
from .skin import skin_colour
from .traits import Traits, draw_traits, place_features

BASIS_SIZE = 128
# identity modes: landmark or point in cm, reach in cm, spread (cm) of the displacement in x, y, z
# fmt: off
MODES: tuple[tuple[int | tuple[float, float, float], float, tuple[float, float, float]], ...] = (
    (4, 1.5, (0.0, 0.28, 0.40)), (195, 1.3, (0.0, 0.15, 0.28)), (6, 1.2, (0.0, 0.10, 0.28)), (358, 1.1, (0.28, 0.16, 0.14)),
    (285, 1.3, (0.10, 0.10, 0.22)), (334, 1.9, (0.12, 0.22, 0.28)), (386, 1.4, (0.16, 0.14, 0.24)),
    (280, 2.2, (0.20, 0.25, 0.42)),
    (345, 2.4, (0.34, 0.20, 0.20)), (425, 2.4, (0.40, 0.20, 0.36)), (397, 2.8, (0.50, 0.30, 0.20)),
    (361, 2.6, (0.45, 0.25, 0.15)),
    (152, 2.3, (0.10, 0.55, 0.40)), (17, 1.2, (0.10, 0.12, 0.24)), (0, 1.1, (0.08, 0.12, 0.24)), (291, 1.3, (0.24, 0.12, 0.14)),
    (10, 3.6, (0.15, 0.30, 0.40)), (251, 3.0, (0.40, 0.25, 0.25)), ((7.9, 1.2, -3.6), 2.2, (0.40, 0.30, 0.20)),
    ((0.0, 11.0, -4.0), 5.5, (0.3, 0.5, 0.5)), ((5.5, 7.5, -5.5), 5.0, (0.4, 0.3, 0.4)),
    ((0.0, 3.0, -12.0), 5.5, (0.3, 0.3, 0.6)),
    ((4.5, -11.5, -2.5), 3.5, (0.50, 0.0, 0.40)),
)
# fmt: on


@dataclass
class Subjects(Batched):
    """A batch of synthetic heads with their ground truth.

    Attributes:
        seeds: int64 ``(B,)``. tone: ``(B,)`` 0 (lightest)…1. age: ``(B,)`` 0 (18 years)…1 (80). masculinity: ``(B,)``.
        albedo_linear: ``(B, 3, H, W)`` diffuse reflectance, linear sRGB.
        position: ``(B, 3, H, W)`` cm. normals: ``(B, 3, H, W)`` unit, with mesostructure; smooth_normals without.
        occlusion: ``(B, 1, H, W)`` ambient occlusion. gloss: ``(B, 1, H, W)`` factor on specular light.
        hair: ``(B, 1, H, W)`` cover by scalp hair or beard. moles: ``(B, M, 4)`` u, v, radius, strength.
        hair_style, beard: int64 ``(B,)``, places in `traits.HAIR_STYLES` and `traits.BEARDS`.
        hair_colour, iris: linear RGB ``(B, 3)``.
    """

    seeds: Tensor
    tone: Tensor
    age: Tensor
    masculinity: Tensor
    albedo_linear: Tensor
    position: Tensor
    normals: Tensor
    smooth_normals: Tensor
    occlusion: Tensor
    gloss: Tensor
    hair: Tensor
    moles: Tensor
    hair_style: Tensor
    beard: Tensor
    hair_colour: Tensor
    iris: Tensor

    def __len__(self) -> int:
        return len(self.seeds)

    @property
    def resolution(self) -> int:
        return self.albedo_linear.shape[-1]


@lru_cache(1)
def _mode_weights() -> tuple[Tensor, Tensor]:
    """Reach of every mode over the base head, left and right apart: two ``(M, H·W)`` maps at `BASIS_SIZE`."""
    points = position_map(BASIS_SIZE).flatten(1)
    vertices = face_vertices()
    left, right = [], []
    for place, reach, _ in MODES:
        centre = vertices[place] if isinstance(place, int) else torch.tensor(place)
        weights = [
            torch.exp(-((points - c[:, None]) ** 2).sum(0) / (2 * reach**2))
            for c in (centre, centre * torch.tensor([-1.0, 1.0, 1.0]))
        ]
        both = 0.5 if abs(float(centre[0])) < 0.05 else 1.0
        left.append(weights[0] * both)
        right.append(weights[1] * both)
    return torch.stack(left), torch.stack(right)


def head_shape(traits: Traits, resolution: int) -> Tensor:
    """Position maps ``(B, 3, H, W)`` in cm of the subjects' bare heads."""
    device = traits.tone.device
    rng = Draws(traits.seeds, "shape", device)
    spread = torch.tensor([m[2] for m in MODES], device=device).T  # (3, M)
    common = 1.2 * rng.normal(3, len(MODES)).clamp(-2.2, 2.2) * spread
    masculine = (traits.masculinity - 0.5)[:, None]
    common[:, 0, 10] += 0.45 * masculine[:, 0]  # jaw, brow ridge, nose, neck
    common[:, 2, 5] += 0.30 * masculine[:, 0]
    common[:, 2, 0] += 0.25 * masculine[:, 0]
    common[:, 0, 22] += 0.60 * masculine[:, 0]
    uneven = rng.normal(3, len(MODES)) * spread * 0.16
    left, right = (w.to(device) for w in _mode_weights())
    mirror = torch.tensor([-1.0, 1.0, 1.0], device=device).view(3, 1)
    offset = (common + uneven) @ left + ((common - uneven) * mirror) @ right
    offset = enlarge(offset.view(-1, 3, BASIS_SIZE, BASIS_SIZE), resolution)
    stretch = 1 + rng.normal(3, scale=0.028)
    return position_map(resolution).to(device) * stretch[..., None, None] + offset


def synthesise_subjects(seeds: Tensor, resolution: int, device: torch.device | str = "cpu") -> Subjects:
    """Make heads.

    Args:
        seeds: int64 ``(B,)``; one seed is one person, at any resolution.
        resolution: 32…1024, a power of two. Below 128 the maps are painted at 128 and averaged down.
    """
    if resolution < 128:
        return _reduce(synthesise_subjects(seeds, 128, device), resolution)
    traits = draw_traits(seeds, device)
    at = place_features(traits, resolution)
    maps = skin_maps(traits, at)
    albedo = skin_colour(maps.melanin, maps.blood)
    undertone = traits["undertone"][:, None, None, None]
    albedo = albedo * (undertone * albedo.new_tensor([0.012, 0.012, -0.085]).view(1, 3, 1, 1)).exp()
    albedo, bump, gloss, lips = paint_lips(albedo, maps.bump, maps.gloss, traits, at, maps.melanin)
    albedo, bump = paint_nostrils(albedo, bump, at)
    albedo, bump, gloss, beard, beard_lift = paint_beard(albedo, bump, gloss, traits, at)
    albedo, bump, gloss, eyes = paint_eyes(albedo, bump, gloss, traits, at)
    albedo, bump = paint_brows(albedo, bump, traits, at)
    albedo, bump, gloss, hair, lift = paint_hair(albedo, bump, gloss, traits, at)

    bare = head_shape(traits, resolution)
    under_hair = hair * (lift > 0.6)  # long hair hides the ears' relief
    bare = torch.lerp(bare, blur(bare, 0.035), blur(under_hair, 0.008))
    outward = unit(blur(normals_of(bare), 0.008))
    position = bare + outward * (lift + beard_lift)
    smooth = normals_of(position)
    normals = normals_of(position + smooth * bump)
    open_sky = occlusion(position + smooth * bump, normals)
    open_sky = torch.lerp(open_sky, 0.5 + 0.5 * blur(open_sky, 0.04), under_hair)
    return Subjects(
        seeds=seeds,
        tone=traits.tone,
        age=traits.age,
        masculinity=traits.masculinity,
        albedo_linear=albedo.clamp(0, 1),
        position=position,
        normals=normals,
        smooth_normals=smooth,
        occlusion=open_sky,
        gloss=gloss,
        hair=torch.maximum(hair, beard),
        moles=maps.moles,
        hair_style=traits["hair_style"],
        beard=traits["beard"],
        hair_colour=traits["hair_colour"],
        iris=traits["iris"],
    )


def _reduce(s: Subjects, resolution: int) -> Subjects:
    maps = {name: resize(getattr(s, name), resolution) for name in ("albedo_linear", "position", "occlusion", "gloss", "hair")}
    maps |= {name: unit(resize(getattr(s, name), resolution)) for name in ("normals", "smooth_normals")}
    return replace(s, **maps)
