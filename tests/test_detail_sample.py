"""The detailer's network and sampler: any size, any batch, one seed one result, colours that stay."""

import pytest
import torch

from studiolike.detail import Detailer, colour_shift, detail, make_scheduler
from studiolike.detail.model import bands, blur, from_bands, low_frequencies, precondition, upsample
from studiolike.errors import InputError


@pytest.fixture(scope="module")
def model():
    """A tiny detailer with random weights, so that it draws strong (meaningless) detail."""
    torch.manual_seed(0)
    model = Detailer(channels=(8, 16), groups=4, low_resolution=16, resolution=64, residual_scale=0.04)
    torch.nn.init.normal_(model.unet.conv_out.weight, std=0.1)
    return model.eval()


def inputs(batch=2, low=16, full=64):
    rng = torch.Generator().manual_seed(5)
    coarse = 0.3 + 0.4 * torch.rand(batch, 3, low, low, generator=rng)
    phone = 0.3 + 0.4 * torch.rand(batch, 3, full, full, generator=rng)
    seen = (torch.rand(batch, 1, full, full, generator=rng) > 0.001).float()
    return coarse, phone, seen


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("scheduler", ["ddim", "dpm++"])
def test_one_seed_gives_one_result_and_another_seed_another(model, scheduler):
    first, again, other = (detail(model, *inputs(), steps=3, generator=seeded(s), scheduler=scheduler) for s in (0, 0, 1))
    assert torch.equal(first, again)
    assert (first - other).abs().mean() > 1e-3
    assert torch.isfinite(first).all() and first.min() >= 0 and first.max() <= 1


def test_a_texture_s_result_does_not_depend_on_its_batch(model):
    coarse, phone, seen = inputs(3)
    together = detail(model, coarse, phone, seen, steps=3, generator=seeded())
    alone = detail(model, coarse[1:2], phone[1:2], seen[1:2], steps=3, generator=seeded())
    assert torch.allclose(together[1:2], alone, atol=1e-5)
    each = detail(model, coarse, phone, seen, steps=3, generator=[seeded(s) for s in (7, 0, 9)])
    assert torch.allclose(each[1:2], alone, atol=1e-5)
    with pytest.raises(InputError, match="generators"):
        detail(model, coarse, phone, seen, steps=1, generator=[seeded()])


@pytest.mark.parametrize(("low", "full"), [(16, 96), (10, 50), (32, 32), (12, 33)])
def test_it_runs_at_sizes_it_was_not_trained_at(model, low, full):
    result = detail(model, *inputs(1, low, full), steps=2, generator=seeded())
    assert result.shape == (1, 3, full, full) and torch.isfinite(result).all()


@pytest.mark.parametrize("extra", [{}, {"guidance_scale": 2.0}, {"poisson": 1.0}, {"scheduler": "dpm++"}])
def test_low_frequencies_and_mean_colour_stay_those_of_the_coarse_texture(model, extra):
    coarse, phone, seen = inputs()
    result = detail(model, coarse, phone, seen, steps=3, generator=seeded(), **extra)
    full = upsample(coarse, (64, 64))
    assert (result - full).abs().mean() > 0.005, "the random network should draw something"
    width = 2 * model.config.lock
    drift = low_frequencies(result - full, (16, 16), width).abs().max()
    assert drift < 0.015
    assert (result - full).mean((2, 3)).abs().max() < 2e-3
    assert colour_shift(result, full.clamp(0, 1)).max() < 0.6


def test_the_colour_shift_of_a_known_cast_is_the_distance_of_lab_chroma():
    grey = torch.full((1, 3, 8, 8), 0.5)
    red = torch.zeros(1, 3, 8, 8)
    red[:, 0] = 1
    assert colour_shift(grey, grey) == 0
    # sRGB red has a* = 80.1, b* = 67.2 (CIE 1976, D65)
    assert float(colour_shift(red, grey)) == pytest.approx((80.1**2 + 67.2**2) ** 0.5, abs=0.5)


def test_guidance_zero_ignores_the_phone_and_guidance_one_does_not(model):
    coarse, phone, seen = inputs()
    other = phone.flip(3)
    for scale, same in ((0.0, True), (1.0, False), (1.5, False)):
        a, b = (detail(model, coarse, p, seen, steps=2, guidance_scale=scale, generator=seeded()) for p in (phone, other))
        assert torch.equal(a, b) == same


