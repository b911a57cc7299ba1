"""Chapter 7's figures and tables: landmarks, unwrapping, the stages on a real face, the domain gap, worse photographs."""

from __future__ import annotations

import contextlib
import io
import json
import textwrap
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from .. import avatar, capture, cli, evaluation, layout, outline
from ..capture import quality, shape, unwrap
from ..capture.surface import head_surface
from ..chain import StudioOutput
from ..evaluation.chips import chip_view
from ..evaluation.face_judge import distance, photo_distance
from ..evaluation.face_net import SAME_PERSON
from ..evaluation.masked import masked_mean
from ..experiments import record
from ..experiments.photograph import BOX, Home, Photograph, crop
from ..image import luminance, resize, srgb_to_linear
from . import figures, interactive
from .notebook import table_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


FACTS = {
    "face_pixels": ("width of the face, pixels", f"the more the better, at least {quality.MIN_FACE_PIXELS}"),
    "oversampling": ("texels along a pixel", f"at most {quality.MAX_OVERSAMPLING:g}"),
    "yaw": ("head turned to the side, degrees", f"0; at most {quality.MAX_YAW:.0f} to either side"),
    "pitch": ("tilted up or down, degrees", f"0; minus is down, at most {quality.MAX_PITCH:.0f}"),
    "roll": ("tilted to a shoulder, degrees", "any"),
    "seen_left": ("share seen of the left half of the face", f"near 1, at least {quality.MIN_CHEEK:g}"),
    "seen_right": ("share seen of its right half", "the same"),
    "sharpness": ("sharpness, from 0 (blurred) to 1", "the more the better"),
    "exposure": ("median light on the face, where 1 is white", "neither near 0 nor near 1"),
    "bright": ("sRGB value that its brightest tenth reaches, where 1 is white", f"at least {quality.TOO_DARK:g}"),
    "clipped": ("share of it that is burnt out to white", f"0, at most {quality.MAX_CLIPPED:g}"),
    "mouth_opening": ("opening of the mouth, in widths of the mouth", f"below {quality.OPEN_MOUTH:g}: closed"),
}  # what is measured of a capture, and what would be good
BETTER = {
    "reconstruction PSNR, dB": ("psnr", "↑"),
    "length of the code": ("code", "↓"),
    "identity cosine": ("cosine", "↑"),
    "SSIM to the input": ("ssim", "↑"),
    "asymmetry before": ("before", ""),
    "asymmetry after": ("after", "↓"),
}  # of the measures of a domain gap, in the names of quoted numbers; what comes in is neither good nor bad
SHOWN = 0.75  # share of synthetic captures that do better from which we say that a measure shows the gap


def landmarks_figure(lab: Photograph) -> Figure:
    """The photograph, its face, and the landmarks with the triangles between them."""
    fig, axes = figures.plot(2.6, (1, 1, 1))
    down, across = BOX
    place = {"extent": (across.start, across.stop, down.stop, down.start), "interpolation": "antialiased"}
    axes[0].imshow(lab.photo)
    axes[1].imshow(lab.photo[BOX], **place)
    axes[2].imshow(lab.photo[BOX], alpha=0.35, **place)
    triangles = layout.face_triangles().numpy()
    axes[2].triplot(lab.points[:, 0], lab.points[:, 1], triangles, color=figures.PALETTE[0], linewidth=0.3)
    axes[2].plot(lab.points[:, 0], lab.points[:, 1], ".", color=figures.PALETTE[3], ms=1.2)
    height, width = lab.photo.shape[:2]
    titles = (f"photo, {width} × {height}", "the face in it", f"{len(lab.points)} landmarks, {len(triangles)} triangles")
    for ax, title in zip(axes, titles, strict=True):
        ax.set_axis_off()
        ax.set_title(title)
    return fig


