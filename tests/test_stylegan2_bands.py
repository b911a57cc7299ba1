"""Bands: only the finest octaves, only where something was observed, as large as colours."""

import torch

from studiolike.stylegan2 import Discriminator, discriminator
from studiolike.stylegan2.bands import GAIN, bands, channels_of_bands, octaves
from studiolike.stylegan2.losses import discriminator_loss


def test_a_plain_colour_has_no_bands_not_even_at_holes_and_borders():
    visibility = torch.ones(2, 1, 128, 128)
    visibility[0, :, 5:20, 9:] = 0
    visibility[1, :, :, :16] = 0.3
    found = bands(torch.full((2, 3, 128, 128), 0.7), visibility)
    assert [octaves(size) for size in (16, 64, 128, 1024)] == [1, 1, 2, 5]
    assert found.shape == (2, channels_of_bands(128), 128, 128)
    assert found.abs().max() < 1e-4 * GAIN


def test_each_octave_is_found_where_it_belongs():
    ones, size = torch.ones(1, 1, 128, 128), (1, 3, 128, 128)
    fine = torch.tensor([1.0, -1.0]).repeat(64).expand(size)
    coarse = torch.cos(torch.arange(128) * torch.pi / 4).expand(size)  # eight texels a period
    smooth = torch.linspace(-1, 1, 128).expand(size)
    energy = {
        name: bands(x, ones).unflatten(1, (2, 3)).square().mean((0, 2, 3, 4)) / GAIN**2
        for name, x in (("fine", fine), ("coarse", coarse), ("smooth", smooth))
    }
    assert energy["fine"][0] > 0.5 and energy["fine"][1] < 0.1
    assert energy["coarse"][1] > energy["coarse"][0] and energy["coarse"][1] > 0.05
    assert energy["smooth"].max() < 0.01


def test_what_stands_in_a_hole_does_not_matter_and_bands_are_linear():
    rng = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 2, 3, 128, 128, generator=rng)
    visibility = (torch.rand(2, 1, 128, 128, generator=rng) > 0.4).float()
    other = torch.where(visibility > 0, a, 9.0)
    assert torch.equal(bands(a, visibility), bands(other, visibility))
    both = bands(a, visibility) + 2 * bands(b, visibility)
    torch.testing.assert_close(bands(a + 2 * b, visibility), both, rtol=1e-3, atol=1e-3)


def learns_grain(steps: int = 80) -> float:
    """Loss at the end of a fresh discriminator that is to tell grainy pictures from smooth ones; 1.39 is chance."""
    torch.manual_seed(0)
    d, rng = Discriminator(32, 256, 16), torch.Generator().manual_seed(1)
    optimizer = torch.optim.Adam(d.parameters(), 0.002, betas=(0.0, 0.99))
    losses = []
    for _ in range(steps):
        smooth = torch.nn.functional.interpolate(torch.randn(16, 3, 4, 4, generator=rng), (32, 32), mode="bilinear") * 0.5
        grain = 0.06 * torch.randn(8, 3, 32, 32, generator=rng)
        loss = discriminator_loss(d(smooth[:8] + grain), d(smooth[8:]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return sum(losses[-10:]) / 10


def test_bands_are_what_lets_a_discriminator_see_faint_grain(monkeypatch):
    assert learns_grain() < 0.5
    monkeypatch.setattr(discriminator, "bands", lambda rgb, visibility: torch.zeros_like(rgb))
    assert learns_grain() > 1.2


def test_half_precision_does_not_reach_the_amplified_bands():
    rgb, visibility = torch.rand(2, 3, 64, 64) * 2 - 1, torch.ones(2, 1, 64, 64)
    wanted = bands(rgb, visibility)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(bands(rgb, visibility), wanted)
    half = rgb.half().float()
    assert torch.equal(bands(rgb.half(), visibility.half()), bands(half, visibility))
