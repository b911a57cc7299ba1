"""Records of experiments: filled row by row, kept, taken up again, and known to be stale when the code declares otherwise."""

import dataclasses
import json
import math
from types import SimpleNamespace

import numpy as np
import pytest

from studiolike.cli import main
from studiolike.config import profile
from studiolike.errors import InputError
from studiolike.experiments import Experiment, Outcome, Record, core, experiments, record
from studiolike.experiments.records import spoken
from studiolike.experiments.run import again, run

SMOKE = profile("smoke")


@pytest.fixture
def made(monkeypatch):
    """A declared experiment that counts its calls; seeds shift all values alike."""
    calls = []

    def measure(lab, settings, seed):
        calls.append((settings["gain"], seed))
        people = np.arange(20)
        noise = np.random.default_rng(seed).normal(0, 0.01, 20)
        error = settings["gain"] * (1 + 0.05 * np.cos(people)) + noise
        return Outcome(
            people + 7, {"low_band": error, "psnr/holes": np.where(people == 3, np.nan, 30 - error)}, {"kid": error.mean()}
        )

    one = Experiment(
        "tiny", "Is more worse?", {"base": {}, "more": {"gain": 2.0}}, measure, lambda _: {"gain": 1.0}, "base",
        ("low_band", "kid"), "Nothing real.", trains=True,
    )  # fmt: skip
    experiments()  # the real ones are declared before their table is replaced
    monkeypatch.setattr(core, "_DECLARED", {"tiny": one})
    one.__dict__["calls"] = calls
    return one


def declare_again(monkeypatch, one, **changes):
    changed = dataclasses.replace(one, **changes)
    monkeypatch.setattr(core, "_DECLARED", {one.name: changed})
    return changed


def test_a_run_fills_every_row_with_every_seed_and_a_file_keeps_it(made, tmp_path):
    run(made, FakeLab(), root=tmp_path)
    kept = record("tiny", tmp_path)
    assert kept.seeds("base") == kept.seeds("more") == [0, 1, 2] and kept.known("more")
    assert kept.per_person("more", "low_band").shape == (3, 20) and kept.subject == list(range(7, 27))
    assert math.isnan(kept.per_person("base", "psnr/holes")[0, 3])
    assert np.allclose(kept.difference("more", "base", "low_band").mean(0), 1 + 0.05 * np.cos(np.arange(20)), atol=1e-3)
    entry = json.loads((tmp_path / "tiny.json").read_text())["entries"][0]
    assert entry["commit"] is not None and entry["package"] and entry["device"].startswith("cpu")


def test_seeds_come_before_rows_so_that_a_sweep_cut_short_can_be_compared(made, tmp_path):
    run(made, FakeLab(), root=tmp_path, seeds=2)
    assert made.calls == [(1.0, 0), (2.0, 0), (1.0, 1), (2.0, 1)]


def test_what_is_there_is_not_made_again(made, tmp_path):
    run(made, FakeLab(), root=tmp_path, seeds=1)
    run(made, FakeLab(), root=tmp_path, seeds=2)
    assert made.calls == [(1.0, 0), (2.0, 0), (1.0, 1), (2.0, 1)]


def test_an_interrupted_sweep_leaves_what_it_has_and_goes_on(made, tmp_path, monkeypatch):
    whole = made.measure

    def stops(lab, settings, seed):
        if settings["gain"] == 2.0:
            raise KeyboardInterrupt
        return whole(lab, settings, seed)

    stops.__module__, stops.__qualname__ = whole.__module__, whole.__qualname__
    with pytest.raises(KeyboardInterrupt):
        run(declare_again(monkeypatch, made, measure=stops), FakeLab(), root=tmp_path)
    assert record("tiny", tmp_path).finished() == ["base"]
    assert "| more | not run |" in record("tiny", tmp_path).table()
    run(declare_again(monkeypatch, made), FakeLab(), root=tmp_path, seeds=1)
    assert made.calls == [(1.0, 0), (2.0, 0)]


@pytest.mark.parametrize(
    "changes",
    [
        {"settings": lambda _: {"gain": 1.0, "noise": 1}},
        {"version": 2},
        {"networks": ("g_phone",)},
        {"rows": {"base": {}, "more": {"gain": 2.5}}},
        {"rows": {"base": {}}},
    ],
)
def test_a_record_of_other_settings_is_stale_and_is_made_anew(made, tmp_path, monkeypatch, changes):
    run(made, FakeLab(), root=tmp_path, seeds=1)
    kept = record("tiny", tmp_path)
    assert kept.stale() == []
    changed = declare_again(monkeypatch, made, **changes)
    stale = kept.stale()
    assert ("more", 0) in stale
    made.calls.clear()
    run(changed, FakeLab(), root=tmp_path, seeds=1)
    assert len(made.calls) == len([row for row, _ in stale if row in changed.rows])
    assert record("tiny", tmp_path).stale() == []


