"""Rival: the paired U-Net, the first thing that anybody would try where there are pairs.

It regresses the studio texture of a capture's person, directly or as a gain field (`network`). Its loss is the one that our
G_studio gets on pairs (`AdaptLoss.pairs`), on the same people and the same disturbed captures, so that what is compared is the
network and what it may learn from, not how well a loss was chosen.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ..adaptation.captures import disturb
from ..adaptation.losses import AdaptLoss, StudioDistance
from ..config import AdaptConfig
from ..errors import InputError
from ..image import to_signed
from ..training import Stage, cooling
from .network import TranslatorUNet

if TYPE_CHECKING:
    from ..synth import TextureSet


class PairedStage(Stage):
    """Training of a paired `TranslatorUNet`.

    Args:
        data: a `TextureSet`, as its protocol allows it to be read.
        rows: captures to learn from ``(N,)``; their people's true textures are read.
        d_phone: its features are the perceptual part of the loss; stays at rest.
        config: the weights of the terms on pairs, and the share of disturbed captures. images: length of the run.
        kind: "direct" or "gain". seed: of the initial weights.
    Raises:
        InputError: no captures.
    """

    def __init__(
        self,
        data: TextureSet,
        rows: Tensor,
        d_phone: nn.Module,
        config: AdaptConfig,
        *,
        kind: str = "direct",
        channels: tuple[int, ...] = (32, 64, 96, 128),
        images: int,
        batch: int = 8,
        lr: float = 1e-3,
        seed: int = 0,
    ):
        self.name, self.data, self.config = f"unet-{kind}", data, config
        self.rows = torch.as_tensor(rows, dtype=torch.long)
        if not len(self.rows):
            raise InputError("no pairs to train on; widen the data set or the rows")
        self.images, self.batch, self.lr = images, batch, lr
        self.teacher = d_phone.eval().requires_grad_(False)
        self.loss = AdaptLoss(replace(config, identity=0.0), StudioDistance(self.teacher), None)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = TranslatorUNet(kind, channels)
        self.modules = {"network": self.network}
        self.optimizers = {"network": torch.optim.AdamW(self.network.parameters(), lr, (0.9, 0.99), weight_decay=1e-4)}

    def step(self, images: int, rng: torch.Generator) -> dict[str, float]:
        """Regress the studio textures of ``batch`` disturbed captures."""
        optimizer, device = self.optimizers["network"], self.accelerator.device
        optimizer.param_groups[0]["lr"] = self.lr * cooling(images, self.images, 0.5, self.batch)
        self.teacher.to(device)
        rows = self.rows[torch.randint(len(self.rows), (self.batch // self.accelerator.num_processes,), generator=rng)]
        truth = to_signed(self.data.studio_batch(torch.as_tensor(self.data.subject)[rows], device))
        given = disturb(*self.data.phone_batch(rows, device), rng, self.config.disturbed)
        with self.accelerator.autocast():
            total, parts = self.loss.pairs(self.modules["network"](*given), truth)
        optimizer.zero_grad(set_to_none=True)
        self.accelerator.backward(total)
        self.accelerator.clip_grad_norm_(self.network.parameters(), 1.0)
        optimizer.step()
        return {name: float(value.detach()) for name, value in parts.items()}
