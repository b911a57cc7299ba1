"""The small identity network: which face is this, whatever the light?

In: textures in the head layout, with their visibility. Out: a unit embedding, and the multi-scale feature
maps that a perceptual distance compares. The objective's L_faceID and L_percp (Athar et al., ECCV 2024) need
a face network and a perceptual trunk; the usual pretrained ones are downloads, so this one stands in for
both. Two of them exist, of different shape and seed: ``identity`` serves the losses, ``identity_eval`` serves
only the evaluation, so that no network is measured with the ruler it was trained on.

Two choices matter here. Normalisation is local (per texel, over channels): no statistics over the batch or
over the picture, so a result never depends on what else is in the batch, and an unobserved region cannot
colour an observed one. The head flattens a 4×4 grid instead of averaging it: in a registered layout the
*place* of a feature is identity too.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from ..errors import InputError
from ..image import resize, to_signed

# the two shapes in use; different width, depth, kernel and seed, so that their mistakes differ
SHAPES: dict[str, dict] = {
    "identity": dict(widths=(16, 24, 48, 96, 128), depth=2, kernel=3, seed=1),
    "identity_eval": dict(widths=(12, 24, 40, 80, 144), depth=1, kernel=5, seed=2),
}
GRID = 4  # the head sees a GRID×GRID map


class ChannelNorm(nn.Module):
    """Divide each texel's channels by their root mean square, then scale per channel (RMSNorm, Zhang &
    Sennrich 2019)."""

    def __init__(self, channels: int):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        # the floor keeps empty (unobserved) regions at zero instead of blowing up their rounding noise
        return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-2) * self.gain


class ResidualConvs(nn.Module):
    """``depth`` × (convolution, local normalisation, leaky ReLU); all but the first convolution with a
    skip."""

    def __init__(self, channels_in: int, channels: int, depth: int, kernel: int):
        super().__init__()
        sizes = [channels_in] + [channels] * depth
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, kernel, padding=kernel // 2) for a, b in zip(sizes[:-1], sizes[1:], strict=True)
        )
        self.norms = nn.ModuleList(ChannelNorm(channels) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        for k, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            y = F.leaky_relu(norm(conv(x)), 0.2)
            x = y if k == 0 else x + y
        return x


class IdentityNet(ModelMixin, ConfigMixin):
    """Face embedding and perceptual trunk for textures in the head layout.

    Args:
        resolution: side at which textures are read; a multiple of ``4 · 2^(len(widths) - 1)`` or at least a
            power of two.
        embedding: length E of the embedding.
        widths: channels of the stem (at full resolution) and of each later stage (each at half the side of
            the one before).
        depth: convolutions per stage.
        kernel: their odd size.
        role: the name under which results are reported, ``"identity"`` or ``"identity_eval"``.
        seed: seed of the initial weights (of their own generator; the global one is left alone).
    """

    signed_input = False  # textures come in [0, 1]

    @register_to_config
    def __init__(
        self,
        resolution: int = 64,
        embedding: int = 128,
        widths: Sequence[int] = (16, 24, 48, 96, 128),
        depth: int = 2,
        kernel: int = 3,
        role: str = "identity",
        seed: int = 1,
    ):
        super().__init__()
        if resolution < GRID * 2 ** (len(widths) - 1):
            raise InputError(f"resolution {resolution} is too small for {len(widths)} stages; use fewer widths")
        self.stem = nn.Conv2d(4, widths[0], 3, padding=1)  # colour × visibility, and the visibility itself
        self.stages = nn.ModuleList(ResidualConvs(a, b, depth, kernel) for a, b in zip(widths[:-1], widths[1:], strict=True))
        self.head = nn.Linear(widths[-1] * GRID * GRID, embedding)
        self._initialise(seed)

    @classmethod
    def named(cls, role: str, **overrides) -> IdentityNet:
        """A fresh network in the shape and with the seed of its role: ``"identity"`` or ``"identity_eval"``.

        Raises:
            InputError: unknown role.
        """
        if role not in SHAPES:
            raise InputError(f"unknown identity network '{role}'; known: {', '.join(SHAPES)}")
        return cls(**{**SHAPES[role], "role": role, **overrides})

    @property
    def name(self) -> str:
        """How tables call this network, for example ``identity_eval-64px``."""
        return f"{self.config.role}-{self.config.resolution}px"

    def features(self, texture: Tensor, visibility: Tensor | None = None) -> list[Tensor]:
        """Feature maps from fine to coarse.

        Args:
            texture: ``(B, 3, H, W)`` in [0, 1], sRGB.
            visibility: ``(B, 1, H, W)`` in [0, 1]; ``None`` means that everything counts.
        Returns:
            One ``(B, C_k, S / 2^k, S / 2^k)`` map per stage, the stem's first.
        """
        if visibility is None:
            visibility = torch.ones_like(texture[:, :1])
        # colour is weighted before it is resampled: not even the resampling filter sees an unobserved texel
        x = resize(torch.cat([to_signed(texture) * visibility, visibility], 1), self.config.resolution)
        x = F.leaky_relu(self.stem(x.to(self.stem.weight.dtype)), 0.2)
        maps = [x]
        for stage in self.stages:
            x = stage(F.avg_pool2d(x, 2))  # averaging, not striding: no checkerboard in the gradient that losses send back
            maps.append(x)
        return maps

    def embed(self, texture: Tensor, visibility: Tensor | None = None) -> Tensor:
        """Unit-length embeddings ``(B, E)``; see `features` for the arguments."""
        last = self.features(texture, visibility)[-1]
        return F.normalize(self.head(F.adaptive_avg_pool2d(last, GRID).flatten(1)), dim=1)

    forward = embed

    @torch.no_grad()
    def _initialise(self, seed: int) -> None:
        rng = torch.Generator().manual_seed(seed)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)) and not module.weight.is_meta:
                fan_in = module.weight[0].numel()
                gain = 1.0 if isinstance(module, nn.Linear) else 1.4  # He et al. 2015, for leaky ReLU
                module.weight.copy_(torch.randn(module.weight.shape, generator=rng) * gain / fan_in**0.5)
                module.bias.zero_()
