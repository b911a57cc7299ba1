"""W+ inversion by optimisation: find the code whose picture agrees with a phone texture wherever it was
observed.

For each image    min over w+   pixel(G(w+), x; v) + λf · feature(G(w+), x; v) + λp · |whitened (w+ −
w_mean)|²

with x the texture and v its visibility. The whole batch runs through one Adam; Adam works element by element
and the loss is the *sum* over images, so a code does not depend on its neighbours in the batch. The noise
maps stay the generator's constants: optimised noise would store detail that bypasses G and is lost in
translation.
"""
from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from ..config import InversionConfig
from ..errors import InputError
from ..io import from_signed, to_signed
from .distance import perceptual, psnr_from_signed_mse, pyramid_distance, to_target, trunk_of
from .prior import WPrior

# For ~100 steps the usual memory of Adam (0.9, 0.999) is too long, and coarse levels blur the goal: on some test textures
# these two choices gained about 2 dB at equal steps, at a smaller distance from the mean.
BETAS = (0.8, 0.95)
LEVELS = 2


@dataclass(frozen=True)
class Inversion:
    """Result of `invert`, all tensors detached and on the generator's device.

    Attributes:
        w_plus: ``(B, L, D)`` codes; in space "w" all L rows are equal.
        reconstruction: ``(B, 3, H, W)`` in [0, 1], complete also where the texture was not observed.
        psnr_observed: ``(B,)`` dB over observed texels, ``nan`` where nothing was observed.
        history: ``{"psnr", "loss", "prior"}``, each ``(steps, B)``, measured *before* the update of that
            step.
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


def learning_rate(config: InversionConfig, step: int) -> float:
    """Linear warm-up over the first 5 %, then a half cosine to zero, so the last iterate is the best one."""
    warm = max(1, round(0.05 * config.steps))
    if step < warm:
        return config.lr * (step + 1) / warm
    return config.lr * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, config.steps - warm)))


def invert(
    generator: nn.Module, texture: Tensor, visibility: Tensor, config: InversionConfig | None = None, *,
    feature_net: Any = None, prior: WPrior | None = None, start: Tensor | None = None,
    space: Literal["w+", "w"] | None = None, progress: bool = False,
) -> Inversion:
    """Invert a batch of phone textures.

    Args:
        generator: G_phone; its parameters are neither changed nor given gradients.
        texture: ``(B, 3, H, W)`` in [0, 1], at the generator's resolution.
        visibility: ``(B, 1, H, W)`` in [0, 1]; texels with 0 cannot influence the codes.
        config: steps, learning rate and weights; defaults to ``InversionConfig()``.
        feature_net: None (pixels only) or anything `perceptual` accepts: D_phone, the identity network, a
            callable.
        prior: where codes are pulled to; None fits `WPrior.from_generator` (the same every time), and
            ``WPrior.plain(generator)`` is the unwhitened pull towards ``generator.w_mean``.
        start: ``(B, L, D)`` codes to begin from, an encoder's for example; None begins at ``w_mean``.
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
    compare = perceptual(feature_net) if config.features > 0 else None
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
        codes, history = _descend(generator, target, visibility, w, config, compare, prior, progress)
        with torch.no_grad():
            image = generator.synthesis(codes, noise="const").float().clamp(-1, 1)
            _, mse = pyramid_distance(image, target, visibility, levels=1)
    return Inversion(codes, from_signed(image), psnr_from_signed_mse(mse, visibility), history)


def _descend(generator, target, visibility, w, config, compare, prior, progress) -> tuple[Tensor, dict[str, Tensor]]:
    # Adam steps are alike along every coordinate, so the coordinates should be alike: standard deviations along W's axes
    u = prior.whiten(w).contiguous().requires_grad_()
    optimizer = torch.optim.Adam([u], lr=config.lr, betas=BETAS)
    features = None if compare is None else to_target(compare, from_signed(target), visibility)
    history: dict[str, list[Tensor]] = {"psnr": [], "loss": [], "prior": []}
    bar = tqdm(range(config.steps), desc="inversion", disable=not progress)
    for step in bar:
        image = generator.synthesis(prior.unwhiten(u).expand(-1, generator.num_ws, -1), noise="const")
        pixel, mse = pyramid_distance(image, target, visibility, LEVELS)
        energy = u.square().mean((1, 2))
        loss = config.pixels * pixel + config.prior * energy
        if features is not None:  # not from_signed: its clamp would stop the gradient of overshooting texels
            loss = loss + config.features * features(image * 0.5 + 0.5)
        optimizer.param_groups[0]["lr"] = learning_rate(config, step)
        (u.grad,) = torch.autograd.grad(loss.sum(), [u])
        optimizer.step()
        history["psnr"].append(psnr_from_signed_mse(mse.detach(), visibility))
        history["loss"].append(loss.detach())
        history["prior"].append(energy.detach())
        if progress:
            bar.set_postfix(dB=f"{history['psnr'][-1].nanmean().item():.1f}")
    codes = prior.unwhiten(u.detach()).expand(-1, generator.num_ws, -1).contiguous()
    return codes, {name: torch.stack(values) for name, values in history.items() if values}


def _check(generator: nn.Module, texture: Tensor, visibility: Tensor, start: Tensor | None, space: str) -> None:
    size = generator.config.resolution
    count = len(texture)
    if space not in ("w+", "w"):
        raise InputError(f"unknown space '{space}': use 'w+' or 'w'")
    if texture.shape != (count, 3, size, size):
        raise InputError(f"texture is {tuple(texture.shape)}, this generator needs (B, 3, {size}, {size}): use io.resize")
    if visibility.shape != (count, 1, size, size):
        raise InputError(f"visibility is {tuple(visibility.shape)}, expected ({count}, 1, {size}, {size})")
    if start is not None and start.shape != (count, generator.num_ws, generator.config.w_dim):
        raise InputError(f"start is {tuple(start.shape)}, expected ({count}, {generator.num_ws}, {generator.config.w_dim})")
    if not torch.isfinite(visibility).all() or not torch.isfinite(torch.where(visibility > 0, texture, 0.0)).all():
        raise InputError("texture or visibility holds nan or inf in observed texels: read it again with io.read_texture")
