"""Metrics against values computed by hand or by other libraries, and their behaviour under masks."""

import math

import numpy as np
import pytest
import torch
from torchmetrics.functional.image import structural_similarity_index_measure

from studiolike.errors import InputError
from studiolike.evaluation import (
    KID,
    PooledFeatures,
    asymmetry,
    clustered_mean,
    colour_error,
    delta_e,
    faceid,
    gain_fitted,
    kid,
    low_band_error,
    perceptual,
    perceptual_judge,
    psnr,
    ssim,
    ssim_map,
    tone_gap,
    variance_over_lights,
    variance_ratio,
)
from studiolike.evaluation.masked import masked_blur, masked_mean
from studiolike.features import IdentityNet, PerceptualDistance
from studiolike.image import blur, lab_to_srgb, linear_to_srgb, srgb_to_lab, srgb_to_linear


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    target = noise(2, 3, 32, 32)
    return (target + 0.1 * noise(2, 3, 32, 32, seed=1)).clamp(0, 1), target


@pytest.fixture
def left() -> torch.Tensor:
    mask = torch.zeros(2, 1, 32, 32)
    mask[..., :16] = 1
    return mask


@pytest.fixture(scope="module")
def net() -> IdentityNet:
    return IdentityNet(resolution=32, widths=(8, 12, 16, 24), embedding=16, role="judge").eval()


def all_metrics(net) -> dict:
    return {
        "psnr": psnr,
        "ssim": ssim,
        "colour": colour_error,
        "perceptual": lambda o, t, m=None: perceptual(PerceptualDistance(net), o, t, m),
        "public perceptual": lambda o, t, m=None: perceptual(perceptual_judge(), o, t, m),
        "low band": lambda o, t, m=None: low_band_error(o, t, m)["low_band"],
        "fitted psnr": lambda o, t, m=None: psnr(gain_fitted(o, t, m), t, m),
    }


@pytest.mark.parametrize("name", ["psnr", "ssim", "colour", "perceptual", "public perceptual", "low band", "fitted psnr"])
def test_a_full_mask_is_no_mask_an_empty_one_is_nan_and_the_outside_never_counts(name, net, pair, left):
    metric, (output, target) = all_metrics(net)[name], pair
    torch.testing.assert_close(metric(output, target, torch.ones(2, 1, 32, 32)), metric(output, target))
    assert metric(output, target, 0 * left).isnan().all()
    elsewhere = torch.where(left > 0, output, 1 - output)
    torch.testing.assert_close(metric(elsewhere, target, left), metric(output, target, left))
    assert (metric(elsewhere, target) - metric(output, target)).abs().min() > 1e-4


def test_psnr_of_a_known_error():
    target = torch.full((1, 3, 8, 8), 0.5)
    output = target.clone()
    output[..., :4] += 0.1
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., :4] = 1
    torch.testing.assert_close(psnr(output, target), torch.tensor([10 * math.log10(2 / 0.01)]))
    torch.testing.assert_close(psnr(output, target, mask), torch.tensor([20.0]))
    assert psnr(target, target).isinf().all() and psnr(target, target, mask).isinf().all()


def test_the_gain_fit_undoes_exposure_and_white_balance_and_nothing_else():
    target = 0.2 + 0.4 * noise(2, 3, 16, 16)
    gain = torch.tensor([0.5, 0.7, 0.9]).view(3, 1, 1)
    dark = linear_to_srgb(srgb_to_linear(target) * gain)
    torch.testing.assert_close(gain_fitted(dark, target), target, atol=1e-4, rtol=0)
    assert psnr(dark, target).max() < 25 < 60 < psnr(gain_fitted(dark, target), target).min()
    side_lit = linear_to_srgb(srgb_to_linear(target) * torch.linspace(0.3, 1, 16))
    assert psnr(gain_fitted(side_lit, target), target).max() < 30


