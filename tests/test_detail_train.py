"""Training the detailer: the algebra of its loss, its inputs, and a stage that learns and resumes."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from studiolike.config import DetailConfig
from studiolike.detail import Detailer, DetailStage, detail, make_scheduler
from studiolike.detail.augment import degrade, relight
from studiolike.detail.model import uv_channels
from studiolike.detail.train import clean_from_velocity, min_snr_weight, velocity
from studiolike.errors import InputError
from studiolike.training import fit

TINY = DetailConfig(resolution=32, crop=16, channels=(8, 16), images=48, batch=4, lr=3e-3, sample_steps=2)


def made_up(people=3, side=32):
    """Studio textures, two captures each (darker, with a hole), as the uint8 arrays of a texture set."""
    rng = torch.Generator().manual_seed(0)
    studio = F.interpolate(torch.rand(people, 3, side // 2, side // 2, generator=rng), side, mode="bicubic")
    studio = (studio.clamp(0, 1) * 160 + 50).to(torch.uint8)
    subject = np.repeat(np.arange(people), 2)
    phone = (studio[subject].float() * torch.linspace(0.5, 1, side)).to(torch.uint8)
    seen = torch.full((len(subject), 1, side, side), 255, dtype=torch.uint8)
    seen[:, :, :6, :6] = 0
    return studio.numpy(), phone.numpy(), seen.numpy(), subject


def stage(config=TINY, **extra):
    settings = {"groups": 4, **extra.pop("model_settings", {})}
    return DetailStage(config, *made_up(), low_resolution=8, model_settings=settings, **extra)


def test_velocity_and_state_give_back_the_clean_residual_and_agree_with_the_scheduler():
    scheduler = make_scheduler()
    clean, noise = torch.randn(2, 2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    for t in (0, 300, 700, 999):
        power = scheduler.alphas_cumprod[t]
        signal, sigma = power.sqrt(), (1 - power).sqrt()
        v = velocity(clean, noise, signal, sigma)
        steps = torch.tensor([t, t])
        assert torch.allclose(v, scheduler.get_velocity(clean, noise, steps), atol=1e-5)
        noisy = scheduler.add_noise(clean, noise, steps)
        assert torch.allclose(clean_from_velocity(noisy, v, signal, sigma), clean, atol=1e-5)


def test_min_snr_weights_are_finite_at_zero_and_capped_at_high_ratios():
    weight = min_snr_weight(torch.tensor([0.0, 1.0, 5.0, 1e6]))
    assert torch.allclose(weight, torch.tensor([0.0, 0.5, 5 / 6, 5 / (1e6 + 1)]))
    assert min_snr_weight(torch.tensor([0.0]), floor=0.1) == pytest.approx(0.1)


def test_residuals_have_unit_variance_and_no_low_frequencies():
    s = stage()
    clean, conditions, level = s.draw(32, False, torch.Generator().manual_seed(1))
    assert clean.shape == (32, 3, 16, 16) and conditions.shape == (32, 8, 16, 16) and level.shape == (32,)
    assert 0.5 < float(clean.std()) < 2
    assert clean.mean((2, 3)).abs().mean() < 0.3
    assert float(level.max()) <= s.model.config.max_level


def test_a_colour_cast_of_the_truth_never_reaches_the_target():
    model = Detailer(channels=(8, 16), groups=4)
    coarse = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    cast = torch.tensor([0.2, -0.1, 0.05]).view(1, 3, 1, 1).expand_as(coarse)
    assert model.residual(coarse + cast, coarse, (16, 16)).abs().max() < 1e-3


def test_gradients_are_dropped_for_about_the_configured_share_of_the_samples():
    s = stage()
    _, conditions, _ = s.draw(400, False, torch.Generator().manual_seed(2))
    silent = (conditions[:, 3:6].abs().amax((1, 2, 3)) == 0).float().mean()
    assert 0.09 < float(silent) < 0.22
    assert conditions[:, :3].abs().amax((1, 2, 3)).min() > 0


def test_the_crop_s_place_and_coarse_texture_belong_to_the_crop():
    truth, phone, seen, subject = made_up()
    coarse = F.avg_pool2d(torch.from_numpy(truth[subject]).float() / 255, 4)
    s = DetailStage(TINY, truth, phone, seen, subject, coarse=coarse, low_resolution=8,
                    model_settings={"groups": 4, "max_level": 0.0, "residual_scale": 1.0})  # fmt: skip
    _, conditions, _ = s.draw(6, True, torch.Generator().manual_seed(3))
    whole = uv_channels(32, 32)
    full = F.interpolate(coarse, (32, 32), mode="bicubic", align_corners=False)
    for sample in conditions:
        y, x = ((sample[6:, 0, 0].flip(0) + 1) / 2 * 32 - 0.5).round().long().tolist()
        assert torch.allclose(sample[6:], whole[0, :, y : y + 16, x : x + 16])
        nearest = (full[:, :, y : y + 16, x : x + 16] * 2 - 1 - sample[:3]).abs().amax((1, 2, 3)).min()
        assert nearest < 1e-4


def test_degrading_is_repeatable_and_at_strength_zero_a_plain_mean():
    texture = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    a, b = (degrade(texture, 4, torch.Generator().manual_seed(9)) for _ in range(2))
    assert torch.equal(a, b) and a.shape == (2, 3, 8, 8) and a.min() >= 0 and a.max() <= 1
    plain = degrade(texture, 4, torch.Generator().manual_seed(9), strength=0)
    assert torch.allclose(plain, F.avg_pool2d(texture, 4), atol=2e-3)
    assert (a - plain).abs().mean() > 0.01


def test_relighting_changes_the_light_more_than_the_detail():
    texture = F.interpolate(torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0)), 64)
    texture = texture * 0.5 + 0.25
    lit = relight(texture, uv_channels(64, 64).expand(4, -1, -1, -1), torch.Generator().manual_seed(1))
    assert lit.shape == texture.shape and lit.min() >= 0 and lit.max() <= 1
    smooth = F.avg_pool2d(lit.log1p() - texture.log1p(), 16)
    assert smooth.std() > 0.03


def losses(run):
    return [json.loads(line)["loss"] for line in (run / "log.jsonl").read_text().splitlines()]


def test_a_few_steps_on_one_texture_reduce_the_loss_and_bring_detail_back(tmp_path):
    torch.set_num_threads(1)
    truth, phone, seen, _ = made_up(1)
    config = DetailConfig(resolution=32, crop=32, channels=(12, 24), images=320, batch=8, lr=5e-3, sample_steps=4)
    s = DetailStage(config, truth, phone, seen, np.zeros(2, int), low_resolution=8, relit=0.0,
                    model_settings={"groups": 4, "lock": 1.0})  # fmt: skip
    fit(s, config.images, tmp_path, device="cpu", progress=False, log_every=8, preview_every=320)
    history = losses(tmp_path)
    assert np.mean(history[-10:]) < 0.7 * np.mean(history[:5])
    assert (tmp_path / "preview-00000320.png").exists()
    real = torch.from_numpy(truth).float() / 255
    low = F.avg_pool2d(real, 4)
    result = detail(s.average, low, torch.from_numpy(phone[:1]).float() / 255,
                    torch.from_numpy(seen[:1]).float() / 255, 4,
                    generator=torch.Generator().manual_seed(0))  # fmt: skip
    before = (F.interpolate(low, (32, 32), mode="bicubic") - real).square().mean()
    assert (result - real).square().mean() < 0.85 * before


def test_a_resumed_run_is_the_uninterrupted_run_through_the_change_to_pairs(tmp_path):
    coarse = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(4))
    straight, broken = stage(coarse=coarse), stage(coarse=coarse)
    fit(straight, 48, tmp_path / "a", device="cpu", progress=False, preview_every=999)
    fit(broken, 16, tmp_path / "b", device="cpu", progress=False, preview_every=999)
    resumed = stage(coarse=coarse, seed=5)
    fit(resumed, 48, tmp_path / "b", device="cpu", progress=False, preview_every=999)
    paired = [json.loads(x)["paired"] for x in (tmp_path / "a" / "log.jsonl").read_text().splitlines()]
    assert paired[0] == 0 and paired[-1] == 1
    for ours, theirs in ((straight.model, resumed.model), (straight.average, resumed.average)):
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            assert torch.equal(a, b)


def test_without_captures_the_gradients_come_from_relit_studio_textures():
    truth, *_ = made_up()
    s = DetailStage(TINY, truth, low_resolution=8, model_settings={"groups": 4})
    _, conditions, _ = s.draw(4, False, torch.Generator().manual_seed(0))
    assert conditions[:, 3:5].abs().mean() > 0.05


def test_data_that_does_not_fit_is_refused():
    truth, phone, seen, subject = made_up()
    with pytest.raises(InputError, match="multiple"):
        DetailStage(TINY, truth, phone, seen, subject, low_resolution=7)
    with pytest.raises(InputError, match="coarse"):
        DetailStage(TINY, truth, phone, seen, subject, low_resolution=8, coarse=torch.zeros(1, 3, 8, 8))
    with pytest.raises(InputError, match="no captures"):
        DetailStage(TINY, truth, phone, seen, subject, low_resolution=8, rows=[])
