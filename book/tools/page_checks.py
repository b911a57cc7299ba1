"""What `browse` asks of a page that is open: each check takes the page and gives a line for everything that is wrong."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import ElementHandle, Frame, Page

PATIENCE = 120_000  # milliseconds; a machine that does other work too is slow, not wrong
SERIOUS = ("serious", "critical")
NOT_TESTED = "NOT TESTED"  # how a line begins that tells of no problem, but of what could not be asked
CONTRAST = "color-contrast"
LARGE = 8000  # elements; of a larger page, which repeats its kinds of section many times, contrast is measured in the first ones
LATER = "article section section:nth-of-type(n+4)"


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
    large = frame.evaluate("document.querySelectorAll('article *').length") > LARGE
    whole: dict[str, Any] = {"resultTypes": ["violations"], "iframes": False, "preload": False}
    if rules:
        whole["runOnly"] = {"type": "rule", "values": rules}
    runs: list[tuple[dict[str, Any] | None, dict[str, Any]]] = [(None, whole)]
    if large and CONTRAST in (rules or [CONTRAST]):
        runs = [({"exclude": [LATER]}, whole | {"runOnly": {"type": "rule", "values": [CONTRAST]}})]
        if not rules:
            runs.append((None, whole | {"rules": {CONTRAST: {"enabled": False}}}))
    ask = "([context, options]) => axe.run(context || document, options).then((r) => r.violations)"
    violations = [found for context, options in runs for found in frame.evaluate(ask, [context, options])]
    return [
        f"axe: {v['id']} ({v['impact']}) at {len(v['nodes'])} places, first {v['nodes'][0]['html'][:140]}"
        for v in violations
        if v["impact"] in SERIOUS
    ]


def focus_unseen(frame: Page | Frame) -> list[str]:
    """Kinds of element that a keyboard reaches and that get no visible outline then, of their own or of their label.

    The keyboard must have been used last, or browsers show no focus that a script sets.
    """
    found = frame.evaluate(
        """() => {
          const kind = (e) => [e.tagName, e.type || '', e.className, e.parentElement.className].join(' ');
          const behind = (e) => {
            for (; e; e = e.parentElement) {
              const colour = getComputedStyle(e).backgroundColor;
              if (!/^rgba.*, 0\\)$/.test(colour)) return colour;
            }
          };
          const outlined = (e) => {
            const style = getComputedStyle(e);
            return style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2
              && !/^rgba.*, 0\\)$/.test(style.outlineColor) && style.outlineColor !== behind(e.parentElement);
          };
          const before = document.activeElement, seen = new Set(), bad = [];
          const all = 'a[href], button, input, select, textarea, summary, iframe, [tabindex="0"]';
          for (const e of document.querySelectorAll(all)) {
            if (e.disabled || e.tabIndex < 0 || e.tagName === 'IFRAME' || seen.has(kind(e)) || !e.checkVisibility()) continue;
            seen.add(kind(e));
            e.focus({ preventScroll: true });
            if (document.activeElement !== e) continue;  // of a closed dialog, say
            const drawn = getComputedStyle(e).opacity > 0;  // else its label shows the focus
            if (!(drawn && outlined(e)) && ![...e.labels ?? []].some(outlined)) bad.push(e.outerHTML.slice(0, 100));
          }
          if (before && before.focus) before.focus({ preventScroll: true });
          return bad;
        }"""
    )
    return [f"the focus is not seen: {text}" for text in found]


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


def words_untold(page: Page, touch: bool) -> list[str]:
    """The first word of the glossary on the page says what it means, by keyboard or touch."""
    word, tip = page.locator("article a.term").first, page.locator("[role=tooltip].term-tip")
    if not page.locator("article a.term").count():
        return []
    said = word.get_attribute("title")
    if touch:
        word.tap()
    else:
        page.keyboard.press("Shift")  # the keyboard was used last
        word.focus()
    shown = tip.inner_text() if tip.is_visible() else ""
    page.keyboard.press("Escape")
    if said and shown.startswith(said) and not tip.is_visible():
        return []
    return [f"a word does not say what it means {'by touch' if touch else 'by keyboard'}: {word.inner_text()}"]


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
            found += lamp_stuck(frame, canvas) + focus_unseen(frame)
        found += axe(frame, script)
    return found


def lamp_stuck(frame: Frame, canvas: ElementHandle) -> list[str]:
    """The lamp of a head moves by keyboard, and the light on the head with it. L goes through the three lights."""
    press, side, seen = frame.page.keyboard.press, frame.locator("#side"), []
    canvas.focus()
    press("l")
    for _ in range(2):
        frame.page.wait_for_timeout(150)
        if not side.is_visible():
            return ["a head has no lamp after the key L"]
        seen.append((side.get_attribute("aria-valuetext"), side.input_value(), canvas.screenshot()))
        for _ in range(4):
            press("Shift+ArrowRight")
    press("l")
    press("l")
    (before, place, picture), (after, moved, lit) = seen
    stuck = place == moved or before == after or picture == lit
    return [f"the lamp of a head does not move by keyboard: {before} → {after}"] if stuck else []


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
    """What the page says that is wrong with it; if it says that it cannot know, that is no problem, but told."""
    said = page.evaluate("typeof selfTest === 'function' ? Promise.resolve(selfTest()) : ''")
    if said.startswith(NOT_TESTED):
        return [said]
    return [f"the page's own test says: {said}"] if said else []
