"""The result of an evaluation: one number per method, metric and capture, and the tables made of them."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Iterable, Sequence
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

# every metric's name begins with one of these: whether larger is better, and what a table calls it
METRICS = {
    "psnr": (True, "PSNR"),
    "psnr_fitted": (True, "PSNR after a gain fit"),
    "ssim": (True, "SSIM"),
    "low_band": (False, "low-band error"),
    "low_band_luminance": (False, "low_band_luminance"),
    "low_band_chroma": (False, "low_band_chroma"),
    "perceptual": (False, "perceptual"),
    "lpips": (False, "LPIPS"),
    "faceid_cosine": (True, "identity cosine"),
    "faceid_mse": (False, "identity MSE"),
    "face_distance": (False, "distance of faces (dlib)"),
    "faceid_kept": (False, "identity MSE to G_phone"),
    "colour": (False, "colour"),
    "asymmetry": (False, "asymmetry"),
    "variance_ratio": (False, "variance over lights"),
    "kid": (False, "KID"),
    "tone_gap": (False, "tone gap"),
    "severity": (False, "severity of the light"),
    "correlation": (True, "correlation"),
    "shape_error": (False, "error of what tells people apart, mm"),
    "width": (True, "correlation, width"),
    "height": (True, "correlation, height"),
    "depth": (True, "correlation, depth"),
    "seconds": (False, "seconds"),
}
GROUPS = 3  # of captures by severity, and of subjects by skin tone
INPUTS = ("severity",)  # what describes a capture and not a result: neither way is better
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
    return METRICS[metric.split("/")[0]][0]


def label(metric: str) -> str:
    """What a reader calls ``metric``: ``"psnr/face"`` is ``"PSNR (face)"``."""
    base, *region = metric.split("/")
    return METRICS.get(base, (None, base))[1] + "".join(f" ({name})" for name in region)


def heading(metric: str, side: int | None = None) -> str:
    """`label` with an arrow to what is better; of `INPUTS` without one. A perceptual distance depends on the size of what it is
    shown, so that it has the ``side`` of the textures, in texels, in its name."""
    name = label(metric)
    if side and metric.split("/")[0] == "perceptual":
        name = name.replace("perceptual", f"perceptual@{side}", 1)
    return name if metric.split("/")[0] in INPUTS else f"{name} {arrow(metric)}"


def arrow(metric: str) -> str:
    """Up or down: where ``metric`` is better."""
    return "↑" if higher_is_better(metric) else "↓"


def with_minus(text: str) -> str:
    """Text for readers: negative numbers have a minus sign (U+2212) for their hyphen. Code in backticks stays as it is."""
    return MINUS.sub(lambda found: found[1] or "−", text)


def pipe_table(head: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """A table in Markdown, for readers (`with_minus`): its head and its rows, of anything that prints."""
    lines = [head, ["---"] * len(head), *rows]
    return with_minus("\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines))


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

    def estimate(self, method: str, metric: str, *, among: np.ndarray | None = None) -> Estimate:
        """Mean and 95 % interval of one metric, over all captures or over those of a boolean mask ``among (N,)``."""
        chosen = slice(None) if among is None else among
        values = self._column(method, metric)[chosen]
        subject = self.subject[chosen]
        if metric == "variance_ratio":  # one value per subject, not per capture
            first = np.unique(subject, return_index=True)[1]
            values, subject = values[first], subject[first]
        return clustered_mean(values, subject)

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

    def by_severity(self, method: str, metric: str) -> dict[str, Estimate]:
        """One metric from mild to severe captures: `GROUPS` of about equal size, named by their range."""
        edges = np.quantile(self.severity, np.linspace(0, 1, GROUPS + 1))
        group = np.clip(np.searchsorted(edges, self.severity, side="right") - 1, 0, GROUPS - 1)
        return {
            f"{edges[k]:.2f}–{edges[k + 1]:.2f}": self.estimate(method, metric, among=group == k)
            for k in range(GROUPS)
            if (group == k).any()
        }

    def tone_groups(self) -> np.ndarray:
        """Tone group of each capture, ``(N,)`` integers from 0: terciles of the *subjects'* tone (or the tones themselves if
        there are no more than `GROUPS` different ones)."""
        _, first = np.unique(self.subject, return_index=True)
        tones = np.unique(self.tone[first])
        edges = tones[1:] if len(tones) <= GROUPS else np.quantile(self.tone[first], np.arange(1, GROUPS) / GROUPS)
        return np.searchsorted(edges, self.tone, side="right")

    def by_tone(self, method: str, metric: str) -> dict[int, Estimate]:
        """One metric per tone group."""
        group = self.tone_groups()
        return {int(k): self.estimate(method, metric, among=group == k) for k in np.unique(group)}

    def tone_gap(self, method: str, metric: str = "colour") -> float:
        """Worst tone group's mean ÷ best group's; 1 is the same for everybody."""
        means = [e.mean for e in self.by_tone(method, metric).values() if not math.isnan(e.mean)]
        return max(means) / max(min(means), 1e-12) if means else math.nan

    def tone_gap_estimate(self, method: str) -> Estimate:
        """`tone_gap` in colour with an interval over people, drawn within their groups."""
        column = self._column(method, "colour")
        known = np.isfinite(column)
        first = np.unique(self.subject[known], return_index=True)[1]
        return gap_of_groups(subject_means(column, self.subject), self.tone_groups()[known][first])

    def ranked(self, method: str, metric: str) -> np.ndarray:
        """Places ``(K,)`` of the captures that have a result, best first."""
        column = self._column(method, metric)
        known = np.flatnonzero(~np.isnan(column))
        order = known[np.argsort(column[known], kind="stable")]
        return order[::-1] if higher_is_better(metric) else order

    def markdown(self, metrics: list[str] | None = None) -> str:
        """A table of means with 95 % intervals, best mean in bold, and a line that says what measured it.

        ``metrics``: default `columns`.
        """
        metrics = metrics or self.columns
        summary = self.summary()
        best = {}
        for metric in metrics:
            means = {m: summary[m][metric].mean for m in self.methods if not math.isnan(summary[m][metric].mean)}
            best[metric] = (max if higher_is_better(metric) else min)(means, key=means.__getitem__, default=None)
        head = ["method", *(f"{self.label(metric)} {arrow(metric)}" for metric in metrics)]
        head += [f"KID@{self.resolution} ↓"] if self.kid else []
        rows = []
        for method in self.methods:
            cells = []
            for metric in metrics:
                estimate = summary[method][metric]
                bold = "**" if best[metric] == method else ""
                cells.append(f"{bold}{estimate.mean:.3g}{bold}{estimate.interval()}" if estimate.n else "–")
            rows.append([method, *cells, *([self.kid.get(method, "–")] if self.kid else [])])
        return f"{pipe_table(head, rows)}\n\n{self.caption()}\n"

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
        rows = []
        for metric in dict.fromkeys(metric for _, metric in judged):
            cells = []
            for rival in rivals:
                told = judged[rival, metric]
                bold = "**" if told.word == BETTER else ""
                cells.append(f"{bold}{told}{bold} ({known(told.difference.mean, '+.2g')})")
            rows.append([(labels or {}).get(metric, self.label(metric)), *cells])
        foot = (
            f"In brackets: mean paired difference, {method} − rival. Words: sign-flip test over subjects at 5 %, the "
            f"{len(judged)} comparisons of this table corrected together (Holm)."
        )
        return f"{pipe_table([f'{method} is … than', *rivals], rows)}\n\n{foot}\n"

    def tones(self, metric: str = "colour") -> str:
        """A table of one metric per tone group and method, and how much worse the worst group is served than the best."""
        found = {method: self.by_tone(method, metric) for method in self.methods}
        names = list(next(iter(found.values())))
        rows = []
        for method, means in found.items():
            cells = [f"{means[k]:.3g}" if k in means else "–" for k in names]
            rows.append([method, *cells, known(self.tone_gap(method, metric), ".2f")])
        told = pipe_table([self.label(metric), *(f"tone {k + 1}" for k in names), "worst ÷ best"], rows)
        return told + "\n\nSubjects in three groups of skin tone (terciles), tone 1 the lightest.\n"

    def caption(self) -> str:
        """One sentence on what was measured, with which networks, where."""
        networks = "; ".join(
            f"{label('faceid_cosine') if metric == 'faceid' else metric}: {name}" for metric, name in self.networks.items()
        )
        return (
            f"{len(self.rows)} captures of {len(np.unique(self.subject))} subjects at {self.resolution}², "
            f"mean [95 % interval over subjects, each on its own], measured on {self.device or 'cpu'}. "
            + (f"Weights of the chain: {self.weights}, protocol {self.protocol or 'unknown'}. " if self.weights else "")
            + f"Networks: {networks or 'none'}."
            + (f" KID (± over subsets) against {self.kid_reference}." if self.kid else "")
        )

    def to_json(self, path: str | Path) -> Path:
        """Write everything, atomically, as JSON that `from_json` reads; ``nan`` and infinities become strings."""
        text = json.dumps(_plain(self) | {"summary": _plain(self.summary())}, indent=1, allow_nan=False)
        with atomic(path) as temporary:
            temporary.write_text(text + "\n")
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


def _plain(x):
    """What JSON can hold of dataclasses, arrays and dictionaries of them; numbers that it does not know by their names."""
    if isinstance(x, np.ndarray):
        x = x.tolist()
    elif dataclasses.is_dataclass(x):
        x = vars(x)
    if isinstance(x, dict):
        return {k: _plain(v) for k, v in x.items()}
    if isinstance(x, list):
        return [_plain(v) for v in x]
    return str(x) if isinstance(x, float) and not math.isfinite(x) else x
