"""Chapter 5's figures and tables, second part: what the detailer is worth, what it invents, what is borrowed, what leaks."""

from __future__ import annotations

import inspect
import math
from bisect import bisect
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from .. import weights
from ..detail import complete, fuse
from ..evaluation import Verdict, face_judge
from ..evaluation.verdict import CANNOT_TELL, seeded_verdicts, verdict
from ..experiments import record
from ..experiments.detailing import EARNS, METRICS, DetailLaboratory, HandLit, error_of, in_holes, judged, mean_in
from ..image import blur, resize
from ..pipeline import StudioPipeline
from . import figures, notebook

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEDGER = {"perceptual/face": "perceptual", "low_band": "low-band error", "faceid_cosine": "identity"}  # `EARNS`, in the record
SAMPLED = 4  # steps, at least, where samples are compared: a single one is a regression, and samples nothing
BROAD = 6 / 256  # share of the side: what this blur leaves of an error is broad light and colour
OUTLINE = {"colors": figures.COLOURS["phone"], "linewidths": 0.45, "levels": [0.5]}


# --- its worth


def worth(found: Mapping[str, Mapping[str, np.ndarray]], judged: Mapping[tuple[str, str], Verdict], side: int) -> None:
    """Two tables: the means of every result, and the verdicts on the guided detailer against each of its rivals; of textures
    of ``side`` texels, which perceptual distances have in their names."""
    names = {metric: metric.replace("perceptual", f"perceptual@{side}") for metric in METRICS}
    head = [f"{names[metric]} {'↑' if up else '↓'}" for metric, (up, _) in METRICS.items()]
    notebook.table_of(
        ["result", *head],
        [[name, *(f"{np.nanmean(s[m]):.{d}f}" for m, (_, d) in METRICS.items())] for name, s in found.items()],
    )
    rivals = dict.fromkeys(rival for rival, _ in judged)
    notebook.table_of(
        ["guided − rival", *names.values()],
        [[rival, *(_cell(judged[rival, m]) for m in METRICS)] for rival in rivals],
        "The mean difference, and in brackets its 95 % interval over the people.",
    )


def _cell(told: Verdict) -> str:
    gap = told.difference
    return f"{told.word}: {gap.mean:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}]"


def told(
    judged: Mapping[tuple[str, str], Verdict], found: Mapping[str, Mapping[str, np.ndarray]]
) -> dict[str, str | int | float]:
    """For the prose: per rival where the detailer wins, loses, or cannot be told; whether it earns its place, and whether the
    pipeline's default agrees."""
    numbers: dict[str, str | int | float] = {"comparisons": len(judged), "last_step": judged["fusion", "perceptual"].word}
    numbers |= {f"mean_{name.lower()}": float(np.nanmean(values["perceptual"])) for name, values in found.items()}
    for rival in dict.fromkeys(rival for rival, _ in judged):
        for word, name in (("better", "wins"), ("worse", "losses"), ("cannot tell", "open")):
            metrics = [m for m in METRICS if judged[rival, m].word == word]
            numbers[f"{name}_{rival.lower()}"] = ", ".join(metrics) or "nothing"
    won = sum(judged["fusion", metric].word == "better" for metric in EARNS)
    steps, earned = default_steps(), won == len(EARNS)
    default = f"the detailer, with {steps} steps" if steps else "fusion alone"
    fits = "as this comparison advises" if earned == bool(steps) else "which is not what this comparison alone would advise"
    return numbers | {"earns": won, "asked": len(EARNS), "default": default, "default_fits": fits}


def recorded(lab: DetailLaboratory, results: Mapping[str, Tensor]) -> dict[str, str | int | float]:
    """For the prose: what the ledger's larger sample says of the same question, and a public face network of these results.

    Args:
        results: "fusion" and "guided", ``(B, 3, H, W)``.
    """
    kept = record("detail")
    pairs = {m: kept.difference("guided diffusion", "fusion alone", m) for m in LEDGER}
    words = {m: one.word for m, one in seeded_verdicts(pairs, {m: METRICS[name][0] for m, name in LEDGER.items()}).items()}
    won = sum(word == "better" for word in words.values())
    judge = face_judge.judge(str(lab.truth.device))
    known = {name: judge.embed(face_judge.render_chip(x)) for name, x in {**results, "truth": lab.truth}.items()}
    far = {name: face_judge.embedding_distance(known[name], known["truth"]).numpy() for name in results}
    face = verdict(far["guided"] - far["fusion"], lab.people, higher=False)
    return {
        "ledger_people": len(kept.subject),
        "ledger_seeds": len(kept.seeds("guided diffusion")),
        "ledger_earns": won,
        "ledger_size": kept.settings["resolution"],
        "ledger_step": words["perceptual/face"],
        "ledger_gain": 100 * (1 - float(kept.ratios("guided diffusion", "fusion alone", "perceptual/face").mean())),
        "taken": 100 * (1 - _squared(lab, results["guided"]) / _squared(lab, results["fusion"])),
        "face_fusion": float(far["fusion"].mean()),
        "face_guided": float(far["guided"].mean()),
        "face_word": {"better": "the detailer is nearer", "worse": "the detailer is further away"}.get(face.word, CANNOT_TELL),
    }


