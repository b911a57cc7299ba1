"""The five terms of the few-shot objective and those that we add, each its own function, and their weighted sum.

    min over θ(8+) of G_studio, max over D_studio:
        L_adv + L_R1 + L_percp-recons + λ1 · L_percp + λ2 · L_faceID            (Athar et al., ECCV 2024)

The paper names the terms and what they act on. Their exact forms and all weights are unknown to us; what
stands here is our choice, marked where it matters. Images are signed ``(B, 3, H, W)``; every function returns
one number, the mean over the batch. L_adv and L_R1 are those of stage 1 (`stylegan2.losses`); L_R1 belongs to the
discriminator, which minimises it, although the printed min-max hides that, and touches *real studio* textures only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import AdaptConfig
from ..errors import ProfileError
from ..image import from_signed, srgb_to_linear
from ..inversion.distance import distance_of, to_target
from ..stylegan2.encoder import reconstruction_loss
from ..stylegan2.losses import generator_loss

Distance = Callable[[Tensor, Tensor], Tensor]
"""``(a, b signed (B,3,H,W)) -> (B,)``."""


# --------------------------------------------------------------------------------------- perceptual distances


def laplacian_distance(a: Tensor, b: Tensor, levels: int = 4) -> Tensor:
    """Mean absolute difference of Laplacian pyramid bands ``(B,)``, coarsest residual left out.

    Without the residual the distance sees structure (outlines, hair, moles, creases) and hardly sees smooth
    light or skin tone, which the translation is meant to change (Burt & Adelson 1983; as a loss: Bojanowski
    et al. 2018).
    """
    difference = a - b  # the pyramid is linear: one pyramid of the difference is enough
    total = []
    while len(total) < levels and difference.shape[-1] >= 8:
        coarse = F.avg_pool2d(difference, 2)
        band = difference - F.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)
        total.append(band.abs().mean((1, 2, 3)))
        difference = coarse
    return torch.stack(total).mean(0)


class StudioDistance:
    """The default perceptual distance of this stage, needing no download: features plus Laplacian bands.

    The features are those of the *frozen phone discriminator* (the idea of JoJoGAN, Chong & Forsyth, ECCV
    2022: an in-domain network beats a generic one), compared as in LPIPS.

    Args:
        trunk: D_phone, another trunk with ``features``, a distance on [0, 1] textures ``(a, b, weight) ->
            (B,)`` (the real LPIPS, for example), or None for the bands alone.
    """

    def __init__(self, trunk=None):
        self.compare = distance_of(trunk)

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """Distance ``(B,)`` of signed ``(B, 3, H, W)`` images; ``b`` is the fixed side, no gradient goes into it."""
        b = b.detach()
        total = laplacian_distance(a, b)
        if self.compare is not None:
            to_b = to_target(self.compare, b * 0.5 + 0.5, torch.ones_like(a[:, :1]))
            total = to_b(a * 0.5 + 0.5) + total
        return total


def perceptual_loss(distance: Distance, studio: Tensor, phone: Tensor) -> Tensor:
    """L_percp, no pairs needed: distance of G_studio(w+) to G_phone(w+) of the *same* codes. Keeps facial structure."""
    return distance(studio, phone.detach()).mean()


def pair_loss(distance: Distance, studio: Tensor, truth: Tensor) -> Tensor:
    """L_percp-recons, on the few pairs: distance of G_studio(w_i) to the studio texture of the same subject i."""
    return distance(studio, truth).mean()


def detail_loss(studio: Tensor, truth: Tensor, face_weight: float = 2.0) -> Tensor:
    """The pixel part of L_percp-recons at all scales, our addition: L1 over an area pyramid and its bands, as in pre-training.

    Feature distances are means over the texture, in which eyes are next to nothing; here the face counts ``face_weight``
    times as much as the rest, and every band for itself.
    """
    return reconstruction_loss(studio, truth, torch.ones_like(studio[:, :1]), face_weight=face_weight)


DARK = 0.01  # linear light, added before the logarithm


def log_light(texture: Tensor, side: int, floor: float = DARK) -> Tensor:
    """Logarithms ``(B, 3, side, side)`` of area means of linear light; ``texture`` is sRGB in [0, 1]."""
    return (F.adaptive_avg_pool2d(srgb_to_linear(texture), min(side, texture.shape[-1])) + floor).log()


def low_light_loss(studio: Tensor, truth: Tensor, side: int = 32, floor: float = DARK) -> Tensor:
    """The low band in logarithmic light, our addition: L1 of the logarithms of area means at ``side``² patches.

    A wrong shading is a wrong *factor*, and in sRGB differences a factor counts little where skin is dark. ``floor`` is in
    linear light.
    """
    drawn, wanted = (log_light(from_signed(x).clamp(0, 1), side, floor) for x in (studio, truth))
    return (drawn - wanted).abs().mean()


def other_light_loss(studio: Tensor, expected: Tensor, weight: Tensor) -> Tensor:
    """The low band, but for its mean level, against a person's other captures; our addition. No studio texture is needed.

    Squared, for only the mean of many lights is no light; see `captures.OtherLights`, which gives the rest. The mean level is
    left out: a camera meters, so that a darker person is exposed longer, and that is no noise.

    Args:
        studio: ``(B, 3, H, W)`` signed. expected: ``(B, 3, s, s)`` log light. weight: ``(B, 1, s, s)``.
    """
    gap = log_light(from_signed(studio).clamp(0, 1), expected.shape[-1]) - expected
    level = (gap * weight).sum((1, 2, 3), keepdim=True) / (3 * weight.sum((1, 2, 3), keepdim=True)).clamp_min(1e-6)
    gap = gap - level
    return (gap.square() * weight).sum() / (3 * weight.sum()).clamp_min(1e-6)


def invariance_loss(twins: Tensor, face_weight: float = 2.0) -> Tensor:
    """Light-invariance, our addition: two captures of one person must give one texture. No studio texture is needed.

    Args:
        twins: ``(2n, 3, H, W)`` signed, the two textures of each person next to each other.
    """
    return reconstruction_loss(twins[::2], twins[1::2], torch.ones_like(twins[::2, :1]), face_weight=face_weight)


# --------------------------------------------------------------------------------------------------- L_faceID


def identity_loss(embedding: Tensor, reference: Tensor, kind: Literal["cosine", "mse"] = "cosine") -> Tensor:
    """L_faceID, no pairs needed: identity of G_studio(w+) against that of G_phone(w+).

    Args:
        embedding, reference: unit vectors ``(B, E)``; the reference gets no gradient.
        kind: "cosine" is mean(1 − cos); "mse" the mean squared error per element, the scale the paper's
            FaceID numbers suggest. On unit vectors mse = 2 · (1 − cos) / E: the same minimum, another weight.
    """
    reference = reference.detach()
    if kind == "mse":
        return F.mse_loss(embedding, reference)
    return (1 - (embedding * reference).sum(1)).mean()


class AdaptLoss:
    """The generator's side of the objective: weighted terms; a term of weight 0 is not even computed.

    Args:
        config: the weights ``adversarial``, ``recons``, ``recons_detail``, ``low_light``,
            ``invariance``, ``other_light``, ``perceptual`` (λ1), ``identity`` (λ2).
        distance: for L_percp and L_percp-recons.
        identity: network with ``embed(texture [0,1], visibility) -> (B, E)``; needed unless its weight is 0.
    Raises:
        ProfileError: a weight is set whose network is missing.
    """

    def __init__(self, config: AdaptConfig, distance: Distance, identity: nn.Module | None):
        if config.identity > 0 and identity is None:
            raise ProfileError("L_faceID has a weight but there is no identity network: pass one, or set identity=0")
        self.config, self.distance, self.identity = config, distance, identity

    def generator(self, fake: Tensor, reference: Tensor, logits: Tensor | None) -> tuple[Tensor, dict[str, Tensor]]:
        """Sum and parts of the terms on sampled codes: ``fake`` = G_studio(w+), ``reference`` = G_phone(w+); ``logits`` None
        leaves the adversarial one out."""
        weights, parts = self.config, {}
        if weights.adversarial > 0 and logits is not None:
            parts["adv"] = weights.adversarial * generator_loss(logits)
        if weights.perceptual > 0:
            parts["percp"] = weights.perceptual * perceptual_loss(self.distance, fake, reference)
        if weights.identity > 0:
            with torch.no_grad():
                wanted = self.identity.embed(reference * 0.5 + 0.5)
            parts["face_id"] = weights.identity * identity_loss(
                self.identity.embed(fake * 0.5 + 0.5),
                wanted,
                weights.identity_kind,  # type: ignore[arg-type]
            )
        return sum(parts.values(), fake.new_zeros(())), parts

    def pairs(self, fake: Tensor, truth: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Sum and parts of the terms on pairs: ``fake`` = G_studio(w_i), ``truth`` the studio texture of
        subject i."""
        weights, parts = self.config, {}
        if weights.recons > 0:
            parts["recons"] = weights.recons * pair_loss(self.distance, fake, truth)
        if weights.recons_detail > 0:
            parts["recons_detail"] = weights.recons_detail * detail_loss(fake, truth)
        if weights.low_light > 0:
            parts["low_light"] = weights.low_light * low_light_loss(fake, truth)
        return sum(parts.values(), fake.new_zeros(())), parts

    def others(self, fake: Tensor, expected: Tensor, weight: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The term on what a person's other captures tell; see `other_light_loss`."""
        parts = {}
        if self.config.other_light > 0:
            parts["other_light"] = self.config.other_light * other_light_loss(fake, expected, weight)
        return sum(parts.values(), fake.new_zeros(())), parts

    def twins(self, *fakes: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The term on pictures of two captures of one person, which lie next to each other in each of ``fakes``."""
        parts = {}
        if self.config.invariance > 0 and fakes:
            parts["invariance"] = self.config.invariance * invariance_loss(torch.cat(fakes))
        return sum(parts.values(), torch.zeros(())), parts

    @property
    def learns_alone(self) -> bool:
        """Is there any term besides the adversarial one, to learn from before D takes part?"""
        config = self.config
        return self.uses_pairs or max(config.perceptual, config.identity, config.invariance, config.other_light) > 0

    @property
    def uses_pairs(self) -> bool:
        """Is any term on pairs switched on?"""
        config = self.config
        return max(config.recons, config.recons_detail, config.low_light) > 0
