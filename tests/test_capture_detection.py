"""Faces are found by the networks in the package: turned, small, several or none, and without any further library."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut

from studiolike import io
from studiolike.capture import astronaut_landmarks, capture_photo, landmarks, load_landmarks
from studiolike.capture.detection import find_faces
from studiolike.errors import CaptureError

ROOT = Path(__file__).resolve().parents[1]
REAL = Path(os.environ.get("STUDIOLIKE_REAL_SAMPLES", "real"))


@pytest.fixture(scope="module")
def found() -> np.ndarray:
    return landmarks(astronaut())


def deviation(points: np.ndarray, other: np.ndarray) -> float:
    """Mean distance in parts of the face's width."""
    return np.linalg.norm((points - other)[:, :2], axis=1).mean() / np.ptp(other[:, 0])


def on_canvas(face: int, height: int, width: int, top: int, left: int) -> np.ndarray:
    """The astronaut in a grey picture, scaled so that her face is about ``face`` pixels wide."""
    side = round(512 * face / np.ptp(astronaut_landmarks().points[:, 0]))
    canvas = np.full((height, width, 3), 90, np.uint8)
    canvas[top : top + side, left : left + side] = np.asarray(Image.fromarray(astronaut()).resize((side, side)))
    return canvas


def test_the_landmarks_are_those_of_the_original_software(found):
    assert deviation(found, astronaut_landmarks().points) < 0.006


@pytest.mark.parametrize("turn", [1, 2, 3])
def test_a_portrait_turned_without_a_tag_gives_the_same_texture(found, turn):
    image = astronaut()
    upright, turned = capture_photo(image, 128, found), capture_photo(np.ascontiguousarray(np.rot90(image, turn)), 128)
    both = (upright.visibility > 0.5) & (turned.visibility > 0.5)
    assert both.sum() > 0.9 * (upright.visibility > 0.5).sum()
    assert (upright.texture - turned.texture).abs()[both.expand(-1, 3, -1, -1)].mean() < 0.01


def test_a_small_face_in_twelve_megapixels_is_found():
    image = on_canvas(138, 3000, 4000, 1900, 2900)
    points = landmarks(image)
    side = round(512 * 138 / np.ptp(astronaut_landmarks().points[:, 0]))
    expected = astronaut_landmarks().points * (side / 512) + (2900, 1900, 0)
    assert deviation(points, expected) < 0.012


def test_a_face_too_small_to_be_seen_asks_for_a_crop():
    with pytest.raises(CaptureError, match="crop around it"):
        landmarks(on_canvas(8, 3000, 4000, 1900, 2900))


def test_a_face_too_small_to_be_used_asks_to_come_closer():
    with pytest.raises(CaptureError, match="at least 48 are needed"):
        capture_photo(on_canvas(34, 600, 800, 100, 200), 64)


def test_no_face_and_several_faces_are_told():
    with pytest.raises(CaptureError, match="no face found"):
        landmarks(np.full((200, 240, 3), 128, np.uint8))
    image = astronaut()[:256, 60:380]
    with pytest.raises(CaptureError, match="several faces"):
        landmarks(np.concatenate([image, image[:, ::-1]], 1))


def test_tilting_the_head_moves_the_landmarks_with_it(found):
    centre = found[:, :2].mean(0)
    tilted = Image.fromarray(astronaut()).rotate(30, Image.Resampling.BICUBIC, center=tuple(centre))
    angle = np.radians(-30)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    expected = (found[:, :2] - centre) @ turn.T + centre
    points = landmarks(np.asarray(tilted))
    assert deviation(points, np.concatenate([expected, found[:, 2:]], 1)) < 0.01


def test_nothing_beside_the_plain_installation_is_imported():
    code = """
import sys
for name in ("mediapipe", "cv2", "ai_edge_litert", "tensorflow", "tflite_runtime", "onnxruntime", "av", "matplotlib"):
    sys.modules[name] = None  # importing it fails
import socket
socket.socket.connect = None  # nothing is fetched
from skimage.data import astronaut
from studiolike.capture import capture_photo
print(capture_photo(astronaut(), 64).landmarks.shape)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.stdout.strip() == "(468, 3)", done.stderr


def test_a_second_call_gives_the_same_bits(found):
    assert np.array_equal(landmarks(astronaut()), found)
    assert not torch.is_inference_mode_enabled()


@pytest.mark.skipif(not REAL.is_dir(), reason="the real samples are not at hand")
def test_real_photographs_agree_with_the_stored_landmarks_and_a_profile_is_refused():
    for path in sorted((REAL / "photos").glob("*_512.png")) + [REAL / "photos" / "usgov_obama.jpg"]:
        stored = REAL / "landmarks" / f"{path.stem}.json"
        if stored.is_file():
            assert deviation(landmarks(io.read_image(path)), load_landmarks(stored).points) < 0.015, path.name
    profile = io.read_image(REAL / "photos" / "albedomm_sample_left.jpg")
    assert len(find_faces(profile)) <= 1
    with pytest.raises(CaptureError, match="profile|no face"):
        capture_photo(profile, 64)


@pytest.mark.skipif(not REAL.is_dir(), reason="the real samples are not at hand")
def test_landmarks_under_hard_light_move_no_further_than_the_page_says(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    bench = importlib.import_module("landmarks")
    page = (ROOT / "book/what-you-can-put-in.md").read_text().splitlines()
    now = bench.rows(bench.measure(REAL))
    first = page.index(now[0])
    shown = page[first : first + len(now)]
    numbers, stated = (np.array([re.findall(r"[\d.]+ %", row) for row in table[2:]]) for table in (now, shown))
    assert numbers.shape == stated.shape == (2, 4)
    off = np.abs(np.char.rstrip(numbers, " %").astype(float) - np.char.rstrip(stated, " %").astype(float))
    assert off.max() < 0.1, now  # another processor rounds otherwise


def test_a_cat_gravel_and_a_cup_are_nobody():
    from skimage import data

    for picture in (data.chelsea(), data.gravel()[..., None].repeat(3, 2), data.coffee()):
        assert not find_faces(picture)
