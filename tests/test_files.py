"""Files that belong to one person: read together, and never written over."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from test_convert import save_texture

from studiolike import capture, files, io
from studiolike.cli import main
from studiolike.errors import CaptureError, InputError, OutputError
from studiolike.record import write_marked, write_visibility


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


@pytest.fixture
def unwrapped(monkeypatch):
    """Every photo becomes one texture; no face is looked for."""
    shot = capture.Capture(torch.full((1, 3, 64, 64), 0.5), torch.ones(1, 1, 64, 64), np.zeros((468, 3)), {"warnings": []})
    monkeypatch.setattr(files, "capture_person", lambda *_, **__: shot)
    return shot


def visibility_for(texture):
    """The map that `capture` writes beside a texture; half of it was seen."""
    seen = torch.ones(1, 64, 64)
    seen[..., :32] = 0
    write_visibility(seen, io.visibility_path(texture), texture)


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "tif", "bmp"])
def test_a_visibility_map_speaks_for_the_texture_that_it_was_written_with_and_not_for_the_photo_beside_it(
    ending, tmp_path, unwrapped
):
    photo = save_texture(tmp_path / ("me.jpg" if ending != "jpg" else "me.png"))
    texture = save_texture(tmp_path / f"me.{ending}", 1)
    visibility_for(texture)
    for _ in range(2):  # also when the texture has been deleted
        found = files.read_person((photo,), "auto", None, 64)
        assert found.facts["kind"] == "photo" and found.visibility.min() == 1
        if texture.is_file():
            made = files.read_person((texture,), "auto", None, 64)
            assert made.facts["kind"] == "texture" and made.visibility.mean() == 0.5
        texture.unlink(missing_ok=True)
    forced = files.read_person((photo,), "texture", None, 64)
    (told,) = forced.facts["warnings"]
    assert forced.visibility is None and "me.visibility.png was written with another texture" in told


@pytest.mark.parametrize("name", ["mine.png", "mine.jpg", "mine.webp"])
def test_a_map_of_ones_own_speaks_for_the_square_picture_of_its_name_and_a_note_names_it(name, tmp_path, unwrapped):
    texture = save_texture(tmp_path / name)
    Image.new("L", (64, 64), 255).save(tmp_path / "mine.visibility.png")
    found = files.read_person((texture,), "auto", None, 64)
    (told,) = found.facts["warnings"]
    assert found.facts["kind"] == "texture" and "mine.visibility.png lies beside it" in told and name in told
    assert files.read_person((texture,), "photo", None, 64).facts["kind"] == "photo"
    Image.new("RGB", (64, 48)).save(tmp_path / "wide.png")
    Image.new("L", (64, 64), 255).save(tmp_path / "wide.visibility.png")
    assert files.read_person((tmp_path / "wide.png",), "auto", None, 64).facts["kind"] == "photo"
    if name != "mine.png":  # of two that it could speak for it speaks for the one that the usual command would write
        save_texture(tmp_path / "mine.png", 1)
        assert files.read_person((texture,), "auto", None, 64).facts["kind"] == "photo"


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "tif"])
def test_a_texture_that_says_so_in_its_file_is_one_under_any_name_and_without_a_word(ending, tmp_path, unwrapped):
    path = tmp_path / f"renamed.{ending}"
    write_marked(torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0)), path, None)
    assert files.read_person((path,), "auto", None, 64).facts == {"kind": "texture"}


def test_a_visibility_map_is_grey_and_a_picture_in_colour_is_refused(tmp_path, capsys):
    texture, seen = save_texture(tmp_path / "x.png"), tmp_path / "seen.jpg"
    Image.new("L", (64, 64), 200).convert("RGB").save(seen)
    assert io.read_visibility(seen).mean() == pytest.approx(200 / 255, abs=0.01)
    colour = save_texture(tmp_path / "photo.png", 2)
    assert main(["convert", str(texture), "--visibility", str(colour), "-o", str(tmp_path / "y.png")]) == 2
    assert "photo.png is a picture in colour; a visibility map is grey" in capsys.readouterr().err
