"""The StyleGAN2 generator: mapping network, and a synthesis network with skip connections.

Karras et al., *Analyzing and Improving the Image Quality of StyleGAN* (CVPR 2020): weight demodulation (section 2.2) and
output skips (section 4.1). In: z ``(B, D)`` or w+ ``(B, L, D)``. Out: signed images ``(B, 3, H, W)``.

**Which w feeds which layer.** w+ has L = 2·log₂(resolution) − 2 rows. The block at 4² has one convolution (row 0), every
later block two; the k-th convolution reads row k. The toRGB of a block reads the row *after* its last convolution, which
is also the row of the next block's first convolution; only the last toRGB has a row of its own. At 64², L = 10:

    block    4²    8²     16²    32²    64²
    convs    0     1 2    3 4    5 6    7 8
    toRGB    1     3      5      7      9

So "keep everything up to 8²" means different things by module (train `modules_from(8)`: the toRGB of 8² stays frozen) and
by row (change rows ≥ 3: the toRGB of 8² sees the change). `rows` gives the table.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn
from torch.nn.functional import leaky_relu_

from ..errors import InputError
from .ops import EPSILON, SLOPE, SQRT2, EqualLinear, channels_last, modulated_conv, modulated_rgb, upsample

Noise = Literal["const", "random", "none"]


def channels_at(resolution: int, base: int, maximum: int) -> int:
    """Feature maps at a resolution, in both networks: base / resolution, at least 16 and at most ``maximum``."""
    return min(max(base // resolution, 16), maximum)


def check_resolution(resolution: int) -> None:
    """Raise `InputError` unless ``resolution`` is a power of two, at least 8."""
    if resolution < 8 or resolution & (resolution - 1):
        raise InputError(f"resolution {resolution} is not a power of two of at least 8; use 32, 64, 128 … 1024")


MAPPING_RATE = 0.01  # learning rate of the mapping network, relative to the rest (2019, section 2)


class MappingNetwork(nn.Module):
    """z → w: normalise to the sphere, then fully connected layers that learn a hundred times slower."""

    def __init__(self, w_dim: int, layers: int):
        super().__init__()
        self.layers = nn.ModuleList(EqualLinear(w_dim, w_dim, activate=True, rate=MAPPING_RATE) for _ in range(layers))

    def forward(self, z: Tensor) -> Tensor:
        """``(B, D)`` → ``(B, D)``, in the precision of the weights."""
        z = z.to(self.layers[0].weight.dtype)
        w = z * (z.square().mean(1, keepdim=True) + EPSILON).rsqrt()
        for layer in self.layers:
            w = layer(w)
        return w


class SynthesisLayer(nn.Module):
    """Modulated convolution, noise, bias, leaky ReLU (2020, figure 2d)."""

    def __init__(self, inputs: int, outputs: int, w_dim: int, resolution: int, up: bool = False):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise", torch.randn(1, 1, resolution, resolution))
        self.style = EqualLinear(w_dim, inputs, bias=1.0)
        self.up, self.gain = up, 1 / math.sqrt(inputs * 9)

    def forward(self, x: Tensor, w: Tensor, noise: Noise, rng: torch.Generator | None) -> Tensor:
        """``x (B, I, H, W)``, ``w (B, D)`` → ``(B, O, H', W')``."""
        y, demodulation = modulated_conv(x, self.weight * self.gain, self.style(w), up=self.up)
        factor = (demodulation * SQRT2)[:, :, None, None].to(y.dtype)  # the activation's gain rides on the small factors
        if noise == "none":
            y = y * factor
        else:
            field = self.noise if noise == "const" else self._draw(y, rng)
            y = torch.addcmul(field.to(y.dtype) * (self.noise_strength * SQRT2).to(y.dtype), y, factor)
        return leaky_relu_(y.add_((self.bias * SQRT2).view(1, -1, 1, 1).to(y.dtype)), SLOPE)

    @staticmethod
    def _draw(y: Tensor, rng: torch.Generator | None) -> Tensor:
        shape = len(y), 1, *y.shape[2:]
        device = y.device if rng is None else rng.device
        return torch.randn(shape, generator=rng, device=device).to(y.device, non_blocking=True)


class ToRGB(nn.Module):
    """Modulated 1×1 convolution to three channels, no demodulation."""

    def __init__(self, inputs: int, w_dim: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, inputs))
        self.bias = nn.Parameter(torch.zeros(3))
        self.style = EqualLinear(w_dim, inputs, bias=1.0)
        self.gain = 1 / math.sqrt(inputs)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """``x (B, I, H, W)``, ``w (B, D)`` → ``(B, 3, H, W)``."""
        return modulated_rgb(x, self.weight, self.style(w) * self.gain) + self.bias.view(1, 3, 1, 1).to(x.dtype)


class SynthesisBlock(nn.Module):
    """One resolution: up-sampling convolution (not at 4²), convolution, toRGB added to the up-sampled image so far."""

    def __init__(self, inputs: int | None, outputs: int, w_dim: int, resolution: int):
        super().__init__()
        convs = [] if inputs is None else [SynthesisLayer(inputs, outputs, w_dim, resolution, up=True)]
        self.convs = nn.ModuleList([*convs, SynthesisLayer(outputs, outputs, w_dim, resolution)])
        self.to_rgb = ToRGB(outputs, w_dim)

    def forward(
        self, x: Tensor, image: Tensor | None, ws: Tensor, noise: Noise, rng: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        """``ws`` holds the block's rows of w+, one per convolution and one for toRGB."""
        for k, conv in enumerate(self.convs):
            x = conv(x, ws[:, k], noise, rng)
        rgb = self.to_rgb(x, ws[:, len(self.convs)])
        return x, rgb if image is None else upsample(image) + rgb


