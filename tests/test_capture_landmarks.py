"""Landmarks are found, chosen, refined, stored, and checked against their picture."""

from __future__ import annotations

import json

import numpy as np
import pytest
from skimage.data import astronaut

from studiolike import layout
from studiolike.capture import astronaut_landmarks, capture_photo, capture_photos, landmarks, load_landmarks, save_landmarks
from studiolike.errors import CaptureError, InputError, OutputError

GRAY = np.full((200, 240, 3), 128, np.uint8)


def face(x: float, y: float, width: float) -> np.ndarray:
    vertices = layout.face_vertices().double().numpy() * (1, -1, -1)
    return vertices / np.ptp(vertices[:, 0]) * width + (x, y, 0)


def seeing(*faces: np.ndarray):
    """A detector that sees given faces."""
    return lambda image: [f.copy() for f in faces]


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
    assert astronaut_landmarks().same_picture(astronaut())


def test_no_face_and_several_faces_are_told():
    with pytest.raises(CaptureError, match="no face"):
        landmarks(GRAY, finder=seeing())
    with pytest.raises(CaptureError, match=r"several faces .*2 of similar size"):
        landmarks(GRAY, finder=seeing(face(60, 100, 80), face(180, 100, 70)))


def test_a_passer_by_and_a_double_detection_do_no_harm():
    main = face(100, 100, 90)
    found = landmarks(GRAY, finder=seeing(face(210, 40, 20), main + 1, main))
    np.testing.assert_allclose(found, main, atol=1.01)


def test_smaller_faces_are_left_alone_with_a_word():
    points, size = astronaut_landmarks().points, np.ptp(astronaut_landmarks().points[:, 0])
    small = points * 0.3 + [350, 300, 0]
    alone, crowded = seeing(points, points + 0.01 * size), seeing(points, small, small + 90)
    said = "the largest of 3 faces was used"
    for finder, told in ((alone, []), (crowded, [said])):
        shot = capture_photo(astronaut(), 64, whole=False, finder=finder)
        assert [line for line in shot.quality["warnings"] if "face" in line and "largest" in line] == told
    turns = iter((alone, crowded, alone))
    several = capture_photos([astronaut()] * 3, 64, whole=False, finder=lambda image: next(turns)(image))
    assert [line for line in several.quality["warnings"] if "largest" in line] == [
        "in 1 of 3 pictures the largest of several faces was used"
    ]
