"""Differentiable augmentation of what the discriminator sees: colour, translation, cutout.

Zhao et al., *Differentiable Augmentation for Data-Efficient GAN Training* (NeurIPS 2020). Each is applied to an image with
a fixed probability below one, so that the unchanged image stays the commonest and nothing leaks into the generator
(Karras et al., *Training GANs with Limited Data*, NeurIPS 2020, section 2.2). Strengths are ours, milder than the papers':
textures are registered, and neither a mirror image nor a rotation is a possible texture.

Visibility travels along: texels that translation brings in from outside, or that cutout takes away, are *unobserved*,
which the masked discriminator already knows how to read.
"""

from __future__ import annotations

import torch
from torch import Tensor

BRIGHTNESS = 0.2  # largest shift of a signed image
SATURATION = 0.5  # largest relative change of the distance to grey
CONTRAST = 0.3  # largest relative change of the distance to the mean
SHIFT = 1 / 16  # largest translation, of the side
HOLE = 1 / 3  # side of the cut-out square, of the side


def colour(rgb: Tensor, brightness: Tensor, saturation: Tensor, contrast: Tensor, visibility: Tensor) -> Tensor:
    """Change colours.

    Args:
        rgb: signed ``(B, 3, H, W)``.
        brightness: shift ``(B,)``; 0 = none.
        saturation, contrast: factors ``(B,)`` of the distance to grey and to the mean over observed texels; 1 = none.
        visibility: ``(B, 1, H, W)``, the weights of that mean.
    """
    shape = -1, 1, 1, 1
    grey = rgb.mean(1, keepdim=True)
    rgb = grey + (rgb - grey) * saturation.view(shape)
    observed = visibility.sum((1, 2, 3), keepdim=True).clamp_min(1.0)
    mean = (rgb.mean(1, keepdim=True) * visibility).sum((1, 2, 3), keepdim=True) / observed
    return mean + (rgb - mean) * contrast.view(shape) + brightness.view(shape)


def translate(x: Tensor, shift: Tensor) -> Tensor:
    """Move each image by whole texels; what comes in from outside is zero.

    Args:
        x: ``(B, C, H, W)``.
        shift: int64 ``(B, 2)``, down and right.
    """
    batch, channels, height, width = x.shape
    for axis, size in ((2, height), (3, width)):
        source = torch.arange(size, device=x.device) - shift[:, axis - 2 : axis - 1]  # (B, size)
        inside = (source >= 0) & (source < size)
        view = (batch, 1, size, 1) if axis == 2 else (batch, 1, 1, size)
        index = source.clamp(0, size - 1).view(view).expand_as(x)
        x = x.gather(axis, index) * inside.view(view).to(x.dtype)
    return x


def holes(size: int, centre: Tensor, side: int) -> Tensor:
    """Squares to cut out.

    Args:
        size: texels of the image's side.
        centre: ``(B, 2)``, row and column in texels.
        side: of the square; 0 or less cuts nothing.
    Returns:
        ``(B, 1, size, size)``, 0 inside the square and 1 elsewhere.
    """
    near = (torch.arange(size, device=centre.device) + 0.5 - centre[..., None]).abs() < side / 2  # (B, 2, size)
    return 1.0 - (near[:, 0, :, None] & near[:, 1, None, :])[:, None].float()


def augment(rgb: Tensor, visibility: Tensor, probability: float, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Augment image and visibility together; differentiable in ``rgb``, twice.

    Args:
        rgb: signed ``(B, 3, H, W)``.
        visibility: ``(B, 1, H, W)`` in [0, 1].
        probability: of each of the three kinds, per image; 0 returns the input itself.
        rng: a CPU generator.
    Returns:
        the pair, same shapes.
    """
    if probability <= 0:
        return rgb, visibility
    batch, size = len(rgb), rgb.shape[-1]
    draws = torch.rand(batch, 10, generator=rng).to(rgb.device)
    use = (draws[:, :3] < probability).to(rgb.dtype)
    amount = (draws[:, 3:] * 2 - 1).to(rgb.dtype)  # in [-1, 1]
    brightness, saturation, contrast = (
        amount[:, k] * strength * use[:, 0] for k, strength in enumerate((BRIGHTNESS, SATURATION, CONTRAST))
    )
    rgb = colour(rgb, brightness, 1 + saturation, 1 + contrast, visibility)
    reach = int(size * SHIFT) + 0.5
    shift = (amount[:, 3:5] * reach * use[:, 1:2]).round().long()
    moved = translate(torch.cat([rgb, visibility], 1), shift)
    rgb, visibility = moved[:, :3], moved[:, 3:]
    cut = holes(size, draws[:, 8:10] * size, int(size * HOLE)).to(rgb.dtype)
    keep = torch.where(use[:, 2].view(-1, 1, 1, 1) > 0, cut, torch.ones_like(cut))
    return rgb, visibility * keep
