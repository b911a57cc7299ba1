"""Baselines, and the table that compares methods."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fakes import FakeSet

from studiolike import recipes
from studiolike.config import profile
from studiolike.errors import InputError
from studiolike.evaluation import (
    EvaluationTable,
    StudioReference,
    bound,
    chain_quality,
    colour_transfer,
    evaluate,
    mean_studio,
    nothing,
    quality_lines,
    quotient,
    region,
)
from studiolike.evaluation.table import METRICS
from studiolike.evaluation.verdict import BETTER
from studiolike.features import IdentityNet
from studiolike.image import linear_to_srgb, srgb_to_linear
from studiolike.weights import Choice

SIDE = 32


def beats(table, method, rival, metric):
    return table.verdicts(method, [rival], [metric])[rival, metric].word == BETTER


@pytest.fixture(scope="module")
def data() -> FakeSet:
    return FakeSet(subjects=60, lightings=3, resolution=SIDE)


@pytest.fixture(scope="module")
def net() -> IdentityNet:
    return IdentityNet(resolution=SIDE, widths=(8, 12, 16, 24), embedding=16, role="judge").eval()


@pytest.fixture(scope="module")
def reference(data) -> StudioReference:
    return StudioReference.from_set(data)


@pytest.fixture(scope="module")
def table(data, net, reference) -> EvaluationTable:
    def oracle(texture, visibility):  # a perfect method: finds the studio texture that this capture is of
        truth = data.studio_batch(data.subjects("test"))
        error = (texture[:, None] - truth[None]).square() * visibility[:, None]
        return truth[error.mean((2, 3, 4)).argmin(1)]

    return evaluate(bound(reference) | {"oracle": oracle}, data, data.captures("test"), eval_net=net, batch=4)


def textures(seed: int = 0) -> torch.Tensor:
    return 0.2 + 0.5 * torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(seed)).repeat_interleave(
        4, 2
    ).repeat_interleave(4, 3)


def test_the_reference_is_the_mean_in_linear_light(data, reference):
    studio = data.studio_batch(data.subjects("studio"))
    torch.testing.assert_close(srgb_to_linear(reference.mean), srgb_to_linear(studio).mean(0), atol=1e-5, rtol=0)
    assert reference.like(torch.zeros(2, 3, 16, 16)).shape == (1, 3, 16, 16)


def test_doing_nothing_does_nothing(reference):
    assert torch.equal(nothing(textures(), torch.ones(2, 1, SIDE, SIDE), reference), textures())


def test_every_baseline_gives_the_reference_back_for_the_reference(reference):
    mean, visibility = reference.mean[None], torch.ones(1, 1, SIDE, SIDE)
    for method in (nothing, mean_studio, colour_transfer, quotient):
        torch.testing.assert_close(method(mean, visibility, reference), mean, atol=5e-3, rtol=0)


def test_colour_transfer_undoes_a_change_of_exposure_and_ignores_holes(reference):
    mean, visibility = reference.mean[None], torch.ones(1, 1, SIDE, SIDE)
    visibility[..., 20:] = 0
    dark = torch.where(visibility > 0, mean * 0.7, torch.zeros(()))
    result = colour_transfer(dark, visibility, reference)
    seen = visibility.expand_as(mean) > 0
    assert (result - mean)[seen].abs().mean() < 0.25 * (dark - mean)[seen].abs().mean()
    garbage = torch.where(visibility > 0, dark, torch.ones(()))
    torch.testing.assert_close(colour_transfer(garbage, visibility, reference), result)


def test_the_quotient_removes_a_smooth_light_keeps_detail_and_fills_holes(reference):
    visibility = torch.ones(1, 1, SIDE, SIDE)
    visibility[..., 26:] = 0
    gain = torch.exp(0.5 * torch.sin(torch.linspace(0, 2 * torch.pi, SIDE)))
    light = linear_to_srgb((srgb_to_linear(textures()[:1] * 0.6) * gain).clamp(0, 1))
    even, lit = (quotient(x, visibility, reference, sigma=0.05) for x in (textures()[:1] * 0.6, light))
    seen = (visibility > 0).expand_as(lit)
    assert (even - lit)[seen].abs().mean() < 0.2 * (textures()[:1] * 0.6 - light)[seen].abs().mean()
    torch.testing.assert_close(lit[..., 26:], reference.mean[None][..., 26:])
    detail = torch.corrcoef(torch.stack([lit[..., :20].flatten(), textures()[:1, :, :, :20].flatten()]))[0, 1]
    assert detail > 0.3


def test_regions_follow_visibility_or_layout():
    visibility = torch.rand(2, 1, SIDE, SIDE)
    torch.testing.assert_close(region("observed", visibility) + region("holes", visibility), torch.ones_like(visibility))
    assert region("face", visibility).shape == visibility.shape
    with pytest.raises(InputError, match="unknown region"):
        region("tail", visibility)


def test_the_table_holds_one_number_per_capture_and_the_perfect_method_wins(table, data):
    n = len(data.captures("test"))
    for method in table.methods:
        for metric in table.metrics:
            assert table.values[method][metric].shape == (n,)
            assert metric.split("/")[0] in METRICS
    for metric in ("perceptual/face", "faceid_cosine", "colour", "ssim/holes"):
        assert beats(table, "oracle", "nothing", metric) and not beats(table, "nothing", "oracle", metric)
    assert table.kid.keys() == set(table.methods)
    assert np.isposinf(table.values["oracle"]["psnr/face"]).any()


def test_the_quotient_beats_nothing_and_lowers_the_variance_over_lights(table):
    gain = table.verdicts("quotient", ["nothing"], ["psnr/holes"])["nothing", "psnr/holes"]
    assert gain.difference.low > 0
    assert table.estimate("nothing", "variance_ratio").mean == pytest.approx(1, abs=1e-3)
    assert table.estimate("quotient", "variance_ratio").mean < 0.7
    assert table.estimate("quotient", "variance_ratio").n == len(np.unique(table.subject))


def test_regions_do_not_leak_into_each_other(data, net):
    rows = data.captures("test")[:4]

    def right_where_seen(texture, visibility):
        truth = data.studio_batch(data.subject[rows])
        return torch.where(visibility > 0, truth, torch.zeros(()))

    result = evaluate({"half": right_where_seen}, data, rows, eval_net=net).values["half"]
    assert np.isposinf(result["psnr/observed"]).all() and (result["psnr/holes"] < 20).all()
    assert (result["perceptual/observed"] == 0).all() and (result["perceptual/holes"] > 1e-3).all()


def test_the_batch_size_changes_nothing(table, data, net, reference):
    whole = evaluate(bound(reference), data, data.captures("test"), eval_net=net, batch=64)
    for metric in set(table.metrics) - {"seconds"}:
        np.testing.assert_allclose(whole.values["quotient"][metric], table.values["quotient"][metric], rtol=2e-3, atol=1e-4)
    assert whole.kid["quotient"].mean == pytest.approx(table.kid["quotient"].mean, rel=1e-2)


def test_outputs_of_another_side_are_compared_at_the_asked_resolution(data, net):
    rows = data.captures("test")[:3]
    half = lambda texture, visibility: torch.nn.functional.avg_pool2d(texture, 2)  # noqa: E731
    result = evaluate({"half": half}, data, rows, eval_net=net, resolution=64)
    assert result.resolution == 64 and np.isfinite(result.values["half"]["psnr/observed"]).all()


def test_reading_back_gives_the_same_table_and_names_the_networks(table, net, tmp_path):
    again = EvaluationTable.from_json(table.to_json(tmp_path / "table.json"))
    for field in dataclasses.fields(table):
        a, b = getattr(table, field.name), getattr(again, field.name)
        if field.name == "values":
            for method in a:
                for metric in a[method]:
                    np.testing.assert_array_equal(a[method][metric], b[method][metric])
        elif isinstance(a, np.ndarray):
            np.testing.assert_array_equal(a, b)
        else:
            assert a == b
    assert again.networks["perceptual"] == f"LPIPS-form/EfficientNet-Lite0@{SIDE}" and "judge" in again.networks["faceid"]
    (tmp_path / "broken.json").write_text("{}")
    with pytest.raises(InputError, match="not an evaluation table"):
        EvaluationTable.from_json(tmp_path / "broken.json")


def test_the_markdown_names_methods_metrics_intervals_and_networks(table, net):
    text = table.markdown(["psnr/face", "perceptual/face"])
    head, rule, *lines = text.splitlines()
    assert head == "| method | PSNR (face) ↑ | perceptual@32 (face) ↓ | KID@32 ↓ |" and rule.count("---") == 4
    assert len([line for line in lines if line.startswith("|")]) == 5
    assert "**" in text and "[" in text and net.name in text and "27 captures of 9 subjects" in text
    assert f"identity cosine: {net.name}" in text and "faceid" not in text  # FaceID is the paper's measure, not ours


def test_a_table_shows_the_fitted_psnr_and_the_low_band_unless_other_columns_are_asked_for(table):
    head = table.markdown().splitlines()[0]
    assert all(f" {name} " in head for name in ("PSNR (observed)", "PSNR after a gain fit (observed)", "perceptual@32 (holes)"))
    assert " low-band error ↓ " in head
    assert table.estimate("nothing", "psnr_fitted/face").mean > table.estimate("nothing", "psnr/face").mean + 1
    assert beats(table, "oracle", "nothing", "low_band")


def test_the_table_of_verdicts_says_how_many_comparisons_were_corrected_and_how(table):
    judged = table.verdicts("oracle", ["nothing"], ["colour", "perceptual/face"])
    assert {v.word for v in judged.values()} == {"better"} and {v.comparisons for v in judged.values()} == {2}
    text = table.versus("oracle", metrics=["colour", "perceptual/face"])
    assert "the 8 comparisons" in text and "Holm" in text and "**better** (" in text
    assert "| perceptual@32 (face) |" in text and "better" not in table.versus("oracle")  # nine people cannot tell forty things
    assert text.splitlines()[0] == "| oracle is … than | nothing | mean_studio | colour_transfer | quotient |"


def test_the_table_of_tones_shows_every_group_and_the_gap(table):
    head, _, first, *_ = table.tones().splitlines()
    assert head == "| colour | tone 1 | tone 2 | tone 3 | worst ÷ best |"
    assert first.endswith(f" {table.tone_gap('nothing'):.2f} |")


def test_the_first_and_the_last_of_a_ranking_are_the_extremes_of_the_metric(table):
    column = table.values["nothing"]["colour"]
    assert table.ranked("nothing", "colour")[[0, -1]].tolist() == [column.argmin(), column.argmax()]
    assert table.ranked("nothing", "ssim/face")[0] == table.values["nothing"]["ssim/face"].argmax()


def test_the_interval_of_the_tone_gap_is_around_the_gap(table):
    found = table.tone_gap_estimate("nothing")
    assert found.mean == pytest.approx(table.tone_gap("nothing")) and found.low <= found.mean <= found.high


def test_groups_by_severity_and_tone_cover_all_captures_once(table):
    for groups in (table.by_severity("nothing", "colour"), table.by_tone("nothing", "colour")):
        assert 1 < len(groups) <= 3 and sum(e.n for e in groups.values()) == len(table.rows)
    means = [e.mean for e in table.by_tone("nothing", "colour").values()]
    assert table.tone_gap("nothing") == pytest.approx(max(means) / min(means))


def test_what_cannot_be_evaluated_is_refused_with_a_reason(table, data, net):
    rows = data.captures("test")[:2]
    with pytest.raises(InputError, match="nothing to evaluate"):
        evaluate({}, data, rows, eval_net=net)
    with pytest.raises(InputError, match="reference subjects"):
        evaluate({"a": lambda t, v: t}, data, rows, eval_net=net, reference_subjects=data.subjects("test"))
    with pytest.raises(InputError, match="'a' gave"):
        evaluate({"a": lambda t, v: v}, data, rows, eval_net=net)
    with pytest.raises(InputError, match="not finite"):
        evaluate({"a": lambda t, v: t * float("nan")}, data, rows, eval_net=net)
    with pytest.raises(InputError, match="methods: nothing"):
        table.estimate("nobody", "colour")


def test_a_short_look_agrees_with_the_whole_evaluation_and_reads_the_validation_split(data, net, reference):
    methods = bound(reference)
    seen = []

    def chain(texture, visibility):
        seen.append(len(texture))
        return {name: methods[name](texture, visibility) for name in ("quotient", "mean_studio")}

    quick = chain_quality(chain, data, batch=4)
    rows = data.captures("val")
    assert sum(seen) == len(rows)
    whole = evaluate(methods, data, rows, eval_net=net, reference_subjects=data.subjects("test"))
    pairs = {
        "psnr": "psnr/observed",
        "psnr_fitted": "psnr_fitted/observed",
        "low_band": "low_band",
        "perceptual@32": "perceptual/observed",
    }
    for name, method in (("input", "nothing"), ("quotient", "quotient"), ("mean_studio", "mean_studio")):
        for short, full in pairs.items():
            assert quick[name][short].mean == pytest.approx(whole.estimate(method, full).mean, rel=1e-3)
    assert quick["input"]["variance_ratio"].mean == pytest.approx(1) and quick["mean_studio"]["variance_ratio"].mean < 1e-6
    assert len(quality_lines(quick).splitlines()) == 4 and "perceptual@32" in quality_lines(quick)
    with pytest.raises(InputError, match="no capture rows"):
        chain_quality(chain, data, [])


def test_the_chain_is_judged_at_the_size_that_its_detailer_was_trained_at(data, net, monkeypatch, tmp_path):
    asked = []

    class Far(torch.nn.Module):
        """A distance that is 7 wherever something was seen."""

        name = "far"

        def forward(self, a, b):
            asked.append(a.shape[-1])
            return torch.full((len(a),), 7.0)

    class Chain:
        """Changes nothing, with a detailer for smaller textures than any profile has."""

        device = torch.device("cpu")
        choice = Choice("mine", "few")
        detailer = SimpleNamespace(config=SimpleNamespace(resolution=SIDE))

        def __call__(self, texture, visibility, resolution, **settings):
            asked.append(resolution)
            return SimpleNamespace(texture=texture)

    def make_set(config, *args, **options):
        asked.append(config.detail_resolution)
        return data

    monkeypatch.setattr("studiolike.recipes.evaluation.make_set", make_set)
    monkeypatch.setattr("studiolike.recipes.evaluation.weights", SimpleNamespace(load=lambda name: net))
    monkeypatch.setattr("studiolike.features.lpips_where_present", Far)
    table = recipes.evaluate_chain(profile("gpu"), tmp_path, Chain(), split="val", subjects=2, progress=False)
    assert set(asked) == {SIDE} and len(asked) > 1
    assert len(table.values["chain"]["psnr/observed"]) == 2 * 3
    assert (table.values["chain"]["lpips/observed"] >= 7).all() and "lpips: far@" in table.caption()
    assert "Weights of the chain: mine, protocol few." in table.caption()
    again = EvaluationTable.from_json(table.to_json(tmp_path / "table.json"))
    assert (again.weights, again.protocol) == ("mine", "few") and again.caption() == table.caption()


def test_a_table_of_one_person_has_dashes_where_there_is_no_interval(data, net):
    table = evaluate(
        {"nothing": lambda t, v: t, "mean": lambda t, v: t.mean((2, 3), keepdim=True).expand_as(t)},
        data,
        data.captures("val")[:2],
        eval_net=net,
        reference_subjects=torch.zeros(0),
    )
    for text in (table.markdown(), table.versus("mean"), table.tones()):
        assert "inf" not in text and "nan" not in text
    assert "[–]" in table.markdown() and "[–]" in table.tones()
