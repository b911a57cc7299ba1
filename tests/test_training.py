"""The trainer: a stopped run continues as if nothing had happened."""

import json
import platform
import subprocess
import sys
import warnings

import pytest
import torch
from torch import nn

from studiolike.errors import WeightsError
from studiolike.training import Stage, compiled, fit, read_log


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
    machine = {"seconds", "images_per_second", "peak_gib"}
    a, b = ({k: v for k, v in read_log(tmp_path / name).items() if k not in machine} for name in "ab")
    assert a == b


def test_the_log_holds_speed_memory_and_what_the_stage_measures(tmp_path):
    class Measured(Regression):
        def measure(self):
            return {"quality": float(self.count)}

    fit(Measured(), 80, tmp_path, device="cpu", progress=False, preview_every=40)
    log = read_log(tmp_path)
    assert min(v for v in log["images_per_second"] if v == v) > 0 and max(v for v in log["peak_gib"] if v == v) > 0.01
    measured = [(images, v) for images, v in zip(log["images"], log["quality"], strict=True) if v == v]
    assert measured == [(40, 10.0), (80, 20.0)]


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


def test_a_compiled_function_gives_the_same_values_and_gradients():
    fast = compiled(lambda x, y: (x * y).sin().sum(), "f", backend="aot_eager")
    x, y = torch.randn(5, requires_grad=True), torch.randn(5)
    (slope,) = torch.autograd.grad(fast(x, y), x)
    torch.testing.assert_close(slope, (x * y).cos() * y)


def test_what_cannot_be_compiled_runs_as_it_is_and_says_so_once():
    calls = []

    def broken(graph, inputs):
        calls.append(1)
        raise RuntimeError("no triton here")

    function = compiled(lambda x: x * 2, "G", backend=broken)
    with pytest.warns(RuntimeWarning, match="G goes on uncompiled"):
        assert function(torch.ones(2)).tolist() == [2, 2]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert function(torch.ones(3)).tolist() == [2, 2, 2]
    assert len(calls) == 1


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library decides for itself")
def test_freed_memory_is_used_again_without_page_faults():
    code = """
import resource
from studiolike.training import keep_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(8):
        bytearray(2**26)  # 64 MiB of zeros: written, then freed
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

forgetful, agreed = faults(), keep_memory()
bytearray(2**26)
print(agreed, forgetful, faults())
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    agreed, forgetful, kept = done.stdout.split()
    assert agreed == "True" and int(kept) < int(forgetful) / 4
