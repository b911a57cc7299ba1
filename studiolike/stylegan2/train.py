"""Stage 1: G_phone, a StyleGAN2 of phone textures, trained through visibility maps.

Training as in Karras et al. 2020 (lazy R1, style mixing, weight averaging), progress counted in images. Seven choices
are ours. An encoder learns along, and half of the fakes are reconstructions (`encoder`). Before the game begins, G and
the encoder learn to reconstruct alone: without D's turns an image costs half as much, and D meets a G that knows faces.
In between, W gets the basis in which random codes are faces as well (`rebase`). Every image that D sees, real or
generated, is seen through a visibility map of the real data, so D cannot win on holes and G learns complete faces
wherever anyone was observed. One forward pass of G, and one look of D at its fakes, serve both players of a step.
Augmentation changes the maps as well (`augment`). And D and the encoder read faint octaves amplified (`bands`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from accelerate.utils import broadcast
from torch import Tensor, nn

from ..config import PretrainConfig, Profile
from ..image import from_signed, to_signed
from ..io import write_image
from ..layout import face_mask
from ..training import Stage, average_gradients, average_of, compiled, cooling, ema_decay, update_average, was_skipped
from .augment import augment
from .discriminator import Discriminator
from .encoder import Encoder, encode, reconstruction_loss, sliced_distance, spread
from .generator import MAPPING_RATE, Generator
from .losses import (
    discriminator_loss,
    generator_loss,
    lazy,
    r1_gamma,
    r1_penalty,
)
from .rebase import Frame, centre, fit_mapping, rebase_encoder, rebase_generator

if TYPE_CHECKING:
    from ..synth.dataset import TextureSet

BETAS = (0.0, 0.99)
WARM_BETAS = (0.9, 0.99)
WARM_UPDATES = 2  # of G and its encoder, a step of the warm-up: more steps teach faster than larger ones
W_MEAN_RATE = 0.005  # of the running mean of w, per step
MEMORY = 256  # codes that the mapping network is compared with
CAPTURED = 2048  # captures whose codes decide the new basis of W, and in the end the mapping network


def only_faces(visibility: Tensor, share: float, rng: torch.Generator) -> Tensor:
    """Visibility maps ``(B, 1, H, W)``, a random ``share`` of them cut down to the face, which is all that one photo shows."""
    if not share:
        return visibility
    cut = torch.rand(len(visibility), 1, 1, 1, generator=rng) < share
    return torch.where(cut.to(visibility.device), visibility * face_mask(visibility.shape[-1]).to(visibility), visibility)


def image_grid(images: Tensor, columns: int = 8) -> Tensor:
    """``(B, 3, H, W)`` → one picture ``(3, rows · H, columns · W)``; missing places are white."""
    rows = math.ceil(len(images) / columns)
    blank = images.new_ones(rows * columns - len(images), *images.shape[1:])
    tiles = torch.cat([images, blank]).unflatten(0, (rows, columns))
    return tiles.permute(2, 0, 3, 1, 4).flatten(3, 4).flatten(1, 2)


class PretrainStage(Stage):
    """Masked StyleGAN2 training, for `studiolike.training.fit`.

    Args:
        config: sizes of the training.
        generator, discriminator: fresh networks; the discriminator takes visibility (four channels).
        data: real phone textures: ``phone_batch(rows, device) -> (texture in [0, 1], visibility)``.
        rows: captures to train on; default ``data.captures("phone")``.
        encoder: learns along if it is given; ``config.encoded`` of the fakes are then reconstructions.
    Attributes:
        ema, ema_encoder: the averaged generator and encoder, the ones to keep.
        quality: if set, measures the averaged generator with every preview, for the log (KID for example).
    """

    name = "pretrain"

    def __init__(
        self,
        config: PretrainConfig,
        generator: Generator,
        discriminator: Discriminator,
        data: TextureSet,
        rows: Tensor | None = None,
        encoder: Encoder | None = None,
    ):
        self.config, self.batch, self.data = config, config.batch, data
        self.rows = data.captures("phone") if rows is None else rows
        self.generator, self.discriminator, self.encoder = generator, discriminator, encoder
        self.ema = average_of(generator)
        self.paint, self.look = generator.synthesis, discriminator.forward  # for the steps that are differentiated once
        if config.compile:
            self.paint, self.look = compiled(self.paint, "G"), compiled(self.look, "D")
        resolution = generator.config.resolution
        self.gamma = r1_gamma(resolution, config.batch, config.r1)
        self.half_life = 1000 * (config.batch * 10 / 32 if config.ema_kimg is None else config.ema_kimg)
        self.modules = {"generator": generator, "discriminator": discriminator, "ema": self.ema}
        self.optimizers = {
            "generator": torch.optim.Adam(generator.parameters(), config.lr, BETAS, eps=1e-8, fused=True),
            "discriminator": torch.optim.Adam(
                discriminator.parameters(), eps=1e-8, fused=True, **lazy(config.lr * config.d_rate, BETAS, config.r1_every)
            ),
        }
        self.rates = {name: optimizer.param_groups[0]["lr"] for name, optimizer in self.optimizers.items()}
        self.quality: Callable[[Generator], dict[str, float]] | None = None
        self.memory = torch.zeros(0, generator.config.w_dim)  # the encoder's latest codes, means over rows
        self.rebased = False
        self.drawn: Tensor | None = None  # mean w of this step's random codes
        if encoder is not None:
            self.ema_encoder = average_of(encoder)
            self.modules |= {"encoder": encoder, "ema_encoder": self.ema_encoder}
            self.optimizers["encoder"] = torch.optim.Adam(encoder.parameters(), config.lr, WARM_BETAS, eps=1e-8, fused=True)
            self.rates["encoder"] = config.lr
            # the game moves the mapping network a hundred times more slowly than the rest; this pull must not wait for it
            rate = config.matching * config.lr / MAPPING_RATE
            self.optimizers["mapping"] = torch.optim.Adam(generator.mapping.parameters(), rate, WARM_BETAS, eps=1e-8, fused=True)
            self.rates["mapping"] = rate

    # ------------------------------------------------------------------------------------------------ one step

    def step(self, images: int, rng: torch.Generator) -> dict[str, float]:
        """Both players' turn, R1 now and then; then the averages. In the warm-up G's turn alone."""
        device, batch = self.accelerator.device, self.batch // self.accelerator.num_processes
        chosen = self.rows[torch.randint(len(self.rows), (batch,), generator=rng)]
        texture, visibility = self.data.phone_batch(chosen, device)
        visibility = only_faces(visibility, self.config.portrait, rng)
        real = to_signed(texture)
        number = images // self.batch

        log = {}
        warming = self._warming_up(images)
        if not (warming or self.rebased or self.encoder is None) and self.config.warm_up:
            self._rebase()
        if warming:
            for part in zip(real.chunk(WARM_UPDATES), visibility.chunk(WARM_UPDATES), strict=True):
                _, extra = self._sample(0, rng, *part)
                self._follow(extra, extra["total"])
        else:
            encoded = 0 if self.encoder is None else round(batch * self.config.encoded)
            fake, extra = self._sample(batch - encoded, rng, real[:encoded], visibility[:encoded])
            log |= self._game_turn(real, visibility, fake, visibility.roll(-encoded, 0), extra, rng)
            if self.gamma and number % self.config.r1_every == 0:
                half = -(-batch // 2)  # the penalty's mean needs no more, and its second derivatives are the dearest of all
                log["r1"] = self._r1_turn(real[:half], visibility[:half], rng)
        log |= {name: value for name, value in extra.items() if name != "total"}
        self._follow_up(ema_decay(images, self.batch, self.half_life))
        return dict(zip(log, torch.stack([v.detach().float() for v in log.values()]).tolist(), strict=True))

    @torch.no_grad()
    def _follow_up(self, decay: float) -> None:
        """Move the averages of weights and of w, unless the step that they follow was skipped."""
        if not was_skipped(self.optimizers["generator"]):
            if self.drawn is not None:
                self.generator.w_mean.lerp_(self.drawn.to(self.generator.w_mean), W_MEAN_RATE)
            update_average(self.ema, self.generator, decay)
        if self.encoder is not None and not was_skipped(self.optimizers["encoder"]):
            update_average(self.ema_encoder, self.encoder, decay)
        self.drawn = None

    def _warming_up(self, images: int) -> bool:
        """Whether G and its encoder are still alone after ``images`` images; sets the learning rates of this step."""
        config, warmth = self.config, 0.0
        if self.encoder is not None and images < config.warm_up:
            warmth = 0.5 + 0.5 * math.cos(math.pi * images / config.warm_up)
        cool = cooling(images, config.images, config.cool_down, self.batch)
        for name, rate in self.rates.items():
            warm = 1 + warmth * (config.warm_up_lr / config.lr - 1) if name in ("generator", "encoder") else 1
            self.optimizers[name].param_groups[0]["lr"] = rate * warm * cool
        if self.encoder is not None:  # momentum helps against noise, not against an opponent
            self.optimizers["generator"].param_groups[0]["betas"] = WARM_BETAS if warmth else BETAS
        return warmth > 0

    def _rebase(self) -> None:
        """After the warm-up: make the span of the encoder's codes the new W, in which random codes are faces (`rebase`)."""
        codes, rng = self._captured()
        frame = Frame.of(codes)
        for generator, encoder in ((self.ema, self.ema_encoder), (self.generator, self.encoder)):
            rebase_generator(generator, frame)
            rebase_encoder(encoder, frame)  # type: ignore[arg-type]
        fit_mapping(self.ema, frame.coordinates(codes), rng)
        centre(self.ema)
        self.generator.mapping.load_state_dict(self.ema.mapping.state_dict())
        self.generator.w_mean.copy_(self.ema.w_mean)
        if self.accelerator.num_processes > 1:  # a device may not repeat itself to the bit, and the processes must stay alike
            for model in (self.ema, self.ema_encoder, self.generator, self.encoder):
                broadcast(model.state_dict())
        for name in ("generator", "encoder", "mapping"):  # what they remember are gradients in the old basis
            self.optimizers[name].state.clear()
        self.memory, self.rebased = self.memory[:0], True

    @torch.no_grad()
    def _captured(self) -> tuple[Tensor, torch.Generator]:
        """The averaged encoder's codes of some captures, the same in every process, and the generator that drew them."""
        rng = torch.Generator().manual_seed(0)
        chosen = self.rows[torch.randperm(len(self.rows), generator=rng)[:CAPTURED]]
        return torch.cat(
            [
                encode(self.ema_encoder, self.ema, *self.data.phone_batch(part, self.accelerator.device))
                for part in chosen.split(self.batch)
            ]
        ), rng

    def _codes(self, batch: int, rng: torch.Generator) -> Tensor:
        """w+ of random z; with probability ``mixing`` an image takes its later rows from a second z (2019, section 3.1)."""
        g = self.generator
        z = torch.randn(2 * batch, g.config.w_dim, generator=rng).to(self.accelerator.device)
        w = g.mapping(z)
        self.drawn = w.detach().float().mean(0)
        draws = torch.rand(batch, 2, generator=rng)
        cut = 1 + (draws[:, 1] * (g.num_ws - 1)).long()
        cut[draws[:, 0] >= self.config.mixing] = g.num_ws
        first = torch.arange(g.num_ws) < cut[:, None]  # (B, L)
        return torch.where(first[..., None].to(w.device), w[:batch, None], w[batch:, None])

    def _sample(self, batch: int, rng: torch.Generator, real: Tensor, visibility: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """``batch`` images of random codes, then reconstructions of ``real`` (may be empty); and the encoder's losses."""
        config, extra = self.config, {}
        with self.accelerator.autocast():
            codes = [self._codes(batch, rng)] if batch else []
            if len(real):
                codes.append(self._encode(real, visibility))
            image = self.paint(torch.cat(codes), "random", rng).float()
        if len(real):
            extra["recons"] = reconstruction_loss(image[batch:], real, visibility, face_weight=config.face_weight)
            extra["spread"] = spread(codes[-1].float())
            extra["total"] = (config.reconstruction * extra["recons"] + config.spread * extra["spread"]) * len(real) / len(image)
            self.memory = torch.cat([self.memory.to(real.device), codes[-1].detach().float().mean(1)])[-MEMORY:]
            if len(self.memory) == MEMORY:
                z = torch.randn(MEMORY, self.generator.config.w_dim, generator=rng).to(real.device)
                extra["matching"] = sliced_distance(self.generator.mapping(z), self.memory, rng)
        return image, extra

    def _encode(self, real: Tensor, visibility: Tensor) -> Tensor:
        """The encoder's codes, those of the second half corrected by a second pass."""
        first = -(-len(real) // 2)
        codes = [self.encoder(real[:first], visibility[:first])]  # type: ignore[misc]
        if len(real) > first:
            real, visibility = real[first:], visibility[first:]
            with torch.no_grad():
                guess = self.encoder(real, visibility)  # type: ignore[misc]
                picture = self.generator.synthesis(guess)
            codes.append(self.encoder(real, visibility, picture, guess))  # type: ignore[misc]
        return torch.cat(codes)

    def _judge(self, image: Tensor, visibility: Tensor, rng: torch.Generator) -> Tensor:
        with self.accelerator.autocast():
            return self.look(*augment(image, visibility, self.config.augment, rng)).float()

    def _game_turn(
        self, real: Tensor, visibility: Tensor, fake: Tensor, seen: Tensor, extra: dict[str, Tensor], rng: torch.Generator
    ) -> dict[str, Tensor]:
        """Both players move, each by its gradient at where the other stands: D looks at the fakes once for the two."""
        logits_fake, logits_real = self._judge(fake, seen, rng), self._judge(real, visibility, rng)
        loss_d, loss_g = discriminator_loss(logits_real, logits_fake), generator_loss(logits_fake)
        self.accelerator.backward(loss_d, inputs=list(self.discriminator.parameters()), retain_graph=True)
        self._follow(extra, loss_g + extra.get("total", 0.0))
        # in float16 G's step may just have changed the loss scale: D's gradient is then off by 2, once, which Adam can bear
        self._step("discriminator")
        return {"loss_d": loss_d, "logit_real": logits_real.mean(), "logit_fake": logits_fake.mean(), "loss_g": loss_g}

    def _r1_turn(self, real: Tensor, visibility: Tensor, rng: torch.Generator) -> Tensor:
        def judge(image: Tensor) -> Tensor:  # in full precision: squared gradients leave the range of float16
            pair = augment(image, visibility, self.config.augment, rng)
            with torch.autocast(image.device.type, enabled=False):
                return Discriminator.forward(self.discriminator, *pair)

        penalty = r1_penalty(judge, real)
        self._update("discriminator", penalty * (self.gamma / 2 * self.config.r1_every))
        return penalty

    def _follow(self, extra: dict[str, Tensor], loss: Tensor) -> None:
        """Step G, and with it the encoder and the mapping network where there is something for them."""
        learning = [self.generator] + ([self.encoder] if extra else [])
        self.accelerator.backward(loss, inputs=[p for model in learning for p in model.parameters()])
        self._step("generator")
        if extra:
            self._step("encoder")
        if "matching" in extra:
            self.accelerator.backward(extra["matching"])
            self._step("mapping", self.generator.mapping)

    def _update(self, player: str, loss: Tensor) -> None:
        self.accelerator.backward(loss)
        self._step(player)

    def _step(self, player: str, model: nn.Module | None = None) -> None:
        optimizer = self.optimizers[player]
        average_gradients(self.accelerator, (model or self.modules[player]).parameters())
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    # ---------------------------------------------------------------------------------------- around the steps

    @torch.no_grad()
    def preview(self, path: Path) -> None:
        """Samples of the averaged generator, always from the same z; with an encoder also eight textures, reconstructed."""
        device = self.accelerator.device
        z = torch.randn(32, self.ema.config.w_dim, generator=torch.Generator().manual_seed(0))
        images = [from_signed(self.ema(z.to(device)))]
        if self.encoder is not None:
            texture, visibility = self.data.phone_batch(self.rows[torch.linspace(0, len(self.rows) - 1, 8).long()], device)
            images += [texture, from_signed(self.ema.synthesis(encode(self.ema_encoder, self.ema, texture, visibility)))]
        write_image(image_grid(torch.cat(images)), path)

    def measure(self) -> dict[str, float]:
        """What `quality` says of the averaged generator."""
        return {} if self.quality is None else self.quality(self.ema)

    def state_dict(self) -> dict:
        """The encoder's latest codes, and whether W has its new basis."""
        return {"memory": self.memory, "rebased": self.rebased}

    def load_state_dict(self, state: dict) -> None:
        """Restore `state_dict`."""
        self.memory, self.rebased = state["memory"], state["rebased"]

    def finish(self) -> dict[str, float]:
        """Give the averaged generator the mapping network that fits the averaged encoder's codes, and its mean w."""
        metrics = {}
        if self.rebased:  # the one that learnt beside them was always late
            codes, rng = self._captured()
            metrics["matching"] = fit_mapping(self.ema, codes.mean(1), rng)
        centre(self.ema)
        return metrics


def phone_stage(profile: Profile, data: TextureSet, *, seed: int = 0, rows: Tensor | None = None) -> PretrainStage:
    """A stage with fresh networks of the profile's size; ``seed`` decides their weights."""
    size = profile.generator
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        generator = Generator(**asdict(size))
        discriminator = Discriminator(size.resolution, size.channel_base, size.channel_max)
        encoder = Encoder(size.resolution, size.w_dim, size.channel_base, size.channel_max)
    return PretrainStage(profile.pretrain, generator, discriminator, data, rows, encoder if profile.pretrain.encoded else None)
