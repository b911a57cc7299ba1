"""Two processes that share a batch train like one process that has it all, and write things once."""

import json
import os
import socket
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from unittest.mock import patch

import pytest
import torch
from torch import nn

from studiolike import recipes
from studiolike.config import DataConfig, GeneratorConfig, PretrainConfig, profile
from studiolike.errors import InputError
from studiolike.stylegan2 import GameStage, phone_networks
from studiolike.stylegan2 import train as train_of_phone
from studiolike.stylegan2.generator import SynthesisLayer
from studiolike.training import PATIENCE, Stage, fit, prepare, step_seed

BATCH, STEPS = 8, 3


def share(tensor, accelerator):
    """This process's part of a global batch."""
    size = len(tensor) // accelerator.num_processes
    return tensor[accelerator.process_index * size :][:size]


def draw(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Regression(Stage):
    """Calls its network through what `accelerate` made of it, which averages by itself."""

    name, batch = "regression", BATCH

    def __init__(self, rank=0):
        torch.manual_seed(rank)  # processes that begin apart must be brought together
        self.net = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1))
        self.modules = {"net": self.net}
        self.optimizers = {"adam": torch.optim.Adam(self.net.parameters(), lr=0.05)}

    def step(self, images, rng):
        x = share(draw(BATCH, 3, seed=images), self.accelerator)
        loss = (self.modules["net"](x) - x.sum(1, keepdim=True)).square().mean()
        self.optimizers["adam"].zero_grad()
        self.accelerator.backward(loss)
        self.optimizers["adam"].step()
        return {"loss": loss.item()}


class Textures:
    """One fixed batch of real textures, of which each process reads its part."""

    def captures(self, split):
        return torch.arange(BATCH)

    def phone_batch(self, rows, device):
        texture = share(draw(BATCH, 3, 16, 16, seed=5).sigmoid(), self.accelerator)
        return texture, torch.ones_like(texture[:, :1])


def pretrain():
    """Plain StyleGAN2 with R1, whose draws are parts of global ones; gradient descent, as Adam's first steps are signs,
    which the last bit of a small gradient decides."""
    settings = replace(
        profile("smoke").sized(GeneratorConfig(16, 8, 2, 128, 8), 32),
        pretrain=PretrainConfig(batch=BATCH, encoded=0.0, augment=0.0, portrait=0.0, r1_every=2),
    )
    stage = GameStage(settings.pretrain, phone_networks(settings), Textures())
    stage.optimizers = {k: torch.optim.SGD(o.param_groups[0]["params"], lr=0.01) for k, o in stage.optimizers.items()}
    stage._codes = lambda count, rng: stage.generator.expand(
        stage.generator.mapping(share(draw(count * stage.accelerator.num_processes, 8, seed=6), stage.accelerator))
    )
    return stage


def run(folder, rank=0):
    """Train both stages and return their weights; in one process or as one of several."""
    SynthesisLayer._draw = staticmethod(lambda y, rng: torch.zeros(len(y), 1, *y.shape[2:]))
    simple, gan = Regression(rank), pretrain()
    fit(simple, BATCH * STEPS, folder / "simple", device="cpu", progress=False)
    step = gan.step

    def with_accelerator(images, rng):
        gan.data.accelerator = gan.accelerator
        return step(images, rng)

    gan.step = with_accelerator
    fit(gan, BATCH * STEPS, folder / "gan", device="cpu", progress=False)
    nets = {"net": simple.net, "generator": gan.generator, "discriminator": gan.discriminator, "ema": gan.ema}
    return {name: [p.detach().clone() for p in net.parameters()] for name, net in nets.items()}


def one_step(name, batch, rank):
    """How one step of a stage, of the device lint's tiny size, moves the weights of this process; by gradient descent."""
    from test_device_lint import STAGES, TINY

    names = ("identity", "pretrain", "encoder", "adapt", "adapt_open", "tone", "detail")
    parts = {part: replace(getattr(TINY, part), batch=batch) for part in names}
    parts["encoder"] = replace(parts["encoder"], images=10_000)
    torch.manual_seed(0)
    stage = STAGES[name](replace(TINY, **parts))
    if name == "detailer":
        torch.nn.init.normal_(stage.model.unet.conv_out.weight, std=0.1)  # at zero only the last layer would move
    stage.optimizers = {k: torch.optim.SGD(o.param_groups[0]["params"], lr=0.001) for k, o in stage.optimizers.items()}
    trained = [p for m in stage.modules.values() for p in m.parameters() if p.requires_grad]
    before = [p.detach().clone() for p in trained]
    accelerator = prepare(stage, device="cpu")
    accelerator.clip_grad_norm_ = lambda parameters, norm: torch.zeros(())  # the mean of clipped gradients is another one
    # beyond the first step, where some stages do more; and where a schedule in steps agrees for both batches
    images = parts["encoder"].images // 2 if name == "encoder" else BATCH
    number = step_seed(0, images, rank) % 2**63
    torch.manual_seed(number)
    with patch.object(train_of_phone, "WARM_UPDATES", 1):  # a second update would begin where the first has led this half
        stage.step(images, torch.Generator().manual_seed(number))
    return torch.cat([(p.detach() - b).flatten() for p, b in zip(trained, before, strict=True)])


