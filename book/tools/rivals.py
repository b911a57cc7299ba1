"""The page of the rivals: tables, words and advice, computed from the records of the experiments; nothing is run.

    python book/tools/rivals.py                      print the page
    python book/tools/rivals.py --draw --runs runs   make its pictures again, from the trained rivals under ``runs``

A row whose record is missing, or older than the settings or weights that it speaks of, is named as such and judged by nobody.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import ledger
from project import ROOT
from rivals_contest import CALLED, FACE, TRAINED, Contest, fresh
from rivals_sheet import draw, figure, picture_name
from studiolike.errors import InputError
from studiolike.evaluation.bootstrap import clustered_mean
from studiolike.evaluation.table import higher_is_better, with_minus
from studiolike.evaluation.verdict import BETTER, CANNOT_TELL, FAILS, HOLDS, UNSURE, WORSE, listed, seeded_verdicts, within_limits
from studiolike.experiments.claims import judge, read_claims
from studiolike.experiments.core import SEEDS, experiment
from studiolike.experiments.records import spoken
from studiolike.experiments.rivals import DECISIVE, LONG, LONGER, NAMES, row_name

PAGE = "rivals"
CHAPTERS = ("ch04", "ch06")  # whose boxes of claims end with the rivals
GAP = 1.2  # how much worse than the best the worst tone group may be served, our aim
QUESTIONS = {
    "few": "Studio textures of the few-shot set alone are known, the paper's question.",
    "open": "Studio textures of all people of the pre-training set are known: what the command line's weights have learnt from.",
}


def named(names: list[str]) -> str:
    """ "a, b and c"."""
    return listed(names) if names else "nobody"


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
        lines.append(f"| {contest.title(name)} | {seeds} | " + " | ".join(cells) + " |")
    return lines


def signed(difference: float) -> str:
    """A difference with its sign, as it is printed."""
    return with_minus(f"{difference:+.2g}")


def words(contest: Contest, measures: list[str]) -> list[str]:
    """What the chain is in comparison with each rival, and by how much; of a first look the difference alone."""
    head = [CALLED[measure] for measure in measures]
    lines = ["| our chain is … than | " + " | ".join(head) + " |", "|---" * (len(head) + 1) + "|"]
    for rival in contest.rivals:
        cells = []
        for measure in measures:
            if rival in contest.looks:
                cells.append(f"({signed(np.nanmean(contest.ahead(rival, measure)))})")
                continue
            verdict = contest.judged[rival, measure]
            bold = "" if verdict.word == CANNOT_TELL else "**"
            cells.append(f"{bold}{verdict.word}{bold} ({signed(verdict.difference.mean)})")
        lines.append(f"| {contest.title(rival)} | " + " | ".join(cells) + " |")
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
    for name in contest.looks:
        ahead = named([CALLED[m] for m in contest.leads(name)]) if contest.leads(name) else "none of the three"
        lines.append(
            f"\nA first look, from which nothing is concluded: in the mean {contest.title(name)} is better than our chain in "
            f"{ahead}."
        )
    lost = contest.losses
    if not lost and contest.unheard:
        lines.append(
            "\nWhether any rival beats our chain cannot be said: trainings without a record of the present settings are missing "
            f"({named(contest.unheard)})."
        )
        return lines
    if not lost:
        long = [NAMES[name] for name in LONG if name in contest.records and contest.known(name)]
        how = f", nor does {named(long)}" if long else ", trained as briefly as here"
        lines.append(
            f"\n**No rival beats our chain in {named([CALLED[m] for m in DECISIVE])}** under `{contest.protocol}`{how}: of what "
            "this page has, take the chain."
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
    """Whether the aim for skin tones is met, and by whom, as far as the interval over people tells."""
    words = {HOLDS: "met by", UNSURE: "not to be told of", FAILS: "not met by"}
    outcomes = {name: within_limits(gap, at_most=GAP) for name, gap in contest.gaps.items()}
    parts = {said: named([NAMES[n] for n, one in outcomes.items() if one == outcome]) for outcome, said in words.items()}
    told = "; ".join(f"{said} {who}" for said, who in parts.items() if who != "nobody")
    ours = f" Our chain's is {contest.gaps['chain']:.2f}." if "chain" in contest.gaps else ""
    return (
        f"People stand in three groups of skin tone (terciles). We aim at a colour error in the worst group of at most {GAP} "
        f"times that in the best; by the 95 % interval over people this is {told}.{ours} A ratio says nothing of the errors "
        "themselves. Of our chain {ref}`the ledger <claim-colour-for-everybody>` asks the same, of more captures."
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
            lines.append(f"| {contest.title(name)} | `{contest.protocol}` | " + " | ".join(cells) + f" | {1000 * one:.0f} ms |")
    return lines


def lengths(contests: list[Contest]) -> str:
    """How often and how long each trained rival has learnt, and how long our stage 3."""
    parts = []
    for name in TRAINED:
        found = [one for one in contests if name in one.records]
        if found:
            minutes = [one.scalar(name, "train_seconds") / 60 for one in found]
            seeds = " or ".join(map(str, sorted({one.seeds(name) for one in found})))
            parts.append(f"{NAMES[name]} {span(minutes)} min ({seeds} seed{'s' * (seeds != '1')})")
    ours = [one.scalar("chain", "train_seconds") / 60 for one in contests if "chain" in one.records]
    told = f"A training took, in processor time: {'; '.join(parts)}" if parts else "No rival has been trained"
    return told + (f"; that of our stage 3 {span(ours)} min." if ours else ".")


def span(values: list[float]) -> str:
    """ "2" or "2 to 5"."""
    low, high = f"{min(values):.0f}", f"{max(values):.0f}"
    return low if low == high else f"{low} to {high}"


def longer(root: Path | None = None) -> list[str]:
    """What longer trainings change for a rival, over seeds: how much brevity hides. Of too few seeds the figures alone."""
    found, lines = fresh("rivals", root), []
    for rival, times, protocol in ((r, t, p) for r, lengths in LONGER.items() for t, ps in lengths.items() for p in ps):
        long, short = row_name(rival, protocol, times), row_name(rival, protocol)
        if found is None or not {long, short} <= set(found.finished()):
            continue
        differences = {m: found.difference(long, short, m) for m in DECISIVE}
        verdicts = seeded_verdicts(differences, {m: higher_is_better(m) for m in differences})
        count = len(found.seeds(long))
        told = f"{verdict_list(verdicts)}." if found.known(long) else f"{verdict_list(verdicts, words=False)} (a first look)."
        seeds = f"{count} seed{'s' * (count > 1)}"
        lines.append(f"- {NAMES[rival]} under `{protocol}`, {times} times as long ({seeds}), against its brief run: {told}")
    return lines or ["Whether a longer training would change the order has not been measured yet."]


def verdict_list(verdicts: dict, words: bool = True) -> str:
    """Verdicts by measure with their differences, or the differences alone."""
    return "; ".join(
        f"{CALLED[m]} {f'{v.word} ({signed(v.difference.mean)})' if words else signed(v.difference.mean)}"
        for m, v in verdicts.items()
    )


def whole_network(root: Path | None = None) -> list[str]:
    """Fine-tuning without frozen layers: the ledger's own words, so that no comparison has two."""
    rows = {"whole network", "after 8²"}
    claims = [c for c in read_claims(ledger.CLAIMS) if any(set(condition.rows) == rows for condition in c.conditions)]
    try:
        judged = [judge(claim, root) for claim in claims]
    except InputError:
        return ["Fine-tuning of the whole network, without frozen layers, has no fresh record."]
    return [
        "Fine-tuning of the whole network instead of its finer layers is a rival of our stage 3 alone, compared in equally short "
        "trainings of several seeds. [The ledger](ledger.md) says of it:",
        "",
        *(f"- {one.claim.claim} *{one.word}*" for one in judged),
        "",
        "Under `open` our own generator is trained whole.",
    ]


