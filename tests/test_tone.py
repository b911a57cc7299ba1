"""The tone of a skin: its level is measured and set, a camera's metering is undone, and each protocol learns what it may."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from fakes import FakeSet

from studiolike.config import ToneConfig
from studiolike.errors import InputError, ProtocolError
from studiolike.image import relight
from studiolike.layout import region_mask
from studiolike.protocols import permitted
from studiolike.tone import ToneNet, ToneStage, lit, skin_level, with_level
from studiolike.training import fit

TINY = ToneConfig(images=64, batch=12, lr=3e-3)
QUIET = dict(device="cpu", progress=False)


@pytest.fixture(scope="module")
def data():
    return FakeSet(subjects=20, lightings=3, resolution=64)


def textures(count=3, size=64, seed=0):
    return 0.15 + 0.5 * torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def test_a_texture_is_brought_to_a_level_and_keeps_its_colours():
    texture, level = textures(), torch.tensor([-2.5, -2.0, -1.2])
    made = with_level(texture, level)
    assert torch.allclose(skin_level(made), level, atol=0.02)
    assert torch.allclose(with_level(texture, skin_level(texture)), texture, atol=1e-4)
    assert torch.allclose(made[1], with_level(texture[1:2], level[1:2])[0])  # whoever else is in the batch


def test_the_level_is_that_of_the_skin_and_only_of_what_was_seen():
    texture, mask = textures(1), region_mask("skin_face", 64)[None]
    other = torch.where(mask > 0, texture, 0.9)  # hair, eyes, lips, neck
    assert torch.allclose(skin_level(texture), skin_level(other))
    visibility = torch.ones(1, 1, 64, 64)
    visibility[..., :32] = 0
    half = torch.where(visibility > 0, texture, 0.0)
    assert torch.allclose(skin_level(half, visibility), skin_level(texture, visibility))
    assert skin_level(texture, torch.zeros_like(visibility)).isnan().all()


def test_a_network_of_a_resolution_that_cannot_be_halved_is_refused():
    with pytest.raises(InputError, match="cannot be halved"):
        ToneNet(72)


def test_the_network_does_not_see_what_nobody_saw():
    net, texture = ToneNet(32, (4, 8), 8).eval(), textures(2, 32)
    visibility = torch.ones(2, 1, 32, 32)
    visibility[..., 20:] = 0
    painted = torch.where(visibility > 0, texture, torch.rand_like(texture))
    with torch.no_grad():
        assert torch.allclose(net(texture, visibility), net(painted, visibility), atol=1e-6)
        assert net(texture, visibility).dtype == torch.float32 and net(texture, visibility).shape == (2,)


def test_a_lit_texture_is_metered_so_that_most_of_the_level_is_gone(data):
    studio = data.studio_batch(torch.arange(8)).repeat(16, 1, 1, 1)
    dark, light = (relight(studio, gain) for gain in (0.4, 1.0))
    seen = torch.ones(len(studio), 1, 64, 64)
    made = [lit(x, seen, torch.Generator().manual_seed(1)) for x in (dark, light)]
    before = (skin_level(light) - skin_level(dark)).mean()
    after = (skin_level(made[1]) - skin_level(made[0])).mean()
    assert before > 0.6 and 0.1 * before < after < 0.6 * before
    assert torch.equal(made[0], lit(dark, seen, torch.Generator().manual_seed(1)))


def test_under_few_others_teach_by_their_other_captures_and_under_open_nobody_is_other(data):
    few, open_ = (ToneStage(TINY, permitted(data, p, watch=True), p) for p in ("few", "open"))
    assert len(few.unknown) == len(data.captures("phone")) and not len(open_.unknown)
    row = int(few.unknown[4])
    mates = [r for r in few.unknown.tolist() if data.subject[r] == data.subject[row] and r != row]
    levels = skin_level(*data.phone_batch(torch.tensor(mates)))
    assert torch.allclose(few.others[4], levels.mean(), atol=1e-5)


def test_a_stage_without_studio_textures_says_so(data):
    nobody = FakeSet(subjects=3, lightings=1)
    nobody.subjects = lambda split: torch.arange(0)
    with pytest.raises(InputError, match="no studio textures"):
        ToneStage(TINY, nobody, "few")


def test_what_the_protocol_forbids_is_not_read(data):
    with pytest.raises(ProtocolError):
        ToneStage(TINY, permitted(data, "few"), "open")


class Metered(FakeSet):
    """Grey people of different tones with bright eyes, whom a camera exposes alike: only the eyes tell."""

    def __init__(self):
        super().__init__(subjects=40, lightings=2, resolution=64)
        tone = np.linspace(0.05, 0.6, 40)[np.random.default_rng(0).permutation(40)]
        eyes = (region_mask("left_eye", 64) + region_mask("right_eye", 64)).numpy()[0] > 0.5
        grain = np.random.default_rng(1).uniform(0.95, 1.05, (40, 1, 64, 64))
        linear = np.where(eyes, 0.7, tone[:, None, None, None] * grain).repeat(3, 1)
        encode = lambda x: (255 * np.clip(x, 0, 1) ** (1 / 2.2)).round().astype(np.uint8)  # noqa: E731
        self.studio = encode(linear)
        exposure = 0.2 / tone[self.subject] * np.random.default_rng(2).uniform(0.8, 1.25, len(self.subject))
        self.phone = encode(linear[self.subject] * exposure[:, None, None, None])
        self.visibility = np.full((len(self.subject), 1, 64, 64), 255, np.uint8)


@pytest.mark.parametrize("protocol", ["open", "few"])
def test_it_learns_to_read_a_tone_that_metering_hid(tmp_path, protocol):
    config = replace(TINY, images=8000, batch=48, lr=5e-3)
    stage = ToneStage(config, permitted(Metered(), protocol, watch=True), protocol, ToneNet(32, (8, 8), 16))
    record = fit(stage, config.images, tmp_path, **QUIET)
    assert record.metrics["val_error"] < 0.7 * record.metrics["val_error_of_mean"]


def test_a_stopped_run_goes_on_to_the_same_network(tmp_path, data):
    def run(folder, *stops):
        for images in stops:
            stage = ToneStage(TINY, permitted(data, "few", watch=True), "few", ToneNet(32, (4, 8), 8))
            fit(stage, images, tmp_path / folder, **QUIET)
        return [p.detach().clone() for p in stage.net.parameters()]

    assert all(torch.equal(a, b) for a, b in zip(run("whole", 60), run("halves", 24, 60), strict=True))
