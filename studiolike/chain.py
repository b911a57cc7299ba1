"""The chain: phone texture + visibility in, studio-like texture out.

    chain = Chain.released()
    out = chain(texture, visibility)         # out.texture: (B, 3, 512, 512) in [0, 1]

w+ = encoder(phone) → G_studio(w+), both for the mirror image too and then averaged, brought to the person's tone → fusion
with the phone's log gradients → detailer → detail of an exemplar where nothing was seen. No network is tuned to a person.
`pipeline.StudioPipeline` is this chain as users of diffusers know pipelines; what only converts pictures does without it,
as it takes longer to import than the chain takes to run.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

import torch
from diffusers.utils import BaseOutput
from torch import Tensor

from . import weights
from .config import InversionConfig
from .detail import Detailer, complete, counted, detail, fuse, make_scheduler, origin
from .detail.model import upsample
from .errors import InputError, WeightsError
from .image import from_signed, to_signed
from .inversion import Curvature, Inversion, invert, observed_psnr, resize_observed
from .stylegan2 import Encoder, Generator, encode
from .tone import ToneNet
from .tone.translation import face_alone, paint, with_mirrored
from .weights import CHAIN

if TYPE_CHECKING:
    from diffusers import SchedulerMixin

RESOLUTION = 512  # texels of the result, unless another size is asked for


@dataclass
class StudioOutput(BaseOutput):
    """What the pipeline gives back.

    Attributes:
        texture: ``(B, 3, H, W)`` in [0, 1], the detailed studio-like texture.
        studio_lr: ``(B, 3, h, w)`` in [0, 1], G_studio's output in the person's tone, before detailing.
        reconstruction: ``(B, 3, h, w)`` in [0, 1], G_phone's reconstruction of the input.
        w_plus: ``(B, L, D)``, the codes.
        psnr_observed: ``(B,)``, dB, of the reconstruction in observed texels of the face, which is what was encoded.
        origin: ``(B, 3, H, W)`` in [0, 1], whose the detail of each texel is: the phone's, the generator's, an exemplar's.
        seconds: wall time of each stage.
    """

    texture: Tensor
    studio_lr: Tensor
    reconstruction: Tensor
    w_plus: Tensor
    psnr_observed: Tensor
    origin: Tensor
    seconds: dict[str, float] = field(default_factory=dict)

    def to(self, device: torch.device | str) -> StudioOutput:
        """The same with all tensors on ``device``."""
        return StudioOutput(**{name: value.to(device) if torch.is_tensor(value) else value for name, value in self.items()})  # type: ignore[arg-type]


@dataclass(eq=False, repr=False)
class Chain:
    """Phone texture → studio-like texture (encoder, fine-tuned generator, fusion, diffusion detailing).

    Attributes:
        g_phone: generator of phone textures.
        encoder: phone texture to w+. G_studio was trained on its codes: codes optimised further explain light and person by
            directions that it never met, and look worse after translation, though their reconstruction is better.
        g_studio: the fine-tuned generator.
        detailer: conditional diffusion network; None: fusion alone, without steps of the sampler.
        scheduler: a diffusers scheduler with v-prediction, for the detailer.
        curvature: of g_phone, for quasi-Newton steps in `invert`; None: Adam's, of which many more are needed.
        tone: reads how light somebody's skin is; None: G_studio's texture stays as light as it is.
        choice: whose these networks are, where `released` or `chosen` has loaded them.
    """

    g_phone: Generator
    encoder: Encoder
    g_studio: Generator
    detailer: Detailer | None = None
    scheduler: SchedulerMixin | None = None
    curvature: Curvature | None = None
    tone: ToneNet | None = None
    choice: weights.Choice | None = field(default=None, init=False)

    @classmethod
    def released(cls, device: str | torch.device = "cpu", protocol: str = "open", *, detailing: bool = True) -> Self:
        """The chain with the released weights of a protocol.

        Args:
            detailing: whether the detailer is loaded, which only steps of its sampler need.
        Raises:
            WeightsError: they are missing or damaged. ProtocolError: unknown protocol.
        """
        return cls._load(weights.choose(protocol=protocol), device, detailing)

    @classmethod
    def chosen(
        cls,
        which: str | Path | None = None,
        device: str | torch.device = "cpu",
        *,
        protocol: str | None = None,
        detailing: bool = True,
    ) -> Self:
        """The chain of the weights that a user names.

        Args:
            which, protocol: see `weights.choose`; all networks are of one protocol, and what a run has not trained is the
                released network of that protocol. A folder of save_pretrained only `StudioPipeline` reads.
            detailing: as in `released`.
        Raises:
            WeightsError: nothing of that kind is there, or it is damaged. ProtocolError: see `weights.choose`.
        """
        return cls._load(weights.choose(which, protocol), device, detailing)

    @classmethod
    def _load(cls, choice: weights.Choice, device: str | torch.device, detailing: bool) -> Self:
        if choice.protocol is None:
            raise WeightsError(f"'{choice.root}' was written by save_pretrained, which only StudioPipeline reads")
        networks = {
            name: weights.load(name, root=choice.root_of(name), protocol=choice.protocol, device=device)
            for name in needed(detailing)
        }
        made = cls(**networks, scheduler=make_scheduler() if detailing else None)
        made.choice = choice
        return made

    @property
    def device(self) -> torch.device:
        """Where the networks are, and where inputs are brought."""
        return next(self.g_phone.parameters()).device

    def invert(
        self, texture: Tensor, visibility: Tensor, config: InversionConfig | None = None, progress: bool = False
    ) -> Inversion:
        """Codes of ``texture`` ``(B, 3, H, W)`` by optimisation from the encoder's; it is brought to the generator's
        resolution first. The chain itself takes the encoder's codes."""
        texture, visibility = texture.to(self.device), visibility.to(self.device)
        texture, visibility = resize_observed(texture, visibility, self.g_phone.config.resolution)
        start = self.encode(texture, visibility)
        settings = config or InversionConfig()
        return invert(self.g_phone, texture, visibility, settings, start=start, curvature=self.curvature, progress=progress)

    def encode(self, texture: Tensor, visibility: Tensor) -> Tensor:
        """The encoder's codes ``(B, L, D)`` of the faces in textures ``(B, 3, H, W)`` in [0, 1], at any resolution."""
        size = self.g_phone.config.resolution
        low, seen = (x.to(self.device) for x in resize_observed(texture, visibility, size))
        return encode(self.encoder, self.g_phone, *face_alone(low, seen)).float()

    @torch.no_grad()
    def translate(self, w_plus: Tensor) -> Tensor:
        """G_studio's low-resolution texture ``(B, 3, h, w)`` in [0, 1] of codes ``(B, L, D)``, in a tone of its own choice.

        Without noise: what the fixed maps paint belongs to nobody, and fine detail is the next stage's to find."""
        return from_signed(self.g_studio.synthesis(w_plus, "none").float())

    @torch.no_grad()
    def __call__(
        self,
        texture: Tensor,
        visibility: Tensor | None = None,
        *,
        resolution: int = RESOLUTION,
        steps: int = 0,
        guided: bool = True,
        borrow: bool = True,
        keep_tone: bool = False,
        seed: int = 0,
        progress: bool = False,
    ) -> StudioOutput:
        """Translate phone textures.

        Args:
            texture: ``(B, 3, H, W)`` or ``(3, H, W)`` in [0, 1], sRGB, `head` layout.
            visibility: the same without colour; None: everything that is not black was observed.
            resolution: texels of the result; a power of two.
            steps: of the diffusion sampler; 0 is fusion alone, the default: the released detailer is nearer to the truth
                texel by texel, but an independent face network recognises people better without it.
            guided: whether the phone's gradients are looked at.
            borrow: whether texels that nobody saw get the detail of a released exemplar, and lips a line between them, see
                `detail.exemplars`; without, and without guidance, they are the generator's and the detailer's alone.
            keep_tone: for photographs of real people: whether skin stays about as light as the capture shows it and is made a
                little redder; else it is as light as the tone network reads it, see `tone.translation`. Guided, and
                without steps, more of the capture is kept, too, see `detail.fuse` and `detail.counted`.
            seed: of the diffusion noise; the same input and seed give the same output.
        Raises:
            InputError: wrong shape, range or size, or steps of a detailer that was not loaded. WeightsError: what the networks
                give is not finite.
        """
        texture, visibility = check_input(texture, visibility)
        least = self.g_studio.config.resolution
        if resolution & (resolution - 1) or resolution < least:
            raise InputError(f"resolution {resolution} must be a power of two of at least {least}")
        texture, visibility = texture.to(self.device), visibility.to(self.device)
        clock = [time.perf_counter()]
        low, seen = resize_observed(texture, visibility, self.g_phone.config.resolution)
        both = with_mirrored(low, seen)
        codes = self.encode(*both)
        w_plus = codes[: len(low)]
        signed = self.g_phone.synthesis(w_plus).float()
        clock.append(time.perf_counter())
        studio_lr = paint(self.g_studio, self.tone, codes, *both, keep_tone)
        clock.append(time.perf_counter())
        noise = torch.Generator().manual_seed(seed)
        fine, sight = resize_observed(texture, visibility, resolution)
        if keep_tone and guided and not steps:  # a detailer has learnt with visibility as it is
            sight = counted(sight)
        phone = fine, sight
        if steps:
            if self.detailer is None or self.scheduler is None:
                raise InputError("this chain came without its detailer: load it with detailing=True")
            result = detail(self.detailer, studio_lr, *phone, steps, guided, noise, self.scheduler, progress=progress)
        else:
            result = upsample(studio_lr, resolution)
            result = fuse(*phone, result, real=keep_tone) if guided else result
        if guided and borrow:
            result = complete(result, phone[1], weights.exemplars())
        if not (torch.isfinite(studio_lr).all() and torch.isfinite(result).all()):
            raise WeightsError("no finite numbers from the networks: damaged weights, or half precision")
        clock.append(time.perf_counter())
        names = ("encoding", "translation", "detailing")
        seconds = {name: b - a for name, a, b in zip(names, clock, clock[1:], strict=False)}
        return StudioOutput(
            texture=result,
            studio_lr=studio_lr,
            reconstruction=from_signed(signed),
            w_plus=w_plus,
            psnr_observed=observed_psnr(signed, to_signed(low), face_alone(low, seen)[1]),
            origin=origin(phone[1], guided, borrow),
            seconds=seconds,
        )


def needed(detailing: bool) -> list[str]:
    """Released names of the networks that are loaded, with the detailer or without."""
    return [name for name in CHAIN if detailing or name != "detailer"]


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
