"""The claim ledger: a page and a box for each chapter, made from book/claims.yml and the records of the experiments.

    python book/tools/ledger.py            print the page
    python book/tools/ledger.py --check    only say whether every verdict has a fresh record

Nothing is run here. A claim whose record is missing or stale has no verdict, and the book is not built.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from project import ROOT, BookError, tool
from studiolike.errors import InputError
from studiolike.evaluation.verdict import CANNOT_TELL, NOT_REPRODUCED, NOT_TESTABLE, PARTLY, REPRODUCED, listed
from studiolike.experiments import Record, experiments, records_dir
from studiolike.experiments.chain import VERSION
from studiolike.experiments.claims import MARKS, NOT_RUN, Judged, judge, read_claims

CLAIMS = ROOT / "book" / "claims.yml"
PAGE = "ledger"
WORDS = (REPRODUCED, PARTLY, NOT_REPRODUCED, CANNOT_TELL, NOT_RUN, NOT_TESTABLE)  # as they are listed
# words that the first laboratory of stage 3 had given, with three seeds of every row, before it was made longer: history
FIRST = {
    "whole-network-loses-identity": REPRODUCED,
    "eight-and-sixteen-keep-identity": CANNOT_TELL,
    "frozen-layers-cost-likeness": CANNOT_TELL,
    "identity-term-holds-identity": REPRODUCED,
    "two-terms-hold-identity": PARTLY,
    "pairs-hold-colour": CANNOT_TELL,
    "own-terms-earn-their-place": REPRODUCED,
    "bank-beats-z": NOT_REPRODUCED,
    "few-people-are-enough": CANNOT_TELL,
}


def verdicts(path: Path = CLAIMS, root: Path | None = None) -> list[Judged]:
    """All claims of the book with their words.

    Raises:
        BookError: any verdict without a fresh record, or a stale row in any record, for pages show them all; the message
            names each.
    """
    judged, wrong = [], []
    try:
        claims = read_claims(path)
    except InputError as error:
        raise BookError(str(error)) from error
    for claim in claims:
        try:
            judged.append(judge(claim, root))
        except InputError as error:
            wrong.append(str(error))
    for one in recorded(root):
        if rows := list(dict.fromkeys(row for row, _ in one.stale())):
            wrong.append(f"the record {one.name} is stale ({', '.join(rows)}): studiolike experiment run {one.name}")
    if wrong:
        raise BookError("\n".join(wrong))
    return judged


def recorded(root: Path | None = None) -> list[Record]:
    """All records that there are, in the order of the sweep."""
    paths = ((root or records_dir()) / f"{name}.json" for name in experiments())
    return [Record.read(path) for path in paths if path.is_file()]


def story(judged: list[Judged]) -> list[str]:
    """Which claims hold, which fail and which cannot be told, as a list with a line for each word."""
    claims = "claim" if len(judged) == 1 else "claims"
    lines = [f"Of {len(judged)} {claims} about this chapter, [the ledger](../{PAGE}.md) says:", ""]
    for word in WORDS:
        ours = {one.claim.id: f", {MARKS['ours']}" for one in judged if one.claim.mark == "ours"}
        if told := [f"“{one.claim.claim.rstrip('.')}”{ours.get(one.claim.id, '')}" for one in judged if one.word == word]:
            lines.append(f"- **{word}** ({len(told)}): {'; '.join(told)}.")
    return lines


KEY = (
    "How to read the figures: ± is half of a 95 % interval over the seeds, × the ratio of the first row to the second. "
    "p tests over people whether the two rows differ at all, on the same people, so it may be sure where the ± overlap; all p of "
    "one claim are corrected together. A claim that one row is *within* a share of another asks instead that the whole interval "
    "of × stays within that share, and cannot tell where it does not."
)


def box(chapter: str, judged: list[Judged]) -> str:
    """What a chapter says about the claims that belong to it, as MyST."""
    own = [one for one in judged if any(chapter.startswith(name) for name in one.claim.chapters)]
    if not own:
        return ""
    # what a phone shows without scrolling comes first
    lines = [*story(own), "", KEY, "", "| claim | verdict | origin | what was seen |", "|---|---|---|---|"]
    for one in own:
        lines.append(f"| {one.claim.claim} | **{one.word}** | {MARKS[one.claim.mark]} | {'; '.join(seen(one))} |")
    return "\n".join(
        [
            *lines,
            "",
            "Verdicts are computed from records of experiments over several seeds, on synthetic heads; "
            f"[the claim ledger](../{PAGE}.md) has every figure, and what these runs cannot show.",
        ]
    )


def seen(one: Judged) -> list[str]:
    """The findings of a claim, one sentence each, or why there is none."""
    if one.claim.not_testable:
        return [one.claim.not_testable]
    if not one.findings:
        return [f"awaits {one.claim.awaits}"]
    return [f"{finding.condition}: {finding.outcome} ({finding.figures})" for finding in one.findings]


def ledger_page(judged: list[Judged]) -> str:
    """The page."""
    counts = {word: sum(one.word == word for one in judged) for word in dict.fromkeys(one.word for one in judged)}
    lines = [
        "# The claim ledger",
        "",
        "What the authors of the method state, what others report of it, what we infer and what we aim at, each with a measure "
        "and a tolerance, and with the verdict of the runs. What was not written down before the runs is listed below.",
        f"{len(judged)} claims; " + ", ".join(f"*{word}*: {count}" for word, count in counts.items()) + ".",
        '"Not reproduced" is a result: it says that these runs, on synthetic heads and at this size, do not show it.',
        "",
        "A comparison of two rows is told if it can be told over the people (sign-flip test of the differences, averaged over "
        "the seeds) and every seed agrees; KID, one number for all people, has a t-test over the seeds alone. "
        "The comparisons of one claim are corrected together (Holm, 5 %), those of different claims are not: of twenty claims "
        "without any truth in them, one would be told by chance. "
        "A limit on one row (≤ or ≥) holds if the whole 95 % interval keeps it, and fails if none of it does. This interval is "
        "over people, of their means over the seeds, and not over seeds; only of a measure that is one number for all people, "
        "as the tone gap and the correlations of shape are, it is over the seeds.",
        "A claim is *reproduced* if all its conditions hold, and *partly reproduced* if some hold or go the stated way. If none "
        "does it is *not reproduced*, or, where none goes the other way either, these runs *cannot tell*.",
        "",
        *seeds_mean(),
        "",
        *afterwards(judged),
        "",
        "| claim | verdict | origin |",
        "|---|---|---|",
        *(f"| [{one.claim.claim}](claim-{one.claim.id}) | **{one.word}** | {MARKS[one.claim.mark]} |" for one in judged),
        "",
        "## The claims, one by one",
        "",
    ]
    for one in judged:
        claim = one.claim
        where = f"{MARKS[claim.mark]}: {claim.where}"
        chapters = ", ".join(f"{{ref}}`{name}`" for name in claim.chapters)
        lines += [f"(claim-{claim.id})=", f"### {claim.claim}", "", f"**{one.word}** · {where} · {chapters} · `{claim.id}`", ""]
        lines += [f"- {sentence}" for sentence in seen(one)]
        lines += ["", claim.note] if claim.note else []
        lines += ["", f"Not fixed before the runs: {claim.later}"] if claim.later else []
        lines += ["", f"Shown by the experiment [{claim.experiment}](experiment-{claim.experiment})."] if claim.experiment else []
        lines.append("")
    lines += ["## The experiments", "", total(recorded()), ""]
    for name, one in experiments().items():
        lines += [f"(experiment-{name})=", f"### `{name}`: {one.question}", ""]
        path = records_dir() / f"{name}.json"
        if path.is_file():
            lines += [Record.read(path).table(), one.limits, ""]
        else:
            lines += [f"Not run: `studiolike experiment run {name}`.", ""]
    return "\n".join(lines).rstrip() + "\n"


def seeds_mean() -> list[str]:
    """What another seed is, which differs between experiments, and so what their intervals tell."""
    made = experiments().values()
    trains, fixed = code(one.name for one in made if one.trains), code(one.name for one in made if one.deterministic)
    draws = code(one.name for one in made if not one.trains and not one.deterministic)
    return [
        f"What a seed is differs. In {trains} it is another training. In {draws} nothing is trained: a seed means new captures "
        "or lamps, and there is one set of weights, so that the intervals do not tell what another training would give. "
        f"In {fixed} nothing is random: there is one seed, and intervals are over people.",
    ]


def afterwards(judged: list[Judged]) -> list[str]:
    """What was changed or added when runs were known: a reader should trust it less."""
    known = {one.claim.id: one for one in judged}
    turned = [
        f"[{known[name].claim.claim}](claim-{name}) *{word}*, now *{known[name].word}*"
        for name, word in FIRST.items()
        if name in known and known[name].word != word and not known[name].claim.later
    ]
    late = [f"[`{one.claim.id}`](claim-{one.claim.id})" for one in judged if one.claim.later]
    return [
        "What came after runs were known:",
        "",
        "- After one seed of two rows, identity in the comparisons of layers and terms was read as what was kept of G_phone's "
        "picture, no longer against the truth, which the authors did not have.",
        "- The laboratory of stage 3 had 80 steps a run, and its objective lacked our term on other captures. When three seeds "
        "of every row were complete, and their words could be read, it was made four times as long and given the term. "
        + (f"Words that this turned: {'; '.join(turned)}." if turned else "No word was turned by this."),
        f"- What the released chain computes is in its version {VERSION}. As often as it was changed its records were made "
        "again, on the same people, and only the last ones are kept.",
        f"- Claims of which not all was fixed before their record was known, and that say so below: {', '.join(late)}.",
    ]


def total(records: list[Record]) -> str:
    """What the sweep cost; a run that stands in several records counts once."""
    seconds = {entry.digest: one.processor(entry) for one in records for entry in one.entries}
    hours, rows = sum(seconds.values()) / 3600, sum(len(one.finished()) for one in records)
    return f"All {rows} rows of the {len(records)} records together took {hours:.1f} hours of processor time."


def code(names: Iterable[str]) -> str:
    """Names as code, in a sentence."""
    return listed([f"`{name}`" for name in names])


@tool
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="The claim ledger, from the committed records.")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args(arguments)
    judged = verdicts()
    print(f"{len(judged)} claims, every verdict has a fresh record" if options.check else ledger_page(judged))
    return 0


if __name__ == "__main__":
    sys.exit(main())
