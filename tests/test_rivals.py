"""The rivals: that each starts where it should, learns, and sees only what its protocol shows."""

import time

import pytest
import torch
from fakes import FakeSet

from studiolike.errors import InputError
from studiolike.evaluation import StudioReference, shading_energy
from studiolike.image import fill_unobserved, from_signed, relight, srgb_to_linear, to_signed
from studiolike.rivals import CLOSED, TRAINED, closed, contest, homomorphic, train
from studiolike.rivals.diffusion import DiffusionStage, translate
from studiolike.rivals.network import TranslatorUNet
from studiolike.rivals.paired import PairedStage
from studiolike.rivals.unpaired import UnpairedStage, patch_nce
from studiolike.run_record import read_log
from studiolike.training import fit

QUIET = dict(device="cpu", progress=False, preview_every=10**9)
TINY = dict(channels=(8, 16))
DATA = FakeSet(subjects=20, lightings=2, resolution=32)


def some(count=3):
    return DATA.phone_batch(torch.arange(count))


@pytest.mark.parametrize("kind", ["direct", "gain"])
def test_an_untrained_translator_gives_the_filled_phone_texture_back(kind):
    texture, visibility = some()
    given = from_signed(TranslatorUNet(kind, (8, 16))(texture, visibility))
    assert torch.allclose(given, fill_unobserved(texture, visibility), atol=1e-3)


def test_a_gain_field_multiplies_light():
    net = TranslatorUNet("gain", (8, 16))
    torch.nn.init.constant_(net.leave.bias, -0.7)
    texture, visibility = torch.full((1, 3, 32, 32), 0.7), torch.ones(1, 1, 32, 32)
    light = srgb_to_linear(from_signed(net(texture, visibility)).detach())
    wanted = (srgb_to_linear(texture) + 0.02) * torch.tensor(-0.7).exp() - 0.02
    assert torch.allclose(light, wanted, atol=1e-3)


def test_what_stands_in_a_hole_never_reaches_the_translator():
    net = TranslatorUNet("direct", (8, 16))
    torch.nn.init.normal_(net.leave.weight, std=0.1)
    texture, visibility = some()
    other = torch.where(visibility > 0, texture, torch.rand_like(texture))
    assert torch.equal(net(texture, visibility), net(other, visibility))


def test_an_unknown_kind_of_translator_is_refused():
    with pytest.raises(InputError, match="direct, gain"):
        TranslatorUNet("magic")


def stages(data):
    rows = data.captures("pairs")
    mean = torch.full((3, 32, 32), 0.5)
    return {
        "direct": lambda n: PairedStage(data, rows, images=n, **TINY),
        "gain": lambda n: PairedStage(data, rows, images=n, kind="gain", **TINY),
        "diffusion": lambda n: DiffusionStage(data, rows, mean, images=n, **TINY),
        "cut": lambda n: UnpairedStage(data, data.captures("phone"), data.subjects("studio"), images=n, width=8, **TINY),
    }


@pytest.mark.parametrize(("name", "scalar"), [("direct", "texels"), ("gain", "low_light"), ("diffusion", "loss"), ("cut", "nce")])
def test_every_trained_rival_learns(name, scalar, tmp_path):
    stage = stages(DATA)[name](96)
    fit(stage, 96, tmp_path, log_every=4, **QUIET)
    curve = read_log(tmp_path)[scalar]
    assert sum(curve[-6:]) < 0.9 * sum(curve[:6])


def test_an_untrained_diffusion_translator_answers_with_the_mean_texture():
    stage = stages(DATA)["diffusion"](8)
    texture, visibility = some()
    mean = torch.rand(3, 32, 32)
    assert torch.allclose(translate(stage.model, texture, visibility, mean, steps=1), mean.expand(3, -1, -1, -1), atol=1e-4)


def test_a_place_is_told_from_the_others_by_its_own_key():
    key = torch.nn.functional.normalize(torch.randn(2, 16, 32, generator=torch.Generator().manual_seed(0)), dim=2)
    assert patch_nce(key, key) < 0.1 < patch_nce(key, key.roll(1, 1))
    same = key[:, :1].expand(-1, 16, -1)
    assert patch_nce(same, same).item() == pytest.approx(torch.tensor(16.0).log().item(), abs=1e-4)


