"""A Sphinx extension: the first use of each word of the glossary on a page is a link to its entry, which a tooltip quotes.

The words are those of the ``glossary`` directive, so an entry is written once and found everywhere. A word is found as it is
written there, also in the plural and with a capital at the beginning of a sentence; one written as ``code`` is found as code
alone. `book/terms.yml` says where that would be wrong: "profile" is a size of the book and also a face from the side. Links are
made in running text, lists, tables and captions, never in headings, code, formulas, other links, questions or folded boxes.

The tooltip is the link's title, which works without scripts; `_static/terms.js` draws it for keyboards and fingers too. In
print a word is a word.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

import predict

EXCEPTIONS = "terms.yml"  # beside the pages
PLAIN = {"glossary", "reference", "bibliography", "genindex", "timings"}  # pages without such links: code, and lists of titles
CLOSED = (
    *(nodes.title, nodes.subtitle, nodes.rubric, nodes.literal_block, nodes.doctest_block, nodes.math, nodes.math_block),
    *(nodes.reference, nodes.raw, nodes.image, nodes.thead, nodes.citation_reference, nodes.footnote_reference),
    *(addnodes.desc_signature, addnodes.pending_xref, addnodes.download_reference, predict.predict),
)
FOLDED = {"dropdown", "toggle", "tag_hide-input", "tag_hide-output", "tag_hide-cell"}
SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[^\W\d_])")


@dataclass(frozen=True)
class Entry:
    """One entry: where it stands on the glossary's page, what its tooltip says."""

    anchor: str
    told: str


class Words:
    """All words of the glossary: ``pattern`` finds them, ``entries`` has one for each of its groups, ``code`` those in code."""

    def __init__(self, words: list[tuple[str, bool, Entry]], exceptions: dict[str, str]) -> None:
        """Of words, whether they are code, and their entries.

        Raises:
            ValueError: an exception is about no word.
        """
        if unknown := exceptions.keys() - {word for word, *_ in words}:
            raise ValueError(f"terms.yml has exceptions for what is no word of the glossary: {', '.join(sorted(unknown))}")
        self.code = {word: entry for word, literal, entry in words if literal}
        # the longest first: "phone texture" is no "texture"
        longest = sorted((one for one in words if not one[1]), key=lambda one: -len(one[0]))
        found = [(forms(word, exceptions), entry) for word, _, entry in longest]
        self.entries = [entry for _, entry in found]
        either = "|".join(f"({form})" for form, _ in found)
        self.pattern = re.compile(rf"(?<![\w⁺_./-])(?:{either})(?![\w⁺_+/]|-\w)" if found else r"(?!)")


def forms(word: str, exceptions: dict[str, str]) -> str:
    """A pattern without groups for all forms of a word."""
    if word in exceptions:
        return exceptions[word]
    first = f"[{word[0].upper()}{word[0]}]" if word[0].islower() and len(word) > 1 else re.escape(word[0])
    rest = r"\s+".join(re.escape(part) for part in word[1:].split(" "))
    if not word[-1].isalpha():
        return first + rest
    if re.search("[^aeiou]y$", word):
        return f"{first}{rest[:-1]}(?:y|ies)"
    return f"{first}{rest}(?:{'es' if re.search('(s|x|ch|sh)$', word) else 's'})?"


def words_of(glossary: nodes.document) -> list[tuple[str, bool, Entry]]:
    """Every word, whether it is code, and its entry; an entry may have several words."""
    found = []
    for item in glossary.findall(nodes.definition_list_item):
        definition = next(item.findall(nodes.definition))
        told = SENTENCE.split(" ".join(next(definition.findall(nodes.paragraph)).astext().split()))[0]
        terms = list(item.findall(nodes.term))
        anchors = [term["ids"][0] for term in terms]
        entry = Entry(next((one for one in anchors if not one[-1].isdigit()), anchors[0]), told)  # that of "W+" is a number
        found += [(term.astext().strip(), any(term.findall(nodes.literal)), entry) for term in terms]
    return found


def link_first_uses(document: nodes.document, words: Words, link: Callable[[Entry, nodes.Node], nodes.reference]) -> None:
    """Replace the first word of each entry on a page by what ``link`` makes of the entry and the text. In place."""
    used: set[Entry] = set()
    for node in list(open_text(document)):
        if isinstance(node, nodes.literal):
            entry = words.code.get(node.astext())
            if entry and entry not in used:
                used.add(entry)
                node.parent.replace(node, link(entry, node.deepcopy()))
            continue
        text, pieces, end = node.astext(), [], 0
        for match in words.pattern.finditer(text):
            entry = words.entries[(match.lastindex or 0) - 1]
            if entry not in used:
                used.add(entry)
                pieces += [nodes.Text(text[end : match.start()]), link(entry, nodes.Text(match[0]))]
                end = match.end()
        if pieces:
            node.parent.replace(node, [*pieces, nodes.Text(text[end:])])


def open_text(node: nodes.Node) -> Iterator[nodes.Text | nodes.literal]:
    """Texts and inline code where a link may be, in the order of the page."""
    if isinstance(node, (nodes.Text, nodes.literal)):
        yield node
    elif not isinstance(node, CLOSED) and not FOLDED & set(node.get("classes", ())) and not _cites(node):
        for child in node.children:
            yield from open_text(child)


def _cites(node: nodes.Element) -> bool:
    """Whether this is the section with the titles of cited works, whose words are their authors'."""
    return isinstance(node, nodes.section) and node[0].astext() == "References"


class FirstUses(SphinxPostTransform):
    """Make the links of a page, after all other links are made and what cells told is in its place."""

    default_priority = 700
    formats = ("html",)

    def run(self, **kwargs: Any) -> None:
        page, objects = self.env.docname, self.env.domains["std"].objects
        glossary = next((place for (kind, _), (place, _) in objects.items() if kind == "term"), "")
        if not glossary or page in PLAIN | {glossary}:
            return
        exceptions = Path(self.app.srcdir) / EXCEPTIONS
        wrong = yaml.safe_load(exceptions.read_text(encoding="utf-8")) if exceptions.exists() else {}
        words, builder = Words(words_of(self.env.get_doctree(glossary)), wrong), self.app.builder
        home = builder.get_relative_uri(page, glossary)

        def link(entry: Entry, text: nodes.Node) -> nodes.reference:
            address = f"{home}#{entry.anchor}"
            return nodes.reference("", "", text, internal=True, refuri=address, reftitle=entry.told, classes=["term"])

        link_first_uses(self.document, words, link)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_post_transform(FirstUses)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
