"""Training of the detailer: two kinds of coarse texture, one loss, one stage for `studiolike.training.fit`.

*A, self-degraded*: the coarse texture is the true studio texture, shrunk and disturbed (`augment.degrade`);
gradients come from a phone capture of the same subject, or, with probability ``relit``, from the studio
texture under made-up light. *C, paired*: the coarse texture is what G_studio really gave for that capture. A
run starts with A and spends its last ``config.paired_fraction`` on C, if generator outputs are given.

Loss: velocity prediction with Min-SNR-5 weights (Hang et al., ICCV 2023), ``min(SNR, 5) / (SNR + 1)``. They
vanish at pure noise, where an eight-step sampler takes its first and longest step and everything must come from
the conditions; so they are kept above a floor (our choice).
"""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..config import DetailConfig
from ..errors import InputError
from ..io import write_image
from ..training import Stage, was_skipped
from .augment import degrade, relight
from .guidance import mean_luminance
from .model import Detailer, bands, lock_grid, make_scheduler, upsample, uv_channels
from .sample import detail

FLOOR = 0.5  # of the loss weight: in the noisy steps all that the network knows comes from the conditions
MARGIN = 8  # cells of the lock grid around a crop that low passes may reach into


def velocity(clean: Tensor, noise: Tensor, signal: Tensor, sigma: Tensor) -> Tensor:
    """v = signal · ε − sigma · x₀, for x_t = signal · x₀ + sigma · ε (Salimans & Ho 2022, appendix D)."""
    return signal * noise - sigma * clean


def clean_from_velocity(noisy: Tensor, v: Tensor, signal: Tensor, sigma: Tensor) -> Tensor:
    """x₀ = signal · x_t − sigma · v; finite at zero signal, which a noise prediction is not."""
    return signal * noisy - sigma * v


def min_snr_weight(snr: Tensor, gamma: float = 5.0, floor: float = 0.0) -> Tensor:
    """Min-SNR weight of a velocity loss: ``min(SNR, γ) / (SNR + 1)``, at least ``floor``; finite at SNR 0."""
    return (snr.clamp_max(gamma) / (snr + 1)).clamp_min(floor)


def _unit(array: Any, *index: Any) -> Tensor:
    """A slice of a uint8 or float array (numpy, memory map or tensor) as float32 in [0, 1]."""
    part = array[index]
    part = part if torch.is_tensor(part) else torch.from_numpy(np.array(part))  # a copy: maps are read-only
    return part.float() / 255 if part.dtype == torch.uint8 else part.float()


