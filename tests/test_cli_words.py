"""What the command line says of odd words and files: refused before any work, or told in a sentence."""

import importlib
import json

import numpy as np
import pytest
import torch
from PIL import Image
from test_cli import run

from studiolike import weights


@pytest.mark.parametrize("device", ["meta", "xpu", "cpu:7", "gpu"])
@pytest.mark.parametrize(
    "words",
    [
        "train tone --profile smoke --runs {}/runs",
        "train identity --profile smoke --runs {}/runs",
        "evaluate --profile smoke --runs {}/runs",
        "data synth --profile smoke --runs {}/runs",
        "experiment run all --profile smoke --runs {}/runs --records {}/records",
        "experiment again all --profile smoke --runs {}/runs",
    ],
)
def test_every_verb_refuses_a_device_on_which_nothing_ever_ran_before_any_work(words, device, tmp_path, capsys):
    code, out, err = run(capsys, *words.replace("{}", str(tmp_path)).split(), "--device", device)
    assert code == 2 and out == "" and err.startswith(f"studiolike: unknown device '{device}'") and len(err.splitlines()) == 1
    assert not list(tmp_path.iterdir())


DEEP = "[" * 100_000  # more deeply nested than Python reads


@pytest.mark.parametrize(
    "content", [DEEP, '{"a":' * 100_000, "", "[]", "{}", "7", '"text"', "null", "[1", "\udcff", '{"width": 1e999}']
)
@pytest.mark.parametrize(
    "name, words",
    [
        ("marks.json", "capture good.png --landmarks marks.json -o out.png"),
        ("marks.json", "data retarget good.png --landmarks marks.json -o out.png"),
        ("w/model_index.json", "convert good.png --weights w -o out.png"),
        ("w/g_phone/card.json", "convert good.png --kind texture --weights w -o out.png --size 64"),
        ("set/fetched.json", "data retarget set -o outs"),
        ("records/few-shot.json", "experiment table few-shot --records records"),
        ("records/few-shot.json", "experiment list --records records"),
        ("records/few-shot.json", "experiment again few-shot --profile smoke --records records"),
        ("ids.csv", "data fetch ava-256 --ids ids.csv --out fetched --accept-licence"),
        ("set/manifest.json", "train adapt --profile smoke --studio-set set --runs runs"),
    ],
)
def test_whatever_is_in_a_file_of_facts_gives_one_line(name, words, content, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        importlib.import_module("studiolike.sets.fetch"), "_transfer", lambda *_: pytest.fail("nothing may be fetched")
    )
    Image.fromarray(np.full((64, 64, 3), 120, np.uint8)).save("good.png")
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    (path.parent / weights.FILE).write_bytes(b"weights")
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    code, out, err = run(capsys, *words.split())
    lines = [line for line in err.splitlines() if line]
    assert code == 2 and len(lines) == 1 and lines[0].startswith("studiolike: "), err
    assert path.name in lines[0] or "set is not a complete texture set" in lines[0]
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize(
    "words",
    [
        "convert | -o out.png",
        "convert good.png | -o out.png",
        "convert good.png -o |",
        "convert good.png --out= ",
        "convert good.png -o out.png --visibility |",
        "convert good.png -o out.png --truth |",
        "convert good.png -o out.png --report |",
        "convert good.png -o out.png --weights |",
        "capture | -o out.png",
        "capture good.png -o |",
        "capture good.png --landmarks |",
        "capture good.png --save-landmarks |",
        "capture good.png --report=",
        "view |",
        "view good.png -o |",
        "view good.png --compare |",
        "view good.png --turntable |",
        "view good.png --relit |",
        "view good.png --relit r.png --before |",
        "train adapt --studio-set |",
        "train adapt --runs |",
        "evaluate --photos |",
        "evaluate --weights |",
        "evaluate --out |",
        "data synth --runs |",
        "data fetch ava-256 --out |",
        "data fetch ava-256 --ids |",
        "data retarget | -o out.png",
        "data import --studio |",
        "data import --phone |",
        "data import --studio . --out |",
        "experiment run all --records |",
        "experiment table --records |",
        "experiment again all --runs |",
    ],
)
def test_an_empty_path_is_refused_and_is_not_the_current_folder(words, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.full((64, 64, 3), 120, np.uint8)).save("good.png")
    code, out, err = run(capsys, *("" if word == "|" else word for word in words.split()))
    assert code == 2 and out == "" and len(err.splitlines()) == 1 and "empty" in err
    assert [path.name for path in tmp_path.iterdir()] == ["good.png"]


