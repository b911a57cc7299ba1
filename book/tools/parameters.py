"""The parameters of a chapter: the names and defaults in its cell tagged ``parameters``, and what a run gives instead."""

from __future__ import annotations

import ast
from typing import Any

from project import BookError


def parameters_of(notebook: dict[str, Any], name: str) -> dict[str, Any]:
    """Names and default values in the cell tagged ``parameters``.

    Raises:
        BookError: there is no such cell, or more than one, or it holds more than ``name = literal`` lines.
    """
    cells = [cell for cell in notebook["cells"] if "parameters" in cell["metadata"].get("tags", [])]
    if len(cells) != 1:
        raise BookError(f"{name}: exactly one cell must be tagged 'parameters', there are {len(cells)}")
    found = {}
    for statement in ast.parse("".join(cells[0]["source"])).body:
        try:
            if isinstance(statement, ast.AnnAssign):
                target, value = statement.target, ast.literal_eval(statement.value)
            else:
                (target,), value = statement.targets, ast.literal_eval(statement.value)
            found[target.id] = value
        except (AttributeError, ValueError, TypeError):
            raise BookError(f"{name}: the parameters cell may hold only lines of the form name = literal") from None
    return found


def check_parameters(notebook: dict[str, Any], name: str, given: dict[str, Any]) -> None:
    """Every given parameter must exist in the chapter.

    Raises:
        BookError: one does not.
    """
    known = parameters_of(notebook, name)
    for unknown in sorted(set(given) - set(known)):
        raise BookError(f"{name}: there is no parameter '{unknown}'; it has: {', '.join(known) or 'none'}")


def parameter(text: str) -> tuple[str, Any]:
    """``NAME=VALUE`` of a command line; a value that is no literal is a text."""
    name, _, value = text.partition("=")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value
