"""The mesh network: MediaPipe's own numbers, the second look at lips and eyes, and what lies around them."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file
from skimage.data import astronaut

from studiolike import layout, weights
from studiolike.capture.detection import mesh
from studiolike.capture.face_networks import LEFT_EYE, LIPS, PARTS, POINTS, RIGHT_EYE, FaceMesh, around, carrying
from studiolike.quantised import QuantisedConv

LOOKED_AT_TWICE = [point for part, _ in PARTS for point in part]
# x, y, z in pixels of the crop, as MediaPipe 0.10.14 gives them: lips, lids and a brow, then nose, forehead, chin and cheeks
THEIRS = {
    0: (95.541, 120.503, -9.194), 13: (95.415, 123.779, -5.479), 14: (95.056, 130.080, -2.878), 17: (94.688, 136.162, -3.832),
    61: (74.030, 119.199, 7.811), 291: (117.594, 120.302, 8.190), 159: (74.929, 77.558, -2.171), 145: (75.199, 84.502, -0.781),
    33: (66.525, 80.733, 3.882), 386: (120.416, 80.611, -2.324), 374: (118.745, 86.695, -1.003), 263: (127.815, 84.754, 3.676),
    107: (88.678, 69.056, -13.361),
    4: (97.075, 105.800, -25.363), 10: (100.404, 45.386, -12.441), 152: (94.989, 159.241, 9.451), 234: (47.962, 89.296, 41.854),
    454: (145.936, 95.225, 41.809), 18: (95.358, 140.897, -0.138),
}  # fmt: skip


@pytest.fixture(scope="module")
def crop() -> torch.Tensor:
    return torch.from_numpy(astronaut()[20:212, 128:320].copy()).permute(2, 0, 1)[None] / 255


@pytest.fixture(scope="module")
def plain() -> FaceMesh:
    """The network whose other points stay where they are, as in MediaPipe."""
    net = FaceMesh().eval()
    net.load_state_dict(mesh().state_dict())
    net.carry.zero_()[LOOKED_AT_TWICE, range(len(LOOKED_AT_TWICE))] = 1
    return net


@torch.inference_mode()
def test_the_points_are_those_of_the_original_software(crop, plain):
    points, presence = plain(crop)
    expected = torch.tensor(list(THEIRS.values()))
    off = (points[0, list(THEIRS)] - expected).abs()
    assert off.mean() < 0.08 and off.max() < 0.4 and presence.item() > 9  # codes of 8 bits stand for the largest layers


@torch.inference_mode()
def test_what_is_looked_at_twice_moves_the_skin_around_it_follows_and_depth_and_the_outline_stay(crop, plain):
    first = FaceMesh().eval()
    first.load_state_dict(mesh().state_dict())
    first.carry.zero_()
    before, refined, ours = (net(crop)[0][0] for net in (first, plain, mesh()))
    moved, followed = (points - before for points in (refined, ours))
    others = [point for point in range(POINTS) if point not in LOOKED_AT_TWICE]
    assert moved[others].abs().max() == 0 and (moved[LOOKED_AT_TWICE, :2].norm(dim=1) > 0.02).float().mean() > 0.95
    torch.testing.assert_close(ours[LOOKED_AT_TWICE], refined[LOOKED_AT_TWICE])
    assert followed[18].norm() > 0.2 * moved[17].norm() > 0.05  # below the lower lip
    assert followed[[10, 152, 234, 454]].norm(dim=1).max() < 0.15 * moved[LOOKED_AT_TWICE].norm(dim=1).max()
    assert moved[:, 2].abs().max() == followed[:, 2].abs().max() == 0


def test_lips_and_eyes_share_no_point_and_the_eyes_mirror_each_other():
    assert [len(part) for part, _ in PARTS] == [80, 71, 71] and len(set(LOOKED_AT_TWICE)) == 222
    vertices = layout.face_vertices()
    mirrored = vertices[RIGHT_EYE] * torch.tensor([-1.0, 1.0, 1.0])
    assert (mirrored - vertices[LEFT_EYE]).norm(dim=1).max() < 0.3  # cm
    assert vertices[LIPS, 1].max() < vertices[RIGHT_EYE, 1].min()
    assert vertices[RIGHT_EYE, 0].max() < 0 < vertices[LEFT_EYE, 0].min()  # the person's left is where x grows


def test_skin_follows_less_the_further_it_is_and_never_further_than_what_it_follows():
    carry = carrying()
    follows = carry.sum(1)
    assert carry.min() > -1e-3 and follows.max() < 1.002
    torch.testing.assert_close(carry[LOOKED_AT_TWICE], torch.eye(222))
    assert follows[18] > 0.4 and follows[18] > follows[200] > follows[175] > follows[152]  # down the chin
    assert follows[[10, 152, 234, 454]].max() < 0.2  # the outline
    assert carry[18, :80].sum() > 0.9 * follows[18]  # the skin below the lips follows lips, and no eye


def test_a_part_is_framed_upright_however_the_head_is_tilted():
    points = torch.tensor([[[-2.0, 0.0], [2.0, 0.0], [0.5, 1.0], [0.0, -1.0]]])
    angle = torch.tensor(0.4)
    turn = torch.stack([torch.stack([angle.cos(), angle.sin()]), torch.stack([-angle.sin(), angle.cos()])])
    axes, centre = around(points @ turn + 3, (points @ turn + 3)[:, :2])
    unit = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]]])
    expected = torch.tensor([[3.0, 0.0], [0.0, 1.5], [-3.0, -1.5]]) @ turn + 3  # half as large again as the part
    torch.testing.assert_close(unit @ axes + centre, expected[None])


@torch.inference_mode()
def test_crops_in_one_batch_do_not_see_each_other(crop):
    both = mesh()(torch.cat([crop, crop.flip(-1)]))[0]
    torch.testing.assert_close(both[:1], mesh()(crop)[0], atol=1e-3, rtol=0)


def test_the_file_is_in_half_precision_or_codes_and_holds_no_irises():
    path = weights.PACKAGED / "face_mesh" / weights.FILE
    stored = load_file(path)
    assert {tensor.dtype for name, tensor in stored.items() if not name.endswith("codes")} == {torch.float16}
    assert {tensor.dtype for name, tensor in stored.items() if name.endswith("codes")} == {torch.uint8}
    assert path.stat().st_size < 1.3e6 and len({name.split(".")[1] for name in stored if name.startswith("parts")}) == 3


def test_filters_in_codes_are_at_most_a_step_off_and_their_sums_half_of_one():
    rng = torch.Generator().manual_seed(0)
    filters, bias = torch.randn(6, 8, 3, 3, generator=rng), torch.randn(6, generator=rng)
    conv = QuantisedConv(8, 6, 3)
    conv.encode(filters, bias)
    kept = conv.low[:, None, None, None] + conv.scale[:, None, None, None] * conv.codes
    step = (filters.flatten(1).amax(1) - filters.flatten(1).amin(1)) / 255
    assert ((kept - filters).flatten(1).abs().amax(1) < 1.1 * step).all()
    assert ((kept - filters).flatten(1).sum(1).abs() < 2 * step).all()  # the errors of single weights would add up to 3 steps
    torch.testing.assert_close(conv(torch.ones(1, 8, 4, 4))[0, :, 1, 1], filters.sum((1, 2, 3)) + bias, atol=0.1, rtol=0)
    torch.testing.assert_close(conv.half().float().low, conv.low, atol=0, rtol=0)
