"""Chapter 7's laboratory: a real photograph, with closed sockets, made worse, spoilt, and compared."""

import socket
import urllib.request

import numpy as np
import pytest
from fakes import FakeSet
from PIL import Image

from studiolike import capture
from studiolike.chapters import figures
from studiolike.chapters import photograph as drawn
from studiolike.experiments.photograph import SIDES, Home, Photograph, closed_sockets


@pytest.fixture(scope="module")
def lab():
    return Photograph(size=256)


@pytest.fixture(scope="module")
def out(lab):
    return lab.run(lab.shot.texture, lab.shot.visibility)


def test_who_tries_to_connect_while_sockets_are_closed_fails_and_is_counted():
    with closed_sockets() as attempts:
        with pytest.raises(AssertionError, match="connection"):
            urllib.request.urlopen("http://127.0.0.1:9", timeout=1)
        with socket.socket() as line, pytest.raises(AssertionError):
            line.connect(("127.0.0.1", 9))
        assert attempts.call_count == 2
    with socket.socket() as line, pytest.raises(OSError):
        line.connect(("127.0.0.1", 9))  # as always


def test_spoilt_pictures_are_refused_each_with_a_reason_of_its_own(lab):
    said = lab.refusals()
    assert set(said) == set(lab.spoilt()) and len(set(said.values())) == len(said)
    assert all("Error: " in text and "\n" not in text for text in said.values())


def test_a_picture_that_should_be_refused_and_is_taken_is_noticed(lab, monkeypatch):
    monkeypatch.setattr(lab, "spoilt", lambda: {"nothing wrong": (lab.photo, lab.points)})
    with pytest.raises(AssertionError, match="nothing wrong"):
        lab.refusals()


def test_the_capture_and_the_stages_are_drawn(lab, out, shown):
    told = drawn.unwrapped(lab)
    assert 5 < told["covered"] < 60 and told["face_pixels"] > 50
    figures.show(drawn.landmarks_figure(lab), "landmarks")
    figures.show(drawn.stages_figure(lab, out), "stages")
    assert len(shown) == 4


def test_the_domain_gap_compares_like_with_like(lab, out, shown):
    found = lab.home(FakeSet(resolution=256), out, captures=2)
    side, soft = lab.softened(FakeSet(resolution=256), captures=2)
    assert 0 < side <= 256 and soft.shape == (2,)
    told = drawn.gap(found, (side, soft))
    assert told["others"] == 2 and told["psnr"] == found.real["reconstruction PSNR, dB"]
    assert told["same"] == ("above" if told["cosine"] > found.threshold else "not above")
    figures.show(drawn.gap_figure(found), "gap")
    drawn.claims(found, 128)
    assert len(shown) == 3


def test_a_measure_shows_the_gap_where_most_synthetic_captures_do_better(shown):
    values = dict(zip(drawn.BETTER, ([30.0] * 4, [1.0] * 4, [0.3] * 4, [0.9] * 4, [0.2] * 4, [0.1] * 4), strict=True))
    real = dict(zip(drawn.BETTER, (25.0, 2.0, 0.7, 0.95, 0.5, 0.2), strict=True))
    found = Home(real, {name: np.array(x) for name, x in values.items()}, 0.2, 0.86)
    told = drawn.gap(found, (256, np.array([26.0, 27.0])))
    assert told["gap_shows"] == "reconstruction PSNR, length of the code, asymmetry after"
    assert told["gap_hides"] == "identity cosine, SSIM to the input"
    assert told["psnr_gap"] == "5.0 dB below" and told["soft_gap"] == "1.5 dB below"


def test_blurred_captures_are_as_little_sharp_as_the_photograph(lab):
    data = FakeSet(resolution=256)
    sharp = dict(lab.shot.quality)
    try:
        lab.shot.quality["sharpness"] = 1.0  # nothing is that sharp
        assert lab.softened(data, captures=2)[0] == lab.size
        lab.shot.quality["sharpness"] = 0.0  # nor that blurred
        assert lab.softened(data, captures=2)[0] == round(SIDES[-1] * lab.size)
    finally:
        lab.shot.quality.update(sharp)


def test_the_stage_that_lost_the_person_is_named(lab, out, monkeypatch):
    def blamed(*far):
        distances = iter(far)
        monkeypatch.setattr(drawn, "distance", lambda *_: next(distances))
        return drawn.blame(lab, out)

    assert blamed(0.7, 0.7, 0.3)["blame"].startswith("already the copy")
    told = blamed(0.5, 0.7, 0.3)
    assert "its translation is not" in told["blame"] and "within" in told["back"]
    assert "neither" in blamed(0.5, 0.5, 0.3)["blame"] and "beyond" in blamed(0.5, 0.7, 0.7)["back"]


def test_worse_photographs_are_more_uneven(lab, shown):
    assert set(lab.worse()) == {"as taken", "light from one side", "hard shadow", "hat"}
    told = drawn.worse(lab)
    as_taken = float(shown[-1][1][1])
    assert told["shadow_before"] > as_taken
    assert told["shadow_colour"] > 1 and told["shadow_light"] < 100  # what asymmetry does not see


def test_commands_that_cannot_work_end_with_one_line_and_code_2(tmp_path, capsys):
    drawn.refused([["convert", str(tmp_path / "nobody.png")]])
    printed = capsys.readouterr().out
    assert "exit code 2" in printed and "Traceback" not in printed


def test_the_commands_of_the_chapter_leave_a_texture_an_avatar_and_its_page(lab, tmp_path, capsys):
    Image.fromarray(lab.photo).save(tmp_path / "photo.png")
    for _ in range(2):  # a reader may run the cell again
        drawn.commands(tmp_path, 128)
    assert {"studio.png", "avatar.glb", "avatar.html"} <= {path.name for path in tmp_path.iterdir()}
    printed = capsys.readouterr().out
    assert "exit code 0" in printed and "note: the mouth is open" in printed and "perceptual" not in printed
    assert f"psnr_observed: {lab.run(*small(lab)).psnr_observed.item():.2f}" in printed


def small(lab):
    """What the command line reads of the photo at 128 texels: the least capture that it makes."""
    shot = capture.capture_photo(lab.photo, 256)
    return shot.texture, shot.visibility
