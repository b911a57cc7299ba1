"""The trainer: a stopped run continues as if nothing had happened."""
import json

import pytest
import torch
from torch import nn

from studiolike.errors import WeightsError
from studiolike.training import Stage, fit, read_log


class Regression(Stage):
    name, batch = "regression", 4

    def __init__(self, stop_at: int | None = None):
        torch.manual_seed(7)
        self.net = nn.Linear(3, 1)
        self.modules = {"net": self.net}
        self.optimizers = {"adam": torch.optim.Adam(self.net.parameters(), lr=0.05)}
        self.stop_at, self.count = stop_at, 0

    def step(self, images, rng):
        if self.stop_at is not None and images >= self.stop_at:
            raise KeyboardInterrupt
        x = torch.randn(4, 3, generator=rng)
        loss = (self.modules["net"](x) - x.sum(1, keepdim=True) + 0.1 * torch.randn(4, 1)).square().mean()
        self.optimizers["adam"].zero_grad()
        self.accelerator.backward(loss)
        self.optimizers["adam"].step()
        self.count += 1
        return {"loss": loss.item(), "count": self.count}

    def state_dict(self):
        return {"count": self.count}

    def load_state_dict(self, state):
        self.count = state["count"]


def weights(stage):
    return torch.cat([p.detach().flatten() for p in stage.net.parameters()])


def test_an_interrupted_run_ends_bit_for_bit_like_a_straight_one(tmp_path):
    straight = Regression()
    fit(straight, 80, tmp_path / "a", device="cpu", progress=False)
    stopped = Regression(stop_at=36)
    with pytest.raises(KeyboardInterrupt):
        fit(stopped, 80, tmp_path / "b", device="cpu", progress=False)
    resumed = Regression()
    record = fit(resumed, 80, tmp_path / "b", device="cpu", progress=False)
    assert torch.equal(weights(straight), weights(resumed))
    assert record.images == 80 and record.metrics["count"] == 20
    drop = lambda log: {k: v for k, v in log.items() if k != "seconds"}  # noqa: E731
    assert drop(read_log(tmp_path / "a")) == drop(read_log(tmp_path / "b"))


def test_training_learns_and_leaves_a_record(tmp_path):
    stage = Regression()
    record = fit(stage, 1200, tmp_path, device="cpu", progress=False, seed=3)
    assert record.metrics["loss"] < 0.2
    stored = json.loads((tmp_path / "record.json").read_text())
    assert stored["seed"] == 3 and len(stored["studiolike"]) == 16 and stored["images"] == 1200


def test_other_settings_and_damaged_checkpoints_are_refused(tmp_path):
    fit(Regression(), 8, tmp_path, device="cpu", progress=False, settings={"lr": 1})
    with pytest.raises(WeightsError, match="other settings"):
        fit(Regression(), 16, tmp_path, device="cpu", progress=False, settings={"lr": 2})
    (tmp_path / "checkpoint.pt").write_bytes(b"nonsense")
    with pytest.raises(WeightsError, match="damaged"):
        fit(Regression(), 16, tmp_path, device="cpu", progress=False, settings={"lr": 1})
