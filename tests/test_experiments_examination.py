"""Chapter 6's laboratory: the final examination, one head under many lights, a shadow in doses."""

import numpy as np
import pytest
import torch
from fakes import FakeSet

from studiolike import avatar, config, recipes
from studiolike.chapters import examination as drawn
from studiolike.chapters import figures
from studiolike.evaluation.verdict import FAILS, HOLDS, UNSURE
from studiolike.experiments.chain import RANKS
from studiolike.experiments.examination import DOSES, Examination


@pytest.fixture(scope="module")
def exam():
    data = FakeSet(resolution=128, lightings=2)
    data.seeds, data.tone = torch.arange(12) + 10**12, torch.linspace(0, 1, 12)
    exam = Examination(config.profile("smoke"), data)
    exam.rows = exam.rows[:4]
    return exam


@pytest.fixture(scope="module")
def table(exam, tmp_path_factory):
    return exam.run_all(tmp_path_factory.mktemp("run") / "evaluation.json")


def test_a_subject_that_somebody_trained_on_is_noticed(exam):
    assert exam.nobody_looked()
    seeds = exam.data.seeds
    known = recipes.set_spec(exam.settings.data, detailed=False).seeds()
    exam.data.seeds = torch.cat([seeds[:-1], known[:1]])
    assert not exam.nobody_looked()
    exam.data.seeds = seeds


def test_every_method_answers_for_every_capture(exam, table):
    assert set(drawn.LOOK) == set(table.methods) and len(table.rows) == 4
    assert exam.result.shape == (4, 3, 128, 128)
    assert (table.values["fusion"]["psnr/face"] != table.values["chain"]["psnr/face"]).any()


def test_the_tables_and_figures_of_the_examination_are_drawn(exam, table, shown):
    judged = table.verdicts("chain", metrics=list(drawn.METRICS))
    told = drawn.told(judged) | drawn.cases(exam, table) | drawn.tones(table)
    assert told["promised"] == 8 and told["kept"] == 0  # with so few people nothing can be told
    assert told["best"] >= told["median"] >= told["worst"] and told["gap"] >= 1
    assert told["gap_met"] == ("is met" if told["gap"] <= drawn.AIM_GAP else "is not met")
    figures.show(drawn.dots_figure(table), "dots")
    figures.show(drawn.severity_figure(table), "severity")
    assert len(shown) == 4


def test_one_subject_under_lights_and_in_a_shadow(exam, table, shown):
    seen = exam.many_lights(2)
    assert seen.left["phone"] == pytest.approx(1) and seen.severity[0] <= seen.severity[1]
    assert drawn.lights(seen, table)["one_chain"] == pytest.approx(100 * seen.left["chain"])
    shadow = exam.shadow(seen.truth)
    assert len(shadow.answers) == len(DOSES)
    assert (shadow.asymmetry[0].diff() > 0).all()  # the stronger the shadow, the more uneven the input
    told = drawn.shadow(shadow)
    assert told["shadow_change"].endswith(" dB")
    skins = {"chain": exam.result[0], "truth": seen.truth}
    assert drawn.close_figure(avatar.head_mesh(grid=16), skins).axes


def test_an_aim_is_met_only_if_the_whole_interval_meets_it(table):
    assert drawn.aim(HOLDS, HOLDS) == "is met" and drawn.aim(FAILS, FAILS) == "is not met"
    assert drawn.aim(HOLDS, UNSURE) == "is met in part" and drawn.aim(UNSURE) == "is neither clearly met nor clearly missed"
    assert drawn.tones(table)["gap_met"] in drawn.AIM.values()


def test_the_curve_of_severity_has_every_rank_of_the_record_under_both_protocols():
    figure = drawn.severity_curve()
    for ax in figure.axes:
        lines = [line for line in ax.lines if len(line.get_xdata()) == len(RANKS) and line.get_linestyle() != "None"]
        assert len(lines) == 2 and all((np.diff(line.get_xdata()) > 0).all() for line in lines)
    assert "severity" in figure.axes[0].get_xlabel()
