"""W+ inversion: what may influence a code and what may not."""

import pytest
import torch

from studiolike.config import InversionConfig
from studiolike.errors import InputError
from studiolike.image import from_signed
from studiolike.inversion import WPrior, frozen, invert, observed_psnr, pyramid_distance, resize_observed
from studiolike.stylegan2 import Discriminator, Generator

TINY = dict(resolution=16, channel_base=64, channel_max=16)
CONFIG = InversionConfig(steps=12, lr=0.1, batch=3)


@pytest.fixture(scope="module")
def generator():
    torch.manual_seed(0)
    return Generator(**TINY, w_dim=16, mapping_layers=2).eval()


@pytest.fixture(scope="module")
def discriminator():
    torch.manual_seed(1)
    return Discriminator(**TINY).eval()


@pytest.fixture(scope="module")
def captures(generator):
    rng = torch.Generator().manual_seed(2)
    with torch.no_grad():
        texture = from_signed(
            generator.synthesis(
                generator.mapping(torch.randn(3, 16, generator=rng))[:, None].expand(-1, generator.num_ws, -1), noise="const"
            )
        )
    visibility = torch.ones(3, 1, 16, 16)
    visibility[:, :, :, 10:] = 0
    visibility[1, :, :5] = 0.5
    return texture, visibility


def test_texels_nobody_observed_do_not_influence_the_codes(generator, discriminator, captures):
    texture, visibility = captures
    other = torch.where(visibility > 0, texture, torch.rand(texture.shape))
    other[0, :, 0, 12] = float("nan")
    a = invert(generator, texture, visibility, CONFIG, feature_net=discriminator)
    b = invert(generator, other, visibility, CONFIG, feature_net=discriminator)
    assert torch.equal(a.w_plus, b.w_plus)
    seen = texture.clone()
    seen[:, :, 3, 3] = 1 - seen[:, :, 3, 3]
    assert not torch.equal(a.w_plus, invert(generator, seen, visibility, CONFIG, feature_net=discriminator).w_plus)


def test_a_code_does_not_depend_on_its_neighbours_in_the_batch(generator, discriminator, captures):
    texture, visibility = captures
    together = invert(generator, texture, visibility, CONFIG, feature_net=discriminator).w_plus
    for i in range(3):
        alone = invert(generator, texture[i : i + 1], visibility[i : i + 1], CONFIG, feature_net=discriminator).w_plus
        assert torch.allclose(together[i : i + 1], alone, atol=2e-3), (together[i : i + 1] - alone).abs().max()


def test_inversion_improves_the_picture_and_leaves_the_generator_alone(generator, discriminator, captures):
    texture, visibility = captures
    before = {k: v.clone() for k, v in generator.state_dict().items()}
    result = invert(generator, texture, visibility, InversionConfig(steps=40), feature_net=discriminator)
    assert (result.psnr_observed > result.history["psnr"][0] + 6).all()
    assert result.history["psnr"].shape == (40, 3)
    assert result.w_plus.shape == (3, generator.num_ws, 16) and not result.w_plus.requires_grad
    assert all(torch.equal(before[k], v) for k, v in generator.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in generator.parameters())
    measured = observed_psnr(result.reconstruction * 2 - 1, texture * 2 - 1, visibility)
    assert torch.allclose(result.psnr_observed, measured, atol=1e-3)


def test_inversion_works_inside_inference_mode(generator, captures):
    outside = invert(generator, *captures, CONFIG).w_plus
    with torch.inference_mode():
        assert torch.equal(invert(generator, *captures, CONFIG).w_plus, outside)


def test_space_w_gives_one_vector_for_all_layers_and_w_plus_reconstructs_better(generator, captures):
    config = InversionConfig(steps=30, prior=0.0)
    noise = torch.rand(captures[0].shape, generator=torch.Generator().manual_seed(0))
    one = invert(generator, noise, captures[1], config, space="w")
    many = invert(generator, noise, captures[1], config, space="w+")
    assert torch.equal(one.w_plus, one.w_plus[:, :1].expand_as(one.w_plus))
    assert not torch.equal(many.w_plus, many.w_plus[:, :1].expand_as(many.w_plus))
    assert many.psnr_observed.mean() > one.psnr_observed.mean()


