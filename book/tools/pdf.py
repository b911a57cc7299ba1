"""The whole book as one PDF, from the same pages and executed chapters as the site.

    python book/tools/pdf.py --profile cpu        # after book/tools/execute.py; `make pdf` runs both

Jupyter Book's settings, Sphinx's LaTeX, XeLaTeX. The PDF goes to _build/studiolike.pdf only when Sphinx warned of nothing, every
character has a glyph, every reference a target, and nothing sticks out of the page.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

import build
from project import BUILD, PROFILES, ROOT, BookError, chapters, project, tool

FOLDER = BUILD / "pdf"
PACKAGES = "texlive-xetex texlive-fonts-recommended latexmk fonts-freefont-otf fonts-dejavu-core"
INSTALL = f"apt-get install --no-install-recommends {PACKAGES}"
CONTENTS = "contents"  # the page that holds all others; it is no page of the site
STICKS_OUT = 12  # points by which a line may be too wide before a reader sees it
# of Jupyter Book's extensions those that only serve the site, and the one that would arrange the parts in a way of its own
SITE_ONLY = {
    "sphinx_jupyterbook_latex",
    "sphinx_thebe",
    "sphinx_comments",
    "sphinx_copybutton",
    "sphinx_togglebutton",
    "site_pages",
}


def missing() -> str:
    """What to do where the PDF cannot be made, in one line; empty where it can."""
    absent = [program for program in ("xelatex", "latexmk") if not shutil.which(program)]
    if not absent and shutil.which("fc-list"):
        listed = subprocess.run(["fc-list", ":", "file"], stdout=subprocess.PIPE, text=True).stdout
        absent = [f"the font {font}" for font in ("FreeSerif.otf", "DejaVuSansMono.ttf") if font not in listed]
    return f"The PDF needs {' and '.join(absent)}. On Debian or Ubuntu: {INSTALL}" if absent else ""


def write_contents(source: Path, title: str) -> dict[str, str]:
    """Put the first page among the others, so that it becomes a chapter like them.

    Args:
        source: folder of the pages, with the site's ``_toc.yml``; the printed book's replaces it.
    Returns:
        What LaTeX must do before a page: begin a part, number chapters or not.
    """
    toc = yaml.safe_load((source / "_toc.yml").read_text())
    (source / f"{CONTENTS}.md").write_text(f"# {title}\n")
    first, *others = toc["parts"]
    before = {toc["root"]: r"\unnumberedchapters"}
    for part in others:
        kind = r"\numberedchapters" if part.get("numbered") else r"\letteredchapters"
        before[part["chapters"][0]["file"]] = f"\\part{{{part['caption']}}}{kind}"
    first = first | {"caption": "Contents"}  # Sphinx heads the table of contents with the first part's caption
    parts = [first | {"chapters": [{"file": toc["root"]}, *first["chapters"]]}, *others]
    listed = {"format": "jb-book", "root": CONTENTS, "parts": parts}
    (source / "_toc.yml").write_text(yaml.safe_dump(listed, sort_keys=False))
    return before


def settings(source: Path, before: dict[str, str]) -> dict[str, Any]:
    """Sphinx's settings: those of the site, and how the book is set."""
    from jupyter_book.config import get_final_config

    about = yaml.safe_load((ROOT / "_config.yml").read_text())
    config, _ = get_final_config(user_yaml=ROOT / "_config.yml", sourcedir=source, cli_config={"latex_individualpages": False})
    config["extensions"] = [name for name in config["extensions"] if name not in SITE_ONLY] + ["print_pages"]
    for name in (
        "external_toc_path",
        "html_theme",
        "html_theme_options",
        "html_logo",
        "html_favicon",
        "latex_doc_overrides",
        "latex_individualpages",
        "comments_config",
    ):
        config.pop(name, None)
    return config | {
        "external_toc_path": "_toc.yml",
        "root_doc": CONTENTS,
        "nitpicky": True,
        "latex_engine": "xelatex",
        "latex_documents": [(CONTENTS, "studiolike.tex", about["title"], about["author"], "manual", True)],
        "latex_elements": ELEMENTS,
        "release": project().version,
        "latex_logo": None,
        "latex_show_urls": "no",
        "latex_domain_indices": False,
        "latex_table_style": ["booktabs", "colorrows"],
        "numfig_format": {"figure": "Figure %s"},
        "print_before": before,
    }


