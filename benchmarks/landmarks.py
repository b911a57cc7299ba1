"""How much landmarks move with the light: the same face in the same pose under many lights, in per cent of the face's width.

    python benchmarks/landmarks.py FOLDER

``FOLDER`` (default: what ``STUDIOLIKE_REAL_SAMPLES`` names) holds ``pairs/NAME/phone_light*.png`` and ``landmarks/NAME.json``,
the points of the even light. The faces are of real people and are in no checkout; without them nothing is measured.
One row per person: the median and the worst light, against the stored points and around the mean of all lights, which leaves
out what every light has in common; then the time of a picture. The page "What you can put in" shows the rows.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from pathlib import Path

import numpy as np

from studiolike import io
from studiolike.capture import landmarks, load_landmarks


def deviation(points: np.ndarray, other: np.ndarray) -> float:
    """Mean distance in the picture of two sets ``(468, 3)``, in per cent of the face's width."""
    return 100 * float(np.linalg.norm((points - other)[:, :2], axis=1).mean() / np.ptp(other[:, 0]))


def measure(folder: Path) -> dict[str, dict[str, list[float]]]:
    """Per person and in the order of the lights: ``stored`` and ``mean``, in per cent, and ``seconds``."""
    result = {}
    for pair in sorted(path for path in (folder / "pairs").iterdir() if path.is_dir()):
        stored = load_landmarks(folder / "landmarks" / f"{pair.name}.json").points
        found, seconds = [], []
        for path in sorted(pair.glob("phone_light*.png")):
            image, start = io.read_image(path), time.perf_counter()
            found.append(landmarks(image))
            seconds.append(time.perf_counter() - start)
        mean = np.mean(found, axis=0)
        result[pair.name] = {
            "stored": [deviation(points, stored) for points in found],
            "mean": [deviation(points, mean) for points in found],
            "seconds": seconds,
        }
    return result


def rows(measured: dict[str, dict[str, list[float]]]) -> list[str]:
    """The lines of the table. Real people are numbered, not named."""
    lines = [
        "| face | from the points of even light: median, worst | around their own mean: median, worst |",
        "| --- | --- | --- |",
    ]
    for number, row in enumerate(measured.values(), 1):
        pairs = (f"{statistics.median(row[key]):.2f} %, {max(row[key]):.2f} %" for key in ("stored", "mean"))
        lines.append(f"| {number} | {' | '.join(pairs)} |")
    return lines


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("STUDIOLIKE_REAL_SAMPLES", "real"))
    if not (folder / "pairs").is_dir():
        print(f"skipped: {folder} holds no pairs")
        return
    measured = measure(folder)
    print(*rows(measured), sep="\n")
    print(f"{statistics.median(second for row in measured.values() for second in row['seconds']):.2f} s a picture")


if __name__ == "__main__":
    main()
