"""Make the picture and the numbers of the page "From your phone to your avatar".

    python book/tools/own_face.py

The picture is the way of NASA's portrait of an astronaut (public domain) through `convert` and `view`, with their usual settings.
The numbers are shares of a head that pictures of it show: synthetic people of the validation split, drawn as one picture from the
front, as the three that the page asks for, and as the frames that are taken from a film in which the head turns. They are kept in
``book/own-face.json``, and comments in the page ask for them (``<!-- seen shares -->``, ``<!-- astronaut: face_seen -->``).

Out: ``book/_static/own-face.jpg`` and ``book/own-face.json``.
"""

from __future__ import annotations

import argparse
import io as bytes_io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from project import ROOT

NUMBERS = ROOT / "book" / "own-face.json"
TABLE, COUNT, ASKED = "<!-- seen shares -->", "<!-- seen people -->", re.compile(r"<!-- astronaut: (\w+) -->")
PEOPLE, SIDE = 3, 512  # pixels of a picture
FRAMES, FARTHEST = 24, 45  # as many as `capture_video` takes; degrees that a film turns to, on each side
WAYS = {
    "one photo, from the front": (0.0,),
    "three photos, turned by 30°": (0.0, -30.0, 30.0),
    f"a film, turning by {FARTHEST}°": tuple(2 * FARTHEST * (k / (FRAMES - 1) - 0.5) for k in range(FRAMES)),
}
COLUMNS = {"face_seen": "of the face, well", "head_seen": "of the head"}
PORTRAIT, TURN, PANEL = (slice(0, 330), slice(60, 390)), 40, 2.1  # crop of the photograph; degrees; inches


def seen_of(seed: int, ways: Sequence[Sequence[float]], side: int = SIDE) -> list[dict[str, float]]:
    """The shares of a synthetic person (`record.shares`) that are seen from these angles, ``ways`` one after the other."""
    import torch

    from studiolike import avatar, capture, record, synth

    head = synth.synthesise_subjects(torch.tensor([seed]), 512)
    skin, mesh = synth.studio_texture(head)[0], avatar.head_mesh(head.position[0])
    found = []
    for angles in ways:
        drawn = (avatar.render(mesh, skin, yaw=angle, size=side) for angle in angles)
        shots = capture.capture_photos((picture.permute(1, 2, 0) * 255).round().byte().numpy() for picture in drawn)
        found.append(record.shares(shots.visibility[0]))
    return found


def measure() -> dict[str, Any]:
    """What the file of numbers holds: for each way the shares of every person, and those of the astronaut's portrait."""
    from skimage.data import astronaut

    from studiolike import capture, config, record, synth
    from studiolike.recipes import set_spec

    spec = set_spec(config.profile("cpu").data, detailed=True)
    seeds = spec.seeds()[spec.rows()[0] == synth.dataset.SPLITS.index("val")][:PEOPLE].tolist()
    people = [seen_of(seed, list(WAYS.values())) for seed in seeds]
    ways = {way: {name: [round(person[k][name], 3) for person in people] for name in COLUMNS} for k, way in enumerate(WAYS)}
    shot = capture.capture_photo(astronaut())
    shares = {name: round(value, 3) for name, value in record.shares(shot.visibility[0]).items()}
    return {"seeds": seeds, "ways": ways, "astronaut": shares | {"face_pixels": round(shot.quality["face_pixels"])}}


def cell(values: list[float]) -> str:
    """Mean and range in per cent."""
    mean, least, most = (f"{100 * value:.0f}" for value in (sum(values) / len(values), min(values), max(values)))
    return f"{mean} %" if least == most else f"{mean} % ({least}–{most})"


def table(numbers: dict[str, Any]) -> str:
    """The rows of the page's table."""
    head = ["What you take", *COLUMNS.values()]
    rows = [[way, *(cell(values[name]) for name in COLUMNS)] for way, values in numbers["ways"].items()]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))


def fill(text: str, path: Path = NUMBERS) -> str:
    """A page with its numbers, each in the place of a comment that asks for it; others stay as they are."""
    if TABLE not in text and not ASKED.search(text):
        return text
    numbers = json.loads(path.read_text(encoding="utf-8"))

    def number(found: re.Match[str]) -> str:
        value = numbers["astronaut"][found[1]]
        return f"{value:.0%}".replace("%", " %") if isinstance(value, float) else str(value)

    return ASKED.sub(number, text).replace(TABLE, table(numbers)).replace(COUNT, str(len(numbers["seeds"])))


def draw():
    """The picture: the portrait, what was seen of the head, the result, what of it is invented, and the head from two sides."""
    import torch
    from skimage.data import astronaut

    from studiolike import avatar, capture
    from studiolike.avatar.report import marked_origin
    from studiolike.chapters import figures
    from studiolike.image import resize
    from studiolike.pipeline import StudioPipeline

    photo, shot = astronaut(), capture.capture_photo(astronaut())
    result = StudioPipeline.released()(shot.texture, shot.visibility, resolution=512, keep_tone=True)
    skin, mesh = result.texture[0], avatar.own_head(shot.shape)
    seen = resize(shot.visibility, 512)[0].clamp(0, 1)
    heads = [avatar.render(mesh, skin, yaw=yaw, size=560)[:, 40:-40, 40:-40] for yaw in (-TURN, TURN)]
    panels = {
        "1  the photograph": torch.from_numpy(photo[PORTRAIT].copy()).permute(2, 0, 1) / 255,
        "2  what it shows of the head": torch.lerp(torch.full_like(skin, 0.85), shot.texture[0], seen),
        "3  the result": skin,
        "4  what of it is invented": marked_origin(skin, result.origin[0]),
        "5  the head, in even light": heads[0],
        "6  from the other side": heads[1],
    }
    with figures.style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(2 * PANEL, 3 * (PANEL + 0.27)))
        for ax, (title, picture) in zip(figure.subplots(3, 2).flat, panels.items(), strict=True):
            figures.picture(ax, picture, title)
    return figure


def jpeg(figure) -> bytes:
    """A figure as a JPEG file, small enough for a phone's connection."""
    from PIL import Image

    from studiolike.chapters import figures

    target = bytes_io.BytesIO()
    with Image.open(bytes_io.BytesIO(figures.png_bytes(figure))) as drawn:
        drawn.convert("RGB").save(target, "JPEG", quality=85, optimize=True)
    return target.getvalue()


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--picture", action="store_true", help="only the picture, which takes seconds; the numbers take minutes")
    options = parser.parse_args(arguments)
    from studiolike import io

    files = {ROOT / "book" / "_static" / "own-face.jpg": jpeg(draw())}
    if not options.picture:
        files[NUMBERS] = (json.dumps(measure(), indent=1, ensure_ascii=False) + "\n").encode()
    for path, content in files.items():
        with io.atomic(path) as temporary:
            temporary.write_bytes(content)
        print(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
