"""Laboratory of chapter 6: the chain and its rivals on the split "test", one head under many lights, a shadow in doses.

The only laboratory that reads the split "test".
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .. import config, evaluation, layout, recipes, synth, weights
from ..chain import StudioOutput
from ..config import Profile
from ..detail.exemplars import closed_form
from ..evaluation import EvaluationTable, StudioReference
from ..image import linear_to_srgb, srgb_to_linear
from ..pipeline import StudioPipeline

if TYPE_CHECKING:
    from ..synth import TextureSet

DOSES = (1.0, 0.5, 0.25, 0.1)  # what is left of the light in the shadow


@dataclass(frozen=True)
class Lights:
    """One subject under several lights, from mild to severe.

    Attributes:
        results: ``(V, 3, H, W)`` by method. truth: ``(3, H, W)``. severity: ``(V,)``. face: mask of the face that every
            capture saw. head: the subject itself. left: variance over lights ÷ the input's, by method. subject: its row.
    """

    results: dict[str, Tensor]
    truth: Tensor
    severity: Tensor
    face: Tensor
    head: synth.Subjects
    left: dict[str, float]
    subject: int


@dataclass(frozen=True)
class Shadow:
    """A true texture, one half of it darkened by a hard edge, in doses.

    Attributes:
        inputs, answers: ``(D, 3, H, W)``. asymmetry: of both ``(D,)``. psnr: of the answers ``(D,)``.
    """

    inputs: Tensor
    answers: Tensor
    asymmetry: tuple[Tensor, Tensor]
    psnr: Tensor


class Examination:
    """The chain under the protocol "few", the one under "open", and rivals, on people that nobody has looked at.

    Attributes:
        rows, people: captures and subjects of the split "test". reference: what the simple rivals know. result: what the chain
            made of every capture, once `run_all` has run.
    """

    def __init__(self, settings: Profile, data: TextureSet, device: str = "cpu"):
        self.settings, self.data, self.device = settings, data, device
        self.rows, self.people = data.captures("test"), data.subjects("test")
        self.reference = StudioReference.from_set(data)
        self.pipes = {protocol: StudioPipeline.released(device, protocol=protocol) for protocol in ("few", "open")}
        self._kept: list[StudioOutput] = []

    def nobody_looked(self) -> bool:
        """Whether no subject of the split "test" is in a set that trainings read or settings are chosen on."""
        profiles = (self.settings, config.profile("cpu"))
        looked_at = [recipes.set_spec(p.data, detailed).seeds() for p in profiles for detailed in (False, True)]
        return not torch.isin(self.data.seeds[self.people], torch.cat(looked_at)).any()

    def run(self, texture: Tensor, visibility: Tensor, protocol: str = "few") -> StudioOutput:
        """The whole chain, detailer included, at the resolution of the set."""
        options = {"resolution": self.data.resolution, "steps": self.settings.detail.sample_steps}
        return self.pipes[protocol](texture, visibility, **options).to("cpu")

    def run_all(self, path: str | Path) -> EvaluationTable:
        """Every method on every capture; the table is also saved as JSON."""
        methods = evaluation.bound(self.reference) | {
            "chain": self._chain,
            "generator": lambda *_: self._kept[-1].studio_lr,
            "fusion": self._fusion,
            "chain (open)": lambda texture, visibility: self.run(texture, visibility, "open").texture,
        }
        self._kept.clear()
        net = weights.load("identity_eval", device=self.device)
        table = evaluation.evaluate(methods, self.data, self.rows, eval_net=net, batch=16, device=self.device)
        table.to_json(path)
        return table

    def _chain(self, texture: Tensor, visibility: Tensor) -> Tensor:
        self._kept.append(self.run(texture, visibility))  # the generator and the fusion are asked right after it
        return self._kept[-1].texture

    def _fusion(self, texture: Tensor, visibility: Tensor) -> Tensor:
        return closed_form(texture, visibility, self._kept[-1].studio_lr.to(texture), None)

    @property
    def result(self) -> Tensor:
        """What the chain made of every capture ``(N, 3, H, W)``."""
        return torch.cat([out.texture for out in self._kept])

    def many_lights(self, lights: int = 5) -> Lights:
        """The subject of the middle skin tone under several lights, by nothing, the quotient and the chain."""
        lights = min(lights, len(self.people))
        chosen = self.people[self.data.tone[self.people].argsort()[len(self.people) // 2]]
        head = synth.synthesise_subjects(self.data.seeds[chosen][None], self.data.resolution)
        shots = synth.phone_capture(head[torch.zeros(lights, dtype=torch.long)], torch.arange(lights))
        order = shots.severity.argsort()
        texture, visibility = shots.texture[order], shots.visibility[order]
        results = {
            "phone": texture,
            "quotient": evaluation.quotient(texture, visibility, self.reference),
            "chain": self.run(texture, visibility).texture,
        }
        face = layout.region_mask("face", self.data.resolution) * visibility.amin(0)
        same, mask = torch.zeros(lights, dtype=torch.long), face.expand(lights, 1, -1, -1)
        left = {name: evaluation.variance_ratio(x, texture, same, mask)[0].item() for name, x in results.items()}
        truth = self.data.studio_batch(chosen[None])[0]
        return Lights(results, truth, shots.severity[order], face, head, left, int(chosen))

    def shadow(self, truth: Tensor) -> Shadow:
        """Darken one half of a true texture ``(3, H, W)`` by a hard edge, more and more, and hide nothing else."""
        size = self.data.resolution
        side = torch.sigmoid((layout.texel_uv(size)[..., 0] - 0.5) * 120).view(1, 1, size, size)
        strength = torch.tensor(DOSES).view(-1, 1, 1, 1)
        inputs = linear_to_srgb(srgb_to_linear(truth[None]) * (1 - side + side * strength)).clamp(0, 1)
        answers = self.run(inputs, torch.ones_like(inputs[:, :1])).texture
        face = layout.region_mask("face", size)[None].expand(len(DOSES), -1, -1, -1)
        uneven = evaluation.asymmetry(inputs, face), evaluation.asymmetry(answers, face)
        return Shadow(inputs, answers, uneven, evaluation.psnr(answers, truth[None].expand_as(answers), face))
