"""Laboratory of chapter 2: are the pictures of G_phone whole, as far from unseen captures as real ones are, and no copies?"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..evaluation import KID, PooledFeatures, kid, nearest_reference
from ..stylegan2 import Generator
from .painting import decode, place, sample

FLOORS = ("floor: held-out halves", "real training captures")
RECONSTRUCTED = "G(E(training captures))"
BRIEF = "trained for a moment"
PLANTED, UNSEEN, SAMPLED = "planted copies", "held-out people", "G_phone"


# --- whole faces


@dataclass(frozen=True)
class MeanFaces:
    """Means over many textures, ``(3, H, W)``.

    Attributes:
        often: ``(1, H, W)``, mean visibility. seen: over the captures that saw the texel. smeared: over all captures,
            smears included. rebuilt: of reconstructions. painted: of random samples.
    """

    often: Tensor
    seen: Tensor
    smeared: Tensor
    rebuilt: Tensor
    painted: Tensor

    def apart(self, a: str, b: str) -> float:
        """RMS difference of two of the means, in 8-bit levels, over texels that some captures saw, but not half of them."""
        weight = ((self.often > 0) & (self.often < 0.5)).float()
        error = (getattr(self, a) - getattr(self, b)).square().mean(0, keepdim=True)
        return 255 * float((error * weight).sum() / weight.sum().clamp_min(1)) ** 0.5


def mean_faces(g_phone: Generator, texture: Tensor, visibility: Tensor, codes: Tensor, seed: int = 12) -> MeanFaces:
    """`MeanFaces` of captures ``(N, …)``, of their codes ``(N, L, D)``, and of as many samples with fresh noise."""
    seen = (texture * visibility).sum(0) / visibility.sum(0).clamp_min(1e-6)
    painted = sample(g_phone, len(texture), seed, noise="random").mean(0)
    return MeanFaces(visibility.mean(0), seen, texture.mean(0), decode(g_phone, codes).mean(0), painted)


# --- distance to unseen captures, and copies


@dataclass(frozen=True)
class Gallery:
    """Feature vectors of captures and of generated textures, all seen through maps of held-out captures.

    Attributes:
        name: of the features. held_out, training: of real captures. owner: subject of each held-out capture.
        sampled: by truncation, three draws of G_phone. rebuilt, brief: three draws of reconstructions and of a
            generator that was trained for a moment. images: of the first draw at truncation 1, as the features saw them.
        planted: of training captures with a little noise, which are copies by construction.
    """

    name: str
    held_out: Tensor
    training: Tensor
    owner: Tensor
    sampled: dict[float, list[Tensor]]
    rebuilt: list[Tensor]
    brief: list[Tensor]
    images: Tensor
    planted: Tensor


def gallery(
    networks: tuple[Generator, Generator],
    held_out: tuple[Tensor, Tensor],
    owner: Tensor,
    training: tuple[Tensor, Tensor],
    rebuilt: Tensor,
    truncations: tuple[float, ...] = (1.0, 0.7, 0.4),
    draws: int = 3,
) -> Gallery:
    """Look at all of them once.

    Args:
        networks: G_phone, and the one that was trained for a moment.
        held_out, training: texture and visibility of captures. owner: subjects of the first.
        rebuilt: reconstructions of training captures, at most as many as there are held-out ones.
    """
    net, brief = networks
    device = place(net)
    look = PooledFeatures().to(device)
    texture, seen = held_out
    rng = torch.Generator().manual_seed(4)
    copies, maps = (x[: len(texture)] for x in training)
    copies = (copies + 0.02 * torch.randn(copies.shape, generator=rng)).clamp(0, 1) * maps

    def features(images: Tensor) -> Tensor:
        return torch.cat([look(part.to(device)).cpu() for part in images.split(64)])

    def through_maps(images: Tensor, seed: int) -> Tensor:
        order = torch.randperm(len(seen), generator=torch.Generator().manual_seed(seed))[: len(images)]
        return images * seen[order]

    def drawn(network: Generator, k: int, psi: float = 1.0) -> Tensor:
        return through_maps(sample(network, len(texture), 30 + k, psi), k)

    first = drawn(net, 0)
    return Gallery(
        look.name,
        features(texture * seen),
        features(training[0] * training[1]),
        owner,
        {psi: [features(first if psi == 1 and k == 0 else drawn(net, k, psi)) for k in range(draws)] for psi in truncations},
        [features(through_maps(rebuilt, k)) for k in range(draws)],
        [features(drawn(brief, k)) for k in range(draws)],
        first,
        features(copies),
    )


def distances(found: Gallery) -> dict[str, list[KID]]:
    """KID to the held-out captures, by name, once per draw; first the floors, then G_phone by truncation, then a bad one."""
    same = nn.Identity()  # features were computed once
    draws = range(len(found.rebuilt))
    results: dict[str, list[KID]] = {name: [] for name in FLOORS}
    people = found.owner.unique()
    for k in draws:
        rng = torch.Generator().manual_seed(k)
        half = torch.isin(found.owner, people[torch.randperm(len(people), generator=rng)[: len(people) // 2]])
        results[FLOORS[0]].append(kid(same, found.held_out[half], found.held_out[~half], seed=k))
        rng = torch.Generator().manual_seed(k)
        some = torch.randperm(len(found.training), generator=rng)[: len(found.held_out)]
        results[FLOORS[1]].append(kid(same, found.training[some], found.held_out, seed=k))
    results[RECONSTRUCTED] = [kid(same, found.rebuilt[k], found.held_out, seed=k) for k in draws]
    for psi, sampled in found.sampled.items():
        results[f"G_phone, ψ = {psi:g}"] = [kid(same, sampled[k], found.held_out, seed=k) for k in draws]
    results[BRIEF] = [kid(same, found.brief[k], found.held_out, seed=k) for k in draws]
    return results


@dataclass(frozen=True)
class CopyCheck:
    """Distances to the nearest training capture ÷ the usual distance of training captures to each other.

    Attributes:
        ratios: by name, ``(N,)``: planted copies, held-out people, samples. nearest: for each sample, the place of that capture.
    """

    ratios: dict[str, Tensor]
    nearest: Tensor

    @property
    def suspicious(self) -> int:
        """Samples nearer than every held-out capture and than the middle between copies and unseen people."""
        planted, unseen = (float(self.ratios[name].median()) for name in (PLANTED, UNSEEN))
        return int((self.ratios[SAMPLED] < min(float(self.ratios[UNSEEN].min()), (planted + unseen) / 2)).sum())


def copy_check(found: Gallery) -> CopyCheck:
    """Look for each sample's nearest training capture, with a positive and a negative control."""
    same = nn.Identity()
    queries = {PLANTED: found.planted, UNSEEN: found.held_out, SAMPLED: found.sampled[1.0][0]}
    results = {name: nearest_reference(same, features, found.training) for name, features in queries.items()}
    return CopyCheck({name: ratio for name, (ratio, _) in results.items()}, results[SAMPLED][1])
