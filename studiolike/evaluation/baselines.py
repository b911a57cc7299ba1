"""Rivals that learn nothing but the mean studio texture; the chain has to beat them to be worth its training.

Each takes ``(texture (B, 3, H, W), visibility (B, 1, H, W), reference)`` and returns a texture of the same
size. `bound` binds the reference, which gives the callables that `evaluate` wants.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ..image import fill_unobserved, lab_to_srgb, linear_to_srgb, resize, srgb_to_lab, srgb_to_linear
from .masked import channel_means, masked_blur


@dataclass(frozen=True)
class StudioReference:
    """What a baseline may know of the studio domain: the mean ``(3, H, W)`` of the few-shot studio set, sRGB
    in [0, 1]."""

    mean: Tensor

    @classmethod
    def from_set(cls, data, subjects: Tensor | None = None) -> StudioReference:
        """From a `TextureSet`: its "studio" subjects, or other rows of its studio textures. Averaged in linear light."""
        subjects = torch.as_tensor(data.subjects("studio") if subjects is None else subjects)
        total = torch.zeros(())
        for part in subjects.split(32):
            total = total + srgb_to_linear(data.studio_batch(part, "cpu")).sum(0)
        return cls(linear_to_srgb(total / len(subjects)))

    def like(self, texture: Tensor) -> Tensor:
        """The mean as ``(1, 3, H, W)`` in the size, type and place of ``texture``."""
        return resize(self.mean[None].to(texture), texture.shape[-1])


def nothing(texture: Tensor, visibility: Tensor, reference: StudioReference) -> Tensor:
    """The phone texture as it is."""
    return texture


def mean_studio(texture: Tensor, visibility: Tensor, reference: StudioReference) -> Tensor:
    """The mean studio texture, whoever is asked for: perfect against light, hard to beat in PSNR, and nobody's face."""
    return reference.like(texture).expand_as(texture)


def colour_transfer(texture: Tensor, visibility: Tensor, reference: StudioReference) -> Tensor:
    """Give the observed region the mean studio texture's mean and spread of colour; holes continue their
    neighbours.

    Reinhard, Ashikhmin, Gooch, Shirley, *Color Transfer between Images*, CG&A 2001, in CIE L*a*b*. Both
    statistics are taken over the same, observed, texels. The transfer maps colours and cannot invent texels,
    so holes are filled first.
    """
    target = srgb_to_lab(reference.like(texture))
    lab = srgb_to_lab(fill_unobserved(texture, visibility))
    (mean, spread), (wanted_mean, wanted_spread) = (_statistics(x, visibility) for x in (lab, target))
    # a nearly uniform input must not have its noise blown up
    return lab_to_srgb((lab - mean) * (wanted_spread / spread.clamp_min(0.25)).clamp_max(4) + wanted_mean)


def _statistics(lab: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    mean = channel_means(lab, weight)
    return mean, channel_means((lab - mean).square(), weight).sqrt()


def quotient(texture: Tensor, visibility: Tensor, reference: StudioReference, sigma: float = 0.04) -> Tensor:
    """Divide out the low frequencies of the phone texture and put in those of the mean studio texture.

    Shading is mostly low-frequency and multiplies albedo, so the quotient removes it, in linear light; so
    does it remove what pigment has in low frequencies, which comes back as the average person's. Holes are
    the mean studio texture. In the spirit of Land & McCann's retinex (JOSA 1971) and the quotient image
    (Shashua & Riklin-Raviv, PAMI 2001).

    Args:
        sigma: of the blur, as a share of the width. A smaller one turns the result into the mean texture (which
            flatters PSNR), a larger one leaves light in.
    """
    mean = srgb_to_linear(reference.like(texture))
    linear, size = srgb_to_linear(texture), sigma * texture.shape[-1]
    floor = 2e-3  # dark texels have no reliable ratio
    detail = (linear + floor) / (masked_blur(linear, visibility, size) + floor)
    relit = detail * (masked_blur(mean.expand_as(linear), visibility, size) + floor) - floor
    return torch.lerp(reference.like(texture).expand_as(texture), linear_to_srgb(relit.clamp(0, 1)), visibility)


BASELINES: dict[str, Callable[..., Tensor]] = {
    "nothing": nothing,
    "mean_studio": mean_studio,
    "colour_transfer": colour_transfer,
    "quotient": quotient,
}


def bound(reference: StudioReference) -> dict[str, Callable[[Tensor, Tensor], Tensor]]:
    """All baselines with their reference bound: ``{name: callable(texture, visibility)}``."""
    return {name: partial(method, reference=reference) for name, method in BASELINES.items()}
