"""Averages that several stages take: of a network's weights over the steps of a training, of gradients over processes."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

if TYPE_CHECKING:
    from accelerate import Accelerator

EMA_RAMP = 0.05  # the half-life of averaged weights is at most this part of the images so far


def ema_decay(images: int, batch: int, half_life: float) -> float:
    """Weight of the past in the running average of a network's weights, per step.

    A half-life counted in images, ramped up with the images seen so far, so that the first, poor weights are soon forgotten
    (Karras et al. 2020b, appendix C).
    """
    half_life = min(half_life, images * EMA_RAMP)
    return 0.5 ** (batch / max(half_life, 1e-8))


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    """average ← decay · average + (1 − decay) · model; buffers are copied."""
    get_ema_multi_avg_fn(decay)(list(average.parameters()), list(model.parameters()), 0)
    for target, source in zip(average.buffers(), model.buffers(), strict=True):
        target.copy_(source)


def average_of(model: nn.Module) -> nn.Module:
    """A copy that `update_average` moves and nothing trains."""
    return copy.deepcopy(model).requires_grad_(False).eval()


def average_gradients(accelerator: Accelerator, parameters: Iterable[nn.Parameter]) -> None:
    """Mean over processes, by hand: neither gradients of gradients nor calls of a network's methods pass through the
    forward of `DistributedDataParallel`, which would do it."""
    if accelerator.num_processes > 1:
        grads = [p.grad for p in parameters if p.grad is not None]
        mean = accelerator.reduce(torch.cat([g.flatten() for g in grads]), "mean")
        for grad, part in zip(grads, mean.split([g.numel() for g in grads]), strict=True):
            grad.copy_(part.view_as(grad))
