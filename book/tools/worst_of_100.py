"""Make the page "Worst of 100": a hundred unseen synthetic people through the chain, the ten worst shown with the reason.

    python book/tools/worst_of_100.py

The people are the first hundred of a stretch of seeds that no split uses, each in its first capture, so nobody picked them.
Faces are ranked by PSNR in the observed region, as it is. Out: ``book/worst-of-100.md`` and its picture, both from the
released weights; the captures, which take most of the time, are kept in ``_build`` for the next weights.
"""

from __future__ import annotations

import argparse
import io as bytes_io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from tqdm import tqdm

from project import BUILD, ROOT
from studiolike import avatar, evaluation, io, synth, weights
from studiolike.evaluation.masked import masked_blur, masked_mean
from studiolike.image import luminance, srgb_to_linear
from studiolike.pipeline import StudioPipeline
from studiolike.synth import dataset
from studiolike.synth.foreign import draw_glasses

PEOPLE, SHOWN, RESOLUTION = 100, 10, 256
STRETCH = 6  # of seeds; `dataset.STRETCH` uses others, and 4 once
LOW = 0.04  # standard deviation, as a share of the side, above which an error counts as broad
TILE, GAP, BAND, SIDE, YAW = 150, 4, 24, 44, 24  # pixels of the picture, degrees
LARGEST = 400_000  # bytes of the picture
ALT = (
    "Ten rows, the worst results of a hundred, worst first. Columns: phone texture, quotient, result of the chain, true studio "
    "texture, and the head with the result and with the truth."
)
COLUMNS = ("phone", "quotient", "chain", "truth", "head: chain", "head: truth")


@dataclass(frozen=True)
class Captures:
    """A hundred captures: uint8 ``phone`` and ``truth (N, 3, R, R)``, ``visibility (N, 1, R, R)``, and facts ``(N,)``."""

    phone: np.ndarray
    visibility: np.ndarray
    truth: np.ndarray
    severity: np.ndarray
    single: np.ndarray
    tone: np.ndarray
    glasses: np.ndarray


def seeds_of() -> Tensor:
    """Seeds of the people, int64 ``(N,)``."""
    assert STRETCH not in dataset.STRETCH.values()
    return STRETCH * dataset.SPLIT_SEEDS + torch.arange(PEOPLE)


