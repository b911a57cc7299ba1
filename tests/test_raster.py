"""The one rasteriser gives what a loop over triangles and pixels gives: for layouts, for depths, for pictures of the head."""

import pytest
import torch

from studiolike import layout, raster
from studiolike.avatar import head_mesh
from studiolike.layout import face_triangles, face_vertices, landmark_uv


def one_by_one(screen, triangles, side):
    """Triangle (−1: none), its weights and nearness at each pixel, drawn triangle by triangle into a depth buffer."""
    centres = torch.stack(torch.meshgrid(*(torch.arange(side).double() + 0.5,) * 2, indexing="xy"), -1)
    seen = torch.full((side, side), -1)
    near = torch.full((side, side), -torch.inf, dtype=torch.float64)
    weights = torch.zeros(side, side, 3, dtype=torch.float64)
    for k, corners in enumerate(screen[triangles]):
        matrix = torch.cat([corners[:, :2].T, torch.ones(1, 3).double()])
        if abs(torch.linalg.det(matrix)) < 1e-12:
            continue
        shares = torch.linalg.solve(matrix, torch.cat([centres, torch.ones(side, side, 1).double()], -1).flatten(0, 1).T).T
        shares = shares.view(side, side, 3)
        depth = shares @ corners[:, 2]
        wins = (shares.amin(-1) >= -1e-9) & (depth > near)
        seen[wins], weights[wins], near[wins] = k, shares[wins], depth[wins]
    return seen, weights, near


def face_in_the_layout():
    uv = landmark_uv().double() * 48
    return torch.column_stack([uv, torch.zeros(len(uv)).double()]), face_triangles(), 48


def face_turned_so_far_that_its_nose_hides_a_cheek():
    x, y, z = face_vertices().double().unbind(1)
    turned = torch.stack([(x * 0.5 + z * 0.85) * 2.5 + 10, 28 - y * 2.5, z * 0.5 - x * 0.85], 1)
    return turned, face_triangles(), 48


def head_cut_by_the_frame():
    mesh = head_mesh(grid=20)
    x, y, z = mesh.vertices.double().unbind(1)
    return torch.stack([x * 2.4 + 9, 20 - y * 2.4, z], 1), mesh.triangles, 32


@pytest.mark.parametrize("scene", [face_in_the_layout, face_turned_so_far_that_its_nose_hides_a_cheek, head_cut_by_the_frame])
@pytest.mark.parametrize("cells", [raster.CELLS, 500])
def test_it_sees_what_a_loop_over_triangles_sees(scene, cells, monkeypatch):
    monkeypatch.setattr(raster, "CELLS", cells)  # how many are tested at a time must not matter
    screen, triangles, side = scene()
    seen, weights, near = one_by_one(screen, triangles, side)
    hits = raster.rasterise(screen, triangles, side)
    assert torch.equal(hits.pixel.sort().values, torch.nonzero(seen.flatten() >= 0)[:, 0])
    assert len(hits.pixel) > side**2 / 4
    same = hits.triangle == seen.flatten()[hits.pixel]
    assert same.float().mean() > 0.98  # two that share an edge are equally right on it
    torch.testing.assert_close(hits.weights[same], weights.flatten(0, 1)[hits.pixel][same], rtol=0, atol=1e-9)
    torch.testing.assert_close(hits.near, near.flatten()[hits.pixel], rtol=0, atol=1e-7)


def test_attributes_of_what_is_nearer_are_drawn_and_nothing_where_there_is_no_triangle():
    square = torch.tensor([[0.1, 0.1], [0.9, 0.1], [0.1, 0.9], [0.9, 0.9]])
    uv, triangles = torch.cat([square, square]), torch.tensor([[0, 1, 2], [1, 3, 2], [4, 5, 6], [5, 7, 6]])
    colour = torch.tensor([[1.0]] * 4 + [[2.0]] * 4)
    for first, second, wanted in ((0.0, 1.0, 2.0), (1.0, 0.0, 1.0)):
        near = torch.tensor([first] * 4 + [second] * 4)
        values, mask = layout.interpolate(uv, triangles, colour, 40, near)
        assert set(values[mask > 0].tolist()) == {wanted} and values[mask == 0].abs().sum() == 0
        assert mask.sum() == 32 * 32


def test_nothing_to_draw_is_no_hit():
    hits = raster.rasterise(torch.zeros(3, 3).double(), torch.zeros(0, 3, dtype=torch.int64), 8)
    assert len(hits.pixel) == 0 == len(raster.rasterise(torch.zeros(3, 3).double(), torch.tensor([[0, 1, 2]]), 8).pixel)
