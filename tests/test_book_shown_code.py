"""Code on a page: without bookkeeping, in lines that fit, saying the same."""

import ast
import inspect
import json
import textwrap
from types import SimpleNamespace

import pytest

from notebooks import book_flavour, read_cells
from project import chapters
from shown_code import FENCE, WIDTH, fit, fit_notebook, tidy_cells, with_short_captions, without_glue, without_lists


def code(source, *tags, outputs=()):
    return {"cell_type": "code", "source": source, "metadata": {"tags": list(tags)}, "outputs": list(outputs)}


def text(source):
    return {"cell_type": "markdown", "source": source, "metadata": {}}


def test_lines_that_only_name_a_result_are_left_out():
    assert without_glue("a = 1\nnotebook.glue('ch01_a', a)\nb = 2\nnotebook.glue(\n    'ch01_b',\n    b,\n)") == "a = 1\nb = 2"


def test_what_draws_and_tells_is_shown_as_what_draws():
    told = 'notebook.tell("ch04", shown.table(x))\nnotebook.tell("ch04", facts | {"c": 3})'
    code = f'facts = {{"a": 1}}\nfacts["b"] = 2\nx = f()\n{told}'
    assert without_glue(code) == "x = f()\nshown.table(x)"
    assert without_glue("notebook.tell(\n    'ch04',\n    shown.table(\n        x,\n    ),\n)\ny = 1").startswith("shown.table(")


def test_a_loop_that_only_names_results_goes_with_them_and_another_one_stays():
    only = "for k in x:\n    for j in y:\n        notebook.glue(f'{k}_{j}', j)"
    assert without_glue(f"a = 1\n{only}") == "a = 1"
    assert without_glue("for k in x:\n    total += k\n    notebook.glue('k', k)") == "for k in x:\n    total += k"


@pytest.mark.parametrize("source", ["%timeit f()", "a = 1; notebook.glue('a', a)", "x = glue_all(names)"])
def test_what_cannot_be_left_out_safely_stays(source):
    assert without_glue(source) == source


def test_set_up_and_long_drawings_are_folded_and_the_subject_is_not():
    drawing = "fig = Figure()\n" + "ax.plot(x)\n" * 12 + "figures.show(fig, 'x')"
    cells = [text("# T"), code("p = 1", "parameters"), code("import torch"), text("## First"), code("y = f(x)"), code(drawing)]
    cells += [code(drawing, "show-input"), code("notebook.glue('a', a)")]
    tidy_cells(cells)
    tags = [cell["metadata"]["tags"] for cell in cells if cell["cell_type"] == "code"]
    assert tags[:4] == [["parameters", "remove-input"], ["hide-input"], [], ["hide-input"]]
    assert tags[4:] == [["show-input"], ["remove-input"]]


def test_a_section_before_the_parameters_does_not_end_the_set_up():
    cells = [text("# T"), text("## What you will learn"), code("p = 1", "parameters"), code("import torch", "hide-input")]
    cells += [text("## First"), code("import math", "hide-input")]
    tidy_cells(cells)
    prompts = [cell["metadata"]["mystnb"]["code_prompt_show"] for cell in cells if "mystnb" in cell["metadata"]]
    assert prompts == ["Show the imports and the set-up", "Show the code of what follows"]


def test_code_fits_the_page_and_does_the_same():
    long = "result = function_of_a_long_name(first_argument, second_argument, third=3, fourth=4, fifth_argument_of_many=5)"
    remark = "x = 1  # " + "a remark that is much too long for any page and goes above the line it speaks of " * 2
    docstring = 'def f():\n    """One.\n\n    Args:\n        name: ' + "words and words " * 8 + '\n    """\n    return 1'
    for piece in (long, remark, docstring):
        (shown,) = fit([piece])
        assert max(map(len, shown.splitlines())) <= WIDTH
        if piece != docstring:
            assert ast.dump(ast.parse(shown)) == ast.dump(ast.parse(piece))
    assert "        name: words" in fit([docstring])[0] and "\n            words" in fit([docstring])[0]


def test_a_long_string_in_a_call_is_not_mistaken_for_a_docstring():
    piece = 'raise InputError(\n    f"' + "a message with {value} " * 6 + '"\n)'
    assert ast.dump(ast.parse(fit([piece])[0])) == ast.dump(ast.parse(piece))


def test_the_librarys_code_in_outputs_fits_too():
    shown = "`m.f`\n\n```python\ndef f(" + ", ".join(f"argument_{k}=None" for k in range(8)) + "):\n    return 1\n```"
    cell = code("notebook.source(f)", outputs=[{"data": {"text/markdown": shown}}])
    fit_notebook([cell])
    lines = cell["outputs"][0]["data"]["text/markdown"].splitlines()
    assert lines[0] == "`m.f`" and max(map(len, lines)) <= WIDTH and lines[-1] == "```"


