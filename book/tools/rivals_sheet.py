"""The pictures of the rivals' page and what is said below them: the same people for all methods, chosen by rule."""

from __future__ import annotations

import io as bytes_io
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from studiolike import capture, io
from studiolike.chapters import figures
from studiolike.config import profile
from studiolike.evaluation.table import higher_is_better
from studiolike.experiments.core import experiment
from studiolike.experiments.lab import Lab
from studiolike.experiments.rivals import LONG, NAMES, our_chain, row_of, trained
from studiolike.rivals import CLOSED, TRAINED, closed

if TYPE_CHECKING:
    from rivals_contest import Contest

BY = "perceptual/face"  # what best and worst are judged by
SPREAD = 6
LARGEST = 300_000  # bytes of a picture
TITLES = {
    "colour_transfer": "colour\ntransfer",
    "mean_studio": "mean\nface",
    "homomorphic": "homo-\nmorphic",
    "unet": "U-Net",
    "unet_long": "U-Net,\nlong",
    "unet_gain": "U-Net,\ngains",
    "cut": "CUT",
    "cut_long": "CUT,\nlong",
    "diffusion": "diffusion",
    "diffusion_long": "diffusion,\nlong",
    "generator": "our\ngener-\nator",
    "chain": "our\nchain",
}


def picture_name(protocol: str) -> str:
    """File of a protocol's sheet."""
    return f"rivals-{protocol}.jpg"


def figure(contest: Contest) -> list[str]:
    """The sheet of a protocol, with the rule by which its people were chosen."""
    return [
        f"```{{figure}} _static/{picture_name(contest.protocol)}",
        f":alt: Faces in rows, methods in columns, from the phone texture to the true studio texture, under the "
        f"protocol {contest.protocol}.",
        f":name: fig-rivals-{contest.protocol}",
        "",
        "A column is a method, at the size of the GAN stages; what the phone did not see is black in the first column, and the "
        "mean face is the same picture in every row. A rival that has learnt for different times stands there once, after the "
        "longest (*long*). Look in each row for the light that stayed, for the skin's colour and for "
        "whose face it is, and compare with the truth; hair and ears that the phone did not see are a guess, whoever draws them. "
        "Rows are chosen by rule: six people of `val` evenly spread over skin tones, lightest first; the person for whom our "
        "chain is best and the one for whom it is worst, by perceptual distance on the face; the person for whom the rival with "
        "the best mean there (it is named) gains most over our chain; and NASA's portrait of an astronaut (public domain), whose "
        "truth nobody knows; our columns keep her skin about as light as in the photograph, and more of what is evenly lit.",
        "```",
    ]


def people(contest: Contest, tones: np.ndarray) -> dict[str, int]:
    """Who is shown: what is said of them, and their place among the people that were judged."""
    order = np.argsort(tones, kind="stable")
    chosen = {f"tone {k + 1}": int(order[place]) for k, place in enumerate(np.linspace(0, len(order) - 1, SPREAD).astype(int))}
    sign = 1 if higher_is_better(BY) else -1
    ours = sign * contest.values("chain", BY).mean(0)
    chosen |= {"our\nbest": int(np.nanargmax(ours)), "our\nworst": int(np.nanargmin(ours))}
    if contest.rivals:
        means = {name: sign * contest.values(name, BY).mean(0) for name in contest.rivals}
        best = max(means, key=lambda name: np.nanmean(means[name]))
        chosen["\n".join(wrap(f"{TITLES.get(best, NAMES[best])} gains most", 9))] = int(np.nanargmax(means[best] - ours))
    return chosen


def methods(contest: Contest) -> list[str]:
    """Whoever has a column: all that were measured but doing nothing, and of each rival the longest training that there is."""
    briefly = {rival for long, (rival, _) in LONG.items() if long in contest.records}
    return [name for name in contest.records if name != "nothing" and name not in briefly]


def draw(contest: Contest, runs: Path, out: Path) -> str:
    """Write the sheet of a protocol; a method without a fresh record has no column.

    Raises:
        WeightsError: a rival's run under ``runs`` was made with other settings.
    """
    from skimage.data import astronaut

    settings = profile("cpu")
    lab = Lab(settings, runs, "cpu")
    data, rows = lab.data, lab.judged_rows
    subject = torch.as_tensor(data.subject)[rows]
    known = subject.unique()
    chosen = people(contest, np.asarray(data.tone)[known])
    captures = torch.stack([rows[subject == known[place]][0] for place in chosen.values()])
    texture, visibility = data.phone_batch(captures)
    truth = data.studio_batch(torch.as_tensor(data.subject)[captures])
    shot = capture.capture_photo(astronaut(), data.resolution, capture.astronaut_landmarks())
    texture, visibility = torch.cat([texture, shot.texture]), torch.cat([visibility, shot.visibility])
    columns = {"phone": texture * visibility}
    for name in methods(contest):
        if name in CLOSED:
            method = closed(name, data, contest.protocol)
        elif name in TRAINED or name in LONG:
            row = experiment("rivals").merged(row_of(name, contest.protocol), settings)
            method = trained(lab, row, 0).method
        else:
            method = our_chain(lab, contest.protocol, fused=name == "chain")[0]
        made = method(texture, visibility).clamp(0, 1).cpu()
        if name in ("chain", "generator"):  # of the photograph as `convert` makes it
            photo = our_chain(lab, contest.protocol, fused=name == "chain", keep_tone=True)[0]
            made[-1:] = photo(shot.texture, shot.visibility).clamp(0, 1).cpu()
        columns[TITLES.get(name, NAMES[name])] = made
    columns["truth"] = [*truth, None]
    grid = [[pictures[k] for pictures in columns.values()] for k in range(len(texture))]
    figure = figures.texture_grid(grid, [*chosen, "astronaut"], list(columns))
    sheet = Image.open(bytes_io.BytesIO(figures.png_bytes(figure))).convert("RGB")
    for quality in (90, 80, 70, 60):
        stream = bytes_io.BytesIO()
        sheet.save(stream, "JPEG", quality=quality, optimize=True)
        if len(stream.getvalue()) <= LARGEST:
            break
    with io.atomic(out) as temporary:
        temporary.write_bytes(stream.getvalue())
    return f"{out.name}: {len(grid)} people, {len(columns)} columns, {len(stream.getvalue()) / 1000:.0f} kB"
