"""Amortised inversion: the encoder of the game, trained on against the finished generator.

In the game the encoder follows a generator that moves, D's opinion of its pictures moves it too, and nothing there keeps
its codes likely. With G at rest it can minimise what `invert` minimises, pixels and prior alike, averaged over phone
textures instead of for each one: it learns where a descent should begin. Each texture counts by the *root* of its loss, so
that a capture which is easy to reconstruct is no less worth improving than a hard one, as in decibels.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..averages import average_gradients
from ..config import EncoderConfig
from ..image import from_signed, to_signed
from ..io import write_image
from ..stylegan2.encoder import Encoder, encode
from ..stylegan2.generator import Generator
from ..stylegan2.train import WARM_BETAS, image_grid, only_faces
from ..training import Stage
from .distance import pyramid_distance
from .optimise import LEVELS, warm_cosine
from .prior import WPrior

if TYPE_CHECKING:
    from ..synth.dataset import TextureSet

TINY = 1e-4  # loss at which its root stops growing steeper


class EncoderStage(Stage):
    """Trains an encoder on a generator at rest, for `studiolike.training.fit`.

    Half of a batch is also seen a second time, together with what the first pass missed. The learning rate ends at zero,
    so the last weights are the ones to keep.

    Args:
        config: sizes of the training.
        encoder: is trained. generator: is only looked at.
        data: ``phone_batch(rows, device) -> (texture in [0, 1], visibility)``.
    """

    name = "encoder"

    def __init__(self, config: EncoderConfig, encoder: Encoder, generator: Generator, data: TextureSet):
        self.config, self.batch, self.data = config, config.batch, data
        self.rows = data.captures("phone")
        self.encoder, self.generator = encoder.requires_grad_(True).train(), generator.requires_grad_(False).eval()
        self.prior = WPrior.from_generator(generator)
        self.modules = {"encoder": encoder}
        self.optimizers = {"encoder": torch.optim.Adam(encoder.parameters(), config.lr, WARM_BETAS, eps=1e-8)}

    def step(self, images: int, rng: torch.Generator) -> dict[str, float]:
        """One step of both passes; returns the loss and the codes' mean prior energy."""
        config, accelerator, optimizer = self.config, self.accelerator, self.optimizers["encoder"]
        self.generator.to(accelerator.device)
        self.prior = self.prior.to(accelerator.device)
        optimizer.param_groups[0]["lr"] = config.lr * warm_cosine(images // self.batch, config.images // self.batch)
        chosen = self.rows[torch.randint(len(self.rows), (self.batch // accelerator.num_processes,), generator=rng)]
        texture, visibility = self.data.phone_batch(chosen, accelerator.device)
        visibility = only_faces(visibility, config.portrait, rng)
        real = to_signed(texture)
        again = slice(0, -(-len(real) // 2))
        with accelerator.autocast():
            codes = self.encoder(real, visibility)
            picture = self.generator.synthesis(codes)
            better = self.encoder(real[again], visibility[again], picture[again].detach(), codes[again].detach())
            corrected = self.generator.synthesis(better)
        loss, energy = (
            torch.cat(parts)
            for parts in zip(
                self._losses(picture, codes, real, visibility),
                self._losses(corrected, better, real[again], visibility[again]),
                strict=True,
            )
        )
        accelerator.backward(loss.mean())
        average_gradients(accelerator, self.encoder.parameters())
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        values = torch.stack([loss.detach().mean(), energy.detach().mean()]).tolist()
        return dict(zip(("loss", "energy"), values, strict=True))

    def _losses(self, picture: Tensor, codes: Tensor, real: Tensor, visibility: Tensor) -> tuple[Tensor, Tensor]:
        pixels, _ = pyramid_distance(picture.float(), real, visibility, LEVELS)
        energy = self.prior.energy(codes.float())
        return (pixels + self.config.prior * energy + TINY**2).sqrt(), energy

    @torch.no_grad()
    def preview(self, path: Path) -> None:
        """Eight textures, and their reconstructions below."""
        rows = self.rows[torch.linspace(0, len(self.rows) - 1, 8).long()]
        texture, visibility = self.data.phone_batch(rows, self.accelerator.device)
        rebuilt = from_signed(self.generator.synthesis(encode(self.encoder, self.generator, texture, visibility)))
        write_image(image_grid(torch.cat([texture, rebuilt])), path)
