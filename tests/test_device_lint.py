"""Every stage and the pipeline, in the size of every profile, on a GPU that is not there: devices, precisions, shapes, memory.

See `imaginary`. Nothing is computed, so that the sizes of ``gpu`` and ``paper`` cost no more than small ones.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
import torch
from imaginary import Accelerator, imagine, numbers
from torch import Tensor, nn

from studiolike.adaptation import AdaptStage, CodeSampler, EncodedCaptures, EncodedPairs
from studiolike.adaptation.sampling import CODES
from studiolike.config import PROFILES, GeneratorConfig, IdentityConfig, PretrainConfig, Profile, profile
from studiolike.detail import Detailer, make_scheduler
from studiolike.detail.train import DetailStage
from studiolike.features import PerceptualDistance
from studiolike.features.network import IdentityNet
from studiolike.features.train import Captures, IdentityStage
from studiolike.inversion import CodeBank, Curvature, EncoderStage
from studiolike.pipeline import StudioPipeline
from studiolike.protocols import paired_captures, permitted
from studiolike.stylegan2 import Discriminator, Encoder, GameStage, Generator, WarmUpStage, phone_networks
from studiolike.stylegan2.rebase import fit_mapping
from studiolike.tone import ToneNet, ToneStage
from studiolike.training import Stage, fit
from studiolike.weights import CHAIN

PRECISIONS = {"no": None, "fp16": torch.float16, "bf16": torch.bfloat16}
PROCESSES = {"paper": 4}  # that share a batch; the other profiles are for one device


class Device(NamedTuple):
    """A GPU, and how much memory it leaves to a program."""

    name: str
    gb: float

    def __str__(self) -> str:
        return f"the {self.gb:.0f} of {self.name}"


T4, A100 = Device("a free Colab T4", 15.0), Device("an A100 (a T4 is too small)", 40.0)
DEVICES = {"paper": A100}  # for each process; the other profiles are for a T4, or for less
SPLITS = {"phone": (0, 16), "studio": (16, 24), "pairs": (24, 28), "val": (28, 32)}


class Blank:
    """A set of any resolution that takes no memory: noise, all of it observed; two captures of everybody."""

    def __init__(self, resolution: int, captures: int = 64):
        self.resolution, self.manifest = resolution, {"spec": {}}
        self.subject = np.arange(captures) // 2
        self.phone, self.studio, self.visibility = (
            np.broadcast_to(np.zeros((), np.uint8), (count, channels, resolution, resolution))
            for count, channels in ((captures, 3), (captures // 2, 3), (captures, 1))
        )

    def captures(self, split: str) -> Tensor:
        first, end = SPLITS[split]
        return torch.arange(2 * first, 2 * end, device="cpu")

    def subjects(self, split: str) -> Tensor:
        return torch.arange(*SPLITS[split], device="cpu")

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
        tone=ToneNet(),
        detailer=Detailer(settings.detail.channels, resolution=settings.detail.resolution),
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


def phone(settings: Profile, half: type[Stage]) -> Stage:
    return half(settings.pretrain, phone_networks(settings), Blank(settings.generator.resolution))


def encoder(settings: Profile) -> Stage:
    made = networks(settings)
    return EncoderStage(settings.encoder, made.encoder, made.g_phone, Blank(settings.generator.resolution))


def adapt(settings: Profile, protocol: str) -> Stage:
    """As `train_studio` makes it."""
    config, made = settings.adaptation(protocol), networks(settings)
    with numbers():
        data = permitted(Blank(settings.generator.resolution), protocol)
        rows = data.captures("phone"), paired_captures(data, protocol)
        everybody, known = (EncodedCaptures(data, r, made.encoder, made.g_phone, share=config.disturbed) for r in rows)
    side = settings.generator.resolution
    studio = torch.randint(256, (64, 3, side, side), dtype=torch.uint8, device="cpu")
    watched = {"identity": made.identity, "held_out": studio}
    return AdaptStage(config, made.g_phone, made.d_phone, everybody, studio, EncodedPairs(known), **watched)


def tone(settings: Profile) -> Stage:
    with numbers():
        data = permitted(Blank(settings.generator.resolution), "few", watch=True)
        made = ToneStage(settings.tone, data, "few")
    for module in made.modules.values():
        module.to(torch.empty(0).device)
    return made


def detailer(settings: Profile) -> Stage:
    made = networks(settings)
    with numbers():
        data = permitted(Blank(settings.detail.resolution), "open")
        rows = paired_captures(data, "open")
    chain = {name: getattr(made, name) for name in ("g_phone", "encoder", "g_studio", "tone")}
    return DetailStage(settings.detail, data, rows, **chain, model=made.detailer)


STAGES: dict[str, Callable[[Profile], Stage]] = {
    "identity": identity,
    "warm-up": partial(phone, half=WarmUpStage),
    "phone": partial(phone, half=GameStage),
    "encoder": encoder,
    "few": partial(adapt, protocol="few"),
    "open": partial(adapt, protocol="open"),
    "tone": tone,
    "detailer": detailer,
}


def late(name: str, settings: Profile) -> int:
    """Images after which a step does all that it ever does: the game is on, R1's turn, statistics, but no schedule has ended."""
    config = {"phone": settings.pretrain, "few": settings.adapt, "open": settings.adapt_open}.get(name)
    if config is None:
        first = {"warm-up": "pretrain", "detailer": "detail"}.get(name, name)
        return getattr(settings, first).batch
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


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("name", PROFILES)
def test_a_step_of_every_stage_stays_on_its_device(stage, name):
    settings = profile(name)
    with imagine("cuda"):
        with torch.device("cuda"):
            made = STAGES[stage](settings)
        Accelerator("cuda", PRECISIONS[settings.precision]).prepare(made)
        assert made.step(late(stage, settings), torch.Generator())
        assert {p.device.type for m in made.modules.values() for p in m.parameters()} == {"cuda"}


