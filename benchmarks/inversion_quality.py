"""Quality and speed of inversion on unseen captures: the encoder, a few steps from its codes, many from the mean w.

The released networks, on captures of validation subjects that no network was trained on. PSNR is over observed texels.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

LIGHTINGS = 2  # captures of each subject


def validation_captures(resolution: int, count: int, root: Path, device: str) -> tuple[Tensor, Tensor]:
    """Textures and visibility of ``count`` captures of the split "val"; the set is made under ``root`` once."""
    from studiolike.config import profile
    from studiolike.recipes import make_set

    config = replace(
        profile("cpu").data,
        resolution=resolution,
        phone_subjects=0,
        studio_subjects=0,
        pair_subjects=0,
        val_subjects=-(-count // LIGHTINGS),
        test_subjects=0,
        lightings=LIGHTINGS,
    )
    data = make_set(config, root, device=device)
    return data.phone_batch(data.captures("val")[:count], device)


def quality_rows(device: str, count: int = 64, few: int = 10, many: int = 400, root: Path = Path("runs/data")) -> Iterator[dict]:
    """Rows of mean observed PSNR and of seconds per texture.

    Args:
        few: steps from the encoder's codes, quasi-Newton with the released curvature and Adam's. many: steps of Adam from the
            mean w.
    """
    from studiolike import weights
    from studiolike.config import InversionConfig
    from studiolike.image import to_signed
    from studiolike.inversion import WPrior, invert, observed_psnr
    from studiolike.stylegan2 import encode

    names = ("g_phone", "d_phone", "encoder", "curvature")
    g, d, encoder, curvature = (weights.load(name, device=device) for name in names)
    texture, visibility = validation_captures(g.config.resolution, count, root, device)
    prior = WPrior.from_generator(g)
    batches = list(zip(texture.split(InversionConfig.batch), visibility.split(InversionConfig.batch), strict=True))

    def encoder_alone(passes: int):
        @torch.no_grad()
        def run(x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
            w_plus = encode(encoder, g, x, v, passes)
            return w_plus, observed_psnr(g.synthesis(w_plus).clamp(-1, 1), to_signed(x), v)

        return run

    def optimised(steps: int, encoded: bool, newton: bool):
        def run(x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
            start = encode(encoder, g, x, v) if encoded else None
            result = invert(
                g,
                x,
                v,
                InversionConfig(steps=steps),
                feature_net=d,
                prior=prior,
                start=start,
                curvature=curvature if newton else None,
            )
            return result.w_plus, result.psnr_observed

        return run

    fast, slow = f"encoder + {few} quasi-Newton steps", f"mean w + {many} Adam steps"
    methods = {
        "encoder, one pass": encoder_alone(1),
        "encoder, two passes": encoder_alone(2),
        fast: optimised(few, True, True),
        f"encoder + {2 * few} quasi-Newton steps": optimised(2 * few, True, True),
        f"encoder + {few} Adam steps": optimised(few, True, False),
        slow: optimised(many, False, False),
    }
    seconds, quality = {}, {}
    for name, method in methods.items():
        if "+" not in name:
            method(*batches[0])  # warm-up
        spent, psnr, energy = [], [], []
        for x, v in batches:
            start = time.perf_counter()
            w_plus, value = method(x, v)
            if device == "cuda":
                torch.cuda.synchronize()
            spent.append((time.perf_counter() - start) / len(x))
            psnr.append(value)
            energy.append(prior.energy(w_plus))
        quality[name], seconds[name] = torch.cat(psnr).nanmean().item(), sum(spent) / len(spent)
        note = (
            f"{quality[name]:.2f} dB observed, {seconds[name]:.3f} s a texture, "
            f"prior energy {torch.cat(energy).mean().item():.1f}"
        )
        if name == slow:
            note += f"; {fast}: {seconds[name] / seconds[fast]:.1f}× as fast, {quality[fast] - quality[name]:+.2f} dB"
        yield {
            "name": f"inversion, {g.config.resolution}², {name}",
            "unit": "textures/s",
            "median": 1 / seconds[name],
            "min": 1 / max(spent),
            "max": 1 / min(spent),
            "psnr_observed": quality[name],
            "psnr_std": torch.cat(psnr).std().item(),
            "seconds_per_texture": seconds[name],
            "textures": len(texture),
            "note": note,
        }
