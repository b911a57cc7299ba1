"""Few-shot training of G_studio: one step of the min-max game, and the call that runs it.

G_studio starts as a copy of G_phone and only its blocks after ``train_from`` move, and toRGB. At first it learns from the
terms that say where a texel should go, the pairs above all; D_studio enters when there is something to judge, and the
learning rates fall to zero while it plays. D_studio starts as D_phone with its image-side blocks frozen (FreezeD: Mo, Cho
& Shin 2020): low-level statistics of skin do not need to be learnt again from a few dozen textures. Few-shot
discriminators overfit early, so D's opinion of textures it has never seen is logged from the first interval on: when
D(train) leaves D(held out) behind, it has begun to recite.
"""

from __future__ import annotations

import copy
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from ..averages import average_gradients, average_of, ema_decay, update_average
from ..config import AdaptConfig, Profile
from ..errors import InputError, ProfileError
from ..image import from_signed, to_signed
from ..inversion import CodeBank
from ..inversion.bank import fingerprint
from ..io import write_image
from ..protocols import paired_captures
from ..stylegan2.augment import augment
from ..stylegan2.losses import discriminator_loss, lazy, r1_gamma, r1_penalty
from ..stylegan2.train import BETAS, WARM_BETAS
from ..training import Stage, cooling, fit, processes, was_skipped
from .captures import EncodedCaptures, EncodedPairs, OtherLights
from .losses import AdaptLoss, Distance, StudioDistance
from .sampling import CodeSampler

if TYPE_CHECKING:
    from ..synth import TextureSet

Textures = Tensor | np.ndarray

STATS_EVERY = 8  # steps between looks at D's opinions
STATS_IMAGES = 16


