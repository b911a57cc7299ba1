"""The rendered pages: what Sphinx does not check, and that a warning of Sphinx stops the build."""

import dataclasses
import importlib.metadata
import re

import pytest
import yaml

import build
from pages import problems
from pictures_in_pages import Shelf
from project import ROOT, BookError, tool
from studiolike.cli import VERBS

GOOD = '<html><body><article><h1 id="a">A</h1><h2>B</h2><img src="_images/x.png" alt="A head"></article></body></html>'


@pytest.fixture
def site(tmp_path):
    def write(text, name="index.html"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return tmp_path

    return write


def test_a_good_page_passes(site):
    assert problems(site(GOOD)) == []


@pytest.mark.parametrize(
    "bad, said",
    [
        ('<script src="https://cdn.example/x.js"></script>', "from elsewhere"),
        ('<link rel="stylesheet" href="//cdn.example/x.css">', "from elsewhere"),
        ('<article><img src="https://pictures.example/x.png" alt="x"></article>', "from elsewhere"),
        ('<article><img src="_images/x.png"></article>', "no text"),
        ('<article><img src="_images/x.png" alt="_images/x.png"></article>', "no text"),
        ("<article><h1>A</h1><h3>C</h3></article>", "jumps from level 1 to 3"),
        ('<a href="missing.html">x</a>', "leads nowhere"),
        ('<a href="index.html#missing">x</a>', "not on its page"),
    ],
)
def test_a_bad_page_is_named_with_its_fault(site, bad, said):
    (problem,) = problems(site(bad))
    assert problem.startswith("index.html: ") and said in problem


def test_a_style_sheet_that_loads_fonts_from_elsewhere_is_found(site):
    site(GOOD)
    assert len(problems(site("@import url('https://fonts.example/x.css');", "_static/x.css"))) == 1


def test_links_to_other_sites_are_allowed(site):
    assert problems(site('<a href="https://arxiv.org/abs/2407.19593">paper</a>')) == []


def test_the_run_box_and_the_references_are_filled_in(tmp_path):
    record = {
        "chapter": "ch01-data",
        "profile": "smoke",
        "cores": 2,
        "threads": 1,
        "at_a_time": 2,
        "device": "CPU",
        "seconds": 100.0,
        "peak_memory": 512,
        "torch": "2",
        "package": "abc",
        "commit": "def",
    }
    notebook = {
        "cells": [
            {"cell_type": "markdown", "metadata": {}, "source": ["# T\n", "\n", "<!-- run box -->"]},
            {"cell_type": "markdown", "metadata": {}, "source": ["<!-- references -->"]},
            {
                "cell_type": "code",
                "metadata": {},
                "source": [],
                "outputs": [{"output_type": "display_data", "data": {}, "metadata": {"image/png": {"alt": "A head"}}}],
            },
        ]
    }
    page = build.page_of(notebook, record, ["- One.", "- Two."], Shelf(tmp_path))
    assert "**1.7 min**, at most **0.5 GB**" in page["cells"][0]["source"]
    assert "on 2 cores, 2 chapters at a time with 1 thread each, CPU:" in page["cells"][0]["source"]
    assert page["cells"][1]["source"] == "- One.\n- Two."
    assert page["cells"][2]["metadata"]["mystnb"]["image"]["alt"] == "A head"


@pytest.mark.parametrize("at_a_time, threads", [(1, None), (2, 1)])
def test_times_of_chapters_that_ran_together_are_not_called_the_whole(at_a_time, threads):
    facts = {
        "profile": "cpu",
        "cores": 2,
        "device": "CPU",
        "python": "3",
        "torch": "2",
        "threads": threads,
        "at_a_time": at_a_time,
    }
    records = {name: {**facts, "seconds": 60.0, "peak_memory": 1024} for name in ("ch01-a", "ch02-b")}
    page = build.timings(records, {"ch01-a": "A", "ch02-b": "B"})
    assert "| **2.0 min** | **1.0 GB** |" in page and ("sum" in page) == ("1 thread each" in page) == (at_a_time == 2)


def test_a_chapter_that_was_not_executed_stops_the_build(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "BUILD", tmp_path)
    with pytest.raises(BookError, match="ch01-data was not executed in profile cpu"):
        build.load_records("cpu", ["ch01-data"])


def test_mathjax_comes_from_an_installed_package(tmp_path):
    build.copy_mathjax(tmp_path / "mathjax")
    config = yaml.safe_load((ROOT / "_config.yml").read_text())["sphinx"]["config"]
    assert (tmp_path / config["mathjax_path"]).stat().st_size > 10**6


def test_the_book_never_executes_and_never_asks_the_network():
    config = yaml.safe_load((ROOT / "_config.yml").read_text())
    assert config["execute"]["execute_notebooks"] == "off"
    assert config["launch_buttons"]["thebe"] is False
    assert config["sphinx"]["config"]["nb_ipywidgets_js"] == {}
    assert not re.search(r"https?://(?!github\.com/|colab\.research)", (ROOT / "_config.yml").read_text())


def test_a_table_that_a_cell_makes_becomes_a_table():
    """MyST-NB's own default, CommonMark, has no tables: readers would see bars and dashes."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text())["sphinx"]["config"]
    assert config["nb_render_markdown_format"] in ("gfm", "myst")


def test_the_bibliography_has_what_the_method_stands_on():
    from pybtex.database import parse_file

    entries = parse_file(str(ROOT / "book" / "references.bib")).entries
    assert {
        "athar2024bridging",
        "karras2020analyzing",
        "abdal2019image2stylegan",
        "saharia2022sr3",
        "binkowski2018kid",
        "donner2006skin",
        "chen2000invariants",
    } <= set(entries)
    for key, entry in entries.items():
        assert entry.persons.get("author") and entry.fields.get("year", "").isdigit() and entry.fields["title"], key


@pytest.mark.slow
def test_a_warning_of_sphinx_fails_the_build_and_is_told(tmp_path, monkeypatch):
    assert importlib.metadata.version("sphinx")
    monkeypatch.setattr(build, "BUILD", tmp_path)
    source = tmp_path / "source"
    (source / "_static").mkdir(parents=True)
    for name in ("logo.svg", "favicon.svg"):
        (source / "_static" / name).write_text((ROOT / "book" / "_static" / name).read_text())
    (source / "references.bib").write_text("")
    (source / "_toc.yml").write_text("format: jb-book\nroot: index\n")
    (source / "index.md").write_text("# A page\n\nSee {ref}`nothing-of-that-name`.\n")
    with pytest.raises(BookError, match="nothing-of-that-name"):
        build.render(source)


def test_markup_that_stayed_markup_is_found(site):
    (problem,) = problems(
        site(
            GOOD.replace("</body>", "<p>it is {glue:text}`ch01_x`.</p></body>")
            if "</body>" in GOOD
            else GOOD + "<p>it is {glue:text}`ch01_x`.</p>"
        )
    )
    assert "raw markup" in problem


@pytest.mark.parametrize("verb", ["capture", "convert", "view"])
def test_the_page_for_an_own_face_names_every_option(verb):
    page = (ROOT / "book/own-face.md").read_text()
    table = page.split(f"| Option of `{verb}` |")[1].split("\n\n")[0]
    named = set(re.findall(r"`--(?:no-)?([a-z-]+)", table))
    fields = {field.name.replace("_", "-") for field in dataclasses.fields(VERBS[verb])}
    assert named == fields - {"photos", "input", "texture"}  # what has no dashes: the files


def test_pages_of_the_same_sources_are_not_made_again_and_others_are(tmp_path, monkeypatch, capsys):
    for name in (
        "_config.yml",
        "requirements.lock",
        "pyproject.toml",
        "book/404.html",
        "notebooks/ch01-data.ipynb",
        "source/a.md",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    source, made = tmp_path / "source", []

    def render(source, strict=True):
        made.append(strict)
        html = tmp_path / f"made{len(made)}"
        html.mkdir()
        (html / "index.html").write_text(GOOD.replace("_images/x.png", "x.png"))
        (html / "x.png").touch()
        return html

    key = build.key_of
    for name, value in {
        "BUILD": tmp_path / "_build",
        "KEY": tmp_path / "_build" / "html.key",
        "assemble": lambda *_: source,
        "render": render,
        "complete": lambda _: None,
        "key_of": lambda source, strict: key(source, strict, tmp_path),
    }.items():
        monkeypatch.setattr(build, name, value)
    (tmp_path / "_build").mkdir()
    assert build.main([]) == 0 and build.main([]) == 0 and made == [True]
    assert "nothing changed" in capsys.readouterr().out
    for name in ("source/a.md", "notebooks/ch01-data.ipynb", "requirements.lock"):
        (tmp_path / name).write_text("something else")
        before = len(made)
        assert build.main([]) == 0 and len(made) == before + 1
    assert build.main(["--chapters", "ch01"]) == 0 and made[-1] is False  # a partial book is no whole one
    (tmp_path / "_build" / "html" / "index.html").unlink()
    assert build.main(["--chapters", "ch01"]) == 0 and made[-2:] == [False, False]


def test_a_tool_says_what_is_wrong_in_one_line_without_a_traceback(capsys):
    @tool
    def main(arguments=None):
        if arguments:
            raise BookError(f"no {arguments[0]}")
        return 0

    assert main() == 0 and capsys.readouterr().err == ""
    assert main(["chapter"]) == 1 and capsys.readouterr().err == "FAILED no chapter\n"
