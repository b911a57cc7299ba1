"""The judge of real faces: its network, its chips, and what it says about photographs (where the samples are at hand)."""

import json
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from studiolike import capture, io, weights
from studiolike.evaluation import chips, face_judge
from studiolike.evaluation.face_net import SAME_PERSON

REAL = Path(os.environ.get("STUDIOLIKE_REAL_SAMPLES", "real"))


@pytest.fixture(scope="module")
def astronaut():
    from skimage.data import astronaut

    image, points = astronaut(), capture.astronaut_landmarks().points
    return image, points, capture.capture_photo(image, 256, points)


def test_the_judges_are_small_frozen_in_the_package_and_named_in_the_notice():
    notice = (Path(__file__).parents[1] / "NOTICE").read_text()
    total = sum(f.stat().st_size for f in weights.PACKAGED.rglob("*") if f.is_file())
    assert total < 40e6
    for name in weights.FOREIGN:
        weights.verify(weights.PACKAGED / name)
        assert f"studiolike/weights/{name}" in notice


def test_five_points_come_to_their_places_whatever_the_picture_is_turned_and_scaled_by():
    places = (np.array(chips.PLACES) + chips.PADDING) / (1 + 2 * chips.PADDING) * 150
    turn = np.array([[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]])
    points = 3.7 * places @ turn.T + [100, -20]
    forward = chips.alignment(points)
    np.testing.assert_allclose(points @ forward[:, :2].T + forward[:, 2], places, atol=1e-9)


def test_a_chip_of_a_photo_does_not_depend_on_its_size_or_turn(astronaut):
    image, points, _ = astronaut
    chip = chips.photo_chip(image, points)
    assert chip.shape == (1, 3, 150, 150)
    double = image.repeat(2, 0).repeat(2, 1)
    assert (chips.photo_chip(double, points * 2) - chip).abs().mean() < 0.01
    turned = np.rot90(image).copy()
    rotated = np.stack([points[:, 1], image.shape[1] - points[:, 0], points[:, 2]], 1)
    assert (chips.photo_chip(turned, rotated) - chip).abs().mean() < 0.01


def test_the_photographed_person_is_recognised_in_the_render_and_a_stranger_is_not(astronaut):
    image, points, shot = astronaut
    mirrored_light = shot.texture * torch.linspace(0.6, 1, 256)
    stranger = (
        torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)).repeat_interleave(16, 2).repeat_interleave(16, 3)
    )
    own, lit, other = face_judge.photo_distance(image, points, torch.cat([shot.texture, mirrored_light, stranger])).tolist()
    assert own < 0.45 and lit < SAME_PERSON < other
    # the base head has not her smile
    assert face_judge.photo_distance(image, points, shot.texture, chips.chip_view()).item() > own


def test_textures_are_compared_where_they_were_seen(astronaut):
    _, _, shot = astronaut
    seen = (shot.visibility > 0.5).float()
    spoilt = torch.where(seen > 0, shot.texture, 1 - shot.texture)
    assert face_judge.distance(shot.texture, shot.texture).item() == 0
    assert face_judge.distance(spoilt, shot.texture, seen).item() < 1e-4
    assert face_judge.distance(spoilt, shot.texture).item() > 0.1


def test_a_turned_view_shows_the_side_of_the_head_it_is_turned_to():
    half = torch.zeros(1, 3, 64, 64)
    half[..., 32:] = 1  # the subject's left, at the right of the picture
    front, turned = (chips.render_chip(half, chips.chip_view(yaw=yaw)) for yaw in (0.0, -25.0))
    white = lambda x: ((x > 0.9).float().mean()).item()  # noqa: E731
    assert white(turned) > white(front) > 0.2


@pytest.mark.skipif(not (REAL / "pairs").is_dir(), reason="needs the folder of real samples")
def test_lights_do_not_make_another_person_and_people_do():
    embedded, who = [], []
    for folder in sorted((REAL / "pairs").iterdir()):
        points = capture.load_landmarks(REAL / "landmarks" / f"{folder.name}.json").points
        for path in sorted(folder.glob("phone_light*.png")):
            embedded.append(face_judge.judge().embed(chips.photo_chip(io.read_image(path), points))[0])
            who.append(folder.name)
    distance, who = torch.cdist(torch.stack(embedded), torch.stack(embedded)), np.array(who)
    same = torch.from_numpy(who[:, None] == who[None]) & ~torch.eye(len(who), dtype=bool)
    assert distance[same].mean() < 0.4 and distance[torch.from_numpy(who[:, None] != who[None])].min() > 0.55


def test_the_photographs_of_a_folder_are_judged_and_what_cannot_be_used_is_named(astronaut, tmp_path):
    from PIL import Image

    from studiolike.evaluation.photos import photo_identity

    image, points, _ = astronaut
    (tmp_path / "photos").mkdir()
    Image.fromarray(image).save(tmp_path / "photos" / "known.png")
    Image.fromarray(image).save(tmp_path / "photos" / "phone.avif", quality=95)  # what convert reads
    (tmp_path / "photos" / "film.mov").touch()
    Image.fromarray(image[:40]).save(tmp_path / "photos" / "cut.png")
    capture.save_landmarks(points, tmp_path / "photos" / "cut.json", image)  # of another picture

    class Copy:
        """A chain that changes nothing, of networks smaller than those that the profile would train."""

        detailer = SimpleNamespace(config=SimpleNamespace(resolution=256))

        def __call__(self, texture, visibility, *, resolution, keep_tone):
            assert resolution == texture.shape[-1] == 256 and keep_tone
            return SimpleNamespace(texture=texture)

    text = photo_identity(Copy(), tmp_path / "photos", out=tmp_path / "table.json")
    numbers = json.loads((tmp_path / "table.json").read_text())
    row = numbers["photographs"]["known.png"]
    assert row["phone_result"] == 0 and row["phone"] == row["result"] < 0.45
    other = numbers["photographs"]["phone.avif"]
    assert other["phone"] < 0.45 and numbers["median"]["phone"] == pytest.approx((row["phone"] + other["phone"]) / 2)
    assert (
        "| known.png |" in text
        and "Not used: cut.png" in text
        and "Not used: film.mov (not a picture)" in text
        and "dlib-ResNet" in text
    )
