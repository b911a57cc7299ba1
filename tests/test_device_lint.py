"""Every stage and the pipeline, in the size of every profile, on a GPU that is not there: devices, precisions, shapes, memory.

See `imaginary`. Nothing is computed, so that the sizes of ``gpu`` and ``paper`` cost no more than small ones.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import asdict, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from imaginary import Accelerator, imagine
from torch import Tensor, nn

from studiolike.adaptation.sampling import CodeSampler
from studiolike.adaptation.train import AdaptStage, Pairs
from studiolike.config import PROFILES, GeneratorConfig, IdentityConfig, PretrainConfig, Profile, profile
from studiolike.detail import Detailer, make_scheduler
from studiolike.detail.train import DetailStage
from studiolike.features import PerceptualDistance
from studiolike.features.network import IdentityNet
from studiolike.features.train import Captures, IdentityStage
from studiolike.inversion import CodeBank, Curvature, EncoderStage
from studiolike.pipeline import StudioPipeline
from studiolike.stylegan2 import Discriminator, Encoder, Generator, phone_stage
from studiolike.training import Stage, fit

PRECISIONS = {"no": None, "fp16": torch.float16, "bf16": torch.bfloat16}
PROCESSES = {"paper": 4}  # that share a batch; the other profiles are for one device
T4, A100 = 15.0, 40.0  # GB


class Blank:
    """A set of any resolution that takes no memory: noise, all of it observed."""

    def __init__(self, resolution: int, captures: int = 64):
        self.resolution, self.manifest = resolution, {"spec": {}}
        self.subject = np.arange(captures) // 2
        self.phone, self.studio, self.visibility = (
            np.broadcast_to(np.zeros((), np.uint8), (count, channels, resolution, resolution))
            for count, channels in ((captures, 3), (captures // 2, 3), (captures, 1))
        )

    def captures(self, split: str) -> Tensor:
        return torch.arange(len(self.phone), device="cpu")

    def subjects(self, split: str) -> Tensor:
        return torch.arange(len(self.studio), device="cpu")

    def phone_batch(self, rows: Tensor, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
        return self._batch(rows, 3, device), self._batch(rows, 1, device)

    def studio_batch(self, rows: Tensor, device: torch.device | str = "cpu") -> Tensor:
        return self._batch(rows, 3, device)

    def _batch(self, rows: Tensor, channels: int, device: torch.device | str) -> Tensor:
        shape = len(rows), channels, self.resolution, self.resolution
        texels = torch.randint(0 if channels == 3 else 255, 256, shape, dtype=torch.uint8, device="cpu")
        return texels.to(device).float() / 255


def networks(settings: Profile) -> SimpleNamespace:
    """All networks of a profile's size, on the device of the block."""
    size = settings.generator
    g_phone = Generator(**asdict(size))
    return SimpleNamespace(
        g_phone=g_phone,
        g_studio=Generator(**asdict(size)),
        d_phone=Discriminator(size.resolution, size.channel_base, size.channel_max),
        encoder=Encoder(size.resolution, size.w_dim, size.channel_base, size.channel_max),
        curvature=Curvature(g_phone.num_ws, size.w_dim),
        detailer=Detailer(settings.detail.channels, low_resolution=size.resolution, resolution=settings.detail.resolution),
        identity=IdentityNet.named("identity", resolution=settings.identity.resolution),
    )


def identity(settings: Profile) -> Stage:
    side = settings.identity.resolution
    captures = Captures.__new__(Captures)
    captures.textures = torch.randint(256, (256, 3, side, side), dtype=torch.uint8, device="cpu")
    captures.visibility = torch.full_like(captures.textures[:, :1], 255)
    captures.labels = torch.arange(256, device="cpu") // 2
    captures.subjects, captures.studio = 128, captures.labels > 127
    return IdentityStage(IdentityNet.named("identity", resolution=side), settings.identity, captures)


