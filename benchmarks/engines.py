"""One training iteration of each StyleGAN2 engine, ready to be timed: ours, and a checkout of stylegan2-ada-pytorch.

An engine has ``step(regularise)``: the discriminator's and the generator's update and the weight average, with R1 when
asked. Run as a script it measures one engine alone in this process and prints JSON, so that peak memory is its own:

    python benchmarks/engines.py ours --resolution 64 --batch 8 --precision bf16
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

R1_EVERY = 16  # steps of an iteration with R1, in both engines


@dataclass(frozen=True)
class Size:
    """What both engines are built with; ``plain`` leaves out our encoder and our augmentation."""

    resolution: int = 64
    batch: int = 8
    w_dim: int = 128
    mapping_layers: int = 4
    channel_base: int = 4096
    channel_max: int = 128
    plain: bool = True


class RandomSet:
    """Noise in the shape of a texture set: the speed of training does not depend on what is in the pictures."""

    def __init__(self, resolution: int, count: int = 64):
        rng = torch.Generator().manual_seed(0)
        self.resolution, self.manifest = resolution, {"spec": {}}
        self.textures = torch.rand(count, 3, resolution, resolution, generator=rng)

    def captures(self, split: str) -> Tensor:
        return torch.arange(len(self.textures))

    def phone_batch(self, rows: Tensor, device: str) -> tuple[Tensor, Tensor]:
        batch = self.textures[rows].to(device)
        return batch, torch.ones_like(batch[:, :1])


class Ours:
    """`GameStage` as `fit` drives it, mixed precision through `accelerate`."""

    def __init__(self, size: Size, device: str, precision: str):
        from dataclasses import replace

        from studiolike.config import GeneratorConfig, PretrainConfig, profile
        from studiolike.stylegan2 import GameStage, phone_networks
        from studiolike.training import prepare

        only = {"encoded": 0.0, "augment": 0.0} if size.plain else {}
        settings = replace(
            profile("cpu").sized(
                GeneratorConfig(size.resolution, size.w_dim, size.mapping_layers, size.channel_base, size.channel_max),
                2 * size.resolution,
            ),
            pretrain=PretrainConfig(batch=size.batch, r1_every=R1_EVERY, warm_up=0, **only),
        )
        self.stage = GameStage(settings.pretrain, phone_networks(settings), RandomSet(size.resolution))
        prepare(self.stage, device=device, precision=precision)
        self.number = 0

    def step(self, regularise: bool) -> None:
        self.number += 1
        images = self.stage.batch * R1_EVERY * self.number + (0 if regularise else self.stage.batch)
        self.stage.step(images, torch.Generator().manual_seed(self.number))

    def parameters(self) -> tuple[int, int]:
        return count(self.stage.generator), count(self.stage.discriminator)


class Peer:
    """stylegan2-ada-pytorch from ``path``: its networks and its loss, with its reference operations, in float32.

    Nothing of it is copied: its modules are imported from the checkout, its compiled extensions are never asked for.
    Its loop (phases, frozen opponents, averages) is followed from the outside, path length off as in our training.
    With ``shared`` one pass of G serves both players as in ours, which compares the operations alone.
    """

    def __init__(self, size: Size, device: str, path: Path, shared: bool = False):
        networks, loss = peer_modules(path)
        self.size, self.device, self.shared = size, device, shared
        kwargs = {"channel_base": size.channel_base, "channel_max": size.channel_max}
        self.g = (
            networks.Generator(
                size.w_dim,
                0,
                size.w_dim,
                size.resolution,
                3,
                synthesis_kwargs=kwargs,
                mapping_kwargs={"num_layers": size.mapping_layers},
            )
            .to(device)
            .train()
            .requires_grad_(False)
        )
        self.d = networks.Discriminator(0, size.resolution, 3, **kwargs).to(device).train().requires_grad_(False)
        self.ema = copy.deepcopy(self.g).eval()
        self.loss = loss.StyleGAN2Loss(torch.device(device), self.g.mapping, self.g.synthesis, self.d, r1_gamma=0.6, pl_weight=0)
        self.optimizers = {net: torch.optim.Adam(net.parameters(), lr=0.0025, betas=(0.0, 0.99)) for net in (self.g, self.d)}
        self.data = RandomSet(size.resolution)

    def step(self, regularise: bool) -> None:
        size = self.size
        real = self.data.phone_batch(torch.randint(64, (size.batch,)), self.device)[0] * 2 - 1
        if self.shared:
            self._shared(real)
        else:
            self._phase(self.g, "Gmain", real)
            self._phase(self.d, "Dmain", real)
        if regularise:
            self._phase(self.d, "Dreg", real, gain=R1_EVERY)
        with torch.no_grad():
            torch._foreach_lerp_(list(self.ema.parameters()), list(self.g.parameters()), 0.01)

    def _phase(self, net: nn.Module, name: str, real: Tensor, gain: float = 1.0) -> None:
        net.requires_grad_(True)
        z, nothing = torch.randn(len(real), self.size.w_dim, device=self.device), torch.zeros(len(real), 0, device=self.device)
        self.loss.accumulate_gradients(name, real, nothing, z, nothing, sync=True, gain=gain)
        net.requires_grad_(False)
        self._update(net)

    def _shared(self, real: Tensor) -> None:
        softplus = nn.functional.softplus
        self.g.requires_grad_(True)
        z = torch.randn(len(real), self.size.w_dim, device=self.device)
        fake, _ = self.loss.run_G(z, None, sync=True)
        self.d.requires_grad_(True)
        (softplus(self.d(fake.detach(), None)).mean() + softplus(-self.d(real, None)).mean()).backward()
        self._update(self.d)
        self.d.requires_grad_(False)
        softplus(-self.d(fake, None)).mean().backward()
        self._update(self.g)
        self.g.requires_grad_(False)

    def _update(self, net: nn.Module) -> None:
        self.optimizers[net].step()
        self.optimizers[net].zero_grad(set_to_none=True)

    def parameters(self) -> tuple[int, int]:
        return count(self.g), count(self.d)


def peer_modules(path: Path):
    """Import ``training.networks`` and ``training.loss`` of the checkout, compilation switched off from outside.

    Raises:
        SystemExit: ``path`` holds no such checkout.
    """
    path = Path(path).resolve()
    if not (path / "training" / "networks.py").is_file() or not (path / "torch_utils").is_dir():
        raise SystemExit(f"{path} is no checkout of stylegan2-ada-pytorch: training/networks.py is missing")
    if str(path) not in sys.path:
        sys.path.insert(0, str(path))
    from torch_utils.ops import bias_act, conv2d_gradfix, upfirdn2d
    from training import loss, networks

    for module in (bias_act, upfirdn2d):  # what they ask before they compile: "no" means the reference form
        module._init = lambda: False
    conv2d_gradfix.enabled = False  # its default; it knows PyTorch up to 1.9 only
    return networks, loss


def count(net: nn.Module) -> int:
    """Parameters of a network."""
    return sum(p.numel() for p in net.parameters())


def build(engine: str, size: Size, device: str, precision: str = "no", path: Path | None = None) -> Ours | Peer:
    """The engine "ours", "peer" or "peer-shared"; only ours has a choice of precision."""
    return Ours(size, device, precision) if engine == "ours" else Peer(size, device, path, engine == "peer-shared")


def memory_gib(kind: str) -> float:
    """Memory of this process in GiB, of a kind of ``/proc/self/status``; nan where the system does not tell.

    ``RssAnon`` is what no file backs, ``VmRSS`` all that is resident, ``VmHWM`` its peak. Not ``ru_maxrss``: that counts the
    memory of the process that started this one.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(f"{kind}:")) / 2**20
    except (OSError, StopIteration):
        return float("nan")


