"""The rivals of one protocol: whose records are fresh, what may be concluded from them, and how our chain compares."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from studiolike.config import profile
from studiolike.errors import InputError
from studiolike.evaluation.bootstrap import Estimate, gap_of_groups
from studiolike.evaluation.table import higher_is_better
from studiolike.evaluation.verdict import WORSE, Verdict, seeded_verdicts
from studiolike.experiments import Record, record
from studiolike.experiments.core import SEEDS, experiment
from studiolike.experiments.rivals import DECISIVE, LONG, NAMES, row_of
from studiolike.synth.traits import draw_traits

RECORDS = ("rivals-closed", "rivals", "rivals-chain")
CLOSED = ("nothing", "mean_studio", "colour_transfer", "quotient", "homomorphic")
TRAINED = ("unet", "unet_gain", "cut", "diffusion", *LONG)
OURS = ("generator", "chain")
FACE = "perceptual/face"
CALLED = {
    "low_band": "low-band error",
    "perceptual/face": "perceptual distance, face",
    "faceid_cosine": "identity cosine",
    "face_distance": "distance of faces (dlib)",
    "psnr/observed": "PSNR, observed",
    "psnr_fitted/observed": "PSNR after a gain fit",
    "psnr/holes": "PSNR, holes",
    "variance_ratio": "variance over lights",
    "colour": "colour error (ΔE)",
}


def fresh(name: str, root: Path | None = None) -> Record | None:
    """A record with only those entries that the present settings and weights would make again; None without any."""
    try:
        found = record(name, root)
    except InputError:
        return None
    made, settings = experiment(name), profile(found.profile)
    kept = [e for e in found.entries if e.row in made.rows and e.digest == made.digest(e.row, e.seed, settings)]
    return replace(found, entries=kept) if kept else None


@dataclass(frozen=True)
class Contest:
    """All methods under one protocol, as far as there are fresh records. ``records``: name of the method → its record."""

    protocol: str
    records: dict[str, Record]

    @classmethod
    def read(cls, protocol: str, root: Path | None = None) -> Contest:
        """From the records in ``root``, by default the package's."""
        found = [one for one in (fresh(name, root) for name in RECORDS) if one is not None]
        by_row = {row: one for one in found for row in one.finished()}
        names = {name: row_of(name, protocol) for name in (*CLOSED, *TRAINED, *OURS)}
        return cls(protocol, {name: by_row[row] for name, row in names.items() if row in by_row})

    def values(self, name: str, measure: str) -> np.ndarray:
        """``(seeds, people)``."""
        return self.records[name].per_person(row_of(name, self.protocol), measure)

    def scalar(self, name: str, measure: str) -> float:
        """Mean over the seeds of a number for all people together; nan where it is not known."""
        entries = [e for e in self.records[name].entries if e.row == row_of(name, self.protocol)]
        return float(np.mean([e.scalars.get(measure, np.nan) for e in entries]))

    def seeds(self, name: str) -> int:
        """How many trainings stand behind a row."""
        return len(self.records[name].seeds(row_of(name, self.protocol)))

    def known(self, name: str) -> bool:
        """Whether anything may be concluded from a row: enough seeds, where it was trained."""
        return self.records[name].known(row_of(name, self.protocol))

    def title(self, name: str) -> str:
        """A method's name; too few seeds stand beside it."""
        count = self.seeds(name)
        return NAMES[name] + ("" if self.known(name) else f" ({count} seed{'s' * (count > 1)})")

    @property
    def looks(self) -> list[str]:
        """Rivals of too few seeds for a word: first looks."""
        return [name for name in self.rivals if not self.known(name)]

    @property
    def unheard(self) -> list[str]:
        """Trained rivals without a fresh record, those aside that can only be a first look."""
        made = experiment("rivals")
        lacking = [name for name in TRAINED if name not in self.records]
        return [NAMES[name] for name in lacking if made.seeds_of(row_of(name, self.protocol)) >= SEEDS]

    @property
    def missing(self) -> list[str]:
        """Methods without a fresh record."""
        return [NAMES[name] for name in (*CLOSED, *TRAINED, *OURS) if name not in self.records]

    @property
    def rivals(self) -> list[str]:
        """Everything that is not ours."""
        return [name for name in self.records if name not in OURS]

    @cached_property
    def judged(self) -> dict[tuple[str, str], Verdict]:
        """Our chain against each rival in each measure, judged together: ``[rival, measure]``. First looks are not judged."""
        if "chain" not in self.records:
            return {}
        judged = [rival for rival in self.rivals if self.known(rival)]
        differences = {(rival, measure): self.ahead(rival, measure) for rival in judged for measure in CALLED}
        return seeded_verdicts(differences, {key: higher_is_better(key[1]) for key in differences})

    def ahead(self, rival: str, measure: str) -> np.ndarray:
        """Our chain minus a rival ``(seeds, people)``."""
        return self.values("chain", measure).mean(0)[None] - self.values(rival, measure)

    def leads(self, rival: str) -> list[str]:
        """Decisive measures in which a rival's mean is better than our chain's."""
        sign = {measure: 1 if higher_is_better(measure) else -1 for measure in DECISIVE}
        return [measure for measure in DECISIVE if sign[measure] * np.nanmean(self.ahead(rival, measure)) < 0]

    @cached_property
    def gaps(self) -> dict[str, Estimate]:
        """Worst ÷ best tone group's colour error of every method from which something may be concluded.

        A person's tone follows from his or her seed; groups are terciles, as in the records.
        """
        found = {}
        for name in filter(self.known, self.records):
            tones = draw_traits(torch.tensor(self.records[name].subject)).tone.float()
            group = torch.bucketize(tones, torch.quantile(tones, torch.tensor([1 / 3, 2 / 3])))
            found[name] = gap_of_groups(self.values(name, "colour").mean(0), group.numpy())
        return found

    def told(self, word: str, measure: str) -> list[str]:
        """Names of the rivals against which the chain is better, worse, or cannot be told from, in one measure."""
        return [NAMES[r] for r in self.rivals if (r, measure) in self.judged and self.judged[r, measure].word == word]

    @property
    def unlearnt(self) -> list[str]:
        """Trained rivals that are, in the mean perceptual distance, farther from the truth than the phone texture itself."""
        means = {name: np.nanmean(self.values(name, FACE)) for name in self.records if name in ("nothing", *TRAINED)}
        return [self.title(name) for name, mean in means.items() if mean > means.get("nothing", np.inf)]

    def leader(self, measure: str) -> str:
        """The method with the best mean, first looks aside."""
        means = {name: float(np.nanmean(self.values(name, measure))) for name in self.records if self.known(name)}
        return (max if higher_is_better(measure) else min)(means, key=means.get)

    @property
    def losses(self) -> dict[str, list[str]]:
        """Decisive measure → rivals that beat our chain in it; measures without any are left out."""
        return {measure: worse for measure in DECISIVE if (worse := self.told(WORSE, measure))}
