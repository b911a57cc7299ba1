"""The detailer: a small conditional diffusion model that repairs what fusion cannot know.

`fusion` puts the phone's detail on the generator's light. What is wrong with the result is the *residual* to the true
texture: edges of cast shadows and highlights that came along with the phone's gradients, light that the generator got wrong,
holes that it painted without detail, texels blurred at grazing angles. The detailer draws that residual, conditioned on the
fused texture, on the generator's, on the phone's log gradients and where they can be trusted, on the relief of the light that
fusion took away (where it falls off steeply, a shadow ends), and on the place in the map.
It predicts velocity (Salimans & Ho, ICLR 2022) of the residual scaled to unit variance, under a schedule with zero terminal
signal-to-noise ratio (Lin et al., WACV 2024).

Most of a residual's power is in its coarse luma; fine bands and chroma hold a hundredth of it. So the network is
preconditioned band by band as in EDM (Karras et al., NeurIPS 2022), in 2×2 Haar bands of luma and chroma: the best
linear guess of each band (the Wiener filter) is built in, and the network learns what is left, at unit scale. This
saves the first thousand steps of training, which would go into learning to pass noise through.

The network is diffusers' `UNet2DModel` without attention, so it trains on crops and runs at any size. It
works on 2×2 blocks of texels stacked into channels (space to depth), which makes it four times cheaper.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from diffusers import ModelMixin
from diffusers.configuration_utils import ConfigMixin, register_to_config
from torch import Tensor

from ..config import GROUPS
from ..errors import InputError
from ..image import to_signed
from .fusion import fuse, relief
from .guidance import gradients, normalise

if TYPE_CHECKING:  # fusion must not wait for what only sampling needs
    from diffusers import DDIMScheduler, DPMSolverMultistepScheduler

CONDITIONS = 3 + 3 + 2 + 1 + 2  # fused texture, generator's texture, gradients, trust, uv
RELIEF = 3  # and the relief of the light
SCHEDULERS = ("ddim", "dpm++")


def make_scheduler(kind: str = "ddim") -> DDIMScheduler | DPMSolverMultistepScheduler:
    """The one noise schedule of training and sampling, as a diffusers scheduler.

    Cosine betas (Nichol & Dhariwal 2021) rescaled so that the last step is pure noise, and trailing time
    steps so that sampling really starts there (Lin et al., WACV 2024).

    Args:
        kind: ``"ddim"`` or ``"dpm++"`` (2M).
    Raises:
        InputError: unknown kind.
    """
    from diffusers import DDIMScheduler, DPMSolverMultistepScheduler

    if kind not in SCHEDULERS:
        raise InputError(f"unknown sampler {kind!r}; use one of {', '.join(SCHEDULERS)}")
    common = dict(
        num_train_timesteps=1000,
        beta_schedule="squaredcos_cap_v2",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
    )
    if kind == "ddim":
        return DDIMScheduler(**common, clip_sample=False, set_alpha_to_one=True)
    return DPMSolverMultistepScheduler(**common, algorithm_type="dpmsolver++", solver_order=2, final_sigmas_type="zero")


@lru_cache(1)
def _alphas_cumprod() -> Tensor:
    return make_scheduler().alphas_cumprod


def upsample(low: Tensor, size: int) -> Tensor:
    """Bicubic enlargement ``(B, C, h, w)`` → ``(B, C, size, size)``, clamped to [0, 1]."""
    return F.interpolate(low, (size, size), mode="bicubic", align_corners=False).clamp(0, 1)


def haar_matrix() -> Tensor:
    """Orthonormal ``(12, 12)`` map from the stacked texels of a 2×2 RGB block to (luma, 2 chroma) × 4 Haar bands.

    Rows: luma mean, luma horizontal, vertical and diagonal difference, then the same for two chroma axes. Columns: in
    the order of `torch.nn.functional.pixel_unshuffle`.
    """
    colour = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, -1.0], [0.5, -1.0, 0.5]])
    haar = torch.tensor([[1.0, 1.0, 1.0, 1.0], [1.0, -1.0, 1.0, -1.0], [1.0, 1.0, -1.0, -1.0], [1.0, -1.0, -1.0, 1.0]])
    return torch.kron(F.normalize(colour, dim=1), haar / 2)


def haar(x: Tensor) -> Tensor:
    """``(B, 3, H, W)``, even sides, → its ``(B, 12, H/2, W/2)`` luma and chroma Haar bands; orthonormal."""
    return torch.einsum("ij,bjhw->bihw", haar_matrix().to(x), F.pixel_unshuffle(x, 2))


def unhaar(x: Tensor) -> Tensor:
    """The inverse of `haar`."""
    return F.pixel_shuffle(torch.einsum("ji,bjhw->bihw", haar_matrix().to(x), x), 2)


def precondition(signal: Tensor, sigma: Tensor, power: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Scales (input, skip, output) for predicting v of a zero-mean band of variance ``power`` (ρ).

    With x_t = a·x₀ + s·ε, the state has variance d = a²ρ + s²; the best linear guess of v = a·ε − s·x₀ is
    ``a·s·(1 − ρ)/d · x_t``, and what it leaves has variance ρ/d. All finite at a = 0 and at s = 0.

    Args:
        signal, sigma, power: broadcastable; a, s and ρ.
    """
    total = signal**2 * power + sigma**2
    return total.rsqrt(), signal * sigma * (1 - power) / total, (power / total).sqrt()


