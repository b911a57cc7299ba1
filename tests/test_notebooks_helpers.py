"""Numbers for the prose and code beside equations, inside the book and outside of it."""

import sys

import numpy as np
import pytest
import torch

from studiolike.chapters import notebook
from studiolike.errors import InputError


@pytest.fixture
def stored(monkeypatch):
    import myst_nb

    values = {}
    monkeypatch.setattr(myst_nb, "glue", lambda name, value, display: values.update({name: value}))
    return values


@pytest.mark.parametrize(
    "value, plain",
    [
        (np.float32(0.5), 0.5),
        (np.array([2.0]), 2.0),
        (np.int64(3), 3),
        (4, 4),
        ("better", "better"),
        (True, True),
    ],
)
def test_glue_stores_plain_values(stored, value, plain):
    notebook.glue("ch01_x", value)
    assert stored == {"ch01_x": plain} and type(stored["ch01_x"]) is type(plain)


@pytest.mark.parametrize("value", [[1.0], {"a": 1}, None])
def test_glue_refuses_what_a_sentence_cannot_quote(value):
    with pytest.raises(InputError, match="ch01_x"):
        notebook.glue("ch01_x", value)


def test_glue_prints_the_value_where_the_books_tools_are_missing(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "myst_nb", None)
    notebook.glue("ch01_psnr", 23.456)
    notebook.glue("ch01_count", 7)
    assert capsys.readouterr().out == "ch01_psnr = 23.46\nch01_count = 7\n"


def test_source_shows_the_very_code_of_the_library(monkeypatch):
    from IPython import display

    shown = []
    monkeypatch.setattr(display, "display", shown.append)
    notebook.source(notebook.glue)
    text = shown[0].data
    assert text.startswith("`studiolike.chapters.notebook.glue`") and "def glue(name: str" in text and text.endswith("```")
    notebook.source(notebook.glue, "How a result gets a name")
    assert shown[1].data.startswith('<details class="long-source"><summary>How a result gets a name</summary>\n\n' + text)
    notebook.source([notebook.glue, notebook.tell], "How results get names")
    assert text in shown[2].data and "def tell(chapter: str" in shown[2].data and shown[2].data.count("<details") == 1


def test_a_table_shows_its_head_its_rows_and_its_note(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda piece: shown.append(piece.data))
    notebook.table_of(["name", "dB"], [["mean", 21.5], ["ours", "**24**"]], "Higher is better.")
    assert shown == ["| name | dB |\n| --- | --- |\n| mean | 21.5 |\n| ours | **24** |\n\nHigher is better."]


def test_a_seeded_generator_draws_the_same_again_and_leaves_the_global_one_alone():
    before = torch.random.get_rng_state()
    assert torch.equal(torch.rand(3, generator=notebook.seeded(4)), torch.rand(3, generator=notebook.seeded(4)))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_negative_numbers_of_tables_and_prose_have_a_minus_sign_and_code_and_names_keep_their_hyphens():
    from studiolike.evaluation.table import with_minus

    for text, wanted in {
        "| -0.31 | **-2** | (-.5) | [-1.2, -0.1] |": "| −0.31 | **−2** | (−.5) | [−1.2, −0.1] |",
        "few-shot, 2026-11-26, 1e-06, x-1, 3-4": "few-shot, 2026-11-26, 1e-06, x-1, 3-4",
        "`--seed -1` gives -1": "`--seed -1` gives −1",
        "|---|---|": "|---|---|",
    }.items():
        assert with_minus(text) == wanted
