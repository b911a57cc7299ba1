"""Trainings too short to keep: only the stage and its log are left of them."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from ..run_record import read_log
from ..training import Stage, fit


def short_run(stage: Stage, images: int, *, seed: int = 0, device: str | None = None, **options: Any) -> dict[str, list[float]]:
    """Train a stage in a folder that is thrown away; its log. Arguments as of `training.fit`."""
    rarely = dict.fromkeys(("checkpoint_every", "preview_every"), images)
    with tempfile.TemporaryDirectory() as folder:
        fit(stage, images, folder, seed=seed, device=device, progress=False, **rarely, **options)
        return read_log(Path(folder))
