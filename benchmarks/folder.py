"""A folder of 1,000 textures through `studiolike convert`: speed of the first hundred and of the last, and memory of both.

The real command with the released networks, at 512², in a process of its own. Flat means that neither changes. Time is the
process's own, on all its cores, so that what else runs on the machine counts little.

    OMP_NUM_THREADS=1 nice -n 10 python benchmarks/folder.py --size 128    # the cheapest look that says something
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from engines import memory_gib

TEXTURES, SIZE, PART = 1000, 512, 100


def captures(count: int, folder: Path, size: int) -> None:
    """Write ``count`` textures of different people in different light, every second one with a visibility map.

    They are the shipped exemplars, two mixed at a time, under a slope of light and a tint, with grain.
    """
    from studiolike.image import resize
    from studiolike.io import visibility_path, write_image
    from studiolike.weights import exemplars

    people = resize(exemplars().float() / 255, size)
    across = torch.linspace(-1, 1, size)
    for number in range(count):
        rng = torch.Generator().manual_seed(number)
        one, other = torch.randint(len(people), (2,), generator=rng).tolist()
        share, slope = torch.rand(2, generator=rng).tolist()
        tint = 0.8 + 0.3 * torch.rand(3, 1, 1, generator=rng)
        grain = 0.02 * torch.randn(3, size, size, generator=rng)
        light = tint * (1 + 0.6 * (slope - 0.5) * across)
        path = folder / f"{number}.png"
        write_image((people[one].lerp(people[other], share) * light + grain).clamp(0, 1), path)
        if number % 2:
            write_image((1 - across.abs().expand(1, size, size) ** 2).clamp(0.05, 1), visibility_path(path))


def measure(count: int, size: int) -> dict:
    """Convert ``count`` different textures; the second part begins after ``PART`` of them, or after half.

    ``seconds`` and ``memory_gib`` tell the way from one to the other: the median time and the most memory of every part.
    """
    from studiolike import convert
    from studiolike.cli import main

    ends, memory = [], []
    one = convert.convert

    def watched(*arguments):
        report = one(*arguments)
        ends.append(time.process_time())  # what lies between two ends is one face, from its reading to its file
        memory.append((memory_gib("RssAnon"), memory_gib("VmRSS")))
        return report

    convert.convert = watched
    with tempfile.TemporaryDirectory() as name:
        folder, out = Path(name) / "in", Path(name) / "out"
        captures(count, folder, size)
        words = ["--size", str(size), "--kind", "texture", "--quiet"]
        code = main(["convert", str(folder), "-o", str(out), *words])
    part = min(PART, count // 2)
    seconds = torch.tensor(ends, dtype=torch.float64).diff()  # the first face waits for the networks
    own, resident = torch.tensor(memory).unbind(1)
    first, last = float(seconds[: part - 1].median()), float(seconds[-part:].median())
    return {
        "exit": code,
        "median": 1 / float(seconds.median()),
        "min": 1 / float(seconds.max()),
        "max": 1 / float(seconds.min()),
        "first": first,
        "last": last,
        "slowdown": last / first - 1,
        "peak_gib": float(own.max()),
        "resident_gib": float(resident.max()),
        "growth_gib": float(own[-part:].max() - own[:part].max()),
        "peak_growth_gib": float(own.max() - own[:part].max()),
        "seconds": [round(float(piece.median()), 4) for piece in seconds.split(part)],
        "memory_gib": [round(float(piece.max()), 4) for piece in own.split(part)],
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
