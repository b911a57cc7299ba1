"""Codes of captures as they come in: how they are disturbed, who is drawn, and what the pairs show."""

import pytest
import torch
from fakes import FakeSet

from studiolike.adaptation import EncodedCaptures, EncodedPairs, disturb
from studiolike.adaptation.captures import OtherLights
from studiolike.adaptation.losses import log_light
from studiolike.errors import InputError, ProtocolError
from studiolike.image import linear_to_srgb
from studiolike.layout import face_mask
from studiolike.protocols import paired_captures, permitted
from studiolike.stylegan2 import Encoder, Generator, encode
from studiolike.tone.translation import face_alone


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def captures(batch=16, size=32):
    rng = seeded(3)
    return 0.1 + 0.7 * torch.rand(batch, 3, size, size, generator=rng), torch.rand(batch, 1, size, size, generator=rng)


@pytest.mark.parametrize("size", [16, 32, 64])
def test_a_disturbed_capture_is_a_texture_of_the_same_size_and_sees_no_more_than_before(size):
    texture, seen = captures(size=size)
    changed, shown = disturb(texture, seen, seeded())
    assert changed.shape == texture.shape and shown.shape == seen.shape
    assert torch.isfinite(changed).all() and changed.min() >= 0 and changed.max() <= 1
    assert shown.min() >= 0 and (shown <= seen + 1e-6).all()


def test_the_generator_decides_every_disturbance():
    texture, seen = captures()
    first, again, other = (disturb(texture, seen, seeded(s)) for s in (0, 0, 1))
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0]) and not torch.equal(first[1], other[1])
    torch.manual_seed(5)  # the global generator has no say
    assert torch.equal(disturb(texture, seen, seeded())[0], first[0])


def test_a_share_of_zero_changes_nothing_and_a_share_of_one_leaves_nobody_alone():
    texture, seen = captures()
    changed, shown = disturb(texture, seen, seeded(), share=0.0)
    assert torch.equal(changed, texture) and torch.equal(shown, seen)
    changed, _ = disturb(texture, seen, seeded(), share=1.0)
    assert ((changed - texture).abs().amax((1, 2, 3)) > 0.01).all()


def test_about_the_wanted_share_is_disturbed_and_about_half_of_it_cut():
    texture, seen = torch.full((600, 3, 16, 16), 0.5), torch.ones(600, 1, 16, 16)
    changed, shown = disturb(texture, seen, seeded(), share=0.7, portrait=0.5)
    touched = (changed - texture).abs().amax((1, 2, 3)) > 1e-3
    cut = shown.amin((1, 2, 3)) < 0.5
    assert abs(touched.float().mean() - 0.7) < 0.07 and abs(cut.float().mean() - 0.35) < 0.07
    assert not (cut & ~touched).any()


def test_a_portrait_keeps_the_face_s_middle_and_ends_near_its_oval():
    texture, seen = torch.full((64, 3, 64, 64), 0.5), torch.ones(64, 1, 64, 64)
    _, shown = disturb(texture, seen, seeded(), share=1.0, portrait=1.0)
    oval = face_mask(64)[None]
    far = torch.nn.functional.max_pool2d(oval, 15, 1, 7) == 0
    middle = -torch.nn.functional.max_pool2d(-oval, 15, 1, 7) == 1
    assert far.any() and middle.any()
    assert shown[far.expand_as(shown)].max() == 0 and shown[middle.expand_as(shown)].min() > 0.99
    borders = (shown > 0.5).flatten(1).float()
    assert len(borders.unique(dim=0)) > 32, "an uneven border is another one each time"
    _, whole = disturb(texture, seen, seeded(), share=1.0, portrait=0.0)
    assert torch.equal(whole, seen)


def test_a_shadow_darkens_softly_and_only_where_it_falls():
    texture, seen = torch.full((64, 3, 64, 64), 0.5), torch.ones(64, 1, 64, 64)
    plain, shaded = (disturb(texture, seen, seeded(), share=1.0, portrait=0.0, shadow=s)[0] for s in (0.0, 1.0))
    assert plain.flatten(2).std(2).max() < 1e-4, "without a shadow a disturbance is the same everywhere"
    assert (shaded <= plain + 1e-5).all() and (shaded < 0.9 * plain).float().mean() > 0.1
    assert (plain - shaded).amin((1, 2, 3)).median() < 0.02, "somewhere there is no shadow"
    steps = (shaded[..., 1:] - shaded[..., :-1]).abs().amax()
    assert steps < 0.25, "a shadow has a soft edge"


# ------------------------------------------------------------------------------------------------------- who is drawn


@pytest.fixture(scope="module")
def networks():
    torch.manual_seed(0)
    generator = Generator(resolution=16, w_dim=8, mapping_layers=2, channel_base=64, channel_max=16).eval()
    encoder = Encoder(16, 8, 64, 16, hidden=16)
    for head in (encoder.rows, encoder.correction):
        torch.nn.init.normal_(head.weight)
    return encoder.eval(), generator


