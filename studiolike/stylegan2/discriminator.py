"""The StyleGAN2 discriminator, residual, looking at masked textures.

Karras et al., CVPR 2020, section 4.1 (residual blocks) and Karras et al., ICLR 2018, section 3 (minibatch standard
deviation). Ours: a fourth input channel is the visibility map, and unobserved texels are set to zero before anything
sees them, so that no decision can rest on what stands in a hole. Real and generated images are looked at through maps
of the same distribution (in the spirit of AmbientGAN, Bora et al., ICLR 2018), so the maps give nothing away.
"""

from __future__ import annotations

import math

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from ..errors import InputError
from .bands import bands, channels_of_bands
from .generator import channels_at, check_resolution
from .ops import EPSILON, EqualConv, EqualLinear, channels_last


def minibatch_std(x: Tensor, group: int = 4) -> Tensor:
    """Append one channel: the standard deviation over a group of samples, averaged over everything else.

    Groups are neighbours in the batch, so that a batch split over processes keeps its groups.

    Args:
        x: ``(B, C, H, W)``.
        group: samples that are compared; the largest number up to this that divides B.
    Returns:
        ``(B, C + 1, H, W)``.
    """
    batch, channels, height, width = x.shape
    group = next(n for n in range(min(group, batch), 0, -1) if batch % n == 0)
    grouped = x.reshape(-1, group, channels, height, width)
    variance = grouped.to(torch.promote_types(x.dtype, torch.float32)).var(1, unbiased=False)  # squares overflow fp16
    deviation = (variance + EPSILON).sqrt().mean((1, 2, 3))
    plane = deviation.repeat_interleave(group).view(batch, 1, 1, 1).expand(-1, 1, height, width)
    return torch.cat([x, plane.to(x.dtype)], 1)


class DiscriminatorBlock(nn.Module):
    """Two convolutions, the second halving the size, plus a 1×1 short cut; both branches scaled by 1/√2."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        half = math.sqrt(0.5)
        self.conv0 = EqualConv(inputs, inputs, 3)
        self.conv1 = EqualConv(inputs, outputs, 3, down=True, gain=half)
        self.skip = EqualConv(inputs, outputs, 1, down=True, activate=False, gain=half)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, I, H, W)`` → ``(B, O, H/2, W/2)``."""
        return self.conv1(self.conv0(x)) + self.skip(x)


class Discriminator(ModelMixin, ConfigMixin):
    """Signed image and visibility → one logit: high means real.

    Args:
        resolution: side of the images.
        channel_base, channel_max: as in the generator.
        in_channels: 4 = masked colour and visibility; 3 = plain images, visibility is then not accepted. Either way it also
            reads the colours' finest `bands`.
    Attributes:
        blocks: residual blocks by input resolution, ``blocks["64"]`` first; ``from_rgb`` stands before them.
    Raises:
        InputError: a resolution that is not a power of two.
    """

    @register_to_config
    def __init__(self, resolution: int = 64, channel_base: int = 2048, channel_max: int = 128, in_channels: int = 4):
        super().__init__()
        check_resolution(resolution)

        def channels(size: int) -> int:
            return channels_at(size, channel_base, channel_max)

        sizes = [2**k for k in range(resolution.bit_length() - 1, 2, -1)]
        self.from_rgb = EqualConv(in_channels + channels_of_bands(resolution), channels(resolution), 1)
        self.blocks = nn.ModuleDict({str(n): DiscriminatorBlock(channels(n), channels(n // 2)) for n in sizes})
        self.last_conv = EqualConv(channels(4) + 1, channels(4), 3)
        self.hidden = EqualLinear(channels(4) * 16, channels(4), activate=True)
        self.logit = EqualLinear(channels(4), 1)

    def _look(self, rgb: Tensor, visibility: Tensor | None) -> Tensor:
        if self.config.in_channels == 3 and visibility is not None:
            raise InputError("this discriminator has no visibility channel; build it with in_channels=4")
        if visibility is None:
            visibility = torch.ones_like(rgb[:, :1])
        seen = [visibility] if self.config.in_channels == 4 else []
        x = torch.cat([rgb * visibility, *seen, bands(rgb, visibility)], 1)
        return self.from_rgb(channels_last(x.to(self.from_rgb.weight.dtype)))

    def features(self, rgb: Tensor, visibility: Tensor | None = None) -> list[Tensor]:
        """Output of every block, from half the resolution down to 4²: in-domain features for a perceptual distance."""
        x = self._look(rgb, visibility)
        maps = []
        for block in self.blocks.values():
            x = block(x)
            maps.append(x)
        return maps

    def forward(self, rgb: Tensor, visibility: Tensor | None = None) -> Tensor:
        """Judge images.

        Args:
            rgb: signed ``(B, 3, H, W)``.
            visibility: ``(B, 1, H, W)`` in [0, 1]; None = all observed.
        Returns:
            logits ``(B, 1)``.
        """
        x = self.features(rgb, visibility)[-1]
        x = self.last_conv(minibatch_std(x))
        return self.logit(self.hidden(x.flatten(1)))
