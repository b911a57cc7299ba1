"""The two small networks that find a face and its 468 landmarks: a detector and a mesh regressor.

Architectures of MediaPipe's short-range face detector (Bazarevsky et al., *BlazeFace*, 2019) and of its attention mesh
(Grishchenko et al., *Attention Mesh: High-fidelity Face Mesh Prediction in Real-time*, 2020), with their weights (see NOTICE;
`python -m studiolike.capture.convert` made the files). Both are chains of one block: a depthwise and a pointwise convolution
beside a skip. How they are used together is told in `detection`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from .. import layout
from ..quantised import QuantisedConv

DETECTOR_SIDE, MESH_SIDE = 128, 192  # pixels of the pictures that they learnt from
STRIDES = (8, 16)  # pixels between the detector's anchors
ANCHORS = (2, 6)  # anchors in each place
KEYPOINTS = 6  # right and left eye, nose tip, mouth, right and left ear (of the person)
POINTS = 468

# parts of the face that are looked at twice: their points in the order of the network, and the corners that make them upright
PART_SIDE, PART_MARGIN = 16, 1.5  # samples along a side of the box around a part, and its side in sizes of the part
REACH = 1.0  # cm along the skin within which what lies around a part follows it
PART_UNIT = 32  # halves of the box are 32 long in the numbers that the branches of the parts give
# fmt: off
LIPS = [  # rings of lower and upper lip each: outer, inner, and two between them
    61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 185, 40, 39, 37, 0, 267, 269, 270, 409,
    78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 191, 80, 81, 82, 13, 312, 311, 310, 415,
    76, 77, 90, 180, 85, 16, 315, 404, 320, 307, 306, 184, 74, 73, 72, 11, 302, 303, 304, 408,
    62, 96, 89, 179, 86, 15, 316, 403, 319, 325, 292, 183, 42, 41, 38, 12, 268, 271, 272, 407,
]
RIGHT_EYE = [  # the person's right; the lids' edges, three rings around them, and the brow
    33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 161, 160, 159, 158, 157, 173,
    130, 25, 110, 24, 23, 22, 26, 112, 243, 247, 30, 29, 27, 28, 56, 190,
    226, 31, 228, 229, 230, 231, 232, 233, 244, 113, 225, 224, 223, 222, 221, 189, 35, 124, 46, 53, 52, 65,
    143, 111, 117, 118, 119, 120, 121, 128, 245, 156, 70, 63, 105, 66, 107, 55, 193,
]
LEFT_EYE = [
    263, 249, 390, 373, 374, 380, 381, 382, 362, 466, 388, 387, 386, 385, 384, 398,
    359, 255, 339, 254, 253, 252, 256, 341, 463, 467, 260, 259, 257, 258, 286, 414,
    446, 261, 448, 449, 450, 451, 452, 453, 464, 342, 445, 444, 443, 442, 441, 413, 265, 353, 276, 283, 282, 295,
    372, 340, 346, 347, 348, 349, 350, 357, 465, 383, 300, 293, 334, 296, 336, 285, 417,
]
# fmt: on
PARTS = ((LIPS, [61, 291]), (RIGHT_EYE, [33, 133]), (LEFT_EYE, [362, 263]))


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

    def __init__(self, channels_in: int, channels: int, halves: bool = False, leaky: bool = False, coded: bool = False):
        super().__init__()
        self.halves, self.more = halves, channels - channels_in
        self.depthwise = depthwise(channels_in, halves=halves)
        self.pointwise = (QuantisedConv if coded else nn.Conv2d)(channels_in, channels, 1)
        self.act = nn.PReLU(channels) if leaky else nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y = self.pointwise(self.depthwise(x))
        skip = F.max_pool2d(x, 2) if self.halves else x
        return self.act(F.pad(skip, (0, 0, 0, 0, 0, self.more)) + y)


def chain(
    channels: int, widths: tuple[int, ...], halving: tuple[int, ...], leaky: bool = False, coded: bool = False
) -> nn.Sequential:
    """Blocks of these widths one after the other; those of the numbers in ``halving`` halve the side."""
    blocks = []
    for number, width in enumerate(widths):
        blocks.append(Block(channels, width, number in halving, leaky, coded))
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
    """468 points of the face that fills two thirds of an upright crop; lips and eyes are looked at twice.

    Trunk and head place all points. Around lips and eyes as they lie there, features of the trunk are sampled again, on a grid
    that is upright for each of them, and a branch of its own places their points anew. Depth stays that of the first look. The
    largest layers are stored in 8 bits, which moves a point by a tenth of a pixel of the crop in the mean.
    """

    @register_to_config
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(HalvingConv(3, 16, 3), nn.PReLU(16))
        self.fine = chain(16, (16, 16, 32), halving=(2,), leaky=True)
        self.trunk = chain(32, (32,) * 2 + (64,) * 3 + (128,) * 6, halving=(2, 5, 8), leaky=True)
        self.head = branch(128, (128,) * 3, halving=(0,))
        self.points = QuantisedConv(32, 3 * POINTS, 3, same=False)
        self.presence = nn.Conv2d(32, 1, 3)
        widths = (32,) * 2 + (64,) * 3 + (128,) * 6
        self.parts = nn.ModuleList(
            nn.Sequential(*branch(32, widths, (2, 5, 8), coded=True), QuantisedConv(32, 2 * len(part), 2, same=False))
            for part, _ in PARTS
        )
        places = ((torch.arange(PART_SIDE) + 0.5) * (2 / PART_SIDE) - 1).expand(PART_SIDE, -1)
        self.register_buffer("grid", torch.stack([places, places.T], -1).view(1, -1, 2), persistent=False)
        self.register_buffer("carry", carrying(), persistent=False)

    def forward(self, crop: Tensor) -> tuple[Tensor, Tensor]:
        """Place the mesh.

        Args:
            crop: ``(B, 3, 192, 192)`` in [0, 1], sRGB.
        Returns:
            Points ``(B, 468, 3)`` in pixels of the crop, z away from the camera, and the logit ``(B,)`` that this is a face.
        """
        fine = self.fine(self.stem(crop))
        features = self.head(self.trunk(fine))
        mesh = self.points(features).reshape(-1, POINTS, 3)
        flat = mesh[..., :2] * (2 / MESH_SIDE) - 1
        moved = []
        for (part, corners), network in zip(PARTS, self.parts, strict=True):
            axes, centre = around(flat[:, part], flat[:, corners])
            grid = (self.grid @ axes + centre).view(-1, PART_SIDE, PART_SIDE, 2)
            found = network(F.grid_sample(fine, grid, align_corners=False)).reshape(-1, len(part), 2)
            moved.append((found / PART_UNIT - 1) @ axes + centre - flat[:, part])
        flat = (flat + self.carry @ torch.cat(moved, 1) + 1) * (MESH_SIDE / 2)
        return torch.cat([flat, mesh[..., 2:]], -1), self.presence(features).reshape(-1)


def branch(channels: int, widths: tuple[int, ...], halving: tuple[int, ...], coded: bool = False) -> nn.Sequential:
    """Blocks as `chain` makes them, and a convolution and a block that reduce what they found to 32 channels."""
    blocks = chain(channels, widths, halving, leaky=True, coded=coded)
    return nn.Sequential(*blocks, nn.Conv2d(widths[-1], 32, 1), nn.PReLU(32), Block(32, 32, leaky=True))


def carrying() -> Tensor:
    """How all points follow those of `PARTS`, ``(468, 222)``: these wholly, the skin around them the less the further away.

    Where a second look moves lips or lids, a mesh that stays behind would be squeezed, or folded. So all movements, smoothed over
    `REACH`, are the least squares solution of: equal along each edge, the more so the shorter it is, and as small as that allows.
    """
    at = torch.tensor([point for part, _ in PARTS for point in part])
    vertices, triangles = layout.face_vertices(), layout.face_triangles()
    joined = torch.zeros(POINTS, POINTS)
    for ends in (triangles, triangles.roll(1, 1)), (triangles.roll(1, 1), triangles):
        joined[ends] = (REACH / (vertices[ends[0]] - vertices[ends[1]]).norm(dim=-1)).square()
    system = torch.diag(joined.sum(1) + 1) - joined
    fixed = torch.eye(POINTS)[at]
    system[at] = fixed
    return torch.linalg.solve(system, fixed.T).half().float()  # half precision makes a smaller file for the page


def around(points: Tensor, corners: Tensor) -> tuple[Tensor, Tensor]:
    """A box around ``points (B, N, 2)``, `PART_MARGIN` times as large as they need, along the line between two ``corners``.

    Returns:
        Matrix ``(B, 2, 2)`` and centre ``(B, 1, 2)`` that carry rows in [-1, 1]² to places in the box.
    """
    right, left = corners.unbind(1)
    along = F.normalize(left - right, dim=-1)
    axes = torch.stack([along, torch.stack([-along[:, 1], along[:, 0]], -1)], 1)
    upright = points @ axes.transpose(1, 2)
    low, high = upright.amin(1, keepdim=True), upright.amax(1, keepdim=True)
    half = (high - low) * (PART_MARGIN / 2)
    return half.transpose(1, 2) * axes, (low + high) / 2 @ axes
