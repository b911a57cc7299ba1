"""The operations StyleGAN2 is made of, in forms that are fast in plain PyTorch, with first and second derivatives.

Karras et al., *A Style-Based Generator Architecture* (CVPR 2019) and *Analyzing and Improving the Image Quality of
StyleGAN* (CVPR 2020). Three things differ from the textbook, and each has a test against its definition:

- `modulated_conv` scales activations instead of weights, so that one ordinary convolution serves the whole batch;
- the filters of `blur`, `downsample` and `upsample` are symmetric, so their derivative is themselves read backwards, at
  any order;
- gains are folded into what is small, weights and biases, and the leaky ReLU overwrites its input: its slope can be read
  off its output.

Everything runs channels-last: on a CPU depthwise filters are several times slower in the other layout.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SQRT2 = math.sqrt(2.0)
SLOPE = 0.2  # of the leaky ReLU, everywhere (2019, appendix C)
EPSILON = 1e-8


def channels_last(x: Tensor) -> Tensor:
    """The same values ``(B, C, H, W)``, stored with the channels innermost."""
    return x.contiguous(memory_format=torch.channels_last)


# -------------------------------------------------------------------------------------------------- resampling


@lru_cache(256)
def _kernel(channels: int, gain: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    line = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=torch.float64) / 8
    with torch.inference_mode(False):  # a kernel first made during inference must still serve training
        square = (torch.outer(line, line) * gain).to(device, dtype)
        return square.expand(channels, 1, 4, 4).contiguous()


class _Fir(torch.autograd.Function):
    """Depthwise filtering with the symmetric kernel; the adjoint is the transposed filtering, and the other way round.

    PyTorch's own second derivative of a depthwise convolution loops over the channels; this one never does.
    """

    @staticmethod
    def forward(ctx, x: Tensor, stride: int, pad: int, gain: float, transposed: bool) -> Tensor:
        ctx.form = stride, pad, gain, transposed
        channels = x.shape[1]
        if transposed and stride == 1:  # then a symmetric filter's transpose is the filter, with the rest of the padding
            pad, transposed = 3 - pad, False
        slow = transposed and x.dtype is torch.bfloat16 and x.device.type == "cpu"  # fifty times slower than float32
        source = x.float() if slow else x
        op = F.conv_transpose2d if transposed else F.conv2d
        y = op(source, _kernel(channels, gain, source.dtype, x.device), stride=stride, padding=pad, groups=channels)
        return y.to(x.dtype) if slow else y

    @staticmethod
    def backward(ctx, grad: Tensor):
        stride, pad, gain, transposed = ctx.form
        return _Fir.apply(grad, stride, pad, gain, not transposed), None, None, None, None


def blur(x: Tensor, pad: int, gain: float = 1.0) -> Tensor:
    """Filter with [1, 3, 3, 1]² / 64 · gain: ``(B, C, H, W)`` → ``(B, C, H + 2·pad − 3, W + 2·pad − 3)``."""
    return _Fir.apply(x, 1, pad, gain, False)


def downsample(x: Tensor) -> Tensor:
    """Filter and keep every second texel: ``(B, C, H, W)`` → ``(B, C, H/2, W/2)``."""
    return _Fir.apply(x, 2, 1, 1.0, False)


def upsample(x: Tensor) -> Tensor:
    """Insert zeros and filter, gain 4 so that means survive: ``(B, C, H, W)`` → ``(B, C, 2H, 2W)``."""
    return _Fir.apply(x, 2, 1, 4.0, True)


# --------------------------------------------------------------------------------------------------- convolutions


def modulated_conv(x: Tensor, weight: Tensor, style: Tensor, *, up: bool = False) -> tuple[Tensor, Tensor]:
    """Modulated 3×3 convolution, its demodulation still to be applied (2020, section 2.2, equations 1–3).

    The paper scales the weights per sample, w'ᵢⱼₖ = sᵢ · wᵢⱼₖ, and divides by their norm. As both act on whole input or
    output channels, d · conv(s · x, w) with d = 1/√(Σ s²w² + ε) is the same thing with one weight for all samples; the
    sum is a matrix product of s² with the squared weights. The caller multiplies by d, where other factors ride along.

    Args:
        x: ``(B, I, H, W)``.
        weight: ``(O, I, 3, 3)``.
        style: ``(B, I)``.
        up: also double the size: transposed convolution of stride 2, then the filter.
    Returns:
        ``(B, O, H', W')`` and the demodulation ``(B, O)``.
    """
    energy = weight.square().sum((2, 3))
    demodulation = (style.square() @ energy.T + EPSILON).rsqrt()
    x = x * style[:, :, None, None].to(x.dtype)
    if not up:
        return F.conv2d(x, channels_last(weight.to(x.dtype)), padding=1), demodulation
    y = F.conv_transpose2d(x, channels_last(weight.to(x.dtype).transpose(0, 1)), stride=2)
    return blur(y, pad=1, gain=4.0), demodulation


class _Colours(torch.autograd.Function):
    """``rows @ kernelᵀ`` for kernels of three rows, whose gradient PyTorch would compute in the slow order, thin matrix last."""

    @staticmethod
    def forward(ctx, rows: Tensor, kernel: Tensor) -> Tensor:
        ctx.save_for_backward(rows, kernel)
        return rows @ kernel.transpose(1, 2)

    @staticmethod
    def backward(ctx, grad: Tensor):
        rows, kernel = ctx.saved_tensors
        return grad @ kernel, grad.transpose(1, 2) @ rows


def modulated_rgb(x: Tensor, weight: Tensor, style: Tensor) -> Tensor:
    """Modulated 1×1 convolution to a few channels, without demodulation (2020, figure 7).

    With three outputs the per-sample weights are tiny: one batched matrix product, no scaled copy of ``x``.

    Args:
        x: ``(B, I, H, W)``.
        weight: ``(O, I)``.
        style: ``(B, I)``.
    Returns:
        ``(B, O, H, W)``.
    """
    batch, channels, height, width = x.shape
    kernel = (weight[None] * style[:, None]).to(x.dtype)  # (B, O, I)
    rows = x.permute(0, 2, 3, 1).reshape(batch, height * width, channels)
    return _Colours.apply(rows, kernel).view(batch, height, width, -1).permute(0, 3, 1, 2)


class EqualLinear(nn.Module):
    """Linear layer with equalised learning rate: unit-variance weights, scaled by 1/√fan-in when used.

    Karras et al., *Progressive Growing of GANs* (ICLR 2018), section 4.1.

    Args:
        inputs, outputs: features.
        activate: follow with leaky ReLU, gain √2.
        rate: relative learning rate; the weights are stored divided by it (0.01 in the mapping network, 2019, appendix C).
        bias: initial bias, as it acts.
    """

    def __init__(self, inputs: int, outputs: int, *, activate: bool = False, rate: float = 1.0, bias: float = 0.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / rate)
        self.bias = nn.Parameter(torch.full((outputs,), bias / rate))
        self.activate = activate
        self.bias_gain = rate * (SQRT2 if activate else 1.0)
        self.weight_gain = self.bias_gain / math.sqrt(inputs)

    def forward(self, x: Tensor) -> Tensor:
        """``(…, inputs)`` → ``(…, outputs)``."""
        weight, bias = self.weight * self.weight_gain, self.bias * self.bias_gain
        x = F.linear(x, weight, bias)
        return F.leaky_relu_(x, SLOPE) if self.activate else x


class EqualConv(nn.Module):
    """Convolution of the discriminator, equalised learning rate, all gains folded into the weights.

    Args:
        inputs, outputs: channels.
        kernel: 1 or 3.
        down: also halve the size (filter, then stride 2).
        activate: bias and leaky ReLU; without it there is no bias either.
        gain: further factor of the output; a leaky ReLU lets positive factors through.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, *, down: bool = False, activate: bool = True, gain: float = 1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if activate else None
        self.kernel, self.down = kernel, down
        self.bias_gain = gain * (SQRT2 if activate else 1.0)
        self.weight_gain = self.bias_gain / math.sqrt(inputs * kernel * kernel)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, inputs, H, W)`` → ``(B, outputs, H, W)``, or half the size."""
        weight = channels_last((self.weight * self.weight_gain).to(x.dtype))
        bias = None if self.bias is None else (self.bias * self.bias_gain).to(x.dtype)
        if not self.down:
            x = F.conv2d(x, weight, bias, padding=self.kernel // 2)
        elif self.kernel == 1:  # a 1×1 convolution commutes with the filter: do the work at the small size
            x = F.conv2d(downsample(x), weight, bias)
        else:
            x = F.conv2d(blur(x, pad=2), weight, bias, stride=2)
        return x if bias is None else F.leaky_relu_(x, SLOPE)