def unwrapped(lab: Photograph) -> dict[str, float | str]:
    """From the photograph to the texture, as a figure; what was measured of the capture, as a table; for the prose."""
    shot, posed = lab.shot, head_surface(lab.points, capture.fit_pose(lab.points), lab.size)
    pictures = [
        resize(crop(lab.photo)[None], 256)[0],
        posed.facing.clamp(0, 1),
        shot.visibility[0],
        (shot.texture * shot.visibility)[0],
        shot.texture[0],
    ]
    figures.show(
        figures.texture_grid([pictures], (), ["photo", "facing the camera", "visibility", "what was seen", "filled smoothly"]),
        "From the photo to a texture: the photo; how squarely each texel of the layout faces the camera (white: squarely); the "
        "visibility (white: fully trusted), black at the mouth, under the nose and at its sides, where the surface turns away, "
        "and white over the hair; the texture where it was seen; and with a smooth fill elsewhere.",
    )
    facts = shot.quality
    notes = " ".join(f"Note: {warning}." for warning in facts["warnings"])
    rows = [[text, facts[name], good] for name, (text, good) in FACTS.items()]
    table_of(["measured of the capture", "here", "good"], rows, notes)
    blurred = (
        "so this texture is blurred before any network sees it"
        if facts["oversampling"] > 1
        else "so at this size the texture loses nothing"
    )
    return {
        "covered": 100 * float(shot.visibility.gt(0.3).float().mean()),
        "face_pixels": facts["face_pixels"],
        "oversampling": f"{facts['oversampling']:.2g} texels a side, {blurred}",
        "grazing": unwrap.GRAZING,
        "square": unwrap.SQUARE,
        "hair_from": unwrap.HAIR,
    }


def stages_figure(lab: Photograph, out: StudioOutput) -> Figure:
    """The four stages on the photograph."""
    low = out.studio_lr.shape[-1]
    titles = [f"phone, {lab.size}²", f"G_phone(w+), {low}²", f"G_studio(w+), {low}²", f"result, {lab.size}²"]
    pictures = [lab.shot.texture[0], out.reconstruction[0], out.studio_lr[0], out.texture[0]]
    return figures.texture_grid([pictures], (), titles, tile=1.8)


def blame(lab: Photograph, out: StudioOutput) -> dict[str, float | str]:
    """Where on the way the person and the light went, for the prose: of every stage the distance of its face to that of the
    phone texture, by the network for real faces, and the asymmetry."""
    face = layout.region_mask("face", lab.size)[None] * lab.shot.visibility
    stages = {"copy": out.reconstruction, "studio": out.studio_lr, "result": out.texture}
    pictures = {name: resize(picture, lab.size) for name, picture in stages.items()}
    far = {name: float(distance(x, lab.shot.texture, lab.shot.visibility)) for name, x in pictures.items()}
    lost = [name for name in ("copy", "studio") if far[name] >= SAME_PERSON]
    said = {"copy": "already the copy is not this person", "studio": "the copy still is this person, and its translation is not"}
    told = said[lost[0]] if lost else "neither the copy nor its translation has lost her"
    back = "is within that limit" if far["result"] < SAME_PERSON else "is beyond that limit"
    light = {f"light_{name}": float(evaluation.asymmetry(x, face)) for name, x in pictures.items()}
    return {f"far_{name}": value for name, value in far.items()} | light | {"blame": told, "back": back}


def heads(lab: Photograph, out: StudioOutput) -> dict[str, float | str]:
    """The result on the base head and on a head of her own shape, as a figure; how far both are from the photograph."""
    own = lab.shot.shape
    meshes = [avatar.head_mesh(grid=96), avatar.own_head(own, 96)]
    drawn = [avatar.render(mesh, out.texture[0], yaw=yaw, size=256) for yaw in (0, 35) for mesh in meshes]
    pictures = [resize(crop(lab.photo)[None], 256)[0], *drawn]
    titles = ["photo", "base head", "her own", "base head", "her own"]
    figures.show(
        figures.texture_grid([pictures], (), titles),
        "The face in the photo, and one and the same texture on two heads, from the front and from the side: on the base head, "
        "whose shape is nobody's, and on a head of her own shape, with the mouth closed.",
    )
    views = {"head_base": chip_view(), "head_own": chip_view(lab.points, closed=True, outward=lab.shot.outward)}
    found = {name: float(photo_distance(lab.photo, lab.points, out.texture, view)) for name, view in views.items()}
    below = [value < SAME_PERSON for value in found.values()]
    kept = record("shape")
    error = {name: kept.estimate(row, "shape_error").mean for name, row in (("base", "the base head"), ("one", "one photo"))}
    along = {
        f"shape_{axis}": f"{kept.estimate('one photo', axis).mean:.2f} to {kept.estimate('three photos', axis).mean:.2f}"
        for axis in ("width", "height", "depth")
    }
    hair = layout.region_mask("crown", lab.size)[None] * lab.shot.visibility.gt(0.3)
    colourful = [
        100 * float(((x.amax(1, keepdim=True) - x.amin(1, keepdim=True)) * hair).sum() / hair.sum())
        for x in (lab.shot.texture, out.texture)
    ]
    return (
        found
        | along
        | {
            "head_moved": 10 * float((own - outline.rest_shape()[: len(own)])[: outline.POINTS].norm(dim=1).mean()),
            "head_nearer": "nearer to" if found["head_own"] < found["head_base"] else "no nearer to",
            "head_limit": SAME_PERSON,
            "head_rule": "both are" if all(below) else "only one is" if any(below) else "neither is",
            "shape_base": error["base"],
            "shape_one": error["one"],
            "shape_gain": 100 * (1 - error["one"] / error["base"]),
            "precision": shape.DEPTH,
            "kappa": shape.PRIOR,
            "camera": shape.DISTANCE,
            "hair_before": colourful[0],
            "hair_after": colourful[1],
        }
    )


