"""The printed book: every kind of box has a form for print, nothing raw gets there, and faults of the setting are found."""

import json
import re
import subprocess
import sys

import pytest
import torch
import yaml
from PIL import Image

import pdf
from print_form import plain, print_cells
from project import ROOT, BookError
from studiolike.chapters import interactive

INDEX = """\
# First

```{raw} html
<p class="sitely">Drag the line.</p>
```

:::{only} html
Only on the site.
:::

:::{only} latex
Only on paper.
:::

See {ref}`ch01`, {eq}`eq-ch01`, {cite:t}`one2020` and {glue:text}`notebooks/ch01-x.ipynb::ch01_value:.1f` dB.
"""
CHAPTER = """\
(ch01)=
# Chapter

## Section

```{predict} 1. How does $x$ grow → λ²?
- [ ] Not at all.
  It does, a little.
- [x] Like $x^2$.

As the **square**.
```

```{admonition} A box
:class: run-box
Inside.
```

```{caution}
Careful.
```

$$ a = b $$ (eq-ch01)

```{exercise-start} Code: a stub
:label: ex-ch01
```
Write it.
"""
SOLUTION = """\
```{exercise-end}
```

````{solution} ex-ch01
:class: dropdown

```python
answer = 42
```
````
"""
WIDE = "| " + " | ".join(f"column {k}" for k in range(13)) + " |\n" + "|---" * 13 + "|\n" + "| 0.123 ± 0.004 " * 13 + "|"
FEW = """\
(experiment-few)=
## `few`: a heading with a label

| chapter | what |  |
|---|---|---|
| 1. Two words |  | 0.1 ± 0.2 |

It says:

```
code
```
"""
LONG = "| a | b |\n|---|---|\n" + "\n".join(f"| short | {'some words ' * 20} |" for _ in range(20))
TURNED = "| " + " | ".join(f"averylongword{k}" for k in range(13)) + " |\n" + "|---" * 13 + "|\n" + "| 1 " * 13 + "|"


def code(text, *outputs, tags=()):
    return {
        "cell_type": "code",
        "metadata": {"tags": list(tags)},
        "source": text,
        "execution_count": None,
        "outputs": list(outputs),
    }


def prose(text):
    return {"cell_type": "markdown", "metadata": {}, "source": text}


def shows(data, metadata=None):
    return {"output_type": "display_data", "data": data, "metadata": metadata or {}}


def slider():
    """What a cell with a slider leaves in an executed notebook."""
    frames = [torch.full((3, 64, 64), k / 3) for k in range(3)]
    stack = interactive.image_slider(frames, ["left", "middle", "right"], "A *head* in 3 lights_")
    return shows(*stack._repr_mimebundle_())


def glued(name, value):
    kind = "application/papermill.record/"
    return shows({kind + "text/plain": repr(value)}, {"scrapbook": {"name": name, "mime_prefix": kind}})


