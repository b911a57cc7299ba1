"""One photo and its landmarks → a phone texture in the `head` layout and its visibility map.

The canonical head is posed to the landmarks by a similarity (`fit_pose`); what is left between the two, a
few per cent of the face width, is interpolated over the mesh triangles and added. So the surface keeps the
smooth curvature of the layout's position map and still passes through every landmark. Each texel then knows
where in the photo it lies, how squarely it faces the camera and whether something hides it:

    visibility = facing · not occluded · inside the picture, worn off at the border of what was seen.

In: uint8 RGB ``(H, W, 3)``. Out: a `Capture`. Texels that no ray reached have visibility 0 and a smooth fill.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .. import layout
from ..errors import CaptureError, InputError
from ..image import blur, fill_unobserved
from . import quality as checks
from .detection import find_faces
from .landmarks import Finder, StoredLandmarks, check_picture
from .landmarks import landmarks as find_landmarks
from .occlusion import DepthBuffer
from .pose import Pose, fit_pose, to_view
from .shape import face_shape

# cosine to the camera: unseen below the first (seen at 81°), fully trusted above the second
GRAZING, SQUARE = 0.15, 0.60
DEPTH_SLACK = 0.025  # in face widths: how far behind the front surface a texel may lie before it counts as hidden
RIM = (0.008, 0.03)  # in face widths: background shines in up to the first from the outline, no further than the second
CHUNK = 1 << 18  # texels that are posed at a time
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
        shape: float32 ``(468, 3)``, cm, of the face, see `face_shape`; None where the landmarks tell none.
    """

    texture: Tensor
    visibility: Tensor
    landmarks: np.ndarray
    quality: dict = field(default_factory=dict)
    shape: Tensor | None = None


@dataclass(frozen=True)
class Surface:
    """The posed face, texel by texel, in the picture's own axes.

    Attributes:
        position: ``(2, R, R)`` x right, y down, pixels; 0 outside the face.
        depth: ``(1, R, R)`` pixels toward the camera.
        facing: ``(1, R, R)`` cosine between the surface normal and the direction to the camera.
        mask: ``(1, R, R)`` 1 inside the face mesh.
    """

    position: Tensor
    depth: Tensor
    facing: Tensor
    mask: Tensor


def capture_photo(
    image: np.ndarray,
    res: int = 512,
    landmarks: np.ndarray | StoredLandmarks | None = None,
    *,
    finder: Finder = find_faces,
) -> Capture:
    """Unwrap one photo of a face into the `head` layout.

    Args:
        image: uint8 RGB ``(H, W, 3)``.
        res: side of the texture, a power of two from 32 to 2048.
        landmarks: ``(468, 3)`` in pixels, or a stored set; found live when absent. A set that was stored
            for another picture of the same size is used (several photos of one pose), and the quality warns
            of it.
        finder: a function that finds landmarks, instead of the networks in the package; see `landmarks`.
    Raises:
        CaptureError: no face, several, profile view, too small, cut off, too dark or blown out, landmarks
            of a picture of another size.
        InputError: not a picture, or an impossible ``res``.
    """
    check_picture(image)
    if not 32 <= res <= 2048 or res & (res - 1):
        raise InputError(f"texture size {res} is not possible; use a power of two from 32 to 2048")
    points, warnings = given_or_found(image, landmarks, finder)
    pose = fit_pose(points)
    checks.refuse_pose(pose, points, image)

    surface = face_surface(points, pose, res)
    visibility = visibility_map(surface, points, pose, image.shape[:2])
    checks.refuse_hidden(visibility, surface.mask)
    texture, footprint = sample(image, points, pose, surface, visibility)
    facts = checks.measure(image, pose, texture, visibility, footprint, surface.mask)
    facts["mouth_opening"] = round(mouth_opening(points), 3)
    checks.refuse_exposure(facts)
    facts["warnings"] = warnings + checks.warn(facts, res)
    filled = fill_unobserved(texture[None], (visibility[None] * OPAQUE).clamp(0, 1)).clamp(0, 1)
    return Capture(filled, visibility[None], points, facts, face_shape([points]))


