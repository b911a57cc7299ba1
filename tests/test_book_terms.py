"""Words of the glossary in the pages: which uses become links, what their tooltips say, and how they open."""

import io
import re
from pathlib import Path

import pytest
import yaml

from browse import find_chromium, serve
from measures import ANSWERS, fill
from terms import SENTENCE, Entry, Words, forms

ROOT = Path(__file__).resolve().parents[1]
GLOSSARY = """\
# Glossary

```{glossary}
:sorted:

texel
  A picture element; about 1 mm. More of it, with a texture.

texture
  A colour map.

phone texture
  What a phone saw.

W+
w+
  A code.

body
  What has a weight.

protocol
`few`
  Whose textures may be read.

code
  Numbers.
```
"""
PAGE = """\
# A texel in the heading

Texels, and more texels: `texel`, $texel$ and [a texture](https://a.example/).
A *phone texture* is no plain one; its texture is. In W+, few bodies; under `few` the exit code is a code.

```{predict} 1. Whose body?
- [x] A body.
- [ ] No body.

Body.
```

```{note}
:class: dropdown
A body, folded away.
```

| a body |
| --- |
| of the body |

```python
code = 1
```
## References

The code of others.
"""


def build(folder, builder, pages, exceptions="code: '(?<!exit )codes?'\n"):
    """The pages' HTML or LaTeX as one text each, by name; no warning may come."""
    from sphinx.application import Sphinx

    for name, text in pages.items():
        (folder / f"{name}.md").write_text(text)
    (folder / "terms.yml").write_text(exceptions)
    settings = {
        "extensions": ["myst_parser", "predict", "terms"],
        "myst_enable_extensions": ["dollarmath"],
        "html_theme": "basic",
        "suppress_warnings": ["toc.not_included"],
    }
    warned = io.StringIO()
    Sphinx(folder, None, folder / "out", folder / "trees", builder, settings, status=None, warning=warned).build()
    assert "terms" not in warned.getvalue()
    return {path.stem: path.read_text() for path in (folder / "out").iterdir() if path.suffix in (".html", ".tex")}


def links(html):
    """Anchor and text of each link to a word, in order."""
    return re.findall(r'<a class="term [^>]*href="[^"]*#term-([\w-]+)"[^>]*>(?:<\w+[^>]*>)*([^<]*)<', html)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return build(tmp_path_factory.mktemp("html"), "html", {"index": PAGE, "glossary": GLOSSARY})


def test_the_first_use_of_each_word_is_a_link_and_nothing_else_is(site):
    assert links(site["index"]) == [
        ("texel", "Texels"),
        ("phone-texture", "phone texture"),
        ("texture", "texture"),
        ("W", "W+"),
        ("body", "bodies"),
        ("protocol", "few"),
        ("code", "code"),
    ]
    assert "exit code is a <a" in site["index"] and "</a>, few <a" in site["index"]
    assert links(site["glossary"]) == []


def test_a_tooltip_is_the_first_sentence_and_a_link_without_scripts(site):
    assert re.search(
        r'<a class="term [^>]*href="glossary.html#term-texel" title="A picture element; about 1 mm.">', site["index"]
    )
    assert 'id="term-texel"' in site["glossary"]


def test_headings_questions_folds_table_heads_code_and_cited_titles_stay_as_they_are(site):
    for kept in ("<h1>A texel", "<th", "<fieldset", "dropdown", "<h2>References"):
        after = site["index"].partition(kept)[2]
        assert after and "term " not in after[: after.find("</")]
    assert site["index"].count('class="term ') == 7


def test_in_print_a_word_is_a_word(tmp_path):
    made = build(tmp_path, "latex", {"index": "# P\n\n```{toctree}\nglossary\n```\n\nA texel.\n", "glossary": GLOSSARY})
    (tex,) = made.values()
    assert "A texel." in tex


@pytest.mark.parametrize(
    "word, found, left",
    [
        ("texel", ["texel", "Texels"], ["texel-like", "subtexel", "texel_"]),
        ("body", ["bodies", "Body"], ["bodyguard"]),
        ("loss", ["losses"], ["losss"]),
        ("W+", ["W+"], ["W", "W++"]),
        ("KID", ["KID"], ["Kid", "KIDs2"]),
        ("log unit", ["Log units", "log\nunit"], ["log"]),
    ],
)
def test_forms_of_a_word(word, found, left):
    pattern = Words([(word, False, Entry("x", "x"))], {}).pattern
    assert all(pattern.fullmatch(text) for text in found) and not any(pattern.fullmatch(text) for text in left)
    assert not any(pattern.search(f" {text} ") for text in left)


def test_an_exception_for_what_is_no_word_is_refused():
    with pytest.raises(ValueError, match="colour"):
        Words([("texel", False, Entry("x", "x"))], {"colour": "colours?"})


