"""Landmarks are found, chosen, refined, stored, and checked against their picture."""

from __future__ import annotations

import importlib.util
import json

import numpy as np
import pytest

from studiolike import layout
from studiolike.capture import astronaut_landmarks, capture_photo, landmarks, load_landmarks, open_finder, save_landmarks
from studiolike.errors import CaptureError, InputError, MissingExtra, OutputError

GRAY = np.full((200, 240, 3), 128, np.uint8)


def face(x: float, y: float, width: float) -> np.ndarray:
    vertices = layout.face_vertices().double().numpy() * (1, -1, -1)
    return vertices / np.ptp(vertices[:, 0]) * width + (x, y, 0)


def seeing(*faces: np.ndarray, size: int = 240):
    """A detector that sees given faces in the whole picture and nothing in crops of other widths."""
    return lambda image: [f.copy() for f in faces] if image.shape[1] == size else []


@pytest.mark.parametrize("ending", ["json", "npz"])
def test_stored_landmarks_come_back_with_their_picture(tmp_path, ending):
    points = face(120, 100, 90)
    save_landmarks(points, tmp_path / f"l.{ending}", GRAY, source="by hand")
    stored = load_landmarks(tmp_path / f"l.{ending}")
    np.testing.assert_allclose(stored.points, points, atol=0.0006)
    assert (stored.width, stored.height, stored.source) == (240, 200, "by hand")
    assert stored.same_picture(GRAY) and not stored.same_picture(GRAY + 1) and not stored.same_size(GRAY[:100])
    assert [p.name for p in tmp_path.iterdir()] == [f"l.{ending}"]


def test_landmarks_of_a_picture_of_another_size_are_refused(tmp_path):
    stored = save_landmarks(face(120, 100, 90), tmp_path / "l.json", GRAY)
    with pytest.raises(CaptureError, match="240×200 pixels, this one has 240×150"):
        capture_photo(GRAY[:150], 64, stored)


def test_landmarks_of_another_picture_are_used_and_told(tmp_path):
    stored = save_landmarks(face(120, 100, 90), tmp_path / "l.json", GRAY)
    assert not [w for w in capture_photo(GRAY, 64, stored).quality["warnings"] if "another picture" in w]
    assert [w for w in capture_photo(GRAY - 20, 64, stored).quality["warnings"] if "another picture" in w]


def test_two_photos_of_one_pose_unwrap_alike():
    points = face(120, 100, 90)
    ramp = np.linspace(40, 200, GRAY.size).reshape(GRAY.shape).astype(np.uint8)
    first, second = (capture_photo(image, 64, points) for image in (ramp, ramp + 10))
    assert (first.visibility == second.visibility).all()
    change = (second.texture - first.texture)[(first.visibility > 0.5).expand(-1, 3, -1, -1)]
    assert abs(change * 255 - 10).max() < 0.1


@pytest.mark.parametrize("content", [b"", b"{}", b"[1, 2]", b"\x80\x81", b'{"points": [[0, 0, 0]]}', b"PK\x03\x04junk"])
@pytest.mark.parametrize("ending", ["json", "npz"])
def test_damaged_landmark_files_are_refused(tmp_path, content, ending):
    path = tmp_path / f"l.{ending}"
    path.write_bytes(content)
    with pytest.raises(InputError, match=str(path)):
        load_landmarks(path)


def test_pickles_are_never_opened(tmp_path):
    path = tmp_path / "l.npz"
    np.savez(path, points=np.array([{"a": 1}], dtype=object), width=1, height=1, sha256="", source="")
    with pytest.raises(InputError, match="not a landmark file"):
        load_landmarks(path)


def test_wrong_landmarks_are_refused(tmp_path):
    path = tmp_path / "l.json"
    save_landmarks(face(0, 0, 50), path, GRAY)
    facts = json.loads(path.read_text())
    facts["points"][7][1] = float("nan")
    path.write_text(json.dumps(facts))
    with pytest.raises(InputError, match="468 finite"):
        load_landmarks(path)
    with pytest.raises(InputError, match="468 finite"):
        capture_photo(GRAY, 64, np.zeros((5, 2)))
    with pytest.raises(InputError, match="no such"):
        load_landmarks(tmp_path / "none.json")
    with pytest.raises(InputError, match=".json or .npz"):
        save_landmarks(face(0, 0, 50), tmp_path / "l.txt", GRAY)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        save_landmarks(face(0, 0, 50), tmp_path / "file" / "l.json", GRAY)


