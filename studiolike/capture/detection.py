"""Finding faces and their landmarks with the two networks of `face_networks`: search, turn upright, place the mesh.

1. *Search.* The detector reads the picture at 128 and 256 pixels, in four turns, since pictures without a tag may lie on
   their side; if that shows no face, at 512 to 2048 pixels, where small faces grow large enough for it.
2. *Turn upright.* Around each candidate the detector looks once more, in four turns. It knows upright faces, so its highest
   score names the turn (by at least 0.8 in the logit on the 15 pictures that we tried).
3. *Mesh.* The mesh network reads a crop, upright by the line between the eyes; its points give a better crop, and so on
   until they rest. The mean over a few crops of different sides takes out most of what is left of its jitter.

In: uint8 RGB ``(H, W, 3)``. Out: per face float64 ``(468, 3)``, as `landmarks` describes them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from .. import weights
from ..image import from_bytes
from .face_networks import DETECTOR_SIDE, MESH_SIDE, FaceDetector, FaceMesh

LEVELS = (128, 256, 512, 1024, 2048)  # longer sides at which the picture is searched
ALWAYS = 2  # levels that are searched in any case, so that a second person is not missed
TURNED_LEVELS = 3  # levels that are searched in four turns
TILE, OVERLAP = 512, 128  # larger pictures are searched in tiles, so memory stays small
CONFIDENT = 0.0  # logits above may be faces, for both networks (a probability of one half)
# and above these they are, for the detector's second look and the mesh's last: in 65 portraits and of two people in hard light
# every face had 1.3 and 12 or more; a cat's had 0.3 and 8, gravel 0.1 and 15
SURE_AGAIN, SURE = 0.5, 9.0
OVERLAPPING = 0.3  # candidates that share more than this part of their area are one face
MOST_FACES = 8
LOOK = 2.2  # side of the second look's crop in sizes of the face's box
MARGIN = 1.5  # side of the mesh's crop in widths of the face, as the network learnt
MARGINS = (1.4, 1.45, 1.5, 1.55, 1.6)  # of the crops that are averaged
AT_REST, MOST_STEPS = 0.002, 8  # mean movement in face widths at which the crop is right
EYE_CORNERS = (33, 263)  # outer corners, the person's right and left


@dataclass(frozen=True)
class Candidate:
    """Where the detector sees a face: logit, centre ``(2,)``, side of its box, eyes ``(2, 2)``, right one first; in pixels."""

    score: float
    centre: np.ndarray
    side: float
    eyes: np.ndarray


@lru_cache(1)
def detector() -> FaceDetector:
    """The detector, loaded once. Raises `WeightsError` if its file is missing or damaged."""
    return weights.load("face_detector")


@lru_cache(1)
def mesh() -> FaceMesh:
    """The mesh network, loaded once. Raises `WeightsError` if its file is missing or damaged."""
    return weights.load("face_mesh")


@torch.inference_mode()
def find_faces(image: np.ndarray) -> list[np.ndarray]:
    """Landmarks ``(468, 3)`` in pixels of every face in uint8 RGB ``(H, W, 3)``, of any size and turned by any angle.

    Raises:
        WeightsError: the networks' files are missing or damaged.
    """
    picture = Image.fromarray(image)
    faces: list[np.ndarray] = []
    longest = max(picture.size)
    for number, level in enumerate(LEVELS):
        if number >= ALWAYS and (faces or level / 2 >= longest):
            break
        candidates = search(picture, level, turns=1 if faces or number >= TURNED_LEVELS else 4)
        for candidate in candidates[:MOST_FACES]:
            if any(np.linalg.norm(face[:, :2].mean(0) - candidate.centre) < 0.5 * width(face) for face in faces):
                continue  # a coarser level has it already
            upright = look_again(picture, candidate)
            found = place_mesh(picture, upright) if upright else None
            faces += [found] if found is not None else []
    return faces


def width(points: np.ndarray) -> float:
    """Longer side in pixels of the box around landmarks ``(N, 2|3)``."""
    return float(np.ptp(points[:, :2], axis=0).max())


def search(picture: Image.Image, level: int, turns: int = 1) -> list[Candidate]:
    """Faces in the picture scaled to a longer side of ``level`` pixels, best first, in pixels of the picture.

    Args:
        turns: 1 = as it is; 4 = also turned by 90°, 180° and 270°.
    """
    scale = level / max(picture.size)
    small = picture.resize([max(1, round(side * scale)) for side in picture.size], Image.Resampling.BILINEAR, reducing_gap=3)
    tile = min(level, TILE)
    step = tile - (OVERLAP if level > TILE else 0)
    found = []
    for top in range(0, max(small.height - tile + step, 1), step):
        for left in range(0, max(small.width - tile + step, 1), step):
            part = small.crop((left, top, min(left + tile, small.width), min(top + tile, small.height)))
            square = Image.new("RGB", (tile, tile))
            corner = ((tile - part.width) // 2, (tile - part.height) // 2) if level <= TILE else (0, 0)
            square.paste(part, corner)
            for one in detect(from_bytes(square), turns):
                offset = np.array([left, top]) - corner
                found.append(Candidate(one.score, (one.centre + offset) / scale, one.side / scale, (one.eyes + offset) / scale))
    return strongest(found)


def detect(square: Tensor, turns: int) -> list[Candidate]:
    """What the detector sees in ``(3, S, S)``, values in [0, 1], and in its turns; in pixels of the picture as it came."""
    side = square.shape[-1]
    logits, places = detector()(torch.stack([square.rot90(turn, (1, 2)) for turn in range(turns)]) * 2 - 1)
    found = []
    for turn in range(turns):
        for index in (logits[turn] > CONFIDENT).nonzero().flatten().tolist():
            place = places[turn, index].double().numpy()
            points = place[[0, 2, 3]]  # centre and eyes; the box is a square
            for _ in range(turn):  # back through one quarter turn at a time
                points = np.stack([side - points[:, 1], points[:, 0]], 1)
            found.append(Candidate(logits[turn, index].item(), points[0], float(place[1].max()), points[1:]))
    return found


def strongest(candidates: list[Candidate]) -> list[Candidate]:
    """Of candidates that overlap the one with the highest score, best first."""
    kept: list[Candidate] = []
    for one in sorted(candidates, key=lambda c: c.score, reverse=True):
        for other in kept:
            shared = np.clip((one.side + other.side) / 2 - np.abs(one.centre - other.centre), 0, min(one.side, other.side))
            if shared.prod() > OVERLAPPING * (one.side**2 + other.side**2 - shared.prod()):
                break
        else:
            kept.append(one)
    return kept


def look_again(picture: Image.Image, candidate: Candidate) -> Candidate | None:
    """The candidate seen from close by, in the turn in which the detector is surest; None if it is not sure enough any more."""
    side = LOOK * candidate.side
    crop, back = cut(picture, candidate.centre, side, 0.0, DETECTOR_SIDE)
    near = [c for c in detect(crop, turns=4) if np.linalg.norm(c.centre / DETECTOR_SIDE - 0.5) < 0.25]
    best = max(near, key=lambda c: c.score, default=None)
    if best is None or best.score <= SURE_AGAIN:
        return None
    return Candidate(best.score, back(best.centre[None])[0], best.side * side / DETECTOR_SIDE, back(best.eyes))


def place_mesh(picture: Image.Image, face: Candidate) -> np.ndarray | None:
    """Landmarks ``(468, 3)`` of a face, or None if the mesh network says that it is none."""
    centre, side, (right, left) = face.centre, MARGIN * face.side, face.eyes
    points = None
    for _ in range(MOST_STEPS):
        before = points
        points, presence = read_mesh(picture, centre, [side], right, left)
        if presence <= CONFIDENT:
            return None
        centre, side, right, left = frame(points)
        if before is not None and np.linalg.norm(points - before, axis=1).mean() < AT_REST * width(points):
            break
    points, presence = read_mesh(picture, centre, [side * margin / MARGIN for margin in MARGINS], right, left)
    return points if presence > SURE else None


def frame(points: np.ndarray) -> tuple[np.ndarray, float, np.ndarray, np.ndarray]:
    """Centre and side of the crop that landmarks ask for, and the corners of the eyes that make it upright."""
    flat = points[:, :2]
    right, left = flat[EYE_CORNERS[0]], flat[EYE_CORNERS[1]]
    along = (left - right) / max(np.linalg.norm(left - right), 1e-6)
    axes = np.stack([along, [-along[1], along[0]]])  # the box is measured upright, so a turned picture gets the same crop
    low, high = (flat @ axes.T).min(0), (flat @ axes.T).max(0)
    return (low + high) / 2 @ axes, MARGIN * float((high - low).max()), right, left


def upright_angle(right: np.ndarray, left: np.ndarray) -> float:
    """Angle for `cut`, in radians, of an upright crop, from the corners of the person's right and left eye, ``(2,)`` each."""
    return math.atan2(*(left - right)[::-1])