@pytest.fixture(scope="module")
def data():
    return FakeSet(subjects=20, lightings=3, resolution=16)


def spied(data, rows, networks, **options):
    """An `EncodedCaptures` that notes which capture rows are encoded."""
    chosen = []
    sampler = EncodedCaptures(data, rows, *networks, **options)
    codes = sampler.codes
    sampler.codes = lambda rows, rng: chosen.append(rows) or codes(rows, rng)
    return sampler, chosen


def test_twins_are_two_different_captures_of_one_person_next_to_each_other(data, networks):
    sampler, chosen = spied(data, data.captures("phone"), networks)
    codes, rows = sampler.twins(200, seeded())
    assert torch.equal(rows, chosen[0])
    rows = rows.view(200, 2)
    owner = torch.as_tensor(data.subject)[rows]
    assert codes.shape == (400, networks[1].num_ws, 8) and len(sampler) == len(data.subjects("phone"))
    assert torch.equal(owner[:, 0], owner[:, 1])
    assert (rows[:, 0] != rows[:, 1]).all()
    assert set(rows.flatten().tolist()) == set(data.captures("phone").tolist()), "everybody and every capture is drawn"


def test_only_the_given_captures_are_drawn_in_whatever_order_they_come(data, networks):
    rows = data.captures("phone")[torch.tensor([0, 7, 4, 1, 8])]  # two, or one, of the first three people
    sampler, chosen = spied(data, rows, networks)
    sampler.twins(60, seeded())
    drawn = chosen[0].view(60, 2)
    assert set(drawn.flatten().tolist()) == set(rows.tolist())
    people = torch.as_tensor(data.subject)[drawn[:, 0]]
    assert torch.equal(torch.as_tensor(data.subject)[drawn], people[:, None].expand(-1, 2))
    several = people != data.subject[rows[2]]
    assert (drawn[several, 0] != drawn[several, 1]).all()


def test_a_single_capture_is_its_own_twin_under_another_disturbance(data, networks):
    sampler, chosen = spied(data, data.captures("phone")[:1], networks, share=1.0)
    codes, rows = sampler.twins(3, seeded())
    assert set(chosen[0].tolist()) == {0} and torch.as_tensor(data.subject)[rows].tolist() == [0] * 6
    assert (codes[::2] - codes[1::2]).abs().amax((1, 2)).min() > 1e-4


def test_codes_are_the_encoder_s_of_undisturbed_captures_when_none_is_disturbed(data, networks):
    sampler = EncodedCaptures(data, data.captures("phone"), *networks, share=0.0)
    rows = torch.tensor([2, 5])
    with torch.no_grad():
        wanted = encode(*networks, *data.phone_batch(rows))
    assert torch.allclose(sampler.codes(rows, seeded()), wanted, atol=1e-5)
    assert not sampler.codes(rows, seeded()).requires_grad
    one_pass = EncodedCaptures(data, data.captures("phone"), *networks, share=0.0, passes=1)
    assert not torch.allclose(one_pass.codes(rows, seeded()), wanted, atol=1e-3)


def test_the_face_alone_is_without_hair_ears_and_neck(data, networks):
    texture, visibility = data.phone_batch(torch.tensor([2, 5]))
    beside = (face_mask(16) == 0).float()
    other = torch.lerp(texture, torch.rand(texture.shape, generator=seeded()), beside), visibility * (1 - beside)
    captures = [face_alone(texture, visibility), face_alone(*other)]
    assert all(torch.equal(*pair) for pair in zip(*captures, strict=True)) and captures[0][1].any()
    with torch.no_grad():
        assert not torch.allclose(*(encode(*networks, *x) for x in ((texture, visibility), captures[0])), atol=1e-3)


def test_as_a_sampler_it_gives_one_code_a_person_and_the_same_for_the_same_generator(data, networks):
    sampler = EncodedCaptures(data, data.captures("phone"), *networks)
    first, again, other = (sampler(5, seeded(s)) for s in (0, 0, 1))
    assert first.shape == (5, networks[1].num_ws, 8)
    assert torch.equal(first, again) and not torch.equal(first, other)
    with pytest.raises(InputError, match="no captures"):
        EncodedCaptures(data, torch.zeros(0, dtype=torch.long), *networks)


