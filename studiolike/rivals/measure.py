"""How good is a rival, or our chain? One function measures them all, on the same captures."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from .. import weights
from ..evaluation import PooledFeatures, evaluate, face_judge, kid, perceptual_judge
from ..evaluation.verdict import subject_means
from ..io import atomic

if TYPE_CHECKING:
    from ..synth import TextureSet
    from .train import Method

# what is kept of `evaluate`'s columns
COLUMNS = (
    "psnr/observed",
    "psnr_fitted/observed",
    "psnr/holes",
    "low_band",
    "perceptual/observed",
    "perceptual/holes",
    "faceid_cosine",
    "colour",
    "variance_ratio",
)
STRETCH = 9  # of a million seeds each, none of which belongs to a split: whose studio textures KID compares with
PEOPLE = 64


def measure(
    method: Method, data: TextureSet, rows: Sequence[int] | Tensor, reference: Tensor, *, device: str = "cpu"
) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, float]]:
    """Measure one method on captures whose studio texture is known.

    Args:
        method: texture, visibility → studio texture. rows: capture rows; never of the split "test" but for what is reported.
        reference: studio textures ``(M, 3, H, W)`` of other people, for KID; see `reference_textures`.
    Returns:
        seeds of the people ``(S,)``; per measure their means ``(S,)``: `COLUMNS`, and ``face_distance``, that of dlib's face
        network (`face_judge`) between renders of result and truth; and for all together ``kid`` and ``cpu_seconds``, the
        processor's time for one capture.
    """
    made, busy = [], 0.0

    def watched(texture: Tensor, visibility: Tensor) -> Tensor:
        nonlocal busy
        started = time.process_time()
        result = method(texture, visibility)
        busy += time.process_time() - started
        made.append(result.float().cpu())
        return result

    nobody = torch.zeros(0, dtype=torch.long)
    table = evaluate(
        {"method": watched},
        data,
        rows,
        eval_net=weights.load("identity_eval"),
        regions=("observed", "holes"),
        reference_subjects=nobody,
        device=device,
    )
    values = {name: table.values["method"][name] for name in COLUMNS}
    result, subject = torch.cat(made), torch.as_tensor(table.subject)
    people, place = np.unique(table.subject, return_inverse=True)
    truth = _faces(data.studio_batch(torch.from_numpy(people)))[place]
    values["face_distance"] = face_judge.embedding_distance(_faces(result), truth).numpy()
    features = PooledFeatures(perceptual_judge(device).trunk[0])
    scalars = {
        "kid": kid(nn.Identity(), _described(features, result), _described(features, reference)).mean,
        "cpu_seconds": busy / len(result),
    }
    means = {name: subject_means(column, subject.numpy()) for name, column in values.items()}
    return np.asarray(data.seeds)[people], means, scalars


@torch.no_grad()
def _faces(textures: Tensor) -> Tensor:
    return torch.cat([face_judge.judge().embed(face_judge.render_chip(part)) for part in textures.split(16)])


@torch.no_grad()
def _described(features: nn.Module, textures: Tensor) -> Tensor:
    return torch.cat([features(part) for part in textures.split(16)])


def reference_textures(resolution: int, path: Path, people: int = PEOPLE) -> Tensor:
    """Studio textures ``(people, 3, resolution, resolution)`` in [0, 1] of people that no split holds, kept in ``path``."""
    from ..synth import synthesise_subjects
    from ..synth.dataset import SPLIT_SEEDS
    from ..synth.studio import studio_texture

    if not path.is_file():
        seeds = (STRETCH * SPLIT_SEEDS + torch.arange(people)).split(8)
        made = torch.cat([studio_texture(synthesise_subjects(part, resolution)) for part in seeds])
        with atomic(path) as temporary, temporary.open("wb") as handle:
            np.save(handle, (made * 255).round().to(torch.uint8).numpy())
    return torch.from_numpy(np.load(path)).float() / 255
