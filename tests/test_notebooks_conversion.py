"""Chapters are text; the committed notebooks are made from it, one way, always the same bytes."""

import json
import os
import re
from pathlib import Path

import pytest
import yaml

from notebooks import SETUP, book_flavour, colab_flavour, names_of
from project import NOTEBOOKS, ROOT, BookError, chapters, project

SOURCES = chapters()
CHAPTER = """\
# %% [markdown]
# (ch01)=
# # The title
#
# ```{note}
# Mind $x$, as {cite}`athar2024bridging` did.
# ```

# %% tags=["parameters"]
profile = "auto"

# %%
1 + 1

# %% tags=["hide-input"]
1 + 1
"""


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "ch01-title.py"
    path.write_text(CHAPTER)
    return path


def convert(source):
    return json.loads(colab_flavour(source, names_of([source])))


def test_the_same_text_gives_the_same_bytes(source):
    assert colab_flavour(source, names_of([source])) == colab_flavour(source, names_of([source]))
    assert book_flavour(source) == book_flavour(source)


def test_notebooks_have_no_outputs_and_only_the_metadata_we_set(source):
    notebook = convert(source)
    assert set(notebook["metadata"]) == {"accelerator", "colab", "kernelspec", "language_info"}
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    assert code[-1]["metadata"] == {"tags": ["hide-input"]}


def test_a_cell_keeps_its_id_when_another_cell_comes(source):
    before = [cell["id"] for cell in json.loads(book_flavour(source))["cells"]]
    source.write_text(CHAPTER.replace("# %%\n1 + 1", "# %%\nnew = 0\n\n# %%\n1 + 1"))
    after = [cell["id"] for cell in json.loads(book_flavour(source))["cells"]]
    assert len(set(after)) == len(after) == len(before) + 1
    assert [name for name in after if name in before] == before


def test_notebooks_are_valid(source):
    import nbformat

    for text in (book_flavour(source), colab_flavour(source, names_of([source]))):
        nbformat.validate(nbformat.reads(text, as_version=4))


def test_the_book_keeps_myst_and_colab_gets_plain_markdown(source):
    assert "```{note}" in book_flavour(source)
    text = "".join("".join(cell["source"]) for cell in convert(source)["cells"] if cell["cell_type"] == "markdown")
    assert "> **Note**" in text and "Athar et al., 2024" in text
    assert "{note}" not in text and "{cite}" not in text


def test_the_colab_notebook_begins_with_title_badge_and_set_up(source):
    first, badge, setup = convert(source)["cells"][:3]
    about = project()
    assert first["source"][0].startswith("# The title")
    assert about.colab("ch01-title") in badge["source"][0]
    assert setup["metadata"]["tags"] == ["setup"]
    assert f"git+{about.repository}@{about.ref}" in "".join(setup["source"])


def test_the_head_says_whose_the_results_in_the_text_are(source):
    names = names_of([source])
    names.values = {"released_run": "profile cpu, commit abc", "ch01_psnr": 23.4}
    badge = "".join(json.loads(colab_flavour(source, names))["cells"][1]["source"])
    assert "Results in italics" in badge and "profile cpu, commit abc" in badge
    names.values = {}
    assert "italics" not in "".join(json.loads(colab_flavour(source, names))["cells"][1]["source"])


def test_both_flavours_have_the_same_code(source):
    def code(text):
        return [
            (cell["id"], cell["source"])
            for cell in json.loads(text)["cells"]
            if cell["cell_type"] == "code" and "setup" not in cell["metadata"].get("tags", [])
        ]

    assert code(book_flavour(source)) == code(colab_flavour(source, names_of([source])))


def test_the_set_up_cell_does_nothing_where_the_package_is_installed(capsys):
    exec(compile(SETUP, "set-up", "exec"), {})
    assert capsys.readouterr().out == ""


def test_the_set_up_cell_lets_threads_wait_quietly_before_torch_is_imported(monkeypatch):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    exec(compile(SETUP, "set-up", "exec"), {})
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    assert SETUP.index("OMP_WAIT_POLICY") < SETUP.index("import torch")
    for source in SOURCES:  # and nothing before it imports anything
        code = [cell for cell in json.loads(colab_flavour(source, names_of([source])))["cells"] if cell["cell_type"] == "code"]
        assert "OMP_WAIT_POLICY" in "".join(code[0]["source"])


def test_the_set_up_cell_keeps_the_torch_that_is_there(tmp_path, monkeypatch, capsys):
    import importlib.metadata
    import importlib.util

    calls, found = [], importlib.util.find_spec

    class Shell:
        def run_line_magic(self, name, line):
            calls.append((name, line))

    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "studiolike" and not calls else found(name, *rest)
    )
    versions = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0" if name == "studiolike" else versions(name))
    monkeypatch.chdir(tmp_path)
    exec(compile(SETUP, "set-up", "exec"), {"get_ipython": Shell})
    assert [name for name, _ in calls] == ["pip"] and "-c constraints.txt" in calls[0][1]
    constraints = (tmp_path / "constraints.txt").read_text().splitlines()
    assert f"torch=={versions('torch')}" in constraints
    assert {line.split("==")[0] for line in constraints} >= {"torch", "numpy", "pillow", "scipy"}
    said = capsys.readouterr().out
    assert "profile" in said and versions("torch") in said


def test_a_chapter_without_a_title_is_refused(source):
    source.write_text(CHAPTER.replace("# # The title", "# No title"))
    with pytest.raises(BookError, match="title"):
        book_flavour(source)


def test_a_file_with_another_name_is_refused(tmp_path):
    (tmp_path / "ch1_data.py").write_text(CHAPTER)
    with pytest.raises(BookError, match="chNN"):
        chapters(folder=tmp_path)


# --- the real chapters


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_the_committed_notebook_is_what_its_source_gives(source):
    committed = source.with_suffix(".ipynb")
    assert committed.exists(), "run make notebooks and commit both files"
    assert committed.read_text(encoding="utf-8") == colab_flavour(source, names_of(SOURCES)), "run make notebooks"


def test_every_notebook_has_a_source():
    assert {path.stem for path in NOTEBOOKS.glob("*.ipynb")} <= {path.stem for path in SOURCES}


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_a_chapter_can_be_given_a_profile(source):
    from parameters import parameters_of

    assert parameters_of(json.loads(book_flavour(source)), source.stem).get("profile") == "auto"


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_no_directive_is_left_in_the_committed_notebook(source):
    notebook = json.loads(source.with_suffix(".ipynb").read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            text = re.sub(r"```.*?```|`[^`]*`", "", "".join(cell["source"]), flags=re.DOTALL)
            assert not re.search(r"^\s*[`:]{3,}\s*\{|\{[a-z:]+\}`", text, re.MULTILINE)


def test_the_table_of_contents_lists_the_chapters_in_order():
    toc = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text())
    listed = [
        Path(entry["file"]).name for part in toc["parts"] for entry in part["chapters"] if entry["file"].startswith("notebooks/")
    ]
    assert listed == sorted(listed)
    assert [source.stem for source in SOURCES] == [name for name in listed if NOTEBOOKS.joinpath(name + ".py").exists()]
