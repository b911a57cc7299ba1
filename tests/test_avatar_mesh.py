"""The head mesh: closed where it must be, oriented outward, in the layout's own UV."""

import pytest
import torch

from studiolike import layout
from studiolike.avatar import anatomy, head_mesh
from studiolike.avatar.anatomy import drawn_in
from studiolike.avatar.mesh import weld
from studiolike.errors import InputError

GRID = 32


@pytest.fixture(scope="module")
def mesh():
    return head_mesh(grid=GRID)


def test_the_seam_at_the_back_has_equal_positions_and_normals_but_two_columns_of_uv(mesh):
    left, right = mesh.uv[:, 0] == 0, mesh.uv[:, 0] == 1
    assert left.sum() == right.sum() == GRID
    assert torch.equal(mesh.uv[left, 1], mesh.uv[right, 1])
    assert torch.equal(mesh.vertices[left], mesh.vertices[right])
    assert torch.equal(mesh.normals[left], mesh.normals[right])


def test_welded_every_edge_has_two_triangles_except_the_ring_at_the_neck(mesh):
    corners = weld(mesh.vertices)[mesh.triangles]
    edges = torch.cat([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [2, 0]]]).sort(-1).values
    pairs, count = edges.unique(dim=0, return_counts=True)
    assert set(count.tolist()) == {1, 2}
    rim = pairs[count == 1].unique()
    assert len(rim) == (count == 1).sum() == GRID  # one closed ring
    on_rim = torch.isin(weld(mesh.vertices), rim)
    assert torch.equal(on_rim, mesh.uv[:, 1] == 1)


def test_no_triangle_is_degenerate(mesh):
    a, b, c = mesh.vertices[mesh.triangles].unbind(1)
    assert torch.linalg.cross(b - a, c - a).norm(dim=-1).min() > 1e-6


def test_the_crown_is_one_point_above_everything_else(mesh):
    crown = mesh.vertices[mesh.uv[:, 1] == 0]
    assert torch.equal(crown, crown[:1].expand_as(crown))
    assert crown[0, 1] >= mesh.vertices[:, 1].max() - 0.05


def test_triangles_and_normals_point_outward(mesh):
    a, b, c = (mesh.vertices - mesh.vertices.mean(0)).double()[mesh.triangles].unbind(1)
    assert (a * torch.linalg.cross(b, c)).sum() / 6 > 1000  # enclosed volume in cm³, positive if outward
    assert torch.allclose(mesh.normals.norm(dim=-1), torch.ones(len(mesh.normals)), atol=1e-5)
    axis = mesh.vertices * torch.tensor([0.0, 1.0, 0.0]) + torch.tensor([0.0, 0.0, layout.AXIS_Z])
    outward = torch.nn.functional.normalize(mesh.vertices - axis, dim=-1)
    sides = mesh.vertices[:, 1] < 4  # below the dome, where outward means away from the axis
    assert ((mesh.normals * outward).sum(-1) > 0)[sides].float().mean() > 0.97  # under chin and nose it need not


def test_vertices_lie_where_the_layout_puts_their_uv():
    mesh = head_mesh(grid=64)
    nose = 4  # tip of the nose among the 468 landmarks
    nearest = (mesh.uv - layout.landmark_uv()[nose]).norm(dim=-1).argmin()
    assert (mesh.vertices[nearest] - layout.face_vertices()[nose]).norm() < 0.5  # cm


def test_another_position_map_gives_another_head_with_the_same_uv(mesh):
    moved = head_mesh(layout.position_map(2 * GRID) + torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1), GRID)
    assert torch.equal(moved.uv, mesh.uv) and torch.equal(moved.triangles, mesh.triangles)
    step = moved.vertices - mesh.vertices
    assert torch.allclose(step, torch.tensor([1.0, 2.0, 3.0]).expand_as(step), atol=1e-4)


def test_the_subjects_left_is_plus_x_and_large_u(mesh):
    side = (mesh.uv[:, 0] > 0.55) & (mesh.uv[:, 0] < 0.95)
    assert (mesh.vertices[side & (mesh.uv[:, 1] > 0.1), 0] > 0).all()


@pytest.mark.parametrize("bad", [torch.zeros(3, 8, 9), torch.zeros(1, 8, 8), torch.full((3, 8, 8), float("nan"))])
def test_a_wrong_position_map_is_refused(bad):
    with pytest.raises(InputError):
        head_mesh(bad)


def test_a_grid_too_coarse_for_a_head_is_refused():
    with pytest.raises(InputError, match="at least 8"):
        head_mesh(grid=4)


def test_the_neck_begins_behind_the_chin_and_under_the_jaw_and_the_face_stays():
    size = 128
    place, moved = layout.position_map(size), drawn_in(size)
    azimuth, height = layout.cylinder_of(layout.texel_uv(size))
    resting = (layout.face_mask(size)[0] == 1) | (height > 0)
    assert moved[:, resting].abs().max() < 0.01  # cm: the line of the jaw is a curve, the border of the face a polygon
    head = place + moved
    chin, corner = layout.face_vertices()[152], layout.face_vertices()[397]  # of the chin, and of the jaw
    ring = (head[1] + 11).abs() < 0.4  # a finger's breadth under the chin
    front, side = ring & (azimuth.abs() < 0.1), ring & ((azimuth.abs() - torch.pi / 2).abs() < 0.2)
    before, after = place[2, front].mean(), head[2, front].mean()
    assert chin[2] - before < 1.2 and 2.5 < chin[2] - after < 4.5
    assert 0.85 * corner[0] < head[0, side].abs().mean() < corner[0]
    assert moved[0].flip(-1).allclose(-moved[0], atol=1e-4)


def test_the_line_of_the_jaw_has_no_steps():
    line = anatomy._jaw()
    assert len(line.x) == len(anatomy.JAW) // 2 + 1 + len(anatomy.BEHIND) and (line.x[1:] - line.x[:-1]).min() > 0.03


def test_no_surface_of_the_neck_is_turned_inside_out():
    mesh = head_mesh(grid=128)
    a, b, c = mesh.vertices.double()[mesh.triangles].unbind(1)
    faces = torch.linalg.cross(b - a, c - a)
    low = ((a + b + c) / 3)[:, 1] < -9.5
    away = ((a + b + c) / 3 - torch.tensor([0.0, 0.0, -4.5], dtype=torch.float64)) * torch.tensor([1.0, 0.0, 1.0])
    assert ((faces * away).sum(-1) > 0)[low].all()


def test_the_rim_of_an_ear_is_no_saw():
    mesh = head_mesh(grid=128)
    ear = (mesh.uv[:, 0] > 0.6) & (mesh.vertices[:, 1] > 0.5) & (mesh.vertices[:, 1] < 3.5)
    rows = mesh.uv[ear, 1].unique()
    rim = torch.stack([mesh.vertices[ear & (mesh.uv[:, 1] == row), 0].max() for row in rows])  # cm
    assert torch.diff(rim, n=2).abs().max() < 0.08
