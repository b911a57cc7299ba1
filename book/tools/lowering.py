"""From MyST Markdown to Markdown that every notebook viewer shows.

Chapters are written once, in MyST, for the book. Colab, JupyterLab and GitHub know nothing of its
directives (a fence that opens with a name in braces) and roles (a name in braces before backticks)
and would print them raw. Here they become plain Markdown: boxes become quotes with a bold title,
references become readable text, pictures become image links. What is not known here is an error,
so that nothing slips through.
"""

from __future__ import annotations

import re

from naming import DIRECTIVE, MATH_LABEL, TARGET, Names, closing, split_options
from project import CLAIMS_BOX, REFERENCES, RUN_BOX, BookError
from questions import read_choices

PLAIN_FENCE = re.compile(r"^ *(?P<marks>`{3,}|~{3,})(?!.*`)")
ROLE = re.compile(r"\{(?P<name>[a-zA-Z][a-zA-Z0-9:_-]*)\}(?P<ticks>`+)(?P<text>.+?)(?P=ticks)(?!`)", re.DOTALL)
WITH_TITLE = re.compile(r"^(?P<text>.*?)\s*<(?P<target>[^<>]+)>$", re.DOTALL)
LINK = re.compile(r"(?P<before>!?\[[^\]]*\]\()(?P<target>[^)\s]+)(?P<after>[^)]*\))")
INLINE_CODE = re.compile(r"(?<![`}])(`+)(?!`).*?(?<!`)\1(?!`)", re.DOTALL)

# the argument of these is the beginning of their text; the others' argument is a title
SPEAKING = {
    "note": "Note",
    "tip": "Tip",
    "hint": "Hint",
    "important": "Important",
    "warning": "Warning",
    "caution": "Caution",
    "attention": "Attention",
    "danger": "Danger",
    "error": "Error",
    "seealso": "See also",
    "margin": "",
    "epigraph": "",
    "pull-quote": "",
}
TITLED = {
    "admonition": "",
    "dropdown": "",
    "topic": "",
    "sidebar": "",
    "card": "",
    "tab-item": "",
    "grid-item-card": "",
    "exercise": "Exercise",
    "exercise-start": "Exercise",
}
WRAPPERS = {"grid", "grid-item", "tab-set", "div", "align"}
CODE = {"code", "code-block", "sourcecode"}
DROPPED = {"glue", "glue:figure", "index", "contents", "tableofcontents", "exercise-end", "solution-end"}
CODE_ROLES = {"code", "func", "class", "meth", "mod", "attr", "file", "command", "program", "kbd", "samp", "envvar"}


def lower(text: str, names: Names, chapter: str) -> str:
    """One Markdown cell of ``chapter``, as plain Markdown.

    Raises:
        BookError: a directive, role, label or citation key that is not known.
    """
    return _squeeze(_Lowering(names, chapter).block(text.splitlines()))


def _squeeze(lines: list[str]) -> str:
    """No empty lines at the ends, never two in a row outside of code."""
    kept: list[str] = []
    inside = False
    for line in lines:
        inside ^= bool(PLAIN_FENCE.match(line.lstrip("> ")))
        if line.strip() in ("", ">") and not inside and (not kept or kept[-1].strip() == line.strip()):
            continue
        kept.append(line.rstrip())
    return "\n".join(kept).strip("\n")


