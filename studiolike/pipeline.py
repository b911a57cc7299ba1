"""The whole chain as one diffusers pipeline: phone texture + visibility in, studio-like texture out.

    pipe = StudioPipeline.released()
    out = pipe(texture, visibility)          # out.texture: (B, 3, 256, 256) in [0, 1]

w+ = invert(G_phone, phone), started by the encoder → G_studio(w+) → detailer guided by the phone texture's log
gradients. No network is tuned to a person. `from_pretrained`, `save_pretrained`, `push_to_hub` and `.to(device, dtype)` work
as in diffusers: in half precision the networks compute in half, textures and codes stay float32. diffusers looks for classes
in its own package only, so its generic loader must be told where ours is, and that it may be run:

    DiffusionPipeline.from_pretrained(folder, custom_pipeline=folder, trust_remote_code=True)
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler, DiffusionPipeline
from diffusers.utils import BaseOutput
from torch import Tensor

from . import weights
from .config import DetailConfig, InversionConfig
from .detail import Detailer, detail
from .errors import InputError, WeightsError
from .inversion import Curvature, Inversion, invert, resize_observed
from .io import atomic, from_signed, resize
from .stylegan2 import Discriminator, Encoder, Generator, encode

CHAIN = ("g_phone", "d_phone", "encoder", "curvature", "g_studio", "detailer")  # its networks, by their released names


@dataclass
class StudioOutput(BaseOutput):
    """What the pipeline gives back.

    Attributes:
        texture: ``(B, 3, H, W)`` in [0, 1], the detailed studio-like texture.
        studio_lr: ``(B, 3, h, w)`` in [0, 1], G_studio's output before detailing.
        reconstruction: ``(B, 3, h, w)`` in [0, 1], G_phone's reconstruction of the input.
        w_plus: ``(B, L, D)``, the codes.
        psnr_observed: ``(B,)``, dB, of the reconstruction in observed texels.
        seconds: wall time of each stage.
    """

    texture: Tensor
    studio_lr: Tensor
    reconstruction: Tensor
    w_plus: Tensor
    psnr_observed: Tensor
    seconds: dict[str, float] = field(default_factory=dict)

    def to(self, device: torch.device | str) -> StudioOutput:
        """The same with all tensors on ``device``."""
        return StudioOutput(**{name: value.to(device) if torch.is_tensor(value) else value for name, value in self.items()})


class StudioPipeline(DiffusionPipeline):
    """Phone texture → studio-like texture (inversion, few-shot generator, diffusion detailing).

    Args:
        g_phone: generator of phone textures.
        d_phone: its discriminator, whose features can measure distance during inversion (``InversionConfig.features``).
        g_studio: the few-shot fine-tuned generator.
        detailer: conditional diffusion network.
        scheduler: a diffusers scheduler with v-prediction.
        encoder: where the inversion starts; None: at the mean code.
        curvature: of g_phone, for quasi-Newton steps; None: Adam's, of which many more are needed.
    """

    _optional_components = ["encoder", "curvature"]

    def __init__(
        self,
        g_phone: Generator,
        d_phone: Discriminator,
        g_studio: Generator,
        detailer: Detailer,
        scheduler: DDIMScheduler,
        encoder: Encoder | None = None,
        curvature: Curvature | None = None,
    ):
        super().__init__()
        self.register_modules(
            g_phone=g_phone,
            d_phone=d_phone,
            g_studio=g_studio,
            detailer=detailer,
            scheduler=scheduler,
            encoder=encoder,
            curvature=curvature,
        )

    @classmethod
    def released(cls, device: str | torch.device = "cpu") -> StudioPipeline:
        """The pipeline with the released weights. Raises `WeightsError` if they are missing or damaged."""
        from .detail import make_scheduler

        networks = {name: weights.load(name, device=device) for name in CHAIN}
        return cls(**networks, scheduler=make_scheduler())

    @classmethod
    def chosen(cls, which: str | Path | None = None, device: str | torch.device = "cpu") -> StudioPipeline:
        """The pipeline of the weights that a user names.

        Args:
            which: None: the released weights. A protocol with released weights of its own, ``"few"`` or ``"open"``. A folder
                that `save_pretrained` wrote. A run of ``studiolike train`` (or its ``networks`` folder); what it has not trained
                is the released network.
        Raises:
            WeightsError: nothing of that kind is there, or it is damaged.
        """
        from .detail import make_scheduler

        if which is None:
            return cls.released(device)
        folder = Path(which)
        if (folder / "model_index.json").is_file():
            try:
                return cls.from_pretrained(str(folder)).to(device)
            except Exception as error:  # diffusers raises many kinds
                raise WeightsError(f"cannot load {folder}: {str(error).splitlines()[0]}") from error
        roots = [folder / "networks", folder, weights.weights_dir() / folder]
        own = {name: root for root in reversed(roots) for name in CHAIN if (root / name / weights.FILE).is_file()}
        if not own:
            raise WeightsError(
                f"no weights in '{which}': name a folder with model_index.json (written by save_pretrained), a run of "
                "studiolike train, or a protocol with released weights"
            )
        return cls(**{name: weights.load(name, root=own.get(name), device=device) for name in CHAIN}, scheduler=make_scheduler())

    def save_pretrained(self, save_directory: str | os.PathLike, **options: Any) -> None:
        """Write all networks, and the line of code that the generic loader asks for (see the top of this file)."""
        super().save_pretrained(save_directory, **{"safe_serialization": True} | options)
        with atomic(Path(save_directory) / "pipeline.py") as temporary:
            temporary.write_text(f"from {type(self).__module__} import {type(self).__name__}  # noqa: F401\n")

    def enable_model_cpu_offload(self, *_: Any, **__: Any) -> None:
        """Not offered: diffusers fetches a network when its ``forward`` is called, and generators are asked by other methods.

        Raises:
            InputError: always.
        """
        size = sum(m.get_memory_footprint() for m in self.components.values() if hasattr(m, "get_memory_footprint"))
        raise InputError(f"there is nothing to gain from offloading {size / 2**20:.0f} MB of networks: use pipe.to('cuda')")

    enable_sequential_cpu_offload = enable_model_cpu_offload

    def invert(
        self, texture: Tensor, visibility: Tensor, config: InversionConfig | None = None, progress: bool = False
    ) -> Inversion:
        """Codes of ``texture`` ``(B, 3, H, W)``; it is brought to the generator's resolution first."""
        texture, visibility = resize_observed(texture, visibility, self.g_phone.config.resolution)
        return invert(
            self.g_phone,
            texture,
            visibility,
            config or InversionConfig(),
            feature_net=self.d_phone,
            start=self.encode(texture, visibility),
            curvature=self.curvature,
            progress=progress,
        )

    def encode(self, texture: Tensor, visibility: Tensor) -> Tensor | None:
        """The encoder's codes ``(B, L, D)`` of textures in [0, 1] at the generator's resolution; None without an encoder."""
        return None if self.encoder is None else encode(self.encoder, self.g_phone, texture, visibility)

    @torch.no_grad()
    def translate(self, w_plus: Tensor) -> Tensor:
        """G_studio's low-resolution texture ``(B, 3, h, w)`` in [0, 1] of codes ``(B, L, D)``.

        Without noise: what the fixed maps paint belongs to nobody, and fine detail is the next stage's to find."""
        return from_signed(self.g_studio.synthesis(w_plus, "none").float())

    def __call__(
        self,
        texture: Tensor,
        visibility: Tensor | None = None,
        *,
        resolution: int = DetailConfig.resolution,
        inversion: InversionConfig | None = None,
        steps: int = DetailConfig.sample_steps,
        guidance: float = DetailConfig.guidance,
        seed: int = 0,
        progress: bool = False,
    ) -> StudioOutput:
        """Translate phone textures.

        Args:
            texture: ``(B, 3, H, W)`` or ``(3, H, W)`` in [0, 1], sRGB, `head` layout.
            visibility: the same without colour; None: everything that is not black was observed.
            resolution: texels of the result; a power of two.
            inversion: settings of the inversion.
            steps, guidance: of the diffusion sampler; ``guidance`` 0 ignores the phone's gradients.
            seed: of the diffusion noise; the same input and seed give the same output.
        Raises:
            InputError: wrong shape, range or size.
        """
        texture, visibility = check_input(texture, visibility)
        if resolution & (resolution - 1) or resolution < self.g_studio.config.resolution:
            raise InputError(f"resolution {resolution} must be a power of two of at least {self.g_studio.config.resolution}")
        texture, visibility = texture.to(self.device), visibility.to(self.device)
        clock = [time.perf_counter()]
        inverted = self.invert(texture, visibility, inversion, progress)
        clock.append(time.perf_counter())
        studio_lr = self.translate(inverted.w_plus)
        clock.append(time.perf_counter())
        noise = torch.Generator().manual_seed(seed)
        result = detail(
            self.detailer,
            studio_lr,
            resize(texture, resolution),
            resize(visibility, resolution),
            steps=steps,
            guidance_scale=guidance,
            generator=noise,
            scheduler=self.scheduler,
        )
        clock.append(time.perf_counter())
        names = ("inversion", "translation", "detailing")
        seconds = {name: b - a for name, a, b in zip(names, clock, clock[1:], strict=False)}
        return StudioOutput(
            texture=result,
            studio_lr=studio_lr,
            reconstruction=inverted.reconstruction,
            w_plus=inverted.w_plus,
            psnr_observed=inverted.psnr_observed,
            seconds=seconds,
        )


