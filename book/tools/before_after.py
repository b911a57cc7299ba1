"""Make the pictures of the first page and of the README: what the released weights make of unseen captures.

    python book/tools/before_after.py

People: twelve of the validation split, which no network was trained on, each in one capture. Chosen by rules: the lightest, the
middle and the darkest skin; the best and the worst of the twelve; and NASA's portrait of an astronaut (public domain).
Columns: what the phone saw, the quotient (a rival that learns nothing but a mean), the result of the chain, the truth where
there is one, the head with the phone's texture under studio lamps, and the head with the result under three lights that nobody
saw it in. A row's title is computed: by how much its result is nearer to the truth than both the phone texture and the quotient
(`MARGINS`; it fails if it is not), and what makes most of the error that is left (`LEFT`, see `worst_of_100.error_shares`).
"Best" is where it is nearer by the most. The pair on top of the first page is the astronaut and the head that `convert`
and `view` make of it, in the same place and from the same side. The same weights give the same pictures.

Out, in ``book/_static``: ``before_after.png``, ``lead-photo.jpg``, ``lead-result.jpg`` and ``lead.html``, which shows the pair.
"""

from __future__ import annotations

import argparse
import base64
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from project import ROOT
from studiolike import avatar, capture, config, evaluation, io, synth, weights
from studiolike.avatar.relight import light_of
from studiolike.chapters import figures, interactive
from studiolike.pipeline import StudioPipeline
from studiolike.recipes import set_spec
from worst_of_100 import error_shares

LIGHTS = ("window, left", "low sun, right", "stage")  # of `avatar.relight.ENVIRONMENTS`
COLUMNS = ("phone", "quotient", "chain", "truth", "phone", *(name.replace(", ", ",\n") for name in LIGHTS))
CANDIDATES, SHOTS, YAW = 12, 3, 28
MARGINS = ((10, "far nearer"), (3, "nearer"), (0, "hardly nearer"))  # dB above the better rival, and what a title says
LEFT = {"colour": "tone is off", "broad": "light is off", "fine": "detail is off"}
CHOSEN = ("lightest skin", "middle", "darkest skin")


@dataclass
class Row:
    """One face: ``phone``, ``truth`` ``(3, R, R)``, ``seen (1, R, R)``, its mesh and a name; no truth for a photograph."""

    name: str
    phone: Tensor
    seen: Tensor
    truth: Tensor | None
    mesh: avatar.HeadMesh


def candidates() -> Tensor:
    """Seeds of the people, from the lightest skin to the darkest, int64 ``(N,)``."""
    spec = set_spec(config.profile("cpu").data, detailed=True)
    seeds = spec.seeds()[spec.rows()[0] == synth.dataset.SPLITS.index("val")][:CANDIDATES]
    return seeds[synth.synthesise_subjects(seeds, 64).tone.argsort()]  # a small size is enough to know the tone


