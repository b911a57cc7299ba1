"""The gradient field that guides the detailer: what passes through it, and what must not."""

import pytest
import torch

from studiolike.detail.guidance import (
    differences,
    divergence,
    gradients,
    impose_gradients,
    normalise,
    pair_mask,
    screened_poisson,
)
from studiolike.errors import InputError
from studiolike.image import linear_to_srgb, luminance, srgb_to_linear


@pytest.fixture
def albedo():
    """A smooth-ish random linear albedo (1, 3, 32, 32) in [0.1, 0.5]."""
    rough = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(rough, 32, mode="bicubic").clamp(0, 1) * 0.4 + 0.1


def correlation(a, b):
    return float(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1])


def test_the_log_gradient_ignores_a_constant_light_and_the_raw_gradient_too_but_not_a_varying_one(albedo):
    seen = torch.ones(1, 1, 32, 32)
    plain, _ = gradients(linear_to_srgb(albedo), seen)
    for light in (0.2, 1.7):
        lit, _ = gradients(linear_to_srgb(albedo * light), seen)
        assert torch.allclose(lit, plain, atol=2e-4)
    shading = torch.linspace(0.4, 1.5, 32).view(1, 1, 1, 32)
    log, _ = gradients(linear_to_srgb(albedo * shading), seen)
    raw, _ = gradients(linear_to_srgb(albedo * shading), seen, kind="raw")
    assert correlation(log, plain) > 0.99
    assert correlation(raw, plain) < correlation(log, plain) - 0.02


def test_the_field_is_exactly_zero_in_and_around_holes_and_untouched_elsewhere(albedo):
    texture = linear_to_srgb(albedo)
    seen = torch.ones(1, 1, 32, 32)
    seen[..., 10:16, 12:20] = 0
    black = texture * seen  # the hole's rim is now a giant edge
    field, mask = gradients(black, seen, border=2)
    assert field[..., 8:18, 10:22].abs().max() == 0
    # a difference that leaves the trusted area is dropped as well
    assert field[:, 0, 12, 9].abs().max() == 0 and field[:, 1, 7, 14].abs().max() == 0
    assert mask[..., 8:18, 10:22].max() == 0 and mask[..., :8, :].min() == 1
    free, _ = gradients(texture, torch.ones_like(seen))
    assert correlation(field[..., :7, :], free[..., :7, :]) > 0.999


def test_black_texels_and_wholly_unobserved_textures_stay_finite():
    texture = torch.zeros(2, 3, 16, 16)
    texture[1, :, ::2] = 1
    field, mask = gradients(texture, torch.stack([torch.zeros(1, 16, 16), torch.ones(1, 16, 16)]))
    assert torch.isfinite(normalise(field, 0.03)).all()
    assert field[0].abs().max() == 0 and mask[0].max() == 0
    assert normalise(field, 0.03).abs().max() < 10  # black against white is compressed, not dominant


def test_compression_keeps_sign_and_zero():
    field = torch.tensor([-1.0, -0.01, 0.0, 0.01, 1.0])
    assert torch.equal(normalise(field, 0.03).sign(), field.sign())
    assert normalise(torch.tensor(0.003), 0.03) == pytest.approx(0.1, rel=0.01)


def test_divergence_is_minus_the_adjoint_of_the_differences():
    rng = torch.Generator().manual_seed(1)
    image = torch.randn(2, 1, 9, 7, generator=rng)
    field = torch.randn(2, 2, 9, 7, generator=rng)
    assert torch.allclose((differences(image) * field).sum(), -(image * divergence(field)).sum(), atol=1e-4)


def test_screened_poisson_solves_its_equation_and_keeps_the_mean():
    rng = torch.Generator().manual_seed(2)
    image, truth = torch.randn(2, 1, 1, 24, 20, generator=rng)
    mask = torch.ones(1, 1, 24, 20)
    mask[..., 5:12, 5:12] = 0
    field, screen = differences(truth), 0.05
    solved = screened_poisson(image, field, mask, screen)
    wanted = pair_mask(mask) * field + (1 - pair_mask(mask)) * differences(image)
    left = screen * solved - divergence(differences(solved))
    assert torch.allclose(left, screen * image - divergence(wanted), atol=1e-4)
    assert torch.allclose(solved.mean(), image.mean(), atol=1e-5)


def test_screened_poisson_recovers_an_image_from_its_gradients():
    truth = torch.randn(1, 1, 16, 16, generator=torch.Generator().manual_seed(3))
    start = truth.mean().expand_as(truth)
    solved = screened_poisson(start, differences(truth), torch.ones_like(truth), screen=1e-6)
    assert torch.allclose(solved, truth, atol=1e-3)


def test_imposing_the_gradients_of_a_lit_texture_brings_back_its_detail_but_not_its_light(albedo):
    flat = linear_to_srgb(torch.nn.functional.avg_pool2d(albedo, 9, 1, 4, count_include_pad=False))
    shading = torch.linspace(0.4, 1.4, 32).view(1, 1, 1, 32)
    field, mask = gradients(linear_to_srgb(albedo * shading), torch.ones(1, 1, 32, 32), border=0)
    result = impose_gradients(flat, field, mask)
    truth = linear_to_srgb(albedo)
    light, wanted, before = (luminance(srgb_to_linear(x)) for x in (result, truth, flat))
    assert (light - wanted).square().mean() < 0.35 * (before - wanted).square().mean()
    assert torch.allclose(impose_gradients(flat, *gradients(flat, torch.ones(1, 1, 32, 32), border=0)), flat, atol=1e-4)


def test_unknown_kinds_and_shapes_that_do_not_fit_are_refused(albedo):
    with pytest.raises(InputError, match="kind"):
        gradients(albedo, torch.ones(1, 1, 32, 32), kind="sobel")
    with pytest.raises(InputError, match="fit"):
        gradients(albedo, torch.ones(1, 1, 16, 16))
