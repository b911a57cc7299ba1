"""Rivals on the data that our chain sees, protocol by protocol, and our chain by the same measures.

Three experiments, because they become stale for different reasons: what is trained (`rivals`), what knows one mean texture and
nothing else (`rivals_closed`), and our chain with the released weights (`rivals_chain`), which is measured anew in minutes when
those change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import weights
from ..config import Profile
from ..recipes import make_set
from ..rivals.measure import measure, reference_textures
from ..rivals.train import CLOSED, TRAINED, Trained, chain, closed, train
from ..synth import TextureSet
from .core import Experiment, Outcome, declare

if TYPE_CHECKING:
    from .lab import Lab

MEASURES = ("low_band", "perceptual/observed", "faceid_cosine", "face_distance", "psnr/observed", "psnr_fitted/observed", "kid")
LONGER = 4  # times the images, for the rival whose brief training is put to the test


def _settings(profile: Profile) -> dict[str, Any]:
    """What all rows share: the data, and a precision for training. Rivals take nothing of our own stages' settings."""
    return {"data": asdict(profile.data), "precision": "bf16" if profile.precision == "no" else profile.precision}


def opened(lab: Lab) -> TextureSet:
    """The training set of the lab's profile; its split "val" is what everything is measured on."""
    return make_set(lab.profile.data, Path(lab.runs) / "data", device=str(lab.device))


def trained(lab: Lab, settings: Mapping[str, Any], seed: int) -> Trained:
    """A row's rival: trained now, or loaded where its run is finished."""
    name, protocol, images = settings["rival"], settings["protocol"], settings["images"]
    folder = Path(lab.runs) / lab.profile.name / "rivals" / f"{name}-{protocol}-{images}-{seed}"
    chosen = replace(lab.profile, precision=settings["precision"])
    never = {"preview_every": 10**9, "checkpoint_every": images}
    return train(
        name, chosen, opened(lab), protocol, folder, images=images, seed=seed, device=str(lab.device), progress=False, **never
    )


def measure_trained(lab: Lab, settings: Mapping[str, Any], seed: int) -> Outcome:
    """Train a rival and measure it."""
    rival = trained(lab, settings, seed)
    rival.to(lab.device)
    kept = {
        "train_seconds": rival.cost["cpu_seconds"],
        "train_gib": rival.cost["peak_gib"],
        "parameters": rival.parameters,
    }
    return _outcome(lab, rival.method, kept)


def measure_closed(lab: Lab, settings: Mapping[str, Any], seed: int) -> Outcome:
    """Measure a rival in closed form; nothing in it is random, so all seeds are one measurement."""
    return _once(lab, measure_closed, settings["rival"], settings["protocol"])


def measure_chain(lab: Lab, settings: Mapping[str, Any], seed: int) -> Outcome:
    """Measure our chain, with fusion or its generator alone, with the released weights; all seeds are one measurement."""
    return _once(lab, measure_chain, settings["rival"], settings["protocol"])


_KNOWN: dict[tuple, Outcome] = {}


def _once(lab: Lab, kind, name: str, protocol: str) -> Outcome:
    key = (id(lab), kind.__name__, name, protocol)
    if key not in _KNOWN:
        _KNOWN[key] = _outcome(lab, *untrained(lab, kind is measure_chain, name, protocol))
    return _KNOWN[key]


def untrained(lab: Lab, ours: bool, name: str, protocol: str):
    """A method that needs no training of its own, and what is known of it beside its quality."""
    if not ours:
        return closed(name, opened(lab), protocol), {"train_seconds": 0.0, "train_gib": 0.0, "parameters": 0.0}
    networks = [weights.load(n, protocol=protocol, device=lab.device) for n in ("g_phone", "encoder", "g_studio")]
    parameters = sum(p.numel() for network in networks for p in network.parameters())
    card = weights.read_card("g_studio", protocol=protocol)
    method = lambda texture, visibility: chain(*networks, texture, visibility, fused=name == "chain")  # noqa: E731
    return method, {"train_seconds": card["seconds"], "parameters": float(parameters)}


def _outcome(lab: Lab, method, known: Mapping[str, float]) -> Outcome:
    data = opened(lab)
    reference = reference_textures(data.resolution, Path(lab.runs) / "data" / f"kid-reference-{data.resolution}.npy")
    people, values, scalars = measure(method, data, data.captures("val"), reference, device=str(lab.device))
    return Outcome(people, values, scalars | dict(known))


def _rows() -> dict[str, dict[str, Any]]:
    """Every rival under every protocol of its own; the question of the paper first."""
    rows = {}
    for protocol in ("few", "open"):
        for name, rival in TRAINED.items():
            if protocol in rival.protocols:
                rows[f"{name} ({protocol})"] = {"rival": name, "protocol": protocol, "images": rival.images}
    rows["unet (few), longer"] = {"rival": "unet", "protocol": "few", "images": LONGER * TRAINED["unet"].images}
    return rows


SIZE = (
    "Measured on all captures of the split val. The rivals are as large as our networks and are trained for about two minutes of "
    "one core each, a small part of what our chain took; one of them is also trained four times as long, to see what that hides."
)
RIVALS = declare(
    Experiment(
        "rivals",
        "Does anything else that sees the same data come closer to the studio texture?",
        _rows(),
        measure_trained,
        _settings,
        "unet (few)",
        MEASURES,
        SIZE,
        networks=("g_phone", "d_phone", "encoder", "identity"),
    )
)
RIVALS_CLOSED = declare(
    Experiment(
        "rivals_closed",
        "How far do methods come that know one mean studio texture and learn nothing else?",
        {f"{name} ({p})": {"rival": name, "protocol": p} for p in ("few", "open") for name in CLOSED},
        measure_closed,
        _settings,
        "nothing (few)",
        MEASURES,
        "Measured on all captures of the split val; nothing is random.",
    )
)
RIVALS_CHAIN = declare(
    Experiment(
        "rivals_chain",
        "Our chain with the released weights, by the measures of its rivals.",
        {f"{name} ({p})": {"rival": name, "protocol": p} for p in ("few", "open") for name in ("chain", "generator")},
        measure_chain,
        _settings,
        "chain (few)",
        MEASURES,
        "Measured on all captures of the split val, with one set of released weights: its training was not repeated with seeds.",
        networks=("g_phone", "encoder", "few/g_studio", "open/g_studio"),
    )
)