def given_or_found(image: np.ndarray, given: np.ndarray | StoredLandmarks | None, finder: Finder) -> tuple[np.ndarray, list[str]]:
    """Landmarks ``(468, 3)`` in pixels, checked if they were given, found if not; and sentences for the user.

    Raises:
        CaptureError, InputError: as `capture_photo`.
    """
    if given is None:
        return find_landmarks(image, finder=finder), []
    if isinstance(given, StoredLandmarks):
        height, width = image.shape[:2]
        if not given.same_size(image):
            raise CaptureError(
                f"the landmarks belong to a picture of {given.width}×{given.height} pixels, this one has "
                f"{width}×{height}; make new ones for it"
            )
        told = [] if given.same_picture(image) else ["the landmarks were stored for another picture of the same size"]
        return given.points, told
    points = np.asarray(given, dtype=np.float64)
    if points.ndim != 2 or points.shape[0] < 468 or points.shape[1] != 3 or not np.isfinite(points).all():
        raise InputError(f"landmarks must be 468 finite points with x, y, z; got shape {points.shape}")
    return points[:468], []


def face_surface(points: np.ndarray, pose: Pose, res: int) -> Surface:
    """Pose the layout's face to the landmarks, see the module's text.

    Args:
        points: ``(468, 3)`` landmarks in pixels. pose: its fit. res: side of the map.
    """
    triangles = layout.face_triangles()
    index, weights = layout.face_coverage(res)
    mask = index >= 0
    index, weights, base = index.flatten(), weights.view(-1, 3), layout.position_map(res).view(3, -1)

    view = torch.from_numpy(to_view(points))
    rest = view - torch.from_numpy(pose.apply(layout.face_vertices().double().numpy()))
    normals = vertex_normals(view, triangles)
    painted = torch.zeros(4, res * res)
    for texels in mask.flatten().nonzero().squeeze(1).split(CHUNK):  # double precision of all at once takes a gigabyte
        corners = triangles[index[texels]]  # (M, 3) vertex numbers
        shares = weights[texels].double()[..., None]
        smooth = torch.from_numpy(pose.apply(base[:, texels].T.double().numpy()))
        place = smooth + (rest[corners] * shares).sum(1)
        painted[:3, texels] = (place * torch.tensor([1.0, -1.0, 1.0])).T.float()
        painted[3, texels] = F.normalize((normals[corners] * shares).sum(1), dim=-1)[:, 2].float()
    position, depth, facing = painted.view(4, res, res).split((2, 1, 1))
    return Surface(position, depth, facing, mask[None].float())


def vertex_normals(vertices: Tensor, triangles: Tensor) -> Tensor:
    """Area-weighted unit normals ``(V, 3)`` of a mesh; outward where triangles run counter-clockwise."""
    a, b, c = vertices[triangles].unbind(1)
    faces = torch.linalg.cross(b - a, c - a)
    normals = torch.zeros_like(vertices)
    for corner in range(3):
        normals.index_add_(0, triangles[:, corner], faces)
    return F.normalize(normals, dim=-1)


def visibility_map(surface: Surface, points: np.ndarray, pose: Pose, size: tuple[int, int]) -> Tensor:
    """How well each texel was seen, ``(1, R, R)`` in [0, 1].

    Args:
        surface: the posed face. points: its landmarks. pose: its fit. size: height and width of the photo
            in pixels.
    """
    res = surface.mask.shape[-1]
    facing = ((surface.facing - GRAZING) / (SQUARE - GRAZING)).clamp(0, 1)
    slack = DEPTH_SLACK * pose.face_pixels
    buffer = DepthBuffer.of(points)
    behind = buffer.depth_at(surface.position) - surface.depth
    open_sight = 1 - ((behind - slack) / slack).clamp(0, 1)
    # landmarks are never exact: where the surface turns away, texels next to the outline show what lies behind the head
    rim = (buffer.distance_to_outline(surface.position) / pose.face_pixels - RIM[0]) / (RIM[1] - RIM[0])
    turned = ((0.6 - surface.facing) / 0.2).clamp(0, 1)
    open_sight = open_sight * (1 - turned * (1 - rim.clamp(0, 1)))
    height, width = size
    x, y = surface.position
    margin = torch.minimum(torch.minimum(x, width - x), torch.minimum(y, height - y)) / (0.02 * pose.face_pixels)
    seen = facing * open_sight * margin.clamp(0, 1) * surface.mask
    if mouth_opening(points) > checks.OPEN_MOUTH:  # teeth have no place in the layout
        seen = seen * (1 - layout.region_mask("inner_lips", res))
    # wear the border off inward, never outward, so that no unseen texel gains visibility
    reach = max(1, round(res / 96))
    worn = -F.max_pool2d(-F.pad(seen[None], (reach,) * 4), 2 * reach + 1, stride=1)
    return (blur(worn, res / 160)[0] * surface.mask).clamp(0, 1).minimum(seen.gt(0).float())


