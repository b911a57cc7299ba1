"""How different do two textures look? Distances between feature maps, in the form of LPIPS.

Zhang, Isola, Efros, Shechtman, Wang, *The Unreasonable Effectiveness of Deep Features as a Perceptual
Metric*, CVPR 2018, eq. 1: normalise each texel's features to unit length, square the differences, average
over the picture, add up the layers. The paper also learns a weight per channel from human judgements; none
exist for our trunks, so all weights are one (their "uniform" variant), and we take the mean over the layers
so that the range does not depend on depth.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import InputError, MissingExtra, WeightsError
from ..image import to_signed


class PerceptualDistance(nn.Module):
    """LPIPS-form distance on any trunk with ``features(texture, visibility) -> list of (B, C, h, w)``.

    Args:
        trunk: an `IdentityNet`, the engine's ``Discriminator``, or anything alike. It is used as it is:
            neither copied, nor frozen, nor moved to another device here.
        signed: does the trunk want [-1, 1]? Default: its attribute ``signed_input``, else no.
    """

    def __init__(self, trunk: nn.Module, *, signed: bool | None = None):
        super().__init__()
        self.trunk = [trunk]  # in a list: not a submodule, so its weights are neither saved nor trained with the loss
        self.signed = getattr(trunk, "signed_input", False) if signed is None else signed
        trunk_name = getattr(trunk, "name", None)
        self.name = f"LPIPS-form/{trunk_name if isinstance(trunk_name, str) else type(trunk).__name__}"

    def forward(self, a: Tensor, b: Tensor, weight: Tensor | None = None) -> Tensor:
        """Distance per sample, ``(B,)``, at least 0 and at most 4; 0 if the textures agree wherever they count.

        Args:
            a, b: ``(B, 3, H, W)`` in [0, 1], sRGB.
            weight: ``(B, 1, H, W)`` in [0, 1], for example a visibility. The trunk then sees both textures
                through it and the differences are averaged with it, so that texels of weight 0 have no
                influence at all. Where a sample's weight is 0 everywhere the distance is 0.
        """
        mask = torch.ones_like(a[:, :1]) if weight is None else weight.to(a.dtype).expand_as(a[:, :1])
        return self.compare(self.describe(a, mask), self.describe(b, mask), mask)

    def describe(self, texture: Tensor, weight: Tensor | None = None) -> list[Tensor]:
        """Unit-length feature maps of one side, so that a fixed target is described only once."""
        trunk = self.trunk[0]
        mask = torch.ones_like(texture[:, :1]) if weight is None else weight
        maps = trunk.features(to_signed(texture) if self.signed else texture, mask)
        return [_unit(x.float()) for x in maps]

    @staticmethod
    def compare(a: list[Tensor], b: list[Tensor], weight: Tensor | None = None) -> Tensor:
        """Distance ``(B,)`` of two sides made by `describe` with the same ``weight`` ``(B, 1, H, W)``."""
        total = torch.zeros((), device=a[0].device)
        for x, y in zip(a, b, strict=True):
            difference = (x - y).square().sum(1, keepdim=True)
            if weight is None:
                total = total + difference.mean((1, 2, 3))
                continue
            # area means: a coarse texel counts as far as it was seen
            w = F.interpolate(weight.float(), x.shape[-2:], mode="area")
            total = total + (difference * w).sum((1, 2, 3)) / w.sum((1, 2, 3)).clamp_min(1e-8)
        return total / len(a)


def _unit(x: Tensor) -> Tensor:
    # the floor inside the root keeps the gradient finite where a texel has no features (unobserved)
    return x * torch.rsqrt(x.square().sum(1, keepdim=True) + 1e-8)


# First hex digits of the SHA-256 of torchvision's ImageNet trunks; torchvision puts them into the file names.
TRUNKS: dict[str, tuple[str, str]] = {
    "alex": ("alexnet-owt-7be5be79.pth", "7be5be79"),
    "vgg": ("vgg16-397923af.pth", "397923af"),
    "squeeze": ("squeezenet1_1-b8a52dc0.pth", "b8a52dc0"),
}


class PretrainedLPIPS(nn.Module):
    """The original LPIPS behind the interface of `PerceptualDistance`; made by `lpips_pretrained`."""

    def __init__(self, metric: nn.Module, name: str):
        super().__init__()
        self.metric, self.name = metric, name

    def forward(self, a: Tensor, b: Tensor, weight: Tensor | None = None) -> Tensor:
        """Distance ``(B,)`` of ``(B, 3, H, W)`` in [0, 1]; ``weight`` as in `PerceptualDistance.forward`."""
        if weight is None:
            return self.metric(to_signed(a), to_signed(b)).flatten()
        # grey where nothing counts, on both sides, then the map of differences averaged with the weight
        differences = self.metric(to_signed(a) * weight, to_signed(b) * weight)
        return (differences * weight).sum((1, 2, 3)) / weight.sum((1, 2, 3)).clamp_min(1e-8)


def lpips_pretrained(
    net: str = "alex",
    trunk_path: str | Path | None = None,
    *,
    sha256: str | None = None,
    spatial: bool = False,
) -> PretrainedLPIPS:
    """The real LPIPS 0.1 with its learned weights, on an ImageNet trunk from a local file.

    The learned weights come inside the ``lpips`` package; the trunk does not, and nothing is downloaded here.

    Args:
        net: ``"alex"``, ``"vgg"`` or ``"squeeze"``.
        trunk_path: torchvision's weight file of that trunk.
        sha256: expected SHA-256 of the file or its beginning; default: torchvision's published first eight
            digits.
        spatial: keep the map of differences, which ``weight`` needs.
    Raises:
        InputError: unknown ``net``.
        MissingExtra: ``lpips`` or ``torchvision`` is not installed.
        WeightsError: no file, or one whose SHA-256 or content does not fit.
    """
    if net not in TRUNKS:
        raise InputError(f"unknown LPIPS trunk '{net}'; known: {', '.join(TRUNKS)}")
    filename, prefix = TRUNKS[net]
    where = f"fetch https://download.pytorch.org/models/{filename} and pass its path as trunk_path"
    if trunk_path is None or not Path(trunk_path).is_file():
        raise WeightsError(f"LPIPS needs the {net} trunk, found no file at {trunk_path}: {where}")
    with open(trunk_path, "rb") as handle:
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
    if not digest.startswith((sha256 or prefix).lower()):
        raise WeightsError(f"{trunk_path} is damaged or another file (SHA-256 {digest[:12]}…): {where}")
    metric = _lpips_package(net, spatial)
    try:
        trunk = torch.load(trunk_path, map_location="cpu", weights_only=True)
        # the package cuts the trunk into slices but keeps its numbers: slice2.3.weight is features.3.weight
        wanted = {key: "features." + key.split(".", 1)[1] for key in metric.net.state_dict()}
        metric.net.load_state_dict({key: trunk[source] for key, source in wanted.items()})
    except (KeyError, RuntimeError, ValueError, EOFError) as error:
        raise WeightsError(f"{trunk_path} does not hold torchvision's {net} weights: {where}") from error
    return PretrainedLPIPS(metric.requires_grad_(False).eval(), f"LPIPS-0.1/{net}")


LPIPS_FILE = "STUDIOLIKE_LPIPS"  # environment variable: a trunk that lies elsewhere


def lpips_where_present() -> PretrainedLPIPS | None:
    """The real LPIPS if one of its trunks lies on this machine: the file that $STUDIOLIKE_LPIPS names, or torch's hub cache.

    Returns:
        None where there is neither, or where the packages that it needs are not installed and nobody asked for it.
    Raises:
        MissingExtra: the variable is set and a package is missing. WeightsError: the file is damaged, or has not the name
            under which torchvision publishes a trunk.
    """
    named = os.environ.get(LPIPS_FILE)
    cache = Path(torch.hub.get_dir()) / "checkpoints"
    for net, (filename, _) in TRUNKS.items():
        path = Path(named) if named else cache / filename
        if path.name != filename or not (named or path.is_file()):
            continue
        try:
            return lpips_pretrained(net, path)
        except MissingExtra:
            if named:
                raise
            return None
    if named:
        raise WeightsError(f"${LPIPS_FILE} names {named}: the file must be one of {', '.join(f for f, _ in TRUNKS.values())}")
    return None


def _lpips_package(net: str, spatial: bool) -> nn.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the package still uses torchvision's old arguments
            from lpips import LPIPS

            return LPIPS(net=net, pnet_rand=True, spatial=spatial, verbose=False)
    except ImportError as error:
        raise MissingExtra("book", error.name or "lpips") from error
