"""How a chapter's code is shown on a page: without its bookkeeping, and in lines that fit.

What ran is the committed notebook; here only the page's copy is changed. Lines that merely name a result for the text
(``notebook.glue``, ``notebook.tell``, and the dictionary ``facts`` that is filled for it) are left out, captions, which stand
below their figures, begin only, set-up and the drawing of figures wait behind a click, and code is laid out again at the width
of a page. A cell tagged ``show-input`` is always open. The library's own code is shown without the lists of its arguments, which
the page "Reference" has, and waits behind a click where it is long.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tempfile
import textwrap
import tokenize
from io import StringIO
from pathlib import Path
from typing import Any

WIDTH = 88  # characters of a line of code that fit beside the side bars at 1440 pixels
LONG_DRAWING = 12  # lines of drawing that a reader may skip without losing the thread
LONG_SOURCE = 40  # lines of the library's code that a page shows without being asked
CAPTION = 40  # characters of a caption that are left of it in code
CAPTIONED = {"figures.show", "interactive.before_after", "interactive.page", "interactive.image_slider"}
FENCE = re.compile(r"```python\n(?P<code>.*?)\n```", re.DOTALL)
SOURCE = re.compile(r"\A`(?P<name>[\w.]+)`\n\n```python\n(?P<code>.*?)\n```\Z", re.DOTALL)  # as `notebook.source` shows it
SECTION = re.compile(r"^\s*(Args|Returns|Yields|Raises|Attributes):\s*$", re.MULTILINE)
OWN_CHOICE = {"hide-input", "remove-input", "remove-cell", "hide-cell", "show-input"}


def without_glue(code: str) -> str:
    """The code without the statements that only give a result a name for the text, and the loops that only do that."""
    try:
        tree = ast.parse(code)
    except SyntaxError:  # a magic command
        return code
    dropped: list[tuple[int, int]] = []
    starts = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.stmt)]

    def only_glue(statement: ast.stmt) -> bool:
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
            told = ast.unparse(statement.value.func)
            return told in ("notebook.glue", "glue") or (told == "notebook.tell" and shows(statement) is None)
        if isinstance(statement, (ast.Assign, ast.AugAssign)):
            target = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
            return ast.unparse(target).split("[")[0] == "facts"
        if isinstance(statement, (ast.For, ast.With, ast.If)) and not getattr(statement, "orelse", []):
            return all(only_glue(inner) for inner in statement.body)
        return False

    def shows(statement: ast.stmt) -> ast.expr | None:
        """The call that draws a figure or a table and whose numbers are told: ``notebook.tell("ch04", shown.readings(x))``."""
        if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call) and len(statement.value.args) == 2):
            return None
        value = statement.value.args[1]
        drawn = isinstance(value, ast.Call) and ast.unparse(value.func).startswith("shown.")
        return value if drawn and ast.unparse(statement.value.func) == "notebook.tell" else None

    kept_calls: dict[int, str] = {}  # first line of a statement -> what stands in its place

    def visit(body: list[ast.stmt]) -> None:
        for statement in body:
            if (drawing := shows(statement)) is not None and starts.count(statement.lineno) == 1:
                indent = " " * statement.col_offset
                kept_calls[statement.lineno] = indent + (ast.get_source_segment(code, drawing) or "")
                dropped.append((statement.lineno + 1, statement.end_lineno or statement.lineno))
            elif only_glue(statement):
                if starts.count(statement.lineno) == 1 or not isinstance(statement, ast.Expr):
                    dropped.append((statement.lineno, statement.end_lineno or statement.lineno))
            else:
                for inner in ("body", "orelse", "finalbody"):
                    visit(getattr(statement, inner, []) if not isinstance(statement, ast.FunctionDef) else [])

    visit(tree.body)
    if not dropped:
        return code
    lines = [kept_calls.get(number, line) for number, line in enumerate(code.splitlines(), 1)]
    gone = {number for first, last in dropped for number in range(first, last + 1)}
    kept = [line for number, line in enumerate(lines, 1) if number not in gone]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip("\n")


def _replaced(code: str, changes: list[tuple[ast.expr, str]]) -> str:
    """The code with other text in place of some of its expressions."""
    lines = [line.encode() for line in code.splitlines()]  # ast counts bytes
    for node, text in sorted(changes, key=lambda change: (change[0].lineno, change[0].col_offset), reverse=True):
        first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
        lines[first : last + 1] = [lines[first][: node.col_offset] + text.encode() + lines[last][node.end_col_offset :]]
    return "\n".join(line.decode() for line in lines)


def with_short_captions(code: str) -> str:
    """The code whose captions end after a few words: the page has all of them below the figures."""
    try:
        tree = ast.parse(code)
    except SyntaxError:  # a magic command
        return code
    changes: list[tuple[ast.expr, str]] = []
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and ast.unparse(call.func) in CAPTIONED:
            for text in call.args:
                if isinstance(text, ast.Constant) and isinstance(text.value, str) and len(text.value) > CAPTION + 20:
                    changes.append(
                        (text, json.dumps(textwrap.shorten(text.value, CAPTION, placeholder=" …"), ensure_ascii=False))
                    )
    return _replaced(code, changes)


def without_lists(code: str) -> str:
    """The library's code whose docstrings end where their lists of arguments, results and errors begin."""
    try:
        tree = ast.parse(code)
    except SyntaxError:
        return code
    changes: list[tuple[ast.expr, str]] = []
    for node in ast.walk(tree):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) or not ast.get_docstring(node):
            continue
        text = node.body[0].value  # type: ignore[attr-defined]
        source = ast.get_source_segment(code, text) or ""
        if (found := SECTION.search(text.value)) and "\\" not in source:  # so both count the same characters
            changes.append((text, source[: found.start() - len(text.value) - 3].rstrip() + '"""'))
    return _replaced(code, changes)


