"""MyST becomes plain Markdown for notebooks that are opened outside of the book."""

import pytest

from lowering import lower
from naming import gather
from project import BookError, Project

PROJECT = Project("studiolike", "1.2.3", "https://github.com/someone/studiolike", "https://someone.example/studiolike/")
OTHER = "(ch02)=\n# The second\n\n$$\nc\n$$ (eq-c)\n\n(deep)=\n## Deep down\n"
BIBLIOGRAPHY = r"""
@inproceedings{one2020, title = {The {GAN} Thing}, author = {M{\"u}ller, Ann}, booktitle = {Conf}, year = {2020},
 eprint = {2001.00001}}
@article{many2021, title = {Why?}, author = {Doe, Jane and Roe, Rick and Poe, Pat}, journal = {J}, year = {2021}}
"""


@pytest.fixture
def plain(tmp_path):
    bibliography = tmp_path / "references.bib"
    bibliography.write_text(BIBLIOGRAPHY)

    def convert(text):
        names = gather(PROJECT, {"ch01-first": "# The first\n\n" + text, "ch02-second": OTHER}, bibliography)
        return lower(text, names, "ch01-first")

    return convert


def test_a_note_becomes_a_quote_with_a_bold_title(plain):
    assert plain("```{note}\nMind *this*.\n```") == "> **Note**\n>\n> Mind *this*."
    assert plain(":::{tip}\nMind this.\n:::") == "> **Tip**\n>\n> Mind this."


def test_an_admonition_keeps_its_own_title(plain):
    text = "```{admonition} Predict before you run\n:class: tip\nWhat?\n```"
    assert plain(text) == "> **Predict before you run**\n>\n> What?"


def test_boxes_inside_boxes_are_lowered_too(plain):
    text = "````{note}\nOuter {math}`x`\n```{warning}\nInner\n```\n````"
    assert plain(text) == "> **Note**\n>\n> Outer $x$\n>\n> > **Warning**\n> >\n> > Inner"


def test_code_in_a_box_stays_code(plain):
    assert plain("````{note}\n```python\nx = {note}\n```\n````").endswith("> ```python\n> x = {note}\n> ```")


def test_a_dropdown_becomes_details(plain):
    shown = plain("```{dropdown} More\nText.\n```")
    assert shown == "<details><summary><b>More</b></summary>\n\nText.\n\n</details>"


def test_labelled_formulas_get_the_books_numbers(plain):
    text = "$$\na\n$$ (eq-a)\n\n```{math}\n:label: eq-b\nb\n```\n\nBy {eq}`eq-a` and {eq}`eq-b`, unlike {eq}`eq-c`."
    shown = plain(text)
    assert "$$\na \\tag{1.1}\n$$" in shown and "$$\nb \\tag{1.2}\n$$" in shown
    page = "https://someone.example/studiolike/notebooks/ch02-second.html"
    assert shown.endswith(f"By (1.1) and (1.2), unlike (2.1) of [The second]({page}).")


def test_formulas_without_a_label_are_left_alone(plain):
    assert plain("$$\n\\text{if } x\n$$") == "$$\n\\text{if } x\n$$"
    assert plain("$$ x $$") == "$$ x $$"


def test_citations_become_authors_and_years(plain):
    assert plain("Seen {cite}`one2020,many2021`.") == "Seen (Müller, 2020; Doe et al., 2021)."
    assert plain("{cite:t}`many2021` saw it.") == "Doe et al. (2021) saw it."


def test_the_list_of_references_holds_what_the_chapter_cites(plain):
    shown = plain("As {cite}`one2020` said.\n\n<!-- references -->")
    assert shown.endswith("- Müller (2020). The GAN Thing. *Conf*. <https://arxiv.org/abs/2001.00001>")
    assert "Doe" not in shown


def test_references_become_titles_and_links_to_the_book(plain):
    assert plain("See {ref}`deep`.") == ("See [Deep down](https://someone.example/studiolike/notebooks/ch02-second.html#deep).")
    assert "[that part](https" in plain("See {ref}`that part <deep>`.")
    assert "[The second](https" in plain("See {doc}`ch02-second`.")
    assert "(https://someone.example/studiolike/timings.html)" in plain("[times](../timings.md)")


def test_a_chapter_that_is_not_written_yet_is_named_by_its_number(plain):
    assert plain("See {ref}`ch07` and {ref}`the sixth <ch06>`.") == "See chapter 7 and the sixth."


