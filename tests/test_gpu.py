"""On a real GPU: every stage, the chain, the command and the chapters, beside what the CPU computes.

The device lint asks the same of a GPU that is not there; only a real one has kernels, an autograd engine and float16.
Skipped where there is none.
"""

from __future__ import annotations

import copy
import re
import warnings
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from test_device_lint import STAGES, T4, Blank, late
from test_pipeline import phone  # noqa: F401

from studiolike import io, recipes, weights
from studiolike.cli import main
from studiolike.config import InversionConfig, profile
from studiolike.image import resize
from studiolike.pipeline import StudioPipeline
from studiolike.run_record import read_log
from studiolike.stylegan2 import GameStage, phone_networks
from studiolike.synth import phone_capture, studio_texture, synthesise_subjects
from studiolike.training import fit, prepare

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")]

CUDA = "cuda"
CHAPTERS = sorted((Path(__file__).parents[1] / "notebooks").glob("ch0*.py"))


def numbers(stage) -> torch.Tensor:
    return torch.cat([p.detach().float().cpu().flatten() for m in stage.modules.values() for p in m.parameters()])


def stepped(name: str, settings, device: str, precision: str):
    """A stage after one late step: its scalars, how far the weights moved, and the stage."""
    torch.manual_seed(0)
    made = STAGES[name](settings)
    for module in made.modules.values():
        for part in module.modules():
            if isinstance(part, torch.nn.Dropout):
                part.p = 0.0  # each device has random numbers of its own
    before = numbers(made)
    prepare(made, device=device, precision=precision)
    torch.manual_seed(1)
    scalars = made.step(late(name, settings), torch.Generator().manual_seed(2))
    return scalars, numbers(made) - before, made


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
@pytest.mark.parametrize("name", STAGES)
def test_a_step_of_every_stage_in_the_size_of_the_profile_gpu(name, precision):
    settings = profile("gpu")
    torch.cuda.reset_peak_memory_stats()
    _, _, made = stepped(name, settings, CUDA, precision)
    scalars = made.step(late(name, settings), torch.Generator().manual_seed(3))  # the first in float16 may have been skipped
    peak = torch.cuda.max_memory_allocated() / 1e9
    print(f"gpu, {name}, {precision}: {peak:.2f} of {T4.gb:.0f} GB")
    assert all(torch.isfinite(torch.tensor(value)) for value in scalars.values()), scalars
    assert torch.isfinite(numbers(made)).all()
    assert {p.device.type for m in made.modules.values() for p in m.parameters()} == {CUDA}
    assert peak < 0.9 * T4.gb


@pytest.mark.parametrize("name", STAGES)
def test_a_step_says_what_it_says_on_the_cpu(name):
    settings = profile("smoke")
    (ours, moved, _), (theirs, expected, _) = (stepped(name, settings, device, "no") for device in (CUDA, "cpu"))
    assert ours.keys() == theirs.keys()
    for key, value in theirs.items():
        assert ours[key] == pytest.approx(value, rel=0.02, abs=2e-3), key
    # Adam's first steps go by the gradients' signs: where these are all but zero, the two devices may differ
    alike = (moved.sign() == expected.sign()) | (expected.abs() < 1e-7)
    assert alike.float().mean() > 0.97


def test_a_step_in_half_precision_is_near_the_one_in_full():
    settings = profile("smoke")
    for name in ("warm-up", "open", "detailer"):
        full, half = (stepped(name, settings, CUDA, precision)[0] for precision in ("no", "bf16"))
        for key, value in full.items():
            if key != "gradient":  # its norm follows every rounding
                assert half[key] == pytest.approx(value, rel=0.15, abs=0.05), (name, key)


def test_a_run_in_float16_that_was_stopped_goes_on(tmp_path):
    settings = profile("smoke")

    def run(images: int, folder: str) -> torch.Tensor:
        made = STAGES["open"](settings)
        fit(made, images, tmp_path / folder, device=CUDA, precision="fp16", progress=False)
        return numbers(made)

    torch.manual_seed(0)
    straight = run(64, "a")
    torch.manual_seed(0)
    run(32, "b")
    resumed = run(64, "b")
    assert len(read_log(tmp_path / "b")["images"]) >= 2
    assert torch.nn.functional.cosine_similarity(straight, resumed, 0) > 0.999  # the kernels repeat themselves only nearly


def test_the_data_are_the_same_heads():
    seeds, lighting = torch.tensor([3, 70_000_001, 5_000_002]), torch.tensor([1, 2, 3])
    drawn = []
    for device in (CUDA, "cpu"):
        heads = synthesise_subjects(seeds, 128, device)
        shot = phone_capture(heads, lighting)
        assert shot.texture.device.type == device
        drawn.append([x.cpu() for x in (studio_texture(heads), shot.texture, shot.visibility)])
    for ours, theirs in zip(*drawn, strict=True):
        far = (ours - theirs).abs() > 2 / 255
        assert far.float().mean() < 0.005, far.float().mean()


