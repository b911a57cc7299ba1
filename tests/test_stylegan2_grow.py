"""Growing: the larger network begins as the smaller one, enlarged, and can learn more."""

import pytest
import torch
import torch.nn.functional as F

from studiolike.errors import InputError
from studiolike.stylegan2 import Discriminator, Encoder, Generator, grow
from studiolike.stylegan2.ops import upsample

SIZES = {"channel_base": 512, "channel_max": 24}  # 16 channels from 32² on


def make(kind, resolution, seed, **more):
    torch.manual_seed(seed)
    return kind(resolution=resolution, **SIZES, **more).eval()


@pytest.fixture
def picture():
    return F.interpolate(torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(3)) - 0.5, (128, 128), mode="bicubic")


@torch.no_grad()
@pytest.mark.parametrize("resolution", [64, 128])
def test_a_grown_generator_gives_the_same_pictures_enlarged(resolution):
    small, large = make(Generator, 32, 0, w_dim=16), make(Generator, resolution, 1, w_dim=16)
    z = torch.randn(3, 16)
    before = large(z)
    grow(large, small)
    expected = small(z)
    while expected.shape[-1] < resolution:
        expected = upsample(expected)
    assert torch.allclose(large(z), expected, atol=1e-5)
    assert not torch.allclose(before, expected, atol=0.1)


@torch.no_grad()
@pytest.mark.parametrize("kind", [Discriminator, Encoder])
def test_a_grown_judge_answers_nearly_as_before(kind, picture):
    small, large = make(kind, 64, 0), make(kind, 128, 1)
    expected = small(F.avg_pool2d(picture, 2))
    far = (large(picture)[:, : expected.shape[1]] - expected).norm()
    grow(large, small)
    answer = large(picture)
    assert (answer[:, : expected.shape[1]] - expected).norm() < 0.25 * expected.norm() < far
    if kind is Encoder:  # the new rows begin as the one that drove the finest colours
        assert torch.equal(answer[:, -1], answer[:, -3])


@pytest.mark.parametrize("kind", [Generator, Discriminator, Encoder])
def test_every_new_layer_can_learn(kind, picture):
    small, large = make(kind, 32, 0), make(kind, 64, 1)
    grow(large, small)
    out = large(torch.randn(2, 128)) if kind is Generator else large(picture[:, :, ::2, ::2])
    out.square().mean().backward()
    new = (
        large.blocks["64"].to_rgb.weight
        if kind is Generator
        else (large.blocks["64"] if kind is Discriminator else large.blocks[0]).conv1.weight
    )
    assert new.grad is not None and float(new.grad.abs().max()) > 0


def test_what_does_not_fit_is_refused():
    small = make(Generator, 32, 0, w_dim=16)
    for model, text in (
        (make(Generator, 32, 1, w_dim=16), "from 32² to 32²"),
        (make(Generator, 64, 1, w_dim=24), "other channels"),
        (make(Discriminator, 64, 1), "into a Discriminator"),
    ):
        with pytest.raises(InputError, match=text):
            grow(model, small)
    wide = Discriminator(64, channel_base=2048, channel_max=128)
    with pytest.raises(InputError, match="as many"):
        grow(wide, Discriminator(32, channel_base=2048, channel_max=128))
