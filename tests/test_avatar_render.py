"""The software renderer: the right side up, the right side left, no cracks, nothing outside the frame."""

import pytest
import torch
from scipy.ndimage import binary_fill_holes

from studiolike import layout
from studiolike.avatar import head_mesh, render, turntable
from studiolike.avatar.render import studio_light
from studiolike.errors import InputError
from studiolike.image import srgb_to_linear

SIZE = 64
RED, GREEN, BLUE = torch.eye(3).view(3, 3, 1, 1)
LEFT_CHEEK = 425  # a landmark in the middle of the subject's left cheek


@pytest.fixture(scope="module")
def mesh():
    return head_mesh(grid=64)


def spot(landmark, size=128):
    """A grey texture with a red spot at a landmark."""
    away = (layout.texel_uv(size) - layout.landmark_uv()[landmark]).norm(dim=-1)
    return torch.where(away < 0.03, RED, torch.full((3, 1, 1), 0.5))


def redness(picture):
    """Red parts of a picture, ``(H, W)``."""
    return (picture[0] - picture[1:].amax(0)).clamp_min(0)


def silhouette(mesh, yaw, pitch, size, **options):
    """How much of each pixel the head covers, ``(H, W)`` in [0, 1]; less where the neck is seen from inside."""
    white = torch.ones(3, 16, 16)
    return srgb_to_linear(render(mesh, white, yaw, pitch, size, shading="unlit", background=0, **options)[0]).mul(4).round() / 4


def centre_of(weights):
    rows, columns = torch.meshgrid(*(torch.arange(n, dtype=torch.float32) for n in weights.shape), indexing="ij")
    return float((columns * weights).sum() / weights.sum()), float((rows * weights).sum() / weights.sum())


def test_a_red_left_cheek_appears_on_the_right_of_a_front_view(mesh):
    x, y = centre_of(redness(render(mesh, spot(LEFT_CHEEK), size=SIZE)))
    assert 0.56 * SIZE < x < 0.75 * SIZE and 0.4 * SIZE < y < 0.65 * SIZE


def test_turning_the_nose_to_the_right_hides_the_left_cheek_and_to_the_left_shows_it(mesh):
    texture = spot(LEFT_CHEEK)
    hidden, shown = (redness(render(mesh, texture, yaw, size=SIZE)).sum() for yaw in (90, -60))
    assert hidden < 0.01 < 5 < shown


def test_lifting_the_nose_moves_it_up(mesh):
    texture = spot(4)
    heights = [centre_of(redness(render(mesh, texture, 0, pitch, SIZE)))[1] for pitch in (-20, 0, 20)]
    assert heights[0] > heights[1] > heights[2]


def test_the_top_of_the_texture_is_the_crown_and_its_end_the_neck(mesh):
    v = layout.texel_uv(64)[..., 1]
    texture = torch.where(v < 0.2, BLUE, torch.where(v > 0.85, RED, GREEN))
    for yaw in (0, 120, 180):
        picture = render(mesh, texture, yaw, size=SIZE, shading="unlit", background=0)
        rows = [centre_of(picture[channel])[1] for channel in (2, 1, 0)]
        assert rows[0] < rows[1] < rows[2]


def test_the_front_hides_the_back_and_the_back_the_front(mesh):
    u = layout.texel_uv(64)[..., 0]
    texture = torch.where((u - 0.5).abs() < 0.1, GREEN, torch.where((u - 0.5).abs() > 0.4, RED, BLUE))
    texture[0, 48:] *= (u[48:] - 0.5).abs() > 0.45  # the back of the neck is wider than its front
    front, back = turntable(mesh, texture, 2, SIZE, shading="unlit", background=0)
    assert front[0].max() < 0.01 and front[1].sum() > 100
    assert back[1].max() < 0.01 and back[0].sum() > 100