class DetailStage(Stage):
    """One trainable detailer and the data it learns from.

    Args:
        config: sizes and amounts; ``config.images`` is also the length of the learning-rate schedule.
        studio: ``(S, 3, H, H)`` uint8, the true textures.
        phone: ``(N, 3, H, H)`` uint8 captures, or None: gradients then come from re-lit studio textures only.
        visibility: ``(N, 1, H, H)`` uint8, or None: everything observed.
        subject: ``(N,)`` row in ``studio`` of each capture; None: row i belongs to studio texture i.
        rows: captures to train on; default all.
        coarse: ``(len(paired_rows), 3, h, h)`` in [0, 1] or uint8: G_studio's output for those captures,
            training C.
        paired_rows: captures that ``coarse`` belongs to; default ``rows``.
        low_resolution: side h of the coarse texture; H must be a multiple.
        model: continue with this model; default a new one whose residual scale is measured on the data.
        relit: probability that a sample's gradients come from the re-lit studio texture instead of the
            capture.
        seed: initial weights.
        model_settings: further arguments of `Detailer`, e.g. ``{"gradient_kind": "raw"}``.
    Raises:
        InputError: sizes that do not fit.
    """

    name = "detailer"

    def __init__(
        self,
        config: DetailConfig,
        studio: Any,
        phone: Any = None,
        visibility: Any = None,
        subject: Any = None,
        *,
        rows: Any = None,
        coarse: Any = None,
        paired_rows: Any = None,
        low_resolution: int = 64,
        model: Detailer | None = None,
        relit: float = 0.25,
        seed: int = 0,
        model_settings: dict[str, Any] | None = None,
    ):
        self.config, self.batch = config, config.batch
        self.studio, self.phone, self.visibility, self.coarse = studio, phone, visibility, coarse
        captures = len(studio) if subject is None else len(subject)
        self.subject = np.arange(captures) if subject is None else np.asarray(subject)
        self.rows = np.arange(captures) if rows is None else np.asarray(rows)
        self.paired_rows = self.rows if paired_rows is None else np.asarray(paired_rows)
        self.relit = 1.0 if phone is None else relit
        self.full = int(studio.shape[-1])
        if self.full % low_resolution:
            raise InputError(f"textures of {self.full} texels are no multiple of the coarse side {low_resolution}")
        if coarse is not None and (coarse.shape[-1] != low_resolution or len(coarse) != len(self.paired_rows)):
            raise InputError(
                f"coarse textures {tuple(coarse.shape)} do not fit {len(self.paired_rows)} paired captures "
                f"of side {low_resolution}"
            )
        if not len(self.rows):
            raise InputError("no captures to train the detailer on; widen the data set or the rows")
        self.low, self.factor = low_resolution, self.full // low_resolution
        self.cell = math.lcm(self.factor, 4)  # crops start on cells of both the coarse and the lock grid
        self.crop = min(max(config.crop // self.cell, 1) * self.cell, self.full)
        self.window = min(self.crop + 2 * MARGIN * self.cell, self.full)
        if model is None:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                settings = {"residual_scale": 1.0, **(model_settings or {})}
                model = Detailer(tuple(config.channels), low_resolution=low_resolution, resolution=self.full, **settings)
            self._measure(model, seed, keep=model_settings or {})
        self.model = model.train()
        self.average = copy.deepcopy(model).eval().requires_grad_(False)
        self.modules = {"detailer": model}
        self.optimizers = {"detailer": torch.optim.AdamW(model.parameters(), config.lr, (0.9, 0.99), weight_decay=1e-3)}
        self.powers = make_scheduler().alphas_cumprod

    # data

    def _measure(self, model: Detailer, seed: int, keep: dict[str, Any]) -> None:
        """Set the model's residual scale and band powers from some samples of every kind of coarse texture in use.

        Settings in ``keep`` are left alone.
        """
        rng = torch.Generator().manual_seed(seed)
        kinds = [False] if self.coarse is None else [False, True]
        with torch.no_grad():
            drawn = torch.cat([self.draw(8, paired, rng, model)[0] for paired in kinds for _ in range(4)])
        drawn = drawn * model.config.residual_scale  # back to texture units
        scale = keep.get("residual_scale", round(max(float(drawn.square().mean().sqrt()), 1e-3), 5))
        power = (bands(drawn / scale).square().mean((0, 2, 3))).clamp_min(1e-3)
        power = keep.get("band_power", [round(p, 5) for p in power.tolist()])
        model.register_to_config(residual_scale=scale, band_power=tuple(power))

    def draw(
        self, count: int, paired: bool, rng: torch.Generator, model: Detailer | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Draw crops: clean scaled residual ``(B, 3, c, c)``, conditions ``(B, 8, c, c)``, level ``(B,)``."""
        model = self.model if model is None else model
        rows = self.paired_rows if paired else self.rows
        picks = torch.randint(len(rows), (count,), generator=rng).tolist()
        cells = (self.full - self.crop) // self.cell + 1
        places = torch.randint(cells, (count, 2), generator=rng) * self.cell
        origins = (places - MARGIN * self.cell).clamp(0, self.full - self.window)
        capture = [int(rows[p]) for p in picks]
        uv = uv_channels(self.full, self.full)

        def windows(array: Any, index: list[int], unit: int = 1) -> Tensor:
            size = self.window // unit
            return torch.stack(
                [
                    _unit(array, i, slice(None), slice(y, y + size), slice(x, x + size))
                    for i, (y, x) in zip(index, (origins // unit).tolist(), strict=True)
                ]
            ).to(model.device)

        people = [int(self.subject[c]) for c in capture]
        truth = windows(self.studio, people)
        seen = torch.ones_like(truth[:, :1]) if self.visibility is None else windows(self.visibility, capture)
        place = windows(uv.numpy(), [0] * count)
        phone, reference = self._phone(truth, place, seen, windows, capture, rng)
        # drawn in both kinds, so that switching to pairs changes nothing else
        degraded = degrade(truth, self.factor, rng)
        low = windows(self.coarse, picks, self.factor) if paired else degraded
        level = torch.rand(count, generator=rng).to(low) * model.config.max_level
        hidden = low + level.view(-1, 1, 1, 1) * torch.randn(tuple(low.shape), generator=rng).to(low)
        size = truth.shape[-2:]
        clean = model.residual(truth, upsample(low, size), lock_grid(low.shape[-2:], size))
        conditions = model.conditions(upsample(hidden, size), phone, seen, place, reference)
        drop = torch.rand(count, generator=rng) < self.config.gradient_dropout
        conditions = model.without_gradients(conditions, drop.to(conditions.device))
        inside = [(slice(None), slice(y, y + self.crop), slice(x, x + self.crop)) for y, x in (places - origins).tolist()]
        return (
            torch.stack([c[i] for c, i in zip(clean, inside, strict=True)]),
            torch.stack([c[i] for c, i in zip(conditions, inside, strict=True)]),
            level,
        )

    def _phone(self, truth, place, seen, windows, capture, rng) -> tuple[Tensor, Tensor]:
        """Phone-like windows and the mean luminance of the whole textures they come from."""
        choose = torch.rand(len(truth), 1, 1, 1, generator=rng).to(truth) < self.relit
        lit = relight(truth, place, rng)
        reference = mean_luminance(lit, seen)
        if self.phone is None:
            return lit, reference
        sparse = (slice(None), slice(None, None, 8), slice(None, None, 8))
        whole = torch.stack([_unit(self.phone, c, *sparse) for c in capture]).to(truth)
        mask = torch.ones_like(whole[:, :1])
        if self.visibility is not None:
            mask = torch.stack([_unit(self.visibility, c, *sparse) for c in capture]).to(truth)
        phone = windows(self.phone, capture)
        return torch.where(choose, lit, phone), torch.where(choose, reference, mean_luminance(whole, mask))

    # training

    def step(self, images: int, rng: torch.Generator) -> dict[str, float]:
        """One step; everything that depends on progress is a function of ``images``, so a resume is exact."""
        total = max(self.config.images, 1)
        paired = self.coarse is not None and images >= total * (1 - self.config.paired_fraction)
        rate = self._rate(images / total)
        optimizer = self.optimizers["detailer"]
        for group in optimizer.param_groups:
            group["lr"] = self.config.lr * rate
        count = max(self.batch // self.accelerator.num_processes, 1)
        loss = self.loss(*self.draw(count, paired, rng), rng)
        optimizer.zero_grad(set_to_none=True)
        self.accelerator.backward(loss)
        norm = self.accelerator.clip_grad_norm_(self.modules["detailer"].parameters(), 1.0)
        optimizer.step()
        if not was_skipped(optimizer):
            self._average(images, total)
        return {"loss": float(loss.detach()), "gradient": float(norm), "paired": float(paired)}

    def loss(self, clean: Tensor, conditions: Tensor, level: Tensor, rng: torch.Generator) -> Tensor:
        """Weighted velocity loss of crops from `draw`; time steps are stratified over the batch."""
        count = len(clean)
        offset = torch.rand(count, generator=rng)
        end = len(self.powers)
        steps = ((torch.arange(count) + offset) / count * end).long().clamp_max(end - 1)
        power = self.powers[steps].to(clean).view(-1, 1, 1, 1)
        signal, sigma = power.sqrt(), (1 - power).sqrt()
        noise = torch.randn(tuple(clean.shape), generator=rng).to(clean)
        noisy = signal * clean + sigma * noise
        predicted = self.modules["detailer"](noisy, steps.to(clean.device), conditions, level)
        target = velocity(clean, noise, signal, sigma)
        error = F.mse_loss(predicted.float(), target, reduction="none").mean((1, 2, 3))
        weight = min_snr_weight((power / (1 - power)).flatten(), floor=FLOOR)
        return (weight * error).mean()

    @staticmethod
    def _rate(done: float) -> float:
        """Learning-rate factor: linear over the first 2 %, then half a cosine down to 5 %."""
        return min(done / 0.02 + 0.05, 1.0) * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * min(done, 1.0))))

    @torch.no_grad()
    def _average(self, images: int, total: int) -> None:
        """Moving average of the weights; its half-life grows to a fortieth of the run."""
        half_life = max(min(total / 40, images / 10), 1e-3)
        keep = 0.5 ** (self.batch / half_life)
        for mean, new in zip(self.average.parameters(), self.model.parameters(), strict=True):
            mean.lerp_(new.to(mean), 1 - keep)

    def state_dict(self) -> dict[str, Any]:
        """The averaged weights, and the scales, which were measured and not configured."""
        scales = [self.model.config.residual_scale, *self.model.config.band_power]
        return {"average": self.average.state_dict(), "scales": scales}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.average.load_state_dict(state["average"])
        for model in (self.model, self.average):
            model.register_to_config(residual_scale=state["scales"][0], band_power=tuple(state["scales"][1:]))

    def preview(self, path: Path) -> None:
        """Rows of coarse texture, phone texture, result, truth, for up to three captures."""
        self.average.to(self.model.device)
        chosen = self.rows[np.linspace(0, len(self.rows) - 1, min(3, len(self.rows))).astype(int)]
        lines = []
        for row in chosen.tolist():
            truth = _unit(self.studio, int(self.subject[row]))[None]
            seen = torch.ones_like(truth[:, :1])
            if self.visibility is not None:
                seen = _unit(self.visibility, row)[None]
            phone = truth if self.phone is None else _unit(self.phone, row)[None]
            rng = torch.Generator().manual_seed(row)
            low = degrade(truth, self.factor, rng)
            result = detail(self.average, low, phone, seen, self.config.sample_steps, generator=rng).cpu()
            coarse = upsample(low, truth.shape[-2:])
            lines.append(torch.cat([coarse, phone * seen, result, truth], 3)[0])
        write_image(torch.cat(lines, 1), path)
