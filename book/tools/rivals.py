"""The page of the rivals: tables, words and advice, computed from the records of the experiments; nothing is run.

    python book/tools/rivals.py                      print the page
    python book/tools/rivals.py --draw --runs runs   make its pictures again, from the trained rivals under ``runs``

A row whose record is missing, or older than the settings or weights that it speaks of, is named as such and judged by nobody.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from project import ROOT
from rivals_sheet import draw, figure, picture_name
from studiolike.config import profile
from studiolike.errors import InputError
from studiolike.evaluation.bootstrap import clustered_mean
from studiolike.evaluation.table import higher_is_better, label, with_minus
from studiolike.evaluation.verdict import BETTER, CANNOT_TELL, WORSE, Verdict, seeded_verdicts
from studiolike.experiments import Record, record
from studiolike.experiments.core import experiment
from studiolike.experiments.records import spoken
from studiolike.experiments.rivals import DECISIVE, LONG, LONGER, NAMES, row_name, row_of

PAGE = "rivals"
RECORDS = ("rivals-closed", "rivals", "rivals-chain")
CLOSED = ("nothing", "mean_studio", "colour_transfer", "quotient", "homomorphic")
TRAINED = ("unet", "unet_gain", "cut", "diffusion", *LONG)
OURS = ("generator", "chain")
FACE = "perceptual/face"
GAP = 1.2  # how much worse than the best the worst tone group may be served, our aim
QUESTIONS = {
    "few": "Studio textures of the few-shot set alone are known, the paper's question.",
    "open": "Studio textures of all people of the pre-training set are known: what the command line's weights have learnt from.",
}
CALLED = {
    "low_band": "low-band error",
    "perceptual/face": "perceptual distance, face",
    "faceid_cosine": "identity cosine",
    "face_distance": "distance of faces (dlib)",
    "psnr/observed": "PSNR, observed",
    "psnr_fitted/observed": "PSNR after a gain fit",
    "psnr/holes": "PSNR, holes",
    "variance_ratio": "variance over lights",
    "colour": "colour error (ΔE)",
}


def fresh(name: str, root: Path | None = None) -> Record | None:
    """A record with only those entries that the present settings and weights would make again; None without any."""
    try:
        found = record(name, root)
    except InputError:
        return None
    made, settings = experiment(name), profile(found.profile)
    kept = [e for e in found.entries if e.row in made.rows and e.digest == made.digest(e.row, e.seed, settings)]
    return replace(found, entries=kept) if kept else None


@dataclass(frozen=True)
class Contest:
    """All methods under one protocol, as far as there are fresh records. ``records``: name of the method → its record."""

    protocol: str
    records: dict[str, Record]

    @classmethod
    def read(cls, protocol: str, root: Path | None = None) -> Contest:
        """From the records in ``root``, by default the package's."""
        found = [one for one in (fresh(name, root) for name in RECORDS) if one is not None]
        by_row = {row: one for one in found for row in one.finished()}
        names = {name: row_of(name, protocol) for name in (*CLOSED, *TRAINED, *OURS)}
        return cls(protocol, {name: by_row[row] for name, row in names.items() if row in by_row})

    def values(self, name: str, measure: str) -> np.ndarray:
        """``(seeds, people)``."""
        return self.records[name].per_person(row_of(name, self.protocol), measure)

    def scalar(self, name: str, measure: str) -> float:
        """Mean over the seeds of a number for all people together; nan where it is not known."""
        entries = [e for e in self.records[name].entries if e.row == row_of(name, self.protocol)]
        return float(np.mean([e.scalars.get(measure, np.nan) for e in entries]))

    def seeds(self, name: str) -> int:
        """How many trainings stand behind a row."""
        return len(self.records[name].seeds(row_of(name, self.protocol)))

    @property
    def missing(self) -> list[str]:
        """Methods without a fresh record."""
        return [NAMES[name] for name in (*CLOSED, *TRAINED, *OURS) if name not in self.records]

    @property
    def rivals(self) -> list[str]:
        """Everything that is not ours."""
        return [name for name in self.records if name not in OURS]

    @cached_property
    def judged(self) -> dict[tuple[str, str], Verdict]:
        """Our chain against each rival in each measure, judged together: ``[rival, measure]``."""
        if "chain" not in self.records:
            return {}
        differences = {
            (rival, measure): self.values("chain", measure).mean(0)[None] - self.values(rival, measure)
            for rival in self.rivals
            for measure in CALLED
        }
        return seeded_verdicts(differences, {key: higher_is_better(key[1]) for key in differences})

    def told(self, word: str, measure: str) -> list[str]:
        """Rivals against which the chain is better, worse, or cannot be told from, in one measure."""
        return [NAMES[r] for r in self.rivals if (r, measure) in self.judged and self.judged[r, measure].word == word]

    @property
    def unlearnt(self) -> list[str]:
        """Trained rivals that are, in the mean perceptual distance, farther from the truth than the phone texture itself."""
        means = {name: np.nanmean(self.values(name, FACE)) for name in self.records if name in ("nothing", *TRAINED)}
        return [NAMES[name] for name, mean in means.items() if mean > means.get("nothing", np.inf)]

    def leader(self, measure: str) -> str:
        """The method with the best mean."""
        means = {name: float(np.nanmean(self.values(name, measure))) for name in self.records}
        return (max if higher_is_better(measure) else min)(means, key=means.get)

    @property
    def losses(self) -> dict[str, list[str]]:
        """Decisive measure → rivals that beat our chain in it; measures without any are left out."""
        return {measure: worse for measure in DECISIVE if (worse := self.told(WORSE, measure))}


