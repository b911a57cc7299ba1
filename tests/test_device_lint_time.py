"""How long the chapters train on a Colab T4, counted and not measured: images × what an image costs there.

An image costs its operations, counted on tensors without numbers, and its share of the launching of a step's kernels. What
chapters do besides, drawing people, pictures and scores, is not counted; so training may take a third of the hour only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from imaginary import Accelerator, imagine
from test_device_lint import STAGES, late, quiet  # noqa: F401 a fixture
from torch.utils.flop_counter import FlopCounterMode

from studiolike.config import Profile, profile
from studiolike.experiments.few_shot import FewShotLaboratory
from studiolike.experiments.inversion import variants
from studiolike.experiments.pretraining import _small
from studiolike.stylegan2 import Generator, losses
from studiolike.training import Stage

HOUR = 3600.0
T4 = 65e12 / 20  # float16 operations in a second: NVIDIA's data sheet says 65e12, small convolutions reach a twentieth
LAUNCH = 0.2  # s a step: 0.1 s for a step of the game on an H200 (CONTRIBUTING.md), whose host is faster than Colab's


def operations(work: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def image_of_stage(name: str, settings: Profile) -> float:
    """Seconds that one image of a training costs, at a step that does all that it ever does."""
    with imagine("cpu"):
        made: Stage = Accelerator("cpu", torch.bfloat16).prepare(STAGES[name](settings))
        count = operations(lambda: made.step(late(name, settings), torch.Generator()))
    return (count / T4 + LAUNCH) / made.batch


def image_of_contest(settings: Profile) -> float:
    """The larger of chapter 2's two small discriminators, looking at a real and a false picture."""
    size, batch = settings.generator.resolution, settings.pretrain.batch
    with imagine("cpu"):
        judge, rgb = _small(size, 1024, 64, 4), torch.zeros(batch, 3, size, size)
        count = operations(lambda: losses.discriminator_loss(judge(rgb, rgb[:, :1]), judge(rgb, rgb[:, :1])).backward())
    return (count / T4 + LAUNCH) / batch


def image_of_inversion(settings: Profile) -> float:
    """A gradient of the generator by one code."""
    size, batch = settings.generator, settings.inversion.batch
    with imagine("cpu"):
        g_phone = Generator(size.resolution, size.w_dim, size.mapping_layers, size.channel_base, size.channel_max)
        codes = torch.zeros(batch, g_phone.num_ws, size.w_dim, requires_grad=True)
        count = operations(lambda: g_phone.synthesis(codes).square().sum().backward())
    return (count / T4 + LAUNCH) / batch


def trained(settings: Profile) -> dict[str, dict[str, float]]:
    """Chapter → kind of work → images, as the chapters and their laboratories ask for them; the others train nothing."""
    live, contest, base = settings.live_images, settings.contest_images, settings.inversion
    lab = FewShotLaboratory.__new__(FewShotLaboratory)
    lab.live = settings.adapt
    short = max(live // 4, 2 * settings.adapt.batch)
    steps = sum(one.steps for one in variants(base).values()) + 11 * base.steps  # and Adam, once short and once long
    return {
        "ch02": {"warm-up": live / 2, "phone": live / 2, "contest": (2 + 2 * 2) * contest},
        "ch03": {"inversion": steps * base.batch},
        "ch04": {"few": live + len(lab.switched_off()) * short + live // 2},
        "ch05": {"detailer": live},
    }


@pytest.mark.slow
def test_what_the_chapters_train_on_a_t4_takes_a_third_of_an_hour_at_most(capsys):
    gpu = profile("gpu")
    # chapters 3 to 5 begin with the released networks, which have the size of `cpu`
    released = gpu.sized(profile("cpu").generator, gpu.detail.resolution)
    crops = replace(released, detail=replace(released.detail, crop=64))
    cost = {name: image_of_stage(name, gpu) for name in ("warm-up", "phone")}
    cost |= {"few": image_of_stage("few", released), "detailer": image_of_stage("detailer", crops)}
    cost |= {"contest": image_of_contest(gpu), "inversion": image_of_inversion(released)}
    seconds = {chapter: sum(images * cost[kind] for kind, images in work.items()) for chapter, work in trained(gpu).items()}
    with capsys.disabled():
        print("\ncounted on a T4: " + ", ".join(f"{name} {count:.0f} s" for name, count in seconds.items()))
    assert min(cost.values()) > 0.001  # something was counted
    assert sum(seconds.values()) < HOUR / 3
