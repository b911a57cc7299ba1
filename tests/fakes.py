"""A tiny stand-in with the attributes and methods of a `TextureSet`, for tests of what only reads one."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from studiolike.image import resize


class FakeSet:
    """Subjects = coloured low-frequency patterns; lightings = smooth gains; holes = a random half plane."""

    def __init__(self, subjects: int = 12, lightings: int = 3, resolution: int = 32, seed: int = 0):
        rng = torch.Generator().manual_seed(seed)
        self.resolution, self.manifest = resolution, {"name": "fake", "subjects": subjects, "seed": seed}
        pattern = torch.rand(subjects, 3, 8, 8, generator=rng) * 0.5 + torch.rand(subjects, 3, 1, 1, generator=rng) * 0.3
        studio = resize(pattern + 0.1, resolution).clamp(0, 1)
        self.subject = np.repeat(np.arange(subjects), lightings)
        self.lighting = np.tile(np.arange(lightings), subjects)
        n = len(self.subject)
        gain = torch.exp(0.35 * torch.randn(n, 1, 2, 2, generator=rng))
        gain = torch.nn.functional.interpolate(gain, (resolution, resolution), mode="bilinear", align_corners=False)
        phone = (studio[self.subject] * gain).clamp(0, 1)
        column = torch.arange(resolution).float() / resolution
        visibility = (column[None, :] < 0.7 + 0.3 * torch.rand(n, 1, generator=rng)).float()
        visibility = visibility[:, None, None, :].expand(n, 1, resolution, resolution)
        self.studio, self.phone, self.visibility = _bytes(studio), _bytes(phone * visibility), _bytes(visibility)
        self.severity = gain.amax((1, 2, 3)).numpy()
        self.tone = np.linspace(0, 1, subjects)
        self.seeds = np.arange(subjects)

    def subjects(self, split: str) -> Tensor:
        cuts = np.cumsum([0, 0.4, 0.15, 0.1, 0.2, 0.15]) * len(self.studio)
        k = ["phone", "studio", "pairs", "val", "test"].index(split)
        return torch.arange(round(cuts[k]), round(cuts[k + 1]))

    def captures(self, split: str) -> Tensor:
        return torch.from_numpy(np.flatnonzero(np.isin(self.subject, self.subjects(split).numpy())))

    def phone_batch(self, rows: Tensor, device: str = "cpu") -> tuple[Tensor, Tensor]:
        rows = np.asarray(rows)
        return _floats(self.phone[rows], device), _floats(self.visibility[rows], device)

    def studio_batch(self, rows: Tensor, device: str = "cpu") -> Tensor:
        return _floats(self.studio[np.asarray(rows)], device)


def _bytes(x: Tensor) -> np.ndarray:
    return (x * 255).round().to(torch.uint8).numpy()


def _floats(x: np.ndarray, device: str) -> Tensor:
    return torch.from_numpy(x).to(device).float() / 255
