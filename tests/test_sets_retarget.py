"""A texture that was warped into another layout comes back, and what cannot come back is refused."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from studiolike import io, layout
from studiolike.capture import save_landmarks
from studiolike.cli import main
from studiolike.errors import CaptureError, InputError
from studiolike.image import resize, to_bytes
from studiolike.io import visibility_path
from studiolike.sets import retarget
from studiolike.synth import studio_texture, synthesise_subjects

SIDE = 512
LINEAR = torch.tensor([[1.25, 0.04], [-0.03, 1.15]])


def into_layout(place: torch.Tensor) -> torch.Tensor:
    """The foreign layout's (u, v) → ours: a stretch, a shear and a wave of 1.5 % of the map."""
    wave = 0.015 * torch.stack([torch.sin(2 * math.pi * place[..., 1]), torch.sin(2 * math.pi * place[..., 0] + 1)], -1)
    return 0.5 + (place - 0.5) @ LINEAR.T + wave


def out_of_layout(place: torch.Tensor) -> torch.Tensor:
    """Its inverse, by fixed-point steps."""
    found = place.clone()
    for _ in range(60):
        found = found + (place - into_layout(found)) @ torch.linalg.inv(LINEAR).T
    assert (into_layout(found) - place).abs().max() < 1e-5
    return found


@pytest.fixture(scope="module")
def subject():
    return studio_texture(synthesise_subjects(torch.tensor([11]), SIDE))[0].clamp(0, 1)


@pytest.fixture(scope="module")
def foreign(subject):
    """A synthetic subject in the foreign layout, and its landmarks there in pixels."""
    grid = into_layout(layout.texel_uv(SIDE)) * 2 - 1
    texture = F.grid_sample(subject[None], grid[None], mode="bicubic", padding_mode="border", align_corners=False)[0].clamp(0, 1)
    return texture, (out_of_layout(layout.landmark_uv()) * SIDE).double().numpy()


def psnr(result, subject, region="face"):
    truth = resize(subject[None], result.texture.shape[-1])
    inside = layout.region_mask(region, truth.shape[-1])[None].expand(1, 3, -1, -1) > 0.5
    return -10 * math.log10(float(((result.texture - truth)[inside] ** 2).mean()))


def test_a_warped_texture_comes_back(foreign, subject):
    texture, points = foreign
    result = retarget(texture, 256, points)
    assert result.texture.shape == (1, 3, 256, 256) and result.visibility.shape == (1, 1, 256, 256)
    assert result.texture.dtype == torch.float32 and 0 <= result.texture.min() and result.texture.max() <= 1
    right = psnr(result, subject)
    # landmarks 2.5 % of the face width off, and no retargeting at all, must both be far worse
    shifted = psnr(retarget(texture, 256, points + (0.025 * np.ptp(points[:, 0]), 0)), subject)
    nothing = psnr(retarget(texture, 256, layout.landmark_uv().double().numpy() * SIDE), subject)
    print(f"PSNR {right:.2f} dB, shifted {shifted:.2f} dB, not warped {nothing:.2f} dB")
    assert right > 35 and shifted < right - 8 and nothing < right - 12


def test_visibility_is_whole_in_the_face_and_gone_far_from_it(foreign):
    seen = retarget(foreign[0], 128, foreign[1]).visibility[0]
    assert seen[layout.face_mask(128) > 0.9].min() > 0.99
    assert seen[:, :, :4].max() == 0 and seen[:, :4].max() == 0
    assert ((seen > 0.05) & (seen < 0.95)).float().mean() > 0.05  # it fades, it is not cut


def test_what_the_foreign_texture_does_not_know_stays_unknown(foreign):
    texture, points = foreign
    known = torch.ones(1, SIDE, SIDE)
    known[:, :, SIDE // 2 :] = 0
    marked = texture.clone()
    marked[:, :, SIDE // 2 :] = torch.tensor([0.0, 1.0, 0.0]).view(3, 1, 1)  # a colour that must not come through
    result = retarget(marked, 128, points, known)
    assert result.visibility[0, 0, 64, 20:58].min() > 0.5 and result.visibility[0, 0, :, 75:].max() == 0
    assert (result.texture[0, 1] - result.texture[0, 0]).max() < 0.3


def test_the_border_of_the_picture_ends_what_is_known(foreign):
    texture, points = foreign
    cut = int(np.quantile(points[:, 0], 0.9))
    result = retarget(texture[:, :, :cut], 128, points)
    landmarks = (layout.landmark_uv() * 128).long()
    outside = torch.from_numpy(points[:, 0] > cut + 4)
    assert result.visibility[0, 0, landmarks[outside, 1], landmarks[outside, 0]].max() == 0


def test_a_picture_of_any_shape_and_fine_grain_is_averaged_not_sampled(foreign):
    texture, points = foreign
    checks = (torch.arange(4 * SIDE)[:, None] + torch.arange(4 * SIDE - 7)) % 2
    result = retarget(checks.float().expand(3, -1, -1), 64, points * 4 * 0.9)
    assert (result.texture - 0.5).abs().max() < 0.02 and result.quality["oversampling"] < 0.3


def test_a_coarse_source_is_told(foreign):
    small, points = resize(foreign[0][None], 64)[0], foreign[1] / 8
    assert any("--size" in warning for warning in retarget(small, 512, points).quality["warnings"])
    assert not retarget(foreign[0], 256, foreign[1]).quality["warnings"]


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda p: p[np.random.default_rng(0).permutation(468)], "resemble no unwrapped face"),
        (lambda p: np.stack([SIDE - p[:, 0], p[:, 1]], 1), "mirrored"),
        (lambda p: np.stack([p[:, 0], SIDE - p[:, 1]], 1), "upside down"),
    ],
)
def test_landmarks_of_no_upright_face_are_refused(foreign, change, message):
    with pytest.raises(CaptureError, match=message):
        retarget(foreign[0], 64, change(foreign[1]))


