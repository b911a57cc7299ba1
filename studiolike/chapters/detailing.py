"""Chapter 5's figures and tables: gradients and light, fusion and its leaks, the detailer's inputs, schedule and worth."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from .. import layout, weights
from ..detail import complete, fuse, make_scheduler
from ..detail.train import FLOOR, clean_from_velocity, min_snr_weight, velocity
from ..evaluation import Verdict
from ..experiments.detailing import EARNS, METRICS, DetailLaboratory, HandLit, error_of, field_of, in_holes, judged, mean_in
from ..image import from_signed
from ..pipeline import StudioPipeline
from . import figures
from .notebook import table_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BANDS = ("brightness", "red–blue", "green–magenta")


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


def agreement(scene: HandLit) -> dict[str, float | str]:
    """How well each kind of gradient follows the albedo's, as a table; what the prose says of it."""
    found = scene.agreement()
    lines = [[light, f"{found[light, 'raw']:.3f}", f"{found[light, 'log']:.3f}"] for light in scene.lit]
    table_of(["light", "raw gradient", "log gradient"], lines, "Correlation with the albedo's gradient of the same kind.")
    wins = [light for light in scene.lit if found[light, "log"] > found[light, "raw"]]
    told = {f"{kind}_{light.split()[0]}": value for (light, kind), value in found.items()}
    where = "under both lights" if len(wins) == 2 else f"under the {wins[0]}" if wins else "under neither light"
    return told | {"log_wins": where}


def fusion_figure(lab: DetailLaboratory) -> Figure:
    """G_studio's texture and the two closed forms, for the first capture, the one with the largest holes, and an uneven one."""
    shown = list(dict.fromkeys([0, lab.holes, lab.uneven]))
    columns = (lab.phone, lab.visibility, lab.enlarged, lab.poisson, lab.fused, lab.truth)
    titles = ["phone", "visibility", "G_studio", "Poisson", "fusion", "truth"]
    return figures.texture_grid([[x[k] for x in columns] for k in shown], col_titles=titles)


# --- the tone


def tones(lab: DetailLaboratory) -> tuple[Figure, dict[str, float]]:
    """The level of the skin against the true one, by the phone texture, G_studio on its own and the tone network; and what the
    prose says of it: errors in log units, and the share of a level that the camera lets through, as the training learnt it."""
    levels = lab.levels()
    truth = levels.pop("truth")
    fig, axes = figures.plot(2.6, (1, 1, 1))
    every = torch.cat([truth, *levels.values()])
    every = every[every.isfinite()]  # of a capture without any skin there is no level
    span = float(every.min()) - 0.1, float(every.max()) + 0.1
    told = {"tone_numbers": sum(p.numel() for p in lab.tone.parameters())}
    for ax, (name, level) in zip(axes, levels.items(), strict=True):
        ax.plot(span, span, color="0.6", lw=1)
        ax.plot(truth, level, "o", ms=4)
        error = float((level - truth).square().nanmean().sqrt())
        ax.set(title=f"{name}: {error:.2f}", xlabel="true level", xlim=span, ylim=span)
        told[f"tone_{name.split()[0].lower()}"] = error
    axes[0].set_ylabel("level, log units")
    return fig, told | {"tone_through": weights.read_card("tone", protocol="few")["metrics"]["through"]}


# --- the detailer


