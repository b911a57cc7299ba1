"""Chapter 3, inversion into W+."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .check import FunctionCheck, MatchCheck, Mistake

check_spaces = MatchCheck(
    {
        "reproduces the capture best": "W+ without a pull",
        "cannot give one layer another light than the next": "W",
        "may lie far from every face that G was trained on": "W+ without a pull",
        "is the same for everybody": "mean code",
        "costs no descent at all, only looks of a network": "encoder",
    },
    "freedom lowers the error of the reconstruction, and is paid for after translation.",
    [
        Mistake(
            "A prior helps the reconstruction.",
            "before translation only the error of the reconstruction counts, and a pull cannot lower it. Who is free?",
            {"reproduces the capture best": "W+ with a pull"},
        ),
        Mistake(
            "The encoder's code is the best one there is.",
            "the encoder's code is where the descent begins, and the descent goes down from there.",
            {"reproduces the capture best": "encoder"},
        ),
        Mistake(
            "The mean code is a code of W+ like all others.",
            "of the mean code this is true as well, but it is not a space to search in. In which space are all rows equal?",
            {"cannot give one layer another light than the next": "mean code"},
        ),
        Mistake(
            "An inversion is a look or two.",
            "a descent evaluates the generator at every step.",
            {"costs no descent at all, only looks of a network": "W"},
        ),
    ],
    words=("mean code", "encoder", "W", "W+ with a pull", "W+ without a pull"),
)


def _clouds() -> list[tuple]:
    rng = torch.Generator().manual_seed(4)
    return [
        (torch.randn(400, d, generator=rng) @ torch.randn(d, d, generator=rng) * 2 + 5 * torch.randn(d, generator=rng),)
        for d in (2, 5)
    ]


def _covariance(x: Tensor) -> Tensor:
    centred = x - x.mean(0)
    return centred.T @ centred / max(len(x) - 1, 1)


def _eigen(codes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Centred codes, variances, basis."""
    return codes - codes.mean(0), *torch.linalg.eigh(_covariance(codes))


def _white(cases: list[tuple], outputs: list[Tensor], test) -> bool:
    return any(
        x.shape != codes.shape or test(codes.shape[1], _covariance(x.nan_to_num()))
        for (codes,), x in zip(cases, outputs, strict=True)
    )


check_whiten = FunctionCheck(
    _clouds,
    None,
    "zero mean, and every direction has variance 1: now a step of one length means the same everywhere.",
    [
        Mistake(
            "Whitening gives a matrix.",
            "the whitened *codes* are asked for, in the shape of the codes.",
            _covariance,
            lambda cases, outputs: any(x.shape != codes.shape for (codes,), x in zip(cases, outputs, strict=True)),
        ),
        Mistake(
            "The mean takes care of itself.",
            "the covariance may be right, but the mean of the result is not zero: something was not subtracted.",
            lambda codes: codes @ _eigen(codes)[2] / _eigen(codes)[1].sqrt(),
            lambda cases, outputs: any(float(x.mean(0).abs().max()) > 0.05 for x in outputs),
        ),
        Mistake(
            "Dividing every coordinate by its own deviation is enough.",
            "every coordinate has variance 1, but they are still correlated: the cloud is slanted. Turn it first.",
            lambda codes: _eigen(codes)[0] / codes.std(0),
            lambda cases, outputs: _white(
                cases,
                outputs,
                lambda d, c: torch.allclose(c.diag(), torch.ones(d), atol=0.05) and (c - c.diag().diag()).abs().max() > 0.05,
            ),
        ),
        Mistake(
            "Eigenvalues are standard deviations.",
            "you divided by the eigenvalues; those of a covariance are *variances*.",
            lambda codes: _eigen(codes)[0] @ _eigen(codes)[2] / _eigen(codes)[1],
            lambda cases, outputs: all(
                x.shape == codes.shape
                and torch.allclose(_covariance(x).diag().sort().values, 1 / _eigen(codes)[1].flip(0), rtol=0.05)
                for (codes,), x in zip(cases, outputs, strict=True)
            ),
        ),
        Mistake(
            "Turning the cloud onto its axes makes it round.",
            "the cloud lies straight now, and is still long and thin. Which number belongs under each axis?",
            lambda codes: _eigen(codes)[0] @ _eigen(codes)[2],
            lambda cases, outputs: _white(cases, outputs, lambda d, c: not torch.allclose(c, torch.eye(d), atol=0.05)),
        ),
    ],
)


def _partly_seen() -> list[tuple]:
    rng = torch.Generator().manual_seed(6)
    cases = []
    for size in (8, 16):
        seen = (torch.rand(2, 1, size, size, generator=rng) - 0.3).clamp_min(0)
        a, b = (torch.rand(2, 3, size, size, generator=rng) * 2 - 1 for _ in range(2))
        cases.append((torch.where(seen > 0, a, 9.0), b, seen))  # what nobody saw holds junk
    return cases


def _second_level(a: Tensor, b: Tensor, visibility: Tensor) -> Tensor:
    from ..inversion.distance import pyramid_distance

    both, finest = pyramid_distance(a, b, visibility, levels=2)
    return 2 * both - finest


def _halves(a: Tensor, b: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    return F.avg_pool2d((a - b) * v, 2), F.avg_pool2d(v, 2)


def _error(difference: Tensor, seen: Tensor) -> Tensor:
    return (difference.square().mean(1, keepdim=True) / seen.clamp_min(1e-6)).sum((1, 2, 3)) / seen.sum((1, 2, 3))


check_level = FunctionCheck(
    _partly_seen,
    _second_level,
    "multiplied by v before anything is averaged, so what nobody saw has exactly no say.",
    [
        Mistake(
            "Visibility can be applied at the end.",
            "junk of unobserved texels has come in: the difference was averaged *before* it was multiplied by v.",
            lambda a, b, v: _error(F.avg_pool2d(a - b, 2) * F.avg_pool2d(v, 2), F.avg_pool2d(v, 2)),
        ),
        Mistake(
            "A mean is a mean over all texels.",
            "the last division is by the number of texels. It should be by how much of them was seen.",
            lambda a, b, v: (_halves(a, b, v)[0].square().mean(1) / _halves(a, b, v)[1][:, 0].clamp_min(1e-6)).mean((1, 2)),
        ),
        Mistake(
            "The weight of a texel is counted by the square.",
            "v is in the squared difference twice. The division by ↓v, texel by texel, is missing.",
            lambda a, b, v: _halves(a, b, v)[0].square().mean(1).sum((1, 2)) / _halves(a, b, v)[1].sum((1, 2, 3)),
        ),
        Mistake(
            "Squares may be averaged instead of differences.",
            "you squared first and halved afterwards: that is the finest level again. A coarse level compares *means*.",
            lambda a, b, v: F.avg_pool2d((a - b).square() * v, 2).mean(1).sum((1, 2)) / F.avg_pool2d(v, 2).sum((1, 2, 3)),
        ),
        Mistake(
            "Colour channels add up.",
            "the three channels are summed; a mean square is asked for, as in the chapter.",
            lambda a, b, v: 3 * _error(*_halves(a, b, v)),
        ),
    ],
    tolerance=1e-3,
)
