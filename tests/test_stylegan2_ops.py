"""Every fast form equals its plain definition: values, first and second derivatives, in double precision."""

import math

import pytest
import torch
import torch.nn.functional as F

from studiolike.stylegan2 import ops
from studiolike.stylegan2.discriminator import DiscriminatorBlock, minibatch_std
from studiolike.stylegan2.generator import SynthesisLayer, ToRGB

SQRT2 = math.sqrt(2)


def double(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def orders(function, inputs):
    """Value, gradients, and gradients of the squared gradients, all as one list."""
    inputs = [x.detach().clone().requires_grad_(True) for x in inputs]
    value = function(*inputs)
    probe = double(*value.shape, seed=9)
    first = torch.autograd.grad((value * probe).sum(), inputs, create_graph=True)
    energy = sum(g.square().sum() for g in first)
    second = torch.autograd.grad(energy, inputs, allow_unused=True, materialize_grads=True)
    return [value, *first, *second]


def assert_same_orders(fast, plain, inputs):
    for got, wanted in zip(orders(fast, inputs), orders(plain, inputs), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-9, atol=1e-9)


# ------------------------------------------------------------------------------------------ plain definitions


def plain_filter(x, before, after, gain=1.0):
    line = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=x.dtype)
    kernel = torch.outer(line, line) / 64 * gain
    padded = F.pad(x.flatten(0, 1)[:, None], (before, after, before, after))
    return F.conv2d(padded, kernel[None, None])[:, 0].unflatten(0, x.shape[:2])


def plain_upsample(x):
    batch, channels, height, width = x.shape
    spread = x.new_zeros(batch, channels, 2 * height, 2 * width)
    spread[:, :, ::2, ::2] = x
    return plain_filter(spread, 2, 1, gain=4.0)


