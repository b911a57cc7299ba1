"""The book's own Sphinx extension, and the way from a page to Colab and back to the project."""

import json
import re
import shutil
import subprocess
from types import SimpleNamespace
from urllib.parse import unquote

import pytest
from docutils.core import publish_doctree

import browse
import site_pages
from notebooks import SETUP, colab_flavour, names_of
from pages import make_room
from project import ROOT, Project, chapters, project
from site_pages import buttons, description, meta, repaired, scripts

ABOUT = Project("x", "1.2.0", "https://github.com/a/b", "https://a.example/b/")


def script(filename=None, **attributes):
    return SimpleNamespace(filename=filename, attributes=attributes)


def test_the_description_is_the_first_sentences():
    tree = publish_doctree("Title\n=====\n\nShort.\n\n" + "A sentence that is long enough to say something. " * 8)
    assert (
        description(tree)
        == "A sentence that is long enough to say something. " * 3 + "A sentence that is long enough to say something."
    )
    assert len(description(tree)) <= 200
    assert description(publish_doctree("")) == ""


def test_texts_in_the_head_are_escaped():
    said = meta('The "title"', "One & two", "https://a.example/", "https://a.example/")
    assert 'content="The &quot;title&quot;"' in said and 'name="description" content="One &amp; two"' in said


def test_the_card_for_messengers_has_their_size_and_shows_the_pair_of_the_first_page(tmp_path):
    from PIL import Image

    import social_card

    Image.new("RGB", (90, 40), "white").save(tmp_path / social_card.WHOLE)
    assert social_card.draw(tmp_path).size == (1200, 630)
    for name, colour in zip(social_card.PAIR, ("red", "blue"), strict=True):
        Image.new("RGB", (100, 100), colour).save(tmp_path / name, quality=95)
    red, blue = (social_card.draw(tmp_path).getpixel((x, 400)) for x in (400, 800))
    assert red[0] > 240 > 20 > red[2] and blue[2] > 240 > 20 > blue[0]
    social_card.write(tmp_path)
    assert (tmp_path / site_pages.CARD.rpartition("/")[2]).exists()


def test_mathjax_is_loaded_once_without_blocking_and_only_where_formulas_are():
    listed = [
        script("_static/mathjax/all.js"),
        script("_static/mathjax/all.js", defer="defer"),
        script(None, body="window.MathJax = {}"),
        script("_static/doctools.js"),
    ]
    assert scripts(listed, True) == listed[1:]
    assert scripts(listed, False) == [listed[3]]


def test_a_script_comes_once_and_thebe_and_the_parts_of_other_tools_never():
    kept = script("_static/studiolike.js")
    listed = [
        kept,
        script("_static/studiolike.js"),
        script("_static/sphinx-thebe.js"),
        script(None, body="const THEBE_JS_URL = 1"),
    ]
    assert scripts([*listed, script("_static/onnx/runtime.js")], False) == [kept]


def test_a_list_of_works_holds_list_items():
    works = '<div role="list" class="citation-list"><div role="doc-biblioentry">x</div></div>'
    body = works + '<script type="text/x-thebe-config">{}</script>'
    assert repaired(body) == '<div role="list" class="citation-list"><div role="listitem">x</div></div>'


def test_the_header_offers_the_notebook_for_colab_and_a_report():
    groups = [
        {"label": "download-buttons", "buttons": [{"label": "download-source-button"}, {"label": "download-pdf-button"}]},
        {"buttons": [{"label": "source-issues-button", "url": "x"}, {"type": "link"}]},
    ]
    downloads, source = buttons(groups, "notebooks/ch01-data", "https://report")
    assert [b["label"] for b in downloads["buttons"]] == ["download-notebook-button", "download-pdf-button"]
    assert downloads["buttons"][0]["url"] == "ch01-data.ipynb"
    assert source["buttons"][0]["url"] == "https://report" and source["buttons"][0]["text"] == "Report a problem"


# --- badge, set-up cell and pictures speak of the same state of the repository


@pytest.mark.parametrize("version, ref", [("0.1.0.dev0", "main"), ("0.1.0", "v0.1.0"), ("1.0.0rc1", "v1.0.0rc1")])
def test_a_version_under_development_is_on_main_and_a_final_one_has_a_tag(version, ref):
    about = Project("x", version, ABOUT.repository, ABOUT.homepage)
    assert about.ref == ref and f"/blob/{ref}/" in about.colab("ch01-x") and f"/{ref}/" in about.raw("x.png")


