"""The head layout: places are fixed, the map is its own inverse, masks mean what they say."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from studiolike import layout
from studiolike.errors import InputError


@given(st.floats(-3.1, 3.1), st.floats(-12.9, 13.4), st.floats(3.0, 12.0))
@settings(max_examples=200, deadline=None)
def test_a_point_on_the_head_comes_back_from_its_uv(azimuth, height, radius):
    a, h, r = (torch.tensor(v, dtype=torch.float64) for v in (azimuth, height, radius))
    uv = layout.uv_of(layout.point_at(a, h, r))
    a2, h2 = layout.cylinder_of(uv)
    assert abs(float(a2 - a)) < 1e-6 and abs(float(h2 - h)) < 1e-6


def test_no_triangle_of_the_face_is_folded_and_left_mirrors_right():
    uv, tri = layout.landmark_uv().double(), layout.face_triangles()
    a, b, c = (uv[tri[:, k]] for k in range(3))
    area = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    assert (area.sign() == area.sign()[0]).all() and area.abs().min() > 0
    right_eye, left_eye = uv[layout.REGIONS["right_eye"]].mean(0), uv[layout.REGIONS["left_eye"]].mean(0)
    assert right_eye[0] < 0.5 < left_eye[0]  # the subject's left is at larger u
    assert torch.allclose(right_eye[0] + left_eye[0], torch.tensor(1.0, dtype=torch.float64), atol=2e-3)
    assert uv[152, 1] > uv[10, 1]  # chin below forehead: v runs down


def test_the_base_head_passes_through_the_canonical_landmarks():
    position = layout.position_map(256)
    places = layout.landmark_uv() * 2 - 1
    at = F.grid_sample(position[None], places[None, None], align_corners=False)[0, :, 0].T
    error = (at - layout.face_vertices()).norm(dim=1)
    assert error.median() < 0.01 and error.max() < 0.4  # cm


@pytest.mark.parametrize("resolution", [64, 512])
def test_the_position_map_is_the_same_surface_at_every_resolution(resolution):
    small, big = sorted((resolution, 256))
    reduced = F.avg_pool2d(layout.position_map(big)[None], big // small)[0]
    inner = slice(2, -2)
    assert (reduced - layout.position_map(small))[:, inner, inner].abs().median() < 0.02


@pytest.mark.parametrize("resolution", [128, 256, 512])
def test_the_head_is_closed_at_the_back_and_open_only_at_the_neck(resolution):
    position = layout.position_map(resolution)
    gap = (position[:, :, 0] - position[:, :, -1]).norm(dim=0)
    assert gap.max() < 0.75 * 256 / resolution  # one texel of the sparse back of the head, cm
    assert position[1, 0].min() > 11.5 and position[1, -1].max() < -12


@pytest.mark.parametrize("resolution", [128, 512])
def test_the_seam_at_the_back_is_a_place_like_any_other(resolution, monkeypatch):
    wanted, asset = layout.position_map(resolution), layout._asset()
    turned = asset | {"position_map": np.roll(asset["position_map"], 128, axis=2)}  # the seam in the middle of the map
    monkeypatch.setattr(layout, "_asset", lambda: turned)
    found = layout.position_map.__wrapped__(resolution).roll(resolution // 2, 2)
    assert torch.allclose(found, wanted, atol=1e-4)


def test_regions_lie_where_they_should_and_partition_the_head():
    face, ears, neck, scalp = (layout.region_mask(n, 128) for n in ("face", "ears", "neck", "scalp"))
    assert torch.allclose((face + ears + neck + scalp).clamp(max=1), torch.ones_like(face), atol=0.35)
    assert 0.3 < face.mean() < 0.5 and ears.mean() > 0.02
    lips = layout.region_mask("lips", 128)
    assert (lips * face).sum() > 0.98 * lips.sum()
    assert (layout.region_mask("skin_face", 128) * lips).sum() < 0.08 * lips.sum()
    with pytest.raises(InputError, match="unknown region"):
        layout.region_mask("elbow", 32)


def test_rasterising_a_linear_field_reproduces_it():
    uv = torch.tensor([[0.1, 0.1], [0.9, 0.2], [0.3, 0.8]])
    values, mask = layout.interpolate(uv, torch.tensor([[0, 1, 2]]), uv * 3 + 1, 64)
    inside = mask[0] > 0
    expected = layout.texel_uv(64)[inside] * 3 + 1
    assert inside.sum() > 500
    assert torch.allclose(values[:, inside].T, expected, atol=1e-4)


def test_the_shipped_geometry_is_what_its_builder_makes():
    from studiolike.head_model import base_head, unfold

    vertices, triangles = layout.face_vertices().double().numpy(), layout.face_triangles().numpy()
    uv = unfold(layout.uv_of(torch.from_numpy(vertices)).numpy(), triangles)
    assert abs(uv - layout.landmark_uv().numpy()).max() < 1e-5
    small = torch.from_numpy(base_head(vertices, uv, 64))
    face = F.avg_pool2d(layout.region_mask("skin_face", 64)[None], 1)[0, 0] > 0.99
    assert (small - layout.position_map(64))[:, face].abs().median() < 0.02
