"""Who imports whom: one direction, no circle, and nothing that only chapters need inside a stage."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "studiolike"


def modules(root):
    """Dotted name → file of every module of the package below ``root``."""
    names = {}
    for path in sorted((root / PACKAGE).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


def imports(name, path, known):
    """What a module imports from the package, wherever the statement stands, except for the eyes of a type checker."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    unread = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            unread.update(inner for statement in node.body for inner in ast.walk(statement))
    found = set()
    for node in set(ast.walk(tree)) - unread:
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
            base = parts[: len(parts) - node.level + 1] if node.level else []
            source = ".".join(base + (node.module.split(".") if node.module else []))
            for alias in node.names:
                inner = f"{source}.{alias.name}"
                found.add(inner if inner in known else source)
    found &= known.keys()
    rooms = {other.rpartition(".")[0] for other in found}  # to import a module runs its room's __init__ first
    return {other for other in found | (rooms & known.keys()) if other != name and not name.startswith(other + ".")}


def graph(root):
    known = modules(root)
    return {name: imports(name, path, known) for name, path in known.items()}


def circle(edges):
    try:
        list(TopologicalSorter(edges).static_order())
    except CycleError as error:
        return " → ".join(reversed(error.args[1]))
    return None


def test_no_module_imports_itself_through_others():
    edges = graph(ROOT)
    assert len(edges) > 60 and sum(map(len, edges.values())) > 150
    assert circle(edges) is None


def test_no_room_reaches_back():
    rooms = {}
    for name, others in graph(ROOT).items():
        room = ".".join(name.split(".")[:2])
        rooms.setdefault(room, set()).update({".".join(other.split(".")[:2]) for other in others} - {room, PACKAGE})
    assert circle(rooms) is None


def test_no_stage_needs_what_is_the_chapters():
    users = {name for name, others in graph(ROOT).items() if any(other.startswith(f"{PACKAGE}.chapters") for other in others)}
    assert all(name.startswith(f"{PACKAGE}.chapters") for name in users)


def test_a_circle_through_functions_and_rooms_is_found(tmp_path):
    for name, text in {
        "__init__": "",
        "a": "def f():\n    from .room.b import g",
        "room/__init__": "from .b import g",
        "room/b": "from .. import c",
        "c": "import studiolike.a",
        "d": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .e import x",
        "e": "from .d import y",
    }.items():
        path = tmp_path / PACKAGE / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    edges = graph(tmp_path)
    assert edges["studiolike.d"] == set() and edges["studiolike.room"] == {"studiolike.room.b"}
    assert set(circle(edges).split(" → ")) >= {"studiolike.a", "studiolike.c", "studiolike.room.b"}
