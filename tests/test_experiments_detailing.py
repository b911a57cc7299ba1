"""Chapter 5's laboratory: light made by hand, what fusion leaks, and verdicts on the detailer."""

import inspect

import numpy as np
import pytest
import torch
from fakes import FakeSet

from studiolike import config
from studiolike.chapters import detailing as drawn
from studiolike.chapters import detailing_worth, figures
from studiolike.evaluation import verdicts
from studiolike.experiments import detailing
from studiolike.pipeline import StudioPipeline


@pytest.fixture(scope="module")
def lab():
    data = FakeSet(resolution=256)
    data.manifest["spec"], data.seeds = {"lightings": 3}, torch.as_tensor(data.seeds)
    return detailing.DetailLaboratory(config.profile("smoke"), data, captures=2)


@pytest.fixture(scope="module")
def scene():
    return detailing.hand_lit(FakeSet(resolution=64), people=2)


def test_in_smooth_light_the_log_gradient_is_the_albedos(scene, shown):
    found = scene.agreement()
    assert found["smooth light", "log"] > found["smooth light", "raw"] and found["smooth light", "log"] > 0.98
    assert found["hard light", "log"] < found["smooth light", "log"]  # the shadow's edge is in both
    told = drawn.agreement(scene)
    assert told["log_smooth"] == found["smooth light", "log"] and told["log_wins"].startswith("under ")
    figures.show(drawn.gradients_figure(scene), "gradients")


def test_a_correlation_of_a_field_with_itself_is_one_where_it_counts(scene):
    field, mask = detailing.field_of(scene.albedo), torch.ones_like(scene.face)
    assert torch.allclose(detailing.correlation(field, 3 * field, mask), torch.ones(2), atol=1e-5)
    half = mask.clone()
    half[..., :32] = 0
    assert torch.allclose(detailing.correlation(field, field + 9 * (1 - half), half), torch.ones(2), atol=1e-3)


def test_a_texture_that_lies_a_texel_aside_is_like_the_truth_after_a_blur_and_found_where_it_lies(lab, monkeypatch):
    monkeypatch.setattr(lab, "truth", torch.rand(len(lab.truth), 3, 256, 256, generator=torch.Generator().manual_seed(0)))
    mask, moved = lab.trust * lab.counts, lab.truth.roll((1, -2), (2, 3))
    apart = detailing.likeness(moved, lab.truth, mask, 0).mean()
    assert apart + 0.05 < detailing.likeness(moved, lab.truth, mask, 3 / 256).mean()
    here, best, far = lab.aside(moved)
    assert torch.allclose(here.mean(), apart, atol=1e-5) and (best > 0.99).all() and torch.allclose(far, torch.tensor(5.0).sqrt())
    told = drawn.registered(lab)
    assert 0 <= told["aside"] <= 2 and (told["sharp_word"] == "behind") == (told["sharp_fusion"] < told["sharp_g_studio"])


def test_the_level_of_every_capture_of_the_split_stands_beside_its_true_one(lab):
    level, true, people = lab.exposed()
    assert len(level) == len(true) == len(people) > 0 and np.isfinite(level).all()
    for one in np.unique(people):
        assert np.ptp(true[people == one]) < 1e-6
    rng = np.random.default_rng(0)
    who, wide = np.repeat(np.arange(50), 2), np.repeat(rng.normal(size=50), 2)
    assert drawn._metered(0.3 * wide, wide, who)["metered_slope"] == pytest.approx(0.3)
    assert drawn._metered(0.3 * wide, wide, who)["metered_word"].startswith("tells a good part")
    assert drawn._metered(rng.normal(size=100), wide, who)["metered_word"] == "hardly tells"


def test_neither_exposure_nor_colour_passes_through_fusion(lab, shown):
    found = lab.colour_passed(lab.fused, slice(0, 1))
    assert set(found) == set(detailing.DISTURBED)
    assert all(fused < given / 2 for given, fused, _ in found.values())
    assert 0 < drawn.colour_passed(found)["passed"] < 50


def test_the_masks_of_a_capture_do_not_overlap_where_they_must_not(lab):
    assert (lab.rims * (1 - lab.seen)).max() == 0 and (lab.hidden * lab.seen).max() == 0
    assert 0 < lab.rims.sum() < lab.seen.sum()


