"""When a photo is refused, what is measured of it, and which warnings the user gets.

Every refusal is a `CaptureError` that says what was found, what is needed and what to do. Limits are ours;
they were set on a handful of portraits and one full profile.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import CaptureError
from ..image import luminance, srgb_to_linear
from .pose import Pose

MIN_FACE_PIXELS = 48
MAX_YAW, MAX_PITCH = 60.0, 50.0  # degrees
TURNED = 35.0  # degrees of yaw from which one cheek is only partly seen
MIN_CHEEK = 0.15  # part of either half of the face that must be seen
TOO_DARK = 0.10  # sRGB luma that at least a tenth of the face must pass
TOO_BRIGHT, MAX_CLIPPED = 0.985, 0.40  # sRGB luma of burnt-out skin, and how much of the face may be so
OPEN_MOUTH = 0.06  # lip gap in mouth widths from which teeth show; closed mouths have up to 0.05
MAX_OVERSAMPLING = 2.0  # texels per pixel
BLURRED = 0.30  # focus below which the user is told; sharp photographs, hard light among them, have 0.4 to 0.8
COARSE = 1.2  # what makes squares at half the size as large as the plain measure where both should tell


def refuse_pose(pose: Pose, points: np.ndarray, image: np.ndarray) -> None:
    """Refuse faces that are turned away, too small or mostly outside the picture.

    Raises:
        CaptureError: with the numbers found and needed.
    """
    height, width = image.shape[:2]
    x, y = points[:, 0], points[:, 1]
    inside = float(((x >= 0) & (x <= width) & (y >= 0) & (y <= height)).mean())
    if inside < 0.7:
        raise CaptureError(f"only {inside:.0%} of the face lies inside the picture; use a photo that shows all of it")
    if abs(pose.yaw) > MAX_YAW:
        raise CaptureError(
            f"profile view: the head is turned by {abs(pose.yaw):.0f}°, at most {MAX_YAW:.0f}° works; "
            "use a photo from the front or three-quarter view"
        )
    if abs(pose.pitch) > MAX_PITCH:
        raise CaptureError(
            f"the head is tilted {'up' if pose.pitch > 0 else 'down'} by {abs(pose.pitch):.0f}°, at most "
            f"{MAX_PITCH:.0f}° works; use a photo taken at eye level"
        )
    if pose.face_pixels < MIN_FACE_PIXELS:
        raise CaptureError(
            f"the face is {pose.face_pixels:.0f} pixels wide, at least {MIN_FACE_PIXELS} are needed; "
            "come closer or use the photo in full size"
        )


def refuse_hidden(visibility: Tensor, mask: Tensor) -> None:
    """Refuse photos that show too little of one half of the face. Raises ``CaptureError``."""
    left, right = cheek_coverage(visibility, mask)
    if min(left, right) < MIN_CHEEK:
        side = "left" if left < right else "right"
        raise CaptureError(
            f"profile view: only {min(left, right):.0%} of the {side} half of the face is seen, "
            f"at least {MIN_CHEEK:.0%} is needed; use a photo from the front or three-quarter view"
        )


def cheek_coverage(visibility: Tensor, mask: Tensor) -> tuple[float, float]:
    """Seen part of the subject's left and right half of the face, by texels, each in [0, 1]."""
    half = mask.shape[-1] // 2  # the nose is in the middle of the layout, the subject's left to its right
    seen = (visibility > 0.3).float() * mask
    left, right = (float(seen[..., s].sum() / mask[..., s].sum()) for s in (slice(half, None), slice(0, half)))
    return left, right


def measure(pose: Pose, texture: Tensor, visibility: Tensor, footprint: Tensor, mask: Tensor) -> dict:
    """Facts about a capture: plain numbers, JSON-ready.

    Keys: ``face_pixels`` (width of the face seen from the front), ``yaw``, ``pitch``, ``roll`` in degrees,
    ``seen_left``, ``seen_right`` (parts of the face halves), ``oversampling`` (texels per pixel, median),
    ``sharpness`` in [0, 1], ``focus`` (the same of the photo, whatever the texture's size), ``exposure``
    (median linear luminance), ``bright`` (90th percentile of sRGB luma), ``clipped`` (burnt-out part of
    the seen face).
    """
    seen = visibility[0] > 0.3
    luma = luminance(texture)[0]
    skin = luma[seen] if seen.any() else luma[mask[0] > 0]
    steps = footprint[0][seen & (footprint[0] > 0)]
    oversampling = 1 / max(float(steps.median()), 1e-3) if len(steps) else 0.0
    left, right = cheek_coverage(visibility, mask)
    return {
        "face_pixels": round(pose.face_pixels, 1),
        "yaw": round(pose.yaw, 1),
        "pitch": round(pose.pitch, 1),
        "roll": round(pose.roll, 1),
        "seen_left": round(left, 3),
        "seen_right": round(right, 3),
        "oversampling": round(oversampling, 2),
        "sharpness": round(sharpness(texture, seen), 3),
        "focus": round(focus(texture, seen, oversampling), 3),
        "exposure": round(float(luminance(srgb_to_linear(texture))[0][seen].median()), 4) if seen.any() else 0.0,
        "bright": round(float(skin.quantile(0.9)), 3),
        "clipped": round(float((skin >= TOO_BRIGHT).float().mean()), 3),
    }


