"""Better, worse, or cannot tell: one rule for every comparison in the book and in the tables.

Two methods are compared on the same subjects, so the paired differences count, one mean per subject. Their sign is random if
there is no difference: the p-value is the share of all sign flips of the subjects whose mean is as far from 0 (Fisher's
randomisation test; exact up to 16 subjects, 65,536 random flips beyond). It assumes no distribution, and with five subjects it
cannot tell anything at 5 %, as it should. Many comparisons find something by chance, so the p-values of one table are
corrected together (Holm, *A simple sequentially rejective multiple test procedure*, Scand. J. Statist. 1979): with a
probability of 95 % none of the words "better" and "worse" in it is wrong.

What training gives depends on its seed as well. A comparison over seeds is told only if the test over subjects tells it, of
the means over the seeds, and no seed says the opposite; a measure of all subjects together, as KID is, has the seeds alone,
and a t-test over them. A claim then is a list of conditions, and `claim_word` is the one place where it gets its word.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np

from .bootstrap import ENDS, LEVEL, Estimate, clustered_mean

BETTER, WORSE, CANNOT_TELL = "better", "worse", "cannot tell"
HOLDS, SMALLER, UNSURE, FAILS = "holds", "the right way, but smaller", CANNOT_TELL, "does not hold"
REPRODUCED, PARTLY, NOT_REPRODUCED, NOT_TESTABLE = "reproduced", "partly reproduced", "not reproduced", "not testable"
EXACT = 16  # subjects up to which all sign flips are tried
Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Verdict:
    """What a comparison says.

    Attributes:
        word: "better", "worse" or "cannot tell".
        difference: mean paired difference, method − rival, with its own (uncorrected) 95 % interval.
        p: corrected p-value. comparisons: how many were corrected together.
    """

    word: str
    difference: Estimate
    p: float
    comparisons: int

    def say(self, better: str, worse: str, cannot_tell: str = "cannot be told from") -> str:
        """The verdict in a sentence's own words."""
        return {BETTER: better, WORSE: worse, CANNOT_TELL: cannot_tell}[self.word]

    def __str__(self) -> str:
        return self.word


def verdicts(differences: Mapping[Key, np.ndarray], subject: np.ndarray, higher: Mapping[Key, bool] | bool) -> dict[Key, Verdict]:
    """Judge paired differences, all of one table together: with a probability of `LEVEL` no word of the table is wrong.

    Args:
        differences: method − rival per capture, ``(N,)`` each; ``nan`` where there is nothing to compare.
        subject: ``(N,)``, whose capture it is.
        higher: whether larger values are better, for all or for each.
    """
    corrected = holm({key: sign_flip_p(subject_means(values, subject)) for key, values in differences.items()})
    result = {}
    for key, values in differences.items():
        gap = clustered_mean(values, subject)
        up = higher if isinstance(higher, bool) else higher[key]
        told = corrected[key] <= 1 - LEVEL and gap.mean != 0
        word = CANNOT_TELL if not told else BETTER if (gap.mean > 0) == up else WORSE
        result[key] = Verdict(word, gap, corrected[key], len(differences))
    return result


def verdict(difference: np.ndarray, subject: np.ndarray, higher: bool) -> Verdict:
    """Judge one comparison that stands alone; see `verdicts`."""
    return verdicts({0: difference}, subject, higher)[0]


def subject_means(values: np.ndarray, subject: np.ndarray) -> np.ndarray:
    """Mean of ``values (N,)`` over each subject's captures, ``(S,)``; subjects without a finite value are left out."""
    values, subject = np.asarray(values, float), np.asarray(subject)
    known = np.isfinite(values)
    names, place = np.unique(subject[known], return_inverse=True)
    return np.bincount(place, values[known], len(names)) / np.bincount(place, minlength=len(names))


def sign_flip_p(means: np.ndarray) -> float:
    """Two-sided p-value that ``means (S,)`` are symmetric about 0; 1 without any."""
    if not np.any(means):
        return 1.0
    total = np.abs(sign_flips(len(means)) @ means)
    return float((total >= abs(means.sum()) * (1 - 1e-9)).mean())


def decidable(people: int, comparisons: int) -> bool:
    """Whether the sign-flip test over so few people can tell anything at all of so many comparisons, corrected together."""
    return 2 * comparisons / 2**people <= 1 - LEVEL  # the two flips that all agree, of all 2^people


@lru_cache(4)
def sign_flips(count: int) -> np.ndarray:
    """Rows of ±1, ``(F, count)``: all of them, or 65,536 of them at random, the first without any flip."""
    if count <= EXACT:
        return 1.0 - 2.0 * ((np.arange(2**count)[:, None] >> np.arange(count)) & 1)
    signs = 1.0 - 2.0 * np.random.default_rng(0).integers(0, 2, (2**EXACT, count))
    signs[0] = 1  # what was observed is one of the possible flips
    return signs


