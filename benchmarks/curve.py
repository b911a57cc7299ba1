"""What training costs against resolution and batch: seconds and memory per image, each size in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from engines import Size, fresh, iteration

from studiolike.config import GeneratorConfig

RESOLUTIONS, BATCHES = (32, 64, 128, 256), (4, 8, 16, 32)


def curve_rows(
    resolutions: tuple[int, ...] = RESOLUTIONS, batches: tuple[int, ...] = BATCHES, precision: str = "no", repeats: int = 2
) -> Iterator[dict]:
    """One row per resolution and batch: G_phone's training as it is, with its encoder and its augmentation.

    Channels are those of the ``cpu`` profile. ``plot.py`` draws the rows.
    """
    for resolution in resolutions:
        for batch in batches:
            size = Size(resolution, batch, channel_base=GeneratorConfig.channel_base, plain=False)
            found = fresh("ours", size, precision, steps=repeats)
            steps = found["plain"], found["regularised"]
            seconds, slowest, fastest = (iteration(*([f(times)] for times in steps)) / batch for f in (median, max, min))
            yield {
                "name": f"G_phone training, {resolution}², batch {batch}",
                "unit": "images/s",
                "curve": "training",
                "resolution": resolution,
                "batch": batch,
                "precision": precision,
                "seconds_per_image": seconds,
                "median": 1 / seconds,
                "min": 1 / slowest,
                "max": 1 / fastest,
                "peak_gib": round(found["peak_gib"], 3),
                "mib_per_image": round(found["peak_gib"] * 1024 / batch, 1),
                "note": f"{1000 * seconds:.1f} ms and {found['peak_gib'] * 1024 / batch:.1f} MiB an image",
            }
