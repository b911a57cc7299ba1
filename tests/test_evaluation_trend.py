"""Whether a measure changes with a cause is asked within people."""

import numpy as np
import pytest

from studiolike.evaluation import trend

SUBJECT = np.repeat(np.arange(12), 2)
LIGHT = np.tile([0.2, 0.6], 12)


def test_a_cause_that_makes_everybody_worse_is_found_and_its_slope_is_told():
    own = np.random.default_rng(0).normal(25, 5, 12)[SUBJECT]  # people differ far more than lights
    told = trend(LIGHT, own - 4 * LIGHT, SUBJECT)
    assert told.word == "worse" and told.difference.mean == pytest.approx(-4)
    assert trend(LIGHT, own - 4 * LIGHT, SUBJECT, higher=False).word == "better"


def test_what_differs_between_people_alone_is_no_trend():
    people = np.arange(12.0)[SUBJECT]
    noise = np.random.default_rng(1).normal(0, 1, 24)
    assert trend(people + LIGHT, -3 * people + noise, SUBJECT).word == "cannot tell"


def test_people_with_one_capture_or_one_light_say_nothing():
    assert trend(LIGHT, LIGHT, np.arange(24)).word == "cannot tell"
    assert trend(np.ones(24), LIGHT, SUBJECT).word == "cannot tell"


def test_captures_whose_light_hardly_differs_weigh_little():
    light, values = LIGHT.copy(), -4 * LIGHT
    light[1], values[1] = 0.2 + 1e-6, 5.0  # a slope of millions, if it were one
    told = trend(light, values, SUBJECT)
    assert told.word == "worse" and told.difference.mean == pytest.approx(-4, abs=1e-3)


def test_what_could_not_be_measured_is_left_out():
    values = -4 * LIGHT
    values[0] = np.nan
    assert trend(LIGHT, values, SUBJECT).difference.mean == pytest.approx(-4)
