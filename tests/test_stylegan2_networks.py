"""Generator and discriminator: shapes, which w feeds which layer, noise, masks, files."""

import pytest
import torch

from studiolike.errors import InputError
from studiolike.stylegan2 import Discriminator, Generator

SIZE = dict(channel_base=128, channel_max=16)


@pytest.fixture
def generator():
    torch.manual_seed(0)
    g = Generator(16, 12, 2, **SIZE)
    for block in g.blocks.values():
        for conv in block.convs:
            conv.noise_strength.data.fill_(0.5)
    return g


@pytest.fixture
def discriminator():
    torch.manual_seed(0)
    return Discriminator(16, **SIZE)


@pytest.mark.parametrize("resolution", [8, 32, 64])
def test_any_power_of_two_gives_an_image_and_a_logit(resolution):
    g, d = Generator(resolution, 8, 1, **SIZE), Discriminator(resolution, **SIZE)
    image = g(torch.randn(3, 8))
    assert image.shape == (3, 3, resolution, resolution) and d(image).shape == (3, 1)
    assert g.num_ws == 2 * (resolution.bit_length() - 1) - 2


@pytest.mark.parametrize("network", [Generator, Discriminator])
@pytest.mark.parametrize("resolution", [48, 4, 0])
def test_other_resolutions_are_refused(network, resolution):
    with pytest.raises(InputError, match="power of two"):
        network(resolution)


def test_each_layer_reads_its_row_and_to_rgb_reads_the_next_blocks_first(generator):
    seen = {}

    def watch(name):
        return lambda module, inputs: seen.__setitem__(name, inputs[1][0, 0].item())

    for size, block in generator.blocks.items():
        for k, conv in enumerate(block.convs):
            conv.register_forward_pre_hook(watch(f"{size}.{k}"))
        block.to_rgb.register_forward_pre_hook(watch(f"{size}.rgb"))
    rows = torch.arange(6.0)[None, :, None].expand(1, 6, 12)
    generator.synthesis(rows)
    assert seen == {"4.0": 0, "4.rgb": 1, "8.0": 1, "8.1": 2, "8.rgb": 3, "16.0": 3, "16.1": 4, "16.rgb": 5}
    assert [list(generator.rows(size)) for size in (4, 8, 16)] == [[0, 1], [1, 2, 3], [3, 4, 5]]


def test_modules_from_8_are_the_blocks_above_8(generator):
    wanted = list(generator.blocks["16"].parameters())
    got = list(generator.modules_from(8).parameters())
    assert len(got) == len(wanted) and all(a is b for a, b in zip(got, wanted, strict=True))
    assert len(generator.modules_from(0)) == 3 and len(generator.modules_from(16)) == 0
    *colours, block = generator.modules_from(8, rgb=True)
    assert block is generator.blocks["16"] and colours == [generator.blocks[size].to_rgb for size in ("4", "8")]


def test_constant_noise_repeats_and_random_noise_follows_its_generator(generator):
    w = generator.expand(generator.mapping(torch.randn(2, 12)))

    def random(seed):
        return generator.synthesis(w, "random", torch.Generator().manual_seed(seed))

    assert torch.equal(generator.synthesis(w), generator.synthesis(w))
    assert torch.equal(random(1), random(1)) and not torch.equal(random(1), random(2))
    assert not torch.equal(generator.synthesis(w), generator.synthesis(w, "none"))
    with pytest.raises(InputError, match="noise"):
        generator.synthesis(w, "loud")


def test_a_sample_does_not_depend_on_its_batch(generator):
    z = torch.randn(4, 12)
    torch.testing.assert_close(generator(z)[2:3], generator(z[2:3]), rtol=1e-4, atol=1e-5)


def test_truncation_pulls_towards_the_mean(generator):
    generator.w_mean.copy_(torch.randn(12))
    z = torch.randn(2, 12)
    mean = generator.synthesis(generator.expand(generator.w_mean[None]))
    torch.testing.assert_close(generator(z, truncation=0.0), mean.expand(2, -1, -1, -1), rtol=1e-4, atol=1e-5)
    w = generator.mapping(z)
    torch.testing.assert_close(generator.truncate(w, 0.3), generator.w_mean + 0.3 * (w - generator.w_mean))


def test_w_plus_of_another_length_is_refused(generator):
    with pytest.raises(InputError, match=r"expected \(B, 6, 12\)"):
        generator.synthesis(torch.randn(1, 5, 12))


def test_the_discriminator_is_blind_where_nothing_was_observed(discriminator):
    image, visibility = torch.randn(4, 3, 16, 16), torch.ones(4, 1, 16, 16)
    visibility[:, :, :8] = 0
    changed = image.clone()
    changed[:, :, :8] = 5.0
    assert torch.equal(discriminator(image, visibility), discriminator(changed, visibility))
    image.requires_grad_(True)
    discriminator(image, visibility).sum().backward()
    assert image.grad[:, :, :8].abs().max() == 0 and image.grad[:, :, 8:].abs().min() > 0


def test_the_discriminator_reads_the_visibility_map(discriminator):
    grey, seen = torch.zeros(4, 3, 16, 16), torch.ones(4, 1, 16, 16)  # a grey picture is the same under any map
    hole = seen.clone()
    hole[:, :, 4:8, 4:8] = 0
    assert (discriminator(grey, seen) - discriminator(grey, hole)).abs().min() > 1e-5
    assert torch.equal(discriminator(grey), discriminator(grey, seen))
    with torch.no_grad():
        discriminator.from_rgb.weight[:, 3] = 0  # the map's own channel: without it nothing is left to tell them apart
    assert torch.equal(discriminator(grey, seen), discriminator(grey, hole))


def test_features_come_from_every_block_and_do_not_mix_samples(discriminator):
    image = torch.randn(4, 3, 16, 16)
    maps = discriminator.features(image)
    assert [tuple(m.shape) for m in maps] == [(4, 16, 8, 8), (4, 16, 4, 4)]
    torch.testing.assert_close(discriminator.features(image[:1])[-1], maps[-1][:1], rtol=1e-4, atol=1e-5)


def test_a_plain_discriminator_refuses_a_visibility_map():
    d = Discriminator(16, **SIZE, in_channels=3)
    image = torch.randn(2, 3, 16, 16)
    assert d(image).shape == (2, 1)
    with pytest.raises(InputError, match="in_channels=4"):
        d(image, torch.ones(2, 1, 16, 16))


def test_saved_networks_come_back_the_same(generator, discriminator, tmp_path):
    generator.w_mean.fill_(0.25)
    image = generator(torch.ones(1, 12))
    generator.save_pretrained(tmp_path / "g")
    discriminator.save_pretrained(tmp_path / "d")
    again = Generator.from_pretrained(tmp_path / "g", low_cpu_mem_usage=False)
    assert torch.equal(again(torch.ones(1, 12)), image) and torch.equal(again.w_mean, generator.w_mean)
    judge = Discriminator.from_pretrained(tmp_path / "d", low_cpu_mem_usage=False)
    assert torch.equal(judge(image), discriminator(image))


def test_half_precision_storage_changes_the_image_little(generator):
    z = torch.randn(2, 12)
    before = generator(z)
    largest = max(p.abs().max().item() for p in generator.parameters())
    assert largest < 6e4
    after = generator.half().float()(z)
    assert (after - before).abs().max() < 0.02 * before.abs().max()
