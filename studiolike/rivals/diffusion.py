"""Rival: a paired diffusion translator, the detailer's own network asked to do everything.

Image-to-image diffusion (Saharia et al., *Palette*, SIGGRAPH 2022): the studio texture is drawn from noise, told the phone
texture. Network, size, noise schedule, preconditioning and loss are our detailer's (`detail.model`); what differs is the job.
The detailer repairs what the generator and fusion leave; this draws the whole difference of a studio texture from the mean
one, under the phone's texture, without a generator.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..adaptation.captures import disturb
from ..averages import average_of, update_average
from ..detail.guidance import gradients, normalise
from ..detail.model import CONDITIONS, Detailer, haar, make_scheduler, uv_channels
from ..detail.train import velocity_loss
from ..errors import InputError
from ..image import fill_unobserved, resize, to_signed
from ..training import Stage
from .network import SHARE

if TYPE_CHECKING:
    from ..synth import TextureSet

STEPS = 4  # of DDIM
LR = 6e-4  # the largest


def conditions(model: Detailer, phone: Tensor, visibility: Tensor, mean: Tensor) -> Tensor:
    """What the network is told, ``(B, 11, H, W)``, in as many channels as the detailer's: the filled phone texture, the mean
    studio texture, the phone's log gradients, visibility, and the place in the map."""
    field, _ = gradients(phone, visibility, model.config.gradient_kind, model.config.border)
    pictures = [to_signed(x) for x in (fill_unobserved(phone, visibility), mean)]
    field = normalise(field, model.config.gradient_scale)
    told = torch.cat([*pictures, field, to_signed(visibility), uv_channels(phone)], 1)
    assert told.shape[1] == CONDITIONS, "the detailer's network takes another number of channels"
    return told


@torch.no_grad()
def translate(model: Detailer, phone: Tensor, visibility: Tensor, mean: Tensor, steps: int = STEPS, seed: int = 0) -> Tensor:
    """Draw studio textures ``(B, 3, H, W)`` in [0, 1]; every texture of the batch gets the same noise.

    Args:
        phone: ``(B, 3, H, W)`` in [0, 1]. visibility: ``(B, 1, H, W)``. mean: studio texture ``(3, h, h)`` of the training.
        steps: of DDIM.
    """
    mean = resize(mean[None].to(phone), phone.shape[-1]).expand_as(phone)
    given, schedule = conditions(model, phone, visibility, mean), make_scheduler()
    schedule.set_timesteps(steps)
    noise = torch.randn((1, *phone.shape[1:]), generator=torch.Generator().manual_seed(seed)).to(phone)
    x = noise.expand_as(phone)
    for t in schedule.timesteps:
        x = schedule.step(model(x, t, given), t, x, return_dict=False)[0]
    return (mean + x * model.config.residual_scale).clamp(0, 1)


class DiffusionStage(Stage):
    """Training of the translator.

    Args:
        data: a `TextureSet`, as its protocol allows it to be read.
        rows: captures to learn from ``(N,)``; their people's true textures are read.
        mean: studio texture ``(3, H, H)`` in [0, 1] that differences are taken from.
        images: length of the run. channels: of the network, the detailer's. seed: of the initial weights.
    Raises:
        InputError: no captures.
    """

    name, batch = "diffusion", 4

    def __init__(
        self,
        data: TextureSet,
        rows: Tensor,
        mean: Tensor,
        *,
        images: int,
        channels: tuple[int, ...] = (48, 64, 96),
        seed: int = 0,
    ):
        self.data, self.images, self.mean = data, images, mean
        self.rows = torch.as_tensor(rows, dtype=torch.long)
        if not len(self.rows):
            raise InputError("no pairs to train on; widen the data set or the rows")
        differences = [self._truth(part) - mean for part in self.rows[torch.linspace(0, len(self.rows) - 1, 32).long()].split(8)]
        scale = round(float(torch.cat(differences).square().mean().sqrt().clamp_min(1e-3)), 5)
        power = haar(torch.cat(differences) / scale).square().mean((0, 2, 3)).clamp_min(1e-3)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.model = Detailer(
                tuple(channels),
                resolution=data.resolution,
                relief=False,  # there is no fusion here whose light it could see
                residual_scale=scale,
                band_power=tuple(round(p, 5) for p in power.tolist()),
            )
        self.average = average_of(self.model)
        self.modules = {"network": self.model}
        self.optimizers = {"network": torch.optim.AdamW(self.model.parameters(), LR, (0.9, 0.99), weight_decay=1e-3)}
        self.powers = make_scheduler().alphas_cumprod

    def _truth(self, rows: Tensor, device: torch.device | str = "cpu") -> Tensor:
        return self.data.studio_batch(torch.as_tensor(self.data.subject)[rows], device)

    def step(self, images: int, rng: torch.Generator) -> dict[str, float]:
        """One step of the detailer's `velocity_loss`."""
        device, optimizer = self.accelerator.device, self.optimizers["network"]
        count, done = self.batch // self.accelerator.num_processes, images / self.images
        optimizer.param_groups[0]["lr"] = LR * min(done / 0.02 + 0.05, 1.0) * (0.525 + 0.475 * math.cos(math.pi * done))
        rows = self.rows[torch.randint(len(self.rows), (count,), generator=rng)]
        phone, seen = disturb(*self.data.phone_batch(rows, device), rng, SHARE)
        mean = self.mean.to(device).expand(count, -1, -1, -1)
        clean = (self._truth(rows, device) - mean) / self.model.config.residual_scale
        with self.accelerator.autocast():
            told = conditions(self.model, phone, seen, mean)
            loss = velocity_loss(self.modules["network"], self.powers, clean, told, rng)
        optimizer.zero_grad(set_to_none=True)
        self.accelerator.backward(loss)
        self.accelerator.clip_grad_norm_(self.model.parameters(), 1.0)
        optimizer.step()
        half_life = max(min(self.images / 40, images / 10), 1e-3)
        update_average(self.average.to(device), self.model, 0.5 ** (self.batch / half_life))
        return {"loss": float(loss.detach())}

    def state_dict(self) -> dict[str, Any]:
        """The averaged weights; the scales come from the data anew."""
        return {"average": self.average.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.average.load_state_dict(state["average"])

    def method(self, steps: int = STEPS) -> Callable[[Tensor, Tensor], Tensor]:
        """The averaged network as a callable of `evaluation.evaluate`."""
        return lambda texture, visibility: translate(self.average, texture, visibility, self.mean, steps)
