"""A Sphinx extension of this book's own: what its pages need and the theme does not give.

Names and pictures for search engines and messengers, a download that opens in Colab, a report that knows where it comes
from, scripts loaded once and only where they are needed, and a few repairs of roles that screen readers stumble over.
"""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

from docutils import nodes
from sphinx.application import Sphinx

from project import FACTS, project

CARD = "_static/social-card.png"
LONGEST = 200  # characters of a description; search engines cut there
REPORT = """**What is wrong**


**What I expected**


---
Page: {page}
Book: {facts}
Browser: (filled in when you click)
If you ran it yourself, add what `studiolike doctor` prints.
"""
# before the theme's own script, which complains about an empty mode; and no flash of the wrong theme
MODE = (
    "(d=>{d.mode=d.mode||'auto';if(d.theme!=='light'&&d.theme!=='dark')"
    "d.theme=matchMedia('(prefers-color-scheme: dark)').matches?'dark':'light'})(document.documentElement.dataset)"
)


def description(doctree: nodes.document) -> str:
    """The first sentences of a page, as plain text."""
    for paragraph in doctree.findall(nodes.paragraph):
        if (
            isinstance(paragraph.parent, (nodes.section, nodes.document))
            and len(text := " ".join(paragraph.astext().split())) > 40
        ):
            if len(text) <= LONGEST:
                return text
            end = text.rfind(". ", 0, LONGEST)
            return text[: end + 1] if end > 60 else text[: text.rfind(" ", 0, LONGEST)] + " …"
    return ""


def meta(title: str, text: str, address: str, home: str) -> str:
    """The head's lines that a search engine or a messenger reads."""
    lines = [
        ("property", "og:type", "article"),
        ("property", "og:title", title),
        ("property", "og:url", address),
        ("property", "og:image", home + CARD),
        ("property", "og:image:alt", "A face texture from a phone beside the studio-like one made from it"),
        ("name", "twitter:card", "summary_large_image"),
    ]
    if text:
        lines += [("name", "description", text), ("property", "og:description", text)]
    return "\n".join(f'<meta {kind}="{name}" content="{html.escape(value)}">' for kind, name, value in lines)


def scripts(listed: list[Any], formulas: bool) -> list[Any]:
    """Every script once, none that is not for this page.

    Jupyter Book adds whatever lies below ``_static``; of that only the files on top are meant for every page. Thebe
    would start kernels on a server, which these pages never ask for, and declares a constant twice.
    """
    kept, seen = [], set()
    for script in listed:
        name = str(getattr(script, "filename", script) or "")
        body = getattr(script, "attributes", {}).get("body", "")
        path = name.split("?")[0].removeprefix("_static/")
        mathjax = path.startswith("mathjax/")
        if "thebe" in path or "THEBE" in body or (name, body) in seen or (path and path in seen):
            continue
        if mathjax and (not formulas or "defer" not in getattr(script, "attributes", {})):
            continue
        if "window.MathJax" in body and not formulas:
            continue
        if "/" in path and not mathjax and not path.startswith("scripts/"):
            continue
        seen |= {(name, body), path}
        kept.append(script)
    return kept


def repaired(body: str) -> str:
    """Roles as ARIA has them: a list holds list items."""
    body = body.replace('role="doc-biblioentry"', 'role="listitem"')
    return re.sub(
        r'<script type="text/x-thebe-config">.*?</script>\s*(<script>kernelName[^<]*</script>)?', "", body, flags=re.DOTALL
    )


def buttons(groups: list[dict[str, Any]], page: str, report: str) -> list[dict[str, Any]]:
    """The header's buttons: a download that is the notebook for Colab, and a report that knows its page."""
    for group in groups:
        kept = []
        for button in group.get("buttons", []):
            if button.get("label") in ("download-source-button", "download-notebook-button"):
                continue
            if button.get("label") == "source-issues-button":
                button |= {"url": report, "text": "Report a problem", "tooltip": "Report a problem on this page"}
            kept.append(button)
        if group.get("label") == "download-buttons" and page.startswith("notebooks/"):
            notebook = {
                "type": "link",
                "url": page.rsplit("/", 1)[1] + ".ipynb",
                "text": ".ipynb",
                "tooltip": "Download this chapter as a notebook for Colab or Jupyter",
                "icon": "fas fa-code",
                "label": "download-notebook-button",
            }
            kept.insert(0, notebook)
        if "buttons" in group:
            group["buttons"] = kept
    return groups


def on_page(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    about = project()
    body = context["body"] = repaired(context.get("body", ""))
    formulas = 'class="math' in body
    context["script_files"] = scripts(context["script_files"], formulas)
    title = re.sub(r"<[^>]+>", "", str(context.get("title", "")))
    address = f"{about.homepage}{'' if page == app.config.root_doc else page + '.html'}"
    context["metatags"] = context.get("metatags", "") + meta(
        html.unescape(title) or about.name, description(doctree) if doctree else "", address, about.homepage
    )
    facts = json.loads((Path(app.srcdir) / FACTS).read_text(encoding="utf-8")) if (Path(app.srcdir) / FACTS).exists() else {}
    said = ", ".join(f"{name} {value}" for name, value in facts.items()) or "not from a run"
    text = REPORT.format(page=address, facts=said)
    report = f"{about.repository}/issues/new?title={quote(f'On {page}: ')}&body={quote(text)}"
    context["header_buttons"] = buttons(context.get("header_buttons", []), page, report)


def on_config(app: Sphinx, config: Any) -> None:
    about = project()
    config.html_baseurl = about.homepage  # for the line that says which address is the page's own
    config.html_theme_options["repository_branch"] = about.ref  # the rocket button opens what the set-up cell installs


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("config-inited", on_config)
    app.connect("html-page-context", on_page, priority=900)  # after the theme
    app.add_js_file(None, body=MODE, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
