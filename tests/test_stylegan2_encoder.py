"""The encoder: blind to holes, starts in W, learns to reconstruct, and costs the generator nothing when switched off."""

import torch

from studiolike.stylegan2 import Encoder, Generator, encode
from studiolike.stylegan2.encoder import reconstruction_loss, spread


def tiny():
    torch.manual_seed(0)
    return Encoder(16, 8, 64, 8, hidden=16), Generator(16, 8, 2, 64, 8)


def test_codes_have_the_generators_rows_and_start_in_w():
    encoder, generator = tiny()
    codes = encoder(torch.rand(3, 3, 16, 16) * 2 - 1)
    assert codes.shape == (3, generator.num_ws, 8)
    assert spread(codes) < 1e-12  # before training all rows are one w


def test_what_stands_in_a_hole_cannot_reach_the_code():
    encoder, _ = tiny()
    texture, visibility = torch.rand(2, 3, 16, 16) * 2 - 1, (torch.rand(2, 1, 16, 16) > 0.4).float()
    other = torch.where(visibility > 0, texture, torch.full_like(texture, float("inf")))
    assert torch.equal(encoder(texture, visibility), encoder(other, visibility))
    assert not torch.allclose(encoder(texture, visibility), encoder(-texture, visibility))


def test_a_second_pass_begins_at_the_first_code_and_sees_only_observed_texels():
    encoder, generator = tiny()
    texture, visibility = torch.rand(2, 3, 16, 16), (torch.rand(2, 1, 16, 16) > 0.4).float()
    first = encode(encoder, generator, texture, visibility, passes=1)
    assert torch.equal(encode(encoder, generator, texture, visibility), first)  # nothing is learnt yet
    torch.nn.init.normal_(encoder.correction.weight)
    second = encode(encoder, generator, texture, visibility)
    assert not torch.allclose(second, first) and not second.requires_grad
    other = torch.where(visibility > 0, texture, 1 - texture)
    assert torch.equal(encode(encoder, generator, other, visibility), second)


def test_reconstruction_loss_counts_observed_texels_only():
    target, visibility = torch.zeros(1, 3, 16, 16), torch.ones(1, 1, 16, 16)
    visibility[..., :8] = 0
    image = torch.zeros_like(target)
    image[..., :8] = 1
    assert reconstruction_loss(image, target, visibility) == 0
    image[..., 8:] = 0.5
    assert torch.allclose(reconstruction_loss(image, target, visibility, levels=1), torch.tensor(0.5))


def test_encoder_and_generator_learn_to_reconstruct():
    encoder, generator = tiny()
    coarse = torch.rand(4, 3, 2, 2, generator=torch.Generator().manual_seed(1)) * 2 - 1
    texture = torch.nn.functional.interpolate(coarse, (16, 16))
    optimizer = torch.optim.Adam([*encoder.parameters(), *generator.parameters()], 0.01)
    ones = torch.ones_like(texture[:, :1])
    losses = []
    for _ in range(60):
        loss = reconstruction_loss(generator.synthesis(encoder(texture), "none"), texture, ones)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
