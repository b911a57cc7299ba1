"""Stage 3 taken apart: layers, terms of the objective, codes and few-shot size, each in short trainings.

Every run starts from the released G_phone and D_phone and differs from the full objective in one thing. The codes of
captures are made once and shared by all runs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from ..adaptation import AdaptStage, CodeSampler, EncodedCaptures, EncodedPairs
from ..config import AdaptConfig, Profile
from ..inversion import CodeBank
from ..protocols import paired_captures, studio_subjects
from ..weights import weights_dir
from .core import Experiment, Outcome, declare
from .lab import JUDGES, Lab, per_person
from .painting import decode
from .short import short_run

PEOPLE = 256  # of the pre-training split, whose captures are drawn where no pair is needed
NETWORKS = ("g_phone", "d_phone", "encoder", "identity")
BANK = "bank.safetensors"
STEPS = 320
# The laboratory's objective, said here in full: a change of the profile's defaults must not pass for the same experiment. A
# batch of 4 instead of 8: in a short run steps count, not images.
OBJECTIVE = dict(
    batch=4, unpaired=0.5, lr=0.002, warm_up=0.5, cool_down=0.5, train_from=8, train_rgb=True, r1=4.8828125e-6, r1_every=16,
    adversarial=0.2, recons=4.0, perceptual=0.5, identity=1.0, identity_kind="cosine", recons_detail=8.0, low_light=2.4,
    invariance=4.0, other_light=8.0, disturbed=0.7, codes="captures", freeze_d=2, augment=0.5, ema_kimg=0.5,
)  # fmt: skip
LIMITS = (
    f"Each run has {STEPS} steps of 4 images, from the released G_phone and D_phone, at their size of 128²: between one and two "
    "minutes of one processor core, so that three seeds of every row can be afforded. That is enough to see which way a setting "
    "pulls. It cannot show where a long run ends: what repairs itself with time, what diverges late, and how large an effect "
    "finally is."
)
MEASURES = (
    "faceid_kept",
    "faceid_mse",
    "kid",
    "low_band",
    "psnr/observed",
    "psnr_fitted/observed",
    "colour",
    "asymmetry",
    "variance_ratio",
)


def adapt_settings(profile: Profile) -> dict[str, Any]:
    """The laboratory's objective on a profile's data; the smallest profile takes fewer steps."""
    return OBJECTIVE | {
        "images": min(STEPS * OBJECTIVE["batch"], 2 * profile.contest_images),
        "few": profile.data.studio_subjects + profile.data.pair_subjects,
        "precision": "bf16" if profile.precision == "no" else profile.precision,
        "data": dataclasses.asdict(profile.data),
    }


@lru_cache(1)
def materials(lab: Lab) -> tuple[EncodedCaptures, Tensor, CodeBank]:
    """Captures of people of the pre-training split, capture rows of the few-shot set, and the code bank."""
    people = lab.data.subjects("phone")[:PEOPLE]
    captures = lab.data.captures("phone")
    owner = torch.as_tensor(lab.data.subject)[captures]
    some = captures[torch.isin(owner, people)].view(-1, lab.profile.data.lightings)[:, :2].flatten()
    everybody = lab.captures(some, 1, OBJECTIVE["disturbed"])
    return everybody, paired_captures(lab.few, "few"), CodeBank.open(weights_dir() / BANK)


def chosen_people(lab: Lab, count: int, seed: int) -> Tensor:
    """``count`` people of the few-shot set: all, or others for every seed."""
    people = studio_subjects(lab.few, "few")
    return people[torch.randperm(len(people), generator=torch.Generator().manual_seed(seed))[:count].sort().values]


def among(captures: EncodedCaptures, people: Tensor) -> EncodedCaptures:
    """The captures of some people, with the codes that are kept of them."""
    chosen = torch.isin(torch.as_tensor(captures.data.subject)[captures.rows], people)
    part = EncodedCaptures(
        captures.data, captures.rows[chosen], captures.encoder, captures.generator, captures.passes, captures.share
    )
    part.kept = captures.kept[:, chosen]
    return part


def train(lab: Lab, settings: Mapping[str, Any], seed: int) -> Outcome:
    """One short run of stage 3, judged on people of "val" it has never seen."""
    config = AdaptConfig(**{name: settings[name] for name in (*OBJECTIVE, "images")})
    everybody, rows, bank = materials(lab)
    people = chosen_people(lab, settings["few"], seed)
    paired = lab.captures(rows, 2, config.disturbed)
    if settings["few"] < len(paired):
        paired = among(paired, people)
    sampler = everybody if config.codes == "captures" else CodeSampler(config.codes, lab.network("g_phone"), bank)
    stage = AdaptStage(
        config,
        lab.network("g_phone"),
        lab.network("d_phone"),
        sampler,
        torch.as_tensor(lab.few.studio[people.numpy()]),
        EncodedPairs(paired),
        identity=lab.network("identity"),
    )
    short_run(stage, config.images, seed=seed, device=str(lab.device), precision=settings["precision"])
    g_studio = stage.accelerator.unwrap_model(stage.modules["ema"]).eval()
    outputs = decode(g_studio, lab.judged_codes, "none")
    outcome = lab.judge(outputs)
    owner = torch.as_tensor(lab.data.subject)[lab.judged_rows]
    moved = (lab.identities(outputs) - before(lab)).square().mean(1)
    outcome.values["faceid_kept"] = per_person(moved, owner, owner.unique())
    return outcome


@lru_cache(1)
def before(lab: Lab) -> Tensor:
    """Identity of G_phone's pictures of the judged codes: what L_faceID holds on to."""
    return lab.identities(decode(lab.network("g_phone"), lab.judged_codes, "none"))


def _declare(name: str, question: str, rows: dict[str, dict[str, Any]]) -> Experiment:
    baseline, files = next(iter(rows)), (*JUDGES, BANK)
    return declare(name, question, rows, train, adapt_settings, baseline, MEASURES, LIMITS, NETWORKS, files=files, trains=True)


PAPER = dict(recons_detail=0.0, low_light=0.0, invariance=0.0, other_light=0.0)  # leaves the terms that the authors name
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
    "What does each term do in our objective, which adds four to the authors'?",
    {
        "full objective": {},
        "without the texels of pairs": {"recons_detail": 0.0},
        "without the low band of pairs": {"low_light": 0.0},
        "without light-invariance": {"invariance": 0.0},
        "without other captures": {"other_light": 0.0},
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
