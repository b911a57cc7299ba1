"""Make the picture on the first page and in the README: what the released weights make of unseen captures.

    python book/tools/before_after.py [--out book/_static/before_after.png]

Rows: three synthetic subjects of the validation split, which no network was trained on, chosen by a rule and not by
their results (the lightest, the middle and the darkest skin), each in a capture of middling severity; and NASA's
portrait of an astronaut (public domain). Columns: phone texture, studio result, true studio texture where there is one,
and the head with each. The same weights give the same picture.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from studiolike import avatar, capture, config, io, synth
from studiolike.chapters import figures
from studiolike.pipeline import StudioPipeline
from studiolike.recipes import set_spec

ROOT = Path(__file__).resolve().parents[2]
COLUMNS = ("phone texture", "our result", "truth", "head: phone", "head: result", "head: truth")
CANDIDATES, LIGHTS, YAW = 12, 3, 28


def synthetic_rows(resolution: int) -> tuple[list[str], Tensor, Tensor, Tensor, list[avatar.HeadMesh]]:
    """Names, phone textures, visibility ``(3, …)``, truth and meshes of three unseen subjects."""
    spec = set_spec(config.profile("cpu").data, detailed=True)
    seeds = spec.seeds()[spec.rows()[0] == synth.dataset.SPLITS.index("val")][:CANDIDATES]
    by_tone = synth.synthesise_subjects(seeds, 64).tone.argsort()  # a small size is enough to know the tone
    seeds = seeds[by_tone[[0, len(seeds) // 2, -1]]]
    people = synth.synthesise_subjects(seeds, resolution)
    textures, maps = [], []
    for k in range(len(seeds)):
        shots = synth.phone_capture(people[torch.full((LIGHTS,), k)], torch.arange(LIGHTS) + 10 * k)
        middling = shots.severity.argsort()[LIGHTS // 2]
        textures.append(shots.texture[middling])
        maps.append(shots.visibility[middling])
    meshes = [avatar.head_mesh(position, grid=128) for position in people.position]
    names = ["synthetic,\nlightest skin", "synthetic,\nmiddle", "synthetic,\ndarkest skin"]
    return names, torch.stack(textures), torch.stack(maps), synth.studio_texture(people), meshes


def draw(resolution: int = 256):
    """The figure, from the released weights."""
    from skimage.data import astronaut

    names, textures, maps, truths, meshes = synthetic_rows(resolution)
    shot = capture.capture_photo(astronaut(), resolution, capture.astronaut_landmarks())
    textures, maps = torch.cat([textures, shot.texture]), torch.cat([maps, shot.visibility])
    results = StudioPipeline.released()(
        textures,
        maps,
        resolution=resolution,
        progress=True,
    ).texture

    def head(mesh: avatar.HeadMesh, skin: Tensor) -> Tensor:
        picture = avatar.render(mesh, skin, yaw=YAW, size=320)
        return picture[:, 20:300, 20:300]  # less of the empty space around it

    grid: list[list[Tensor | None]] = []
    for k, mesh in enumerate([*meshes, avatar.head_mesh(grid=128)]):
        truth = truths[k] if k < len(truths) else None
        grid.append(
            [
                textures[k],
                results[k],
                truth,
                head(mesh, textures[k]),
                head(mesh, results[k]),
                None if truth is None else head(mesh, truth),
            ]
        )
    figure = figures.texture_grid(grid, [*names, "photograph\n(base head)"], COLUMNS)
    for axes in (figure.axes[len(COLUMNS) * len(names) + 2], figure.axes[len(COLUMNS) * len(names) + 5]):
        axes.text(
            0.5, 0.5, "no truth\nis known", ha="center", va="center", color=figures.QUIET, fontsize=9, transform=axes.transAxes
        )
    return figure


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "book" / "_static" / "before_after.png")
    options = parser.parse_args(arguments)
    picture = figures.png_bytes(draw())
    with io.atomic(options.out) as temporary:
        temporary.write_bytes(picture)
    print(f"wrote {options.out.relative_to(Path.cwd()) if options.out.is_relative_to(Path.cwd()) else options.out}")


if __name__ == "__main__":
    main()
