"""A photo unwraps into the head layout, and pictures that cannot be used are refused with a reason."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from skimage.data import astronaut

from studiolike import io, layout
from studiolike.avatar.shape import LOWER_LIP, UPPER_LIP
from studiolike.capture import Capture, Pose, astronaut_landmarks, capture_photo, fit_pose, unwrap
from studiolike.capture.person import PersonMap
from studiolike.capture.pose import to_view
from studiolike.errors import CaptureError, InputError


def rotation(yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> np.ndarray:
    y, p, r = np.radians([yaw, pitch, roll])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), np.sin(p)], [0, -np.sin(p), np.cos(p)]])
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def posed(size: int, face_pixels: float, **angles: float) -> tuple[Pose, np.ndarray]:
    """A pose in the middle of a ``size``² picture and the landmarks that it gives."""
    vertices = layout.face_vertices().double().numpy()
    scale = face_pixels / np.ptp(vertices[:, 0])
    pose = Pose(scale, rotation(**angles), np.zeros(3))
    middle = pose.apply(vertices).mean(0)
    pose = Pose(scale, pose.rotation, np.array([size / 2, -size / 2, 0]) - middle)
    return pose, to_view(pose.apply(vertices))


def smooth_texture(res: int, seed: int = 0, cells: int = 12) -> torch.Tensor:
    """A random texture of blobs, ``(3, R, R)`` in about [0.15, 0.85]."""
    noise = torch.rand(1, 3, cells, cells, generator=torch.Generator().manual_seed(seed))
    return (F.interpolate(noise, (res, res), mode="bicubic", align_corners=True)[0] * 0.7 + 0.15).clamp(0, 1)


def photograph(texture: torch.Tensor, pose: Pose, size: int, res: int = 96, whole: bool = False) -> np.ndarray:
    """Draw the textured face, or the whole head."""
    inside = (layout.face_coverage(res)[0] >= 0) | torch.tensor(whole)
    number = torch.full((res, res), -1)
    number[inside] = torch.arange(int(inside.sum()))
    place = to_view(pose.apply(layout.position_map(res)[:, inside].T.double().numpy()))
    a, b, c, d = number[:-1, :-1], number[:-1, 1:], number[1:, :-1], number[1:, 1:]
    whole = (a >= 0) & (b >= 0) & (c >= 0) & (d >= 0)
    a, b, c, d = (corner[whole] for corner in (a, b, c, d))
    triangles = torch.cat([torch.stack([a, c, b], 1), torch.stack([b, c, d], 1)])
    place = torch.from_numpy(place)
    uv, mask = layout.interpolate(place[:, :2] / size, triangles, layout.texel_uv(res)[inside], size, -place[:, 2])
    colours = F.grid_sample(texture[None], (uv * 2 - 1).permute(1, 2, 0)[None], align_corners=False)[0]
    picture = torch.lerp(torch.tensor(0.5), colours, mask)
    return (picture.permute(1, 2, 0).numpy() * 255 + 0.5).astype(np.uint8)


def error(capture: Capture, truth: torch.Tensor, least: float = 0.5) -> float:
    seen = (capture.visibility[0] > least).expand(3, -1, -1)
    return float((capture.texture[0] - truth).abs()[seen].mean())


@pytest.mark.parametrize("angles", [{}, {"yaw": 30.0}, {"yaw": -25.0, "pitch": 12.0, "roll": 15.0}])
def test_a_known_texture_comes_back_where_it_was_seen(angles):
    truth = smooth_texture(64)
    pose, points = posed(224, 130, **angles)
    capture = capture_photo(photograph(truth, pose, 224), 64, points)
    assert error(capture, truth) < 0.02
    # the same lookup with landmarks that are 4 % of the face width off must be clearly worse, so the check can fail
    wrong = capture_photo(photograph(truth, pose, 224), 64, points + (5.0, 0.0, 0.0))
    assert error(wrong, truth) > 1.8 * error(capture, truth)


def test_shapes_ranges_and_fill():
    pose, points = posed(128, 90)
    capture = capture_photo(photograph(smooth_texture(64), pose, 128), 64, points, whole=False)
    assert capture.texture.shape == (1, 3, 64, 64) and capture.visibility.shape == (1, 1, 64, 64)
    assert capture.texture.dtype == capture.visibility.dtype == torch.float32
    for tensor in (capture.texture, capture.visibility):
        assert torch.isfinite(tensor).all() and 0 <= tensor.min() and tensor.max() <= 1
    outside = layout.face_mask(64)[None] == 0
    assert capture.visibility[outside].max() == 0
    assert capture.texture[outside.expand(-1, 3, -1, -1)].min() > 0.05  # filled, not black


@pytest.fixture
def everything_is_the_person(monkeypatch):
    def of(image, points):
        return PersonMap(torch.ones(1, 1, 8, 8), np.full(2, -4 * image.shape[0]), np.eye(2) / image.shape[0])

    monkeypatch.setattr(unwrap.PersonMap, "of", of)


@pytest.mark.parametrize("yaw", [0.0, -30.0])
def test_hair_and_sides_of_the_head_come_back_where_they_were_seen(everything_is_the_person, yaw):
    truth = smooth_texture(64)
    pose, points = posed(256, 120, yaw=yaw)
    photo = photograph(truth, pose, 256, whole=True)
    face, head = (capture_photo(photo, 64, points, whole=whole) for whole in (False, True))
    crown = layout.region_mask("crown", 64)[None] * (1 - layout.face_mask(64)[None]) > 0.9
    assert face.visibility[crown].max() == 0
    seen = crown & (head.visibility > 0.5)
    assert seen.sum() > 0.2 * crown.sum()
    error = (head.texture[0] - truth).abs().mean(0)[seen[0, 0]]
    assert error.mean() < 0.04, error.mean()
    back = torch.zeros_like(crown)
    back[..., 20:, :4] = back[..., 20:, -4:] = True
    assert head.visibility[back].max() == 0
    never = (layout.region_mask("ears", 64) + layout.region_mask("neck", 64))[None] > 0.99
    assert head.visibility[never].max() == 0
    # and in the face nothing is lost by it
    assert (head.visibility - face.visibility)[:, layout.face_mask(64) > 0.5].min() > -0.02


def test_what_is_behind_a_person_is_never_seen(monkeypatch):
    monkeypatch.setattr(unwrap.PersonMap, "at", lambda self, position: torch.zeros_like(position[:1]))
    pose, points = posed(256, 120)
    photo = photograph(smooth_texture(64), pose, 256, whole=True)
    outside = layout.face_mask(64)[None] == 0
    assert capture_photo(photo, 64, points).visibility[outside].max() == 0


def test_the_person_is_told_from_the_background_in_any_turn_of_the_picture():
    image, points = pytest.importorskip("skimage.data").astronaut(), astronaut_landmarks().points
    middle, width = points[:, :2].mean(0), np.ptp(points[:, 0])
    up = points[10, :2] - points[152, :2]  # from the chin to the forehead
    hair, beside = points[10, :2] + 0.15 * up, middle + (1.1 * width, -0.5 * width)
    turned = np.rot90(image).copy()  # counter-clockwise: (x, y) → (y, width − x)
    places = np.array([middle, hair, beside, (-50.0, -50.0)])
    for picture, marks, at in (
        (image, points, places),
        (turned, quarter_turn(points, image.shape[1]), quarter_turn(places, image.shape[1])),
    ):
        sure = PersonMap.of(picture, marks).at(torch.from_numpy(at.T).float()[:, None])
        np.testing.assert_allclose(sure[0, 0], [1, 1, 0, 0], atol=0.02)


def quarter_turn(places: np.ndarray, width: int) -> np.ndarray:
    return np.concatenate([places[:, 1:2], width - places[:, :1], places[:, 2:]], 1)


def test_the_hair_of_the_demo_photo_is_read():
    image = pytest.importorskip("skimage.data").astronaut()
    shot = capture_photo(image, 128, astronaut_landmarks())
    hair = (layout.region_mask("crown", 128) * layout.region_mask("scalp", 128) * (shot.visibility[0] > 0.7)).bool()
    assert hair.sum() > 0.04 * 128**2
    red, _, blue = shot.texture[0][:, hair[0]].mean(1).tolist()
    assert red > 1.3 * blue  # she is fair, and the wall behind her is grey


def test_the_far_side_of_a_turned_head_is_not_seen():
    pose, points = posed(224, 130, yaw=40.0)
    capture = capture_photo(photograph(smooth_texture(64), pose, 224), 64, points)
    near, far = capture.quality["seen_right"], capture.quality["seen_left"]
    assert capture.quality["yaw"] == pytest.approx(40, abs=0.5)
    assert near > 0.8 and far < 0.6
    u, v = layout.landmark_uv()[[454, 234]].T * 64  # the two ends of the jaw, beside the ears
    assert capture.visibility[0, 0, int(v[0]), int(u[0]) - 1] == 0
    assert capture.visibility[0, 0, int(v[1]) - 1, int(u[1]) + 3] > 0.3


def test_the_nose_hides_the_cheek_behind_it():
    from studiolike.capture.occlusion import DepthBuffer
    from studiolike.capture.surface import face_surface

    pose, points = posed(224, 130, yaw=45.0)
    surface = face_surface(points, pose, 64)
    behind = (DepthBuffer.of(points).depth_at(surface.position) - surface.depth) / pose.face_pixels
    hidden = (behind > 0.05) & (surface.facing > 0.15)
    assert int(hidden.sum()) > 3  # texels that face the camera and still cannot be seen
    columns = hidden[0].nonzero()[:, 1].float()
    assert columns.mean() > 32  # all on the far side of the nose
    front = face_surface(*posed(224, 130)[::-1], 64)
    depth = DepthBuffer.of(posed(224, 130)[1]).depth_at(front.position)
    assert ((depth - front.depth) / pose.face_pixels)[front.facing > 0.5].max() < 0.03


def test_the_outline_is_as_far_as_it_is():
    from studiolike.capture.occlusion import DepthBuffer

    _, points = posed(224, 130)
    buffer = DepthBuffer.of(points)
    left, right = points[:, 0].min(), points[:, 0].max()
    row = points[np.argmin(points[:, 0]), 1]
    places = torch.tensor([[left - 10, left + 6, right - 6, 112.0], [row, row, row, row]])[:, None]
    distance = buffer.distance_to_outline(places.float())[0, 0]
    np.testing.assert_allclose(distance[:3], [0, 6, 6], atol=1.6)
    assert distance[3] > 40


def test_the_pose_is_recovered_exactly():
    pose, points = posed(256, 140, yaw=33.0, pitch=-11.0, roll=8.0)
    found = fit_pose(points)
    assert found.scale == pytest.approx(pose.scale)
    np.testing.assert_allclose(found.rotation, pose.rotation, atol=1e-9)
    assert found.yaw == pytest.approx(33) and found.face_pixels == pytest.approx(140)


def test_features_of_the_demo_photo_land_at_their_landmarks():
    data = pytest.importorskip("skimage.data")
    photo = data.astronaut()
    points = astronaut_landmarks().points
    dots = [33, 263, 61, 291, 1, 152]  # eye corners, mouth corners, nose tip, chin
    marked = photo.copy()
    rows, columns = np.mgrid[: photo.shape[0], : photo.shape[1]]
    for x, y, _ in points[dots]:
        marked[(columns + 0.5 - x) ** 2 + (rows + 0.5 - y) ** 2 < 2.2] = (0, 255, 0)
    res = 128
    plain, dotted = (capture_photo(image, res, points).texture[0] for image in (photo, marked))
    change = (dotted - plain).abs().sum(0)
    for u, v in layout.landmark_uv()[dots] * res - 0.5:
        row, column = np.mgrid[:res, :res]
        near = torch.from_numpy(np.hypot(column - float(u), row - float(v)) < 6)
        weight = change * near
        assert weight.sum() > 0.3
        assert float((weight * torch.from_numpy(column)).sum() / weight.sum()) == pytest.approx(float(u), abs=1.5)
        assert float((weight * torch.from_numpy(row)).sum() / weight.sum()) == pytest.approx(float(v), abs=1.5)


def test_the_demo_photo_unwraps_without_a_detector():
    data = pytest.importorskip("skimage.data")
    capture = capture_photo(data.astronaut(), 64)  # recognised by its pixels
    assert 0.15 < float((capture.visibility > 0.3).float().mean()) < 0.5
    assert capture.quality["face_pixels"] == pytest.approx(98, abs=5) and abs(capture.quality["yaw"]) < 5
    seen = capture.visibility[0] > 0.5  # her mouth is open, and what shows between the lips was left out and filled
    parts = (capture.texture[0] * layout.region_mask(name, 64) * seen for name in ("lips", "skin_face"))
    lips, skin = ((part[0].sum() / part[1].sum()).item() for part in parts)
    assert lips > 1.05 * skin


def test_a_small_face_is_told_to_be_oversampled():
    pose, points = posed(128, 60)
    image = photograph(smooth_texture(64), pose, 128)
    assert not [w for w in capture_photo(image, 64, points).quality["warnings"] if "texels" in w]
    fine = capture_photo(image, 512, points).quality
    assert fine["oversampling"] > 2 and any("60 pixels wide" in w and "texels" in w for w in fine["warnings"])


def test_large_photos_are_averaged_not_aliased():
    pose, points = posed(768, 460)
    image = photograph(torch.full((3, 64, 64), 0.5), pose, 768)
    checker = (np.indices(image.shape[:2]).sum(0) % 2)[..., None] * 255
    capture = capture_photo(checker.repeat(3, 2).astype(np.uint8), 32, points)
    seen = (capture.visibility > 0.5).expand(-1, 3, -1, -1)
    assert capture.texture[seen].std() < 0.06


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"yaw": 75.0}, r"profile view: .*75°.*60°"),
        ({"pitch": 58.0}, r"tilted up by 58°"),
        ({"face_pixels": 30}, r"30 pixels wide, at least 48"),
    ],
)
def test_bad_poses_are_refused_with_numbers(change, words):
    pose, points = posed(224, **({"face_pixels": 120} | change))
    with pytest.raises(CaptureError, match=words):
        capture_photo(np.full((224, 224, 3), 128, np.uint8), 64, points)


def test_one_hidden_half_is_a_profile_too():
    pose, points = posed(224, 130, yaw=58.0)  # still under the limit of the angle
    with pytest.raises(CaptureError, match="profile view: only .* left half"):
        capture_photo(np.full((224, 224, 3), 128, np.uint8), 64, points)


def test_a_face_outside_the_picture_is_refused():
    pose, points = posed(224, 130)
    with pytest.raises(CaptureError, match="lies inside the picture"):
        capture_photo(np.full((224, 224, 3), 128, np.uint8), 64, points + (120, 0, 0))


@pytest.mark.parametrize(("level", "words"), [(6, "too dark"), (255, "burnt out")])
def test_exposures_without_tone_are_refused(level, words):
    pose, points = posed(224, 130)
    with pytest.raises(CaptureError, match=words):
        capture_photo(np.full((224, 224, 3), level, np.uint8), 64, points)


@pytest.mark.parametrize(
    "image",
    [np.zeros((64, 64)), np.zeros((64, 64, 3)), np.zeros((64, 64, 5), np.uint8), np.zeros((4, 4, 3), np.uint8), None],
)
def test_things_that_are_no_photo_are_refused(image):
    with pytest.raises(InputError, match="pixels|uint8"):
        capture_photo(image, 64, np.zeros((468, 3)))


@pytest.mark.parametrize("res", [0, 16, 100, 4096])
def test_impossible_sizes_are_refused(res):
    with pytest.raises(InputError, match="power of two"):
        capture_photo(np.zeros((64, 64, 3), np.uint8), res, np.zeros((468, 3)))


def test_what_lies_between_lips_is_left_out_and_a_rim_of_those_that_part():
    pose, points = posed(224, 130)
    closed, gray = points.copy(), np.full((224, 224, 3), 128, np.uint8)
    closed[LOWER_LIP, 1] = closed[UPPER_LIP, 1]
    opened = closed.copy()
    opened[LOWER_LIP] += (0, 12, 0)
    inner, lips = (layout.region_mask(name, 128) for name in ("inner_lips", "lips"))
    seen = []
    for points, told in ((opened, True), (closed, False)):
        capture = capture_photo(gray, 128, points)
        assert capture.visibility[0][inner > 0.99].max() == 0
        assert any("mouth" in w for w in capture.quality["warnings"]) == told
        seen.append(capture.visibility[0][(lips > 0.9) & (inner < 0.1)])
    assert seen[1].min() > 0.8 and seen[0].mean() < seen[1].mean() - 0.1  # lips that part are cut back


def test_where_lips_meet_they_are_seen_as_well_as_the_skin_around_them():
    seen = torch.full((1, 64, 64), 0.5)
    lips = layout.region_mask("lips", 64) > 0.5
    rows, columns = lips[0].nonzero().T
    seen[:, : rows.min() + 1] = 1.0
    seen[lips] = 0.0
    seen[0, :, columns.min()] = 0.0  # nothing is seen at this corner
    out = unwrap._lips_seen(seen)
    assert torch.equal(out[~lips], seen[~lips])
    middle = out[0, :, 32][lips[0, :, 32]]
    assert (middle.diff() < 0).all() and middle.min() > 0.5 and middle.max() < 1
    assert (out[0, :, columns.min()] == 0).all()


def test_a_picture_much_finer_than_a_very_large_texture_is_reduced_instead_of_sampled_twice(monkeypatch):
    pose, points = posed(560, 400, yaw=20.0)
    photo = photograph(smooth_texture(96), pose, 560)
    twice = capture_photo(photo, 128, points)
    monkeypatch.setattr(unwrap, "FINEST_SURFACE", 128)
    reduced = capture_photo(photo, 128, points)
    seen = (twice.visibility > 0.5).expand(-1, 3, -1, -1)
    difference = (reduced.texture - twice.texture)[seen].abs()
    assert 0 < difference.mean() < 0.004  # another way, the same texture


@pytest.mark.parametrize("under", [(255, 0, 0), (0, 0, 0)])
def test_a_transparent_hole_of_a_photo_is_unseen_and_has_the_colour_of_what_is_around(under, tmp_path):
    points = astronaut_landmarks().points
    x, y = points[425, :2].astype(int)  # on a cheek
    layers = np.dstack([astronaut(), np.full((512, 512), 255, np.uint8)])
    layers[y - 12 : y + 12, x - 12 : x + 12] = (*under, 0)
    Image.fromarray(layers).save(tmp_path / "hole.png")
    whole = capture_photo(astronaut(), 256, points)
    for picture in (layers, io.read_photo(tmp_path / "hole.png")):
        shot = capture_photo(picture, 256, points)
        u, v = (layout.landmark_uv()[425] * 256).int().tolist()
        assert whole.visibility[0, 0, v, u] > 0.5 and shot.visibility[0, 0, v - 2 : v + 3, u - 2 : u + 3].max() == 0
        gone = (whole.visibility - shot.visibility)[0, 0] > 0.02
        assert 20 < gone.sum() < 0.05 * gone.numel()  # the hole and its rim, and nothing else
        assert (shot.texture - whole.texture)[0][:, gone].abs().mean() < 0.06  # skin, neither grey nor what lies under
        kept = (shot.visibility > 0.3)[0, 0]
        assert (shot.texture - whole.texture)[0][:, kept].abs().max() < 0.1
    half = np.dstack([astronaut(), np.full((512, 512), 128, np.uint8)])
    seen, whole = (capture_photo(picture, 256, points, whole=False) for picture in (half, astronaut()))
    torch.testing.assert_close(seen.visibility, whole.visibility * 128 / 255, atol=0.02, rtol=0)
    assert ((seen.texture - whole.texture).abs() * (whole.visibility > 0.6)).max() < 0.05
