"""Whether hair is nearer to the truth when the capture is asked for its place and colour, where it was seen and elsewhere; and
what becomes of face and hair when the encoder is shown all that was seen and not the face alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch

from .. import weights
from ..config import Profile
from ..detail.exemplars import closed_form
from ..evaluation.psnr import psnr
from ..layout import region_mask
from ..tone import hair
from .chain import FUSION, LENT, LIMITS, NETWORKS, VERSION, coarse
from .core import Outcome, declare
from .lab import Lab, per_person

LIGHTS = 2  # of a person, for each seed
LEAST = 0.01  # share of the layout's scalp texels, seen, from which a capture shows hair at all: that of a face mesh does not


@torch.no_grad()
def measure(lab: Lab, settings: Mapping[str, Any], seed: int) -> Outcome:
    """PSNR of the face, and of the scalp, seen and unseen, in every capture that shows some of it."""
    data, rows = lab.fresh(settings["resolution"], seed, settings["lights"])
    subject, scalp = torch.as_tensor(data.subject)[rows], region_mask("scalp", data.resolution)[None]
    face = region_mask("face", data.resolution)[None]
    columns: dict[str, list[torch.Tensor]] = {"psnr/face": [], "psnr/hair seen": [], "psnr/hair unseen": []}
    for part in torch.arange(len(rows)).split(8):
        phone, seen = data.phone_batch(rows[part])
        low = coarse(lab, settings["protocol"], phone, seen, hair=settings["asked"], whole=settings["whole"])
        out, truth = closed_form(phone, seen, low, weights.exemplars()), data.studio_batch(subject[part])
        shows = (seen * scalp).mean((1, 2, 3)) > LEAST
        for name, where in zip(columns, (seen * face, seen * scalp, (1 - seen) * scalp), strict=True):
            columns[name].append(torch.where(shows, psnr(out, truth, where), torch.nan))
    people = subject.unique()
    values = {name: per_person(torch.cat(column), subject, people) for name, column in columns.items()}
    return Outcome(torch.as_tensor(data.seeds)[people].numpy(), values)


def _settings(profile: Profile) -> dict[str, Any]:
    rules = {
        name.lower(): getattr(hair, name)
        for name in ("DARKER", "GREYER", "SOFT", "LIGHT", "NEAR", "LIKE", "ROUGH", "FADING", "HAIRY", "ENOUGH")
    }
    return {
        "resolution": profile.data.detail_resolution,
        "lights": LIGHTS,
        "rules": rules,
        "fusion": FUSION,
        "data": asdict(profile.data),
    }


declare(
    "hair",
    "Is hair nearer to the truth when the capture is asked for it?",
    {
        f"{who}, {protocol}": {"protocol": protocol, "asked": asked, "whole": whole}
        for protocol in ("few", "open")
        for who, asked, whole in (
            ("the capture's", True, False),
            ("G_studio's own", False, False),
            ("the capture's, encoded with the face", True, True),
        )
    },
    measure,
    _settings,
    "the capture's, few",
    ("psnr/face", "psnr/hair seen", "psnr/hair unseen"),
    LIMITS.format(lights="two") + " Only captures that show hair count, which are the films. The hair of these heads is "
    "paint on a skull, and G_studio knows its kinds. That of real people is thick and of other kinds; the correction is for "
    "them, and they have no truth to compare with.",
    NETWORKS,
    version=VERSION,
    files=(LENT,),
)
