"""Is it still the same face? Distances between identity embeddings.

The paper's FaceID has no published definition; its scale (5e-4) fits a mean squared error over a unit
embedding, so that is what we print, beside the cosine, which does not depend on the embedding's length: mse =
2 (1 − cosine) / E. Measured with a network that no loss has seen.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..features import IdentityNet


@torch.no_grad()
def faceid(net: IdentityNet, output: Tensor, target: Tensor, visibility: Tensor | None = None) -> dict[str, Tensor]:
    """Embedding distance of two textures, which are brought to the network's device.

    Args:
        output, target: ``(B, 3, H, W)`` in [0, 1].
        visibility: ``(B, 1, H, W)``; only these texels of *both* are looked at.
    Returns:
        ``mse`` and ``cosine``, each ``(B,)``, on the device of ``output``.
    """
    device = next(net.parameters()).device
    mask = None if visibility is None else visibility.to(device)
    a, b = (net.embed(x.to(device), mask) for x in (output, target))
    return {"mse": (a - b).square().mean(1).to(output.device), "cosine": (a * b).sum(1).to(output.device)}
