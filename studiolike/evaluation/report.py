"""The numbers that go with one converted texture: what can be said without the truth, and more with it."""

from __future__ import annotations

from torch import Tensor

from .. import weights
from ..features import PerceptualDistance
from ..io import resize
from ..layout import region_mask
from .colour import colour_error
from .faceid import faceid
from .lighting import asymmetry
from .perceptual import perceptual
from .psnr import psnr


def measure(texture: Tensor, visibility: Tensor | None, result: Tensor, truth: Tensor | None = None) -> dict[str, float | str]:
    """Metrics of one conversion.

    Args:
        texture: phone texture ``(1, 3, N, N)``; visibility ``(1, 1, N, N)`` or None (all observed).
        result: studio-like texture ``(1, 3, M, M)``. truth: true studio texture ``(1, 3, M, M)``, if known.
    Returns:
        ``asymmetry_*``: left-right light left over (log units, face); ``identity_cosine_to_input``; with the truth
        also PSNR in dB (face), perceptual distance, identity cosine and colour error (CIEDE2000). The evaluation
        network that no loss has seen measures identity and perceptual distance.
    """
    size = result.shape[-1]
    phone = resize(texture, size)
    face = region_mask("face", size)[None]
    seen = face if visibility is None else face * resize(visibility, size)
    net = weights.load("identity_eval")
    numbers: dict[str, float | str] = {
        "asymmetry_input": asymmetry(phone, seen).item(),
        "asymmetry_output": asymmetry(result, seen).item(),
        "identity_cosine_to_input": faceid(net, result, phone, seen)["cosine"].item(),
    }
    if truth is not None:
        distance = PerceptualDistance(net)
        for name, picture in (("input", phone), ("output", result)):
            numbers[f"psnr_{name}"] = psnr(picture, truth, face).item()
            numbers[f"perceptual_{name}"] = perceptual(distance, picture, truth, face).item()
            numbers[f"colour_error_{name}"] = colour_error(picture, truth, face).item()
        numbers["identity_cosine_to_truth"] = faceid(net, result, truth)["cosine"].item()
    return {name: round(value, 5) for name, value in numbers.items()} | {"network": "identity_eval"}
