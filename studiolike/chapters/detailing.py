"""Chapter 5's figures and tables: gradients, fusion, tone, the detailer's inputs and schedule; more in `detailing_worth`."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from .. import layout, weights
from ..detail import complete, make_scheduler
from ..detail.fusion import COUNTED, EVEN, NOSELESS, REGION, WIDER
from ..detail.train import FLOOR, clean_from_velocity, min_snr_weight, velocity
from ..experiments.detailing import DetailLaboratory, HandLit, field_of
from ..image import from_signed
from ..pipeline import StudioPipeline
from ..tone.translation import DARKER, KEPT, LIGHTER, REDDER
from . import figures
from .detailing_worth import borrowed as borrowed
from .detailing_worth import colour_passed as colour_passed
from .detailing_worth import default_steps
from .detailing_worth import leaks as leaks
from .detailing_worth import recorded as recorded
from .detailing_worth import registered as registered
from .detailing_worth import samples as samples
from .detailing_worth import steps_figure as steps_figure
from .detailing_worth import told as told
from .detailing_worth import worth as worth
from .notebook import table_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BANDS = ("brightness", "red–blue", "green–magenta")


# --- the chain's order, and what it takes by default


def cast(lab: DetailLaboratory, exemplars: Tensor) -> dict[str, str | int]:
    """The textures of this chapter for one capture, in the order in which the chain makes them, as a figure; what the prose says
    of the order."""
    k = int(lab.severity.argsort()[len(lab.severity) // 2])
    lent = complete(lab.fused[[k]], lab.visibility[[k]], exemplars)[0]
    row = [lab.phone[k], lab.visibility[k], lab.enlarged[k], lab.fused[k], lab.draw([k])[0], lent, lab.truth[k]]
    figures.show(
        figures.texture_grid(
            [row], col_titles=["phone", "visibility", "G_studio", "fusion", "+ detailer", "fusion, lent", "truth"]
        ),
        "One capture, the one in the middle by unevenness of light, and what is made of it. What goes in: the phone texture, and "
        "its visibility (white: seen). G_studio's texture, in the tone that is read; fusion; fusion repaired by the detailer; "
        "fusion with borrowed detail where nothing was seen. Last, the true studio texture, which no stage sees.",
    )
    default = inspect.signature(StudioPipeline.__call__).parameters
    return {
        "people": len(np.unique(lab.people)),
        "side": lab.size,
        "detailer_on": f"on, with {default_steps()} steps" if default_steps() else "off",
        "borrow_on": "on" if default["borrow"].default else "off",
    }


# --- gradients and fusion


def gradients_figure(scene: HandLit) -> Figure:
    """One head's albedo and the same head under each light, with the sizes of its raw and of its log gradients."""
    k = scene.clearest
    unit = {kind: field_of(scene.albedo, kind).norm(dim=1)[scene.face[:, 0] > 0].quantile(0.98) for kind in ("raw", "log")}
    rows = [
        [texture[k], *(field_of(texture, kind).norm(dim=1, keepdim=True)[k] / unit[kind] * scene.face[k] for kind in unit)]
        for texture in (scene.albedo, *scene.lit.values())
    ]
    return figures.texture_grid(rows, ["albedo", *scene.lit], ["texture", "raw gradient", "log gradient"], tile=1.9)


def agreement(scene: HandLit) -> dict[str, float | str | int]:
    """How well each kind of gradient follows the albedo's, as a table; what the prose says of it."""
    found = scene.agreement()
    lines = [[light, f"{found[light, 'raw']:.3f}", f"{found[light, 'log']:.3f}"] for light in scene.lit]
    table_of(["light", "raw gradient", "log gradient"], lines, "Correlation with the albedo's gradient of the same kind.")
    wins = [light for light in scene.lit if found[light, "log"] > found[light, "raw"]]
    told: dict[str, float | str | int] = {f"{kind}_{light.split()[0]}": value for (light, kind), value in found.items()}
    where = "under both lights" if len(wins) == 2 else f"under the {wins[0]}" if wins else "under neither light"
    return told | {"log_wins": where, "lit": len(scene.face)}


def fusion_figure(lab: DetailLaboratory) -> Figure:
    """G_studio's texture and the two closed forms, for the first capture, the one with the largest holes, and an uneven one."""
    shown = list(dict.fromkeys([0, lab.holes, lab.uneven]))
    columns = (lab.phone, lab.visibility, lab.enlarged, lab.poisson, lab.fused, lab.truth)
    titles = ["phone", "visibility", "G_studio", "Poisson", "fusion", "truth"]
    return figures.texture_grid([[x[k] for x in columns] for k in shown], col_titles=titles)


