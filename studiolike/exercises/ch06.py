"""Chapter 6, the avatar and how good it is."""

from __future__ import annotations

import torch
from torch import Tensor

from .check import FunctionCheck, MatchCheck, Mistake

check_exposed = MatchCheck(
    {
        "the same mean face for everybody": "identity",
        "the phone texture as it came": "asymmetry",
        "the truth, blurred": "perceptual distance",
        "the truth, but all skin a little too dark": "colour error",
    },
    "every cheat looks good in some column; the columns stand together for that reason.",
    [
        Mistake(
            "The mean face keeps the capture's light.",
            "the mean face has no light of any capture in it. What of the *person* is in it?",
            {"the same mean face for everybody": "asymmetry"},
        ),
        Mistake(
            "Doing nothing loses the person.",
            "the phone texture is the person. What else has it kept?",
            {"the phone texture as it came": "identity"},
        ),
        Mistake(
            "Blur is an error of colour.",
            "a blur leaves broad colour alone, and PSNR likes it. Which measure looks at structure?",
            {"the truth, blurred": "colour error"},
        ),
        Mistake(
            "Too dark is badly lit.",
            "asymmetry compares left and right; a factor that is the same on both sides is not seen by it.",
            {"the truth, but all skin a little too dark": "asymmetry"},
        ),
    ],
)


def _clustered() -> list[tuple]:
    rng = torch.Generator().manual_seed(11)
    cases = []
    for people, each in ((12, 2), (20, 4)):
        face = torch.randn(people, 1, generator=rng) * 2
        values = (25 + face + 2 * torch.randn(people, each, generator=rng)).flatten()
        order = torch.randperm(len(values), generator=rng)
        cases.append((values[order], torch.arange(people).repeat_interleave(each)[order]))
    return cases


def _subject_means(values: Tensor, subject: Tensor) -> Tensor:
    return torch.stack([values[subject == k].mean() for k in subject.unique()])


def _standard_error(values: Tensor, subject: Tensor) -> Tensor:
    means = _subject_means(values, subject)
    return means.std() / len(means) ** 0.5


check_standard_error = FunctionCheck(
    _clustered,
    _standard_error,
    "the subjects are the sample; more captures of the same people do not make it larger.",
    [
        Mistake(
            "Every capture is a measurement of its own.",
            "this treats captures as independent, and makes the interval too narrow. Who was sampled: captures, or people?",
            lambda values, subject: values.std() / len(values) ** 0.5,
        ),
        Mistake(
            "The spread of the means is the uncertainty of their mean.",
            "this is the spread between people. The mean of many people is better known than one of them.",
            lambda values, subject: _subject_means(values, subject).std(),
        ),
        Mistake(
            "The number under the root is that of all values.",
            "the means are right, but you divided by the root of the number of captures. How many means are there?",
            lambda values, subject: _subject_means(values, subject).std() / len(values) ** 0.5,
        ),
        Mistake(
            "The spread within a person is what makes a mean unsure.",
            "this is the spread of captures *within* a person, the smaller part; people differ more from each other.",
            lambda values, subject: (
                torch.stack([values[subject == k].std() for k in subject.unique()]).mean() / len(values) ** 0.5
            ),
        ),
    ],
    tolerance=0.06,  # with n or n − 1 under the root
)


def _lit_person() -> list[tuple]:
    rng = torch.Generator().manual_seed(12)
    person = 0.3 + 0.4 * torch.rand(1, 3, 32, 32, generator=rng)
    across = torch.linspace(-1, 1, 32).view(1, 1, 1, -1)
    lights = torch.cat([1 + 0.5 * across * side for side in (-1.0, 0.2, 1.0)]) * torch.tensor([0.7, 1.0, 1.3]).view(3, 1, 1, 1)
    return [((person * lights).clamp(0, 1), torch.ones(3, 1, 32, 32))]


def _left_over(cases: list[tuple], outputs: list[Tensor]) -> tuple[float, float]:
    """Largest asymmetry of what a method gave, and its variance over lights ÷ the input's."""
    from ..evaluation import asymmetry, variance_ratio

    (texture, visibility), output = cases[0], outputs[0]
    ratio = variance_ratio(output, texture, torch.zeros(len(texture)), visibility)[0]
    return float(asymmetry(output, visibility).max()), float(ratio[0])


def _wrong_form(cases: list[tuple], outputs: list[Tensor]) -> bool:
    return outputs[0].shape != cases[0][0].shape or not 0 <= float(outputs[0].min()) <= float(outputs[0].max()) <= 1


check_cheat = FunctionCheck(
    _lit_person,
    None,
    "perfectly even, under every light the same, and nobody's face. Now name the column that exposes it.",
    [
        Mistake(
            "Any result will do.",
            "a method gives a texture of the same shape, with values in [0, 1].",
            lambda texture, visibility: texture.mean((1, 2, 3)),
            _wrong_form,
        ),
        Mistake(
            "Mirroring removes light.",
            "symmetric now, but the exposure and the broad light are still in it: under another light the result is another.",
            lambda texture, visibility: (texture + texture.flip(-1)) / 2,
            lambda cases, outputs: _left_over(cases, outputs)[0] < 0.01 < _left_over(cases, outputs)[1],
        ),
        Mistake(
            "Blur removes light.",
            "light is the *broad* part, so a blur keeps just that. Left and right still differ.",
            lambda texture, visibility: torch.nn.functional.avg_pool2d(texture, 9, 1, 4),
            lambda cases, outputs: _left_over(cases, outputs)[0] >= 0.01,
        ),
    ],
)
