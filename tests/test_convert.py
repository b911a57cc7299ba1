"""`convert` with a stand-in for the networks: what is read, refused, kept, left out and written."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from studiolike import __version__, cli, convert, io, layout, weights
from studiolike.cli import main
from studiolike.detail import origin
from studiolike.errors import InputError
from studiolike.image import resize
from studiolike.record import read_record, read_shape, write_marked


class Mirror:
    """Gives every texture back, left and right exchanged."""

    def __init__(self, seconds=0.0):
        self.seconds, self.calls = seconds, []

    def __call__(self, texture, visibility=None, *, resolution, steps, guided, borrow, keep_tone, seed, progress):
        self.calls.append(resolution)
        time.sleep(self.seconds)
        seen = torch.ones_like(texture[:, :1]) if visibility is None else visibility
        return SimpleNamespace(
            texture=resize(texture, resolution).flip(-1),
            psnr_observed=torch.tensor([30.0]),
            origin=origin(resize(seen, resolution), guided, borrow),
            seconds={"detailing": 0.0},
        )


@pytest.fixture
def mirror(monkeypatch):
    pipe = Mirror()
    monkeypatch.setattr(convert, "load", lambda command, device: pipe)
    return pipe


def save_texture(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(path)
    return path


def run(capsys, *argv, size=64):
    code = main(["convert", *map(str, argv), "--kind", "texture", "--size", str(size)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("link", ["itself", "another spelling", "symbolic link", "hard link"])
def test_the_input_is_never_overwritten_by_whatever_name(link, tmp_path, capsys, mirror):
    source = save_texture(tmp_path / "x.png")
    target = {
        "itself": source,
        "another spelling": tmp_path / "a" / ".." / "x.png",
        "symbolic link": tmp_path / "link.png",
        "hard link": tmp_path / "hard.png",
    }[link]
    (tmp_path / "a").mkdir()
    if link == "symbolic link":
        target.symlink_to(source)
    if link == "hard link":
        os.link(source, target)
    before = source.read_bytes()
    code, _, err = run(capsys, source, "-o", target, "--overwrite")
    assert code == 2 and "overwrite the input" in err and source.read_bytes() == before and not mirror.calls


def test_a_folder_is_not_converted_into_itself(tmp_path, capsys, mirror):
    save_texture(tmp_path / "in" / "x.png")
    before = contents(tmp_path / "in")
    code, _, err = run(capsys, tmp_path / "in", "-o", tmp_path / "in", "--overwrite")
    assert code == 2 and "overwrite" in err and contents(tmp_path / "in") == before


@pytest.mark.parametrize("names", [("anna.png", "anna.jpg"), ("Anna.png", "anna.png"), ("e\u0301va.png", "\u00e9va.jpg")])
def test_two_pictures_of_one_result_are_refused_before_any_work(names, tmp_path, capsys, mirror):
    for name in names:
        save_texture(tmp_path / "in" / name)
    if len(list((tmp_path / "in").iterdir())) < 2:
        pytest.skip("this file system takes both names for one")
    code, _, err = run(capsys, tmp_path / "in", "-o", tmp_path / "out")
    assert code == 2 and "one result" in err and all(n in err for n in names) and not mirror.calls
    assert not (tmp_path / "out").exists()


def test_an_existing_result_is_kept_unless_overwriting_is_asked_for(tmp_path, capsys, mirror):
    source, target = save_texture(tmp_path / "x.png"), tmp_path / "y.png"
    target.write_bytes(b"mine")
    code, _, err = run(capsys, source, "-o", target)
    assert code == 2 and "--overwrite" in err and target.read_bytes() == b"mine"
    assert run(capsys, source, "-o", target, "--overwrite")[0] == 0
    assert torch.equal(io.read_texture(target), io.read_texture(source).flip(-1))


def test_bad_files_of_a_folder_are_left_out_and_named_and_the_good_ones_converted(tmp_path, capsys, mirror):
    folder = tmp_path / "in"
    for k, name in enumerate("bd"):
        save_texture(folder / f"{name}.png", k)
    save_texture(folder / "whole.jpg")
    (folder / "a.jpg").write_bytes((folder / "whole.jpg").read_bytes()[:600])
    (folder / "._b.png").write_bytes(b"\0\5\26\7 of another system")
    (folder / ".DS_Store").write_text("")
    (folder / "notes.txt").write_text("no picture")
    (folder / "wide.png").write_bytes(b"")
    code, out, err = run(capsys, folder, "-o", tmp_path / "out")
    assert code == 1 and sorted(p.name for p in (tmp_path / "out").iterdir()) == ["b.png", "d.png", "whole.png"]
    told = err.replace("\r", "\n").splitlines()
    assert any(line.startswith("left out") and "a.jpg" in line for line in told)
    assert any(line.startswith("left out") and "wide.png" in line for line in told)
    assert "notes.txt" in err and "._b" not in err and "DS_Store" not in err
    assert told[-1].startswith("studiolike: 2 files")


def test_a_face_that_the_chain_itself_fails_on_stops_nothing(tmp_path, capsys, mirror, monkeypatch):
    for k in range(3):
        save_texture(tmp_path / "in" / f"{k}.png", k)
    whole = Mirror.__call__

    def fail_once(self, *given, **settings):
        result = whole(self, *given, **settings)
        if len(self.calls) == 2:
            raise RuntimeError("out of memory")
        return result

    monkeypatch.setattr(Mirror, "__call__", fail_once)
    monkeypatch.setattr("studiolike.evaluation.report.measure", lambda *_: {})
    code, out, _ = run(capsys, tmp_path / "in", "-o", tmp_path / "out", "--json", "--quiet")
    told = json.loads(out)
    assert code == 1 and len(told["results"]) == 2
    assert told["skipped"] == {str(tmp_path / "in" / "1.png"): "RuntimeError: out of memory"}
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["0.png", "2.png"]


def test_nothing_usable_in_a_folder_is_code_2(tmp_path, capsys, mirror):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x.png").write_bytes(b"no")
    code, _, err = run(capsys, tmp_path / "in", "-o", tmp_path / "out")
    assert code == 2 and "x.png" in err and not mirror.calls


def test_a_folder_goes_on_where_it_was_and_refuses_results_of_other_settings(tmp_path, capsys, mirror):
    for k in range(4):
        save_texture(tmp_path / "in" / f"{k}.png", k)
    assert run(capsys, tmp_path / "in", "-o", tmp_path / "out")[0] == 0
    first = contents(tmp_path / "out")
    (tmp_path / "out" / "2.png").unlink()
    (tmp_path / "out" / ".2-abcdefgh.png").write_bytes(b"half of it")
    (tmp_path / "out" / ".mine-of-old.png").write_bytes(b"of someone else")
    mirror.calls.clear()
    code, _, err = run(capsys, tmp_path / "in", "-o", tmp_path / "out")
    assert code == 0 and len(mirror.calls) == 1
    assert err.splitlines() == [f"{tmp_path / 'out'}: 1 of 4 converted now, 3 kept as they were (--overwrite makes them anew)"]
    assert contents(tmp_path / "out") == first | {".mine-of-old.png": b"of someone else"}
    code, _, err = run(capsys, tmp_path / "in", "-o", tmp_path / "out", size=128)
    assert code == 2 and "other settings" in err and "64 → 128" in err
    assert run(capsys, tmp_path / "in", "-o", tmp_path / "out", "--overwrite", size=128)[0] == 0
    assert io.read_texture(tmp_path / "out" / "0.png").shape[-1] == 128


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "tif"])
def test_a_result_says_what_was_seen_and_what_was_borrowed_and_so_does_json(ending, tmp_path, capsys, mirror, monkeypatch):
    monkeypatch.setattr("studiolike.evaluation.report.measure", lambda *_: {})
    source = save_texture(tmp_path / "x.png")
    seen = torch.ones(1, 64, 64)
    seen[..., :24] = 0
    io.write_image(seen, io.visibility_path(source))
    out = tmp_path / f"y.{ending}"
    for options, borrowed, protocol in (
        ((), True, "open"),
        (("--no-borrow", "--weights", "few"), False, "few"),
        (("--no-borrow", "--protocol", "few"), False, "few"),
    ):
        code, told, _ = run(capsys, source, "-o", out, "--json", "--overwrite", *options)
        made = read_record(out)
        assert code == 0 and made == json.loads(told)["results"][0]["record"]
        assert made["borrowed"] is borrowed and made["protocol"] == protocol and made["version"] == __version__
        assert (
            made["seen"]["face_seen"] == pytest.approx(1 - made["seen"]["face_unseen"], abs=0.002) and made["seen"]["face_unseen"]
        )
    index = {"_class_name": "StudioPipeline"} | dict.fromkeys(weights.NEEDED, ["", ""])  # of save_pretrained, which does not tell
    (tmp_path / weights.INDEX).write_text(json.dumps(index))
    for name in weights.NEEDED:
        (tmp_path / name).mkdir()
        (tmp_path / name / weights.FILE).touch()
    run(capsys, source, "-o", out, "--overwrite", "--weights", str(tmp_path))
    assert read_record(out)["protocol"] is None and read_record(out)["weights"] == tmp_path.name
    io.visibility_path(source).unlink()
    run(capsys, source, "-o", out, "--overwrite")
    assert read_record(out)["borrowed"] is False  # all was seen, so nothing had to be


def test_the_shape_that_a_texture_s_file_tells_is_in_the_result_and_out_of_it_on_request(tmp_path, capsys, mirror):
    source, out = tmp_path / "x.png", tmp_path / "y.png"
    shape = layout.face_vertices() * torch.tensor([1.1, 1.0, 1.0])
    write_marked(torch.rand(3, 64, 64), source, None, shape)
    assert run(capsys, source, "-o", out)[0] == 0
    torch.testing.assert_close(read_shape(out), shape, atol=0.01, rtol=0)
    assert run(capsys, source, "-o", out, "--overwrite", "--no-shape")[0] == 0
    assert read_shape(out) is None and read_record(out) is not None
    save_texture(source)
    assert run(capsys, source, "-o", out, "--overwrite")[0] == 0
    assert read_shape(out) is None
    (tmp_path / "in").mkdir()
    write_marked(torch.rand(3, 64, 64), tmp_path / "in" / "x.png", None, shape)
    assert run(capsys, tmp_path / "in", "-o", tmp_path / "out")[0] == 0
    code, _, err = run(capsys, tmp_path / "in", "-o", tmp_path / "out", "--no-shape")  # or a file that tells it would stay
    assert code == 2 and "tells_shape True → False" in err


def test_pictures_of_a_folder_are_read_one_by_one(tmp_path, capsys, mirror, monkeypatch):
    for k in range(5):
        save_texture(tmp_path / "in" / f"{k}.png", k)
    events, read = [], convert.read_person
    monkeypatch.setattr(convert, "read_person", lambda *a, **k: events.append("read") or read(*a, **k))
    whole = Mirror.__call__
    monkeypatch.setattr(Mirror, "__call__", lambda self, *a, **k: events.append("work") or whole(self, *a, **k))
    run(capsys, tmp_path / "in", "-o", tmp_path / "out")
    assert events == ["read", "work"] * 5


def test_shares_of_an_array_job_and_of_launched_processes_are_disjoint_and_complete(tmp_path, capsys, mirror, monkeypatch):
    for k in range(7):
        save_texture(tmp_path / "in" / f"{k}.png", k)
    counts = []
    for part in range(1, 4):
        mirror.calls.clear()
        assert run(capsys, tmp_path / "in", "-o", tmp_path / "out", "--shard", f"{part}/3")[0] == 0
        counts.append(len(mirror.calls))
    assert counts == [3, 2, 2] and len(list((tmp_path / "out").iterdir())) == 7
    launched = [("RANK", "1"), ("WORLD_SIZE", "2")]
    assert convert.share("2/3", launched) == (3, 6) and convert.share(None, launched) == (1, 2)
    every = {convert.share(f"{k}/3", [("RANK", str(r)), ("WORLD_SIZE", "2")]) for k in (1, 2, 3) for r in (0, 1)}
    assert every == {(k, 6) for k in range(6)}
    for word in ("0/3", "4/3", "1", "a/b", "1/0", "-1/3"):
        with pytest.raises(InputError, match="shard"):
            convert.share(word)


LAUNCHED = """
import sys, time
from pathlib import Path
from types import SimpleNamespace
import torch
from studiolike import convert
from studiolike.cli import main
from studiolike.image import resize

