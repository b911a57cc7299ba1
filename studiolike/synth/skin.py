"""Skin, hair and eye colours from their pigments.

Skin is an epidermis with melanin over a dermis with blood. The dermis reflects by diffusion theory for a
semi-infinite scatterer (Jensen et al., SIGGRAPH 2001, eq. 15; layers as in Donner and Jensen, EGSR 2006), the
epidermis filters twice by a *flat* melanin law, T = exp(−M (λ/550 nm)^−1.25): with the steeper textbook exponent
(Jacques) dark skin turns orange. A small achromatic floor stands for the surface. Spectra are integrated against the
analytic colour matching functions of Wyman, Sloan and Shirley (JCGT 2013) under D65 into linear sRGB.

Measured skin to compare with: CIELAB L* of facial skin runs from about 25–35 (very dark) to 65–75 (very light), hue
angle 45–65° (Xiao et al., Skin Research and Technology 2017; Del Bino and Bernerd, Br. J. Dermatology 2013).
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

WAVELENGTHS = torch.arange(400.0, 701.0, 10.0)  # nm

# molar extinction of oxy- and deoxyhaemoglobin in water, cm⁻¹/M, every 10 nm from 400 to 700 nm
# (compiled by S. Prahl, Oregon Medical Laser Center, 1999, from Gratzer and Kollias)
# fmt: off
OXY = torch.tensor([
    266232, 466840, 480360, 246072, 102580, 62816, 44480, 33209, 26629, 23684, 20933, 20035, 24202, 39957, 53236, 43016,
    32613, 44496, 50104, 14401, 3200, 1506, 942, 610, 442, 368, 320, 294, 278, 276, 290.0])
DEOXY = torch.tensor([
    223296, 303956, 407560, 528600, 413280, 103292, 23389, 16156, 14550, 16684, 20862, 25774, 31590, 39036, 46592, 53412,
    53788, 45072, 37020, 28324, 14677, 9444, 6510, 5149, 4345, 3750, 3227, 2795, 2408, 2052, 1794.0])
# fmt: on
HAEMOGLOBIN = 150.0 / 64500.0  # mol/l in whole blood: 150 g/l over 64,500 g/mol
OXYGENATION = 0.75
MAX_MELANIN, MAX_BLOOD = 4.5, 0.16  # the table's range

XYZ_TO_SRGB = torch.tensor([[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]])
D65 = torch.tensor([0.9505, 1.0, 1.0890])


def colour_matching(wavelength: Tensor) -> Tensor:
    """CIE 1931 x̄, ȳ, z̄ at ``(K,)`` nanometres, ``(K, 3)`` (Wyman et al. 2013, multi-lobe fit)."""

    def lobe(mean: float, below: float, above: float) -> Tensor:
        t = (wavelength - mean) * torch.where(wavelength < mean, below, above)
        return torch.exp(-0.5 * t * t)

    x = 0.362 * lobe(442.0, 0.0624, 0.0374) + 1.056 * lobe(599.8, 0.0264, 0.0323) - 0.065 * lobe(501.1, 0.0490, 0.0382)
    y = 0.821 * lobe(568.8, 0.0213, 0.0247) + 0.286 * lobe(530.9, 0.0613, 0.0322)
    z = 1.217 * lobe(437.0, 0.0845, 0.0278) + 0.681 * lobe(459.0, 0.0385, 0.0725)
    return torch.stack([x, y, z], -1)


def reflectance_to_rgb(reflectance: Tensor) -> Tensor:
    """Spectral reflectance ``(..., K)`` over `WAVELENGTHS` → linear sRGB ``(..., 3)``; a perfect white gives (1, 1, 1)."""
    matching = colour_matching(WAVELENGTHS)
    return (reflectance @ (matching / matching.sum(0)) * D65 @ XYZ_TO_SRGB.T).clamp(0, 1)


def skin_reflectance(melanin: Tensor, blood: Tensor) -> Tensor:
    """Spectral reflectance ``(..., K)`` for melanin optical depth M and blood volume fraction, both ``(...)``."""
    lam = WAVELENGTHS
    baseline = 0.244 + 85.3 * torch.exp(-(lam - 154) / 66.2)  # bloodless tissue, cm⁻¹ (Jacques, OMLC 1998)
    absorb_blood = 2.303 * HAEMOGLOBIN * (OXYGENATION * OXY + (1 - OXYGENATION) * DEOXY)
    absorption = blood[..., None] * absorb_blood + (1 - blood[..., None]) * baseline
    scattering = 46.0 * (lam / 500) ** -1.421  # mean of skin, cm⁻¹ (Jacques, Phys. Med. Biol. 2013, table 1)
    albedo = scattering / (scattering + absorption)
    root = (3 * (1 - albedo)).sqrt()
    dermis = albedo / 2 * (1 + torch.exp(-4 / 3 * 3.0 * root)) * torch.exp(-root)
    epidermis = torch.exp(-melanin[..., None] * (lam / 550) ** -1.25)
    return 0.97 * epidermis * dermis + 0.010


@lru_cache(1)
def _table() -> Tensor:
    """Linear sRGB ``(1, 3, 96, 64)`` over √melanin (rows) and √blood (columns)."""
    melanin = torch.linspace(0, 1, 96) ** 2 * MAX_MELANIN
    blood = torch.linspace(0, 1, 64) ** 2 * MAX_BLOOD
    rgb = reflectance_to_rgb(skin_reflectance(melanin[:, None].expand(-1, 64), blood[None].expand(96, -1)))
    return rgb.permute(2, 0, 1)[None]


def skin_colour(melanin: Tensor, blood: Tensor) -> Tensor:
    """Linear sRGB ``(B, 3, H, W)`` of skin from maps ``(B, 1, H, W)``: melanin optical depth 0…4.5 (light skin ≈ 0.2,
    dark ≈ 2.2) and blood volume fraction 0…0.16 (skin 0.003–0.017, lips ≈ 0.05). Values outside are clamped."""
    place = torch.cat([(blood / MAX_BLOOD).clamp(0, 1).sqrt(), (melanin / MAX_MELANIN).clamp(0, 1).sqrt()], 1)
    table = _table().to(melanin.device).expand(len(melanin), -1, -1, -1)
    return F.grid_sample(table, place.permute(0, 2, 3, 1) * 2 - 1, mode="bilinear", padding_mode="border", align_corners=True)


def melanin_of_tone(tone: Tensor) -> Tensor:
    """Tone group scale 0 (lightest) … 1 (darkest) → melanin optical depth, near even steps of lightness.

    The lightest skin has next to none: with little blood its individual typology angle passes 55°, "very light"."""
    return 0.01 + 0.70 * tone + 1.69 * tone**2.3


def hair_colour(eumelanin: Tensor, pheomelanin: Tensor, grey: Tensor) -> Tensor:
    """Linear sRGB ``(B, 3)`` of a hairy surface; arguments ``(B,)``: pigment amounts (black ≈ 5, brown ≈ 2,
    blond ≈ 0.3; red has pheomelanin ≈ 1) and the grey share 0…1.

    Absorption per pigment from Chiang et al., EGSR 2016 (after d'Eon et al. 2011); light crosses several fibres.
    """
    absorb = eumelanin[:, None] * eumelanin.new_tensor([0.419, 0.697, 1.37])
    absorb = absorb + pheomelanin[:, None] * absorb.new_tensor([0.187, 0.40, 1.05])
    fibre = 0.006 + 0.42 * torch.exp(-2.6 * absorb.clamp_min(1e-6) ** 0.62)
    return fibre + (fibre.new_tensor([0.36, 0.355, 0.35]) - fibre) * grey[:, None]


@lru_cache(1)
def _planck() -> Tensor:
    kelvin = torch.linspace(1800, 12000, 128)[:, None]
    metres = WAVELENGTHS[None] * 1e-9
    power = metres**-5 / (torch.exp(0.014388 / (metres * kelvin)) - 1)
    rgb = (power / power.mean(-1, keepdim=True)) @ colour_matching(WAVELENGTHS) @ XYZ_TO_SRGB.T
    rgb = rgb.clamp_min(0)
    return rgb / (rgb * rgb.new_tensor([0.2126, 0.7152, 0.0722])).sum(-1, keepdim=True)


def black_body(kelvin: Tensor) -> Tensor:
    """Linear sRGB of unit luminance, ``(..., 3)``, of a black body at 1800…12000 K (Planck's law)."""
    place = ((kelvin - 1800) / (12000 - 1800) * 127).clamp(0, 126.999)
    low = place.floor().long()
    table = _planck().to(kelvin.device)
    return torch.lerp(table[low], table[low + 1], (place - low)[..., None])