def mouth_opening(points: np.ndarray) -> float:
    """Gap between the inner lips in mouth widths."""
    gap = np.linalg.norm(points[13] - points[14])
    return float(gap / max(float(np.linalg.norm(points[78] - points[308])), 1e-6))


def sample(image: np.ndarray, points: np.ndarray, pose: Pose, surface: Surface, visibility: Tensor) -> tuple[Tensor, Tensor]:
    """Look up the photo's colour at every texel, averaging where a texel covers several pixels, bicubic
    where not.

    Returns:
        texture ``(3, R, R)`` in [0, 1], 0 outside the face, and the footprint ``(1, R, R)`` in pixels per
        texel.
    """
    res = surface.mask.shape[-1]
    footprint = texel_footprint(surface)
    sight = visibility[0] > 0.1
    density = float(footprint[0][sight].quantile(0.9)) if sight.any() else 1.0

    inside = surface.position[:, surface.mask[0] > 0]
    low = (inside.amin(1) - 4).floor().clamp_min(0).int().tolist()
    high = (inside.amax(1) + 4).ceil().int().tolist()
    crop = image[low[1] : max(high[1], low[1] + 1), low[0] : max(high[0], low[0] + 1)]
    picture = torch.from_numpy(np.ascontiguousarray(crop)).permute(2, 0, 1)[None].float() / 255
    shrink = max(1, int(density / 1.5))
    picture = F.avg_pool2d(picture, shrink)  # area means first, then at most 2 × 2 samples a texel
    height, width = picture.shape[-2:]
    extent = torch.tensor([width, height], dtype=torch.float32) * shrink
    over = 2 if density / shrink > 1.2 else 1
    if over * res > FINEST_SURFACE:  # too much memory: reduce the picture the rest of the way
        over, sides = 1, [max(1, round(side * shrink / density)) for side in (height, width)]
        picture = F.interpolate(picture, sides, mode="bilinear", antialias=True, align_corners=False)
    fine = surface if over == 1 else face_surface(points, pose, res * over)

    inside = fine.mask[0] > 0
    place = fine.position[:, inside].T - torch.tensor(low, dtype=torch.float32)
    grid = place / extent * 2 - 1
    colours = F.grid_sample(picture, grid[None, None], mode="bicubic", padding_mode="border", align_corners=False)
    texture = torch.zeros(3, *inside.shape)
    texture[:, inside] = colours[0, :, 0].clamp(0, 1)
    if over > 1:
        share = F.avg_pool2d(fine.mask[None], over)[0]
        texture = F.avg_pool2d(texture[None], over)[0] / share.clamp_min(1e-6) * surface.mask
    return texture, footprint


def texel_footprint(surface: Surface) -> Tensor:
    """Side in pixels of the patch of the photo that a texel covers, ``(1, R, R)``; 0 outside the face."""
    across = torch.diff(surface.position, dim=2, append=surface.position[:, :, -1:])
    down = torch.diff(surface.position, dim=1, append=surface.position[:, -1:])
    area = (across[0] * down[1] - across[1] * down[0]).abs()[None]
    # a difference that reaches over the mask's edge is no footprint
    whole = -F.max_pool2d(-surface.mask[None], 3, stride=1, padding=1)[0]
    return area.sqrt() * whole