turning = partial(
    interactive.turning,
    alt="A head of her own shape with the phone texture on the left and with the result on the right, turned once around",
)


# --- how far from home


def gap_figure(found: Home) -> Figure:
    """One panel per measure: synthetic captures as dots with their median, the photograph as a star."""
    fig, axes = figures.plot(4.2, (1, 1, 1), rows=2)
    for ax, (name, values) in zip(axes, found.synthetic.items(), strict=True):
        places = np.linspace(-0.25, 0.25, len(values))
        ax.plot(places, values, "o", color=figures.COLOURS["baseline"], alpha=0.6)
        ax.plot([-0.4, 0.4], [np.median(values)] * 2, color=figures.INK, linewidth=1)
        ax.plot([0], [found.real[name]], "*", color=figures.COLOURS["studio"], ms=13, mec="white")
        ax.set(xticks=[], xlim=(-0.6, 0.6))
        ax.set_title(f"{name} {BETTER[name][1]}", fontsize=9)
    return fig


def do_better(found: Home) -> dict[str, float]:
    """Share of the synthetic captures that do better than the photograph, by measure; of what has a better and a worse."""
    signs = {name: {"↑": 1, "↓": -1}[arrow] for name, (_, arrow) in BETTER.items() if arrow}
    return {name: float((sign * found.synthetic[name] > sign * found.real[name]).mean()) for name, sign in signs.items()}


def gap(found: Home, softened: tuple[int, np.ndarray]) -> dict[str, float | str | int]:
    """The photograph beside synthetic captures, as a table; what the prose says of it.

    Args:
        softened: see `Photograph.softened`.
    """
    real, home, better = found.real, found.synthetic, do_better(found)
    table_of(
        ["measure", "astronaut", "synthetic median", "synthetic captures that do better"],
        [
            [f"{k} {BETTER[k][1]}", f"{real[k]:.3g}", f"{np.median(v):.3g}", f"{better[k]:.0%}" if k in better else "–"]
            for k, v in home.items()
        ],
    )
    short = {key: name for name, (key, _) in BETTER.items()}
    numbers = {key: real[name] for key, name in short.items()}
    numbers |= {f"{key}_home": float(np.median(home[name])) for key, name in short.items() if key != "before"}
    numbers |= {f"{key}_better": 100 * better[short[key]] for key in ("psnr", "after")}
    soft = float(np.median(softened[1]))
    shows = [name.removesuffix(", dB") for name, share in better.items() if share >= SHOWN]
    hides = [name.removesuffix(", dB") for name, share in better.items() if share < SHOWN]
    return numbers | {
        "others": len(home[short["psnr"]]),
        "psnr_gap": _apart(real[short["psnr"]], numbers["psnr_home"]),
        "soft_side": softened[0],
        "soft": soft,
        "soft_gap": _apart(real[short["psnr"]], soft),
        "threshold": found.threshold,
        "same": "above" if numbers["cosine"] > found.threshold else "not above",
        "auc": found.area,
        "less": "less" if numbers["after"] < numbers["before"] else "not less",
        "gap_shows": ", ".join(shows) or "none of them",
        "gap_hides": ", ".join(hides) or "none",
    }


def _apart(mine: float, other: float) -> str:
    """By how many dB one is below or above another."""
    return f"{abs(mine - other):.1f} dB {'below' if mine < other else 'above'}"


# --- what goes wrong