def named(names: list[str]) -> str:
    """ "a, b and c"."""
    return ", ".join(names[:-1]) + (" and " if len(names) > 1 else "") + names[-1] if names else "nobody"


def quality(contest: Contest, measures: list[str], scalars: dict[str, tuple[str, str]]) -> list[str]:
    """A table of measures: means ± half their 95 % interval over people, best in bold; then some numbers for all together.

    ``scalars``: name → its head and how it is written.
    """
    head = [f"{CALLED[m]} {'↑' if higher_is_better(m) else '↓'}" for m in measures] + [title for title, _ in scalars.values()]
    lines = ["| method | seeds | " + " | ".join(head) + " |", "|---" * (len(head) + 2) + "|"]
    for name in contest.records:
        cells = []
        for measure in measures:
            people = contest.values(name, measure).mean(0)
            e = clustered_mean(people, np.arange(len(people)))
            bold = "**" if contest.leader(measure) == name else ""
            mean, sign, half = spoken(e).partition(" ± ")
            cells.append(f"{bold}{mean}{bold}{sign}{half}")
        cells += [format(contest.scalar(name, key), how) for key, (_, how) in scalars.items()]
        seeds = str(contest.seeds(name)) if name in TRAINED else "–"
        lines.append(f"| {NAMES[name]} | {seeds} | " + " | ".join(cells) + " |")
    return lines


def signed(verdict: Verdict) -> str:
    """A difference with its sign, as it is printed."""
    return with_minus(f"{verdict.difference.mean:+.2g}")


def words(contest: Contest, measures: list[str]) -> list[str]:
    """What the chain is in comparison with each rival, and by how much."""
    head = [CALLED[measure] for measure in measures]
    lines = ["| our chain is … than | " + " | ".join(head) + " |", "|---" * (len(head) + 1) + "|"]
    for rival in contest.rivals:
        cells = []
        for measure in measures:
            verdict = contest.judged[rival, measure]
            bold = "" if verdict.word == CANNOT_TELL else "**"
            cells.append(f"{bold}{verdict.word}{bold} ({signed(verdict)})")
        lines.append(f"| {NAMES[rival]} | " + " | ".join(cells) + " |")
    return lines


def summary(contest: Contest) -> list[str]:
    """Who beats our chain, where, and what a user should then take: computed sentences."""
    if not contest.judged:
        return ["Our chain has not been measured with its present weights, so nothing can be said of it here."]
    lines = []
    for measure in DECISIVE:
        better, tied, worse = (contest.told(word, measure) for word in (BETTER, CANNOT_TELL, WORSE))
        parts = [f"better than {named(better)}"] if better else []
        parts += [f"not to be told from {named(tied)}"] if tied else []
        parts += [f"**worse than {named(worse)}**"] if worse else []
        lines.append(f"- {CALLED[measure]}: our chain is {'; '.join(parts)}.")
    learnt = [contest.scalar(name, "train_seconds") for name in contest.records if name in TRAINED]
    if learnt:
        lines.append(
            f"\nThe trained rivals learnt for {min(learnt):.0f} to {max(learnt):.0f} s of processor time, our stage 3 for "
            f"{contest.scalar('chain', 'train_seconds'):.0f} s, after a pre-training: a longer training may turn these words."
        )
    if raw := contest.unlearnt:
        lines.append(
            f"In this time {named(raw)} did not learn the task: by perceptual distance, what comes out is farther from the "
            "truth than the phone texture that went in. Being better than that says nothing of the method."
        )
    lost = contest.losses
    if not lost:
        long = any(name in contest.records for name in LONG)
        how = ", one of which learnt about as long as G_studio," if long else ", trained as briefly as here,"
        lines.append(
            f"\n**No rival{how} beats our chain in {named([CALLED[m] for m in DECISIVE])}** under "
            f"`{contest.protocol}`: of what this page has, take the chain."
        )
        return lines
    if everywhere := [name for name in lost.get(DECISIVE[0], []) if all(name in lost.get(m, []) for m in DECISIVE)]:
        lines.append(
            f"\n**In all three our chain is beaten by {named(everywhere)}.** Who wants a texture alone should take that."
        )
        return lines
    kept = [CALLED[m] for m in DECISIVE if m not in lost]
    lines.append(
        "\n**Our chain is beaten in "
        + "; in ".join(f"{CALLED[m]} by {named(names)}" for m, names in lost.items())
        + "."
        + (f" In {named(kept)} nobody beats it.**" if kept else "**")
    )
    lines.append("\nWhat to take follows from what matters:\n")
    lines += [f"- {CALLED[m]}: {NAMES[contest.leader(m)]} has the best mean." for m in DECISIVE]
    return lines