def test_the_low_band_error_sees_light_and_colour_but_no_detail():
    flat = torch.full((1, 3, 256, 256), 0.5)
    light = srgb_to_linear(flat)
    grain = linear_to_srgb(light * (1 + 0.5 * (noise(1, 3, 256, 256) - 0.5)))
    brighter = linear_to_srgb(light * 1.1)
    redder = linear_to_srgb(light * torch.tensor([1.1, 1.0, 1.0]).view(3, 1, 1))
    assert low_band_error(grain, flat)["low_band"].item() < 0.012
    torch.testing.assert_close(
        low_band_error(brighter, flat)["low_band_luminance"], torch.tensor([math.log(1.1)]), atol=2e-3, rtol=0
    )
    assert low_band_error(brighter, flat)["low_band_chroma"].item() < 1e-3
    chroma = math.log(1.1) / 2**0.5  # one of the two log ratios is off
    torch.testing.assert_close(low_band_error(redder, flat)["low_band_chroma"], torch.tensor([chroma]), atol=2e-3, rtol=0)
    half = [low_band_error(x[..., ::2, ::2], flat[..., ::2, ::2])["low_band"].item() for x in (brighter, redder)]
    assert half == pytest.approx([low_band_error(x, flat)["low_band"].item() for x in (brighter, redder)], rel=1e-2)


def test_the_judges_see_detail_that_64_texels_cannot_hold(pair):
    smooth = torch.nn.functional.interpolate(0.3 + 0.3 * noise(6, 3, 16, 16), (256, 256), mode="bicubic")
    fine = 0.1 * (noise(6, 3, 256, 256, seed=1) - 0.5)
    fine = fine - torch.nn.functional.avg_pool2d(fine, 4).repeat_interleave(4, 2).repeat_interleave(4, 3)
    grainy = smooth + fine
    small = [torch.nn.functional.avg_pool2d(x, 4) for x in (grainy, smooth)]
    torch.testing.assert_close(*small, atol=1e-5, rtol=0)  # at 64² there is nothing to see
    blurred = perceptual(perceptual_judge(), blur(smooth, 1.0), smooth)
    assert (perceptual(perceptual_judge(), grainy, smooth) > 3 * blurred).all()
    features = PooledFeatures()
    floor = kid(features, smooth[:3].repeat(2, 1, 1, 1), smooth[3:].repeat(2, 1, 1, 1), subset_size=4)
    assert kid(features, grainy, smooth, subset_size=4).mean > 3 * abs(floor.mean)


def test_a_partly_seen_texel_counts_by_its_weight():
    x = torch.tensor([[[[1.0, 0.0]]]])
    torch.testing.assert_close(masked_mean(x, torch.tensor([[[[0.25, 0.75]]]])), torch.tensor([0.25]))


def test_ssim_agrees_with_torchmetrics_away_from_the_border(pair):
    output, target = pair
    reference = structural_similarity_index_measure(output, target, data_range=1.0, reduction="none")
    torch.testing.assert_close(ssim_map(output, target)[..., 5:-5, 5:-5].mean((1, 2, 3)), reference, atol=2e-4, rtol=0)


def test_ssim_is_one_for_equals_and_low_for_the_negative(pair):
    output, _ = pair
    torch.testing.assert_close(ssim(output, output), torch.ones(2))
    assert ssim(output, 1 - output).max() < 0


def test_faceid_matches_its_formula_and_sees_only_what_is_visible(net, pair, left):
    output, target = pair
    result = faceid(net, output, target, left)
    torch.testing.assert_close(result["mse"], 2 * (1 - result["cosine"]) / 16, atol=1e-7, rtol=1e-4)
    elsewhere = torch.where(left > 0, target, 1 - target)
    torch.testing.assert_close(faceid(net, elsewhere, target, left)["cosine"], torch.ones(2))
    assert faceid(net, elsewhere, target)["cosine"].max() < 1


# Sharma, Wu, Dalal 2005, table 1: pairs that exercise every branch of the formula
SHARMA = [
    ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
    ((50.0, -1.3802, -84.2814), (50.0, 0.0, -82.7485), 1.0000),
    ((50.0, 0.0, 0.0), (50.0, -1.0, 2.0), 2.3669),
    ((50.0, 2.4900, -0.0010), (50.0, -2.4900, 0.0009), 7.1792),
    ((50.0, 2.4900, -0.0010), (50.0, -2.4900, 0.0011), 7.2195),
    ((50.0, -0.0010, 2.4900), (50.0, 0.0009, -2.4900), 4.8045),
    ((50.0, 2.5, 0.0), (73.0, 25.0, -18.0), 27.1492),
    ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ((22.7233, 20.0904, -46.6940), (23.0331, 14.9730, -42.5619), 2.0373),
    ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
]