def phone(settings: Profile) -> Stage:
    stage = phone_stage(settings, Blank(settings.generator.resolution))
    stage.rebased = True
    return stage


def encoder(settings: Profile) -> Stage:
    made = networks(settings)
    return EncoderStage(settings.encoder, made.encoder, made.g_phone, Blank(settings.generator.resolution))


def adapt(settings: Profile) -> Stage:
    made, data = networks(settings), Blank(settings.generator.resolution)
    codes = torch.randn(64, made.g_phone.num_ws, settings.generator.w_dim, device="cpu")
    bank = CodeBank(codes, torch.arange(64, device="cpu"), codes[:, 0, 0], {})
    studio = torch.randint(256, (64, 3, data.resolution, data.resolution), dtype=torch.uint8, device="cpu")
    sampler = CodeSampler(settings.adapt.codes, made.g_phone, bank)
    pairs = Pairs(codes, studio)
    return AdaptStage(settings.adapt, made.g_phone, made.d_phone, sampler, studio, pairs, identity=made.identity, held_out=studio)


def detailer(settings: Profile) -> Stage:
    made, data = networks(settings), Blank(settings.detail.resolution)
    return DetailStage(
        settings.detail,
        data.studio,
        data.phone,
        data.visibility,
        data.subject,
        low_resolution=settings.generator.resolution,
        model=made.detailer,
    )


STAGES: dict[str, Callable[[Profile], Stage]] = {f.__name__: f for f in (identity, phone, encoder, adapt, detailer)}