def test_wrong_arrays_and_sizes_are_refused(foreign):
    texture, points = foreign
    for wrong in ((texture[:1], 64, points), (texture, 100, points), (texture, 64, points[:100]), (texture[:, :8], 64, points)):
        with pytest.raises(InputError):
            retarget(*wrong)


def write(foreign, folder, name="anna"):
    folder.mkdir(parents=True, exist_ok=True)
    io.write_image(foreign[0], folder / f"{name}.png")
    points = np.concatenate([foreign[1], np.zeros((468, 1))], 1)
    save_landmarks(points, folder / f"{name}.json", to_bytes(io.read_texture(folder / f"{name}.png")))
    return folder / f"{name}.png", folder / f"{name}.json"


def test_the_command_writes_a_texture_and_its_visibility_from_stored_landmarks(foreign, subject, tmp_path, capsys):
    picture, stored = write(foreign, tmp_path / "in")
    out = tmp_path / "out" / "anna.png"
    assert (
        main(
            [
                "data",
                "retarget",
                str(picture),
                "-o",
                str(out),
                "--size",
                "256",
                "--landmarks",
                str(stored),
                "--save-landmarks",
                str(tmp_path / "again.json"),
            ]
        )
        == 0
    )
    assert "belong" not in capsys.readouterr().err and (tmp_path / "again.json").is_file()
    assert io.read_visibility(visibility_path(out)).shape == (1, 256, 256)
    truth, written = resize(subject[None], 256)[0], io.read_texture(out)
    inside = layout.face_mask(256).expand(3, -1, -1) > 0.5
    assert float(((truth - written)[inside] ** 2).mean()) < 10**-3.5


def test_a_folder_is_done_texture_by_texture_and_a_bad_one_is_left_out(foreign, tmp_path, monkeypatch, capsys):
    write(foreign, tmp_path / "in", "anna--1")
    write(foreign, tmp_path / "in", "ben")
    io.write_image(torch.full((3, 64, 64), 0.5), tmp_path / "in" / "grey.png")
    points = np.concatenate([foreign[1], np.zeros((468, 1))], 1)

    def given_or_found(image, given, finder):
        if image.shape[0] == 64:
            raise CaptureError("no face found in this picture")
        return points, []

    # the package's function of the same name hides the module
    module = sys.modules["studiolike.sets.retarget"]
    monkeypatch.setattr(module, "given_or_found", given_or_found)
    out = tmp_path / "out"
    assert main(["data", "retarget", str(tmp_path / "in"), "-o", str(out), "--size", "64"]) == 0
    assert sorted(p.name for p in out.iterdir()) == ["anna--1.png", "anna--1.visibility.png", "ben.png", "ben.visibility.png"]
    assert "left out grey: no face found" in capsys.readouterr().err
    for name in ("anna--1.png", "ben.png"):
        (tmp_path / "in" / name).unlink()
    assert main(["data", "retarget", str(tmp_path / "in"), "-o", str(tmp_path / "none")]) == 2
    assert "no texture of" in capsys.readouterr().err and not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    "extra, message",
    [
        (["-o", "out.xyz"], "ending must be"),
        (["--size", "100"], "power of two"),
        (["--landmarks", "none.json"], "no such landmark file"),
    ],
)
def test_bad_wishes_give_one_line_and_leave_nothing(foreign, tmp_path, monkeypatch, capsys, extra, message):
    monkeypatch.chdir(tmp_path)
    picture, stored = write(foreign, tmp_path)
    before = sorted(tmp_path.iterdir())
    argv = ["data", "retarget", str(picture), *(["-o", "out.png"] if "-o" not in extra else []), *extra]
    assert main(argv) == 2
    err = capsys.readouterr().err
    assert message in err and len(err.splitlines()) == 1 and sorted(tmp_path.iterdir()) == before
