"""Colab's packages stay what they are when the set-up cell installs the project among them."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import colab
from notebooks import SETUP
from project import NOTEBOOKS, ROOT

PACKAGES = ROOT / "tests/colab/packages.txt"
# what could not be had is no fault of the project; a resolver that found an index and no solution says so
ENVIRONMENT = os.environ | {"UV_PYTHON_DOWNLOADS": "never"}
OFFLINE = re.compile(r"error sending request|failed to (fetch|lookup)|connection|timed out|dns|could not connect", re.IGNORECASE)


def installed() -> dict[str, str]:
    """Name (normalised) → version of what Colab has."""
    lines = PACKAGES.read_text().splitlines()
    pairs = (line.split("==") for line in lines if "==" in line and not line.startswith("#"))
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in pairs}


def uv() -> str:
    for place in (ROOT / ".venv-boot/bin/uv", Path(sys.prefix).parent / ".venv-boot/bin/uv"):
        if place.is_file():
            return str(place)
    return shutil.which("uv") or pytest.skip("no uv: make setup installs it")


def resolve(*options: str) -> dict[str, str]:
    """What an installation of the project comes to, with wheels alone."""
    command = [uv(), "pip", "compile", "pyproject.toml", "--no-header", "--no-annotate", "--only-binary", ":all:", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, env=ENVIRONMENT)
    if done.returncode and OFFLINE.search(done.stderr) and "No solution found" not in done.stderr:
        pytest.skip(f"no package index: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    return dict(line.split(" ")[0].split("==") for line in done.stdout.splitlines() if "==" in line)


def test_the_project_installs_into_colab_and_replaces_nothing_there():
    colab = installed()
    platform = ("--python-version", "3.13", "--python-platform", "x86_64-manylinux_2_28")
    wanted = resolve(*platform, "-c", str(PACKAGES))
    kept = wanted.keys() & colab.keys()
    assert {name: wanted[name] for name in kept} == {name: colab[name] for name in kept}
    assert wanted["torch"] == "2.11.0" and wanted["numpy"] == "2.1.3"
    # torch brings its own CUDA packages, of which Colab's file has other names
    new = {name for name in wanted.keys() - colab.keys() if not name.startswith(("nvidia-", "cuda-", "triton"))}
    assert new <= {"torchmetrics", "lightning-utilities", "pi-heif", "tyro"}, "a reader waits for what is not there yet"


@pytest.mark.parametrize(
    "python, platform",
    [
        ("3.11", "x86_64-manylinux_2_28"),
        ("3.13", "x86_64-manylinux_2_28"),
        ("3.13", "aarch64-apple-darwin"),
        ("3.13", "x86_64-pc-windows-msvc"),
    ],
)
def test_there_are_wheels_for_the_oldest_and_the_newest_python_on_every_system(python, platform):
    assert "torch" in resolve("--python-version", python, "--python-platform", platform, "--extra", "capture")


def test_what_the_set_up_cell_keeps_is_what_colab_has():
    kept = re.search(r"for package in \((.*?)\):", SETUP)[1]
    names = set(re.findall(r'"([a-z-]+)"', kept))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    heavy = {"torch", "numpy", "scipy", "pillow"}  # compiled, and loaded before the set-up cell or by what is
    assert heavy < names <= installed().keys()
    assert heavy <= {re.split(r"[<>=]", entry)[0] for entry in project}


def test_ones_own_picture_in_colab_keeps_what_the_notebooks_keep():
    cell = (ROOT / "book/own-face.md").read_text(encoding="utf-8").split("## In Colab")[1].split("```")[1]
    kept = re.search(r"grep -iE '\^\(([a-z|]+)\)==' > constraints.txt", cell)[1]
    assert set(kept.split("|")) == set(re.findall(r'"([a-z-]+)"', re.search(r"for package in \((.*?)\):", SETUP)[1]))
    assert cell.index("> constraints.txt") < cell.index("pip install -q -c constraints.txt 'studiolike[capture] @ git+")


def test_colab_has_the_widgets_and_the_shell_that_the_chapters_may_ask_for():
    colab = installed()
    book = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["book"]
    for name in ("ipywidgets", "matplotlib"):
        least = next(entry for entry in book if entry.startswith(name)).split(">=")[1]
        assert tuple(map(int, colab[name].split(".")[:2])) >= tuple(map(int, least.split(".")[:2])), name


def test_the_sliders_that_are_tried_among_colabs_packages_draw_and_are_noticed_when_they_do_not(monkeypatch):
    import torch

    from studiolike.chapters.live import explore

    source = colab.sliders(NOTEBOOKS / f"{colab.EXPLORED}.ipynb")
    assert source.startswith("explore(") and "image_grid(sample(g_phone" in source  # names of the first cells alone
    texels = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert colab.move(explore(lambda psi: texels * psi, "noise", psi=(0.1, 1.0, 0.5)))
    assert not colab.move(explore(lambda psi: texels, "the same", psi=(0.1, 1.0, 0.5)))


@pytest.mark.parametrize("notebook", sorted(NOTEBOOKS.glob("ch*.ipynb")), ids=lambda path: path.stem[:4])
def test_every_chapter_is_tried_among_colabs_packages_in_its_smallest_size(notebook):
    setup, parameters, *_ = colab.first_cells(notebook)
    chosen = {}
    exec(parameters, chosen)
    assert chosen["profile"] == "smoke" and f"git+file://{ROOT}@" in setup and "git+https" not in setup


def test_the_contract_with_colab_and_the_printed_form_are_tried_every_week():
    weekly = (ROOT / ".github/workflows/weekly.yml").read_text()
    assert "run: make colab" in weekly and "run: make pdf" in weekly and "path: _build/studiolike.pdf" in weekly
    packages = re.search(r"apt-get install --no-install-recommends ([\w -]+)`", (ROOT / "CONTRIBUTING.md").read_text())[1]
    assert packages in re.sub(r"\s+", " ", weekly)
    tests = (ROOT / ".github/workflows/tests.yml").read_text()
    assert "if: always()" in tests and "path: _build/screenshots" in tests
