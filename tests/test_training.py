"""The trainer: a stopped run continues as if nothing had happened."""

import json
import os
import platform
import signal
import subprocess
import sys
import warnings
from dataclasses import replace

import pytest
import torch
from accelerate.optimizer import AcceleratedOptimizer
from torch import nn

from studiolike import recipes, training
from studiolike.config import profile
from studiolike.device import find_device
from studiolike.errors import InputError, WeightsError
from studiolike.run_record import read_log
from studiolike.training import Stage, compiled, fit, prepare, was_skipped


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


def test_ctrl_c_within_a_step_leaves_a_whole_step(tmp_path):
    class Interrupted(Regression):
        def step(self, images, rng):
            if images == 36:
                os.kill(os.getpid(), signal.SIGINT)
            return super().step(images, rng)

    before = signal.getsignal(signal.SIGINT)  # a shell's background job ignores it
    straight, stopped, resumed = Regression(), Interrupted(), Regression()
    fit(straight, 80, tmp_path / "a", device="cpu", progress=False)
    with pytest.raises(KeyboardInterrupt):
        fit(stopped, 80, tmp_path / "b", device="cpu", progress=False)
    assert stopped.count == 10
    assert torch.load(tmp_path / "b" / "checkpoint.pt", weights_only=True)["images"] == 40
    fit(resumed, 80, tmp_path / "b", device="cpu", progress=False)
    assert torch.equal(weights(straight), weights(resumed)) and resumed.count == 20
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_ctrl_c_stops_at_once_and_saves_no_half_step(tmp_path):
    class Impatient(Regression):
        def step(self, images, rng):
            self.count += 1
            if images == 36:
                os.kill(os.getpid(), signal.SIGINT)
                with torch.no_grad():
                    self.net.weight.fill_(99.0)  # half a step
                os.kill(os.getpid(), signal.SIGINT)
            return {"loss": 0.0}

    with pytest.raises(KeyboardInterrupt):
        fit(Impatient(), 80, tmp_path, device="cpu", progress=False, checkpoint_every=16)
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert state["images"] == 32 and (state["modules"]["net"]["weight"] != 99).all()


def scaled(monkeypatch, first_scale):
    """Loss scaling as in fp16, on the CPU: gradients are float32, but a scale this large sends them out of range."""

    def with_scaler(stage, **options):
        accelerator = prepare(stage, **options)
        accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=first_scale, growth_interval=3)
        stage.optimizers = {k: AcceleratedOptimizer(o.optimizer, scaler=accelerator.scaler) for k, o in stage.optimizers.items()}
        return accelerator

    monkeypatch.setattr(training, "prepare", with_scaler)


class Averaged(Regression):
    """Counts the steps that moved the weights."""

    def step(self, images, rng):
        before = weights(self)
        log = super().step(images, rng)
        skipped = was_skipped(self.optimizers["adam"])
        assert skipped == torch.equal(before, weights(self))
        return log | {"skipped": float(skipped), "scale": self.accelerator.scaler.get_scale()}


def test_a_resumed_run_knows_its_loss_scale(tmp_path, monkeypatch):
    scaled(monkeypatch, 2.0**127)  # at the edge of float32: the first steps overflow until the scale has come down
    fit(Averaged(), 80, tmp_path / "a", device="cpu", progress=False, log_every=4)
    with pytest.raises(KeyboardInterrupt):
        fit(Averaged(stop_at=40), 80, tmp_path / "b", device="cpu", progress=False, log_every=4)
    fit(Averaged(), 80, tmp_path / "b", device="cpu", progress=False, log_every=4)
    a, b = (read_log(tmp_path / name) for name in "ab")
    assert 1 <= sum(a["skipped"]) < 10
    assert {k: a[k] for k in ("images", "skipped", "scale", "loss")} == {k: b[k] for k in ("images", "skipped", "scale", "loss")}


def test_a_device_that_is_not_there_is_an_error_and_one_that_is_there_is_used(tmp_path, monkeypatch):
    for name in ("cuda", "cuda:1", "gpu7"):
        with pytest.raises(InputError, match="no device|unknown device"):
            fit(Regression(), 8, tmp_path, device=name, progress=False)
    with pytest.raises(InputError, match="fp16 needs a GPU"):
        fit(Regression(), 8, tmp_path, device="cpu", precision="fp16", progress=False)
    used = []

    def set_device(device: torch.device) -> None:
        assert device.index is not None  # as torch has it
        used.append(device)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", set_device)
    assert find_device() == torch.device("cuda") and find_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(InputError, match="torch finds 2, numbered from 0"):
        find_device("cuda:2")
    training.AcceleratorState._reset_state(reset_partial_state=True)
    assert training.processes("cuda").device == torch.device("cuda") and not used
    training.AcceleratorState._reset_state(reset_partial_state=True)
    assert training.processes("cuda:1").device == torch.device("cuda:1") == used[0]
    training.AcceleratorState._reset_state(reset_partial_state=True)


def test_the_log_holds_speed_memory_and_what_the_stage_measures(tmp_path):
    class Measured(Regression):
        def measure(self):
            return {"quality": float(self.count)}

    fit(Measured(), 80, tmp_path, device="cpu", progress=False, preview_every=40)
    log = read_log(tmp_path)
    assert min(v for v in log["images_per_second"] if v == v) > 0 and max(v for v in log["peak_gib"] if v == v) > 0.01
    measured = [(images, v) for images, v in zip(log["images"], log["quality"], strict=True) if v == v]
    assert measured == [(40, 10.0), (80, 20.0)]


def test_a_run_that_was_killed_before_its_record_was_written_still_writes_what_it_measured(tmp_path):
    whole = fit(Regression(), 40, tmp_path, device="cpu", progress=False)
    (tmp_path / "record.json").unlink()
    again = fit(Regression(), 40, tmp_path, device="cpu", progress=False)
    assert again.metrics == whole.metrics and whole.metrics
    assert json.loads((tmp_path / "record.json").read_text())["metrics"] == whole.metrics


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


def test_a_run_goes_on_in_the_precision_in_which_it_began(tmp_path, monkeypatch):
    def again(**options):
        return fit(Regression(), 16, tmp_path, device="cpu", progress=False, **options)

    record = fit(Regression(), 8, tmp_path, device="cpu", progress=False, precision="bf16")
    assert record.settings["precision"] == "bf16"
    with pytest.raises(WeightsError, match="was trained in bf16, not in no"):
        again()
    path = tmp_path / "checkpoint.pt"
    older = torch.load(path, weights_only=True)
    del older["precision"]  # as before there was the entry
    torch.save(older, path)
    with monkeypatch.context() as patch, pytest.raises(WeightsError, match="trained in another precision"):
        scaled(patch, 2.0)
        again()
    assert again(precision="bf16").images == 16


def test_fp16_without_a_gpu_is_refused_before_data_are_made(tmp_path):
    settings = replace(profile("smoke"), precision="fp16")
    for stage in ("identity", "phone", "adapt", "detail", "all"):
        with pytest.raises(InputError, match="fp16 needs a GPU"):
            recipes.train(stage, settings, tmp_path, device="cpu", progress=False)
    assert not list(tmp_path.iterdir())


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
from studiolike.device import keep_memory

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
