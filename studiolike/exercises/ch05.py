"""Chapter 5, fusion and diffusion detailing."""

from __future__ import annotations

import torch
from torch import Tensor

from .check import FunctionCheck, MatchCheck, Mistake

check_passes = MatchCheck(
    {
        "the exposure of the phone": "stays out",
        "the colour of the lamp": "stays out",
        "a broad, smooth shadow": "stays out",
        "pores and stubble": "comes through",
        "the edge of a cast shadow": "comes through",
        "the rim of a hole": "comes through",
    },
    "a Gaussian knows scales, and nothing else: what is finer than the blur comes through, skin or not.",
    [
        Mistake(
            "The logarithm removes shadows.",
            "the logarithm makes shading additive, and the blur takes away what is *coarse*. How coarse is an edge?",
            {"the edge of a cast shadow": "stays out"},
        ),
        Mistake(
            "What looks the same everywhere must come through.",
            "a factor for the whole picture is a constant under the logarithm. What does the blur do with a constant?",
            {"the exposure of the phone": "comes through"},
        ),
        Mistake(
            "Colour is detail.",
            "the colour of the lamp is one factor for each channel, and every channel is fused by itself.",
            {"the colour of the lamp": "comes through"},
        ),
        Mistake(
            "Unobserved texels are masked, so holes leave no trace.",
            "texels of the hole are masked; those beside it are seen at a grazing angle, and a blur knows only one side of them.",
            {"the rim of a hole": "stays out"},
        ),
        Mistake(
            "A shadow is a shadow.",
            "a *smooth* shadow is wider than the blur: it is in the part that the generator's texture replaces.",
            {"a broad, smooth shadow": "comes through"},
        ),
    ],
)


def _noisy() -> list[tuple]:
    rng = torch.Generator().manual_seed(9)
    cases = []
    for signal in (0.9, 0.3, 0.0):
        clean, noise = (torch.randn(2, 3, 8, 8, generator=rng) for _ in range(2))
        sigma = (1 - signal**2) ** 0.5
        cases.append((signal * clean + sigma * noise, signal * noise - sigma * clean, signal, sigma))
    return cases


def _clean(noisy: Tensor, v: Tensor, signal: float, sigma: float) -> Tensor:
    from ..detail.train import clean_from_velocity

    return clean_from_velocity(noisy, v, signal, sigma)


check_clean = FunctionCheck(
    _noisy,
    _clean,
    "and it stays finite at zero signal, where the network must draw everything by itself.",
    [
        Mistake(
            "The velocity points away from the noise.",
            "you added where you should subtract: insert v = α·ε − σ·x₀ and see which terms with ε cancel.",
            lambda noisy, v, signal, sigma: signal * noisy + sigma * v,
        ),
        Mistake(
            "The network's output is the noise.",
            "this would be right if the network predicted the noise ε. At zero signal it divides by zero.",
            lambda noisy, v, signal, sigma: (noisy - sigma * v) / max(signal, 1e-8),
        ),
        Mistake(
            "Signal and noise play the same part.",
            "α and σ are exchanged: with this combination the clean residual cancels, and the *noise* is left.",
            lambda noisy, v, signal, sigma: sigma * noisy + signal * v,
        ),
        Mistake(
            "The velocity is the way from noisy to clean.",
            "the velocity is not a step that is added to the noisy picture; it is a mixture of noise and clean residual.",
            lambda noisy, v, signal, sigma: noisy - v,
        ),
        Mistake(
            "Only the velocity matters.",
            "σ·v alone leaves noise behind. What cancels its part of ε?",
            lambda noisy, v, signal, sigma: -sigma * v,
        ),
    ],
)


def _holed() -> list[tuple]:
    rng = torch.Generator().manual_seed(10)
    cases = []
    for sigma in (1.5, 3.0):
        mask = torch.ones(1, 1, 32, 32)
        mask[..., 8:24, 12:20] = 0
        mask[..., 24:, :] *= 0.5
        x = 0.5 + 0.3 * torch.rand(1, 3, 32, 32, generator=rng)
        cases.append((torch.where(mask > 0, x, 7.0), mask, sigma))
    return cases


def _masked(x: Tensor, mask: Tensor, sigma: float) -> Tensor:
    from ..evaluation.masked import masked_blur

    return masked_blur(x, mask, sigma)


def _blur(x: Tensor, sigma: float) -> Tensor:
    from ..image import blur

    return blur(x, sigma)


check_masked_blur = FunctionCheck(
    _holed,
    _masked,
    "a constant stays a constant right up to the rim, and nothing of the hole comes in: normalised convolution.",
    [
        Mistake(
            "Blurring is not the place to think of holes.",
            "junk from inside the hole has been blurred into the skin beside it.",
            lambda x, mask, sigma: _blur(x, sigma),
        ),
        Mistake(
            "A hole may count as black.",
            "the rim is too dark: texels of the hole count as zeros. A mean must also divide by how much was counted.",
            lambda x, mask, sigma: _blur(x * mask, sigma),
        ),
        Mistake(
            "The weight to divide by is the mask.",
            "you divided by the mask itself. Divide by the weight that *arrived* at a texel, from all around.",
            lambda x, mask, sigma: _blur(x * mask, sigma) / mask.clamp_min(1e-4),
        ),
        Mistake(
            "Masking afterwards is enough.",
            "masking the result does not undo what the blur has mixed in before.",
            lambda x, mask, sigma: _blur(x, sigma) * mask,
        ),
        Mistake(
            "A mask is yes or no.",
            "texels that were seen half count fully. Use the mask as a weight, without a threshold.",
            lambda x, mask, sigma: _masked(x, (mask > 0).float(), sigma),
        ),
    ],
    compare=lambda case, output: output * (case[1] > 0),
    tolerance=5e-3,
)