def synthetic_rows(seeds: Tensor, resolution: int) -> list[Row]:
    """A capture of middling severity of each of these people."""
    rows = []
    for number, seed in enumerate(seeds):
        person = synth.synthesise_subjects(seed[None], resolution)
        shots = synth.phone_capture(person[torch.zeros(SHOTS, dtype=torch.int64)], torch.arange(SHOTS) + 10 * number)
        middling = shots.severity.argsort()[SHOTS // 2]
        truth, mesh = synth.studio_texture(person)[0], avatar.head_mesh(person.position[0], grid=128)
        rows.append(Row("synthetic", shots.texture[middling], shots.visibility[middling], truth, mesh))
    return rows


def by_tone(seeds: Tensor) -> Tensor:
    """The first, the middle and the last."""
    return seeds[[0, len(seeds) // 2, -1]]


def photograph(resolution: int) -> Row:
    """The astronaut."""
    from skimage.data import astronaut

    shot = capture.capture_photo(astronaut(), resolution, capture.astronaut_landmarks())
    return Row("a photograph", shot.texture[0], shot.visibility[0], None, avatar.own_head(shot.shape))


def quality(row: Row, pictures: dict[str, Tensor]) -> dict[str, float]:
    """PSNR in dB of each picture over what the phone saw."""
    return {
        name: float(evaluation.psnr(picture[None], row.truth[None], row.seen[None]))
        for name, picture in {"phone": row.phone, **pictures}.items()
    }


def margin(found: dict[str, float]) -> float:
    """By how many dB the chain is nearer to the truth than the better of the other two."""
    return found["chain"] - max(found["phone"], found["quotient"])


def title(name: str, found: dict[str, float] | None, shares: dict[str, float] | None = None) -> str:
    """What a row is, how well it works by its `quality`, and what is still wrong, by the shares of the error."""
    if found is None or shares is None:
        return f"{name}\nno truth"
    works = next((word for least, word in MARGINS if margin(found) > least), "fails")
    return f"{name}\n{works},\n{LEFT[max(shares, key=lambda part: shares[part])]}"


def shares_of(row: Row, result: Tensor) -> dict[str, float] | None:
    """Where the error of a result is, over what the phone saw; None without a truth."""
    if row.truth is None:
        return None
    return {part: float(share) for part, share in error_shares(result[None], row.truth[None], row.seen[None]).items()}


def likeness(pipe: StudioPipeline, resolution: int = 512, size: int = 560) -> tuple[Tensor, Tensor]:
    """The astronaut's portrait, and the head made of it, drawn where her head is in it: each ``(3, size, size)`` in [0, 1]."""
    from skimage.data import astronaut
    from skimage.transform import SimilarityTransform, warp

    photo, points = astronaut(), capture.astronaut_landmarks().points
    shot, pose = capture.capture_photo(photo, resolution, points), capture.fit_pose(points)
    skin = pipe(shot.texture, shot.visibility, resolution=resolution, keep_tone=True).texture[0]
    drawn = avatar.render(avatar.own_head(shot.shape), skin, pose.yaw, pose.pitch, size)
    found = capture.landmarks((drawn.permute(1, 2, 0) * 255).round().byte().numpy())
    place = SimilarityTransform.from_estimate(found[:, :2], points[:, :2])
    laid = warp(photo, place, output_shape=(size, size), order=3, mode="edge").clip(0, 1)
    return torch.from_numpy(laid.astype(np.float32)).permute(2, 0, 1), drawn


def head(mesh: avatar.HeadMesh, skin: Tensor, size: int = 320, **settings) -> Tensor:
    """The head from an angle, with less of the empty space around it."""
    edge = size // 16
    return avatar.render(mesh, skin, yaw=YAW, size=size, **settings)[:, edge:-edge, edge:-edge]


def draw(resolution: int = 256):
    """The figure, and the pair ``(before, after)``, each ``(3, S, S)``, from the released weights."""
    pipe = StudioPipeline.released()
    rival = evaluation.bound(evaluation.StudioReference(weights.studio_mean()[0]))["quotient"]
    seeds = candidates()
    rows = [*synthetic_rows(seeds, resolution), photograph(resolution)]
    pictures = [
        {
            "quotient": rival(row.phone[None], row.seen[None])[0],
            "chain": pipe(row.phone, row.seen, resolution=resolution, keep_tone=row.truth is None).texture[0],
        }
        for row in rows
    ]
    found = [quality(row, made) if row.truth is not None else None for row, made in zip(rows, pictures, strict=True)]
    worst = min(range(CANDIDATES), key=lambda k: margin(found[k]))
    chosen = dict(zip(CHOSEN, by_tone(torch.arange(CANDIDATES)).tolist(), strict=True))
    best = max(range(CANDIDATES), key=lambda k: margin(found[k]))
    kinds = [*chosen.items(), ("best of 12", best), ("worst of 12", worst)]
    order = sorted({k for _, k in kinds}, key=lambda k: margin(found[k]))
    shown = [(",\n".join(name for name, j in kinds if j == k), k) for k in reversed(order)] + [(rows[-1].name, CANDIDATES)]
    grid = []
    for _, k in shown:
        row, made = rows[k], pictures[k]
        relit = [head(row.mesh, made["chain"], shading=light_of(name)) for name in LIGHTS]
        grid.append([row.phone, made["quotient"], made["chain"], row.truth, head(row.mesh, row.phone), *relit])
    titles = [title(name, found[k], shares_of(rows[k], pictures[k]["chain"])) for name, k in shown]
    figure = figures.texture_grid(grid, titles, COLUMNS)
    for row, (_, k) in enumerate(shown):
        figure.axes[row * len(COLUMNS)].yaxis.label.set_fontsize(7.5)
        for column, value in enumerate((found[k] or {}).values()):  # phone, quotient, chain
            where = figure.axes[row * len(COLUMNS) + column]
            box = {"facecolor": "white", "edgecolor": "none", "pad": 1.2}
            where.text(0.03, 0.03, f"{value:.1f} dB", transform=where.transAxes, fontsize=7, color="black", bbox=box)
    return figure, likeness(pipe)


def lead_page(before: Tensor, after: Tensor, names: tuple[str, str]) -> str:
    """The pair with a line to drag; the pictures are files beside the page, called ``names``."""
    words = {"labels": ("the photograph", "the avatar"), "width": 480}
    page = interactive.before_after(before, after, "A portrait of an astronaut, and the head made of it", **words).html
    for picture, name in zip((before, after), names, strict=True):
        data = base64.b64encode(figures.jpeg_bytes(picture)).decode()
        page = page.replace(f"data:image/jpeg;base64,{data}", f"_static/{name}")
    return page + "\n"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "book" / "_static")
    options = parser.parse_args(arguments)
    figure, pair = draw()
    names = "lead-photo.jpg", "lead-result.jpg"
    files = dict(zip(names, map(figures.jpeg_bytes, pair), strict=True))
    files |= {"before_after.png": figures.png_bytes(figure), "lead.html": lead_page(*pair, names).encode()}
    for name, content in files.items():
        with io.atomic(options.out / name) as temporary:
            temporary.write_bytes(content)
    print(f"wrote {', '.join(files)}")


if __name__ == "__main__":
    main()
