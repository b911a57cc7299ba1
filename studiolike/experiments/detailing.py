"""Laboratory of chapter 5: heads under lights made by hand, what fusion leaks, and how the detailer is judged.

Everything is of the split "val": no network has learnt from these people.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .. import layout, weights
from ..config import Profile
from ..detail import Detailer, DetailStage, detail, fuse, gradients, impose_gradients
from ..detail.guidance import differences
from ..detail.model import upsample
from ..evaluation import Verdict, faceid, gain_fitted, low_band_error, perceptual, perceptual_judge, psnr, verdicts
from ..image import blur, linear_to_srgb, resize, srgb_to_linear
from ..protocols import paired_captures, permitted
from ..synth import studio_texture, synthesise_subjects
from ..tone import skin_level, translate
from .gradients import correlation, field_of, lamp_light, lit
from .short import short_run

if TYPE_CHECKING:
    from ..synth import TextureSet

METRICS = {  # whether larger is better, and digits to print
    "PSNR": (True, 2),
    "fitted PSNR": (True, 2),
    "perceptual": (False, 4),
    "low-band error": (False, 4),
    "identity": (True, 3),
    "gradient correlation": (True, 3),
    "perceptual (holes)": (False, 4),
}
EARNS = ("perceptual", "low-band error", "identity")  # in which the detailer must beat fusion alone
NEAR = 1 / 256  # share of the side: a capture lies about so far beside the truth, and gradients are compared no finer
DISTURBED = {"exposure 1/2": (0.5, 0.5, 0.5), "exposure 1/4": (0.25, 0.25, 0.25), "yellow light": (1.0, 0.8, 0.5)}


def likeness(a: Tensor, b: Tensor, mask: Tensor, near: float = NEAR) -> Tensor:
    """Correlation ``(B,)`` of the log gradients of two textures, both blurred by ``near`` of the side (0: as they are): a pore
    that sits a texel aside would else count as two errors, one where it is drawn and one where it is missing."""
    one, other = (blur(field_of(x), near * x.shape[-1]) for x in (a, b))
    return correlation(one, other, mask)


def mean_in(field: Tensor, mask: Tensor) -> float:
    """Mean of a field over a mask."""
    return float((field * mask).sum() / mask.sum().clamp_min(1e-6))


def error_of(a: Tensor, b: Tensor) -> Tensor:
    """Mean absolute difference of the colours, ``(B, 1, H, W)``."""
    return (a - b).abs().mean(1, keepdim=True)


# --------------------------------------------------------------------------- lights made by hand


@dataclass(frozen=True)
class HandLit:
    """Heads under a smooth light without shadows, and under a hard one with a cast shadow and a small highlight.

    Attributes:
        albedo, studio: ``(B, 3, H, W)`` sRGB. lit: by name of the light, the same shape. face: mask ``(B, 1, H, W)``.
        edges: where the hard light itself has edges, on the face. clearest: the head that is easiest to see in print.
    """

    albedo: Tensor
    studio: Tensor
    lit: dict[str, Tensor]
    face: Tensor
    edges: Tensor
    clearest: int

    def agreement(self) -> dict[tuple[str, str], float]:
        """Correlation on the face of each light's gradients with the albedo's, ``[light, kind]``."""
        return {
            (light, kind): float(correlation(field_of(texture, kind), field_of(self.albedo, kind), self.face).mean())
            for light, texture in self.lit.items()
            for kind in ("raw", "log")
        }


def hand_lit(data: TextureSet, people: int = 4) -> HandLit:
    """Light heads of the split "val" by hand, from their true normals and their true shape."""
    size = data.resolution
    heads = synthesise_subjects(data.seeds[data.subjects("val")[:people]], size)
    key = F.normalize(torch.tensor([[0.75, 0.45, 0.6]]), dim=1).expand(len(heads), 3)
    lights = {"smooth light": lamp_light(heads, "mild", key), "hard light": lamp_light(heads, "shadow", key)}
    textures = {name: lit(heads, *light) for name, light in lights.items()}
    face = (layout.region_mask("face", size) > 0.5).float().expand(len(heads), 1, size, size)
    hard = sum(lights["hard light"]).clamp_min(1e-3).log()
    edges = (differences(hard).norm(dim=1, keepdim=True) > 0.1).float() * face
    return HandLit(lit(heads, 1.0, 0.0), studio_texture(heads), textures, face, edges, int(heads.tone.argsort()[0]))


# --------------------------------------------------------------------------- the chain's last stages


class DetailLaboratory:
    """One capture each of people of the split "val", and what the stages before and in this chapter make of them.

    Attributes:
        phone, visibility, truth: ``(B, C, H, W)``. people, severity: whose capture it is, and how uneven its light. coarse,
            enlarged: G_studio's texture, as it is and at the phone's size. fused, poisson: the two closed forms. holes, uneven:
            places of the capture with the largest holes, and of one in very uneven light.
        head: mask of the head in the layout ``(1, H, W)``. counts, hidden: its observed texels, and its holes. seen: what a
            camera saw well. rims: seen texels beside a hole. ``(B, 1, H, W)`` each.
    """

    def __init__(self, settings: Profile, data: TextureSet, device: str = "cpu", captures: int = 16):
        self.settings, self.data, self.device, self.size = settings, data, device, data.resolution
        self.g_phone, self.encoder = (weights.load(name, device=device) for name in ("g_phone", "encoder"))
        own = (weights.load(n, protocol="few", device=device) for n in ("g_studio", "tone", "detailer"))
        self.g_studio, self.tone, self.detailer = own
        self.low = self.g_studio.config.resolution
        rows = data.captures("val")[:: data.manifest["spec"]["lightings"]][:captures]
        self.people, self.severity = (np.asarray(x)[rows.numpy()] for x in (data.subject, data.severity))
        self.phone, self.visibility = data.phone_batch(rows)
        self.truth = data.studio_batch(torch.as_tensor(self.people))
        before = self.g_phone, self.encoder, self.g_studio, self.tone
        self.coarse = translate(*before, self.phone.to(device), self.visibility.to(device)).cpu()
        self.enlarged = upsample(self.coarse, self.size)
        self.fused = fuse(self.phone, self.visibility, self.enlarged)
        self.field, self.trust = gradients(self.phone, self.visibility)
        self.poisson = impose_gradients(self.enlarged, self.field, self.trust)
        self.holes = int((1 - self.visibility).mean((1, 2, 3)).argmax())
        self.uneven = 1 + int(self.severity[1:].argmax())
        self.head, holes = (layout.region_mask("head", self.size) > 0.5).float(), (self.visibility < 0.05).float()
        self.counts, self.hidden, self.seen = self.visibility * self.head, holes * self.head, (self.visibility > 0.5).float()
        self.rims = self.seen * F.max_pool2d(holes, 13, 1, 6)

    def levels(self) -> dict[str, Tensor]:
        """How light the skin of every capture's person is, log units ``(N,)``: as the phone shows it, as G_studio draws it on its
        own, as the tone network reads it, and the truth."""
        before, phone = (self.g_phone, self.encoder, self.g_studio), (self.phone.to(self.device), self.visibility.to(self.device))
        own = translate(*before, None, *phone)
        levels = (skin_level(*phone), skin_level(own), skin_level(self.coarse), skin_level(self.truth))
        return {name: level.cpu() for name, level in zip(("phone", "G_studio", "tone network", "truth"), levels, strict=True)}

    def exposed(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of every capture of the split: the level of the skin as the phone shows it, the true one, and whose it is, log units,
        ``(N,)`` each; captures without any skin are left out."""
        rows = self.data.captures("val")
        people = np.asarray(self.data.subject)[rows.numpy()]
        level = torch.cat([skin_level(*self.data.phone_batch(part)) for part in rows.split(64)]).numpy()
        names, place = np.unique(people, return_inverse=True)
        true = skin_level(self.data.studio_batch(torch.as_tensor(names))).numpy()[place]
        seen = np.isfinite(level)
        return level[seen], true[seen], people[seen]

    def aside(self, result: Tensor, reach: int = 2) -> tuple[Tensor, Tensor, Tensor]:
        """How well the unblurred gradients of ``result (B, 3, H, W)`` fit the truth's, where they are and where they fit best
        when moved by up to ``reach`` texels of 256 each way; and by how many texels that is. ``(B,)`` each."""
        fields, mask, unit = [field_of(x) for x in (result, self.truth)], self.trust * self.counts, max(1, self.size // 256)
        moves = [(y, x) for y in range(-reach, reach + 1) for x in range(-reach, reach + 1)]
        fits = torch.stack([correlation(fields[0], fields[1].roll((unit * y, unit * x), (2, 3)), mask) for y, x in moves])
        best, place = fits.max(0)
        return fits[moves.index((0, 0))], best, torch.tensor(moves).float().norm(dim=1)[place]

    def ideal(self, truth: Tensor) -> Tensor:
        """The best that G_studio could give: the truth, shrunk to its size, and enlarged again."""
        return upsample(resize(truth, self.low), self.size)

    def draw(
        self,
        chosen: Any = slice(None),
        *,
        studio: Tensor | None = None,
        texture: Tensor | None = None,
        seen: Tensor | None = None,
        steps: int | None = None,
        model: Detailer | None = None,
        seed: int | Sequence[int] = 0,
        guided: bool = True,
    ) -> Tensor:
        """The detailer's results of some captures, or of other textures; ``seed`` of the noise, one or one for each."""
        studio = self.coarse if studio is None else studio
        texture = self.phone if texture is None else texture
        seen = self.visibility if seen is None else seen
        steps = self.settings.detail.sample_steps if steps is None else steps
        one = isinstance(seed, int)
        noise = torch.Generator().manual_seed(seed) if one else [torch.Generator().manual_seed(s) for s in seed]
        options = {"steps": steps, "guided": guided, "generator": noise}
        return detail(model or self.detailer, studio[chosen], texture[chosen], seen[chosen], **options).cpu()

    def train(self) -> tuple[Detailer, dict[str, list[float]]]:
        """A fresh detailer, trained for a moment on small crops of real results of the chain: its average, and the log."""
        live = dataclasses.replace(self.settings.detail, crop=64, images=self.settings.live_images)
        shown, rows = permitted(self.data, "few"), paired_captures(self.data, "few")
        before = {"g_phone": self.g_phone, "encoder": self.encoder, "g_studio": self.g_studio, "tone": self.tone}
        stage = DetailStage(live, shown, rows, **before)
        log = short_run(stage, live.images, device="cpu" if self.device == "cpu" else None, log_every=live.batch)
        return stage.average.eval(), log

    def leaks(self, scene: HandLit, edges: bool = True) -> dict[str, Tensor]:
        """Fusion with the ideal coarse texture of heads lit by hand, by light; ``edges``: whether it follows those of shadows."""
        everything, ideal = torch.ones_like(scene.studio[:, :1]), self.ideal(scene.studio)
        return {name: fuse(texture, everything, ideal, edges=edges) for name, texture in scene.lit.items()}

    def repair(self, scene: HandLit) -> dict[str, Tensor]:
        """The same heads through the detailer, with the ideal coarse texture."""
        small, everything = resize(scene.studio, self.low), torch.ones_like(scene.studio[:, :1])
        return {name: self.draw(studio=small, texture=texture, seen=everything) for name, texture in scene.lit.items()}

    def colour_passed(self, guided: Tensor, some: slice) -> dict[str, list[float]]:
        """Mean change of the phone texture, of its fusion and of the detailer's result, when captures are made darker or
        yellow; G_studio's texture stays. ``guided``: results of the captures as they are."""
        found = {}
        for name, gain in DISTURBED.items():
            other = linear_to_srgb(srgb_to_linear(self.phone[some]) * torch.tensor(gain).view(1, 3, 1, 1))
            drawn = self.draw(some, texture=torch.cat([other, self.phone[len(other) :]]))
            after = (other, fuse(other, self.visibility[some], self.enlarged[some]), drawn)
            before = (self.phone, self.fused, guided)
            changes = (error_of(a, b[some]) for a, b in zip(after, before, strict=True))
            found[name] = [mean_in(change, self.counts[some]) for change in changes]
        return found

    def by_steps(self, some: slice) -> dict[int, tuple[float, float]]:
        """Perceptual distance and gradient correlation of guided detail, by the number of sampling steps."""
        distance, found = perceptual_judge(), {}
        for steps in (2**k for k in range(int(np.log2(4 * self.settings.detail.sample_steps)) + 1)):
            drawn, mask = self.draw(some, steps=steps), self.counts[some]
            near = perceptual(distance, drawn, self.truth[some], mask).mean()
            same = likeness(drawn, self.truth[some], self.trust[some] * mask).mean()
            found[steps] = float(near), float(same)
        return found


# --------------------------------------------------------------------------- judging


@torch.no_grad()
def scores(lab: DetailLaboratory, results: Mapping[str, Tensor]) -> dict[str, dict[str, np.ndarray]]:
    """Every result measured against the truth: ``scores[name][metric]`` is ``(B,)``; see `METRICS`."""
    distance, judge = perceptual_judge(), weights.load("identity_eval", device=lab.device)
    found = {}
    for name, result in results.items():
        values = (
            psnr(result, lab.truth, lab.counts),
            psnr(gain_fitted(result, lab.truth, lab.counts), lab.truth, lab.counts),
            perceptual(distance, result, lab.truth, lab.counts),
            low_band_error(result, lab.truth, lab.counts)["low_band"],
            faceid(judge, result, lab.truth, lab.visibility)["cosine"],
            likeness(result, lab.truth, lab.trust * lab.counts),
            _of_holes(lab, perceptual(distance, result, lab.truth, lab.hidden)),
        )
        found[name] = {metric: value.numpy() for metric, value in zip(METRICS, values, strict=True)}
    return found


def _of_holes(lab: DetailLaboratory, value: Tensor) -> Tensor:
    """``value (B,)``, nan for captures that have hardly any holes."""
    return torch.where(lab.hidden.mean((1, 2, 3)) > 0.01, value, torch.nan)


def in_holes(lab: DetailLaboratory, results: Mapping[str, Tensor]) -> dict[str, dict[str, np.ndarray]]:
    """Every result measured in the holes, of captures that have some: PSNR after a gain fit and perceptual distance, ``(B,)``."""
    distance, found = perceptual_judge(), {}
    for name, result in results.items():
        values = {
            "PSNR": psnr(gain_fitted(result, lab.truth, lab.hidden), lab.truth, lab.hidden),
            "perceptual": perceptual(distance, result, lab.truth, lab.hidden),
        }
        found[name] = {metric: _of_holes(lab, value).numpy() for metric, value in values.items()}
    return found


def judged(found: Mapping[str, Mapping[str, np.ndarray]], method: str, people: np.ndarray) -> dict[tuple[str, str], Verdict]:
    """``method`` against every other result in every metric, judged together: ``[rival, metric]``."""
    differences = {
        (rival, metric): found[method][metric] - values[metric]
        for rival, values in found.items()
        if rival != method
        for metric in values
    }
    return verdicts(differences, people, {key: METRICS[key[1]][0] for key in differences})
