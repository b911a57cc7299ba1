"""The claim ledger: a page and a box for each chapter, made from book/claims.yml and the records of the experiments.

    python book/tools/ledger.py            print the page
    python book/tools/ledger.py --check    only say whether every verdict has a fresh record

Nothing is run here. A claim whose record is missing or stale has no verdict, and the book is not built.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from project import ROOT, BookError
from studiolike.errors import InputError
from studiolike.experiments import Record, experiments, records_dir
from studiolike.experiments.claims import MARKS, Judged, judge, read_claims

CLAIMS = ROOT / "book" / "claims.yml"
PAGE = "ledger"


def verdicts(path: Path = CLAIMS, root: Path | None = None) -> list[Judged]:
    """All claims of the book with their words.

    Raises:
        BookError: any verdict without a fresh record; the message names all of them.
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
    if wrong:
        raise BookError("\n".join(wrong))
    return judged


def box(chapter: str, judged: list[Judged], page: str = f"../{PAGE}.md") -> str:
    """What a chapter says about the claims that belong to it, as MyST."""
    own = [one for one in judged if any(chapter.startswith(name) for name in one.claim.chapters)]
    if not own:
        return ""
    # what a phone shows without scrolling comes first
    lines = ["| claim | verdict | origin | what was seen |", "|---|---|---|---|"]
    for one in own:
        lines.append(f"| {one.claim.claim} | **{one.word}** | {MARKS[one.claim.mark]} | {'; '.join(seen(one))} |")
    return "\n".join(
        [
            *lines,
            "",
            "Verdicts are computed from records of experiments over several seeds, on synthetic heads; "
            f"[the claim ledger]({page}) has every figure, and what these runs cannot show.",
        ]
    )


def seen(one: Judged) -> list[str]:
    """The findings of a claim, one sentence each, or why there is none."""
    if one.claim.not_testable:
        return [one.claim.not_testable]
    if not one.findings:
        return [f"awaits {one.claim.awaits}"]
    return [f"{finding.condition}: {finding.outcome} ({finding.figures})" for finding in one.findings]


def ledger_page(judged: list[Judged], root: Path | None = None) -> str:
    """The page."""
    counts = {word: sum(one.word == word for one in judged) for word in dict.fromkeys(one.word for one in judged)}
    lines = [
        "# The claim ledger",
        "",
        "What the authors of the method state, what others report of it, what we infer and what we aim at, each with a measure "
        "and a tolerance that were written down before the runs, and with the verdict of the runs. "
        "One change came later: after one seed of two rows, identity in the comparisons of layers and terms is read "
        "as what was kept of G_phone's picture, no longer against the truth, which the authors did not have.",
        f"{len(judged)} claims; " + ", ".join(f"*{word}*: {count}" for word, count in counts.items()) + ".",
        '"Not reproduced" is a result: it says that these runs, on synthetic heads and at this size, do not show it.',
        "",
        "A comparison of two rows is told if it can be told over the people (sign-flip test of the differences, averaged over "
        "the seeds) and every seed agrees; KID, one number for all people, has a t-test over the seeds alone. "
        "The comparisons of one claim are corrected together (Holm, 5 %), those of different claims are not: of twenty claims "
        "without any truth in them, one would be told by chance.",
        "A claim is *reproduced* if all its conditions hold, and *partly reproduced* if some hold or go the stated way. If none "
        "does it is *not reproduced*, or, where none goes the other way either, these runs *cannot tell*.",
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
        lines += [f"(claim-{claim.id})=", f"### {claim.claim}", "", f"**{one.word}** · {where} · {chapters}", ""]
        lines += [f"- {sentence}" for sentence in seen(one)]
        lines += ["", claim.note] if claim.note else []
        lines += ["", f"Shown by the experiment [{claim.experiment}](experiment-{claim.experiment})."] if claim.experiment else []
        lines.append("")
    lines += ["## The experiments", ""]
    for name, one in experiments().items():
        lines += [f"(experiment-{name})=", f"### `{name}`: {one.question}", ""]
        path = (root or records_dir()) / f"{name}.json"
        if path.is_file():
            lines += [Record.read(path).table(), one.limits, ""]
        else:
            lines += [f"Not run: `studiolike experiment run {name}`.", ""]
    return "\n".join(lines).rstrip() + "\n"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="The claim ledger, from the committed records.")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args(arguments)
    try:
        judged = verdicts()
    except BookError as error:
        print(f"FAILED {error}", file=sys.stderr)
        return 1
    print(f"{len(judged)} claims, every verdict has a fresh record" if options.check else ledger_page(judged))
    return 0


if __name__ == "__main__":
    sys.exit(main())
