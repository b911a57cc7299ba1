"""Chapter 7's laboratory: a real photograph, with closed sockets, made worse, spoilt, and compared."""

import socket
import urllib.request

import pytest
from fakes import FakeSet
from PIL import Image

from studiolike.chapters import figures
from studiolike.chapters import photograph as drawn
from studiolike.experiments.photograph import Photograph, closed_sockets


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
    told = drawn.gap(found)
    assert told["others"] == 2 and told["psnr"] == found.real["reconstruction PSNR, dB"]
    assert told["same"] == ("above" if told["cosine"] > found.threshold else "not above")
    figures.show(drawn.gap_figure(found), "gap")
    drawn.claims(found, 128)
    assert len(shown) == 3


def test_worse_photographs_are_more_uneven(lab, shown):
    assert set(lab.worse()) == {"as taken", "light from one side", "hard shadow", "hat"}
    told = drawn.worse(lab)
    as_taken = float(shown[-1][1][1])
    assert told["shadow_before"] > as_taken


def test_commands_that_cannot_work_end_with_one_line_and_code_2(tmp_path, capsys):
    drawn.refused([["convert", str(tmp_path / "nobody.png")]])
    printed = capsys.readouterr().out
    assert "exit code 2" in printed and "Traceback" not in printed


def test_the_commands_of_the_chapter_leave_a_texture_an_avatar_and_its_page(lab, tmp_path, capsys):
    Image.fromarray(lab.photo).save(tmp_path / "photo.png")
    for _ in range(2):  # a reader may run the cell again
        drawn.commands(tmp_path, 128)
    assert {"studio.png", "avatar.glb", "avatar.html"} <= {path.name for path in tmp_path.iterdir()}
    assert "exit code 0" in capsys.readouterr().out