def late(name: str, settings: Profile) -> int:
    """Images after which a step does all that it ever does: the game is on, R1's turn, statistics, but no schedule has ended."""
    config = {"phone": settings.pretrain, "adapt": settings.adapt}.get(name)
    if config is None:
        return {"identity": settings.identity, "encoder": settings.encoder, "detailer": settings.detail}[name].batch
    start = config.warm_up if name == "phone" else round(config.warm_up * config.images)
    turn = config.batch * config.r1_every
    return -(-start // turn) * turn


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setattr(IdentityNet, "_initialise", lambda self, seed: None)  # draws on the CPU, whatever the default device
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Accessing the data pointer of FakeTensor")
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        yield


# smoke has the generator of cpu: only what differs is looked at twice
PLACES = [(stage, name) for stage in STAGES for name in PROFILES if name != "smoke" or stage in ("identity", "detailer")]


def test_smoke_has_the_generator_of_cpu():
    assert profile("smoke").generator == profile("cpu").generator


@pytest.mark.parametrize("stage, name", PLACES)
def test_a_step_of_every_stage_stays_on_its_device(stage, name):
    settings = profile(name)
    with imagine("cuda"):
        with torch.device("cuda"):
            made = STAGES[stage](settings)
        Accelerator("cuda", PRECISIONS[settings.precision]).prepare(made)
        assert made.step(late(stage, settings), torch.Generator())
        assert {p.device.type for m in made.modules.values() for p in m.parameters()} == {"cuda"}


@pytest.mark.parametrize("name", [name for name in PROFILES if name != "smoke"])
def test_the_pipeline_and_what_chapters_call_stay_on_their_device(name):
    settings = profile(name)
    with imagine("cuda"):
        with torch.device("cuda"):
            made = networks(settings)
        parts = ("g_phone", "d_phone", "encoder", "curvature", "g_studio", "detailer")
        pipe = StudioPipeline(**{part: getattr(made, part) for part in parts}, scheduler=make_scheduler())
        assert pipe.device.type == "cuda"
        texture, visibility = Blank(settings.detail.resolution).phone_batch(range(2))
        quick = {"resolution": settings.detail.resolution, "steps": 1, "inversion": replace(settings.inversion, steps=1)}
        made = pipe(texture, visibility, **quick)
        assert made.texture.shape == texture.shape and made.texture.device.type == "cuda"
        assert {made.w_plus.dtype, made.texture.dtype, made.studio_lr.dtype} == {torch.float32}
        PerceptualDistance(pipe.d_phone, signed=True)(made.studio_lr, made.reconstruction)


@pytest.mark.parametrize("name", ["gpu", "paper"])
def test_every_stage_fits_its_device(name, capsys):
    settings, limit = profile(name), {"gpu": T4, "paper": A100}[name]
    processes, peaks = PROCESSES.get(name, 1), {}
    for stage, make in STAGES.items():
        if stage == "encoder":  # a part of a step of the phone stage
            continue
        with imagine("cpu") as memory:
            made = Accelerator("cpu", torch.bfloat16, processes).prepare(make(settings))
            memory.peak = before = memory.now
            made.step(late(stage, settings), torch.Generator())
            peaks[stage] = (memory.peak + memory.now - before) / 1e9  # in all later steps Adam's moments are there from the start
            assert {p.dtype for m in made.modules.values() for p in m.parameters()} == {torch.float32}
    with capsys.disabled():
        table = " · ".join(f"{stage} {peak:.1f}" for stage, peak in peaks.items())
        print(f"\n{name}, {processes} process(es), GB of {limit:.0f} at the peak of a step: {table}")
    assert max(peaks.values()) < 0.9 * limit  # kernels want workspace, and an allocator leaves gaps
    assert min(peaks.values()) > 0.05


class Broken(Stage):
    """Adds a mask that somebody forgot on the CPU."""

    name, batch = "broken", 2

    def __init__(self):
        self.net = nn.Linear(3, 3)
        self.mask = torch.ones(2, 3, device="cpu")
        self.modules, self.optimizers = {"net": self.net}, {"adam": torch.optim.Adam(self.net.parameters())}

    def step(self, images, rng):
        x = torch.randn(2, 3, generator=rng, device="cpu").to(self.accelerator.device)
        loss = (self.modules["net"](x) * self.mask).mean()
        self.accelerator.backward(loss)
        self.optimizers["adam"].step()
        return {"loss": loss.item()}


def test_mixed_devices_are_caught():
    for device in ("cuda", "cpu"):
        with imagine(device), torch.device(device):
            broken = Accelerator(device).prepare(Broken())
            if device == "cpu":
                broken.step(0, torch.Generator())
                continue
            with pytest.raises(RuntimeError, match="device"):
                broken.step(0, torch.Generator())


def test_memory_counts_what_is_kept_for_the_way_back_and_forgets_what_is_freed():
    with imagine("cpu") as memory:
        layers = nn.Sequential(*(nn.Sequential(nn.Linear(256, 256), nn.Tanh()) for _ in range(4)))
        weights = memory.now
        assert weights == 4 * 4 * (256 * 256 + 256)
        loss = layers(torch.zeros(1024, 256)).sum()
        kept = memory.now - weights
        activation = 4 * 1024 * 256
        assert 4 * activation <= kept <= 6 * activation  # of every layer the output of tanh, and the input
        loss.backward()
        del loss
        assert memory.now == 2 * weights and memory.peak > weights + kept


TINY = replace(
    profile("smoke").sized(GeneratorConfig(32, 16, 2, 256, 16), 64),
    pretrain=PretrainConfig(images=64, batch=4, warm_up=0),
    identity=IdentityConfig(64, 64, 8),
)


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_steps_in_bfloat16(stage, tmp_path, monkeypatch):
    monkeypatch.setattr("studiolike.features.train.warm_start", lambda *args: None)
    torch.manual_seed(0)
    made = STAGES[stage](TINY)
    if stage == "phone":
        made.rebased = False  # or the end would fit a new mapping network
    before = [p.detach().clone() for m in made.modules.values() for p in m.parameters()]
    record = fit(made, 2 * made.batch, tmp_path, device="cpu", precision="bf16", progress=False, preview_every=10**6)
    assert record.metrics and all(np.isfinite(v) for v in record.metrics.values())
    after = [p.detach() for m in made.modules.values() for p in m.parameters()]
    assert {p.dtype for p in after} == {torch.float32}
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