PREAMBLE = r"""
\widowpenalty=10000 \clubpenalty=10000
\setcounter{tocdepth}{1}
\newcommand{\unnumberedchapters}{\setcounter{secnumdepth}{-1}}
\newcommand{\numberedchapters}{\setcounter{secnumdepth}{1}}
\newcommand{\letteredchapters}{\setcounter{secnumdepth}{1}\appendix
  \renewcommand{\thefigure}{\thechapter.\arabic{figure}}\renewcommand{\thetable}{\thechapter.\arabic{table}}}
\usepackage[font=small,labelfont=bf,labelsep=period,skip=3pt]{caption}
\usepackage{pdflscape}
\let\underscore\_ \renewcommand{\_}{\underscore\allowbreak}  % names break in narrow columns
\newcolumntype{T}{L}  % in narrow columns justified lines tear
\newcolumntype{\X}[2]{>{\raggedright\arraybackslash}p{\dimexpr\linewidth*#1/#2-2\tabcolsep\relax}}
\setlength{\tymin}{5em}
\usepackage{etoolbox}
% needspace leaves a half-empty page rather than a ragged one, and a long table that then begins overleaf has its foot there
\AtBeginDocument{\let\needspace\Needspace}
\AtBeginEnvironment{sphinxadmonition}{\needspace{6\baselineskip}}
\pretocmd{\section}{\needspace{9\baselineskip}}{}{}
\pretocmd{\subsection}{\needspace{7\baselineskip}}{}{}
\renewcommand*{\sphinxtablecontinued}[1]{\textsf{continued}}
\makeatletter
\AtBeginDocument{\spx@image@maxheight=.8\textheight}  % the caption needs room too
% the page of the bibliography has a title already, and the text cites authors and years, not labels
\renewenvironment{sphinxthebibliography}[1]
  {\def\@biblabel##1{}\list{}{\leftmargin=2em\itemindent=-2em\labelwidth=0pt\labelsep=0pt}\sloppy}{\endlist}
\makeatother
"""
ELEMENTS = {
    "papersize": "a4paper",
    "pointsize": "10pt",
    "extraclassoptions": "openany,oneside",
    "geometry": r"\usepackage[a4paper,left=24mm,right=24mm,top=25mm,bottom=25mm]{geometry}",
    # DejaVu has every sign that code on a screen may hold
    "fontpkg": (
        r"\setmainfont{FreeSerif.otf}[BoldFont=FreeSerifBold.otf,ItalicFont=FreeSerifItalic.otf,"
        "BoldItalicFont=FreeSerifBoldItalic.otf]\n"
        r"\setsansfont{FreeSans.otf}[BoldFont=FreeSansBold.otf,ItalicFont=FreeSansOblique.otf,"
        "BoldItalicFont=FreeSansBoldOblique.otf]\n"
        r"\setmonofont{DejaVuSansMono.ttf}[BoldFont=DejaVuSansMono-Bold.ttf,ItalicFont=DejaVuSansMono-Oblique.ttf,"
        "BoldItalicFont=DejaVuSansMono-BoldOblique.ttf,Scale=0.85]\n"
    ),
    "fncychap": r"\usepackage[Sonny]{fncychap}",
    "fvset": r"\fvset{fontsize=\footnotesize}",
    "figure_align": "H",  # a figure stands where the text speaks of it
    "makeindex": "",  # the glossary is a chapter, and an index would hold nothing else
    "printindex": "",
    "preamble": PREAMBLE,
}


def write_latex(source: Path, config: dict[str, Any], out: Path) -> list[str]:
    """Let Sphinx write LaTeX; returns its warnings."""
    import io

    from sphinx.application import Sphinx

    warned = io.StringIO()
    here = Path.cwd()
    os.chdir(source)  # the settings' paths are relative
    try:
        app = Sphinx(source, None, out, out.parent / "trees", "latex", config, status=None, warning=warned)
        app.build()
    finally:
        os.chdir(here)
    told = re.sub(r"\x1b\[[0-9;]*m", "", warned.getvalue())
    return [line for line in told.splitlines() if line.strip()]


def typeset(folder: Path) -> Path:
    """Run XeLaTeX until nothing changes.

    Raises:
        BookError: it fails.
    """
    command = [
        "latexmk",
        "-norc",
        "-xelatex",
        "-interaction=nonstopmode",
        "-halt-on-error",
        "-file-line-error",
        "-quiet",
        "studiolike.tex",
    ]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    if done.returncode or not (folder / "studiolike.pdf").exists():
        log = folder / "studiolike.log"
        said = log.read_text(errors="replace") if log.exists() else done.stdout
        wrong = [line for line in said.splitlines() if re.match(r"(\S+\.(tex|sty|aux):\d+:|! )", line)]
        raise BookError("XeLaTeX failed:\n" + "\n".join(wrong[:10] or said.splitlines()[-20:]))
    return folder / "studiolike.pdf"


def faults(log: str) -> list[str]:
    """What a reader would stumble over, by XeLaTeX's own account."""
    found = sorted(set(re.findall(r"Missing character: .*", log)))
    found += sorted(
        set(re.findall(r"LaTeX Warning: (?:(?:Reference|Citation|Hyper reference) .* undefined|Label .* multiply)", log))
    )
    wide = re.findall(r"(Overfull \\hbox \((\d+)\.\d+pt too wide\).*)", log)
    return found + [line for line, points in wide if int(points) >= STICKS_OUT]


@tool
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Make one PDF of the executed chapters and the pages.")
    parser.add_argument("--profile", choices=PROFILES, default="cpu")
    parser.add_argument("--chapters", nargs="*", default=[], help="some only, to look at; what is wrong is told, and is no error")
    parser.add_argument("--check", action="store_true", help="only say whether it can be made here; exit code 2 if not")
    options = parser.parse_args(arguments)
    if lacking := missing():
        print(lacking, file=sys.stderr)
        return 2
    if options.check:
        return 0
    began = time.monotonic()
    shutil.rmtree(FOLDER, ignore_errors=True)
    source = build.assemble(options.profile, chapters(options.chapters), FOLDER / "source", printed=True)
    before = write_contents(source, yaml.safe_load((ROOT / "_config.yml").read_text())["title"])
    print("writing LaTeX with Sphinx", flush=True)
    found = write_latex(source, settings(source, before), FOLDER / "latex")
    print("setting it with XeLaTeX", flush=True)
    made = typeset(FOLDER / "latex")
    log = (FOLDER / "latex" / "studiolike.log").read_text(errors="replace")
    if found := [*found, *faults(re.sub(r"(?<=.{79})\n", "", log))]:
        said = "the PDF is not as it should be:\n" + "\n".join(found)
        if not options.chapters:
            raise BookError(said)
        print(said)
    target = BUILD / "studiolike.pdf"
    made.replace(target)
    pages = re.search(r"Output written on .*?\((\d+) pages?", log)
    size, seconds = target.stat().st_size / 2**20, time.monotonic() - began
    print(f"the book is in _build/studiolike.pdf ({pages[1] if pages else '?'} pages, {size:.1f} MB, {seconds:.0f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