def _says_nothing(code: str) -> bool:
    return not any(line.strip() and not line.lstrip().startswith("#") for line in code.splitlines())


def tidy_cells(cells: list[dict[str, Any]]) -> None:
    """Leave out the bookkeeping of a chapter's cells and fold what is not its subject. In place."""
    begun = False  # set-up ends where the first section after the parameters begins
    first = next((place for place, cell in enumerate(cells) if "parameters" in cell["metadata"].get("tags", [])), -1)
    for place, cell in enumerate(cells):
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            begun = begun or (place > first and bool(re.search(r"^## ", text, re.MULTILINE)))
            continue
        tags = cell["metadata"].setdefault("tags", [])
        if OWN_CHOICE.isdisjoint(tags):
            if "parameters" in tags:
                tags.append("remove-input")
            elif not begun:
                _fold(cell, "Show the imports and the set-up")
            elif re.search(r"\b(figures|interactive)\.", text) and text.count("\n") >= LONG_DRAWING:
                _fold(cell, "Show the code of what follows")
        elif "hide-input" in tags:
            _fold(cell, "Show the code of what follows" if begun else "Show the imports and the set-up")
        if "hide-output" in tags:
            cell["metadata"].setdefault("mystnb", {}).setdefault("code_prompt_show", "Show the library's code")
        shown = with_short_captions(without_glue(text))
        if shown != text:
            cell["source"] = shown
            if _says_nothing(shown):
                tags[:] = [tag for tag in tags if tag != "hide-input"] + ["remove-input"]


def _fold(cell: dict[str, Any], prompt: str) -> None:
    tags = cell["metadata"]["tags"]
    if "hide-input" not in tags:
        tags.append("hide-input")
    cell["metadata"].setdefault("mystnb", {}).setdefault("code_prompt_show", prompt)


# --- lines that fit


