"""One bar for all that a person at a terminal waits for: how much is done, and how long the rest may take.

It is tqdm's. Where standard error is no terminal (a log, a pipe, an array job) there is none, and a notebook has its own kind.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any


def bar(steps: Iterable | None, name: str, unit: str, *, show: bool = True, **settings: Any):
    """A tqdm bar around ``steps``, or one that is moved on by its ``update()``.

    Args:
        name: what stands before the bar. unit: of what is counted. show: False hides it.
        settings: as tqdm's: ``total``, ``initial``, ``leave``. By default a bar that lies within another's step goes when it is
            full.
    """
    from tqdm.auto import tqdm

    # None asks whether there is a terminal; given at all, it overrules the variable, so that is asked here
    disable = True if not show or os.environ.get("TQDM_DISABLE") else None
    return tqdm(steps, disable=disable, **{"desc": name, "unit": unit, "leave": None} | settings)
