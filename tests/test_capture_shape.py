"""The shape of a face from landmarks, and the head that it makes: what is measured is followed, what is guessed is not."""

import math

import numpy as np
import pytest
import torch

from studiolike import avatar, capture, layout, outline
from studiolike.avatar.shape import CORNERS, LOWER_LIP, RAISED, TOUCHING, UPPER_LIP
from studiolike.capture.pose import to_view
from studiolike.capture.shape import DISTANCE
from studiolike.errors import InputError

NOSE, FOREHEAD = 1, 10


def seen(points, yaw=0.0, pixels=20.0):
    """Landmarks of a head before a camera, turned by ``yaw`` degrees."""
    a = math.radians(yaw)
    turn = np.array([[math.cos(a), 0, math.sin(a)], [0, 1, 0], [-math.sin(a), 0, math.cos(a)]])
    turned = points @ turn.T
    middle = turned.mean(0)
    turned[:, :2] = middle[:2] + (turned - middle)[:, :2] / (1 - (turned - middle)[:, 2:] / DISTANCE)
    return to_view(pixels * turned + (300, -250, 40))


@pytest.fixture
def rest():
    return layout.face_vertices().double().numpy()


def moved(rest, point, offset, reach=2.0):
    """The face with a smooth bump around one of its points."""
    near = np.exp(-((np.linalg.norm(rest - rest[point], axis=1) / reach) ** 2))
    return rest + near[:, None] * np.array(offset)


@pytest.mark.parametrize("yaw", [0, 25, -40])
def test_the_canonical_face_is_found_from_every_side(rest, yaw):
    found = capture.face_shape([seen(rest, yaw)])
    assert found.dtype == torch.float32 and np.abs(found.numpy() - rest).max() < 1e-4


def test_a_wide_face_is_followed(rest):
    wide = rest * (1.1, 1, 1)
    found = capture.face_shape([seen(wide)]).numpy()
    # a pose has a size of its own, so proportions are what can be found
    ratio = lambda points: np.ptp(points[:, 0]) / np.ptp(points[:, 1])  # noqa: E731
    assert ratio(rest) * 1.07 < ratio(found) < ratio(rest) * 1.101


def test_depth_is_hardly_believed_from_one_side_and_measured_from_two(rest):
    long_nose = moved(rest, NOSE, (0, 0, 1.0))
    gain = lambda shape: (shape[NOSE, 2] - shape[FOREHEAD, 2]) - (rest[NOSE, 2] - rest[FOREHEAD, 2])  # noqa: E731
    front = gain(capture.face_shape([seen(long_nose)]).numpy())
    sides = gain(capture.face_shape([seen(long_nose, yaw) for yaw in (-35, 0, 35)]).numpy())
    assert 0.1 < front < 0.4 and sides > front + 0.25


def test_half_of_what_differs_between_left_and_right_is_believed(rest):
    crooked = moved(rest, 61, (0, 0.5, 0), 1.0)  # one corner of the mouth is up
    found = capture.face_shape([seen(crooked)]).numpy()
    difference = lambda points: points[61, 1] - points[291, 1]  # noqa: E731
    assert 0.35 * difference(crooked) < difference(found) < 0.55 * difference(crooked)


def test_a_mesh_in_the_wrong_place_does_not_deform_the_head(rest):
    wide = rest * (1.1, 1, 1)
    frames = [seen(wide, yaw) for yaw in (-20, -10, 0, 10, 20)]
    good = capture.face_shape(frames).numpy()
    noise = np.random.default_rng(0).normal(0, 60, (468, 3))
    assert np.abs(capture.face_shape([*frames, seen(wide) + noise]).numpy() - good).max() < 0.05
    assert np.abs(capture.face_shape([seen(wide) + noise]).numpy() - good).max() > 1


def test_without_a_picture_there_is_no_shape():
    with pytest.raises(InputError, match="at least one"):
        capture.face_shape([])


