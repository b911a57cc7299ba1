"""W+ inversion by optimisation: find the code whose picture agrees with a phone texture wherever it was
observed.

For each image    min over w+   pixel(G(w+), x; v) + λf · feature(G(w+), x; v) + λp · |whitened (w+ −
w_mean)|²

with x the texture and v its visibility. A batch is many independent problems: nothing in it depends on the
neighbours. With a `Curvature` of the generator the problems are solved by a quasi-Newton method that begins
from it; without one by Adam, along the prior's axes, which needs many more steps. The noise maps stay the
generator's constants: optimised noise would store detail that bypasses G and is lost in translation.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..config import InversionConfig
from ..errors import InputError
from ..image import from_signed, to_signed
from ..progress import bar
from .curvature import Curvature
from .distance import distance_of, psnr_from_signed_mse, pyramid_distance, to_target, trunk_of
from .prior import WPrior
from .quasi_newton import minimise

# For ~100 steps the usual memory of Adam (0.9, 0.999) is too long, and coarse levels blur the goal: on some test textures
# these two choices gained about 2 dB at equal steps, at a smaller distance from the mean.
BETAS = (0.8, 0.95)
LEVELS = 2
FLOOR = 1e-3  # of the curvature, as a share of its mean


@dataclass(frozen=True)
class Inversion:
    """Result of `invert`, all tensors detached and on the generator's device.

    Attributes:
        w_plus: ``(B, L, D)`` codes; in space "w" all L rows are equal.
        reconstruction: ``(B, 3, H, W)`` in [0, 1], complete also where the texture was not observed.
        psnr_observed: ``(B,)`` dB over observed texels, ``nan`` where nothing was observed.
        history: ``{"psnr", "loss", "prior"}``, one row ``(B,)`` for every evaluation. With Adam ``steps`` of them, each before
            that step's update; with a curvature ``steps + 1``, of the best point so far.
    """

    w_plus: Tensor
    reconstruction: Tensor
    psnr_observed: Tensor
    history: dict[str, Tensor] = field(default_factory=dict)


@contextmanager
def frozen(*networks: Any) -> Iterator[None]:
    """Switch off the parameters' gradients and use evaluation mode inside the block; restore both afterwards."""
    modules = [network for network in networks if isinstance(network, nn.Module)]
    flags = [(p, p.requires_grad) for module in modules for p in module.parameters()]
    modes = [(m, m.training) for module in modules for m in module.modules()]
    try:
        for parameter, _ in flags:
            parameter.requires_grad_(False)
        for module in modules:
            module.eval()
        yield
    finally:
        for parameter, flag in flags:
            parameter.requires_grad_(flag)
        for module, mode in modes:
            module.training = mode


def warm_cosine(step: int, steps: int) -> float:
    """Share of the learning rate: linear warm-up over the first 5 %, then a half cosine to zero, so the last iterate is the
    best one."""
    warm = max(1, round(0.05 * steps))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def invert(
    generator: nn.Module,
    texture: Tensor,
    visibility: Tensor,
    config: InversionConfig | None = None,
    *,
    feature_net: Any = None,
    prior: WPrior | None = None,
    start: Tensor | None = None,
    curvature: Curvature | None = None,
    space: Literal["w+", "w"] | None = None,
    progress: bool = False,
) -> Inversion:
    """Invert a batch of phone textures.

    Args:
        generator: G_phone; its parameters are neither changed nor given gradients.
        texture: ``(B, 3, H, W)`` in [0, 1], at the generator's resolution.
        visibility: ``(B, 1, H, W)`` in [0, 1]; texels with 0 cannot influence the codes.
        config: steps, learning rate and weights; defaults to ``InversionConfig()``.
        feature_net: used where ``config.features`` is not 0; None (pixels only) or anything `distance_of` accepts: D_phone, the
            identity network, a callable.
        prior: where codes are pulled to; None fits `WPrior.from_generator` (the same every time).
        start: ``(B, L, D)`` codes to begin from, an encoder's for example; None begins at ``w_mean``.
        curvature: of this generator; with it ``config.steps`` are quasi-Newton steps and ``config.lr`` is not used.
        space: "w+" finds one vector per layer, "w" one vector for all of them; None takes ``config.space``.
        progress: show a progress bar.
    Raises:
        InputError: shapes that do not fit each other or the generator, values that are not finite, an unknown
            space.
    """
    config = config or InversionConfig()
    space = space or config.space
    device = generator.w_mean.device
    # a caller may sit in inference_mode or no_grad; the codes need gradients all the same
    compare = distance_of(feature_net) if config.features > 0 else None
    with torch.inference_mode(False), torch.enable_grad(), frozen(generator, *trunk_of(compare)):
        texture, visibility = texture.to(device).float().clone(), visibility.to(device).float().clone()
        start = None if start is None else start.to(device).float().clone()
        _check(generator, texture, visibility, start, space)
        # junk in unobserved texels (even inf) must not come back as 0 · inf
        target = torch.where(visibility > 0, to_signed(texture), 0.0)
        prior = (prior or WPrior.from_generator(generator)).to(device)
        if start is None:
            start = generator.w_mean.detach().float().expand(len(texture), generator.num_ws, -1)
        w = start if space == "w+" else start.mean(1, keepdim=True)
        problem = _Problem(generator, target, visibility, config, compare, prior, progress)
        if curvature is None:
            codes = prior.unwhiten(_adam(problem, prior.whiten(w), config))
        else:
            inverse = torch.linalg.inv(_second_derivatives(curvature.to(device), prior, config, w.shape[1]))
            codes = minimise(problem.plain, w, lambda slope: torch.einsum("bld,lde->ble", slope, inverse), config.steps)
        codes = codes.expand(-1, generator.num_ws, -1).contiguous()
        with torch.no_grad():
            image = generator.synthesis(codes, noise="const").float().clamp(-1, 1)
            _, mse = pyramid_distance(image, target, visibility, levels=1)
    psnr = psnr_from_signed_mse(mse, visibility)
    return Inversion(codes, from_signed(image), psnr, problem.history(best=curvature is not None))


