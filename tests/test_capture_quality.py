"""What a user is told of a photo that is used but not good, and what becomes of what covers a face: on changes of the demo photo.

`COVERS` is, with blur, the list of the page "What you can put in": a test compares the two.
"""

from __future__ import annotations

import io as buffers
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFilter
from skimage.data import astronaut
from test_pictures import page_rows

from studiolike import io, layout
from studiolike.capture import astronaut_landmarks, capture_photo, load_landmarks, quality
from studiolike.synth import phone_capture, synthesise_subjects

REAL = Path(os.environ.get("STUDIOLIKE_REAL_SAMPLES", "real"))
BLUR = "Blurred, out of focus or shaken"
GREEN = (30, 140, 60)  # no part of a face has it


def told(image: np.ndarray, res: int = 256, points=None) -> list[str]:
    points = astronaut_landmarks().points if points is None else points
    return [said for said in capture_photo(image, res, points, whole=False).quality["warnings"] if "blurred" in said]


def blurred(radius: float) -> np.ndarray:
    return np.asarray(Image.fromarray(astronaut()).filter(ImageFilter.GaussianBlur(radius)))


@pytest.mark.parametrize("res", [128, 256, 512, 1024])
def test_blur_is_told_at_any_size_of_the_texture_that_shows_it_and_never_of_a_sharp_photo(res):
    assert not told(astronaut(), res)
    (said,) = told(blurred(4 if res == 128 else 2), res)
    assert "lashes and pores" in said and "hold still" in said and not any(letter.isdigit() for letter in said)


def saved_small(picture: Image.Image, quality: int) -> np.ndarray:
    """As a JPEG of a messenger has it."""
    file = buffers.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file).convert("RGB"))


@pytest.mark.parametrize("jpeg", [30, 75])
def test_the_blocks_of_a_jpeg_are_not_taken_for_detail_however_strong_the_blur(jpeg):
    large = Image.fromarray(astronaut()).resize((1024, 1024), Image.Resampling.LANCZOS)
    points = astronaut_landmarks().points * 2
    assert not told(saved_small(large, jpeg), 512, points)
    for sigma in (4, 8, 14, 20):
        assert told(saved_small(large.filter(ImageFilter.GaussianBlur(sigma)), jpeg), 512, points), sigma
    for length in (15, 31, 61):  # shaken sideways
        pixels = np.asarray(large).astype(np.float32)
        shaken = np.mean([np.roll(pixels, k - length // 2, 1) for k in range(length)], 0).astype(np.uint8)
        assert told(saved_small(Image.fromarray(shaken), jpeg), 512, points), length


def test_a_small_sharp_face_is_not_called_blurred():
    small = np.asarray(Image.fromarray(astronaut()).resize((256, 256), Image.Resampling.LANCZOS))
    assert not told(small, 512, astronaut_landmarks().points / 2)


def test_synthetic_captures_are_not_called_blurred():
    subjects = synthesise_subjects(torch.arange(900, 908), 256)
    shots = phone_capture(subjects, torch.arange(5900, 5908))
    values = [quality.sharpness(t, v[0] > 0.3) for t, v in zip(shots.texture, shots.visibility, strict=True)]
    assert min(values) > quality.BLURRED


@pytest.mark.skipif(not REAL.is_dir(), reason="the real samples are not at hand")
@pytest.mark.parametrize("jpeg", [75, 95])
def test_real_photographs_are_called_blurred_from_a_strong_blur_on_and_not_when_they_are_sharp(jpeg):
    for path in sorted((REAL / "photos").glob("*")):
        stored = REAL / "landmarks" / f"{path.stem}.json"
        if stored.is_file():
            points, picture = load_landmarks(stored).points, Image.fromarray(io.read_image(path))
            for sigma in (0, 4, 10, 14):
                assert bool(told(saved_small(picture.filter(ImageFilter.GaussianBlur(sigma)), jpeg), 512, points)) == (
                    sigma > 0
                ), path


@pytest.mark.skipif(not REAL.is_dir(), reason="the real samples are not at hand")
def test_sharp_photographs_of_real_people_are_not_called_blurred_even_under_hard_light():
    for path in sorted((REAL / "photos").glob("*_512.png")) + sorted((REAL / "pairs").glob("*/phone_light*.png")):
        stored = REAL / "landmarks" / f"{path.stem if path.parent.name == 'photos' else path.parent.name}.json"
        if stored.is_file():
            assert not told(io.read_image(path), 256, load_landmarks(stored).points), path


def draw_glasses(draw: ImageDraw.ImageDraw, points: np.ndarray, **look) -> None:
    half = 0.2 * np.ptp(points[:, 0])
    for corners in ((33, 133), (362, 263)):
        x, y = points[list(corners)].mean(0)
        draw.ellipse((x - half, y - 0.7 * half, x + half, y + 0.7 * half), **look)


def draw_mask(draw: ImageDraw.ImageDraw, points: np.ndarray) -> None:
    ring = layout.REGIONS["face"]
    lower = ring[ring.index(454) : ring.index(234) + 1]
    draw.polygon([tuple(points[i]) for i in [*lower, 5]], fill=GREEN)


def draw_fringe(draw: ImageDraw.ImageDraw, points: np.ndarray) -> None:
    ring = layout.REGIONS["face"]
    upper = ring[ring.index(127) :] + ring[: ring.index(356) + 1]
    draw.polygon([tuple(points[i]) for i in [*upper, 300, 334, 9, 105, 70]], fill=GREEN)


def draw_half(draw: ImageDraw.ImageDraw, points: np.ndarray) -> None:
    draw.rectangle((points[4, 0], 0, 512, 512), fill=GREEN)


# row of the page → (how it is drawn, a landmark under it)
COVERS = {
    "Glasses": (lambda d, p: draw_glasses(d, p, outline=GREEN, width=5), None),
    "Sunglasses": (lambda d, p: draw_glasses(d, p, fill=GREEN), 159),
    "Fringe": (draw_fringe, 151),
    "Mask or scarf": (draw_mask, 17),
    "Half of the face behind something": (draw_half, 425),
}


@pytest.mark.parametrize("cover", COVERS)
def test_what_covers_the_face_is_painted_on_it_and_counts_as_seen(cover):
    draw, under = COVERS[cover]
    points = astronaut_landmarks().points
    picture = Image.fromarray(astronaut())
    draw(ImageDraw.Draw(picture), points[:, :2])
    shot, bare = (capture_photo(np.asarray(image), 256, points, whole=False) for image in (picture, astronaut()))
    assert torch.equal(shot.visibility, bare.visibility)
    assert shot.quality["warnings"] == bare.quality["warnings"]  # nothing more is said
    colour = torch.tensor(GREEN)[:, None, None] / 255
    green = ((shot.texture[0] - colour).abs().amax(0) < 0.1) & (bare.visibility[0, 0] > 0.3)
    assert green.float().sum() > 100
    if under is not None:
        x, y = (layout.landmark_uv()[under] * 256).int().tolist()
        assert green[y - 1 : y + 2, x - 1 : x + 2].all()


def test_the_page_names_every_cover_that_is_tested_and_no_other():
    assert page_rows("What covers the face, and blur") == {BLUR, *COVERS}
