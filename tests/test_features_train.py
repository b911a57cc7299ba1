"""Training an identity network, on a set small enough for a test."""

import dataclasses

import pytest
import torch
from fakes import FakeSet

from studiolike.config import IdentityConfig, profile
from studiolike.errors import InputError, ProtocolError
from studiolike.features import Captures, CosineMargin, IdentityNet, IdentityStage, roc, train_identity, verification
from studiolike.features.train import WARM_UP
from studiolike.protocols import permitted
from studiolike.run_record import read_log
from studiolike.training import fit

CONFIG = IdentityConfig(resolution=32, images=720, batch=24, lr=3e-3)
TINY = dict(resolution=32, widths=(8, 12, 16, 24), embedding=16, depth=1)


@pytest.fixture(scope="module")
def data() -> FakeSet:
    return FakeSet(subjects=60, lightings=3, resolution=32)


def stage_of(data, images: int | None = None) -> IdentityStage:
    torch.manual_seed(0)
    train, val = (Captures(data, data.subjects(split), 32, studio=split == "val") for split in ("phone", "val"))
    return IdentityStage(IdentityNet(**TINY), dataclasses.replace(CONFIG, images=images or CONFIG.images), train, val)


def test_a_short_training_separates_unseen_subjects_better_than_the_start(data, tmp_path):
    stage = stage_of(data)
    stage.accelerator = type("Alone", (), {"unwrap_model": lambda self, m: m, "device": "cpu"})()
    before = stage.verify()
    record = fit(stage, CONFIG.images, tmp_path, device="cpu", progress=False)
    assert record.metrics["val_auc"] > before["val_auc"] + 0.05
    assert record.metrics["val_eer"] < before["val_eer"]
    assert record.metrics["val_genuine"] - record.metrics["val_impostor"] > 0.2
    log = read_log(tmp_path)
    assert sum(log["loss"][-3:]) < sum(log["loss"][:3])
    assert list(tmp_path.glob("preview-*.png"))


def test_a_stopped_and_resumed_run_is_the_uninterrupted_run(data, tmp_path):
    whole, first, second = (stage_of(data, 96) for _ in range(3))
    fit(whole, 96, tmp_path / "whole", device="cpu", progress=False)
    fit(first, 48, tmp_path / "parts", device="cpu", progress=False)
    fit(second, 96, tmp_path / "parts", device="cpu", progress=False)
    for a, b in zip(whole.modules["net"].parameters(), second.modules["net"].parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_whole_recipe_returns_a_network_named_after_its_role(data, tmp_path):
    smoke = dataclasses.replace(profile("smoke"), identity=dataclasses.replace(CONFIG, resolution=64, images=24, batch=12))
    net = train_identity(smoke, "identity_eval", data, tmp_path, device="cpu", progress=False)
    assert net.name == "identity_eval-64px" and not net.training
    assert (tmp_path / "record.json").exists()


def test_captures_hold_every_lighting_of_exactly_the_wanted_subjects_and_studio_textures_only_if_asked(data):
    wanted = torch.tensor([3, 7])
    captures = Captures(data, wanted, 32)
    assert len(captures) == 2 * 3 and captures.subjects == 2 and not captures.studio.any()
    with_studio = Captures(data, wanted, 32, studio=True)
    assert with_studio.labels.bincount().tolist() == [4, 4] and torch.equal(with_studio.textures[:6], captures.textures)
    texture, visibility, labels = with_studio.batch(with_studio.studio.nonzero().flatten())
    torch.testing.assert_close(texture, data.studio_batch(wanted, "cpu"), atol=1 / 255, rtol=0)
    assert visibility.min() == 1 and labels.tolist() == [0, 1]


def test_the_recipe_never_reads_a_training_subject_s_studio_texture(data, tmp_path):
    smoke = dataclasses.replace(profile("smoke"), identity=dataclasses.replace(CONFIG, resolution=64, images=12, batch=12))
    view = permitted(data, "few", watch=True)
    train_identity(smoke, "identity", view, tmp_path, device="cpu", progress=False)
    with pytest.raises(ProtocolError):
        Captures(view, data.subjects("phone"), 32, studio=True)


def test_one_subject_is_refused(data):
    with pytest.raises(InputError, match="at least 2"):
        Captures(data, torch.tensor([1]), 32)


def test_the_margin_loss_agrees_with_a_hand_computed_case():
    head = CosineMargin(2, 2, scale=2.0)
    with torch.no_grad():
        head.prototypes.copy_(torch.tensor([[3.0, 0.0], [0.0, 5.0]]))
    loss, cosine = head(torch.tensor([[0.6, 0.8]]), torch.tensor([0]), margin=0.1)
    torch.testing.assert_close(cosine, torch.tensor([[0.6, 0.8]]))
    torch.testing.assert_close(loss, torch.log1p(torch.exp(torch.tensor(2 * (0.8 - 0.5)))))


def test_the_schedule_warms_up_and_ends_at_zero(data):
    stage = stage_of(data)
    lr, margin = zip(*(stage.schedule(k) for k in range(0, CONFIG.images + 1, CONFIG.batch)), strict=True)
    assert lr[0] > 0 and max(lr) <= CONFIG.lr and lr[-1] == 0
    stage = stage_of(data, 100 * CONFIG.batch)  # so that the warm-up has several steps
    lr = [stage.schedule(k * CONFIG.batch)[0] for k in range(101)]
    warm = round(100 * WARM_UP)
    assert warm > 2 and lr[:warm] == pytest.approx([CONFIG.lr * (k + 1) / warm for k in range(warm)], rel=0.05)
    assert max(lr) > 0.95 * CONFIG.lr and all(a >= b for a, b in zip(lr[warm:], lr[warm + 1 :], strict=False))
    assert margin[0] == 0 and margin[-1] == CONFIG.margin


def test_verification_of_perfect_and_of_meaningless_embeddings():
    subject = torch.arange(20).repeat_interleave(3)
    perfect = verification(torch.eye(20)[subject], subject)
    assert (perfect.auc, perfect.eer, perfect.accuracy) == (1, 0, 1)
    assert perfect.pairs == (60, 60 * 59 // 2 - 60) and 0 < perfect.threshold < 1
    noise = torch.nn.functional.normalize(torch.randn(60, 16, generator=torch.Generator().manual_seed(1)), dim=1)
    chance = verification(noise, subject)
    assert abs(chance.auc - 0.5) < 0.12 and abs(chance.eer - 0.5) < 0.12


def test_the_roc_curve_agrees_with_counting():
    genuine, impostor = torch.tensor([0.9, 0.6]), torch.tensor([0.7, 0.1])
    false_accept, true_accept, thresholds = roc(genuine, impostor)
    torch.testing.assert_close(thresholds[1:], torch.tensor([0.9, 0.7, 0.6, 0.1]))
    assert true_accept.tolist() == [0, 0.5, 0.5, 1, 1]
    assert false_accept.tolist() == [0, 0, 0.5, 0.5, 1]
