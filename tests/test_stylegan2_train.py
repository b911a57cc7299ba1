"""Pre-training: a stopped run ends like a straight one, masks do their work, and something is learnt."""

import json
import warnings
from dataclasses import replace
from functools import partial
from unittest.mock import patch

import pytest
import torch

from studiolike.averages import update_average
from studiolike.config import GeneratorConfig, PretrainConfig, profile
from studiolike.errors import WeightsError
from studiolike.run_record import read_log
from studiolike.stylegan2 import GameStage, WarmUpStage, encode, phone_networks, pretrain
from studiolike.stylegan2 import train as train_module
from studiolike.stylegan2.losses import discriminator_loss, generator_loss
from studiolike.stylegan2.rebase import fit_mapping
from studiolike.stylegan2.train import image_grid
from studiolike.training import CHECKPOINT, compiled, fit, prepare

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


def trained(folder, seed=3, **options):
    """Networks after both halves, on the CPU."""
    nets = phone_networks(TINY, seed)
    with patch.object(train_module, "fit_mapping", partial(fit_mapping, steps=100)):  # how well it fits is another test's
        pretrain(TINY, nets, Textures(), folder, device="cpu", progress=False, **options)
    return nets


def prepared(kind, settings=TINY, nets=None, seed=0):
    """A stage that is ready for a step."""
    stage = kind(settings.pretrain, nets or phone_networks(settings, seed), Textures())
    prepare(stage, device="cpu")
    return stage


def tensors(state):
    """All tensors in nested dicts and lists."""
    if isinstance(state, torch.Tensor):
        return [state]
    parts = state.values() if isinstance(state, dict) else state if isinstance(state, list) else []
    return [tensor for part in parts for tensor in tensors(part)]


def weights_of(nets):
    return tensors({name: dict(net.state_dict()) for name, net in nets.items()})


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """Networks of a run that nothing interrupted, and its folder."""
    folder = tmp_path_factory.mktemp("straight")
    return trained(folder), folder


@pytest.mark.parametrize("half, moment", [(WarmUpStage, 8), (GameStage, 32)])
def test_a_run_interrupted_in_either_half_ends_bit_for_bit_like_a_straight_one(half, moment, straight, tmp_path, monkeypatch):
    step = half.step

    def until(self, seen, rng):
        if seen >= moment:
            raise KeyboardInterrupt
        return step(self, seen, rng)

    monkeypatch.setattr(half, "step", until)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path)
    monkeypatch.undo()
    resumed = trained(tmp_path, seed=4)  # other fresh weights: all must come from the checkpoints
    ends = [torch.load(folder / CHECKPOINT, weights_only=True) for folder in (straight[1], tmp_path)]
    pairs = [weights_of(straight[0]), weights_of(resumed)], [tensors(end["optimizers"]) for end in ends]
    for a, b in pairs:
        assert len(a) == len(b) > 50 and all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
    assert [end["images"] for end in ends] == [48, 48] and torch.equal(*(end["stage"]["memory"] for end in ends))