def check_input(texture: Tensor, visibility: Tensor | None) -> tuple[Tensor, Tensor]:
    """Batch, validate and complete a texture and its visibility. Raises `InputError` with what is wrong."""
    texture = texture[None] if texture.ndim == 3 else texture
    if texture.ndim != 4 or texture.shape[1] != 3 or texture.shape[-1] != texture.shape[-2]:
        raise InputError(f"a texture must be (B, 3, N, N), this is {tuple(texture.shape)}")
    if texture.shape[-1] < 32 or texture.shape[-1] & (texture.shape[-1] - 1):
        raise InputError(f"textures must be a power of two wide and at least 32, not {texture.shape[-1]}: resize first")
    if not torch.isfinite(texture).all() or texture.min() < -1e-3 or texture.max() > 1 + 1e-3:
        raise InputError("texture values must lie in [0, 1]")
    if visibility is None:
        visibility = (texture.amax(1, keepdim=True) > 2 / 255).float()
    visibility = visibility[None] if visibility.ndim == 3 else visibility
    if visibility.shape != (texture.shape[0], 1, *texture.shape[-2:]):
        raise InputError(f"visibility must be {(texture.shape[0], 1, *texture.shape[-2:])}, this is {tuple(visibility.shape)}")
    if visibility.max() <= 0:
        raise InputError("nothing is observed: the visibility map is empty")
    return texture.float().clamp(0, 1), visibility.float().clamp(0, 1)
