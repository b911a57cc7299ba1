"""Files that belong to one person: read together, and never written over."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from test_convert import save_texture

from studiolike import capture, files
from studiolike.cli import main
from studiolike.errors import CaptureError, InputError, OutputError


def test_files_of_one_person_are_read_together_and_a_video_stands_alone(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        files,
        "capture_person",
        lambda paths, size, stored=None, *, whole, progress: (
            asked.append((paths, size, whole))
            or SimpleNamespace(
                texture=torch.zeros(1, 3, 64, 64), visibility=torch.ones(1, 1, 64, 64), quality={"frames": 2}, shape=None
            )
        ),
    )
    photos = tuple(save_texture(tmp_path / f"{k}.jpg") for k in range(2))
    assert files.read_person(photos, "auto", None, 512).facts == {"kind": "photos", "frames": 2}
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"")
    assert files.read_person((clip,), "auto", None, 512).facts["kind"] == "video"
    assert asked == [(photos, 512, True), ((clip,), 512, True)]
    with pytest.raises(InputError, match="texture"):
        files.read_person(photos, "texture", None, 512)


def test_a_photo_without_a_face_among_several_is_named_and_the_others_used(tmp_path, monkeypatch):
    def take(image, size, stored=None, *, whole, finder):
        if image.mean() < 50:
            raise CaptureError("no face was found")
        return capture.Capture(torch.rand(1, 3, 64, 64), torch.ones(1, 1, 64, 64), np.zeros((468, 3)), {})

    monkeypatch.setattr("studiolike.capture.video.capture_photo", take)
    good, dark = save_texture(tmp_path / "good.png"), tmp_path / "dark.png"
    Image.new("RGB", (64, 64)).save(dark)
    (tmp_path / "cut.jpg").write_bytes(b"\xff\xd8\xff")
    result = files.capture_person((good, dark, tmp_path / "cut.jpg"), 64)
    told = " ".join(result.quality["warnings"])
    assert "dark.png: no face was found" in told and told.count("cut.jpg") == 1 and "good.png" not in told
    with pytest.raises(CaptureError, match="none of the 2 pictures.*dark.png.*cut.jpg"):
        files.capture_person((dark, tmp_path / "cut.jpg"), 64)


def test_the_photo_is_not_overwritten_by_its_texture_or_visibility(tmp_path, capsys):
    photo = save_texture(tmp_path / "x.visibility.png")
    before = photo.read_bytes()
    assert main(["capture", str(photo), "-o", str(photo)]) == 2
    assert main(["capture", str(photo), "-o", str(tmp_path / "x.png")]) == 2
    assert "overwrite the input" in capsys.readouterr().err and photo.read_bytes() == before


def test_one_file_written_twice_is_refused(tmp_path):
    with pytest.raises(OutputError, match="twice"):
        files.protect([], [tmp_path / "a.png", tmp_path / "b" / ".." / "a.png"])
