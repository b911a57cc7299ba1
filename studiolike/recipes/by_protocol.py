"""Steps that learn from studio textures, once for each protocol: G_studio, the tone network, the detailer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from ..errors import InputError
from ..inversion.bank import fingerprint
from ..protocols import paired_captures, permitted, studio_subjects
from ..training import fit
from .context import Context


def imported_studio(path: Path, resolution: int) -> tuple[Tensor, Tensor, str]:
    """Studio textures of a set of ``studiolike data import``, uint8 ``(S, 3, H, W)``: to learn from, held out, and a digest.

    Raises:
        InputError: no such set, no studio textures in it, or of another resolution.
    """
    from ..synth import TextureSet

    data = TextureSet.open(path)
    if data.resolution != resolution:
        raise InputError(
            f"{path} has {data.resolution}² texels, this profile needs {resolution}: import it with --size {resolution}"
        )
    known = torch.arange(len(data.studio))
    parts = [
        torch.from_numpy(data.studio[rows[torch.isin(rows, known)].numpy()])
        for rows in (torch.cat([data.subjects("studio"), data.subjects("pairs")]), data.subjects("val"))
    ]
    if not len(parts[0]):
        raise InputError(f"{path} has no studio textures to learn from: import some with --studio")
    return parts[0], parts[1], data.manifest["sha256"]["studio"]


def train_adapt(context: Context, protocol: str) -> None:
    """Stage 3: studio fine-tuning on the codes that will come in."""
    from ..adaptation import train_studio

    run, extra = f"g_studio-{protocol}", {"protocol": protocol}
    data = permitted(context.data, protocol, watch=True)
    own = imported_studio(context.studio, context.profile.data.resolution) if context.studio else None
    g_phone, d_phone, encoder = (context.network(name) for name in ("g_phone", "d_phone", "encoder"))
    if own:
        studio, held_out, digest = own
        run = f"{run}-{digest[:8]}"  # never go on with a run of other textures
        extra |= {"studio_textures": f"{len(studio)} of an imported set, sha256 {digest}"}
    else:
        studio, held_out = (
            torch.as_tensor(data.studio[rows.numpy()]) for rows in (studio_subjects(data, protocol), data.subjects("val"))
        )
    g_studio = train_studio(
        context.profile,
        g_phone.to(context.data_device),
        d_phone,
        encoder.to(context.data_device),
        data,
        protocol,
        studio,
        context.runs / run,
        identity=context.network("identity"),
        held_out=held_out,
        **context.options,
    )
    context.keep(g_studio, "g_studio", context.data, run=run, extra=extra, metrics={}, protocol=protocol)


def train_tone(context: Context, protocol: str) -> None:
    """Stage 3, its second part: the network that reads how light somebody's skin is."""
    from ..tone import ToneStage

    config, data = context.profile.tone, permitted(context.data, protocol, watch=True)
    stage = ToneStage(config, data, protocol, seed=context.seed)
    run = f"tone-{protocol}"
    settings = {"tone": dataclasses.asdict(config), "data": data.manifest["spec"], "protocol": protocol}
    fit(stage, config.images, context.runs / run, settings=settings, **context.options)
    context.keep(stage.net.cpu().eval(), "tone", context.data, {}, run=run, extra={"protocol": protocol}, protocol=protocol)


def train_detail(context: Context, protocol: str) -> None:
    """Stage 4: the detailer, on what this protocol's G_studio gives it."""
    from ..detail import DetailStage

    config, data = context.profile.detail, permitted(context.detailed, protocol, watch=True)
    stage = DetailStage(
        config,
        data,
        paired_captures(data, protocol),
        g_phone=context.network("g_phone"),
        encoder=context.network("encoder"),
        g_studio=context.network("g_studio", protocol),
        tone=context.network("tone", protocol),  # type: ignore[arg-type]
        seed=context.seed,
    )
    run = f"detailer-{protocol}"
    start = fingerprint(*(net for net in stage.chain if net is not None))
    settings = {"detail": dataclasses.asdict(config), "data": data.manifest["spec"], "start": start}
    settings["precision"] = context.profile.precision
    fit(stage, config.images, context.runs / run, settings=settings, precision=context.profile.precision, **context.options)
    extra = {"protocol": protocol}
    context.keep(stage.average.cpu(), "detailer", context.detailed, {}, run=run, extra=extra, protocol=protocol)


BY_PROTOCOL: dict[str, Callable[[Context, str], None]] = {"adapt": train_adapt, "tone": train_tone, "detail": train_detail}