def cells():
    return [
        prose(CHAPTER),
        code(
            "answer = ...\nch01.check(answer)",
            {"output_type": "stream", "name": "stdout", "text": "not answered\n"},
            tags=["exercise"],
        ),
        prose(SOLUTION),
        code("import folded", slider(), slider(), tags=["hide-input"]),
        code("open_code()", shows({"text/markdown": WIDE}), shows({"text/markdown": TURNED}), shows({"text/markdown": LONG})),
        prose(FEW),
        prose(f"(experiment-long)=\n## Long\n\n{LONG}"),
        code("tell()", glued("ch01_value", 21.25), tags=["remove-cell"]),
    ]


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """LaTeX of a tiny book with each special thing, and what Sphinx warned of."""
    folder = tmp_path_factory.mktemp("book")
    source = folder / "source"
    (source / "notebooks").mkdir(parents=True)
    (source / "index.md").write_text(INDEX)
    (source / "bibliography.md").write_text("# Bibliography\n\n```{bibliography}\n```\n")
    (source / "references.bib").write_text("@misc{one2020, author = {One, Ann}, title = {It}, year = {2020}}\n")
    notebook = {
        "cells": print_cells(cells()),
        "metadata": {"language_info": {"name": "python", "pygments_lexer": "ipython3"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    (source / "notebooks" / "ch01-x.ipynb").write_text(json.dumps(notebook))
    parts = [
        {"caption": "First", "chapters": []},
        {"caption": "Method", "numbered": 2, "chapters": [{"file": "notebooks/ch01-x"}]},
        {"caption": "Reference", "chapters": [{"file": "bibliography"}]},
    ]
    (source / "_toc.yml").write_text(yaml.safe_dump({"format": "jb-book", "root": "index", "parts": parts}))
    before = pdf.write_contents(source, "Book")
    # Sphinx and the extensions are a matter of one process each
    run = "import json, pathlib, sys, pdf; s, b, o = sys.argv[1:]; s = pathlib.Path(s); "
    run += "print(json.dumps(pdf.write_latex(s, pdf.settings(s, json.loads(b)), pathlib.Path(o))))"
    command = [sys.executable, "-W", "ignore", "-c", run, str(source), json.dumps(before), str(folder / "latex")]
    done = subprocess.run(command, cwd=ROOT / "book" / "tools", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "latex", json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def tex(printed):
    text = (printed[0] / "studiolike.tex").read_text()
    return text[text.index(r"\begin{document}") :]


def test_sphinx_has_nothing_to_warn_of(printed):
    assert printed[1] == []


def test_nothing_raw_and_nothing_of_the_site_alone_reaches_print(tex):
    raw = re.findall(r"<\w+|</|\{(?:glue|ref|eq|cite|predict|only)\}|```|:::|\[image\]|figcaption|srcdoc|base64|sitely", tex)
    assert not raw and "Drag the line" not in tex and "Only on the site" not in tex and "Only on paper" in tex


def test_a_slider_is_a_still_with_a_numbered_caption_each_time(tex, printed):
    shown = re.findall(r"\\begin\{figure\}.*?\\end\{figure\}", tex, re.S)
    assert len(shown) == 2
    for figure in shown:
        name = re.search(r"\\sphinxincludegraphics\S*\{\{(.+?)\}(\.png)\}", figure)
        with Image.open(printed[0] / (name[1] + name[2])) as picture:
            assert picture.width > 2 * picture.height  # a strip of frames
        assert r"\caption{A *head* in 3 lights\_ (left, middle, right)}" in figure


def test_folded_code_is_left_out_and_open_code_stays(tex):
    words = re.sub(r"\\PYG\{[^{}]*\}\{([^{}]*)\}", r"\1", tex)
    assert "folded" not in words and "open\\PYGZus{}code" in words and "ch01.check" in words and "not answered" in words


def test_questions_boxes_exercises_and_numbers_have_a_printed_form(tex):
    box, answers = tex.split("Answers to the questions")
    assert "(b)" in box and "square" not in box and "square" in answers
    told = ["Exercise 1.1", "Solution to", "{42}", "21.2}", "Careful", r"\begin{sphinxadmonition}{note}{A box", r"\eqref{"]
    assert [text for text in told if text not in tex] == []


def test_parts_number_their_chapters_as_the_site_does(tex):
    order = [tex.index(mark) for mark in (r"\unnumberedchapters", r"\chapter{First}", r"\numberedchapters", r"\chapter{Chapter}")]
    assert order == sorted(order) and r"\part{Method}\numberedchapters" in tex and r"\part{Reference}\letteredchapters" in tex


def test_a_wide_table_is_set_small_the_widest_is_turned_and_a_long_one_breaks(tex):
    tables = re.findall(r"((?:\\begin\{landscape\}|\{)\S*)\s+\\begin\{savenotes\}", tex)
    assert len(tables) == 5 == tex.count(r"\begin{tabul") + tex.count(r"\begin{longtable}") and r"\end{longtable}" in tex
    assert tables[0].startswith(r"{\scriptsize") and tables[1].startswith(r"\begin{landscape}")


def test_columns_of_words_and_intervals_do_not_break_and_empty_cells_are_empty(tex):
    few = next(table for table in tex.split(r"\begin{savenotes}") if "1. Two words" in table.split(r"\end{savenotes}")[0])
    assert "0.1\u00a0±\u00a00.2" in few and not re.search(r"AtStartPar\s*(&|\\\\)", few)
    assert r"{\setlength{\tymin}{10em}" in tex and "0.123\u00a0±" not in tex  # thirteen such columns have no room


def test_what_stands_together_is_kept_so_without_leaving_half_a_page(tex, printed):
    assert re.search(r"\\Needspace\{8\\baselineskip\}\s*\\sphinxAtStartPar\s*It says:", tex)
    assert len(re.findall(r"\\Needspace\{\d\d\\baselineskip\}\s*\\begin\{sphinxadmonition\}\{note\}\{Predict", tex)) == 1
    labels = re.findall(r"\\label\{\\detokenize\{([^{}]*experiment-\w+)\}\}", tex)
    assert len(labels) == 2 == len(set(labels))  # what is put before a heading does not part it from its label
    before = (printed[0] / "studiolike.tex").read_text().split(r"\begin{document}")[0]
    assert r"\let\needspace\Needspace" in before and r"\contentsname}{Contents}" in before


def test_html_without_a_picture_is_refused():
    with pytest.raises(BookError, match="no printed form"):
        print_cells([code("x", shows({"text/html": "<b>bold</b>", "text/plain": "bold"}))])


def test_a_caption_shows_its_own_characters():
    assert plain("- a *b* [c]\n$d$") == r"\- a \*b\* \[c\] \$d\$"


def test_every_raw_html_of_the_pages_has_something_for_print_beside_it():
    for page in (ROOT / "book").glob("*.md"):
        text = page.read_text()
        assert not re.search(r"^```\{raw\} html", text, re.MULTILINE) or "{only} latex" in text, page.name


def test_faults_of_the_setting_are_found_in_the_log():
    log = (
        "Missing character: There is no → in font x!\n"
        "Overfull \\hbox (3.2pt too wide) in paragraph at lines 1--2\n"
        "Overfull \\hbox (40.2pt too wide) in paragraph at lines 3--4\n"
        "LaTeX Warning: Reference `a' on page 1 undefined on input line 5.\n"
        "LaTeX Warning: Label `b' multiply defined.\n"
    )
    found = pdf.faults(log)
    assert (
        len(found) == 4 and "→" in found[0] and "Label `b'" in found[1] and "Reference `a'" in found[2] and "40.2pt" in found[3]
    )


def test_without_xelatex_one_line_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setattr(pdf.shutil, "which", lambda program: None)
    assert pdf.main(["--check"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1 and "xelatex" in said[0] and "apt-get install" in said[0]


@pytest.mark.slow
@pytest.mark.skipif(bool(pdf.missing()), reason="no XeLaTeX here")
def test_the_tiny_book_is_set_without_faults(printed, tex):
    made = pdf.typeset(printed[0])
    assert made.read_bytes().startswith(b"%PDF")
    assert pdf.faults((printed[0] / "studiolike.log").read_text(errors="replace")) == []
