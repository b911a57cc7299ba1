"""Chapter 1, data and the two domains."""

from __future__ import annotations

import torch
from torch import Tensor

from .check import FunctionCheck, MatchCheck, Mistake, ValueCheck

check_causes = MatchCheck(
    {
        "one cheek is darker than the other": "light",
        "behind the ear there is a smear": "holes",
        "pores are gone and there is grain instead": "camera",
        "black and white agree, everything between is darker": "encoding",
    },
    "of these four, only light is what de-lighting is about; the other three are shortcuts.",
    [
        Mistake(
            "A darker picture means less light.",
            "less light is a factor: it would darken white as well. What leaves black and white alone and bends the rest?",
            {"black and white agree, everything between is darker": "light"},
        ),
        Mistake(
            "Whatever looks blurred comes from the camera.",
            "a smear has no grain and no edges at all: no camera has looked there. What does software do with such texels?",
            {"behind the ear there is a smear": "camera"},
        ),
        Mistake(
            "Missing pores are missing observations.",
            "grain shows that a sensor has seen this texel. What happened to the signal on its way to the file?",
            {"pores are gone and there is grain instead": "holes"},
        ),
        Mistake(
            "A difference of brightness is a matter of encoding.",
            "an encoding treats every texel of one value alike, wherever it lies. What depends on the side of the face?",
            {"one cheek is darker than the other": "encoding"},
        ),
    ],
)


def _severity() -> float:
    from ..synth.light import severity

    level = torch.linspace(0.1, 0.5, 4001).view(1, 1, 1, -1).expand(1, 3, 1, -1)
    return float(severity(level, torch.ones(1, 1, 4001)))


check_severity_of_ramp = ValueCheck(
    _severity,
    "the percentiles cut 5 % off either end of the ramp, and a common factor would cancel: exposure is not severity.",
    [
        Mistake(
            "The percentiles are the ends.",
            "that is the contrast of the darkest and the brightest texel. The 5th and the 95th percentile lie inside.",
            0.4 / 0.6,
        ),
        Mistake(
            "Contrast is a difference.",
            "that is the numerator alone. A brighter exposure of the same light must not be more severe.",
            0.36,
        ),
        Mistake(
            "Contrast is the difference as a share of the brighter value.",
            "you divided by the bright percentile. The definition divides by the sum of both.",
            0.36 / 0.48,
        ),
        Mistake("Contrast is a ratio.", "a ratio of bright to dark is 1 for even light, and severity is 0 there.", 0.48 / 0.12),
    ],
    tolerance=2e-3,
)


def _captures() -> list[tuple]:
    rng = torch.Generator().manual_seed(3)
    return [(torch.randint(0, people, (count,), generator=rng), share) for people, count, share in ((12, 60, 0.25), (5, 40, 0.4))]


def _shared(cases: list[tuple], held: list[Tensor]) -> bool:
    return any(
        len(mask) == len(subject) and bool(torch.isin(subject[mask > 0], subject[mask == 0]).any())
        for (subject, _), mask in zip(cases, held, strict=True)
    )


check_split = FunctionCheck(
    _captures,
    None,
    "nobody is on both sides, so a memoriser gains nothing by remembering.",
    [
        Mistake(
            "A split answers with places, not with a mask.",
            "a mask is asked for: one truth value for each capture, in the order of `subject`.",
            lambda subject, share: (
                (torch.rand(len(subject), generator=torch.Generator().manual_seed(0)) < share).nonzero().flatten()
            ),
            lambda cases, held: any(mask.shape != subject.shape for (subject, _), mask in zip(cases, held, strict=True)),
        ),
        Mistake(
            "If nobody may be on both sides, take nobody.",
            "one of the two sides is empty; roughly the given share of the people should be held out.",
            lambda subject, share: torch.zeros(len(subject), dtype=torch.bool),
            lambda cases, held: any(not 0 < float((mask > 0).float().mean()) < 1 for mask in held),
        ),
        Mistake(
            "A random split of the captures is a fair split.",
            "some people have captures on both sides: this is a split by capture. Whoever remembers a face has its answer.",
            lambda subject, share: torch.rand(len(subject), generator=torch.Generator().manual_seed(0)) < share,
            _shared,
        ),
        Mistake(
            "The share does not matter much.",
            "nobody is on both sides, good; but far from the given share of the people is held out.",
            lambda subject, share: subject == subject[0],
            lambda cases, held: any(
                abs(len(subject[mask > 0].unique()) / len(subject.unique()) - share) > 0.15
                for (subject, share), mask in zip(cases, held, strict=True)
            ),
        ),
    ],
)


def _exposed_powers() -> list[tuple]:
    rng = torch.Generator().manual_seed(1)
    return [
        (x, gain * x**gamma)
        for gamma, gain in ((2.2, 1.0), (0.45, 0.6), (1.7, 1.3))
        for x in [0.1 + 0.8 * torch.rand(1, 3, 16, 16, generator=rng)]
    ]


def _slope(x: Tensor, y: Tensor) -> Tensor:
    a, b = (torch.cat([t.log().diff(dim=-1).flatten(), t.log().diff(dim=-2).flatten()]) for t in (x, y))
    return (a * b).sum() / a.square().sum()


check_exponent = FunctionCheck(
    _exposed_powers,
    _slope,
    "log gradients see γ and not the gain: that is why they hardly know the exposure, and do know the encoding.",
    [
        Mistake(
            "The logarithms themselves have the ratio γ.",
            "right without a gain, wrong with one: y = c·xᵞ adds log c to the logarithm. What does not see a constant?",
            lambda x, y: (y.log() * x.log()).sum() / x.log().square().sum(),
        ),
        Mistake(
            "A mean of the ratios of the logarithms will do.",
            "this mean of ratios sees the gain too: log y / log x = γ + log c / log x. What does not see a constant?",
            lambda x, y: (y.log() / x.log()).mean(),
        ),
        Mistake(
            "The exponent leads from y to x.",
            "this is 1/γ: which of the two textures was raised to the power?",
            lambda x, y: 1 / _slope(x, y),
        ),
        Mistake(
            "Gradients of the values scale with γ too.",
            "these are gradients of the values, without logarithms: they depend on how bright a texel is.",
            lambda x, y: (x.diff(dim=-1) * y.diff(dim=-1)).sum() / x.diff(dim=-1).square().sum(),
        ),
    ],
    tolerance=0.02,
)
