"""What nobody saw has somebody's detail, and what was seen, and what a face is known by, stays."""

import pytest
import torch

from studiolike import weights
from studiolike.detail import complete
from studiolike.detail.exemplars import choose, difference, keys
from studiolike.detail.masks import feature_mask, lip_mask
from studiolike.errors import InputError, WeightsError
from studiolike.image import blur, resize
from studiolike.layout import region_mask


@pytest.fixture(scope="module")
def scene():
    """A smooth texture, half seen, and the released exemplars at 64²."""
    texture = blur(resize(weights.studio_mean(), 64), 3)
    seen = (torch.arange(64) < 32).float().expand(1, 1, 64, 64).clone()
    return texture, seen, resize(weights.exemplars().float(), 64).round().byte()


def roughness(x, where):
    fine = x - blur(x, 1.5)
    return ((fine.square() * where).sum() / where.sum()).sqrt()


def test_only_what_was_not_seen_changes_and_no_feature_of_the_face_does(scene):
    texture, seen, exemplars = scene
    out = complete(texture, seen, exemplars)
    features = feature_mask(64) * (1 - lip_mask(64))
    assert torch.equal(out[..., :32], texture[..., :32]) and 0 <= out.min() and out.max() <= 1
    kept = (features > 0.999).expand_as(out)
    assert kept.any() and torch.allclose(out[kept], texture[kept], atol=1e-3)
    hidden = (1 - seen) * (1 - features)
    assert roughness(out, hidden) > 2 * roughness(texture, hidden)  # detail came
    assert (blur(out, 8) - blur(texture, 8)).abs().mean() < 0.02  # light and colour stayed


def test_a_texture_that_was_seen_whole_is_given_back(scene):
    texture, seen, exemplars = scene
    assert torch.equal(complete(texture, torch.ones_like(seen), exemplars), texture)


def test_the_exemplar_that_is_most_like_the_hole_lends_mirrored_where_that_fits_better(scene):
    size = 128  # finer than the others, so that hairlines, which are not lent, take less of the hole
    seen, exemplars = resize(scene[1], size).round(), resize(weights.exemplars().float(), size).round().byte()
    for number, mirrored in ((3, False), (9, True)):
        truth = exemplars[number : number + 1].float() / 255
        truth = truth.flip(-1) if mirrored else truth
        smooth = torch.lerp(blur(truth, 3), truth, seen)
        out, hidden = complete(smooth, seen, exemplars), (1 - seen) * region_mask("scalp", size)
        after, before = (((x - truth).square() * hidden).sum() for x in (out, smooth))
        assert after < 0.5 * before, number


def test_blotches_of_skin_are_not_lent(scene):
    texture, seen, _ = scene
    texture = (texture + 0.1 * torch.randn(texture.shape, generator=torch.Generator().manual_seed(0)) * seen).clamp(0, 1)
    waves = (torch.arange(64) * 2 * torch.pi / 12).sin()
    lent = (150 + 20 * waves[:, None] * waves).round().byte().expand(1, 3, 64, 64)
    plain = torch.full_like(lent, 150)
    skin = ((region_mask("skin_face", 64)[None] > 0.99) & (seen == 0)).expand_as(texture)
    change = complete(texture, seen, lent) - complete(texture, seen, plain)
    assert change[skin].std() < 0.25 * (lent / 255)[skin].std()


def test_moles_beards_and_rough_skin_stay_with_whom_they_belong_to(scene):
    texture, seen, _ = scene
    skin = region_mask("skin_face", 64)[None] > 0.99
    plain = torch.full((1, 3, 64, 64), 150, dtype=torch.uint8)
    calm = complete(texture, seen, plain)
    for kind in ("mole", "beard", "rough"):
        lent = plain.clone()
        if kind == "mole":
            lent[..., 44:46, 44:46] = 20
        elif kind == "beard":
            lent[..., 42:56, 20:46] = 30
            lent[..., 42:56:2, 20:46:2] = 60
        else:
            lent[..., ::2, ::2] = 190
        change = (complete(texture, seen, lent) - calm).abs().amax(1, keepdim=True)[skin & (seen == 0)]
        assert change.max() < 0.1, kind  # of what differs by 0.5 and more
    # hair lends to hair
    dark, hairy = texture.clone(), plain.clone()
    dark[..., :16, :] *= 0.2
    hairy[..., :20, :], hairy[..., :20:2, :] = 20, 60
    assert roughness(complete(dark, seen, hairy)[..., :14, 36:60], torch.ones(1)) > 0.01