def _squared(lab: DetailLaboratory, result: Tensor) -> float:
    """Mean squared error over observed texels of the head."""
    return mean_in((result - lab.truth).square().mean(1, keepdim=True), lab.counts)


def registered(lab: DetailLaboratory) -> dict[str, float | str | int]:
    """For the prose: why gradients are compared after a blur; how far fused textures lie beside the truth, and what the single
    texels' correlation is where they lie and where they fit best."""
    (fused, fitted, far), (coarse, coarse_fitted, _) = lab.aside(lab.fused), lab.aside(lab.enlarged)
    unblurred = float(fused.mean()), float(coarse.mean())
    moved = float(fitted.mean()), float(coarse_fitted.mean())
    return {
        "aside": int((far > 0).sum()),
        "aside_texels": float(far.median()),
        "sharp_fusion": unblurred[0],
        "sharp_g_studio": unblurred[1],
        "moved_fusion": moved[0],
        "moved_g_studio": moved[1],
        "sharp_word": "behind" if unblurred[0] < unblurred[1] else "ahead of",
        "moved_word": "behind" if moved[0] < moved[1] else "ahead of",
        "moved_sentence": (
            "even so the phone's detail does not show"
            if moved[0] < moved[1]
            else "the phone does bring detail, a little off its place"
        ),
    }


def default_steps() -> int:
    """How many steps of the detailer the chain takes unless somebody asks for others; 0 is fusion alone."""
    return inspect.signature(StudioPipeline.__call__).parameters["steps"].default


def samples(lab: DetailLaboratory, seeds: int = 3) -> dict[str, float | str | int]:
    """Several samples of the capture with the largest holes, with and without the phone, as a figure and a table."""
    k, steps = lab.holes, max(SAMPLED, lab.settings.detail.sample_steps)
    drawn = {
        name: lab.draw([k] * seeds, guided=looks, seed=range(seeds), steps=steps)
        for name, looks in (("guided", True), ("unguided", False))
    }
    spread = {name: s.std(0).mean(0, keepdim=True) for name, s in drawn.items()}
    brightest = max(float(s.quantile(0.995)) for s in spread.values())
    rows = [[*drawn[name], spread[name] / brightest] for name in drawn]
    fig = figures.texture_grid(rows, list(drawn), [*(f"seed {s}" for s in range(seeds)), "spread"])
    for ax in fig.axes[seeds :: seeds + 1]:
        ax.contour(lab.visibility[k, 0].numpy(), **OUTLINE)
    figures.show(
        fig,
        f"Three samples each, in {steps} steps, with the phone (guided) and without (unguided), for the capture with the largest "
        f"holes, and the standard deviation over the samples (white: {brightest:.2f} or more, of values from 0 to 1). The orange "
        "line is the rim of what the phone saw. Compare the rows of the last column within it, and each with what is outside.",
    )
    where = {"observed": lab.trust[k] * lab.head, "holes": lab.hidden[k]}
    notebook.table_of(
        ["mean spread, of values from 0 to 1", *where],
        [[name, *(f"{mean_in(s, w):.4f}" for w in where.values())] for name, s in spread.items()],
    )
    known = mean_in(spread["guided"], where["observed"])
    drop = known / max(mean_in(spread["unguided"], where["observed"]), 1e-9)
    words = (
        "the phone settles a part of what is sampled",
        "the phone settles nothing of what is sampled",
        "the samples even differ more with the phone",
    )
    return {
        "sampled": steps,
        "spread_drop": drop,
        "spread_word": words[bisect((0.9, 1.1), drop)],
        "agree": ("less", "as well", "better")[bisect((0.9, 1.1), drop)],
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
        "The capture with the largest holes, and the first one: what was seen; the fusion; the same with an exemplar's "
        "detail where nothing was seen; and the truth. Look at hair and ears: those of the third column are somebody else's.",
    )
    found = in_holes(lab, {"fusion": lab.fused, "+ borrowed": lent})
    lines = [[name, *(f"{np.nanmean(values):.3g}" for values in row.values())] for name, row in found.items()]
    notebook.table_of(["in the holes", "PSNR, dB ↑", f"perceptual@{lab.size} ↓"], lines, "PSNR after a gain fit.")
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
    notebook.table_of(
        ["what is done to the phone texture", "its mean change", "of the fusion", "of the result"],
        [[name, *(f"{v:.4f}" for v in values)] for name, values in found.items()],
    )
    return {
        "passed": 100 * max(fused / given for given, fused, _ in found.values()),
        "passed_all": 100 * max(result / given for given, _, result in found.values()),
    }