def test_badge_and_set_up_of_every_chapter_name_one_state_of_the_repository():
    about, sources = project(), chapters()
    names = names_of(sources)
    for source in sources:
        cells = ["".join(cell["source"]) for cell in json.loads(colab_flavour(source, names))["cells"]]
        badge = re.search(r"/blob/([^/]+)/notebooks/", cells[1])[1]
        setup = re.search(r"git\+\S+@([\w.]+)", cells[2])[1]
        assert badge == setup == about.ref
    assert "@REF" in SETUP


@pytest.mark.skipif(not (ROOT / ".git").exists() or not shutil.which("git"), reason="not a git checkout")
def test_what_badge_and_set_up_name_is_in_the_repository():
    """A final version without its tag would send every reader of the notebooks to a state that does not exist."""

    def git(*arguments):
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True).stdout.split()

    about = project()
    if about.ref == "main":
        return  # what a notebook needs is on the branch that it comes from
    if git("rev-parse", "--is-shallow-repository") == ["true"]:
        pytest.skip("a shallow clone has no tags")
    assert about.ref in git("tag", "--list"), f"tag this commit {about.ref}, or call the version {about.version}.dev0"
    assert f"notebooks/{chapters()[0].stem}.ipynb" in git("ls-tree", "--name-only", "-r", about.ref, "notebooks")


# --- the browser's part that needs no browser


def test_pages_are_chosen_by_the_beginning_of_their_names(tmp_path):
    for name in ("index.html", "notebooks/ch01-a.html", "notebooks/ch02-b.html", "_static/figures/x.html"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    assert browse.pages_of(tmp_path, []) == ["index", "notebooks/ch01-a", "notebooks/ch02-b"]
    assert browse.pages_of(tmp_path, ["ch02"]) == ["notebooks/ch02-b"]


def test_without_a_book_there_is_nothing_to_open_and_without_chromium_it_says_so(tmp_path, monkeypatch, capsys):
    assert browse.main(["--site", str(tmp_path)]) == 1
    (tmp_path / "index.html").write_text("")
    monkeypatch.setattr(browse, "find_chromium", lambda: None)
    assert browse.main(["--site", str(tmp_path)]) == 0
    assert "NOT opened" in capsys.readouterr().out


def test_the_page_for_wrong_addresses_works_from_any_address():
    text = (ROOT / "book" / "404.html").read_text()
    links = re.findall(r'(?:href|src|action)="([^"]*)"', text)
    assert links and all(link.startswith(("HOMEPAGE", "REPOSITORY")) for link in links)


def test_a_report_names_the_page_and_the_run(monkeypatch, tmp_path):
    (tmp_path / site_pages.FACTS).write_text('{"profile": "cpu", "torch": "2.11"}')
    app = SimpleNamespace(srcdir=tmp_path, config=SimpleNamespace(root_doc="index"))
    group = {"buttons": [{"label": "source-issues-button"}]}
    context = {"script_files": [], "title": "T", "body": "", "header_buttons": [group]}
    site_pages.on_page(app, "notebooks/ch01-data", "page.html", context, None)
    address = unquote(group["buttons"][0]["url"])
    assert "/issues/new?title=On notebooks/ch01-data" in address
    assert "profile cpu, torch 2.11" in address and "studiolike doctor" in address and "Browser:" in address


def test_opening_some_pages_keeps_the_pictures_of_the_others(tmp_path):
    folder = tmp_path / "screenshots"
    make_room(folder, ["index"], everything=True)
    names = (
        "index-1440-light.png",
        "index-390-dark-whole.jpg",
        "notebooks-ch04-adaptation-1440-dark.png",
        "index-more-390-light.png",
    )
    for name in names:
        (folder / name).write_bytes(b"")
    make_room(folder, ["index"], everything=False)
    assert {path.name for path in folder.iterdir()} == set(names[2:])
    make_room(folder, ["notebooks/ch04-adaptation"], everything=False)
    assert {path.name for path in folder.iterdir()} == {names[3]}
    make_room(folder, ["index"], everything=True)
    assert not list(folder.iterdir())