class _Lowering:
    def __init__(self, names: Names, chapter: str) -> None:
        self.names, self.chapter, self.place = names, chapter, f"notebooks/{chapter}.py"

    def fail(self, what: str) -> BookError:
        return BookError(f"{self.place}: {what}")

    # --- blocks

    def block(self, lines: list[str]) -> list[str]:
        """Lower a run of lines; directives inside directives are handled by calling this again."""
        out: list[str] = []
        text: list[str] = []

        def flush() -> None:
            if text:
                out.extend(self.inline("\n".join(text)).split("\n"))
                text.clear()

        index = 0
        while index < len(lines):
            line = lines[index]
            if found := DIRECTIVE.match(line):
                flush()
                end = closing(lines, index, found["marks"], self.place)
                out += ["", *self.directive(found["name"], found["argument"], lines[index + 1 : end]), ""]
                index = end + 1
            elif found := PLAIN_FENCE.match(line):
                flush()
                end = closing(lines, index, found["marks"], self.place)
                out += lines[index : end + 1]
                index = end + 1
            elif line.strip().startswith("$$"):
                flush()
                end = index
                while not (lines[end].count("$$") == 2 or (end > index and "$$" in lines[end])):
                    end += 1
                    if end == len(lines):
                        raise self.fail(f"a formula is opened and never closed: {line}")
                out += self.formula(lines[index : end + 1])
                index = end + 1
            elif line.strip() == CLAIMS_BOX:  # verdicts are computed when the book is built
                text.append("The verdicts on this chapter's claims stand in [the claim ledger](../ledger.md).")
                index += 1
            elif line.strip() == REFERENCES:
                flush()
                out += self.names.references(self.chapter)
                index += 1
            else:
                if not TARGET.match(line) and not line.startswith("%") and line.strip() not in ("+++", RUN_BOX):
                    text.append(line)
                index += 1
        flush()
        return out

    def formula(self, lines: list[str]) -> list[str]:
        found = MATH_LABEL.search(lines[-1])
        if not found:
            return lines
        body = "\n".join(lines)[: -len(found.group())].strip().removeprefix("$$").strip()
        return self.numbered(body, found["label"])

    def numbered(self, body: str, label: str | None) -> list[str]:
        tag = f" \\tag{{{self.names.equations[label]}}}" if label else ""
        return ["$$", *(body + tag).splitlines(), "$$"]

    def directive(self, name: str, argument: str, body: list[str]) -> list[str]:
        options, rest = split_options(body)
        while rest and not rest[0].strip():
            rest = rest[1:]
        if name == "math":
            return self.numbered("\n".join([argument, *rest]).strip(), options.get("label"))
        if name in ("figure", "image"):
            alt = options.get("alt", "")
            picture = f"![{alt}]({self.address(argument)})"
            return [picture, "", *self.block(rest)] if rest else [picture]
        if name in CODE:
            return [f"```{argument}", *rest, "```"]
        if name in SPEAKING:
            return self.quote(SPEAKING[name], self.block(([argument] if argument else []) + rest))
        if name in ("solution", "solution-start"):
            return self.folded(f"Solution: {self.names.titles.get(argument, argument)}", self.block(rest))
        if name == "predict":
            return self.question(argument, rest)
        if name in TITLED:
            title = ". ".join(part for part in (TITLED[name], self.inline(argument)) if part)
            folded = name == "dropdown" or "dropdown" in options.get("class", "")
            return (self.folded if folded else self.quote)(title, self.block(rest))
        if name in WRAPPERS:
            return self.block(rest)
        if name == "table":
            return [f"**{self.inline(argument)}**", "", *self.block(rest)] if argument else self.block(rest)
        if name == "list-table":
            return self.list_table(argument, rest)
        if name == "raw":
            return rest if argument == "html" else []
        if name in DROPPED:
            return []
        raise self.fail(f"the directive '{name}' has no plain form; see book/tools/lowering.py for those that have")

    def question(self, title: str, lines: list[str]) -> list[str]:
        """A predict-first question: its choices to look at, its answer folded below them."""
        try:
            choices, answer = read_choices(lines)
        except ValueError as wrong:
            raise self.fail(f"'{title}': {wrong}") from None
        asked = self.quote(self.inline(title), [f"- {self.inline(choice.text)}" for choice in choices])
        right = next(self.inline(choice.text) for choice in choices if choice.right)
        return [*asked, "", *self.folded("Answer", [f"*{right}*", "", *self.block(answer)])]

    @staticmethod
    def quote(title: str, lines: list[str]) -> list[str]:
        body = _squeeze(lines).splitlines()
        head = [f"**{title}**", *([""] if body else [])] if title else []
        return [f"> {line}".rstrip() for line in [*head, *body]]

    @staticmethod
    def folded(title: str, lines: list[str]) -> list[str]:
        return [f"<details><summary><b>{title}</b></summary>", "", *_squeeze(lines).splitlines(), "", "</details>"]

    def list_table(self, title: str, lines: list[str]) -> list[str]:
        rows: list[list[str]] = []
        for line in lines:
            if line.startswith("* - "):
                rows.append([line[4:].strip()])
            elif line.startswith("  - ") or line.strip() == "-":
                rows[-1].append(line.strip().removeprefix("-").strip())
            elif line.strip() and rows:
                rows[-1][-1] += " " + line.strip()
        if not rows:
            raise self.fail("a list-table without rows")
        lines = ["| " + " | ".join(self.inline(cell) for cell in row) + " |" for row in rows]
        head = [f"**{self.inline(title)}**", ""] if title else []
        return [*head, lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]]

    # --- inside a line

    def inline(self, text: str) -> str:
        """Roles and local links in running text; inline code is left alone."""
        saved: list[str] = []

        def keep(found: re.Match[str]) -> str:
            saved.append(found.group())
            return f"\0{len(saved) - 1}\0"

        text = ROLE.sub(lambda found: self.role(found["name"], found["text"].strip()).replace("`", "\1"), text)
        text = INLINE_CODE.sub(keep, text)
        text = LINK.sub(lambda found: found["before"] + self.address(found["target"]) + found["after"], text)
        return re.sub("\0(\\d+)\0", lambda found: saved[int(found[1])], text).replace("\1", "`")

    def address(self, target: str) -> str:
        """A path inside the book, as an address that works from anywhere."""
        if re.match(r"[a-z]+:|#|//", target):
            return target
        path = re.sub(r"^(\.\./|\./)+", "", target)
        if path.startswith("_static/"):
            return self.names.project.raw(f"book/{path}")
        page, _, anchor = path.partition("#")
        page = re.sub(r"\.(md|ipynb|py|html)$", "", page)
        folder = "notebooks/" if page in self.names.titles and "/" not in page else ""
        return f"{self.names.project.homepage}{folder}{page}.html" + (f"#{anchor}" if anchor else "")

    def role(self, name: str, text: str) -> str:
        if name == "math":
            return f"${text}$"
        if name == "eq":
            if text not in self.names.equations:
                raise self.fail(f"no equation is called '{text}'")
            return f"({self.names.equations[text]})" + self.elsewhere(text)
        if name == "cite" or name.startswith("cite:"):
            return self.citation(name, [key.strip() for key in text.split(",")])
        if name in ("ref", "numref", "doc", "term"):
            return self.reference(name, text)
        if name == "glue" or name.startswith("glue:"):
            return self.result(*text.rpartition("::")[2].partition(":")[::2])
        if name.split(":")[-1] in CODE_ROLES:
            return f"`{text.removeprefix('~')}`"
        if name in ("sub", "sup"):
            return f"<{name}>{text}</{name}>"
        if name == "abbr":
            return text
        raise self.fail(f"the role '{name}' has no plain form; see book/tools/lowering.py for those that have")

    def result(self, name: str, form: str) -> str:
        """What the released run had, in italics (the notebook's head says so); without one, where to find one's own."""
        if name not in self.names.values:
            return f"*(your run's* `{name}`*)*"
        value = self.names.values[name]
        try:
            return f"*{value:{form}}*"
        except ValueError as error:
            raise self.fail(f"the released run's {name} is {value!r}, which the text wants as '{form}'") from error

    def elsewhere(self, label: str) -> str:
        home = self.names.homes.get(label, self.chapter)
        return "" if home == self.chapter else f" of [{self.names.titles[home]}]({self.address(home)})"

    def reference(self, name: str, text: str) -> str:
        titled = WITH_TITLE.match(text)
        target = titled["target"] if titled else text
        if name == "term":
            return titled["text"] if titled else text
        if name == "doc":
            page = re.sub(r"^[./]+(notebooks/)?", "", target)
            return f"[{titled['text'] if titled else self.names.titles.get(page, page)}]({self.address(page)})"
        if target not in self.names.titles and re.fullmatch(r"ch\d\d", target):
            return titled["text"] if titled else f"chapter {int(target[2:])}"  # not written yet; the book checks it
        if target not in self.names.titles:
            raise self.fail(f"nothing is called '{target}'")
        shown = titled["text"] if titled else self.names.titles[target]
        home = self.names.homes.get(target, self.chapter)
        return shown if home == self.chapter else f"[{shown}]({self.address(home)}#{target})"

    def citation(self, name: str, keys: list[str]) -> str:
        for key in keys:
            if key not in self.names.years:
                raise self.fail(f"'{key}' is not in book/references.bib")
        if name in ("cite:t", "cite:ts"):
            return ", ".join(f"{self.names.authors[key]} ({self.names.years[key]})" for key in keys)
        inner = "; ".join(f"{self.names.authors[key]}, {self.names.years[key]}" for key in keys)
        return inner if name in ("cite:alp", "cite:alps") else f"({inner})"