def pipe(texture, *_, resolution, **__):
    while not Path(sys.argv[3]).exists():  # the other process, which leaves everything out, has ended
        time.sleep(0.05)
    time.sleep(1.5)  # time enough to be killed by who launched both
    same = resize(texture, resolution)
    return SimpleNamespace(texture=same, origin=same, psnr_observed=torch.ones(1), seconds={})

convert.load = lambda *_: pipe
code = main(["convert", sys.argv[1], "-o", sys.argv[2], "--kind", "texture", "--size", "64", "--device", "cpu"])
Path(sys.argv[3]).touch()
sys.exit(code)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="processes are launched otherwise there")
def test_a_launched_process_that_leaves_files_out_does_not_take_the_others_with_it(tmp_path):
    for k in range(4):  # of two processes the first has the even files, which are good
        save_texture(tmp_path / "in" / f"{k}.png", k)
        if k % 2:
            (tmp_path / "in" / f"{k}.png").write_bytes(b"no picture")
    (tmp_path / "child.py").write_text(LAUNCHED)
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(tmp_path / "child.py")]
        + [str(tmp_path / name) for name in ("in", "out", "ended")],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "PYTHONPATH": str(Path(convert.__file__).parents[1]), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0.png", "2.png"]
    assert all(f"left out {tmp_path / 'in' / name}" in done.stderr for name in ("1.png", "3.png"))


