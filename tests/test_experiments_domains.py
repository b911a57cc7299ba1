"""Chapter 1's laboratory: registration, shortcuts, encodings and leaks are found where they were planted."""

import pytest
import torch
from fakes import FakeSet

from studiolike.chapters import domains as drawn
from studiolike.chapters.domains import habits
from studiolike.experiments import domains
from studiolike.image import resize, srgb_to_linear
from studiolike.layout import face_mask
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
    assert drawn.shortcut_numbers(grades)["auc_holes_raw"] == raw


def test_one_exponent_is_paid_for_where_the_studio_set_was_left_linear(data):
    fits = domains.one_exponent(data)
    assert fits["mixed"].gamma > fits["shared"].gamma
    texture = data.phone_batch(data.captures("val"))[0]
    assert torch.allclose(srgb_to_linear(fits["mixed"].shown), texture ** fits["mixed"].gamma, atol=1e-4)


def test_a_memoriser_is_better_with_the_leak_than_without(data):
    leak = domains.split_leak(data)
    assert leak.error["capture"] < leak.error["subject"] and 0 < leak.found <= 1
    people = data.subject[leak.answers["subject"]]
    assert not (people == data.subject[leak.asked]).any()


def test_copies_lie_at_distance_zero(data):
    studio = data.studio_batch(torch.arange(4))[..., ::2, ::2]
    apart = domains.diversity(torch.cat([studio, 0.5 * studio[:1] + 0.2]), face_mask(32))
    assert apart.nearest[0] < 1e-2 < apart.any_two.median()  # another contrast is no other face


def test_a_step_that_only_brightens_is_broad_and_noise_is_fine():
    grey, rng = torch.full((3, 64, 64), 0.5), torch.Generator().manual_seed(0)
    noise = 0.1 * torch.randn(3, 64, 64, generator=rng)
    broad, fine = domains.step_changes([grey, grey + 0.1, grey + 0.1 + noise], torch.ones(1, 1, 64, 64)).unbind(1)
    assert broad[0] == pytest.approx(25.5, rel=1e-2) and fine[0] < 1e-2
    assert fine[1] > 3 * broad[1]


def test_what_chapter_1_says_of_captures_in_general_is_what_is_drawn():
    told = habits()
    assert told["single"] == pytest.approx(100 * SINGLE, abs=3) and told["places"] == pytest.approx(100 * REAL, abs=3)
    assert 50 < told["key"] < 70