def test_results_are_scored_and_judged_in_every_metric(lab, shown):
    found = detailing.scores(lab, {"fusion": lab.fused, "unguided": lab.enlarged, "guided": lab.truth})
    assert np.nanmean(found["guided"]["identity"]) == pytest.approx(1, abs=1e-4)
    assert np.nanmean(found["guided"]["perceptual"]) < 1e-6 < np.nanmean(found["fusion"]["perceptual"])
    judged = detailing.judged(found, "guided", lab.people)
    assert set(judged) == {(rival, metric) for rival in ("fusion", "unguided") for metric in detailing.METRICS}
    assert {told.word for told in judged.values()} == {"cannot tell"}  # one person is nobody
    drawn.worth(found, judged, 256)
    assert len(shown) == 2 and {"fitted PSNR ↑", "low-band error ↓", "perceptual@256 ↓", "perceptual@256 (holes) ↓"} <= set(
        shown[0][0]
    )
    told = drawn.told(judged, found)
    assert told["mean_guided"] < told["mean_fusion"] and told["last_step"] == "cannot tell"


@pytest.mark.parametrize("sign, word, earns", [(1, "better", 3), (-1, "worse", 0)])
def test_whether_the_detailer_earns_its_place_is_told_beside_the_default(sign, word, earns, monkeypatch):
    people = np.arange(40)
    higher = {("fusion", metric): up for metric, (up, _) in detailing.METRICS.items()}
    noise = np.random.default_rng(0).normal(1, 0.1, 40)
    judged = verdicts({key: sign * (noise if up else -noise) for key, up in higher.items()}, people, higher)
    assert {told.word for told in judged.values()} == {word}
    told = drawn.told(judged, {})
    steps = inspect.signature(StudioPipeline.__call__).parameters["steps"].default
    assert told["earns"] == earns and told["asked"] == 3 and (str(steps) in told["default"] or steps == 0)
    assert told["default_fits"].startswith("as this") == (bool(steps) == (earns == 3))
    monkeypatch.setattr(detailing_worth, "default_steps", lambda: 0 if steps else 4)
    assert drawn.told(judged, {})["default_fits"] != told["default_fits"]


def test_what_the_ledger_says_of_the_detailer_stands_beside_these_results(lab):
    told = drawn.recorded(lab, {"fusion": lab.fused, "guided": lab.truth})
    assert told["ledger_people"] > 2 and told["ledger_seeds"] >= 3 and 0 <= told["ledger_earns"] <= 3
    assert told["face_guided"] == pytest.approx(0, abs=1e-5) and told["taken"] == pytest.approx(100)
    assert drawn.recorded(lab, {"fusion": lab.fused, "guided": lab.fused})["taken"] == 0


def test_the_chain_says_what_it_does_by_default(lab, shown):
    from studiolike import weights

    told = drawn.cast(lab, weights.exemplars())
    given = inspect.signature(StudioPipeline.__call__).parameters
    assert told["detailer_on"].startswith("on") == bool(given["steps"].default)
    assert (told["borrow_on"] == "on") == given["borrow"].default and len(shown) == 1


def test_the_detailer_is_shown_at_work(lab, shown):
    told = drawn.inputs(lab) | drawn.schedule(lab) | drawn.samples(lab, seeds=2)
    assert told["sampled"] >= 2  # a single step samples nothing
    assert told["left_over"] > 0 and told["taught"] < told["taught_captures"]
    assert all(np.isfinite(value) for value in told.values() if not isinstance(value, str))
    results = {"phone": lab.phone, "guided": lab.draw()}
    figures.show(drawn.zoom_figure(lab, results), "zoomed")
    figures.show(drawn.fusion_figure(lab), "fused")
    figures.show(drawn.steps_figure({1: (0.2, 0.9), 2: (0.1, 0.8)}), "steps")
    assert len(shown) == 7


def test_what_leaks_and_what_is_repaired_is_measured_on_the_same_heads(lab, shown):
    scene = detailing.hand_lit(lab.data, people=1)
    told = drawn.leaks(lab, scene)
    assert told["fused_hard"] > told["fused_smooth"] and told["leak_edges"] > 1
    assert told["fused_flat"] < told["fused_hard"] and told["spoilt_most"] > 0 and 0 < told["broad"] < 150 and len(shown) == 2
    assert not set(told["mended"].split("; ")) & set(told["spoilt"].split("; ")) - {"nowhere"}  # no place is in both lists
