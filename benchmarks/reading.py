"""Speed and memory of reading a large set: 12,000 captures at 256², once through, in random order.

The arrays are sparse files of zeros, which take no room on the disk but the same way into memory. What counts is the
process's own memory: pages of a mapped file are the system's cache, which it takes back when they are needed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from engines import memory_gib

from studiolike.synth import TextureSet

CAPTURES, RESOLUTION, BATCH = 12_000, 256, 32


def write_sparse(folder: Path, captures: int, resolution: int) -> None:
    """A set of ``captures`` black textures, two of each subject, in the layout that `TextureSet` opens."""
    subjects = captures // 2
    for name, rows, channels in (("phone", captures, 3), ("visibility", captures, 1), ("studio", subjects, 3)):
        shape = rows, channels, resolution, resolution
        np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype=np.uint8, shape=shape).flush()
    zeros = np.zeros(subjects, np.int64)
    np.savez(
        folder / "index.npz",
        subject=np.arange(captures) // 2,
        lighting=np.arange(captures),
        severity=np.zeros(captures, np.float32),
        tone=zeros.astype(np.float32),
        seeds=zeros,
        split=zeros,
    )
    (folder / "manifest.json").write_text(json.dumps({"spec": {"resolution": resolution}}))


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        write_sparse(Path(name), CAPTURES, RESOLUTION)
        before = peak = memory_gib("RssAnon")
        data = TextureSet.open(name)
        order = torch.randperm(CAPTURES, generator=torch.Generator().manual_seed(0))
        speeds = []
        for rows in order.split(BATCH):
            start = time.perf_counter()
            batch = data.phone_batch(rows)
            speeds.append(len(rows) / (time.perf_counter() - start))
            peak = max(peak, memory_gib("RssAnon"))  # while the batch lives
            del batch
    print(
        json.dumps(
            {
                "median": float(np.median(speeds)),
                "min": min(speeds),
                "max": max(speeds),
                "peak_gib": peak - before,
                "set_gib": CAPTURES * 4 * RESOLUTION**2 / 2**30,
            }
        )
    )


def reading_row() -> dict:
    """The row of the benchmark, measured in a process of its own; ``peak_gib`` is what reading adds."""
    done = subprocess.run([sys.executable, __file__], check=True, stdout=subprocess.PIPE, text=True)
    found = json.loads(done.stdout.splitlines()[-1])
    return {
        "name": f"reading {CAPTURES:,} captures, {RESOLUTION}², mapped",
        "unit": "captures/s",
        **found,
        "note": f"of {found['set_gib']:.1f} GiB of textures",
    }


if __name__ == "__main__":
    main()
