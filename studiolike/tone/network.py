"""The network that reads a skin's level, and how a texture is brought to it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from ..adaptation.losses import DARK
from ..errors import InputError
from ..image import linear_to_srgb, srgb_to_linear
from ..inversion.distance import resize_observed
from ..layout import region_mask

CENTRE = -2.0  # log light about which the network's input and output lie


def log_texels(texture: Tensor) -> Tensor:
    """log(I + ε) of the linear light of sRGB ``texture (B, 3, H, W)`` in [0, 1]."""
    return (srgb_to_linear(texture) + DARK).log()


def texels_of(light: Tensor) -> Tensor:
    """The sRGB texture in [0, 1] whose `log_texels` these are."""
    return linear_to_srgb((light.exp() - DARK).clamp(0, 1))


@lru_cache(8)
def skin_mask(size: int) -> Tensor:
    """Skin of the face, ``(1, 1, size, size)`` in [0, 1]."""
    return region_mask("skin_face", size)[None]


def skin_level(texture: Tensor, visibility: Tensor | None = None) -> Tensor:
    """Mean log light of the skin of the face, over channels and what was seen of it.

    Args:
        texture: ``(B, 3, H, W)`` sRGB in [0, 1], in the head layout. visibility: ``(B, 1, H, W)`` in [0, 1]; None: all of it.
    Returns:
        ``(B,)``, log units; nan where no skin was seen.
    """
    size = min(texture.shape[-1], 256)  # a mean over thousands of texels needs no more
    visibility = torch.ones_like(texture[:, :1]) if visibility is None else visibility
    texture, visibility = resize_observed(texture, visibility, size)
    weight = skin_mask(size).to(texture) * visibility
    return (log_texels(texture).mean(1, keepdim=True) * weight).sum((1, 2, 3)) / weight.sum((1, 2, 3))


def with_level(texture: Tensor, level: Tensor) -> Tensor:
    """``texture (B, 3, H, W)``, sRGB in [0, 1], brought to a `skin_level` ``(B,)`` by one factor on all its light."""
    change = (level - skin_level(texture))[:, None, None, None]
    return texels_of(log_texels(texture) + change)


class ToneNet(ModelMixin, ConfigMixin):
    """Level of the skin under studio light, from a phone capture: a few strided convolutions and a head.

    Args:
        resolution: side at which captures are read, so often even as there are widths; the white of an eye is two texels at 64².
        widths: channels; each width halves the side. hidden: units of the head.
        seed: of the initial weights.
    Raises:
        InputError: a resolution that cannot be halved as often.
    """

    @register_to_config
    def __init__(self, resolution: int = 64, widths: Sequence[int] = (16, 24, 32, 48), hidden: int = 40, seed: int = 0):
        super().__init__()
        side = resolution >> len(widths)
        if side << len(widths) != resolution:
            raise InputError(f"a resolution of {resolution} cannot be halved {len(widths)} times")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            layers: list[nn.Module] = []
            before = 4  # light and visibility
            for width in widths:
                for a, stride in ((before, 2), (width, 1)):
                    layers += [nn.Conv2d(a, width, 3, stride, 1), nn.GroupNorm(4, width), nn.SiLU()]
                before = width
            self.trunk = nn.Sequential(*layers)
            self.head = nn.Sequential(nn.Linear(before * side * side, hidden), nn.SiLU(), nn.Dropout(0.2), nn.Linear(hidden, 1))

    def forward(self, texture: Tensor, visibility: Tensor) -> Tensor:
        """``(B,)`` levels in log units, see `skin_level`, of textures ``(B, 3, H, W)`` in [0, 1] with their visibility
        ``(B, 1, H, W)``, at any resolution; float32."""
        texture, visibility = resize_observed(texture.float(), visibility.float(), self.config.resolution)
        light = (log_texels(texture) - CENTRE) * (visibility > 0)
        x = torch.cat([light, visibility], 1).to(self.dtype)
        return self.head(self.trunk(x).flatten(1)).float().squeeze(1) + CENTRE
