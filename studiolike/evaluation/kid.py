"""Do the outputs, taken together, look like studio textures? Kernel inception distance on our own features.

Bińkowski, Sutherland, Arbel, Gretton, *Demystifying MMD GANs*, ICLR 2018, section 4: the unbiased squared MMD
with the kernel (x·y/d + 1)³, averaged over random subsets. It is unbiased at any sample size, where FID is
not; so it is the one to use with few-shot sets. Its value has a spread, which is always printed, and it can
be negative: copies of the reference score *below* zero. Use reference textures of other subjects.

Inception weights are a large download. The features here are the public trunk's maps of every scale (`EfficientNetLite`), at the
size at which the textures come, averaged over a 2×2 grid: fine and coarse, and with the left-right shading.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import weights
from ..errors import InputError

GRID = 2  # cells along a side
BATCH = 16  # textures that are looked at together


class PooledFeatures(nn.Module):
    """Feature vector of a texture for distances between sets: all maps of a trunk, averaged over `GRID`² cells.

    ``(B, 3, H, W)`` in [0, 1] → ``(B, D)``. Each texel's channels are first divided by their root mean square, so that no map
    outweighs another by its scale and the kernel's cube has values about one to work on.

    Args:
        net: a trunk with ``features(texture) -> list of (B, C, h, w)`` and a ``name``; default the public one.
    """

    def __init__(self, net: nn.Module | None = None):
        super().__init__()
        self.net = net or weights.load("perceptual_judge")
        self.name = f"pooled/{self.net.name}"

    @torch.no_grad()
    def forward(self, texture: Tensor) -> Tensor:
        parts = []
        for part in texture.split(BATCH):
            maps = [x.float() for x in self.net.features(part)]
            maps = [x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-4) for x in maps]
            parts.append(torch.cat([F.adaptive_avg_pool2d(x, GRID).flatten(1) for x in maps], 1))
        return torch.cat(parts)


SUBSETS = 50


@dataclass(frozen=True)
class KID:
    """``mean`` and ``std`` over the subsets, and how they were made. Prints as ``1.4e-03 ± 2e-04``."""

    mean: float
    std: float
    subsets: int
    subset_size: int

    def __str__(self) -> str:
        return f"{self.mean:.2e} ± {self.std:.0e}"


def kid(
    features: nn.Module,
    outputs: Tensor,
    references: Tensor,
    *,
    subset_size: int | None = None,
    seed: int = 0,
) -> KID:
    """KID between two sets of textures.

    Args:
        features: textures → ``(B, D)``, for example `PooledFeatures`.
        outputs, references: ``(N, 3, H, W)`` and ``(M, 3, H, W)`` in [0, 1].
        subset_size: samples per subset; default two thirds of the smaller set, at most 100, so that subsets differ.
        seed: of the choice of subsets.
    Raises:
        InputError: fewer than 4 textures on one side, or a subset size out of range.
    """
    from torchmetrics.image.kid import KernelInceptionDistance

    smaller = min(len(outputs), len(references))
    if smaller < 4:
        raise InputError(f"KID needs at least 4 textures on each side, got {len(outputs)} and {len(references)}")
    subset_size = subset_size or min(max(2 * smaller // 3, 3), 100)
    if not 2 <= subset_size <= smaller:
        raise InputError(f"KID subset size {subset_size} does not fit sets of {len(outputs)} and {len(references)}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a note on memory, meant for Inception and large sets
        # sync off: one process of a training may measure alone, it must not wait for the others
        metric = KernelInceptionDistance(features, subsets=SUBSETS, subset_size=subset_size, sync_on_compute=False)
    metric.update(references, real=True)
    metric.update(outputs, real=False)
    with torch.random.fork_rng(devices=[]):  # torchmetrics draws subsets from the global generator
        torch.manual_seed(seed)
        mean, std = metric.compute()
    return KID(float(mean), float(std), SUBSETS, subset_size)