@pytest.fixture(scope="module")
def pipes():
    return {device: StudioPipeline.released(device) for device in (CUDA, "cpu")}


def test_the_chain_gives_what_it_gives_on_the_cpu(pipes, phone):  # noqa: F811
    for options in (dict(steps=0), dict(steps=1), dict(steps=2, resolution=1024), dict(guided=False, steps=1)):
        options = dict(resolution=512, seed=3) | options
        ours, theirs = pipes[CUDA](*phone, **options), pipes["cpu"](*phone, **options)
        assert ours.texture.device.type == CUDA
        difference = (ours.texture.cpu() - theirs.texture).abs()
        assert difference.mean() < 1 / 255 and difference.quantile(0.999) < 6 / 255, options
        assert (ours.studio_lr.cpu() - theirs.studio_lr).abs().mean() < 1 / 255


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_chain_in_half_precision(pipes, phone, dtype):  # noqa: F811
    half = copy.deepcopy(pipes[CUDA]).to(dtype)
    ours, theirs = half(*phone, resolution=256, steps=1, seed=0), pipes[CUDA](*phone, resolution=256, steps=1, seed=0)
    assert ours.texture.dtype == torch.float32
    assert (ours.texture - theirs.texture).abs().mean() < 0.02


def test_codes_are_optimised(pipes, phone):  # noqa: F811
    found = [pipe.invert(*phone, InversionConfig(steps=8)) for pipe in pipes.values()]
    assert found[0].w_plus.device.type == CUDA
    ours, theirs = (float(f.psnr_observed.mean()) for f in (found[0], found[-1]))
    assert ours == pytest.approx(theirs, abs=0.3)


def test_the_command_converts_on_the_gpu(tmp_path, pipes):
    source = tmp_path / "phone.png"
    io.write_image(resize(weights.studio_mean(), 256)[0], source)
    for device in (CUDA, f"{CUDA}:0", "cpu"):
        options = f"--kind texture --device {device} --quiet -o".split()
        main(["convert", str(source), *options, str(tmp_path / f"{device}.png")])
    ours, theirs = (io.read_image(tmp_path / f"{device}.png", reduce_to=None) for device in (CUDA, "cpu"))
    assert abs(ours.astype(int) - theirs.astype(int)).mean() < 1.5


@pytest.mark.parametrize("name", ["smoke", "gpu"])
def test_all_stages_train_and_are_taken_up_again(tmp_path, name):
    """In the sizes of the profile, few images of few people."""
    settings, little = profile(name), profile("smoke")
    counts = {key: count for key, count in asdict(little.data).items() if key.endswith(("subjects", "lightings"))}
    amounts: dict[str, Any] = {}
    for stage in ("pretrain", "encoder", "adapt", "adapt_open", "tone", "detail", "identity"):
        own = getattr(settings, stage)
        less = {"images": 4 * own.batch} | ({"warm_up": 2 * own.batch} if stage == "pretrain" else {})
        amounts[stage] = replace(own, **less | ({"bank": 8} if stage == "adapt" else {}))
    settings = replace(
        settings, **amounts, precision="fp16", data=replace(settings.data, **counts), chapter=replace(settings.chapter, **counts)
    )
    for _ in range(2):  # the second time nothing is left to do
        recipes.train("all", settings, tmp_path, device=CUDA, progress=False)
    made = StudioPipeline.chosen(tmp_path / name, CUDA)
    assert made.g_studio.config.resolution == settings.generator.resolution
    assert all(torch.isfinite(p).all() for net in (made.g_phone, made.g_studio, made.detailer) for p in net.parameters())


def test_players_are_compiled():
    settings = profile("gpu")
    settings = replace(settings, pretrain=replace(settings.pretrain, compile=True, warm_up=0))
    stage = GameStage(settings.pretrain, phone_networks(settings), Blank(settings.generator.resolution))
    prepare(stage, device=CUDA, precision="bf16")
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # "goes on uncompiled"
        for images in (0, 32):
            scalars = stage.step(images, torch.Generator().manual_seed(images))
    assert all(torch.isfinite(torch.tensor(v)) for v in scalars.values())


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem[:4])
def test_a_chapter_runs(chapter, tmp_path, monkeypatch):
    shell_of = pytest.importorskip("IPython.core.interactiveshell").InteractiveShell
    monkeypatch.chdir(tmp_path)
    shell = shell_of.instance()
    shell.reset(new_session=False)
    for cell in re.split(r"^# %%", chapter.read_text(), flags=re.MULTILINE)[1:]:
        head, _, source = cell.partition("\n")
        if "[markdown]" in head or "[raw]" in head:
            continue
        result = shell.run_cell(re.sub(r'^profile = "auto"', 'profile = "smoke"', source, flags=re.MULTILINE), silent=True)
        result.raise_error()
