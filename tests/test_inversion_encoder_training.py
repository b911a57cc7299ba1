"""The encoder against a generator at rest: it learns to see, stays near the prior, and resumes exactly."""

import pytest
import torch

from studiolike.config import EncoderConfig
from studiolike.image import from_signed
from studiolike.inversion import EncoderStage, WPrior, observed_psnr
from studiolike.stylegan2 import Generator, encode
from studiolike.stylegan2.encoder import Encoder
from studiolike.training import fit

SIZE, HIDDEN = 32, slice(0, 10)  # columns that nobody observed


class Pictures:
    """Pictures of a generator, as textures of which the left third was never observed."""

    def __init__(self, generator, count=64, junk=0.0):
        z = torch.randn(count, generator.config.w_dim, generator=torch.Generator().manual_seed(5))
        with torch.no_grad():
            self.texture = from_signed(generator(z)).clamp(0, 1)
        self.texture[..., HIDDEN] = junk
        self.visibility = torch.ones(count, 1, SIZE, SIZE)
        self.visibility[..., HIDDEN] = 0

    def captures(self, split):
        return torch.arange(len(self.texture))

    def phone_batch(self, rows, device):
        return self.texture[rows].to(device), self.visibility[rows].to(device)


@pytest.fixture(scope="module")
def generator():
    torch.manual_seed(0)
    made = Generator(SIZE, 16, 2, 256, 16)
    for name, parameter in made.named_parameters():
        if "mapping" not in name:
            parameter.data *= 1.5  # a fresh generator's pictures hardly differ
    return made.eval()


def trained(generator, folder, images=480, junk=0.0, **wanted):
    torch.manual_seed(1)
    encoder = Encoder(SIZE, 16, 256, 16, hidden=64)
    config = EncoderConfig(**{"images": images, "batch": 8, "lr": 0.01, "portrait": 0.0} | wanted)
    stage = EncoderStage(config, encoder, generator, Pictures(generator, junk=junk))
    return stage, lambda: fit(stage, images, folder, device="cpu", progress=False)


def quality(encoder, generator, passes):
    texture, visibility = Pictures(generator).phone_batch(torch.arange(32), "cpu")
    picture = generator.synthesis(encode(encoder, generator, texture, visibility, passes)).clamp(-1, 1)
    return observed_psnr(picture, texture * 2 - 1, visibility).mean().item()


def test_it_learns_to_reconstruct_and_the_second_pass_corrects_the_first(generator, tmp_path):
    stage, run = trained(generator, tmp_path)
    before = quality(stage.encoder, generator, 2)
    record = run()
    one, two = (quality(stage.encoder.eval(), generator, passes) for passes in (1, 2))
    assert two > before + 3 and two > one and record.metrics["loss"] < 1
    assert list(tmp_path.glob("preview-*.png"))


def test_a_prior_keeps_its_codes_likely(generator, tmp_path):
    energies = []
    for weight in (0.0, 1.0):
        stage, run = trained(generator, tmp_path / str(weight), prior=weight)
        run()
        texture, visibility = stage.data.phone_batch(torch.arange(32), "cpu")
        with torch.no_grad():
            energies.append(WPrior.from_generator(generator).energy(encode(stage.encoder, generator, texture, visibility)).mean())
    assert energies[1] < energies[0] / 4


def test_unobserved_texels_teach_nothing(generator, tmp_path):
    weights = []
    for junk in (0.0, 0.9):
        stage, run = trained(generator, tmp_path / str(junk), images=32, junk=junk)
        run()
        weights.append([p.detach().clone() for p in stage.encoder.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*weights, strict=True))


def test_a_stopped_run_ends_like_a_straight_one_and_leaves_the_generator_alone(generator, tmp_path):
    known = [p.detach().clone() for p in generator.parameters()]
    straight, run = trained(generator, tmp_path / "a", images=48)
    run()
    stage, run = trained(generator, tmp_path / "b", images=48)
    step = stage.step

    def interrupted(seen, rng):
        if seen >= 24:
            raise KeyboardInterrupt
        return step(seen, rng)

    stage.step = interrupted
    with pytest.raises(KeyboardInterrupt):
        run()
    resumed, run = trained(generator, tmp_path / "b", images=48)
    with torch.no_grad():
        for parameter in resumed.encoder.parameters():
            parameter += 1  # all must come from the checkpoint
    run()
    assert all(torch.equal(a, b) for a, b in zip(straight.encoder.parameters(), resumed.encoder.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(known, generator.parameters(), strict=True))
