"""Steps that both protocols share: identity networks, stage 1, the code bank, the exemplars."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from .. import weights
from ..inversion.bank import fingerprint
from ..protocols import permitted, studio_subjects
from ..training import fit
from .context import Context
from .quality import encoder_quality, phone_quality

if TYPE_CHECKING:
    from ..synth import TextureSet


def captures_of(context: Context) -> TextureSet:
    """The set as a step may see it that serves both protocols: their captures, and no studio texture that one of them closes.

    Watched over, for what is measured beside a training."""
    return permitted(context.data, "few", watch=True)


def train_identity_networks(context: Context) -> None:
    """Two networks of different seed and shape: one for the losses, one that only measures."""
    from ..features import train_identity

    for seed, role in enumerate(("identity", "identity_eval")):
        net = train_identity(
            context.profile,
            role,
            captures_of(context),
            context.runs / role,
            **context.options | {"seed": context.seed + seed},
        )
        context.keep(net, role, context.data, {})


def train_phone(context: Context) -> None:
    """Stage 1."""
    from ..inversion import Curvature
    from ..stylegan2 import phone_networks, pretrain

    profile, data = context.profile, captures_of(context)
    nets = phone_networks(profile, context.seed)
    released = {
        "encoder": "encoder",
        "ema_encoder": "encoder",
        "discriminator": "d_phone",
        "generator": "g_phone",
        "ema": "g_phone",
    }
    start = {name: context.start(released[name], net) for name, net in nets.items()}["ema"]
    settings = {
        "pretrain": dataclasses.asdict(profile.pretrain) | {"images": None, "compile": None},
        "warm": start,
        "generator": dataclasses.asdict(profile.generator),
        "data": data.manifest["spec"],
    }

    def quality(generator: nn.Module) -> dict[str, float]:
        return phone_quality(generator, data)

    pretrain(profile, nets, data, context.runs / "g_phone", settings=settings, quality=quality, **context.options)
    g_phone, d_phone = nets["ema"].cpu(), nets["discriminator"].cpu().eval()
    context.keep(g_phone, "g_phone", data, quality(g_phone), extra=start)
    context.keep(d_phone, "d_phone", data, {}, run="g_phone", extra=start)
    context.keep(Curvature.of(g_phone.to(context.data_device)).cpu(), "curvature", data, {}, run="g_phone", extra=start)
    if "ema_encoder" in nets:
        train_encoder(context, nets["ema_encoder"], g_phone.cpu(), start)


def train_encoder(context: Context, encoder: nn.Module, g_phone: nn.Module, extra: dict[str, Any]) -> None:
    """The end of stage 1: the encoder of the game, trained on with G at rest."""
    from ..inversion import EncoderStage

    config, data = context.profile.encoder, captures_of(context)
    # the encoder of the game tells one G_phone from another; G's mapping network was fit a moment ago, not loaded
    settings = {"encoder": dataclasses.asdict(config), "data": data.manifest["spec"], "start": fingerprint(encoder)}
    stage = EncoderStage(config, encoder, g_phone, data)
    fit(stage, config.images, context.runs / "encoder", settings=settings, precision=context.profile.precision, **context.options)
    encoder, g_phone = encoder.cpu().eval(), g_phone.cpu()
    context.keep(
        encoder,
        "encoder",
        data,
        encoder_quality(encoder, g_phone, data),
        extra=extra
        | {"remark": "images, seconds and settings are those after the game; the card of g_phone has those of the game"},
    )


def train_codes(context: Context) -> None:
    """The code bank: some captures of the pre-training set, and those of the few pairs, inverted once for the chapters."""
    data, profile = captures_of(context), context.profile
    g_phone, d_phone = context.network("g_phone"), context.network("d_phone")
    rows, wanted = data.captures("phone"), profile.adapt.bank
    if wanted and wanted < len(rows):  # spread over the subjects, not the first few of them
        rows = rows[torch.linspace(0, len(rows) - 1, wanted).long()]
    for name, chosen in (("bank", rows), ("pairs", data.captures("pairs"))):
        bank = context.bank(g_phone, d_phone, data, chosen, name)
        if context.processes.is_main_process:
            bank.save(context.runs / "networks" / f"{name}.safetensors")
            if context.release:
                half = dataclasses.replace(bank, w_plus=bank.w_plus.half())
                half.save(weights.weights_dir() / f"{name}.safetensors")
    if context.release and context.processes.is_main_process:
        from ..evaluation import StudioReference

        weights.write_studio_mean(StudioReference.from_set(permitted(context.data, "few")).mean)


EXEMPLARS, EXEMPLAR_SIZE = 16, 512  # more people bring nothing, by the perceptual distance in the holes of the split "val"


def choose_exemplars(context: Context) -> None:
    """People of the few-shot set whose studio textures lend detail to what nobody saw; drawn anew, larger than the set's.

    All are shaven: whoever has a beard shows it to the camera, and nobody else should get one."""
    from ..detail.exemplars import choose
    from ..synth.head import synthesise_subjects
    from ..synth.studio import studio_texture
    from ..synth.traits import BEARDS, draw_traits

    data = permitted(context.data, "few")
    people = studio_subjects(data, "few")
    people = people[draw_traits(torch.as_tensor(data.seeds)[people])["beard"].cpu() == BEARDS.index("none")]
    chosen = people[choose(data.studio_batch(people), EXEMPLARS)]
    seeds = torch.as_tensor(data.seeds)[chosen]
    drawn = torch.cat([studio_texture(synthesise_subjects(seed[None], EXEMPLAR_SIZE)) for seed in seeds])
    if context.processes.is_main_process:
        for folder in (context.runs / "networks", *([weights.weights_dir()] if context.release else [])):
            weights.write_exemplars(drawn, folder)


SHARED: dict[str, Callable[[Context], None]] = {
    "identity": train_identity_networks,
    "phone": train_phone,
    "codes": train_codes,
    "exemplars": choose_exemplars,
}
