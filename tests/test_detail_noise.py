"""Noise in a phone's detail: kept out of fusion, and the person's detail is not."""

import pytest
import torch
import torch.nn.functional as F

from studiolike.detail import fuse
from studiolike.detail.noise import MOST, balance, quieted
from studiolike.image import blur, linear_to_srgb, srgb_to_linear
from studiolike.layout import region_mask

SIZE = 128
SEEN = torch.ones(1, 1, SIZE, SIZE)


@pytest.fixture(scope="module")
def skin():
    """Linear light of skin whose detail is the same in all channels; it closes around the head."""
    rng = torch.Generator().manual_seed(0)
    rough = blur(torch.randn(1, 1, SIZE, SIZE, generator=rng), 0.7)
    return torch.tensor([0.45, 0.28, 0.2]).view(1, 3, 1, 1) * (0.4 * rough).exp()


def noisy(light, size, seed=1):
    """What a camera makes of it: noise of one size in all channels."""
    return (light + size * torch.randn(light.shape, generator=torch.Generator().manual_seed(seed))).clamp_min(1e-3)


def error(a, b):
    return float((a - b).square().mean().sqrt())


def test_detail_that_all_channels_share_stays_and_noise_goes(skin):
    log, level = skin.log(), skin
    assert error(quieted(log, level, SEEN), log) < 0.02 * float(log.std())
    shot = noisy(skin, 0.03)
    assert error(quieted(shot.log(), shot, SEEN), log) < 0.75 * error(shot.log(), log)
    alone = noisy(torch.full_like(skin, 0.2), 0.03)  # no detail at all: what is left is little
    fine = [float((x - blur(x, 2.5)).std()) for x in (quieted(alone.log(), alone, SEEN), alone.log())]
    assert fine[0] < 0.6 * fine[1]


def test_a_dark_channel_has_little_say(skin):
    cast = torch.tensor([1.0, 0.6, 0.08]).view(1, 3, 1, 1)  # a lamp without blue
    shot = noisy(skin * cast, 0.008)
    factor = 1 / cast
    balanced, truth = (shot * factor).log(), skin.log()
    sure, equal = (error(quieted(balanced, level, SEEN), truth) for level in (shot, torch.ones_like(shot)))
    assert sure < 0.85 * equal


def test_colours_of_eyes_and_what_is_coarse_are_the_person_s(skin):
    rng = torch.Generator().manual_seed(2)
    spots = skin.log() + 0.5 * torch.randn(skin.shape, generator=rng)
    own = region_mask("left_eye", SIZE)[None]
    kept, inside = quieted(spots, spots.exp(), SEEN, own), own.expand_as(spots) > 0.99
    colour = [(x - x.mean(1, keepdim=True))[inside] for x in (kept, spots)]
    assert torch.corrcoef(torch.stack(colour))[0, 1] > 0.9
    coarse = [F.avg_pool2d(x, 16) for x in (quieted(spots, spots.exp(), SEEN), spots)]
    assert error(*coarse) < 0.2 * float(coarse[1].std())


def test_channels_are_balanced_within_limits_and_by_what_was_seen_alone(skin):
    cast = torch.tensor([0.5, 1.5, 0.01]).view(1, 3, 1, 1)
    seen = SEEN.clone()
    seen[..., :64] = 0
    phone = torch.where(seen > 0, skin * cast, torch.ones_like(skin))
    found = balance(phone, skin, seen).flatten()
    torch.testing.assert_close(found, torch.tensor([2.0, 1 / 1.5, MOST]), rtol=1e-4, atol=0)


def test_black_brows_do_not_turn_blue_under_yellow_light(skin):
    brows = sum(region_mask(f"{side}_brow", SIZE) for side in ("left", "right"))[None]
    truth = skin * (1 - 0.9 * brows)
    phone = linear_to_srgb((truth * torch.tensor([1.0, 0.7, 0.12]).view(1, 3, 1, 1)).clamp(0, 1))
    studio = linear_to_srgb(blur(skin, 8))
    red, _, blue = (srgb_to_linear(fuse(phone, SEEN, studio)) * brows).sum((2, 3)).flatten()
    plain_red, _, plain_blue = (srgb_to_linear(fuse(phone, SEEN, studio, edges=False)) * brows).sum((2, 3)).flatten()
    true_red, _, true_blue = (truth * brows).sum((2, 3)).flatten()
    assert blue / red < 0.9 * plain_blue / plain_red
    assert blue / red < 1.6 * true_blue / true_red