def test_the_phone_s_colour_and_exposure_cannot_pass(model):
    coarse, phone, seen = inputs()
    from studiolike.image import linear_to_srgb, srgb_to_linear

    darker = linear_to_srgb(srgb_to_linear(phone) * 0.4)
    a, b = (detail(model, coarse, p, seen, steps=2, generator=seeded()) for p in (phone, darker))
    assert torch.allclose(a, b, atol=2e-3)


def test_the_poisson_step_pulls_the_result_to_the_phone_s_gradients(model):
    from studiolike.detail import gradients

    coarse, phone, seen = inputs()
    phone = blur(phone, 1.0)
    seen = torch.ones_like(seen)
    field, _ = gradients(phone, seen)

    def distance(strength):
        result = detail(model, coarse, phone, seen, steps=3, generator=seeded(), poisson=strength, screen=0.1)
        return float((gradients(result, seen)[0] - field).abs().mean())

    assert distance(1.0) < 0.7 * distance(0.0)


def test_a_saved_model_draws_the_same(model, tmp_path):
    model.save_pretrained(tmp_path)
    again = Detailer.from_pretrained(tmp_path)
    assert again.config.residual_scale == model.config.residual_scale
    assert (tmp_path / "diffusion_pytorch_model.safetensors").exists()
    a, b = (detail(m, *inputs(), steps=2, generator=seeded()) for m in (model, again))
    assert torch.allclose(a, b, atol=1e-6)


def test_a_scheduler_object_is_used_but_not_changed(model):
    scheduler = make_scheduler()
    a = detail(model, *inputs(), steps=2, generator=seeded(), scheduler=scheduler)
    assert scheduler.num_inference_steps is None
    assert torch.equal(a, detail(model, *inputs(), steps=2, generator=seeded()))
    assert float(scheduler.alphas_cumprod[-1]) == 0, "the last training step must be pure noise"


def test_impossible_requests_are_refused_in_one_line(model):
    coarse, phone, seen = inputs()
    from diffusers import DDIMScheduler

    for call in (
        lambda: detail(model, coarse[:1], phone, seen),
        lambda: detail(model, coarse, phone, seen[..., :32]),
        lambda: detail(model, coarse, phone, seen, steps=0),
        lambda: detail(model, coarse, phone, seen, scheduler="euler"),
        lambda: detail(model, coarse, phone, seen, scheduler=DDIMScheduler()),
    ):
        with pytest.raises(InputError) as error:
            call()
        assert "\n" not in str(error.value)


def test_bands_are_orthonormal_and_a_flat_grey_is_one_luma_coefficient():
    x = torch.rand(2, 3, 8, 6, generator=seeded())
    assert torch.allclose(from_bands(bands(x)), x, atol=1e-5)
    assert torch.allclose(bands(x).square().sum(), x.square().sum(), rtol=1e-5)
    grey = bands(torch.ones(1, 3, 4, 4))
    assert torch.allclose(grey[:, 0], torch.full((1, 2, 2), 12**0.5)) and grey[:, 1:].abs().max() < 1e-6


def test_the_built_in_guess_is_the_best_linear_one_and_leaves_what_it_says():
    clean, noise = torch.randn(2, 200_000, generator=seeded())
    for power in (1.0, 0.01):
        for signal in (0.0, 0.3, 0.95):
            a, rho = torch.tensor(signal), torch.tensor(power)
            s = (1 - a**2).sqrt()
            state, v = a * clean * power**0.5 + s * noise, a * noise - s * clean * power**0.5
            scale_in, skip, scale_out = precondition(a, s, rho)
            left = v - skip * state
            assert abs(float((left * state).mean())) < 0.01
            assert float(left.std()) == pytest.approx(float(scale_out), rel=0.02)
            assert float((state * scale_in).std()) == pytest.approx(1, rel=0.02)


def test_the_released_size_stays_small():
    from studiolike.config import profile

    model = Detailer(channels=profile("cpu").detail.channels)
    assert sum(p.numel() for p in model.parameters()) < 2.1e6
