"""The book's claims: every verdict has a fresh record, pages and boxes are made of it, and without one there is no book."""

import re
from dataclasses import replace

import pytest

import ledger
from project import CLAIMS_BOX, ROOT, BookError, chapters
from studiolike.experiments import experiments
from studiolike.experiments.claims import read_claims


@pytest.fixture(scope="module")
def judged():
    return ledger.verdicts()


def test_every_verdict_of_the_book_has_a_fresh_record(judged):
    assert len(judged) == len(read_claims(ledger.CLAIMS)) >= 15


def test_claims_ask_for_rows_and_experiments_that_exist():
    for claim in read_claims(ledger.CLAIMS):
        rows = experiments()[claim.experiment].rows if claim.experiment else {}
        assert all(row in rows for condition in claim.conditions for row in condition.rows), claim.id


def test_the_page_has_every_claim_with_its_word_and_every_experiment(judged):
    page = ledger.ledger_page(judged)
    for one in judged:
        assert f"(claim-{one.claim.id})=" in page and one.claim.claim in page and f"**{one.word}**" in page
    for name in experiments():
        assert f"(experiment-{name})=" in page
    assert len(set(re.findall(r"^\((.+)\)=$", page, re.M))) == len(re.findall(r"^\((.+)\)=$", page, re.M))


def test_a_box_has_the_chapters_own_claims_and_no_others(judged):
    text = ledger.box("ch05-detailing", judged)
    own = [one for one in judged if "ch05" in one.claim.chapters]
    assert own and all(one.claim.claim in text for one in own)
    assert not any(one.claim.claim in text for one in judged if "ch05" not in one.claim.chapters)


def test_a_chapter_with_a_box_has_claims(judged):
    for source in chapters():
        if CLAIMS_BOX in source.read_text(encoding="utf-8"):
            assert ledger.box(source.stem, judged)


def test_a_box_begins_with_what_holds_what_fails_and_what_cannot_be_told(judged):
    own = [one for one in judged if "ch04" in one.claim.chapters]
    told = ledger.box("ch04-adaptation", judged).split("| claim |")[0]
    assert f"Of {len(own)} claims about this chapter" in told
    assert ledger.story(own[:1])[0].startswith("Of 1 claim about")
    for word in {one.word for one in own}:
        line = next(line for line in told.splitlines() if line.startswith(f"- **{word}** ("))
        claims = [one.claim.claim.rstrip(".") for one in own if one.word == word]
        assert f"({len(claims)})" in line and all(claim in line for claim in claims)


def test_a_stale_row_stops_the_book_even_if_no_claim_asks_for_it(tmp_path):
    for one in ledger.recorded():
        first, *rest = one.entries
        if one.name == "rivals":
            assert not any(claim.experiment == "rivals" for claim in read_claims(ledger.CLAIMS))
            first = replace(first, digest="old")
        replace(one, entries=[first, *rest]).write(tmp_path)
    with pytest.raises(BookError, match=r"the record rivals is stale \(paired U-Net · few\)"):
        ledger.verdicts(root=tmp_path)


def test_the_page_says_what_was_not_fixed_before_the_runs(judged):
    page = ledger.ledger_page(judged)
    told = page[page.index("What came after runs were known") : page.index("| claim | verdict")]
    for one in judged:
        assert (f"[`{one.claim.id}`]" in told) == bool(one.claim.later)
        turned = one.claim.id in ledger.FIRST and one.word != ledger.FIRST[one.claim.id] and not one.claim.later
        assert (f"(claim-{one.claim.id}) *" in told) == turned
    for word in ("hours of processor time", "over people, of their means", "new captures or lamps"):
        assert word in page


def test_what_a_seed_is_is_said_of_every_experiment():
    told = "".join(ledger.seeds_mean())
    assert all(told.count(f"`{name}`") == 1 for name in experiments())


def test_own_terms_are_judged_in_both_measures_of_light():
    claim = next(c for c in read_claims(ledger.CLAIMS) if c.id == "own-terms-earn-their-place")
    terms = [row for row in experiments()["terms"].rows if row.startswith("without")]
    asked = {(condition.row, condition.measure) for condition in claim.conditions}
    assert asked == {(row, measure) for row in terms for measure in ("low_band", "variance_ratio")}


def test_no_record_no_book(tmp_path):
    with pytest.raises(BookError, match="studiolike experiment run layers"):
        ledger.verdicts(root=tmp_path)


def test_no_verdict_word_is_typed_where_it_could_be_computed():
    text = (ROOT / "book" / "claims.yml").read_text(encoding="utf-8")
    assert not re.search(r"reproduced|partly|verdict:", text)
