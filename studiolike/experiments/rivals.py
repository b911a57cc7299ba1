"""Rivals on the data that our chain sees, protocol by protocol, and our chain by the same measures.

Three experiments, because they become stale for different reasons: what is trained (`rivals`), what knows one mean texture and
nothing else (`rivals-closed`), and our chain with the released weights (`rivals-chain`), which is measured anew in a minute or
two when those change. Fine-tuning of the whole network is a row of the experiment `layers`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .. import weights
from ..config import Profile
from ..detail.exemplars import closed_form
from ..detail.model import upsample
from ..evaluation import face_judge
from ..image import resize
from ..protocols import PROTOCOLS
from ..rivals import CLOSED, TRAINED, Trained, closed, train
from ..rivals.contest import Method
from ..tone import translate
from .chain import LENT, NETWORKS, TRANSLATING, VERSION
from .core import Outcome, declare
from .lab import JUDGES, per_person

if TYPE_CHECKING:
    from .lab import Lab

DECISIVE = ("low_band", "perceptual/face", "faceid_cosine")  # light, looks and person: a chain has to answer for all three
MEASURES = (
    *DECISIVE,
    "face_distance",
    "psnr/observed",
    "psnr_fitted/observed",
    "psnr/holes",
    "variance_ratio",
    "colour",
    "kid",
)
# rivals that also learn longer: times as many images, and under which protocols. For each the longest training is a method
LONGER = {"unet": {4: ("few",), 20: PROTOCOLS}, "cut": {10: PROTOCOLS}, "diffusion": {10: PROTOCOLS}}
LONG_ROWS = [
    (rival, protocol, times)
    for rival, lengths in LONGER.items()
    for times, protocols in lengths.items()
    for protocol in protocols
]
SINGLE = ("cut", "diffusion")  # whose longer trainings are so slow that one seed of each has to do
NAMES = {
    "nothing": "doing nothing",
    "mean_studio": "mean face",
    "colour_transfer": "colour transfer",
    "quotient": "quotient",
    "homomorphic": "homomorphic de-lighting",
    "unet": "paired U-Net",
    "unet_gain": "paired gain-field U-Net",
    "cut": "unpaired translator (CUT)",
    "diffusion": "paired diffusion",
    "chain": "our chain",
    "generator": "our generator alone",
}
LONG = {f"{rival}_long": (rival, max(times)) for rival, times in LONGER.items()}  # method → rival, times as long
NAMES |= {name: f"{NAMES[rival]}, {times} times as long" for name, (rival, times) in LONG.items()}


def row_name(rival: str, protocol: str, times: int = 1) -> str:
    """How a row is called: ``"paired U-Net · few"``."""
    return f"{NAMES[rival]}{f', {times} times as long' if times > 1 else ''} · {protocol}"


def row_of(name: str, protocol: str) -> str:
    """The row of a method: a rival, one of `LONG`, or ours."""
    rival, times = LONG.get(name, (name, 1))
    return row_name(rival, protocol, times)


def settings_of(profile: Profile) -> dict[str, Any]:
    """What all rows share: the data, and the precision of a training. Rivals take nothing of our own stages' settings."""
    return {"data": asdict(profile.data), "precision": "bf16" if profile.precision == "no" else profile.precision}


def trained(lab: Lab, settings: Mapping[str, Any], seed: int) -> Trained:
    """A row's rival: trained now, or loaded where its run is finished."""
    name, protocol, images = settings["rival"], settings["protocol"], settings["images"]
    folder = lab.runs / lab.profile.name / "rivals" / f"{name}-{protocol}-{images}-{seed}"
    options = {"preview_every": 10 * images, "progress": False, "device": str(lab.device), "precision": settings["precision"]}
    rival = train(name, lab.data, protocol, folder, images=images, seed=seed, **options)
    rival.network.to(lab.device)
    return rival


def our_chain(lab: Lab, protocol: str, fused: bool = True, keep_tone: bool = False) -> tuple[Method, dict[str, float]]:
    """Our chain with the released weights, as it is by default or up to G_studio, at the size of its input; and what it cost.

    Args:
        keep_tone: as `Chain` has it, for the photograph of a real person.
    """
    exemplars = weights.exemplars()
    networks = [lab.network(name, protocol) for name in TRANSLATING]

    def method(texture: Tensor, visibility: Tensor) -> Tensor:
        studio = translate(*networks, texture, visibility, keep_tone)
        return closed_form(texture, visibility, studio, exemplars, keep_tone) if fused else upsample(studio, texture.shape[-1])

    parameters = sum(p.numel() for network in networks for p in network.parameters())
    seconds = sum(weights.read_card(name, protocol=protocol).get("seconds") or 0.0 for name in ("g_studio", "tone"))
    return method, {"train_seconds": float(seconds), "parameters": float(parameters)}


