"""Open every page of the built book in Chromium, with the network off, and use it as a reader would.

    python book/tools/browse.py [--pages ch04 index] [--whole]

On a wide screen and on a phone: no error in the console, nothing loaded from elsewhere, every picture there, formulas
drawn, no page wider than its screen, nothing cut on a phone or too small for a finger, sliders, questions, words that answer to
keyboard and touch, a focus that is seen, a head that turns and whose lamp moves, pictures that open large, a search that finds,
nothing that axe-core calls serious or critical in either theme (`page_checks`). Screenshots, as they are first seen and whole,
go to _build/screenshots. A page that brings a test of its own (a global ``selfTest`` that promises ``""`` or what is wrong) is
asked for it. Two pages are open at a time where there are two cores, in a browser each.

Chromium is not a Python package; where there is none, this says so, loudly, and passes. So it does where the page with the model
has none.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import os
import queue
import re
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import side_by_side
from page_checks import (
    CONTRAST,
    NOT_TESTED,
    PATIENCE,
    axe,
    cannot_enlarge,
    focus_unseen,
    formulas_missing,
    guesses_unanswered,
    hard_to_read,
    heads_missing,
    own_test,
    pictures_missing,
    settle,
    sliders_stuck,
    too_small,
    too_wide,
    unreachable,
    words_untold,
)
from pages import make_room
from project import BUILD

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
# WebGL without a GPU; and no name but the own machine's can be looked up
ARGUMENTS = [
    "--enable-unsafe-swiftshader",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--disable-background-networking",
]
WIDE, PHONE, NARROWEST = {"width": 1440, "height": 900}, {"width": 390, "height": 844}, 360
TALLEST = 12_000  # pixels of a page in one picture; Chromium draws no surface beyond 16,384
ROOM = 2000  # MB for a browser with a page in it, the networks' included
NOISE = re.compile(r"GL Driver Message|GPU stall|swiftshader", re.IGNORECASE)  # of drawing without a GPU


def find_chromium() -> str | None:
    """The browser: what STUDIOLIKE_CHROMIUM names, or the first of the usual names on the path."""
    return os.environ.get("STUDIOLIKE_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def serve(site: Path) -> Iterator[str]:
    """The site on a port of this machine; gives its address."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def pages_of(site: Path, only: list[str]) -> list[str]:
    """Names of the pages, without their ending; ``only`` keeps those whose last part begins so."""
    found = [path.relative_to(site).as_posix().removesuffix(".html") for path in sorted(site.rglob("*.html"))]
    found = [name for name in found if not name.startswith("_static/")]
    return [name for name in found if not only or any(name.rsplit("/", 1)[-1].startswith(start) for start in only)]


# --- all pages


def search_silent(page: Page, address: str) -> list[str]:
    page.goto(f"{address}/search.html?q=fusion")
    try:
        page.wait_for_selector("#search-results li a", timeout=PATIENCE)
    except Exception:
        return ["search.html: finds nothing for 'fusion'"]
    return []


def watch(page: Page, problems: list[str]) -> None:
    """Collect what the console says and what is asked of other machines."""

    def console(message: Any) -> None:
        if message.type == "error" and not NOISE.search(message.text) and "Failed to load resource" not in message.text:
            problems.append(f"console: {message.text[:200]}")

    def request(asked: Any) -> None:
        if not re.match(r"(http://127\.0\.0\.1[:/]|data:|blob:|about:)", asked.url):
            problems.append(f"asks another machine: {asked.url[:150]}")

    page.on("console", console)
    page.on("pageerror", lambda error: problems.append(f"error: {str(error)[:200]}"))
    page.on("request", request)
    page.on("response", lambda got: got.status >= 400 and problems.append(f"is not there: {got.url}"))


def picture(page: Page, path: Path, whole: bool) -> None:
    page.screenshot(path=path.with_suffix(".png"))
    if whole:
        width, height = page.evaluate("[document.documentElement.clientWidth, document.documentElement.scrollHeight]")
        clip = {"x": 0, "y": 0, "width": width, "height": min(height, TALLEST)}
        page.screenshot(
            path=path.with_name(path.name + "-whole.jpg"), full_page=True, clip=clip, type="jpeg", quality=70, timeout=120_000
        )


def theme(page: Page, name: str) -> None:
    page.evaluate("(name) => { document.documentElement.dataset.theme = name; window.scrollTo(0, 0); }", name)
    page.wait_for_timeout(50)


