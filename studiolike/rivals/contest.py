"""The rivals by name, and one call that trains any of them: same data, same protocol, same disturbances, one kind of budget.

Reading obeys `protocols.permitted`, as in every stage of ours. A run that is finished is only loaded, so the same call gives
a trained rival back for pictures and measurements.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..device import peak_gib
from ..errors import InputError
from ..evaluation.baselines import BASELINES, StudioReference
from ..image import from_signed
from ..io import atomic
from ..json_files import read_json
from ..protocols import paired_captures, permitted, studio_subjects
from ..training import CHECKPOINT, Stage, fit
from .closed import homomorphic
from .diffusion import DiffusionStage
from .paired import PairedStage
from .unpaired import UnpairedStage

if TYPE_CHECKING:
    from ..synth import TextureSet

Method = Callable[[Tensor, Tensor], Tensor]
CLOSED: dict[str, Callable[..., Tensor]] = BASELINES | {"homomorphic": homomorphic}
# trained rivals: images that each sees unless another number is asked for, so that all take about the same time
TRAINED: dict[str, int] = {"unet": 1600, "unet_gain": 1600, "cut": 1200, "diffusion": 1600}


@dataclass
class Trained:
    """A trained rival: ``method`` for `evaluation.evaluate`, the ``network`` behind it, and its training's cost in processor
    seconds (``cpu_seconds``) and peak memory of the process (``peak_gib``)."""

    method: Method
    network: nn.Module
    cost: dict[str, float]

    @property
    def parameters(self) -> int:
        """How many numbers a user would have to keep."""
        return sum(p.numel() for p in self.network.parameters())


def reference(data: TextureSet, protocol: str) -> StudioReference:
    """The mean of all studio textures that a protocol shows."""
    return StudioReference.from_set(permitted(data, protocol), studio_subjects(data, protocol))


def closed(name: str, data: TextureSet, protocol: str) -> Method:
    """A rival in closed form, which knows the mean of the studio textures that the protocol shows and nothing else.

    Raises:
        InputError: there is none of that name.
    """
    if name not in CLOSED:
        raise InputError(f"unknown rival '{name}'; in closed form there are {', '.join(CLOSED)}")
    return partial(CLOSED[name], reference=reference(data, protocol))


def stage_of(name: str, shown: TextureSet, protocol: str, images: int, seed: int = 0) -> tuple[Stage, Method, nn.Module]:
    """The stage of a trained rival, what it will be able to do when it is trained, and the network that does it.

    Raises:
        InputError: there is none of that name.
    """
    if name not in TRAINED:
        raise InputError(f"unknown rival '{name}'; trained are {', '.join(TRAINED)}")
    pairs = paired_captures(shown, protocol)
    common: dict[str, Any] = {"images": images, "seed": seed}
    if name == "diffusion":
        diffusion = DiffusionStage(shown, pairs, reference(shown, protocol).mean, **common)
        return diffusion, diffusion.method(), diffusion.average
    if name == "cut":
        everybody = torch.cat([shown.captures(split) for split in ("phone", "studio", "pairs")])
        stage = UnpairedStage(shown, everybody, studio_subjects(shown, protocol), **common)
    else:
        stage = PairedStage(shown, pairs, kind="gain" if name == "unet_gain" else "direct", **common)
    return stage, partial(_regress, stage.network), stage.network


def train(
    name: str,
    data: TextureSet,
    protocol: str,
    run_dir: str | Path,
    *,
    images: int | None = None,
    seed: int = 0,
    precision: str = "no",
    **options: Any,
) -> Trained:
    """Train a rival, or load it where ``run_dir`` holds its finished run.

    Args:
        name: one of `TRAINED`. data: a `TextureSet`; of it only what ``protocol`` permits is read.
        images: length of the run; default the rival's own.
        precision, options: passed to `training.fit` (``device``, ``progress``, intervals).
    Raises:
        InputError: unknown rival. WeightsError: a run of other settings. ProtocolError: unknown protocol.
    """
    shown, images, run_dir = permitted(data, protocol), images or TRAINED.get(name, 0), Path(run_dir)
    stage, method, network = stage_of(name, shown, protocol, images, seed)
    settings = {"rival": name, "protocol": protocol, "images": images, "seed": seed, "precision": precision}
    path = run_dir / "cost.json"
    begun = 0 if path.is_file() else _images_so_far(run_dir)
    started = time.process_time()
    fit(stage, images, run_dir, seed=seed, settings=settings | {"data": data.manifest}, precision=precision, **options)
    if not path.is_file():
        # of a run that was interrupted only the last part was watched; what came before is taken to have cost as much an image
        seconds = (time.process_time() - started) * images / max(images - begun, 1)
        cost = {"cpu_seconds": round(seconds, 1), "peak_gib": round(peak_gib("cpu"), 2)}
        with atomic(path) as temporary:
            temporary.write_text(json.dumps(cost))
    network.eval().requires_grad_(False)
    return Trained(method, network, read_json(path))


def _images_so_far(run_dir: Path) -> int:
    """How far an unfinished run in ``run_dir`` has come; 0 if there is none."""
    path = run_dir / CHECKPOINT
    try:
        return int(torch.load(path, map_location="cpu", weights_only=True)["images"]) if path.is_file() else 0
    except Exception:  # torch raises many kinds for a damaged file, and `fit` tells of it
        return 0


@torch.no_grad()
def _regress(network: nn.Module, texture: Tensor, visibility: Tensor) -> Tensor:
    return from_signed(network(texture, visibility))