def test_rows_of_two_experiments_that_are_the_same_run_are_made_once(made, tmp_path, monkeypatch):
    run(made, FakeLab(), root=tmp_path, seeds=1)
    twin = dataclasses.replace(made, name="twin", rows={"also base": {}, "less": {"gain": 0.5}}, baseline="less")
    monkeypatch.setattr(core, "_DECLARED", {"tiny": made, "twin": twin})
    run(twin, FakeLab(), root=tmp_path, seeds=1)
    assert made.calls == [(1.0, 0), (2.0, 0), (0.5, 0)]
    same = record("twin", tmp_path).per_person("also base", "low_band")
    assert np.array_equal(same, record("tiny", tmp_path).per_person("base", "low_band"))


def test_a_run_made_again_is_compared_and_the_record_stays(made, tmp_path, monkeypatch):
    run(made, FakeLab(), root=tmp_path)
    before = (tmp_path / "tiny.json").read_bytes()
    assert again(made, FakeLab(), root=tmp_path) == ("more", [])

    def other(lab, settings, seed):
        outcome = made.measure(lab, settings, seed)
        return dataclasses.replace(outcome, values={k: 1.2 * v for k, v in outcome.values.items()})

    other.__module__, other.__qualname__ = made.measure.__module__, made.measure.__qualname__
    row, differing = again(declare_again(monkeypatch, made, measure=other), FakeLab(), root=tmp_path)
    assert len(differing) == 1 and differing[0].startswith("low_band: 2.4")  # kid, the other measure, is as it was
    assert (tmp_path / "tiny.json").read_bytes() == before
    with pytest.raises(InputError, match="no fresh run of 'base' with seed 7"):
        again(made, FakeLab(), row="base", seed=7, root=tmp_path)


def test_what_trains_nothing_is_repeated_at_its_baseline_and_its_seeds_excuse_nothing(made, tmp_path, monkeypatch):
    def lamps(lab, settings, seed):
        outcome = made.measure(lab, settings, seed)
        return dataclasses.replace(outcome, values={k: (1 + seed + lamps.drift) * v for k, v in outcome.values.items()})

    lamps.drift = 0.0
    drawn = declare_again(monkeypatch, made, measure=lamps, trains=False)
    run(drawn, FakeLab(), root=tmp_path)
    assert again(drawn, FakeLab(), root=tmp_path) == ("base", [])
    lamps.drift = 0.1  # far less than seeds differ
    assert again(drawn, FakeLab(), root=tmp_path)[1][0].startswith("low_band: 1.1")


def test_what_is_not_random_is_run_once_and_known_from_then_on(made, tmp_path, monkeypatch):
    run(made, FakeLab(), root=tmp_path)
    fixed = declare_again(monkeypatch, made, deterministic=True, trains=False)
    kept = run(fixed, FakeLab(), root=tmp_path, seeds=5)
    assert kept.seeds("base") == kept.seeds("more") == [0] and kept.known("more")
    assert "interval over the people" in kept.table() and "1 seed" not in kept.table()
    few = declare_again(monkeypatch, made, single=("more",))
    assert [few.seeds_of(row) for row in few.rows] == [3, 1]
    kept = run(few, FakeLab(), root=tmp_path)
    assert kept.seeds("more") == [0] and not kept.known("more")
    assert "(1 seed)" in kept.table(rows=["more"]) and "(1 seed)" not in kept.table(rows=["base"])


def test_another_shipped_file_makes_a_record_stale(made, tmp_path, monkeypatch):
    from studiolike import weights

    monkeypatch.setattr(weights, "weights_dir", lambda: tmp_path)
    (tmp_path / "lent.webp").write_bytes(b"one")
    lent = declare_again(monkeypatch, made, files=("lent.webp", "identity_eval"))
    run(lent, FakeLab(), root=tmp_path, seeds=1)
    assert record("tiny", tmp_path).stale() == []
    (tmp_path / "lent.webp").write_bytes(b"another")
    assert len(record("tiny", tmp_path).stale()) == 2


def test_every_file_that_an_experiment_depends_on_is_shipped():
    for one in experiments().values():
        assert all(core.shipped(name).is_file() for name in (*one.networks, *one.files)), one.name


def test_experiments_come_in_the_order_of_the_sweep_whatever_was_imported_first(monkeypatch):
    usual = list(experiments())
    assert usual[0] == "gradients" and usual[-1] == "rivals-chain"
    last_first = dict(sorted(core._DECLARED.items(), key=lambda item: item[0] not in ("rivals", "rivals-closed", "rivals-chain")))
    monkeypatch.setattr(core, "_DECLARED", last_first)
    assert list(experiments()) == usual


def test_the_time_of_a_training_that_was_only_loaded_is_what_it_took_and_what_took_none_has_a_dash(made, tmp_path):
    kept = run(made, FakeLab(), root=tmp_path, seeds=1)
    base, more = kept.entries
    more = dataclasses.replace(more, cpu_seconds=2.0, scalars=more.scalars | {"train_seconds": 300.0})
    kept.entries = [dataclasses.replace(base, cpu_seconds=0.01, seconds=0.01), more]
    lines = kept.table().splitlines()
    assert lines[2].endswith("| 1 | – |") and lines[3].endswith("| 1 | 300 s |")
    assert "5 min of processor time in all" in kept.caption() and "a dash: another row" in kept.caption()
    kept.settings = {}
    assert "judged at" not in kept.caption()
    kept.settings = {"resolution": 256, "data": {"resolution": 128}}
    assert "judged at 256² texels, by KID at 128², against people" in kept.caption()
    kept.measures = ["low_band"]
    assert "Textures are judged at 256² texels. " in kept.caption()


