"""Chapter 2, pre-training on phone textures."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .check import FunctionCheck, MatchCheck, Mistake, ValueCheck

check_parts = MatchCheck(
    {
        "keeps the size of feature maps in order without looking at them": "demodulation",
        "makes a steep discriminator expensive where textures are real": "R1",
        "says where every single pore sits, so that w need not": "noise",
        "betrays a generator that always paints the same face": "minibatch deviation",
        "leaves the discriminator no hole to win by": "masking",
    },
    "every part answers one way in which such a training fails.",
    [
        Mistake(
            "R1 looks at generated textures.",
            "demodulation stands in the generator. Which part acts on the discriminator's slope?",
            {"makes a steep discriminator expensive where textures are real": "demodulation"},
        ),
        Mistake(
            "A network that repeats itself lacks noise.",
            "noise moves pores, it cannot make another face. Who compares the faces of one batch with each other?",
            {"betrays a generator that always paints the same face": "noise"},
        ),
        Mistake(
            "Normalisation must look at what it normalises.",
            "the minibatch deviation reads feature maps of the whole batch; this part only needs the weights and the style.",
            {"keeps the size of feature maps in order without looking at them": "minibatch deviation"},
        ),
        Mistake(
            "R1 stops every shortcut.",
            "R1 makes the discriminator smooth; a smooth one can still see a hole. What takes the holes out of its sight?",
            {"leaves the discriminator no hole to win by": "R1"},
        ),
    ],
)


def _rows() -> float:
    from ..stylegan2 import Generator

    with torch.device("meta"):
        return float(Generator(resolution=128).num_ws)


check_rows = ValueCheck(
    _rows,
    "two rows a block; toRGB borrows the row of the next block's first convolution, which chapter 4 will stumble over.",
    [
        Mistake("One row for a block.", "that is one row for each block. How many convolutions does a block have?", 6),
        Mistake(
            "toRGB layers have rows of their own.",
            "you gave every toRGB a row of its own. It shares the row of the convolution that comes next.",
            17,
        ),
        Mistake(
            "The last toRGB needs no row.",
            "you counted the convolutions alone. After the last one there is a toRGB, and nothing comes next from which it could "
            "borrow.",
            11,
        ),
        Mistake("A block for every power of two from 1.", "the blocks begin at 4×4: there is none of 2×2.", 14),
    ],
)


def _modulation_cases() -> list[tuple]:
    rng = torch.Generator().manual_seed(2)
    return [
        (
            torch.randn(b, 4, 6, 6, generator=rng),
            torch.randn(4, 4, 3, 3, generator=rng),
            0.3 + torch.rand(b, 4, generator=rng) * 2,
        )
        for b in (1, 3)
    ]


def _modulated(x: Tensor, weight: Tensor, style: Tensor) -> Tensor:
    from ..stylegan2.ops import modulated_conv

    y, demodulation = modulated_conv(x, weight, style)
    return y * demodulation[:, :, None, None]


def _by_sample(x: Tensor, weights: Tensor) -> Tensor:
    """Convolution with a weight ``(B, O, I, 3, 3)`` of its own for each sample."""
    return torch.cat([F.conv2d(one[None], w, padding=1) for one, w in zip(x, weights, strict=True)])


def _styled(weight: Tensor, style: Tensor) -> Tensor:
    return weight[None] * style[:, None, :, None, None]


def _divided(weights: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Weights divided by their norm over ``dims``."""
    return weights / weights.square().sum(dims, keepdim=True).add(1e-8).sqrt()


check_modulation = FunctionCheck(
    _modulation_cases,
    _modulated,
    "your weights for every sample, and the package's scaled activations, are the same function.",
    [
        Mistake(
            "Scaling the weights is all.",
            "the output grows with the style: each output channel is still to be divided by the norm of its weights.",
            lambda x, w, s: _by_sample(x, _styled(w, s)),
        ),
        Mistake(
            "The norm is taken over the output channels.",
            "you summed over the wrong channels: each *output* channel has one norm, over its inputs and the kernel.",
            lambda x, w, s: _by_sample(x, _divided(_styled(w, s), (1, 3, 4))),
        ),
        Mistake(
            "The style scales the outputs.",
            "the style scales *input* channels; what scales the outputs is divided out again by the norm.",
            lambda x, w, s: _by_sample(x, _divided(w[None] * s[:, :, None, None, None], (2, 3, 4))),
        ),
        Mistake(
            "The norm is that of the weights before the style.",
            "the norm is taken before the style came in, so the style still decides how large the output is.",
            lambda x, w, s: _by_sample(x, _styled(_divided(w[None], (2, 3, 4))[0], s)),
        ),
        Mistake(
            "The kernel is not part of the sum.",
            "the norm sums over the inputs *and* over the nine places of the kernel.",
            lambda x, w, s: _by_sample(x, _divided(_styled(w, s), (2,))),
        ),
    ],
)


def _slope_cases() -> list[tuple]:
    rng = torch.Generator().manual_seed(5)
    kernel = torch.randn(3, 8, 8, generator=rng)

    def discriminator(x: Tensor) -> Tensor:
        return (x * kernel).sum((1, 2, 3)) + x.square().sum((1, 2, 3))

    return [(discriminator, torch.randn(b, 3, 8, 8, generator=rng), gamma) for b, gamma in ((1, 2.0), (4, 0.5))]


def _penalty(discriminator, real: Tensor, gamma: float) -> Tensor:
    from ..stylegan2.losses import r1_penalty

    return gamma / 2 * r1_penalty(discriminator, real)


def _slope(discriminator, real: Tensor) -> Tensor:
    real = real.detach().requires_grad_(True)
    return torch.autograd.grad(discriminator(real).sum(), real)[0]


check_r1 = FunctionCheck(
    _slope_cases,
    _penalty,
    "a sum over texels, a mean over the batch, and γ/2.",
    [
        Mistake(
            "A mean over everything is a mean over the batch.",
            "the squares are averaged over the texels too. The norm *sums* over texels; only the batch is averaged.",
            lambda d, x, gamma: gamma / 2 * _slope(d, x).square().mean(),
        ),
        Mistake(
            "The norm itself is penalised.",
            "this is the norm; the penalty is its square.",
            lambda d, x, gamma: gamma / 2 * _slope(d, x).square().sum((1, 2, 3)).sqrt().mean(),
        ),
        Mistake(
            "γ is the weight.", "the factor is γ/2.", lambda d, x, gamma: gamma * _slope(d, x).square().sum((1, 2, 3)).mean()
        ),
        Mistake(
            "The batch is summed.",
            "the norms are summed over the batch: then twice the batch costs twice as much.",
            lambda d, x, gamma: gamma / 2 * _slope(d, x).square().sum(),
        ),
        Mistake(
            "The mean logit's gradient is a sample's gradient.",
            "you took the gradient of the *mean* logit, which is smaller by the size of the batch for every sample.",
            lambda d, x, gamma: gamma / 2 * (_slope(d, x) / len(x)).square().sum((1, 2, 3)).mean(),
        ),
    ],
)
