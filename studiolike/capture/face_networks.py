"""The two small networks that find a face and its 468 landmarks: a detector and a mesh regressor.

Architectures of MediaPipe's short-range face detector (Bazarevsky et al., *BlazeFace*, 2019) and of its face mesh
(Kartynnik et al., *Real-time Facial Surface Geometry from Monocular Video on Mobile GPUs*, 2019), with their weights (see
NOTICE; `python -m studiolike.capture.convert` made the files). Both are chains of one block: a depthwise and a pointwise
convolution beside a skip. How they are used together is told in `detection`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

DETECTOR_SIDE, MESH_SIDE = 128, 192  # pixels of the pictures that they learnt from
STRIDES = (8, 16)  # pixels between the detector's anchors
ANCHORS = (2, 6)  # anchors in each place
KEYPOINTS = 6  # right and left eye, nose tip, mouth, right and left ear (of the person)
POINTS = 468


class HalvingConv(nn.Conv2d):
    """Convolution of stride 2 whose padding is TensorFlow's: what is odd goes to the right and the bottom."""

    def __init__(self, channels_in: int, channels: int, kernel: int, groups: int = 1):
        super().__init__(channels_in, channels, kernel, stride=2, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        before = (self.kernel_size[0] - 2) // 2
        after = self.kernel_size[0] - 2 - before
        return super().forward(F.pad(x, (before, after, before, after)))


def depthwise(channels: int, kernel: int = 3, halves: bool = False) -> nn.Conv2d:
    """A convolution of each channel, which keeps or ``halves`` the side."""
    if halves:
        return HalvingConv(channels, channels, kernel, groups=channels)
    return nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels)


class Block(nn.Module):
    """A 3 × 3 convolution of each channel, a 1 × 1 across them, and a skip that is pooled and padded with zeros to fit."""

    def __init__(self, channels_in: int, channels: int, halves: bool = False, leaky: bool = False):
        super().__init__()
        self.halves, self.more = halves, channels - channels_in
        self.depthwise = depthwise(channels_in, halves=halves)
        self.pointwise = nn.Conv2d(channels_in, channels, 1)
        self.act = nn.PReLU(channels) if leaky else nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y = self.pointwise(self.depthwise(x))
        skip = F.max_pool2d(x, 2) if self.halves else x
        return self.act(F.pad(skip, (0, 0, 0, 0, 0, self.more)) + y)


def chain(channels: int, widths: tuple[int, ...], halving: tuple[int, ...], leaky: bool = False) -> nn.Sequential:
    """Blocks of these widths one after the other; those of the numbers in ``halving`` halve the side."""
    blocks = []
    for number, width in enumerate(widths):
        blocks.append(Block(channels, width, number in halving, leaky))
        channels = width
    return nn.Sequential(*blocks)


class FaceDetector(ModelMixin, ConfigMixin):
    """Scores and boxes at anchors all over a picture; any size divisible by 16, faces of about 20 to 128 pixels."""

    @register_to_config
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(HalvingConv(3, 24, 5), nn.ReLU())
        self.fine = chain(24, (24, 28, 32, 36, 42, 48, 56, 64, 72, 80, 88), halving=(2, 5))
        self.coarse = chain(88, (96,) * 5, halving=(0,))
        self.scores = nn.ModuleList(nn.Conv2d(c, a, 1) for c, a in zip((88, 96), ANCHORS, strict=True))
        self.places = nn.ModuleList(nn.Conv2d(c, a * (4 + 2 * KEYPOINTS), 1) for c, a in zip((88, 96), ANCHORS, strict=True))

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        """Look for faces.

        Args:
            picture: ``(B, 3, H, W)`` in [-1, 1], sRGB.
        Returns:
            Logits ``(B, A)`` and places ``(B, A, 8, 2)`` in pixels of the picture: centre, size, then the six key points.
        """
        fine = self.fine(self.stem(picture))
        logits, places = [], []
        for k, features in enumerate((fine, self.coarse(fine))):
            batch, _, rows, columns = features.shape
            logits.append(self.scores[k](features).permute(0, 2, 3, 1).reshape(batch, -1))
            raw = self.places[k](features).permute(0, 2, 3, 1).reshape(batch, rows, columns, ANCHORS[k], 2 + KEYPOINTS, 2)
            x = (torch.arange(columns, device=raw.device) + 0.5) * STRIDES[k]
            y = (torch.arange(rows, device=raw.device) + 0.5) * STRIDES[k]
            anchor = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)[:, :, None, None].to(raw)
            size = raw[..., 1:2, :]  # the one entry that is no place
            places.append(torch.cat([raw[..., :1, :] + anchor, size, raw[..., 2:, :] + anchor], -2).flatten(1, 3))
        return torch.cat(logits, 1), torch.cat(places, 1)


class FaceMesh(ModelMixin, ConfigMixin):
    """468 points of the face that fills two thirds of an upright crop."""

    @register_to_config
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(HalvingConv(3, 16, 3), nn.PReLU(16))
        widths = (16,) * 2 + (32,) * 3 + (64,) * 3 + (128,) * 6
        self.trunk = chain(16, widths, halving=(2, 5, 8, 11), leaky=True)
        self.points = self._branch(3, 3 * POINTS)
        self.presence = self._branch(1, 1)

    @staticmethod
    def _branch(blocks: int, outputs: int) -> nn.Sequential:
        return nn.Sequential(
            *chain(128, (128,) * blocks, halving=(0,), leaky=True),
            nn.Conv2d(128, 32, 1),
            nn.PReLU(32),
            Block(32, 32, leaky=True),
            nn.Conv2d(32, outputs, 3),
        )

    def forward(self, crop: Tensor) -> tuple[Tensor, Tensor]:
        """Place the mesh.

        Args:
            crop: ``(B, 3, 192, 192)`` in [0, 1], sRGB.
        Returns:
            Points ``(B, 468, 3)`` in pixels of the crop, z away from the camera, and the logit ``(B,)`` that this is a face.
        """
        features = self.trunk(self.stem(crop))
        return self.points(features).reshape(-1, POINTS, 3), self.presence(features).reshape(-1)
