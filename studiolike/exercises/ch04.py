"""Chapter 4, few-shot studio fine-tuning."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .check import FunctionCheck, MatchCheck, Mistake

check_players = MatchCheck(
    {
        "L_adv": "both",
        "L_R1": "the discriminator",
        "L_percp-recons": "the generator",
        "L_percp": "the generator",
        "L_faceID": "the generator",
    },
    "one term is a game, one calms its referee, three hold the person.",
    [
        Mistake(
            "Everything inside min-max belongs to both.",
            "the printed min-max hides it: L_R1 is the discriminator's slope at *real* textures. Has the generator a hand in it?",
            {"L_R1": "both"},
        ),
        Mistake(
            "A regulariser belongs to the generator.",
            "no generated texture enters L_R1, so it has no gradient for the generator.",
            {"L_R1": "the generator"},
        ),
        Mistake(
            "The adversarial loss trains the generator.",
            "who would pull against the generator in L_adv, if it were the generator's alone?",
            {"L_adv": "the generator"},
        ),
        Mistake(
            "Pairs are real data, so they belong to the discriminator.",
            "L_percp-recons compares G_studio(w+) with the true texture by a fixed distance; no discriminator learns from it.",
            {"L_percp-recons": "the discriminator"},
        ),
        Mistake(
            "The identity network is trained along.",
            "the identity network is frozen, and so is G_phone. Who is left to descend L_faceID?",
            {"L_faceID": "both"},
        ),
    ],
)


def _cosines() -> list[tuple]:
    return [(torch.tensor(value), length) for value, length in ((0.9, 128), (0.2, 64), (-0.5, 32))]


def _mse(cosine: Tensor, length: int) -> Tensor:
    from ..adaptation import identity_loss

    a, b = torch.zeros(1, length), torch.zeros(1, length)
    a[0, 0], b[0, 0], b[0, 1] = 1.0, cosine, (1 - cosine.square()).sqrt()
    return identity_loss(a, b, "mse")


check_mse = FunctionCheck(
    _cosines,
    _mse,
    "the same minimum as 1 − cos, and a weight that is smaller by the factor 2/E.",
    [
        Mistake(
            "The two forms are one.",
            "that is the other form of the loss. What is the squared distance of two unit vectors?",
            lambda cosine, length: 1 - cosine,
        ),
        Mistake(
            "Mean squared error is the squared distance.",
            "this is the squared distance, the *sum* over the elements. The mean squared error divides by their number.",
            lambda cosine, length: 2 * (1 - cosine),
        ),
        Mistake(
            "A squared distance has no mixed term of two.",
            "a factor 2 is missing: expand |a − b|² and count what each of the three parts gives.",
            lambda cosine, length: (1 - cosine) / length,
        ),
        Mistake(
            "The root of the length normalises a square.",
            "you divided by the root of the number of elements; a mean divides by the number.",
            lambda cosine, length: 2 * (1 - cosine) / length**0.5,
        ),
    ],
)


def _opinions() -> list[tuple]:
    return [tuple(torch.tensor(x) for x in logits) for logits in ((2.0, 1.5, -1.0), (6.0, 0.0, -2.0), (1.0, 1.2, -3.0))]


check_overfit = FunctionCheck(
    _opinions,
    lambda train, held_out, fake: (train - held_out) / (train - fake),
    "0: held-out textures look as real as training ones; 1: they look as false as generated ones.",
    [
        Mistake(
            "The gap alone says it.",
            "this is the gap in logits. Whether 2 is much depends on how far apart real and generated are: divide by that.",
            lambda train, held_out, fake: train - held_out,
        ),
        Mistake(
            "1 means that all is well.",
            "the scale is upside down: this is 1 when held-out textures look as real as training ones.",
            lambda train, held_out, fake: (held_out - fake) / (train - fake),
        ),
        Mistake(
            "Held-out textures are the yardstick.",
            "the denominator reaches from held-out to generated. The yardstick is the whole way, from training to generated.",
            lambda train, held_out, fake: (train - held_out) / (held_out - fake),
        ),
        Mistake(
            "A ratio of logits compares them.",
            "a ratio of logits changes when a constant is added to all of them, and a discriminator's zero means nothing.",
            lambda train, held_out, fake: held_out / train,
        ),
    ],
)


def _shaded_pairs() -> list[tuple]:
    rng = torch.Generator().manual_seed(8)
    cases = []
    for tone in (0.6, 0.15):
        skin, drawn = (torch.where(torch.rand(2, 1, 32, 32, generator=rng) < 0.3, 0.2, 1.0) * tone for _ in range(2))
        shade = torch.linspace(0.5, 1.0, 32).view(1, 1, 1, -1)
        cases.append(((drawn * shade).expand(-1, 3, -1, -1).clone(), skin.expand(-1, 3, -1, -1).clone()))
    return cases


def _low_light(light: Tensor, truth: Tensor) -> Tensor:
    from ..adaptation.losses import low_light_loss
    from ..image import linear_to_srgb, to_signed

    return low_light_loss(to_signed(linear_to_srgb(light)), to_signed(linear_to_srgb(truth)), side=8)


def _patches(x: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(x, 8)


check_low_light = FunctionCheck(
    _shaded_pairs,
    _low_light,
    "one wrong factor of light now costs nearly the same on light and on dark skin.",
    [
        Mistake(
            "A difference of light is a difference.",
            "without the logarithm the same wrong *factor* costs much less where skin is dark. Try both tones.",
            lambda light, truth: (_patches(light) - _patches(truth)).abs().mean(),
        ),
        Mistake(
            "The order of mean and logarithm does not matter.",
            "the logarithm is taken before the mean over a patch: this is no longer the light of the patch, and one dark hair "
            "counts as much as the skin around it.",
            lambda light, truth: (_patches((light + 0.01).log()) - _patches((truth + 0.01).log())).abs().mean(),
        ),
        Mistake(
            "All texels belong to the low band.",
            "there is no low band: pores and hair are compared texel by texel. Take means over patches first.",
            lambda light, truth: ((light + 0.01).log() - (truth + 0.01).log()).abs().mean(),
        ),
        Mistake(
            "Squares are the usual choice.",
            "this is a mean of squares; the chapter's term is a mean of absolute values.",
            lambda light, truth: ((_patches(light) + 0.01).log() - (_patches(truth) + 0.01).log()).square().mean(),
        ),
        Mistake(
            "The floor is a detail.",
            "nearly right: the floor of 0.01 under the logarithm is missing.",
            lambda light, truth: (_patches(light).log() - _patches(truth).log()).abs().mean(),
        ),
    ],
    tolerance=2e-3,
)
