"""Sampling: the generator's texture, a phone texture and its visibility in; the detailed studio texture out.

Fusion puts the phone's detail on the generator's light, and a few steps of DDIM (η = 0; Song et al., ICLR 2021) or
DPM-Solver++ 2M (Lu et al., 2022), both from diffusers, draw what has to be repaired, at the size that the detailer was
trained at. Whatever is finer than that only the phone can know: it is fused once more, at the phone's own size.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..errors import InputError
from ..inversion.distance import resize_observed
from ..progress import bar
from .fusion import fuse
from .model import Detailer, make_scheduler, upsample

if TYPE_CHECKING:
    from diffusers import SchedulerMixin

FINE = 0.75  # width of the low pass of the second fusion, in texels of the detailer's size


def _noise(generator: torch.Generator | list[torch.Generator] | None, shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Standard normal noise; a single generator gives every texture of the batch the same field."""
    if isinstance(generator, (list, tuple)):
        if len(generator) != shape[0]:
            raise InputError(f"{len(generator)} generators for {shape[0]} textures; give one, or one each")
        return torch.cat([_noise(g, (1, *shape[1:]), like) for g in generator])
    device = like.device if generator is None else generator.device
    noise = torch.randn((1, *shape[1:]), generator=generator, device=device, dtype=torch.float32).to(like)
    return noise.expand(shape)


@torch.no_grad()
def detail(
    model: Detailer,
    studio: Tensor,
    phone: Tensor,
    visibility: Tensor,
    steps: int = 4,
    guided: bool = True,
    generator: torch.Generator | list[torch.Generator] | None = None,
    scheduler: SchedulerMixin | str = "ddim",
    *,
    progress: bool | Callable = False,
) -> Tensor:
    """Detail of a generator's studio texture, from the phone texture and from what the detailer has learnt.

    Args:
        model: a trained `Detailer`.
        studio: the generator's output ``(B, 3, h, h)`` in [0, 1].
        phone: ``(B, 3, H, H)`` in [0, 1]; its size is the size of the result.
        visibility: ``(B, 1, H, H)`` in [0, 1]; 0 where the phone saw nothing, and detail is invented.
        steps: denoising steps; 1 gives the model's (smooth) mean estimate.
        guided: whether the phone is looked at; without it, detail is invented everywhere.
        generator: source of the noise. One generator: every texture of the batch gets the same noise, so that
            a texture's result does not depend on its batch. A list: one each. None: the global generator.
        scheduler: a diffusers scheduler from `make_scheduler` (it is copied, not changed), or its name,
            ``"ddim"`` or ``"dpm++"``.
        progress: show a progress bar (True), or wrap the steps in this function.
    Returns:
        ``(B, 3, H, H)`` in [0, 1].
    Raises:
        InputError: shapes that do not fit, no steps, an unknown scheduler.
    """
    batch, _, height, width = phone.shape
    if studio.shape[0] != batch or visibility.shape != (batch, 1, height, width):
        raise InputError(
            f"studio texture {tuple(studio.shape)}, phone texture {tuple(phone.shape)} and visibility "
            f"{tuple(visibility.shape)} must have one batch size, and the last two one size"
        )
    schedule = _schedule(scheduler, steps, model.device)
    # the sampler's own algebra stays in float32 whatever the network's weights are stored in
    studio, phone, visibility = (x.to(model.device, torch.float32) for x in (studio, phone, visibility))
    size = min(height, model.config.resolution)
    small, seen = resize_observed(phone, visibility, size)
    coarse = upsample(studio, size)
    base = model.base(small, seen, coarse, guided)
    given = model.conditions(small, seen, coarse, base, guided)
    x = _noise(generator, small.shape, small)
    wrap = progress if callable(progress) else lambda steps: bar(steps, "detail", "step") if progress else steps
    for t in wrap(schedule.timesteps):
        x = schedule.step(model(x, t, given), t, x, return_dict=False)[0]
    texture = (base + x * model.config.residual_scale).clamp(0, 1)
    if size < height:
        texture = upsample(texture, height)
        texture = fuse(phone, visibility, texture, FINE / size, edges=False) if guided else texture
    return texture


def _schedule(scheduler: SchedulerMixin | str, steps: int, device: torch.device) -> SchedulerMixin:
    """A copy of a scheduler, set to ``steps`` time steps. Raises `InputError`: see `detail`."""
    named = isinstance(scheduler, str)
    schedule = make_scheduler(scheduler) if named else type(scheduler).from_config(scheduler.config)
    if schedule.config.prediction_type != "v_prediction":
        raise InputError(f"use a v_prediction scheduler, not {schedule.config.prediction_type}: see make_scheduler")
    if not 1 <= steps <= schedule.config.num_train_timesteps:
        raise InputError(f"{steps} sampling steps; use 1 to {schedule.config.num_train_timesteps}")
    with warnings.catch_warnings():  # diffusers hands tensors to numpy in a way that numpy 2 deprecates
        warnings.simplefilter("ignore", DeprecationWarning)
        schedule.set_timesteps(steps, device=device)
    return schedule
