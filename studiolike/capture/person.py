"""Which pixels show a person and which what is behind: hair, ears and cheeks are read from the first only.

The network of `person_network` looks at an upright square around the head. In: uint8 RGB ``(H, W, 3)`` and landmarks. Out: a
`PersonMap`, which tells how sure it is at any place of the picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from .. import weights
from .detection import MARGIN, cut, frame, upright_angle
from .person_network import PERSON_SIDE, PersonMask

LOOK = 2.6  # side of the square in widths of the face: hair and shoulders are in it, as in what the network learnt from
DOUBT, SURE = 0.5, 0.9  # probability below which a pixel is not believed to show the person, and above which it is


@lru_cache(1)
def network() -> PersonMask:
    """The network, loaded once. Raises `WeightsError` if its file is missing or damaged."""
    return weights.load("person_mask")


@dataclass(frozen=True)
class PersonMap:
    """Probability ``(1, 1, S, S)`` that a pixel of a square around the head shows the person.

    A place (x, y) in pixels of the picture lies at ``((x, y) − origin) · turn`` in the square, in pixels of it.
    """

    probability: Tensor
    origin: np.ndarray
    turn: np.ndarray

    @classmethod
    @torch.inference_mode()
    def of(cls, image: np.ndarray, points: np.ndarray) -> PersonMap:
        """Look at uint8 RGB ``(H, W, 3)`` around landmarks ``(468, 3)`` in its pixels."""
        centre, side, right, left = frame(points)
        square, back = cut(Image.fromarray(image), centre, side / MARGIN * LOOK, upright_angle(right, left), PERSON_SIDE)
        origin, x, y = back(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
        return cls(network()(square[None]), origin, np.linalg.inv(np.stack([x - origin, y - origin])))

    def at(self, position: Tensor) -> Tensor:
        """How sure the person is seen at places ``(2, H, W)`` in pixels, ``(1, H, W)`` in [0, 1]; 0 outside of the square."""
        turn, origin = torch.from_numpy(self.turn).to(position), torch.from_numpy(self.origin).to(position)
        places = (position.flatten(1).T - origin) @ turn * (2 / self.probability.shape[-1]) - 1
        grid = places.view(1, *position.shape[1:], 2)
        found = F.grid_sample(self.probability, grid, padding_mode="zeros", align_corners=False)[0]
        return ((found - DOUBT) / (SURE - DOUBT)).clamp(0, 1)
