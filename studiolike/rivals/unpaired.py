"""Rival: an unpaired translator, which is shown phone textures and studio textures and never told whose is whose.

Contrastive unpaired translation (CUT: Park, Efros, Zhang and Zhu, ECCV 2020), written from the paper. Three parts: a least
squares GAN on patches asks for textures that look like the studio's; the patchwise contrastive loss asks that what stands at a
place of the output can be told, by the generator's own encoder, to be what stood there in the input, and nothing else of
that input; and the same loss on studio textures, which should come out as they are, keeps colours in place. Holes are our
addition: only places that the camera saw are compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..adaptation.captures import disturb
from ..averages import average_gradients
from ..errors import InputError
from ..image import from_signed, to_signed
from ..stylegan2.augment import augment
from ..training import Stage, cooling
from .network import CHANNELS, SHARE, TranslatorUNet

if TYPE_CHECKING:
    from ..synth import TextureSet

TEMPERATURE = 0.07  # of the contrastive loss, the paper's
PLACES = 128  # per level and texture; the paper takes 256, of textures of four times as many texels
AUGMENTED = 0.5  # probability of D's differentiable augmentations
LR, BETAS = 4e-4, (0.5, 0.999)


class PatchDiscriminator(nn.Module):
    """Judges patches of about 70 texels, as pix2pix' does (Isola et al. 2017); the output is a map of marks."""

    def __init__(self, width: int = 32):
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, width, 4, 2, 1), nn.LeakyReLU(0.2)]
        for k, stride in ((1, 2), (2, 2), (4, 1)):
            layers += [nn.Conv2d(width * k, width * k * 2, 4, stride, 1), nn.InstanceNorm2d(width * k * 2), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(width * 8, 1, 4, 1, 1))

    def forward(self, texture: Tensor) -> Tensor:
        """Signed ``(B, 3, H, W)`` → ``(B, 1, h, w)``; 1 means studio, 0 generated."""
        return self.layers(texture.contiguous(memory_format=torch.channels_last))


class PatchHeads(nn.Module):
    """The two-layer perceptron of each level, whose unit vectors are compared."""

    def __init__(self, channels: tuple[int, ...]):
        super().__init__()
        self.heads = nn.ModuleList(nn.Sequential(nn.Linear(c, 64), nn.ReLU(), nn.Linear(64, 64)) for c in channels)

    def forward(self, features: list[Tensor], places: list[Tensor]) -> list[Tensor]:
        """Unit vectors ``(B, P, 64)`` of every level, at ``places (B, P)`` of its flattened map."""
        picked = (
            f.flatten(2).transpose(1, 2).gather(1, p[..., None].expand(-1, -1, f.shape[1]))
            for f, p in zip(features, places, strict=True)
        )
        return [F.normalize(head(x), dim=2) for head, x in zip(self.heads, picked, strict=True)]


def patch_nce(query: Tensor, key: Tensor) -> Tensor:
    """Cross entropy of finding each place's own key among all places of the same texture (Park et al. 2020, eq. 3).

    Args:
        query: unit vectors of the output ``(B, P, D)``. key: those of the input; they get no gradient, as in the paper.
    """
    scores = query.float() @ key.detach().float().transpose(1, 2) / TEMPERATURE
    wanted = torch.arange(scores.shape[1], device=scores.device).expand(len(scores), -1)
    return F.cross_entropy(scores.flatten(0, 1), wanted.flatten())


