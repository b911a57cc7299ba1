"""Is the result still that person? The chain on real photographs, measured by the judge of real faces.

There is no true studio texture of a stranger, but there is the photograph. For each one: how far it is from the drawn phone
texture (the best a texture of this layout can do), from the quotient's and from the chain's, from the chain's on the head that
`view` makes and on the base head; and how far the chain's result is from the phone texture, both drawn alike. See `face_judge`;
0.6 is where two people begin.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from .. import capture, io, weights
from ..errors import CaptureError, InputError, MissingExtra
from ..pictures import on_grey
from .baselines import StudioReference, bound
from .chips import chip_view
from .face_judge import distance, photo_distance
from .face_net import SAME_PERSON, FaceNet
from .table import pipe_table

COLUMNS = {
    "phone": "photo – phone",
    "quotient": "photo – quotient",
    "result": "photo – result",
    "avatar": "photo – avatar",
    "base_head": "photo – result on the base head",
    "phone_result": "phone – result",
}


def photo_rows(pipe, folder: Path) -> Iterator[tuple[str, dict[str, float] | str]]:
    """Name and distances of every photograph in a folder, or the reason why it cannot be used.

    Landmarks stored as ``<name>.json``, beside the photograph or in a folder ``landmarks`` beside its folder, are used where
    they are; else they are found. Arguments as `photo_identity`.
    """
    quotient = bound(StudioReference(weights.studio_mean()[0]))["quotient"]
    size = pipe.detailer.config.resolution  # the chain's own, whatever size the profile would train
    for path in sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith(".")):
        if path.suffix.lower() not in io.READABLE:
            if path.suffix.lower() != ".json":  # landmarks
                yield path.name, "not a picture"
            continue
        stored = [p for p in (path.with_suffix(".json"), folder.parent / "landmarks" / f"{path.stem}.json") if p.is_file()]
        try:
            layers = io.read_photo(path)
            image = on_grey(layers)
            points = capture.load_landmarks(stored[0]) if stored else capture.landmarks(image)
            shot = capture.capture_photo(layers, size, points)
        except (CaptureError, InputError, MissingExtra) as error:
            yield path.name, str(error)
            continue
        result = pipe(shot.texture, shot.visibility, resolution=size, keep_tone=True).texture.cpu()
        textures = torch.cat([shot.texture, quotient(shot.texture, shot.visibility), result])
        found = photo_distance(image, shot.landmarks, textures)
        heads = chip_view(shot.landmarks, closed=True, outward=shot.outward), chip_view()
        drawn = [photo_distance(image, shot.landmarks, result, view) for view in heads]
        alike = distance(shot.texture, result, view=chip_view(shot.landmarks))
        yield path.name, dict(zip(COLUMNS, torch.cat([found, *drawn, alike]).tolist(), strict=True))


def photo_identity(pipe, folder: str | Path, *, out: Path | None = None) -> str:
    """A table of `photo_rows`, with medians, as text.

    Args:
        pipe: the chain, which runs as `convert` does it. folder: photographs of one face each.
        out: JSON file for the numbers.
    Raises:
        InputError: no such folder, or no usable photograph in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder of photographs")
    rows = dict(photo_rows(pipe, folder))
    usable = {name: row for name, row in rows.items() if isinstance(row, dict)}
    if not usable:
        raise InputError(f"no usable photograph in {folder}" + "".join(f"; {n}: {why}" for n, why in rows.items()))
    medians = {key: float(np.median([row[key] for row in usable.values()])) for key in COLUMNS}
    table = [[name, *(f"{row[key]:.2f}" for key in COLUMNS)] for name, row in {**usable, "**median**": medians}.items()]
    lines = [
        pipe_table(["photograph", *COLUMNS.values()], table),
        "",
        f"Distances by {FaceNet.name}, faces drawn from the front, unlit, in the shape and with the smile that the photograph "
        "shows; the avatar has that shape too, with its mouth closed, and the base head has nobody's. "
        f"Below {SAME_PERSON} its author calls two pictures one person's.",
    ]
    lines += [f"Not used: {name} ({why})" for name, why in rows.items() if isinstance(why, str)]
    if out:
        with io.atomic(out) as temporary:
            temporary.write_text(json.dumps({"network": FaceNet.name, "photographs": rows, "median": medians}, indent=1) + "\n")
    return "\n".join(lines)
