"""The identity network: what may and what may not influence an embedding."""

import pytest
import torch

from studiolike.errors import InputError
from studiolike.features import SHAPES, IdentityNet
from studiolike.features.variation import another_capture, another_light, camera, hide, misalign
from studiolike.image import blur

TINY = dict(resolution=32, widths=(8, 12, 16, 24), embedding=16)


@pytest.fixture
def net() -> IdentityNet:
    return IdentityNet(**TINY).eval()


@pytest.fixture
def texture() -> torch.Tensor:
    return torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def half_seen() -> torch.Tensor:
    visibility = torch.ones(3, 1, 32, 32)
    visibility[..., 16:] = 0
    return visibility


def test_embeddings_have_unit_length_and_the_configured_size(net, texture):
    embedding = net.embed(texture)
    assert embedding.shape == (3, 16)
    torch.testing.assert_close(embedding.norm(dim=1), torch.ones(3))


def test_unobserved_texels_have_no_influence_on_the_embedding(net, texture):
    visibility = half_seen()
    other = torch.where(visibility > 0, texture, torch.rand_like(texture))
    torch.testing.assert_close(net.embed(texture, visibility), net.embed(other, visibility), rtol=0, atol=0)
    assert (net.embed(texture, visibility) - net.embed(texture)).abs().max() > 1e-3


def test_unobserved_texels_have_no_influence_when_the_texture_is_made_smaller(net):
    texture, visibility = torch.rand(1, 3, 96, 96), torch.ones(1, 1, 96, 96)
    visibility[..., 41:] = 0  # not at a border of the small texels
    other = torch.where(visibility > 0, texture, 1 - texture)
    torch.testing.assert_close(net.embed(texture, visibility), net.embed(other, visibility), rtol=0, atol=0)


def test_an_embedding_does_not_depend_on_the_rest_of_the_batch(net, texture):
    alone = torch.cat([net.embed(x[None]) for x in texture])
    torch.testing.assert_close(net.train().embed(texture), alone, rtol=1e-5, atol=1e-6)


def test_features_go_from_fine_to_coarse(net, texture):
    assert [x.shape[-1] for x in net.features(texture)] == [32, 16, 8, 4]


def test_both_roles_differ_in_shape_seed_and_name():
    loss, judge = (IdentityNet.named(role) for role in SHAPES)
    assert loss.name != judge.name
    assert [x.shape for x in loss.parameters()] != [x.shape for x in judge.parameters()]
    for net in (loss, judge):
        assert 0.5e6 < sum(p.numel() for p in net.parameters()) < 0.9e6


def test_initial_weights_follow_the_seed_and_leave_the_global_generator_alone():
    torch.manual_seed(5)
    first = IdentityNet(**TINY, seed=7)
    torch.rand(3)
    second = IdentityNet(**TINY, seed=7)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not torch.equal(first.stem.weight, IdentityNet(**TINY, seed=8).stem.weight)


def test_a_saved_network_comes_back_with_shape_and_role(net, texture, tmp_path):
    net.save_pretrained(tmp_path)
    again = IdentityNet.from_pretrained(tmp_path)
    assert again.name == net.name
    torch.testing.assert_close(again.embed(texture), net.embed(texture))


def test_an_unknown_role_or_an_impossible_shape_is_refused():
    with pytest.raises(InputError, match="identity_eval"):
        IdentityNet.named("nobody")
    with pytest.raises(InputError, match="too small"):
        IdentityNet(resolution=16, widths=(8, 8, 8, 8))


def test_variations_stay_textures_and_follow_their_generator(texture):
    visibility = half_seen()
    first = another_capture(texture, visibility, torch.Generator().manual_seed(3))
    again = another_capture(texture, visibility, torch.Generator().manual_seed(3))
    for a, b, channels in zip(first, again, (3, 1), strict=True):
        assert a.shape == (3, channels, 32, 32) and 0 <= a.min() and a.max() <= 1
        assert torch.equal(a, b)
    assert not torch.equal(first[0], texture)


def test_hiding_only_ever_takes_away():
    visibility, taken = half_seen(), 0
    for seed in range(5):
        hidden = hide(visibility, torch.Generator().manual_seed(seed), share=1.0)
        assert (hidden <= visibility).all()
        taken += int((hidden < visibility).sum())
    assert taken > 0


def test_another_light_moves_the_low_band_more_than_the_finest(texture):
    smooth = 0.2 + 0.6 * blur(texture, 3.0)
    fine = smooth + 0.1 * (texture - blur(texture, 1.0))
    changed = another_light(fine.clamp(0.05, 0.95), torch.Generator().manual_seed(1))
    change = changed - fine.clamp(0.05, 0.95)
    low = blur(change, 2.0)
    finest = change - blur(change, 0.7)
    assert low.square().mean() > 20 * finest.square().mean() > 0


def test_no_strength_changes_nothing(texture):
    rng = torch.Generator().manual_seed(0)
    torch.testing.assert_close(another_light(texture, rng, strength=0.0), texture, atol=1e-4, rtol=0)
    torch.testing.assert_close(camera(texture, rng, sigma=0.0, noise=0.0), texture, atol=1e-5, rtol=0)


def test_moving_a_texture_does_not_mix_in_what_was_never_seen():
    visibility = half_seen()
    texture = visibility.expand(-1, 3, -1, -1) * 0.5  # grey where seen, black where not
    moved, seen = misalign(texture, visibility, torch.Generator().manual_seed(1))
    assert (moved[(seen > 0.01).expand_as(moved)] - 0.5).abs().max() < 1e-4
