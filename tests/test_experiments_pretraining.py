"""Chapter 2's laboratory: what is taken away is away, what must not change does not, and controls answer as they must."""

from dataclasses import replace

import pytest
import torch
from fakes import FakeSet
from imaginary import imagine

from studiolike.chapters import pretraining as drawn
from studiolike.config import PretrainConfig, profile
from studiolike.experiments import pretraining as lab
from studiolike.experiments import samples
from studiolike.experiments.painting import codes_of, decode, sample
from studiolike.features.network import IdentityNet
from studiolike.stylegan2 import Discriminator, Encoder, Generator

SIZE = {"resolution": 32, "w_dim": 16, "channel_base": 256, "channel_max": 16}
TINY = replace(profile("smoke"), pretrain=PretrainConfig(images=8, batch=4, warm_up=4), contest_images=8)


def networks():
    torch.manual_seed(0)
    generator = Generator(**SIZE, mapping_layers=2).eval().requires_grad_(False)
    for block in generator.blocks.values():
        for conv in block.convs:
            conv.noise_strength.fill_(0.3)
    return generator, Encoder(**SIZE).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def made():
    return networks()


@pytest.fixture(scope="module")
def data():
    return FakeSet(subjects=20, lightings=2, resolution=32)


@pytest.fixture(scope="module")
def codes(made, data):
    return codes_of(made[1], made[0], *data.phone_batch(torch.arange(8)))


def test_a_sample_is_the_picture_of_its_own_w_and_the_same_for_a_seed(made):
    generator, _ = made
    z = torch.randn(3, 16, generator=torch.Generator().manual_seed(4))
    assert torch.allclose(sample(generator, 3, 4), decode(generator, generator.expand(generator.mapping(z))), atol=1e-5)


def test_the_parts_of_a_picture_add_up_to_it(made):
    parts, sums = lab.sum_of_parts(made[0], seed=3)
    assert len(parts) == len(sums) == len(made[0].blocks)
    assert torch.allclose(sums[-1], sample(made[0], 1, 3)[0], atol=1e-6)
    assert lab.noise_level(made[0], seed=3, draws=4) > 0


def test_turned_rows_change_no_picture_and_w_is_found_again(made, codes, monkeypatch):
    fit = lab.fit_mapping
    monkeypatch.setattr(lab, "fit_mapping", lambda *arguments: fit(*arguments, steps=2))
    spread = codes + 0.3 * torch.randn(8, 1, 16, generator=torch.Generator().manual_seed(1))
    pictures, explained = lab.lost_and_found(made[0], spread)
    assert torch.allclose(pictures["codes"], pictures["rows turned"], atol=1e-3)
    assert (pictures["codes"] - pictures["… one row"]).abs().max() > 0.01
    assert 0.5 < explained <= 1 + 1e-6


def test_each_part_that_is_switched_off_changes_the_picture(made, codes):
    off = lab.switched_off(made[0], codes[:4])
    assert torch.equal(off["noise"], decode(made[0], codes[:4], "none"))
    changed = {name: float((x - off["nothing"]).abs().max()) for name, x in off.items()}
    assert changed.pop("nothing") == 0 and set(changed) == {"noise", "skips", "demodulation", "coarse_rows", "finer_rows"}
    assert min(changed.values()) > 1e-3
    tight, loose = lab.strengths(made[0], codes)
    assert tight != loose and tight == lab.last_strength(made[0], codes)  # the patch is gone


def test_without_its_group_statistic_d_cannot_tell_copies_from_a_crowd(data):
    torch.manual_seed(0)
    judge = Discriminator(32, 256, 16)
    with_it, without = lab.betrayal(judge, *data.phone_batch(torch.arange(6)))
    assert abs(with_it) > 1e-4 and abs(without) < 1e-5


