"""Several frames make one texture, and a bad frame does not spoil it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from studiolike import layout
from studiolike.capture import Capture, capture_photos, fuse, fusion
from studiolike.capture.fusion import frame_gains, weighted_median
from studiolike.errors import CaptureError, InputError
from studiolike.image import linear_to_srgb, srgb_to_linear

RES = 64


def texture(seed: int, cells: int = 10) -> torch.Tensor:
    noise = torch.rand(1, 3, cells, cells, generator=torch.Generator().manual_seed(seed))
    return (F.interpolate(noise, (RES, RES), mode="bicubic", align_corners=True) * 0.5 + 0.2).clamp(0, 1)


def capture(colours: torch.Tensor, visibility: torch.Tensor | None = None, **facts) -> Capture:
    seen = layout.face_mask(RES)[None] if visibility is None else visibility
    return Capture(colours.clone(), seen.clone(), np.zeros((468, 3)), {"sharpness": 0.5, "clipped": 0.0, **facts})


def expose(colours: torch.Tensor, gains: tuple[float, float, float]) -> torch.Tensor:
    return linear_to_srgb((srgb_to_linear(colours) * torch.tensor(gains).view(1, 3, 1, 1)).clamp(0, 1))


def error(result: Capture, truth: torch.Tensor, least: float = 0.9) -> float:
    seen = (result.visibility > least).expand(-1, 3, -1, -1)
    return float((result.texture - truth).abs()[seen].mean())


def test_one_capture_is_returned_as_it_is():
    only = capture(texture(0))
    assert fuse([only]) is only


def test_equal_frames_stay_what_they_are():
    truth = texture(0)
    assert error(fuse([capture(truth)] * 4), truth) < 0.004


def test_exposure_and_white_balance_are_aligned():
    truth = texture(0)
    gains = [(1.0, 1.0, 1.0), (0.7, 0.75, 0.9), (1.2, 1.1, 0.8)]
    frames = torch.cat([expose(truth, g) for g in gains])
    found = frame_gains(frames, layout.face_mask(RES)[None].expand(3, -1, -1, -1), reference=0)
    np.testing.assert_allclose(found.numpy(), np.median(gains, 0) / np.array(gains), rtol=0.01)
    middle = expose(truth, tuple(np.median(gains, 0)))
    assert error(fuse([capture(f[None]) for f in frames]), middle) < 0.006


def test_an_outlier_frame_is_outvoted():
    truth, hand = texture(0), texture(7)
    noise = torch.Generator().manual_seed(3)
    frames = [capture((truth + 0.01 * torch.randn(truth.shape, generator=noise)).clamp(0, 1)) for _ in range(4)]
    covered = truth.clone()
    covered[..., 20:50, 30:50] = hand[..., 20:50, 30:50] * 0.5
    mixed = fuse([*frames, capture(covered)])
    plain = torch.cat([*(f.texture for f in frames), covered]).mean(0, keepdim=True)
    patch = (slice(None), slice(None), slice(24, 46), slice(34, 46))
    assert (mixed.texture - truth)[patch].abs().mean() < 0.02
    assert (mixed.texture - truth)[patch].abs().mean() < 0.35 * (plain - truth)[patch].abs().mean()
    assert mixed.quality["kept"][4] < min(mixed.quality["kept"][:4])


def test_a_completely_wrong_frame_is_outvoted():
    truth = texture(0)
    fused = fuse([capture(truth), capture(texture(9)), capture(truth), capture(truth)])
    assert error(fused, truth) < 0.02


def test_each_frame_fills_what_the_others_did_not_see():
    truth, face = texture(0), layout.face_mask(RES)[None]
    half = torch.linspace(0, 1, RES).view(1, 1, 1, RES)
    left, right = face * (half < 0.6), face * (half > 0.4)
    grey = torch.full_like(truth, 0.5)
    fused = fuse([capture(torch.lerp(grey, truth, seen), seen) for seen in (left, right)])
    assert (fused.visibility - torch.maximum(left, right)).abs().max() < 1e-6
    assert error(fused, truth) < 0.01
    assert fused.visibility[face == 0].max() == 0


def test_fine_detail_comes_from_the_sharp_frame():
    fine = texture(0) + 0.08 * (torch.rand(1, 3, RES, RES, generator=torch.Generator().manual_seed(1)) - 0.5)
    soft = F.avg_pool2d(F.pad(fine, (3,) * 4, mode="replicate"), 7, stride=1)
    fused = fuse([capture(soft), capture(fine), capture(soft)])
    mean = (2 * soft + fine) / 3
    assert error(fused, fine) < 0.6 * error(capture(mean), fine)


def test_the_weighted_median_ignores_what_has_no_weight():
    values = torch.tensor([1.0, 2.0, 3.0, 100.0]).view(4, 1, 1, 1)
    weights = torch.tensor([1.0, 1.0, 1.0, 0.0]).view(4, 1, 1, 1)
    assert weighted_median(values, weights).item() == 2
    assert weighted_median(values, weights.flip(0)).item() == 3


def test_captures_that_do_not_fit_together_are_refused():
    with pytest.raises(InputError, match="nothing to fuse"):
        fuse([])
    small = Capture(torch.zeros(1, 3, 32, 32), torch.zeros(1, 1, 32, 32), np.zeros((468, 3)))
    with pytest.raises(InputError, match="different sizes"):
        fuse([small, capture(texture(0))])


def frame_points(x: float = 100.0) -> np.ndarray:
    vertices = layout.face_vertices().double().numpy() * (1, -1, -1)
    return vertices / np.ptp(vertices[:, 0]) * 90 + (x, 100, 0)


GRAY = np.full((200, 200, 3), 128, np.uint8)


def test_unusable_pictures_are_dropped_and_told():
    black = np.zeros_like(GRAY)
    result = capture_photos([GRAY, black, GRAY], 32, [frame_points()] * 3)
    assert result.quality["frames"] == 2
    ((name, reason),) = result.quality["left_out"].items()
    assert name == "picture 2" and "too dark" in reason


def test_if_all_pictures_fail_each_reason_is_told_and_of_many_pictures_the_commonest():
    with pytest.raises(
        CaptureError, match="none of the 3 pictures can be used: picture 1: .*too dark.*picture 2: .*picture 3: .*dark"
    ):
        capture_photos([GRAY * 0, GRAY, GRAY * 0], 32, [frame_points(), frame_points(300), frame_points()])
    with pytest.raises(CaptureError, match="none of the 9 pictures can be used; 8×: .*too dark"):
        capture_photos([GRAY * 0] * 8 + [GRAY], 32, [frame_points()] * 8 + [frame_points(300)])
    with pytest.raises(InputError, match="no picture"):
        capture_photos([], 32, [])
    with pytest.raises(InputError, match="1 landmark sets"):
        capture_photos([GRAY, GRAY], 32, [frame_points()])


def test_large_frames_are_blended_in_strips_that_leave_no_seam(monkeypatch):
    frames = [
        capture(expose(texture(seed), gain)) for seed, gain in ((0, (1.0, 1.0, 1.0)), (0, (0.8, 0.9, 0.9)), (0, (1.1, 1.0, 0.9)))
    ]
    whole = fuse(frames)
    gains = torch.tensor([frame for frame in whole.quality["gains"]])
    monkeypatch.setattr(fusion, "WHOLE", RES // 2)
    monkeypatch.setattr(fusion, "frame_gains", lambda *_: gains)  # their own estimate reads reduced frames
    strips = fuse(frames)
    assert (strips.texture - whole.texture).abs().max() < 2e-3
    assert (strips.visibility - whole.visibility).abs().max() < 1e-5
    assert strips.quality["kept"] == pytest.approx(whole.quality["kept"], abs=2e-3)
