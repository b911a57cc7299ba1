"""The rivals by name, and one call that trains any of them: same data, same protocol, same disturbances, one budget.

Reading obeys `protocols.permitted`, as in every stage of ours. A run that is finished is only loaded, so the same call gives
a trained rival back for pictures and measurements.
"""

from __future__ import annotations

import json
import time
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
from ..device import peak_gib
from ..errors import InputError
from ..evaluation.baselines import BASELINES, StudioReference
from ..image import from_signed
from ..inversion import resize_observed
from ..io import atomic
from ..protocols import paired_captures, permitted, studio_subjects
from ..stylegan2 import encode
from ..training import Stage, fit
from .closed import homomorphic
from .diffusion import DiffusionStage
from .paired import PairedStage
from .unpaired import UnpairedStage

if TYPE_CHECKING:
    from ..synth import TextureSet

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
    """A trained rival: ``method`` for `evaluation.evaluate`, its ``networks`` (those that a user needs), and its cost: processor
    seconds and peak memory in GiB of its training."""

    method: Method
    networks: list[nn.Module]
    cost: dict[str, float]

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
        name: one of `TRAINED`. profile: its ``precision`` is used, and by fine-tuning its settings of stage 3.
        data: a `TextureSet`; for fine-tuning of the size of the released networks.
        images: length of the run; default the rival's own.
        options: passed to `training.fit` (``device``, ``progress``, intervals).
    Raises:
        InputError: unknown rival, or one that is none under this protocol. WeightsError: a run of other settings.
    """
    if name not in TRAINED or protocol not in TRAINED[name].protocols:
        known = [key for key, rival in TRAINED.items() if protocol in rival.protocols]
        raise InputError(f"no rival '{name}' under the protocol '{protocol}'; there are {', '.join(known)}")
    images, run_dir, shown = images or TRAINED[name].images, Path(run_dir), permitted(data, protocol)
    started = time.process_time()
    options = {"precision": profile.precision} | options
    if name in ("whole", "frozen"):
        networks, method = _fine_tuned(name, profile, shown, protocol, run_dir, images, seed, options)
    else:
        stage, method, network = _stage(name, shown, protocol, images, seed)
        settings = {"rival": name, "protocol": protocol, "images": images, "data": data.manifest.get("spec"), "seed": seed}
        fit(stage, images, run_dir, seed=seed, settings=settings | {"precision": options["precision"]}, **options)
        networks = [network]
    return Trained(method, [net.eval() for net in networks], _cost(run_dir, time.process_time() - started))


def _cost(run_dir: Path, seconds: float) -> dict[str, float]:
    """What a run took, written when it is finished and read from then on: processor seconds, and the process's memory."""
    path = run_dir / "cost.json"
    if not path.is_file():
        with atomic(path) as temporary:
            temporary.write_text(json.dumps({"cpu_seconds": round(seconds, 1), "peak_gib": round(peak_gib("cpu"), 2)}))
    return json.loads(path.read_text())


def _stage(name: str, shown: TextureSet, protocol: str, images: int, seed: int) -> tuple[Stage, Method, nn.Module]:
    """The stage of a rival that learns from scratch, what it will be able to do, and the network that does it."""
    pairs, common = paired_captures(shown, protocol), {"images": images, "seed": seed}
    if name == "diffusion":
        diffusion = DiffusionStage(shown, pairs, reference(shown, protocol).mean, **common)
        return diffusion, diffusion.method(), diffusion.average
    if name == "cut":
        everybody = torch.cat([shown.captures(split) for split in ("phone", "studio", "pairs")])
        stage = UnpairedStage(shown, everybody, studio_subjects(shown, protocol), **common)
    else:
        stage = PairedStage(shown, pairs, kind="gain" if name == "unet_gain" else "direct", **common)
    return stage, partial(_regress, stage.network), stage.network


@torch.no_grad()
def _regress(network: nn.Module, texture: Tensor, visibility: Tensor) -> Tensor:
    return from_signed(network(texture, visibility))


def _fine_tuned(
    name: str, profile: Profile, shown: TextureSet, protocol: str, run_dir: Path, images: int, seed: int, options: dict[str, Any]
) -> tuple[list[nn.Module], Method]:
    """Our own stage 3, with the coarse layers free or as they are set, for a run of ``images``."""
    # so brief a run asks for fewer codes than there are captures: none are kept
    config = replace(profile.adaptation(protocol), images=images, kept=0, **({"train_from": 0} if name == "whole" else {}))
    chosen = replace(profile, **{"adapt" if protocol == "few" else "adapt_open": config})
    g_phone, d_phone, encoder, identity = (weights.load(n) for n in ("g_phone", "d_phone", "encoder", "identity"))
    studio = torch.as_tensor(shown.studio[studio_subjects(shown, protocol).numpy()])
    g_studio = train_studio(
        chosen,
        g_phone,
        d_phone,
        encoder,
        shown,
        protocol,
        studio,
        run_dir,
        identity=identity,
        images=images,
        seed=seed,
        **options,
    )
    networks = [g_phone, encoder, g_studio]
    return networks, partial(chain, *networks)


@torch.no_grad()
def chain(
    g_phone: nn.Module, encoder: nn.Module, g_studio: nn.Module, texture: Tensor, visibility: Tensor, fused: bool = True
) -> Tensor:
    """Our chain with these networks, up to fusion or to G_studio: texture and visibility to a studio texture of the same size."""
    codes = encode(encoder, g_phone, *resize_observed(texture, visibility, g_phone.config.resolution))
    studio = upsample(from_signed(g_studio.synthesis(codes, "none")).float(), texture.shape[-1])
    return fuse(texture, visibility, studio) if fused else studio
