"""The codes that G_studio will be asked for: captures as they come in, through the encoder.

At test time a code is what the encoder says about somebody's capture, under whatever light, exposure and white balance, and
of a face and nothing else. So that is what G_studio learns from: codes of captures that are disturbed at random, many of them cut
down to the face. A few disturbances of each can be encoded once and kept, for encoding costs as much as G_studio's step.
Two captures of one person go together: G_studio must paint one texture for both. That needs no studio texture, and so every
person of the pre-training set can teach it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import InputError
from ..image import linear_to_srgb, srgb_to_linear
from ..io import atomic
from ..layout import face_mask
from ..progress import bar
from ..stylegan2.encoder import encode
from .losses import DARK, log_light

EXPOSURE, BALANCE, GAMMA = 0.4, 0.12, 0.12  # standard deviations of the logarithms
LOW = 16  # patches along a side of the low band that other captures tell


def disturb(
    texture: Tensor, visibility: Tensor, rng: torch.Generator, share: float = 0.7, portrait: float = 0.5, shadow: float = 0.35
) -> tuple[Tensor, Tensor]:
    """Captures as they come in: another exposure, white balance and tone curve, somebody's shadow, one photo's face.

    Args:
        texture: ``(B, 3, H, W)`` sRGB in [0, 1]. visibility: ``(B, 1, H, W)`` in [0, 1].
        rng: a CPU generator.
        share: of the captures that are changed at all.
        portrait: share of those that are cut down to a face oval with an uneven border.
        shadow: share of those on which a soft, red-edged shadow falls (scattered light reddens a shadow's edge on skin).
    Returns:
        the same shapes.
    """
    batch, _, _, size = texture.shape
    draw = torch.rand(batch, 6, 1, 1, 1, generator=rng)
    normal = torch.randn(batch, 5, generator=rng)[..., None, None]
    field = (smooth_field(batch, 3, size, rng) + 0.3 * smooth_field(batch, 8, size, rng)).to(texture)
    border = 0.08 * smooth_field(batch, 6, size, rng).to(texture)
    used, cut, shaded, level, width, depth = (d.to(texture) for d in draw.unbind(1))
    gain = torch.exp(EXPOSURE * normal[:, :1] + BALANCE * normal[:, 1:4]).to(texture)
    width, level, depth = 0.05 + 0.4 * width, 0.4 + 0.6 * level, (0.3 + 1.2 * depth) * (shaded < shadow)
    edge = torch.cat([torch.sigmoid((field - level + reach * width) / width) for reach in (-0.6, 0.0, 0.0)], 1)
    changed = linear_to_srgb((srgb_to_linear(texture) * gain * torch.exp(-depth * edge)).clamp(0, 1)).clamp(0, 1)
    changed = changed ** torch.exp(GAMMA * normal[:, 4:]).to(texture)
    used = (used < share).to(texture)
    oval = F.avg_pool2d(face_mask(size).to(texture).view(1, 1, size, size), 7, 1, 3)
    oval = F.avg_pool2d((oval + border > 0.5).to(texture), 3, 1, 1)
    shown = torch.lerp(torch.ones_like(visibility), oval, used * (cut < portrait))
    return torch.lerp(texture, changed, used), visibility * shown


def smooth_field(batch: int, cells: int, size: int, rng: torch.Generator) -> Tensor:
    """A smooth random field ``(B, 1, size, size)`` of about unit variance, ``cells`` bumps across."""
    field = torch.randn(batch, 1, cells + 3, cells + 3, generator=rng)
    return F.interpolate(field, (size, size), mode="bicubic", align_corners=True)


class EncodedCaptures:
    """Draws people of a texture set, two captures of each, as the encoder's codes.

    Args:
        data: a `TextureSet`, possibly guarded (`protocols.permitted`).
        rows: capture rows to draw from ``(N,)``.
        encoder, generator: the encoder and the G_phone whose codes it gives.
        passes: of the encoder.
        share: of the captures that are disturbed.
    Raises:
        InputError: no rows.
    """

    def __init__(self, data, rows: Tensor, encoder: nn.Module, generator: nn.Module, passes: int = 2, share: float = 0.7):
        rows = torch.as_tensor(rows, dtype=torch.long)
        if not len(rows):
            raise InputError("no captures to draw codes from: the list of rows is empty")
        owner = torch.as_tensor(data.subject)[rows]
        people, index = owner.unique(return_inverse=True)
        order = index.argsort(stable=True)
        self.data, self.rows, self.people = data, rows[order], people
        self.sorted = self.rows.sort()  # see `places`
        self.counts = torch.bincount(index)
        self.first = self.counts.cumsum(0) - self.counts
        self.encoder, self.generator, self.passes, self.share = encoder, generator, passes, share
        self.kept: Tensor | None = None

    def keep(self, count: int, path: Path | None = None, seed: int = 0, progress: bool = False) -> None:
        """Encode ``count`` disturbances of every capture now; codes are drawn from these from here on.

        Args:
            count: of each capture; of an undisturbed share some are equal. 0 makes codes anew each time, as without this call.
            path: file that keeps them, half precision; one that is there already is read instead.
            seed: of the disturbances.
            progress: show a bar.
        """
        from safetensors.torch import load_file, save_file

        if not count:
            return
        if path is not None and path.is_file():
            self.kept = load_file(path)["codes"]
            return
        rng = torch.Generator().manual_seed(seed)
        shape = (count, len(self.rows), self.generator.num_ws, self.generator.config.w_dim)
        self.kept = torch.empty(shape, dtype=torch.float16)
        parts = [(kept, start) for kept in self.kept for start in range(0, len(self.rows), 32)]
        for kept, start in bar(parts, "codes", "batch", show=progress):
            kept[start : start + 32] = self._encode(self.rows[start : start + 32], rng).cpu()
        if path is not None:
            with atomic(path) as temporary:
                save_file({"codes": self.kept}, temporary)

    def __len__(self) -> int:
        return len(self.people)

    def codes(self, rows: Tensor, rng: torch.Generator) -> Tensor:
        """Codes ``(n, L, D)`` of captures among ``self.rows``, disturbed by ``rng``: of those that are kept, or new ones."""
        if self.kept is None:
            return self._encode(rows, rng)
        return self.kept[torch.randint(len(self.kept), (len(rows),), generator=rng), self.places(rows)].float()

    def places(self, rows: Tensor) -> Tensor:
        """Where captures ``rows (n,)`` stand in ``self.rows``."""
        return self.sorted.indices[torch.searchsorted(self.sorted.values, rows)]

    @torch.no_grad()
    def _encode(self, rows: Tensor, rng: torch.Generator) -> Tensor:
        texture, visibility = self.data.phone_batch(rows, self.generator.w_mean.device)
        return encode(self.encoder, self.generator, *disturb(texture, visibility, rng, self.share), self.passes)

    def twins(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Codes ``(2n, L, D)``, two captures of a person next to each other, and the rows of these captures ``(2n,)``.

        Somebody with a single capture is drawn with two disturbances of it.
        """
        chosen = torch.randint(len(self), (n,), generator=rng)
        place = torch.rand(n, 2, generator=rng)
        count = self.counts[chosen]
        one = (place[:, 0] * count).long()
        other = (one + 1 + (place[:, 1] * (count - 1)).long()) % count
        rows = self.rows[self.first[chosen, None] + torch.stack([one, other], 1)].flatten()
        return self.codes(rows, rng), rows

    def __call__(self, n: int, rng: torch.Generator) -> Tensor:
        """``(n, L, D)`` codes, one capture of each of ``n`` people: a sampler like `CodeSampler`."""
        return self.twins(n, rng)[0][::2]


@dataclass(frozen=True)
class EncodedPairs:
    """The few pairs, drawn anew each time: ``captures`` of people whose true texture ``data`` may show."""

    captures: EncodedCaptures

    def __len__(self) -> int:
        return len(self.captures)

    def draw(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Codes ``(n, L, D)``, two captures of each person, and the true textures ``(n, 3, H, W)`` uint8; n is even."""
        codes, rows = self.captures.twins(max(n // 2, 1), rng)
        people = torch.as_tensor(self.captures.data.subject)[rows]
        return codes, torch.as_tensor(self.captures.data.studio[people.numpy()])


class OtherLights:
    """What a person's *other* captures say about the low band of the studio texture, for people without one.

    The light of another capture is noise that has nothing to do with the light of this one. A network that predicts, by least
    squares, a target with such noise learns what it would have learnt from the clean one (Lehtinen et al., *Noise2Noise*, ICML
    2018): the mean over what is not known. So log I of the others, less the mean log light, which the few pairs tell, stands
    for the log studio texture nobody has of this person. Where a person has a single capture nothing is asked.

    Args:
        captures: of the people to learn from. paired: of people whose true texture may be read.
        side: of the low band: area means of as many patches along a side.
    """

    def __init__(self, captures: EncodedCaptures, paired: EncodedCaptures, side: int = LOW):
        data = paired.data
        owner = torch.as_tensor(data.subject, dtype=torch.long)
        light, weight = self._seen(data, paired.rows, side)
        truth = torch.cat([log_light(data.studio_batch(owner[part]), side) for part in paired.rows.split(64)])
        total = weight.sum(0)
        self.mean = ((light - truth) * weight).sum(0) / total.clamp_min(1e-3)
        light, weight = self._seen(captures.data, captures.rows, side)
        self.weight = weight * (total > 1)  # where hardly any pair was seen, the mean light is not known
        self.value = (light - self.mean) * self.weight
        self.captures, count = captures, len(captures)
        self.person = torch.arange(count, device="cpu").repeat_interleave(captures.counts, output_size=len(captures.rows))
        self.total = [x.new_zeros(count, *x.shape[1:]).index_add_(0, self.person, x) for x in (self.value, self.weight)]

    @staticmethod
    def _seen(data, rows: Tensor, side: int) -> tuple[Tensor, Tensor]:
        """Log light ``(N, 3, side, side)`` of what was seen of captures, and how much that is ``(N, 1, side, side)``."""
        parts = []
        for part in torch.as_tensor(rows, dtype=torch.long).split(256):
            texture, visibility = data.phone_batch(part)
            weight = F.adaptive_avg_pool2d(visibility, side)
            mean = F.adaptive_avg_pool2d(srgb_to_linear(texture) * visibility, side) / weight.clamp_min(1e-3)
            parts.append(((mean + DARK).log(), weight))
        light, weight = zip(*parts, strict=True)
        return torch.cat(light), torch.cat(weight)

    def __call__(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Log light ``(n, 3, side, side)`` to expect of the studio textures behind captures ``rows (n,)``, and its weight
        ``(n, 1, side, side)``, the visibility summed over the other captures."""
        place = self.captures.places(rows)
        value, weight = (
            total[self.person[place]] - own[place] for total, own in zip(self.total, (self.value, self.weight), strict=True)
        )
        return value / weight.clamp_min(1e-3), weight.clamp_min(0)