def holm(p: Mapping[Key, float]) -> dict[Key, float]:
    """Holm's step-down correction of p-values."""
    corrected, running = {}, 0.0
    for k, key in enumerate(sorted(p, key=p.__getitem__)):
        running = max(running, min(1.0, p[key] * (len(p) - k)))
        corrected[key] = running
    return corrected


def seeded_verdicts(differences: Mapping[Key, np.ndarray], higher: Mapping[Key, bool] | bool) -> dict[Key, Verdict]:
    """Judge paired differences of several seeds, all of one table together.

    Args:
        differences: method − rival, ``(seeds, subjects)`` each, or ``(seeds, 1)`` of a measure of all subjects together; ``nan``
            where there is nothing to compare.
        higher: as in `verdicts`.
    Returns:
        verdicts whose ``difference`` has its interval over the seeds.
    """
    p = {}
    for key, values in differences.items():
        values = np.asarray(values, float)
        if values.shape[1] == 1:
            p[key] = t_p(values[:, 0])
        else:
            known = np.isfinite(values).all(0)
            p[key] = sign_flip_p(values[:, known].mean(0))
    corrected, result = holm(p), {}
    for key, values in differences.items():
        by_seed = np.nanmean(np.asarray(values, float), 1)
        agree = np.all(by_seed > 0) or np.all(by_seed < 0)
        up = higher if isinstance(higher, bool) else higher[key]
        told = corrected[key] <= 1 - LEVEL and agree
        word = CANNOT_TELL if not told else BETTER if (by_seed.mean() > 0) == up else WORSE
        result[key] = Verdict(word, over_seeds(by_seed), corrected[key], len(differences))
    return result


def over_seeds(values: np.ndarray) -> Estimate:
    """Mean of ``values (seeds,)`` with Student's interval; infinite for a single seed."""
    from scipy.stats import t

    values = np.asarray(values, float)
    mean, n = float(values.mean()), len(values)
    if n < 2:
        return Estimate(mean, -np.inf, np.inf, n, n)
    half = float(t.ppf(ENDS[1], n - 1) * values.std(ddof=1) / np.sqrt(n))
    return Estimate(mean, mean - half, mean + half, n, n)


def over_people(values: np.ndarray) -> Estimate:
    """Mean of ``(seeds, people)`` with a bootstrap interval over people; over the seeds, if all people have one value."""
    if values.shape[1] == 1:
        return over_seeds(values[:, 0])
    return clustered_mean(values.mean(0), np.arange(values.shape[1]))


def t_p(values: np.ndarray) -> float:
    """Two-sided p-value that ``values (seeds,)`` have the mean 0 (Student's t-test); 1 with fewer than two."""
    from scipy.stats import t

    n = len(values)
    if n < 2 or not np.any(values):
        return 1.0
    error = values.std(ddof=1) / np.sqrt(n)
    return float(2 * t.sf(abs(values.mean()) / max(error, 1e-300), n - 1))


def claim_word(outcomes: Sequence[str]) -> str:
    """The word of a claim whose conditions came out as `HOLDS`, `SMALLER`, `UNSURE` or `FAILS`.

    All hold: reproduced. Some hold or go the right way: partly. None does: not reproduced, or, if none fails either, cannot
    tell. No condition: not testable.
    """
    if not outcomes:
        return NOT_TESTABLE
    if all(outcome == HOLDS for outcome in outcomes):
        return REPRODUCED
    if any(outcome in (HOLDS, SMALLER) for outcome in outcomes):
        return PARTLY
    return NOT_REPRODUCED if FAILS in outcomes else CANNOT_TELL


def within_limits(found: Estimate, at_most: float | None = None, at_least: float | None = None) -> str:
    """How a limit comes out: it holds if the whole interval keeps it, does not hold if none of the interval does."""
    kept = (at_least is None or found.low >= at_least) and (at_most is None or found.high <= at_most)
    broken = (at_least is not None and found.high < at_least) or (at_most is not None and found.low > at_most)
    return HOLDS if kept else FAILS if broken else UNSURE


def listed(names: Sequence[str]) -> str:
    """Names in a sentence, with commas and an "and"; "none" if there are none."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1]))) if names else "none"


def outcome_of(told: Verdict, wanted: str = BETTER) -> str:
    """How a comparison comes out for a claim that says `BETTER` or `WORSE`."""
    return UNSURE if told.word == CANNOT_TELL else HOLDS if told.word == wanted else FAILS
