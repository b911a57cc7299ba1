"""Stage 3 taken apart: layers, terms of the objective, codes and few-shot size, each in short trainings.

Every run starts from the released G_phone and D_phone and differs from the full objective in one thing. The codes of
captures are made once and shared by all runs.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import torch

from ..adaptation import AdaptStage, CodeSampler, EncodedPairs
from ..config import AdaptConfig, Profile
from ..image import from_signed
from ..inversion import CodeBank
from ..protocols import paired_captures
from ..training import fit
from ..weights import weights_dir
from .core import Experiment, Outcome, declare
from .lab import Lab, StoredCaptures

PEOPLE = 512  # of the pre-training split, whose captures are drawn where no pair is needed
NETWORKS = ("g_phone", "d_phone", "encoder", "identity")
LIMITS = (
    "Each run is a short one: the profile's `contest_images` instead of the full training's `adapt.images`, in the released "
    "networks' size, 128². That is enough to see which way a setting pulls while the networks still move fast, at the price of "
    "under a minute a run, so that three seeds of every row can be afforded on one processor core. It cannot show where a long "
    "run ends: what repairs itself with time, what diverges late, and how large an effect finally is."
)
MEASURES = ("faceid_mse", "kid", "low_band", "psnr/observed", "colour", "asymmetry", "variance_ratio")


def adapt_settings(profile: Profile) -> dict[str, Any]:
    """The few-shot objective as the profile has it, in a run of ``contest_images``."""
    precision = "bf16" if profile.precision == "no" else profile.precision  # a processor without it is slower, not other
    return dataclasses.asdict(dataclasses.replace(profile.adapt, images=profile.contest_images)) | {
        "people": min(PEOPLE, profile.data.phone_subjects),
        "few": profile.data.studio_subjects + profile.data.pair_subjects,
        "precision": precision,
        "data": dataclasses.asdict(profile.data),
        "generator": dataclasses.asdict(profile.generator),
    }


@lru_cache(1)
def materials(lab: Lab) -> tuple[StoredCaptures, StoredCaptures, CodeBank]:
    """Codes of the pre-training people and of the few-shot set, and the bank."""
    people = lab.data.subjects("phone")[:PEOPLE]
    captures = lab.data.captures("phone")
    owner = torch.as_tensor(lab.data.subject)[captures]
    some = captures[torch.isin(owner, people)].view(-1, lab.profile.data.lightings)[:, :2].flatten()
    everybody = lab.stored(some, 1, seed=0)
    pairs = lab.stored(paired_captures(lab.few, "few"), 3, seed=1)
    return everybody, pairs, CodeBank.open(weights_dir() / "bank.safetensors")


def train(lab: Lab, settings: Mapping[str, Any], seed: int) -> Outcome:
    """One short run of stage 3, judged on people of "val" it has never seen."""
    names = {field.name for field in dataclasses.fields(AdaptConfig)}
    config = AdaptConfig(**{name: value for name, value in settings.items() if name in names})
    everybody, paired, bank = materials(lab)
    # a smaller few-shot set is another one for every seed
    order = torch.randperm(len(paired), generator=torch.Generator().manual_seed(seed))[: settings["few"]]
    people = paired.people[order.sort().values]
    studio = torch.as_tensor(lab.few.studio[people.numpy()])
    sampler = everybody if config.codes == "captures" else CodeSampler(config.codes, lab.network("g_phone"), bank)
    stage = AdaptStage(
        config,
        lab.network("g_phone"),
        lab.network("d_phone"),
        sampler,
        studio,
        EncodedPairs(paired.among(people)),
        identity=lab.network("identity"),
    )
    with tempfile.TemporaryDirectory() as folder:
        fit(
            stage,
            config.images,
            folder,
            seed=seed,
            device=str(lab.device),
            precision=settings["precision"],
            progress=False,
            checkpoint_every=10 * config.images,
            preview_every=10 * config.images,
        )
    g_studio = stage.accelerator.unwrap_model(stage.modules["ema"]).eval()
    with torch.no_grad():
        parts = [from_signed(g_studio.synthesis(w.to(lab.device), "none").float()).cpu() for w in lab.judged_codes.split(16)]
    return lab.judge(torch.cat(parts))


def _declare(name: str, question: str, rows: dict[str, dict[str, Any]], measures: tuple[str, ...] = MEASURES) -> Experiment:
    return declare(Experiment(name, question, rows, train, adapt_settings, next(iter(rows)), measures, LIMITS, NETWORKS))


PAPER = dict(recons_detail=0.0, low_light=0.0, invariance=0.0)  # leaves the terms that the authors name
layers = _declare(
    "layers",
    "Which layers of the generator should train?",
    {
        "after 8²": {},
        "whole network": {"train_from": 0},
        "after 16²": {"train_from": 16},
        "after 8², toRGB of the others frozen": {"train_rgb": False},
    },
)
losses = _declare(
    "losses",
    "What does each of the authors' terms do, alone with the others that they name?",
    {
        "the authors' terms": PAPER,
        "without L_faceID": PAPER | {"identity": 0.0},
        "without L_faceID and L_percp": PAPER | {"identity": 0.0, "perceptual": 0.0},
        "without L_percp-recons": PAPER | {"recons": 0.0},
    },
)
terms = _declare(
    "terms",
    "What does each term do in our objective, which adds three to the authors'?",
    {
        "full objective": {},
        "without the texels of pairs": {"recons_detail": 0.0},
        "without the low band of pairs": {"low_light": 0.0},
        "without light-invariance": {"invariance": 0.0},
        "the authors' terms alone": PAPER,
        "full without L_faceID": {"identity": 0.0},
        "full without L_faceID and L_percp": {"identity": 0.0, "perceptual": 0.0},
        "full without L_percp-recons": {"recons": 0.0},
    },
)
codes = _declare(
    "codes",
    "From where should the codes of people without a pair be drawn?",
    {
        "captures": {},
        "Z": {"codes": "z"},
        "bank": {"codes": "bank"},
        "W": {"codes": "w"},
        "bank mixtures": {"codes": "bank_mixture"},
    },
)
few_shot = _declare(
    "few-shot",
    "How many people with a studio texture are enough?",
    {"all of the few-shot set": {}, "20 people": {"few": 20}, "8 people": {"few": 8}, "40 people": {"few": 40}},
)