def test_a_pair_is_two_captures_and_twice_the_true_texture_of_one_person(data, networks):
    view = permitted(data, "few")
    sampler, chosen = spied(view, paired_captures(view, "few"), networks)
    pairs = EncodedPairs(sampler)
    codes, truth = pairs.draw(8, seeded())
    owner = torch.as_tensor(data.subject)[chosen[0]]
    assert codes.shape == (8, networks[1].num_ws, 8) and truth.dtype == torch.uint8
    assert torch.equal(truth, torch.as_tensor(data.studio[owner.numpy()]))
    assert torch.equal(owner[::2], owner[1::2]) and len(pairs) == len(data.subjects("studio")) + len(data.subjects("pairs"))
    assert len(pairs.draw(1, seeded())[0]) == 2
    with pytest.raises(ProtocolError):
        EncodedPairs(EncodedCaptures(view, view.captures("phone"), *networks)).draw(4, seeded())


def test_codes_that_are_kept_are_those_of_the_captures_and_the_same_after_a_restart(networks, data, tmp_path):
    rows = data.captures("phone").flip(0)
    fresh, kept, again = (EncodedCaptures(data, rows, *networks, share=0.0) for _ in range(3))
    with torch.autocast("cpu", torch.bfloat16):  # as in a training of mixed precision
        kept.keep(2, tmp_path / "codes.safetensors")
    again.encoder = None  # which is not asked for any more
    again.keep(2, tmp_path / "codes.safetensors")
    some = rows[torch.tensor([3, 0, 5, 0])]
    assert torch.allclose(kept.codes(some, seeded()), fresh.codes(some, seeded()), rtol=0.1, atol=0.1)
    assert torch.equal(kept.twins(6, seeded(1))[0], again.twins(6, seeded(1))[0])


def test_each_kept_disturbance_is_another_one_and_all_are_drawn(networks, data):
    sampler = EncodedCaptures(data, data.captures("phone"), *networks, share=1.0)
    sampler.keep(3)
    drawn = torch.cat([sampler.codes(data.captures("phone")[:1], seeded(s)) for s in range(40)])
    assert len(drawn.flatten(1).unique(dim=0)) == 3
    sampler.kept = None
    sampler.keep(0)
    assert sampler.kept is None, "none kept: each is made anew"


class Lit:
    """A set of flat textures: people's true colour times light that is drawn anew for every capture, some of it unseen."""

    def __init__(self, people=300, lightings=4, paired=100):
        rng = seeded(3)
        self.subject = torch.arange(people).repeat_interleave(lightings)
        self.true = 0.1 + 0.3 * torch.rand(people, 3, 1, 1, generator=rng)  # linear light
        self.light = torch.exp(0.5 + 0.4 * torch.randn(len(self.subject), 1, 1, 1, generator=rng))
        self.seen = (torch.rand(len(self.subject), 1, 2, 2, generator=rng) < 0.7).float()
        self.paired = torch.arange(len(self.subject))[self.subject >= people - paired]
        self.rows = torch.arange(len(self.subject))[self.subject < people - paired]

    def phone_batch(self, rows, device="cpu"):
        linear = (self.true[self.subject[rows]] * self.light[rows]).clamp(0, 1).expand(-1, -1, 32, 32)
        return linear_to_srgb(linear), self.seen[rows].repeat_interleave(16, 2).repeat_interleave(16, 3)

    def studio_batch(self, rows, device="cpu"):
        return linear_to_srgb(self.true[rows].expand(-1, -1, 32, 32))


def test_other_captures_tell_the_true_low_band_on_average_and_a_capture_tells_nothing_of_itself(networks):
    data = Lit()
    people, paired = (EncodedCaptures(data, rows, *networks) for rows in (data.rows, data.paired))
    others = OtherLights(people, paired, side=4)
    expected, weight = others(data.rows)
    assert expected.shape == (len(data.rows), 3, 4, 4) and weight.shape == (len(data.rows), 1, 4, 4)
    truth = log_light(data.studio_batch(data.subject[data.rows]), 4)
    error = ((expected - truth) * weight).sum((0, 2, 3)) / weight.sum()
    naive = ((log_light(data.phone_batch(data.rows)[0], 4) - truth) * weight).sum((0, 2, 3)) / weight.sum()
    assert error.abs().max() < 0.03 and naive.min() > 0.2  # the mean light is found, from other people's pairs
    own = data.light[data.rows].flatten().log()
    told = ((expected - truth) * weight).sum((1, 2, 3)) / weight.sum((1, 2, 3)).clamp_min(1e-3)
    seen = weight.sum((1, 2, 3)) > 1
    assert torch.corrcoef(torch.stack([own[seen], told[seen]]))[0, 1].abs() < 0.1
    data.light[data.rows[0]] *= 2
    after, _ = OtherLights(people, paired, side=4)(data.rows[:4])
    assert torch.allclose(after[0], expected[0]) and not torch.allclose(after[1], expected[1])


def test_a_single_capture_asks_for_nothing(networks):
    data = Lit(lightings=1)
    people, paired = (EncodedCaptures(data, rows, *networks) for rows in (data.rows, data.paired))
    assert OtherLights(people, paired, side=4)(data.rows)[1].abs().max() == 0
