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
from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils import broadcast
from torch import Tensor, nn

from ..averages import average_gradients, average_of, ema_decay, update_average
from ..config import PretrainConfig, Profile
from ..image import from_signed, to_signed
from ..io import write_image
from ..layout import face_mask
from ..training import Stage, begun, compiled, cooling, fit, was_skipped
from .augment import augment
from .discriminator import Discriminator
from .encoder import Encoder, encode, reconstruction_loss, sliced_distance, spread
from .generator import MAPPING_RATE, Generator
from .losses import discriminator_loss, generator_loss, lazy, r1_gamma, r1_penalty
from .rebase import Frame, centre, fit_mapping, rebase_encoder, rebase_generator

if TYPE_CHECKING:
    from ..synth.dataset import TextureSet

BETAS = (0.0, 0.99)
WARM_BETAS = (0.9, 0.99)  # momentum helps against noise, not against an opponent
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


def phone_networks(profile: Profile, seed: int = 0) -> dict[str, Any]:
    """Fresh networks of the profile's size; ``seed`` decides their weights.

    Those that learn are the "generator", the "discriminator", which takes visibility (four channels), and the "encoder", unless
    the training is plain StyleGAN2 (``encoded`` = 0). "ema" and "ema_encoder" are running averages, the ones to keep.
    """
    size = profile.generator
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        nets = {"generator": Generator(**asdict(size))}
        nets["discriminator"] = Discriminator(size.resolution, size.channel_base, size.channel_max)
        if profile.pretrain.encoded:
            nets["encoder"] = Encoder(size.resolution, size.w_dim, size.channel_base, size.channel_max)
            nets["ema_encoder"] = average_of(nets["encoder"])
    return nets | {"ema": average_of(nets["generator"])}