def note(chapter: str, root: Path | None = None, page: str = f"../{PAGE}.md") -> str:
    """What the records say of our chain among its rivals, for the chapters that it concerns; empty for others."""
    if not chapter.startswith(CHAPTERS):
        return ""
    said: dict[str, list[str]] = {}  # protocols of which the same is said are named together
    who: dict[str, None] = {}
    for protocol in QUESTIONS:
        contest = Contest.read(protocol, root)
        judged = [name for name in contest.rivals if (name, DECISIVE[0]) in contest.judged]
        if not judged:
            continue
        told: dict[str, list[str]] = {}
        for measure in DECISIVE:
            counts = {
                lead: len(contest.told(word, measure))
                for word, lead in ((BETTER, "better than"), (CANNOT_TELL, "not to be told from"), (WORSE, "worse than"))
            }
            words = [f"{lead} {'all' if count == len(judged) else count}" for lead, count in counts.items() if count]
            told.setdefault(", ".join(words), []).append(CALLED[measure].replace(", face", " (face)"))
        who |= dict.fromkeys(NAMES[name] for name in judged)
        learnt = sum(name in TRAINED for name in judged)
        outcome = "; ".join(f"in {named(measures)} {words}" for words, measures in told.items())
        said.setdefault(f"of {len(judged)} rivals, {learnt} of them trained: {outcome}.", []).append(f"`{protocol}`")
    if not said:
        return ""
    lines = [f"- Under {named(protocols)}, {sentence}" for sentence, protocols in said.items()]
    head = f"Our chain among [its rivals on the same data]({page}), by the same kind of records ({named(list(who))}):"
    return "\n".join(["", head, "", *lines])


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
        f"All heads are synthetic. {experiment('rivals').limits} {lengths(contests)} Longer training may change the order. "
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
            f"random; what rests on fewer than {SEEDS} is a first look, and neither bold nor judged.",
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