def timed(engine: Ours | Peer, regularise: bool, device: str) -> tuple[float, float]:
    """Seconds of one step: by the clock, and of the processor."""
    start, used = time.perf_counter(), time.process_time()
    engine.step(regularise)
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start, time.process_time() - used


def command(engine: str, size: Size, precision: str, path: Path | None) -> list[str]:
    """What runs this file for one engine."""
    sizes = [word for name, value in asdict(size).items() for word in (f"--{name}", str(int(value)))]
    return [sys.executable, __file__, engine, "--precision", precision, *(["--path", str(path)] if path else []), *sizes]


def fresh(engine: str, size: Size, precision: str = "no", steps: int = 1) -> dict:
    """Measure an engine in a process of its own: seconds of plain and regularised steps, peak memory."""
    done = subprocess.run(
        [*command(engine, size, precision, None), "--steps", str(steps)], check=True, stdout=subprocess.PIPE, text=True
    )
    return json.loads(done.stdout.splitlines()[-1])


class Worker:
    """An engine in a process of its own, which takes a step whenever it is asked.

    Args:
        engine, size, precision: as for `fresh`. path: the peer's checkout. environment: variables of that process.
    """

    def __init__(
        self, engine: str, size: Size, precision: str = "no", path: Path | None = None, environment: dict[str, str] | None = None
    ):
        self.process = subprocess.Popen(
            [*command(engine, size, precision, path), "--turns"],
            text=True,
            bufsize=1,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | (environment or {}),
        )
        self.parameters: list[int] = self._answer()

    def step(self, regularise: bool) -> tuple[float, float]:
        """Seconds of one step: by the clock, and of the processor."""
        print(int(regularise), file=self.process.stdin)
        return tuple(self._answer())

    def close(self) -> float:
        """End the process; its peak memory in GiB, without what its libraries occupy."""
        self.process.stdin.close()
        peak = self._answer()
        self.process.wait()
        return peak

    def _answer(self) -> list | float:
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"an engine ended early, with {self.process.wait()}")
        return json.loads(line)


