"""Arithmetic of pictures: known values, ranges that hold, and no sample that changes with its neighbours in the batch."""

import pytest
import torch
from scipy.ndimage import gaussian_filter
from skimage import color

from studiolike.image import (
    blur,
    fill_unobserved,
    lab_to_srgb,
    linear_to_srgb,
    luminance,
    relight,
    resize,
    srgb_to_lab,
    srgb_to_linear,
)


def noise(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


ALONE = {
    "blur": lambda x: blur(x, 1.3),
    "a wide blur": lambda x: blur(x, 9.0),
    "a blur of its own width": lambda x: blur(x, 0.5 + 2 * x[:, 0, 0, 0]),
    "resize up": lambda x: resize(x, 100),
    "resize by a whole factor": lambda x: resize(x, 16),
    "resize down": lambda x: resize(x, 24),
    "relight": lambda x: relight(x, 0.5 + x[:, :1]),
    "Lab": srgb_to_lab,
    "Lab and back": lambda x: lab_to_srgb(srgb_to_lab(x)),
    "luminance": luminance,
    "fill": lambda x: fill_unobserved(x, (x[:, :1] > 0.4).float()),
}


@pytest.mark.parametrize("name", ALONE)
def test_a_sample_does_not_depend_on_its_neighbours_in_the_batch(name):
    wide = noise(3, 3, 64, 64)  # a wide range, which the middle one must not see
    dull = 0.3 + 0.4 * (wide[1:2] > 0.5).float()  # edges overshoot in a bicubic enlargement, beyond the sample's own range
    batch = torch.cat([wide[:1], dull, wide[2:]])
    torch.testing.assert_close(ALONE[name](batch)[1:2], ALONE[name](dull), atol=1e-6, rtol=0)


def test_a_blur_is_the_gaussian_of_scipy_with_the_seam_closed():
    x = noise(2, 3, 64, 64)
    smooth = torch.tensor(gaussian_filter(x.numpy(), (0, 0, 8, 8), mode=("nearest", "nearest", "nearest", "wrap")))
    for values, sigma, tolerance in ((x, 0.7, 1e-3), (x, 4.0, 2e-3), (smooth, 12.0, 1e-2)):
        axes = (0, 0, sigma, sigma)
        wanted = gaussian_filter(values.numpy(), axes, mode=("nearest", "nearest", "nearest", "wrap"), truncate=6)
        torch.testing.assert_close(blur(values, sigma), torch.tensor(wanted), atol=tolerance, rtol=0)
    torch.testing.assert_close(blur(x, 12.0).roll(5, -1), blur(x.roll(5, -1), 12.0), atol=0.02, rtol=0)


def test_a_blur_of_several_widths_is_the_blurs_of_each():
    x = noise(2, 3, 32, 32)
    both = blur(x, torch.tensor([0.6, 2.0]))
    torch.testing.assert_close(both[:1], blur(x[:1], 0.6), atol=1e-3, rtol=0)
    torch.testing.assert_close(both[1:], blur(x[1:], 2.0), atol=1e-5, rtol=0)
    torch.testing.assert_close(blur(x, torch.zeros(2)), x)


def test_lab_is_that_of_skimage():
    x = noise(2, 3, 8, 8, seed=3)
    wanted = torch.tensor(color.rgb2lab(x.double().numpy(), channel_axis=1))
    torch.testing.assert_close(srgb_to_lab(x).double(), wanted, atol=0.02, rtol=0)


def test_relighting_multiplies_linear_light():
    x = noise(1, 3, 8, 8) * 0.7
    torch.testing.assert_close(srgb_to_linear(relight(x, torch.tensor(0.5))), srgb_to_linear(x) / 2, atol=1e-6, rtol=0)
    assert relight(x, torch.tensor(100.0)).max() == pytest.approx(1, abs=1e-6)


def test_srgb_and_linear_are_inverse_and_monotone():
    x = torch.linspace(0, 1, 1001)
    assert torch.allclose(linear_to_srgb(srgb_to_linear(x)), x, atol=1e-5)
    assert (srgb_to_linear(x).diff() > 0).all()
    assert abs(float(srgb_to_linear(torch.tensor(0.5))) - 0.21404) < 1e-4  # IEC 61966-2-1


def test_reducing_by_a_whole_factor_keeps_the_mean_and_any_resize_keeps_the_range():
    x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(resize(x, 16).mean((2, 3)), x.mean((2, 3)), atol=1e-6)
    for size in (24, 100, 128):
        assert resize(x, size).shape == (2, 3, size, size)
        assert resize(x, size).min() >= x.min() and resize(x, size).max() <= x.max()


def test_filling_leaves_observed_texels_and_continues_a_constant():
    texture = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    visibility = torch.ones(1, 1, 32, 32)
    visibility[..., 8:20, 8:20] = 0
    filled = fill_unobserved(texture, visibility)
    seen = visibility.expand_as(texture) > 0
    assert torch.allclose(filled[seen], texture[seen], atol=1e-6)
    flat = fill_unobserved(torch.full_like(texture, 0.3) * visibility, visibility)
    assert torch.allclose(flat, torch.full_like(flat, 0.3), atol=1e-5)
    assert torch.isfinite(fill_unobserved(texture, torch.zeros_like(visibility))).all()
