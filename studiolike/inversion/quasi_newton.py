"""Limited-memory BFGS for a batch of independent problems that share a first guess of the curvature.

Nocedal, *Updating Quasi-Newton Matrices with Limited Storage* (1980), algorithm 7.4 in Nocedal and Wright (2006). The
two-loop recursion begins from M⁻¹ with M given, instead of a multiple of the identity, and every sum over coordinates is
one per problem, so that a problem's path does not depend on its neighbours. One evaluation a step: a step that makes a
problem worse is taken back, shortened, and has still taught it something about its curvature.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

MEMORY = 10  # pairs of steps and changes of the gradient that are remembered
GROW, SHRINK = 1.5, 0.4  # of the step after a success (never beyond the full step) and after a failure
SCALE_BOUND = 30.0  # the latest pair may scale M⁻¹ by this factor or its inverse at most


def dot(a: Tensor, b: Tensor) -> Tensor:
    """Sum of products per problem: ``(B, …)`` twice → ``(B, 1, …, 1)``."""
    return (a * b).sum(tuple(range(1, a.ndim)), keepdim=True)


def minimise(
    evaluate: Callable[[Tensor], tuple[Tensor, Tensor]], start: Tensor, precondition: Callable[[Tensor], Tensor], steps: int
) -> Tensor:
    """Lower a function of each of B problems.

    Args:
        evaluate: points ``(B, …)`` → values ``(B,)`` and gradients ``(B, …)``, both detached; called ``steps + 1`` times.
        start: ``(B, …)``.
        precondition: M⁻¹ applied to ``(B, …)``, linear, symmetric and positive definite.
    Returns:
        the best point of every problem, ``(B, …)``; values never rise from ``start``.
    """

    def shaped(x: Tensor) -> Tensor:
        return x.view(-1, *[1] * (start.ndim - 1))

    point, (value, slope) = start, evaluate(start)
    length = torch.ones_like(shaped(value))
    memory: list[tuple[Tensor, Tensor, Tensor]] = []
    for _ in range(steps):
        target = point - length * _direction(slope, memory, precondition)
        new_value, new_slope = evaluate(target)
        step, change = target - point, new_slope - slope
        product = dot(step, change)
        convex = product > 0  # else the pair says nothing that a positive definite matrix could hold
        memory = [*memory, (step, change, torch.where(convex, 1 / torch.where(convex, product, 1), 0))][-MEMORY:]
        better = shaped(new_value < value)  # false for nan as well
        point = torch.where(better, target, point)
        slope = torch.where(better, new_slope, slope)
        value = torch.where(better.flatten(), new_value, value)
        length = torch.where(better, (length * GROW).clamp(max=1), length * SHRINK)
    return point


def _direction(slope: Tensor, memory: list[tuple[Tensor, Tensor, Tensor]], precondition: Callable[[Tensor], Tensor]) -> Tensor:
    """The two-loop recursion: the inverse of the remembered curvature, applied to the gradient."""
    coefficients = []
    for step, change, weight in reversed(memory):
        coefficient = weight * dot(step, slope)
        slope = slope - coefficient * change
        coefficients.append(coefficient)
    direction = precondition(slope)
    if memory:  # the scale of M for this problem, from the newest pair (Nocedal and Wright, equation 7.20)
        _, change, weight = memory[-1]
        scale = 1 / (weight * dot(change, precondition(change))).clamp_min(1e-20)
        direction = direction * torch.where(weight > 0, scale.clamp(1 / SCALE_BOUND, SCALE_BOUND), 1)
    for (step, change, weight), coefficient in zip(memory, reversed(coefficients), strict=True):
        direction = direction + step * (coefficient - weight * dot(change, direction))
    return direction