@pytest.mark.parametrize("name", PROFILES)
def test_the_pipeline_and_what_chapters_call_stay_on_their_device(name):
    settings = profile(name)
    with imagine("cuda"):
        with torch.device("cuda"):
            made = networks(settings)
        pipe = StudioPipeline(**{part: getattr(made, part) for part in CHAIN}, scheduler=make_scheduler())
        assert pipe.device.type == "cuda"
        texture, visibility = Blank(settings.detail.resolution).phone_batch(range(2))
        for guided, finer in ((True, 1), (True, 2), (False, 2)):  # finer than the detailer: fused once more
            size = finer * settings.detail.resolution
            out = pipe(texture, visibility, resolution=size, steps=1, guided=guided)
            assert out.texture.shape == (2, 3, size, size) and out.texture.device.type == "cuda"
        assert {out.w_plus.dtype, out.texture.dtype, out.studio_lr.dtype} == {torch.float32}
        found = pipe.invert(texture, visibility, replace(settings.inversion, steps=1))
        assert pipe.translate(found.w_plus).device.type == "cuda"
        PerceptualDistance(made.d_phone, signed=True)(out.studio_lr, out.reconstruction)
        codes = out.w_plus.new_zeros(8, *out.w_plus.shape[1:])
        bank = CodeBank(codes.cpu(), torch.arange(8), torch.zeros(8), {})
        for mode in CODES:
            drawn = CodeSampler(mode, made.g_phone, bank)(4, torch.Generator())
            assert drawn.shape == (4, *codes.shape[1:]) and drawn.device.type == "cuda"


def peak_of(stage: str, settings: Profile, processes: int) -> float:
    """GB at the peak of a step."""
    with imagine("cpu") as memory:
        made = Accelerator("cpu", torch.bfloat16, processes).prepare(STAGES[stage](settings))
        memory.peak = before = memory.now
        made.step(late(stage, settings), torch.Generator())
        assert {p.dtype for m in made.modules.values() for p in m.parameters()} == {torch.float32}
        return (memory.peak + memory.now - before) / 1e9  # in all later steps Adam's moments are there from the start


@pytest.mark.parametrize("name", PROFILES)
def test_every_stage_fits_its_device_and_the_game_is_the_largest_of_a_gpu(name, capsys):
    limit, processes = DEVICES.get(name, T4), PROCESSES.get(name, 1)
    peaks = {stage: peak_of(stage, profile(name), processes) for stage in STAGES}
    with capsys.disabled():
        told = ", ".join(f"{stage} {peak:.2g}" for stage, peak in peaks.items())
        print(f"\n{name}, {processes} process(es), GB of {limit} at the peak of a step: {told}")
    assert min(peaks.values()) > 0 and max(peaks.values()) < 0.9 * limit.gb  # kernels want workspace, an allocator leaves gaps
    if name in ("gpu", "paper"):
        assert peaks["phone"] == max(peaks.values())
    assert (max(peaks.values()) < 0.9 * T4.gb) == (limit is T4)  # a larger device is named only where it is needed


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
    pretrain=PretrainConfig(images=64, batch=4, warm_up=16),
    identity=IdentityConfig(64, 64, 8),
)


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_steps_in_bfloat16(stage, tmp_path, monkeypatch):
    monkeypatch.setattr("studiolike.features.train.warm_start", lambda *args: None)
    monkeypatch.setattr("studiolike.stylegan2.train.fit_mapping", partial(fit_mapping, steps=10))
    torch.manual_seed(0)
    made = STAGES[stage](TINY)
    before = [p.detach().clone() for m in made.modules.values() for p in m.parameters()]
    record = fit(made, 2 * made.batch, tmp_path, device="cpu", precision="bf16", progress=False, preview_every=10**6)
    assert record.metrics and all(np.isfinite(v) for v in record.metrics.values())
    after = [p.detach() for m in made.modules.values() for p in m.parameters()]
    assert {p.dtype for p in after} == {torch.float32}
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
