"""The losses of StyleGAN2's two players, each a function on logits or on a network; means over the batch.

Non-saturating loss: Goodfellow et al. 2014, section 3. R1: Mescheder et al., *Which Training Methods for GANs do actually
Converge?* (ICML 2018), equation 9. Lazy regularisation: Karras et al. 2020, section 3.1.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def generator_loss(logits_fake: Tensor) -> Tensor:
    """Non-saturating loss, mean softplus(−D(G(z))): large where the discriminator is sure it sees a fake."""
    return F.softplus(-logits_fake).mean()


def discriminator_loss(logits_real: Tensor, logits_fake: Tensor) -> Tensor:
    """mean softplus(−D(real)) + mean softplus(D(fake)): the binary cross-entropy of both halves."""
    return F.softplus(-logits_real).mean() + F.softplus(logits_fake).mean()


def r1_penalty(discriminator: Callable[[Tensor], Tensor], real: Tensor) -> Tensor:
    """Mean squared norm of ∂D/∂image at real images, *before* its factor γ/2.

    Args:
        discriminator: signed image → logits; close over visibility and augmentation. It is differentiated twice, so it
            must not be a compiled function.
        real: ``(B, 3, H, W)``; its own graph, if any, is not touched.
    """
    real = real.detach().requires_grad_(True)
    (slope,) = torch.autograd.grad(discriminator(real).sum(), real, create_graph=True)
    return slope.square().sum((1, 2, 3)).mean()


def r1_gamma(resolution: int, batch: int, strength: float = 2e-4) -> float:
    """γ = strength · resolution² / batch, the rule of thumb of Karras et al. 2020b (ADA), appendix C."""
    return strength * resolution**2 / batch


def lazy(lr: float, betas: tuple[float, float], every: int) -> dict:
    """Adam's settings when a regulariser is stepped apart, once every ``every`` steps (2020, appendix B).

    The optimiser then steps k + 1 times for every k main steps, so λ' = c·λ and βᵢ' = βᵢ^c with c = k / (k + 1).
    """
    c = every / (every + 1)
    return {"lr": lr * c, "betas": (betas[0] ** c, betas[1] ** c)}
