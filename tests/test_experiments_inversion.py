"""Chapter 3's laboratory: what was not given has no influence, freedom lowers the error, noise maps carry what codes cannot."""

import pytest
import torch
from fakes import FakeSet
from imaginary import imagine

from studiolike.chapters import inversion as drawn
from studiolike.config import InversionConfig
from studiolike.experiments import inversion as lab
from studiolike.experiments.painting import decode
from studiolike.features.network import IdentityNet
from studiolike.inversion import CodeBank, Curvature, WPrior
from studiolike.stylegan2 import Discriminator, Encoder, Generator

SIZE = {"resolution": 32, "w_dim": 16, "channel_base": 256, "channel_max": 16}
BASE = InversionConfig(steps=4, batch=4)


def networks(curved=True):
    torch.manual_seed(0)
    g_phone, g_studio = (Generator(**SIZE, mapping_layers=2).eval().requires_grad_(False) for _ in range(2))
    for block in g_phone.blocks.values():
        for conv in block.convs:
            conv.noise_strength.fill_(0.3)
    curvature = Curvature.of(g_phone, probes=64) if curved else Curvature(g_phone.num_ws, 16)
    return lab.Inverter(g_phone, Discriminator(32, 256, 16), Encoder(**SIZE).eval().requires_grad_(False), curvature), g_studio


@pytest.fixture(scope="module")
def made():
    return networks()


@pytest.fixture(scope="module")
def captures():
    return lab.hide_a_side(FakeSet(subjects=30, lightings=2, resolution=32), 32, 5)


@pytest.fixture(scope="module")
def found(made, captures):
    """The race, its codes, and both generators' pictures of them."""
    inverter, g_studio = made
    result = lab.race(inverter, captures.texture, captures.kept, BASE)
    mean = inverter.g_phone.expand(inverter.g_phone.w_mean[None]).expand(5, -1, -1)
    codes = {lab.MEAN: mean, **result.codes}
    painted = {name: decode(inverter.g_phone, code) for name, code in codes.items()}
    translated = {name: decode(g_studio, code, "none") for name, code in codes.items()}
    judge = IdentityNet.named("identity_eval", resolution=64).eval()
    measures = lab.measure(captures, codes, painted, translated, inverter.g_phone, judge)
    return result, codes, painted, translated, measures


def test_one_capture_of_each_person_is_taken_and_one_side_of_it_hidden(captures):
    assert len(captures.subject.unique()) == len(captures.rows) == 5
    assert torch.equal(captures.kept + captures.hidden, captures.visibility)
    assert not (captures.kept * captures.hidden).any() and captures.hidden[..., 20:].sum() == 0 < captures.hidden.sum()


def test_every_direction_has_a_second_derivative_and_they_fall(made):
    steep = lab.second_derivatives(made[0].g_phone, made[0].curvature)
    assert steep.shape == (made[0].g_phone.num_ws, 16)
    assert (steep > 0).all() and (steep.diff(dim=1) <= 1e-6 * steep.max()).all()
    assert drawn.canyon_figure(steep, 1e-4).axes


def test_without_a_prior_and_for_long_the_given_side_is_fitted_best(found):
    result, codes, _, _, measures = found
    assert list(codes) == [lab.MEAN, lab.ENCODER, "W", "W+ tight", "W+", "W+ free", "W+ long", "W+ features"]
    assert measures.best(lab.GIVEN, list(result.runs)) == "W+ long"
    assert measures.mean(lab.GIVEN, "W+ long") > measures.mean(lab.GIVEN, lab.ENCODER) > 0
    assert (codes["W"] - codes["W"][:, :1]).abs().max() == 0


def test_every_number_that_the_text_quotes_is_there(found, captures):
    result, codes, painted, _, measures = found
    pictures, scores = lab.hidden_scores(captures, painted)
    numbers = drawn.race_numbers(result, BASE.steps) | drawn.measure_numbers(measures) | drawn.verdict_words(measures)
    numbers |= drawn.claim_words(measures) | drawn.hidden_words(measures, scores)
    assert numbers["best_before"] == "W+ long" and numbers["hidden_fill"] == pytest.approx(float(scores["fill"].mean()))
    assert {"recon_long", "hidden_wplus", "energy_long", "prior_words", "perfect", "reached", "after_worse"} <= set(numbers)
    assert len(drawn.measures_rows(measures)[0]) == 1 + len(codes)
    for name in codes:  # the gains are fitted in linear light, so that they need not help in sRGB, but cannot harm it by much
        assert measures.mean(lab.FITTED, name) > measures.mean(lab.AFTER, name) - 0.5 and measures.mean(lab.BAND, name) > 0
    assert any(measures.mean(lab.FITTED, name) > measures.mean(lab.AFTER, name) for name in codes)
    prior = WPrior.from_generator(Generator(**SIZE))
    for figure in (drawn.race_figure(result), drawn.time_figure(result), drawn.trade_figure(measures, codes, prior)):
        assert figure.axes
    assert drawn.hidden_figure(scores).axes and list(pictures)[0] == "fill"


