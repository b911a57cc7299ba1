"""The result of an evaluation: one number per method, metric and capture, and the tables made of them."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..io import atomic
from ..json_files import read_json
from .bootstrap import Estimate, clustered_mean, gap_of_groups
from .kid import KID
from .verdict import BETTER, Verdict, subject_means, verdicts

MINUS = re.compile(r"(`[^`]*`)|(?<![\w.)\]-])-(?=\.?\d)")  # code, or the hyphen of a negative number

# which way is better; every metric's name begins with one of these
HIGHER_IS_BETTER = {
    "psnr": True,
    "psnr_fitted": True,
    "ssim": True,
    "low_band": False,
    "low_band_luminance": False,
    "low_band_chroma": False,
    "perceptual": False,
    "lpips": False,
    "faceid_cosine": True,
    "faceid_mse": False,
    "face_distance": False,
    "faceid_kept": False,
    "colour": False,
    "asymmetry": False,
    "variance_ratio": False,
    "kid": False,
    "tone_gap": False,
    "severity": False,
    "correlation": True,
    "shape_error": False,
    "width": True,
    "height": True,
    "depth": True,
    "seconds": False,
}
INPUTS = ("severity",)  # what describes a capture and not a result: neither way is better
# what a table calls a metric whose short name says too little
LABELS = {
    "psnr": "PSNR",
    "psnr_fitted": "PSNR after a gain fit",
    "ssim": "SSIM",
    "lpips": "LPIPS",
    "faceid_cosine": "identity cosine",
    "faceid_mse": "identity MSE",
    "faceid_kept": "identity MSE to G_phone",
    "face_distance": "distance of faces (dlib)",
    "low_band": "low-band error",
    "variance_ratio": "variance over lights",
    "kid": "KID",
    "tone_gap": "tone gap",
    "severity": "severity of the light",
    "shape_error": "error of what tells people apart, mm",
    "width": "correlation, width",
    "height": "correlation, height",
    "depth": "correlation, depth",
}
# the columns of a table unless others are asked for
COLUMNS = (
    "psnr/observed",
    "psnr_fitted/observed",
    "psnr/holes",
    "low_band",
    "perceptual/observed",
    "perceptual/holes",
    "lpips/observed",
    "faceid_cosine",
    "colour",
    "asymmetry",
    "variance_ratio",
)


def higher_is_better(metric: str) -> bool:
    """Whether larger values of ``metric`` (such as ``"psnr/face"``) are better."""
    return HIGHER_IS_BETTER[metric.split("/")[0]]


def label(metric: str) -> str:
    """What a reader calls ``metric``: ``"psnr/face"`` is ``"PSNR (face)"``."""
    base, *region = metric.split("/")
    return LABELS.get(base, base) + "".join(f" ({name})" for name in region)


def heading(metric: str) -> str:
    """`label` with an arrow to what is better; of `INPUTS` without one."""
    if metric.split("/")[0] in INPUTS:
        return label(metric)
    return f"{label(metric)} {'↑' if higher_is_better(metric) else '↓'}"


def with_minus(text: str) -> str:
    """Text for readers: negative numbers have a minus sign (U+2212) for their hyphen. Code in backticks stays as it is."""
    return MINUS.sub(lambda found: found[1] or "−", text)


@dataclass
class EvaluationTable:
    """All numbers of one evaluation.

    Attributes:
        rows: capture rows ``(N,)`` in the data set. subject, severity, tone: their labels, ``(N,)`` each.
        values: ``values[method][metric]`` is an array ``(N,)``; metrics are named ``psnr/observed``,
            ``faceid_cosine``, …
            ``variance_ratio`` belongs to a subject and stands in every row of that subject.
        kid: per method, against ``kid_reference``.
        networks: which network measured which metric; two tables with different networks must not be mixed.
        resolution: side at which everything was compared. device: where it was measured.
        weights: name of the chain's, if a chain was measured. protocol: which its networks were trained under, if that is known.
    """

    rows: np.ndarray
    subject: np.ndarray
    severity: np.ndarray
    tone: np.ndarray
    values: dict[str, dict[str, np.ndarray]]
    kid: dict[str, KID] = field(default_factory=dict)
    kid_reference: str = ""
    networks: dict[str, str] = field(default_factory=dict)
    resolution: int = 0
    device: str = ""
    weights: str = ""
    protocol: str = ""

    @property
    def methods(self) -> list[str]:
        """Names of the methods, in the order given."""
        return list(self.values)

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics."""
        return list(next(iter(self.values.values())))

    @property
    def columns(self) -> list[str]:
        """The metrics a table shows unless others are asked for."""
        return [m for m in COLUMNS if m in self.metrics] or self.metrics

    def label(self, metric: str) -> str:
        """How a table calls a metric; a network's distance tells at which side it looked: ``perceptual@256 (face)``."""
        base, name = metric.split("/")[0], label(metric)
        side = f"@{self.resolution}" if base in ("perceptual", "lpips") else ""
        return name.replace(label(base), label(base) + side, 1)

    def _column(self, method: str, metric: str) -> np.ndarray:
        if method not in self.values or metric not in self.values[method]:
            raise InputError(
                f"no '{metric}' of '{method}' here; methods: {', '.join(self.methods)}; metrics: {', '.join(self.metrics)}"
            )
        return self.values[method][metric]

    def estimate(self, method: str, metric: str, *, seed: int = 0, among: np.ndarray | None = None) -> Estimate:
        """Mean and 95 % interval of one metric, over all captures or over those of a boolean mask
        ``among (N,)``."""
        chosen = slice(None) if among is None else among
        values = self._column(method, metric)[chosen]
        subject = self.subject[chosen]
        if metric == "variance_ratio":  # one value per subject, not per capture
            first = np.unique(subject, return_index=True)[1]
            values, subject = values[first], subject[first]
        return clustered_mean(values, subject, seed=seed)

    def difference(self, method: str, rival: str, metric: str, *, seed: int = 0) -> Estimate:
        """Paired difference ``method − rival`` with its interval: an interval without 0 is a difference that can be
        told."""
        with np.errstate(invalid="ignore"):
            difference = self._column(method, metric) - self._column(rival, metric)
        return clustered_mean(difference, self.subject, seed=seed)

    def verdicts(
        self, method: str, rivals: list[str] | None = None, metrics: list[str] | None = None
    ) -> dict[tuple[str, str], Verdict]:
        """``method`` against every rival in every metric, judged together (`verdict.verdicts`): ``[rival, metric]``.

        Default: all other methods, and the columns that `markdown` shows.
        """
        rivals = [m for m in self.methods if m != method] if rivals is None else rivals
        differences = {}
        for rival in rivals:
            for metric in metrics or self.columns:
                with np.errstate(invalid="ignore"):
                    differences[rival, metric] = self._column(method, metric) - self._column(rival, metric)
        return verdicts(differences, self.subject, {key: higher_is_better(key[1]) for key in differences})

    def summary(self) -> dict[str, dict[str, Estimate]]:
        """``summary()[method][metric]``: means with 95 % intervals."""
        return {method: {metric: self.estimate(method, metric) for metric in columns} for method, columns in self.values.items()}

    def by_severity(self, method: str, metric: str, bins: int = 3) -> dict[str, Estimate]:
        """One metric from mild to severe captures: ``bins`` groups of about equal size, named by their range."""
        edges = np.quantile(self.severity, np.linspace(0, 1, bins + 1))
        group = np.clip(np.searchsorted(edges, self.severity, side="right") - 1, 0, bins - 1)
        return {
            f"{edges[k]:.2f}–{edges[k + 1]:.2f}": self.estimate(method, metric, among=group == k)
            for k in range(bins)
            if (group == k).any()
        }

    def tone_groups(self, groups: int = 3) -> np.ndarray:
        """Tone group of each capture, ``(N,)`` integers from 0: terciles of the *subjects'* tone (or the
        tones themselves if there are no more than ``groups`` different ones)."""
        _, first = np.unique(self.subject, return_index=True)
        tones = np.unique(self.tone[first])
        edges = tones[1:] if len(tones) <= groups else np.quantile(self.tone[first], np.arange(1, groups) / groups)
        return np.searchsorted(edges, self.tone, side="right")

    def by_tone(self, method: str, metric: str, groups: int = 3) -> dict[int, Estimate]:
        """One metric per tone group."""
        group = self.tone_groups(groups)
        return {int(k): self.estimate(method, metric, among=group == k) for k in np.unique(group)}

    def tone_gap(self, method: str, metric: str = "colour", groups: int = 3) -> float:
        """Worst tone group's mean ÷ best group's; 1 is the same for everybody."""
        means = [e.mean for e in self.by_tone(method, metric, groups).values() if not math.isnan(e.mean)]
        return max(means) / max(min(means), 1e-12) if means else math.nan

    def tone_gap_estimate(self, method: str, metric: str = "colour", groups: int = 3) -> Estimate:
        """`tone_gap` with an interval over people, drawn within their groups."""
        known = np.isfinite(self._column(method, metric))
        first = np.unique(self.subject[known], return_index=True)[1]
        means = subject_means(self._column(method, metric)[known], self.subject[known])
        return gap_of_groups(means, self.tone_groups(groups)[known][first])

    def best(self, method: str, metric: str, count: int = 4) -> np.ndarray:
        """Capture rows of the ``count`` best results, best first."""
        column = self._column(method, metric)
        known = np.flatnonzero(~np.isnan(column))
        order = known[np.argsort(column[known], kind="stable")]
        return self.rows[order[::-1] if higher_is_better(metric) else order][:count]

    def worst(self, method: str, metric: str, count: int = 4) -> np.ndarray:
        """Capture rows of the ``count`` worst results, worst first."""
        known = int((~np.isnan(self._column(method, metric))).sum())
        return self.best(method, metric, known)[::-1][:count]

    def markdown(self, metrics: list[str] | None = None, digits: int = 3, *, more: bool = False) -> str:
        """A table of means with 95 % intervals, best mean in bold, and a line that says what measured it.

        Args:
            metrics: columns, by default all. digits: significant ones. more: another table of the same follows, which
                has what belongs to both: KID, and the line.
        """
        metrics = metrics or self.columns
        summary = self.summary()
        best = {}
        for metric in metrics:
            means = {m: summary[m][metric].mean for m in self.methods if not math.isnan(summary[m][metric].mean)}
            best[metric] = (max if higher_is_better(metric) else min)(means, key=means.__getitem__, default=None)
        arrows = [f"{self.label(metric)} {'↑' if higher_is_better(metric) else '↓'}" for metric in metrics]
        kid = {} if more else self.kid
        head = ["method", *arrows, *([f"KID@{self.resolution} ↓"] if kid else [])]
        lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
        for method in self.methods:
            cells = []
            for metric in metrics:
                estimate = summary[method][metric]
                bold = "**" if best[metric] == method else ""
                interval = estimate.interval(f".{digits}g")
                cells.append(f"{bold}{estimate.mean:.{digits}g}{bold}{interval}" if estimate.n else "–")
            cells += [str(kid[method]) if method in kid else "–"] if kid else []
            lines.append("| " + " | ".join([method, *cells]) + " |")
        return with_minus("\n".join(lines) + "\n") + ("" if more else f"\n{self.caption()}\n")

    def versus(
        self,
        method: str,
        rivals: list[str] | None = None,
        metrics: list[str] | None = None,
        labels: dict[str, str] | None = None,
    ) -> str:
        """A table of what ``method`` is in comparison with each rival, with mean paired differences, and the rule in its foot.

        ``labels``: how to call the metrics; default `label`. The rest as `verdicts`.
        """
        judged = self.verdicts(method, rivals, metrics)
        rivals = list(dict.fromkeys(rival for rival, _ in judged))
        lines = [f"| {method} is … than | " + " | ".join(rivals) + " |", "|---|" + "---|" * len(rivals)]
        for metric in dict.fromkeys(metric for _, metric in judged):
            cells = []
            for rival in rivals:
                told = judged[rival, metric]
                bold = "**" if told.word == BETTER else ""
                cells.append(f"{bold}{told}{bold} ({known(told.difference.mean, '+.2g')})")
            lines.append(f"| {(labels or {}).get(metric, self.label(metric))} | " + " | ".join(cells) + " |")
        foot = (
            f"In brackets: mean paired difference, {method} − rival. Words: sign-flip test over subjects at 5 %, the "
            f"{len(judged)} comparisons of this table corrected together (Holm)."
        )
        return with_minus("\n".join(lines)) + "\n\n" + foot + "\n"

    def tones(self, metric: str = "colour", groups: int = 3) -> str:
        """A table of one metric per tone group and method, and how much worse the worst group is served than the best."""
        found = {method: self.by_tone(method, metric, groups) for method in self.methods}
        names = list(next(iter(found.values())))
        lines = [f"| {self.label(metric)} | " + " | ".join(f"tone {k + 1}" for k in names) + " | worst ÷ best |"]
        lines.append("|---|" + "---|" * (len(names) + 1))
        for method, means in found.items():
            cells = [f"{means[k]:.3g}" if k in means else "–" for k in names]
            lines.append(f"| {method} | " + " | ".join(cells) + f" | {known(self.tone_gap(method, metric, groups), '.2f')} |")
        return with_minus("\n".join(lines)) + "\n\nSubjects in three groups of skin tone (terciles), tone 1 the lightest.\n"

    def caption(self) -> str:
        """One sentence on what was measured, with which networks, where."""
        networks = "; ".join(f"{LABELS.get(f'{metric}_cosine', metric)}: {name}" for metric, name in self.networks.items())
        return (
            f"{len(self.rows)} captures of {len(np.unique(self.subject))} subjects at {self.resolution}², "
            f"mean [95 % interval over subjects, each on its own], measured on {self.device or 'cpu'}. "
            + (f"Weights of the chain: {self.weights}, protocol {self.protocol or 'unknown'}. " if self.weights else "")
            + f"Networks: {networks or 'none'}."
            + (f" KID (± over subsets) against {self.kid_reference}." if self.kid else "")
        )

    def to_json(self, path: str | Path) -> Path:
        """Write everything, atomically, as JSON that `from_json` reads; ``nan`` and infinities become strings."""
        plain = {
            "rows": self.rows.tolist(),
            "subject": self.subject.tolist(),
            "severity": self.severity.tolist(),
            "tone": self.tone.tolist(),
            "values": {m: {k: v.tolist() for k, v in columns.items()} for m, columns in self.values.items()},
            "kid": {m: dataclasses.asdict(k) for m, k in self.kid.items()},
            "kid_reference": self.kid_reference,
            "networks": self.networks,
            "resolution": self.resolution,
            "device": self.device,
            "weights": self.weights,
            "protocol": self.protocol,
            "summary": {m: {k: dataclasses.asdict(e) for k, e in c.items()} for m, c in self.summary().items()},
        }
        with atomic(path) as temporary:
            temporary.write_text(json.dumps(_safe(plain), indent=1, allow_nan=False) + "\n")
        return Path(path)

    @classmethod
    def from_json(cls, path: str | Path) -> EvaluationTable:
        """Read what `to_json` wrote.

        Raises:
            InputError: missing file, or another kind of file.
        """
        try:
            plain = read_json(Path(path))
            rows, subject, severity, tone = (np.asarray(plain[k]) for k in ("rows", "subject", "severity", "tone"))
            # "nan" and "inf" are read back by numpy's own conversion
            values = {m: {k: np.asarray(v, dtype=float) for k, v in c.items()} for m, c in plain["values"].items()}
            measured = {m: KID(**k) for m, k in plain["kid"].items()}
            rest = {k: plain[k] for k in ("kid_reference", "networks", "resolution", "device")}
            rest |= {k: plain.get(k, "") for k in ("weights", "protocol")}  # older files do not tell
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{path} is not an evaluation table; make one with  studiolike evaluate") from error
        return cls(rows=rows, subject=subject, severity=severity, tone=tone, values=values, kid=measured, **rest)


def known(value: float, spec: str) -> str:
    """A number, or a dash where there was nothing to measure."""
    return "–" if math.isnan(value) else f"{value:{spec}}"


def _safe(x):
    """Replace numbers that JSON does not know by their names."""
    if isinstance(x, dict):
        return {k: _safe(v) for k, v in x.items()}
    if isinstance(x, list):
        return [_safe(v) for v in x]
    return str(x) if isinstance(x, float) and not math.isfinite(x) else x
