"""Does a measure change with a cause? Judged within people, by the rule of `verdict`.

Captures of different people differ in much more than the cause. So each person is compared with themselves: the part of the
cause that differs between their captures against the part of the measure that does. People with a single capture say nothing.
"""

from __future__ import annotations

import numpy as np

from .verdict import Verdict, verdict


def trend(cause: np.ndarray, values: np.ndarray, subject: np.ndarray, higher: bool = True) -> Verdict:
    """Is a measure better or worse where there is more of a cause?

    Args:
        cause: of every capture ``(N,)``, such as the unevenness of its light. values: the measure ``(N,)``, ``nan`` where there
            is none. subject: whose capture it is, ``(N,)``.
        higher: whether larger values are better.
    Returns:
        A verdict, "worse" where more of the cause makes the measure worse. Its difference is the slope within people, in units
        of the measure for one unit of the cause; 0 with an infinite interval where nobody has two captures that differ.
    """
    cause, values, subject = np.asarray(cause, float), np.asarray(values, float), np.asarray(subject)
    known = np.isfinite(values) & np.isfinite(cause)
    cause, values, subject = cause[known], values[known], subject[known]
    people = np.unique(subject)
    shared, spread = np.zeros(len(people)), np.zeros(len(people))
    for k, person in enumerate(people):
        x = cause[subject == person] - cause[subject == person].mean()
        shared[k], spread[k] = (x * values[subject == person]).sum(), (x * x).sum()
    if not spread.any():
        return verdict(np.zeros(1), np.zeros(1), higher)
    # a person whose captures hardly differ in the cause weighs little, instead of a slope with a tiny divisor
    return verdict(shared / spread.mean(), people, higher)