class PhoneStage(Stage):
    """What the warm-up and the game have in common: G and the encoder, their averages, and how they reconstruct.

    Args:
        config: sizes of the training.
        networks: `phone_networks`, trained in place.
        data: real phone textures: ``phone_batch(rows, device) -> (texture in [0, 1], visibility)``.
    """

    betas: tuple[float, float]  # of G's optimiser

    def __init__(self, config: PretrainConfig, networks: dict, data: TextureSet):
        self.config, self.batch, self.data, self.rows = config, config.batch, data, data.captures("phone")
        self.generator, self.ema = networks["generator"], networks["ema"]
        self.encoder: Any = networks.get("encoder")
        self.ema_encoder: Any = networks.get("ema_encoder")
        self.half_life = 1000 * (config.batch * 10 / 32 if config.ema_kimg is None else config.ema_kimg)
        self.paint = self.generator.synthesis  # for the steps that are differentiated once
        if config.compile:
            self.paint = compiled(self.paint, "G")
        self.modules, self.optimizers, self.rates = networks, {}, {}
        self._learns("generator", self.generator, config.lr, self.betas)
        if self.encoder is not None:
            self._learns("encoder", self.encoder, config.lr, WARM_BETAS)

    def _learns(self, player: str, model: nn.Module, lr: float, betas: tuple[float, float]) -> None:
        self.rates[player] = lr
        self.optimizers[player] = torch.optim.Adam(model.parameters(), lr, betas, eps=1e-8, fused=True)

    def _set_rates(self, share: float) -> None:
        for player, rate in self.rates.items():
            self.optimizers[player].param_groups[0]["lr"] = rate * share

    def _draw(self, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """This process's share of a batch: signed captures and their visibility."""
        chosen = self.rows[torch.randint(len(self.rows), (self.batch // self.accelerator.num_processes,), generator=rng)]
        texture, visibility = self.data.phone_batch(chosen, self.accelerator.device)
        return to_signed(texture), only_faces(visibility, self.config.portrait, rng)

    def _encode(self, real: Tensor, visibility: Tensor) -> Tensor:
        """The encoder's codes, those of the second half corrected by a second pass."""
        first, *rest = zip(real.chunk(2), visibility.chunk(2), strict=True)
        codes = [self.encoder(*first)]
        for part in rest:
            with torch.no_grad():
                guess = self.encoder(*part)
                picture = self.generator.synthesis(guess)
            codes.append(self.encoder(*part, picture, guess))
        return torch.cat(codes)

    def _missed(self, image: Tensor, codes: Tensor, real: Tensor, visibility: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of G's pictures of the encoder's ``codes``, and its parts."""
        recons = reconstruction_loss(image, real, visibility, face_weight=self.config.face_weight)
        apart = spread(codes.float())
        return self.config.reconstruction * recons + self.config.spread * apart, {"recons": recons, "spread": apart}

    def _weights(self, player: str) -> list[nn.Parameter]:
        return self.optimizers[player].param_groups[0]["params"]

    def _backward(self, loss: Tensor, *players: str, **options: Any) -> None:
        """Gradients for these players alone."""
        self.accelerator.backward(loss, inputs=[p for player in players for p in self._weights(player)], **options)

    def _move(self, *players: str) -> None:
        for player in players:
            average_gradients(self.accelerator, self._weights(player))
            self.optimizers[player].step()
            self.optimizers[player].zero_grad(set_to_none=True)

    def _average(self, images: int) -> None:
        """Move the averages, unless the step that they follow was skipped."""
        decay = ema_decay(images, self.batch, self.half_life)
        for player, average, model in (("generator", self.ema, self.generator), ("encoder", self.ema_encoder, self.encoder)):
            if model is not None and not was_skipped(self.optimizers[player]):
                update_average(average, model, decay)

    @torch.no_grad()
    def _captured(self) -> tuple[Tensor, torch.Generator]:
        """The averaged encoder's codes of some captures, the same in every process, and the generator that drew them."""
        rng = torch.Generator().manual_seed(0)
        chosen = self.rows[torch.randperm(len(self.rows), generator=rng)[:CAPTURED]]
        parts = (self.data.phone_batch(part, self.accelerator.device) for part in chosen.split(self.batch))
        return torch.cat([encode(self.ema_encoder, self.ema, *part) for part in parts]), rng

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


class WarmUpStage(PhoneStage):
    """G and its encoder learn to reconstruct, alone; in the end W gets its basis. Needs an encoder."""

    name, betas = "warm-up", WARM_BETAS

    def step(self, images: int, rng: torch.Generator) -> dict[str, float]:
        """Some updates of both by the reconstructions of one batch; then the averages."""
        config, (real, visibility) = self.config, self._draw(rng)
        left = 0.5 + 0.5 * math.cos(math.pi * images / config.warm_up)
        self._set_rates(1 + left * (config.warm_up_lr / config.lr - 1))
        for part in zip(real.chunk(WARM_UPDATES), visibility.chunk(WARM_UPDATES), strict=True):
            with self.accelerator.autocast():
                codes = self._encode(*part)
                image = self.paint(codes, "random", rng).float()
            loss, log = self._missed(image, codes, *part)
            self._backward(loss, "generator", "encoder")
            self._move("generator", "encoder")
        self._average(images)
        return _numbers(log)

    def finish(self) -> dict[str, float]:
        """Make the span of the encoder's codes the new W, in which random codes are faces (`rebase`)."""
        codes, rng = self._captured()
        frame = Frame.of(codes)
        for generator, encoder in ((self.ema, self.ema_encoder), (self.generator, self.encoder)):
            rebase_generator(generator, frame)
            rebase_encoder(encoder, frame)
        matching = fit_mapping(self.ema, frame.coordinates(codes), rng)
        centre(self.ema)
        self.generator.mapping.load_state_dict(self.ema.mapping.state_dict())
        self.generator.w_mean.copy_(self.ema.w_mean)
        if self.accelerator.num_processes > 1:  # a device may not repeat itself to the bit, and the processes must stay alike
            for model in (self.ema, self.ema_encoder, self.generator, self.encoder):
                broadcast(model.state_dict())
        return {"matching": matching, "explained": frame.explained}


class GameStage(PhoneStage):
    """Masked StyleGAN2 training; with an encoder, ``config.encoded`` of the fakes are reconstructions."""

    name, betas = "pretrain", BETAS

    def __init__(self, config: PretrainConfig, networks: dict, data: TextureSet):
        super().__init__(config, networks, data)
        self.discriminator = networks["discriminator"]
        self.look = compiled(self.discriminator.forward, "D") if config.compile else self.discriminator.forward
        self.gamma = r1_gamma(self.generator.config.resolution, config.batch, config.r1)
        self._learns("discriminator", self.discriminator, **lazy(config.lr * config.d_rate, BETAS, config.r1_every))
        self.memory = torch.zeros(0, self.generator.config.w_dim)  # the encoder's latest codes, means over rows
        if self.encoder is not None:
            # the game moves the mapping network a hundred times more slowly than the rest; this pull must not wait for it
            self._learns("mapping", self.generator.mapping, config.matching * config.lr / MAPPING_RATE, WARM_BETAS)

    def step(self, images: int, rng: torch.Generator) -> dict[str, float]:
        """Both players' turn, R1 now and then; then the averages."""
        config, (real, visibility) = self.config, self._draw(rng)
        self._set_rates(cooling(images, config.images, config.cool_down, self.batch))
        encoded = 0 if self.encoder is None else min(round(len(real) * config.encoded), len(real) - 1)
        known, missed, log = (real[:encoded], visibility[:encoded]), None, {}
        with self.accelerator.autocast():
            drawn = self._codes(len(real) - encoded, rng)
            codes = self._encode(*known) if encoded else drawn[:0]
            fake = self.paint(torch.cat([drawn, codes]), "random", rng).float()
        if encoded:
            missed, log = self._missed(fake[-encoded:], codes, *known)
            missed = missed * encoded / len(real)
        log |= self._game_turn(real, visibility, fake, visibility.roll(-encoded, 0), missed, rng)
        if encoded:
            log |= self._match(codes, rng)
        if self.gamma and images // self.batch % config.r1_every == 0:
            half = -(-len(real) // 2)  # the penalty's mean needs no more, and its second derivatives are the dearest of all
            log["r1"] = self._r1_turn(real[:half], visibility[:half], rng)
        if not was_skipped(self.optimizers["generator"]):
            self.generator.w_mean.lerp_(drawn.detach().float().mean((0, 1)), W_MEAN_RATE)
        self._average(images)
        return _numbers(log)

    def _codes(self, batch: int, rng: torch.Generator) -> Tensor:
        """w+ of random z; with probability ``mixing`` an image takes its later rows from a second z (2019, section 3.1)."""
        g = self.generator
        w = g.mapping(torch.randn(2 * batch, g.config.w_dim, generator=rng).to(self.accelerator.device))
        draws = torch.rand(batch, 2, generator=rng)
        cut = 1 + (draws[:, 1] * (g.num_ws - 1)).long()
        cut[draws[:, 0] >= self.config.mixing] = g.num_ws
        first = torch.arange(g.num_ws) < cut[:, None]  # (B, L)
        return torch.where(first[..., None].to(w.device), w[:batch, None], w[batch:, None])

    def _judge(self, image: Tensor, visibility: Tensor, rng: torch.Generator) -> Tensor:
        with self.accelerator.autocast():
            return self.look(*augment(image, visibility, self.config.augment, rng)).float()

    def _game_turn(
        self, real: Tensor, visibility: Tensor, fake: Tensor, seen: Tensor, missed: Tensor | None, rng: torch.Generator
    ) -> dict[str, Tensor]:
        """Both players move, each by its gradient at where the other stands: D looks at the fakes once for the two. With G
        moves the encoder, by what reconstructions ``missed``, if there are any."""
        logits_fake, logits_real = self._judge(fake, seen, rng), self._judge(real, visibility, rng)
        loss_d, loss_g = discriminator_loss(logits_real, logits_fake), generator_loss(logits_fake)
        learning = ["generator"] if missed is None else ["generator", "encoder"]
        self._backward(loss_d, "discriminator", retain_graph=True)
        self._backward(loss_g if missed is None else loss_g + missed, *learning)
        # in float16 G's step may change the loss scale: D's gradient is then off by 2, once, which Adam can bear
        self._move(*learning, "discriminator")
        return {"loss_d": loss_d, "logit_real": logits_real.mean(), "logit_fake": logits_fake.mean(), "loss_g": loss_g}

    def _match(self, codes: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        """The mapping network's turn: random codes are drawn to the encoder's latest ones."""
        self.memory = torch.cat([self.memory.to(codes.device), codes.detach().float().mean(1)])[-MEMORY:]
        if len(self.memory) < MEMORY:
            return {}
        z = torch.randn(self.memory.shape, generator=rng).to(codes.device)
        distance = sliced_distance(self.generator.mapping(z), self.memory, rng)
        self._backward(distance, "mapping")
        self._move("mapping")
        return {"matching": distance}

    def _r1_turn(self, real: Tensor, visibility: Tensor, rng: torch.Generator) -> Tensor:
        def judge(image: Tensor) -> Tensor:  # in full precision: squared gradients leave the range of float16
            pair = augment(image, visibility, self.config.augment, rng)
            with torch.autocast(image.device.type, enabled=False):
                return Discriminator.forward(self.discriminator, *pair)

        penalty = r1_penalty(judge, real)
        self._backward(penalty * (self.gamma / 2 * self.config.r1_every), "discriminator")
        self._move("discriminator")
        return penalty

    def state_dict(self) -> dict:
        """The encoder's latest codes."""
        return {"memory": self.memory}

    def load_state_dict(self, state: dict) -> None:
        """Restore `state_dict`."""
        self.memory = state["memory"]

    def finish(self) -> dict[str, float]:
        """Give the averaged generator its mean w; after a warm-up also the mapping network that fits the averaged encoder's
        codes, for the one that learnt beside them was always late."""
        metrics = {}
        if self.encoder is not None and self.config.warm_up:
            codes, rng = self._captured()
            metrics["matching"] = fit_mapping(self.ema, codes.mean(1), rng)
        centre(self.ema)
        return metrics


def _numbers(log: dict[str, Tensor]) -> dict[str, float]:
    return dict(zip(log, torch.stack([v.detach().float() for v in log.values()]).tolist(), strict=True))


def pretrain(
    profile: Profile, networks: dict[str, Any], data: TextureSet, run_dir: Path, quality: Callable | None = None, **options: Any
) -> None:
    """Stage 1: the warm-up, in ``run_dir/warm-up``, and then the game, in ``run_dir``; a stopped run goes on with either.

    Args:
        networks: `phone_networks`, trained in place. options: of `training.fit`.
        quality: measures the averaged generator with every preview of the game, for the log (KID for example).
    """
    config, before = profile.pretrain, None
    options["settings"] = options.get("settings", {}) | {"stages": ("warm-up", "pretrain")}
    options["precision"] = profile.precision
    if "encoder" in networks and config.warm_up and not begun(run_dir):
        before = fit(WarmUpStage(config, networks, data), config.warm_up, run_dir / WarmUpStage.name, **options)
    game = GameStage(config, networks, data)
    if quality is not None:
        game.measure = lambda: quality(game.ema)  # type: ignore[method-assign]
    fit(game, config.images, run_dir, after=before, **options)