def made_up(gap, people):
    """Measures in which every method is ``gap`` dB better than the encoder, for so many people, and the mean code worse."""
    names = (lab.MEAN, lab.ENCODER, "W", "W+ tight", "W+", "W+ free", "W+ long", "W+ features")
    base = 20 + torch.arange(people) / 10
    apart = {name: gap * (k - 1) * (1 + torch.arange(people) / 100) for k, name in enumerate(names)}
    kinds = (lab.GIVEN, lab.AFTER, lab.BEHIND, lab.COSINE, lab.ENERGY, lab.PERCEPTUAL)
    return lab.Measures({kind: {name: base + apart[name] for name in names} for kind in kinds}, torch.arange(people), 32)


def test_what_too_few_people_cannot_decide_is_said_to_be_undecidable_and_not_to_be_nothing():
    many, few = (drawn.verdict_words(made_up(1.0, people)) for people in (12, 4))
    assert many["descent_words"] == "helps" and many["after_worse"] == "none" and "W+ features" in many["after_better"]
    assert few["descent_words"] == "has an effect that 4 people cannot decide"
    assert few["freedom_words"] == "cannot be decided with 4 people" and "too few" in few["prior_words"]
    assert few["after_better"].startswith("none (4 people are too few")
    assert drawn.verdict_words(made_up(-1.0, 12))["descent_words"] == "harms"
    assert drawn.claim_words(made_up(1.0, 4))["differs"] == "does not hold"  # one method wins both


def test_the_test_over_people_can_tell_something_from_a_number_of_them_on():
    assert [drawn.decidable(people, 24) for people in (4, 8, 9, 10, 12)] == [False, False, False, True, True]
    assert drawn.decidable(6, 1)


def test_the_best_of_a_measure_is_marked_where_more_or_less_is_better():
    rows = {row[0]: row[1:] for row in drawn.measures_rows(made_up(1.0, 4))}
    assert rows[lab.AFTER][-1].startswith("**") and rows["studio, perceptual@32 ↓"][0].startswith("**")
    assert not any("**" in text for text in rows[lab.ENERGY])


def test_the_code_bank_is_compared_with_unseen_people_of_as_many_steps_only():
    bank = CodeBank(torch.zeros(3, 2, 4), torch.arange(3), torch.tensor([27.0, 28.0, 29.0]), {"config": '{"steps": 16}'})
    unseen = torch.tensor([24.0, 25.0, 24.5, 25.5, 24.0, 25.0])
    assert "cannot be compared" in drawn.bank_words(unseen, bank, 8)["bank_words"]
    assert drawn.bank_words(unseen, bank, 16)["bank_words"] == "so being unseen has its price"
    assert "no price" in drawn.bank_words(unseen + torch.tensor([-9.0, 9, -3, 3, 6, 10]), bank, 16)["bank_words"]


def test_two_strangers_are_less_alike_than_one_person_is_to_themselves(captures):
    judge = IdentityNet.named("identity_eval", resolution=64).eval()
    assert -1 <= lab.strangers(judge, captures.truth) < 1
    assert lab.strangers(judge, captures.truth[:1].expand(3, -1, -1, -1)) == pytest.approx(1, abs=1e-4)


def test_every_method_has_one_look(found):
    assert set(found[1]) <= set(drawn.LOOKS) and drawn.look("W", "marker") == {"color": "#0072B2", "marker": "s"}


def test_a_loud_colour_reaches_the_code_only_when_nobody_says_where_it_is(made, captures):
    told, untold = lab.leak(made[0], captures.texture[:2], captures.kept[:2], BASE)
    assert told < 1e-5 < 1e-2 < untold


def test_noise_maps_alone_explain_a_capture_and_leave_the_generators_as_they_were(made, captures):
    inverter, g_studio = made
    code = inverter.g_phone.expand(inverter.g_phone.w_mean[None])
    before = decode(inverter.g_phone, code), decode(g_studio, code)
    trap = lab.noise_trap(inverter.g_phone, g_studio, captures.texture[:1], captures.kept[:1], code, steps=10)
    assert trap.end > trap.start
    assert torch.equal(decode(inverter.g_phone, code), before[0]) and torch.equal(decode(g_studio, code), before[1])
    numbers = drawn.noise_numbers(trap, 10.0, 12.0, 15.0)
    assert numbers["noise_words"] == "worse than" and drawn.noise_numbers(trap, 10.0, 16.0, 15.0)["noise_words"] != "worse than"


def test_a_walk_begins_and_ends_at_its_codes(found):
    a, b = found[1]["W"][:2]
    way = lab.walk(a, b, 3)
    assert torch.equal(way[0], a) and torch.allclose(way[2], b) and torch.allclose(way[1], (a + b) / 2, atol=1e-6)


def test_the_laboratory_stays_on_its_device():
    with imagine("cuda"):
        with torch.device("cuda"):
            inverter, g_studio = networks(curved=False)
        texture, kept = torch.rand(2, 3, 32, 32, device="cpu"), torch.ones(2, 1, 32, 32, device="cpu")
        assert inverter(texture, kept, InversionConfig(steps=1)).w_plus.device.type == "cuda"
        assert lab.second_derivatives(inverter.g_phone, inverter.curvature).device.type == "cpu"
        code = inverter.guess(texture, kept)
        trap = lab.noise_trap(inverter.g_phone, g_studio, texture[:1], kept[:1], code[:1], 1)
        assert {x.device.type for x in (trap.painted, trap.left, trap.moved)} == {"cpu"}
