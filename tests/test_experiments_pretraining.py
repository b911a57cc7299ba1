"""Chapter 2's laboratory: what is taken away is away, what must not change does not, and controls answer as they must."""

from dataclasses import replace

import pytest
import torch
from fakes import FakeSet
from imaginary import imagine

from studiolike.chapters import pretraining as drawn
from studiolike.config import PretrainConfig, profile
from studiolike.evaluation import KID
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
    swaps = lab.swapped_rows(made[0], many, IdentityNet.named("identity_eval", resolution=64))
    blocks = list(made[0].blocks)
    assert [list(rows) for rows in swaps.rows.values()][:4] == [[0], [1, 2], [3, 4], [5, 6, 7]]  # each row in one block
    assert list(swaps.rows)[4:] == ["rows 1–3", "rows 4–8", "rows 1–4", "rows 5–8"]
    assert all(len(values) == len(blocks) + 4 and all(v > 0 for v in values) for values in swaps.moved.values())
    numbers = drawn.rows_numbers(swaps, blocks)
    assert numbers["light_early"] == max(swaps.moved["broad light"][:2]) and numbers["cut"] == 3
    to_coarse, to_fine = (swaps.of(name, "identity")[1] for name in ("rows 1–3", "rows 4–8"))
    assert numbers["identity_to_fine"] == 100 * to_fine and 0 <= to_coarse <= 1
    assert drawn.rows_figure(swaps, len(blocks)).axes


def test_whose_face_a_mixture_shows_is_told_from_the_numbers():
    rows = {name: range(1) for name in ("4²", "8²", "16²", "coarse", "fine", "more", "less")}
    for share, whose in ((0.9, "the finer rows"), (0.5, "neither"), (0.1, "the coarse rows")):
        values = {name: [share] * 7 for name in ("identity", "broad light", "detail above 8²")}
        assert drawn.rows_numbers(lab.Swaps(rows, values, values), ["4", "8", "16"])["whose"] == whose


def test_behind_the_mask_a_perfect_completion_is_no_other_picture(data):
    plain, masked = (lab.hole_contest(data, TINY, torch.device("cpu"), masked=m) for m in (False, True))
    assert masked.auc == [0.5] * len(masked.auc) and masked.in_holes == 0
    assert plain.in_holes > 0 and plain.images[-1] == TINY.contest_images
    assert torch.equal(plain.real * plain.visibility, plain.fake * plain.visibility)
    numbers = drawn.hole_numbers(plain, masked)
    assert numbers["auc_masked"] == 0.5 and numbers["step_filled"] == plain.steps[1] > 0
    assert drawn.holes_figure({"plain": plain, "masked": masked}).axes


def test_a_hole_is_filled_in_the_light_beside_it():
    data = FakeSet(subjects=2, lightings=1, resolution=32)
    skin = torch.full((2, 3, 32, 32), 0.5)
    light = torch.where(torch.arange(32) < 16, 0.5, 1.4)  # dark on the left, bright on the right
    seen = torch.ones(2, 1, 32, 32)
    seen[..., :6], seen[..., 26:] = 0, 0
    data.studio_batch = lambda rows, device=None: skin
    data.phone_batch = lambda rows, device=None: (skin * light * seen, seen)
    _, filled, _ = lab.completed(data, torch.arange(2), torch.device("cpu"))
    filled = filled * 0.5 + 0.5
    assert torch.allclose(filled[..., 5], torch.tensor(0.25), atol=0.05)
    assert torch.allclose(filled[..., 26], torch.tensor(0.7), atol=0.05)


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
    check = samples.copy_check(found, known, held_out, rebuilt)
    assert check.caught(samples.PLANTED) == len(rebuilt) and check.caught(samples.UNSEEN) == 0
    assert drawn.copy_numbers(check)["caught"] == 100
    results = samples.distances(found)
    assert list(results)[:2] == list(samples.FLOORS) and all(len(values) == 2 for values in results.values())
    numbers = drawn.distance_numbers(results)
    assert numbers["told"] == "can be told from" and numbers["kid"] == numbers["kid_live"]  # noise, and the same network twice
    assert drawn.distances_figure(results).axes and drawn.copies_figure(check).axes


def test_no_map_and_no_light_decides_which_capture_is_nearest():
    rng = torch.Generator().manual_seed(0)
    faces = 0.2 + 0.6 * torch.rand(6, 3, 32, 32, generator=rng)
    left, right = torch.ones(6, 1, 32, 32), torch.ones(6, 1, 32, 32)
    left[..., 20:], right[..., :12] = 0, 0
    slope = torch.linspace(0.5, 1.0, 32)
    training = (faces * left, left)
    distance, nearest = samples.nearest_capture(faces * slope * right, right, training)
    assert nearest.tolist() == list(range(6)) and distance.max() < 0.7  # through another map, in another light
    strangers = 0.2 + 0.6 * torch.rand(6, 3, 32, 32, generator=rng)
    assert samples.nearest_capture(strangers * left, left, training)[0].min() > 0.9  # the same holes make nobody alike