def test_capture_tells_every_file_that_it_wrote(tmp_path, capsys):
    from skimage.data import astronaut

    Image.fromarray(astronaut()).save(tmp_path / "me.png")
    names = ["phone.png", "phone.visibility.png", "marks.json", "sheet.html"]
    options = ["--save-landmarks", tmp_path / "marks.json", "--report", tmp_path / "sheet.html", "--size", "64"]
    code, _, err = run(capsys, "capture", tmp_path / "me.png", "-o", tmp_path / "phone.png", *options)
    told = [line for line in err.splitlines() if line.startswith("wrote ")]
    assert code == 0 and told == [f"wrote {tmp_path / name}" for name in names]
    Image.new("RGB", (300, 200), (128, 128, 128)).save(tmp_path / "plain.png")
    code, _, err = run(capsys, "capture", tmp_path / "plain.png", "-o", tmp_path / "o.png", "--report", tmp_path / "why.png")
    assert code == 2 and err.splitlines()[0] == f"wrote {tmp_path / 'why.png'}" and "no face" in err.splitlines()[1]


def test_view_tells_that_it_reduces_a_texture(tmp_path, capsys):
    from studiolike.files import _reduced

    Image.fromarray(np.full((100, 100, 3), 120, np.uint8)).save(tmp_path / "odd.png")
    code, _, err = run(capsys, "view", tmp_path / "odd.png", "-o", tmp_path / "a.glb", "--no-normals")
    assert code == 0 and "odd.png is 100 texels wide, and the avatar has it with 64, the next power of two below" in err
    Image.new("L", (8192, 8192)).save(tmp_path / "large.png")
    (said,) = _reduced(tmp_path / "large.png", torch.empty(3, 4096, 4096, device="meta"))
    assert "large.png is 8192 texels wide, and the avatar has it with 4096, the most that every device can hold" in said


@pytest.mark.parametrize(
    "words, said",
    [
        ("convert one.png --kind texture -o o.png", "one.png is only 1 texel wide; at least 32 are needed"),
        ("view good.png -o v.txt", "v.txt: the ending must be .glb"),
        ("capture good.png -o o.png --report r.txt", "r.txt: the ending must be .html or .png"),
        ("convert good.png -o o.png --device cuda:77", "of NVIDIA's graphics cards (CUDA) torch finds "),
    ],
)
def test_messages_are_sentences(words, said, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (1, 1)).save("one.png")
    Image.fromarray(np.full((64, 64, 3), 120, np.uint8)).save("good.png")
    code, _, err = run(capsys, *words.split())
    assert code == 2 and said in err and "(s)" not in err


def test_a_folder_of_weights_with_an_empty_index_is_told_what_is_missing(tmp_path, capsys):
    Image.fromarray(np.full((64, 64, 3), 120, np.uint8)).save(tmp_path / "good.png")
    (tmp_path / "w").mkdir()
    words = ["convert", tmp_path / "good.png", "--kind", "texture", "-o", tmp_path / "o.png", "--weights", tmp_path / "w"]
    index = {}
    for added, said in (
        ({}, "model_index.json names no g_phone, encoder, g_studio, which a chain needs: write the folder again"),
        (dict.fromkeys(weights.NEEDED, ["studiolike.stylegan2", "Generator"]), "(_class_name is missing)"),
        ({"_class_name": "StudioPipeline"}, f"no {tmp_path / 'w' / 'g_phone' / weights.FILE}, which model_index.json names"),
    ):
        index |= added
        (tmp_path / "w" / weights.INDEX).write_text(json.dumps(index))
        code, _, err = run(capsys, *words)
        assert code == 2 and said in err and len(err.splitlines()) == 1
