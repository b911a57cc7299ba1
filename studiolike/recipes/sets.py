"""The synthetic sets that the stages, the chapters and the final evaluation read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..config import DataConfig, Profile
from ..device import find_device

if TYPE_CHECKING:
    from ..synth import SetSpec, TextureSet


def set_spec(config: DataConfig, detailed: bool, test: bool = False) -> SetSpec:
    """The set the GAN stages read, or, ``detailed``, the larger textures of the detailer and the evaluation.

    The split "test" is there only with ``test``, and then alone with "val", which settings are chosen on, and the few-shot
    textures that simple rivals know: a training set does not hold what the final evaluation reads.
    """
    from ..synth import SetSpec

    return SetSpec(
        first_seed=config.first_seed,
        resolution=config.detail_resolution if detailed else config.resolution,
        phone_subjects=0 if test else config.detail_subjects if detailed else config.phone_subjects,
        studio_subjects=config.studio_subjects,
        pair_subjects=config.pair_subjects,
        val_subjects=config.val_subjects,
        test_subjects=config.test_subjects if test else 0,
        lightings=min(config.lightings, 2) if detailed and not test else config.lightings,
        test_lightings=config.test_lightings,
        shared_test_light=False,
    )


def make_set(
    config: DataConfig,
    root: str | Path,
    detailed: bool = False,
    *,
    test: bool = False,
    device: str = "cpu",
    progress: bool = True,
) -> TextureSet:
    """Open the set of ``config`` under ``root``; make it first (or finish making it) if it is not there. See `set_spec`."""
    from ..synth import write_set

    spec = set_spec(config, detailed, test)
    digest = spec.digest()[:10]
    return write_set(spec, Path(root) / f"heads-{spec.resolution}-{digest}", device=device, progress=progress)


def data_sets(profile: Profile, runs: str | Path, *, device: str = "cpu", progress: bool = True) -> tuple[TextureSet, TextureSet]:
    """Both sets of a profile's training, under ``runs/data``. Raises `InputError` where there is no such device."""
    device = str(find_device(device))
    root = Path(runs) / "data"
    small, detailed = (make_set(profile.data, root, d, device=device, progress=progress) for d in (False, True))
    return small, detailed


def chapter_set(profile: Profile, detailed: bool = False, *, test: bool = False) -> TextureSet:
    """The smaller sets that chapters work with: the same subjects by split, fewer of them; with ``test`` the final
    evaluation's.

    Made when first asked for and kept under ``runs/data``, or in the folder that $STUDIOLIKE_DATA names.
    """
    return make_set(profile.chapter, os.environ.get("STUDIOLIKE_DATA") or "runs/data", detailed, test=test)
