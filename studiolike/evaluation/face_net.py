"""A face-identity network that is not ours: dlib's ResNet, which learnt from three million photographs of people.

Our own identity networks know synthetic heads only; whether a *real* person is still that person, they cannot say. This one
can: 128 numbers a face, and two photographs of one person lie closer than 0.6 (Euclidean; `SAME_PERSON`). It judges and
never trains. It wants upright photographs cut out by `chips`, never a UV map.

A residual network (He et al., CVPR 2016) of 29 convolutions by Davis King, in the public domain (see NOTICE). The released
file holds 8-bit codes; the affine layer after each convolution is folded into it. `python -m studiolike.evaluation.convert`
made the file.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from ..quantised import QuantisedConv

SIDE = 150  # pixels of the picture that it reads
SAME_PERSON = 0.6  # the distance below which its author calls two photographs those of one person
MEAN = (122.782, 117.001, 104.298)  # RGB of its training photographs, 0 to 255
# (channels, blocks) of each width; every width but the first begins with a block that halves the side, so does the end
WIDTHS = ((32, 3), (64, 3), (128, 2), (256, 2))


class FaceBlock(nn.Module):
    """Two convolutions and a skip; one that halves the side averages the skip and pads what is missing with zeros."""

    def __init__(self, channels_in: int, channels: int, halves: bool = False):
        super().__init__()
        self.halves = halves
        self.conv1 = QuantisedConv(channels_in, channels, 3, 2 if halves else 1, same=not halves)
        self.conv2 = QuantisedConv(channels, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv2(F.relu(self.conv1(x)))
        if self.halves:
            x = F.avg_pool2d(x, 2)
            height, width = (max(a, b) for a, b in zip(x.shape[-2:], y.shape[-2:], strict=True))
            x = F.pad(x, (0, width - x.shape[-1], 0, height - x.shape[-2], 0, y.shape[1] - x.shape[1]))
            y = F.pad(y, (0, width - y.shape[-1], 0, height - y.shape[-2]))
        return F.relu(x + y)


class FaceNet(ModelMixin, ConfigMixin):
    """Embedding of upright face photographs."""

    name = "dlib-ResNet"

    @register_to_config
    def __init__(self):
        super().__init__()
        self.stem = QuantisedConv(3, WIDTHS[0][0], 7, 2, same=False)
        blocks, channels = [], WIDTHS[0][0]
        for wanted, count in WIDTHS:
            if wanted != channels:
                blocks.append(FaceBlock(channels, wanted, halves=True))
            blocks += [FaceBlock(wanted, wanted) for _ in range(count)]
            channels = wanted
        blocks.append(FaceBlock(channels, channels, halves=True))
        self.blocks = nn.Sequential(*blocks)
        self.register_buffer("head", torch.zeros(channels, 128))

    @torch.no_grad()
    def embed(self, chips: Tensor) -> Tensor:
        """``(B, 3, 150, 150)`` in [0, 1], sRGB → ``(B, 128)``; compare with the Euclidean distance."""
        x = (chips * 255 - chips.new_tensor(MEAN).view(3, 1, 1)) / 256
        x = F.max_pool2d(F.relu(self.stem(x)), 3, 2)
        return self.blocks(x).mean((2, 3)) @ self.head.to(x.dtype)

    forward = embed