def test_the_severity_of_a_capture_is_no_result_and_has_no_arrow():
    table = record("severity").table()
    assert "| severity of the light |" in table and "low-band error ↓" in table


def test_a_table_has_intervals_and_says_where_it_comes_from(made, tmp_path):
    run(made, FakeLab(), root=tmp_path)
    text = record("tiny", tmp_path).table()
    assert "|  | low-band error ↓ | KID ↓ | seeds | time |" in text and " ± " in text
    assert "studiolike experiment run tiny" in text and "profile `smoke`" in text


def test_what_cannot_be_read_or_asked_says_so(made, tmp_path):
    (tmp_path / "tiny.json").write_text("{}")
    with pytest.raises(InputError, match="is no record"):
        Record.read(tmp_path / "tiny.json")
    with pytest.raises(InputError, match="there is no record"):
        record("other", tmp_path)
    (tmp_path / "tiny.json").unlink()
    with pytest.raises(InputError, match="has no row 'most'"):
        run(made, FakeLab(), root=tmp_path, rows=["most"])
    run(made, FakeLab(), root=tmp_path, seeds=1, rows=["base"])
    with pytest.raises(InputError, match="has not been run"):
        record("tiny", tmp_path).per_person("more", "low_band")
    with pytest.raises(InputError, match="measures no 'ssim'"):
        record("tiny", tmp_path).per_person("base", "ssim")
    with pytest.raises(InputError, match="of the profile smoke"):
        run(made, SimpleNamespace(profile=profile("cpu")), root=tmp_path)


def test_every_declared_experiment_compares_with_a_row_of_its_own_and_has_one_sentence():
    for name, one in experiments().items():
        assert one.baseline in one.rows and one.question.endswith("?") and one.limits, name
        digests = {one.digest(row, 0, SMOKE) for row in one.rows}
        assert len(digests) == len(one.rows), f"{name} has two rows that are one"


def test_the_gradients_are_run_and_listed_from_the_command_line(tmp_path, capsys):
    """A real run of the smallest size: closed form, four heads."""
    line = ["experiment", "run", "gradients", "--profile", "smoke", "--seeds", "1", "--runs", str(tmp_path), "-o", str(tmp_path)]
    assert main([*line, "--device", "cpu"]) == 0
    kept = record("gradients", tmp_path)
    assert kept.estimate("log, smooth light", "correlation").mean > kept.estimate("log, cast shadow", "correlation").mean > 0.3
    assert kept.estimate("log, smooth light", "correlation").mean > 0.9
    repeat = ["experiment", "again", "gradients", "--profile", "smoke", "--runs", str(tmp_path), "--records", str(tmp_path)]
    assert main([*repeat, "--device", "cpu"]) == 0
    assert "log, cast shadow, seed 0: as recorded" in capsys.readouterr().err
    assert main(["experiment", "list", "--records", str(tmp_path)]) == 0
    assert "4 rows, 4 runs recorded" in capsys.readouterr().out
    assert main(["experiment", "table", "gradients", "--records", str(tmp_path)]) == 0
    assert "| log, cast shadow |" in capsys.readouterr().out
    assert main(["experiment", "run", "gravity", "-o", str(tmp_path)]) == 2


class FakeLab:
    """As much of a laboratory as an experiment without data needs."""

    profile, device = SMOKE, "cpu"


@pytest.mark.parametrize(("differing", "code"), [([], 0), (["psnr: 20.1, recorded 25.0"], 1)])
def test_a_repetition_that_differs_from_the_record_gives_exit_code_1(differing, code, monkeypatch):
    monkeypatch.setattr("studiolike.experiments.run.again", lambda *_, **__: ("a row", differing))
    monkeypatch.setattr("studiolike.experiments.lab.Lab", lambda *_: None)
    assert main(["experiment", "again", "gradients"]) == code


def test_an_interval_of_rounding_errors_is_not_shown():
    for half, text in ((0.02, "0.412 ± 0.02"), (2e-16, "0.412"), (0.0, "0.412"), (float("nan"), "0.412")):
        assert spoken(SimpleNamespace(mean=0.412, low=0.412 - half, high=0.412 + half)) == text


def test_a_table_shows_what_is_declared_today_where_every_entry_holds_it():
    kept = record("detail")
    kept.measures = tuple(name for name in kept.measures if name != "psnr_fitted/observed")  # as an older record has them
    assert "psnr_fitted/observed" in kept.columns
    side = kept.settings["resolution"]
    head = kept.table().splitlines()[0]
    assert "PSNR after a gain fit (observed) ↑" in head and f"perceptual@{side} (face) ↓" in head
    del kept.entries[-1].values["psnr_fitted/observed"]
    assert "psnr_fitted/observed" not in kept.columns and set(kept.columns) == set(kept.measures)