@pytest.mark.parametrize(("first", "second", "expected"), SHARMA)
def test_delta_e_agrees_with_the_published_test_data(first, second, expected):
    colours = [torch.tensor(c, dtype=torch.float64)[None] for c in (first, second)]
    assert delta_e(*colours).item() == pytest.approx(expected, abs=1e-4)
    assert delta_e(*colours[::-1]).item() == pytest.approx(expected, abs=1e-4)


def test_lab_agrees_with_scikit_image_and_comes_back():
    from skimage.color import rgb2lab

    rgb = noise(1, 3, 8, 8)
    expected = torch.from_numpy(rgb2lab(rgb[0].permute(1, 2, 0).numpy())).permute(2, 0, 1)[None]
    torch.testing.assert_close(srgb_to_lab(rgb), expected.float(), atol=0.05, rtol=0)
    torch.testing.assert_close(lab_to_srgb(srgb_to_lab(rgb)), rgb, atol=1e-3, rtol=0)
    assert srgb_to_lab(torch.ones(1, 3, 1, 1)).flatten().tolist() == pytest.approx([100, 0, 0], abs=1e-2)


def test_colour_error_ignores_fine_detail_but_not_a_cast():
    flat = torch.full((1, 3, 64, 64), 0.5)
    grain = linear_to_srgb((srgb_to_linear(flat) + 0.1 * (noise(1, 3, 64, 64) - 0.5)).clamp(0, 1))
    cast = flat * torch.tensor([1.1, 1.0, 0.9]).view(1, 3, 1, 1)
    assert colour_error(grain, flat).item() < 1.5 < 5 < colour_error(cast, flat).item()


def test_the_tone_gap_is_the_ratio_of_the_worst_to_the_best_group():
    assert tone_gap(torch.tensor([1.0, 3.0, 4.0, float("nan")]), torch.tensor([0, 0, 1, 1])) == 2


def test_a_blur_keeps_constants_and_wraps_around_the_back_of_the_head():
    x, mask = torch.full((1, 2, 16, 16), 0.3), (noise(1, 1, 16, 16) > 0.5).float()
    torch.testing.assert_close(masked_blur(x, mask, 2.0), x)
    dot = torch.zeros(1, 1, 16, 16)
    dot[..., 8, 0] = 1
    blurred = blur(dot, 1.0)[0, 0]
    torch.testing.assert_close(blurred[8, 1], blurred[8, -1])
    torch.testing.assert_close(blurred.sum(), torch.tensor(1.0), atol=1e-4, rtol=0)


def test_asymmetry_measures_a_known_side_light():
    albedo = 0.2 + 0.3 * noise(1, 3, 64, 64)
    albedo = (albedo + albedo.flip(-1)) / 2
    gain = torch.exp(0.2 * torch.linspace(-1, 1, 64).tanh())
    lit = linear_to_srgb((srgb_to_linear(albedo) * gain).clamp(0, 1))
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 16:48] = 1
    assert asymmetry(albedo, mask).item() < 1e-3
    expected = (2 * 0.2 * torch.linspace(-1, 1, 64).tanh()[16:48]).square().mean().sqrt()
    assert asymmetry(lit, mask).item() == pytest.approx(expected.item(), rel=0.1)
    assert asymmetry(lit.flip(-1), mask).item() == pytest.approx(asymmetry(lit, mask).item(), rel=1e-4)


def test_variance_over_lights_is_computed_per_subject_on_shared_texels():
    textures = torch.tensor([0.2, 0.4, 0.5, 0.5, 0.9]).view(5, 1, 1, 1).expand(5, 3, 4, 4).clone()
    mask = torch.ones(5, 1, 4, 4)
    mask[0, :, 0] = 0
    textures[0, :, 0] = 1.0  # garbage in a hole
    variance, ids = variance_over_lights(textures, torch.tensor([7, 7, 9, 9, 11]), mask)
    assert ids.tolist() == [7, 9, 11]
    torch.testing.assert_close(variance[:2], torch.tensor([0.02, 0.0]))
    assert variance[2].isnan()


