"""Training the detailer: the algebra of its loss, its inputs, and a stage that learns and resumes."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from fakes import FakeSet

from studiolike.config import DetailConfig
from studiolike.detail import DetailStage, detail, fuse, make_scheduler
from studiolike.detail.model import CONDITIONS, RELIEF, haar, upsample, uv_channels
from studiolike.detail.train import clean_from_velocity, min_snr_weight, velocity
from studiolike.errors import InputError, ProtocolError
from studiolike.image import from_signed
from studiolike.protocols import paired_captures, permitted
from studiolike.stylegan2 import Encoder, Generator
from studiolike.tone.translation import translate
from studiolike.training import fit

TINY = DetailConfig(resolution=32, crop=16, channels=(8, 16), images=48, batch=4, lr=3e-3, sample_steps=2)
QUIET = dict(device="cpu", progress=False)


@pytest.fixture(scope="module")
def chain():
    torch.manual_seed(0)
    g_phone, g_studio = (Generator(16, 16, 2, channel_base=64, channel_max=16).eval() for _ in range(2))
    encoder = Encoder(16, 16, 64, 16, hidden=16).eval()
    torch.nn.init.normal_(encoder.rows.weight)
    return dict(g_phone=g_phone, encoder=encoder, g_studio=g_studio)


@pytest.fixture(scope="module")
def data():
    return FakeSet(subjects=20, lightings=2, resolution=32)


@pytest.fixture
def stage(chain, data):
    def make(config=TINY, rows=None, of=None, **extra):
        of = of or permitted(data, "few")
        return DetailStage(config, of, paired_captures(of, "few") if rows is None else rows, **chain, **extra)

    return make


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


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


def test_the_residual_s_scale_and_the_power_of_its_bands_are_measured(stage):
    s = stage()
    clean, conditions = s.draw(256, seeded(1))
    assert clean.shape == (256, 3, 16, 16) and conditions.shape == (256, CONDITIONS + RELIEF, 16, 16)
    assert 0.8 < float(clean.square().mean().sqrt()) < 1.25
    power = torch.tensor(s.model.config.band_power)
    found = haar(clean).square().mean((0, 2, 3))
    assert len(power) == 12 and ((found / power).log().abs() < 0.7).all()
    assert power[0] > 10 * power[3], "coarse luma is most of it"
    assert s.average.config.residual_scale == s.model.config.residual_scale != 1
    kept = stage(model_settings={"residual_scale": 0.5, "band_power": (1.0,) * 12}).model.config
    assert kept.residual_scale == 0.5 and tuple(kept.band_power) == (1.0,) * 12


def test_a_seed_decides_the_weights_and_the_scales(stage):
    first, again, other = (stage(seed=seed).model for seed in (3, 3, 4))
    assert first.config.band_power == again.config.band_power != other.config.band_power
    pairs = [[torch.equal(a, b) for a, b in zip(first.parameters(), m.parameters(), strict=True)] for m in (again, other)]
    assert all(pairs[0]) and not all(pairs[1])


def test_its_material_is_what_the_chain_makes_of_the_captures(stage, chain, data):
    s, rows = stage(share=0.0), data.captures("pairs")[:3]
    phone, seen, studio, truth = s.material(rows, seeded())
    assert all(torch.equal(a, b) for a, b in zip((phone, seen), data.phone_batch(rows), strict=True))
    assert torch.equal(truth, data.studio_batch(data.subject[rows]))
    wanted = translate(*(chain[name] for name in ("g_phone", "encoder", "g_studio")), None, phone, seen)
    assert torch.allclose(studio, upsample(wanted, 32), atol=1e-5)
    changed = stage(share=1.0).material(rows, seeded())
    assert not torch.equal(changed[0], phone) and torch.equal(changed[3], truth)


def test_a_crop_holds_one_person_s_residual_conditions_and_place(stage, data):
    s = stage(replace(TINY, hidden=0.0), share=0.0)
    clean, conditions = s.draw(12, seeded(3))
    whole, textures = uv_channels(torch.zeros(1, 3, 32, 32)), data.studio_batch(torch.arange(len(data.studio)))
    places = set()
    for residual, told in zip(clean, conditions, strict=True):
        y, x = ((told[9:11, 0, 0].flip(0) + 1) / 2 * 32 - 0.5).round().long().tolist()
        places.add((y, x))
        assert y % 2 == x % 2 == 0 and torch.allclose(told[9:11], whole[0, :, y : y + 16, x : x + 16])
        truth = from_signed(told[:3]) + residual * s.model.config.residual_scale
        nearest = (textures[..., y : y + 16, x : x + 16] - truth).abs().amax((1, 2, 3)).argmin()
        assert torch.allclose(textures[nearest, :, y : y + 16, x : x + 16], truth, atol=1e-4)
        assert int(nearest) in torch.cat([data.subjects("studio"), data.subjects("pairs")]).tolist()
    assert len(places) > 6


def test_the_phone_is_hidden_from_about_the_configured_share_of_the_samples(stage):
    _, conditions = stage(replace(TINY, hidden=0.3), share=0.0).draw(400, seeded(2))
    blind = conditions[:, 6:9].abs().amax((1, 2, 3)) == 0
    assert abs(blind.float().mean() - 0.3) < 0.08
    assert torch.equal(conditions[blind, :3], conditions[blind, 3:6]), "and then there is no fusion to start from"
    assert not torch.equal(conditions[~blind, :3], conditions[~blind, 3:6])


def losses(run):
    return [json.loads(line)["loss"] for line in (run / "log.jsonl").read_text().splitlines()]


def test_some_steps_reduce_the_loss_and_repair_what_fusion_left(stage, data, tmp_path):
    torch.set_num_threads(1)
    config = replace(TINY, crop=32, channels=(16, 24), images=480, batch=8, lr=5e-3, sample_steps=4)
    rows = data.captures("pairs")
    s = stage(config, rows, share=0.0)
    fit(s, config.images, tmp_path, log_every=8, preview_every=480, **QUIET)
    history = losses(tmp_path)
    assert np.mean(history[-10:]) < 0.7 * np.mean(history[:5])
    assert (tmp_path / "preview-00000480.png").exists()
    phone, seen, studio, truth = s.material(rows, seeded())
    result = detail(s.average, studio, phone, seen, 4, generator=seeded())
    before = fuse(phone, seen, studio)
    assert (result - truth).square().mean() < 0.5 * (before - truth).square().mean()


def test_a_resumed_run_is_the_uninterrupted_run(stage, tmp_path):
    straight, broken, resumed = stage(), stage(), stage(seed=5)
    fit(straight, 48, tmp_path / "a", preview_every=999, **QUIET)
    fit(broken, 16, tmp_path / "b", preview_every=999, **QUIET)
    assert resumed.model.config.band_power != broken.model.config.band_power
    fit(resumed, 48, tmp_path / "b", preview_every=999, **QUIET)
    for ours, theirs in ((straight.model, resumed.model), (straight.average, resumed.average)):
        assert ours.config.residual_scale == theirs.config.residual_scale
        assert list(ours.config.band_power) == list(theirs.config.band_power)
        assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


def test_the_chain_before_it_stays_as_it_was(stage, chain, tmp_path):
    before = {name: {k: v.clone() for k, v in model.state_dict().items()} for name, model in chain.items()}
    fit(stage(), 8, tmp_path, preview_every=999, **QUIET)
    for name, model in chain.items():
        assert all(torch.equal(before[name][k], v) for k, v in model.state_dict().items()), name


def test_data_that_does_not_fit_or_is_closed_is_refused(stage, chain, data):
    with pytest.raises(InputError, match="no captures"):
        stage(rows=[])
    with pytest.raises(InputError, match="smaller than the generator's"):
        small = FakeSet(resolution=8)
        DetailStage(TINY, small, small.captures("pairs"), **chain)
    with pytest.raises(ProtocolError):
        stage(rows=data.captures("phone"))
