"""The benchmarks' own logic; what they measure is not tested, a machine under load would fail."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    yield
    for name in ("engines", "peer", "plot"):
        sys.modules.pop(name, None)


def test_an_iteration_holds_a_sixteenth_of_a_regularised_step():
    from engines import iteration

    assert iteration([1.0, 1.0, 9.0], [17.0]) == pytest.approx(2.0)


def test_our_engine_regularises_when_asked_and_only_then():
    from engines import Ours, Size

    engine = Ours(Size(16, 4, 8, 1, 64, 4), "cpu", "no")
    seen = []
    step = engine.stage.step
    engine.stage.step = lambda images, rng: seen.append(step(images, rng))
    for regularise in (True, False, True):
        engine.step(regularise)
    assert ["r1" in log for log in seen] == [True, False, True]
    assert engine.stage.encoder is None and "recons" not in seen[0]


def test_a_folder_that_is_no_checkout_is_refused(tmp_path):
    from peer import peer_rows

    with pytest.raises(SystemExit, match="no checkout"):
        next(peer_rows(tmp_path, "cpu"))


def test_the_cost_curve_is_drawn_from_records(tmp_path):
    from plot import draw

    rows = [
        {"curve": "training", "resolution": size, "batch": batch, "seconds_per_image": size / 1e4, "peak_gib": 0.1 * batch}
        for size in (32, 64)
        for batch in (4, 8)
    ]
    facts = {"device": "cpu", "torch": "2"}
    draw({"facts": facts, "rows": rows}, tmp_path / "new" / "cost.svg")
    assert "<svg" in (tmp_path / "new" / "cost.svg").read_text()
    with pytest.raises(SystemExit, match="--only curve"):
        draw({"facts": facts, "rows": [{"name": "other"}]}, tmp_path / "cost.svg")
