"""Pre-training: a stopped run ends like a straight one, masks do their work, and something is learnt."""

import warnings
from dataclasses import replace

import pytest
import torch

from studiolike.config import GeneratorConfig, PretrainConfig, profile
from studiolike.stylegan2 import encode, phone_stage
from studiolike.stylegan2 import train as train_module
from studiolike.stylegan2.losses import discriminator_loss, generator_loss
from studiolike.stylegan2.train import image_grid
from studiolike.training import compiled, fit, prepare, read_log, update_average

TINY = replace(
    profile("smoke").sized(GeneratorConfig(16, 12, 2, 128, 12), 32),
    pretrain=PretrainConfig(images=48, batch=4, r1_every=4, warm_up=16),
)


class Textures:
    """Stands in for a `TextureSet`: reddish noise, the left third never observed."""

    def __init__(self, resolution=16, count=24):
        rng = torch.Generator().manual_seed(1)
        self.texture = torch.rand(count, 3, resolution, resolution, generator=rng) * 0.2
        self.texture[:, 0] += 0.8
        self.visibility = torch.ones(count, 1, resolution, resolution)
        self.visibility[..., : resolution // 3] = 0
        self.count = count

    def captures(self, split):
        assert split == "phone"
        return torch.arange(self.count)

    def phone_batch(self, rows, device):
        return self.texture[rows].to(device), self.visibility[rows].to(device)


def everything(stage):
    tensors = [t for m in stage.modules.values() for t in m.state_dict().values()]
    tensors += [t for o in stage.optimizers.values() for s in o.state_dict()["state"].values() for t in s.values()]
    return tensors


def stopped_at(stage, images):
    step = stage.step

    def until(seen, rng):
        if seen >= images:
            raise KeyboardInterrupt
        return step(seen, rng)

    stage.step = until
    return stage


def test_an_interrupted_run_ends_bit_for_bit_like_a_straight_one(tmp_path):
    straight = phone_stage(TINY, Textures(), seed=3)
    fit(straight, 48, tmp_path / "a", device="cpu", progress=False)
    with pytest.raises(KeyboardInterrupt):
        fit(stopped_at(phone_stage(TINY, Textures(), seed=3), 20), 48, tmp_path / "b", device="cpu", progress=False)
    resumed = phone_stage(TINY, Textures(), seed=4)  # other fresh weights: all must come from the checkpoint
    fit(resumed, 48, tmp_path / "b", device="cpu", progress=False)
    assert all(torch.equal(a, b) for a, b in zip(everything(straight), everything(resumed), strict=True))


def test_a_finished_run_keeps_an_average_that_knows_its_mean_w_and_a_log_of_every_loss(tmp_path):
    stage = phone_stage(TINY, Textures())
    fit(stage, 32, tmp_path, device="cpu", progress=False)
    assert not stage.ema.training and len(list(tmp_path.glob("preview-*.png"))) >= 1
    log = read_log(tmp_path)
    assert all(log[key][-1] == log[key][-1] for key in ("loss_d", "loss_g", "r1", "recons"))
    z = torch.randn(4096, 12, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(stage.ema.w_mean, stage.ema.mapping(z).mean(0))


def test_after_the_warm_up_random_codes_follow_the_encoders(tmp_path):
    stage = phone_stage(TINY, Textures())
    fit(stage, 16, tmp_path, device="cpu", progress=False)
    assert not stage.rebased
    stage.step(16, torch.Generator().manual_seed(0))
    assert stage.rebased and len(stage.memory) == 2  # of this step alone
    stage.finish()
    texture, visibility = stage.data.phone_batch(stage.rows, "cpu")
    codes = encode(stage.ema_encoder, stage.ema, texture, visibility).mean(1)
    drawn = stage.ema.mapping(torch.randn(1000, 12, generator=torch.Generator().manual_seed(1)))
    assert (drawn.mean(0) - codes.mean(0)).norm() < 0.5 * codes.std(0).norm()
    assert 0.7 < drawn.std(0).norm() / codes.std(0).norm() < 1.4


def test_the_generator_learns_the_colour_of_observed_texels(tmp_path):
    tiny = replace(
        TINY.sized(GeneratorConfig(8, 8, 1, 128, 16), 16),
        pretrain=PretrainConfig(batch=8, lr=0.01, augment=0.0, ema_kimg=0.1, warm_up=0),
    )
    stage = phone_stage(tiny, Textures(8), seed=0)
    z = torch.randn(64, 8, generator=torch.Generator().manual_seed(2))

    def distance():
        with torch.no_grad():
            mean = stage.ema(z)[..., 2:].mean((0, 2, 3))  # the columns that someone observed
        return (mean - torch.tensor([0.8, -0.8, -0.8])).norm().item()

    before = distance()
    fit(stage, 400, tmp_path, device="cpu", progress=False)
    assert distance() < 0.6 * before


@pytest.mark.parametrize("warm_up", [0, 8])
def test_only_observed_texels_teach_the_generator(tmp_path, warm_up):
    tiny, learnt = replace(TINY, pretrain=replace(TINY.pretrain, warm_up=warm_up)), []
    for garbage in (0.0, 1.0):
        data = Textures()
        data.texture = torch.where(data.visibility > 0, data.texture, garbage)
        stage = phone_stage(tiny, data, seed=1)
        start = [p.clone() for p in stage.generator.parameters()]
        fit(stage, 16, tmp_path / str(garbage), device="cpu", progress=False)
        learnt.append(list(stage.generator.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(*learnt, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(start, learnt[0], strict=True))


def test_the_warm_up_is_reconstruction_alone_and_ends_at_the_rate_of_the_game(tmp_path):
    stage = phone_stage(TINY, Textures())
    judge = [p.clone() for p in stage.discriminator.parameters()]
    fit(stage, 16, tmp_path, device="cpu", progress=False)
    assert all(torch.equal(a, b) for a, b in zip(judge, stage.discriminator.parameters(), strict=True))
    rates = []
    for images in (0, 8, 16, 40):
        stage._warming_up(images)
        rates.append([stage.optimizers[name].param_groups[0]["lr"] for name in ("generator", "encoder")])
    high, low = TINY.pretrain.warm_up_lr, TINY.pretrain.lr
    assert torch.tensor(rates).T.allclose(torch.tensor([high, (high + low) / 2, low, low]))
    stage.config = replace(TINY.pretrain, cool_down=0.5)
    for images, part in ((24, 1), (36, 0.5), (48, 0)):
        stage._warming_up(images)
        for name, optimizer in stage.optimizers.items():
            assert optimizer.param_groups[0]["lr"] == pytest.approx(part * stage.rates[name]), name
    log = stage.step(16, torch.Generator().manual_seed(0))
    assert "loss_d" in log and "recons" in log
    assert any(not torch.equal(a, b) for a, b in zip(judge, stage.discriminator.parameters(), strict=True))


def test_one_look_at_the_fakes_gives_each_player_its_own_gradient(monkeypatch):
    stage = phone_stage(TINY, Textures(), seed=3)
    prepare(stage, device="cpu")
    rng, (texture, seen) = torch.Generator().manual_seed(0), stage.data.phone_batch(torch.arange(4), "cpu")
    monkeypatch.setattr(stage, "_step", lambda player, model=None: None)  # gradients stay where they are
    stage.config = replace(stage.config, augment=0.0)
    g, d = stage.generator, stage.discriminator
    codes = torch.randn(4, g.num_ws, 12, generator=rng)
    stage._game_turn(texture, seen, g.synthesis(codes), seen, {}, rng)
    fake = g.synthesis(codes)
    losses = discriminator_loss(d(texture, seen), d(fake.detach(), seen)), generator_loss(d(fake, seen))
    for net, loss in zip((d, g), losses, strict=True):
        wanted = torch.autograd.grad(loss, list(net.parameters()), allow_unused=True)
        for parameter, gradient in zip(net.parameters(), wanted, strict=True):
            assert (parameter.grad is None) == (gradient is None)
            if gradient is not None:
                torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-6)


def test_compiled_networks_train_like_the_others(tmp_path, monkeypatch):
    monkeypatch.setattr(train_module, "compiled", lambda function, name: compiled(function, name, backend="aot_eager"))
    logs = []
    for wanted in (False, True):
        tiny = replace(TINY, pretrain=replace(TINY.pretrain, warm_up=4, compile=wanted))
        stage = phone_stage(tiny, Textures(), seed=3)
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)  # a fallback would prove nothing
            fit(stage, 12, tmp_path / str(wanted), device="cpu", progress=False)
        logs.append(read_log(tmp_path / str(wanted)))
    for key in ("recons", "loss_d", "loss_g"):
        assert logs[0][key][-1] == pytest.approx(logs[1][key][-1], rel=1e-3)


def test_style_mixing_switches_rows_once_and_only_when_asked(tmp_path):
    stage = phone_stage(TINY, Textures())
    fit(stage, 4, tmp_path, device="cpu", progress=False)

    def switches(mixing):
        stage.config = replace(stage.config, mixing=mixing)
        w = stage._codes(64, torch.Generator().manual_seed(0))
        return (w[:, 1:] != w[:, :-1]).any(2).sum(1)

    assert (switches(0.0) == 0).all() and (switches(1.0) == 1).all()


def test_the_average_moves_towards_the_model():
    a, b = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    wanted = 0.75 * a.weight + 0.25 * b.weight
    update_average(a, b, 0.75)
    torch.testing.assert_close(a.weight, wanted)


def test_a_grid_shows_images_row_by_row():
    images = torch.arange(5.0).view(5, 1, 1, 1).expand(5, 3, 2, 2) / 10
    grid = image_grid(images, columns=3)
    assert grid.shape == (3, 4, 6)
    assert grid[0, 0, ::2].tolist() == pytest.approx([0.0, 0.1, 0.2])
    assert grid[0, 2, ::2].tolist() == pytest.approx([0.3, 0.4, 1.0])
