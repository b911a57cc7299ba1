"""The whole chain as one diffusers pipeline: phone texture + visibility in, studio-like texture out.

    pipe = StudioPipeline.released()
    out = pipe(texture, visibility)          # out.texture: (B, 3, 512, 512) in [0, 1]

What it computes is in `chain`. `from_pretrained`, `save_pretrained`, `push_to_hub` and `.to(device, dtype)` work as in
diffusers: in half precision the networks compute in half, textures and codes stay float32. diffusers looks for classes in
its own package only, so its generic loader must be told where ours is, and that it may be run:

    DiffusionPipeline.from_pretrained(folder, custom_pipeline=folder, trust_remote_code=True)
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Self

import torch
from diffusers import DiffusionPipeline, SchedulerMixin

from . import weights
from .chain import Chain
from .detail import Detailer
from .errors import InputError, WeightsError
from .inversion import Curvature
from .io import usual_permissions, write_text
from .stylegan2 import Encoder, Generator
from .tone import ToneNet
from .weights import refuse_damaged


class StudioPipeline(Chain, DiffusionPipeline):
    """Phone texture → studio-like texture, as a pipeline of diffusers.

    Args:
        g_phone, encoder, g_studio, detailer, scheduler, curvature, tone: as `chain.Chain` holds them.
    """

    _optional_components = ["detailer", "scheduler", "curvature", "tone"]

    def __init__(
        self,
        g_phone: Generator,
        encoder: Encoder,
        g_studio: Generator,
        detailer: Detailer | None = None,
        scheduler: SchedulerMixin | None = None,
        curvature: Curvature | None = None,
        tone: ToneNet | None = None,
    ):
        DiffusionPipeline.__init__(self)  # which, other than the chain's, registers what it is given
        self.register_modules(
            g_phone=g_phone,
            encoder=encoder,
            g_studio=g_studio,
            detailer=detailer,
            scheduler=scheduler,
            curvature=curvature,
            tone=tone,
        )

    @classmethod
    def _load(cls, choice: weights.Choice, device: str | torch.device, detailing: bool) -> Self:
        """As the chain's, and from a folder that `save_pretrained` wrote."""
        if choice.protocol is not None:
            return super()._load(choice, device, detailing)
        left_out = {} if detailing else {"detailer": None, "scheduler": None}
        try:
            made = cls.from_pretrained(str(choice.root), **left_out).to(device)
        except Exception as error:  # diffusers raises many kinds
            raise WeightsError(f"cannot load {choice.root}: {str(error).splitlines()[0]}") from error
        made.choice = choice
        return made

    @classmethod
    def from_pretrained(cls, folder: str | os.PathLike, **options: Any) -> Self:
        """As in diffusers. Raises `WeightsError` where a weight is no finite number."""
        pipe = super().from_pretrained(folder, **options)
        for name, network in pipe.components.items():
            if isinstance(network, torch.nn.Module):
                refuse_damaged(network, f"{name} of {folder}")
        return pipe

    def save_pretrained(self, save_directory: str | os.PathLike, **options: Any) -> None:
        """Write all networks, and the line of code that the generic loader asks for (see the top of this file)."""
        super().save_pretrained(save_directory, **{"safe_serialization": True} | options)
        usual_permissions(*Path(save_directory).rglob("*.safetensors"))
        code = f"from {type(self).__module__} import {type(self).__name__}  # noqa: F401\n"
        write_text(Path(save_directory) / "pipeline.py", code)

    def enable_model_cpu_offload(self, *_: Any, **__: Any) -> None:
        """Not offered: diffusers fetches a network when its ``forward`` is called, and generators are asked by other methods.

        Raises:
            InputError: always.
        """
        size = sum(m.get_memory_footprint() for m in self.components.values() if hasattr(m, "get_memory_footprint"))
        raise InputError(f"there is nothing to gain from offloading {size / 2**20:.0f} MB of networks: use pipe.to('cuda')")

    enable_sequential_cpu_offload = enable_model_cpu_offload
