"""The released chain on freshly made captures of the split "val": one person under several lights, mild to severe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from .. import weights
from ..config import Profile
from ..detail import detail
from ..detail.exemplars import WIDTH as LENT_WIDTH
from ..detail.exemplars import closed_form
from ..detail.fusion import BESIDE, EDGE, FLOOR, NEAR, REACH, SHINE, STEP, THIN, WIDTH
from ..detail.masks import AROUND, DARKER, GREYER, LIPS
from ..detail.model import upsample
from ..evaluation import StudioReference
from ..tone import translate
from .core import Outcome, declare
from .lab import JUDGES, Lab

FUSION = {
    "width": WIDTH,
    "step": STEP,
    "reach": REACH,
    "thin": THIN,
    "edge": EDGE,
    "near": NEAR,
    "floor": FLOOR,
    "shine": SHINE,
    "lips": LIPS,
    "brows": [BESIDE, AROUND, *DARKER, *GREYER],
    "lent_width": LENT_WIDTH,
}
LIGHTS = 4  # of a person, for each seed
TRANSLATING = ("g_phone", "encoder", "g_studio", "tone")  # what `translate` takes of a protocol, in its order
LENT = "exemplars.webp"  # whose detail stands where nothing was seen
NETWORKS = ("g_phone", "encoder", "few/g_studio", "few/tone", "open/g_studio", "open/tone")
VERSION = 12  # of what the released chain computes: lips are read beside and closed, no hairline is lent
LIMITS = (
    "Nothing is trained: these are the released networks on captures that nobody has seen, {lights} lights a person and seed, "
    "new ones for each seed. The people are those of the split `val`, on whom settings were chosen; chapter 6 repeats the "
    "comparison once on people that nothing was chosen on. All heads are synthetic."
)


def _settings(profile: Profile) -> dict[str, Any]:
    return {"resolution": profile.data.resolution, "lights": LIGHTS, "fusion": FUSION, "data": asdict(profile.data)}


@lru_cache(2)
def studio_like(lab: Lab, protocol: str, resolution: int, seed: int, lights: int) -> Tensor:
    """The chain's results ``(N, 3, H, W)``, as it is by default, for the fresh captures of a seed."""
    data, rows = lab.fresh(resolution, seed, lights)
    made, exemplars = [], weights.exemplars()
    for part in rows.split(16):
        phone, seen = data.phone_batch(part)
        made.append(closed_form(phone, seen, coarse(lab, protocol, phone, seen), exemplars))
    return torch.cat(made)


def coarse(lab: Lab, protocol: str, phone: Tensor, seen: Tensor, **options: bool) -> Tensor:
    """G_studio's texture of captures, in their tone, on the CPU; ``options`` of `translate`."""
    networks = (lab.network(name, protocol) for name in TRANSLATING)
    return translate(*networks, phone.to(lab.device), seen.to(lab.device), **options).cpu()


def compare(lab: Lab, settings: Mapping[str, Any], seed: int) -> Outcome:
    """One method on every capture of a seed."""
    data, rows = lab.fresh(settings["resolution"], seed, settings["lights"])
    method = settings["method"]
    if method == "nothing":
        outputs = data.phone_batch(rows)[0]
    elif method == "mean":
        few = lab.few
        mean = StudioReference.from_set(few, torch.cat([few.subjects("studio"), few.subjects("pairs")])).mean
        outputs = mean.expand(len(rows), -1, -1, -1)
    else:
        outputs = studio_like(lab, method, settings["resolution"], seed, settings["lights"])
    return lab.judge(outputs, data, rows, also=("kid", "perceptual"))


declare(
    "chain",
    "Is the result evenly lit, complete, and the same person?",
    {
        "the chain, few": {"method": "few"},
        "the phone texture": {"method": "nothing"},
        "the mean studio texture": {"method": "mean"},
        "the chain, open": {"method": "open"},
    },
    compare,
    _settings,
    "the chain, few",
    (
        "low_band",
        "psnr_fitted/observed",
        "perceptual/face",
        "perceptual/holes",
        "psnr/holes",
        "faceid_cosine",
        "colour",
        "tone_gap",
        "asymmetry",
        "variance_ratio",
        "kid",
    ),
    LIMITS.format(lights="four"),
    NETWORKS,
    version=VERSION,
    files=(*JUDGES, LENT),
)