def inputs(lab: DetailLaboratory) -> dict[str, float | str]:
    """Everything the detailer sees of one capture, and what it must draw; what the prose says of it."""
    base = lab.detailer.base(lab.phone, lab.visibility, lab.enlarged)
    c = lab.detailer.conditions(lab.phone, lab.visibility, lab.enlarged, base)[lab.holes]
    scale = lab.detailer.config.residual_scale
    residual = ((lab.truth - base) / scale)[lab.holes]
    upper = [from_signed(c[:3]), from_signed(c[3:6]), 0.5 + c[6:7] / 6, 0.5 + c[7:8] / 6]
    lower = [c[8:9], from_signed(c[9:10]), from_signed(c[10:11]), 0.5 + residual / 6]
    figures.show(
        figures.texture_grid([upper, lower], col_titles=["T, below: trust", "G, below: u", "∂/∂u, below: v", "∂/∂v, below: x₀"]),
        "What the detailer sees of the capture with the largest holes. Above: the fused texture T, G_studio's texture G, and the "
        "phone's log gradients along u and v (grey is zero). Below: where the gradients can be trusted (white), and the two "
        "coordinates of the layout; last, the scaled residual x₀ that it must draw (grey is nothing to draw).",
    )
    return {
        "scale": float(scale),
        "residual_std": float((lab.truth - base).std()),
        "hidden": 100 * lab.settings.detail.hidden,
        "relief": "looks at it" if lab.detailer.config.relief else "was trained without it",
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
    left.semilogy((common / (1 - common)).clamp_min(1e-12), ls=figures.DASHES[1], label="scaled linear")
    left.semilogy(snr.clamp_min(1e-12), ls=figures.DASHES[0], label="ours")
    left.set(xlabel="time step", title="signal-to-noise ratio", ylim=(1e-8, 1e5))
    weights = {"Min-SNR-5": min_snr_weight(snr), "with our floor": min_snr_weight(snr, floor=FLOOR)}
    for k, (label, weight) in enumerate(weights.items()):
        middle.plot(weight, ls=figures.DASHES[k], label=label)
    middle.set(xlabel="time step", title="weight of the loss")
    for k, label in enumerate(BANDS):
        right.plot(shares[4 * k : 4 * k + 4], figures.MARKERS[k], ls=figures.DASHES[k], label=label)
    right.set(yscale="log", title="power of the bands", xticks=range(4), xticklabels=["mean", "∂u", "∂v", "∂u∂v"])
    for ax in (left, middle, right):
        ax.legend()
    figures.show(
        fig,
        "Left: the signal-to-noise ratio over the time steps of a common schedule and of ours, which ends at zero. Middle: the "
        "weight of the loss, Min-SNR alone and with the floor that keeps the last steps. Right: the power of the scaled residual "
        "in the four bands of 2×2 blocks (their mean, and the differences along u, v and both), for brightness and two colours.",
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


# --- its worth


def worth(found: Mapping[str, Mapping[str, np.ndarray]], judged: Mapping[tuple[str, str], Verdict]) -> None:
    """Two tables: the means of every result, and the verdicts on the guided detailer against each of the others."""
    head = [f"{metric} {'↑' if up else '↓'}" for metric, (up, _) in METRICS.items()]
    table_of(
        ["result", *head],
        [[name, *(f"{np.nanmean(s[m]):.{d}f}" for m, (_, d) in METRICS.items())] for name, s in found.items()],
    )
    rivals = dict.fromkeys(rival for rival, _ in judged)
    table_of(
        ["guided − rival", *METRICS],
        [[rival, *(_cell(judged[rival, m]) for m in METRICS)] for rival in rivals],
        "In brackets: paired 95 % intervals of the single differences, uncorrected. Words: sign-flip test over subjects, all "
        f"{len(judged)} comparisons corrected together (Holm).",
    )


def _cell(told: Verdict) -> str:
    gap = told.difference
    return f"{told.word}: {gap.mean:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}]"


def told(judged: Mapping[tuple[str, str], Verdict]) -> dict[str, str | int]:
    """For the prose: per rival where the detailer wins, loses, or cannot be told; whether it earns its place, and whether the
    pipeline's default agrees."""
    numbers: dict[str, str | int] = {"comparisons": len(judged)}
    for rival in dict.fromkeys(rival for rival, _ in judged):
        for word, name in (("better", "wins"), ("worse", "losses"), ("cannot tell", "open")):
            metrics = [m for m in METRICS if judged[rival, m].word == word]
            numbers[f"{name}_{rival.lower()}"] = ", ".join(metrics) or "nothing"
    won = sum(judged["fusion", metric].word == "better" for metric in EARNS)
    steps, earned = default_steps(), won == len(EARNS)
    default = f"the detailer, with {steps} steps" if steps else "fusion alone"
    fits = "as this comparison advises" if earned == bool(steps) else "which is not what this comparison alone would advise"
    return numbers | {"earns": won, "asked": len(EARNS), "default": default, "default_fits": fits}


def default_steps() -> int:
    """How many steps of the detailer the chain takes unless somebody asks for others; 0 is fusion alone."""
    return inspect.signature(StudioPipeline.__call__).parameters["steps"].default


def samples(lab: DetailLaboratory, seeds: int = 3) -> dict[str, float]:
    """Several samples of the capture with the largest holes, with and without the phone, as a figure and a table."""
    k = lab.holes
    drawn = {
        name: lab.draw([k] * seeds, guided=looks, seed=range(seeds)) for name, looks in (("guided", True), ("unguided", False))
    }
    spread = {name: s.std(0).mean(0, keepdim=True) for name, s in drawn.items()}
    brightest = max(float(s.quantile(0.995)) for s in spread.values())
    rows = [[*drawn[name], spread[name] / brightest] for name in drawn]
    figures.show(
        figures.texture_grid(rows, list(drawn), [*(f"seed {s}" for s in range(seeds)), "spread"]),
        "Three samples each, with and without the phone, for the capture with the largest holes, and the standard deviation "
        "over the samples (white: they differ most). Where the phone was seen and is looked at, the samples should agree.",
    )
    where = {"observed": lab.trust[k] * lab.head, "holes": lab.hidden[k]}
    table_of(["mean spread", *where], [[name, *(f"{mean_in(s, w):.4f}" for w in where.values())] for name, s in spread.items()])
    known = mean_in(spread["guided"], where["observed"])
    return {
        "spread_drop": known / max(mean_in(spread["unguided"], where["observed"]), 1e-9),
        "spread_holes": mean_in(spread["guided"], where["holes"]) / max(known, 1e-9),
    }


def borrowed(lab: DetailLaboratory) -> dict[str, float | str]:
    """The fusion, and the same with an exemplar's detail in its holes, as a figure and a table; what the prose says of it."""
    exemplars = weights.exemplars()
    lent = torch.cat([complete(*pair, exemplars) for pair in zip(lab.fused.split(1), lab.visibility.split(1), strict=True)])
    k = lab.holes
    figures.show(
        figures.texture_grid(
            [[lab.phone[j] * lab.visibility[j], lab.fused[j], lent[j], lab.truth[j]] for j in dict.fromkeys((k, 0))],
            col_titles=["seen", "fusion", "+ borrowed", "truth"],
            tile=1.9,
        ),
        "The capture with the largest holes, and the first one: what was seen, the fusion, the same with an exemplar's detail "
        "where nothing was seen, and the truth. The strands and the ears of the third column are somebody else's.",
    )
    found = in_holes(lab, {"fusion": lab.fused, "+ borrowed": lent})
    lines = [[name, *(f"{np.nanmean(values):.3g}" for values in row.values())] for name, row in found.items()]
    table_of(["in the holes", "PSNR, dB ↑", "perceptual ↓"], lines, "PSNR after a gain fit.")
    words = judged(found, "+ borrowed", lab.people)
    return {f"lent_{metric.lower()}": words["fusion", metric].word for metric in ("PSNR", "perceptual")} | {
        "exemplars": len(exemplars)
    }


def steps_figure(found: Mapping[int, tuple[float, float]]) -> Figure:
    """Quality by the number of sampling steps."""
    fig, axes = figures.plot(2.3, (1, 1))
    labels, steps = ("perceptual distance ↓", "gradient correlation ↑"), list(found)
    for k, (ax, label) in enumerate(zip(axes, labels, strict=True)):
        values = [pair[k] for pair in found.values()]
        ax.plot(steps, values, figures.MARKERS[k] + "-", color=figures.COLOURS["detailed"])
        ax.set_xscale("log", base=2)
        ax.set(xlabel="sampling steps", ylabel=label, xticks=steps, xticklabels=steps)
    return fig


def colour_passed(found: Mapping[str, list[float]]) -> dict[str, float]:
    """What of a change of exposure or white balance arrives in the results, as a table and in per cent at most."""
    table_of(
        ["what is done to the phone texture", "its mean change", "of the fusion", "of the result"],
        [[name, *(f"{v:.4f}" for v in values)] for name, values in found.items()],
    )
    return {
        "passed": 100 * max(fused / given for given, fused, _ in found.values()),
        "passed_all": 100 * max(result / given for given, _, result in found.values()),
    }


def leaks(lab: DetailLaboratory, scene: HandLit) -> dict[str, float | str]:
    """What fusion leaks of hand-made lights and at the rims of holes, and what the detailer repairs of it, as a figure and a
    table; what the prose says of it."""
    fused, drawn = lab.leaks(scene), lab.repair(scene)
    wrong, left = ({name: error_of(x, scene.studio) for name, x in made.items()} for made in (fused, drawn))
    plain = error_of(lab.leaks(scene, edges=False)["hard light"], scene.studio)
    captured = fuse(lab.phone, lab.visibility, lab.ideal(lab.truth))
    off, k, hole = error_of(captured, lab.truth), scene.clearest, lab.holes
    rows = [
        [scene.lit[n][k], fused[n][k], 4 * wrong[n][k], drawn[n][k], 4 * left[n][k], scene.edges[k] if "hard" in n else None]
        for n in scene.lit
    ]
    rows.append([lab.phone[hole], captured[hole], 4 * off[hole], None, None, lab.rims[hole]])
    columns = ["phone", "fusion", "its error × 4", "+ detailer", "its error × 4", "edges, rims"]
    figures.show(
        figures.texture_grid(rows, [*scene.lit, "capture"], columns),
        "What leaks when the coarse texture is ideal. One head under a smooth and a hard light, and a capture with holes: the "
        "phone texture; the fusion and four times its error; for the head the detailer's result and four times its error; and "
        "where we look for leaks: the edges of the light itself, and the rims of the holes. Bright error along those is leaked "
        "light; look beside the nose for the edge of the cast shadow.",
    )
    hard, rest = wrong["hard light"], scene.face - scene.edges
    areas = {
        "smooth light, face": ("smooth light", scene.face),
        "hard light, edges of the light": ("hard light", scene.edges),
        "hard light, elsewhere": ("hard light", rest),
    }
    lines = [[area, f"{mean_in(wrong[n], m):.4f}", f"{mean_in(left[n], m):.4f}"] for area, (n, m) in areas.items()]
    table_of(["where", "error of fusion ↓", "with the detailer ↓"], lines)
    change = mean_in(left["hard light"], scene.edges) / mean_in(hard, scene.edges)
    return {
        "fused_smooth": mean_in(wrong["smooth light"], scene.face),
        "fused_hard": mean_in(hard, scene.face),
        "leak_edges": mean_in(hard, scene.edges) / mean_in(hard, rest),
        "leak_plain": mean_in(plain, scene.edges) / mean_in(hard, scene.edges),
        "leak_rims": mean_in(off, lab.rims) / mean_in(off, lab.seen - lab.rims),
        "repaired": f"{abs(1 - change):.0%} {'less' if change < 1 else 'more'}",
        "repair_word": "repairs part of the leak" if change < 0.95 else "does not repair the leak",
    }
