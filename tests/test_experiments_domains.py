"""Chapter 1's laboratory: registration, shortcuts, encodings and leaks are found where they were planted."""

import pytest
import torch
from fakes import FakeSet

from studiolike.chapters import domains as drawn
from studiolike.chapters import portraits, traps
from studiolike.chapters.domains import habits
from studiolike.experiments import domains
from studiolike.features.verification import Verification
from studiolike.image import resize
from studiolike.layout import face_mask, region_mask
from studiolike.synth import PhoneCapture, phone_capture, synthesise_subjects
from studiolike.synth.camera import SINGLE
from studiolike.synth.light import REAL


class Captures(FakeSet):
    """The stand-in with tensors where a `TextureSet` has them."""

    def __init__(self, **options):
        super().__init__(**options)
        self.subject, self.severity = torch.from_numpy(self.subject), torch.from_numpy(self.severity)

    def __len__(self):
        return len(self.phone)


@pytest.fixture(scope="module")
def data():
    return Captures(subjects=20, lightings=2, resolution=64)


def test_registered_textures_explain_more_of_new_faces_than_jittered_ones():
    rng = torch.Generator().manual_seed(0)
    features = resize(torch.rand(4, 3, 32, 32, generator=rng), 64)  # four that all faces share, each as strong as it likes
    faces = torch.einsum("nk,kchw->nchw", torch.rand(20, 4, generator=rng), features) / 4
    result = domains.registration(faces[:12], faces[12:], draws=2)
    assert result.counts == [2, 4, 8]
    assert (result.explained["registered"].mean(0) > result.explained["jittered"].mean(0)).all()
    assert result.enough in result.counts


def test_faces_that_were_trained_on_are_explained_completely():
    faces = torch.rand(4, 50, generator=torch.Generator().manual_seed(0))
    assert domains.explained(faces, faces) == pytest.approx(100, abs=1e-3)
    assert domains.explained(faces[:2], 5 - faces[2:]) < 100


def test_the_hole_map_betrays_the_domain_and_masking_closes_it(data):
    grades = domains.shortcuts(data)
    assert set(grades) == {"holes", "smears", "light", "camera"}
    raw, masked = grades["holes"]
    assert raw > 0.8 and masked == 0.5  # the latter by construction: the same maps on either side
    told = traps.shortcut_numbers(grades, people=6)
    assert told["auc_holes_raw"] == raw and told["auc_error"] > 0


def test_the_error_of_an_auc_shrinks_with_the_people_and_vanishes_where_all_are_told_apart():
    few, many = (domains.auc_error(0.8, people, people) for people in (10, 1000))
    assert 0.05 < few < 0.2 and few / many == pytest.approx(10, rel=0.1) and domains.auc_error(1.0, 5, 5) == 0


def test_bars_that_differ_by_more_than_their_error_are_said_to():
    same = dict.fromkeys(("holes", "smears", "light"), (1.0, 0.5))
    for raw, words in ((0.8, "less than"), (0.2, "more than")):
        assert words in traps.shortcut_numbers({**same, "camera": (raw, 0.82)}, people=50)["camera_moved"]


def test_one_exponent_is_paid_for_where_the_studio_set_was_left_linear(data):
    fits = domains.one_exponent(data)
    assert fits["mixed"].gamma > fits["shared"].gamma
    assert fits["mixed"].eye_before == fits["shared"].before  # nothing done is the same picture, however the files are stored
    told = traps.trap_numbers(fits)
    assert told["trap_true"] == fits["mixed"].eye_after - fits["shared"].before


def test_a_memoriser_is_better_with_the_leak_than_without(data):
    leak = domains.split_leak(data)
    assert leak.error["capture"] < leak.error["subject"] and 0 < leak.found <= 1
    people = data.subject[leak.answers["subject"]]
    assert not (people == data.subject[leak.asked]).any()
    found = data.subject[leak.answers["capture"]] == data.subject[leak.asked]
    assert torch.equal(leak.hits, found) and leak.found == pytest.approx(float(found.float().mean()))


def test_the_mean_face_that_a_memory_must_beat_holds_nothing_of_the_person_asked_for(data):
    truth = data.studio_batch(data.subjects("phone"))
    others = torch.stack([truth[torch.arange(len(truth)) != k].mean(0) for k in range(len(truth))])
    error = 255 * (others - truth).square().mean((1, 2, 3)).sqrt().mean()
    assert domains.split_leak(data).error["mean"] == pytest.approx(float(error), rel=1e-4)


def test_the_memory_is_called_worse_or_better_than_the_mean_face_as_its_error_says(data):
    leak = domains.split_leak(data)
    for factor, word in ((0.5, "better than"), (1.0, "no better than"), (2.0, "worse than")):
        leak.error["subject"] = factor * leak.error["mean"]
        assert traps.leak_numbers(leak)["leak_honest"] == word


def test_the_memorys_figure_frames_the_people_it_found_and_no_others(data):
    leak = domains.split_leak(data)
    leak.hits[:] = False
    leak.hits[[1, 4]] = True
    fig = traps.leak_figure(data, leak)
    framed = [ax.spines["left"].get_visible() for ax in fig.axes]
    assert framed == [False] * 5 + [True, True, False, False, False] + [False] * 10
    assert [ax.get_title() for ax in fig.axes[:5]] == ["found"] * 2 + ["missed"] * 3