def read_mesh(
    picture: Image.Image, centre: np.ndarray, sides: list[float], right: np.ndarray, left: np.ndarray
) -> tuple[np.ndarray, float]:
    """Mean landmarks ``(468, 3)`` in pixels of the picture, and mean logit, of upright crops of these sides."""
    angle = upright_angle(right, left)
    crops, backs = zip(*(cut(picture, centre, side, angle, MESH_SIDE) for side in sides), strict=True)
    found, presence = mesh()(torch.stack(crops))
    looks = [
        np.concatenate([back(points[:, :2]), points[:, 2:] * (side / MESH_SIDE)], 1)
        for points, back, side in zip(found.double().numpy(), backs, sides, strict=True)
    ]
    return np.mean(looks, axis=0), presence.mean().item()


def cut(picture: Image.Image, centre: np.ndarray, side: float, angle: float, pixels: int):
    """A square crop ``(3, pixels, pixels)`` in [0, 1], and the function that carries its places ``(N, 2)`` to the picture.

    Args:
        centre, side: in pixels of the picture. angle: of its upper edge, in radians, clockwise as y runs down.
    """
    axes = side / pixels * np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])

    def back(places: np.ndarray) -> np.ndarray:
        return (places - pixels / 2) @ axes + centre

    # area means first, so that a large face is not sampled at a few of its pixels only
    shrink = max(1, int(side / pixels))
    reach = side / 2 * (abs(math.cos(angle)) + abs(math.sin(angle))) + 2 * shrink
    low = np.clip(np.floor(centre - reach), 0, np.array(picture.size) - 1).astype(int)
    high = np.clip(np.ceil(centre + reach), low + 1, picture.size).astype(int)
    part = from_bytes(picture.reduce(shrink, box=(*low.tolist(), *high.tolist())))
    grid = np.stack(np.meshgrid(np.arange(pixels) + 0.5, np.arange(pixels) + 0.5), -1).reshape(-1, 2)
    places = (back(grid) - low) / shrink / (part.shape[2], part.shape[1]) * 2 - 1
    places = torch.from_numpy(places).float().view(1, pixels, pixels, 2)
    # the border is repeated where the square leaves the picture
    return F.grid_sample(part[None], places, padding_mode="border", align_corners=False)[0], back