def measure_trained(lab: Lab, settings: Mapping[str, Any], seed: int) -> Outcome:
    """Train a rival and judge it."""
    rival = trained(lab, settings, seed)
    known = {
        "train_seconds": rival.cost["cpu_seconds"],
        "train_gib": rival.cost["peak_gib"],
        "parameters": float(rival.parameters),
    }
    return judge(lab, rival.method, known)


def measure_closed(lab: Lab, settings: Mapping[str, Any], seed: int) -> Outcome:
    """Judge a rival in closed form; nothing in it is random, so all seeds are one measurement."""
    name, protocol = settings["rival"], settings["protocol"]
    return _once(lab, (name, protocol), lambda: (closed(name, lab.data, protocol), {"train_seconds": 0.0, "parameters": 0.0}))


def measure_chain(lab: Lab, settings: Mapping[str, Any], seed: int) -> Outcome:
    """Judge our chain with the released weights; all seeds are one measurement."""
    name, protocol = settings["rival"], settings["protocol"]
    return _once(lab, (name, protocol), lambda: our_chain(lab, protocol, fused=name == "chain"))


def _once(lab: Lab, key: tuple, make: Callable[[], tuple[Method, dict[str, float]]]) -> Outcome:
    """Judge a method without any randomness once for a lab."""
    known = lab.__dict__.setdefault("_rivals", {})
    if key not in known:
        known[key] = judge(lab, *make())
    return known[key]


def judge(lab: Lab, method: Method, known: Mapping[str, float]) -> Outcome:
    """Judge a method on two captures of every person of "val".

    Beside the lab's measures: ``face_distance``, of dlib's face network between drawings of result and truth, and
    ``convert_seconds``, the processor's time for one capture.
    """
    rows, made = lab.judged_rows, []
    started = time.process_time()
    for part in rows.split(16):
        made.append(method(*lab.data.phone_batch(part, lab.device)).float().cpu())
    seconds = (time.process_time() - started) / len(rows)
    outputs = torch.cat(made)
    outcome = lab.judge(outputs, also=("kid", "perceptual"))
    subject = torch.as_tensor(lab.data.subject)[rows]
    people = subject.unique()
    truth = _faces(lab.data.studio_batch(people))[torch.searchsorted(people, subject)]
    distance = face_judge.embedding_distance(_faces(resize(outputs, lab.data.resolution)), truth)
    values = dict(outcome.values) | {"face_distance": per_person(distance, subject, people)}
    return replace(outcome, values=values, scalars=dict(outcome.scalars) | {"convert_seconds": seconds} | dict(known))


@torch.no_grad()
def _faces(textures: Tensor) -> Tensor:
    return torch.cat([face_judge.judge().embed(face_judge.render_chip(part)) for part in textures.split(16)])


def _trained_rows() -> dict[str, dict[str, Any]]:
    rows = {
        row_name(name, protocol): {"rival": name, "protocol": protocol, "images": images}
        for protocol in PROTOCOLS
        for name, images in TRAINED.items()
    }
    return rows | {
        row_name(rival, protocol, times): {"rival": rival, "protocol": protocol, "images": times * TRAINED[rival]}
        for rival, protocol, times in LONG_ROWS
    }


def _untrained_rows(names: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    return {row_name(name, p): {"rival": name, "protocol": p} for p in PROTOCOLS for name in names}


ON = "All methods are judged on two captures of every person of the split `val`, at the size of the GAN stages."
rivals = declare(
    "rivals",
    "Does anything else that sees the same data come closer to the studio texture?",
    _trained_rows(),
    measure_trained,
    settings_of,
    row_name("unet", "few"),
    MEASURES,
    f"{ON} A rival is about as large as our networks and learns briefly, where G_studio learnt for long; some are also "
    "trained longer, to see what brevity hides. Longer trainings of CUT and of diffusion are slow, so that one seed of each "
    "has to do: a first look, from which nothing is concluded.",
    files=(*JUDGES, "face_judge"),
    trains=True,
    single=tuple(row_name(*row) for row in LONG_ROWS if row[0] in SINGLE),
)
rivals_closed = declare(
    "rivals-closed",
    "How far does a method come that knows one mean studio texture and learns nothing else?",
    _untrained_rows(tuple(CLOSED)),
    measure_closed,
    settings_of,
    row_name("nothing", "few"),
    MEASURES,
    f"{ON} Nothing is random, so there is one measurement.",
    files=(*JUDGES, "face_judge"),
    deterministic=True,
)
rivals_chain = declare(
    "rivals-chain",
    "How good is our chain with the released weights, by the measures of its rivals?",
    _untrained_rows(("chain", "generator")),
    measure_chain,
    settings_of,
    row_name("chain", "few"),
    MEASURES,
    f"{ON} There is one set of released weights: intervals are over people, not over trainings.",
    networks=NETWORKS,
    version=VERSION,
    files=(*JUDGES, "face_judge", LENT),
    deterministic=True,
)
