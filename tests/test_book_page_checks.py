"""The checks of the built pages find what they are for: each passes on a page that is right and speaks on one that is not."""

import re
from pathlib import Path

import pytest
import torch

import browse
import page_checks
from studiolike.avatar import head_mesh, write_viewer

STYLE = "<style>:root { --pst-color-primary: #0a58ca; } :focus-visible { outline: 3px solid var(--pst-color-primary); }</style>"
CONTROLS = """<article><p><a href="#x">a link</a> <button>a button</button> <input type=range aria-label=r>
<label><input type=file class=hidden> a file</label></p></article>
<style>.hidden { opacity: 0; } label:focus-within { outline: 3px solid #0a58ca; }</style>"""


@pytest.fixture(scope="module")
def page():
    playwright = pytest.importorskip("playwright.sync_api", reason="no driver of a browser here")
    if not (chromium := browse.find_chromium()):
        pytest.skip("no Chromium here")
    with playwright.sync_playwright() as player:
        opened = player.chromium.launch(executable_path=chromium, args=["--no-sandbox", *browse.ARGUMENTS])
        yield opened.new_page()
        opened.close()


def focus(page, html):
    page.set_content(html)
    page.keyboard.press("Tab")
    return page_checks.focus_unseen(page)


@pytest.mark.slow
@pytest.mark.parametrize(
    "spoilt",
    [
        "button:focus-visible { outline: none }",
        "a:focus-visible { outline-width: 1px }",
        "[type=range]:focus-visible { outline-color: transparent }",
        "body { background: #0a58ca }",
        "label:focus-within { outline: none }",
    ],
)
def test_a_focus_that_nobody_sees_is_told(page, spoilt):
    assert focus(page, STYLE + CONTROLS) == []
    found = focus(page, f"{STYLE}{CONTROLS}<style>{spoilt}</style>")
    assert found and all(line.startswith("the focus is not seen: <") for line in found)
    assert len(found) == (4 if "body" in spoilt else 1)


@pytest.mark.slow
def test_the_books_own_style_shows_the_focus_also_on_tabs_whose_choice_is_not_drawn(page):
    style = (Path(browse.__file__).parents[1] / "_static" / "studiolike.css").read_text()
    tabs = '<div class="sd-tab-set"><input type="radio" id="t" style="opacity: 0"><label for="t">a tab</label></div>'
    html = f"<style>:root {{ --pst-color-primary: #0a58ca; }} {style}</style>{tabs}"
    assert focus(page, html) == []
    assert len(focus(page, re.sub(r"\.sd-tab-set > input:focus-visible[^}]*}", "", html))) == 1


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    path = tmp_path_factory.mktemp("head") / "head.html"
    skin = torch.linspace(0.2, 0.9, 64).expand(3, 64, 64)
    return write_viewer(head_mesh(grid=16), path, {"result": skin}, title="A head", description="A head").read_text("utf-8")


@pytest.mark.slow
@pytest.mark.parametrize(
    "right, wrong, told",
    [
        ("", "", None),
        ("ArrowRight: () => lamp(", "ArrowUpRight: () => lamp(", "the lamp of a head does not move"),
        ('find("lamp").hidden = kind !== "lamp"', 'find("lamp").hidden = true', "a head has no lamp"),
        (":focus-visible { outline: 3px", ":focus-visible { outline: 0px", "the focus is not seen"),
    ],
)
def test_a_head_whose_lamp_does_not_move_or_whose_focus_is_not_seen_is_told(page, head, right, wrong, told):
    from axe_playwright_python.base import AXE_SCRIPT

    assert right in head
    page.set_content('<article><iframe title="A head" width="600" height="700"></iframe></article>')
    page.evaluate("(text) => { document.querySelector('iframe').srcdoc = text; }", head.replace(right, wrong) if right else head)
    page.frame_locator("iframe").locator("#controls").wait_for()
    found = page_checks.heads_missing(page, AXE_SCRIPT)
    assert (found == []) if told is None else any(told in line for line in found)


@pytest.mark.slow
def test_a_page_that_cannot_test_itself_is_no_problem_but_told(page):
    for said, line in (("", []), ("NOT TESTED: no model", ["NOT TESTED: no model"]), ("off", ["the page's own test says: off"])):
        page.set_content(f"<script>window.selfTest = async () => '{said}';</script>")
        assert page_checks.own_test(page) == line


@pytest.mark.slow
def test_pages_are_opened_the_longest_first_what_was_not_tested_is_loud_and_a_problem_fails(page, tmp_path, monkeypatch, capsys):
    pages = {"index": "x", "a": "x" * 9, "b": '<script type="module">', "c": "x" * 50}
    for name, text in pages.items():
        (tmp_path / f"{name}.html").write_text(text)
    assert browse.in_order_of_work(tmp_path, ["a", "b", "c"]) == ["b", "c", "a"]
    monkeypatch.setattr(browse, "BUILD", tmp_path / "_build")
    monkeypatch.setattr(browse, "at_a_time", lambda: 2)
    monkeypatch.setattr(browse, "search_silent", lambda page, address: [])
    said = {"b": ["b.html: NOT TESTED: no model"], "a": ["a.html: a problem"]}
    seen = []
    monkeypatch.setattr(browse, "visit", lambda browser, address, name, *rest: seen.append(name) or said.get(name, []))
    assert browse.main(["--site", str(tmp_path)]) == 1
    told = capsys.readouterr()
    assert (
        sorted(seen) == ["a", "b", "c", "index"]
        and "b: 0 problems" in told.out
        and "4 pages opened in Chromium, 1 problem" in told.out
    )
    assert told.err.splitlines() == ["FAILED a.html: a problem", "b.html: NOT TESTED: no model"]
    said.pop("a")
    assert browse.main(["--site", str(tmp_path)]) == 0 and "NOT TESTED" in capsys.readouterr().err


@pytest.mark.slow
def test_a_word_that_tells_its_meaning_to_the_mouse_alone_is_found(page):
    word = '<article><p>One <a class="term" href="#x" title="A picture element.">texel</a>.</p></article>'
    script = (Path(__file__).resolve().parents[1] / "book" / "_static" / "terms.js").read_text()
    page.set_content(word)
    assert page_checks.words_untold(page, False) == ["a word does not say what it means by keyboard: texel"]
    page.set_content(f"{word}<script>{script}</script>")
    assert page_checks.words_untold(page, False) == []
    page.set_content("<article><p>None.</p></article>")
    assert page_checks.words_untold(page, True) == []