def test_what_does_not_parse_is_shown_as_it_is():
    assert fit(["%pip install x", "x  =  1"]) == ["%pip install x", "x = 1"]


def test_a_caption_in_code_ends_after_a_few_words_and_other_texts_stay():
    caption = "Größe und Licht: " + "eine lange Unterschrift, die unter dem Bild ganz steht, " * 2
    short = with_short_captions(f'figures.show(draw(x, "{caption}"), "{caption}")\ny = "{caption}"')
    assert f'draw(x, "{caption}")' in short and f'y = "{caption}"' in short
    (said,) = (
        call.args[1].value for call in ast.walk(ast.parse(short)) if getattr(getattr(call, "func", None), "attr", "") == "show"
    )
    assert said.startswith("Größe und Licht") and said.endswith("…") and len(said) <= 40
    kept = 'figures.show(fig, "A short one.")'
    assert with_short_captions(kept) == kept and with_short_captions("%timeit f()") == "%timeit f()"


def test_the_librarys_code_is_shown_without_lists_of_arguments_and_long_code_is_folded():
    doc = '"""What it does: x² + 1.\n\n    And why.\n\n    Args:\n        x: a number.\n    Returns:\n        Another.\n    """'
    short = without_lists(f"def f(x):\n    {doc}\n    return x * x + 1")
    assert ast.parse(short).body[0].body[1:] and "And why." in short and "Args" not in short and "Another" not in short
    assert ast.get_docstring(ast.parse(short).body[0]) == "What it does: x² + 1.\n\nAnd why."
    plain = 'def f(x):\n    """One line."""\n    return x'
    assert without_lists(plain) == plain

    def shown(lines):
        body = "\n".join(f"    y{k} = {k}" for k in range(lines))
        cell = code("f(1)", outputs=[{"data": {"text/markdown": f"`studiolike.f`\n\n```python\ndef f():\n{body}\n```"}}])
        fit_notebook([cell])
        return cell["outputs"][0]["data"]["text/markdown"]

    assert "<details" not in shown(10)
    assert shown(60).startswith(
        '`studiolike.f`\n\n<details class="long-source"><summary>Show its 61 lines'
    ) and "y59 = 59" in shown(60)


def test_hidden_output_is_offered_by_what_it_is():
    cell = code("notebook.source(f)", "hide-output")
    tidy_cells([text("## A section"), cell])
    assert cell["metadata"]["mystnb"]["code_prompt_show"] == "Show the library's code"


# --- the code of the real chapters


def sources_shown(path):
    """What a chapter hands to `notebook.source`, without running it: its imports and the statements that only show code."""
    found = []
    names = {
        "notebook": SimpleNamespace(source=lambda thing, title="": found.extend(thing if isinstance(thing, list) else [thing]))
    }

    def shows(statement):
        if isinstance(statement, ast.For):
            return all(map(shows, statement.body))
        return isinstance(statement, ast.Expr) and ast.unparse(statement).startswith("notebook.source(")

    for cell in read_cells(path):
        if cell["cell_type"] != "code" or cell["source"].startswith("%"):
            continue
        for statement in ast.parse(cell["source"]).body:
            constant = isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Constant)
            if isinstance(statement, (ast.Import, ast.ImportFrom)) or constant or shows(statement):
                kept = names["notebook"]
                exec(compile(ast.Module([statement], []), path.stem, "exec"), names)
                names["notebook"] = kept  # the chapter imports the real one
    assert len(found) >= path.read_text().count("\nnotebook.source("), path.stem
    return found


@pytest.mark.parametrize("path", chapters(), ids=lambda path: path.stem)
def test_every_line_of_code_on_a_page_fits(path):
    cells = [cell | {"outputs": []} for cell in json.loads(book_flavour(path))["cells"]]
    for thing in sources_shown(path):
        shown = f"`{thing.__qualname__}`\n\n```python\n{textwrap.dedent(inspect.getsource(thing)).rstrip()}\n```"
        cells.append(code("", outputs=[{"data": {"text/markdown": shown}}]))
    tidy_cells(cells)
    fit_notebook(cells)
    pieces = []
    for cell in cells:
        if cell["cell_type"] == "code":
            if not {"remove-cell", "remove-input"} & set(cell["metadata"]["tags"]):
                pieces.append("".join(cell["source"]))
            pieces += [found["code"] for output in cell["outputs"] for found in FENCE.finditer(output["data"]["text/markdown"])]
    long = [line for piece in pieces for line in piece.splitlines() if len(line) > WIDTH]
    assert len(pieces) > 10 and not long
