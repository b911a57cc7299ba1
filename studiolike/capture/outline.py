"""The outline of skull and hair in a photograph: where the person ends, on rays from the middle of the head.

In: a `PersonMap` and the posed head. Out: how far beyond the base head the person reaches, see `studiolike.outline`.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .. import outline
from .person import PersonMap
from .pose import Pose
from .surface import Surface

TURNED = 25.0  # degrees of yaw or pitch from which a photo shows another outline
FROM, STEPS = 0.6, 160  # where on a ray the search begins, in distances of the base head's outline, and its number of steps
LEAST, MOST = -1.0, 4.0  # cm
SMOOTH = torch.tensor([0.1, 0.2, 0.4, 0.2, 0.1])  # weights of neighbouring rays


def measure_outline(person: PersonMap, surface: Surface, pose: Pose, size: tuple[int, int]) -> Tensor | None:
    """How far skull and hair reach beyond the base head, ``(COUNT,)`` cm.

    Args:
        person: where the photo shows the person. surface: the posed head. pose: its pose. size: height and width of the photo.
    Returns:
        None where the photo does not tell: the head is turned, or its outline is outside of the picture, or nobody is found.
    """
    if max(abs(pose.yaw), abs(pose.pitch)) > TURNED:
        return None
    middle = pose.apply(np.array(outline.CENTRE))[:2] * (1, -1)
    axes = pose.rotation[:2, :2] * [[1], [-1]]  # the head's x and y in the picture, as columns
    axes = torch.from_numpy(axes / np.linalg.norm(axes, axis=0)).float()
    inside = surface.position.flatten(1).T - torch.from_numpy(middle).float()
    distance = outline.farthest(inside @ axes)  # pixels
    ways = torch.linspace(0, 1, STEPS) * (1 - FROM + 1.2 * MOST * pose.scale / distance[:, None]) + FROM
    ways = ways * distance[:, None]
    rays = torch.stack([outline.ANGLES.sin(), outline.ANGLES.cos()], 1) @ axes.T
    places = torch.from_numpy(middle).float() + rays[:, None] * ways[..., None]  # (COUNT, STEPS, 2)
    shown = person.at(places.permute(2, 0, 1))[0] > 0.5
    height, width = size
    x, y = places.unbind(-1)
    within = (x > 0) & (x < width) & (y > 0) & (y < height)
    ends = (~shown | ~within).int().argmax(1)  # the first step that is not the person's, 0 if there is none
    rows = torch.arange(outline.COUNT)
    told = shown[:, 0] & (ends > 0) & within[rows, ends]
    if told.float().mean() < 0.7:
        return None
    outward = ((ways[rows, ends] - distance) / pose.scale).clamp(LEAST, MOST)
    outward = torch.from_numpy(np.interp(rows, rows[told], outward[told])).float()  # a hidden ray is like its neighbours
    padded = torch.cat([outward[:1].repeat(2), outward, outward[-1:].repeat(2)])
    return padded.unfold(0, 5, 1) @ SMOOTH
