"""Sampling: a coarse studio texture, a phone texture and its visibility in; the detailed studio texture out.

Eight to ten steps of DDIM (η = 0; Song et al., ICLR 2021) or DPM-Solver++ 2M (Lu et al., 2022), both from
diffusers. Two additions: the strength of the gradient channels can be extrapolated as in classifier-free guidance
(Ho & Salimans, 2022), and each step's estimate of the clean texture can be pulled to the phone's gradients by a
screened-Poisson step. In the end the low frequencies are set back to those of the coarse texture, because
pixel-space super-resolution by diffusion is known to drift in hue (Saharia et al., SR3, 2021).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from diffusers import SchedulerMixin
from torch import Tensor

from ..errors import InputError
from ..io import srgb_to_linear
from .guidance import gradients, impose_gradients
from .model import Detailer, lock_grid, low_frequencies, make_scheduler, upsample

LEVEL = 0.03  # noise put on the coarse texture when sampling: hides the generator's own fine artefacts


def lock_colours(texture: Tensor, coarse: Tensor, grid: tuple[int, int], width: float, passes: int = 3) -> Tensor:
    """``texture`` with the low frequencies of ``coarse`` (both ``(B, 3, H, W)``), in [0, 1].

    The low pass is smooth, so one pass leaves a little of the band around its cutoff, and clamping undoes a
    little more; further passes take care of both.
    """
    for _ in range(passes):
        texture = (texture + low_frequencies(coarse - texture, grid, width)).clamp(0, 1)
    return texture


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
    studio_lr: Tensor,
    phone: Tensor,
    visibility: Tensor,
    steps: int = 8,
    guidance_scale: float = 1.0,
    generator: torch.Generator | list[torch.Generator] | None = None,
    scheduler: SchedulerMixin | str = "ddim",
    *,
    level: float = LEVEL,
    poisson: float = 0.0,
    screen: float = 0.02,
    progress: bool | Callable = False,
) -> Tensor:
    """Draw the detail of a coarse studio texture from the phone texture's gradients.

    Args:
        model: a trained `Detailer`.
        studio_lr: the generator's output ``(B, 3, h, w)`` in [0, 1].
        phone: ``(B, 3, H, W)`` in [0, 1]; its size is the size of the result.
        visibility: ``(B, 1, H, W)`` in [0, 1]; 0 where the phone saw nothing, and detail is invented.
        steps: denoising steps; 1 gives the model's (smooth) mean estimate.
        guidance_scale: 0 ignores the phone's gradients, 1 is the plain model, above 1 exaggerates them. Other
            values than 0 and 1 cost a second network pass per step.
        generator: source of the noise. One generator: every texture of the batch gets the same noise, so that
            a texture's result does not depend on its batch. A list: one each. None: the global generator.
        scheduler: a diffusers scheduler from `make_scheduler` (it is copied, not changed), or its name,
            ``"ddim"`` or ``"dpm++"``.
        level: standard deviation of the noise put on ``studio_lr`` for the network's eyes (at most the
            model's ``max_level``); the result is still built on the clean one.
        poisson: 0…1, strength of the screened-Poisson pull of every estimate to the phone's log gradients.
        screen: its pull to the estimate, see `guidance.screened_poisson`.
        progress: show a progress bar (True), or wrap the steps in this function.
    Returns:
        ``(B, 3, H, W)`` in [0, 1], with the low frequencies of ``studio_lr``.
    Raises:
        InputError: shapes that do not fit, no steps, an unknown scheduler.
    """
    batch, _, height, width = phone.shape
    if studio_lr.shape[0] != batch or visibility.shape != (batch, 1, height, width):
        raise InputError(
            f"coarse texture {tuple(studio_lr.shape)}, phone texture {tuple(phone.shape)} and visibility "
            f"{tuple(visibility.shape)} must have one batch size, and the last two one size"
        )
    if steps < 1:
        raise InputError(f"{steps} sampling steps; use at least 1")
    # the sampler's own algebra stays in float32 whatever the network's weights are stored in
    studio_lr, phone, visibility = (x.to(model.device, torch.float32) for x in (studio_lr, phone, visibility))
    named = isinstance(scheduler, str)
    schedule = make_scheduler(scheduler) if named else type(scheduler).from_config(scheduler.config)
    if schedule.config.prediction_type != "v_prediction":
        raise InputError(f"use a v_prediction scheduler, not {schedule.config.prediction_type}: see make_scheduler")
    with warnings.catch_warnings():  # diffusers hands tensors to numpy in a way that numpy 2 deprecates
        warnings.simplefilter("ignore", DeprecationWarning)
        schedule.set_timesteps(steps, device=model.device)
    coarse = upsample(studio_lr, (height, width))
    grid = lock_grid(studio_lr.shape[-2:], (height, width))
    level = min(level, model.config.max_level)
    hidden = studio_lr + level * _noise(generator, studio_lr.shape, studio_lr)
    given = model.conditions(upsample(hidden, (height, width)), phone, visibility)
    silent = model.without_gradients(given)
    field = mask = None
    if poisson:
        field, mask = gradients(phone, visibility, "log", model.config.border)

    x = _noise(generator, phone.shape, phone)
    wrap = progress if callable(progress) else (_bar if progress else lambda steps: steps)
    for t in wrap(schedule.timesteps):
        if guidance_scale == 1:
            velocity = model(x, t, given, level)
        elif guidance_scale == 0:
            velocity = model(x, t, silent, level)
        else:
            both = model(torch.cat([x, x]), t, torch.cat([silent, given]), level)
            without, with_ = both.chunk(2)
            velocity = without + guidance_scale * (with_ - without)
        if poisson:
            signal, noise = _levels(schedule, t)
            clean = signal * x - noise * velocity
            texture = coarse + clean * model.config.residual_scale
            moved = impose_gradients(texture, field, mask, screen, poisson)
            # only the detail band moves: what the step did to colours and light is not wanted
            clean = clean + model.high_pass(moved - texture, grid) / model.config.residual_scale
            velocity = (signal * x - clean) / noise
        x = schedule.step(velocity, t, x, return_dict=False)[0]
    texture = coarse + x * model.config.residual_scale
    return lock_colours(texture, coarse.clamp(0, 1), grid, model.config.lock)


def _levels(schedule, t: Tensor) -> tuple[Tensor, Tensor]:
    """Signal and noise amplitudes at time step ``t``: x_t = signal · x_0 + noise · ε."""
    power = schedule.alphas_cumprod.to(t.device)[t.long()]
    return power.sqrt(), (1 - power).sqrt()


def _bar(steps):
    from tqdm.auto import tqdm

    return tqdm(steps, desc="detail", unit="step")


def colour_shift(texture: Tensor, reference: Tensor) -> Tensor:
    """How far the mean colour moved: Euclidean distance of mean CIELAB a* and b*, one value per texture
    ``(B,)``.

    Args:
        texture, reference: ``(B, 3, H, W)`` sRGB in [0, 1]; sizes may differ.
    """
    return (_mean_ab(texture) - _mean_ab(reference)).square().sum(1).sqrt()


def _mean_ab(texture: Tensor) -> Tensor:
    # sRGB primaries to XYZ relative to the D65 white (IEC 61966-2-1), then CIE 1976 L*a*b*
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    matrix = texture.new_tensor(to_xyz)
    xyz = torch.einsum("ij,bjhw->bihw", matrix / matrix.sum(1, keepdim=True), srgb_to_linear(texture))
    f = torch.where(xyz > (6 / 29) ** 3, xyz.clamp_min(1e-8) ** (1 / 3), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return torch.stack([500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], 1).mean((2, 3))