def test_the_variance_ratio_is_one_for_a_copy_and_zero_for_a_constant():
    inputs, subject = noise(6, 3, 8, 8), torch.tensor([0, 0, 0, 1, 1, 1])
    torch.testing.assert_close(variance_ratio(inputs, inputs, subject)[0], torch.ones(2))
    torch.testing.assert_close(variance_ratio(0.5 * inputs, inputs, subject)[0], torch.full((2,), 0.25))
    assert variance_ratio(0 * inputs, inputs, subject)[0].max() == 0


def test_kid_is_about_zero_for_two_halves_large_for_another_domain_and_negative_for_copies(net):
    features = PooledFeatures(net)
    one, two = noise(40, 3, 32, 32), noise(40, 3, 32, 32, seed=1)
    same = kid(features, one, two)
    other = kid(features, blur(one, 1.0), two)
    copies = kid(features, one, one, subset_size=40)
    assert abs(same.mean) < 3 * same.std + 1e-6 and other.mean > 20 * abs(same.mean)
    assert copies.mean < 0
    assert same == kid(features, one, two) and same != kid(features, one, two, seed=1)


def test_kid_agrees_with_the_estimator_written_out(net):
    x, y = noise(12, 5).double(), noise(12, 5, seed=1).double()
    kernel = lambda a, b: (a @ b.T / 5 + 1) ** 3  # noqa: E731
    off = ~torch.eye(12, dtype=bool)
    expected = kernel(x, x)[off].mean() + kernel(y, y)[off].mean() - 2 * kernel(x, y).mean()
    result = kid(torch.nn.Identity(), x, y, subset_size=12)
    assert result.mean == pytest.approx(expected.item(), rel=1e-9) and result.std < 1e-12


def test_kid_does_not_touch_the_global_generator_and_refuses_too_small_sets(net):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    kid(PooledFeatures(net), noise(6, 3, 32, 32), noise(6, 3, 32, 32, seed=1))
    assert torch.rand(1) == expected
    with pytest.raises(InputError, match="at least 4"):
        kid(PooledFeatures(net), noise(3, 3, 32, 32), noise(9, 3, 32, 32))
    with pytest.raises(InputError, match="subset size 9"):
        kid(PooledFeatures(net), noise(8, 3, 32, 32), noise(9, 3, 32, 32), subset_size=9)
    assert str(KID(0.00142, 0.0002, 10, 5)) == "1.42e-03 ± 2e-04"


def test_the_bootstrap_interval_covers_the_truth_about_as_often_as_it_says():
    rng, hits = np.random.default_rng(0), 0
    cluster = np.repeat(np.arange(25), 4)
    for k in range(200):
        values = 3 + np.repeat(rng.normal(size=25), 4) + 0.3 * rng.normal(size=100)
        estimate = clustered_mean(values, cluster, seed=k, draws=400)
        hits += estimate.low <= 3 <= estimate.high
    assert 0.87 <= hits / 200 <= 0.99


def test_captures_of_one_subject_are_not_taken_for_independent():
    rng = np.random.default_rng(1)
    values, subjects = np.repeat(rng.normal(size=20), 10), np.repeat(np.arange(20), 10)
    wide, narrow = clustered_mean(values, subjects), clustered_mean(values, np.arange(200))
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)
    assert wide.mean == narrow.mean and wide.subjects == 20 and wide.n == 200


def test_missing_values_and_single_subjects_are_told_apart():
    estimate = clustered_mean(np.array([1.0, np.nan, 3.0]), np.array([0, 1, 2]))
    assert estimate.mean == 2 and estimate.n == 2 and estimate.subjects == 2
    assert clustered_mean(np.array([1.0, 2.0]), np.array([5, 5])).high == np.inf
    assert math.isnan(clustered_mean(np.array([np.nan]), np.array([0])).mean)
