"""Weights in 8 bits: convolutions of others whose files would be large, and networks of ours that nothing else stands on."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class QuantisedConv(nn.Module):
    """Convolution whose filters are 8-bit codes: ``filter = low + scale · code``, with one ``low`` and ``scale`` per output."""

    def __init__(self, channels_in: int, channels: int, kernel: int, stride: int = 1, same: bool = True):
        super().__init__()
        self.stride, self.padding = stride, kernel // 2 if same else 0
        self.register_buffer("codes", torch.zeros(channels, channels_in, kernel, kernel, dtype=torch.uint8))
        for name in ("low", "scale", "bias"):
            self.register_buffer(name, torch.zeros(channels))

    def encode(self, filters: Tensor, bias: Tensor) -> None:
        """Take on ``filters (O, I, K, K)`` and ``bias (O,)``, in numbers that half precision holds."""
        flat = filters.float().flatten(1)
        self.low = flat.amin(1).half().float()
        self.scale = ((flat.amax(1) - self.low) / 255).half().float().clamp_min(2**-23)
        codes = torch.zeros_like(flat)
        rest = torch.zeros(len(flat))
        for k, column in enumerate(flat.T):  # what rounding leaves goes on to the next filter tap: errors that neighbours cancel
            codes[:, k] = ((column + rest - self.low) / self.scale).round().clamp(0, 255)
            rest = rest + column - self.low - self.scale * codes[:, k]
        self.codes.copy_(codes.view_as(filters))
        self.bias = bias.float()

    def forward(self, x: Tensor) -> Tensor:
        low, scale = (t.to(x.dtype)[:, None, None, None] for t in (self.low, self.scale))
        return F.conv2d(x, low + scale * self.codes.to(x.dtype), self.bias.to(x.dtype), self.stride, self.padding)


STEP = ".step"  # ends the name of the factors that go with codes


def coded(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A network's weights for a small file, on the CPU.

    Matrices and kernels ``(O, …)`` become int8 codes in [−127, 127] and, under their name and `STEP`, a float32 factor ``(O,)``:
    a weight is code times factor, to within half a factor. Other numbers are kept in half precision, and integers as they are.
    `decoded` takes it back.
    """
    made = {}
    for name, weight in state.items():
        weight = weight.detach().cpu()
        if not weight.is_floating_point():
            made[name] = weight
        elif weight.ndim < 2:
            made[name] = weight.half()
        else:
            weight = weight.float()
            step = (weight.flatten(1).abs().amax(1) / 127).clamp_min(2**-100)
            codes = weight / step.view(-1, *[1] * (weight.ndim - 1))
            made |= {name: codes.round().to(torch.int8).contiguous(), name + STEP: step}
    return made


def decoded(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights as a network knows them, of what `coded` made; others as they are."""
    steps = {name: state[name + STEP] for name in state if name + STEP in state}
    made = {name: weight for name, weight in state.items() if name.removesuffix(STEP) not in steps}
    return made | {name: state[name].float() * step.view(-1, *[1] * (state[name].ndim - 1)) for name, step in steps.items()}
