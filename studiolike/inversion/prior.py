"""What a likely w looks like: the Gaussian that keeps codes where the generator, and later G_studio, was
trained.

W+ can reproduce nearly anything, faces or not; that freedom is paid with the prior. A pull towards the mean,
measured in standard deviations along the principal axes of W, keeps the codes usable *after* translation,
which is the only thing that counts (PCA whitening of W: Härkönen et al., GANSpace, 2020; Wulff & Torralba,
2020).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

FLOOR = 1e-2  # no axis counts as thinner than this share of the mean variance, or whitening would freeze it


@dataclass(frozen=True)
class WPrior:
    """A Gaussian over w.

    Attributes:
        mean: ``(D,)``.
        basis: ``(D, D)``, orthonormal axes in columns.
        scale: ``(D,)``, standard deviations along them.
    """

    mean: Tensor
    basis: Tensor
    scale: Tensor

    @classmethod
    def from_codes(cls, codes: Tensor) -> WPrior:
        """Fit mean and principal axes to ``(N, D)`` or ``(N, L, D)`` codes (layers are pooled)."""
        codes = codes.detach().float().reshape(-1, codes.shape[-1])
        mean = codes.mean(0)
        centred = (codes - mean).double()
        variance, basis = torch.linalg.eigh(centred.T @ centred / max(len(codes) - 1, 1))
        variance = variance.clamp_min(FLOOR * variance.mean().clamp_min(1e-8))
        return cls(mean, basis.float(), variance.sqrt().float())

    @classmethod
    @torch.no_grad()
    def from_generator(cls, generator: nn.Module, n: int = 2048) -> WPrior:
        """Fit to ``n`` outputs of the mapping network, always the same ones."""
        rng = torch.Generator().manual_seed(0)
        w_mean = generator.w_mean
        z = torch.randn(n, generator.config.w_dim, generator=rng, dtype=torch.float32)
        return cls.from_codes(generator.mapping(z.to(w_mean.device, w_mean.dtype)))

    def whiten(self, w: Tensor) -> Tensor:
        """Coordinates of ``w (..., D)`` in standard deviations along the principal axes."""
        return ((w - self.mean) @ self.basis) / self.scale

    def unwhiten(self, u: Tensor) -> Tensor:
        """Inverse of `whiten`."""
        return self.mean + (u * self.scale) @ self.basis.T

    def energy(self, w_plus: Tensor) -> Tensor:
        """Mean square of `whiten` over layers and axes: ``(B, L, D)`` to ``(B,)``; about 1 for a sample."""
        return self.whiten(w_plus).square().mean((1, 2))

    def sample(self, n: int, rng: torch.Generator) -> Tensor:
        """``(n, D)`` draws from the Gaussian; ``rng`` is a CPU generator."""
        noise = torch.randn(n, len(self.mean), generator=rng).to(self.mean)
        return self.unwhiten(noise)

    def to(self, device: torch.device | str) -> WPrior:
        """The same prior on another device."""
        return replace(self, mean=self.mean.to(device), basis=self.basis.to(device), scale=self.scale.to(device))