def test_exposure_and_white_balance_do_not_choose():
    textures = weights.exemplars()[:6].float() / 255
    own = keys(textures)
    other = own + torch.tensor([0.3, -0.1, 0.5]).view(1, 3, 1, 1)
    apart = difference(own, other, torch.ones(6, 1, 32, 32))
    assert apart.diagonal().abs().max() < 1e-6 and torch.equal(apart.argmin(1), torch.arange(6))


def test_the_chosen_stand_for_all_better_than_the_first_ones():
    rng = torch.Generator().manual_seed(0)
    centres = torch.rand(4, 3, 8, 8, generator=rng).repeat_interleave(5, 0)
    textures = resize((centres + 0.02 * torch.rand(20, 3, 8, 8, generator=rng)).clamp(0, 1), 64)
    rows = choose(textures, 4)
    assert sorted((rows // 5).tolist()) == [0, 1, 2, 3]
    assert choose(textures, 50).unique().numel() == 20


def test_the_released_exemplars_are_few_and_large_and_a_damaged_file_is_named(tmp_path, monkeypatch):
    released = weights.exemplars()
    assert released.dtype == torch.uint8 and released.shape[1:] == (3, 512, 512) and 8 <= len(released) <= 32
    weights.write_exemplars(released[:2].float() / 255, tmp_path)
    monkeypatch.setenv("STUDIOLIKE_WEIGHTS", str(tmp_path))
    again = weights.exemplars()
    assert again.shape == (2, 3, 512, 512) and (again.float() - released[:2].float()).abs().mean() < 3
    weights._tiles.cache_clear()
    (tmp_path / weights.EXEMPLARS).write_bytes(b"no picture")
    with pytest.raises(WeightsError, match="cannot read"):
        weights.exemplars()


def test_shapes_that_do_not_fit_are_refused(scene):
    texture, seen, exemplars = scene
    with pytest.raises(InputError, match="one batch"):
        complete(texture, seen[..., :32], exemplars)
    with pytest.raises(InputError, match="at least one"):
        complete(texture, seen, exemplars[:0])


def test_no_hairline_is_lent():
    size, row = 128, 30
    seen, hair = torch.zeros(1, 1, size, size), torch.zeros(1, 1, size, size)
    hair[:, :, :row] = 1
    texture = torch.lerp(torch.full((1, 3, size, size), 0.6), torch.full((1, 3, size, size), 0.1), blur(hair, 4))
    teeth = hair.roll(5, 2)  # a sharp and uneven border, as a head shows it, in another place
    row += 5
    teeth[:, :, :6] = 1
    teeth[:, :, row - 3 : row + 3, ::3] = (torch.arange(6) < 3).float()[:, None].flip(0)
    lent = torch.lerp(torch.full_like(texture, 150.0), torch.full_like(texture, 20.0), teeth).round().byte()
    change = (complete(texture, seen, lent) - texture)[..., row - 9 : row + 5, 20:108]
    assert change.abs().max() < 0.06


def test_an_open_mouth_is_closed_in_the_colour_of_its_own_lips():
    size = 128
    lips, inner = (region_mask(name, size)[None] for name in ("lips", "inner_lips"))
    texture = torch.full((1, 3, size, size), 0.6)
    texture = torch.lerp(texture, torch.tensor([0.8, 0.2, 0.2]).view(1, 3, 1, 1), lips)  # painted red
    seen = 1 - blur(inner, 0.7).gt(0.1).float()
    shown = torch.lerp(texture, torch.full_like(texture, 0.3), 1 - seen)  # as the generator has it
    between = ((seen == 0) & (inner > 0.5)).expand_as(shown)
    exemplars = weights.exemplars()
    out = complete(shown, seen, exemplars)
    red, green = out[:, 0][between[:, 0]], out[:, 1][between[:, 1]]
    assert (red > 1.5 * green).all()  # it was grey
    column = out[0, :, between[0, 0].any(1).nonzero().flatten(), size // 2].mean(0)
    assert column.min() < 0.85 * 0.4  # with a line where the lips meet, darker than they
    no_lips = complete(shown, seen * (1 - lips.gt(0).float()), exemplars)  # nobody knows their colour
    assert (no_lips - shown)[between].abs().max() < 0.05


def test_the_folds_of_ears_are_lent_dark_as_they_are():
    size = 128
    ears = region_mask("ears", size)[None]
    texture, seen = torch.full((1, 3, size, size), 0.6), torch.zeros(1, 1, size, size)
    lent = torch.full((1, 3, size, size), 150, dtype=torch.uint8)
    for row in range(3):
        lent[..., row::8, :] = 20
    folds = (ears > 0.99).expand_as(texture)
    assert complete(texture, seen, lent)[folds].std() > 0.04