# --- the tone


def tones(lab: DetailLaboratory) -> tuple[Figure, dict[str, float | str | int]]:
    """The level of the skin against the true one, by the phone texture, G_studio on its own and the tone network; and what the
    prose says of it: errors in log units, the share of a level that the camera lets through, as the training learnt it, and how
    much of the true level the phone shows over all captures of the split."""
    levels, (exposed, true, people) = lab.levels(), lab.exposed()
    truth = levels.pop("truth")
    fig, axes = figures.plot(2.6, (1, 1, 1))
    every = torch.cat([truth, *levels.values(), torch.from_numpy(exposed)])
    every = every[every.isfinite()]  # of a capture without any skin there is no level
    span = float(every.min()) - 0.1, float(every.max()) + 0.1
    told: dict[str, float | str | int] = {"tone_numbers": sum(p.numel() for p in lab.tone.parameters())}
    axes[0].plot(true, exposed, "o", ms=3, color="0.75")
    colours = figures.COLOURS["phone"], figures.COLOURS["studio"], figures.PALETTE[1]
    for ax, colour, (name, level) in zip(axes, colours, levels.items(), strict=True):
        ax.plot(span, span, color="0.6", lw=1)
        ax.plot(truth, level, "o", ms=4, color=colour)
        error = float((level - truth).square().nanmean().sqrt())
        ax.set(title=f"{name}: {error:.2f}", xlabel="true level", xlim=span, ylim=span)
        told[f"tone_{name.split()[0].lower()}"] = error
    axes[0].set_ylabel("level, log units")
    known = levels["phone"].isfinite()
    told["tone_slope"] = float(np.polyfit(truth[known].numpy(), levels["phone"][known].numpy(), 1)[0])
    told |= {
        "kept_within": KEPT,
        "lighter": LIGHTER,
        "kept_darker": 100 * DARKER,
        "redder": 100 * math.expm1(REDDER[0] - REDDER[1]),
        "wider": WIDER * 128,
        "even": EVEN,
        "region": REGION * 128,
        "noseless": NOSELESS * 128,
        "counted": COUNTED,
    }
    told["tone_through"] = weights.read_card("tone", protocol="few")["metrics"]["through"]
    return fig, told | _metered(exposed, true, people)


def _metered(level: np.ndarray, true: np.ndarray, people: np.ndarray) -> dict[str, float | str | int]:
    """What the level of a phone texture tells of the true one: slope, share of the variance, and what varies beside the skin."""
    slope = np.polyfit(true, level, 1)[0]
    share = np.corrcoef(true, level)[0, 1] ** 2
    own = [level[people == one] for one in np.unique(people)]
    within = float(np.sqrt(np.mean([x.var(ddof=1) for x in own if len(x) > 1]))) if max(map(len, own)) > 1 else 0.0
    across = float(np.std([true[people == one][0] for one in np.unique(people)], ddof=1)) if len(own) > 1 else 0.0
    return {
        "metered": len(level),
        "metered_slope": float(slope),
        "metered_share": 100 * float(share),
        "metered_within": within,
        "metered_across": across,
        "metered_word": "hardly tells" if share < 0.1 else "tells little of" if share < 0.4 else "tells a good part of",
    }


# --- the detailer


def inputs(lab: DetailLaboratory) -> dict[str, float | str | int]:
    """Everything the detailer sees of one capture, and what it must draw; what the prose says of it."""
    base = lab.detailer.base(lab.phone, lab.visibility, lab.enlarged)
    c = lab.detailer.conditions(lab.phone, lab.visibility, lab.enlarged, base)[lab.holes]
    config, off = lab.detailer.config, lab.truth - base
    fields: dict[str, Tensor] = {
        "T": from_signed(c[:3]),
        "G": from_signed(c[3:6]),
        "∂/∂u": 0.5 + c[6] / 6,
        "∂/∂v": 0.5 + c[7] / 6,
    }
    fields |= {"trust": c[8], "u": from_signed(c[9]), "v": from_signed(c[10])}
    fields |= {"log I − log T": 0.5 + c[11:14] / 4} if config.relief else {}
    fields |= {"truth": lab.truth[lab.holes], "x₀": 0.5 + off[lab.holes] / config.residual_scale / 6}
    fig, axes = figures.plot(3.1, (1,) * 5, 2)
    for ax in axes:
        ax.set_axis_off()
    for ax, (name, field) in zip(axes, fields.items(), strict=False):
        figures.picture(ax, field, name, cmap="gray", vmin=0, vmax=1)
    figures.show(
        fig,
        "What the detailer sees of the capture with the largest holes: the fused texture T; G_studio's texture G; the phone's "
        "log gradients along u and v (mid-grey: zero); where they can be trusted (white); the coordinates u and v"
        + ("; the light that fusion took away (mid-grey: none)" * config.relief)
        + ". The last two it does not see: the truth, and the residual x₀ that it must draw, channel by channel (mid-grey: T is "
        "right there, darker: T is too light).",
    )
    few = weights.read_card("detailer", protocol="few")["settings"]["data"]
    taught, std = few["studio_subjects"] + few["pair_subjects"], float(off.std())
    return {
        "scale": float(config.residual_scale),
        "residual_std": std,
        "residual_ratio": std / config.residual_scale,
        "hidden": 100 * lab.settings.detail.hidden,
        "relief": "looks at it" if config.relief else "was trained without it",
        "taught": taught,
        "taught_captures": taught * few["lightings"],
    }


