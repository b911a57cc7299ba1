"""What labels, equations and citation keys stand for, gathered over all chapters.

The book's builder resolves references itself; notebooks opened elsewhere get the text from here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from project import BookError, Project

DIRECTIVE = re.compile(r"^ *(?P<marks>`{3,}|:{3,}|~{3,})\s*\{(?P<name>[a-zA-Z0-9:_-]+)\}[ \t]*(?P<argument>.*?)\s*$")
OPTION = re.compile(r"^\s*:(?P<key>[a-zA-Z0-9_-]+):\s*(?P<value>.*?)\s*$")
TARGET = re.compile(r"^\((?P<label>[^()\s]+)\)=\s*$")
MATH_LABEL = re.compile(r"\$\$\s*\((?P<label>[^()\s]+)\)\s*$")
CITATION = re.compile(r"\{cite(?::[a-z]+)?\}`([^`]+)`")
HEADING = re.compile(r"^#+\s+(?P<title>.+?)\s*$")


@dataclass
class Names:
    """Lookup tables; a label is unique over the whole book, as Sphinx demands."""

    project: Project
    titles: dict[str, str] = field(default_factory=dict)  # label or chapter → its title
    homes: dict[str, str] = field(default_factory=dict)  # label → the chapter it is in
    equations: dict[str, str] = field(default_factory=dict)  # label → "3.2", the second one of chapter 3
    authors: dict[str, str] = field(default_factory=dict)  # citation key → "Karras et al."
    years: dict[str, str] = field(default_factory=dict)  # citation key → "2020"
    entries: dict[str, str] = field(default_factory=dict)  # citation key → one line for a list of references
    cited: dict[str, list[str]] = field(default_factory=dict)  # chapter → the keys it cites
    values: dict[str, float | int | str] = field(default_factory=dict)  # name of a result → what the released run had

    def references(self, chapter: str) -> list[str]:
        """The list of what a chapter cites, as Markdown lines."""
        return sorted(f"- {self.entries[key]}" for key in self.cited.get(chapter, []) if key in self.entries)


def gather(
    project: Project,
    texts: dict[str, str],
    bibliography: Path | None = None,
    values: dict[str, float | int | str] | None = None,
) -> Names:
    """Read the labels of all chapters (name → all its Markdown) and the keys of a BibTeX file; ``values`` are the
    released run's results by name."""
    names = Names(project, values=values or {})
    for chapter, text in texts.items():
        keys = [key.strip() for group in CITATION.findall(text) for key in group.split(",")]
        names.cited[chapter] = list(dict.fromkeys(keys))
        for kind, label, title in _labels(text):
            if kind == "title":
                names.titles.setdefault(chapter, title)
                continue
            names.homes[label] = chapter
            if kind == "equation":
                before = sum(names.homes[other] == chapter for other in names.equations)
                names.equations[label] = f"{int(chapter[2:4])}.{before + 1}"
            else:
                names.titles[label] = title
    if bibliography is not None and bibliography.exists():
        _read_bibliography(names, bibliography)
    return names


def _labels(text: str) -> Iterator[tuple[str, str, str]]:
    """(kind, label, title) of everything in a chapter that can be pointed at, in order."""
    lines, waiting = text.splitlines(), []
    for index, line in enumerate(lines):
        if found := TARGET.match(line):
            waiting.append(found["label"])
        elif found := HEADING.match(line):
            yield "title", "", found["title"]
            yield from (("label", label, found["title"]) for label in waiting)
            waiting = []
        elif found := MATH_LABEL.search(line):
            yield "equation", found["label"], ""
        elif found := DIRECTIVE.match(line):
            options, _ = split_options(lines[index + 1 :])
            if label := options.get("label") or options.get("name"):
                kind = "equation" if found["name"] == "math" else "label"
                picture = found["name"] in ("figure", "image")
                yield kind, label, "the figure" if picture else found["argument"] or found["name"]


def closing(lines: list[str], start: int, marks: str, where: str = "a chapter") -> int:
    """The line that closes the fence opened in line ``start`` with these marks. Raises `BookError`: none, in ``where``."""
    for index in range(start + 1, len(lines)):
        bare = lines[index].strip()
        if bare and set(bare) == {marks[0]} and len(bare) >= len(marks):
            return index
    raise BookError(f"{where}: a block is opened and never closed: {lines[start]}")


def split_options(lines: list[str]) -> tuple[dict[str, str], list[str]]:
    """A directive's ``:key: value`` lines, and the rest of its body."""
    options: dict[str, str] = {}
    for index, line in enumerate(lines):
        found = OPTION.match(line)
        if not found:
            return options, lines[index:]
        options[found["key"]] = found["value"]
    return options, []


def _read_bibliography(names: Names, path: Path) -> None:
    from pybtex.database import parse_file
    from pybtex.richtext import Text

    def plain(latex: str) -> str:
        return str(Text.from_latex(latex))

    for key, entry in parse_file(str(path)).entries.items():
        people = entry.persons.get("author") or entry.persons.get("editor") or []
        last = [plain(" ".join(person.prelast_names + person.last_names)) for person in people]
        if len(last) > 2:
            names.authors[key] = f"{last[0]} et al."
        else:
            names.authors[key] = " and ".join(last)
        year = names.years[key] = entry.fields.get("year", "no year")
        places = (entry.fields.get(name) for name in ("booktitle", "journal", "publisher", "note"))
        place = next((f" *{plain(text)}*." for text in places if text), "")
        link = entry.fields.get("url", "")
        if not link and "doi" in entry.fields:
            link = f"https://doi.org/{entry.fields['doi']}"
        if not link and "eprint" in entry.fields:
            link = f"https://arxiv.org/abs/{entry.fields['eprint']}"
        title = plain(entry.fields["title"])
        line = f"{', '.join(last)} ({year}). {title}{'' if title.endswith('?') else '.'}{place}"
        names.entries[key] = f"{line} <{link}>" if link else line
