"""Predict-first questions in the page: what a reader's browser gets."""

import io
import re
from pathlib import Path

import pytest

from browse import find_chromium

PAGE = """\
# Page

```{predict} 1. How does $x$ grow, *really*?
- [ ] Not at all.
  It does, a little.
- [x] Like $x^2$.

As the **square**.
```

```{predict} 2. Second?
- [x] Yes.
- [ ] No.

Yes.
```
"""


def build(folder, builder, **pages):
    """The pages as one text each, and what Sphinx warned of in them."""
    from sphinx.application import Sphinx

    for name, text in pages.items():
        (folder / f"{name}.md").write_text(text)
    settings = {"extensions": ["myst_parser", "predict"], "myst_enable_extensions": ["dollarmath"], "html_theme": "basic"}
    warned = io.StringIO()
    Sphinx(folder, None, folder / "out", folder / "trees", builder, settings, status=None, warning=warned).build()
    made = "".join(
        path.read_text() for path in sorted((folder / "out").iterdir()) if path.name in ("index.html", "projectnamenotset.tex")
    )
    return made, [line for line in warned.getvalue().splitlines() if re.search(r"(index|bad)\.md", line)]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    bad = PAGE.replace("[x] Yes", "[ ] Yes").replace("# Page", "---\norphan: true\n---\n# Page")
    return build(tmp_path_factory.mktemp("html"), "html", index=PAGE, bad=bad)


@pytest.fixture
def html(site):
    return site[0]


def test_a_question_is_a_group_of_named_radio_buttons_under_its_legend(html):
    assert html.count('<fieldset class="predict">') == 2 == html.count("</fieldset>")
    legend = re.search(r"<legend>(.*?)</legend>", html)[1]
    assert "<em>really</em>" in legend and "\\(x\\)" in legend
    names = re.findall(r'type="radio" name="([\w-]+)"', html)
    assert len(set(names[:2])) == 1 == len(set(names[2:])) and names[0] != names[2]


def test_one_choice_is_right_and_a_reply_belongs_to_its_choice(html):
    assert re.findall(r'value="(\d)"( data-right)?>', html) == [("0", ""), ("1", " data-right"), ("0", " data-right"), ("1", "")]
    assert re.search(r'<p class="predict-reply" data-of="0" hidden>It does, a little\.</p>', html)


def test_the_answer_is_folded_and_needs_no_script(html):
    assert '<details class="predict-answer"><summary>Answer</summary><p>As the <strong>square</strong>.</p>' in html
    assert '<button type="button" hidden>' in html  # shown by the script; without one it could do nothing


def test_a_question_without_a_right_choice_is_told_with_its_place(site):
    assert len(site[1]) == 1 and "bad.md:14" in site[1][0] and "one of them marked" in site[1][0]


def test_in_print_the_choices_are_a_list_and_the_answers_stand_at_the_end(tmp_path):
    tex, warned = build(tmp_path, "latex", index=PAGE)
    assert not warned
    boxes, answers = tex.split("Answers to the questions")
    assert boxes.count("\\begin{sphinxadmonition}") == 2 == boxes.count("\\pageref") and "square" not in boxes
    assert re.search(r"\\item\[\(a\)\] Not at all\..*\\item\[\(b\)\] Like .*?x\^2", boxes, re.S) and "It does" not in boxes
    assert re.search(r"1\. \(b\).*?x\^2.*?guessed \(a\):.*?It does, a little\..*?square.*?2\. \(a\)", answers, re.S)


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="no driver of a browser here")
    chromium = find_chromium()
    if not chromium:
        pytest.skip("no Chromium here")
    with playwright.sync_playwright() as player:
        opened = player.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_a_question_is_answered_with_the_keyboard_alone(browser, html, theme, width):
    static = Path(__file__).resolve().parents[1] / "book" / "_static"
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=theme)
    wrong = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    box = re.search(r'<fieldset class="predict">.*?</fieldset>', html, re.DOTALL)[0]
    style, script = ((static / name).read_text() for name in ("predict.css", "predict.js"))
    page.set_content(f'<html data-theme="{theme}"><style>{style}</style><script>{script}</script><body>{box}</body></html>')
    status, answer, reply = (page.locator(place) for place in ("[role=status]", "details", ".predict-reply"))

    page.keyboard.press("Tab")
    page.keyboard.press("Tab")  # past the radio buttons, none of which is chosen
    page.keyboard.press("Enter")
    assert status.inner_text().startswith("Choose one first") and answer.get_attribute("open") is None
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Space")
    if page.evaluate("document.querySelector('input:checked').value") != "0":
        page.keyboard.press("ArrowUp")
    assert status.inner_text() == "" and not reply.is_visible()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert status.inner_text().startswith("✗") and reply.is_visible() and answer.get_attribute("open") is not None
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("ArrowDown")
    assert not reply.is_visible()
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert status.inner_text().startswith("✓") and not reply.is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width and not wrong
    page.close()


@pytest.mark.slow
def test_without_scripts_the_answer_still_opens(browser, html):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.set_content(re.search(r'<fieldset class="predict">.*?</fieldset>', html, re.DOTALL)[0])
    assert not page.locator("button").is_visible() and not page.locator("details p").is_visible()
    page.locator("summary").focus()
    page.keyboard.press("Enter")
    assert page.locator("details p").is_visible()
    context.close()
