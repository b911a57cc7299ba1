"""Laboratory of chapter 2: what the parts of G_phone and D_phone are for, each taken away on purpose.

Networks may be on any device; pictures come back on the CPU.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import Profile
from ..evaluation.masked import masked_blur
from ..image import from_signed, luminance, resize, to_signed
from ..layout import region_mask
from ..stylegan2 import Discriminator, Generator, discriminator, generator, losses, ops
from ..stylegan2.bands import GAIN, bands, channels_of_bands
from ..stylegan2.rebase import Frame, centre, fit_mapping, rebase_generator
from ..synth import TextureSet
from .domains import auc
from .painting import decode, overheard, place, sample

LIGHT, DARK = 3 / 128, 0.02  # of `completed`: width of the blur as a share of the side; added before logarithms

# --- a picture is a sum over resolutions


@torch.no_grad()
def sum_of_parts(g_phone: Generator, seed: int) -> tuple[list[Tensor], list[Tensor]]:
    """What each block's toRGB adds to one sample, and the picture after adding it: ``(3, H, W)`` in [0, 1] per block."""
    blocks = g_phone.blocks.values()
    with overheard(block.to_rgb for block in blocks) as parts, overheard(blocks) as sums:
        sample(g_phone, 1, seed)
    return [from_signed(out)[0].cpu() for _, out in parts], [from_signed(out[1])[0].cpu() for _, out in sums]


@torch.no_grad()
def noise_level(g_phone: Generator, seed: int, draws: int = 16) -> float:
    """How far fresh noise moves a texel while w stays: standard deviation in 8-bit levels, mean over the picture."""
    rng, again = torch.Generator().manual_seed(seed), torch.Generator().manual_seed(0)
    w = g_phone.mapping(torch.randn(1, g_phone.config.w_dim, generator=rng).to(place(g_phone)))
    images = [g_phone.synthesis(g_phone.expand(w), "random", again) for _ in range(draws)]
    return 255 * float(from_signed(torch.cat(images)).std(0).mean())


# --- a basis in which random codes are faces


