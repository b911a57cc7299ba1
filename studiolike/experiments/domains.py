"""Laboratory of chapter 1: what registration is worth, and three ways in which data of two domains fool their users.

Nothing here trains a network of the method. Every function takes a `TextureSet`, or textures, and returns what it
measured; the chapter draws it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import recipes
from ..config import Profile
from ..evaluation import asymmetry, psnr, variance_over_lights
from ..evaluation.masked import channel_means, masked_blur, masked_mean
from ..features.verification import Verification, pair_scores, verification
from ..image import linear_to_srgb, luminance, resize, srgb_to_lab, srgb_to_linear
from ..layout import face_mask
from ..synth import PhoneCapture, TextureSet, phone_capture, synthesise_subjects


def fine_log(texture: Tensor, mask: Tensor, sigma: float, dark: float = 0.01) -> Tensor:
    """Log luminance ``(B, 1, H, W)`` of sRGB textures without its broad part, in natural-log units.

    Args:
        texture: ``(B, 3, H, W)`` in [0, 1]. mask: ``(B, 1, H, W)``, where the broad part is taken from.
        sigma: of the blur that the broad part survives, as a share of the width. dark: added to luminance.
    """
    log = torch.log(luminance(srgb_to_linear(texture)) + dark)
    return log - masked_blur(log, mask, sigma * texture.shape[-1])


def fine_contrast(texture: Tensor, mask: Tensor) -> Tensor:
    """Standard deviation ``(B,)`` of fine log luminance inside the mask: detail, and noise."""
    return masked_mean(fine_log(texture, mask, 0.012).square(), mask).sqrt()


# --- what registration is worth


@dataclass(frozen=True)
class Registration:
    """How well few faces span others, with and without correspondence.

    Attributes:
        counts: numbers of training textures. explained: by name, ``(draws, counts)``, per cent of unseen faces'
            fine structure; negative where the subspace does worse than no structure at all.
        means: by name, the mean training texture ``(3, H, W)``.
    """

    counts: list[int]
    explained: dict[str, Tensor]
    means: dict[str, Tensor]

    @property
    def enough(self) -> int | None:
        """The smallest number of registered textures that does as well as all jittered ones, if any does."""
        registered, jittered = (self.explained[name].mean(0) for name in ("registered", "jittered"))
        return next((n for n, share in zip(self.counts, registered, strict=True) if share >= jittered[-1]), None)


def jitter(textures: Tensor, rng: torch.Generator) -> Tensor:
    """Each texture ``(B, 3, H, W)`` moved by up to 4 % of the width, scaled by up to 8 % and turned by up to 6°."""
    amount = torch.rand(len(textures), 4, generator=rng) * 2 - 1
    turn, scale = amount[:, 0] * 0.105, 1 + amount[:, 1] * 0.08
    cos, sin = turn.cos() * scale, turn.sin() * scale
    pose = torch.stack([cos, -sin, amount[:, 2] * 0.08, sin, cos, amount[:, 3] * 0.08], -1).view(-1, 2, 3)
    where = F.affine_grid(pose, list(textures.shape), align_corners=False)
    return F.grid_sample(textures, where, padding_mode="border", align_corners=False)


def structure(textures: Tensor) -> Tensor:
    """Fine log luminance of the face's middle, ``(B, texels)``."""
    n = textures.shape[-1]
    fine = fine_log(textures, torch.ones_like(textures[:, :1]), 0.06, dark=0.02)
    return fine[:, :, 5 * n // 16 : 13 * n // 16, n // 4 : -n // 4].flatten(1)


def explained(train: Tensor, held_out: Tensor) -> float:
    """Per cent of the structure ``(B, texels)`` of held-out people that lies in mean + span of the training ones."""
    mean = train.mean(0)
    basis = torch.linalg.svd((train - mean).T, full_matrices=False)[0][:, : len(train) - 1]
    rest = held_out - mean
    return 100 - 100 * float((rest - rest @ basis @ basis.T).square().sum() / held_out.square().sum())


def registration(train: Tensor, held_out: Tensor, *, draws: int = 5, seed: int = 0) -> Registration:
    """Span a linear subspace by n studio textures, registered or jittered, and see what it explains of new faces.

    Args:
        train, held_out: studio textures ``(B, 3, H, W)`` in [0, 1] of different people.
        draws: random choices of the training textures.
    """
    rng = torch.Generator().manual_seed(seed)
    counts = [n for n in (2, 4, 8, 16, 32, 64) if n <= len(train)]
    shares: dict[str, list[list[float]]] = {"registered": [], "jittered": []}
    for _ in range(draws):
        order = torch.randperm(len(train), generator=rng)
        for name, rows in shares.items():
            known, new = (x if name == "registered" else jitter(x, rng) for x in (train[order], held_out))
            known, new = structure(known), structure(new)
            rows.append([explained(known[:n], new) for n in counts])
    means = {"registered": train.mean(0), "jittered": jitter(train, rng).mean(0)}
    return Registration(counts, {name: torch.tensor(rows) for name, rows in shares.items()}, means)


# --- one cause at a time

LIGHTS, DRAWS = 12, 48  # that `spread_lights` chooses, and among how many


@torch.no_grad()
def spread_lights(subject: Tensor) -> Tensor:
    """Seeds of `LIGHTS` lights at even ranks of severity among `DRAWS`, on the head of one seed ``(1,)``."""
    drawn = torch.arange(DRAWS) + 100
    heads = synthesise_subjects(subject, 64)[torch.zeros(DRAWS, dtype=torch.long)]
    order = phone_capture(heads, drawn).severity.argsort()
    return drawn[order[torch.linspace(0, DRAWS - 1, LIGHTS).round().long()]]


def step_changes(frames: list[Tensor], mask: Tensor) -> Tensor:
    """How much each step changes textures: ``(steps, 2)``, broad and fine, root mean square in 8-bit levels, mean of captures.

    Args:
        frames: the textures ``(B, 3, H, W)`` before the first step and after every step. mask: ``(B, 1, H, W)``.
    """
    changes = []
    for before, after in zip(frames, frames[1:], strict=False):
        change = after - before
        broad = masked_blur(change, mask, 0.03 * mask.shape[-1])
        changes.append([255 * float(masked_mean(part.square(), mask).sqrt().mean()) for part in (broad, change - broad)])
    return torch.tensor(changes)


def light_against_people(lit: Tensor, captures: PhoneCapture, studio: Tensor) -> tuple[float, float, float]:
    """Standard deviation of a texel, in 8-bit levels, over the texels that all captures share: of one person under several
    lights before the camera, of the same captures after it, and of many people in the studio.

    Args:
        lit: albedo times light of one subject's ``captures``, exposed, sRGB ``(B, 3, H, W)``.
        studio: textures ``(S, 3, h, w)`` of many people.
    """
    shared = captures.visibility.gt(0.3).float() * face_mask(lit.shape[-1])
    one = torch.zeros(len(lit), dtype=torch.long)
    over_lights, with_camera = (variance_over_lights(x, one, shared)[0][0] for x in (lit, captures.texture))
    over_people = masked_mean(studio.var(0, keepdim=True), resize(shared.amin(0, keepdim=True), studio.shape[-1]))[0]
    lights, both, people = (255 * float(variance.sqrt()) for variance in (over_lights, with_camera, over_people))
    return lights, both, people


# --- what goes wrong, 1: shortcuts


def auc(scores: Tensor, label: Tensor) -> float:
    """Share of pairs (label 1, label 0) in which the first scores higher; ties count half."""
    difference = scores[label == 1][:, None] - scores[label == 0][None]
    return float(((difference > 0).float() + 0.5 * (difference == 0).float()).mean())


def auc_error(value: float, first: int, second: int) -> float:
    """Standard error of an AUC that was measured on two independent groups of these sizes (Hanley and McNeil 1982)."""
    one, two = value / (2 - value), 2 * value**2 / (1 + value)
    spread = value * (1 - value) + (first - 1) * (one - value**2) + (second - 1) * (two - value**2)
    return (max(spread, 0) / (first * second)) ** 0.5


def train_and_grade(features: Callable, train: tuple[Tensor, ...], held_out: tuple[Tensor, ...]) -> float:
    """AUC of a logistic regression on ``features(texture, visibility)``, on people it was not trained on."""
    x, grade = features(*train[:2]), features(*held_out[:2])
    mean, spread = x.mean(0), x.std(0).clamp_min(1e-6)
    weights = torch.zeros(x.shape[1] + 1, requires_grad=True)
    solver = torch.optim.LBFGS([weights], max_iter=50)

    def score(values: Tensor) -> Tensor:
        return ((values - mean) / spread) @ weights[1:] + weights[0]

    def loss() -> Tensor:
        solver.zero_grad()
        value = F.binary_cross_entropy_with_logits(score(x), train[2]) + 0.01 * weights.square().sum()
        value.backward()
        return value

    solver.step(loss)
    return auc(score(grade).detach(), held_out[2])


def both_domains(data: TextureSet, captures: Tensor, people: Tensor, rng: torch.Generator, masked: bool) -> tuple[Tensor, ...]:
    """Phone captures (label 1), as many studio textures (label 0), the visibility of either, the labels.

    ``masked``: both sides are seen through visibility maps of captures, each map handed to one texture of either side.
    """
    x, v = data.phone_batch(captures)
    y = data.studio_batch(people[torch.arange(len(captures)) % len(people)])
    w = v[torch.randperm(len(v), generator=rng)] if masked else torch.ones_like(v)
    x, y = (x * v.gt(0), y * w.gt(0)) if masked else (x, y)
    return torch.cat([x, y]), torch.cat([v, w]), torch.cat([torch.ones(len(x)), torch.zeros(len(y))])


def looks(data: TextureSet) -> dict[str, Callable[[Tensor, Tensor], Tensor]]:
    """What the classifier may look at, by name: functions of texture and visibility that return features ``(B, k)``."""
    seen = data.phone_batch(torch.arange(len(data)))[1].gt(0)
    never = ~seen.any(0, keepdim=True)
    face = face_mask(data.resolution)[None]

    def holes(x: Tensor, v: Tensor) -> Tensor:
        return torch.stack([v.mean((1, 2, 3)), (v == 0).float().mean((1, 2, 3))], 1)

    def smears(x: Tensor, v: Tensor) -> Tensor:
        return fine_contrast(x, never.float().expand(len(x), -1, -1, -1))[:, None]

    def light(x: Tensor, v: Tensor) -> Tensor:
        return asymmetry(x, v * face)[:, None]

    def camera(x: Tensor, v: Tensor) -> Tensor:
        where, lab = (v > 0.5).float() * face, srgb_to_lab(x)
        fine = lab - masked_blur(lab, where, 0.012 * x.shape[-1])
        return channel_means(fine.square(), where).sqrt().flatten(1)

    return {"holes": holes, "smears": smears, "light": light, "camera": camera}


def shortcuts(data: TextureSet, seed: int = 7) -> dict[str, tuple[float, float]]:
    """AUC, raw and masked, of telling phone from studio by each of `looks`: fitted on pre-training captures and the
    few-shot studio textures, graded on the people of the splits "pairs" and "val"."""
    grades: dict[str, list[float]] = {name: [] for name in looks(data)}
    for masked in (False, True):
        rng = torch.Generator().manual_seed(seed)
        fitted = both_domains(data, data.captures("phone"), data.subjects("studio"), rng, masked)
        captures, people = (torch.cat([ask(name) for name in ("pairs", "val")]) for ask in (data.captures, data.subjects))
        graded = both_domains(data, captures, people, rng, masked)
        for name, features in looks(data).items():
            grades[name].append(train_and_grade(features, fitted, graded))
    return {name: tuple(values) for name, values in grades.items()}


# --- what goes wrong, 2: colour management as de-lighting


@dataclass(frozen=True)
class OneExponent:
    """The best y = x^γ between the domains. PSNRs in dB on people it was not fitted on.

    Attributes:
        gamma: fitted. before, after: PSNR of doing nothing and of the exponent, in the encoding of the studio set: what a
            loss sees. eye_before, eye_after: the same once both sides are sRGB: what an eye sees.
    """

    gamma: float
    before: float
    after: float
    eye_before: float
    eye_after: float


def one_exponent(data: TextureSet) -> dict[str, OneExponent]:
    """Fit one exponent from phone to studio, with both sets in sRGB ("shared") and with the studio set in linear light
    ("mixed"); pre-training people fit it, people of the split "val" grade it."""
    face = face_mask(data.resolution)[None]

    def pairs(split: str) -> tuple[Tensor, Tensor, Tensor]:
        rows = data.captures(split)
        x, v = data.phone_batch(rows)
        return x, data.studio_batch(data.subject[rows]), (v > 0.3).float() * face

    def score(x: Tensor, y: Tensor, mask: Tensor) -> float:
        return float(psnr(x, y, mask).mean())

    (x, y, mask), (tx, ty, tmask) = pairs("phone"), pairs("val")
    gammas, fits = torch.linspace(0.4, 3.2, 57), {}
    for name, store in (("shared", lambda t: t), ("mixed", srgb_to_linear)):
        gamma = float(gammas[torch.tensor([score(x**g, store(y), mask) for g in gammas]).argmax()])
        shown = tx**gamma if name == "shared" else linear_to_srgb(tx**gamma)
        before, after = score(tx, store(ty), tmask), score(tx**gamma, store(ty), tmask)
        fits[name] = OneExponent(gamma, before, after, score(tx, ty, tmask), score(shown, ty, tmask))
    return fits


# --- what goes wrong, 3: a split by capture


@dataclass(frozen=True)
class Leak:
    """A memoriser, graded with and without other captures of the same people in its memory.

    Attributes:
        asked: rows of captures. answers: by name, the row of the capture that it found most alike.
        error: by name, mean RMS error of its studio texture, in 8-bit levels; "mean" is the mean studio texture of all
            others, one answer for everybody. hits: bool, where the leak gave the right person.
    """

    asked: Tensor
    answers: dict[str, Tensor]
    error: dict[str, float]
    hits: Tensor

    @property
    def found(self) -> float:
        """Share of right people with the leak."""
        return float(self.hits.float().mean())


def fingerprint(texture: Tensor, visibility: Tensor) -> Tensor:
    """Fine luminance of the face, without light, as unit vectors ``(B, texels)``."""
    mask = (visibility > 0.2).float() * face_mask(texture.shape[-1])
    return F.normalize((fine_log(texture, mask, 0.03) * mask).flatten(1), dim=1)


def split_leak(data: TextureSet) -> Leak:
    """Answer each person's first capture with the studio texture of the most similar other capture."""
    rows = data.captures("phone")
    subject = data.subject[rows]
    nth = torch.tensor([int((subject[:k] == s).sum()) for k, s in enumerate(subject)])
    asked, memory = rows[nth == 0], rows[nth > 0]
    match = fingerprint(*data.phone_batch(asked)) @ fingerprint(*data.phone_batch(memory)).T
    own = data.subject[asked][:, None] == data.subject[memory][None]
    found = {"capture": memory[match.argmax(1)], "subject": memory[match.masked_fill(own, -2).argmax(1)]}
    truth = data.studio_batch(data.subject[asked])
    said = {name: data.studio_batch(data.subject[k]) for name, k in found.items()}
    said["mean"] = (truth.sum(0) - truth) / (len(truth) - 1)
    error = {name: 255 * float((answer - truth).square().mean((1, 2, 3)).sqrt().mean()) for name, answer in said.items()}
    return Leak(asked, found, error, data.subject[found["capture"]] == data.subject[asked])


# --- how different are the people?


@dataclass(frozen=True)
class Diversity:
    """Distances between colourless faces: 0 for copies, √2 where nothing is shared (√(2 − 2r) at a correlation r).

    Attributes:
        any_two: of all pairs. nearest: ``(S,)`` of every subject to the one most alike.
    """

    any_two: Tensor
    nearest: Tensor


def diversity(studio: Tensor, mask: Tensor) -> Diversity:
    """How far apart faces are once every channel has mean 0 and variance 1 inside the mask.

    Args:
        studio: textures ``(S, 3, H, W)``. mask: ``(1, H, W)``, texels above 0.5 count.
    """
    texels = studio.flatten(2)[:, :, mask.flatten() > 0.5]
    plain = ((texels - texels.mean(2, keepdim=True)) / texels.std(2, keepdim=True)).flatten(1)
    apart = torch.cdist(plain, plain) / plain.shape[1] ** 0.5
    any_two = apart[tuple(torch.triu_indices(len(apart), len(apart), 1))]
    nearest = apart.fill_diagonal_(torch.inf).min(1).values
    return Diversity(any_two, nearest)


@dataclass(frozen=True)
class LineUp:
    """How well an identity network tells one person under two lights from two people.

    Attributes:
        people: how many were graded, and on how many others the threshold was chosen.
        grade: on the second half. genuine, impostor: its cosines of pairs of captures of one person, and of two people.
    """

    people: int
    grade: Verification
    genuine: Tensor
    impostor: Tensor


@torch.no_grad()
def line_up(settings: Profile, judge: torch.nn.Module) -> LineUp:
    """Twice as many people of the split "val" as a chapter's set has, three captures each: the threshold is chosen on the
    first half and graded on the second.

    Args:
        judge: an identity network that no loss uses.
    """
    many = 2 * settings.chapter.val_subjects
    counts = {"phone_subjects": 0, "studio_subjects": 0, "pair_subjects": 0, "val_subjects": 2 * many, "lightings": 3}
    people = replace(settings.chapter, **counts)
    data = recipes.chapter_set(replace(settings, data=people, chapter=people))
    device = next(judge.parameters()).device

    def embed(subjects: Tensor) -> tuple[Tensor, Tensor]:
        captures = torch.isin(data.subject, subjects).nonzero().flatten()
        parts = [judge.embed(*data.phone_batch(part, device)).cpu() for part in captures.split(32)]
        return torch.cat(parts), data.subject[captures]

    chosen = verification(*embed(data.subjects("val")[:many]))
    judged = embed(data.subjects("val")[many:])
    return LineUp(many, verification(*judged, threshold=chosen.threshold), *pair_scores(*judged))