class UnpairedStage(Stage):
    """Training of CUT.

    Args:
        data: a `TextureSet`, as its protocol allows it to be read.
        rows: captures ``(N,)``. studio: rows of the studio textures ``(S,)``; whose they are is not used.
        images: length of the run. width: of the discriminator. seed: of the initial weights.
    Raises:
        InputError: no captures or no studio textures.
    """

    name, batch = "cut", 4

    def __init__(
        self,
        data: TextureSet,
        rows: Tensor,
        studio: Tensor,
        *,
        images: int,
        channels: tuple[int, ...] = CHANNELS,
        width: int = 32,
        seed: int = 0,
    ):
        self.data, self.images = data, images
        self.rows, self.studio = (torch.as_tensor(x, dtype=torch.long) for x in (rows, studio))
        if not len(self.rows) or not len(self.studio):
            raise InputError("an unpaired translator needs captures and studio textures; widen the data set or the rows")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network, heads, judge = TranslatorUNet("direct", channels), PatchHeads(channels), PatchDiscriminator(width)
        self.modules = {"network": self.network, "heads": heads, "judge": judge}
        self.players = {"g": [*self.network.parameters(), *heads.parameters()], "d": list(judge.parameters())}
        self.optimizers = {name: torch.optim.Adam(own, LR, BETAS) for name, own in self.players.items()}

    def step(self, images: int, rng: torch.Generator) -> dict[str, float]:
        """One step of D on what G makes, then one of G."""
        device, local = self.accelerator.device, self.batch // self.accelerator.num_processes
        network, heads, judge = (self.accelerator.unwrap_model(self.modules[k]) for k in ("network", "heads", "judge"))
        for optimizer in self.optimizers.values():
            optimizer.param_groups[0]["lr"] = LR * cooling(images, self.images, 0.5, self.batch)
        rows = self.rows[torch.randint(len(self.rows), (local,), generator=rng)]
        phone, seen = disturb(*self.data.phone_batch(rows, device), rng, SHARE)
        studio = self.data.studio_batch(self.studio[torch.randint(len(self.studio), (local,), generator=rng)], device)
        out = {}
        with self.accelerator.autocast():
            # studio textures go through the same holes: what G makes of them should be themselves
            made = network(torch.cat([phone, studio]), torch.cat([seen, seen]))
        fake = made[:local]
        with self.accelerator.autocast():
            marks = [judge(self._augmented(x, rng)).float() for x in (to_signed(studio), fake.detach())]
        loss = ((marks[0] - 1).square().mean() + marks[1].square().mean()) / 2
        out["d"] = loss.detach()
        self._update("d", loss)
        with self.accelerator.autocast():
            adversarial = (judge(self._augmented(fake, rng)).float() - 1).square().mean()
            contrast = self._contrast(network, heads, torch.cat([phone, studio]), made, torch.cat([seen, seen]), rng)
        out |= {"adv": adversarial.detach(), "nce": contrast.detach()}
        self._update("g", adversarial + contrast)
        return {name: float(value) for name, value in out.items()}

    def _contrast(self, network: nn.Module, heads: nn.Module, given: Tensor, made: Tensor, seen: Tensor, rng) -> Tensor:
        """The contrastive loss of all levels, of phone and of studio textures alike: their sum, as in the paper."""
        with torch.no_grad():
            keys = network.look(given, seen)
        queries = network.look(from_signed(made), seen)  # the same texels hidden: a hole must not tell
        places = []
        for level in queries:
            weight = F.adaptive_avg_pool2d(seen, level.shape[-2:]).flatten(1) + 1e-6
            count = min(PLACES, weight.shape[1])
            places.append(torch.multinomial(weight.cpu(), count, generator=rng).to(weight.device))
        pairs = zip(heads(queries, places), heads(keys, places), strict=True)
        return 2 * torch.stack([patch_nce(query, key) for query, key in pairs]).mean()

    def _augmented(self, texture: Tensor, rng: torch.Generator) -> Tensor:
        texture, shown = augment(texture, torch.ones_like(texture[:, :1]), AUGMENTED, rng)
        return texture * shown

    def _update(self, name: str, loss: Tensor) -> None:
        own, optimizer = self.players[name], self.optimizers[name]
        optimizer.zero_grad(set_to_none=True)
        self.accelerator.backward(loss, inputs=own)
        average_gradients(self.accelerator, own)
        optimizer.step()