def degrade(lab: Lab, settings: Mapping[str, Any], seed: int) -> Outcome:
    """The chain on everybody's k-th most even light of a seed."""
    data, rows = lab.fresh(settings["resolution"], seed, settings["lights"])
    severity = torch.as_tensor(data.severity)[rows].view(-1, settings["lights"])
    place = severity.argsort(1)[:, settings["rank"]] + torch.arange(len(severity)) * settings["lights"]
    outputs = studio_like(lab, settings["protocol"], settings["resolution"], seed, settings["lights"])
    outcome = lab.judge(outputs[place], data, rows[place], also=())
    outcome.values["severity"] = severity.flatten()[place].numpy()
    return outcome


RANKS = ("most even", "second", "third", "least even")
declare(
    "severity",
    "How does the result degrade as the light of the capture becomes less even?",
    {
        f"{name} light, {protocol}": {"rank": k, "protocol": protocol}
        for protocol in ("few", "open")
        for k, name in enumerate(RANKS)
    },
    degrade,
    _settings,
    f"{RANKS[0]} light, few",
    ("severity", "low_band", "psnr/observed", "psnr_fitted/observed", "faceid_cosine", "asymmetry"),
    LIMITS.format(lights="four") + " A person's lights are put in the order of their unevenness, so that each person is "
    "compared with himself or herself; how uneven a light is the generator knows exactly.",
    NETWORKS,
    version=VERSION,
    files=(JUDGES[0], LENT),
)


def detailed(lab: Lab, settings: Mapping[str, Any], seed: int) -> Outcome:
    """What one way of detailing gives, on one fresh capture of everybody."""
    data, rows = lab.fresh(settings["resolution"], seed, 1)
    parts = []
    for part in rows.split(8):
        phone, seen = data.phone_batch(part)
        low = coarse(lab, "few", phone, seen)
        if settings["way"] == "none":
            parts.append(upsample(low, data.resolution))
        elif settings["way"] in ("fusion", "borrowed"):
            exemplars = weights.exemplars() if settings["way"] == "borrowed" else None
            parts.append(closed_form(phone, seen, low, exemplars))
        else:
            noise = torch.Generator().manual_seed(seed)
            guided = settings["way"] == "guided"
            network, steps = lab.network("detailer", "few"), settings["steps"]
            given = (x.to(lab.device) for x in (low, phone, seen))
            parts.append(detail(network, *given, steps, guided, noise).cpu())
    return lab.judge(torch.cat(parts), data, rows, also=("perceptual",))


declare(
    "detail",
    "What is the phone's guidance worth, and what does diffusion add to fusion?",
    {
        "fusion alone": {"way": "fusion"},
        "fusion, holes borrowed": {"way": "borrowed"},
        "guided diffusion": {"way": "guided"},
        "unguided diffusion": {"way": "unguided"},
        "G_studio, enlarged": {"way": "none"},
    },
    detailed,
    lambda profile: {
        "resolution": profile.data.detail_resolution,
        "steps": profile.detail.sample_steps,
        "fusion": FUSION,
        "data": asdict(profile.data),
    },
    "fusion alone",
    ("perceptual/face", "psnr/observed", "psnr_fitted/observed", "psnr/holes", "low_band", "faceid_cosine", "perceptual/holes"),
    "Nothing is trained: this is the released detailer of the protocol `few`, in as many steps as the profile takes, on one "
    "fresh capture of everybody for each seed. The people are those of the split `val`. A detailer trained longer may do "
    "better; the record becomes stale when another one is released.",
    ("g_phone", "encoder", "few/g_studio", "few/tone", "few/detailer"),
    version=VERSION,
    files=(*JUDGES, LENT),
)