STAGE_NAMES = ("identity", "warm-up", "phone", "encoder", "few", "open", "tone", "detailer")


def free_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


@contextmanager
def two_processes(task, folder):
    """Run ``compare``, ``steps`` or ``recipe`` (see the end of this file) in two processes of one training; when the block is
    left, they have succeeded."""
    shared = os.environ | {
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        "ACCELERATE_USE_CPU": "true",
        "OMP_NUM_THREADS": "1",
    }
    folder.mkdir()
    children = [
        subprocess.Popen(
            [sys.executable, __file__, task, str(folder)],
            stderr=subprocess.PIPE,
            text=True,
            env=shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in (0, 1)
    ]
    try:
        yield
        for child in children:
            _, errors = child.communicate(timeout=240)
            assert child.returncode == 0, errors[-3000:]
    finally:
        for child in children:
            child.kill()


def test_two_processes_train_like_one(tmp_path, monkeypatch):
    monkeypatch.setattr(SynthesisLayer, "_draw", SynthesisLayer._draw)  # `run` replaces it; put it back afterwards
    with two_processes("compare", tmp_path / "two"):
        alone = run(tmp_path / "one")
    first, second = (torch.load(tmp_path / "two" / f"{rank}.pt") for rank in (0, 1))
    moved = pretrain()
    for name, weights in alone.items():
        for one, a, b in zip(weights, first[name], second[name], strict=True):
            assert torch.equal(a, b)
            torch.testing.assert_close(a, one, rtol=1e-4, atol=1e-6)
    assert any(not torch.equal(p, q) for p, q in zip(moved.generator.parameters(), alone["generator"], strict=True))
    assert (tmp_path / "two" / "gan" / "record.json").is_file()


def test_a_step_of_two_processes_is_the_mean_of_their_halves(tmp_path):
    """For every stage, with encoder and augmentation on: the processes draw differently, and end alike."""
    with two_processes("steps", tmp_path / "two"):
        halves = {name: [one_step(name, BATCH // 2, rank) for rank in (0, 1)] for name in STAGE_NAMES}
    first, second = (torch.load(tmp_path / "two" / f"{rank}.pt") for rank in (0, 1))
    for name, (a, b) in halves.items():
        assert torch.equal(first[name], second[name]), name
        wanted = (a + b) / 2
        assert wanted.norm() > 0 and (a - b).norm() > 0.05 * wanted.norm(), name  # two halves of one task, not the same half
        assert (first[name] - wanted).norm() < 0.01 * wanted.norm(), name


def recipe(folder):
    """Stage 1 as the command line runs it, data and all, in the smallest size."""
    data = DataConfig(
        resolution=32,
        detail_resolution=64,
        phone_subjects=4,
        lightings=1,
        studio_subjects=1,
        pair_subjects=1,
        val_subjects=8,
        test_subjects=4,
        test_lightings=1,
    )
    small = profile("smoke").sized(GeneratorConfig(32, 16, 2, 256, 16), 64)
    small = replace(
        small,
        data=data,
        chapter=data,
        pretrain=PretrainConfig(images=16, batch=4, warm_up=8),
    )
    recipes.train("phone", small, folder / "runs", device="cpu", progress=False)
    return recipes.Context(small, folder / "runs" / small.name, False, False, "cpu", 0, False).network("encoder").state_dict()


def test_two_processes_share_one_set_and_write_one_network(tmp_path):
    with two_processes("recipe", tmp_path / "two"):
        pass
    first, second = (torch.load(tmp_path / "two" / f"{rank}.pt") for rank in (0, 1))
    assert all(torch.equal(first[name], second[name]) for name in first)
    sets = list((tmp_path / "two" / "runs" / "data").iterdir())
    assert len(sets) == 1 and (sets[0] / "manifest.json").is_file()
    card = json.loads((tmp_path / "two" / "runs" / "smoke" / "networks" / "encoder" / "card.json").read_text())
    assert card["images"] == 16 and card["metrics"]["loss"] > 0
    networks = tmp_path / "two" / "runs" / "smoke" / "networks"
    assert json.loads((networks / "g_phone" / "card.json").read_text())["images"] == 16


def test_a_batch_that_does_not_divide_is_refused(monkeypatch):
    from accelerate import Accelerator

    monkeypatch.setattr(Accelerator, "num_processes", 3)
    with pytest.raises(InputError, match="8 does not divide among 3"):
        prepare(Regression(), device="cpu")


if __name__ == "__main__":
    from pathlib import Path

    folder, number = Path(sys.argv[2]), int(os.environ["RANK"])
    tasks = {
        "compare": lambda: run(folder, number),
        "recipe": lambda: recipe(folder),
        "steps": lambda: {name: one_step(name, BATCH, number) for name in STAGE_NAMES},
    }
    torch.save(tasks[sys.argv[1]](), folder / f"{number}.pt")
    # how long a process really waits for the others, whatever `processes` was told
    assert torch.distributed.group.WORLD._get_backend(torch.device("cpu")).options._timeout == PATIENCE
    torch.distributed.destroy_process_group()
