"""Is this still that person? Distances of real faces, by a network that learnt from photographs (`FaceNet`).

Two photographs of one person in other light lie some 0.3 to 0.4 apart, two people 0.75; 0.6 is the author's threshold.
Textures are drawn on a head before they are compared (`chips`). A texture cannot be closer to a photograph than the drawing
allows, so read a result's distance beside the phone texture's.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from .. import weights
from ..image import fill_unobserved, resize
from .chips import ChipView, chip_view, photo_chip, render_chip
from .face_net import FaceNet


@lru_cache(2)
def judge(device: str = "cpu") -> FaceNet:
    """The network, loaded once. Raises `WeightsError` if its file is missing or damaged."""
    return weights.load("face_judge", device=device)


def distance(texture_a: Tensor, texture_b: Tensor, visibility: Tensor | None = None, *, view: ChipView | None = None) -> Tensor:
    """Distance of two textures' faces, ``(B,)``; 0 for equals.

    Args:
        texture_a, texture_b: ``(B, 3, H, W)`` in [0, 1], sRGB, `head` layout; the sides may differ.
        visibility: ``(B, 1, H, W)`` in [0, 1]; where it is 0 both textures are continued smoothly from what was seen, so that
            a hole is nobody's feature.
        view: how both are drawn, for example ``chip_view(landmarks)`` of the photo; default the base head from the front.
    """
    size = min(texture_a.shape[-1], texture_b.shape[-1], 512)
    a, b = resize(texture_a, size), resize(texture_b, size)
    if visibility is not None:
        seen = resize(visibility, size)
        a, b = fill_unobserved(a, seen), fill_unobserved(b, seen)
    net = judge(str(a.device))
    return embedding_distance(*(net.embed(render_chip(x, view)) for x in (a, b)))


def photo_distance(image: np.ndarray, landmarks: np.ndarray, texture: Tensor, view: ChipView | None = None) -> Tensor:
    """Distance of a photograph to frontal, unlit renders of textures, ``(B,)``.

    Args:
        image: uint8 RGB ``(H, W, 3)``. landmarks: ``(468, 3)`` in its pixels.
        texture: ``(B, 3, H, W)`` in [0, 1], complete (filled where nothing was seen).
        view: how they are drawn; default a head of the photo's shape and expression, so that the texture alone is judged.
    """
    net, view = judge(str(texture.device)), view or chip_view(landmarks)
    return embedding_distance(net.embed(photo_chip(image, landmarks).to(texture)), net.embed(render_chip(texture, view)))


def embedding_distance(a: Tensor, b: Tensor) -> Tensor:
    """Euclidean distance ``(B,)`` of embeddings ``(B, 128)``."""
    return torch.linalg.vector_norm(a - b, dim=1)
