"""The verbs for networks: train the stages, evaluate the chain."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from ..config import Profile, profile
from ..errors import InputError
from .options import OptionalOut, check_seed, chosen_profile


@dataclass(frozen=True)
class Train:
    """Train a stage (identity, phone, codes, exemplars, adapt, tone, detail) or all of them in order; stopped runs resume."""

    stage: Positional[Literal["identity", "phone", "codes", "exemplars", "adapt", "tone", "detail", "all"]]
    profile: str = "cpu"
    runs: Path = Path("runs")
    """folder of data sets and runs"""
    release: bool = False
    """write the trained networks into the released weights"""
    warm: bool = False
    """start from the released networks, which must be of the profile's size, instead of from noise"""
    studio_set: Path | None = None
    """adapt only: learn from the studio textures of a set of data import instead of the synthetic ones"""
    protocol: Literal["few", "open"] | None = None
    """adapt, tone and detail only: few studio textures, or every one that the generator gives; default: both"""
    device: str | None = None
    seed: int = 0
    set: Profile = field(default_factory=lambda: profile(chosen_profile.get()))
    """any setting of the profile, for example --set.pretrain.images 100000"""

    def run(self) -> None:
        check_seed(self.seed)
        from ..recipes import train

        train(
            self.stage,
            self.set,
            self.runs,
            release=self.release,
            warm=self.warm,
            device=self.device,
            seed=self.seed,
            studio=self.studio_set,
            protocol=self.protocol,
        )


@dataclass(frozen=True)
class Evaluate:
    """Measure the chain and the simple rivals on unseen synthetic subjects, whose true studio texture is known."""

    profile: str = "cpu"
    runs: Path = Path("runs")
    weights: str | None = None
    """few, open, a folder written by save_pretrained, or a run of studiolike train; default: the released weights"""
    protocol: Literal["few", "open"] | None = None
    """of all networks that learnt from studio textures; default: open, or few if that is all that a run has"""
    split: Literal["test", "val"] = "test"
    """test for what is reported, val for choosing settings"""
    subjects: int | None = None
    """how many of the split, default all; with one there are no intervals"""
    photos: Path | None = None
    """folder of real photographs: measure on these instead whether the result is still that person"""
    device: str | None = None
    out: OptionalOut = None
    """JSON file for the table"""
    seed: int = 0

    def run(self) -> None:
        from ..device import find_device
        from ..pipeline import StudioPipeline

        if self.subjects is not None and self.subjects < 1:
            raise InputError(f"--subjects {self.subjects} is not possible: use at least 1, and 2 for intervals")
        settings, device = profile(self.profile), find_device(self.device)
        pipe = StudioPipeline.chosen(self.weights, device, protocol=self.protocol)
        if self.photos:
            from ..evaluation.photos import photo_identity

            print(photo_identity(pipe, self.photos, out=self.out))
            return
        check_seed(self.seed)
        from ..recipes import evaluate_chain

        table = evaluate_chain(settings, self.runs, pipe, split=self.split, subjects=self.subjects, seed=self.seed)
        if self.out:
            table.to_json(self.out)
        print("\n".join([table.markdown(), table.versus("chain"), table.tones()]))