def iteration(plain: list[float], regularised: list[float]) -> float:
    """Seconds of an iteration: medians of both kinds of steps in the proportion in which training takes them."""
    return ((R1_EVERY - 1) * statistics.median(plain) + statistics.median(regularised)) / R1_EVERY


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine", choices=("ours", "peer", "peer-shared"))
    parser.add_argument("--path", type=Path)
    parser.add_argument("--precision", default="no", choices=("no", "bf16", "fp16"))
    parser.add_argument("--turns", action="store_true", help="a step for every line of input: 1 with R1, 0 without")
    parser.add_argument("--steps", type=int, default=2, help="steps that are timed, of each kind")
    for name, value in asdict(Size()).items():
        parser.add_argument(f"--{name}", type=int, default=int(value))
    options = vars(parser.parse_args())
    device = "cuda" if torch.cuda.is_available() else "cpu"
    engine, path, precision, steps, turns = (options.pop(name) for name in ("engine", "path", "precision", "steps", "turns"))
    if engine == "ours":
        import studiolike.stylegan2  # noqa: F401  what libraries occupy is not the engine's
    else:
        peer_modules(path)
    before = memory_gib("VmRSS")
    built = build(engine, Size(**options), device, precision, path)
    seconds = {True: [], False: []}
    if turns:
        print(json.dumps(built.parameters()), flush=True)
        for line in sys.stdin:
            print(json.dumps(timed(built, line.strip() == "1", device)), flush=True)
    else:
        for k in range(steps + 1):
            for regularise in (True, False):
                spent = timed(built, regularise, device)[0]
                if k:  # the first is the warm-up
                    seconds[regularise].append(spent)
    peak = torch.cuda.max_memory_allocated() / 2**30 if device == "cuda" else memory_gib("VmHWM") - before
    print(json.dumps(peak if turns else {"plain": seconds[False], "regularised": seconds[True], "peak_gib": peak}))


if __name__ == "__main__":
    main()