def leaks(lab: DetailLaboratory, scene: HandLit) -> dict[str, float | str]:
    """What fusion leaks of hand-made lights and at the rims of holes, and what the detailer makes of it, as a figure and a
    table; what the prose says of it. G is ideal everywhere."""
    fused, drawn = lab.leaks(scene), lab.repair(scene)
    everything = torch.ones_like(scene.face)
    flat = fuse(scene.albedo, everything, lab.ideal(scene.studio)) - scene.studio
    off, left = ({name: x - scene.studio for name, x in made.items()} for made in (fused, drawn))
    plain = lab.leaks(scene, edges=False)["hard light"] - scene.studio
    captured = fuse(lab.phone, lab.visibility, lab.ideal(lab.truth))
    mended = lab.draw(studio=resize(lab.truth, lab.low))
    _leaks_figure(lab, scene, fused, drawn, captured, mended)
    rest = scene.face - scene.edges
    areas = {  # errors of fusion and with the detailer, and where
        "flat light, face": (flat, None, scene.face),
        "smooth light, face": (off["smooth light"], left["smooth light"], scene.face),
        "hard light, edges of the light": (off["hard light"], left["hard light"], scene.edges),
        "hard light, elsewhere on the face": (off["hard light"], left["hard light"], rest),
        "captures, rims of holes": (captured - lab.truth, mended - lab.truth, lab.rims),
        "captures, the rest that was seen": (captured - lab.truth, mended - lab.truth, lab.seen - lab.rims),
    }
    error = {name: [math.nan if x is None else _mean(x, mask) for x in pair] for name, (*pair, mask) in areas.items()}
    lines = [
        [name, *("–" if math.isnan(x) else f"{x:.4f}" for x in pair), "–" if math.isnan(pair[1]) else f"{pair[1] / pair[0]:.2f}"]
        for name, pair in error.items()
    ]
    notebook.table_of(
        ["where", "error of fusion ↓", "with the detailer ↓", "ratio"], lines, "Mean absolute error of sRGB values, 0 to 1."
    )
    ratios = {name: pair[1] / pair[0] for name, pair in error.items() if not math.isnan(pair[1])}
    change = drawn["smooth light"] - fused["smooth light"]
    maps = [x.abs().mean(1)[scene.face[:, 0] > 0] for x in (off["smooth light"], flat)]
    edges, elsewhere = error["hard light, edges of the light"][0], error["hard light, elsewhere on the face"][0]
    return {
        "fused_flat": error["flat light, face"][0],
        "fused_smooth": error["smooth light, face"][0],
        "fused_hard": _mean(off["hard light"], scene.face),
        "flat_like": float(torch.corrcoef(torch.stack(maps))[0, 1]),
        "leak_edges": edges / elsewhere,
        "leak_plain": _mean(plain, scene.edges) / edges,
        "leak_rims": error["captures, rims of holes"][0] / error["captures, the rest that was seen"][0],
        "mended": "; ".join(name for name, ratio in ratios.items() if ratio < 0.97) or "nowhere",
        "spoilt": "; ".join(name for name, ratio in ratios.items() if ratio > 1.03) or "nowhere",
        "spoilt_most": max(ratios.values()),
        "broad": 100 * _mean(blur(change, BROAD * lab.size), scene.face) / max(_mean(change, scene.face), 1e-9),
    }


def _mean(difference: Tensor, mask: Tensor) -> float:
    """Mean absolute difference of the colours over a mask."""
    return mean_in(difference.abs().mean(1, keepdim=True), mask)


def _leaks_figure(
    lab: DetailLaboratory,
    scene: HandLit,
    fused: Mapping[str, Tensor],
    drawn: Mapping[str, Tensor],
    captured: Tensor,
    mended: Tensor,
) -> None:
    """One head under each light and a capture with holes: what is made of them, and four times its error."""
    k, hole = scene.clearest, lab.holes
    rows = [
        [
            scene.lit[n][k],
            fused[n][k],
            4 * error_of(fused[n], scene.studio)[k],
            drawn[n][k],
            4 * error_of(drawn[n], scene.studio)[k],
        ]
        for n in scene.lit
    ]
    errors = (4 * error_of(x, lab.truth)[hole] for x in (captured, mended))
    rows.append([lab.phone[hole], captured[hole], next(errors), mended[hole], next(errors)])
    fig = figures.texture_grid(rows, [*scene.lit, "capture"], ["phone", "fusion", "its error × 4", "+ detailer", "its error × 4"])
    outlines = {n: mask for n, mask in enumerate([None, scene.edges[k, 0], lab.rims[hole, 0]]) if mask is not None}
    for n, mask in outlines.items():
        for column in (2, 4):
            fig.axes[5 * n + column].contour(mask.numpy(), **OUTLINE)
    figures.show(
        fig,
        "What leaks when the coarse texture is ideal. One head under a smooth and a hard light, and a capture with holes: the "
        "phone texture; the fusion, and four times its error (white: wrong by a quarter or more); the same with the detailer. "
        "Orange lines enclose where we look for leaks: the edges of the hard light, and the rims of the holes. Lines at "
        "eyes, mouth and outline that the first row has as well are no leaks.",
    )