def fit(pieces: list[str]) -> list[str]:
    """Python code laid out in lines of at most `WIDTH` characters: by ruff, then comments and docstrings, which ruff
    leaves as they are. What does not parse comes back unchanged, and so does a string that is one long line."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number}.py" for number in range(len(pieces))]
        for path, piece in zip(paths, pieces, strict=True):
            path.write_text(piece + "\n", encoding="utf-8")
        command = ["-m", "ruff", "format", "--isolated", "--quiet", "--no-cache", "--line-length", str(WIDTH), folder]
        subprocess.run([sys.executable, *command], stderr=subprocess.DEVNULL)  # one that does not parse is left alone
        return [_wrap_texts(path.read_text(encoding="utf-8").rstrip("\n")) for path in paths]


def _wrap_texts(code: str) -> str:
    if max(map(len, code.splitlines()), default=0) <= WIDTH:
        return code
    try:
        tokens = list(tokenize.generate_tokens(StringIO(code).readline))
    except (tokenize.TokenError, SyntaxError):
        return code
    lines = code.splitlines()
    docstrings = [
        (token.start[0], token.end[0])
        for before, token in zip([None, *tokens], tokens, strict=False)
        if token.type == tokenize.STRING and (before is None or before.type in (tokenize.INDENT, tokenize.NEWLINE))
    ]
    comments = {token.start[0]: token.start[1] for token in tokens if token.type == tokenize.COMMENT}
    out: list[str] = []
    number = 1
    while number <= len(lines):
        line = lines[number - 1]
        end = next((last for first, last in docstrings if first == number), 0)
        if end:
            out += _reflowed(lines[number - 1 : end])
            number = end
        elif len(line) > WIDTH and number in comments:  # a remark at the end of a line goes above it
            column, indent = comments[number], line[: len(line) - len(line.lstrip())]
            out += _wrapped(line[column:].lstrip("# "), indent + "# ", indent + "# ")
            out += [line[:column].rstrip()] if line[:column].strip() else []
        else:
            out.append(line)
        number += 1
    return "\n".join(out)


ENTRY = re.compile(r"\s*([\w*]+(, [\w*]+)*: |- |\d+\. )")  # "name: what it is", or an item of a list


def _reflowed(lines: list[str]) -> list[str]:
    """A docstring whose paragraphs that are too wide are filled anew; an entry keeps its hanging lines."""
    groups: list[list[str]] = []
    for line in lines:
        indent = len(line) - len(line.lstrip())
        before = groups[-1] if groups else [""]
        start = len(before[0]) - len(before[0].lstrip())
        hanging = ENTRY.match(before[0]) and indent > start
        if before[0].strip() and line.strip() and not ENTRY.match(line) and (indent == start or hanging):
            before.append(line)
        else:
            groups.append([line])
    out: list[str] = []
    for group in groups:
        if max(map(len, group)) <= WIDTH:
            out += group
            continue
        indent = group[0][: len(group[0]) - len(group[0].lstrip())]
        text = " ".join(line.strip() for line in group)
        out += _wrapped(text, indent, indent + ("    " if ENTRY.match(group[0]) else ""))
    return out


def _wrapped(text: str, first: str, later: str) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=first, subsequent_indent=later, break_long_words=False, break_on_hyphens=False
    )


def fit_notebook(cells: list[dict[str, Any]]) -> None:
    """Lay out the code of all cells, and the library's code that cells show, at the width of a page. In place."""
    places: list[tuple[dict[str, Any], str]] = []  # (holder, key), for code of its own
    fenced: list[tuple[dict[str, Any], str]] = []
    for cell in cells:
        if cell["cell_type"] == "code":
            places.append((cell, "source"))
            for output in cell["outputs"]:
                if "text/markdown" in output.get("data", {}):
                    fenced.append((output["data"], "text/markdown"))
    for holder, key in fenced:
        holder[key] = FENCE.sub(lambda found: f"```python\n{without_lists(found['code'])}\n```", "".join(holder[key]))
    inner = [found["code"] for holder, key in fenced for found in FENCE.finditer("".join(holder[key]))]
    fitted = iter(fit(["".join(holder[key]) for holder, key in places] + inner))
    for holder, key in places:
        holder[key] = next(fitted)
    for holder, key in fenced:
        holder[key] = _folded(FENCE.sub(lambda _: f"```python\n{next(fitted)}\n```", "".join(holder[key])))


def _folded(text: str) -> str:
    """What `notebook.source` shows, behind a click if it is long."""
    found = SOURCE.match(text.strip())
    if not found or found["code"].count("\n") < LONG_SOURCE:
        return text
    # print has no clicks: there the name and the code remain
    summary = f"<summary>Show its {found['code'].count(chr(10)) + 1} lines</summary>"
    code = f"```python\n{found['code']}\n```"
    return f'`{found["name"]}`\n\n<details class="long-source">{summary}\n\n{code}\n\n</details>\n'