def test_copies_lie_at_distance_zero(data):
    studio = data.studio_batch(torch.arange(4))[..., ::2, ::2]
    apart = domains.diversity(torch.cat([studio, 0.5 * studio[:1] + 0.2]), face_mask(32))
    assert apart.nearest[0] < 1e-2 < apart.any_two.median()  # another contrast is no other face


def test_a_step_that_only_brightens_is_broad_and_noise_is_fine():
    grey, rng = torch.full((1, 3, 64, 64), 0.5), torch.Generator().manual_seed(0)
    noise = 0.1 * torch.randn(1, 3, 64, 64, generator=rng)
    broad, fine = domains.step_changes([grey, grey + 0.1, grey + 0.1 + noise], torch.ones(1, 1, 64, 64)).unbind(1)
    assert broad[0] == pytest.approx(25.5, rel=1e-2) and fine[0] < 1e-2
    assert fine[1] > 3 * broad[1]
    both = domains.step_changes([torch.cat([grey, grey]), torch.cat([grey, grey + 0.1])], torch.ones(2, 1, 64, 64))
    assert both[0, 0] == pytest.approx(25.5 / 2, rel=1e-2)  # the mean of two captures, one of which stays


def test_the_step_that_is_told_is_the_largest_after_the_light():
    changes = torch.zeros(12, 2)
    changes[0], changes[2, 0], changes[5, 1] = 50.0, 9.0, 7.0
    told = drawn.step_numbers(changes)
    assert (told["most_broad"], told["most_fine"], told["most_fine_by"]) == ("white balance", "misregistration", 7.0)


def test_lights_at_even_ranks_reach_from_nearly_even_to_severe(monkeypatch):
    monkeypatch.setattr(domains, "DRAWS", 12)
    monkeypatch.setattr(domains, "LIGHTS", 4)
    subject = torch.tensor([3_000_001])
    seeds = domains.spread_lights(subject)
    assert len(seeds) == 4
    head = synthesise_subjects(subject, 64)[torch.zeros(12, dtype=torch.long)]
    severity = phone_capture(head, torch.arange(100, 112)).severity
    own = severity[seeds - 100]
    assert own[0] == severity.min() and own[-1] == severity.max() and (own.diff() > 0).all()


def test_light_is_compared_with_people_with_and_without_the_camera():
    grey = torch.full((2, 3, 32, 32), 0.5)
    light, camera = (grey + torch.tensor([[-step], [step]]).view(2, 1, 1, 1) for step in (0.1, 0.2))
    seen = torch.ones(2, 1, 32, 32)
    shots = PhoneCapture(camera, seen, torch.zeros(2), light, torch.zeros(2, dtype=torch.bool))
    lights, both, people = domains.light_against_people(light, shots, light)
    assert lights == pytest.approx(people) and both == pytest.approx(2 * lights)
    told = drawn.light_numbers(lights, both, people)
    assert (told["light_moves"], told["capture_moves"]) == ("about as much as", "more than")
    assert drawn.light_numbers(1, 1, 2)["light_moves"] == "less than"


def test_a_capture_is_measured_only_where_it_saw_skin_itself():
    texture, seen = torch.full((1, 3, 64, 64), 0.5), torch.ones(1, 1, 64, 64)
    texture[..., :32], seen[..., :32] = 0.9, 0  # a bright smear
    zone = region_mask("skin_face", 64)[None].gt(0.9).float()
    light, whole = (drawn.facts(texture, v, zone)["skin lightness L*"] for v in (seen, torch.ones_like(seen)))
    assert light < whole - 5 and drawn.facts(texture, 0 * seen, zone)["skin lightness L*"].isnan().all()


def test_a_real_capture_is_placed_among_ours_and_a_capture_without_skin_does_not_count():
    ours = {"x": torch.cat([torch.arange(101.0), torch.tensor([torch.nan])])}
    for value, place, out in ((50.0, "50 %", 0), (99.0, "**98 %**", 1)):
        rows, outside = drawn.facts_rows({"x": torch.tensor([value])}, ours)
        assert rows[0][2:] == ["50.00", "5.00 … 95.00", place] and outside == out


def test_what_chapter_1_says_of_captures_in_general_is_what_is_drawn():
    told = habits()
    assert told["single"] == pytest.approx(100 * SINGLE, abs=3) and told["places"] == pytest.approx(100 * REAL, abs=3)
    assert 50 < told["key"] < 70


def test_all_classes_of_skin_are_said_to_be_found_only_if_each_holds_somebody(data):
    data.manifest["generator"], data.seeds = "any", torch.arange(20)
    measured = torch.rand(20, 3)
    for counts, words in ((torch.ones(6), "all 6"), (torch.tensor([3, 0, 1, 1, 1, 1]), "5 of the 6")):
        groups = {"skin (ITA class)": (portraits.ITA_NAMES, counts)}
        assert portraits.skin_numbers(data, measured, groups)["classes"] == words


@pytest.mark.parametrize(
    ("auc", "told", "use"), [(0.99, "nearly", "single"), (0.84, "more often", "mean"), (0.5, "hardly", "not at")]
)
def test_what_a_judge_of_identity_is_good_for_follows_from_its_auc(auc, told, use):
    grade = Verification(auc, 0.1, 0.8, 0.2, 0.5, 0.0, (3, 9))
    line_up = domains.LineUp(4, grade, torch.ones(3), torch.zeros(9))
    numbers = drawn.diversity_numbers(domains.Diversity(torch.ones(6), torch.ones(4)), line_up)
    assert numbers["told"].startswith(told) and use in numbers["told_use"] and numbers["any_r"] == pytest.approx(0.5)
