"""The page "Reference": what every room of the package offers, from its source.

A room's ``__all__`` is its public side; the page shows each name's signature and docstring. The source is read, not
imported, so the page needs neither torch nor a second run of Sphinx over docstrings.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

from project import ROOT, BookError

PACKAGE = ROOT / "studiolike"
# from what a user calls first to what every room stands on
MODULES = ("pipeline", "chain", "weights", "config", "protocols", "layout", "io", "image", "device", "errors")
ROOMS = ("capture", "synth", "sets", "stylegan2", "inversion", "adaptation", "tone", "detail", "avatar", "evaluation", "features")
WIDTH = 88  # characters of code that a page shows without a scroll bar
SECTIONS = {"Args": "Takes", "Returns": "Returns", "Yields": "Yields", "Raises": "Raises", "Attributes": "Holds"}
Documented = ast.FunctionDef | ast.ClassDef


def reference() -> str:
    """The page, in MyST Markdown."""
    parts = [
        "(reference)=\n# Reference\n\nWhat you can import, made from the docstrings. A texture is a float32 tensor "
        "`(B, 3, H, W)` in [0, 1], sRGB, in the head layout, unless it says otherwise.\n"
    ]
    for name in (*MODULES, *ROOMS):
        path = PACKAGE / name / "__init__.py" if name in ROOMS else PACKAGE / f"{name}.py"
        tree = ast.parse(path.read_text(encoding="utf-8"))
        parts.append(f"## studiolike.{name}\n\n{markdown(ast.get_docstring(tree) or '')}")
        public = offered(path, tree) if name in ROOMS else defined(tree)
        for node in public:
            parts.append(entry(node))
    return "\n".join(parts)


def defined(tree: ast.Module) -> Iterator[Documented]:
    """Public functions and classes of a module, in its own order."""
    for node in tree.body:
        if isinstance(node, Documented) and not node.name.startswith("_"):
            yield node


def offered(path: Path, tree: ast.Module) -> Iterator[Documented]:
    """Functions and classes in a room's ``__all__``, in the order in which it imports them."""
    for imported in tree.body:
        if isinstance(imported, ast.ImportFrom):
            for alias in imported.names:
                node = found(path, alias.name)
                if node is not None:
                    yield node


def found(path: Path, name: str) -> Documented | None:
    """Where a name that a file defines or imports from a file beside it is defined; None for a constant."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in defined(tree):
        if node.name == name:
            return node
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.level and name in (alias.name for alias in node.names):
            source = path.parents[node.level - 1] / ((node.module or "").replace(".", "/") + ".py")
            return found(source if source.is_file() else source.with_suffix("") / "__init__.py", name)
    return None


def entry(node: Documented) -> str:
    """Heading, signature and docstring of one name. Raises `BookError`: it has no docstring."""
    text = ast.get_docstring(node)
    if not text:
        raise BookError(f"{node.name} is public and has no docstring")
    lines = [f"### {node.name}\n", "```python", signature(node), "```\n", markdown(text)]
    if isinstance(node, ast.ClassDef):
        for method in node.body:
            if isinstance(method, ast.FunctionDef) and not method.name.startswith("_") and (told := ast.get_docstring(method)):
                lines += ["```python", signature(method), "```\n", markdown(told)]
    return "\n".join(lines)


def signature(node: Documented) -> str:
    """How a name is called, in lines that fit a page; a data class shows its fields."""
    if isinstance(node, ast.FunctionDef):
        returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
        return _called(f"def {node.name}", node.args, returns)
    bases = ", ".join(ast.unparse(base) for base in node.bases)
    head = f"class {node.name}" + (f"({bases})" if bases else "")
    fields = [ast.unparse(line) for line in node.body if isinstance(line, ast.AnnAssign) and ast.unparse(line.target)[0] != "_"]
    start = next((n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None)
    if start is not None:
        return head + "\n" + textwrap.indent(_called("def __init__", start.args, ""), "    ")
    return head + "".join(f"\n    {field}" for field in fields)


def _called(head: str, arguments: ast.arguments, returns: str) -> str:
    line = f"{head}({ast.unparse(arguments)}){returns}"
    if len(line) <= WIDTH:
        return line
    # a comma between arguments is one outside of every bracket and quotation
    parts, depth, part, quoted = [], 0, "", ""
    for character in ast.unparse(arguments):
        if character in "\"'":
            quoted = "" if quoted == character else quoted or character
        depth += (character in "([{") - (character in ")]}") if not quoted else 0
        if character == "," and not depth and not quoted:
            parts.append(part.strip())
            part = ""
        else:
            part += character
    inside = "".join(f"\n    {p}," for p in [*parts, part.strip()])
    return f"{head}({inside}\n){returns}"


def markdown(text: str) -> str:
    """A docstring as Markdown: prose as it is, its sections as lists."""
    blocks, lines = [], text.splitlines()
    prose: list[str] = []
    while lines:
        line = lines.pop(0)
        title = line.rstrip(":") if line.endswith(":") and line.rstrip(":") in SECTIONS else None
        if title is None:
            prose.append(line)
            continue
        body = []
        while lines and (not lines[0].strip() or lines[0].startswith(" ")):
            body.append(lines.pop(0))
        blocks += [_escaped("\n".join(prose)), f"**{SECTIONS[title]}**\n\n" + _items(textwrap.dedent("\n".join(body)))]
        prose = []
    return "\n\n".join(block.strip("\n") for block in [*blocks, _escaped("\n".join(prose))] if block.strip()) + "\n"


def _items(body: str) -> str:
    """Entries ``name: text`` as a list; text that names nothing as a paragraph."""
    items: list[str] = []
    entries = re.sub(r"(?<=[.\w`)]\.) (?=\w+(?:, \w+)*: )", "\n", body)  # two on one line
    for line in entries.splitlines():
        named = re.match(r"(\*{0,2}\w[\w.]*(?:, \w+)*): (.*)", line)
        if named:
            items.append(f"- `{named[1]}`: {_escaped(named[2])}")
        elif items and line.strip():
            items[-1] += " " + _escaped(line.strip())
        elif line.strip():
            items.append(_escaped(line.strip()))
    return "\n".join(items)


def _escaped(text: str) -> str:
    """Outside of code, nothing of Markdown but paragraphs."""
    parts = re.split(r"(``[^`]+``|`[^`]+`|^ {4}.*$)", text, flags=re.MULTILINE)
    return "".join(part if k % 2 else re.sub(r"([<\[\]*_${}#])", r"\\\1", part) for k, part in enumerate(parts))
