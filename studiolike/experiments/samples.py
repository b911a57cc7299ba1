"""Laboratory of chapter 2: are the pictures of G_phone whole, as far from unseen captures as real ones are, and no copies?"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ..evaluation import KID, PooledFeatures, kid
from ..evaluation.masked import masked_blur, masked_mean
from ..image import luminance, resize
from ..layout import region_mask
from ..stylegan2 import Generator
from .painting import place, sample

FLOORS = ("floor: held-out halves", "real training captures")
RECONSTRUCTED = "G(E(training captures))"
BRIEF = "trained for a moment"
PLANTED, IMITATED, UNSEEN, SAMPLED = "planted copies", "G's imitations of them", "held-out people", "samples"
SELDOM = (0.1, 0.5)  # share of captures that saw a texel: below it their mean is one of too few, above it the two means agree
BROAD = 8 / 128  # width of the blur that is taken away as light, as a share of the side
DARK = 0.05  # added to luminance before the logarithm


# --- whole faces


@dataclass(frozen=True)
class MeanFaces:
    """Means over many textures, ``(3, H, W)``.

    Attributes:
        often: ``(1, H, W)``, mean visibility. seen: over the captures that saw the texel. smeared: over all captures,
            smears included. rebuilt: of reconstructions. painted: of random samples.
        gaps: for the last two by name, how much further from ``seen`` than from ``smeared``, in levels: the ends of a
            95 % interval.
    """

    often: Tensor
    seen: Tensor
    smeared: Tensor
    rebuilt: Tensor
    painted: Tensor
    gaps: dict[str, list[float]] = field(default_factory=dict)

    def apart(self, a: str, b: str) -> float:
        """RMS difference of two of the means, in 8-bit levels, over texels that few captures saw, see `SELDOM`."""
        return float(_apart(getattr(self, a), getattr(self, b), self.often))


def _apart(a: Tensor, b: Tensor, often: Tensor) -> Tensor:
    """RMS difference of pictures ``(…, 3, H, W)`` in levels over the texels that ``often (…, 1, H, W)`` says are seldom seen."""
    weight = ((often >= SELDOM[0]) & (often < SELDOM[1])).float()
    error = ((a - b).square().mean(-3, keepdim=True) * weight).sum((-3, -2, -1)) / weight.sum((-3, -2, -1)).clamp_min(1)
    return 255 * error.sqrt()


def mean_faces(
    texture: Tensor, visibility: Tensor, owner: Tensor, rebuilt: Tensor, painted: Tensor, draws: int = 100
) -> MeanFaces:
    """`MeanFaces` of captures ``(N, …)`` of subjects ``owner (N,)``, of their reconstructions, and of as many samples.

    How sure the comparison with both means is comes from ``draws`` draws of people, and of samples, with replacement.
    """
    rng = torch.Generator().manual_seed(0)
    _, place_of = owner.unique(return_inverse=True)
    people = int(place_of.max()) + 1

    def redrawn(count: int) -> Tensor:
        """How often each of so many is drawn, ``(draws, count)``."""
        return torch.stack([torch.randint(count, (count,), generator=rng).bincount(minlength=count) for _ in range(draws)])

    picked, fresh = redrawn(people), redrawn(len(painted))

    def means(count: Tensor, count_painted: Tensor) -> tuple[Tensor, ...]:
        """Weighted means, one for each row of counts."""

        def mean(x: Tensor, by: Tensor) -> Tensor:
            return (by @ x.flatten(1)).unflatten(1, x.shape[1:]) / by.sum(1).view(-1, 1, 1, 1)

        often = mean(visibility, count)
        seen = mean(texture * visibility, count) / often.clamp_min(1e-6)
        return often, seen, mean(texture, count), mean(rebuilt, count), mean(painted, count_painted)

    often, seen, smeared, *ours = means(picked[:, place_of].float(), fresh.float())
    whole = means(torch.ones(1, len(texture)), torch.ones(1, len(painted)))

    def gap(x: Tensor, seen: Tensor, smeared: Tensor, often: Tensor) -> Tensor:
        return _apart(x, seen, often) - _apart(x, smeared, often)

    gaps = {}
    for k, name in ((3, "rebuilt"), (4, "painted")):
        drawn = gap((often, seen, smeared, *ours)[k], seen, smeared, often)
        # the mean of few captures is noisy, and that of few captures drawn again is noisier: the reflected interval undoes that
        ends = 2 * gap(whole[k], *whole[1:3], whole[0]) - torch.quantile(drawn, torch.tensor([0.975, 0.025]))
        gaps[name] = ends.tolist()
    return MeanFaces(*(x[0] for x in whole), gaps)


def hole_errors(rebuilt: Tensor, texture: Tensor, truth: Tensor, visibility: Tensor, ever: Tensor) -> dict[str, Tensor]:
    """RMS error ``(N,)`` in levels against the person's true skin, in texels that this capture did not see but others did.

    Args:
        rebuilt, texture, truth: ``(N, 3, H, W)`` in [0, 1]; the texture has smears in its holes. ever: ``(1, H, W)``.
    Returns:
        By name: of the reconstruction, and of the smears; nan for a capture without such texels.
    """
    hole = (visibility == 0).float() * ever

    pictures = {"rebuilt": rebuilt, "smeared": texture}
    return {name: 255 * masked_mean((x - truth).square(), hole).sqrt() for name, x in pictures.items()}


# --- distance to unseen captures, and copies


@dataclass(frozen=True)
class Gallery:
    """Feature vectors of captures and of generated textures, all seen through maps of held-out captures.

    Attributes:
        name: of the features. held_out, training: of real captures. owner: subject of each held-out capture.
        sampled: by truncation, three draws of G_phone. rebuilt, brief: three draws of reconstructions and of a
            generator that was trained for a moment.
        images, maps: the first draw at truncation 1, whole, and the maps through which the features saw it.
    """

    name: str
    held_out: Tensor
    training: Tensor
    owner: Tensor
    sampled: dict[float, list[Tensor]]
    rebuilt: list[Tensor]
    brief: list[Tensor]
    images: Tensor
    maps: Tensor


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

    def features(images: Tensor) -> Tensor:
        return torch.cat([look(part.to(device)).cpu() for part in images.split(64)])

    def maps(count: int, seed: int) -> Tensor:
        return seen[torch.randperm(len(seen), generator=torch.Generator().manual_seed(seed))[:count]]

    def drawn(network: Generator, k: int, psi: float = 1.0) -> Tensor:
        return sample(network, len(texture), 30 + k, psi) * maps(len(texture), k)

    first = sample(net, len(texture), 30)
    return Gallery(
        look.name,
        features(texture * seen),
        features(training[0] * training[1]),
        owner,
        {psi: [features(drawn(net, k, psi)) for k in range(draws)] for psi in truncations},
        [features(rebuilt * maps(len(rebuilt), k)) for k in range(draws)],
        [features(drawn(brief, k)) for k in range(draws)],
        first,
        maps(len(first), 0),
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


# --- copies, and variety


def detail(texture: Tensor, visibility: Tensor) -> tuple[Tensor, Tensor]:
    """What of a texture is neither light nor grain: log luminance at half the size, less its blur over observed texels.

    Returns:
        ``(N, P)`` over all texels, zero where fewer than half of a texel was observed, and that mask ``(N, P)`` of 0 and 1.
    """
    size = texture.shape[-1] // 2
    weight = resize(visibility, size)
    light = torch.log(luminance(texture) + DARK)
    half = resize(light * visibility, size) / weight.clamp_min(1e-3)
    mask = (weight > 0.5).float()
    return ((half - masked_blur(half, weight, BROAD * size)) * mask).flatten(1), mask.flatten(1)


def nearest_capture(texture: Tensor, visibility: Tensor, training: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """How near each picture comes to a training capture, over the texels that both show: so no map decides, and no light.

    Both are compared by their `detail` less its mean over the training captures, hence by what is theirs alone.

    Args:
        texture, visibility: of the pictures ``(N, …)``; for whole pictures, the maps through which they are to be seen.
        training: texture and visibility of captures ``(M, …)``.
    Returns:
        Distance ``(N,)`` to the nearest one, √(2 − 2 × correlation): 0 is a copy, whatever its contrast, √2 has nothing in
        common with it; and ``(N,)``, which one that is.
    """
    (a, seen_a), (b, seen_b) = detail(texture, visibility), detail(*training)
    mean = b.sum(0) / seen_b.sum(0).clamp_min(1)
    a, b = a - mean * seen_a, b - mean * seen_b
    strength = (a.square() @ seen_b.T) * (seen_a @ b.square().T)
    correlation = a @ b.T / strength.clamp_min(1e-12).sqrt()
    nearest = (2 - 2 * correlation).clamp_min(0).sqrt().min(1)
    return nearest.values, nearest.indices


@dataclass(frozen=True)
class CopyCheck:
    """Distances to the nearest training capture, see `nearest_capture`.

    Attributes:
        distance: by name, ``(N,)``: planted copies, G's imitations of training captures, held-out people, samples.
        nearest: for each sample, the place of that capture.
    """

    distance: dict[str, Tensor]
    nearest: Tensor

    @property
    def threshold(self) -> float:
        """Nearer than every held-out capture is suspicious."""
        return float(self.distance[UNSEEN].min())

    def caught(self, name: str) -> int:
        """How many of these are suspicious."""
        return int((self.distance[name] < self.threshold).sum())

    @property
    def chance(self) -> float:
        """How often at least so many samples would be suspicious if they were people like the held-out ones."""
        n, m = len(self.distance[SAMPLED]), len(self.distance[UNSEEN])
        # the nearest of all n + m are samples, one after the other
        return math.prod((n - k) / (n + m - k) for k in range(self.caught(SAMPLED)))


def copy_check(found: Gallery, training: tuple[Tensor, Tensor], held_out: tuple[Tensor, Tensor], rebuilt: Tensor) -> CopyCheck:
    """Look for each sample's nearest training capture, with two positive controls and a negative one.

    Args:
        training, held_out: texture and visibility of captures.
        rebuilt: G's reconstructions of the first training captures. They, and these captures with a little noise, are seen
            through the maps of held-out ones, as samples are.
    """
    count = len(rebuilt)
    noise = torch.randn(rebuilt.shape, generator=torch.Generator().manual_seed(4))
    maps = found.maps[torch.arange(count) % len(found.maps)]
    queries = {
        PLANTED: ((training[0][:count] + 0.02 * noise).clamp(0, 1), maps * (training[1][:count] > 0)),
        IMITATED: (rebuilt, maps),
        UNSEEN: held_out,
        SAMPLED: (found.images, found.maps),
    }
    results = {name: nearest_capture(*query, training) for name, query in queries.items()}
    return CopyCheck({name: distance for name, (distance, _) in results.items()}, results[SAMPLED][1])


def likeness(texture: Tensor, visibility: Tensor, region: str, draws: int = 200) -> tuple[float, float, float]:
    """How alike two of these pictures are in a region of the layout: mean correlation of their `detail`.

    Args:
        texture, visibility: ``(N, …)``, of different people or samples.
    Returns:
        The mean over pairs that show enough of the region together, and a 95 % interval over pictures; nan without such pairs.
    """
    values, seen = detail(texture, visibility)
    size = texture.shape[-1] // 2
    inside = (resize(region_mask(region, texture.shape[-1])[None], size) > 0.5).float().flatten(1)
    a, seen = values * inside, seen * inside
    common = (seen @ seen.T).clamp_min(1)
    mean = a @ seen.T / common
    variance = a.square() @ seen.T / common - mean.square()
    correlation = (a @ a.T / common - mean * mean.T) / (variance * variance.T).clamp_min(1e-9).sqrt()
    enough = (common > 0.05 * size * size) & ~torch.eye(len(texture), dtype=torch.bool)

    def over(rows: Tensor) -> Tensor:
        return correlation[rows][:, rows][enough[rows][:, rows]].mean()

    rng = torch.Generator().manual_seed(0)
    drawn = torch.stack([over(torch.randint(len(texture), (len(texture),), generator=rng)) for _ in range(draws)])
    low, high = torch.nanquantile(drawn, torch.tensor([0.025, 0.975])).tolist()
    return float(over(torch.arange(len(texture)))), low, high
