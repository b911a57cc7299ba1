"""Log against raw gradients under mild and under cast-shadow light: no training, the heads' true albedo is known.

A head of the split "val" is lit by hand, once smoothly and once by a hard lamp with its cast shadow and a small highlight;
the correlation of the lit texture's gradient with the albedo's, of the same kind, says how much of the light comes through.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..config import Profile
from ..detail import gradients
from ..detail.guidance import pair_mask
from ..image import linear_to_srgb
from ..layout import region_mask
from ..synth import Subjects, synthesise_subjects
from ..synth.light import shadow
from .core import Outcome, declare
from .lab import Lab

LIGHTS = {"mild": "smooth light", "shadow": "cast shadow"}


def lamp_light(heads: Subjects, light: str, direction: Tensor) -> tuple[Tensor, Tensor | float]:
    """One lamp's light on the heads ``(B, 1, H, W)``, linear, and its highlight: "mild" wraps around the head, "shadow" does not.

    Args:
        direction: unit vectors to the lamp ``(B, 3)``.
    """
    facing = (direction[:, :, None, None] * heads.smooth_normals).sum(1, keepdim=True)
    if light == "mild":
        return 0.4 + 0.3 * (1 + facing), 0.0
    reach = shadow(heads.position, heads.smooth_normals, direction, softness=0.15)
    return 0.12 + facing.clamp_min(0) * reach, 0.5 * facing.clamp_min(0) ** 60 * reach


def lit(heads: Subjects, shading: Tensor | float, shine: Tensor | float) -> Tensor:
    """The heads in a light and with its highlight, sRGB ``(B, 3, H, W)``; in a light of 1 it is their albedo."""
    return linear_to_srgb((heads.albedo_linear * shading + shine).clamp(0, 1))


def field_of(texture: Tensor, kind: str = "log") -> Tensor:
    """The gradient field ``(B, 2, H, W)`` of a texture that was seen everywhere; ``kind``: "log" or "raw"."""
    return gradients(texture, torch.ones_like(texture[:, :1]), kind, 0)[0]


def correlation(a: Tensor, b: Tensor, mask: Tensor) -> Tensor:
    """Of two fields ``(B, 2, H, W)`` where both texels of a difference are in the mask ``(B, 1, H, W)``; ``(B,)``."""
    weight = pair_mask(mask).flatten(1)
    total = weight.sum(1, keepdim=True)
    a, b = (x.flatten(1) - (x.flatten(1) * weight).sum(1, keepdim=True) / total for x in (a, b))
    return (weight * a * b).sum(1) / ((weight * a * a).sum(1) * (weight * b * b).sum(1)).sqrt().clamp_min(1e-12)


@lru_cache(1)
def heads_of(lab: Lab, size: int) -> Subjects:
    """The people of "val", made once for all rows."""
    return synthesise_subjects(lab.val_seeds, size)


def measure(lab: Lab, settings: Mapping[str, Any], seed: int) -> Outcome:
    """Correlation of one kind of gradient with the albedo's, under lamps that the seed places, one for each head."""
    size = settings["resolution"]
    people, heads = lab.val_seeds, heads_of(lab, size)
    rng = torch.Generator().manual_seed(seed)
    side = torch.where(torch.rand(len(people), generator=rng) < 0.5, -1.0, 1.0)
    height, depth = (0.2 + 0.5 * torch.rand(len(people), generator=rng) for _ in range(2))
    lamp = F.normalize(torch.stack([0.75 * side, height, 0.3 + depth], 1), dim=1)
    face = (region_mask("face", size) > 0.5).float().expand(len(people), 1, size, size)
    lights = lamp_light(heads, settings["light"], lamp), (1.0, 0.0)
    fields = [field_of(lit(heads, *light), settings["kind"]) for light in lights]
    return Outcome(people.numpy(), {"correlation": correlation(*fields, face).numpy()})


def _settings(profile: Profile) -> dict[str, Any]:
    return {
        "resolution": profile.data.detail_resolution,
        "people": profile.data.val_subjects,
        "first_seed": profile.data.first_seed,
    }


declare(
    "gradients",
    "How much of the light comes through a log gradient, and how much through a raw one?",
    {f"{kind}, {word}": {"kind": kind, "light": light} for light, word in LIGHTS.items() for kind in ("log", "raw")},
    measure,
    _settings,
    f"log, {LIGHTS['shadow']}",
    ("correlation",),
    "Nothing is trained, so this is as long as it needs to be: every person of the split under one lamp for each seed. The "
    "lamps are made by hand, to have one kind of light each; captures mix them. The correlation says what comes through, "
    "not what a network makes of it.",
)