def schedule(lab: DetailLaboratory) -> dict[str, float]:
    """The noise schedule, the weights of the loss and the residual's power by band, as a figure; what the prose says of it."""
    from diffusers import DDIMScheduler

    power = make_scheduler().alphas_cumprod
    common = DDIMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012).alphas_cumprod
    snr, shares = power / (1 - power), np.array(lab.detailer.config.band_power)
    noise, x0 = torch.randn(2, 3, generator=torch.Generator().manual_seed(0))
    end = power[-1].sqrt(), (1 - power[-1]).sqrt()
    # at the last step nothing is left of x₀ but what the velocity says
    assert power[-1] == 0 and torch.allclose(clean_from_velocity(noise, velocity(x0, noise, *end), *end), x0)
    fig, (left, middle, right) = figures.plot(2.7, (1, 1, 1))
    ours: dict[str, Any] = {"color": figures.COLOURS["detailed"], "label": "ours"}
    other: dict[str, Any] = {"color": "0.45", "ls": figures.DASHES[1]}
    left.semilogy(snr.clamp_min(1e-12), **ours)
    left.semilogy((common / (1 - common)).clamp_min(1e-12), label="scaled linear", **other)
    left.set(xlabel="time step", title="signal-to-noise ratio", ylim=(1e-8, 1e5))
    middle.plot(min_snr_weight(snr, floor=FLOOR), **ours)
    middle.plot(min_snr_weight(snr), label="Min-SNR-5", **other)
    middle.set(xlabel="time step", title="weight of the loss", ylim=(-0.03, 1.15))
    for k, label in enumerate(BANDS):
        look: dict[str, Any] = {"ls": figures.DASHES[k], "color": figures.PALETTE[k + 4], "label": label}
        right.plot(shares[4 * k : 4 * k + 4], figures.MARKERS[k], **look)
    right.set(
        yscale="log", ylim=(5e-4, 5e2), title="power of the bands", xticks=range(4), xticklabels=["mean", "∂u", "∂v", "∂u∂v"]
    )
    for ax in (left, middle, right):
        ax.legend()
    figures.show(
        fig,
        "From no noise (time step 0) to nothing else (1000). Left: the signal-to-noise ratio of our schedule, which ends at "
        "zero, and of a common one. Middle: the weight of the loss with our floor, which lifts both ends, and "
        "without it (Min-SNR-5). Right: the power of the scaled residual in the four bands of 2×2 blocks (their mean, and the "
        "differences along u, along v and along both), for brightness and two colours; the mean over all twelve is 1.",
    )
    return {
        "left_over": float(common[-1].sqrt()),
        "floor": FLOOR,
        "coarse_share": 100 * float(shares[0] / shares.sum()),
    }


def zoom_figure(lab: DetailLaboratory, results: Mapping[str, Tensor]) -> Figure:
    """Whole results of two people with an enlarged detail of each below; a result may hold those two people alone."""
    corners = layout.landmark_uv() * lab.size  # the landmarks in texels; 33 and 133 are the corners of an eye, 61 of the mouth
    places = [corners[[33, 133]].mean(0).long().tolist(), corners[61].long().tolist()]
    side, rows, names = lab.size // 4, [], []
    for n, (k, place) in enumerate(zip([0, lab.uneven], places, strict=True)):
        x, y = (int(np.clip(p - side // 2, 0, lab.size - side)) for p in place)
        whole = [t[k] if len(t) == len(lab.phone) else t[n] for t in results.values()]
        rows += [whole, [t[:, y : y + side, x : x + side] for t in whole]]
        names += [f"person {n + 1}", "zoom"]
    return figures.texture_grid(rows, names, list(results))
