"""Chapter 6's laboratory: the final examination, one head under many lights, a shadow in doses."""

import numpy as np
import pytest
import torch
from fakes import FakeSet

from studiolike import config, recipes, weights
from studiolike.chapters import examination as drawn
from studiolike.chapters import figures
from studiolike.detail.exemplars import closed_form
from studiolike.evaluation import Estimate, Verdict
from studiolike.evaluation.verdict import BETTER, CANNOT_TELL, FAILS, HOLDS, UNSURE, WORSE
from studiolike.experiments.chain import RANKS
from studiolike.experiments.examination import DOSES, OFF, Examination


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


def test_fusion_is_the_chain_as_the_command_line_runs_it_without_the_detailer(exam, table):
    texture, visibility = exam.data.phone_batch(exam.rows)
    studio = torch.cat([out.studio_lr for out in exam._kept])
    shown = closed_form(texture, visibility, studio, weights.exemplars())
    default = exam.pipes["few"](texture, visibility, resolution=exam.data.resolution).texture
    assert torch.allclose(shown, default, atol=1e-5)
    bare = closed_form(texture, visibility, studio, None)
    assert not torch.allclose(shown, bare, atol=1e-3)  # what nobody saw is lent in both, so that the detailer alone differs


def test_asymmetry_is_judged_by_its_distance_to_the_truth_s_own(exam, table):
    own = exam.truth.values["truth"]["asymmetry"]
    assert (own > 0).all() and np.allclose(exam.truth.values["truth"]["faceid_cosine"], 1, atol=1e-5)
    for name in table.methods:
        assert np.allclose(table.values[name][OFF], np.abs(table.values[name]["asymmetry"] - own))
    assert OFF in drawn.METRICS and "asymmetry" not in drawn.METRICS
    assert len(exam.strangers) == len(exam.people) * (len(exam.people) - 1) / 2 and exam.strangers.max() < 1


def test_the_tables_and_figures_of_the_examination_are_drawn(exam, table, shown, monkeypatch):
    tables = []
    monkeypatch.setattr(drawn, "table_of", lambda head, rows, note="": tables.append([head, *rows]))
    judged = table.verdicts("chain", metrics=list(drawn.METRICS))
    told = drawn.tables(exam, table) | drawn.told(table, judged) | drawn.cases(exam, table) | drawn.tones(table)
    assert all(len({len(line) for line in lines}) == 1 for lines in tables) and tables[1][-1][0] == "*the truth itself*"
    assert [line[0] for line in tables[2][1:]] == ["best", "median", "worst"]
    assert told["promised"] == 8 and told["kept"] == 0  # with so few people nothing can be told
    assert told["simple"] == 40 == told["simple_open"] and told["gain_says"] == "not to be told from"
    assert told["step_fusion"] == told["step_detailer"] == told["step_open"] == "not to be told apart in all measures"
    assert told["best"] >= told["median"] >= told["worst"] and told["gap"].startswith("1.")
    figures.show(drawn.dots_figure(exam, table), "dots")
    told = drawn.severity(exam, table)
    assert told["trend_limit"] == "" and told["curve_seeds"] == 3 and told["curve_people"] > 2
    assert len(shown) == 5


def test_each_method_has_a_colour_of_its_own():
    colours = {look["color"] for look in drawn.LOOK.values()}
    assert len(colours) == len(drawn.LOOK) and figures.COLOURS["truth"] not in colours


def test_what_is_said_of_a_step_leaves_out_no_measure():
    words = dict.fromkeys(drawn.METRICS, BETTER) | {"colour": WORSE, OFF: CANNOT_TELL}
    nothing = Estimate(0.0, 0.0, 0.0, 1, 1)
    judged = {("rival", metric): Verdict(word, nothing, 0.5, 1) for metric, word in words.items()}
    said = drawn.outcome(judged, "rival")
    assert all(name in said for name in drawn.METRICS.values())
    assert said.endswith("; worse in colour error; not to be told apart in asymmetry, distance to the truth's")
    assert drawn.outcome(judged, "rival", turned=True).startswith("better in colour error; worse in PSNR (observed), ")


def test_the_head_that_is_turned_is_the_median_capture_s(exam, table):
    places = drawn.chosen(table)
    score = table.values["chain"]["psnr/face"]
    assert score[places["best"]] == score.max() and score[places["worst"]] == score.min()
    assert (score > score[places["median"]]).sum() == len(score) // 2
    mesh, skins = exam.portrait(places["median"], grid=16)
    assert list(skins) == ["phone", "chain", "truth"] and torch.equal(skins["chain"], exam.result[places["median"]])
    assert drawn.close_figure(mesh, skins).axes


def test_one_subject_under_lights_and_in_a_shadow(exam, table, shown):
    seen = exam.many_lights(2)
    assert seen.left["phone"] == pytest.approx(1) and seen.severity[0] <= seen.severity[1]
    assert all(0 <= share <= 1 + 1e-5 for share in seen.level.values())
    told = drawn.lights(seen, table, table.verdicts("chain", metrics=list(drawn.METRICS)))
    assert told["one_chain"] == pytest.approx(100 * seen.left["chain"]) and told["all_less"] == "they cannot be told apart"
    assert told["one_less"] == ("chain" if seen.left["chain"] < seen.left["quotient"] else "quotient")
    shadow = exam.shadow()
    assert len(shadow.answers) == len(DOSES) and shadow.psnr[0].shape == (len(exam.people), len(DOSES))
    assert (shadow.asymmetry[0].diff(dim=1) > 0).all()  # the stronger the shadow, the more uneven the input
    assert (shadow.psnr[1] >= shadow.psnr[0] - 0.2).all()  # a fitted gain does not make it worse, but for clipping
    told = drawn.shadow(shadow)
    assert "than these people can tell" in told["shadow_fitted"]
    assert told["shadow_limit"] == ""  # a limit that could not be told is not listed


def test_an_aim_is_met_only_if_the_whole_interval_meets_it(table):
    assert drawn.aim(HOLDS, HOLDS) == "is met" and drawn.aim(FAILS, FAILS) == "is not met"
    assert drawn.aim(HOLDS, UNSURE) == "is met in part" and drawn.aim(UNSURE) == "is neither clearly met nor clearly missed"
    assert drawn.tones(table)["gap_met"] in drawn.AIM.values()


def test_the_curve_of_severity_compares_every_rank_with_the_same_person_s_most_even_light():
    figure = drawn.severity_curve()
    for ax in figure.axes:
        lines = [line for line in ax.lines if len(line.get_xdata()) == len(RANKS) and line.get_linestyle() != "None"]
        assert len(lines) == 2 and all((np.diff(line.get_xdata()) > 0).all() for line in lines)
        assert all(line.get_ydata()[0] == 0 and (line.get_ydata()[1:] != 0).all() for line in lines)
    assert "severity" in figure.axes[0].get_xlabel()