def visit(browser: Browser, address: str, name: str, folder: Path, script: str, whole: bool) -> list[str]:
    """Everything about one page, on both screens and in both themes."""
    problems: list[str] = []
    plain = name.replace("/", "-")
    for screen, touch in ((WIDE, False), (PHONE, True)):
        context = browser.new_context(
            viewport=screen, has_touch=touch, is_mobile=touch, color_scheme="light", reduced_motion="reduce"
        )
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        watch(page, problems)
        page.goto(f"{address}/{name}.html")
        settle(page)
        page.wait_for_timeout(100)
        for look in ("light", "dark"):
            theme(page, look)
            picture(page, folder / f"{plain}-{screen['width']}-{look}", whole)
            if not touch:
                problems += axe(page, script, [CONTRAST] if look == "dark" else None)
                page.keyboard.press("Tab")
                problems += focus_unseen(page)
        problems += sliders_stuck(page, touch) + guesses_unanswered(page, touch) + words_untold(page, touch)
        if touch:
            problems += hard_to_read(page) + too_small(page)
            page.set_viewport_size({"width": NARROWEST, "height": 740})
            page.wait_for_timeout(100)
        else:
            problems += pictures_missing(page) + formulas_missing(page)
            problems += heads_missing(page, script) + own_test(page)
        problems += too_wide(page) + unreachable(page) + cannot_enlarge(page)
        context.close()
    return [f"{name}.html: {problem}" for problem in dict.fromkeys(problems)]


def in_order_of_work(site: Path, names: list[str]) -> list[str]:
    """The pages that take longest first: those that compute, then the largest."""

    def work(name: str) -> tuple[bool, int]:
        text = (site / f"{name}.html").read_bytes()
        return b'type="module"' in text, len(text)

    return sorted(names, key=work, reverse=True)


def at_a_time() -> int:
    """How many pages may be open together, 1 or 2."""
    return 2 if side_by_side.cores() > 1 and side_by_side.memory()[1] > 2 * ROOM + side_by_side.RESERVE else 1


def open_pages(
    names: queue.SimpleQueue[str], chromium: str, address: str, folder: Path, whole: bool, search: bool
) -> dict[str, list[str]]:
    """In a browser of its own, one page after the other until none is left; what is wrong, by page."""
    from axe_playwright_python.base import AXE_SCRIPT
    from playwright.sync_api import sync_playwright

    # a browser that runs as the superuser, as in a container, must be told that it may
    sandbox = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    found: dict[str, list[str]] = {}
    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=chromium, args=ARGUMENTS + sandbox)
        while not names.empty():
            try:
                name = names.get_nowait()
            except queue.Empty:  # the other took the last one
                break
            start = time.perf_counter()
            said = found[name] = visit(browser, address, name, folder, AXE_SCRIPT, whole)
            problems = sum(NOT_TESTED not in line for line in said)
            print(f"{name}: {problems} problems, {time.perf_counter() - start:.1f} s", flush=True)
        if search:
            found["search.html"] = search_silent(browser.new_page(), address)
        browser.close()
    return found


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Open the built book in Chromium and use it.")
    parser.add_argument("--pages", nargs="*", default=[], help="beginnings of names; all pages if none is given")
    parser.add_argument("--whole", action="store_true", help="also keep pictures of whole pages")
    parser.add_argument("--site", type=Path, default=BUILD / "html")
    options = parser.parse_args(arguments)
    if not (options.site / "index.html").exists():
        print("FAILED there is no book to open: run make book", file=sys.stderr)
        return 1
    if not (chromium := find_chromium()):
        print(
            "the pages were NOT opened in a browser: there is no Chromium. On Debian: apt-get install chromium; "
            "or name one: STUDIOLIKE_CHROMIUM=/path/of/chrome"
        )
        return 0
    folder = BUILD / "screenshots"
    names = pages_of(options.site, options.pages)
    make_room(folder, names, everything=not options.pages)
    left: queue.SimpleQueue[str] = queue.SimpleQueue()
    for name in in_order_of_work(options.site, names):
        left.put(name)
    browsers, found = at_a_time(), {}
    with serve(options.site) as address, ThreadPoolExecutor(browsers) as pool:
        given = (left, chromium, address, folder, options.whole)
        asked = [pool.submit(open_pages, *given, number == 0 and not options.pages) for number in range(browsers)]
        try:
            for part in asked:
                found |= part.result()
        except BaseException:  # then the other opens no further page
            while not left.empty():
                left.get_nowait()
            raise
    lines = [line for name in sorted(found) for line in found[name]]
    problems = [line for line in lines if NOT_TESTED not in line]
    print(f"{len(names)} pages opened in Chromium, {len(problems)} problems; pictures in {folder.relative_to(BUILD.parent)}")
    for line in lines:
        print(line if NOT_TESTED in line else f"FAILED {line}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