def test_a_strong_prior_keeps_codes_near_the_mean(generator, captures):
    prior = WPrior.from_generator(generator, 256)
    free = invert(generator, *captures, InversionConfig(steps=20, prior=0.0), prior=prior)
    held = invert(generator, *captures, InversionConfig(steps=20, prior=10.0), prior=prior)
    assert (prior.energy(held.w_plus) < 0.5 * prior.energy(free.w_plus)).all()


def test_start_codes_are_where_the_search_begins(generator, captures):
    found = invert(generator, *captures, InversionConfig(steps=20))
    again = invert(generator, *captures, InversionConfig(steps=1, lr=1e-6), start=found.w_plus)
    assert torch.allclose(again.w_plus, found.w_plus, atol=1e-4)


def test_an_empty_visibility_map_gives_the_mean_and_no_psnr(generator, captures):
    result = invert(generator, captures[0], torch.zeros_like(captures[1]), CONFIG)
    assert result.psnr_observed.isnan().all() and torch.isfinite(result.w_plus).all()


def test_wrong_input_is_refused_with_the_fix(generator, captures):
    texture, visibility = captures
    with pytest.raises(InputError, match="image.resize"):
        invert(generator, texture[..., :8], visibility, CONFIG)
    with pytest.raises(InputError, match="visibility"):
        invert(generator, texture, visibility[:1], CONFIG)
    with pytest.raises(InputError, match="space"):
        invert(generator, texture, visibility, CONFIG, space="z")
    with pytest.raises(InputError, match="nan"):
        invert(generator, texture * float("nan"), visibility, CONFIG)


def test_the_prior_whitens_the_mapping_networks_output(generator):
    prior = WPrior.from_generator(generator, 4096)
    w = prior.sample(4096, torch.Generator().manual_seed(3))
    assert prior.energy(w[:, None]).mean().item() == pytest.approx(1, abs=0.1)
    assert prior.energy(prior.mean.expand(1, 1, -1)).item() == pytest.approx(0, abs=1e-6)
    assert torch.allclose(prior.basis.T @ prior.basis, torch.eye(16), atol=1e-4)


def test_whitening_is_undone_exactly(generator):
    prior, w = WPrior.from_generator(generator, 256), torch.randn(2, 6, 16)
    assert torch.allclose(prior.unwhiten(prior.whiten(w)), w, atol=1e-4)


def test_pyramid_distance_is_the_weighted_error_at_the_finest_level():
    a, b = torch.rand(2, 3, 16, 16), torch.rand(2, 3, 16, 16)
    visibility = torch.rand(2, 1, 16, 16)
    _, finest = pyramid_distance(a, b, visibility)
    expected = (visibility * (a - b).square()).mean(1).sum((1, 2)) / visibility.sum((1, 2, 3))
    assert torch.allclose(finest, expected, rtol=1e-4)
    constant, _ = pyramid_distance(a * 0, a * 0 + 0.5, visibility)  # a constant error survives every level
    assert torch.allclose(constant, torch.full((2,), 0.25), rtol=1e-3)


def test_resizing_with_visibility_keeps_unobserved_colour_out():
    texture, visibility = torch.full((1, 3, 32, 32), 0.7), torch.ones(1, 1, 32, 32)
    visibility[..., 15:] = 0
    texture[..., 15:] = 0
    small, seen = resize_observed(texture, visibility, 16)
    assert torch.allclose(small[..., :8], torch.full((1, 3, 16, 8), 0.7), atol=1e-5)
    assert seen[0, 0, 0].tolist() == [1.0] * 7 + [0.5] + [0.0] * 8


def test_frozen_restores_flags_and_modes(generator):
    generator.train()
    first = next(generator.parameters())
    with frozen(generator, None, len):
        assert not first.requires_grad and not generator.training
    assert first.requires_grad and generator.training
    generator.eval()
