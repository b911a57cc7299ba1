"""A short look at a chain: a few columns over some captures, for choosing settings while training.

`evaluate` measures everything and takes its time; this takes about a tenth of a second of one core for each capture and
result at 256².
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..image import resize
from .bootstrap import Estimate, clustered_mean
from .lighting import low_band_error, variance_over_lights
from .perceptual import perceptual, perceptual_judge
from .psnr import gain_fitted, psnr

Chain = Callable[[Tensor, Tensor], dict[str, Tensor]]


@torch.no_grad()
def chain_quality(
    chain: Chain,
    data,
    rows: Sequence[int] | Tensor | None = None,
    *,
    resolution: int | None = None,
    batch: int = 16,
    device: str | torch.device = "cpu",
) -> dict[str, dict[str, Estimate]]:
    """Measure all results of a chain in the observed region of captures whose studio texture is known.

    Args:
        chain: texture ``(B, 3, H, W)``, visibility ``(B, 1, H, W)`` → named results ``(B, 3, h, w)`` in [0, 1], any side.
        data: a `TextureSet`. rows: its capture rows; default those of the split "val", never "test".
        resolution: side of the comparison; default that of the set.
    Returns:
        per result the columns ``psnr`` and ``psnr_fitted`` (dB), ``low_band``, ``low_band_luminance``, ``low_band_chroma``,
        ``perceptual@…``, ``variance_ratio`` (of the outputs over lights ÷ the input's) and ``seconds`` (of the whole chain
        per capture), with 95 % intervals over subjects. The row ``input`` is the phone texture.
    Raises:
        InputError: no rows.
    """
    rows = torch.as_tensor(data.captures("val") if rows is None else rows, dtype=torch.long)
    if not len(rows):
        raise InputError("no capture rows to measure a chain on; make a set with subjects in its val split")
    size, judge = resolution or data.resolution, perceptual_judge(str(device))
    subject = torch.as_tensor(data.subject, dtype=torch.long)[rows]
    columns: dict[str, dict[str, list[Tensor]]] = {}
    pictures: dict[str, list[Tensor]] = {}
    visible = []
    for part in torch.arange(len(rows)).split(batch):
        texture, visibility = data.phone_batch(rows[part], device)
        started = time.perf_counter()
        results = chain(texture, visibility)
        if torch.device(device).type == "cuda":
            torch.cuda.synchronize(device)
        seconds = (time.perf_counter() - started) / len(part)
        for k in torch.arange(len(part)).split(4):  # small pieces stay in the processor's cache: a third faster
            seen, target = resize(visibility[k], size), resize(data.studio_batch(subject[part[k]], device), size)
            described = judge.describe(target)
            visible.append(seen.cpu())
            for name, result in {"input": texture, **results}.items():
                result = resize(result[k].to(texture), size).clamp(0, 1)
                measured = {
                    "psnr": psnr(result, target, seen),
                    "psnr_fitted": psnr(gain_fitted(result, target, seen), target, seen),
                    **low_band_error(result, target, seen),
                    f"perceptual@{size}": perceptual(judge, result, target, seen, described),
                    "seconds": torch.full((len(k),), 0.0 if name == "input" else seconds),
                }
                for key, value in measured.items():
                    columns.setdefault(name, {}).setdefault(key, []).append(value.cpu())
                pictures.setdefault(name, []).append(resize(result, min(size, 128)).cpu())  # light is low-frequency
    mask = resize(torch.cat(visible), min(size, 128))
    of_input, ids = variance_over_lights(torch.cat(pictures["input"]), subject, mask)
    table: dict[str, dict[str, Estimate]] = {}
    for name, values in columns.items():
        table[name] = {key: clustered_mean(torch.cat(v).numpy(), subject.numpy()) for key, v in values.items()}
        ratio = variance_over_lights(torch.cat(pictures[name]), subject, mask)[0] / of_input.clamp_min(1e-12)
        table[name]["variance_ratio"] = clustered_mean(ratio.numpy(), ids.numpy())
    return table


def quality_lines(table: dict[str, dict[str, Estimate]]) -> str:
    """The table of `chain_quality` as text: one line per result, means and half the width of their intervals."""
    names = list(next(iter(table.values())))
    width = max(len(name) for name in table)
    lines = [" " * width + "".join(f"{name.replace('low_band_', ''):>18s}" for name in names)]
    for name, row in table.items():
        cells = (f"{e.mean:.4g} ±{np.nan_to_num((e.high - e.low) / 2):.2g}" for e in (row[k] for k in names))
        lines.append(f"{name:{width}s}" + "".join(f"{cell:>18s}" for cell in cells))
    return "\n".join(lines)
