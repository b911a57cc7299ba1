"""One photo and its landmarks → a phone texture in the `head` layout and its visibility map.

Each texel of the posed head (`surface`) knows where in the photo it lies, how squarely it faces the camera and whether
something hides it:

    visibility = facing · not occluded · inside the picture · not transparent · not between the lips, worn off at the border.

The face is where the landmarks say. Around it only the head's outline is known, so a texel there counts where the photo shows
the person and not what is behind (`person`); ears and neck, which nobody has where the base head has them, never do.

In: uint8 RGB ``(H, W, 3)``, or RGBA. Out: a `Capture`. Texels that no ray reached have visibility 0 and a smooth fill.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .. import layout, outline
from ..errors import CaptureError, InputError
from ..image import blur, fill_unobserved, from_bytes
from ..pictures import on_grey
from . import quality as checks
from .detection import find_faces
from .landmarks import Finder, StoredLandmarks, check_picture, checked, largest_face
from .occlusion import DepthBuffer
from .outline import measure_outline
from .person import PersonMap
from .pose import Pose, fit_pose
from .shape import head_shape
from .surface import Surface, face_surface, head_surface, texel_footprint

# cosine to the camera: unseen below the first (seen at 81°), fully trusted above the second
GRAZING, SQUARE = 0.15, 0.60
DEPTH_SLACK = 0.025  # in face widths: how far behind the front surface a texel may lie before it counts as hidden
RIM = (0.008, 0.03)  # in face widths: background shines in up to the first from the outline, no further than the second
HAIR = 0.15  # cosine from which hair is fully trusted
FINEST_SURFACE = 2048  # texels along a side
OPAQUE = 4.0  # a texel seen at a quarter of full trust already keeps its own colour in the fill


@dataclass
class Capture:
    """A phone texture in the `head` layout.

    Attributes:
        texture: float32 ``(1, 3, R, R)`` in [0, 1], sRGB, filled smoothly where nothing was seen.
        visibility: float32 ``(1, 1, R, R)`` in [0, 1]; 0 = never observed.
        landmarks: float64 ``(468, 3)`` in pixels of the photo; for a fused capture those of the best frame.
        quality: measured facts, JSON-ready; ``quality["warnings"]`` is a list of sentences for the user.
        shape: float32, cm, of the face, and of the head if its outline was seen, see `head_shape`; None where the landmarks tell
            none.
        outward: the outline that was seen in this picture, see `measure_outline`.
    """

    texture: Tensor
    visibility: Tensor
    landmarks: np.ndarray
    quality: dict = field(default_factory=dict)
    shape: Tensor | None = None
    outward: Tensor | None = None


def capture_photo(
    image: np.ndarray,
    res: int = 512,
    landmarks: np.ndarray | StoredLandmarks | None = None,
    *,
    whole: bool = True,
    finder: Finder = find_faces,
) -> Capture:
    """Unwrap one photo of a face into the `head` layout.

    Args:
        image: uint8 RGB ``(H, W, 3)``, or RGBA ``(H, W, 4)``, of which what is transparent is unseen.
        res: side of the texture, a power of two from 32 to 2048.
        landmarks: ``(468, 3)`` in pixels, or a stored set; found live when absent. A set that was stored
            for another picture of the same size is used (several photos of one pose), and the quality warns
            of it.
        whole: whether hair and the sides of the head are read as well, wherever they show the person; without, the face alone.
        finder: a function that finds landmarks, instead of the networks in the package; see `landmarks`.
    Raises:
        CaptureError: no face, several, profile view, too small, cut off, too dark or blown out, landmarks
            of a picture of another size.
        InputError: not a picture, or an impossible ``res``.
    """
    check_picture(image)
    if not 32 <= res <= 2048 or res & (res - 1):
        raise InputError(f"texture size {res} is not possible; use a power of two from 32 to 2048")
    layers, image = image, on_grey(image)  # networks see grey behind what is transparent
    points, warnings = given_or_found(image, landmarks, finder)
    pose = fit_pose(points)
    checks.refuse_pose(pose, points, image)

    person, outward = None, None
    if whole:
        person = PersonMap.of(image, points)
        outward = measure_outline(person, head_surface(points, pose, outline.SIDE), pose, image.shape[:2])
    posed = partial(head_surface, points, pose, outward=outward) if whole else partial(face_surface, points, pose)
    surface = posed(res)
    opacity = from_bytes(layers[..., 3:]) if layers.shape[2] == 4 else None
    visibility = visibility_map(surface, points, pose, image.shape[:2], person, opacity)
    checks.refuse_hidden(visibility, surface.mask)
    texture, footprint = sample(layers, surface, visibility, posed)
    facts = checks.measure(pose, texture, visibility * surface.mask, footprint, surface.mask)
    facts["mouth_opening"] = round(mouth_opening(points), 3)
    checks.refuse_exposure(facts)
    facts["warnings"] = warnings + checks.warn(facts, res)
    filled = fill_unobserved(texture[None], (visibility[None] * OPAQUE).clamp(0, 1)).clamp(0, 1)
    return Capture(filled, visibility[None], points, facts, head_shape([points], [outward]), outward)


def given_or_found(image: np.ndarray, given: np.ndarray | StoredLandmarks | None, finder: Finder) -> tuple[np.ndarray, list[str]]:
    """Landmarks ``(468, 3)`` in pixels, checked if they were given, found if not; and sentences for the user.

    Raises:
        CaptureError, InputError: as `capture_photo`.
    """
    if given is None:
        return largest_face(image, finder)
    if isinstance(given, StoredLandmarks):
        height, width = image.shape[:2]
        if not given.same_size(image):
            raise CaptureError(
                f"the landmarks belong to a picture of {given.width}×{given.height} pixels, this one has "
                f"{width}×{height}; make new ones for it"
            )
        told = [] if given.same_picture(image) else ["the landmarks were stored for another picture of the same size"]
        return given.points, told
    return checked(given, "the array"), []


def visibility_map(
    surface: Surface,
    points: np.ndarray,
    pose: Pose,
    size: tuple[int, int],
    person: PersonMap | None = None,
    opacity: Tensor | None = None,
) -> Tensor:
    """How well each texel was seen, ``(1, R, R)`` in [0, 1].

    Args:
        surface: the posed head, or face. points: its landmarks. pose: its fit. size: height and width of the photo in pixels.
        person: where the photo shows the person; None: nothing but the face is seen. opacity: ``(1, height, width)`` in [0, 1];
            None: nothing is transparent.
    """
    res = surface.mask.shape[-1]
    facing = ((surface.facing - GRAZING) / (SQUARE - GRAZING)).clamp(0, 1)
    buffer = DepthBuffer.of(points)
    open_sight = unhidden(buffer, surface, pose)
    # landmarks are never exact: where the surface turns away, texels next to the outline show what lies behind the head
    rim = (buffer.distance_to_outline(surface.position) / pose.face_pixels - RIM[0]) / (RIM[1] - RIM[0])
    turned = ((0.6 - surface.facing) / 0.2).clamp(0, 1)
    shown = person.at(surface.position) if person else torch.zeros_like(facing)
    face = _lips_seen(facing * open_sight * (1 - turned * (1 - torch.maximum(rim.clamp(0, 1), shown))))
    around = torch.zeros_like(face)
    if person:
        above, ears, neck = (layout.region_mask(name, res) for name in ("crown", "ears", "neck"))
        # hair is no smooth surface, and has a colour at any angle; ears and neck are never where the base head has them
        loose = torch.lerp(facing, (surface.facing / HAIR).clamp(0, 1), above)
        sight = unhidden(DepthBuffer.of_map(surface.position, surface.depth), surface, pose)
        around = loose * sight * shown * (1 - ears - neck).clamp(0, 1)
    height, width = size
    x, y = surface.position
    margin = torch.minimum(torch.minimum(x, width - x), torch.minimum(y, height - y)) / (0.02 * pose.face_pixels)
    seen = torch.where(surface.mask > 0, face, around) * margin.clamp(0, 1)
    if opacity is not None:
        grid = surface.position / torch.tensor([width, height]).view(2, 1, 1) * 2 - 1
        seen = seen * F.grid_sample(opacity[None], grid.permute(1, 2, 0)[None].float(), align_corners=False)[0]
    outside = 1 - layout.region_mask("inner_lips", res)
    if mouth_opening(points) > checks.OPEN_MOUTH:  # teeth have no place in the layout, nor the dark beside them
        seen = seen * (1 - layout.region_mask("mouth", res))
    # wear the border off inward, never outward, so that no unseen texel gains visibility
    reach = max(1, round(res / 96))
    worn = -F.max_pool2d(-F.pad(seen[None], (reach,) * 4), 2 * reach + 1, stride=1)
    # and of closed lips a pixel or two would be stretched over all that lies between them
    return blur(worn, res / 160)[0].clamp(0, 1).minimum(seen.gt(0).float()) * outside


def _lips_seen(seen: Tensor) -> Tensor:
    """``seen (1, R, R)`` with lips at least as well seen as the skin above and below them lets expect: where lips meet, a mesh
    folds, and takes for hidden what every picture of a closed mouth shows."""
    res = seen.shape[-1]
    lips = layout.region_mask("lips", res)[0] > 0.5
    columns = lips.any(0).nonzero()[:, 0]
    above = lips[:, columns].int().argmax(0) - 1
    below = res - lips[:, columns].flip(0).int().argmax(0)
    upper, lower = (seen[0, row.clamp(0, res - 1), columns] for row in (above, below))
    share = (torch.arange(res)[:, None] - above) / (below - above)
    seen = seen.clone()
    expected = upper + (lower - upper) * share.clamp(0, 1)
    seen[0][:, columns] = torch.where(lips[:, columns], torch.maximum(seen[0][:, columns], expected), seen[0][:, columns])
    return seen


def unhidden(buffer: DepthBuffer, surface: Surface, pose: Pose) -> Tensor:
    """How far nothing of the buffer lies before each texel, ``(1, R, R)`` in [0, 1]."""
    slack = DEPTH_SLACK * pose.face_pixels
    return 1 - ((buffer.depth_at(surface.position) - surface.depth - slack) / slack).clamp(0, 1)


def mouth_opening(points: np.ndarray) -> float:
    """Gap between the inner lips in mouth widths."""
    gap = np.linalg.norm(points[13] - points[14])
    return float(gap / max(float(np.linalg.norm(points[78] - points[308])), 1e-6))


def sample(image: np.ndarray, surface: Surface, visibility: Tensor, posed: Callable[[int], Surface]) -> tuple[Tensor, Tensor]:
    """Look up the photo's colour at every texel, averaging where a texel covers several pixels, bicubic
    where not.

    Args:
        image: uint8 RGB or RGBA ``(H, W, 3|4)``; what is transparent lends no colour to what is beside it.
        posed: the surface at another resolution.
    Returns:
        texture ``(3, R, R)`` in [0, 1], 0 where nothing was seen, and the footprint ``(1, R, R)`` in pixels per
        texel.
    """
    res = surface.mask.shape[-1]
    footprint = texel_footprint(surface)
    sight = (visibility * surface.mask)[0] > 0.1
    density = float(footprint[0][sight].quantile(0.9)) if sight.any() else 1.0

    read = visibility[0] > 0
    inside = surface.position[:, read]
    low = (inside.amin(1) - 4).floor().clamp_min(0).int().tolist()
    high = (inside.amax(1) + 4).ceil().int().tolist()
    crop = image[low[1] : max(high[1], low[1] + 1), low[0] : max(high[0], low[0] + 1)]
    picture = from_bytes(crop)[None]
    if picture.shape[1] == 4:
        picture[:, :3] *= picture[:, 3:]
    shrink = max(1, int(density / 1.5))
    picture = F.avg_pool2d(picture, shrink)  # area means first, then at most 2 × 2 samples a texel
    height, width = picture.shape[-2:]
    extent = torch.tensor([width, height], dtype=torch.float32) * shrink
    over = 2 if density / shrink > 1.2 else 1
    if over * res > FINEST_SURFACE:  # too much memory: reduce the picture the rest of the way
        over, sides = 1, [max(1, round(side * shrink / density)) for side in (height, width)]
        picture = F.interpolate(picture, sides, mode="bilinear", antialias=True, align_corners=False)
    fine = surface if over == 1 else posed(res * over)

    read = read.repeat_interleave(over, 0).repeat_interleave(over, 1)
    place = fine.position[:, read].T - torch.tensor(low, dtype=torch.float32)
    grid = place / extent * 2 - 1
    colours = F.grid_sample(picture, grid[None, None], mode="bicubic", padding_mode="border", align_corners=False)
    colours = colours[0, :, 0]
    if len(colours) == 4:
        colours = colours[:3] / colours[3:].clamp_min(0.02)
    texture = torch.zeros(3, *read.shape)
    texture[:, read] = colours.clamp(0, 1)
    return (F.avg_pool2d(texture, over) if over > 1 else texture), footprint
