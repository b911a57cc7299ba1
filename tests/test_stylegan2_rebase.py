"""A new basis of W changes the names of codes and no picture, and makes one w for all layers a face again."""

import copy

import pytest
import torch

from studiolike.stylegan2 import Generator
from studiolike.stylegan2.encoder import Encoder, sliced_distance
from studiolike.stylegan2.rebase import Frame, centre, fit_mapping, rebase_encoder, rebase_generator

SIZE, WIDTH = 16, 12


def seeded(seed):
    return torch.Generator().manual_seed(seed)


@pytest.fixture()
def generator():
    torch.manual_seed(0)
    return Generator(SIZE, WIDTH, 2, 128, 12).requires_grad_(False)


def scrambling(generator):
    """Another turn and another shift for every row: what an encoder that learns beside G may as well have chosen."""
    turns = torch.linalg.qr(torch.randn(generator.num_ws, WIDTH, WIDTH, generator=seeded(1)).double())[0]
    return Frame(torch.randn(generator.num_ws, WIDTH, generator=seeded(2)).double(), turns, 1.0)


def test_the_picture_of_a_code_is_the_old_picture_of_what_it_stands_for(generator):
    codes = torch.randn(200, generator.num_ws, WIDTH, generator=seeded(3)) * torch.linspace(0.1, 2, WIDTH)
    frame, old = Frame.of(codes), copy.deepcopy(generator)
    rebase_generator(generator, frame)
    u = torch.randn(4, generator.num_ws, WIDTH, generator=seeded(4))
    stands_for = frame.mean + torch.einsum("lde,ble->bld", frame.basis, u.double())
    torch.testing.assert_close(generator.synthesis(u), old.synthesis(stands_for.float()), rtol=1e-3, atol=1e-4)


def test_one_w_for_all_layers_is_found_again_after_every_row_was_turned_its_own_way(generator):
    w = torch.randn(300, WIDTH, generator=seeded(5)) * torch.linspace(0.1, 2, WIDTH)
    pictures = generator.synthesis(w[:8, None].expand(-1, generator.num_ws, -1))
    turned = scrambling(generator)
    rebase_generator(generator, turned)
    codes = torch.einsum("lde,bld->ble", turned.basis, w.double()[:, None] - turned.mean).float()  # turns: inverse = transpose
    torch.testing.assert_close(generator.synthesis(codes[:8]), pictures, rtol=1e-3, atol=1e-4)
    lost = generator.synthesis(codes[:8].mean(1, keepdim=True).expand(-1, generator.num_ws, -1))
    assert (lost - pictures).abs().mean() > 0.1 * pictures.abs().mean()
    frame = Frame.of(codes)
    assert frame.explained == pytest.approx(1, abs=1e-6)
    u = frame.coordinates(codes)
    torch.testing.assert_close(u.std(0, correction=0), torch.ones(WIDTH), rtol=1e-3, atol=1e-3)
    rebase_generator(generator, frame)
    again = generator.synthesis(u[:8, None].expand(-1, generator.num_ws, -1))
    torch.testing.assert_close(again, pictures, rtol=1e-3, atol=1e-3)


def test_fewer_codes_than_dimensions_leave_a_basis_without_zeros(generator):
    frame = Frame.of(torch.randn(5, generator.num_ws, WIDTH, generator=seeded(6)))
    lengths = frame.basis.square().sum((0, 1)).sqrt()
    assert lengths.min() >= 0.99e-3 * lengths.max() > 0 and torch.isfinite(frame.inverse).all()


def test_an_encoder_then_gives_the_nearest_codes_with_equal_rows(generator):
    torch.manual_seed(7)
    encoder = Encoder(SIZE, WIDTH, 128, 12, hidden=20).requires_grad_(False)
    for head in (encoder.rows, encoder.correction):
        head.weight.normal_()
        head.bias.normal_()
    texture = torch.randn(40, 3, SIZE, SIZE)
    before = encoder(texture)
    frame, current = Frame.of(before), torch.randn(40, 3, SIZE, SIZE)
    step = encoder(texture, None, current, torch.zeros_like(before))
    rebase_encoder(encoder, frame)
    after = encoder(texture)
    torch.testing.assert_close(after, frame.coordinates(before)[:, None].expand_as(after), rtol=1e-3, atol=1e-3)
    shift = frame.coordinates(step + frame.mean.float())[:, None]
    torch.testing.assert_close(encoder(texture, None, current, after) - after, shift.expand_as(after), rtol=1e-3, atol=1e-3)


def test_the_mapping_network_learns_the_cloud_and_its_mean(generator):
    codes = torch.randn(2000, WIDTH, generator=seeded(8)) * torch.linspace(0.3, 1.5, WIDTH) + 0.5
    z = torch.randn(1000, WIDTH, generator=seeded(9))
    before = sliced_distance(generator.mapping(z), codes[:1000], seeded(10))
    fit_mapping(generator, codes, seeded(11), steps=600)
    centre(generator)
    after = sliced_distance(generator.mapping(z), codes[:1000], seeded(10))
    assert after < 0.1 and after < before / 5
    torch.testing.assert_close(generator.w_mean, codes.mean(0), atol=0.15, rtol=0)
    assert not any(p.requires_grad or p.grad is not None for p in generator.parameters())
