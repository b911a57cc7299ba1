"""Rival: the paired U-Net, the first thing that anybody would try where there are pairs.

It regresses the studio texture of a capture's person, directly or as a gain field (`network`). Its loss has the two terms with
which our G_studio learns texels and light from pairs, in the proportion of our settings; people, captures and disturbances are
the same too. What is compared is the network and what it can learn from, not how well a loss was chosen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..adaptation.captures import disturb
from ..adaptation.losses import detail_loss, low_light_loss
from ..errors import InputError
from ..image import to_signed
from ..training import Stage, cooling
from .network import CHANNELS, SHARE, TranslatorUNet

if TYPE_CHECKING:
    from ..synth import TextureSet

LR = 1e-3
LOW_LIGHT = 0.3  # weight of the low band in logarithmic light, against that of the texels


class PairedStage(Stage):
    """Training of a paired `TranslatorUNet`.

    Args:
        data: a `TextureSet`, as its protocol allows it to be read.
        rows: captures to learn from ``(N,)``; their people's true textures are read.
        images: length of the run. kind: "direct" or "gain". seed: of the initial weights.
    Raises:
        InputError: no captures.
    """

    batch = 4

    def __init__(
        self,
        data: TextureSet,
        rows: Tensor,
        *,
        images: int,
        kind: str = "direct",
        channels: tuple[int, ...] = CHANNELS,
        seed: int = 0,
    ):
        self.name, self.data, self.images = f"unet-{kind}", data, images
        self.rows = torch.as_tensor(rows, dtype=torch.long)
        if not len(self.rows):
            raise InputError("no pairs to train on; widen the data set or the rows")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = TranslatorUNet(kind, channels)
        self.modules = {"network": self.network}
        self.optimizers = {"network": torch.optim.AdamW(self.network.parameters(), LR, (0.9, 0.99), weight_decay=1e-4)}

    def step(self, images: int, rng: torch.Generator) -> dict[str, float]:
        """Regress the studio textures of ``batch`` disturbed captures."""
        optimizer, device = self.optimizers["network"], self.accelerator.device
        optimizer.param_groups[0]["lr"] = LR * cooling(images, self.images, 0.5, self.batch)
        rows = self.rows[torch.randint(len(self.rows), (self.batch // self.accelerator.num_processes,), generator=rng)]
        truth = to_signed(self.data.studio_batch(torch.as_tensor(self.data.subject)[rows], device))
        given = disturb(*self.data.phone_batch(rows, device), rng, SHARE)
        with self.accelerator.autocast():
            made = self.modules["network"](*given)
        parts = {"texels": detail_loss(made, truth), "low_light": LOW_LIGHT * low_light_loss(made, truth)}
        optimizer.zero_grad(set_to_none=True)
        self.accelerator.backward(sum(parts.values()))
        self.accelerator.clip_grad_norm_(self.network.parameters(), 1.0)
        optimizer.step()
        return {name: float(value.detach()) for name, value in parts.items()}
