"""An encoder that learns beside the generator: phone texture and visibility → w+, in two passes.

Half of the fakes of a training step are reconstructions G(E(x)) of real textures x. The discriminator judges them like
any other fake, and a pixel loss on what was observed ties them to x. On little compute this is what makes G learn: a
reconstruction says where every texel should go, an adversarial loss only that something is wrong. It also gives codes
without optimisation. VAE-GAN: Larsen et al. (ICML 2016); encoders into W+: Richardson et al. (CVPR 2021) and Tov et al.
(TOG 2021), whose penalty on the spread of a code's rows keeps w+ near W; a second pass that sees what the first one
missed: Alaluf et al. (ReStyle, ICCV 2021). The mapping network is in turn drawn towards the cloud of the encoder's
codes, so that random codes fall where G knows faces (see also `rebase`). After the game the encoder is trained on alone
(`inversion.EncoderStage`). The paper we follow does not mention any of it: this is our choice.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from ..image import to_signed
from ..layout import face_mask
from .bands import bands, channels_of_bands
from .discriminator import DiscriminatorBlock
from .generator import Generator, channels_at, check_resolution
from .ops import EqualConv, EqualLinear, channels_last

TAPS = (16, 8, 4)  # sizes of the maps that the code is read from: where a feature lies matters as well as what it is
TAPPED = 2048  # numbers read from each
MISSED = 4.0  # amplifies what a pass still misses, which is small against the colours


class Encoder(ModelMixin, ConfigMixin):
    """Signed texture and visibility → w+; the discriminator's trunk, which also reads `bands`, with another head.

    Args:
        resolution: side of the textures, at least 16. w_dim: length D of a row. hidden: width before the heads.
        channel_base, channel_max: as in the generator.
    Attributes:
        num_ws: rows L of w+.
    Raises:
        InputError: a resolution that is not a power of two.
    """

    @register_to_config
    def __init__(
        self, resolution: int = 64, w_dim: int = 128, channel_base: int = 2048, channel_max: int = 128, hidden: int = 384
    ):
        super().__init__()
        check_resolution(resolution)
        sizes = [2**k for k in range(resolution.bit_length() - 1, 2, -1)]
        channels = [channels_at(size, channel_base, channel_max) for size in (*sizes, 4)]
        self.num_ws = 2 * len(channels)
        self.from_rgb = EqualConv(7 + channels_of_bands(resolution), channels[0], 1)
        self.blocks = nn.Sequential(*(DiscriminatorBlock(a, b) for a, b in zip(channels[:-1], channels[1:], strict=True)))
        taps = [size for size in TAPS if size < resolution]
        self.taps = nn.ModuleDict({str(n): EqualConv(channels_at(n, channel_base, channel_max), TAPPED // n**2, 1) for n in taps})
        self.bottleneck = EqualLinear(TAPPED * len(taps), hidden, activate=True)
        self.common = EqualLinear(hidden, w_dim)  # one w for all rows …
        self.rows = EqualLinear(hidden, self.num_ws * w_dim)  # … and what each row adds to it
        self.correction = EqualLinear(hidden, self.num_ws * w_dim)  # what a second pass adds to the first one's code
        nn.init.zeros_(self.rows.weight)
        nn.init.zeros_(self.correction.weight)

    def forward(
        self, rgb: Tensor, visibility: Tensor | None = None, current: Tensor | None = None, w_plus: Tensor | None = None
    ) -> Tensor:
        """Codes of textures: a first guess, or with ``current`` and ``w_plus`` a better one.

        Args:
            rgb: signed ``(B, 3, H, W)``; what stands in unobserved texels does not matter.
            visibility: ``(B, 1, H, W)`` in [0, 1]; None = all observed.
            current: signed ``(B, 3, H, W)``, the generator's picture of ``w_plus`` ``(B, L, D)``.
        Returns:
            ``(B, L, D)``.
        """
        if visibility is None:
            visibility = torch.ones_like(rgb[:, :1])
        rgb = torch.where(visibility > 0, rgb, torch.zeros_like(rgb))
        masked = rgb * visibility
        missed = torch.zeros_like(masked) if current is None else masked - current.to(masked.dtype) * visibility
        x = torch.cat([masked, visibility, MISSED * missed, bands(rgb, visibility)], 1)
        x = self.from_rgb(channels_last(x.to(self.from_rgb.weight.dtype)))
        read = []
        for block in self.blocks:
            x = block(x)
            if str(x.shape[-1]) in self.taps:
                read.append(self.taps[str(x.shape[-1])](x).flatten(1))
        hidden = self.bottleneck(torch.cat(read, 1))
        if w_plus is not None:
            return w_plus + self.correction(hidden).unflatten(1, (self.num_ws, -1))
        return self.common(hidden)[:, None] + self.rows(hidden).unflatten(1, (self.num_ws, -1))


@torch.no_grad()
def encode(encoder: Encoder, generator: Generator, texture: Tensor, visibility: Tensor, passes: int = 2) -> Tensor:
    """Codes ``(B, L, D)`` of textures ``(B, 3, H, W)`` in [0, 1] at the encoder's resolution.

    Every pass after the first sees what the generator still misses and corrects the code.
    """
    rgb = to_signed(texture)
    w_plus = encoder(rgb, visibility)
    for _ in range(passes - 1):
        w_plus = encoder(rgb, visibility, generator.synthesis(w_plus), w_plus)
    return w_plus


def reconstruction_loss(image: Tensor, target: Tensor, visibility: Tensor, levels: int = 4, face_weight: float = 1.0) -> Tensor:
    """Mean absolute difference over observed texels, averaged over an area pyramid and over its bands; a scalar.

    A level of the pyramid holds all coarser errors too, and next to those an eye is nothing. A band, what a level adds to
    the coarser one (Burt and Adelson 1983), holds its own detail alone.

    Args:
        image, target: signed ``(B, 3, H, W)``. visibility: ``(B, 1, H, W)`` in [0, 1].
        face_weight: how much a texel of the face counts, against the rest.
    """

    def mean(error: Tensor) -> Tensor:
        return error.abs().mean(1).sum() / weight.sum().clamp_min(1e-6)

    weight = visibility * (1 + (face_weight - 1) * face_mask(visibility.shape[-1]).to(visibility))
    difference, errors = (image - target) * weight, []
    for _ in range(levels - 1):
        coarse = F.avg_pool2d(difference, 2)
        errors += [mean(difference), mean(difference - F.interpolate(coarse, scale_factor=2, mode="bilinear"))]
        difference, weight = coarse, F.avg_pool2d(weight, 2)
    return torch.stack([*errors, mean(difference)]).sum() / levels


def sliced_distance(a: Tensor, b: Tensor, rng: torch.Generator, directions: int = 64) -> Tensor:
    """Squared sliced Wasserstein distance of two clouds of as many points (Bonneel et al., JMIV 2015), a scalar.

    Args:
        a, b: ``(N, D)``. rng: a CPU generator, draws the directions.
    """
    along = F.normalize(torch.randn(a.shape[1], directions, generator=rng), dim=0).to(a)
    return ((a @ along).sort(0).values - (b @ along).sort(0).values).square().mean()


def spread(w_plus: Tensor) -> Tensor:
    """Mean squared distance of the rows of w+ from their mean (Tov et al. 2021, L_d-reg); 0 for a code in W."""
    return (w_plus - w_plus.mean(1, keepdim=True)).square().mean()
