"""What stands on the disk stays there: no verb replaces a file, unless it is told to, and then all its files or none."""

import dataclasses
import re
import sys
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from test_convert import Mirror

from studiolike import avatar, capture, cli, convert, files, io
from studiolike.cli import data as data_verbs
from studiolike.cli import main
from studiolike.errors import OutputError
from studiolike.evaluation import face_judge

# what a command writes, and the command, whose words are formatted with folders: `i` of the input, `o` of the output
VERBS = {
    "capture": (
        "capture {i}/x.png -o {o}/a.png --size 32 --report {o}/sheet.html --save-landmarks {o}/l.json",
        ("a.png", "a.visibility.png", "sheet.html", "l.json"),
    ),
    "convert": (
        "convert {i}/x.png -o {o}/a.png --size 64 --kind texture --report {o}/page.html",
        ("a.png", "page.html"),
    ),
    "view": (
        "view {i}/x.png -o {o}/a.glb --turntable {o}/turn.gif --relit {o}/lit.png",
        ("a.glb", "a.html", "turn.gif", "lit.png"),
    ),
    "retarget": (
        "data retarget {i}/x.png -o {o}/a.png --size 32 --save-landmarks {o}/l.json",
        ("a.png", "a.visibility.png", "l.json"),
    ),
    "retarget of a folder": ("data retarget {i} -o {o} --size 32", ("x.png", "x.visibility.png", "y.png")),
    "import": (
        "data import --studio {i} -o {o} --size 32",
        ("phone.npy", "visibility.npy", "studio.npy", "index.npz", "manifest.json"),
    ),
}
CASES = [(verb, name) for verb, (_, names) in VERBS.items() for name in names]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Folders of input and output; stand-ins for all that takes time."""
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    (tmp_path / "in").mkdir()
    for name in "xy":
        Image.fromarray(noise).save(tmp_path / f"in/{name}.png")
    points = np.concatenate([np.random.default_rng(0).random((468, 2)) * 60, np.zeros((468, 1))], 1)
    taken = capture.Capture(torch.rand(1, 3, 32, 32), torch.ones(1, 1, 32, 32), points, {"warnings": []})

    def capture_person(photos, size, stored=None, sheet=None, *, whole=True, progress=False):
        sheet.add("x.png", noise)
        return taken

    monkeypatch.setattr(files, "capture_person", capture_person)
    monkeypatch.setattr(convert, "load", lambda *_: Mirror())
    monkeypatch.setattr(face_judge, "distance", lambda *_: torch.zeros(1))
    # the package's function of the same name hides the module
    monkeypatch.setattr(import_module("studiolike.sets.retarget"), "retarget", lambda *_, **__: taken)
    monkeypatch.setattr(avatar.report, "render", lambda *_, **__: torch.rand(3, 16, 16))
    monkeypatch.setattr(files, "TURNS", 2)
    monkeypatch.setattr(files, "TURN_SIZE", 16)
    return SimpleNamespace(i=tmp_path / "in", o=tmp_path / "out")


def typed(place, verb, *more):
    return main([*VERBS[verb][0].format(i=place.i, o=place.o).split(), *more])


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.is_dir() else {}


@pytest.mark.parametrize(("verb", "name"), CASES)
def test_a_file_that_exists_is_refused_before_any_work_and_replaced_on_request(verb, name, place, capsys):
    place.o.mkdir()
    (place.o / name).write_bytes(b"mine")
    assert typed(place, verb) == 2
    told = capsys.readouterr().err
    assert name in told and "--overwrite" in told and len(told.splitlines()) == 1
    assert contents(place.o) == {name: b"mine"}
    assert typed(place, verb, "--overwrite") == 0
    assert contents(place.o)[name] != b"mine" and set(VERBS[verb][1]) <= contents(place.o).keys()


@pytest.mark.parametrize(("verb", "name"), [case for case in CASES if case[0] != "import" and case[1] != "turn.gif"])
def test_a_command_that_cannot_write_one_of_its_files_writes_none(verb, name, place, monkeypatch, capsys):
    """The disk is full where one of the files, whichever, is written: the same command can be typed again afterwards."""
    if verb == "retarget of a folder":
        (place.i / "y.png").unlink()  # of a folder, every texture with its map is a whole of its own
        name = "x" + name[1:]
    stem, ending = name.rsplit(".", 1)
    written = io.atomic

    @contextmanager
    def atomic(path):
        with written(path) as temporary:
            yield temporary
            if re.fullmatch(rf"\.{re.escape(stem)}-.{{8}}\.{ending}", Path(path).name):
                raise OSError(28, "No space left on device")

    for key, module in list(sys.modules.items()):
        if key.startswith("studiolike") and hasattr(module, "atomic"):
            monkeypatch.setattr(module, "atomic", atomic)
    assert typed(place, verb) == 2
    told = capsys.readouterr().err
    assert name in told and "No space left" in told and contents(place.o) == {}


def test_every_verb_that_names_its_output_is_in_this_test_and_has_the_option():
    told = {"capture": cli.Capture, "convert": cli.Convert, "view": cli.View}
    told |= {"retarget": data_verbs.Retarget, "import": data_verbs.Import}
    assert told.keys() == {verb.split()[0] for verb in VERBS}
    assert all("overwrite" in {field.name for field in dataclasses.fields(verb)} for verb in told.values())
    everything = {**cli.VERBS, **{name: getattr(data_verbs, name) for name in ("Synth", "Fetch", "Retarget", "Import")}}
    named = {
        verb
        for verb in everything.values()
        if dataclasses.is_dataclass(verb) and any(f.name == "out" for f in dataclasses.fields(verb))
    }
    assert named == {
        *told.values(),
        data_verbs.Fetch,
        cli.Evaluate,
    }  # fetch goes on where it was; of evaluate only a record stays


def test_a_picture_is_not_replaced_by_its_own_retargeted_texture_nor_by_another_s(place, capsys):
    before = contents(place.i)
    assert main(["data", "retarget", str(place.i / "x.png"), "-o", str(place.i / "x.png"), "--overwrite"]) == 2
    assert "would overwrite the input" in capsys.readouterr().err and contents(place.i) == before
    (place.i / "sub").mkdir()
    (place.i / "x.png").rename(place.i / "sub" / "x.png")
    assert main(["data", "retarget", str(place.i), "-o", str(place.i / "sub"), "--overwrite"]) == 2
    assert "would overwrite the input" in capsys.readouterr().err and (place.i / "sub/x.png").read_bytes() == before["x.png"]


@pytest.mark.parametrize("other", ["x.jpg", "X.webp", "sub/x.png"])
def test_two_textures_of_one_result_are_refused_before_any_work(other, place, capsys):
    (place.i / "sub").mkdir()
    Image.new("RGB", (64, 64)).save(place.i / other)
    assert typed(place, "retarget of a folder") == 2
    told = capsys.readouterr().err
    assert "one result" in told and str(place.i / other) in told and str(place.i / "x.png") in told and not place.o.exists()


def test_another_s_photo_is_not_replaced_by_a_texture(place):
    before = contents(place.i)
    assert main(["capture", str(place.i / "x.png"), "-o", str(place.i / "y.png"), "--size", "32"]) == 2
    (place.i / "report.html").write_text("of convert")
    assert main(["view", str(place.i / "x.png"), "-o", str(place.i / "report.glb")]) == 2
    assert contents(place.i) == before | {"report.html": b"of convert"}


def test_a_link_that_leads_nowhere_is_something_that_exists(tmp_path):
    (tmp_path / "a.png").symlink_to(tmp_path / "nowhere")
    with pytest.raises(OutputError, match="a.png exists"):
        files.refuse_existing([tmp_path / "a.png"])
    files.refuse_existing([tmp_path / "a.png"], True)


def test_many_files_that_exist_are_counted(tmp_path):
    paths = [tmp_path / f"{k}.png" for k in range(5)]
    for path in paths:
        path.touch()
    with pytest.raises(OutputError, match="0.png.*2.png and 2 more exist;"):
        files.refuse_existing(paths)
