"""Where the codes of the few-shot objective come from.

The paper samples "in the W+ parameterised space"; how is unknown to us, so the choices stand side by side. At
test time G_studio meets inverted phone captures. Training on those and on mixtures of them keeps the two
alike; drawing z or w instead trains on codes that inversion never produces.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from ..errors import ProfileError
from ..inversion import CodeBank, WPrior

Mode = Literal["bank", "bank_mixture", "w", "z"]
TOWARDS_MEAN = 0.125  # share of the codes of "bank_mixture" that are moved towards the bank's mean, by a random part
CODES: tuple[str, ...] = get_args(Mode)


class CodeSampler:
    """Draws w+ codes ``(n, L, D)`` in one of four ways.

    - ``"bank"``: codes of inverted phone captures;
    - ``"bank_mixture"``: half of them captures, half convex mixtures of two or three (default); some of either are moved
      towards the mean of all codes, so that averages of faces, too, become studio-like;
    - ``"w"``: one w for all layers, from the Gaussian that fits the mapping network's output;
    - ``"z"``: one w for all layers, from the mapping network itself, as in StyleGAN2's training.

    Args:
        mode: one of `CODES`.
        generator: G_phone; its mapping network serves "w" and "z".
        bank: needed for the two bank modes.
    Raises:
        ProfileError: unknown mode, or a bank mode without a bank.
    """

    def __init__(self, mode: Mode, generator: nn.Module, bank: CodeBank | None = None):
        if mode not in CODES:
            raise ProfileError(f"unknown code sampling '{mode}'; choose one of {', '.join(CODES)}")
        if mode.startswith("bank") and (bank is None or not len(bank)):
            raise ProfileError(f"code sampling '{mode}' needs a code bank: build one with build_bank")
        self.mode, self.generator, self.bank = mode, generator, bank
        self._mean = bank.w_plus.mean(0) if mode == "bank_mixture" else None
        self._gaussian = WPrior.from_generator(generator) if mode == "w" else None

    @torch.no_grad()
    def __call__(self, n: int, rng: torch.Generator) -> Tensor:
        """``(n, L, D)`` codes on the generator's device; ``rng`` is a CPU generator."""
        device = self.generator.w_mean.device
        if self.bank is not None and self.mode.startswith("bank"):
            codes = self.bank.sample(n, rng, mixtures=self.mode == "bank_mixture").w_plus.float()  # also under autocast
            if self._mean is not None:
                amount = torch.rand(n, 1, 1, generator=rng) * (torch.rand(n, 1, 1, generator=rng) < TOWARDS_MEAN)
                codes = torch.lerp(codes, self._mean.expand_as(codes), amount.to(codes))
            return codes.to(device)
        if self.mode == "w":
            w = self._gaussian.sample(n, rng).to(device)
        else:
            w = self.generator.mapping(torch.randn(n, self.generator.config.w_dim, generator=rng).to(device))
        return self.generator.expand(w)
