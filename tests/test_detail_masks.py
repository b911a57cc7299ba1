"""A person's own brows: where they are, and that the light beside them is not read from them."""

import pytest
import torch

from studiolike.detail import fuse
from studiolike.detail.masks import BROWS, _soft, own_brows
from studiolike.image import blur, linear_to_srgb, srgb_to_linear
from studiolike.layout import region_mask

SIZE = 128
SEEN = torch.ones(1, 1, SIZE, SIZE)
SKIN = torch.tensor([0.45, 0.28, 0.2]).view(1, 3, 1, 1)
LOWER = 2  # texels by which the person's brows lie lower than the layout's


@pytest.fixture(scope="module")
def brows():
    return torch.stack([region_mask(name, SIZE) for name in BROWS]).amax(0)[None].roll(LOWER, 2)


def painted(brows, colour=(0.03, 0.025, 0.025)):
    return torch.lerp(SKIN.expand(-1, -1, SIZE, SIZE), torch.tensor(colour).view(1, 3, 1, 1), brows)


def found(linear, weight=SEEN):
    return own_brows((linear + 0.02).log(), weight)


def test_brows_are_found_where_the_person_has_them(brows):
    mask = found(painted(brows))
    assert mask[brows > 0.9].mean() > 0.7
    assert mask[blur(brows, 2.0) < 0.01].max() < 0.1
    assert torch.equal(found(painted(brows), 0 * SEEN), 0 * SEEN)


def test_a_shadow_over_the_eyes_is_no_brow(brows):
    shadow = painted(brows, tuple(float(c) * 0.25 for c in SKIN.flatten()))
    assert found(shadow).max() < 0.3 < 0.8 < found(painted(brows)).max()


def test_unseen_colours_reach_nobody(brows):
    seen = SEEN.clone()
    seen[..., : SIZE // 2] = 0
    masks = [found(torch.where(seen > 0, painted(brows), colour * SEEN), seen) for colour in (0.0, 0.7)]
    assert torch.equal(*masks)


def test_brows_that_lie_elsewhere_than_the_generator_s_keep_their_contrast_and_have_no_halo(brows):
    truth = linear_to_srgb(painted(brows))
    light = torch.linspace(0.5, 1.2, SIZE).view(1, 1, 1, SIZE)
    phone = linear_to_srgb(srgb_to_linear(truth) * light)
    studio = linear_to_srgb(blur(painted(_soft(BROWS, SIZE, 1 / 128)), 2.0))
    fused = fuse(phone, SEEN, studio)
    inside = brows > 0.9
    beside = (blur(brows, 3.0) > 0.02) & (blur(brows, 1.5) < 0.01)
    light = [srgb_to_linear(t).mean(1, keepdim=True) for t in (fused, truth)]
    levels = [[float(t[where].mean()) for where in (inside, beside)] for t in light]
    assert levels[0][0] < 1.5 * levels[1][0], "the brow is as dark as the person's"
    assert abs(levels[0][1] / levels[1][1] - 1) < 0.1, "the skin around it is not lighter or darker for that"
