"""Training of the detailer, on what it will be given: G_studio's real errors, fused with captures as they come in.

A step draws captures of people whose true texture the protocol shows, disturbs them (`adaptation.disturb`), runs the chain
up to fusion, and asks for the residual to the true texture, on crops. For some samples the phone is hidden, so that the
network also learns what to draw where nobody tells it.

Loss: velocity prediction with Min-SNR-5 weights (Hang et al., ICCV 2023), ``min(SNR, 5) / (SNR + 1)``. They
vanish at pure noise, where a sampler of few steps takes its first and longest step and everything must come from
the conditions; so they are kept above a floor (our choice).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..adaptation.captures import disturb
from ..averages import average_of, update_average
from ..config import DetailConfig
from ..errors import InputError
from ..io import write_image
from ..tone.translation import translate
from ..training import Stage, was_skipped
from .model import Detailer, haar, make_scheduler, upsample
from .sample import detail

if TYPE_CHECKING:
    from ..synth import TextureSet
    from ..tone import ToneNet

FLOOR = 0.5  # of the loss weight: in the noisy steps all that the network knows comes from the conditions


def velocity(clean: Tensor, noise: Tensor, signal: Tensor, sigma: Tensor) -> Tensor:
    """v = signal · ε − sigma · x₀, for x_t = signal · x₀ + sigma · ε (Salimans & Ho 2022, appendix D)."""
    return signal * noise - sigma * clean


def clean_from_velocity(noisy: Tensor, v: Tensor, signal: Tensor, sigma: Tensor) -> Tensor:
    """x₀ = signal · x_t − sigma · v; finite at zero signal, which a noise prediction is not."""
    return signal * noisy - sigma * v


def min_snr_weight(snr: Tensor, gamma: float = 5.0, floor: float = 0.0) -> Tensor:
    """Min-SNR weight of a velocity loss: ``min(SNR, γ) / (SNR + 1)``, at least ``floor``; finite at SNR 0."""
    return (snr.clamp_max(gamma) / (snr + 1)).clamp_min(floor)


def velocity_loss(network: nn.Module, powers: Tensor, clean: Tensor, conditions: Tensor, rng: torch.Generator) -> Tensor:
    """Weighted loss of a network that predicts velocities; time steps are stratified over the batch, and dense at the noisy end,
    where a sampler of few steps spends them.

    Args:
        powers: signal power of every time step. clean: scaled residuals ``(B, 3, H, W)``. conditions: ``(B, C, H, W)``.
    """
    count, end = len(clean), len(powers)
    places = 1 - ((torch.arange(count) + torch.rand(count, generator=rng)) / count).square()
    steps = (places * end).long().clamp_max(end - 1)
    power = powers[steps].to(clean).view(-1, 1, 1, 1)
    signal, sigma = power.sqrt(), (1 - power).sqrt()
    noise = torch.randn(tuple(clean.shape), generator=rng).to(clean)
    predicted = network(signal * clean + sigma * noise, steps.to(clean.device), conditions)
    target = velocity(clean, noise, signal, sigma)
    error = F.mse_loss(predicted.float(), target, reduction="none").mean((1, 2, 3))
    return (min_snr_weight((power / (1 - power)).flatten(), floor=FLOOR) * error).mean()


class DetailStage(Stage):
    """One trainable detailer and the data it learns from.

    Args:
        config: sizes and amounts; ``config.images`` is also the length of the learning-rate schedule.
        data: a `TextureSet` of at least the generator's resolution, as its protocol allows it to be read.
        rows: captures to train on ``(N,)``; their people's true textures are read.
        g_phone, encoder, g_studio, tone: the chain before the detailer, at rest.
        model: continue with this model; default a new one whose residual scale is measured on the data.
        share: of the captures that are disturbed.
        seed: initial weights.
        model_settings: further arguments of `Detailer`, e.g. ``{"gradient_kind": "raw"}``.
    Raises:
        InputError: no captures, or textures smaller than the generator's.
    """

    name = "detailer"

    def __init__(
        self,
        config: DetailConfig,
        data: TextureSet,
        rows: Tensor,
        *,
        g_phone: nn.Module,
        encoder: nn.Module,
        g_studio: nn.Module,
        tone: ToneNet | None = None,
        model: Detailer | None = None,
        share: float = 0.7,
        seed: int = 0,
        model_settings: dict[str, Any] | None = None,
    ):
        self.config, self.batch, self.data, self.share = config, config.batch, data, share
        self.rows = torch.as_tensor(rows, dtype=torch.long)
        if not len(self.rows):
            raise InputError("no captures to train the detailer on; widen the data set or the rows")
        if data.resolution < g_studio.config.resolution:
            raise InputError(f"textures of {data.resolution} texels are smaller than the generator's: make a larger set")
        self.chain = [None if m is None else m.eval().requires_grad_(False) for m in (g_phone, encoder, g_studio, tone)]
        self.crop = min(config.crop, data.resolution)
        if model is None:
            settings = {"residual_scale": 1.0, **(model_settings or {})}
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                model = Detailer(tuple(config.channels), resolution=data.resolution, **settings)
            self.model = model
            self._measure(seed, keep=model_settings or {})
        self.model = model.train()
        self.average = average_of(model)
        self.modules = {"detailer": model}
        self.optimizers = {"detailer": torch.optim.AdamW(model.parameters(), config.lr, (0.9, 0.99), weight_decay=1e-3)}
        self.powers = make_scheduler().alphas_cumprod

    # data

    def _measure(self, seed: int, keep: dict[str, Any]) -> None:
        """Set the model's residual scale and band powers from some samples. Settings in ``keep`` are left alone."""
        rng = torch.Generator().manual_seed(seed)
        drawn = torch.cat([self.draw(8, rng)[0] for _ in range(8)]) * self.model.config.residual_scale
        scale = keep.get("residual_scale", round(max(float(drawn.square().mean().sqrt()), 1e-3), 5))
        power = haar(drawn / scale).square().mean((0, 2, 3)).clamp_min(1e-3)
        power = keep.get("band_power", [round(p, 5) for p in power.tolist()])
        self.model.register_to_config(residual_scale=scale, band_power=tuple(power))

    @torch.no_grad()
    def material(self, rows: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What the chain has before the detailer, of disturbed captures: phone texture, visibility, the generator's texture
        enlarged, and the true one; all ``(B, ·, H, H)`` in [0, 1]."""
        g_phone, encoder, g_studio, tone = (None if m is None else m.to(self.model.device) for m in self.chain)
        truth = self.data.studio_batch(torch.as_tensor(self.data.subject)[rows], self.model.device)
        phone, seen = disturb(*self.data.phone_batch(rows, self.model.device), rng, self.share)
        return phone, seen, upsample(translate(g_phone, encoder, g_studio, tone, phone, seen), phone.shape[-1]), truth

    def draw(self, count: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw crops: clean scaled residual ``(B, 3, c, c)``, conditions ``(B, 14, c, c)``.

        A capture that went through the chain is cut ``config.crops`` times: the chain costs more than a crop's step.
        """
        captures = -(-count // self.config.crops)
        rows = self.rows[torch.randint(len(self.rows), (captures,), generator=rng)]
        phone, seen, studio, truth = self.material(rows, rng)
        guided = (torch.rand(captures, generator=rng) >= self.config.hidden).to(phone.device)
        base = self.model.base(phone, seen, studio, guided)
        conditions = self.model.conditions(phone, seen, studio, base, guided)
        clean = (truth - base) / self.model.config.residual_scale
        # even places: the network works on blocks of 2×2 texels
        corners = 2 * torch.randint((truth.shape[-1] - self.crop) // 2 + 1, (count, 2), generator=rng)
        cut = [
            (k % captures, slice(None), slice(y, y + self.crop), slice(x, x + self.crop))
            for k, (y, x) in enumerate(corners.tolist())
        ]
        return torch.stack([clean[c] for c in cut]), torch.stack([conditions[c] for c in cut])

    # training

    def step(self, images: int, rng: torch.Generator) -> dict[str, float]:
        """One step; everything that depends on progress is a function of ``images``, so a resume is exact."""
        total = max(self.config.images, 1)
        optimizer = self.optimizers["detailer"]
        for group in optimizer.param_groups:
            group["lr"] = self.config.lr * self._rate(images / total)
        count = max(self.batch // self.accelerator.num_processes, 1)
        with self.accelerator.autocast():
            loss = velocity_loss(self.modules["detailer"], self.powers, *self.draw(count, rng), rng)
        optimizer.zero_grad(set_to_none=True)
        self.accelerator.backward(loss)
        norm = self.accelerator.clip_grad_norm_(self.modules["detailer"].parameters(), 1.0)
        optimizer.step()
        if not was_skipped(optimizer):
            self._average(images, total)
        return {"loss": float(loss.detach()), "gradient": float(norm)}

    @staticmethod
    def _rate(done: float) -> float:
        """Learning-rate factor: linear over the first 2 %, then half a cosine down to 5 %."""
        return min(done / 0.02 + 0.05, 1.0) * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * min(done, 1.0))))

    @torch.no_grad()
    def _average(self, images: int, total: int) -> None:
        """Moving average of the weights; its half-life grows to a fortieth of the run."""
        half_life = max(min(total / 40, images / 10), 1e-3)
        keep = 0.5 ** (self.batch / half_life)
        update_average(self.average.to(self.model.device), self.model, keep)

    def state_dict(self) -> dict[str, Any]:
        """The averaged weights, and the scales, which were measured and not configured."""
        scales = [self.model.config.residual_scale, *self.model.config.band_power]
        return {"average": self.average.state_dict(), "scales": scales}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.average.load_state_dict(state["average"])
        for model in (self.model, self.average):
            model.register_to_config(residual_scale=state["scales"][0], band_power=tuple(state["scales"][1:]))

    def preview(self, path: Path) -> None:
        """Rows of generator's texture, phone texture, fusion, result, truth, for up to three captures."""
        self.average.to(self.model.device)
        chosen = self.rows[torch.linspace(0, len(self.rows) - 1, min(3, len(self.rows))).long()]
        rng = torch.Generator().manual_seed(0)
        phone, seen, studio, truth = self.material(chosen, rng)
        result = detail(self.average, studio, phone, seen, self.config.sample_steps, generator=rng)
        columns = [studio, phone * seen, self.average.base(phone, seen, studio), result, truth]
        write_image(torch.cat(list(torch.cat(columns, 3)), 1).cpu(), path)