def test_the_books_exceptions_are_of_its_glossary_and_have_no_groups():
    text = (ROOT / "book" / "glossary.md").read_text()
    words = set(re.findall(r"^`?([^\s`].*?)`?$", text.partition(":sorted:")[2], re.M)) - {"```"}
    exceptions = yaml.safe_load((ROOT / "book" / "terms.yml").read_text())
    assert set(exceptions) <= words
    assert all(re.compile(forms(word, exceptions)).groups == 0 for word in words)


def test_tooltips_of_the_books_words_are_plain_and_short():
    """A tooltip is text: a role or a formula would stand there as it is written. A new line is a new sentence."""
    told = re.findall(r"^\S.*\n  (.*)$", (ROOT / "book" / "glossary.md").read_text().partition(":sorted:")[2], re.M)
    first = [SENTENCE.split(text)[0] for text in told]
    assert len(first) > 100 and all(text.endswith(".") for text in first)
    assert not [text for text in first if re.search(r"[{}$]", text) or len(text) > 260]


def test_a_page_gets_its_scores_from_the_records_and_others_are_left_alone():
    assert fill("No scores.") == "No scores."
    made = fill("<!-- scored people -->\n| KID | <!-- scores: kid --> |")
    assert "<!--" not in made and all(re.search(rf"{name} [\d.]+", made) for name in ANSWERS.values())


def test_scores_that_nobody_measured_are_not_made_up(tmp_path):
    made = fill("<!-- scored people -->\n| KID | <!-- scores: kid --> |", tmp_path)
    assert made.count("not measured with the present weights") == 2


# --- in a browser


@pytest.fixture(scope="module")
def opened(site, tmp_path_factory):
    playwright = pytest.importorskip("playwright.sync_api", reason="no driver of a browser here")
    chromium = find_chromium()
    if not chromium:
        pytest.skip("no Chromium here")
    folder = tmp_path_factory.mktemp("site")
    style, script = ((ROOT / "book" / "_static" / name).read_text() for name in ("studiolike.css", "terms.js"))
    body = re.search(r"<p>.*?</p>", site["index"], re.DOTALL)[0]
    page = (
        f"<html><style>{style}</style><script>{script}</script><body><article class='bd-article'>{body}</article></body></html>"
    )
    (folder / "index.html").write_text(page)
    (folder / "glossary.html").write_text("<p id='term-texel'>texel</p>")
    with serve(folder) as address, playwright.sync_playwright() as player:
        browser = player.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser, f"{address}/index.html"
        browser.close()


@pytest.fixture
def page(opened):
    browser, address = opened
    page = browser.new_page()
    page.goto(address)
    yield page
    page.close()


@pytest.mark.slow
def test_the_keyboard_opens_a_tooltip_and_escape_closes_it(page):
    link, tip = page.locator("a.term").first, page.locator("[role=tooltip]")
    said = link.get_attribute("title")
    assert not tip.is_visible()
    page.keyboard.press("Tab")
    assert tip.inner_text() == said and link.get_attribute("aria-describedby") == tip.get_attribute("id")
    assert link.get_attribute("title") is None  # or a browser would draw it too
    page.keyboard.press("Escape")
    assert not tip.is_visible() and link.get_attribute("title") == said and link.get_attribute("aria-describedby") is None
    page.keyboard.press("Enter")
    page.wait_for_url("**/glossary.html#term-texel")


@pytest.mark.slow
def test_a_mouse_may_move_into_the_tooltip(page):
    page.locator("a.term").first.hover()
    tip = page.locator("[role=tooltip]")
    tip.hover()
    page.wait_for_timeout(400)
    assert tip.is_visible()
    page.mouse.move(600, 500)
    page.wait_for_timeout(400)
    assert not tip.is_visible()


@pytest.mark.slow
def test_a_finger_opens_a_tooltip_and_follows_the_link_the_second_time(opened):
    browser, address = opened
    context = browser.new_context(has_touch=True, is_mobile=True, viewport={"width": 360, "height": 640})
    page = context.new_page()
    page.goto(address)
    link, tip = page.locator("a.term").first, page.locator("[role=tooltip]")
    link.tap()
    assert tip.is_visible() and page.url == address
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    page.touchscreen.tap(180, 600)
    assert not tip.is_visible()
    link.tap()
    link.tap()
    page.wait_for_url("**/glossary.html#term-texel")
    context.close()


@pytest.mark.slow
def test_without_scripts_a_word_is_a_link_with_a_title(opened):
    browser, address = opened
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    assert page.locator("a.term").first.get_attribute("title").startswith("A picture element")
    page.locator("a.term").first.click()
    page.wait_for_url("**/glossary.html#term-texel")
    context.close()
