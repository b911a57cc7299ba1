"""Checks on the rendered pages that Sphinx does not make: they load nothing from elsewhere, pictures have texts,
headings go down one step at a time, links inside the site lead somewhere; and the place for their screenshots."""

from __future__ import annotations

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

SHOT = re.compile(r"(?P<page>.+)-\d+-(light|dark)")  # a screenshot's name: page, width, theme
SYSTEM = {"genindex.html", "search.html", "py-modindex.html"}
CSS_URL = re.compile(r"url\(\s*['\"]?(https?:)?//|@import\s+['\"]?(https?:)?//")


class Page(HTMLParser):
    """What a check needs to know of one page."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.without_text: list[str] = []
        self.headings: list[int] = []
        self.links: list[str] = []
        self.names: set[str] = set()
        self.article = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {key: value or "" for key, value in attrs}
        if name := given.get("id") or given.get("name"):
            self.names.add(name)
        if tag == "article":
            self.article += 1
        if tag in ("script", "img", "iframe", "video", "audio", "source", "embed"):
            self.loads.append(given.get("src", ""))
        if tag == "link" and given.get("rel") in ("stylesheet", "preload", "modulepreload", "icon", "shortcut icon"):
            self.loads.append(given.get("href", ""))
        if tag == "a":
            self.links.append(given.get("href", ""))
        if self.article:
            if tag == "img":
                text, address = given.get("alt", "").strip(), given.get("src", "")
                if not text or text == address or text.startswith(("_images/", "../_images/")):
                    self.without_text.append(address[:80])
            if re.fullmatch("h[1-6]", tag):
                self.headings.append(int(tag[1]))

    def handle_endtag(self, tag: str) -> None:
        if tag == "article":
            self.article -= 1


def read_pages(site: Path) -> dict[Path, Page]:
    """Parse every page of the site."""
    pages = {}
    for path in sorted(site.rglob("*.html")):
        if "_static" not in path.relative_to(site).parts:
            pages[path] = Page()
            pages[path].feed(path.read_text(encoding="utf-8"))
    return pages


RAW_ROLE = re.compile(r"(\{(?:glue:text|cite|ref|eq|numref)\}`?)")


def problems(site: Path) -> list[str]:
    """One line for each thing that is wrong; empty if all is well."""
    found, pages = [], read_pages(site)
    for path, page in pages.items():
        name = path.relative_to(site).as_posix()
        found += [f"{name}: loads {address} from elsewhere" for address in page.loads if re.match(r"(https?:)?//", address)]
        if name in SYSTEM:
            continue
        found += [f"{name}: a picture has no text: {address}" for address in page.without_text]
        # a role inside other backticks is no role; comments of cells may speak of one
        found += [f"{name}: raw markup reaches the reader: {role}" for role in RAW_ROLE.findall(path.read_text(encoding="utf-8"))]
        found += [
            f"{name}: a heading jumps from level {above} to {below}"
            for above, below in zip([0, *page.headings], page.headings, strict=False)
            if below > above + 1
        ]
        for address in page.links:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc or not parts.path:
                continue
            target = (path.parent / unquote(parts.path)).resolve()
            if not target.exists():
                found.append(f"{name}: a link leads nowhere: {address}")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].names:
                found.append(f"{name}: a link leads to a place that is not on its page: {address}")
    for path in sorted(site.rglob("*.css")):
        if CSS_URL.search(path.read_text(encoding="utf-8", errors="replace")):
            found.append(f"{path.relative_to(site).as_posix()}: loads something from elsewhere")
    return found


def make_room(folder: Path, names: list[str], everything: bool) -> None:
    """Delete the old screenshots of the pages that are opened now, so that none is taken for a new one; others stay."""
    if everything:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    opened = {name.replace("/", "-") for name in names}
    for path in list(folder.iterdir()):
        if (shot := SHOT.match(path.name)) and shot["page"] in opened:
            path.unlink()