def test_an_unlit_view_shows_exactly_the_textures_colour(mesh):
    colour = torch.tensor([0.7, 0.5, 0.4]).view(3, 1, 1)
    picture = render(mesh, colour.expand(3, 32, 32), 30, -10, SIZE, shading="unlit", background=(0, 0, 1))
    full = silhouette(mesh, 30, -10, SIZE) == 1
    assert full.sum() > 500
    assert (picture - colour)[:, full].abs().max() < 1e-3
    empty = silhouette(mesh, 30, -10, SIZE) == 0
    assert (picture - BLUE)[:, empty].abs().max() < 1e-3


def test_studio_light_leaves_a_facing_surface_alone_and_dims_the_far_side():
    normals = torch.tensor([[0.0, 0.0, 1.0], [0.0, -1.0, 0.0], [0.0, 0.6, 0.8]])
    light = studio_light(normals)
    assert light[0] == 1 and light[1] < 0.8 and 1 < light[2] < 1.3


@pytest.mark.parametrize("pitch", [-30, 0, 30])
def test_every_view_stays_inside_the_frame_and_fills_it(mesh, pitch):
    widest = 0.0
    for yaw in range(0, 360, 40):
        covered = silhouette(mesh, yaw, pitch, SIZE)
        border = torch.cat([covered[0], covered[-1], covered[:, 0], covered[:, -1]])
        assert border.max() == 0
        widest = max(widest, (covered.amax(1) > 0).float().mean(), (covered.amax(0) > 0).float().mean())
    assert widest > 0.85


@pytest.mark.parametrize("yaw", [0, 77, 180])
def test_the_surface_has_no_cracks_at_seam_crown_or_elsewhere(mesh, yaw):
    for pitch in (-60, 0):
        covered = (silhouette(mesh, yaw, pitch, 200, supersample=1) > 0).numpy()
        assert (binary_fill_holes(covered) == covered).all()


def test_a_texture_that_is_periodic_shows_no_line_at_the_back(mesh):
    u = layout.texel_uv(128)[..., 0]
    texture = (0.5 + 0.3 * torch.cos(2 * torch.pi * u)).expand(3, -1, -1)
    row = render(mesh, texture, 180, size=128, shading="unlit")[0, 50, 50:78]
    assert (row[1:] - row[:-1]).abs().max() < 0.02


def test_edges_are_antialiased_only_with_supersampling(mesh):
    hard, soft = (silhouette(mesh, 20, 0, SIZE, supersample=s).unique() for s in (1, 2))
    assert hard.tolist() == [0, 1] and soft.tolist() == [0, 0.25, 0.5, 0.75, 1]


def test_a_fine_pattern_seen_small_becomes_its_mean_instead_of_noise(mesh):
    fine = (torch.arange(512) % 2).float().expand(3, 512, 512)
    picture = render(mesh, fine, 0, 0, 32, shading="unlit", supersample=1)
    inside = silhouette(mesh, 0, 0, 32, supersample=1) == 1
    assert picture[:, inside].std() < 0.1  # the mean in linear light, 0.735 in sRGB
    assert abs(picture[:, inside].mean() - 0.735) < 0.02


def test_pictures_repeat_exactly_and_a_turntable_is_a_stack_of_views(mesh):
    texture = spot(LEFT_CHEEK)
    stack = turntable(mesh, texture, [0, 135], SIZE, pitch=5)
    assert stack.shape == (2, 3, SIZE, SIZE) and stack.dtype == torch.float32
    assert torch.equal(stack[1], render(mesh, texture, 135, 5, SIZE))
    assert 0 <= stack.min() and stack.max() <= 1
    assert len(turntable(mesh, texture, 3, 16)) == 3


def test_wrong_input_is_refused(mesh):
    with pytest.raises(InputError, match="3, H, W"):
        render(mesh, torch.zeros(1, 3, 8, 8))
    with pytest.raises(InputError, match="unknown shading"):
        render(mesh, torch.zeros(3, 8, 8), shading="disco")
    with pytest.raises(InputError, match="at least one view"):
        turntable(mesh, torch.zeros(3, 8, 8), [])
