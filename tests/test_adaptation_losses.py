"""The five terms: each says what the paper's table says it acts on."""

from dataclasses import replace

import pytest
import torch

from studiolike.adaptation import (
    AdaptLoss,
    StudioDistance,
    detail_loss,
    identity_loss,
    invariance_loss,
    low_light_loss,
    other_light_loss,
    pair_loss,
    perceptual_loss,
)
from studiolike.adaptation.losses import laplacian_distance, log_light
from studiolike.config import AdaptConfig
from studiolike.errors import ProfileError
from studiolike.features.network import IdentityNet
from studiolike.image import linear_to_srgb
from studiolike.layout import face_mask
from studiolike.stylegan2 import Discriminator

TERMS = {
    "adversarial": "adv",
    "perceptual": "percp",
    "identity": "face_id",
    "recons": "recons",
    "recons_detail": "recons_detail",
    "low_light": "low_light",
    "invariance": "invariance",
    "other_light": "other_light",
}


@pytest.fixture(scope="module")
def identity():
    return IdentityNet(resolution=16, widths=(8, 8, 8), embedding=8).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def discriminator():
    torch.manual_seed(0)
    return Discriminator(resolution=16, channel_base=64, channel_max=16).eval().requires_grad_(False)


def images(seed, n=2):
    return torch.rand(n, 3, 16, 16, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_a_weight_of_zero_removes_its_term(identity, discriminator):
    for left_out, name in TERMS.items():
        config = replace(AdaptConfig(), **{left_out: 0.0})
        loss = AdaptLoss(config, StudioDistance(discriminator), identity)
        fake = images(0).requires_grad_()
        total, parts = loss.generator(fake, images(1), fake.mean((1, 2, 3))[:, None])
        pair_total, pair_parts = loss.pairs(fake, images(2))
        twin_total, twin_parts = loss.twins(fake, images(3))
        other_total, other_parts = loss.others(fake, torch.zeros(2, 3, 4, 4), torch.ones(2, 1, 4, 4))
        everything = parts | pair_parts | twin_parts | other_parts
        assert set(everything) == set(TERMS.values()) - {name}
        assert torch.allclose(total + pair_total + twin_total + other_total, sum(everything.values()))
    nothing = AdaptLoss(replace(AdaptConfig(), **dict.fromkeys(TERMS, 0.0)), StudioDistance(discriminator), None)
    assert nothing.generator(fake, fake, None)[1] == {} and not nothing.uses_pairs and not nothing.learns_alone
    assert nothing.twins(fake)[1] == {} and AdaptLoss(AdaptConfig(), StudioDistance(None), identity).twins()[1] == {}
    for term in ("perceptual", "identity", "invariance", "other_light", "recons", "recons_detail", "low_light"):
        alone = AdaptLoss(replace(AdaptConfig(), **dict.fromkeys(TERMS, 0.0) | {term: 1.0}), StudioDistance(None), identity)
        assert alone.learns_alone and alone.uses_pairs == (term in ("recons", "recons_detail", "low_light"))


def test_a_term_without_its_network_is_refused():
    with pytest.raises(ProfileError, match="identity=0"):
        AdaptLoss(AdaptConfig(), StudioDistance(None), None)


def test_each_term_is_zero_when_its_aim_is_met(identity, discriminator):
    a, distance = images(0), StudioDistance(discriminator)
    embedding = identity.embed(a * 0.5 + 0.5)
    assert perceptual_loss(distance, a, a).item() == pytest.approx(0, abs=1e-6)
    assert pair_loss(distance, a, a).item() == pytest.approx(0, abs=1e-6)
    assert low_light_loss(a, a).item() == 0
    assert invariance_loss(a.repeat_interleave(2, 0)).item() == 0
    assert identity_loss(embedding, embedding).item() == pytest.approx(0, abs=1e-6)
    assert perceptual_loss(distance, a, images(1)) > 0 and low_light_loss(a, images(1)) > 0 and invariance_loss(a) > 0


def test_references_get_no_gradient(identity, discriminator):
    a, reference = images(0).requires_grad_(), images(1).requires_grad_()
    loss = perceptual_loss(StudioDistance(discriminator), a, reference) + identity_loss(
        identity.embed(a * 0.5 + 0.5), identity.embed(reference * 0.5 + 0.5)
    )
    loss.backward()
    assert a.grad.abs().sum() > 0 and reference.grad is None


def test_identity_as_mse_is_the_cosine_one_rescaled(identity):
    a, b = identity.embed(images(0) * 0.5 + 0.5), identity.embed(images(1) * 0.5 + 0.5)
    assert identity_loss(a, b, "mse").item() == pytest.approx(2 * identity_loss(a, b).item() / 8, rel=1e-4)


def test_bands_see_structure_and_not_tone():
    a = images(0)
    tone, structure = a + 0.2, a + 0.2 * torch.tensor([1.0, -1.0]).repeat(8)[None, None, None]
    assert laplacian_distance(tone, a).max() < 1e-5 < laplacian_distance(structure, a).min()


def lit(albedo, factor):
    """A flat signed texture of linear ``albedo``, ``factor`` times as bright."""
    return linear_to_srgb(torch.full((1, 3, 64, 64), albedo * factor)) * 2 - 1


def test_a_wrong_factor_of_light_counts_on_dark_skin_as_on_light_skin():
    dark, light = (low_light_loss(lit(albedo, 1.5), lit(albedo, 1.0), floor=1e-6).item() for albedo in (0.03, 0.6))
    assert dark == pytest.approx(torch.tensor(1.5).log().item(), rel=1e-3) == light
    kept = [low_light_loss(lit(albedo, 1.5), lit(albedo, 1.0)).item() for albedo in (0.03, 0.6)]
    pixels = [(lit(albedo, 1.5) - lit(albedo, 1.0)).abs().mean().item() for albedo in (0.03, 0.6)]
    assert kept[0] > 0.7 * kept[1] and pixels[0] < 0.4 * pixels[1], "in sRGB the same factor hardly counts where skin is dark"


def test_the_low_light_term_sees_means_of_patches_in_linear_light_and_nothing_finer():
    generator = torch.Generator().manual_seed(0)
    linear = 0.2 + 0.6 * torch.rand(2, 3, 64, 64, generator=generator)
    shuffled = linear.unflatten(2, (32, 2)).flip(3).flatten(2, 3)  # texels change their places within a patch of 2×2
    a, b = (linear_to_srgb(x) * 2 - 1 for x in (linear, shuffled))
    assert (a - b).abs().mean() > 0.1 and low_light_loss(a, b).item() == pytest.approx(0, abs=1e-4)
    assert low_light_loss(a, b, side=64) > 0.1
    assert low_light_loss(torch.full_like(a, -1.5), torch.full_like(a, -1.0)).item() == 0  # out of range is black


def test_the_invariance_term_compares_neighbours_and_no_one_else():
    a, b = images(0), images(1)
    both = torch.stack([a, b], 1).flatten(0, 1)  # a0 b0 a1 b1: each person's two textures next to each other
    swapped = torch.stack([b, a], 1).flatten(0, 1)
    assert invariance_loss(both).item() == pytest.approx(detail_loss(a, b).item(), rel=1e-5)
    assert invariance_loss(both).item() == pytest.approx(invariance_loss(swapped).item(), rel=1e-5)
    assert invariance_loss(torch.cat([a[:1], a[:1], b[:1], b[:1]])).item() == 0
    twins = both.clone().requires_grad_()
    invariance_loss(twins).backward()
    assert (twins.grad.abs().amax((1, 2, 3)) > 0).all(), "both captures move to each other"


def test_the_detail_term_counts_the_face_double_and_sees_every_scale():
    a, face = torch.zeros(1, 3, 64, 64), face_mask(64)[None]
    inside, outside = (a + 0.5 * where.round() for where in (face, 1 - face))
    size = face.round().mean() / (1 - face.round().mean())
    assert detail_loss(a, a) == 0
    assert detail_loss(inside, a) / detail_loss(outside, a) == pytest.approx(float(2 * size), rel=0.25)
    fine = 0.2 * torch.tensor([1.0, -1.0]).repeat(32)[None, None, None].expand(1, 3, 64, -1)
    assert detail_loss(fine, a) > 0.03 and detail_loss(a + 0.2, a).item() == pytest.approx(0.2, rel=0.05)


def test_any_callable_can_be_the_distance():
    a, b = images(0), images(1)
    seen = StudioDistance(lambda a, b, weight: (a - b).abs().mean((1, 2, 3)) * weight.mean())(a, b)
    assert seen.shape == (2,)
    assert torch.allclose(seen - laplacian_distance(a, b), (a - b).abs().mean((1, 2, 3)) / 2)


def test_the_other_captures_term_sees_the_low_band_but_not_its_level_nor_what_nobody_saw():
    generator = torch.Generator().manual_seed(0)
    linear = 0.2 + 0.3 * torch.rand(2, 3, 32, 32, generator=generator)
    expected, weight = log_light(linear_to_srgb(linear), 8), torch.rand(2, 1, 8, 8, generator=generator)
    same = linear_to_srgb(linear) * 2 - 1
    brighter = linear_to_srgb((linear + 0.01) * 1.5 - 0.01) * 2 - 1  # by one factor above the floor of the logarithm
    assert other_light_loss(same, expected, weight) < 1e-8 and other_light_loss(brighter, expected, weight) < 1e-6
    shaded = linear.clone()
    shaded[..., :16] *= 0.5
    shaded = linear_to_srgb(shaded) * 2 - 1
    assert other_light_loss(shaded, expected, weight) > 0.02
    weight[..., :4] = 0
    assert other_light_loss(shaded, expected, weight) < 1e-8
    warm = linear_to_srgb(linear * torch.tensor([1.2, 1.0, 0.8]).view(1, 3, 1, 1)) * 2 - 1
    assert other_light_loss(warm, expected, weight) > 0.01
