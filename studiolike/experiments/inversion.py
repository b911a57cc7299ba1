"""Laboratory of chapter 3: one capture, many ways to a code, judged before and after translation.

Networks may be on any device; codes stay there, pictures and measures come to the CPU.
"""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..config import InversionConfig
from ..evaluation import Verdict, faceid, gain_fitted, low_band_error, perceptual, perceptual_judge, psnr, verdicts
from ..evaluation.bootstrap import Estimate, clustered_mean
from ..features.network import IdentityNet
from ..image import fill_unobserved, resize, to_signed
from ..inversion import Curvature, Inversion, WPrior, invert, observed_psnr, pyramid_distance, resize_observed
from ..inversion.curvature import POWER
from ..stylegan2 import Discriminator, Encoder, Generator
from ..stylegan2.generator import SynthesisLayer
from ..synth import TextureSet
from .painting import codes_of, decode, place

HIDDEN = 0.38  # u below which the experiment hides a capture
TIGHT = 30  # times the prior of the default, in "W+ tight"
LONGER = 4  # times the steps of the default, in "W+ long"
ADAM_LONGER = 5  # times as many, of Adam from the mean code
MEAN, ENCODER, DEFAULT = "mean code", "encoder", "W+"
GIVEN, AFTER = "phone, given side, dB ↑", "studio, given side, dB ↑"
BEHIND, PERCEPTUAL, ENERGY = "phone, hidden side, dB ↑", "studio, perceptual ↓", "prior energy"
COSINE = "studio, identity cosine ↑"
FITTED, BAND = "studio, given side, gain-fitted dB ↑", "studio, given side, low-band error ↓"
Pair = tuple[str, str, str]  # a measure, and the two methods whose difference is asked for


@torch.no_grad()
def second_derivatives(g_phone: Generator, curvature: Curvature) -> Tensor:
    """Of the pixel loss, ``(L, D)`` falling in every row: along the principal directions of `Curvature`, in standard
    deviations of W."""
    cloud = WPrior.from_generator(g_phone)
    root = cloud.basis * cloud.scale
    bound = torch.linalg.eigvalsh(root.T @ curvature.matrix.to(root) @ root).flip(1).clamp_min(1e-12)
    return (bound.max() * (bound / bound.max()) ** (1 / POWER)).cpu()  # `Curvature` keeps a power of it


@dataclass(frozen=True)
class Captures:
    """Captures of which one side is hidden. All ``(B, …)``, on the CPU.

    Attributes:
        rows: places in the set. subject: whose. texture: ``(B, 3, H, W)`` in [0, 1]. visibility: what was observed.
        kept: what is given to an inversion. hidden: what is kept aside. holes: what nobody saw. truth: studio textures.
    """

    rows: Tensor
    subject: Tensor
    texture: Tensor
    visibility: Tensor
    kept: Tensor
    hidden: Tensor
    holes: Tensor
    truth: Tensor


def hide_a_side(data: TextureSet, size: int, count: int) -> Captures:
    """The first capture of up to ``count`` people of the split "val"; texels with u < `HIDDEN` count as unobserved."""
    everyone = data.captures("val")
    owner = torch.as_tensor(data.subject)[everyone]
    first = torch.cat([torch.ones(1, dtype=torch.bool), owner[1:] != owner[:-1]])
    rows, subject = everyone[first][:count], owner[first][:count]
    texture, visibility = resize_observed(*data.phone_batch(rows), size)
    side = (torch.arange(size) / size < HIDDEN).float().expand(1, 1, size, size)
    seen = visibility * (1 - side), visibility * side
    return Captures(
        rows, subject, texture, visibility, *seen, (visibility == 0).float(), resize(data.studio_batch(subject), size)
    )


@dataclass(frozen=True)
class Inverter:
    """What `invert` needs beside a capture."""

    g_phone: Generator
    d_phone: Discriminator
    encoder: Encoder
    curvature: Curvature

    def guess(self, texture: Tensor, visibility: Tensor, passes: int = 2) -> Tensor:
        """The encoder's codes."""
        return codes_of(self.encoder, self.g_phone, texture, visibility, passes)

    def __call__(self, texture: Tensor, visibility: Tensor, config: InversionConfig, start: Tensor | None = None) -> Inversion:
        """Quasi-Newton steps from the encoder's code, or from ``start``."""
        start = self.guess(texture, visibility) if start is None else start
        feature_net, curvature = self.d_phone, self.curvature
        return invert(self.g_phone, texture, visibility, config, feature_net=feature_net, start=start, curvature=curvature)