def test_swapping_rows_moves_less_than_swapping_all(made, data):
    many = codes_of(made[1], made[0], *data.phone_batch(torch.arange(16)))
    shares = lab.swapped_blocks(made[0], many, IdentityNet.named("identity_eval", resolution=64))
    assert all(len(values) == len(made[0].blocks) and all(v > 0 for v in values) for values in shares.values())
    numbers = drawn.rows_numbers(shares, list(made[0].blocks))
    assert numbers["light_early"] == max(shares["broad light and colour"][:2])


def test_behind_the_mask_a_perfect_completion_is_no_other_picture(data):
    plain, masked = (lab.hole_contest(data, TINY, torch.device("cpu"), masked=m) for m in (False, True))
    assert masked.auc == [0.5] * len(masked.auc) and masked.in_holes == 0
    assert plain.in_holes > 0 and plain.images[-1] == TINY.contest_images
    assert torch.equal(plain.real * plain.visibility, plain.fake * plain.visibility)
    assert set(drawn.hole_numbers(plain, masked)) == {"auc_plain", "auc_masked", "holes_plain", "holes_masked", "shortcut"}


def test_captures_without_grain_have_none(data):
    contests = {name: lab.grain_contest(data, TINY, torch.device("cpu"), with_bands=name == "a") for name in "ab"}
    real, fake = (lab.loudness(x, contests["a"].visibility) for x in (contests["a"].real, contests["a"].fake))
    assert fake[0] < 0.8 * real[0]
    assert drawn.grain_figure(contests, drawn.octaves(contests["a"], {})).axes


def test_planted_copies_are_found_and_floors_stand_beside_the_samples(made, data):
    phone, val = data.captures("phone"), data.captures("val")
    known, held_out = data.phone_batch(phone), data.phone_batch(val)
    rebuilt = decode(made[0], codes_of(made[1], made[0], *known))[: len(val)]
    owner = torch.from_numpy(data.subject)[val]
    found = samples.gallery((made[0], made[0]), held_out, owner, known, rebuilt, draws=2)
    check = samples.copy_check(found)
    assert check.ratios[samples.PLANTED].median() < 0.5 * check.ratios[samples.UNSEEN].median()
    results = samples.distances(found)
    assert list(results)[:2] == list(samples.FLOORS) and all(len(values) == 2 for values in results.values())
    numbers = drawn.distance_numbers(results)
    assert numbers["told"] == "can be told from" and numbers["kid"] == numbers["kid_live"]  # noise, and the same network twice
    assert drawn.distances_figure(results).axes and drawn.copies_figure(check).axes


def test_a_mean_over_what_was_seen_is_not_one_over_smears(made, data, codes):
    texture, visibility = data.phone_batch(torch.arange(8))
    means = samples.mean_faces(made[0], texture, visibility, codes)
    assert means.apart("seen", "seen") == 0 < means.apart("seen", "smeared")
    assert drawn.whole_words(means)["whole_verdict"] in ("not shown here", "partly", "supported")


def test_the_laboratory_stays_on_its_device(data, monkeypatch):
    monkeypatch.setattr(lab, "fit_mapping", lambda *arguments: None)
    monkeypatch.setattr(IdentityNet, "_initialise", lambda self, seed: None)
    with imagine("cuda"):
        with torch.device("cuda"):
            generator, encoder = networks()
            judge, eye = Discriminator(32, 256, 16), IdentityNet.named("identity_eval", resolution=64)
        texture, visibility = torch.rand(8, 3, 32, 32, device="cpu"), torch.rand(8, 1, 32, 32, device="cpu")
        codes = codes_of(encoder, generator, texture, visibility)
        assert codes.device.type == "cuda"
        shown = [*lab.lost_and_found(generator, codes.cpu())[0].values(), *lab.switched_off(generator, codes).values()]
        shown += [x for kind in lab.sum_of_parts(generator, 0) for x in kind]
        assert {x.device.type for x in shown} == {"cpu"}
        lab.strengths(generator, codes)
        lab.betrayal(judge, texture, visibility)
        lab.swapped_blocks(generator, codes, eye)
