"""From claims and records to verdicts.

A claim is a list of conditions on rows of one experiment, written down before the experiment is run (``book/claims.yml``).
What a condition needs is looked up in the experiment's record; a record that is stale, or a row without enough seeds, gives
no verdict. The comparisons of one claim are corrected together (Holm).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..evaluation.table import higher_is_better, label, with_minus
from ..evaluation.verdict import (
    BETTER,
    CANNOT_TELL,
    FAILS,
    HOLDS,
    NOT_TESTABLE,
    SMALLER,
    UNSURE,
    WORSE,
    Verdict,
    claim_word,
    outcome_of,
    over_people,
    over_seeds,
    seeded_verdicts,
    within_limits,
)
from .records import Record, record, spoken

NOT_RUN = "not run"
MARKS = {"F": "stated by the authors", "R": "reported by others", "I": "our inference", "ours": "an aim of ours"}
RELATIONS = ("worse_than", "better_than", "like")


@dataclass(frozen=True)
class Condition:
    """What must be seen in a record.

    Attributes:
        row: of the experiment. measure: what is compared.
        relation: "worse_than", "better_than" or "like", with ``rival``, another row; or "" for a limit on the row alone.
        times: of "worse_than": at least so many times the rival's value. within: of "like": at most this share apart.
        at_most, at_least: limits.
    """

    row: str
    measure: str
    relation: str = ""
    rival: str = ""
    times: float = 1.0
    within: float = 0.05
    at_most: float | None = None
    at_least: float | None = None

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Condition:
        """From the mapping of ``claims.yml``: ``{row: …, in: …, worse_than: …, times: 2}``.

        Raises:
            InputError: unknown or missing keys.
        """
        known = {"row", "in", *RELATIONS, "times", "within", "at_most", "at_least"}
        relations = [name for name in RELATIONS if name in plain]
        limits = [name for name in ("at_most", "at_least") if name in plain]
        if not {"row", "in"} <= plain.keys() or set(plain) - known or len(relations) + bool(limits) != 1:
            raise InputError(f"a condition needs row, in, and one of {', '.join(RELATIONS)}, at_most, at_least: {dict(plain)}")
        relation = relations[0] if relations else ""
        extra = {name: float(plain[name]) for name in ("times", "within", "at_most", "at_least") if name in plain}
        if "times" in extra and (relation != "worse_than" or higher_is_better(plain["in"])):
            raise InputError(f"'times' goes with worse_than and a measure of error: {dict(plain)}")
        return cls(plain["row"], plain["in"], relation, plain.get(relation, ""), **extra)

    @property
    def rows(self) -> tuple[str, ...]:
        """Rows that must have been run."""
        return (self.row, self.rival) if self.relation else (self.row,)

    def __str__(self) -> str:
        if not self.relation:
            limits = [f"{sign} {x:g}" for sign, x in (("≤", self.at_most), ("≥", self.at_least)) if x is not None]
            return f"{self.row}: {label(self.measure)} {' and '.join(limits)}"
        words = {"worse_than": "is worse than", "better_than": "is better than", "like": f"is within {self.within:.0%} of"}
        size = f", at least {self.times:g} times" if self.times > 1 else ""
        return f"{label(self.measure)}: “{self.row}” {words[self.relation]} “{self.rival}”{size}"


@dataclass(frozen=True)
class Claim:
    """One line of the ledger; see the head of ``book/claims.yml`` for its keys."""

    id: str
    claim: str
    mark: str
    where: str
    chapters: tuple[str, ...]
    experiment: str = ""
    conditions: tuple[Condition, ...] = ()
    note: str = ""
    later: str = ""
    awaits: str = ""
    not_testable: str = ""

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Claim:
        """From the mapping of ``claims.yml``.

        Raises:
            InputError: unknown or missing keys, an unknown mark, or neither conditions nor a reason for having none.
        """
        known = set(cls.__dataclass_fields__)
        name = plain.get("id", "?")
        if set(plain) - known or not {"id", "claim", "mark", "where", "chapters"} <= plain.keys():
            raise InputError(f"the claim '{name}' needs id, claim, mark, where, chapters, and knows: {', '.join(sorted(known))}")
        if plain["mark"] not in MARKS:
            raise InputError(f"the claim '{name}' has the mark '{plain['mark']}'; choose one of {', '.join(MARKS)}")
        conditions = tuple(Condition.of(condition) for condition in plain.get("conditions", ()))
        if bool(conditions and plain.get("experiment")) == bool(plain.get("not_testable")):
            raise InputError(f"the claim '{name}' needs an experiment with conditions, or a reason why it is not_testable")
        return cls(**{**plain, "chapters": tuple(plain["chapters"]), "conditions": conditions})


@dataclass(frozen=True)
class Finding:
    """How one condition came out: ``outcome`` of `verdict.claim_word`'s, and the figures as a reader reads them."""

    condition: Condition
    outcome: str
    figures: str


