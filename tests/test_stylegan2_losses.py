"""Losses and augmentation against what they are defined to be."""

import math

import pytest
import torch

from studiolike.averages import ema_decay
from studiolike.stylegan2.augment import augment, colour, holes, translate
from studiolike.stylegan2.losses import (
    discriminator_loss,
    generator_loss,
    lazy,
    r1_gamma,
    r1_penalty,
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_two_players_have_the_cross_entropies():
    real, fake = torch.tensor([[0.3], [-1.0]]), torch.tensor([[2.0], [-0.5]])
    sure = torch.sigmoid
    assert discriminator_loss(real, fake).item() == pytest.approx(
        (-sure(real).log().mean() - (1 - sure(fake)).log().mean()).item(), rel=1e-5
    )
    assert generator_loss(fake).item() == pytest.approx(-sure(fake).log().mean().item(), rel=1e-5)


def test_r1_of_a_linear_discriminator_is_its_squared_norm():
    weight = torch.randn(3, 4, 4)
    real = torch.randn(5, 3, 4, 4)
    got = r1_penalty(lambda x: (x * weight).sum((1, 2, 3)), real)
    assert got.item() == pytest.approx(weight.square().sum().item(), rel=1e-5) and not real.requires_grad


def test_r1_reaches_the_discriminators_weights():
    layer = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 4), torch.nn.Softplus(), torch.nn.Linear(4, 1))
    r1_penalty(layer, torch.randn(2, 3, 2, 2)).backward()
    assert layer[1].weight.grad.abs().sum() > 0


def test_lazy_settings_keep_the_effective_rate_and_memory():
    settings = lazy(0.002, (0.0, 0.99), 16)
    assert settings["lr"] * 17 == pytest.approx(0.002 * 16)
    assert settings["betas"][1] ** 17 == pytest.approx(0.99**16) and settings["betas"][0] == 0


def test_the_r1_weight_follows_resolution_and_batch():
    assert r1_gamma(256, 32) == pytest.approx(0.4096)


def test_the_average_forgets_half_in_its_half_life_and_ramps_up():
    late = ema_decay(10**9, batch=16, half_life=5000)
    assert late ** (5000 / 16) == pytest.approx(0.5)
    assert ema_decay(0, 16, 5000) == 0 and ema_decay(1600, 16, 5000) < late


# -------------------------------------------------------------------------------------------- augmentation


def test_probability_zero_changes_nothing():
    rgb, visibility = torch.randn(2, 3, 16, 16), torch.ones(2, 1, 16, 16)
    got = augment(rgb, visibility, 0.0, seeded())
    assert got[0] is rgb and got[1] is visibility


def test_most_images_pass_unchanged_at_a_small_probability():
    rgb, visibility = torch.rand(400, 3, 16, 16), torch.ones(400, 1, 16, 16)
    out, seen = augment(rgb, visibility, 0.2, seeded())
    same = ((out - rgb).abs().amax((1, 2, 3)) < 1e-5) & ((seen - visibility).abs().amax((1, 2, 3)) == 0)
    assert same.float().mean().item() == pytest.approx(0.8**3, abs=0.12)


def test_translation_moves_image_and_map_together_and_brings_in_the_unobserved():
    x = torch.arange(1.0, 17).view(1, 1, 4, 4).repeat(2, 1, 1, 1)
    moved = translate(x, torch.tensor([[1, -1], [0, 0]]))
    assert torch.equal(moved[0, 0, 1:, :-1], x[0, 0, :-1, 1:]) and torch.equal(moved[1], x[1])
    assert moved[0, 0, 0].sum() == 0 and moved[0, 0, :, -1].sum() == 0


def test_cutout_makes_holes_in_the_visibility_only():
    rgb, visibility = torch.randn(8, 3, 16, 16), torch.ones(8, 1, 16, 16)
    _, seen = augment(rgb, visibility, 1.0, seeded())
    assert set(seen.unique().tolist()) == {0.0, 1.0} and (seen.mean((1, 2, 3)) < 1).all()
    square = holes(16, torch.tensor([[8.0, 8.0]]), 5)
    assert (1 - square).sum() in (16, 25, 20) and square[0, 0, 8, 8] == 0


def test_colour_changes_ignore_unobserved_texels():
    rgb, visibility = torch.rand(1, 3, 8, 8), torch.ones(1, 1, 8, 8)
    visibility[..., :4] = 0
    dirty = rgb.clone()
    dirty[..., :4] = 100.0
    factors = torch.zeros(1), torch.tensor([1.3]), torch.tensor([0.5])
    torch.testing.assert_close(colour(rgb, *factors, visibility)[..., 4:], colour(dirty, *factors, visibility)[..., 4:])


def test_augmentation_never_shows_a_texel_that_was_not_observed():
    rgb, visibility = torch.zeros(16, 3, 16, 16), torch.zeros(16, 1, 16, 16)
    visibility[..., 8:] = 1
    rgb[..., :8] = 1000.0  # a hole full of nonsense
    out, seen = augment(rgb, visibility, 1.0, seeded())
    assert (out * seen).abs().max() < 10


def test_augmentation_is_differentiable_twice():
    rgb, visibility = torch.randn(2, 3, 8, 8, dtype=torch.float64), torch.ones(2, 1, 8, 8, dtype=torch.float64)
    rgb.requires_grad_(True)

    def energy(x):
        out, seen = augment(x, visibility, 1.0, seeded(5))
        return (out * seen).square().sum()

    (slope,) = torch.autograd.grad(energy(rgb), rgb, create_graph=True)
    slope.square().sum().backward()
    assert torch.isfinite(rgb.grad).all() and rgb.grad.abs().sum() > 0
    assert math.isclose(energy(rgb).item(), energy(rgb).item())
