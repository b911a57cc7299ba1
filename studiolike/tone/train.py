"""Training of the tone network, under either protocol.

Three kinds of samples teach it, each as far as the protocol has them:

- captures of people whose studio texture may be read, disturbed as all training captures are (`adaptation.disturb`);
- the same people's studio textures under random smooth light, metered by a camera (`lit`): under "few" the captures of a few
  dozen people would be learnt by heart;
- captures of everybody else. Nobody knows their level, but the camera has let a part of it through to the level of the person's
  *other* captures: on average a + s·level, with the camera's a and s learnt along. The rest is noise of another picture, which
  a network cannot foresee and so learns to leave out (Lehtinen et al., *Noise2Noise*, ICML 2018).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..adaptation.captures import BALANCE, disturb, smooth_field
from ..config import ToneConfig
from ..errors import InputError
from ..image import linear_to_srgb, resize, srgb_to_linear
from ..inversion.distance import resize_observed
from ..protocols import paired_captures, studio_subjects
from ..training import Stage
from .network import CENTRE, ToneNet, skin_level

if TYPE_CHECKING:
    from ..synth import TextureSet

WARM_UP = 0.3  # share of the run in which the learning rate rises; then it falls as a half cosine
SHADE = ((2, 0.45), (5, 0.25))  # bumps of the random light across the texture, and their standard deviation in log units
METERED, SPREAD = -1.5, 0.5  # log light at which a camera puts a face, and the standard deviation of that
THROUGH = 0.3  # share of a person's level that the camera lets through, at the start of training; then it is learnt
BETA = 0.3  # log units: errors above this count linearly, for some captures tell nothing


def lit(studio: Tensor, visibility: Tensor, rng: torch.Generator) -> Tensor:
    """Studio textures as a phone might have seen them: under random smooth light, exposed and balanced by its camera.

    Args:
        studio: ``(B, 3, H, W)`` sRGB in [0, 1]. visibility: ``(B, 1, H, W)``, what the camera meters on.
        rng: a CPU generator.
    Returns:
        ``(B, 3, H, W)`` sRGB in [0, 1].
    """
    count, size = len(studio), studio.shape[-1]
    shade = sum(depth * smooth_field(count, bumps, size, rng) for bumps, depth in SHADE).to(studio)
    normal = torch.randn(count, 4, generator=rng).to(studio)
    level = skin_level(studio)
    light = srgb_to_linear(studio) * shade.exp()
    goal = METERED + SPREAD * normal[:, 0] + THROUGH * (level - CENTRE)
    gain = (goal - skin_level(linear_to_srgb(light.clamp(0, 1)), visibility)).nan_to_num(0.0)
    gain = torch.exp(gain[:, None] + BALANCE * normal[:, 1:])[..., None, None]
    return linear_to_srgb((light * gain).clamp(0, 1)).clamp(0, 1)


class ToneStage(Stage):
    """One trainable `ToneNet` and the data it learns from.

    Args:
        config: amounts; ``config.images`` is also the length of the learning-rate schedule.
        data: a `TextureSet`, as ``protocol`` allows it to be read.
        protocol: "few" or "open".
        net: continue with this network; default a new one.
        seed: initial weights.
    Raises:
        InputError: nobody whose studio texture may be read.
    """

    name = "tone"

    def __init__(self, config: ToneConfig, data: TextureSet, protocol: str, net: ToneNet | None = None, seed: int = 0):
        self.config, self.batch, self.data = config, config.batch, data
        self.owner = torch.as_tensor(data.subject, dtype=torch.long)
        self.people = studio_subjects(data, protocol)
        if not len(self.people):
            raise InputError("no studio textures to learn tones from; widen the data set")
        self.level = torch.full((len(data.studio),), torch.nan, device="cpu")
        for part in self.people.split(64):
            self.level[part] = skin_level(data.studio_batch(part))
        self.known = paired_captures(data, protocol)
        self.others, self.unknown = self._levels_of_others(data.captures("phone"))
        self.net = (net or ToneNet(seed=seed)).train()
        self.size = self.net.config.resolution
        self.camera = nn.Linear(1, 1)
        nn.init.constant_(self.camera.weight, THROUGH)
        nn.init.constant_(self.camera.bias, METERED - CENTRE)
        self.modules = {"tone": self.net, "camera": self.camera}
        parameters = [*self.net.parameters(), *self.camera.parameters()]
        self.optimizers = {"tone": torch.optim.AdamW(parameters, config.lr, weight_decay=0.02)}

    def _levels_of_others(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The mean level ``(N,)`` of the same person's other captures, and the captures ``(N,)`` of ``rows`` that have one:
        of people whose studio texture may not be read."""
        rows = rows[~torch.isin(self.owner[rows], self.people)]
        if not len(rows):
            return torch.empty(0), rows
        level = torch.cat([skin_level(*self.data.phone_batch(part)) for part in rows.split(64)])
        rows, level = rows[seen := level.isfinite()], level[seen]
        total, count = (
            torch.zeros(len(self.data.studio)).index_add_(0, self.owner[rows], x) for x in (level, torch.ones_like(level))
        )
        owner = self.owner[rows]
        mean = (total[owner] - level) / (count[owner] - 1)
        return mean[several := count[owner] > 1], rows[several]

    def _captures(self, rows: Tensor, device: torch.device | str) -> tuple[Tensor, Tensor]:
        """Captures as large as the network reads them: nothing here needs more texels."""
        return resize_observed(*self.data.phone_batch(rows, device), self.size)

    def schedule(self, images: int) -> float:
        """Learning rate after ``images``."""
        t = min(images / self.config.images, 1.0)
        if t < WARM_UP:
            return self.config.lr * max(t / WARM_UP, 0.01)
        return self.config.lr * (0.5 + 0.5 * math.cos(math.pi * (t - WARM_UP) / (1 - WARM_UP)))

    def draw(self, rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Samples of a step, in equal shares of the kinds that there are: textures ``(n, 3, H, W)``, visibility ``(n, 1, H, W)``,
        what is to be predicted of them ``(n,)``, and whether that is the level, or the one of other captures ``(n,)``."""
        device = self.accelerator.device
        few = len(self.unknown) > 0
        count = max(self.batch // self.accelerator.num_processes // (3 if few else 1), 1)
        rows = _some(self.known, count, rng)
        target, rows_of = [self.level[self.owner[rows]]], [rows]
        if few:
            other = torch.randint(len(self.unknown), (count,), generator=rng)
            target.append(self.others[other])
            rows_of.append(self.unknown[other])
        parts = [disturb(*self._captures(torch.cat(rows_of), device), rng)]
        if few:
            people = _some(self.people, count, rng)
            shown = self._captures(_some(self.known, count, rng), device)[1]
            parts.append((lit(resize(self.data.studio_batch(people, device), self.size), shown, rng), shown))
            target.append(self.level[people])
        known = torch.ones(len(target), count, dtype=torch.bool)
        known[1:2] = False
        texture, visibility = (torch.cat(x) for x in zip(*parts, strict=True))
        mirrored = (torch.rand(len(texture), 1, 1, 1, generator=rng) < 0.5).to(device)
        texture, visibility = (torch.where(mirrored, x.flip(-1), x) for x in (texture, visibility))
        return texture, visibility, torch.cat(target).to(device), known.flatten().to(device)

    def step(self, images: int, rng: torch.Generator) -> dict[str, float]:
        optimizer, rate = self.optimizers["tone"], self.schedule(images)
        for group in optimizer.param_groups:
            group["lr"] = rate
        texture, visibility, target, known = self.draw(rng)
        level = self.modules["tone"](texture, visibility)
        # what the camera lets through of it, where only that can be compared
        level = torch.where(known, level, self.modules["camera"](level[:, None] - CENTRE).squeeze(1) + CENTRE)
        loss = F.smooth_l1_loss(level, target, beta=BETA, reduction="none")
        total = (loss * known).sum() / known.sum()
        scalars = {"level": total.item(), "lr": rate}
        if len(self.unknown):
            others = (loss * ~known).sum() / (~known).sum()
            total = total + self.config.others * others
            scalars |= {"others": others.item(), "through": self.camera.weight.item()}
        optimizer.zero_grad(set_to_none=True)
        self.accelerator.backward(total)
        optimizer.step()
        return scalars

    def preview(self, path: Path) -> None:
        """Nothing to see: the network gives a number."""

    @torch.no_grad()
    def finish(self) -> dict[str, float]:
        """Root mean square error of the level on the split "val", log units, and what always guessing the mean would give."""
        rows = self.data.captures("val")
        net = self.accelerator.unwrap_model(self.modules["tone"]).eval()
        found = torch.cat([net(*self.data.phone_batch(part, self.accelerator.device)).cpu() for part in rows.split(64)])
        truth = skin_level(self.data.studio_batch(self.data.subjects("val")))
        truth = truth[torch.searchsorted(self.data.subjects("val"), self.owner[rows])]
        net.train()
        guess = self.level[self.people].mean()
        return {
            "val_error": (found - truth).square().mean().sqrt().item(),
            "val_error_of_mean": (guess - truth).square().mean().sqrt().item(),
        }


def _some(rows: Tensor, count: int, rng: torch.Generator) -> Tensor:
    return rows[torch.randint(len(rows), (count,), generator=rng)]
