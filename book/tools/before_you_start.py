"""Draw the figures of the page "Before you start".

    python book/tools/before_you_start.py

They go to book/_static/start-*.png and are committed. Everything in them is computed here; no network, no data.
"""

from __future__ import annotations

from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

from project import ROOT
from studiolike.chapters import figures, portraits

STATIC = ROOT / "book" / "_static"


def light_figure(size: int = 160) -> Figure:
    """A ball with painted cheeks: its own colours, the light on it, and their product."""
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, size)] * 2, indexing="ij")
    inside = x.square() + y.square() < 0.92
    normal = torch.stack([x, y, (1 - x.square() - y.square()).clamp_min(0).sqrt()])
    skin = torch.tensor([0.80, 0.58, 0.46]).view(3, 1, 1).expand(3, size, size)
    cheek = torch.exp(-((x.abs() - 0.45).square() + (y - 0.2).square()) / 0.03) * 0.35
    albedo = skin - cheek * torch.tensor([0.0, 0.45, 0.35]).view(3, 1, 1)
    toward = torch.tensor([-0.75, -0.25, 0.61]).view(3, 1, 1)
    light = 0.1 + 0.85 * (normal * toward).sum(0).clamp_min(0)
    even = torch.full_like(light, 0.85)
    fig, axes = figures.plot(1.9, (1, 1, 1, 1))
    shown = {
        "albedo": albedo,
        "one lamp": light.expand(3, -1, -1),
        "albedo × lamp": albedo * light,
        "albedo × even light": albedo * even,
    }
    for ax, (title, picture) in zip(axes, shown.items(), strict=True):
        figures.picture(ax, torch.where(inside, picture, torch.ones(())), title)
    return fig


def moons(count: int, rng: torch.Generator) -> Tensor:
    """Points ``(count, 2)`` on two half circles: a stand-in for what real pictures have in common."""
    angle = torch.rand(count, generator=rng) * torch.pi
    upper = torch.rand(count, generator=rng) < 0.5
    x = torch.where(upper, angle.cos() - 0.5, 0.5 - angle.cos())
    y = torch.where(upper, angle.sin() - 0.25, 0.25 - angle.sin())
    return 1.5 * torch.stack([x, y], 1)


def noise_figure() -> Figure:
    """Data, and the same with more and more noise: what a diffusion model learns to undo, step by step."""
    rng = torch.Generator().manual_seed(0)
    clean = moons(500, rng)
    noise = torch.randn(clean.shape, generator=rng)
    fig, axes = figures.plot(1.9, (1, 1, 1, 1))
    for ax, share in zip(axes, (0.0, 0.02, 0.2, 1.0), strict=True):
        points = (1 - share) ** 0.5 * clean + share**0.5 * noise
        ax.plot(*points.T, ".", color=figures.COLOURS["studio"], markersize=2)
        ax.set(xlim=(-3, 3), ylim=(-3, 3), xticks=[], yticks=[], aspect="equal", title=f"{share:.0%} noise")
        ax.grid(False)
    return fig


def main() -> None:
    for name, fig in (("layout", portraits.layout_figure()), ("light", light_figure()), ("noise", noise_figure())):
        path = Path(STATIC / f"start-{name}.png")
        path.write_bytes(figures.png_bytes(fig))
        print(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