def tones(contest: Contest) -> str:
    """Whether the aim for skin tones is met, and by whom."""
    met = [NAMES[name] for name in contest.records if contest.scalar(name, "tone_gap") <= GAP]
    rest = [NAMES[name] for name in contest.records if NAMES[name] not in met]
    return (
        f"People stand in three groups of skin tone (terciles). We aim at a colour error in the worst group of at most {GAP} "
        f"times that in the best: met by {named(met)}; not met by {named(rest)}. A ratio says nothing of the errors themselves."
    )


def costs(contests: list[Contest]) -> list[str]:
    """Time and memory of each method."""
    lines = ["| method | protocol | training, processor | memory in training | parameters | one capture |", "|---" * 6 + "|"]
    for contest in contests:
        for name in contest.records:
            seconds, gib = contest.scalar(name, "train_seconds"), contest.scalar(name, "train_gib")
            parameters, one = contest.scalar(name, "parameters"), contest.scalar(name, "convert_seconds")
            cells = ["–"] * 3
            if parameters:
                cells = [
                    f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min",
                    f"{gib:.1f} GB" if np.isfinite(gib) else "not recorded",
                    f"{parameters / 1e6:.2f} million",
                ]
            lines.append(f"| {NAMES[name]} | `{contest.protocol}` | " + " | ".join(cells) + f" | {1000 * one:.0f} ms |")
    return lines


def longer(root: Path | None = None) -> list[str]:
    """What the shorter of the longer trainings changes for the paired U-Net, over seeds: how much brevity hides."""
    found, times = fresh("rivals", root), min(LONGER)
    long, short = row_name("unet", "few", times), row_name("unet", "few")
    if found is None or not {long, short} <= set(found.finished()):
        return ["Whether a longer training would change the order has not been measured yet."]
    differences = {m: found.difference(long, short, m) for m in DECISIVE}
    verdicts = seeded_verdicts(differences, {m: higher_is_better(m) for m in differences})
    cells = [f"{CALLED[m]}: {v.word} ({signed(v)})" for m, v in verdicts.items()]
    return [f"Trained {times} times as long, the paired U-Net under `few` is, than in its brief run: " + "; ".join(cells) + "."]


def whole_network(root: Path | None = None) -> list[str]:
    """Fine-tuning without frozen layers, from the record of the experiment on layers."""
    found = fresh("layers", root)
    rows = ("whole network", "after 8²")
    if found is None or not set(rows) <= set(found.finished()):
        return ["Fine-tuning of the whole network, without frozen layers, has no record yet."]
    measures = [m for m in found.measures if m != "kid"]
    differences = {m: found.difference(*rows, m) for m in measures}
    verdicts = seeded_verdicts(differences, {m: higher_is_better(m) for m in measures})
    cells = [f"{CALLED.get(m, label(m))}: {v.word} ({signed(v)})" for m, v in verdicts.items()]
    return [
        "Fine-tuning of the whole network instead of its finer layers is a rival of our stage 3 alone, compared in equally short "
        f"trainings of {len(found.seeds(rows[0]))} seeds: than with layers up to 8×8 frozen it is " + "; ".join(cells) + ". "
        "Under `open` our own generator is trained whole."
    ]