def test_a_file_without_an_ending_is_what_its_content_says_and_other_endings_are_left_out(tmp_path, capsys, mirror):
    folder = tmp_path / "in"
    for name in ("whole.jpg", "whole.png", "whole.webp", "whole.gif"):
        save_texture(folder / name)
    (folder / "whole.heic").write_bytes((Path(__file__).parent / "pictures/turned.heic").read_bytes())
    for ending in ("jpg", "png", "webp", "gif", "heic"):
        (folder / f"whole.{ending}").rename(folder / f"of {ending}")
    (folder / "of gif.jpg_original").write_bytes((folder / "of jpg").read_bytes())  # a backup, and no second face
    (folder / "Makefile").write_text("all:")
    code, out, err = run(capsys, folder, "-o", tmp_path / "out", "--json")
    told = json.loads(out)
    assert {Path(found["input"]).name for found in told["results"]} | {Path(path).name for path in told["skipped"]} == {
        f"of {ending}" for ending in ("jpg", "png", "webp", "gif", "heic")
    }
    assert "2 files are neither picture nor video and left out: Makefile, of gif.jpg_original" in err


def test_what_was_noted_of_a_folder_and_what_it_left_out_stands_at_the_end(tmp_path, capsys, mirror, monkeypatch):
    for k in range(4):
        save_texture(tmp_path / "in" / f"{k}.png", k)
    (tmp_path / "in" / "notes.txt").write_text("no picture")
    (tmp_path / "in" / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0" + bytes(60))
    read = convert.read_person
    warnings = {"0.png": ["the face is 80 pixels wide"], "2.png": ["the face is 92 pixels wide", "the face is very dark"]}

    def read_person(paths, *given, **more):
        person = read(paths, *given, **more)
        person.facts["warnings"] = warnings.get(paths[0].name, [])
        return person

    monkeypatch.setattr(convert, "read_person", read_person)
    code, _, err = run(capsys, tmp_path / "in", "-o", tmp_path / "out")
    told = err.replace("\r", "\n").splitlines()
    end = told[next(k for k, line in enumerate(told) if "4 of 5 converted now" in line) + 1 :]
    assert code == 1 and end[:3] == [
        "note: 2 of 4 faces, the first one 0.png: the face is 80 pixels wide",
        "note: 1 of 4 faces, the first one 2.png: the face is very dark",
        "note: 1 file is neither picture nor video and left out: notes.txt",
    ]
    path = tmp_path / "in" / "cut.jpg"
    assert end[3].startswith(f"left out {path}: it is ") and end[3].count("cut.jpg") == 1
    assert err.count("neither picture nor video") == 1
    assert end[4] == "studiolike: 1 file could not be used and was left out"


def test_the_report_says_in_words_how_like_the_face_still_is(tmp_path, capsys, mirror, monkeypatch):
    from studiolike.evaluation import face_judge

    source, page = save_texture(tmp_path / "x.png"), tmp_path / "page.html"
    for distance, words in ((0.41, "still one face"), (0.73, "changed too much")):
        monkeypatch.setattr(face_judge, "distance", lambda *_, d=distance: torch.tensor([d]))
        assert run(capsys, source, "-o", tmp_path / "y.png", "--report", page, "--overwrite")[0] == 0
        text = page.read_text()
        assert f"{distance} apart" in text and words in text and "closer than 0.6" in text


@pytest.mark.parametrize(
    "options, message",
    [
        (("--detail-steps", "1001"), "at most 1000"),
        (("--seed", str(2**64)), "--seed"),
        (("--seed", "-1"), "--seed"),
        (("--device", "gpu"), "device"),
        (("--device", "cuda:7"), "device"),
        (("--device", "meta"), "unknown device 'meta'; use cpu, cuda, cuda:1 … or mps"),
        (("--device", "xpu"), "unknown device"),
        (("--device", "vulkan"), "unknown device"),
        (("--device", "cpu:7"), "unknown device"),
        (("--device", "cuda:-1"), "unknown device"),
        (("--truth", "missing.png"), "no such file"),
        (("--visibility", "missing.png"), "no such file"),
        (("--report", "page.txt"), "ending"),
        (("--shard", "1/2"), "one face"),
        (("--size", "4096"), "from 64 to 2048: a finer texel is smaller than a pixel"),
    ],
)
def test_settings_are_refused_before_any_work(options, message, tmp_path, capsys, mirror):
    if "cuda" in options[1] and torch.cuda.device_count() > 7:
        pytest.skip("this machine has that device")
    source = save_texture(tmp_path / "x.png")
    code = main(["convert", str(source), "-o", str(tmp_path / "y.png"), *options])
    err = capsys.readouterr().err
    assert code == 2 and message in err and len(err.splitlines()) == 1
    assert not mirror.calls and [p.name for p in tmp_path.iterdir()] == ["x.png"]


def test_a_result_names_own_weights_without_the_folders_that_they_lie_in(tmp_path):
    for folder in ("private/my-run/networks/few/tone", "private/my-run/networks/open/tone"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / weights.FILE).touch()
    for place in ("my-run", "my-run/networks", "my-run/networks/few"):
        command = cli.Convert(input=(Path("x.png"),), weights=tmp_path / "private" / place)
        made = convert.settings_of(command)
        assert made["weights"] == "my-run" and made["protocol"] == ("few" if place.endswith("few") else "open")


def test_the_truth_is_measured_against_and_its_numbers_are_shown_without_json(tmp_path, capsys, mirror):
    source = save_texture(tmp_path / "x.png")
    code, out, _ = run(capsys, source, "-o", tmp_path / "y.png", "--truth", source)
    assert code == 0 and "psnr_output: " in out


def test_memory_stays_flat_over_a_folder_of_220_textures(tmp_path, monkeypatch):
    psutil = pytest.importorskip("psutil")
    memory, process = [], psutil.Process()

    class Watch(Mirror):
        def __call__(self, *arguments, **settings):
            memory.append(process.memory_info().rss)
            return super().__call__(*arguments, **settings)

    monkeypatch.setattr(convert, "load", lambda *_: Watch())
    pixels = np.random.default_rng(0).integers(0, 255, (256, 256, 3), np.uint8)
    for number in range(220):
        (tmp_path / "in").mkdir(exist_ok=True)
        Image.fromarray(np.roll(pixels, number, 0)).save(tmp_path / f"in/{number}.png", compress_level=0)
    words = ["--kind", "texture", "--size", "128", "--quiet"]
    assert main(["convert", str(tmp_path / "in"), "-o", str(tmp_path / "out"), *words]) == 0
    # one kept texture of 256² is .8 MB, of 128² .2 MB: 200 of the smaller would be 40 MB
    assert len(memory) == 220 and max(memory[-20:]) - max(memory[:20]) < 12 * 2**20


def test_the_closing_line_of_a_folder_tells_each_thing_once_and_what_was_not_searched(tmp_path, capsys, mirror):
    for k in range(2):
        save_texture(tmp_path / "in" / f"{k}.png", k)
    out = tmp_path / "in" / "results"
    for name in ("summer", "winter", ".hidden"):
        save_texture(tmp_path / "in" / name / "x.png")
    _, _, err = run(capsys, tmp_path / "in", "-o", out)  # the folder of the results is no folder of pictures
    assert err.replace("\r", "\n").splitlines()[-1] == f"{out}: 2 of 2 converted now, 2 folders in it were not searched"
    _, _, err = run(capsys, tmp_path / "in", "-o", out, "--shard", "1/2")
    assert err.splitlines() == [
        f"{out}: 0 of 1 converted now, 1 kept as they were (--overwrite makes them anew), 2 folders in it were not searched"
    ]
    code, _, err = run(capsys, tmp_path / "in", "-o", out, "--shard", "3/3")
    assert code == 0 and err.splitlines() == [
        f"{out}: none of the folder's 2 files is in this share, so there was nothing to do, 2 folders in it were not searched"
    ]
    (tmp_path / "above" / "below").mkdir(parents=True)
    code, _, err = run(capsys, tmp_path / "above", "-o", tmp_path / "out")
    assert code == 2 and "no pictures in" in err and "1 folder in it was not searched" in err


def test_what_a_visibility_map_decided_is_told_once_for_a_folder(tmp_path, capsys, mirror):
    for k, name in enumerate(("anna", "ben", "cleo")):
        texture = save_texture(tmp_path / "in" / f"{name}.png", k)
        Image.new("L", (64, 64), 255).save(io.visibility_path(texture))
    assert main(["convert", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--size", "64"]) == 0
    notes = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note: ")]
    assert len(notes) == 1 and notes[0].startswith("note: 3 of 3 faces, the first one anna.png: ")
    assert "anna.visibility.png lies beside it" in notes[0]


def test_a_texture_that_is_read_smaller_than_it_is_is_told_where_something_is_lost(tmp_path, capsys, mirror):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8)).save(tmp_path / "x.png")
    said = "x.png is 200 texels wide, and was read at 128, the next power of two below"
    for size, told in ((256, True), (128, False)):
        _, _, err = run(capsys, tmp_path / "x.png", "-o", tmp_path / f"{size}.png", size=size)
        assert (said in err) == told


@pytest.mark.parametrize("verb", ["convert", "capture"])
def test_an_unrolled_texture_among_photos_is_refused_and_named(verb, tmp_path, capsys, mirror, monkeypatch):
    from studiolike import files

    photo, phone, mean = save_texture(tmp_path / "me.jpg"), tmp_path / "phone.png", tmp_path / "mean.png"
    write_marked(torch.rand(3, 64, 64), phone, None)
    io.write_image(weights.studio_mean()[0], mean)
    monkeypatch.setattr(files, "capture_person", lambda *_, **__: pytest.fail("was unwrapped"))
    for texture in (phone, mean):
        for inputs in ((photo, texture), (texture, photo)):
            assert main([verb, *map(str, inputs), "-o", str(tmp_path / "o.png")]) == 2
            err = capsys.readouterr().err
            assert len(err.splitlines()) == 1 and f"{texture.name} is an unrolled texture and no photo" in err
    assert main(["capture", str(phone), "-o", str(tmp_path / "o.png")]) == 2  # nothing is to be unwrapped
    assert "phone.png is an unrolled texture" in capsys.readouterr().err and not (tmp_path / "o.png").exists()
