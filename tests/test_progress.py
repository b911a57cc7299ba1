"""Who waits at a terminal sees how much is done; a log gets no bar."""

import io as buffers
import sys

import numpy as np
import pytest
from PIL import Image

from studiolike import capture, files
from studiolike.cli import main
from studiolike.progress import bar


class Screen(buffers.StringIO):
    """Standard error that is a terminal, or none."""

    def __init__(self, terminal):
        super().__init__()
        self.terminal = terminal

    def isatty(self):
        return self.terminal


either = pytest.mark.parametrize("terminal", [True, False], ids=["terminal", "log"])


def look_at(monkeypatch, terminal):
    """A screen in place of standard error; within the test, for pytest puts its own there before."""
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    monkeypatch.setattr(sys, "stderr", Screen(terminal))
    return sys.stderr


@pytest.fixture
def grey(tmp_path):
    paths = [tmp_path / f"{name}.png" for name in "ab"]
    for path in paths:
        Image.new("RGB", (64, 64), (120, 120, 120)).save(path)
    return paths


@either
def test_a_bar_tells_time_left_at_a_terminal_and_nothing_elsewhere(terminal, monkeypatch):
    screen = look_at(monkeypatch, terminal)
    assert list(bar(range(3), "work", "step", mininterval=0)) == [0, 1, 2]
    said = screen.getvalue()
    assert ("work:" in said and "3/3" in said and "00:00<" in said) if screen.terminal else not said
    before = said
    list(bar(range(3), "work", "step", show=False))
    monkeypatch.setenv("TQDM_DISABLE", "1")
    list(bar(range(3), "work", "step"))
    assert screen.getvalue() == before


@pytest.mark.slow
@either
def test_view_counts_its_files_and_the_pictures_of_turntable_and_lights(terminal, grey, tmp_path, monkeypatch):
    screen = look_at(monkeypatch, terminal)
    monkeypatch.setattr(files, "TURNS", 3)
    monkeypatch.setattr(files, "TURN_SIZE", 16)
    more = ["--turntable", str(tmp_path / "t.gif"), "--relit", str(tmp_path / "lights.png")]
    assert main(["view", str(grey[0]), "-o", str(tmp_path / "a.glb"), *more]) == 0
    said = screen.getvalue()
    told = ["view:" in said and "0/4" in said, "turntable:" in said and "0/3" in said, "lights:" in said and "0/5" in said]
    assert all(told) if screen.terminal else not any(told)
    assert said.count("wrote ") == 4


@pytest.mark.slow
@either
def test_pictures_and_frames_of_one_person_are_counted(terminal, grey, tmp_path, monkeypatch):
    screen = look_at(monkeypatch, terminal)
    assert main(["capture", *map(str, grey), "-o", str(tmp_path / "phone.png")]) == 2
    assert ("capture:" in screen.getvalue() and "0/2" in screen.getvalue()) is screen.terminal
    frames = [np.zeros((64, 64, 3), np.uint8)] * 3
    monkeypatch.setattr(capture.video, "read_frames", lambda path, count: iter(frames))
    (tmp_path / "clip.mp4").write_bytes(b"\0\0\0\x18ftypisom")
    assert main(["convert", str(tmp_path / "clip.mp4"), "-o", str(tmp_path / "studio.png")]) == 2
    said = screen.getvalue()
    assert ("convert:" in said and "0/1" in said and "0/24" in said) is screen.terminal
    before = said
    assert main(["convert", str(tmp_path / "clip.mp4"), "-o", str(tmp_path / "studio.png"), "--quiet"]) == 2
    assert "capture:" not in screen.getvalue()[len(before) :]
