"""One trainer for all stages: `fit` drives a `Stage`, on one CPU or many GPUs, and can be stopped at any moment.

Progress is counted in images. Every step draws its randomness from generators seeded by (seed, images seen, rank),
so an interrupted and resumed run is the uninterrupted run: nothing but weights, optimisers and the count is state.

That is why a checkpoint is one file, replaced in one move, and not the folder that accelerate's `save_state` writes: a run killed
between two files of a folder would resume from a mixture of two moments; and the generators' states, which it keeps for each
process, would tie a run to the number of processes that it began with.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, PartialState
from accelerate.state import AcceleratorState
from accelerate.utils import set_seed
from torch import nn
from tqdm.auto import tqdm

from .device import device_name, find_device, keep_memory, peak_gib
from .errors import InputError, WeightsError
from .io import atomic
from .run_record import RunRecord, trim_log

CHECKPOINT = "checkpoint.pt"
PATIENCE = timedelta(days=1)  # of processes for the main one, while it makes a set or inverts a code bank


class Stage:
    """What `fit` drives: networks, their optimisers, and one step. Subclass it.

    Attributes:
        name: short name, for messages and records.
        batch: images that one step consumes (over all processes).
        modules: networks to train (and frozen ones that a resume must restore), by name.
        optimizers: their optimisers, by name.
        accelerator: set by `fit`; use ``self.accelerator.backward(loss)`` and ``self.accelerator.device``.
    """

    name: str = "stage"
    batch: int = 1
    modules: dict[str, nn.Module]
    optimizers: dict[str, torch.optim.Optimizer]
    accelerator: Accelerator

    def step(self, images: int, rng: torch.Generator) -> dict[str, float]:
        """One optimisation step after ``images`` images; returns scalars to log. ``rng`` is on the CPU."""
        raise NotImplementedError

    def preview(self, path: Path) -> None:
        """Write a picture of the present state to ``path`` (PNG). Optional."""

    def measure(self) -> dict[str, float]:
        """Measurements worth a curve, taken with every preview and logged in a line of their own. Optional."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """Further state a resume needs (plain numbers, tensors, dicts of them). Optional."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` gave."""

    def finish(self) -> dict[str, float]:
        """Called once when all images are done; may return final measurements for the record."""
        return {}


def compiled(function: Callable[..., Any], name: str, backend: str = "inductor") -> Callable[..., Any]:
    """``torch.compile`` that never stops a training: where it fails, a warning names the reason and ``function`` itself runs.

    The result must not be differentiated twice.
    """
    fast, working = torch.compile(function, backend=backend), True

    def call(*args: Any, **kwargs: Any) -> Any:
        nonlocal working
        if working:
            try:
                return fast(*args, **kwargs)
            except Exception as error:  # a compiler fails in many ways: no C compiler, no triton, an operation it does not know
                working = False
                reason = (str(error).strip() or type(error).__name__).splitlines()[0]
                warnings.warn(f"{name} goes on uncompiled: {reason}", RuntimeWarning, stacklevel=2)
        return function(*args, **kwargs)

    return call


def step_seed(seed: int, images: int, rank: int = 0) -> int:
    """Seed of the step after ``images`` images: a hash, so that neighbouring steps share nothing."""
    return int.from_bytes(hashlib.blake2b(f"{seed}/{images}/{rank}".encode(), digest_size=7).digest(), "little")


def was_skipped(*optimizers: torch.optim.Optimizer) -> bool:
    """Whether the latest step of any of these found float16 gradients out of range and changed nothing.

    What follows a step, an average of the weights for example, must then stand still as well.
    """
    return any(getattr(optimizer, "step_was_skipped", False) for optimizer in optimizers)


@contextmanager
def whole_steps(accelerator: Accelerator) -> Iterator[None]:
    """Answer Ctrl-C at the end of the block, so that it leaves a whole step and never half of one; a second one at once.

    Several processes stop together, after the same step.
    """
    asked: list[tuple[Any, ...]] = []

    def hold(*caught: Any) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(caught)

    reachable = threading.current_thread() is threading.main_thread()  # no other thread may set or get a signal
    before = signal.signal(signal.SIGINT, hold) if reachable else None
    try:
        yield
        stop = bool(asked)
        if accelerator.num_processes > 1:
            stop = accelerator.reduce(torch.tensor(float(stop), device=accelerator.device)).item() > 0
    finally:
        if reachable:
            signal.signal(signal.SIGINT, before)
    if stop:
        raise KeyboardInterrupt


