"""The final evaluation: the chain and the simple rivals on subjects whom nothing has learnt from."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .. import weights
from ..config import Profile
from .sets import make_set

if TYPE_CHECKING:
    from ..evaluation import EvaluationTable
    from ..pipeline import StudioPipeline


def evaluate_chain(
    profile: Profile,
    runs: str | Path,
    pipe: StudioPipeline | None = None,
    *,
    split: str,
    subjects: int | None = None,
    seed: int = 0,
    progress: bool = True,
) -> EvaluationTable:
    """Chain against the simple rivals, on subjects of one split of the profile's data; with LPIPS where its trunk is present.

    Args:
        pipe: the chain, on the device to measure on; default the released weights on the CPU.
        split: "test" for what is reported; "val" for choosing settings, without KID, which needs other people's textures.
            Nobody reads "test" without saying so.
        subjects: how many of the split, at least 1, default all.
        seed: of the diffusion noise and of KID's subsets.
    """
    from ..evaluation import StudioReference, bound, evaluate
    from ..features import lpips_where_present
    from ..pipeline import StudioPipeline

    lpips = lpips_where_present()  # a damaged file is told now, not after the data are made
    pipe = pipe or StudioPipeline.released()
    size = pipe.detailer.config.resolution  # what is finer would be the phone's, whoever is judged
    config = dataclasses.replace(profile.data, detail_resolution=size)
    data = make_set(config, Path(runs) / "data", detailed=True, test=True, progress=progress)
    rows = data.captures(split)
    if subjects is not None:
        people = data.subjects(split)[:subjects]
        rows = rows[torch.isin(torch.as_tensor(data.subject)[rows], people)]

    def chain(texture: Tensor, visibility: Tensor) -> Tensor:
        return pipe(texture, visibility, resolution=size, seed=seed).texture  # as `convert`, but in the tone that is read

    table = evaluate(
        bound(StudioReference.from_set(data)) | {"chain": chain},
        data,
        rows,
        eval_net=weights.load("identity_eval"),
        lpips=lpips,
        reference_subjects=None if split == "test" else torch.zeros(0, dtype=torch.long),
        batch=16,
        device=pipe.device,
        seed=seed,
        progress=progress,
    )
    if pipe.choice is not None:
        table.weights, table.protocol = pipe.choice.name, pipe.choice.protocol or ""
    return table