def test_the_contrastive_loss_looks_at_seen_places_only():
    stage = stages(DATA)["cut"](8)
    texture, visibility = some()
    made = to_signed(texture)
    spoilt = torch.where(visibility > 0, made, -made)
    losses = [
        stage._contrast(stage.network, stage.modules["heads"], texture, m, visibility, torch.Generator().manual_seed(1))
        for m in (made, spoilt)
    ]
    assert torch.equal(losses[0], losses[1])


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Two sets that differ in what the protocol few does not show."""
    poisoned = FakeSet(subjects=20, lightings=2, resolution=32)
    hidden = torch.cat([poisoned.subjects(split) for split in ("phone", "val", "test")]).numpy()
    poisoned.studio[hidden] = 255 - poisoned.studio[hidden]
    return {"clean": DATA, "poisoned": poisoned}


@pytest.mark.parametrize("name", list(TRAINED))
def test_a_rival_learns_nothing_from_studio_textures_that_its_protocol_hides(name, small, tmp_path):
    texture, visibility = some(2)
    few, opened = (
        [
            train(name, data, protocol, tmp_path / protocol / key, images=8, **QUIET).method(texture, visibility)
            for key, data in small.items()
        ]
        for protocol in ("few", "open")
    )
    assert torch.equal(*few)
    assert not torch.equal(*opened), "the test itself would not notice"


def test_a_finished_rival_is_loaded_and_not_trained_again(tmp_path):
    first = train("unet", DATA, "few", tmp_path, images=8, **QUIET)
    again = train("unet", DATA, "few", tmp_path, images=8, **QUIET)
    assert again.cost == first.cost and first.cost["peak_gib"] > 0 and first.parameters > 10_000
    assert torch.equal(first.method(*some()), again.method(*some()))


def test_a_run_that_was_interrupted_has_the_cost_of_a_whole_one(tmp_path, monkeypatch):
    def spin(seconds):
        until = time.process_time() + seconds
        while time.process_time() < until:
            pass

    monkeypatch.setattr(contest, "fit", lambda *_, **__: spin(0.3))
    (tmp_path / "half").mkdir()
    torch.save({"images": 12}, tmp_path / "half" / "checkpoint.pt")
    whole, half = (train("unet", FakeSet(), "open", tmp_path / name, images=16).cost["cpu_seconds"] for name in ("whole", "half"))
    assert 0.2 < whole < 0.8 and 1.0 < half < 2.4


def test_homomorphic_delighting_flattens_smooth_light_and_forgets_exposure():
    reference = StudioReference.from_set(DATA)
    texture, visibility = DATA.studio_batch([1]), torch.ones(1, 1, 32, 32)
    slope = torch.linspace(-0.7, 0.7, 32).exp().view(1, 1, 1, 32)
    lit = relight(texture * 0.6, slope)
    plain = homomorphic(lit, visibility, reference)
    assert shading_energy(plain) < 0.75 * shading_energy(lit)
    assert torch.allclose(homomorphic(relight(lit, torch.tensor(0.5)), visibility, reference), plain, atol=0.03)


def test_rivals_in_closed_form_paint_the_mean_into_holes_or_continue_their_neighbours():
    texture, visibility = some()
    for name in CLOSED:
        result = closed(name, DATA, "few")(texture, visibility)
        assert result.shape == texture.shape and 0 <= result.min() and result.max() <= 1
    hole = (visibility == 0).expand_as(texture)
    mean = StudioReference.from_set(DATA, torch.cat([DATA.subjects("studio"), DATA.subjects("pairs")])).mean.expand_as(texture)
    assert torch.allclose(closed("homomorphic", DATA, "few")(texture, visibility)[hole], mean[hole], atol=1e-5)


def test_unknown_rivals_are_refused(tmp_path):
    with pytest.raises(InputError, match="unet"):
        train("magic", DATA, "few", tmp_path)
    with pytest.raises(InputError, match="quotient"):
        closed("magic", DATA, "few")
