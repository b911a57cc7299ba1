"""Fill the record of an experiment, one row and one seed after the other; what is there and fresh is not made again."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

from ..config import Profile
from ..device import device_name, peak_gib
from ..errors import InputError
from ..run_record import commit, package_hash
from .core import Experiment, experiments
from .lab import Lab
from .records import Entry, Record, empty, records_dir

SPREADS = 4.0  # standard deviations over seeds
SHARE = 0.05  # of the recorded value
LEAST = 0.05  # a value nearer to 0 than this may differ as much as this one may


def run(
    experiment: Experiment,
    lab: Lab,
    *,
    seeds: int | None = None,
    rows: Sequence[str] | None = None,
    root: Path | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Record:
    """Run what is missing of an experiment, seed by seed, so that whatever is finished can be compared.

    The record is written after every row; an interrupted sweep goes on where it was. A run that another experiment has
    made already, with the same settings, is taken from its record.

    Args:
        lab: what the experiments of a profile share.
        seeds: how many for every row; default what the experiment says. Where nothing is random one is all.
        root: folder of the records, default the package's. rows: only these.
    Raises:
        InputError: an unknown row, or a record of another profile in ``root``.
    """
    root, profile = root or records_dir(), lab.profile
    for row in rows or ():
        experiment.merged(row, profile)
    wanted = {row: experiment.seeds_of(row) if seeds is None else seeds for row in rows or experiment.rows}
    if experiment.deterministic:
        wanted = dict.fromkeys(wanted, 1)
    path = root / f"{experiment.name}.json"
    kept = Record.read(path) if path.is_file() else None
    if kept is not None and kept.profile != profile.name:
        raise InputError(f"{path} is of the profile {kept.profile}: choose another folder for records, or delete it")
    result = empty(experiment, profile)
    if kept is not None:
        result.subject = kept.subject
    # rows that are gone or changed are left behind; the others need not be made again
    for entry in kept.entries if kept else ():
        copy = experiment.deterministic and entry.seed
        if entry.row in experiment.rows and entry.digest == experiment.digest(entry.row, entry.seed, profile) and not copy:
            result.entries.append(entry)
    for seed in range(max(wanted.values())):
        for row, count in wanted.items():
            if seed >= count or seed in result.seeds(row):
                continue
            entry = _elsewhere(experiment, row, seed, profile, root, result) or _made(experiment, row, seed, lab, result)
            result.entries.append(entry)
            result.entries.sort(key=lambda e: (list(experiment.rows).index(e.row), e.seed))
            result.write(root)
            say(f"{experiment.name}: {row}, seed {seed}: {entry.seconds:.0f} s")
    if kept is None or kept.entries != result.entries:
        result.write(root)
    return result


def again(
    experiment: Experiment, lab: Lab, *, row: str | None = None, seed: int = 0, root: Path | None = None
) -> tuple[str, list[str]]:
    """Make one run of a record once more, and compare. The record is not touched.

    Another processor or thread count changes last digits, by which a measure may lie `SHARE` of its value from the record. A
    training lets them grow, so that there `SPREADS` standard deviations of the seeds are allowed; elsewhere the seeds say
    nothing, for a seed made again draws the same captures.

    Args:
        row: default the baseline, which for the chain is its own row; of trainings the first one beside it.
    Returns:
        the row, and a line for each measure that differs.
    Raises:
        InputError: the record does not hold this run, or is stale.
    """
    kept = Record.read((root or records_dir()) / f"{experiment.name}.json")
    row = row or next(name for name in experiment.rows if (name != experiment.baseline) == experiment.trains)
    if (row, seed) in kept.stale() or seed not in kept.seeds(row):
        raise InputError(
            f"the record of {experiment.name} has no fresh run of '{row}' with seed {seed}: studiolike experiment run "
            f"{experiment.name}"
        )
    fresh = empty(experiment, lab.profile)
    fresh.subject = kept.subject
    fresh.entries.append(_made(experiment, row, seed, lab, fresh))
    differing = []
    for measure in experiment.measures:
        before, now = (np.nanmean(made.per_person(row, measure, [seed])) for made in (kept, fresh))
        known = experiment.trains and len(kept.seeds(row)) > 1
        spread = np.nanmean(kept.per_person(row, measure), 1).std(ddof=1) if known else 0.0
        allowed = max(SPREADS * spread, SHARE * max(abs(before), LEAST))
        if not abs(now - before) <= allowed:
            differing.append(f"{measure}: {now:.4g}, the record has {before:.4g} (allowed: {allowed:.2g} apart)")
    return row, differing


def _made(experiment: Experiment, row: str, seed: int, lab: Lab, result: Record) -> Entry:
    started, busy = time.perf_counter(), time.process_time()
    outcome = experiment.measure(lab, experiment.merged(row, lab.profile), seed)
    people = [int(k) for k in outcome.subject]
    if not result.subject:
        result.subject = people
    if result.subject != people or any(len(column) != len(people) for column in outcome.values.values()):
        raise InputError(f"row '{row}' of {experiment.name} measured other people than the rows before it")
    return Entry(
        row,
        seed,
        experiment.digest(row, seed, lab.profile),
        {name: [float(x) for x in column] for name, column in outcome.values.items()},
        {name: float(x) for name, x in outcome.scalars.items()},
        round(time.perf_counter() - started, 1),
        round(time.process_time() - busy, 1),
        round(peak_gib(lab.device), 2),
        device_name(lab.device),
        commit(),
        package_hash(),
        torch.__version__,
        datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _elsewhere(experiment: Experiment, row: str, seed: int, profile: Profile, root: Path, result: Record) -> Entry | None:
    """The same run, if another experiment's record holds it."""
    wanted = experiment.digest(row, seed, profile)
    for name, other in experiments().items():
        path = root / f"{name}.json"
        if other.measure is not experiment.measure or name == experiment.name or not path.is_file():
            continue
        record = Record.read(path)
        for entry in record.entries:
            if entry.digest == wanted and (not result.subject or result.subject == record.subject):
                result.subject = record.subject
                return Entry(**{**entry.__dict__, "row": row})
    return None