def _save(path: Path, stage: Stage, images: int, seconds: float, settings: dict, scalars: dict[str, float]) -> None:
    unwrap = stage.accelerator.unwrap_model
    state = {
        "images": images,
        "seconds": seconds,
        "scalars": {k: float(v) for k, v in scalars.items()},  # who is stopped after the last step still has them to record
        "settings": json.dumps(settings, sort_keys=True, default=str),
        "precision": stage.accelerator.mixed_precision,
        "modules": {k: unwrap(m).state_dict() for k, m in stage.modules.items()},
        "optimizers": {k: o.state_dict() for k, o in stage.optimizers.items()},
        "stage": stage.state_dict(),
        "scaler": scaler.state_dict() if (scaler := stage.accelerator.scaler) is not None else {},
    }
    with atomic(path) as temporary:
        torch.save(state, temporary)


def _load(path: Path, stage: Stage, settings: dict) -> tuple[int, float, dict[str, float]]:
    try:
        state = torch.load(path, map_location=stage.accelerator.device, weights_only=True)
    except Exception as error:  # torch raises many kinds for a damaged file
        raise WeightsError(f"{path} is damaged; delete it to start this run afresh") from error
    if state["settings"] != json.dumps(settings, sort_keys=True, default=str):
        raise WeightsError(f"{path} was made with other settings; choose another run folder or delete it")
    precision, scaler = stage.accelerator.mixed_precision, stage.accelerator.scaler
    # checkpoints that are older than the entry tell only whether they have a scaler
    before = state.get("precision", precision if (scaler is None) == (not state["scaler"]) else "another precision")
    if before != precision:
        raise WeightsError(f"{path} was trained in {before}, not in {precision}; choose --set.precision or another run folder")
    for key, module in stage.modules.items():
        stage.accelerator.unwrap_model(module).load_state_dict(state["modules"][key])
    for key, optimizer in stage.optimizers.items():
        optimizer.load_state_dict(state["optimizers"][key])
    stage.load_state_dict(state["stage"])
    if scaler is not None:  # a fresh one would begin with steps that overflow and are skipped
        scaler.load_state_dict(state["scaler"])
    return state["images"], state["seconds"], state.get("scalars", {})


def processes(device: str | None = None) -> PartialState:
    """The processes that train together, this one alone unless ``accelerate launch`` started several.

    Args:
        device: of this process; None is a GPU where there is one. Among several processes each has its own, so that only "cpu",
            "cuda" and None can be asked for.
    Raises:
        InputError: no such device, or a numbered one for several processes.
    """
    wanted = None if device is None else find_device(device)
    state = PartialState(cpu=device == "cpu", timeout=PATIENCE)
    if wanted is None:
        return state
    if state.num_processes == 1:
        state.device = wanted
        if wanted.type == "cuda" and wanted.index is not None:  # "cuda" is the current one, and torch refuses to be told so
            torch.cuda.set_device(wanted)  # what names no device, a kernel's workspace for example, must not go to another
    elif wanted.index is not None:
        raise InputError(
            f"several processes cannot share {device}: leave --device out and list the devices in CUDA_VISIBLE_DEVICES"
        )
    return state


def check_precision(precision: str, device: torch.device) -> None:
    """Raise `InputError` for a precision in which this device does not train."""
    if precision == "fp16" and device.type == "cpu":
        raise InputError("fp16 needs a GPU; on the CPU use  --set.precision no  or  --set.precision bf16")


def prepare(stage: Stage, *, device: str | None = None, precision: str = "no", seed: int = 0, **options: Any) -> Accelerator:
    """Hand a stage's networks and optimisers to `accelerate`: the part of `fit` before the first step.

    Under ``accelerate launch`` every process gets its share of the batch, and weights that start alike.

    Args:
        device, precision: as in `fit`. options: further ones of `accelerate.Accelerator`.
    Raises:
        InputError: a batch that does not divide among the processes, a device that is not there, fp16 without a GPU.
    """
    AcceleratorState._reset_state(reset_partial_state=True)  # one process may run several stages in a row
    where = processes(device).device
    check_precision(precision, where)
    stage.accelerator = accelerator = Accelerator(mixed_precision=precision, cpu=where.type == "cpu", **options)
    if stage.batch % accelerator.num_processes:
        raise InputError(
            f"a batch of {stage.batch} does not divide among {accelerator.num_processes} processes; "
            "choose a multiple, or another number of processes"
        )
    if accelerator.device.type == "cpu":
        keep_memory()
    set_seed(seed)
    # a network that nothing trains, an average for example, has no gradients to share between processes
    stage.modules = {
        k: accelerator.prepare_model(m, evaluation_mode=not any(p.requires_grad for p in m.parameters()))
        for k, m in stage.modules.items()
    }
    stage.optimizers = {k: accelerator.prepare(o) for k, o in stage.optimizers.items()}
    return accelerator


def cooling(images: int, total: int, share: float, batch: int) -> float:
    """Share of the learning rate after ``images`` of ``total`` images, falling in a line to zero over the last ``share`` of them.

    The steps of a game never agree; only ever smaller ones let what they agree on remain.
    """
    return min(max((total - images) / max(share * total, batch), 0.0), 1.0)


