"""How sure is a mean? Percentile bootstrap that draws whole subjects, not captures.

Captures of one subject are alike, so treating them as independent would make intervals too narrow. Subjects
are drawn with replacement together with all their captures (cluster bootstrap; Efron & Tibshirani, *An
Introduction to the Bootstrap*, 1993; Field & Welsh, JRSS-B 2007).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LEVEL = 0.95  # of every interval, and the probability that no word of a table is wrong
ENDS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
DRAWS = 2000


@dataclass(frozen=True)
class Estimate:
    """A mean with its confidence interval; ``n`` captures of ``subjects`` subjects. Prints as ``mean [low, high]``, with a dash
    for what there is not."""

    mean: float
    low: float
    high: float
    n: int
    subjects: int

    def __format__(self, spec: str) -> str:
        spec = spec or ".3g"
        return f"{self.mean:{spec}}{self.interval(spec)}" if self.n else "–"

    def interval(self, spec: str = ".3g") -> str:
        """The interval, or that there is none, with a space before it."""
        known = np.isfinite(self.low) and np.isfinite(self.high)
        return f" [{self.low:{spec}}, {self.high:{spec}}]" if known else " [–]"

    def __str__(self) -> str:
        return f"{self:.3g}"


def gap_of_groups(values: np.ndarray, group: np.ndarray) -> Estimate:
    """Worst group's mean ÷ best group's, with a bootstrap interval that draws people within each group.

    Which groups these are is not drawn anew: the largest of several noisy means over the smallest is above 1 by noise alone.

    Args:
        values: an error per person ``(N,)``; ``nan`` is left out. group: ``(N,)`` integers.
    """
    values, group = np.asarray(values, float), np.asarray(group)
    values, group = values[~np.isnan(values)], group[~np.isnan(values)]
    parts = [values[group == k] for k in np.unique(group)]
    if not parts:
        return Estimate(np.nan, np.nan, np.nan, 0, 0)
    rng = np.random.default_rng(0)
    worst, best = (pick(parts, key=np.mean) for pick in (max, min))
    drawn = [part[rng.integers(0, len(part), (DRAWS, len(part)))].mean(1) for part in (worst, best)]
    ratio = float(worst.mean() / max(best.mean(), 1e-12))
    low, high = np.quantile(drawn[0] / drawn[1].clip(1e-12), ENDS)
    return Estimate(ratio, float(low), float(high), len(values), len(values))


def clustered_mean(values: np.ndarray, cluster: np.ndarray, *, draws: int = DRAWS, seed: int = 0) -> Estimate:
    """Mean of ``values (N,)`` with a bootstrap interval over ``cluster (N,)`` (the subjects).

    Values that are ``nan`` (nothing to measure) are left out. With fewer than two subjects the interval is
    infinite; with no value at all everything is ``nan``. An infinite value (the PSNR of equal pictures) makes
    the mean infinite.
    """
    values, cluster = np.asarray(values, float), np.asarray(cluster)
    known = ~np.isnan(values)
    values, cluster = values[known], cluster[known]
    names, place = np.unique(cluster, return_inverse=True)
    if not len(values):
        return Estimate(np.nan, np.nan, np.nan, 0, 0)
    mean = float(values.mean())
    if len(names) < 2 or not np.isfinite(mean):
        return Estimate(mean, -np.inf, np.inf, len(values), len(names))
    sums, counts = np.bincount(place, values), np.bincount(place)
    drawn = np.random.default_rng(seed).integers(0, len(names), (draws, len(names)))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    low, high = np.quantile(means, ENDS)
    return Estimate(mean, float(low), float(high), len(values), len(names))
