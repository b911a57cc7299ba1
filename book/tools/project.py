"""What every tool of the book has to know: where things are, which chapters there are, where the project lives.

The address of the repository and the version are read from the project's own files, never repeated.
"""

from __future__ import annotations

import functools
import re
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"
BUILD = ROOT / "_build"
PROFILES = ("smoke", "cpu", "gpu", "paper")
# what a chapter's text may hold for the builder to fill in
RUN_BOX = "<!-- run box -->"
REFERENCES = "<!-- references -->"
RELEASED = ROOT / "book" / "released.json"  # results of the released run: released.py
FACTS = "site.json"  # beside the pages' sources: what the run that made them was
CLAIMS_BOX = "<!-- claims -->"
CHAPTER_NAME = re.compile(r"ch\d\d-[a-z0-9-]+")


class BookError(Exception):
    """Something in the book is not as it should be; the message says what and where."""


def tool(main: Callable[[list[str] | None], int]) -> Callable[..., int]:
    """A tool's ``main``, which says a `BookError` in one line and returns 1, without a traceback."""

    @functools.wraps(main)
    def run(arguments: list[str] | None = None) -> int:
        try:
            return main(arguments)
        except BookError as error:
            print(f"FAILED {error}", file=sys.stderr)
            return 1

    return run


@dataclass(frozen=True)
class Project:
    """Name, version and addresses of the project."""

    name: str
    version: str
    repository: str
    homepage: str

    @property
    def ref(self) -> str:
        """The branch or tag that badges open, notebooks install from and pictures are loaded from.

        A version under development (``0.2.0.dev0``) is what `main` holds; a final one has the tag of its name. So the
        notebooks of a release stay with that release, and those in between work without one.
        """
        return "main" if ".dev" in self.version else f"v{self.version}"

    @property
    def slug(self) -> str:
        """``owner/name`` on GitHub."""
        return self.repository.split("github.com/", 1)[1].rstrip("/")

    def raw(self, path: str) -> str:
        """Address of one file of the repository as it is, for pictures in notebooks opened elsewhere."""
        return f"https://raw.githubusercontent.com/{self.slug}/{self.ref}/{path}"

    def colab(self, notebook: str) -> str:
        """Address that opens a notebook of this repository in Colab."""
        return f"https://colab.research.google.com/github/{self.slug}/blob/{self.ref}/notebooks/{notebook}.ipynb"


def project(root: Path = ROOT) -> Project:
    """Read pyproject.toml."""
    table = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    return Project(table["name"], table["version"], table["urls"]["Repository"], table["urls"]["Homepage"])


def chapters(only: list[str] | None = None, folder: Path = NOTEBOOKS) -> list[Path]:
    """The chapters' text sources, in order; ``only`` keeps those whose names begin so (``ch03``).

    Raises:
        BookError: a name in ``only`` fits no chapter, or a file is not named like a chapter.
    """
    every = sorted(folder.glob("ch*.py"))
    for path in every:
        if not CHAPTER_NAME.fullmatch(path.stem):
            raise BookError(f"{path.name}: a chapter is named chNN-words-with-hyphens.py")
    chosen = []
    for start in only or [""]:
        found = [path for path in every if path.stem.startswith(start)]
        if start and not found:
            raise BookError(f"no chapter begins with '{start}'; there are: {', '.join(p.stem for p in every)}")
        chosen += [path for path in found if path not in chosen]
    return chosen
