"""Run methods over the captures of a set and measure them against the true studio textures.

In: methods as plain callables, a `TextureSet`, capture rows. Out: an `EvaluationTable`. The region a camera
saw, the holes, and the face are measured apart: a method may copy the first and has to invent the second.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from ..device import device_name
from ..errors import InputError
from ..features import IdentityNet, PerceptualDistance
from ..image import resize
from ..layout import region_mask
from .colour import colour_error
from .faceid import faceid
from .kid import PooledFeatures, kid
from .lighting import asymmetry, low_band_error, variance_ratio
from .perceptual import perceptual, perceptual_judge
from .psnr import gain_fitted, psnr
from .ssim import ssim
from .table import EvaluationTable

Method = Callable[[Tensor, Tensor], Tensor]
REGIONS = ("observed", "holes", "face")
REFERENCE = "held-out studio textures (val)"  # what KID compares with by default


def region(name: str, visibility: Tensor) -> Tensor:
    """Mask ``(B, 1, H, W)`` of a region: ``observed`` and ``holes`` follow the visibility, other names the
    layout.

    Raises:
        InputError: unknown region.
    """
    if name in ("observed", "holes"):
        return visibility if name == "observed" else 1 - visibility
    return region_mask(name, visibility.shape[-1]).to(visibility).expand_as(visibility)


@torch.no_grad()
def evaluate(
    methods: dict[str, Method],
    data,
    rows: Sequence[int] | Tensor,
    *,
    eval_net: IdentityNet,
    regions: Sequence[str] = REGIONS,
    batch: int = 16,
    resolution: int | None = None,
    lpips: nn.Module | None = None,
    reference_subjects: Tensor | None = None,
    device: str | torch.device = "cpu",
    seed: int = 0,
    progress: bool = False,
) -> EvaluationTable:
    """Measure every method on every capture.

    Args:
        methods: name → callable(texture ``(B, 3, H, W)``, visibility ``(B, 1, H, W)``) → texture, in [0, 1],
            of any side.
        data: a `TextureSet`. rows: its capture rows, for example ``data.captures("test")``; their true studio
            textures are the targets.
        eval_net: the identity network no loss has seen; FaceID uses it and is named after it.
        regions: regions for PSNR, SSIM and the perceptual distance.
        resolution: side at which everything is compared and every network but ``eval_net`` looks; default that of the set.
            Outputs of other sides are resampled to it.
        lpips: a distance beside `perceptual_judge`, whose trunk also gives KID its features; such as `lpips_pretrained(...)`.
        reference_subjects: studio rows that KID compares with; default the set's "val" subjects. They must
            not be the subjects of ``rows``, nor ones a method was trained on, or copying would look good.
            With fewer than 4, no KID.
        seed: of the choice of KID subsets.
    Raises:
        InputError: no rows, no methods, an output that is no texture, or reference subjects that are also
            evaluated.
    """
    rows = torch.as_tensor(rows, dtype=torch.long)
    if not len(rows) or not methods:
        raise InputError("nothing to evaluate: give at least one capture row and one method")
    resolution = resolution or data.resolution
    subject = torch.as_tensor(data.subject, dtype=torch.long)[rows]
    reference = REFERENCE if reference_subjects is None else "other studio textures"
    reference_subjects = torch.as_tensor(
        data.subjects("val") if reference_subjects is None else reference_subjects, dtype=torch.long
    )
    if torch.isin(reference_subjects, subject).any():
        raise InputError("KID's reference subjects are among the evaluated ones; choose others")
    eval_net = eval_net.to(device).eval()
    judge = perceptual_judge(str(device))
    distances = {"perceptual": judge} | ({"lpips": lpips.to(device)} if lpips is not None else {})
    collected: dict[str, list[dict[str, Tensor]]] = {name: [] for name in methods}
    features = PooledFeatures(judge.trunk[0])
    described: dict[str, list[Tensor]] = {name: [] for name in methods}
    outputs: dict[str, list[Tensor]] = {name: [] for name in methods}
    inputs, seen = [], []
    bar = tqdm(total=len(rows) * len(methods), desc="evaluate", unit="img", disable=not progress)
    for part in torch.arange(len(rows)).split(batch):
        texture, visibility = data.phone_batch(rows[part], device)
        target = resize(data.studio_batch(subject[part], device), resolution)
        small = resize(visibility, resolution)
        masks = {name: region(name, small) for name in regions}
        truth = {key: d.describe(target) for key, d in distances.items() if isinstance(d, PerceptualDistance)}
        inputs.append(_small(resize(texture, resolution)).cpu())
        seen.append(_small(small).cpu())
        for name, method in methods.items():
            started = time.perf_counter()
            output = method(texture, visibility)
            if torch.device(device).type == "cuda":
                torch.cuda.synchronize(device)
            seconds = (time.perf_counter() - started) / len(part)
            output = _checked(name, output, texture, resolution)
            measured = _measure(output, target, small, masks, distances, truth, eval_net)
            measured["seconds"] = torch.full((len(part),), seconds)
            collected[name].append({key: value.float().cpu() for key, value in measured.items()})
            described[name].append(features(output).cpu())
            outputs[name].append(_small(output).cpu())
            bar.update(len(part))
    bar.close()

    face_seen = torch.cat(seen) * region("face", torch.cat(seen))
    phone = torch.cat(inputs)
    parts = reference_subjects.split(batch)
    references = [features(resize(data.studio_batch(k, device), resolution)).cpu() for k in parts if len(k)]
    values, scores = {}, {}
    for name in methods:
        columns = {key: torch.cat([c[key] for c in collected[name]]).numpy() for key in collected[name][0]}
        results = torch.cat(outputs[name])
        ratio, ids = variance_ratio(results, phone, subject, face_seen)
        columns["variance_ratio"] = ratio[torch.searchsorted(ids, subject)].numpy()
        values[name] = columns
        if len(reference_subjects) >= 4 and len(rows) >= 4:
            scores[name] = kid(nn.Identity(), torch.cat(described[name]), torch.cat(references), seed=seed)
    networks = {key: f"{distance.name}@{resolution}" for key, distance in distances.items()} | {"faceid": eval_net.name}
    if scores:
        networks["KID"] = f"{features.name}@{resolution}"
    tone = np.asarray(data.tone)[subject.numpy()]
    return EvaluationTable(
        rows.numpy(),
        subject.numpy(),
        np.asarray(data.severity)[rows.numpy()],
        tone,
        values,
        scores,
        reference if scores else "",
        networks,
        resolution,
        device_name(device),
    )


def _measure(
    output: Tensor,
    target: Tensor,
    seen: Tensor,
    masks: dict[str, Tensor],
    distances: dict[str, nn.Module],
    described: dict[str, list[Tensor]],
    net: IdentityNet,
) -> dict[str, Tensor]:
    """All metrics of one batch, ``(B,)`` each."""
    measured = {}
    for name, mask in masks.items():
        measured[f"psnr/{name}"] = psnr(output, target, mask)
        measured[f"psnr_fitted/{name}"] = psnr(gain_fitted(output, target, mask), target, mask)
        measured[f"ssim/{name}"] = ssim(output, target, mask)
        for key, distance in distances.items():
            measured[f"{key}/{name}"] = perceptual(distance, output, target, mask, described.get(key))
    measured |= {f"faceid_{key}": value for key, value in faceid(net, output, target).items()}
    measured |= low_band_error(output, target, seen)
    face = region("face", output[:, :1])
    measured["colour"] = colour_error(output, target, face)
    measured["asymmetry"] = asymmetry(output, face * seen)  # a hole is not light
    return measured


def _checked(name: str, output: Tensor, texture: Tensor, resolution: int) -> Tensor:
    """The method's output at the common size, refused if it is no texture."""
    if output.ndim != 4 or output.shape[:2] != texture.shape[:2]:
        raise InputError(f"method '{name}' gave {tuple(output.shape)}, not ({len(texture)}, 3, H, W)")
    if not torch.isfinite(output).all():
        raise InputError(f"method '{name}' gave values that are not finite")
    return resize(output.to(texture), resolution).clamp(0, 1)


def _small(x: Tensor) -> Tensor:
    """At most 256 texels wide: what is kept of every output to compare lightings, which are low-frequency."""
    return resize(x, min(x.shape[-1], 256))