class AdaptStage(Stage):
    """Stage 3 for `training.fit`.

    Args:
        config: weights, learning rate, ``train_from`` and the rest.
        g_phone, d_phone: the networks of stage 1; copied, never changed.
        sampler: where codes come from: `CodeSampler`, or `EncodedCaptures`, which also gives twins.
        studio: ``(S, 3, H, W)`` studio textures, uint8 or float in [0, 1], tensor or array; no pairing is used.
        pairs: `EncodedPairs`, which draws disturbed captures; None if all weights on pairs are 0.
        identity: network with ``embed``, or None if its weight is 0.
        held_out: studio textures of other subjects, only ever looked at by the statistics.
        distance: perceptual distance on signed images; None takes `StudioDistance` on D_phone.
    Raises:
        InputError: textures of another size than the generator's.
        ProfileError: a term whose ingredient is missing, or a ``train_from`` that leaves nothing to train.
    """

    name = "adapt"

    def __init__(
        self,
        config: AdaptConfig,
        g_phone: nn.Module,
        d_phone: nn.Module,
        sampler: CodeSampler | EncodedCaptures,
        studio: Textures,
        pairs: EncodedPairs | None = None,
        *,
        identity: nn.Module | None = None,
        held_out: Textures | None = None,
        distance: Distance | None = None,
    ):
        self.config, self.batch, self.sampler = config, config.batch, sampler
        self.studio, self.pairs, self.held_out = studio, pairs, held_out
        size = g_phone.config.resolution
        for textures in (studio, held_out):
            if textures is not None and tuple(textures.shape[1:]) != (3, size, size):
                raise InputError(f"studio textures are {tuple(textures.shape)}, the generator makes {size}×{size}")
        # the frozen teachers: copies, so that whoever handed them in keeps theirs as they were
        self.g_phone = copy.deepcopy(g_phone).eval().requires_grad_(False)
        teacher = copy.deepcopy(d_phone).eval().requires_grad_(False)
        identity = None if identity is None else copy.deepcopy(identity).eval().requires_grad_(False)
        self.teachers = [self.g_phone, teacher, *([identity] if identity is not None else [])]
        self.loss = AdaptLoss(config, distance or StudioDistance(teacher), identity)
        if config.unpaired == 0 and (not self.loss.uses_pairs or config.adversarial > 0):
            raise ProfileError("codes of people without a pair are needed here: set unpaired above 0")
        if self.loss.uses_pairs and not pairs:
            raise ProfileError("L_percp-recons has a weight but there are no pairs: pass some, or set its weights to 0")

        self.others = None  # codes that are nobody's captures have no others
        if config.other_light > 0 and isinstance(sampler, EncodedCaptures) and isinstance(pairs, EncodedPairs):
            self.others = OtherLights(sampler, pairs.captures)

        g_studio, d_studio = copy.deepcopy(g_phone).requires_grad_(False), copy.deepcopy(d_phone).requires_grad_(True)
        self.trained = list(g_studio.modules_from(config.train_from, config.train_rgb).parameters())
        if config.train_from < 4:  # the whole network: its constant input belongs to no block
            self.trained.append(g_studio.const)
        if not self.trained:
            raise ProfileError(f"train_from={config.train_from} leaves nothing to train in a {size}×{size} generator")
        for parameter in self.trained:
            parameter.requires_grad_(True)
        freeze_image_side(d_studio, config.freeze_d)
        self.judged = [p for p in d_studio.parameters() if p.requires_grad]
        self.modules = {"g_studio": g_studio, "d_studio": d_studio, "ema": average_of(g_studio)}
        self.optimizers = {
            "g": torch.optim.Adam(self.trained, lr=config.lr, betas=BETAS, eps=1e-8),
            "d": torch.optim.Adam(self.judged, eps=1e-8, **lazy(config.lr, BETAS, config.r1_every)),
        }
        self.rates = {name: optimizer.param_groups[0]["lr"] for name, optimizer in self.optimizers.items()}
        self.gamma = r1_gamma(size, config.batch, config.r1)

    # ----------------------------------------------------------------------------------------------- one step

    def step(self, images: int, rng: torch.Generator) -> dict[str, float]:
        """One step of both players, R1 every ``r1_every`` steps, EMA. Returns the weighted terms and D's opinions."""
        accelerator, adversarial = self.accelerator, self._schedule(images)
        device, index = accelerator.device, images // self.batch
        for teacher in self.teachers:
            teacher.to(device)
        local = max(1, self.batch // accelerator.num_processes)
        alone = local
        if self.loss.uses_pairs:  # two by two, and never none where some are wanted, however small a process's part is
            alone = max(2, 2 * round(local * self.config.unpaired / 2)) if self.config.unpaired > 0 else 0
        g_studio, d_studio = (accelerator.unwrap_model(self.modules[k]) for k in ("g_studio", "d_studio"))
        twins_of = isinstance(self.sampler, EncodedCaptures)
        codes, rows = torch.empty(0, g_studio.num_ws, g_studio.config.w_dim), None  # which no network takes
        with accelerator.autocast():
            if alone and twins_of:
                codes, rows = self.sampler.twins(-(-alone // 2), rng)  # type: ignore[union-attr]
            elif alone:
                codes = self.sampler(alone, rng)
        codes = codes.float().to(device)
        everything, truth = codes, None
        if self.loss.uses_pairs:
            with accelerator.autocast():
                pair_codes, truth = self.pairs.draw(max(2, local - alone), rng)
            everything, truth = torch.cat([codes, pair_codes.float().to(device)]), _signed(truth, device)
        with accelerator.autocast():
            made = g_studio.synthesis(everything, noise="none").float()
        fake, pair_fake = made[: len(codes)], made[len(codes) :]
        given = ((fake, twins_of), (pair_fake, isinstance(self.pairs, EncodedPairs)))
        twins = [part for part, coupled in given if coupled and len(part)]
        out: dict[str, Tensor] = {}

        total, parts, logits = made.new_zeros(()), {}, None
        with accelerator.autocast():
            adversarial = adversarial and len(fake) > 0
            if len(fake):
                with torch.no_grad():
                    reference = self.g_phone.synthesis(codes, noise="none").float()
                logits = self._logits(d_studio, fake, rng) if adversarial else None  # both players' losses read them
                total, parts = self.loss.generator(fake, reference, logits)
            if truth is not None:
                pair_total, pair_parts = self.loss.pairs(pair_fake, truth)
                total, parts = total + pair_total, parts | pair_parts
            if self.others is not None and rows is not None:
                told = (x.to(device) for x in self.others(rows))
                other_total, other_parts = self.loss.others(fake, *told)
                total, parts = total + other_total, parts | other_parts
            twin_total, twin_parts = self.loss.twins(*twins)
            total, parts = total + twin_total.to(total), parts | twin_parts
        self._backward(total, self.trained, retain_graph=adversarial)
        if adversarial:
            out |= self._judge(d_studio, logits, len(codes), index, rng)  # type: ignore[arg-type]
        self._update("g", self.trained)
        if not was_skipped(self.optimizers["g"]):
            self._average(images)
        out |= {f"g_{name}": value for name, value in parts.items()}
        if self.config.adversarial > 0 and index % STATS_EVERY == 0:
            out |= self._opinions(d_studio, fake.detach(), rng)
        if not out:  # no term has a weight
            return {}
        values = torch.stack([value.detach().float() for value in out.values()]).tolist()  # one wait for the device
        return dict(zip(out, values, strict=True))

    def _schedule(self, images: int) -> bool:
        """Set this step's learning rates and momentum; returns whether D takes part."""
        config = self.config
        warm = images < config.warm_up * config.images and self.loss.learns_alone
        cool = cooling(images, config.images, config.cool_down, self.batch)
        for name, optimizer in self.optimizers.items():
            optimizer.param_groups[0]["lr"] = self.rates[name] * cool
        # momentum helps against noise, not against an opponent
        self.optimizers["g"].param_groups[0]["betas"] = WARM_BETAS if warm or config.adversarial == 0 else BETAS
        return config.adversarial > 0 and not warm

    def _judge(self, d_studio: nn.Module, logits: Tensor, local: int, index: int, rng: torch.Generator) -> dict[str, Tensor]:
        """D's step: tell studio textures from G_studio's, whose ``logits`` it gave, then the lazy R1 on studio textures."""
        chosen = torch.randint(len(self.studio), (local,), generator=rng)
        real = _signed(_rows(self.studio, chosen), self.accelerator.device)
        with self.accelerator.autocast():
            loss = discriminator_loss(self._logits(d_studio, real, rng), logits)
        self._backward(loss, self.judged)
        self._update("d", self.judged)
        out = {"d_adv": loss.detach()}
        if self.gamma > 0 and index % self.config.r1_every == 0:

            def judge(image: Tensor) -> Tensor:  # in full precision: squared gradients leave the range of float16
                with torch.autocast(image.device.type, enabled=False):
                    return type(d_studio).forward(d_studio, image, _ones(image))

            penalty = r1_penalty(judge, real)
            self._backward(self.gamma / 2 * self.config.r1_every * penalty, self.judged)
            self._update("d", self.judged)
            out["d_r1"] = penalty.detach()
        return out

    def _logits(self, d_studio: nn.Module, image: Tensor, rng: torch.Generator) -> Tensor:
        image, visibility = augment(image, _ones(image), self.config.augment, rng)
        return d_studio(image, visibility).float()

    def _backward(self, loss: Tensor, parameters: list[nn.Parameter], **options: bool) -> None:
        """Gradients of one player's parameters alone; the other's layers are passed through."""
        if loss.requires_grad:  # with every weight at zero there is nothing to descend
            self.accelerator.backward(loss, inputs=parameters, **options)

    def _update(self, name: str, parameters: list[nn.Parameter]) -> None:
        optimizer = self.optimizers[name]
        if any(parameter.grad is not None for parameter in parameters):
            average_gradients(self.accelerator, parameters)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    @torch.no_grad()
    def _average(self, images: int) -> None:
        """EMA of G_studio; its half-life grows with the run, so that a short one leaves G_phone behind too."""
        kimg = self.batch * 10 / 32 if self.config.ema_kimg is None else self.config.ema_kimg
        decay = ema_decay(images + self.batch, self.batch, 1000 * kimg)
        ema, live = (self.accelerator.unwrap_model(self.modules[name]) for name in ("ema", "g_studio"))
        update_average(ema, live, decay)

    # ----------------------------------------------------------------------------------------------- watching

    @torch.no_grad()
    def _opinions(self, d_studio: nn.Module, fake: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        """D's mean logit on unaugmented training, held-out and generated textures, and ADA's overfitting measure."""

        def opinion(textures: Tensor) -> Tensor:
            chosen = torch.randperm(len(textures), generator=rng)[:STATS_IMAGES]
            image = _signed(_rows(textures, chosen), fake.device)
            return d_studio(image, _ones(image)).mean()

        train, generated = opinion(self.studio), d_studio(fake, _ones(fake)).mean()  # type: ignore[arg-type]
        out = {"d_train": train, "d_fake": generated}
        if self.held_out is not None and len(self.held_out):
            out["d_held_out"] = opinion(self.held_out)  # type: ignore[arg-type]
            # 0: held-out textures look as real as training ones; 1: they look as false as generated ones
            gap = train - generated
            out["overfit"] = torch.where(gap.abs() > 1e-3, (train - out["d_held_out"]) / gap, torch.zeros_like(gap))
        means = _signed(_rows(self.studio, torch.arange(min(64, len(self.studio)))), fake.device).mean((0, 2, 3))
        out["colour_shift"] = (fake.mean((0, 2, 3)) - means).abs().mean() / 2  # of mean colour, in [0, 1] units
        return out

    @torch.no_grad()
    def preview(self, path: Path) -> None:
        """Upper row: G_phone on eight fixed codes; lower row: the averaged G_studio on the same codes."""
        codes = self.sampler(8, torch.Generator().manual_seed(0)).to(self.accelerator.device)
        ema = self.accelerator.unwrap_model(self.modules["ema"])
        self.g_phone.to(codes.device)
        rows = [torch.cat(list(from_signed(g.synthesis(codes, noise="none").float())), -1) for g in (self.g_phone, ema)]
        write_image(torch.cat(rows, -2), path)


def freeze_image_side(discriminator: nn.Module, blocks: int) -> None:
    """FreezeD: ``from_rgb`` and the first ``blocks`` residual blocks, the ones at the highest resolutions, stay."""
    for module in [discriminator.from_rgb, *discriminator.blocks.values()][: blocks + 1 if blocks > 0 else 0]:
        module.requires_grad_(False)


def _rows(textures: Textures, chosen: Tensor) -> Tensor:
    return textures[chosen] if torch.is_tensor(textures) else torch.as_tensor(textures[chosen.numpy()])


def _signed(textures: Tensor, device: torch.device) -> Tensor:
    """uint8 or [0, 1] textures as signed float32 on ``device``."""
    textures = textures.to(device)
    return to_signed(textures.float() / 255 if textures.dtype == torch.uint8 else textures.float())


def _ones(image: Tensor) -> Tensor:
    """Studio textures are complete, and G_studio must be: D judges every texel."""
    return torch.ones_like(image[:, :1])


def train_studio(
    profile: Profile,
    g_phone: nn.Module,
    d_phone: nn.Module,
    encoder: nn.Module | None,
    data: TextureSet,
    protocol: str,
    studio: Textures,
    run_dir: str | Path,
    *,
    bank: CodeBank | None = None,
    identity: nn.Module | None = None,
    held_out: Textures | None = None,
    distance: Distance | None = None,
    images: int | None = None,
    seed: int = 0,
    **options: Any,
) -> nn.Module:
    """Run stage 3 and return G_studio (its running average), on the CPU, in evaluation mode, frozen.

    Args:
        profile: its ``adaptation`` to the protocol holds every setting; ``precision`` is used too.
        encoder: gives the codes of captures.
        data: a `TextureSet`, as ``protocol`` allows it to be read (`protocols.permitted`).
        protocol: "few" or "open": whose true textures the terms on pairs may use.
        studio: studio textures for D_studio ``(S, 3, H, W)``. held_out: others, only to watch D with.
        bank: codes of the phone pre-training set, for ``codes`` "bank" and "bank_mixture".
        identity, distance: see `AdaptStage`.
        images: length of the run, default the settings'.
        options: passed to `training.fit` (``device``, ``resume``, ``progress``, intervals).
    Raises:
        InputError, ProfileError: see `AdaptStage`; WeightsError: a checkpoint in ``run_dir`` of other
            settings. ProtocolError: ``data`` shows less than ``protocol`` needs.
    """
    config, run_dir = profile.adaptation(protocol), Path(run_dir)

    def encoded(rows: Tensor, name: str, needed: float) -> EncodedCaptures:
        captures = EncodedCaptures(data, rows, encoder, g_phone, share=config.disturbed)
        half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(profile.precision)
        with (  # one process encodes and writes, the others read; in training's precision
            processes(options.get("device")).main_process_first(),
            torch.autocast(g_phone.w_mean.device.type, half, enabled=half is not None),
        ):
            captures.keep(config.kept if needed else 0, run_dir / f"{name}.safetensors", seed, options.get("progress", False))
        return captures

    paired = EncodedPairs(encoded(paired_captures(data, protocol), "pairs", 1 - config.unpaired))
    if config.codes == "captures":
        sampler = encoded(data.captures("phone"), "people", config.unpaired)
    else:
        sampler = CodeSampler(config.codes, g_phone, bank)  # type: ignore[arg-type]
    stage = AdaptStage(config, g_phone, d_phone, sampler, studio, paired, identity=identity, held_out=held_out, distance=distance)
    settings = asdict(config) | {
        "resolution": g_phone.config.resolution,
        "protocol": protocol,
        "studio": len(studio),
        "pairs": len(paired),
        "data": data.manifest.get("spec"),
        "precision": profile.precision,
        "r1_gamma": stage.gamma,  # says it all: resolution and batch are there too
    }
    del settings["r1"], settings["images"]  # a longer run continues a shorter one
    # a checkpoint holds G_studio's frozen layers too: never continue it on another G_phone
    settings["start"] = fingerprint(g_phone, d_phone, encoder, identity)
    options = {"precision": profile.precision} | options
    fit(stage, images or config.images, run_dir, seed=seed, settings=settings, **options)
    return stage.accelerator.unwrap_model(stage.modules["ema"]).cpu().eval().requires_grad_(False)