def plain_modulated(x, weight, style, up=False, demodulate=True):
    """Equations 1 to 3 of StyleGAN2, one sample at a time."""
    out = []
    for sample, s in zip(x, style, strict=True):
        w = weight * s[None, :, None, None]
        if demodulate:
            w = w / (w.square().sum((1, 2, 3), keepdim=True) + ops.EPSILON).sqrt()
        if up:
            y = F.conv_transpose2d(sample[None], w.transpose(0, 1), stride=2)
            out.append(plain_filter(y, 1, 1, gain=4.0))
        else:
            out.append(F.conv2d(sample[None], w, padding=weight.shape[-1] // 2))
    return torch.cat(out)


# ------------------------------------------------------------------------------------------------------ tests


@pytest.mark.parametrize("kernel", [1, 3])
def test_a_convolution_that_overwrites_itself_has_the_derivatives_of_the_plain_one(kernel):
    conv = ops.EqualConv(3, 4, kernel, gain=0.5).double()

    def plain(x, w, b):
        y = F.conv2d(x, w / math.sqrt(3 * kernel**2), padding=kernel // 2) + b.view(1, -1, 1, 1)
        return F.leaky_relu(y, 0.2) * SQRT2 / 2

    def fast(x, w, b):
        return torch.func.functional_call(conv, {"weight": w, "bias": b}, x)

    assert_same_orders(fast, plain, [double(2, 3, 6, 6), double(4, 3, kernel, kernel, seed=1), double(4, seed=2)])


@pytest.mark.parametrize(
    ("fast", "plain"),
    [
        (ops.downsample, lambda x: plain_filter(x, 1, 1)[:, :, ::2, ::2]),
        (ops.upsample, plain_upsample),
        (lambda x: ops.blur(x, 2), lambda x: plain_filter(x, 2, 2)),
        (lambda x: ops.blur(x, 1, 4.0), lambda x: plain_filter(x, 1, 1, 4.0)),
    ],
    ids=["down", "up", "blur before a strided convolution", "blur after a transposed convolution"],
)
def test_resampling_is_zero_insertion_filtering_and_decimation(fast, plain):
    assert_same_orders(lambda x: fast(x) ** 3, lambda x: plain(x) ** 3, [double(2, 3, 8, 6)])


def test_resampling_has_exact_second_derivatives():
    x = double(1, 2, 4, 4).requires_grad_(True)
    for op in (ops.upsample, ops.downsample, lambda t: ops.blur(t, 2)):
        assert torch.autograd.gradcheck(op, x) and torch.autograd.gradgradcheck(op, x)


def test_resampling_keeps_a_constant_away_from_the_border():
    flat = torch.full((1, 1, 8, 8), 0.7)
    for resampled in (ops.upsample(flat), ops.downsample(flat)):
        inside = resampled[..., 1:-1, 1:-1]
        torch.testing.assert_close(inside, torch.full_like(inside, 0.7))


@pytest.mark.parametrize("up", [False, True])
def test_scaling_activations_equals_scaling_and_demodulating_weights(up):
    def fast(x, w, s):
        y, demodulation = ops.modulated_conv(x, w, s, up=up)
        return y * demodulation[:, :, None, None]

    inputs = [double(3, 4, 4, 4), double(5, 4, 3, 3, seed=1), double(3, 4, seed=2)]
    assert_same_orders(fast, lambda x, w, s: plain_modulated(x, w, s, up), inputs)


def test_the_rgb_product_equals_modulated_weights_without_demodulation():
    def plain(x, w, s):
        return plain_modulated(x, w[:, :, None, None], s, demodulate=False)

    assert_same_orders(ops.modulated_rgb, plain, [double(2, 4, 4, 4), double(3, 4, seed=1), double(2, 4, seed=2)])


@pytest.mark.parametrize("up", [False, True])
def test_a_synthesis_layer_with_folded_gains_equals_the_papers_order(up):
    layer = SynthesisLayer(4, 5, w_dim=6, resolution=8, up=up).double()
    layer.bias.data, layer.noise_strength.data = double(5, seed=5), torch.tensor(0.3, dtype=torch.float64)

    def plain(x, w):
        style = w @ layer.style.weight.T / math.sqrt(6) + 1
        y = plain_modulated(x, layer.weight / math.sqrt(36), style, up)
        return F.leaky_relu(y + layer.noise * layer.noise_strength + layer.bias.view(1, -1, 1, 1), 0.2) * SQRT2

    size = 4 if up else 8
    assert_same_orders(lambda x, w: layer(x, w, "const", None), plain, [double(2, 4, size, size), double(2, 6, seed=1)])


def test_to_rgb_scales_by_its_fan_in():
    layer = ToRGB(4, w_dim=6).double()

    def plain(x, w):
        style = w @ layer.style.weight.T / math.sqrt(6) + 1
        return plain_modulated(x, layer.weight[:, :, None, None] / 2, style, demodulate=False)

    assert_same_orders(layer, plain, [double(2, 4, 4, 4), double(2, 6, seed=1)])


def test_a_discriminator_block_with_folded_gains_equals_the_papers_order():
    block = DiscriminatorBlock(3, 4).double()
    for k, conv in enumerate((block.conv0, block.conv1)):
        conv.bias.data = double(len(conv.bias), seed=k)

    def plain(x):
        y = F.conv2d(x, block.conv0.weight / math.sqrt(27), padding=1) + block.conv0.bias.view(1, -1, 1, 1)
        y = F.leaky_relu(y, 0.2) * SQRT2
        y = F.conv2d(plain_filter(y, 2, 2), block.conv1.weight / math.sqrt(27), stride=2)
        y = F.leaky_relu(y + block.conv1.bias.view(1, -1, 1, 1), 0.2) * SQRT2
        skip = plain_filter(F.conv2d(x, block.skip.weight / math.sqrt(3)), 1, 1)[:, :, ::2, ::2]
        return (y + skip) / SQRT2

    assert_same_orders(block, plain, [double(2, 3, 8, 8)])


@pytest.mark.parametrize("rate", [1.0, 0.01])
def test_an_equalised_linear_layer_scales_weights_and_bias_when_used(rate):
    layer = ops.EqualLinear(5, 4, activate=True, rate=rate, bias=0.5).double()

    def plain(x):
        y = x @ (layer.weight * rate / math.sqrt(5)).T + layer.bias * rate
        return F.leaky_relu(y, 0.2) * SQRT2

    torch.testing.assert_close(layer.bias * rate, torch.full((4,), 0.5, dtype=torch.float64))
    assert_same_orders(layer, plain, [double(3, 5)])


@pytest.mark.parametrize(("batch", "group"), [(8, 4), (6, 3), (3, 3), (1, 1)])
def test_minibatch_deviation_compares_neighbours(batch, group):
    x = double(batch, 2, 3, 3)
    appended = minibatch_std(x)[:, 2]
    for start in range(0, batch, group):
        part = x[start : start + group]
        wanted = ((part - part.mean(0)).square().mean(0) + ops.EPSILON).sqrt().mean()
        torch.testing.assert_close(appended[start : start + group], wanted.expand(group, 3, 3))


def test_a_batch_split_in_two_has_the_same_minibatch_deviation():
    x = double(8, 2, 3, 3)
    assert torch.equal(minibatch_std(x), torch.cat([minibatch_std(x[:4]), minibatch_std(x[4:])]))


def test_outputs_stay_channels_last():
    x = ops.channels_last(torch.randn(2, 4, 8, 8))
    y, _ = ops.modulated_conv(x, torch.randn(6, 4, 3, 3), torch.randn(2, 4), up=True)
    for z in (ops.upsample(x), ops.downsample(x), ops.blur(x, 2), ops.EqualConv(4, 6, 3, down=True)(x), y):
        assert z.is_contiguous(memory_format=torch.channels_last)


def test_a_filter_first_used_in_inference_still_trains():
    ops._kernel.cache_clear()
    with torch.inference_mode():
        ops.downsample(torch.randn(1, 7, 4, 4))
    x = torch.randn(1, 7, 4, 4, requires_grad=True)
    ops.downsample(x).sum().backward()
    assert x.grad is not None