def captures(kept: Path) -> Captures:
    """Read from ``kept``, or make and keep them."""
    if kept.exists():
        with np.load(kept) as arrays:
            return Captures(**{name: arrays[name] for name in arrays.files})
    parts = []
    for seeds in tqdm(seeds_of().split(dataset.chunk_size(RESOLUTION)), desc="captures"):
        people, lights = synth.synthesise_subjects(seeds, RESOLUTION), seeds * 64 + 2_000_000  # as `SetSpec.rows` has it
        shot = synth.phone_capture(people, lights)
        pictures = [_bytes(x) for x in (shot.texture, shot.visibility, synth.studio_texture(people))]
        glasses = draw_glasses(lights, "cpu").worn
        parts.append([*pictures, *(x.numpy() for x in (shot.severity, shot.single, people.tone)), (glasses > 0).numpy()])
    made = Captures(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    kept.parent.mkdir(parents=True, exist_ok=True)
    with io.atomic(kept) as temporary, open(temporary, "wb") as file:
        np.savez(file, **vars(made))
    return made


def _bytes(x: Tensor) -> np.ndarray:
    return (x.clamp(0, 1) * 255).round().to(torch.uint8).numpy()


def _floats(x: np.ndarray) -> Tensor:
    return torch.from_numpy(x).float() / 255


def error_shares(output: Tensor, truth: Tensor, seen: Tensor) -> dict[str, Tensor]:
    """Where the squared error over seen texels comes from, three shares ``(B,)`` that add up to 1.

    ``colour``: what one gain a channel for the whole face would remove. ``broad``: of the rest, what is wider than `LOW`: light
    that stayed or was invented. ``fine``: what is left, such as edges of shadows, highlights, hair and features.
    """
    whole = masked_mean((output - truth).square(), seen)
    rest = evaluation.gain_fitted(output, truth, seen) - truth
    fitted = masked_mean(rest.square(), seen).minimum(whole)
    broad = masked_mean(masked_blur(rest, seen, LOW * truth.shape[-1]).square(), seen).minimum(fitted)
    return {"colour": (whole - fitted) / whole, "broad": broad / whole, "fine": (fitted - broad) / whole}


def light_of(texture: Tensor, seen: Tensor) -> Tensor:
    """Mean linear luminance over seen texels, ``(B,)``."""
    return masked_mean(luminance(srgb_to_linear(texture)), seen)


CAUSES = {
    "colour": "colour or brightness of the whole face",
    "broad": "broad light that stayed or was invented",
    "fine": "fine structure: edges of shadows, highlights, hair, features",
}


def circumstances(shots: Captures, k: int) -> str:
    """What was special about a capture, in words; each is a fact of the generator or a rank among the hundred."""
    seen = (shots.visibility > 12).mean((1, 2, 3))
    rank = {"light": (shots.severity < shots.severity[k]).mean(), "seen": (seen < seen[k]).mean()}
    tone = (shots.tone < shots.tone[k]).mean()
    said = [f"light more uneven than in {100 * rank['light']:.0f} of 100"]
    said += ["a single picture"] if shots.single[k] else ["several views"]
    said += ["glasses"] if shots.glasses[k] else []
    said += [f"{100 * seen[k]:.0f} % of the head seen"]
    said += ["skin among the darkest tenth"] if tone >= 0.9 else ["skin among the lightest tenth"] if tone < 0.1 else []
    return ", ".join(said)


def scores(shots: Captures) -> tuple[Tensor, dict[str, Tensor]]:
    """Results of the chain ``(N, 3, R, R)`` and what was measured of them, ``(N,)`` each."""
    pipe, mean = StudioPipeline.released(), weights.studio_mean()[0]
    quotient = evaluation.bound(evaluation.StudioReference(mean))["quotient"]
    found: dict[str, list[Tensor]] = {}
    results = []
    for rows in tqdm(torch.arange(PEOPLE).split(10), desc="chain"):
        phone, seen, truth = (_floats(x[rows.numpy()]) for x in (shots.phone, shots.visibility, shots.truth))
        result = pipe(phone, seen, resolution=RESOLUTION).texture
        results.append(result)
        measured = error_shares(result, truth, seen) | {
            "brightness": light_of(result, seen) / light_of(truth, seen),
            "chain": evaluation.psnr(result, truth, seen),
            "chain, gain fit": evaluation.psnr(evaluation.gain_fitted(result, truth, seen), truth, seen),
            "quotient": evaluation.psnr(quotient(phone, seen), truth, seen),
            "phone": evaluation.psnr(phone, truth, seen),
        }
        for name, values in measured.items():
            found.setdefault(name, []).append(values)
    return torch.cat(results), {name: torch.cat(values) for name, values in found.items()}


def picture(shots: Captures, results: Tensor, worst: list[int]) -> bytes:
    """The ten worst, a row each, as a JPEG of at most `LARGEST` bytes."""
    quotient = evaluation.bound(evaluation.StudioReference(weights.studio_mean()[0]))["quotient"]
    mesh, font = avatar.head_mesh(grid=96), ImageFont.load_default(14)
    size = SIDE + len(COLUMNS) * (TILE + GAP), BAND + len(worst) * (TILE + GAP)
    sheet = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(sheet)
    for column, name in enumerate(COLUMNS):
        pen.text((SIDE + column * (TILE + GAP) + TILE // 2, BAND // 2), name, fill="black", font=font, anchor="mm")
    for row, k in enumerate(worst):
        phone, seen, truth = (_floats(x[k : k + 1]) for x in (shots.phone, shots.visibility, shots.truth))
        skins = [phone[0], quotient(phone, seen)[0], results[k], truth[0]]
        heads = [avatar.render(mesh, skin, yaw=YAW, size=TILE + 30)[:, 15:-15, 15:-15] for skin in skins[2:]]
        top = BAND + row * (TILE + GAP)
        pen.text((SIDE // 2, top + TILE // 2), f"{row + 1}", fill="black", font=font, anchor="mm")
        for column, tile in enumerate([*skins, *heads]):
            drawn = Image.fromarray(_bytes(tile.cpu()).transpose(1, 2, 0)).resize((TILE, TILE), Image.Resampling.LANCZOS)
            sheet.paste(drawn, (SIDE + column * (TILE + GAP), top))
    for quality in range(92, 40, -4):
        stream = bytes_io.BytesIO()
        sheet.save(stream, "JPEG", quality=quality, optimize=True)
        if stream.tell() <= LARGEST:
            break
    return stream.getvalue()


def text(shots: Captures, found: dict[str, Tensor], worst: list[int]) -> str:
    """The page, with every number computed."""
    chain, quotient, phone = (found[name] for name in ("chain", "quotient", "phone"))
    rows = []
    for place, k in enumerate(worst):
        shares = {name: float(found[name][k]) for name in CAUSES}
        main, second, *_ = sorted(shares, key=shares.get, reverse=True)
        bright = float(found["brightness"][k])
        off = f": {100 * abs(bright - 1):.0f} % too {'light' if bright > 1 else 'dark'}" if main == "colour" else ""
        why = f"{CAUSES[main]}{off} ({100 * shares[main]:.0f} % of the squared error)"
        why += f", then {CAUSES[second]} ({100 * shares[second]:.0f} %)" if shares[second] > 0.25 else ""
        rows.append(
            f"| {place + 1} | {phone[k]:.1f} | {quotient[k]:.1f} | {chain[k]:.1f} | {found['chain, gain fit'][k]:.1f} | {why} "
            f"| {circumstances(shots, k)} |"
        )
    q = [float(chain.quantile(level)) for level in (0.1, 0.5, 0.9)]
    bad = torch.tensor(worst)
    leading = {name: sum(max(CAUSES, key=lambda c, k=k: float(found[c][k])) == name for k in worst) for name in CAUSES}
    counted = "; ".join(f"{CAUSES[name]} in {count}" for name, count in leading.items() if count)
    lost = int((chain[bad] < quotient[bad]).sum())
    uneven = float(torch.from_numpy(shots.severity)[bad].mean() / shots.severity.mean())
    alone = int(shots.single[worst].sum())
    return f"""(worst-of-100)=
# Worst of 100

A page of good examples proves little, so here are the bad ones.
A hundred synthetic people whom no network has seen went through the released chain (protocol `open`, {RESOLUTION} × {RESOLUTION}
texels), each in one capture: one picture, or a few from a short film.
They are the first hundred of a stretch of seeds that no split of the data uses: neither for training, nor for choosing settings,
nor for the final evaluation.
Shown are the {SHOWN} with the lowest PSNR in the region that the phone saw.
PSNR, in decibels (dB), tells how near a texture is to the true one: 20 dB is an error of a tenth of the range from black to
white, and more is better.
The *quotient* is a rival that learns nothing but a mean: it divides the broad light out of the phone texture and puts the broad
light and colour of the mean studio texture in ([more of both](notation-and-metrics.md)).

Over all hundred the chain reaches {q[1]:.1f} dB in the median, {q[0]:.1f} dB at the tenth worst and {q[2]:.1f} dB at the tenth
best; the phone texture itself has {float(phone.median()):.1f} dB and the quotient {float(quotient.median()):.1f} dB.
The chain is better than the phone texture for {int((chain > phone).sum())} of the hundred, and better than the quotient for
{int((chain > quotient).sum())}.

```{{figure}} _static/worst-of-100.jpg
:name: worst-of-100-figure
:alt: {ALT}

The {SHOWN} worst of a hundred unseen people, the worst first.
From left to right: the phone texture (where nothing was seen, the colours around are drawn out smoothly), the quotient, the
chain's result, the true studio texture, and the head, of the same shape for everybody, with the result and with the truth.
Compare the third column with the fourth, and the fifth with the sixth: how light the skin is, shadows that stayed, and the hair.
The numbers below look only at what the phone saw; hair, ears and neck outside of it are a guess, and often the wrong one.
```

## What went wrong

The squared error of each result is divided into three parts.
*Colour* is what one factor for each colour channel of the whole face, a *gain fit*, would remove: nobody can read the studio's
exposure off one capture.
*Broad* is what remains and is wider than {100 * LOW:.0f} % of the texture's side: light that stayed, or that was invented.
*Fine* is the rest.

| | phone, dB | quotient, dB | chain, dB | chain after a gain fit, dB | most of the error | the capture |
| ---: | ---: | ---: | ---: | ---: | --- | --- |
{chr(10).join(rows)}

The largest part is {counted} of the {SHOWN}.
In {lost} of them the quotient, which learns nothing but a mean, would have been better than the chain.
Their light is {uneven:.1f} times as uneven as the hundred's mean, and {alone} of them are single pictures;
of all hundred, {int(shots.single.sum())} are.

## Made by

```bash
python book/tools/worst_of_100.py
```

The command writes this page and its picture from the weights in the package; no number on it was typed.
The rule for the people, and the one for the rank, stand in it.
"""


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "book")
    options = parser.parse_args(arguments)
    shots = captures(BUILD / "worst-of-100" / f"{dataset.GENERATOR_VERSION}-{RESOLUTION}.npz")
    results, found = scores(shots)
    worst = found["chain"].argsort()[:SHOWN].tolist()
    with io.atomic(options.out / "_static" / "worst-of-100.jpg") as temporary:
        temporary.write_bytes(picture(shots, results, worst))
    with io.atomic(options.out / "worst-of-100.md") as temporary:
        temporary.write_text(text(shots, found, worst), encoding="utf-8")
    print(f"wrote worst-of-100.md and its picture: {found['chain'][worst].min():.1f} to {found['chain'][worst].max():.1f} dB")


if __name__ == "__main__":
    main()