def sharpness(texture: Tensor, seen: Tensor, power: int = 1) -> float:
    """How much fine variation a strong blur removes, in [0, 1]; 0 = nothing to lose, the texture is already
    blurred.

    After Crete et al., *The blur effect*, SPIE 2007, on the texture instead of the photo, so that frames of
    one subject compare texel by texel.

    Args:
        texture: ``(3, R, R)``. seen: ``(R, R)`` bool. power: of the differences between neighbours; 2 to count large ones more.
    """
    luma = luminance(texture)[None]
    kept = []
    for axis in (2, 3):
        window = (9, 1) if axis == 2 else (1, 9)
        pad = (0, 0, 4, 4) if axis == 2 else (4, 4, 0, 0)
        soft = F.avg_pool2d(F.pad(luma, pad, mode="replicate"), window, stride=1)
        both = seen.narrow(axis - 2, 1, seen.shape[0] - 1) & seen.narrow(axis - 2, 0, seen.shape[0] - 1)
        before = luma.diff(dim=axis).abs()[0, 0][both]
        after = soft.diff(dim=axis).abs()[0, 0][both]
        kept.append(float(((before - after).clamp_min(0) ** power).sum() / (before**power).sum().clamp_min(1e-8)))
    return min(kept)


def focus(texture: Tensor, seen: Tensor, oversampling: float) -> float:
    """`sharpness` of the texture, averaged down first until no pixel is spread over more than `MAX_OVERSAMPLING` texels a
    side: a large texture of a sharp small photo is soft, and that is no blur of the photo.

    A JPEG of a blurred photo has no fine detail but the borders of its blocks of 8 × 8 pixels, many small steps, each as sharp
    as can be. At half the size, and squared, they count little beside what is left of the face's own edges. So the smaller of
    both measures counts; of sharp photographs that is the fine one.

    Args:
        texture: ``(3, R, R)``. seen: ``(R, R)`` bool. oversampling: texels per pixel, median.
    """
    side = 2 ** max(0, math.ceil(math.log2(max(oversampling / MAX_OVERSAMPLING, 1e-3))))
    found = []
    for factor, power in ((side, 1), (2 * side, 2)):
        inside = ~F.max_pool2d((~seen)[None].float(), factor)[0].bool()
        if inside.any():
            found.append(sharpness(F.avg_pool2d(texture, factor), inside, power) * (COARSE if power == 2 else 1))
    return min(found) if found else sharpness(texture, seen)


def refuse_exposure(facts: dict) -> None:
    """Refuse faces that hold no tone. Raises ``CaptureError``."""
    if facts["bright"] < TOO_DARK:
        raise CaptureError(
            f"the face is too dark: its brightest tenth reaches {facts['bright']:.0%} of the range, at least "
            f"{TOO_DARK:.0%} is needed; use more light or a longer exposure"
        )
    if facts["clipped"] > MAX_CLIPPED:
        raise CaptureError(
            f"{facts['clipped']:.0%} of the face is burnt out to white, at most {MAX_CLIPPED:.0%} may be; "
            "expose for the face or avoid the flash"
        )


def warn(facts: dict, res: int) -> list[str]:
    """Sentences about what is usable but not good."""
    said = []
    if facts["oversampling"] > MAX_OVERSAMPLING:
        fair = max(32, 2 ** int(torch.log2(torch.tensor(res * MAX_OVERSAMPLING / facts["oversampling"]))))
        said.append(
            f"the face is {facts['face_pixels']:.0f} pixels wide, "
            f"so a pixel is spread over {facts['oversampling']:.1f} texels a side at {res}; "
            f"a closer photo, or a texture of {fair}, would be honest"
        )
    if facts["focus"] < BLURRED:
        said.append(
            "the photo is blurred: fine detail, such as lashes and pores, is lost in it, and the texture is as soft; "
            "hold still, in more light, or clean the lens"
        )
    if abs(facts["yaw"]) > TURNED:
        said.append(f"the head is turned by {abs(facts['yaw']):.0f}°, so the far cheek is only partly seen")
    if facts["clipped"] > 0.1:
        said.append(f"{facts['clipped']:.0%} of the face is burnt out; its colour there is lost")
    if facts["bright"] < 2 * TOO_DARK:
        said.append("the face is very dark; expect noise")
    if facts["mouth_opening"] > OPEN_MOUTH:
        said.append("the mouth is open; what shows between the lips was left out")
    return said
