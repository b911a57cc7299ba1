"""One rule for better, worse and cannot tell: its p-values, its correction, its words."""

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from studiolike.evaluation import verdict, verdicts
from studiolike.evaluation.bootstrap import Estimate, gap_of_groups
from studiolike.evaluation.verdict import FAILS, HOLDS, UNSURE, holm, sign_flip_p, subject_means, within_limits


def test_the_sign_flip_p_value_is_the_share_of_flips_as_extreme():
    assert sign_flip_p(np.array([1.0, 1.0, 1.0])) == 2 / 8
    assert sign_flip_p(np.array([1.0, 2.0, -3.0])) == 1.0
    assert sign_flip_p(np.array([3.0, 2.0, 1.0, 0.5])) == 2 / 16
    assert sign_flip_p(np.array([])) == 1.0
    many = np.random.default_rng(0).normal(0.1, 1, 40)
    assert sign_flip_p(many) == pytest.approx(ttest_1samp(many, 0).pvalue, abs=0.02)


def test_holm_multiplies_the_smallest_by_all_the_next_by_one_less_and_never_falls():
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "c": 0.06, "b": 0.06})
    assert holm({"a": 0.9, "b": 0.8}) == {"b": 1.0, "a": 1.0}


def test_captures_of_one_subject_count_once_and_what_is_not_finite_not_at_all():
    values, subject = np.array([1.0, 3.0, np.nan, 5.0, np.inf]), np.array([7, 7, 8, 9, 9])
    np.testing.assert_allclose(subject_means(values, subject), [2.0, 5.0])
    # a hundred captures of two people are two people
    assert verdict(np.ones(200), np.arange(200) % 2, True).word == "cannot tell"
    assert verdict(np.ones(200), np.arange(200) % 10, True).word == "better"


def test_the_words_follow_the_direction_that_is_better():
    rng = np.random.default_rng(1)
    up, subject = rng.normal(1, 0.2, 24), np.arange(24) // 2
    assert verdict(up, subject, True).word == "better" and verdict(up, subject, False).word == "worse"
    assert verdict(-up, subject, False).say("wins", "loses") == "wins"
    assert verdict(rng.normal(0, 1, 24), subject, True).say("wins", "loses", "nobody knows") == "nobody knows"
    assert str(verdict(0 * up, subject, True)) == "cannot tell"


def test_many_comparisons_of_nothing_find_nothing_where_single_ones_would():
    rng = np.random.default_rng(2)
    subject = np.arange(20)
    noise = {k: rng.normal(0, 1, 20) for k in range(100)}
    alone = sum(verdict(x, subject, True).word != "cannot tell" for x in noise.values())
    together = verdicts(noise, subject, True)
    assert alone >= 1 and all(v.word == "cannot tell" for v in together.values())
    assert together[0].comparisons == 100
    real = verdicts(noise | {"real": rng.normal(2, 0.5, 20)}, subject, True)["real"]
    assert real.word == "better" and real.p < 0.05


def test_a_limit_holds_or_fails_only_if_the_whole_interval_does():
    found = Estimate(1.0, 0.9, 1.1, 3, 3)
    assert within_limits(found, at_most=1.1) == within_limits(found, at_least=0.9) == HOLDS
    assert within_limits(found, at_most=0.8) == within_limits(found, at_least=1.2) == FAILS
    assert within_limits(found, at_most=1.05) == within_limits(found, at_least=0.8, at_most=1.0) == UNSURE


def test_a_gap_between_groups_that_noise_alone_made_is_not_told_from_none():
    rng, group = np.random.default_rng(0), np.arange(30) % 3
    noise = gap_of_groups(1 + rng.uniform(-0.5, 0.5, 30), group)
    assert noise.low < 1 < noise.mean < noise.high
    real = gap_of_groups(np.where(group == 1, 2.0, 1.0) + rng.normal(0, 0.05, 30), group)
    assert 1.9 < real.low < real.mean < real.high < 2.1
    assert np.isnan(gap_of_groups([np.nan], [0]).mean)
