"""More than two hundred malformed or hostile files through the reading doors: one clear line each, in bounded memory and time."""

import os
import resource
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from test_pictures import chart

from studiolike import io
from studiolike.capture import is_video, read_frames
from studiolike.errors import StudioError

ROOT = Path(__file__).resolve().parents[1]
NOISE = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)


def png_of(width: int, height: int) -> bytes:
    """A PNG that announces a size and holds next to nothing."""

    def chunk(kind, data):
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes((8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def hostile(folder: Path) -> list[Path]:
    """Make the files; none of them is a picture, a texture or a video that can be used."""
    made: list[Path] = []

    def put(name: str, content: bytes) -> None:
        (folder / name).write_bytes(content)
        made.append(folder / name)

    good = {}
    for ending in ("png", "jpg", "webp", "tif", "gif", "bmp", "avif"):
        Image.fromarray(NOISE).save(folder / f"whole.{ending}")
        good[ending] = (folder / f"whole.{ending}").read_bytes()
        (folder / f"whole.{ending}").unlink()
    good["heic"] = (ROOT / "tests/pictures/turned.heic").read_bytes()
    # cut off: in the signature, in the header, in the data
    for ending, content in good.items():
        if ending != "gif":  # a cut GIF has no mark of its own: what is there is shown
            for part in (2, 5, 9, 17, 29, 37, 60, 90, 100, len(content) // 3):
                put(f"cut{part}.{ending}", content[:part])
    # a signature and then noise, under every ending
    random = np.random.default_rng(1)
    for ending in ("png", "jpg", "webp", "tif", "gif", "bmp", "avif", "heic", "mp4", "mov", "3gp", "txt"):
        for kind, content in good.items():
            put(f"noise {kind}.{ending}", content[:12] + random.bytes(300))
    # wrong types under a picture's name
    texts = ["hello\n", "<html><body>404</body></html>", "<?xml version='1.0'?><svg/>", '{"a": 1}', "%PDF-1.7 x", "Grüße, 世界\n"]
    for number, text in enumerate(texts):
        put(f"text{number}.jpg", text.encode())
    for number, start in enumerate(
        (b"PK\x03\x04", b"8BPS\0\1", b"\xff\x0a", b"\x93NUMPY\1\0", b"glTF\2\0\0\0", b"\x7fELF", b"MZ\x90", b"\x00\x05\x16\x07")
    ):
        put(f"foreign{number}.png", start + bytes(200))
    for number, length in enumerate((0, 1, 2, 3, 4, 8, 512)):
        put(f"zeros{number}.png", bytes(length))
    for number, size in enumerate(
        ((20000, 20000), (100000, 100000), (2**31 - 1, 1), (1, 2**31 - 1), (0, 0), (9999, 10002), (64, 64))
    ):
        put(f"bomb{number}.png", png_of(*size))
    # names
    for number, name in enumerate(("with space", "Grüße", "顔写真", "-o", "$(touch x)", "%s{}", "a'b\"c", "." + "x" * 200)):
        put(f"{name}{number}.png", b"nothing")
    # numbers
    for number, value in enumerate((np.nan, np.inf, -np.inf, 1e30, -5.0)):
        path = folder / f"float{number}.tif"
        tifffile.imwrite(path, np.full((64, 64), value, np.float32))
        made.append(path)
        tifffile.imwrite(folder / f"rgb{number}.tif", np.full((64, 64, 3), value, np.float32), photometric="rgb")
        made.append(folder / f"rgb{number}.tif")
    for number, kind in enumerate((np.int32, np.complex64, np.float64)):
        path = folder / f"kind{number}.tif"
        tifffile.imwrite(path, np.full((64, 64), -7, kind))
        made.append(path)
    # things of the file system
    (folder / "folder.png").mkdir()
    (folder / "loop.png").symlink_to(folder / "loop2.png")
    (folder / "loop2.png").symlink_to(folder / "loop.png")
    (folder / "dangling.png").symlink_to(folder / "nowhere")
    (folder / "device.png").symlink_to("/dev/zero")
    os.mkfifo(folder / "pipe.png")
    names = (
        "folder.png",
        "loop.png",
        "dangling.png",
        "device.png",
        "pipe.png",
        "nowhere.png",
        "x" * 300 + ".png",
        "zero\0byte.png",
    )
    made += [folder / name for name in names] + [folder / "text0.jpg" / "below.png"]
    return made


def test_hostile_files_give_one_clear_line_in_bounded_memory_and_time(tmp_path):
    paths = hostile(tmp_path)
    assert len(paths) >= 200 and len(set(paths)) == len(paths)
    before, slowest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0.0
    for path in paths:
        for door in (io.read_image, io.read_texture, io.read_visibility, lambda p: list(read_frames(p, 3))):
            started = time.process_time()
            with pytest.raises(StudioError) as refusal:
                door(path)
            slowest = max(slowest, time.process_time() - started)
            said = str(refusal.value)
            assert "\n" not in said.replace(str(path), "") and 10 < len(said.replace(str(path), "path")) < 400, said
            assert path.name in said and "Error" not in said.replace(str(path), ""), said
        is_video(path)  # never raises
    assert slowest < 3
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400 * 1024  # a picture of 100 megapixels is 300


VERBS = ("capture -o out/o.png", "convert -o out/o.png", "convert --kind texture -o out/o.png", "view -o out/o.glb")


def test_the_command_line_tells_hostile_files_in_one_line_and_code_2(tmp_path):
    paths = [path for path in hostile(tmp_path) if "\0" not in str(path)]  # such a name cannot be typed
    # one fresh process goes through all: starting Python a thousand times would test nothing more
    code = (
        "import sys; from studiolike.cli import main\n"
        f"for verb in {VERBS}:\n"
        "    for path in sys.argv[1:]: print(main([*verb.split(), path]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, paths)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"},
        timeout=180,
    )
    lines, told = done.stderr.splitlines(), [path.name for _ in VERBS for path in paths]
    assert done.stdout.split() == ["2"] * len(told) and len(lines) == len(told), done.stderr
    assert all(line.startswith("studiolike: ") and name in line for line, name in zip(lines, told, strict=True))
    assert not (tmp_path / "out").exists()


def test_bytes_changed_at_random_are_read_or_refused_and_nothing_else(tmp_path):
    random = np.random.default_rng(2)
    for ending in ("png", "jpg", "webp", "tif", "gif", "bmp"):
        Image.fromarray(chart()).save(tmp_path / f"a.{ending}")
        whole = (tmp_path / f"a.{ending}").read_bytes()
        for _ in range(40):
            content = bytearray(whole)
            for place in random.integers(0, min(len(whole), 400), 4):
                content[place] = random.integers(256)
            (tmp_path / f"a.{ending}").write_bytes(content)
            try:
                image = io.read_image(tmp_path / f"a.{ending}")
                assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
            except StudioError as error:
                assert "a." + ending in str(error)
