"""Light of real places: small high-dynamic-range maps, filtered for skin, and their suns.

`environments.npz` holds 26 places (origin and licence in NOTICE, made by ``assets/make_environments.py``) as
equirectangular maps of linear radiance, each with its strongest small source taken out: direction, colour, size. A rough
surface sees a map through a broad lobe, so each place is filtered beforehand with spherical Gaussians
exp(κ (d·axis − 1)) of a few sharpnesses κ (prefiltered environment maps, Kautz et al., Rendering Techniques 2000) and
then only looked up.
"""

from __future__ import annotations

import math
from functools import lru_cache
from importlib import resources

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

SHARPNESS = (8.0, 15.0, 30.0)  # of the filters; 15 also suits the 80 directions of the diffuse light


@lru_cache(1)
def places() -> tuple[Tensor, Tensor]:
    """Radiance ``(P, 3, 32, 64)`` with the zenith in the top row, and suns ``(P, 7)``: unit direction, irradiance / π of a
    surface that faces it (RGB, 0 where there is no sun), radius in radians. The average radiance is 1, sun included."""
    with resources.files("studiolike.assets").joinpath("environments.npz").open("rb") as handle, np.load(handle) as arrays:
        return torch.from_numpy(arrays["maps"].astype(np.float32)), torch.from_numpy(arrays["suns"])


def toward(azimuth: Tensor, elevation: Tensor) -> Tensor:
    """Unit vectors ``(…, 3)``; angles in radians, azimuth 0 in front of the face, positive to the subject's left."""
    return torch.stack([elevation.cos() * azimuth.sin(), elevation.sin(), elevation.cos() * azimuth.cos()], -1)


def map_directions(height: int, width: int) -> tuple[Tensor, Tensor]:
    """Unit directions ``(H·W, 3)`` of the texels of a map, and their solid angles ``(H·W,)``."""
    elevation = math.pi * (0.5 - (torch.arange(height) + 0.5) / height)[:, None].expand(height, width)
    azimuth = 2 * math.pi * ((torch.arange(width) + 0.5) / width - 0.5)[None].expand(height, width)
    return toward(azimuth, elevation).reshape(-1, 3), (elevation.cos() * 2 * math.pi**2 / (height * width)).reshape(-1)


@lru_cache(2)
def filtered(device: str = "cpu") -> Tensor:
    """All places seen through lobes of each `SHARPNESS`, ``(P, 3, K, 32, 64)``."""
    maps = places()[0]
    d, solid = map_directions(*maps.shape[-2:])
    cosine = d @ d.T
    levels = []
    for sharpness in SHARPNESS:
        lobe = torch.exp(sharpness * (cosine - 1)) * solid[:, None]
        levels.append((maps.flatten(2) @ (lobe / lobe.sum(0))).view_as(maps))
    return torch.stack(levels, 2).to(device)


def look(place: Tensor, direction: Tensor, sharpness: Tensor | float) -> Tensor:
    """Radiance of places through a lobe.

    Args:
        place: int64 ``(B,)``. direction: unit ``(B, 3, H, W)`` in the map's own frame. sharpness: of the lobe, number or
            ``(B,)``, clamped to the range of `SHARPNESS`.
    Returns:
        ``(B, 3, H, W)``
    """
    device = direction.device
    known = torch.tensor(SHARPNESS, device=device).log()
    wanted = torch.as_tensor(sharpness, dtype=torch.float32, device=device).expand(len(place)).log()
    high = torch.bucketize(wanted.clamp(known[0], known[-1]), known).clamp(1, len(SHARPNESS) - 1)
    t = ((wanted - known[high - 1]) / (known[high] - known[high - 1])).clamp(0, 1)
    maps = filtered(str(device))
    maps = torch.lerp(maps[place, :, high - 1], maps[place, :, high], t.view(-1, 1, 1, 1))
    x, y, z = direction.unbind(1)
    maps = F.pad(maps, (1, 1, 0, 0), mode="circular")  # left and right border are one meridian
    u = torch.atan2(x, z) * ((maps.shape[-1] - 2) / maps.shape[-1] / math.pi)
    v = torch.asin(y.clamp(-1, 1)) * (-2 / math.pi)
    return F.grid_sample(maps, torch.stack([u, v], -1), mode="bilinear", padding_mode="border", align_corners=False)


def turning(azimuth: Tensor, tilt: Tensor, mirrored: Tensor) -> Tensor:
    """Matrices ``(B, 3, 3)`` from the head's frame to a map's: turned about the vertical, tilted a little, perhaps mirrored.

    Args:
        azimuth, tilt: ``(B,)`` radians. mirrored: ``(B,)`` 1 or −1, sign of x.
    """
    zero, one = torch.zeros_like(azimuth), torch.ones_like(azimuth)
    a, b = azimuth, tilt
    turn = torch.stack([a.cos(), zero, a.sin(), zero, one, zero, -a.sin(), zero, a.cos()], -1).view(-1, 3, 3)
    lean = torch.stack([one, zero, zero, zero, b.cos(), -b.sin(), zero, b.sin(), b.cos()], -1).view(-1, 3, 3)
    flip = torch.stack([mirrored, one, one], -1)[:, None]
    return (turn @ lean) * flip