def test_an_open_mouth_is_closed_and_narrower_and_the_rest_stays(rest):
    smile = capture.face_shape([capture.astronaut_landmarks().points])
    gap = lambda shape: (shape[UPPER_LIP] - shape[LOWER_LIP]).norm(dim=1)  # noqa: E731
    closed = avatar.close_mouth(smile)
    assert gap(smile).max() > 0.5
    assert gap(closed).max() < TOUCHING + 0.02
    assert (closed - smile)[[FOREHEAD, 33, 263]].norm(dim=1).max() < 0.05  # forehead and eyes
    torch.testing.assert_close(avatar.close_mouth(closed), closed, atol=0.02, rtol=0)
    width = lambda shape: (shape[CORNERS[0]] - shape[CORNERS[1]]).norm()  # noqa: E731
    assert width(layout.face_vertices()) < width(closed) < 0.95 * width(smile)
    touching = avatar.shape.lips_together(smile)
    assert torch.equal(touching[CORNERS], smile[CORNERS])
    torch.testing.assert_close(avatar.close_mouth(touching), touching, atol=0.02, rtol=0)  # a smile without teeth stays as wide


def test_lips_that_touch_stay_as_they_are_though_the_canonical_face_s_are_parted(rest):
    shut = rest.copy()
    shut[UPPER_LIP] = shut[LOWER_LIP] = (rest[UPPER_LIP] + rest[LOWER_LIP]) / 2
    shut = torch.from_numpy(shut).float()
    assert torch.equal(avatar.close_mouth(shut), shut)
    assert np.linalg.norm(rest[UPPER_LIP] - rest[LOWER_LIP], axis=1).max() > 0.5
    parted = shut.clone()
    parted[UPPER_LIP, 1] += 0.3
    found = avatar.close_mouth(parted)
    closed = 0.3 - TOUCHING  # the upper lip comes down by a third of it, the lower one up by the rest
    torch.testing.assert_close((found - shut)[UPPER_LIP, 1], torch.full((9,), 0.3 - RAISED * closed), atol=0.01, rtol=0)
    torch.testing.assert_close((found - shut)[LOWER_LIP, 1], torch.full((9,), (1 - RAISED) * closed), atol=0.01, rtol=0)


def test_the_head_passes_through_the_face_and_stays_whole(rest):
    base = avatar.head_mesh(grid=64)
    long_nose = torch.from_numpy(moved(rest, NOSE, (0, 0, 1.5))).float()
    own = avatar.own_head(long_nose, 64)
    assert torch.equal(own.triangles, base.triangles) and torch.equal(own.uv, base.uv)
    tip = (base.uv - layout.landmark_uv()[NOSE]).norm(dim=1).argmin()
    assert 1.2 < (own.vertices - base.vertices)[tip, 2] < 1.6
    assert (own.vertices - base.vertices)[base.uv[:, 0] < 0.05].norm(dim=1).max() < 0.3  # the back of the head
    assert torch.allclose(own.normals.norm(dim=-1), torch.ones(len(own.normals)), atol=1e-5)


def test_without_a_shape_it_is_the_base_head_and_nonsense_is_refused():
    assert torch.equal(avatar.own_head(None, 16).vertices, avatar.head_mesh(grid=16).vertices)
    for bad in (torch.zeros(467, 3), torch.full((468, 3), torch.nan)):
        with pytest.raises(InputError, match="a shape is"):
            avatar.own_head(bad)


def test_captures_know_the_shape_and_a_fused_one_that_of_all_its_frames():
    from skimage.data import astronaut

    points = capture.astronaut_landmarks().points
    shot = capture.capture_photo(astronaut(), 64, points)
    torch.testing.assert_close(shot.shape[:468], capture.face_shape([points]))
    assert torch.equal(shot.shape, capture.shape.head_shape([points], [shot.outward]))
    assert 0.5 < (outline.outward_of(shot.shape[468:]) - shot.outward).mean() < 1.5  # it lies behind the face
    other = capture.Capture(shot.texture, shot.visibility, seen(layout.face_vertices().double().numpy()), {}, shot.shape)
    both = capture.fuse([shot, other]).shape
    apart = (both - shot.shape).norm(dim=1).mean(), (both - outline.rest_shape()).norm(dim=1).mean()
    assert 0.5 < apart[0] / apart[1] < 2  # half-way
    unknown = capture.Capture(shot.texture, shot.visibility, np.zeros((468, 3)))
    assert capture.fuse([unknown, unknown]).shape is None
