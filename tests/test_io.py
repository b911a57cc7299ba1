"""Pictures and files: ranges hold, bad files are refused in one line, nothing is half written."""

import os

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from studiolike import io, weights
from studiolike.errors import InputError, OutputError
from studiolike.inversion import Curvature


def test_a_written_texture_reads_back_within_half_a_level(tmp_path):
    texture = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0))
    io.write_image(texture, tmp_path / "t.png")
    assert (io.read_texture(tmp_path / "t.png") - texture).abs().max() <= 0.5 / 255 + 1e-6
    assert io.read_texture(tmp_path / "t.png", 32).shape == (3, 32, 32)


@pytest.mark.parametrize(
    "name, make, message",
    [
        ("missing.png", lambda p: None, "no such file"),
        ("text.png", lambda p: p.write_text("hello"), "is a text file"),
        ("cut.png", lambda p: p.write_bytes(_png()[:200]), "is cut off|is damaged"),
        ("wide.png", lambda p: Image.new("RGB", (64, 32)).save(p), "must be square"),
        ("tiny.png", lambda p: Image.new("RGB", (8, 8)).save(p), "at least 32"),
    ],
)
def test_bad_textures_are_refused_with_the_reason(tmp_path, name, make, message):
    make(tmp_path / name)
    with pytest.raises(InputError, match=message):
        io.read_texture(tmp_path / name)


def _png() -> bytes:
    import io as stdio

    buffer = stdio.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(buffer, "png")
    return buffer.getvalue()


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError), io.atomic(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.skipif(os.name == "nt", reason="no umask there")
@pytest.mark.parametrize("umask, wanted", [(0o022, 0o644), (0o077, 0o600)])
def test_whoever_may_read_new_files_may_read_what_is_written_by_a_library_that_makes_private_ones(tmp_path, umask, wanted):
    before = os.umask(umask)
    try:
        with io.atomic(tmp_path / "codes.safetensors") as temporary:
            save_file({"codes": torch.zeros(1)}, temporary)
        weights.release(Curvature(2, 3), "curvature", {}, tmp_path)
    finally:
        os.umask(before)
    files = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert len(files) == 5 and {p.stat().st_mode & 0o777 for p in files} == {wanted}
    assert (tmp_path / "curvature").stat().st_mode & 0o777 == wanted | (wanted & 0o444) >> 2


def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError), io.atomic(tmp_path / "file" / "x.png"):
        pass
    with pytest.raises(OutputError, match="unknown picture format"):
        io.write_image(torch.zeros(3, 4, 4), tmp_path / "x.nonsense")


def test_exif_turned_photos_are_read_upright(tmp_path):
    image = Image.new("RGB", (40, 20), (255, 0, 0))
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "p.jpg", exif=exif)
    assert io.read_image(tmp_path / "p.jpg").shape == (40, 20, 3)