def test_the_demo_landmarks_belong_to_the_demo_photo():
    data = pytest.importorskip("skimage.data")
    assert astronaut_landmarks().same_picture(data.astronaut())
    assert (landmarks(data.astronaut()) == astronaut_landmarks().points).all()


def test_no_face_and_several_faces_are_told():
    with pytest.raises(CaptureError, match="no face"):
        landmarks(GRAY, finder=seeing())
    with pytest.raises(CaptureError, match=r"several faces .*2 of similar size"):
        landmarks(GRAY, finder=seeing(face(60, 100, 80), face(180, 100, 70)))


def test_a_passer_by_and_a_double_detection_do_no_harm():
    main = face(100, 100, 90)
    found = landmarks(GRAY, finder=seeing(face(210, 40, 20), main + 1, main))
    np.testing.assert_allclose(found, main, atol=1.01)


def test_a_small_face_is_found_in_a_quarter_of_the_picture():
    whole = face(180, 140, 40)

    def finder(image):  # blind to the whole picture, as detectors are to small faces
        return [whole - (120, 100, 0)] if image.shape[:2] == (100, 120) and image[0, 0, 0] == 129 else []

    image = GRAY.copy()
    image[100:, 120:] = 129
    np.testing.assert_allclose(landmarks(image, finder=finder), whole)


def test_the_closer_look_maps_back_to_the_picture():
    truth = face(100.3, 90.7, 80)
    marks = [33, 263, 152]

    def finder(image):
        if image.shape[1] == 240:
            return [truth + (2.0, -1.5, 0.0)]  # a coarse first guess
        # find the three coloured dots in the enlarged crop and place the face by them
        spots = []
        for channel in range(3):
            bright = image[..., channel].astype(float) - 128
            rows, columns = np.nonzero(bright > 60)
            spots.append((columns.mean() + 0.5, rows.mean() + 0.5))
        spots = np.array(spots)
        scale = np.linalg.norm(spots[0] - spots[1]) / np.linalg.norm(truth[33, :2] - truth[263, :2])
        placed = truth * scale
        placed[:, :2] += spots.mean(0) - placed[marks, :2].mean(0)
        return [placed]

    image = GRAY.copy()
    rows, columns = np.mgrid[:200, :240] + 0.5
    for channel, mark in enumerate(marks):
        image[(columns - truth[mark, 0]) ** 2 + (rows - truth[mark, 1]) ** 2 < 5, channel] = 255
    found = landmarks(image, finder=finder)
    assert np.abs(found - truth)[:, :2].max() < 0.6
    assert np.ptp(found[:, 2]) == pytest.approx(np.ptp(truth[:, 2]), rel=0.02)


def test_missing_mediapipe_names_the_extra(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"studiolike\[capture\]"):
        landmarks(GRAY)


def test_an_unknown_back_end_is_refused():
    with pytest.raises(InputError, match="auto, solutions or tasks"):
        open_finder("dlib")


def test_live_landmarks_agree_with_the_stored_ones():
    mediapipe = pytest.importorskip("mediapipe")
    data = pytest.importorskip("skimage.data")
    if not hasattr(mediapipe, "solutions"):
        pytest.skip("this mediapipe has no bundled model")
    image = data.astronaut()[:, ::-1].copy()  # mirrored, so it is not recognised by its pixels
    found = landmarks(image, backend="solutions")
    mirrored = astronaut_landmarks().points[[33, 263, 61, 291, 1]] * (-1, 1, 1) + (512, 0, 0)
    assert np.abs(found[[263, 33, 291, 61, 1]] - mirrored)[:, :2].max() < 3
    with pytest.raises(CaptureError, match="no face"):
        landmarks(GRAY)
    with pytest.raises(CaptureError, match="several faces"):
        landmarks(np.concatenate([image, image], 1))
