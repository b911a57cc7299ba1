"""Pictures of generators, for laboratories and chapters: they are computed where the network is and come to the CPU."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from ..image import from_signed
from ..stylegan2 import Encoder, Generator, encode
from ..stylegan2.generator import Noise

BATCH = 16  # pictures that are made together


def place(network: torch.nn.Module) -> torch.device:
    """Where a network is."""
    return next(network.parameters()).device


@torch.no_grad()
def decode(network: Generator, codes: Tensor, noise: Noise = "const") -> Tensor:
    """Textures ``(B, 3, H, W)`` in [0, 1], on the CPU, of codes ``(B, L, D)``."""
    parts = codes.to(place(network)).split(BATCH)
    return torch.cat([from_signed(network.synthesis(part, noise)).cpu() for part in parts])


@torch.no_grad()
def sample(network: Generator, count: int, seed: int, truncation: float = 1.0, noise: Noise = "const") -> Tensor:
    """Textures ``(count, 3, H, W)`` in [0, 1], on the CPU, of random z; the same ones for a seed on every device."""
    rng = torch.Generator().manual_seed(seed)
    z = torch.randn(count, network.config.w_dim, generator=rng)
    parts = z.to(place(network)).split(BATCH)
    return torch.cat([from_signed(network(part, truncation, noise, rng)).cpu() for part in parts])


@torch.no_grad()
def codes_of(
    encoder: Encoder, g_phone: Generator, texture: Tensor, visibility: Tensor, passes: int = 2, batch: int = 4 * BATCH
) -> Tensor:
    """Codes ``(B, L, D)``, on the encoder's device, of textures ``(B, 3, H, W)`` in [0, 1] wherever they are."""
    device = place(encoder)
    parts = zip(texture.split(batch), visibility.split(batch), strict=True)
    return torch.cat([encode(encoder, g_phone, x.to(device), v.to(device), passes) for x, v in parts])


@contextlib.contextmanager
def overheard(modules: Iterable[torch.nn.Module]) -> Iterator[list[tuple[tuple[Any, ...], Any]]]:
    """What modules are given and what they give, call by call, while this lasts."""
    heard: list[tuple[tuple[Any, ...], Any]] = []
    hooks = [module.register_forward_hook(lambda _, given, out: heard.append((given, out))) for module in modules]
    try:
        yield heard
    finally:
        for hook in hooks:
            hook.remove()
