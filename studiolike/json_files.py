"""JSON that a user can hand in: read, or refused by a `ValueError`, whatever is in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def parse_json(text: str | bytes, **options: Any) -> Any:
    """What `json.loads` gives.

    Raises:
        ValueError: no JSON, or nested more deeply than Python reads, of which `json` makes a `RecursionError`.
    """
    try:
        return json.loads(text, **options)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file, UTF-8. Raises `OSError`; `ValueError` also where the file holds no object."""
    content = parse_json(path.read_text("utf-8"))
    if not isinstance(content, dict):
        raise ValueError("no object")
    return content
