"""The small network that tells a person from what is behind.

Architecture of MediaPipe's selfie segmentation with its weights (see NOTICE; `python -m studiolike.capture.convert` made the
file): an encoder of inverted residuals (Howard et al., *Searching for MobileNetV3*, 2019), a decoder that weighs what it takes
over from it by the mean of both.
"""

from __future__ import annotations

import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from .face_networks import HalvingConv, depthwise

PERSON_SIDE = 256  # pixels of the pictures that it learnt from


class Gate(nn.Module):
    """Weights of channels, in (0, 1), from the channels' means (Hu et al., *Squeeze-and-Excitation Networks*, 2018)."""

    def __init__(self, channels: int, squeezed: int):
        super().__init__()
        self.squeeze, self.excite = nn.Conv2d(channels, squeezed, 1), nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.excite(self.squeeze(x.mean((2, 3), keepdim=True)).relu()).sigmoid()


class InvertedResidual(nn.Module):
    """1 × 1 to many channels, a convolution of each, a gate, and 1 × 1 back."""

    def __init__(
        self, channels: int, wide: int, out: int, kernel: int = 3, *, stride: int = 1, squeezed: int = 0, hard: bool = False
    ):
        super().__init__()
        self.act = nn.Hardswish() if hard else nn.ReLU()
        self.widen = nn.Conv2d(channels, wide, 1)
        self.depthwise = depthwise(wide, kernel, stride == 2)
        self.gate = Gate(wide, squeezed) if squeezed else None
        self.narrow = nn.Conv2d(wide, out, 1)
        self.adds = stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        y = self.act(self.depthwise(self.act(self.widen(x))))
        y = self.narrow(y * self.gate(y) if self.gate else y)
        return x + y if self.adds else y


class Merge(nn.Module):
    """Twice the side, and what the encoder had at that size."""

    def __init__(self, channels: int, out: int):
        super().__init__()
        self.narrow, self.gate = nn.Conv2d(channels, out, 1), Gate(out, out)
        self.mix, self.depthwise = nn.Conv2d(out, out, 1), depthwise(out)

    def forward(self, x: Tensor, kept: Tensor) -> Tensor:
        x = self.narrow(F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False))
        y = self.mix(kept * self.gate(kept + x) + x).relu()
        return y + self.depthwise(y).relu()


class PersonMask(ModelMixin, ConfigMixin):
    """How likely each pixel shows a person: hair, skin, clothes."""

    @register_to_config
    def __init__(self):
        super().__init__()
        self.encoder = nn.ModuleList(  # each halves the side
            [
                nn.Sequential(HalvingConv(3, 16, 3), nn.Hardswish()),
                InvertedResidual(16, 16, 16, stride=2, squeezed=8),
                nn.Sequential(InvertedResidual(16, 72, 24, stride=2), InvertedResidual(24, 88, 24)),
            ]
        )
        self.deep = nn.Sequential(
            InvertedResidual(24, 96, 32, 5, stride=2, squeezed=24, hard=True),
            *(InvertedResidual(32, wide, 32, 5, squeezed=wide // 4, hard=True) for wide in (128, 128, 96, 96)),
        )
        self.local, self.overall = nn.Conv2d(32, 128, 1), nn.Conv2d(32, 128, 1)
        self.merge = nn.ModuleList([Merge(128, 24), Merge(24, 16), Merge(16, 16)])
        self.out = nn.ConvTranspose2d(16, 1, 2, stride=2)

    def forward(self, picture: Tensor) -> Tensor:
        """Look for people.

        Args:
            picture: ``(B, 3, 256, 256)`` in [0, 1], sRGB.
        Returns:
            Probability ``(B, 1, 256, 256)``.
        """
        x, kept = picture, []
        for stage in self.encoder:
            x = stage(x)
            kept.append(x)
        x = self.deep(x)
        x = self.local(x).relu() * self.overall(x.mean((2, 3), keepdim=True)).sigmoid()
        for merge, skip in zip(self.merge, reversed(kept), strict=True):
            x = merge(x, skip)
        return self.out(x).sigmoid()