def test_how_many_near_samples_chance_alone_would_give():
    distance = {name: torch.tensor([0.5, 0.6]) for name in (samples.PLANTED, samples.IMITATED, samples.UNSEEN)}

    def check(nearer):
        ours = torch.tensor([0.1] * nearer + [0.9] * (4 - nearer))
        return samples.CopyCheck(distance | {samples.SAMPLED: ours}, torch.zeros(4, dtype=torch.long))

    assert check(0).chance == 1
    assert check(1).chance == pytest.approx(4 / 6) and check(2).chance == pytest.approx(4 / 6 * 3 / 5)
    found = samples.CopyCheck(
        {name: torch.full((50,), 0.1 if name in (samples.PLANTED, samples.SAMPLED) else 0.8) for name in distance}
        | {samples.SAMPLED: torch.full((50,), 0.1)},
        torch.zeros(50, dtype=torch.long),
    )
    assert drawn.copy_numbers(found)["copy_verdict"] == "signs of copying"
    assert drawn.copy_numbers(check(1))["copy_verdict"].startswith("cannot tell")  # no planted copy is caught


def test_pictures_that_share_their_hair_are_alike_there():
    rng = torch.Generator().manual_seed(1)
    different, seen = torch.rand(8, 3, 32, 32, generator=rng), torch.ones(8, 1, 32, 32)
    shared = different[:1].expand(8, -1, -1, -1) + 0.05 * torch.rand(8, 3, 32, 32, generator=rng)
    few, many = (samples.likeness(x, seen, "scalp") for x in (different, shared))
    assert many[0] > 0.9 > 0.3 > few[0] and many[1] <= many[0] <= many[2]
    assert drawn.hair_words(few, many, (0.0, 0.0))["hair"] == "more alike than captures"
    assert drawn.hair_words(few, few, (0.0, 0.0))["hair"] == "about as alike as captures"


def smeared_set(paints):
    """Captures that differ by noise, half of them with a hole on the left that is smeared black, and what a generator paints."""
    rng = torch.Generator().manual_seed(2)
    texture, seen = 0.5 + 0.1 * torch.rand(40, 3, 16, 16, generator=rng), torch.ones(40, 1, 16, 16)
    seen[:30, ..., :8] = 0
    texture = texture * seen
    return samples.mean_faces(
        texture, seen, torch.arange(40), *(torch.full((40, 3, 16, 16), value) for value in paints), draws=30
    )


def test_a_mean_over_what_was_seen_is_not_one_over_smears():
    means = smeared_set((0.55, 0.55))
    assert means.apart("seen", "seen") == 0 < means.apart("seen", "smeared")
    told = drawn.whole_words(means)
    assert told["whole"] == "both means are nearer to what was seen"
    assert told["whole_verdict"] == "supported" and told["rebuilt_seen"] < told["rebuilt_smeared"]
    assert drawn.whole_words(smeared_set((0.14, 0.14)))["whole_verdict"] == "contradicted"
    assert drawn.whole_words(smeared_set((0.55, 0.14)))["whole_verdict"] == "cannot tell"


def test_texels_that_hardly_any_capture_saw_do_not_decide():
    often = torch.tensor([0.02, 0.3, 0.8]).view(1, 1, 3)
    seen, other = torch.zeros(3, 1, 3), torch.tensor([1.0, 0.1, 1.0]).expand(3, 1, 3)
    assert samples.MeanFaces(often, seen, seen, other, seen).apart("rebuilt", "seen") == pytest.approx(25.5)


def test_verdicts_follow_their_numbers():
    told = drawn.reconstruction_numbers((torch.full((6,), 25.0), torch.full((6,), 24.0)), (range(6), range(6)))
    assert "learned by heart" in told["learned"] and told["psnr_known"] == 25
    told = drawn.reconstruction_numbers((torch.full((6,), 24.0), torch.full((6,), 25.0)), (range(6), range(6)))
    assert "no worse" in told["learned"]
    truth = {"rebuilt": torch.tensor([1.0, 2.0, torch.nan]), "smeared": torch.tensor([4.0, 5.0, torch.nan])}
    assert drawn.truth_words(truth, torch.arange(3).numpy())["truth_words"].startswith("nearer")
    names = (*samples.FLOORS, samples.RECONSTRUCTED, "G_phone, ψ = 1", samples.BRIEF)
    for values, word in (
        ((0, 0, 0.02, 0.005, 0.1), "what reconstructions lack"),
        ((0, 0, 0.005, 0.02, 0.1), "random codes fall"),
    ):
        results = {name: [KID(value, 0.001, 2, 2)] * 3 for name, value in zip(names, values, strict=True)}
        assert word in drawn.distance_numbers(results)["kid_codes"]
    log = {"logit_real": [float("nan"), 0.0, 3.0], "logit_fake": [float("nan"), 0.0, -1.0]}
    assert drawn.live_words(log)["live_gap"] == 4 and "winning" in drawn.live_words(log)["live_words"]


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
        lab.swapped_rows(generator, codes, eye)
