"""What every step of `train` is given: settings, sets, networks of earlier steps, and where its own go."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from .. import weights
from ..config import Profile
from ..json_files import read_json
from ..training import processes
from .sets import make_set
from .sizes import another_size

if TYPE_CHECKING:
    from accelerate import PartialState

    from ..inversion import CodeBank
    from ..synth import TextureSet


@dataclasses.dataclass
class Context:
    """What every training step needs: settings, the folder of runs, and whether to release."""

    profile: Profile
    runs: Path
    release: bool
    warm: bool
    device: str | None
    seed: int
    progress: bool
    studio: Path | None = None

    @property
    def processes(self) -> PartialState:
        return processes(self.device)

    def set_of(self, detailed: bool) -> TextureSet:
        with self.processes.main_process_first():  # the others open what it wrote
            return make_set(
                self.profile.data, self.runs.parent / "data", detailed=detailed, device=self.data_device, progress=self.progress
            )

    @property
    def data(self) -> TextureSet:
        return self.set_of(detailed=False)

    @property
    def detailed(self) -> TextureSet:
        return self.set_of(detailed=True)

    @property
    def data_device(self) -> str:
        return str(self.processes.device)

    @property
    def options(self) -> dict[str, Any]:
        return {"seed": self.seed, "device": self.device, "progress": self.progress}

    def network(self, name: str, protocol: str = "open") -> nn.Module:
        """A network of an earlier stage: from this profile's runs, else the released one."""
        own = self.runs / "networks"
        there = (weights.folder_of(name, protocol, own) / weights.FILE).is_file()
        return weights.load(name, protocol=protocol, root=own if there else None)

    def has(self, name: str) -> bool:
        """Whether there is such a network, own or released."""
        return any((root / name / weights.FILE).is_file() for root in (self.runs / "networks", weights.weights_dir()))

    def start(self, name: str, model: nn.Module) -> dict[str, Any]:
        """Put the released weights into ``model`` if that is wanted; returns what the card should say.

        Raises:
            ProfileError: they are of another size. WeightsError: there are none.
        """
        if not self.warm:
            return {}
        try:
            model.load_state_dict(weights.load(name).state_dict())
        except RuntimeError as error:
            raise another_size(name, self.profile) from error
        before = weights.read_card(name)
        return {"started_from": {k: before.get(k) for k in ("data", "images", "seed", "commit", "started_from")}}

    def keep(
        self,
        model: nn.Module,
        name: str,
        data: TextureSet,
        metrics: dict[str, float],
        run: str | None = None,
        extra: dict[str, Any] | None = None,
        protocol: str = "open",
    ) -> None:
        """Store a trained network for the next stages, and release it if asked."""
        record = self.runs / (run or name) / "record.json"
        try:
            facts = read_json(record)
        except (OSError, ValueError):  # none, or one that was damaged since: the card then has less to tell
            facts = {}
        card = {
            "profile": self.profile.name,
            "data": f"synthetic heads, generator {data.manifest['generator']}, "
            f"{len(data.phone)} phone textures of {len(data.studio)} subjects at {data.resolution}²",
            **{key: facts.get(key) for key in ("images", "seconds", "seed", "device", "commit", "torch", "settings")},
            "metrics": {k: round(float(v), 5) for k, v in {**facts.get("metrics", {}), **metrics}.items()},
            **(extra or {}),
        }
        with self.processes.main_process_first():  # the next stage reads it, in every process
            if self.processes.is_main_process:
                weights.release(model, name, card, self.runs / "networks", protocol)
                if self.release:
                    weights.release(model, name, card, protocol=protocol)

    def bank(self, g_phone: nn.Module, d_phone: nn.Module, data: TextureSet, rows: Tensor, name: str) -> CodeBank:
        """Codes of some captures, inverted once and kept."""
        from ..inversion import build_bank

        device = self.data_device
        encoder, curvature = (self.network(n).to(device) if self.has(n) else None for n in ("encoder", "curvature"))
        with self.processes.main_process_first():
            return build_bank(
                g_phone.to(device),
                data,
                rows,
                self.profile.inversion,
                self.runs / f"{name}.safetensors",
                feature_net=d_phone.to(device),
                encoder=encoder,
                curvature=curvature,
                progress=self.progress,
                overwrite=True,
            )
