"""The command line as a user meets it: bad input gives one clear line, code 2, and no partial file."""

import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from studiolike import io, weights
from studiolike.cli import main
from studiolike.image import resize


@pytest.fixture(scope="module")
def texture_file(tmp_path_factory):
    """A phone texture with holes, made of the released mean: no generator is needed to test files."""
    folder = tmp_path_factory.mktemp("texture")
    mean = resize(weights.studio_mean(), 128)[0]
    light = torch.linspace(0.5, 1.1, 128).view(1, 1, -1)
    visibility = torch.ones(1, 128, 128)
    visibility[:, 110:] = 0
    io.write_image((mean * light).clamp(0, 1), folder / "phone.png")
    io.write_image(visibility, folder / "phone.visibility.png")
    return folder / "phone.png"


def run(capsys, *argv):
    code = main([str(a) for a in argv])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def bad_inputs(folder):
    (folder / "text.png").write_text("not a picture")
    (folder / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    Image.new("RGB", (300, 200), (128, 128, 128)).save(folder / "plain.png")
    Image.new("RGB", (100, 64)).save(folder / "wide.png")
    (folder / "empty").mkdir(exist_ok=True)
    (folder / "file").write_text("")
    good = folder / "good.png"
    Image.fromarray(np.full((64, 64, 3), 120, np.uint8)).save(good)
    out = folder / "out.png"
    return {
        "missing file": (["convert", folder / "nothing.png", "-o", out], "no such file"),
        "not an image": (["convert", folder / "text.png", "-o", out], "is a text file"),
        "truncated image": (["convert", folder / "cut.png", "-o", out], "is cut off|is damaged"),
        "not square": (["convert", folder / "wide.png", "--kind", "texture", "-o", out], "must be square"),
        "size no power of two": (["convert", good, "--kind", "texture", "--size", "300", "-o", out], "power of two"),
        "no steps": (["convert", good, "--kind", "texture", "--detail-steps", "-1", "-o", out], "at most 1000"),
        "empty folder": (["convert", folder / "empty", "-o", folder / "outs"], "no pictures"),
        "unknown format": (["convert", good, "--kind", "texture", "-o", folder / "out.xyz"], "ending must be"),
        "output below a file": (["convert", good, "--kind", "texture", "-o", folder / "file" / "out.png"], "cannot write"),
        "output is a folder": (["convert", good, "--kind", "texture", "-o", folder / "empty"], "ending must be|is a folder"),
        "unknown profile": (["train", "phone", "--profile", "huge"], "unknown profile"),
        "no landmarks file": (["capture", good, "--landmarks", folder / "no.json", "-o", out], "landmark"),
        "foreign weights": (["convert", good, "--kind", "texture", "--weights", folder / "empty", "-o", out], "model_index"),
        "no weights to evaluate": (["evaluate", "--weights", folder / "empty"], "no weights in"),
        "protocol without weights": (["evaluate", "--weights", "many"], "no weights in 'many'"),
        "no device to evaluate on": (["evaluate", "--device", "cuda:9"], "no device"),
        "no folder of photographs": (["evaluate", "--photos", folder / "none"], "not a folder of photographs"),
        "no photograph in it": (["evaluate", "--photos", folder / "empty"], "no usable photograph"),
        "avatar of a missing texture": (["view", folder / "nothing.png", "-o", folder / "a.glb"], "no such file"),
    }


@pytest.mark.parametrize(
    "case",
    [
        "missing file",
        "not an image",
        "truncated image",
        "not square",
        "size no power of two",
        "no steps",
        "empty folder",
        "unknown format",
        "output below a file",
        "output is a folder",
        "unknown profile",
        "no landmarks file",
        "foreign weights",
        "avatar of a missing texture",
    ],
)
def test_bad_input_gives_one_line_and_code_2(case, tmp_path, capsys):
    argv, message = bad_inputs(tmp_path)[case]
    before = sorted(p.name for p in tmp_path.rglob("*"))
    code, out, err = run(capsys, *argv)
    lines = [line for line in err.splitlines() if line.strip()]
    assert code == 2 and out == ""
    assert len(lines) == 1 and lines[0].startswith("studiolike: ")
    assert any(part in lines[0] for part in message.split("|"))
    assert sorted(p.name for p in tmp_path.rglob("*")) == before


@pytest.mark.parametrize("count", ["0", "-3"])
def test_nobody_cannot_be_evaluated(count, capsys):
    code, _, err = run(capsys, "evaluate", "--subjects", count)
    assert code == 2 and f"--subjects {count} is not possible" in err


def test_evaluate_takes_its_chain_split_and_seed_to_the_device_that_is_asked_for(tmp_path, capsys, monkeypatch):
    from studiolike import device, recipes
    from studiolike.evaluation import photos
    from studiolike.pipeline import StudioPipeline

    asked = []
    table = SimpleNamespace(markdown=str, versus=str, tones=str)
    monkeypatch.setattr(device, "find_device", lambda name: f"the device {name}")
    monkeypatch.setattr(StudioPipeline, "chosen", lambda *which, protocol: asked.append((*which, protocol)) or "the chain")
    monkeypatch.setattr(recipes, "evaluate_chain", lambda *given, **how: asked.append((given[2], how)) or table)
    monkeypatch.setattr(photos, "photo_identity", lambda *given, out: asked.append(given))
    for options in ([], ["--split", "val", "--seed", "3"], ["--photos", tmp_path]):
        assert run(capsys, "evaluate", "--device", "cuda:1", "--weights", "few", *options)[0] == 0
    assert asked[::2] == [("few", "the device cuda:1", None)] * 3
    assert asked[1] == ("the chain", {"split": "test", "subjects": None, "seed": 0})
    assert asked[3] == ("the chain", {"split": "val", "subjects": None, "seed": 3}) and asked[5] == ("the chain", tmp_path)


def test_doctor_sees_every_file_of_the_released_weights_and_which_is_cut_off(tmp_path, capsys, monkeypatch):
    import shutil

    monkeypatch.setenv("STUDIOLIKE_WEIGHTS", str(tmp_path / "weights"))
    shutil.copytree(weights.PACKAGED, tmp_path / "weights")
    victims = ["bank.safetensors", "pairs.safetensors", weights.EXEMPLARS, weights.STUDIO_MEAN, f"few/tone/{weights.FILE}"]
    assert "damaged" not in run(capsys, "doctor")[1]
    for name in victims:
        path = tmp_path / "weights" / name
        path.write_bytes(path.read_bytes()[:-100])
    _, out, _ = run(capsys, "doctor")
    assert [line.split()[1] for line in out.splitlines() if "damaged" in line] == ["few/tone", *victims[:4]]
    (tmp_path / "weights" / victims[0]).unlink()
    assert "bank.safetensors     missing" in run(capsys, "doctor")[1]


def test_damaged_released_weights_are_named(tmp_path, capsys, monkeypatch, texture_file):
    import shutil

    shutil.copytree(weights.weights_dir(), tmp_path / "weights")
    victim = tmp_path / "weights" / "open" / "g_studio" / weights.FILE
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 0xFF
    victim.write_bytes(bytes(content))
    monkeypatch.setenv("STUDIOLIKE_WEIGHTS", str(tmp_path / "weights"))
    code, _, err = run(capsys, "convert", texture_file, "-o", tmp_path / "o.png")
    assert code == 2 and "g_studio" in err and "damaged" in err and not (tmp_path / "o.png").exists()


def test_an_unknown_option_is_refused_by_a_fresh_process_with_code_2():
    done = subprocess.run([sys.executable, "-m", "studiolike.cli", "convert", "--no-such-option"], capture_output=True, text=True)
    assert done.returncode == 2 and "Traceback" not in done.stderr


def test_convert_writes_a_texture_and_reports_metrics_and_timings(tmp_path, capsys, texture_file):
    target = tmp_path / "deep" / "studio.png"
    code, out, _ = run(
        capsys,
        "convert",
        texture_file,
        "-o",
        target,
        "--size",
        "128",
        "--detail-steps",
        "2",
        "--json",
        "--quiet",
    )
    report = json.loads(out)["results"][0]
    assert code == 0 and io.read_texture(target).shape == (3, 128, 128)
    assert {"encoding", "translation", "detailing"} <= report["seconds"].keys()
    assert 0 <= report["metrics"]["asymmetry_output"] < 2 and report["kind"] == "texture"
    again = tmp_path / "again.png"
    run(capsys, "convert", texture_file, "-o", again, "--size", "128", "--detail-steps", "2", "--quiet")
    assert again.read_bytes() == target.read_bytes()


def test_a_folder_is_converted_picture_by_picture(tmp_path, capsys, texture_file):
    code, _, _ = run(
        capsys,
        "convert",
        texture_file.parent,
        "-o",
        tmp_path / "out",
        "--size",
        "128",
        "--detail-steps",
        "1",
        "--quiet",
    )
    assert code == 0 and [p.name for p in (tmp_path / "out").iterdir()] == ["phone.png"]


def test_view_writes_a_model_and_a_page(tmp_path, capsys, texture_file):
    code, _, _ = run(capsys, "view", texture_file, "-o", tmp_path / "a.glb")
    assert code == 0 and (tmp_path / "a.glb").read_bytes()[:4] == b"glTF"
    assert "<title>" in (tmp_path / "a.html").read_text()


def test_view_notes_a_photo_that_is_no_texture_and_says_nothing_of_a_texture(tmp_path, capsys, texture_file):
    from skimage.data import astronaut

    Image.fromarray(astronaut()).resize((64, 64)).save(tmp_path / "me.png")
    io.write_image(weights.studio_mean()[0], tmp_path / "mean.png")
    for name, doubtful in (("me", True), ("mean", False)):
        code, _, err = run(capsys, "view", tmp_path / f"{name}.png", "-o", tmp_path / f"{name}.glb", "--no-normals")
        assert code == 0 and ("looks like no texture" in err) == doubtful


def test_doctor_names_device_profile_and_weights(capsys):
    code, out, _ = run(capsys, "doctor")
    assert code == 0
    for word in ("device", "profile", "memory", "g_studio", "torch"):
        assert word in out


@pytest.mark.parametrize("words", [["--help"], ["convert", "--help"], ["data", "import", "--help"], ["doctor"]])
def test_help_and_doctor_come_without_waiting_for_torch(words):
    program = (
        "import sys; from studiolike.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "print('HEAVY', *({'torch', 'diffusers', 'scipy', 'skimage', 'numpy'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=True)
    heavy = done.stdout.rsplit("HEAVY", 1)[1].split()
    if words == ["doctor"] and "no CUDA driver" not in done.stdout:
        pytest.skip("with a CUDA driver only torch can tell whether it works")
    assert not heavy and len(done.stdout) > 300


# what took longer to import than a conversion takes: torch's compiler, diffusers' pipelines, networks, schedulers and offloading,
# and what measures, figures and training need
NOT_FOR_CONVERSION = (
    "torch._dynamo torch._inductor sympy diffusers.hooks diffusers.models.unets diffusers.models.autoencoders "
    "diffusers.pipelines diffusers.schedulers transformers torchvision scipy.stats scipy.interpolate torchmetrics matplotlib "
    "studiolike.synth studiolike.experiments studiolike.chapters"
)


def loaded_after(*words):
    """Which of `NOT_FOR_CONVERSION` a process of its own has imported at the end of a command."""
    program = (
        "import sys; from studiolike.cli import main\n"
        "code = main(sys.argv[2:])\n"
        "print(code, *(name for name in sys.argv[1].split() if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program, NOT_FOR_CONVERSION, *map(str, words)], capture_output=True, text=True)
    code, *names = done.stdout.split()
    assert code == "0", done.stderr
    return set(names)


def test_the_conversion_of_a_photo_loads_nothing_that_it_does_not_need(tmp_path):
    from skimage.data import astronaut

    Image.fromarray(astronaut()).save(tmp_path / "photo.png")
    assert not loaded_after("convert", tmp_path / "photo.png", "-o", tmp_path / "me.png", "--size", "128", "--device", "cpu")


def test_what_a_conversion_does_without_is_loaded_where_it_is_needed(tmp_path):
    Image.fromarray(np.full((64, 64, 3), 120, np.uint8)).save(tmp_path / "texture.png")
    words = (
        "convert",
        tmp_path / "texture.png",
        "--kind",
        "texture",
        "-o",
        tmp_path / "me.png",
        "--size",
        "128",
        "--device",
        "cpu",
    )
    found = loaded_after(*words, "--detail-steps", "1")
    assert {"diffusers.models.unets", "diffusers.schedulers", "torch._dynamo"} <= found
    assert "diffusers.pipelines" not in found


def test_a_request_to_end_is_answered_like_ctrl_c(capsys, monkeypatch):
    import os
    import signal

    from studiolike import cli

    before = signal.getsignal(signal.SIGTERM)
    caught = []

    def held_back(*_):
        caught.append("held")
        raise KeyboardInterrupt

    def run(self):
        previous = signal.signal(signal.SIGINT, held_back)  # as a training step does
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            signal.sigtimedwait([], 5) if not caught else None
        finally:
            signal.signal(signal.SIGINT, previous)

    monkeypatch.setattr(cli.Doctor, "run", run)
    assert main(["doctor"]) == 143 and caught == ["held"]
    assert "stopped" in capsys.readouterr().err and signal.getsignal(signal.SIGTERM) is before


@pytest.mark.skipif(sys.platform == "win32", reason="limits of a process are set otherwise there")
@pytest.mark.parametrize("verb", ["view", "convert"])
def test_a_full_disk_is_one_line_and_leaves_nothing(verb, tmp_path, texture_file):
    if verb == "convert":
        program = (
            "from types import SimpleNamespace as S\nimport torch\nfrom studiolike import convert\n"
            "noise = torch.rand(1, 3, 512, 512)\n"
            "pipe = lambda *a, **k: S(texture=noise, origin=noise, psnr_observed=torch.ones(1), seconds={})\n"
            "convert.load = lambda *_: pipe\n"
        )
        words = ["convert", texture_file, "-o", tmp_path / "a.png"]
    else:
        program, words = "", ["view", texture_file, "-o", tmp_path / "a.glb"]
    program = (
        "import resource, sys\n" + program + "from studiolike.cli import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (51200, 51200))\nsys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run([sys.executable, "-c", program, *map(str, words)], capture_output=True, text=True)
    lines = done.stderr.replace("\r", "\n").strip().splitlines()
    assert done.returncode == 2 and "Traceback" not in done.stderr and lines[-1].startswith("studiolike: cannot write")
    assert "a.png" in lines[-1] or "a.glb" in lines[-1]
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are text")
def test_a_name_that_is_no_text_works(tmp_path, capsys, texture_file):
    import os

    target = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.glb")
    assert main(["view", str(texture_file), "-o", target]) == 0
    assert sorted(os.listdir(os.fsencode(tmp_path))) == [b"caf\xe9.glb", b"caf\xe9.html"]
    assert "caf\ufffd" in (tmp_path / os.fsdecode(b"caf\xe9.html")).read_text()
