"""Assemble the book's pages and executed chapters, render them with Jupyter Book, check the result.

    python book/tools/build.py --profile cpu [--chapters ch03]

Sphinx warnings are errors. The site goes to _build/html only when everything is right, so a failing
build leaves the last good one in place. A site that was made of the very same sources is left as it is, so
`make book` and `make test` after each other render it once.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

import chain
import ledger
import measures
import own_face
import rivals
import run_times
import social_card
from execute import package_hash
from notebooks import names_of
from pages import problems
from pictures_in_pages import Shelf, prepare
from print_form import print_cells
from project import BUILD, CLAIMS_BOX, FACTS, NOTEBOOKS, PROFILES, REFERENCES, ROOT, RUN_BOX, BookError, chapters, project, tool
from reference import reference
from run_times import duration, on
from schedules import fill
from shown_code import fit_notebook, tidy_cells

BOOK = ROOT / "book"
KEY = BUILD / "html.key"  # of what _build/html was made
MATHJAX = "tex-svg-full.js"  # one file that holds every TeX extension and draws with paths: no fonts to fetch


def load_records(profile: str, names: list[str]) -> dict[str, dict[str, Any]]:
    """What execute.py measured.

    Raises:
        BookError: a chapter was not executed in this profile.
    """
    records = {}
    for name in names:
        path = BUILD / "records" / profile / f"{name}.json"
        if not path.exists():
            raise BookError(f"{name} was not executed in profile {profile}: run make book PROFILE={profile}")
        records[name] = json.loads(path.read_text())
    return records


def run_box(record: dict[str, Any]) -> str:
    """The note on top of a chapter: what running it cost here."""
    return (
        f"```{{admonition}} This page was computed\n:class: run-box\n"
        f"Profile `{record['profile']}` on {on(record)}: "
        f"**{duration(record['seconds'])}**, at most **{record['peak_memory'] / 1024:.1f} GB** of memory. "
        f"torch {record['torch']}, package `{record['package']}`, commit `{record['commit']}`. "
        f"[All chapters](../timings.md).\n```"
    )


def page_of(
    executed: dict[str, Any], record: dict[str, Any], references: list[str], shelf: Shelf | None, claims: str = ""
) -> dict[str, Any]:
    """An executed notebook, ready to be shown: what it cost, what it cites and its claims filled in, texts for pictures where
    Sphinx looks, figures numbered, code without bookkeeping and in lines that fit. No ``shelf``: for print."""
    for cell in executed["cells"]:
        if cell["cell_type"] == "markdown":
            text = "".join(cell["source"]).replace(RUN_BOX, run_box(record)).replace(REFERENCES, "\n".join(references))
            cell["source"] = text.replace(CLAIMS_BOX, claims)
        for output in cell.get("outputs", []):
            alt = output.get("metadata", {}).get("image/png", {}).get("alt")
            if alt:
                cell["metadata"].setdefault("mystnb", {}).setdefault("image", {})["alt"] = alt
    tidy_cells(executed["cells"])
    fit_notebook(executed["cells"])
    if shelf is None:
        executed["cells"] = print_cells(executed["cells"])
    else:
        prepare(executed["cells"], int(record["chapter"][2:4]), shelf)
    return executed


def timings(records: dict[str, dict[str, Any]], titles: dict[str, str]) -> str:
    """The page that says what each chapter cost."""
    if not records:
        return "# Run times\n\nNo chapter has been executed.\n"
    first = next(iter(records.values()))
    rows = "\n".join(
        f"| [{titles[name]}](notebooks/{name}.ipynb) | {duration(record['seconds'])} | {record['peak_memory'] / 1024:.1f} GB |"
        for name, record in records.items()
    )
    total = sum(record["seconds"] for record in records.values())
    peak = max(record["peak_memory"] for record in records.values())
    together = any(record["at_a_time"] > 1 for record in records.values())
    overlap = "Chapters ran beside each other, so all of them were there sooner than their times add up to.\n" if together else ""
    return (
        f"# Run times\n\nMeasured while this book was built: profile `{first['profile']}`, {on(first)}, "
        f"Python {first['python']}, torch {first['torch']}.\n\n"
        f"{overlap}Memory is the largest resident size of the process that ran the chapter.\n\n"
        f"| chapter | time | memory |\n| --- | ---: | ---: |\n{rows}\n"
        f"| **{'sum, largest' if together else 'all'}** | **{duration(total)}** | **{peak / 1024:.1f} GB** |\n"
    )


def assemble(profile: str, sources: list[Path], target: Path = BUILD / "source", printed: bool = False) -> Path:
    """Write ``target``: prose pages, static files, executed chapters, the table of contents. ``printed``: for print."""
    names = [source.stem for source in sources]
    records = load_records(profile, names)
    shutil.rmtree(target, ignore_errors=True)
    unwanted = ("tools", "teaching", "web", "_toc.yml", "404.html", "README.md", "__pycache__")
    shutil.copytree(BOOK, target, ignore=shutil.ignore_patterns(*unwanted))
    (target / "notebooks").mkdir()
    titles, known, judged = {}, names_of(sources), ledger.verdicts()
    for name in names:
        executed = json.loads((BUILD / "notebooks" / profile / f"{name}.ipynb").read_text(encoding="utf-8"))
        lines = "".join(executed["cells"][0]["source"]).splitlines()
        titles[name] = next(line.lstrip("# ") for line in lines if line.startswith("# "))
        shelf = None if printed else Shelf(target)
        claims = "\n".join(filter(None, [ledger.box(name, judged), rivals.note(name)]))
        page = page_of(executed, records[name], known.references(name), shelf, claims)
        page = chain.put_in(page, name, pictures=not printed)
        (target / "notebooks" / f"{name}.ipynb").write_text(json.dumps(page, indent=1), encoding="utf-8")
    teach = target / "teach.md"
    teach.write_text(fill(teach.read_text(encoding="utf-8"), chapters()), encoding="utf-8")
    costs = run_times.load()
    for page in target.glob("*.md"):
        text = measures.fill(run_times.fill(page.read_text(encoding="utf-8"), costs))
        page.write_text(own_face.fill(text), encoding="utf-8")
    told = timings(records, titles) + run_times.table(titles, costs)
    (target / "timings.md").write_text(told, encoding="utf-8")
    (target / "reference.md").write_text(reference(), encoding="utf-8")
    (target / FACTS).write_text(json.dumps(facts(records)), encoding="utf-8")
    (target / f"{ledger.PAGE}.md").write_text(ledger.ledger_page(judged), encoding="utf-8")
    present = {f"notebooks/{name}" for name in names}
    if page := rivals.rivals_page():
        (target / f"{rivals.PAGE}.md").write_text(page, encoding="utf-8")
        present.add(rivals.PAGE)
    copy_mathjax(target / "_static" / "mathjax")
    social_card.write(target / "_static")
    import page_model  # with torch, which the other tools do not need

    if not page_model.install(target / "_static" / "try-it"):
        print("note: onnxruntime-web is not installed (make book does it where npm is), so this book has no model in its page")
    write_toc(target, present)
    return target


def facts(records: dict[str, dict[str, Any]]) -> dict[str, str]:
    """What a report of a problem should say of the run that made the pages."""
    first = next(iter(records.values()), {})
    return {name: first[name] for name in ("profile", "device", "python", "torch", "package", "commit") if name in first}


def copy_mathjax(target: Path) -> None:
    """MathJax from the Python package that carries it. Its folder has a hyphen, so it is found, not imported."""
    found = importlib.util.find_spec("sphinx-mathjax-offline")
    if found is None or found.submodule_search_locations is None:
        raise BookError("sphinx-mathjax-offline is not installed: run make setup")
    target.mkdir(parents=True)
    shutil.copy(Path(found.submodule_search_locations[0]) / "static" / "mathjax" / MATHJAX, target)


def write_toc(target: Path, present: set[str]) -> None:
    """The table of contents, with the chapters that are being built (all of them, but for an author's partial build), and the
    rivals where they have been measured."""

    def optional(name: str) -> bool:
        return name.startswith("notebooks/") or name == rivals.PAGE

    toc = yaml.safe_load((BOOK / "_toc.yml").read_text())
    for part in toc["parts"]:
        part["chapters"] = [entry for entry in part["chapters"] if entry["file"] in present or not optional(entry["file"])]
    toc["parts"] = [part for part in toc["parts"] if part["chapters"]]
    (target / "_toc.yml").write_text(yaml.safe_dump(toc, sort_keys=False))


def render(source: Path, strict: bool = True) -> Path:
    """Run Jupyter Book. Not ``strict``: warnings are printed, not errors, for a preview of some chapters, whose
    references to the others lead nowhere.

    Raises:
        BookError: it fails, or warns.
    """
    out = BUILD / "jupyter-book"
    shutil.rmtree(out, ignore_errors=True)
    start = "from jupyter_book.cli.main import main; main()"
    command = [
        sys.executable,
        "-c",
        start,
        "build",
        str(source),
        "--config",
        str(ROOT / "_config.yml"),
        "--toc",
        str(source / "_toc.yml"),
        "--path-output",
        str(out),
        "-n",
        "--keep-going",
        *(["-W"] if strict else []),
    ]
    print("rendering with Jupyter Book", flush=True)
    tools = str(Path(__file__).parent)  # where the book's own Sphinx extension is
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([tools, *filter(None, [os.environ.get("PYTHONPATH")])])}
    done = subprocess.run(command, cwd=source, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    told = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)  # Sphinx colours even what is not a terminal
    (BUILD / "jupyter-book.log").write_text(told)
    html = out / "_build" / "html"
    lines = told.splitlines()
    said = [line for line in lines if "WARNING" in line or "ERROR" in line]
    if done.returncode or not (html / "index.html").exists():
        said = said or lines[-30:]
        raise BookError("Jupyter Book warned or failed:\n" + "\n".join(said) + "\nAll it said: _build/jupyter-book.log")
    print(*said, sep="\n", end="\n" if said else "")
    return html


def complete(html: Path) -> None:
    """What Sphinx does not make: beside every chapter's page the notebook that opens anywhere (the Colab flavour, without
    outputs), and the page for addresses that are wrong."""
    for page in (html / "notebooks").glob("*.html"):
        shutil.copy(NOTEBOOKS / f"{page.stem}.ipynb", page.with_suffix(".ipynb"))
    # shown at whatever address was wrong, so its links are whole addresses
    text, about = (BOOK / "404.html").read_text(encoding="utf-8"), project()
    (html / "404.html").write_text(
        text.replace("HOMEPAGE", about.homepage).replace("REPOSITORY", about.repository), encoding="utf-8"
    )


def key_of(source: Path, strict: bool, root: Path = ROOT) -> str:
    """Hash of all that the pages of assembled ``source`` are made of: it, the book's tools and settings, the notebooks that
    are handed out, the package whose code the pages show, and the lock."""
    digest = hashlib.sha256(f"{strict} {package_hash()} {sys.version}".encode())
    alone = [root / name for name in ("_config.yml", "requirements.lock", "pyproject.toml", "book/404.html")]
    for folder, pattern in ((source, "*"), (root / "book" / "tools", "*.py"), (root / "notebooks", "*.ipynb")):
        alone += sorted(path for path in folder.rglob(pattern) if path.is_file())
    for path in alone:
        digest.update(f"{path.relative_to(root).as_posix()}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def publish(html: Path, key: str) -> None:
    """Swap the new site in, and remember of what it was made."""
    target, old = BUILD / "html", BUILD / "html.old"
    shutil.rmtree(old, ignore_errors=True)
    KEY.unlink(missing_ok=True)
    if target.exists():
        target.rename(old)
    html.rename(target)
    KEY.write_text(key)
    shutil.rmtree(old, ignore_errors=True)


@tool
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Render the book from the executed chapters.")
    parser.add_argument("--profile", choices=PROFILES, default="cpu")
    parser.add_argument("--chapters", nargs="*", default=[])
    options = parser.parse_args(arguments)
    source, strict = assemble(options.profile, chapters(options.chapters)), not options.chapters
    key = key_of(source, strict)
    if (BUILD / "html" / "index.html").exists() and KEY.exists() and KEY.read_text() == key:
        print(f"nothing changed since _build/html was made (profile {options.profile})")
        return 0
    html = render(source, strict)
    complete(html)
    if found := problems(html):
        said = "the pages are not as they should be:\n" + "\n".join(found)
        if strict:
            raise BookError(said)
        print(said)
    publish(html, key)
    pages = len(list((BUILD / "html").rglob("*.html")))
    print(f"the book is in _build/html/index.html ({pages} pages, profile {options.profile})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
