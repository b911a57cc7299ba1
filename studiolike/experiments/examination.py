"""Laboratory of chapter 6: the chain and its rivals on the split "test", one head under many lights, a shadow in doses.

The only laboratory that reads the split "test".
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from .. import config, evaluation, layout, recipes, synth, weights
from ..avatar import HeadMesh, head_mesh
from ..chain import StudioOutput
from ..config import Profile
from ..detail.exemplars import closed_form
from ..evaluation import EvaluationTable, StudioReference
from ..evaluation.masked import channel_means
from ..image import linear_to_srgb, srgb_to_linear
from ..pipeline import StudioPipeline

if TYPE_CHECKING:
    from ..synth import TextureSet

DOSES = (1.0, 0.5, 0.25, 0.1)  # what is left of the light in the shadow
BATCH = 16  # captures that are judged at a time
SHADED = 12  # people at most on whom the shadow is cast
OFF = "asymmetry/off truth"  # how far a result's asymmetry is from the truth's own, which hair and pigment make


@dataclass(frozen=True)
class Lights:
    """One subject under several lights, from mild to severe.

    Attributes:
        results: ``(V, 3, H, W)`` by method. truth: ``(3, H, W)``. severity: ``(V,)``. face: mask of the face that every
            capture saw. left: variance over lights ÷ the input's, by method. level: which share of what is left is a mean colour
            of the face that moves as a whole; the rest is pattern.
    """

    results: dict[str, Tensor]
    truth: Tensor
    severity: Tensor
    face: Tensor
    left: dict[str, float]
    level: dict[str, float]


@dataclass(frozen=True)
class Shadow:
    """True textures of ``P`` people, one half of each darkened by a hard edge, in ``D`` doses.

    Attributes:
        inputs, answers: ``(D, 3, H, W)``, of the first of them. asymmetry: of all inputs and of all answers, ``(P, D)`` each.
        psnr: of the answers to the truth, over the face, and after a gain fit, ``(P, D)`` each.
    """

    inputs: Tensor
    answers: Tensor
    asymmetry: tuple[Tensor, Tensor]
    psnr: tuple[Tensor, Tensor]


class Examination:
    """The chain under the protocol "few", the one under "open", and rivals, on people that nobody has looked at.

    Attributes:
        rows, people: captures and subjects of the split "test". reference: what the simple rivals know.
        result, truth, strangers: once `run_all` has run: what the chain made of every capture; the table of the true textures
            themselves; identity cosines of the true textures of any two different people.
    """

    truth: EvaluationTable
    strangers: np.ndarray

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
        judged = {"eval_net": net, "batch": BATCH, "device": self.device}
        table = evaluation.evaluate(methods, self.data, self.rows, **judged)
        subjects = iter(torch.as_tensor(self.data.subject)[self.rows].split(BATCH))
        ideal = {"truth": lambda *_: self.data.studio_batch(next(subjects), self.device)}
        self.truth = evaluation.evaluate(ideal, self.data, self.rows, regions=("face",), **judged)
        for columns in table.values.values():
            columns[OFF] = np.abs(columns["asymmetry"] - self.truth.values["truth"]["asymmetry"])
        for name in ("generator", "fusion"):  # they began with what the chain had made for them
            table.values[name]["seconds"] += self._before()
        faces = net.embed(self.data.studio_batch(self.people, self.device)).detach().cpu()
        self.strangers = (faces @ faces.T).numpy()[np.triu_indices(len(faces), 1)]
        table.to_json(path)
        return table

    def _before(self) -> np.ndarray:
        """Seconds that the chain took for each capture until the generator's texture was there, ``(N,)``."""
        stages = ("encoding", "translation")
        return np.concatenate(
            [np.full(len(out.texture), sum(out.seconds[s] for s in stages) / len(out.texture)) for out in self._kept]
        )

    def _chain(self, texture: Tensor, visibility: Tensor) -> Tensor:
        self._kept.append(self.run(texture, visibility))  # the generator and the fusion are asked right after it
        return self._kept[-1].texture

    def _fusion(self, texture: Tensor, visibility: Tensor) -> Tensor:
        """The chain without its detailer, borrowed detail and all, as the command line runs it."""
        return closed_form(texture, visibility, self._kept[-1].studio_lr.to(texture), weights.exemplars())

    @property
    def result(self) -> Tensor:
        """What the chain made of every capture ``(N, 3, H, W)``."""
        return torch.cat([out.texture for out in self._kept])

    def portrait(self, place: int, grid: int = 96) -> tuple[HeadMesh, dict[str, Tensor]]:
        """The head of the capture at a place of the table, and its textures ``(3, H, W)``: phone, chain, truth."""
        row = self.rows[place]
        subject = torch.as_tensor(self.data.subject)[row]
        head = synth.synthesise_subjects(self.data.seeds[subject][None], self.data.resolution)
        phone = self.data.phone_batch(row[None])[0][0]
        skins = {"phone": phone, "chain": self.result[place], "truth": self.data.studio_batch(subject[None])[0]}
        return head_mesh(head.position[0], grid=grid), skins

    def by_tone(self) -> list[int]:
        """The people, rows of the set's studio textures, sorted by their skin tone; a picture of one shows the middle one."""
        return sorted(map(int, self.people), key=lambda person: float(self.data.tone[person]))

    def many_lights(self, lights: int = 5) -> Lights:
        """The subject of the middle skin tone under several lights, by nothing, the quotient and the chain."""
        lights = min(lights, len(self.people))
        chosen = torch.tensor([self.by_tone()[len(self.people) // 2]])
        head = synth.synthesise_subjects(self.data.seeds[chosen], self.data.resolution)
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
        level = {
            name: float(channel_means(x, mask).var(0).mean() / evaluation.variance_over_lights(x, same, mask)[0].clamp_min(1e-12))
            for name, x in results.items()
        }
        return Lights(results, self.data.studio_batch(chosen)[0], shots.severity[order], face, left, level)

    def shadow(self) -> Shadow:
        """Darken one half of true textures by a hard edge, more and more, and hide nothing else; of the person of the middle
        skin tone first, and then of others, of all tones."""
        size = self.data.resolution
        side = torch.sigmoid((layout.texel_uv(size)[..., 0] - 0.5) * 120).view(1, 1, size, size)
        light = 1 - side + side * torch.tensor(DOSES).view(-1, 1, 1, 1)
        face = layout.region_mask("face", size)[None].expand(len(DOSES), -1, -1, -1)
        people = self.by_tone()
        first = people[len(people) // 2]
        spread = [people[int(k)] for k in np.linspace(0, len(people) - 1, min(SHADED, len(people)))]
        shown, uneven, close = None, [], []
        for person in [first, *(other for other in spread if other != first)][:SHADED]:
            truth = self.data.studio_batch(torch.tensor([person]))
            inputs = linear_to_srgb(srgb_to_linear(truth) * light).clamp(0, 1)
            answers = self.run(inputs, torch.ones_like(inputs[:, :1])).texture
            goal = truth.expand_as(answers)
            shown = shown or (inputs, answers)
            uneven.append(torch.stack([evaluation.asymmetry(x, face) for x in (inputs, answers)]))
            fitted = evaluation.gain_fitted(answers, goal, face)
            close.append(torch.stack([evaluation.psnr(x, goal, face) for x in (answers, fitted)]))
        (before, after), (raw, fitted) = (torch.stack(x, 1) for x in (uneven, close))
        return Shadow(*shown, (before, after), (raw, fitted))