@torch.no_grad()
def lost_and_found(g_phone: Generator, codes: Tensor, seed: int = 21) -> tuple[dict[str, Tensor], float]:
    """Turn and shift every row of W+ on its own, which changes no picture, and find W again from the turned codes alone.

    Args:
        codes: ``(N, L, D)`` of captures.
    Returns:
        Pictures of eight codes by name: as they were, with rows turned, one turned row for all layers, one vector for all
        layers in the basis that was found, and random samples there; and the share of the codes' variance in its span.
    """
    device, rng = place(g_phone), torch.Generator().manual_seed(seed)
    codes, (count, width) = codes.to(device), codes.shape[1:]
    turns = torch.linalg.qr(torch.randn(count, width, width, generator=rng))[0].to(device)
    shifts = torch.randn(count, width, generator=rng).to(device)
    turned, found = copy.deepcopy(g_phone), copy.deepcopy(g_phone)
    for network in (turned, found):
        rebase_generator(network, Frame(shifts.double(), turns.double(), 1.0))
    names = torch.einsum("lde,bld->ble", turns, codes - shifts)  # the inverse of a turn is its transpose
    frame = Frame.of(names)
    rebase_generator(found, frame)
    fit_mapping(found, frame.coordinates(names), rng)
    centre(found)
    picked = torch.linspace(0, len(codes) - 1, 8).long().to(device)
    pictures = {
        "codes": decode(g_phone, codes[picked]),
        "rows turned": decode(turned, names[picked]),
        "… one row": decode(turned, turned.expand(names[picked, count // 2])),
        "new basis": decode(found, found.expand(frame.coordinates(names[picked]))),
        "… random": sample(found, 8, 5),
    }
    return pictures, frame.explained


# --- one part at a time


def mean_factor(x: Tensor, weight: Tensor, style: Tensor, *, up: bool = False) -> tuple[Tensor, Tensor]:
    """Modulated convolution whose demodulation no longer depends on the sample."""
    y, demodulation = ops.modulated_conv(x, weight, style, up=up)
    return y, demodulation.mean(0, keepdim=True).expand_as(demodulation)


@torch.no_grad()
def last_strength(g_phone: Generator, codes: Tensor) -> float:
    """How much the strength of the last block's feature maps varies over samples, in per cent."""
    with overheard(list(g_phone.blocks.values())[-1:]) as heard:
        g_phone.synthesis(codes)
    return 100 * float(heard[0][1][0].square().mean((1, 2, 3)).sqrt().log().std())


@torch.no_grad()
def switched_off(g_phone: Generator, codes: Tensor) -> dict[str, Tensor]:
    """Pictures of codes ``(B, L, D)`` with one part taken away at a time, by the part's name."""
    split = g_phone.rows(8).stop - 1
    mean = g_phone.expand(g_phone.w_mean[None]).expand_as(codes)
    with overheard([list(g_phone.blocks.values())[-1].to_rgb]) as last:
        off = {"nothing": decode(g_phone, codes), "noise": decode(g_phone, codes, "none")}
    off["skips"] = from_signed(last[0][1]).cpu()
    with patch.object(generator, "modulated_conv", mean_factor):
        off["demodulation"] = decode(g_phone, codes)
    off["coarse_rows"] = decode(g_phone, torch.cat([mean[:, :split], codes[:, split:]], 1))
    off["finer_rows"] = decode(g_phone, torch.cat([codes[:, :split], mean[:, split:]], 1))
    return off


def strengths(g_phone: Generator, codes: Tensor) -> tuple[float, float]:
    """`last_strength` with demodulation, and with one factor for all samples."""
    with patch.object(generator, "modulated_conv", mean_factor):
        loose = last_strength(g_phone, codes)
    return last_strength(g_phone, codes), loose


@torch.no_grad()
def betrayal(d_phone: Discriminator, texture: Tensor, visibility: Tensor) -> tuple[float, float]:
    """How much higher D rates the first of these captures among the others than among copies of itself: with its group
    statistic, and without."""
    rgb, seen = to_signed(texture).to(place(d_phone)), visibility.to(place(d_phone))

    def gap() -> float:
        alone = d_phone(rgb[:1].expand_as(rgb), seen[:1].expand_as(seen))
        return float(d_phone(rgb, seen)[0] - alone[0])

    with patch.object(discriminator, "minibatch_std", lambda x: torch.cat([x, torch.zeros_like(x[:, :1])], 1)):
        without = gap()
    return gap(), without


# --- which rows hold what


@dataclass(frozen=True)
class Swaps:
    """What moves when rows of a code are replaced by another person's.

    Attributes:
        rows: by name, which rows were replaced. moved: by what was looked at, for each of them, how far it moves as a share
            of what replacing *all* rows does; a median over pairs. These are lengths, so several need not add up to 1.
        nearer: likewise, in what share of pairs the result is nearer to the giver of these rows than to the other person.
    """

    rows: dict[str, range]
    moved: dict[str, list[float]]
    nearer: dict[str, list[float]]

    def of(self, name: str, what: str) -> tuple[float, float]:
        """``moved`` and ``nearer`` of one group of rows."""
        place = list(self.rows).index(name)
        return self.moved[what][place], self.nearer[what][place]


def groups_of_rows(g_phone: Generator) -> dict[str, range]:
    """Rows of each block's convolutions, then those up to the last convolution at 8², those up to its toRGB, and the rest."""
    end, cut = g_phone.num_ws, g_phone.rows(8).stop - 1
    groups = {}
    for name in g_phone.blocks:
        rows = g_phone.rows(int(name))
        last = rows.stop if rows.stop == end else rows.stop - 1  # a toRGB row belongs to the next block's convolution
        groups[f"{name}²"] = range(rows.start, last)
    halves = (range(cut), range(cut, end), range(cut + 1), range(cut + 1, end))
    return groups | {f"rows {half.start + 1}–{half.stop}": half for half in halves}


@torch.no_grad()
def swapped_rows(g_phone: Generator, codes: Tensor, judge: nn.Module) -> Swaps:
    """Replace each of `groups_of_rows` by another person's.

    Args:
        codes: ``(B, L, D)`` of different people; the first half are paired with the last half.
        judge: an identity network that no loss uses.
    Returns:
        How far three things move: the identity embedding, luminance averaged down to 8², and its detail above that.
    """
    size, half = g_phone.config.resolution, min(len(codes) // 2, 32)
    face = region_mask("face", size)[None]

    def describe(code: Tensor) -> dict[str, Tensor]:
        image = decode(g_phone, code)
        light = luminance(image) * face
        broad = resize(light, 8)
        detail = light - F.interpolate(broad, size, mode="bilinear")
        identity = judge.embed(image.to(place(judge))).cpu()
        return {"identity": identity, "broad light": broad.flatten(1), "detail above 8²": detail.flatten(1)}

    mine, other = codes[:half], codes[-half:]
    before, after = describe(mine), describe(other)
    groups = groups_of_rows(g_phone)
    moved: dict[str, list[float]] = {name: [] for name in before}
    nearer: dict[str, list[float]] = {name: [] for name in before}
    for rows in groups.values():
        swapped = mine.clone()
        swapped[:, list(rows)] = other[:, list(rows)]
        now = describe(swapped)
        for key in moved:
            went, left = (now[key] - before[key]).norm(dim=1), (after[key] - now[key]).norm(dim=1)
            moved[key].append(float((went / (after[key] - before[key]).norm(dim=1).clamp_min(1e-6)).median()))
            nearer[key].append(float((left < went).float().mean()))
    return Swaps(groups, moved, nearer)


# --- what goes wrong: a discriminator that sees the holes, and one that is blind to grain


@dataclass(frozen=True)
class Contest:
    """A small discriminator, trained to tell real captures from others.

    Attributes:
        images: how many it had seen when it was graded. auc: on people it was not trained on, 0.5 is guessing.
        real, fake: signed textures of those people. visibility: of both.
        gradient: ``(B, 1, H, W)``, squared, of the generator's loss on the fakes: where it would be told to change.
    """

    images: list[int]
    auc: list[float]
    real: Tensor
    fake: Tensor
    visibility: Tensor
    gradient: Tensor

    @property
    def in_holes(self) -> float:
        """Share of the squared gradient in texels that the capture did not see."""
        return float((self.gradient * (self.visibility == 0)).sum() / self.gradient.sum().clamp_min(1e-20))

    @property
    def steps(self) -> tuple[float, float]:
        """Mean step across the rim of the holes, in levels, in the real pictures and in the others: a seam shows in it."""
        seen = self.visibility > 0
        rim = (seen[..., 1:] != seen[..., :-1]).float()

        def step(x: Tensor) -> float:
            return 127.5 * float(((x[..., 1:] - x[..., :-1]).abs().mean(1, keepdim=True) * rim).sum() / rim.sum().clamp_min(1))

        return step(self.real), step(self.fake)


def completed(data: TextureSet, rows: Tensor, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Captures, the same captures with every hole filled by the person's true skin, and their visibility; both signed.

    The skin is lit by the light beside the hole: a blur, over observed texels, of what the capture is brighter than the skin.
    Far from all of them it is lit by the capture's mean light.
    """
    texture, visibility = data.phone_batch(rows, device)
    skin = torch.log(data.studio_batch(data.subject[rows], device) + DARK)
    light = masked_blur(torch.log(texture + DARK) - skin, visibility, LIGHT * data.resolution)
    filled = torch.where(visibility > 0, texture, (torch.exp(skin + light) - DARK).clamp(0, 1))
    return to_signed(texture), to_signed(filled), visibility


def without_grain(data: TextureSet, rows: Tensor, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Captures, the same captures without their finest octave, and their visibility; both signed."""
    texture, visibility = data.phone_batch(rows, device)
    rgb = to_signed(texture)
    return rgb, rgb - bands(rgb, visibility)[:, :3] / GAIN, visibility


def hole_contest(data: TextureSet, settings: Profile, device: torch.device, *, masked: bool) -> Contest:
    """Real captures against completed ones, for a discriminator that sees plain pictures or (v ⊙ x, v)."""
    judge = _small(data.resolution, 512, 32, 4 if masked else 3).to(device)
    return _contest(judge, completed, data, settings, device, settings.contest_images, settings.pretrain.lr, masked)


def grain_contest(data: TextureSet, settings: Profile, device: torch.device, *, with_bands: bool) -> Contest:
    """Captures against the same without their finest octave, for a discriminator with `bands` or with colours alone.

    Both begin with the same weights; those that would read the bands are zero, and stay zero, in the second one.
    """
    judge = _small(data.resolution, 1024, 64, 4).to(device)
    if not with_bands:
        weight = judge.from_rgb.weight
        kept = weight.shape[1] - channels_of_bands(data.resolution)
        read = (torch.arange(weight.shape[1], device=device) < kept).float().view(1, -1, 1, 1)
        weight.data.mul_(read)
        weight.register_hook(lambda slope: slope * read)
    lr = settings.pretrain.lr * settings.pretrain.d_rate
    return _contest(judge, without_grain, data, settings, device, 2 * settings.contest_images, lr, True)


def _small(resolution: int, base: int, most: int, inputs: int) -> Discriminator:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Discriminator(resolution, channel_base=base, channel_max=most, in_channels=inputs)


def _contest(
    judge: Discriminator,
    make: Callable,
    data: TextureSet,
    settings: Profile,
    device: torch.device,
    images: int,
    lr: float,
    masked: bool,
) -> Contest:
    adam = torch.optim.Adam(judge.parameters(), lr=lr, betas=(0.0, 0.99))
    rng, phone, batch = torch.Generator().manual_seed(0), data.captures("phone"), settings.pretrain.batch
    real, fake, visibility = make(data, data.captures("val"), device)
    steps, at, grades = images // batch, [], []
    labels = torch.cat([torch.ones(len(real)), torch.zeros(len(fake))])

    def look(rgb: Tensor, seen: Tensor) -> Tensor:
        return judge(rgb, seen if masked else None)

    for step in range(steps + 1):
        if step % max(steps // 16, 1) == 0 or step == steps:
            with torch.no_grad():
                logits = torch.cat([look(side, visibility).flatten() for side in (real, fake)])
            at.append(step * batch)
            grades.append(auc(logits.cpu(), labels))
        a, b = (make(data, phone[torch.randint(len(phone), (batch,), generator=rng)], device) for _ in range(2))
        loss = losses.discriminator_loss(look(a[0], a[2]), look(b[1], b[2]))
        adam.zero_grad()
        loss.backward()
        adam.step()
    picture = fake.clone().requires_grad_(True)
    losses.generator_loss(look(picture, visibility)).backward()
    gradient = picture.grad.square().sum(1, keepdim=True)
    return Contest(at, grades, *(x.detach().cpu() for x in (real, fake, visibility, gradient)))


def loudness(rgb: Tensor, visibility: Tensor) -> Tensor:
    """Standard deviation ``(2,)`` of the two finest octaves of signed images over observed texels."""
    found = (bands(rgb, visibility) / GAIN).unflatten(1, (-1, 3))[:, :2].square().mean(2)
    return (found.sum((0, 2, 3)) / visibility.sum()).sqrt()