class Generator(ModelMixin, ConfigMixin):
    """z or w+ → signed texture.

    Args:
        resolution: side of the image, a power of two.
        w_dim: length D of z and of w.
        mapping_layers: fully connected layers from z to w.
        channel_base, channel_max: feature maps at resolution r are channel_base / r, at least 16, at most channel_max.
    Attributes:
        num_ws: rows L of w+.
        w_mean: running mean of w, ``(D,)``, the centre of truncation and of inversion; training tracks it.
        blocks: synthesis blocks by resolution, ``blocks["8"]``.
    Raises:
        InputError: a resolution that is not a power of two.
    """

    @register_to_config
    def __init__(
        self, resolution: int = 64, w_dim: int = 128, mapping_layers: int = 4, channel_base: int = 2048, channel_max: int = 128
    ):
        super().__init__()
        check_resolution(resolution)
        self.mapping = MappingNetwork(w_dim, mapping_layers)
        sizes = [2**k for k in range(2, resolution.bit_length())]
        channels = [channels_at(size, channel_base, channel_max) for size in sizes]
        self.const = nn.Parameter(torch.randn(1, channels[0], 4, 4))
        self.blocks = nn.ModuleDict(
            {
                str(size): SynthesisBlock(before, now, w_dim, size)
                for size, before, now in zip(sizes, [None, *channels[:-1]], channels, strict=True)
            }
        )
        self.num_ws = 2 * len(sizes)
        self.register_buffer("w_mean", torch.zeros(w_dim))

    def rows(self, resolution: int) -> range:
        """Rows of w+ that the block at ``resolution`` reads: its convolutions', then its toRGB's (shared, see above)."""
        level = resolution.bit_length() - 3
        return range(max(2 * level - 1, 0), 2 * level + 2)

    def modules_from(self, train_from: int, rgb: bool = False) -> nn.ModuleList:
        """Synthesis blocks of a resolution above ``train_from``: the θ(8+) of few-shot fine-tuning is ``modules_from(8)``.

        With ``rgb`` also the toRGB layers of the other blocks, so that no *features* up to ``train_from`` move.
        """
        chosen = ((block if int(size) > train_from else block.to_rgb if rgb else None) for size, block in self.blocks.items())
        return nn.ModuleList(module for module in chosen if module is not None)

    def synthesis(self, w_plus: Tensor, noise: Noise = "const", rng: torch.Generator | None = None) -> Tensor:
        """w+ → image.

        Args:
            w_plus: ``(B, L, D)``.
            noise: "const" = the stored maps, the same every time; "random" = fresh ones from ``rng``; "none".
            rng: for random noise; its device may differ from the network's.
        Returns:
            ``(B, 3, H, W)``, roughly in [-1, 1], not clamped; in the precision of the weights.
        Raises:
            InputError: w+ of another shape, or an unknown ``noise``.
        """
        if w_plus.ndim != 3 or w_plus.shape[1] != self.num_ws:
            raise InputError(f"w+ is {tuple(w_plus.shape)}, expected (B, {self.num_ws}, {self.config.w_dim})")
        if noise not in ("const", "random", "none"):
            raise InputError(f"unknown noise '{noise}'; choose const, random or none")
        w_plus = w_plus.to(self.const.dtype)
        x = channels_last(self.const.expand(len(w_plus), -1, -1, -1))
        image = None
        for size, block in self.blocks.items():
            rows = self.rows(int(size))
            x, image = block(x, image, w_plus[:, rows.start : rows.stop], noise, rng)
        assert image is not None  # there is at least one block
        return image

    def truncate(self, w: Tensor, truncation: float) -> Tensor:
        """Pull w ``(…, D)`` towards the mean: 1 leaves it, 0 gives the mean (2019, appendix B)."""
        return w if truncation == 1 else torch.lerp(self.w_mean.to(w.dtype).expand_as(w), w, truncation)

    def expand(self, w: Tensor) -> Tensor:
        """One w for all layers: ``(B, D)`` → ``(B, L, D)``."""
        return w[:, None].expand(-1, self.num_ws, -1)

    def forward(self, z: Tensor, truncation: float = 1.0, noise: Noise = "const", rng: torch.Generator | None = None) -> Tensor:
        """z ``(B, D)``, standard normal → signed image ``(B, 3, H, W)``; arguments as in `synthesis`."""
        return self.synthesis(self.expand(self.truncate(self.mapping(z), truncation)), noise, rng)
