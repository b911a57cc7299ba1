"""A folder of 1,000 textures through `studiolike convert`: speed of the first hundred and of the last, and memory of both.

The real command with the released networks, at 512², in a process of its own. Flat means that neither changes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from reading import private_gib

TEXTURES, SIZE, PART = 1000, 512, 100


def measure(count: int, size: int) -> dict:
    """Convert ``count`` different textures; the second part begins after ``PART`` of them, or after half."""
    from studiolike import convert
    from studiolike.cli import main
    from studiolike.io import write_image
    from studiolike.weights import studio_mean

    seconds, memory = [], []
    one = convert.convert

    def timed(*arguments):
        start = time.perf_counter()
        report = one(*arguments)
        seconds.append(time.perf_counter() - start)
        memory.append(private_gib())
        return report

    convert.convert = timed
    with tempfile.TemporaryDirectory() as name:
        folder, out = Path(name) / "in", Path(name) / "out"
        write_image(studio_mean()[0], folder / "0.png")
        mean = np.asarray(Image.open(folder / "0.png").resize((size, size))).astype(np.int16)
        for number in range(count):
            noise = np.random.default_rng(number).integers(-12, 13, mean.shape)
            Image.fromarray((mean + noise).clip(0, 255).astype(np.uint8)).save(folder / f"{number}.png", compress_level=1)
        code = main(["convert", str(folder), "-o", str(out), "--size", str(size), "--kind", "texture", "--quiet"])
    part = min(PART, count // 2)
    first, last = (float(np.median(seconds[k])) for k in (slice(1, part), slice(-part, None)))
    return {
        "exit": code,
        "median": 1 / float(np.median(seconds)),
        "min": 1 / max(seconds),
        "max": 1 / min(seconds),
        "slowdown": last / first - 1,
        "peak_gib": max(memory),
        "growth_gib": max(memory[-part:]) - max(memory[:part]),
    }


def folder_row() -> dict:
    """The row of the benchmark, measured in a process of its own."""
    done = subprocess.run([sys.executable, __file__], check=True, stdout=subprocess.PIPE, text=True)
    found = json.loads(done.stdout.splitlines()[-1])
    return {
        "name": f"a folder of {TEXTURES:,} textures, {SIZE}²",
        "unit": "textures/s",
        **found,
        "note": f"last {PART} against the first: time {found['slowdown']:+.1%}, memory {found['growth_gib'] * 1024:+.0f} MiB",
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=TEXTURES)
    parser.add_argument("--size", type=int, default=SIZE)
    print(json.dumps(measure(**vars(parser.parse_args()))))
