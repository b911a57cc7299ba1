"""The detailer's network and sampler: any size, any batch, one seed one result, the phone's detail and not its light."""

import pytest
import torch

from studiolike.detail import Detailer, detail, fuse, make_scheduler
from studiolike.detail.model import CONDITIONS, RELIEF, haar, precondition, unhaar, upsample
from studiolike.detail.sample import FINE
from studiolike.errors import InputError
from studiolike.image import linear_to_srgb, srgb_to_linear


@pytest.fixture(scope="module")
def model():
    """A tiny detailer with random weights, so that it draws strong (meaningless) detail."""
    torch.manual_seed(0)
    model = Detailer(channels=(8, 16), groups=4, resolution=64, residual_scale=0.04)
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


@pytest.mark.parametrize(("low", "full"), [(16, 32), (16, 64), (16, 128), (32, 256), (10, 50), (32, 32), (12, 33)])
def test_it_runs_below_at_and_above_the_size_that_it_was_trained_at(model, low, full):
    result = detail(model, *inputs(1, low, full), steps=2, generator=seeded())
    assert result.shape == (1, 3, full, full) and torch.isfinite(result).all()
    assert result.min() >= 0 and result.max() <= 1


@pytest.fixture(scope="module")
def silent():
    """A detailer that repairs next to nothing, so that what is seen is fusion."""
    return Detailer(channels=(8, 16), groups=4, resolution=64, residual_scale=1e-5).eval()


def face(size, seed=0):
    """A texture with detail of about one texel of 128, alike in all channels, and a smooth light on it; both sRGB
    ``(1, 3, size, size)``."""
    rough = torch.rand(1, 1, 128, 128, generator=seeded(seed)).expand(-1, 3, -1, -1)
    albedo = 0.15 + 0.5 * upsample(torch.nn.functional.interpolate(rough, (64, 64)), size)
    light = 0.35 + 0.65 * torch.linspace(0, 1, size).view(1, 1, 1, -1)
    return linear_to_srgb(albedo), linear_to_srgb(albedo * light)


def low_of(texture, side=16):
    return torch.nn.functional.adaptive_avg_pool2d(texture, side)


def error(a, b, border=8):
    return float((a - b)[..., border:-border, border:-border].abs().mean())


@pytest.mark.parametrize("size", [64, 128, 256])
def test_the_phone_s_detail_arrives_and_its_light_does_not(silent, size):
    truth, phone = face(size)
    seen, low = torch.ones(1, 1, size, size), low_of(truth)
    result = detail(silent, low, phone, seen, generator=seeded())
    assert error(result, truth) < 0.75 * error(upsample(low, size), truth)
    assert error(result, truth) < 0.65 * error(phone, truth)


def test_above_its_own_size_it_is_fusion_at_the_phone_s_size_that_adds_what_is_finer(silent):
    truth, phone = face(256)
    seen, low = torch.ones(1, 1, 256, 256), low_of(truth)
    seen[..., 100:140, 100:140] = 0
    result, unguided = (detail(silent, low, phone, seen, guided=g, generator=seeded()) for g in (True, False))
    small = torch.nn.functional.avg_pool2d(result, 4)
    assert (upsample(small, 256) - result).abs()[..., :80, :80].mean() > 3 * (
        upsample(torch.nn.functional.avg_pool2d(unguided, 4), 256) - unguided
    ).abs().mean()
    assert (fuse(phone, seen, result, FINE / 64) - result).abs().mean() < 0.015, "there is nothing more to add"
    hole = (slice(None), slice(None), slice(104, 136), slice(104, 136))
    other = detail(silent, low, torch.where(seen > 0, phone, 1 - phone), seen, generator=seeded())
    assert torch.allclose(result[hole], other[hole], atol=2e-3)


def test_without_guidance_the_phone_is_not_looked_at(model):
    for full in (32, 64, 128):
        coarse, phone, seen = inputs(full=full)
        for guided, same in ((False, True), (True, False)):
            a, b = (detail(model, coarse, p, seen, steps=2, guided=guided, generator=seeded()) for p in (phone, phone.flip(3)))
            assert torch.equal(a, b) == same
        blind = detail(model, coarse, phone, torch.zeros_like(seen), steps=2, guided=False, generator=seeded())
        assert torch.equal(blind, detail(model, coarse, phone, seen, steps=2, guided=False, generator=seeded()))


def test_where_nothing_was_seen_guided_and_unguided_are_one(model):
    coarse, phone, seen = inputs(full=128)
    guided, unguided = (
        detail(model, coarse, phone, torch.zeros_like(seen), steps=2, guided=g, generator=seeded()) for g in (True, False)
    )
    assert torch.allclose(guided, unguided, atol=1e-5)


def test_colours_of_texels_that_were_never_seen_do_not_matter(model):
    coarse, phone, seen = inputs()
    seen[..., 20:40, 10:30] = 0
    a, b = (detail(model, coarse, p, seen, steps=2, generator=seeded()) for p in (phone, torch.where(seen > 0, phone, 1 - phone)))
    assert torch.allclose(a, b, atol=1e-3)


def test_the_phone_s_colour_and_exposure_hardly_pass(silent):
    truth, phone = face(64)
    seen = torch.ones(1, 1, 64, 64)
    cast = torch.tensor([0.5, 0.7, 0.4]).view(1, 3, 1, 1)
    other = linear_to_srgb(srgb_to_linear(phone) * cast)
    a, b = (detail(silent, low_of(truth), p, seen, generator=seeded()) for p in (phone, other))
    assert error(phone, other) > 0.1 and error(a, b) < 0.1 * error(phone, other)


def test_conditions_tell_the_network_everything_or_nothing_of_the_phone_sample_by_sample(model):
    coarse, phone, seen = inputs()
    studio, guided = upsample(coarse, 64), torch.tensor([True, False])
    base = model.base(phone, seen, studio, guided)
    assert torch.equal(base[:1], fuse(phone, seen, studio)[:1]) and torch.equal(base[1], studio[1])
    told = model.conditions(phone, seen, studio, base, guided)
    assert told.shape == (2, CONDITIONS + RELIEF, 64, 64)
    for part in (slice(6, 9), slice(11, 14)):
        assert told[0, part].abs().amax((1, 2)).min() > 0 and told[1, part].abs().max() == 0
    assert torch.equal(told[1, :3], told[1, 3:6]) and not torch.equal(told[0, :3], told[0, 3:6])


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
    assert torch.allclose(unhaar(haar(x)), x, atol=1e-5)
    assert torch.allclose(haar(x).square().sum(), x.square().sum(), rtol=1e-5)
    grey = haar(torch.ones(1, 3, 4, 4))
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
