"""A new basis for W, in which one w for all layers is a face again.

An encoder that learns beside G is free to send every layer its own row, and what G learns to paint well are those codes:
most of their variance may lie *between* the rows of a code. The mapping network gives all layers the same w, and from
there no w is a face. But rows are not independent: w+ as one long vector has about as many principal components as W has
dimensions. Let u be the coordinates along them, w+_l ≈ b_l + B_l u. A layer reads its row through an affine map, so b_l and
B_l can be folded into it, exactly, and into the encoder's heads. From then on u is the w of all layers: W is what was the
span of the codes, with unit variance along every axis, and W+ is still every combination of rows. Principal components of
codes as directions of W: Härkönen et al. (GANSpace, NeurIPS 2020). The paper we follow does not mention any of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .encoder import Encoder, sliced_distance
from .generator import MAPPING_RATE, Generator
from .ops import EqualLinear

FLOOR = 1e-3  # smallest standard deviation of a component, as a share of the largest
STEPS, BATCH, RATE = 2000, 256, 0.005  # of the new mapping network


@dataclass(frozen=True)
class Frame:
    """The old codes as an affine map of new ones, w+_l = b_l + B_l u.

    Attributes:
        mean: b, ``(L, D)``.
        basis: B, ``(L, D, D)``; its columns, over all L, are orthogonal, and as long as the codes' standard deviation.
        explained: share of the codes' variance within the span.
    """

    mean: Tensor
    basis: Tensor
    explained: float

    @classmethod
    def of(cls, codes: Tensor) -> Frame:
        """The D principal components of codes ``(N, L, D)``."""
        _, rows, width = codes.shape
        flat = codes.detach().flatten(1).double()
        mean = flat.mean(0)
        variance, axes = torch.linalg.eigh((flat - mean).T @ (flat - mean) / len(flat))
        variance, axes = variance.flip(0).clamp_min(0), axes.flip(1)
        scale = variance[:width].sqrt()
        scale = scale.clamp_min(FLOOR * scale[0])
        return cls(
            mean.view(rows, width),
            (axes[:, :width] * scale).view(rows, width, width),
            (variance[:width].sum() / variance.sum()).item(),
        )

    @property
    def inverse(self) -> Tensor:
        """``(D, L, D)``: u = Σ_l inverse[:, l] (w+_l − b_l), the nearest point of the span."""
        flat = self.basis.flatten(0, 1)
        return (flat / flat.square().sum(0)).T.unflatten(1, self.mean.shape)

    def coordinates(self, w_plus: Tensor) -> Tensor:
        """Old codes ``(B, L, D)`` → u ``(B, D)``."""
        return torch.einsum("eld,bld->be", self.inverse, w_plus.double() - self.mean).to(w_plus)


@torch.no_grad()
def rebase_generator(generator: Generator, frame: Frame) -> None:
    """Fold a frame into a generator's styles, in place: its new picture of rows u_l is its old one of b_l + B_l u_l.

    The mapping network and ``w_mean`` stay as they were, and are wrong until `fit_mapping` and `centre`.
    """
    for size, block in generator.blocks.items():
        for row, layer in zip(generator.rows(int(size)), [*block.convs, block.to_rgb], strict=True):
            matrix = _matrix(layer.style)
            _set(layer.style, matrix @ frame.basis[row], _offset(layer.style) + matrix @ frame.mean[row])


@torch.no_grad()
def rebase_encoder(encoder: Encoder, frame: Frame) -> None:
    """Fold a frame into an encoder's heads, in place: its new codes have equal rows, the old codes' `Frame.coordinates`."""
    count, to_u = len(frame.mean), frame.inverse.flatten(1)
    common, rows, correction = encoder.common, encoder.rows, encoder.correction
    matrix = _matrix(rows) + _matrix(common).repeat(count, 1)
    offset = _offset(rows) + _offset(common).repeat(count) - frame.mean.flatten()
    _set(common, to_u @ matrix, to_u @ offset)
    _set(rows, torch.zeros_like(matrix), torch.zeros_like(offset))
    _set(correction, (to_u @ _matrix(correction)).repeat(count, 1), (to_u @ _offset(correction)).repeat(count))


def fit_mapping(generator: Generator, codes: Tensor, rng: torch.Generator, steps: int = STEPS) -> float:
    """Teach a fresh mapping network the cloud of codes ``(N, D)``, by their sliced Wasserstein distance.

    ``w_mean`` stays as it was: `centre`.

    It begins as nearly the identity, which whitened codes are not far from.

    Args:
        rng: a CPU generator.
    Returns:
        the mean distance over the last tenth.
    """
    mapping, device = generator.mapping, codes.device
    with torch.enable_grad():
        for layer in mapping.layers:
            layer.weight.data.copy_(torch.randn(layer.weight.shape, generator=rng) / MAPPING_RATE)
            layer.bias.data.zero_()
        wanted = [parameter.requires_grad for parameter in mapping.parameters()]
        mapping.requires_grad_(True)
        optimizer = torch.optim.Adam(mapping.parameters(), RATE / MAPPING_RATE, (0.9, 0.99))
        distances = []
        for step in range(steps):
            left = 1 - step / steps
            optimizer.param_groups[0]["lr"] = RATE / MAPPING_RATE * left
            z = torch.randn(BATCH, codes.shape[1], generator=rng).to(device)
            w = mapping(z)
            distance = sliced_distance(w, codes[torch.randint(len(codes), (BATCH,), generator=rng).to(device)], rng)
            loss = distance + F.mse_loss(w, z) * max(0.0, 2 * left - 1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            distances.append(distance.item())
        for parameter, before in zip(mapping.parameters(), wanted, strict=True):
            parameter.requires_grad_(before).grad = None
    last = distances[-max(1, steps // 10) :]
    return sum(last) / len(last)


@torch.no_grad()
def centre(generator: Generator) -> None:
    """Set ``w_mean`` to the mean w of the generator's *own* mapping network, over 4,096 fixed z."""
    z = torch.randn(4096, generator.config.w_dim, generator=torch.Generator().manual_seed(0))
    generator.w_mean.copy_(generator.mapping(z.to(generator.w_mean)).mean(0))


def _matrix(layer: EqualLinear) -> Tensor:
    """The weights as they act."""
    return layer.weight.double() * layer.weight_gain


def _offset(layer: EqualLinear) -> Tensor:
    return layer.bias.double() * layer.bias_gain


def _set(layer: EqualLinear, matrix: Tensor, offset: Tensor) -> None:
    layer.weight.copy_(matrix / layer.weight_gain)
    layer.bias.copy_(offset / layer.bias_gain)
