"""Chapter 7, your own capture."""

from __future__ import annotations

import torch
from torch import Tensor

from .check import FunctionCheck, MatchCheck, Mistake

check_fate = MatchCheck(
    {
        "a profile": "refused",
        "a face of 24 pixels": "refused",
        "a photograph that is far too dark": "refused",
        "a hat": "converted, and spoilt",
        "a hard shadow across the face": "converted, and spoilt",
    },
    "what can be measured in one photograph is refused; what would have to be *understood* is not.",
    [
        Mistake(
            "A picture with a hat in it is recognised.",
            "nothing in the chain knows what a hat is, so nothing can refuse it.",
            {"a hat": "refused"},
        ),
        Mistake(
            "Bad light is refused.",
            "exposure can be measured; whether an edge is a shadow or a scar cannot.",
            {"a hard shadow across the face": "refused"},
        ),
        Mistake(
            "A profile is half a face, and half is better than nothing.",
            "from the side the landmarks are guesses. A pose can be measured, and this one is too far.",
            {"a profile": "converted, and spoilt"},
        ),
        Mistake(
            "Small faces are enlarged.",
            "enlarging cannot bring back what was not there. The number of pixels can be measured.",
            {"a face of 24 pixels": "converted, and spoilt"},
        ),
        Mistake(
            "Dark pictures can be brightened.",
            "brightening brings up noise, and what is black stays black. Exposure can be measured.",
            {"a photograph that is far too dark": "converted, and spoilt"},
        ),
    ],
    words=("refused", "converted, and spoilt"),
)


def _faces() -> list[tuple]:
    rng = torch.Generator().manual_seed(13)
    cases = []
    for _ in range(2):
        texture = torch.rand(2, 3, 16, 16, generator=rng)
        seen = (torch.rand(2, 1, 16, 16, generator=rng) - 0.4).clamp_min(0) * 1.6
        cases.append((texture, seen))
    return cases


def _db(texture: Tensor, other: Tensor, mask: Tensor | None) -> Tensor:
    from ..evaluation import psnr

    return psnr(texture, other, mask)


def _mirror(texture: Tensor, visibility: Tensor) -> Tensor:
    return _db(texture, texture.flip(-1), visibility * visibility.flip(-1))


check_mirror = FunctionCheck(
    _faces,
    _mirror,
    "a measure without truth. It is wrong for whatever is truly asymmetric, and a constant texture is perfect in it.",
    [
        Mistake(
            "The mask of the texture is enough.",
            "a texel was compared with a mirror image that nobody saw. *Both* must have been seen.",
            lambda x, v: _db(x, x.flip(-1), v),
        ),
        Mistake(
            "The mirror turns the picture upside down.",
            "you compared the forehead with the chin. Which axis of `(B, 3, H, W)` runs from ear to ear?",
            lambda x, v: _db(x, x.flip(-2), v * v.flip(-2)),
        ),
        Mistake(
            "Holes are rare enough to be ignored.",
            "texels that nobody saw count as well.",
            lambda x, v: _db(x, x.flip(-1), None),
        ),
        Mistake(
            "A mean squared error is as good as decibels.",
            "this is the mean squared error; decibels are asked for, in which larger is better, as everywhere in the chapter.",
            lambda x, v: 10 ** (-_mirror(x, v) / 10),
        ),
        Mistake(
            "The more of the two masks counts.",
            "a texel counts here if *one* of the two was seen. Then the other one is a guess.",
            lambda x, v: _db(x, x.flip(-1), torch.maximum(v, v.flip(-1))),
        ),
    ],
)


def _frames() -> list[tuple]:
    rng = torch.Generator().manual_seed(14)
    cases = []
    for count in (2, 3):
        texture = torch.rand(count, 3, 12, 12, generator=rng)
        seen = torch.rand(count, 1, 12, 12, generator=rng)
        seen[..., :3, :3] = 0
        cases.append((texture, seen))
    return cases


def _blended_light(texture: Tensor, visibility: Tensor) -> Tensor:
    from ..image import srgb_to_linear

    return (srgb_to_linear(texture) * visibility).sum(0, keepdim=True) / visibility.sum(0, keepdim=True).clamp_min(1e-8)


def _blend(texture: Tensor, visibility: Tensor) -> Tensor:
    from ..image import linear_to_srgb

    return linear_to_srgb(_blended_light(texture, visibility))


def _mean_light(texture: Tensor) -> Tensor:
    from ..image import linear_to_srgb, srgb_to_linear

    return linear_to_srgb(srgb_to_linear(texture).mean(0, keepdim=True))


check_blend = FunctionCheck(
    _frames,
    _blend,
    "light adds up in linear values, every frame counts as well as it has seen, and a hole of all stays finite.",
    [
        Mistake(
            "Somebody has always looked.",
            "the result is not finite where no frame has looked: a sum of weights is zero there.",
            lambda x, v: _blend(x, v) + 0 / v.sum(0, keepdim=True),
            lambda cases, outputs: any(not bool(x.isfinite().all()) for x in outputs),
        ),
        Mistake(
            "Averages are taken of the values as they are stored.",
            "you averaged sRGB values. Two lights blend in *linear* light: decode, average, encode.",
            lambda x, v: (x * v).sum(0, keepdim=True) / v.sum(0, keepdim=True).clamp_min(1e-8),
        ),
        Mistake(
            "Every frame counts the same.",
            "frames that have hardly seen a texel count as much as the ones that saw it well.",
            lambda x, v: _mean_light(x),
        ),
        Mistake(
            "The best frame wins.",
            "taking each texel from its best frame leaves a seam wherever the winner changes; a weighted mean is asked for.",
            lambda x, v: x.gather(0, v.argmax(0, keepdim=True).expand(1, 3, -1, -1)),
        ),
        Mistake(
            "Linear light is the end of it.",
            "the result is in linear light; textures are stored in sRGB.",
            _blended_light,
        ),
    ],
    compare=lambda case, output: output * (case[1].sum(0, keepdim=True) > 0),
)