def begun(run_dir: str | os.PathLike) -> bool:
    """Whether `fit` would resume a run from this folder."""
    return (Path(run_dir) / CHECKPOINT).exists()


def fit(
    stage: Stage,
    images: int,
    run_dir: str | os.PathLike,
    *,
    seed: int = 0,
    settings: dict | None = None,
    checkpoint_every: int | None = None,
    preview_every: int | None = None,
    log_every: int | None = None,
    device: str | None = None,
    precision: str = "no",
    resume: bool = True,
    progress: bool = True,
    after: RunRecord | None = None,
) -> RunRecord:
    """Train ``stage`` until it has seen ``images`` images; resume from ``run_dir`` if a run was stopped there.

    Writes ``checkpoint.pt`` (exact state), ``log.jsonl`` (one line of scalars per interval), ``preview-*.png`` and,
    at the end, ``record.json``. Ctrl-C ends the step, saves a checkpoint and raises `KeyboardInterrupt`.

    Args:
        settings: what makes this run this run; a checkpoint of other settings is refused.
        checkpoint_every, preview_every, log_every: in images; default a tenth, a quarter, a fiftieth of the run.
        device: where, "cpu" or "cuda:1" for example; None is a GPU where there is one.
        precision: "no", "fp16" or "bf16".
        after: of a stage that trained the same networks before; images and seconds are counted on from there.
    Raises:
        WeightsError: a damaged checkpoint, or one of other settings or of another precision.
    """
    run_dir = Path(run_dir)
    run_dir.mkdir(parents=True, exist_ok=True)
    settings = settings or {}
    accelerator = prepare(stage, device=device, precision=precision, seed=seed)
    checkpoint, log = run_dir / CHECKPOINT, run_dir / "log.jsonl"
    main = accelerator.is_main_process  # the only one that writes
    seen, before = (after.images, after.seconds) if after else (0, 0.0)
    resumed, scalars = resume and begun(run_dir), {}
    if resumed:
        seen, before, scalars = _load(checkpoint, stage, settings)
    if main and resumed:
        trim_log(log, seen)
    elif main:
        log.unlink(missing_ok=True)
    checkpoint_every = checkpoint_every or max(images // 10, stage.batch)
    preview_every = preview_every or max(images // 4, stage.batch)
    log_every = log_every or max(images // 50, stage.batch)
    started = time.perf_counter()
    bar = tqdm(
        total=images,
        initial=min(seen, images),
        unit="img",
        desc=stage.name,
        disable=not (progress and main),
        mininterval=2.0,
        smoothing=0.05,
    )
    first, whole = seen, True

    def elapsed() -> float:
        return before + time.perf_counter() - started

    def write(line: dict[str, float]) -> None:
        with log.open("a") as handle:
            handle.write(json.dumps({k: v if k == "images" else float(f"{v:.5g}") for k, v in line.items()}) + "\n")

    try:
        while seen < images:
            number = step_seed(seed, seen, accelerator.process_index) % 2**63
            passed = seen // log_every, seen // checkpoint_every, seen // preview_every
            with whole_steps(accelerator):
                whole = False
                torch.manual_seed(number)
                scalars.update(stage.step(seen, torch.Generator().manual_seed(number)))
                seen, whole = seen + stage.batch, True
            bar.update(min(stage.batch, max(images - seen + stage.batch, 0)))
            if main and (seen // log_every > passed[0] or seen >= images):
                speed = (seen - first) / max(time.perf_counter() - started, 1e-9)
                write(
                    {
                        "images": seen,
                        "seconds": round(elapsed(), 1),
                        "images_per_second": speed,
                        "peak_gib": peak_gib(accelerator.device),
                        **scalars,
                    }
                )
                bar.set_postfix({k: f"{v:.3g}" for k, v in list(scalars.items())[:4]}, refresh=False)
            if main and (seen // checkpoint_every > passed[1] or seen >= images):
                _save(checkpoint, stage, seen, elapsed(), settings, scalars)
            if main and (seen // preview_every > passed[2] or seen >= images):
                stage.preview(run_dir / f"preview-{seen:08d}.png")
                measured = stage.measure()
                if measured:
                    write({"images": seen, "seconds": round(elapsed(), 1), **measured})
    except KeyboardInterrupt:
        if main and whole:  # else the last checkpoint stands
            _save(checkpoint, stage, seen, elapsed(), settings, scalars)
            bar.write(f"{stage.name} stopped after {seen} images; the same command resumes it from {run_dir}")
        raise
    finally:
        bar.close()
    final = {**scalars, **(stage.finish() or {})}
    record = RunRecord(
        stage.name,
        seen,
        round(elapsed(), 1),
        seed,
        device_name(accelerator.device),
        {"precision": accelerator.mixed_precision} | settings,
        {k: float(v) for k, v in final.items()},
    )
    if main:
        record.write(run_dir / "record.json")
    accelerator.wait_for_everyone()  # whoever comes back finds the files written
    return record
