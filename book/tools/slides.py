"""Slides of a chapter: one HTML file that needs nothing but a browser, made from the chapter and, if it ran, from its figures.

A section becomes a slide: its first sentences, its first equation, its first figure or table. Predict-first questions,
prompts for the discussion and the summary have slides of their own. Arrow keys, space and the buttons turn pages; printing
gives one page a slide.
"""

from __future__ import annotations

import ast
import html
import re
from dataclasses import dataclass, field
from typing import Any

from exercises import Exercise
from lowering import PLAIN_FENCE, lower
from naming import DIRECTIVE, Names, closing
from questions import read_choices

GLUE = re.compile(r"\{glue(?::text)?\}`(?P<name>[^`:]+)(?::(?P<form>[^`]*))?`")
LEFT_OUT = {"Exercises", "Determinism", "Repeating this chapter", "References"}
LISTS = {"Summary", "What you will learn"}  # of these only the points
SENTENCES = 3
RECORD = "application/papermill.record/text/plain"


@dataclass
class Slide:
    """A title (Markdown), a text, a formula and a table (Markdown), and a figure: base64 of a PNG and its alternative text."""

    title: str
    text: list[str] = field(default_factory=list)
    formula: list[str] = field(default_factory=list)
    table: list[str] = field(default_factory=list)  # shown where there is no figure
    figure: tuple[str, str] | None = None
    whole: bool = False  # keep all of the text, not the first sentences


def glued(cells: list[dict[str, Any]]) -> dict[str, Any]:
    """The results that executed cells have given a name."""
    values = {}
    for cell in cells:
        for output in cell.get("outputs", []):
            name = output.get("metadata", {}).get("scrapbook", {}).get("name")
            if name and RECORD in output.get("data", {}):
                values[name.removeprefix("application/papermill.record/")] = ast.literal_eval("".join(output["data"][RECORD]))
    return values


def told(sentence: str, values: dict[str, Any]) -> str | None:
    """A sentence with its results filled in; None if one of them is not known."""
    if any(found["name"] not in values for found in GLUE.finditer(sentence)):
        return None
    return GLUE.sub(lambda found: format(values[found["name"]], found["form"] or ""), sentence)


def read_slides(cells: list[dict[str, Any]], values: dict[str, Any]) -> list[Slide]:
    """The slides of a chapter's cells, executed or not."""
    slides: list[Slide] = []
    for cell in cells:
        text = cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            _read_text(text.splitlines(), slides, values)
        elif slides and slides[-1].figure is None:
            slides[-1].figure, slides[-1].table = _figure(cell), slides[-1].table or _table(cell)
    return [slide for slide in slides if slide.title not in LEFT_OUT and (slide.text or slide.formula or slide.figure)]


def _figure(cell: dict[str, Any]) -> tuple[str, str] | None:
    for output in cell.get("outputs", []):
        picture = output.get("data", {}).get("image/png")
        if picture:
            alt = output.get("metadata", {}).get("image/png", {}).get("alt", "")
            return "".join(picture).replace("\n", ""), alt
    return None


def _table(cell: dict[str, Any]) -> list[str]:
    """The first table that a cell showed as Markdown."""
    for output in cell.get("outputs", []):
        rows = [line for line in "".join(output.get("data", {}).get("text/markdown", "")).splitlines() if line.startswith("|")]
        if rows:
            return rows
    return []


def _read_text(lines: list[str], slides: list[Slide], values: dict[str, Any]) -> None:
    place, listed = 0, -1  # the line that was last put into a list
    while place < len(lines):
        line = lines[place]
        if head := re.match(r"#{1,3} (.+)", line):
            slides.append(Slide(head[1].strip(), whole=line.startswith("# ")))
        elif found := DIRECTIVE.match(line):
            end = closing(lines, place, found["marks"])
            body = lines[place + 1 : end]
            if found["name"] == "predict":
                slides.append(_question(found["argument"], body, values))
            elif found["name"] == "math" and slides and not slides[-1].formula:
                slides[-1].formula = lines[place : end + 1]
            place = end
        elif fence := PLAIN_FENCE.match(line):
            place = closing(lines, place, fence["marks"])
        elif line.startswith("$$") and slides:
            end = place
            while not (lines[end].count("$$") == 2 or (end > place and "$$" in lines[end])):
                end += 1
            slides[-1].formula = slides[-1].formula or lines[place : end + 1]
            place = end
        elif slides and line.startswith("|"):
            end = place
            while end + 1 < len(lines) and lines[end + 1].startswith("|"):
                end += 1
            rows = [told(row, values) for row in lines[place : end + 1]]
            slides[-1].table = slides[-1].table or [row or "" for row in rows if all(rows)]
            place = end
        elif slides and line.strip() and not re.match(r"[%<(+]|!\[", line):
            slide, sentence = slides[-1], told(line, values)
            point = line.startswith("- ")
            going_on = point and 0 <= listed == place - 1  # a list is not cut short
            wanted = point if slide.title in LISTS else slide.whole or going_on or len(slide.text) < SENTENCES
            if sentence and wanted:
                slide.text.append(sentence)
                listed = place if point else -1
        place += 1


def _question(title: str, body: list[str], values: dict[str, Any]) -> Slide:
    choices, answer = read_choices(body)
    right = next(choice.text for choice in choices if choice.right)
    shown = [line for line in (told(line, values) for line in answer) if line]
    options = [f"- {choice.text}" for choice in choices]
    return Slide(title, [*options, "", "```{dropdown} Answer", f"**{right}**", *shown, "```"], whole=True)