def variants(base: InversionConfig) -> dict[str, InversionConfig]:
    """The inversions that are compared, by name: other spaces, priors, lengths, distances."""
    return {
        "W": replace(base, space="w"),
        "W+ tight": replace(base, prior=TIGHT * base.prior),
        DEFAULT: base,
        "W+ free": replace(base, prior=0.0),
        "W+ long": replace(base, prior=0.0, steps=LONGER * base.steps),
        "W+ features": replace(base, features=0.1),
    }


@dataclass(frozen=True)
class Race:
    """All inversions of one set of captures.

    Attributes:
        runs: by name, `variants`. adam: as many steps of Adam from the encoder's codes. adam_long: `ADAM_LONGER` times as many
            from the mean code. start: the encoder's codes. seconds: of the encoder. step: seconds of one step of any method.
    """

    runs: dict[str, Inversion]
    adam: Inversion
    adam_long: Inversion
    start: Tensor
    seconds: float
    step: float

    @property
    def codes(self) -> dict[str, Tensor]:
        """By name ``(B, L, D)``: no inversion at all, the encoder's, and every variant's."""
        return {ENCODER: self.start, **{name: run.w_plus for name, run in self.runs.items()}}

    def climbs(self) -> tuple[Tensor, Tensor, Tensor]:
        """Mean PSNR over the steps: of the default, of Adam, of Adam from the mean code."""
        return tuple(run.history["psnr"].mean(1).cpu() for run in (self.runs[DEFAULT], self.adam, self.adam_long))


def race(inverter: Inverter, texture: Tensor, kept: Tensor, base: InversionConfig) -> Race:
    """Run every variant, and Adam (Kingma and Ba 2015) in whitened coordinates as the rival."""
    inverter.guess(texture, kept)  # the first call of a shape is slow; it is not timed
    began = time.perf_counter()
    start = inverter.guess(texture, kept)
    guessed = time.perf_counter() - began
    runs = {name: inverter(texture, kept, wanted, start) for name, wanted in variants(base).items()}
    adam = invert(inverter.g_phone, texture, kept, base, start=start)
    long = replace(base, steps=ADAM_LONGER * base.steps)
    began = time.perf_counter()
    adam_long = invert(inverter.g_phone, texture, kept, long)
    step = (time.perf_counter() - began) / long.steps  # a step costs one gradient, with either method
    return Race(runs, adam, adam_long, start, guessed, step)


@dataclass(frozen=True)
class Measures:
    """Measures of codes, before and after translation: ``values[measure][method]`` is ``(B,)``, ``subject`` whose, ``side`` at
    how many texels."""

    values: dict[str, dict[str, Tensor]]
    subject: Tensor
    side: int

    def mean(self, measure: str, name: str) -> float:
        """Mean over the captures."""
        return float(self.values[measure][name].nanmean())

    def best(self, measure: str, names: list[str]) -> str:
        """The method with the best mean: the highest, or the lowest of a measure with "↓"."""
        return (min if "↓" in measure else max)(names, key=lambda name: self.mean(measure, name))

    def estimate(self, measure: str, name: str) -> Estimate:
        """Mean over the captures with its 95 % interval over people."""
        return clustered_mean(self.values[measure][name].numpy(), self.subject.numpy())

    def compare(self, *pairs: Pair) -> dict[Pair, Verdict]:
        """Verdicts on the differences a − b of (measure, a, b), corrected together."""
        gaps = {pair: (self.values[pair[0]][pair[1]] - self.values[pair[0]][pair[2]]).numpy() for pair in pairs}
        return verdicts(gaps, self.subject.numpy(), higher=True)


