"""The network of the trained rivals: a small U-Net that looks at the phone texture and gives the studio texture.

After Ronneberger et al., *U-Net* (MICCAI 2015), as an image-to-image network (Isola et al., *pix2pix*, CVPR 2017), with residual
blocks. It is told what our chain is told, the texture and its visibility, and where in the map a texel lies: registered maps are
the one advantage of this data, and a rival without it would be a straw man. Holes are filled smoothly before it looks. Like the
detailer it works on 2×2 blocks of texels stacked into channels, which makes it four times cheaper.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from ..config import GROUPS
from ..detail.model import uv_channels
from ..errors import InputError
from ..image import fill_unobserved, linear_to_srgb, srgb_to_linear, to_signed

KINDS = ("direct", "gain")
CHANNELS = (32, 64, 96, 128)  # about as many parameters as our chain has
SHARE = 0.7  # of the captures that are disturbed, in every rival's training
FLOOR = 0.02  # linear light added before the logarithm, as in `detail.fusion`
STEEPEST = 4.0  # natural logarithm of the largest gain: fiftyfold


class ResidualBlock(nn.Module):
    """Two normalised convolutions beside a short cut; the second starts at zero, so the block starts as the short cut."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.norm0, self.conv0 = nn.GroupNorm(GROUPS, inputs), nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm1, self.conv1 = nn.GroupNorm(GROUPS, outputs), nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)
        nn.init.zeros_(self.conv1.weight)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, I, H, W)`` → ``(B, O, H, W)``."""
        hidden = self.conv0(F.silu(self.norm0(x)))
        return self.skip(x) + self.conv1(F.silu(self.norm1(hidden)))


class TranslatorUNet(ModelMixin, ConfigMixin):
    """Phone texture and visibility → studio texture.

    Args:
        kind: "direct": the network's answer is added to the filled phone texture; "gain": it is a field of gains in logarithmic
            light, three per texel, which multiplies the filled phone texture's light, as light itself does. Both start as
            the identity.
        channels: width of each level; the first works at half the texture's resolution.
    Raises:
        InputError: unknown kind.
    """

    @register_to_config
    def __init__(self, kind: str = "direct", channels: tuple[int, ...] = CHANNELS):
        super().__init__()
        if kind not in KINDS:
            raise InputError(f"unknown kind of translator {kind!r}; use one of {', '.join(KINDS)}")
        widths = list(channels)
        self.enter = nn.Conv2d(4 * (3 + 1 + 2), widths[0], 3, padding=1)
        self.down = nn.ModuleList(ResidualBlock(a, b) for a, b in zip([widths[0], *widths], widths, strict=False))
        self.middle = ResidualBlock(widths[-1], widths[-1])
        below = [widths[-1], *widths[:0:-1]]
        self.up = nn.ModuleList(ResidualBlock(a + b, b) for a, b in zip(below, widths[::-1], strict=True))
        self.leave = nn.Conv2d(widths[0], 4 * 3, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        assert self.leave.bias is not None
        nn.init.zeros_(self.leave.bias)

    def look(self, texture: Tensor, visibility: Tensor) -> list[Tensor]:
        """Features of every level on the way down, ``(B, C_k, H / 2^(k+1), W / 2^(k+1))``; arguments as `forward`."""
        filled = to_signed(fill_unobserved(texture, visibility))
        seen = torch.cat([filled, to_signed(visibility), uv_channels(texture)], 1)
        x = self.enter(F.pixel_unshuffle(seen, 2).to(self.dtype).contiguous(memory_format=torch.channels_last))
        features = []
        for block in self.down:
            features.append(block(x if not features else F.avg_pool2d(features[-1], 2)))
        return features

    def forward(self, texture: Tensor, visibility: Tensor) -> Tensor:
        """Translate.

        Args:
            texture: ``(B, 3, H, W)`` in [0, 1], sRGB; H and W powers of two. visibility: ``(B, 1, H, W)`` in [0, 1].
        Returns:
            signed ``(B, 3, H, W)``, not clamped where the kind is "direct".
        """
        features = self.look(texture, visibility)
        x = self.middle(features[-1])
        for block, beside in zip(self.up, reversed(features), strict=True):
            x = x if x.shape[-1] == beside.shape[-1] else F.interpolate(x, scale_factor=2.0)
            x = block(torch.cat([x, beside], 1))
        answer = F.pixel_shuffle(self.leave(x), 2).float()
        filled = fill_unobserved(texture, visibility)
        if self.config.kind == "direct":
            return to_signed(filled) + answer
        gain = answer.clamp(-STEEPEST, STEEPEST).exp()
        return to_signed(linear_to_srgb(((srgb_to_linear(filled) + FLOOR) * gain - FLOOR).clamp(0, 1)))
