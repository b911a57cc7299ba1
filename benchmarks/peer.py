"""Our StyleGAN2 beside a checkout of stylegan2-ada-pytorch: ``make bench ARGS="--peer PATH"``.

One training iteration is the generator's and the discriminator's update, the weight average, and a sixteenth of an R1
step. Every engine has a process of its own, as its user would; they take turns step by step, so that whatever else the
machine does meets all of them, and their sizes agree to within a percent. The peer runs its own loss with its reference
operations in float32 (it knows no bfloat16). Two more rows tell what makes the difference: "shared" is the peer with one
pass of G for both players, "memory kept" the peer with the C library told to keep freed memory, as ours tells it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from engines import Size, Worker, iteration, peer_modules

BARS = {"ours, float32": 0.70, "ours, bf16": 0.40}  # of the peer's time
ENGINES = {
    "peer": ("peer", "no", {}),
    "peer, shared": ("peer-shared", "no", {}),
    "peer, memory kept": ("peer", "no", {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1)}),
    "ours, float32": ("ours", "no", {}),
    "ours, bf16": ("ours", "bf16", {}),
}


def has_bf16(device: str) -> bool:
    """Whether bfloat16 is computed by the hardware; elsewhere it is emulated, and slow."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capability = torch.cpu.get_capabilities()
    return bool(capability.get("avx512_bf16") or capability.get("amx_bf16") or capability.get("bf16"))


def peer_rows(
    path: Path, device: str, resolutions: tuple[int, ...] = (64, 128), batch: int = 8, repeats: int = 3
) -> Iterator[dict]:
    """Measured rows, one per engine and resolution; prints sizes and ratios on the way.

    Args:
        path: the checkout.
        repeats: R1 steps of each engine; three times as many plain steps.
    Raises:
        SystemExit: ``path`` is no such checkout.
    """
    peer_modules(path)  # refuses what is no checkout, before anything is started
    engines = {name: how for name, how in ENGINES.items() if how[1] != "bf16" or has_bf16(device)}
    for resolution in resolutions:
        size = Size(resolution, batch)
        workers = {
            name: Worker(engine, size, precision, path, environment) for name, (engine, precision, environment) in engines.items()
        }
        for name in ("peer", "ours, float32"):
            print(f"{name}: G and D have {' and '.join(f'{n:,}' for n in workers[name].parameters)} parameters")
        spent = {(name, kind): [] for name in workers for kind in (True, False)}
        for k in range(repeats + 1):
            for regularise in (True, False, False, False):
                for name, worker in workers.items():
                    seconds = worker.step(regularise)
                    if k:  # the first round is the warm-up
                        spent[name, regularise].append(seconds)
        first: dict = {}
        for name, worker in workers.items():
            steps = {clock: [[t[clock] for t in spent[name, kind]] for kind in (False, True)] for clock in (0, 1)}
            wall, processor = (iteration(*steps[clock]) / batch for clock in (0, 1))
            slowest, fastest = (iteration(*([f(times)] for times in steps[0])) / batch for f in (max, min))
            row = {
                "name": f"{name}, {resolution}², batch {batch}",
                "unit": "images/s",
                "median": 1 / wall,
                "min": 1 / slowest,
                "max": 1 / fastest,
                "resolution": resolution,
                "batch": batch,
                "peak_gib": round(worker.close(), 3),
                "seconds_per_image": wall,
                "processor_seconds_per_image": processor,
            }
            first = first or row  # the peer stands first
            row |= {
                "ratio": wall / first["seconds_per_image"],
                "ratio_memory": row["peak_gib"] / first["peak_gib"],
                "ratio_processor": processor / first["processor_seconds_per_image"],
            }
            bar = BARS.get(name)
            verdict = f", bar {bar:.2f}×: {'met' if row['ratio'] <= bar else 'missed'}" if bar else ""
            row["note"] = f"{row['ratio']:.2f}× (processor {row['ratio_processor']:.2f}×){verdict}"
            yield row