def _markdown() -> Any:
    from markdown_it import MarkdownIt
    from mdit_py_plugins.dollarmath import dollarmath_plugin

    def formula(content: str, options: dict[str, Any]) -> str:
        left, right = (r"\[", r"\]") if options["display_mode"] else (r"\(", r"\)")
        return left + html.escape(content) + right

    return MarkdownIt("commonmark", {"html": True, "breaks": True}).enable("table").use(dollarmath_plugin, renderer=formula)


def deck(chapter: str, slides: list[Slide], asked: list[Exercise], prompts: list[str], names: Names) -> str:
    """The HTML of a deck. Formulas are drawn by MathJax, expected beside it as mathjax.js."""
    at = next((k for k, slide in enumerate(slides) if slide.title == "Summary"), len(slides))
    tasks = [f"- {exercise.level}: {exercise.title}" for exercise in asked]
    slides = [*slides[:at], Slide("Exercises", tasks), Slide("To discuss", [f"- {prompt}" for prompt in prompts]), *slides[at:]]
    render, pages = _markdown(), []
    for number, slide in enumerate(slides, 1):
        title = render.renderInline(lower(slide.title, names, chapter))
        table = [] if slide.figure else slide.table
        body = render.render(lower("\n".join([*_spaced(slide.text), "", *slide.formula, "", *table]), names, chapter))
        picture = ""
        if slide.figure:
            picture = f'<img src="data:image/png;base64,{slide.figure[0]}" alt="{html.escape(slide.figure[1])}">'
        level = "h1" if number == 1 else "h2"
        pages.append(
            f'<section aria-label="Slide {number} of {len(slides)}" id="s{number}"><{level}>{title}</{level}>'
            f'<div class="text">{body}</div>{picture}</section>'
        )
    title = html.escape(re.sub(r"<[^>]+>", "", lower(slides[0].title, names, chapter)))
    return PAGE.replace("TITLE", title).replace("SLIDES", "\n".join(pages))


def _spaced(lines: list[str]) -> list[str]:
    """Every sentence a paragraph of its own; lists and boxes stay together."""
    out: list[str] = []
    for line in lines:
        plain = not re.match(r"\s*([-`:*]|\d+\.)", line)
        out += ["", line] if plain and out and out[-1] and not out[-1].startswith("```{") else [line]
    return out


PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>TITLE</title>
<style>
:root { color-scheme: light dark; --ink: #1b2429; --paper: #ffffff; --mark: #0b5c7a; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eef1; --paper: #14191c; --mark: #6fc3e0; } }
* { box-sizing: border-box; }
body { margin: 0; font: clamp(1.1rem, 0.9rem + 1vw, 2.4rem)/1.45 system-ui, sans-serif; color: var(--ink);
  background: var(--paper); }
section { min-height: 100vh; padding: 4vh 6vw 3.5rem; display: none; }
section.now { display: block; }
h1, h2 { color: var(--mark); line-height: 1.2; margin: 0 0 1rem; }
h1 { margin-top: 20vh; font-size: 1.9em; }
h2 { font-size: 1.35em; }
table { border-collapse: collapse; font-size: 0.75em; line-height: 1.3; }
th, td { padding: 0.3em 0.7em; text-align: left; vertical-align: top; border-bottom: 1px solid #8888; }
section.now:has(> img) { display: flex; flex-direction: column; max-height: 100vh; }
section > * { flex: none; }
section > img { flex: 0 1 auto; min-height: 30vh; max-width: 100%; margin: 0.5rem auto; object-fit: contain; background: #ffffff;
  border-radius: 6px; }
.text { overflow-x: auto; }
a, summary { color: var(--mark); }
summary { cursor: pointer; }
nav { position: fixed; right: 0; bottom: 0; padding: 0.6rem 1rem; background: var(--paper); display: flex; gap: 0.5rem;
  align-items: center; font-size: 1rem; }
button { font: inherit; padding: 0.3rem 0.8rem; color: var(--mark); background: var(--paper); border: 1px solid var(--mark);
  border-radius: 4px; }
:focus-visible { outline: 3px solid var(--mark); outline-offset: 2px; }
/* a narrow screen scrolls to what a projector shows at once */
@media (max-width: 700px) { section { padding-bottom: 5rem; } section.now:has(> img) { max-height: none; }
  section > img { min-height: 0; } nav { left: 0; justify-content: flex-end; } }
@media print { nav { display: none; } section { display: block; break-after: page; min-height: 0; } }
</style>
<noscript><style>section { display: block; } nav { display: none; }</style></noscript>
</head>
<body>
<main>
SLIDES
</main>
<nav aria-label="Slides"><button type="button" id="back">Back</button>
<span id="place" role="status"></span><button type="button" id="on">Next</button></nav>
<script>
const slides = [...document.querySelectorAll("section")];
let now = 0;
function show(place) {
  now = Math.min(Math.max(place, 0), slides.length - 1);
  slides.forEach((slide, k) => slide.classList.toggle("now", k === now));
  document.getElementById("place").textContent = `${now + 1} / ${slides.length}`;
  history.replaceState(null, "", "#" + slides[now].id);
  scrollTo(0, 0);
}
const keys = { ArrowRight: 1, PageDown: 1, " ": 1, ArrowLeft: -1, PageUp: -1 };
addEventListener("keydown", (event) => {
  if (event.target.closest("summary, button") && [" ", "Enter"].includes(event.key)) return;
  if (event.key in keys) { event.preventDefault(); show(now + keys[event.key]); }
  if (event.key === "Home") show(0);
  if (event.key === "End") show(slides.length - 1);
});
document.getElementById("back").addEventListener("click", () => show(now - 1));
document.getElementById("on").addEventListener("click", () => show(now + 1));
show(Math.max(slides.findIndex((slide) => "#" + slide.id === location.hash), 0));
</script>
<script src="mathjax.js" async></script>
</body>
</html>
"""