class _Problem:
    """The loss of a batch and its gradient, and a record of every evaluation."""

    def __init__(self, generator, target, visibility, config, compare, prior, progress):
        self.generator, self.target, self.visibility, self.config, self.prior = generator, target, visibility, config, prior
        self.features = None if compare is None else to_target(compare, from_signed(target), visibility)
        self.record: dict[str, list[Tensor]] = {"psnr": [], "loss": [], "prior": []}
        self.bar = bar(None, "inversion", "step", show=progress)

    def whitened(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Loss ``(B,)`` and gradient at codes ``(B, L or 1, D)``, in standard deviations along the prior's axes."""
        return self._evaluate(u, self.prior.unwhiten, lambda u: u)

    def plain(self, w: Tensor) -> tuple[Tensor, Tensor]:
        """The same for plain codes."""
        return self._evaluate(w, lambda w: w, self.prior.whiten)

    def _evaluate(self, x, code_of, whitened_of) -> tuple[Tensor, Tensor]:
        x = x.detach().requires_grad_()
        image = self.generator.synthesis(code_of(x).expand(-1, self.generator.num_ws, -1), noise="const")
        # a texel's share of the loss is too small for float16 weights, so that the way back is scaled like their training
        scale = float(image[0].numel()) if image.dtype is torch.float16 else 1.0
        image = image.float()
        pixel, mse = pyramid_distance(image, self.target, self.visibility, LEVELS)
        energy = whitened_of(x).square().mean((1, 2))
        loss = self.config.pixels * pixel + self.config.prior * energy
        if self.features is not None:  # not from_signed: its clamp would stop the gradient of overshooting texels
            loss = loss + self.config.features * self.features(image * 0.5 + 0.5)
        (slope,) = torch.autograd.grad(loss.sum() * scale, [x])
        psnr = psnr_from_signed_mse(mse.detach(), self.visibility)
        for name, value in (("psnr", psnr), ("loss", loss.detach()), ("prior", energy.detach())):
            self.record[name].append(value)
        self.bar.update()
        if not self.bar.disable:
            self.bar.set_postfix(dB=f"{psnr.nanmean().item():.1f}")
        return loss.detach(), slope / scale

    def history(self, best: bool) -> dict[str, Tensor]:
        """The record, ``(evaluations, B)``; with ``best`` of the lowest loss until then."""
        self.bar.close()
        record = {name: torch.stack(values) for name, values in self.record.items() if values}
        if best:
            lowest = record["loss"].cummin(0).indices
            record = {name: values.gather(0, lowest) for name, values in record.items()}
        return record


def _adam(problem: _Problem, start: Tensor, config: InversionConfig) -> Tensor:
    # Adam steps are alike along every coordinate, so the coordinates should be alike: standard deviations along W's axes
    u = start.contiguous().requires_grad_()
    optimizer = torch.optim.Adam([u], lr=config.lr, betas=BETAS)
    for step in range(config.steps):
        optimizer.param_groups[0]["lr"] = config.lr * warm_cosine(step, config.steps)
        _, u.grad = problem.whitened(u)
        optimizer.step()
    return u.detach()


def _second_derivatives(curvature: Curvature, prior: WPrior, config: InversionConfig, rows: int) -> Tensor:
    """Of the pixels and of the prior, ``(rows, D, D)``; in space "w" the only row moves all rows of w+."""
    pixels = curvature.matrix if rows > 1 else curvature.matrix.sum(0, keepdim=True)
    energy = (prior.basis / prior.scale**2) @ prior.basis.T * (2 / (rows * len(prior.mean)))
    # the floor serves a prior of weight 0, which leaves directions that no probe has met without any curvature
    floor = FLOOR * pixels.diagonal(dim1=1, dim2=2).mean() * torch.eye(len(prior.mean)).to(energy)
    return config.pixels * pixels + config.prior * energy + floor


def _check(generator: nn.Module, texture: Tensor, visibility: Tensor, start: Tensor | None, space: str) -> None:
    size = generator.config.resolution
    count = len(texture)
    if space not in ("w+", "w"):
        raise InputError(f"unknown space '{space}': use 'w+' or 'w'")
    if texture.shape != (count, 3, size, size):
        raise InputError(f"texture is {tuple(texture.shape)}, this generator needs (B, 3, {size}, {size}): use image.resize")
    if visibility.shape != (count, 1, size, size):
        raise InputError(f"visibility is {tuple(visibility.shape)}, expected ({count}, 1, {size}, {size})")
    if start is not None and start.shape != (count, generator.num_ws, generator.config.w_dim):
        raise InputError(f"start is {tuple(start.shape)}, expected ({count}, {generator.num_ws}, {generator.config.w_dim})")
    if not torch.isfinite(visibility).all() or not torch.isfinite(torch.where(visibility > 0, texture, 0.0)).all():
        raise InputError("texture or visibility holds nan or inf in observed texels: read it again with io.read_texture")
