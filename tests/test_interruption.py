"""Killed at any moment, again and again, and started anew: data writer, batch converter and trainer end with the same files."""

import json
import multiprocessing
import os
import random
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from studiolike import cli

KILLS = 20

# Killed processes are forks of one that has the libraries loaded: a kill then costs a part of a second.
pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="no fork server there")]


@pytest.fixture(scope="module")
def server():
    context = multiprocessing.get_context("forkserver")
    preloaded = ("synth.dataset", "convert", "cli", "capture", "training")
    context.set_forkserver_preload([f"studiolike.{name}" for name in preloaded])
    return context


def convert_folder(source, out):
    """The command line, with a stand-in for the networks."""
    import torch

    from studiolike import convert
    from studiolike.cli import main
    from studiolike.image import resize

    torch.set_num_threads(1)

    def pipe(texture, visibility, *, resolution, steps, guided, borrow, keep_tone, seed, progress):
        time.sleep(0.004)
        turned = resize(texture, resolution).flip(-1)
        return SimpleNamespace(texture=turned, origin=turned, psnr_observed=torch.ones(1), seconds={})

    convert.load = lambda *_: pipe
    words = ["convert", str(source), "-o", str(out), "--kind", "texture", "--size", "128", "--quiet"]
    raise SystemExit(main(words))


class Heads:
    """Stand-in for synthetic heads: noise by their seeds, and some time."""

    def __init__(self, seeds):
        self.seeds, self.tone = seeds, seeds / 2

    def __getitem__(self, rows):
        return Heads(self.seeds[rows])

    def maps(self, channels, resolution=32):
        import torch

        time.sleep(0.004)
        return torch.stack(
            [torch.rand(channels, resolution, resolution, generator=torch.Generator().manual_seed(int(s))) for s in self.seeds]
        )


def write_set(out):
    import torch

    from studiolike.synth import dataset

    torch.set_num_threads(1)
    dataset.chunk_size = lambda _: 2
    dataset.synthesise_subjects = lambda seeds, resolution, device: Heads(seeds)
    dataset.studio_texture = lambda heads: heads.maps(3)
    dataset.phone_capture = lambda heads, lighting: SimpleNamespace(
        texture=heads.maps(3), visibility=heads.maps(1), severity=lighting.float()
    )
    spec = dataset.SetSpec(32, 20, 8, 4, 4, 4, lightings=1, test_lightings=2)
    dataset.write_set(spec, out, progress=False)


def train(out):
    """A small network whose steps depend on all that a resume must bring back: weights, the optimiser's moments, the count."""
    import torch

    from studiolike import training

    torch.set_num_threads(1)

    class Line(training.Stage):
        name, batch = "line", 2

        def __init__(self):
            torch.manual_seed(0)
            self.modules = {"net": torch.nn.Linear(8, 8)}
            self.optimizers = {"adam": torch.optim.Adam(self.modules["net"].parameters(), lr=0.05)}
            self.losses = 0.0

        def step(self, images, rng):
            time.sleep(0.002)
            x = torch.randn(2, 8, generator=rng)
            loss = (self.modules["net"](x) - x.flip(-1)).square().mean()
            self.optimizers["adam"].zero_grad()
            self.accelerator.backward(loss)
            self.optimizers["adam"].step()
            self.losses += loss.item()
            return {"loss": loss.item(), "losses": self.losses}

        def state_dict(self):
            return {"losses": self.losses}

        def load_state_dict(self, state):
            self.losses = state["losses"]

    training.fit(Line(), 240, out, device="cpu", checkpoint_every=16, log_every=8, progress=False)


def learnt(folder: Path):
    """What a run has learnt and logged, without times and speeds."""
    import torch

    state = torch.load(folder / "checkpoint.pt", weights_only=True)
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    adam = state["optimizers"]["adam"]["state"]
    return {
        "images": state["images"],
        "weights": {name: weight.tolist() for name, weight in state["modules"]["net"].items()},
        "moments": {name: {k: v.tolist() for k, v in of.items()} for name, of in adam.items()},
        "stage": state["stage"],
        "log": [(line["images"], line["loss"], line["losses"]) for line in lines],
        "record": json.loads((folder / "record.json").read_text())["metrics"],
    }


def contents(folder: Path):
    left = {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")}
    return {name: data for name, data in left.items() if name not in ("progress.json", "partial.npz")}


def run(server, work, arguments, patience=None):
    """Run ``work``; kill it after ``patience`` seconds. Whether it came to its end."""
    process = server.Process(target=work, args=arguments)
    process.start()
    process.join(patience)
    if process.is_alive():
        process.kill()
        process.join()
    assert process.exitcode in (0, -9)
    return process.exitcode == 0


def torture(server, work, straight, broken, contents=contents):
    """Kill ``work`` on ``broken`` at random moments until it is done; compare with a run that nobody disturbed."""
    run(server, work, straight)  # the first run also waits for the libraries
    began = time.perf_counter()
    reference = Path(str(straight[-1]) + "-timed")
    assert run(server, work, (*straight[:-1], reference))
    whole = time.perf_counter() - began
    chance, kills = random.Random(0), 0
    while kills < KILLS:
        if run(server, work, broken, chance.uniform(0, whole * 0.8)):
            # done before its time: begin anew, so that there is something to kill
            assert contents(broken[-1]) == contents(reference)
            for path in broken[-1].iterdir():
                path.unlink()
        else:
            kills += 1
    assert run(server, work, broken)
    assert contents(broken[-1]) == contents(reference) == contents(straight[-1])


def test_the_batch_converter_ends_with_the_same_files_after_twenty_kills(server, tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    random_numbers = np.random.default_rng(0)
    for k in range(24):
        Image.fromarray(random_numbers.integers(0, 255, (64, 64, 3), np.uint8)).save(source / f"{k:02d}.png")
    torture(server, convert_folder, (source, tmp_path / "straight"), (source, tmp_path / "broken"))
    assert len(contents(tmp_path / "broken")) == 24
    assert not [path.name for path in (tmp_path / "broken").iterdir() if path.name.startswith(".")]


def test_the_data_writer_ends_with_the_same_bytes_after_twenty_kills(server, tmp_path):
    torture(server, write_set, (tmp_path / "straight",), (tmp_path / "broken",))
    assert {"manifest.json", "index.npz", "phone.npy", "studio.npy", "visibility.npy"} == contents(tmp_path / "broken").keys()


def test_a_trainer_ends_with_the_same_weights_and_the_same_log_after_twenty_kills(server, tmp_path):
    torture(server, train, (tmp_path / "straight",), (tmp_path / "broken",), learnt)
    found = learnt(tmp_path / "broken")
    assert found["images"] == 240 and [line[0] for line in found["log"]] == list(range(8, 241, 8))


def test_a_background_job_that_is_deaf_to_ctrl_c_still_ends_when_it_is_told_to():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with pytest.raises(KeyboardInterrupt), cli._end_as_interrupt() as ended:
            os.kill(os.getpid(), signal.SIGTERM)
        assert ended == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGINT, before)