def test_a_run_counts_on_from_its_warm_up_and_keeps_an_average_that_knows_its_mean_w(straight):
    nets, folder = straight
    assert not nets["ema"].training and len(list(folder.glob("**/preview-*.png"))) >= 2
    log = read_log(folder / "warm-up", folder)
    for column in ("images", "seconds"):
        assert log[column] == sorted(log[column])
    record = json.loads((folder / "record.json").read_text())
    assert log["images"][-1] == record["images"] == 48 and record["settings"]["stages"] == ["warm-up", "pretrain"]
    assert all(log[key][-1] == log[key][-1] for key in ("loss_d", "loss_g", "recons"))
    assert sum(value == value for value in log["r1"]) >= 2
    z = torch.randn(4096, 12, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(nets["ema"].w_mean, nets["ema"].mapping(z).mean(0))


def test_a_run_of_other_settings_is_refused_before_hours_of_warm_up(straight, tmp_path):
    (tmp_path / CHECKPOINT).write_bytes((straight[1] / CHECKPOINT).read_bytes())
    with pytest.raises(WeightsError, match="other settings"):
        trained(tmp_path, settings={"data": "another"})
    assert not (tmp_path / "warm-up").exists()


def test_after_the_warm_up_random_codes_follow_the_encoders(tmp_path):
    nets = phone_networks(TINY)
    fit(WarmUpStage(TINY.pretrain, nets, Textures()), 16, tmp_path, device="cpu", progress=False)
    texture, visibility = Textures().phone_batch(torch.arange(24), "cpu")
    for encoder, generator in ((nets["encoder"], nets["generator"]), (nets["ema_encoder"], nets["ema"])):
        codes = encode(encoder, generator, texture, visibility).mean(1)
        drawn = generator.mapping(torch.randn(1000, 12, generator=torch.Generator().manual_seed(1))).detach()
        assert (drawn.mean(0) - codes.mean(0)).norm() < 0.5 * codes.std(0).norm()
        assert 0.7 < drawn.std(0).norm() / codes.std(0).norm() < 1.4


def test_the_generator_learns_the_colour_of_observed_texels(tmp_path):
    tiny = replace(
        TINY.sized(GeneratorConfig(8, 8, 1, 128, 16), 16),
        pretrain=PretrainConfig(batch=8, lr=0.01, augment=0.0, ema_kimg=0.1, warm_up=0),
    )
    nets = phone_networks(tiny)
    z = torch.randn(64, 8, generator=torch.Generator().manual_seed(2))

    def distance():
        with torch.no_grad():
            mean = nets["ema"](z)[..., 2:].mean((0, 2, 3))  # the columns that someone observed
        return (mean - torch.tensor([0.8, -0.8, -0.8])).norm().item()

    before = distance()
    fit(GameStage(tiny.pretrain, nets, Textures(8)), 400, tmp_path, device="cpu", progress=False)
    assert distance() < 0.6 * before


@pytest.mark.parametrize("stage", [WarmUpStage, GameStage])
def test_only_observed_texels_teach_the_generator(stage):
    learnt, start = [], [p.clone() for p in phone_networks(TINY, 1)["generator"].parameters()]
    for garbage in (0.0, 1.0):
        made = prepared(stage, seed=1)
        made.data.texture = torch.where(made.data.visibility > 0, made.data.texture, garbage)
        for images in (0, 4, 8):
            made.step(images, torch.Generator().manual_seed(images))
        learnt.append(list(made.generator.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(*learnt, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(start, learnt[0], strict=True))


def test_the_warm_up_ends_at_the_rate_of_the_game_which_cools():
    def rates(stage, images):
        stage.step(images, torch.Generator().manual_seed(0))
        return {name: optimizer.param_groups[0]["lr"] for name, optimizer in stage.optimizers.items()}

    high, low = TINY.pretrain.warm_up_lr, TINY.pretrain.lr
    warm_up = prepared(WarmUpStage)
    for images, wanted in ((0, high), (8, (high + low) / 2), (16, low)):
        assert rates(warm_up, images) == pytest.approx({"generator": wanted, "encoder": wanted})
    game = prepared(GameStage, replace(TINY, pretrain=replace(TINY.pretrain, cool_down=0.5)))
    assert {name: game.rates[name] for name in ("generator", "encoder")} == pytest.approx({"generator": low, "encoder": low})
    for images, part in ((16, 1), (24, 1), (36, 0.5), (48, 0)):
        assert rates(game, images) == pytest.approx({name: part * rate for name, rate in game.rates.items()})


def test_one_look_at_the_fakes_gives_each_player_its_own_gradient(monkeypatch):
    stage = prepared(GameStage, seed=3)
    rng, (texture, seen) = torch.Generator().manual_seed(0), stage.data.phone_batch(torch.arange(4), "cpu")
    monkeypatch.setattr(stage, "_move", lambda *players: None)  # gradients stay where they are
    stage.config = replace(stage.config, augment=0.0)
    g, d = stage.generator, stage.discriminator
    codes = torch.randn(4, g.num_ws, 12, generator=rng)
    stage._game_turn(texture, seen, g.synthesis(codes), seen, None, rng)
    fake = g.synthesis(codes)
    losses = discriminator_loss(d(texture, seen), d(fake.detach(), seen)), generator_loss(d(fake, seen))
    for net, loss in zip((d, g), losses, strict=True):
        wanted = torch.autograd.grad(loss, list(net.parameters()), allow_unused=True)
        for parameter, gradient in zip(net.parameters(), wanted, strict=True):
            assert (parameter.grad is None) == (gradient is None)
            if gradient is not None:
                torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-6)


def test_compiled_networks_train_like_the_others(monkeypatch):
    monkeypatch.setattr(train_module, "compiled", lambda function, name: compiled(function, name, backend="aot_eager"))
    logs = []
    for wanted in (False, True):
        tiny = replace(TINY, pretrain=replace(TINY.pretrain, compile=wanted))
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)  # a fallback would prove nothing
            logs.append(prepared(GameStage, tiny, seed=3).step(4, torch.Generator().manual_seed(0)))
    assert logs[0] == pytest.approx(logs[1], rel=1e-3) and {"recons", "loss_d", "loss_g"} <= logs[0].keys()


def test_style_mixing_switches_rows_once_and_only_when_asked():
    stage = prepared(GameStage)

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
