"""The numbers that go with one converted texture: what can be said without the truth, and more with it."""

from __future__ import annotations

from torch import Tensor

from .. import weights
from ..image import resize
from ..layout import region_mask
from . import face_judge
from .colour import colour_error
from .face_net import SAME_PERSON, FaceNet
from .faceid import faceid
from .lighting import asymmetry, low_band_error
from .lite import EfficientNetLite
from .perceptual import perceptual, perceptual_judge
from .psnr import gain_fitted, psnr


def same_person(distance: float) -> str:
    """What ``face_distance_to_input`` says, in words."""
    said = (
        f"A public network that compares photographs of faces puts the face before and the face after {distance:.2f} apart, both "
        f"drawn on one head from the front. Its author takes two photographs closer than {SAME_PERSON} for one person's: "
    )
    if distance < SAME_PERSON:
        return said + "by that rule this is still one face. It judges the skin alone, not the shape, and it errs."
    return said + "by that rule the face has changed too much. Look at both before you use the result."


def measure(texture: Tensor, visibility: Tensor | None, result: Tensor, truth: Tensor | None = None) -> dict[str, float | str]:
    """Metrics of one conversion.

    Args:
        texture: phone texture ``(1, 3, N, N)``; visibility ``(1, 1, N, N)`` or None (all observed).
        result: studio-like texture ``(1, 3, M, M)``. truth: true studio texture ``(1, 3, M, M)``, if known.
    Returns:
        ``asymmetry_*``: left-right light left over (log units, face); ``identity_cosine_to_input`` by the evaluation network
        that no loss has seen, and ``face_distance_to_input`` by the one that knows real people (see `same_person`); with
        the truth also PSNR in dB (face) as it is and after a gain fit, low-band error, perceptual distance, identity cosine
        and colour error (CIEDE2000).
    """
    size = result.shape[-1]
    phone = resize(texture, size)
    face = region_mask("face", size)[None]
    seen = face if visibility is None else face * resize(visibility, size)
    net = weights.load("identity_eval")
    numbers: dict[str, float] = {
        "asymmetry_input": asymmetry(phone, seen).item(),
        "asymmetry_output": asymmetry(result, seen).item(),
        "identity_cosine_to_input": faceid(net, result, phone, seen)["cosine"].item(),
        "face_distance_to_input": face_judge.distance(result, phone, visibility).item(),
    }
    if truth is not None:
        distance = perceptual_judge()
        for name, picture in (("input", phone), ("output", result)):
            numbers[f"psnr_{name}"] = psnr(picture, truth, face).item()
            numbers[f"psnr_fitted_{name}"] = psnr(gain_fitted(picture, truth, face), truth, face).item()
            numbers[f"low_band_{name}"] = low_band_error(picture, truth, seen)["low_band"].item()
            numbers[f"perceptual_{name}"] = perceptual(distance, picture, truth, face).item()
            numbers[f"colour_error_{name}"] = colour_error(picture, truth, face).item()
        numbers["identity_cosine_to_truth"] = faceid(net, result, truth)["cosine"].item()
    networks = f"identity: {net.name}, face: {FaceNet.name}"
    if truth is not None:
        networks += f", perceptual: {EfficientNetLite.name}@{size}"
    return {name: round(value, 5) for name, value in numbers.items()} | {"networks": networks}
