"""The book's claims: every verdict has a fresh record, pages and boxes are made of it, and without one there is no book."""

import re

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


def test_no_record_no_book(tmp_path):
    with pytest.raises(BookError, match="studiolike experiment run layers"):
        ledger.verdicts(root=tmp_path)


def test_no_verdict_word_is_typed_where_it_could_be_computed():
    text = (ROOT / "book" / "claims.yml").read_text(encoding="utf-8")
    assert not re.search(r"reproduced|partly|verdict:", text)