def test_a_result_is_the_released_runs_in_italics_or_the_place_of_ones_own(plain, tmp_path):
    assert plain("It is {glue:text}`ch01_psnr:.1f` dB.") == "It is *(your run's* `ch01_psnr`*)* dB."
    values = {"ch01_psnr": 23.456, "ch02_word": "closes both"}
    names = gather(PROJECT, {"ch01-first": "# The first"}, values=values)
    assert lower("It is {glue:text}`ch01_psnr:.1f` dB.", names, "ch01-first") == "It is *23.5* dB."
    assert lower("It {glue:text}`ch02-second.ipynb::ch02_word`.", names, "ch01-first") == "It *closes both*."
    with pytest.raises(BookError, match="ch02_word"):
        lower("{glue:text}`ch02_word:.1f`", names, "ch01-first")


def test_figures_become_pictures_with_an_address_and_their_text(plain):
    shown = plain("```{figure} ../_static/head.png\n:alt: A head\n:name: fig-head\n\nThe *head*.\n```\n\nIn {numref}`fig-head`.")
    picture = "https://raw.githubusercontent.com/someone/studiolike/v1.2.3/book/_static/head.png"
    assert shown == f"![A head]({picture})\n\nThe *head*.\n\nIn the figure."
    assert plain("![A head](../_static/head.png)") == f"![A head]({picture})"


def test_exercises_and_solutions_keep_their_titles(plain):
    text = (
        "```{exercise-start} Halves\n:label: ex-a\n```\nHalve it.\n```{exercise-end}\n```\n\n"
        "```{solution} ex-a\n:class: dropdown\nDone.\n```"
    )
    shown = plain(text)
    assert shown.startswith("> **Exercise. Halves**\n\nHalve it.")
    assert "<summary><b>Solution: Halves</b></summary>" in shown


def test_a_list_table_becomes_a_table(plain):
    text = "```{list-table} Sizes\n:header-rows: 1\n\n* - name\n  - size\n* - a {math}`x`\n  - 1\n```"
    assert plain(text) == "**Sizes**\n\n| name | size |\n| --- | --- |\n| a $x$ | 1 |"


def test_labels_comments_and_the_run_box_disappear(plain):
    assert plain("(here)=\n## Title\n\n<!-- run box -->\n\n% a remark\nText.") == "## Title\n\nText."


def test_code_that_looks_like_myst_is_left_alone(plain):
    assert plain("```python\nf'{x}`'  # {note}\n(label)=\n```") == "```python\nf'{x}`'  # {note}\n(label)=\n```"
    assert plain("Use `{name}` here.") == "Use `{name}` here."


@pytest.mark.parametrize(
    "text",
    [
        "```{wavedrom}\nx\n```",
        "{unheard}`x`",
        "{eq}`eq-none`",
        "{ref}`none`",
        "{cite}`nobody1900`",
        "```{note}\nopen",
        "$$\nopen",
    ],
)
def test_what_cannot_be_lowered_is_an_error_that_names_the_chapter(plain, text):
    with pytest.raises(BookError, match="ch01-first"):
        plain(text)


QUESTION = "```{predict} 1. How {math}`x`?\n- [ ] Badly.\n  Not so.\n- [x] Well.\n\nBecause {cite}`one2020`.\n```"


def test_a_predict_question_shows_its_choices_and_folds_its_answer(plain):
    shown = plain(QUESTION)
    assert shown.startswith("> **1. How $x$?**\n>\n> - Badly.\n> - Well.\n")
    before, after = shown.split("<details><summary><b>Answer</b></summary>")
    assert "Because" not in before and "*Well.*" in after and "(Müller, 2020)" in after
    assert "[x]" not in shown and "Not so" not in shown


@pytest.mark.parametrize(
    "wrong", ["- [ ] A.\n- [ ] B.\n\nText.", "- [x] A.\n- [x] B.\n\nText.", "- [x] A.\n\nText.", "- [x] A.\n- [ ] B."]
)
def test_a_predict_question_without_one_right_choice_or_an_answer_is_refused(plain, wrong):
    with pytest.raises(BookError, match="predict box needs"):
        plain(f"```{{predict}} What?\n{wrong}\n```")


def test_the_claims_box_becomes_a_link_to_the_ledger(plain):
    shown = plain("<!-- claims -->")
    assert shown.startswith("The verdicts ") and "[the claim ledger](https://" in shown and "/ledger.html)" in shown
