"""The rivals by name, and one call that trains any of them: same data, same protocol, same disturbances, one budget.

Reading obeys `protocols.permitted`, as in every stage of ours. A run that is finished is only loaded, so the same call gives
a trained rival back for pictures and measurements.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from .. import weights
from ..adaptation import train_studio
from ..config import Profile
from ..detail import fuse
from ..detail.model import upsample
from ..errors import InputError
from ..evaluation.baselines import BASELINES, StudioReference
from ..image import from_signed
from ..inversion import resize_observed
from ..protocols import paired_captures, permitted, studio_subjects
from ..stylegan2 import encode
from ..training import Stage, fit
from .closed import homomorphic
from .diffusion import DiffusionStage
from .paired import PairedStage
from .unpaired import UnpairedStage

if TYPE_CHECKING:
    from ..synth import TextureSet

BATCH = 4  # of the trained rivals: few pairs are learnt by many steps, not by large ones
Method = Callable[[Tensor, Tensor], Tensor]
CLOSED: dict[str, Callable[[Tensor, Tensor, StudioReference], Tensor]] = BASELINES | {"homomorphic": homomorphic}


@dataclass(frozen=True)
class Rival:
    """A rival that is trained.

    Attributes:
        title: how tables call it. images: that its training sees, unless another number is asked for.
        protocols: under which it is a rival: where our chain is that very thing, it is none.
    """

    title: str
    images: int
    protocols: tuple[str, ...] = ("few", "open")


TRAINED: dict[str, Rival] = {
    "unet": Rival("paired U-Net", 1600),
    "unet_gain": Rival("paired U-Net, gains", 1600),
    "cut": Rival("unpaired translator (CUT)", 1200),
    "diffusion": Rival("paired diffusion", 1600),
    "whole": Rival("whole network fine-tuned", 800, ("few",)),
    "frozen": Rival("ours, trained as briefly", 800, ("few",)),
}


@dataclass
class Trained:
    """A trained rival: ``method`` for `evaluation.evaluate`, its ``networks`` (those that a user needs), and its run's record."""

    method: Method
    networks: list[nn.Module]
    record: dict[str, Any]

    def to(self, device: torch.device | str) -> Trained:
        """Move the networks."""
        for network in self.networks:
            network.to(device)
        return self

    @property
    def parameters(self) -> int:
        """How many numbers a user would have to keep."""
        return sum(p.numel() for net in self.networks for p in net.parameters())


def closed(name: str, data: TextureSet, protocol: str) -> Method:
    """A rival in closed form, which knows the mean of the studio textures that the protocol shows."""
    if name not in CLOSED:
        raise InputError(f"unknown rival '{name}'; in closed form there are {', '.join(CLOSED)}")
    return partial(CLOSED[name], reference=reference(data, protocol))


def reference(data: TextureSet, protocol: str) -> StudioReference:
    """The mean of all studio textures that a protocol shows."""
    return StudioReference.from_set(permitted(data, protocol), studio_subjects(data, protocol))


def train(
    name: str,
    profile: Profile,
    data: TextureSet,
    protocol: str,
    run_dir: str | Path,
    *,
    images: int | None = None,
    seed: int = 0,
    **options: Any,
) -> Trained:
    """Train a rival, or load it where ``run_dir`` holds its finished run.

    Args:
        name: one of `TRAINED`. profile: its ``adaptation`` to the protocol has the weights of the terms on pairs and the
            share of disturbed captures, its ``detail`` the diffusion network; ``precision`` is used too.
        data: a `TextureSet` of the size of the released networks, which give the losses their features.
        images: length of the run; default the rival's own.
        options: passed to `training.fit` (``device``, ``progress``, intervals).
    Raises:
        InputError: unknown rival, or one that is none under this protocol. WeightsError: a run of other settings.
    """
    if name not in TRAINED or protocol not in TRAINED[name].protocols:
        known = [key for key, rival in TRAINED.items() if protocol in rival.protocols]
        raise InputError(f"no rival '{name}' under the protocol '{protocol}'; there are {', '.join(known)}")
    images, config, shown = images or TRAINED[name].images, profile.adaptation(protocol), permitted(data, protocol)
    if name in ("whole", "frozen"):
        return _fine_tuned(name, profile, data, protocol, Path(run_dir), images, seed, options)
    pairs, mean = paired_captures(data, protocol), None
    if name == "cut":
        everybody = torch.cat([data.captures(split) for split in ("phone", "studio", "pairs")])
        stage: Stage = UnpairedStage(
            shown, everybody, studio_subjects(data, protocol), share=config.disturbed, augmented=config.augment, images=images, batch=BATCH, seed=seed
        )
    elif name == "diffusion":
        mean = reference(data, protocol).mean
        stage = DiffusionStage(shown, pairs, mean, replace(profile.detail, batch=BATCH), images=images, share=config.disturbed, seed=seed)
    else:
        kind = "gain" if name == "unet_gain" else "direct"
        stage = PairedStage(shown, pairs, weights.load("d_phone"), config, kind=kind, images=images, batch=BATCH, seed=seed)
    settings = {"rival": name, "protocol": protocol, "images": images, "data": data.manifest.get("spec"), "seed": seed}
    settings |= {"adapt": dataclasses.asdict(config), "detail": dataclasses.asdict(profile.detail), "precision": profile.precision}
    record = fit(stage, images, run_dir, seed=seed, settings=settings, **{"precision": profile.precision} | options)
    network = (stage.average if name == "diffusion" else stage.network).eval()
    method = stage.method(profile.detail.sample_steps) if name == "diffusion" else partial(_regress, network)
    return Trained(method, [network], dataclasses.asdict(record))


@torch.no_grad()
def _regress(network: nn.Module, texture: Tensor, visibility: Tensor) -> Tensor:
    return from_signed(network(texture, visibility))


def _fine_tuned(
    name: str, profile: Profile, data: TextureSet, protocol: str, run_dir: Path, images: int, seed: int, options: dict[str, Any]
) -> Trained:
    """Our own stage 3, with the coarse layers free or as they are set, for a run of ``images``."""
    config = replace(profile.adaptation(protocol), images=images, **({"train_from": 0} if name == "whole" else {}))
    chosen = replace(profile, **{"adapt" if protocol == "few" else "adapt_open": config})
    g_phone, d_phone, encoder, identity = (weights.load(n) for n in ("g_phone", "d_phone", "encoder", "identity"))
    shown = permitted(data, protocol)
    studio = torch.as_tensor(shown.studio[studio_subjects(data, protocol).numpy()])
    g_studio = train_studio(
        chosen, g_phone, d_phone, encoder, shown, protocol, studio, run_dir, identity=identity, images=images, seed=seed, **options
    )
    record = json.loads((run_dir / "record.json").read_text())
    return Trained(partial(chain, g_phone, encoder, g_studio), [g_phone, encoder, g_studio], record)


@torch.no_grad()
def chain(
    g_phone: nn.Module, encoder: nn.Module, g_studio: nn.Module, texture: Tensor, visibility: Tensor, fused: bool = True
) -> Tensor:
    """Our chain with these networks, up to fusion or to G_studio: texture and visibility to a studio texture of the same size."""
    codes = encode(encoder, g_phone, *resize_observed(texture, visibility, g_phone.config.resolution))
    studio = upsample(from_signed(g_studio.synthesis(codes, "none")).float(), texture.shape[-1])
    return fuse(texture, visibility, studio) if fused else studio