def worse(lab: Photograph) -> dict[str, float | str]:
    """The photograph made worse, as a figure and a table; what the prose says of it."""
    photos = lab.worse()
    shots = {name: capture.capture_photo(picture, lab.size, lab.points) for name, picture in photos.items()}
    textures, masks = (torch.cat([getattr(s, name) for s in shots.values()]) for name in ("texture", "visibility"))
    answers = lab.run(textures, masks).texture
    figures.show(
        figures.texture_grid(
            [[crop(picture) for picture in photos.values()], list(textures), list(answers)],
            ["photo", "phone texture", "result"],
            list(photos),
            tile=1.7,
        ),
        "The photograph as taken and made worse in three ways: light from one side, a hard shadow over half of the face, and a "
        "hat that is painted on. Below each its phone texture and what the chain makes of it. Compare with the first column.",
    )
    face = layout.region_mask("face", lab.size)[None] * masks
    before, after = evaluation.asymmetry(textures, face), evaluation.asymmetry(answers, face)
    taken = answers[:1].expand_as(answers)
    same = evaluation.faceid(lab.judge, answers, taken)["cosine"]
    colour = evaluation.colour_error(answers, taken, face)
    light = masked_mean(luminance(srgb_to_linear(answers)), face)
    table_of(
        ["photograph", "asymmetry before", "after", "identity cosine", "colour, ΔE2000", "light"],
        [
            [name, f"{before[k]:.3f}", f"{after[k]:.3f}", f"{same[k]:.3f}", f"{colour[k]:.1f}", f"{light[k] / light[0]:.0%}"]
            for k, name in enumerate(photos)
        ],
        "The last three columns compare each result with the result of the photo as taken.",
    )
    hard, hat = (list(photos).index(name) for name in ("hard shadow", "hat"))
    return {
        "shadow_before": float(before[hard]),
        "shadow_after": float(after[hard]),
        "taken_after": float(after[0]),
        "shadow_seen": "shows the shadow" if after[hard] > 2 * after[0] else "does not tell it from a good one",
        "shadow_colour": float(colour[hard]),
        "shadow_light": 100 * float(light[hard] / light[0]),
        "hat_cosine": float(same[hat]),
    }


def commands(folder: Path, size: int) -> None:
    """``convert`` and ``view`` of ``folder/photo.png`` as typed, without a new process; print what is told. May run twice."""
    studio, printed, started = str(folder / "studio.png"), io.StringIO(), time.perf_counter()
    with contextlib.redirect_stdout(printed):
        options = ["--json", "--size", str(size), "--overwrite"]
        code = cli.main(["convert", str(folder / "photo.png"), "-o", studio, *options])
    assert code == 0
    report = json.loads(printed.getvalue())["results"][0]
    print(f"exit code {code} after {time.perf_counter() - started:.1f} s; input taken for a {report['kind']}")
    for name, value in report["metrics"].items():
        print(_wrapped(f"{name}: {value}"))
    for note in report["warnings"]:
        print(_wrapped(f"note: {note}"))
    assert cli.main(["view", studio, "-o", str(folder / "avatar.glb"), "--overwrite"]) == 0


def refusals(said: Mapping[str, str]) -> None:
    """Print what is said to each spoilt picture."""
    for name, text in said.items():
        print(f"{name}:\n{_wrapped(text)}")


def _wrapped(text: str) -> str:
    """One line, indented and broken so that a page shows all of it."""
    return textwrap.fill(text, 84, initial_indent=" " * 4, subsequent_indent=" " * 6, break_long_words=False)


def refused(commands: Sequence[Sequence[str]]) -> None:
    """Type commands that cannot work; print what is said to each, which must be one line and exit code 2."""
    for words in commands:
        with contextlib.redirect_stderr(io.StringIO()) as told:
            code = cli.main(list(words))
        print(f"$ studiolike {' '.join(words)}\n{_wrapped(told.getvalue().strip())}\n    exit code {code}")
        assert code == 2


def claims(found: Home, low: int) -> None:
    """What the authors state or others report, and what one photograph can say of it."""
    less = "yes" if found.real["asymmetry after"] < found.real["asymmetry before"] else "no"
    kept = "yes" if found.real["identity cosine"] > found.threshold else "no"
    table_of(
        ["claim", "here", "evidence"],
        [
            [
                "A monocular capture of a real person gives a studio-like texture (the authors state it)",
                "not testable",
                f"no truth; asymmetry fell: {less}; identity above the judge's threshold: {kept}",
            ],
            [
                "Near-perfect reconstruction in W+ (the authors state it)",
                "not testable",
                f"{found.real['reconstruction PSNR, dB']:.1f} dB at {low}², outside of our training domain",
            ],
            [
                "Hats fail (reported of the paper)",
                "see the picture",
                "nothing in the chain recognises the hat",
            ],
            [
                "Strongly uneven light degrades the result (reported of the paper)",
                "see the picture and the table",
                "one person, so no interval; measured on many subjects in chapters 4 and 6",
            ],
        ],
    )
