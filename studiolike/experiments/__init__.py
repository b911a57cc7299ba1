"""The laboratory: what the book claims, as experiments that are run over several seeds and leave a record each.

An `Experiment` is a short function, rows of settings, and a statement of what its size can and cannot show.
`run` fills its record row by row and seed by seed; the records are small JSON files beside this module, so that pages and
chapters quote them without running anything: ``record("layers").table()``. A record whose settings are no longer the ones
that the code declares is stale, and nothing is concluded from it.
"""

from .core import Experiment, Outcome, experiment, experiments
from .records import Entry, Record, record, records_dir

__all__ = ["Entry", "Experiment", "Outcome", "Record", "experiment", "experiments", "record", "records_dir"]
