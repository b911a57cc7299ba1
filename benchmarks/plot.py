"""Draw the cost curve from the benchmark's records: ``python benchmarks/plot.py``, after ``run.py --only curve``.

Two panels over the resolution, a line per batch: seconds per image of training, and peak memory.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from studiolike.chapters.figures import MARKERS, PALETTE, WIDTH, style

PANELS = (("seconds_per_image", "seconds per image"), ("peak_gib", "peak memory, GiB"))


def draw(records: dict, path: Path) -> None:
    """Write the figure; the suffix of ``path`` gives the format.

    Args:
        records: what ``run.py`` wrote, with rows of the group ``curve``.
    Raises:
        SystemExit: there are no such rows.
    """
    rows = [row for row in records["rows"] if row.get("curve") == "training"]
    if not rows:
        raise SystemExit("these records hold no cost curve; measure one:  python benchmarks/run.py --only curve")
    with style():
        figure, axes = plt.subplots(1, 2, figsize=(WIDTH, WIDTH * 0.45), layout="constrained")
        for axis, (key, label) in zip(axes, PANELS, strict=True):
            for k, batch in enumerate(sorted({row["batch"] for row in rows})):
                line = sorted((row["resolution"], row[key]) for row in rows if row["batch"] == batch)
                axis.plot(*zip(*line, strict=True), marker=MARKERS[k], color=PALETTE[k], label=f"batch {batch}")
            axis.set(xlabel="resolution, texels", ylabel=label, yscale="log")
            axis.set_xscale("log", base=2)
            sizes = sorted({row["resolution"] for row in rows})
            axis.set_xticks(sizes, [str(size) for size in sizes])
        axes[0].legend()
        figure.suptitle(f"Training G_phone: {records['facts']['device']}, torch {records['facts']['torch']}")
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records", nargs="?", type=Path, default=Path("_build/bench.json"))
    parser.add_argument("--out", type=Path, default=Path("_build/bench-cost.svg"))
    options = parser.parse_args()
    if not options.records.is_file():
        raise SystemExit(f"no records at {options.records}; make some:  python benchmarks/run.py --only curve")
    draw(json.loads(options.records.read_text()), options.out)
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
