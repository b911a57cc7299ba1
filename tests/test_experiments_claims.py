"""Verdicts: what makes a condition hold, what word a claim gets, and that nothing is concluded from a stale record."""

import dataclasses

import numpy as np
import pytest

from studiolike.config import profile
from studiolike.errors import InputError
from studiolike.evaluation.verdict import (
    BETTER,
    CANNOT_TELL,
    FAILS,
    HOLDS,
    NOT_REPRODUCED,
    NOT_TESTABLE,
    PARTLY,
    REPRODUCED,
    SMALLER,
    UNSURE,
    WORSE,
    claim_word,
    over_seeds,
    seeded_verdicts,
)
from studiolike.experiments import Entry, Experiment, Outcome, Record, core, experiments
from studiolike.experiments.claims import NOT_RUN, Claim, Condition, judge, read_claims
from studiolike.experiments.records import empty

PEOPLE, SMOKE = 24, profile("smoke")
ROWS = {"base": 1.0, "same": 1.001, "slightly worse": 1.2, "much worse": 3.0, "unsure": 1.0, "once": 1.5}


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A folder with a fresh record of an experiment with rows of known errors; "once" has one seed only."""
    one = Experiment(
        "lab", "Which?", {row: {"row": row} for row in ROWS}, nothing, lambda _: {}, "base", ("low_band",), "Invented."
    )
    experiments()
    monkeypatch.setattr(core, "_DECLARED", {"lab": one})
    kept = empty(one, SMOKE)
    kept.subject = list(range(PEOPLE))
    for row, error in ROWS.items():
        for seed in range(1 if row == "once" else 3):
            rng = np.random.default_rng(seed)
            spread = 0.3 if row == "unsure" else 0.004
            values = error + 0.05 * np.sin(np.arange(PEOPLE)) + rng.normal(0, spread, PEOPLE)
            kept.entries.append(
                Entry(
                    row,
                    seed,
                    one.digest(row, seed, SMOKE),
                    {"low_band": values.tolist(), "psnr/holes": (30 - values).tolist()},
                    {"kid": error + 1e-3 * seed},
                    1.0,
                    1.0,
                    0.5,
                    "cpu",
                    "abc",
                    "def",
                    "2",
                    "2026",
                )  # fmt: skip
            )
    kept.write(tmp_path)
    return tmp_path


def nothing(lab, settings, seed) -> Outcome:
    raise AssertionError("a verdict runs nothing")


def claim(*conditions, **more):
    plain = {"id": "c", "claim": "C.", "mark": "F", "where": "here", "chapters": ["ch04"], "experiment": "lab"} | more
    return Claim.of(plain | ({"conditions": conditions} if conditions else {}))


@pytest.mark.parametrize(
    "condition, outcome",
    [
        ({"row": "slightly worse", "in": "low_band", "worse_than": "base"}, HOLDS),
        ({"row": "slightly worse", "in": "psnr/holes", "worse_than": "base"}, HOLDS),
        ({"row": "base", "in": "psnr/holes", "better_than": "slightly worse"}, HOLDS),
        ({"row": "slightly worse", "in": "kid", "worse_than": "base"}, HOLDS),
        ({"row": "slightly worse", "in": "low_band", "better_than": "base"}, FAILS),
        ({"row": "unsure", "in": "low_band", "worse_than": "base"}, UNSURE),
        ({"row": "slightly worse", "in": "low_band", "worse_than": "base", "times": 2}, SMALLER),
        ({"row": "much worse", "in": "low_band", "worse_than": "base", "times": 2}, HOLDS),
        ({"row": "same", "in": "low_band", "like": "base", "within": 0.05}, HOLDS),
        ({"row": "slightly worse", "in": "low_band", "like": "base", "within": 0.05}, FAILS),
        ({"row": "unsure", "in": "low_band", "like": "base", "within": 0.001}, UNSURE),
        ({"row": "base", "in": "low_band", "at_most": 1.1}, HOLDS),
        ({"row": "base", "in": "low_band", "at_most": 0.9}, FAILS),
        ({"row": "base", "in": "low_band", "at_least": 1.0, "at_most": 1.2}, UNSURE),
    ],
)
def test_a_condition_comes_out_as_its_record_says(root, condition, outcome):
    judged = judge(claim(condition), root)
    assert judged.findings[0].outcome == outcome, judged.findings[0].figures
    assert judged.word == claim_word([outcome])


def test_the_word_of_a_claim_follows_from_its_conditions():
    assert claim_word([HOLDS, HOLDS]) == REPRODUCED
    assert claim_word([HOLDS, FAILS]) == claim_word([SMALLER, UNSURE]) == claim_word([SMALLER]) == PARTLY
    assert claim_word([FAILS, UNSURE]) == NOT_REPRODUCED
    assert claim_word([UNSURE, UNSURE]) == CANNOT_TELL
    assert claim_word([]) == NOT_TESTABLE


def test_a_seed_that_says_the_opposite_leaves_a_comparison_untold():
    gaps = np.stack([np.full(20, 1.0), np.full(20, 1.2), np.full(20, -0.1)])
    assert seeded_verdicts({0: gaps}, False)[0].word == CANNOT_TELL
    assert seeded_verdicts({0: np.abs(gaps)}, False)[0].word == WORSE
    assert seeded_verdicts({0: np.abs(gaps)}, True)[0].word == BETTER


def test_people_without_a_value_are_left_out_and_few_people_tell_nothing():
    gaps = np.ones((3, 10))
    gaps[:, 3] = np.nan
    assert seeded_verdicts({0: gaps}, False)[0].word == WORSE
    assert seeded_verdicts({0: gaps[:, :3]}, False)[0].word == CANNOT_TELL


def test_one_number_for_all_people_has_its_seeds_alone():
    near, far = np.array([[1.0], [1.3], [0.1]]), np.array([[1.0], [1.1], [0.9]])
    assert seeded_verdicts({0: near}, False)[0].word == CANNOT_TELL
    assert seeded_verdicts({0: far}, False)[0].word == WORSE
    assert np.isinf(over_seeds([1.0]).high) and over_seeds([1.0, 1.1, 0.9]).low < 0.9


def test_comparisons_of_one_claim_are_corrected_together():
    gaps = {k: np.where(np.arange(8) < 7, 1.0, -0.2)[None].repeat(3, 0) for k in range(6)}
    assert seeded_verdicts({0: gaps[0]}, False)[0].word == WORSE
    assert {told.word for told in seeded_verdicts(gaps, False).values()} == {CANNOT_TELL}


def test_a_stale_record_gives_no_verdict(root, monkeypatch):
    told = claim({"row": "slightly worse", "in": "low_band", "worse_than": "base"})
    assert judge(told, root).word == REPRODUCED
    changed = dataclasses.replace(core.experiment("lab"), settings=lambda _: {"images": 1})
    monkeypatch.setattr(core, "_DECLARED", {"lab": changed})
    with pytest.raises(InputError, match="rests on a stale record, lab .*: studiolike experiment run lab"):
        judge(told, root)
    with pytest.raises(InputError, match="stale"):  # waiting is no excuse for what is there and wrong
        judge(dataclasses.replace(told, awaits="a night"), root)


def test_a_missing_record_or_seed_stops_unless_the_claim_says_what_it_awaits(root, tmp_path):
    told = claim({"row": "once", "in": "low_band", "worse_than": "base"})
    with pytest.raises(InputError, match="too few seeds of once"):
        judge(told, root)
    assert judge(dataclasses.replace(told, awaits="a night"), root).word == NOT_RUN
    with pytest.raises(InputError, match="there is no record"):
        judge(told, tmp_path / "elsewhere")
    assert judge(dataclasses.replace(told, awaits="a night"), tmp_path / "elsewhere").word == NOT_RUN
    with pytest.raises(InputError, match="rows that lab has not: never"):
        judge(claim({"row": "never", "in": "low_band", "worse_than": "base"}), root)


def test_a_claim_that_cannot_be_tested_needs_a_reason_and_no_record(tmp_path):
    plain = {"id": "c", "claim": "C.", "mark": "F", "where": "here", "chapters": ["ch04"]}
    assert judge(Claim.of(plain | {"not_testable": "nobody can."}), tmp_path).word == NOT_TESTABLE
    with pytest.raises(InputError, match="needs an experiment with conditions, or a reason"):
        Claim.of(plain)


@pytest.mark.parametrize(
    "plain",
    [
        {"row": "a", "in": "low_band"},
        {"row": "a", "in": "low_band", "worse_than": "b", "like": "c"},
        {"row": "a", "in": "low_band", "beats": "b"},
        {"row": "a", "worse_than": "b"},
        {"row": "a", "in": "psnr/face", "worse_than": "b", "times": 2},
    ],
)
def test_a_condition_that_says_nothing_or_too_much_is_refused(plain):
    with pytest.raises(InputError):
        Condition.of(plain)


def test_two_claims_of_one_id_are_refused(tmp_path):
    text = "- {id: a, claim: A., mark: F, where: here, chapters: [ch04], not_testable: why.}\n"
    (tmp_path / "claims.yml").write_text(2 * text)
    with pytest.raises(InputError, match="two claims called a"):
        read_claims(tmp_path / "claims.yml")


def test_a_record_keeps_what_it_was_given(root):
    kept = Record.read(root / "lab.json")
    assert kept.known("base") and not kept.known("once") and kept.profile == "smoke"