@dataclass(frozen=True)
class Judged:
    """A claim with its word and what it rests on."""

    claim: Claim
    word: str
    findings: tuple[Finding, ...] = ()


def read_claims(path: Path) -> list[Claim]:
    """The claims of a file, in its order.

    Raises:
        InputError: not a list of claims, or two of one id.
    """
    import yaml

    plain = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(plain, list):
        raise InputError(f"{path} is no list of claims")
    claims = [Claim.of(entry) for entry in plain]
    names = [claim.id for claim in claims]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise InputError(f"{path} has two claims called {', '.join(sorted(twice))}")
    return claims


def judge(claim: Claim, root: Path | None = None) -> Judged:
    """The verdict of a claim by the records in ``root``.

    Raises:
        InputError: no record, a stale one, rows or measures that it does not have, or too few seeds of a row, unless the
            claim says what it ``awaits``.
    """
    if claim.not_testable:
        return Judged(claim, NOT_TESTABLE)
    try:
        made = record(claim.experiment, root)
    except InputError:
        if claim.awaits:
            return Judged(claim, NOT_RUN)
        raise
    wanted = {row for condition in claim.conditions for row in condition.rows}
    unknown = wanted - made.rows.keys()
    if unknown:
        raise InputError(f"the claim '{claim.id}' asks for rows that {made.name} has not: {', '.join(sorted(unknown))}")
    stale = sorted({row for row, _ in made.stale()} & wanted)
    if stale:
        raise InputError(
            f"the claim '{claim.id}' rests on a stale record, {made.name} ({', '.join(stale)}): "
            f"studiolike experiment run {made.name}"
        )
    missing = sorted(row for row in wanted if not made.known(row))
    if missing and not claim.awaits:
        raise InputError(
            f"the claim '{claim.id}' has too few seeds of {', '.join(missing)}: studiolike experiment run {made.name}"
        )
    if missing:
        return Judged(claim, NOT_RUN)
    pairs = [condition for condition in claim.conditions if condition.relation]
    differences = {c: made.difference(c.row, c.rival, c.measure) for c in pairs}
    told = seeded_verdicts(differences, {c: higher_is_better(c.measure) for c in pairs})
    findings = [_compared(c, made, told[c]) if c.relation else _limited(c, made) for c in claim.conditions]
    return Judged(claim, claim_word([finding.outcome for finding in findings]), tuple(findings))


def _compared(condition: Condition, made: Record, told: Verdict) -> Finding:
    ratio = over_seeds(made.ratios(condition.row, condition.rival, condition.measure))
    if condition.relation == "like":
        low, high = 1 / (1 + condition.within), 1 + condition.within
        inside = low <= ratio.low and ratio.high <= high
        apart = told.word != CANNOT_TELL and not low <= ratio.mean <= high
        outcome = HOLDS if inside else FAILS if apart else UNSURE
    else:
        outcome = outcome_of(told, WORSE if condition.relation == "worse_than" else BETTER)
        if outcome == HOLDS and condition.times > 1 and ratio.low < condition.times:
            outcome = SMALLER
    values = [made.spoken(row, condition.measure) for row in condition.rows]
    factor = "" if higher_is_better(condition.measure) or condition.measure == "kid" else f", × {spoken(ratio)}"
    return Finding(condition, outcome, f"{values[0]} against {values[1]}{factor}, p = {told.p:.2g}")


def _limited(condition: Condition, made: Record) -> Finding:
    found = over_people(made.per_person(condition.row, condition.measure))
    outcome = within_limits(found, condition.at_most, condition.at_least)
    return Finding(condition, outcome, with_minus(f"{found.mean:.3g} [{found.low:.3g}, {found.high:.3g}]"))