def rivals_page(root: Path | None = None, pictures: Path = ROOT / "book" / "_static") -> str:
    """The page, as MyST; empty where no method has been measured with the present settings and weights."""
    contests = [Contest.read(protocol, root) for protocol in QUESTIONS]
    if not any(contest.records for contest in contests):
        return ""
    people = next(one.values(name, FACE).shape[1] for one in contests for name in one.records)
    lines = [
        "# Rivals",
        "",
        "Would something simpler, or something else, do as well? Here are other ways from a phone texture to a studio texture: "
        "formulas that know one mean face, networks that learn from pairs, one that learns without pairs, and a "
        "diffusion model that does the whole job. All learn from what our chain learns from, read through the same function, "
        f"and are judged in the same way on the same {people} people of the split `val`, whom no training has seen. "
        "What each measure tells, and what fools it, stands on [the page of metrics](notation-and-metrics.md).",
        "",
        *SENTENCES,
        "- **Our generator alone** is what G_studio draws ({ref}`ch04`); **our chain** adds the phone's detail by fusion "
        "({ref}`ch05`).",
        "",
        "Every number, word and piece of advice on this page is computed from records of experiments. "
        "Make them again with `studiolike experiment run rivals-closed rivals rivals-chain`.",
        "",
        "```{admonition} What this comparison cannot say",
        ":class: warning",
        "All heads are synthetic. " + experiment("rivals").limits + " Longer training may change the order. "
        "Our chain has one set of weights, so its intervals are over people alone. "
        "It has also learnt from the captures of all people of the pre-training set, as every protocol allows; the paired rivals "
        "cannot use a capture without a studio texture, and that is a difference of the methods, not of the data.",
        "```",
        "",
    ]
    for contest in contests:
        lines += [f"## Protocol `{contest.protocol}`", "", QUESTIONS[contest.protocol], ""]
        if contest.missing:
            lines += [f"Not measured with the present code and weights: {named(contest.missing)}.", ""]
        if not contest.records:
            continue
        first = [*DECISIVE, "face_distance"]
        others = [m for m in CALLED if m not in first]
        lines += [*summary(contest), ""]
        lines += [*quality(contest, first, {"kid": ("KID ↓", ".1e")}), ""]
        lines += [*quality(contest, others, {"tone_gap": ("worst ÷ best tone ↓", ".2f")}), ""]
        lines += [
            "Means ± half the 95 % interval over people, best mean in bold. Seeds: trainings behind a row, none where nothing is "
            "random; what rests on fewer than three is a first look.",
            "",
        ]
        if contest.judged:
            lines += [*words(contest, first), "", *words(contest, others), ""]
            lines += [
                "In brackets: mean paired difference, our chain minus the rival. Words: sign-flip test over "
                "people, all comparisons of both tables corrected together (Holm), and no seed may say the opposite.",
                "",
            ]
        lines += [tones(contest), ""]
        if (pictures / picture_name(contest.protocol)).is_file():
            lines += [*figure(contest), ""]
    lines += ["## Time and memory", "", *costs(contests), ""]
    lines += [
        "Processor seconds of one core; the training of our chain is that of its stage 3 alone, after the pre-training of "
        "stage 1, which takes hours and is shared by both protocols. Memory is the most that the training process had held "
        "until then. One capture: at the size of the GAN stages, from texture to texture.",
        "",
        "## Does brevity hide a better rival?",
        "",
        *longer(root),
        "",
        *whole_network(root),
        "",
    ]
    return "\n".join(lines)


SENTENCES = [
    "- **Doing nothing** gives the phone texture back; the **mean face** gives everybody the mean studio texture.",
    "- **Colour transfer** gives the texture the mean and spread of the mean face's colours "
    "{cite}`reinhard2001colour`; the **quotient** replaces its low frequencies by the mean face's "
    "{cite}`land1971retinex,shashua2001quotient`; **homomorphic de-lighting** turns the low frequencies of log light down, and "
    "needs of the mean face only its exposure {cite}`oppenheim1968nonlinear`.",
    "- The **paired U-Net** {cite}`ronneberger2015unet,isola2017pix2pix` predicts the studio texture, the **gain-field U-Net** "
    "the factor of every texel instead; both with the terms that our generator gets on pairs.",
    "- **CUT** {cite}`park2020cut` is shown textures of both kinds and never told whose is whose.",
    "- **Paired diffusion** {cite}`saharia2022palette` is our detailer's network, asked to draw the whole studio texture.",
]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draw", action="store_true", help="make the pictures again")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of data sets and of the rivals' runs")
    options = parser.parse_args(arguments)
    if not options.draw:
        print(rivals_page())
        return
    for protocol in QUESTIONS:
        print(draw(Contest.read(protocol), options.runs, ROOT / "book" / "_static" / picture_name(protocol)))


if __name__ == "__main__":
    main()