def measure(
    captures: Captures,
    codes: dict[str, Tensor],
    painted: dict[str, Tensor],
    translated: dict[str, Tensor],
    g_phone: Generator,
    judge: IdentityNet,
) -> Measures:
    """What every code is worth: of G_phone's pictures ``painted`` and G_studio's ``translated``, by method."""
    x, truth = captures.texture, captures.truth
    distance, prior = perceptual_judge(), WPrior.from_generator(g_phone)
    sides = {"given side": captures.kept, "hidden side": captures.hidden}
    values = {f"phone, {side}, dB ↑": {n: psnr(p, x, m) for n, p in painted.items()} for side, m in sides.items()}
    sides["holes"] = captures.holes
    values |= {f"studio, {side}, dB ↑": {n: psnr(t, truth, m) for n, t in translated.items()} for side, m in sides.items()}
    kept = captures.kept
    values[FITTED] = {n: psnr(gain_fitted(t, truth, kept), truth, kept) for n, t in translated.items()}
    values[BAND] = {n: low_band_error(t, truth, kept)["low_band"] for n, t in translated.items()}
    values[PERCEPTUAL] = {n: perceptual(distance, t, truth) for n, t in translated.items()}
    values[COSINE] = {n: faceid(judge, t, truth)["cosine"] for n, t in translated.items()}
    values[ENERGY] = {n: prior.energy(code).cpu() for n, code in codes.items()}
    return Measures(values, captures.subject, truth.shape[-1])


def strangers(judge: IdentityNet, truth: Tensor) -> float:
    """Mean identity cosine of the studio textures ``(B, 3, H, W)`` of two different people: what likeness has to exceed."""
    shifted = [faceid(judge, truth, truth.roll(k, 0))["cosine"] for k in range(1, len(truth))]
    return float(torch.stack(shifted).mean())


def hidden_scores(captures: Captures, painted: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Pictures by method, a smooth fill of the given side among them, and their PSNRs ``(B,)`` on the hidden side."""
    pictures = {"fill": fill_unobserved(captures.texture * captures.kept, captures.kept), **painted}
    return pictures, {name: psnr(picture, captures.texture, captures.hidden) for name, picture in pictures.items()}


def leak(inverter: Inverter, texture: Tensor, kept: Tensor, config: InversionConfig) -> tuple[float, float]:
    """Paint what was not given in a loud colour: how far the codes move when the inversion is told where that is, and when it
    is not, as a share of their distance from the mean code."""
    loud = torch.where(kept > 0, texture, torch.tensor([1.0, 0.0, 0.6]).view(1, 3, 1, 1))
    ways = ((texture, kept), (loud, kept), (loud, torch.ones_like(kept)))
    calm, told, untold = (inverter(x, v, config).w_plus for x, v in ways)
    whole = (calm - inverter.g_phone.w_mean).norm()
    return float((told - calm).norm() / whole), float((untold - calm).norm() / whole)


@dataclass(frozen=True)
class NoiseTrap:
    """Noise maps that were optimised on top of a code that says nothing.

    Attributes:
        start, end: PSNR in the given texels before and after. painted: G_phone's picture.
        left: G_studio's, its own maps in place. moved: G_studio's, with the optimised maps.
    """

    start: float
    end: float
    painted: Tensor
    left: Tensor
    moved: Tensor


def noise_trap(
    g_phone: Generator, g_studio: Generator, texture: Tensor, kept: Tensor, code: Tensor, steps: int, lr: float = 1.0
) -> NoiseTrap:
    """Explain one capture ``(1, …)`` by G_phone's noise maps alone, with the code ``(1, L, D)`` left as it is."""
    device = place(g_phone)
    noisy, target, seen, code = copy.deepcopy(g_phone), to_signed(texture).to(device), kept.to(device), code.to(device)
    layers = [module for module in noisy.modules() if isinstance(module, SynthesisLayer)]
    for layer in layers:
        layer.noise = layer.noise.detach().clone().requires_grad_()
    adam, scores = torch.optim.Adam([layer.noise for layer in layers], lr=lr), []
    for _ in range(steps):
        image = noisy.synthesis(code)
        scores.append(float(observed_psnr(image.detach(), target, seen)))
        adam.zero_grad()
        pyramid_distance(image, target, seen)[0].sum().backward()
        adam.step()
    moved = copy.deepcopy(g_studio)
    for layer, source in zip((m for m in moved.modules() if isinstance(m, SynthesisLayer)), layers, strict=True):
        layer.noise = source.noise.detach()
    painted = decode(noisy, code)
    end = float(psnr(painted, texture, kept))
    return NoiseTrap(scores[0], end, painted, decode(g_studio, code, "none"), decode(moved, code))


def walk(a: Tensor, b: Tensor, stops: int = 5) -> Tensor:
    """Codes ``(stops, L, D)`` on the straight line from one code ``(L, D)`` to another."""
    return torch.stack([torch.lerp(a, b, t) for t in torch.linspace(0, 1, stops).tolist()])