def uv_channels(texture: Tensor) -> Tensor:
    """Centres of a texture's texels as channels ``(B, 2, H, W)`` in [-1, 1], of its type: u to the right, v down."""
    height, width = texture.shape[-2:]
    v = (torch.arange(height, device=texture.device) + 0.5) / height * 2 - 1
    u = (torch.arange(width, device=texture.device) + 0.5) / width * 2 - 1
    return torch.stack([u.expand(height, width), v[:, None].expand(height, width)]).to(texture).expand(len(texture), -1, -1, -1)


class Detailer(ModelMixin, ConfigMixin):
    """Conditional UNet that predicts the velocity of the scaled residual.

    Args:
        channels: width of each level; the first works at half the texture's resolution.
        layers: residual blocks per level.
        groups: GroupNorm groups; must divide every width.
        resolution: side of the textures that it was trained with, and that it works at.
        residual_scale: standard deviation of the residuals in the training data; divides them to unit variance.
        band_power: variance of the scaled residual in each of the 12 `haar`; ones switch the linear guess off.
        gradient_kind: ``"log"`` or ``"raw"``, see `guidance.gradients`.
        gradient_scale: unit of the gradient channels before compression, per texel.
        border: texels by which holes grow.
        relief: whether the network sees the relief of the light that fusion took away.
    """

    @register_to_config
    def __init__(
        self,
        channels: tuple[int, ...] = (48, 64, 96),
        layers: int = 1,
        groups: int = GROUPS,
        resolution: int = 256,
        residual_scale: float = 0.05,
        band_power: tuple[float, ...] = (1.0,) * 12,
        gradient_kind: str = "log",
        gradient_scale: float = 0.03,
        border: int = 3,
        relief: bool = True,
    ):
        from diffusers import UNet2DModel

        super().__init__()
        self.unet = UNet2DModel(
            in_channels=4 * (3 + CONDITIONS + RELIEF * relief),
            out_channels=4 * 3,
            block_out_channels=tuple(channels),
            layers_per_block=layers,
            down_block_types=("DownBlock2D",) * len(channels),
            up_block_types=("UpBlock2D",) * len(channels),
            norm_num_groups=groups,
            add_attention=False,
        )
        torch.nn.init.zeros_(self.unet.conv_out.weight)  # start from "no detail" instead of random detail
        torch.nn.init.zeros_(self.unet.conv_out.bias)

    def base(self, phone: Tensor, visibility: Tensor, studio: Tensor, guided: Tensor | bool = True) -> Tensor:
        """The texture that the residual is added to: `fuse`, or where not ``guided`` ``(B,)`` the generator's alone."""
        guided = torch.as_tensor(guided, device=phone.device).expand(len(phone)).view(-1, 1, 1, 1)
        return torch.where(guided, fuse(phone, visibility, studio), studio)

    def conditions(self, phone: Tensor, visibility: Tensor, studio: Tensor, base: Tensor, guided: Tensor | bool = True) -> Tensor:
        """All that the network sees beside the noisy residual, as one ``(B, 14, H, W)`` tensor (11 without
        the relief).

        Args:
            phone: ``(B, 3, H, W)`` in [0, 1], of which only what no exposure and no white balance changes is used: the
                gradients, and the relief of the light that fusion took away. visibility: ``(B, 1, H, W)``.
            studio: the generator's texture, enlarged, ``(B, 3, H, W)`` in [0, 1].
            base: see `base`.
            guided: where false, ``(B,)``, gradients, trust and relief are zero: the network is told nothing of the phone.
        """
        field, trust = gradients(phone, visibility, self.config.gradient_kind, self.config.border)
        keep = torch.as_tensor(guided, device=phone.device).expand(len(phone)).view(-1, 1, 1, 1).to(phone)
        told = torch.cat([normalise(field, self.config.gradient_scale), trust], 1) * keep
        light = [relief(phone, visibility, base) * keep] if self.config.relief else []
        return torch.cat([to_signed(base), to_signed(studio), told, uv_channels(phone), *light], 1)

    def forward(self, noisy: Tensor, timestep: Tensor | int, conditions: Tensor) -> Tensor:
        """Velocity ``(B, 3, H, W)`` of the scaled residual.

        Args:
            noisy: ``(B, 3, H, W)``, the noisy scaled residual; any H and W.
            timestep: int or ``(B,)`` in 0…999.
            conditions: ``(B, 14, H, W)`` from `conditions`.
        """
        batch, _, height, width = noisy.shape
        step = 2 ** len(self.config.channels)
        pad = (0, -width % step, 0, -height % step)
        if any(pad):
            noisy, conditions = F.pad(noisy, pad, "replicate"), F.pad(conditions, pad, "replicate")
        time = torch.as_tensor(timestep, device=noisy.device).long().expand(batch)
        alphas = _alphas_cumprod().to(noisy.device, torch.float32)[time].view(-1, 1, 1, 1)
        power = noisy.new_tensor(self.config.band_power).view(1, -1, 1, 1)
        scale_in, skip, scale_out = precondition(alphas.sqrt(), (1 - alphas).sqrt(), power)
        state = haar(noisy)
        x = torch.cat([state * scale_in, F.pixel_unshuffle(conditions, 2)], 1)
        x = x.to(self.dtype).contiguous(memory_format=torch.channels_last)
        learned = self.unet(x, time).sample.to(noisy.dtype)
        return unhaar(skip * state + scale_out * learned)[..., :height, :width]
