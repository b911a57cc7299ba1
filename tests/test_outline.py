"""Skull and hair reach as far as the photograph shows them, and the face stays as it is."""

import numpy as np
import pytest
import torch
from test_capture_unwrap import posed

from studiolike import avatar, layout, outline
from studiolike.avatar.render import camera_distance
from studiolike.capture.outline import MOST, measure_outline
from studiolike.capture.person import PersonMap
from studiolike.capture.shape import DISTANCE, head_shape
from studiolike.capture.surface import head_surface
from studiolike.record import shape_of, shape_text

TOP = slice(6, 15)  # rays that point up


@pytest.fixture(scope="module")
def hair():
    """A head that is high by two centimetres more, and on the left side wide by one."""
    return 2 * outline.ANGLES.cos().clamp_min(0) + outline.ANGLES.sin().clamp_min(0)


def reach(place: torch.Tensor) -> torch.Tensor:
    return outline.farthest(place[:2].flatten(1).T - torch.tensor(outline.CENTRE[:2]))


def test_a_head_reaches_as_far_as_its_outline_says(hair):
    shape = torch.cat([layout.face_vertices(), outline.points_of(hair)])
    torch.testing.assert_close(outline.outward_of(shape[outline.POINTS :]), hair, atol=1e-5, rtol=0)
    place = avatar.shape.own_position_map(shape, 128)
    assert (reach(place) - outline.base() - hair)[TOP].abs().max() < 0.35
    moved = place - layout.position_map(128)
    still = torch.cat([layout.face_mask(128), layout.region_mask("neck", 128)]).amax(0) > 0.999
    assert moved[:, still].abs().max() < 0.02
    nobodys, base = (avatar.shape.own_position_map(x, 128) for x in (outline.rest_shape(), layout.face_vertices()))
    torch.testing.assert_close(nobodys, base)
    mesh = avatar.own_head(shape, 64)
    assert torch.isfinite(mesh.normals).all() and mesh.vertices[:, 1].max() > avatar.head_mesh(grid=64).vertices[:, 1].max() + 1.2


def person_like(surface, size: int, grown: float) -> PersonMap:
    """A person who is what the head covers of a picture, moved away from its middle by a factor."""
    mask = np.zeros((size, size), np.float32)
    place = surface.position.flatten(1).T.numpy()
    middle = place.mean(0)
    for x, y in (place - middle) * grown + middle:
        mask[int(y) - 2 : int(y) + 3, int(x) - 2 : int(x) + 3] = 1
    return PersonMap(torch.from_numpy(mask)[None, None], np.zeros(2), np.eye(2))


def test_the_outline_of_a_person_is_measured_in_centimetres():
    pose, points = posed(256, 90, roll=20.0)
    surface = head_surface(points, pose, 128)
    plain, larger = (measure_outline(person_like(surface, 256, grown), surface, pose, (256, 256)) for grown in (1.0, 1.15))
    assert plain[TOP].abs().max() < 0.6
    assert 0.6 < (larger - plain)[TOP].mean() < 2.0  # 15 % of about eight centimetres
    again = head_surface(points, pose, 128, larger)
    assert measure_outline(person_like(surface, 256, 1.15), again, pose, (256, 256))[TOP].abs().mean() < 0.4


def test_where_a_photo_shows_no_outline_none_is_told():
    for angles in ({"yaw": 40.0}, {"pitch": 35.0}):
        pose, points = posed(256, 90, **angles)
        surface = head_surface(points, pose, 128)
        assert measure_outline(person_like(surface, 256, 1.1), surface, pose, (256, 256)) is None
    pose, points = posed(256, 90)
    surface = head_surface(points, pose, 128)
    nobody = PersonMap(torch.zeros(1, 1, 256, 256), np.zeros(2), np.eye(2))
    everywhere = PersonMap(torch.ones(1, 1, 256, 256), np.zeros(2), np.eye(2))
    assert measure_outline(nobody, surface, pose, (256, 256)) is None
    cut = measure_outline(everywhere, surface, pose, (256, 256))  # fills the picture: as large as may be, or not told
    assert cut is None or cut.max() <= 4


def test_several_pictures_give_their_median_outline_and_files_keep_it(hair):
    points = posed(256, 90)[1]
    shape = head_shape([points] * 4, [hair, None, 1.1 * hair, 3 * hair])
    assert torch.equal(shape, head_shape([points], [1.1 * hair]))
    assert head_shape([points], [None]).shape == (outline.POINTS, 3)
    for whole in (shape, shape[: outline.POINTS]):
        torch.testing.assert_close(shape_of(shape_text(whole)), whole, atol=0.0051, rtol=0)
    assert shape_of(shape_text(shape)[:-8]) is None


def test_an_outline_is_as_far_out_as_a_camera_before_the_face_must_have_seen_it(hair):
    around = head_shape([posed(256, 90)[1]], [hair])[outline.POINTS :]
    face = layout.face_vertices().mean(0)
    camera = face + torch.tensor([0.0, 0.0, DISTANCE])
    drawn = camera + (around - camera) * (DISTANCE / (camera - around)[:, 2:])  # on a plane through the middle of the face
    assert (outline.outward_of(drawn) - hair).abs().max() < 0.15 < (outline.outward_of(around) - hair).min()
    assert outline.outward_of(head_shape([posed(256, 90)[1]], [hair + 9])[outline.POINTS :]).max() < MOST + 1e-4
    mesh = avatar.head_mesh(grid=64)
    box = (mesh.vertices.amin(0) + mesh.vertices.amax(0)) / 2
    assert abs(camera_distance(mesh) - (face - box)[2] - DISTANCE) < 2, "heads are drawn from where pictures are taken to be from"
