"""The experiments on rivals: every row can be run, and what is not random is measured once."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fakes import FakeSet

from studiolike.config import profile
from studiolike.experiments import Outcome
from studiolike.experiments import rivals as module
from studiolike.experiments.core import experiment
from studiolike.protocols import PROTOCOLS
from studiolike.rivals import CLOSED, TRAINED


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """A laboratory of a few patterns, whose measure is the mean of the outputs; networks that give mid grey."""
    data = FakeSet(subjects=20, lightings=2, resolution=32)
    rows = data.captures("val")
    owner = torch.as_tensor(data.subject)[rows]

    def judge(outputs, also):
        assert "perceptual" in also and outputs.shape == (len(rows), 3, 32, 32)
        means = np.array([outputs[owner == k].mean().item() for k in owner.unique()])
        return Outcome(owner.unique().numpy(), {"psnr/observed": means}, {"tone_gap": 1.0})

    monkeypatch.setattr(module, "translate", lambda *given: torch.full((len(given[5]), 3, 16, 16), 0.5))
    monkeypatch.setattr(module.weights, "read_card", lambda name, protocol: {"seconds": 12.0})
    return SimpleNamespace(
        data=data,
        judged_rows=rows,
        judge=judge,
        runs=tmp_path,
        profile=profile("smoke"),
        device=torch.device("cpu"),
        network=lambda name, protocol="few": torch.nn.Linear(1, 1),
    )


def test_every_rival_has_a_row_under_every_protocol():
    for kind, names in (("rivals", TRAINED), ("rivals-closed", CLOSED), ("rivals-chain", ("chain", "generator"))):
        rows = experiment(kind).rows
        assert {module.row_name(n, p) for n in names for p in PROTOCOLS} <= set(rows)


def test_only_the_chain_depends_on_released_weights():
    assert experiment("rivals").networks == () == experiment("rivals-closed").networks
    assert {f"{p}/g_studio" for p in PROTOCOLS} < set(experiment("rivals-chain").networks)


def test_a_trained_rival_is_judged_and_its_cost_recorded(lab):
    settings = {"rival": "unet", "protocol": "few", "images": 8, "precision": "no"}
    made = module.measure_trained(lab, settings, 0)
    assert set(made.values) == {"psnr/observed", "face_distance"} and (made.values["face_distance"] > 0).all()
    assert made.scalars["parameters"] > 1e6 and made.scalars["train_seconds"] > 0 and made.scalars["convert_seconds"] > 0
    assert not np.array_equal(made.values["psnr/observed"], module.measure_trained(lab, settings, 1).values["psnr/observed"])


def test_what_is_not_random_is_measured_once_for_all_seeds(lab):
    settings = {"rival": "mean_studio", "protocol": "few"}
    first = module.measure_closed(lab, settings, 0)
    assert module.measure_closed(lab, settings, 1) is first
    assert module.measure_closed(lab, settings | {"protocol": "open"}, 0) is not first


def test_our_generator_alone_is_the_chain_before_fusion(lab):
    alone, whole = (
        module.measure_chain(lab, {"rival": name, "protocol": "few"}, 0).values["psnr/observed"]
        for name in ("generator", "chain")
    )
    assert alone == pytest.approx(0.5, abs=1e-6)
    assert np.abs(whole - 0.5).min() > 1e-5
