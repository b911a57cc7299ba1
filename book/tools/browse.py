"""Open every page of the built book in Chromium, with the network off, and use it as a reader would.

    python book/tools/browse.py [--pages ch04 index] [--whole]

On a wide screen and on a phone: no error in the console, nothing loaded from elsewhere, every picture there, formulas
drawn, no page wider than its screen, nothing cut on a phone or too small for a finger, sliders and questions that answer to
keyboard and touch, a head that turns, pictures that open large, a search that finds, nothing that axe-core calls serious or
critical in either theme. Screenshots, as they are first seen and whole, go to _build/screenshots. A page that brings a test of
its own (a global ``selfTest`` that promises ``""`` or what is wrong) is asked for it.

Chromium is not a Python package; where there is none, this says so, loudly, and passes.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import io
import os
import re
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pages import make_room
from project import BUILD

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Frame, Page

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
# WebGL without a GPU; and no name but the own machine's can be looked up
ARGUMENTS = [
    "--enable-unsafe-swiftshader",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--disable-background-networking",
]
WIDE, PHONE, NARROWEST = {"width": 1440, "height": 900}, {"width": 390, "height": 844}, 360
TALLEST = 12_000  # pixels of a page in one picture; Chromium draws no surface beyond 16,384
PATIENCE = 120_000  # milliseconds; a machine that does other work too is slow, not wrong
SERIOUS = ("serious", "critical")
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


# --- what is asked of a page that is open


def settle(page: Page) -> None:
    """Wait until pictures are there, also those that would load when they are seen, and formulas are drawn."""
    page.evaluate(
        """async () => {
          for (const image of document.images) image.loading = 'eager';
          if (window.MathJax && MathJax.startup) await MathJax.startup.promise;
          await Promise.all([...document.images].map((image) => image.complete || image.decode().catch(() => 0)));
          await document.fonts.ready;
        }"""
    )


def pictures_missing(page: Page) -> list[str]:
    broken = page.evaluate(
        "[...document.images].filter((i) => !i.naturalWidth && i.checkVisibility()).map((i) => i.src.slice(0, 100))"
    )
    return [f"a picture does not load: {address}" for address in broken]


def formulas_missing(page: Page) -> list[str]:
    wanted, drawn, wrong = page.evaluate(
        """[document.querySelectorAll('article .math').length,
            [...document.querySelectorAll('article .math')].filter((m) => m.querySelector('mjx-container svg')).length,
            document.querySelectorAll('article [data-mjx-error], article mjx-merror').length]"""
    )
    found = [f"{wanted - drawn} of {wanted} formulas are not drawn"] if drawn < wanted else []
    loaded = page.evaluate("performance.getEntriesByType('resource').filter((r) => r.name.includes('mathjax/')).length")
    if loaded != (wanted > 0):
        found.append(f"MathJax is loaded {loaded} times for {wanted} formulas")
    return found + ([f"{wrong} formulas have an error"] if wrong else [])


def too_wide(page: Page) -> list[str]:
    width, screen = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    if width <= screen:
        return []
    culprits = page.evaluate(
        """(screen) => [...document.querySelectorAll('article *')].filter((e) => e.getBoundingClientRect().right > screen + 1
             && !e.closest('.has-more, [data-kind], dialog, svg')).slice(0, 3).map((e) => e.outerHTML.slice(0, 120))""",
        screen,
    )
    return [f"the page is {width} pixels wide on a screen of {screen}: {culprits}"]


def hard_to_read(page: Page) -> list[str]:
    """What a narrow screen cuts, breaks or shrinks: formulas, columns with a word a line, short names, letters in plots."""
    return page.evaluate(
        """() => {
          const all = (selector) => [...document.querySelectorAll('article ' + selector)].filter((e) => e.checkVisibility());
          const start = (e) => e.textContent.trim().slice(0, 60);
          return [
            ...all('div.math.has-more').map((e) => `a formula says that there is more: ${e.id || start(e)}`),
            ...all('div.math').filter((e) => e.scrollWidth > e.clientWidth + 2)
              .map((e) => `a formula is cut, ${e.scrollWidth} of ${e.clientWidth} pixels: ${e.id || start(e)}`),
            ...all('figure img').filter((e) => e.getAttribute('width') / e.getAttribute('height') >= 2
                && !e.closest('[role=group]')  // pictures on a slider have no letters
                && e.clientWidth < 0.75 * parseFloat(e.style.width))
              .map((e) => `the letters of a picture are shrunk to ${e.clientWidth} of ${e.style.width}: ${e.alt.slice(0, 60)}`),
            ...all('td').filter((e) => start(e).length > 40 && e.clientWidth < 100)
              .map((e) => `a column is squeezed: ${start(e)}`),
            ...all('code .pre').filter((e) => e.textContent.length <= 20 && e.getClientRects().length > 1)
              .map((e) => `a name is broken: ${start(e)}`),
          ];
        }"""
    )


def too_small(page: Page) -> list[str]:
    """Controls that a finger misses. The whole row of a choice answers, not only its circle."""
    found = page.evaluate(
        """() => [...document.querySelectorAll(':is(article, .bd-header-article) :is(button, summary, select, input)')]
             .filter((e) => e.checkVisibility({opacityProperty: true}))
             .filter((e) => !e.matches('[type=radio], [type=checkbox], [type=file]'))
             .filter((e) => { const r = e.getBoundingClientRect(); return r.width && Math.min(r.width, r.height) < 36; })
             .map((e) => `${e.tagName} ${e.className || e.type}`)"""
    )
    return [f"too small to touch: {name} at {found.count(name)} places" for name in dict.fromkeys(found)]


def unreachable(page: Page) -> list[str]:
    """Boxes that scroll sideways and cannot be reached by keyboard."""
    found = page.evaluate(
        """[...document.querySelectorAll('article *')].filter((e) => e.scrollWidth > e.clientWidth + 2 && e.tabIndex < 0
             && e.checkVisibility()
             && ['auto', 'scroll'].includes(getComputedStyle(e).overflowX)
             && !e.querySelector('a, button, input, [tabindex]')).map((e) => e.outerHTML.slice(0, 100))"""
    )
    return [f"only a mouse can scroll this: {text}" for text in found]


def axe(frame: Page | Frame, script: str, rules: list[str] | None = None) -> list[str]:
    """What axe-core calls serious or critical, one line for each rule; only some rules if they are named."""
    frame.evaluate(script)
    options: dict[str, Any] = {"resultTypes": ["violations"], "iframes": False, "preload": False}
    if rules:
        options["runOnly"] = {"type": "rule", "values": rules}
    violations = frame.evaluate("(options) => axe.run(document, options).then((r) => r.violations)", options)
    return [
        f"axe: {v['id']} ({v['impact']}) at {len(v['nodes'])} places, first {v['nodes'][0]['html'][:140]}"
        for v in violations
        if v["impact"] in SERIOUS
    ]


def sliders_stuck(page: Page, touch: bool) -> list[str]:
    """Every slider moves, and what it shows changes with it."""
    found = []
    for slider in page.locator("article figure input[type=range]").all():
        if not slider.is_visible():  # of a picture that comes when somebody asks for it
            continue
        state = "(e) => [e.value, e.getAttribute('aria-valuetext'), e.closest('figure').innerHTML.length]"
        slider.scroll_into_view_if_needed()
        before = slider.evaluate(state)
        if touch:
            box = slider.bounding_box()
            page.touchscreen.tap(box["x"] + 0.8 * box["width"], box["y"] + box["height"] / 2)
        else:
            slider.focus()
            page.keyboard.press("ArrowRight")
        after = slider.evaluate(state)
        if before[:2] == after[:2] or (before[1] is not None and before[1] == after[1]):
            found.append(f"a slider does not move {'by touch' if touch else 'by keyboard'}: {before} → {after}")
    return found


def guesses_unanswered(page: Page, touch: bool) -> list[str]:
    """Every predict-first question takes a guess and answers it."""
    found = []
    for box in page.locator("fieldset.predict").all():
        choice, button = box.locator("input").first, box.locator("button")
        if touch:
            choice.tap()
            button.tap()
        else:
            choice.focus()
            page.keyboard.press("Space")
            page.keyboard.press("Tab")
            page.keyboard.press("Enter")
        if box.locator("[role=status]").inner_text()[:1] not in ("✓", "✗") or box.locator("details[open]").count() != 1:
            question = box.locator("legend").inner_text()[:40]
            found.append(f"a question does not answer {'by touch' if touch else 'by keyboard'}: {question}")
    return found


def heads_missing(page: Page, script: str) -> list[str]:
    """Every framed head is drawn, faces the reader at first, and turns by keyboard."""
    import numpy as np
    from PIL import Image

    found = []
    for number in range(page.locator("article iframe").count()):
        holder = page.locator("article iframe").nth(number)
        if not holder.is_visible():
            continue
        holder.scroll_into_view_if_needed()
        frame = holder.element_handle().content_frame()
        try:
            canvas = frame.wait_for_selector("canvas", timeout=PATIENCE)
        except Exception as error:
            found.append(f"a framed head draws nothing: {str(error).splitlines()[0]}")
            continue
        seen = np.asarray(Image.open(io.BytesIO(canvas.screenshot())).convert("L")).astype(float)
        if seen.std() < 4:
            found.append("a framed head is an empty picture")
        turn = frame.locator("#yaw")
        if turn.count():
            before = turn.get_attribute("aria-valuetext")
            canvas.focus()
            page.keyboard.press("ArrowRight")
            page.wait_for_timeout(150)
            if before != "front" or turn.get_attribute("aria-valuetext") == before:
                found.append(f"a head starts at '{before}' and after a key is at '{turn.get_attribute('aria-valuetext')}'")
        found += axe(frame, script)
    return found


def cannot_enlarge(page: Page) -> list[str]:
    """A picture opens large, closes by Escape, and gives the focus back."""
    button = page.locator("button.enlarge").first
    if not button.count():
        return []
    button.focus()
    page.keyboard.press("Enter")
    shown = page.evaluate("(d => d && d.open && d.querySelector('img').clientWidth)(document.querySelector('dialog.enlarged'))")
    page.keyboard.press("Escape")
    page.wait_for_timeout(100)
    closed, back = page.evaluate("[!document.querySelector('dialog.enlarged[open]'), document.activeElement.className]")
    return [] if shown and closed and back == "enlarge" else [f"a picture does not open large: {shown}, {closed}, {back}"]


def own_test(page: Page) -> list[str]:
    said = page.evaluate("typeof selfTest === 'function' ? Promise.resolve(selfTest()) : ''")
    return [f"the page's own test says: {said}"] if said else []


def search_silent(page: Page, address: str) -> list[str]:
    page.goto(f"{address}/search.html?q=fusion")
    try:
        page.wait_for_selector("#search-results li a", timeout=PATIENCE)
    except Exception:
        return ["search.html: finds nothing for 'fusion'"]
    return []


# --- all pages


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
                problems += axe(page, script, ["color-contrast"] if look == "dark" else None)
        problems += sliders_stuck(page, touch) + guesses_unanswered(page, touch)
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
    from axe_playwright_python.base import AXE_SCRIPT
    from playwright.sync_api import sync_playwright

    folder = BUILD / "screenshots"
    problems: list[str] = []
    names = pages_of(options.site, options.pages)
    make_room(folder, names, everything=not options.pages)
    # a browser that runs as the superuser, as in a container, must be told that it may
    sandbox = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with serve(options.site) as address, sync_playwright() as player:
        browser = player.chromium.launch(executable_path=chromium, args=ARGUMENTS + sandbox)
        for name in names:
            start = time.perf_counter()
            found = visit(browser, address, name, folder, AXE_SCRIPT, options.whole)
            print(f"{name}: {len(found)} problems, {time.perf_counter() - start:.1f} s", flush=True)
            problems += found
        if not options.pages:
            problems += search_silent(browser.new_page(), address)
        browser.close()
    print(f"{len(names)} pages opened in Chromium, {len(problems)} problems; pictures in {folder.relative_to(BUILD.parent)}")
    for problem in problems:
        print(f"FAILED {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
