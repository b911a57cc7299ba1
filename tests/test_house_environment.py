"""What is installed: pyproject decides, the lock and the conda environment agree with it."""

import importlib
import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PYPROJECT["project"]["optional-dependencies"]
LOCK = (ROOT / "requirements.lock").read_text()
CONDA_NAMES = {"pytorch": "torch"}  # conda-forge's name → PyPI's


def split(requirement):
    name, bounds = re.fullmatch(r"([A-Za-z0-9_.-]+)(.*)", requirement).groups()
    return re.sub(r"[-_.]+", "-", name).lower(), bounds


def wanted():
    groups = [PYPROJECT["project"]["dependencies"], EXTRAS["book"], EXTRAS["dev"]]
    return dict(split(requirement) for group in groups for requirement in group)


def conda():
    listed = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    from_pip = next(entry["pip"] for entry in listed if isinstance(entry, dict))
    plain = [entry for entry in listed if isinstance(entry, str)]
    return plain + [entry for entry in from_pip if not entry.startswith("--")]


def test_environment_yml_has_the_names_and_bounds_of_pyproject():
    found = dict(split(entry) for entry in conda())
    found = {CONDA_NAMES.get(name, name): bounds for name, bounds in found.items()}
    assert found.pop("python") == PYPROJECT["project"]["requires-python"]
    for tool in ("pip", "make"):  # of conda users only
        found.pop(tool)
    assert found == wanted()


def test_every_package_in_environment_yml_says_why_it_is_there():
    lines = (ROOT / "environment.yml").read_text().splitlines()
    packages = [line for line in lines if re.match(r"\s+- (?!pip:)[a-z-]", line) and "conda-forge" not in line]
    assert len(packages) > 30
    silent = [line for line in packages if not re.search(r"  # \w.{5,}", line)]
    assert not silent


def test_only_jupyter_book_has_an_upper_bound():
    every = [*PYPROJECT["project"]["dependencies"], *(entry for extra in EXTRAS.values() for entry in extra)]
    bounded = [split(entry)[0] for entry in every if re.search(r"<|==|~=|!=", entry)]
    assert bounded == ["jupyter-book"]
    assert all(">=" in entry for entry in every), "every package needs the lower bound that was tried"


def test_the_installed_jupyter_book_is_version_1():
    # 2.x is another program: no glue, no Sphinx extensions, and a template from the network at build.
    # A plain `pip install jupyter-book` gives 2.x, so this is worth a test.
    assert importlib.metadata.version("jupyter-book").split(".")[0] == "1"


def test_the_lock_has_hashes_and_no_addresses():
    assert not re.search(r"https?://|index-url|find-links|file:", LOCK)
    blocks = re.split(r"\n(?=[a-z0-9])", re.sub(r"\A(#.*\n)+", "", LOCK))
    assert len(blocks) > 100
    assert all("--hash=sha256:" in block for block in blocks), [b[:40] for b in blocks if "--hash" not in b]
    assert all(re.match(r"[a-z0-9-]+==[^\s;]+( ; .*)? \\\n", block) for block in blocks)


@pytest.mark.parametrize("name, bounds", sorted(wanted().items()))
def test_the_lock_has_what_pyproject_asks_for(name, bounds):
    from packaging.specifiers import SpecifierSet

    versions = re.findall(rf"^{re.escape(name)}==([^\s;]+)", LOCK, re.MULTILINE)
    assert versions, f"{name} is not in requirements.lock: run make lock"
    assert all(version in SpecifierSet(bounds) for version in versions)


def test_landmarks_need_no_library_beside_the_plain_installation():
    heavy = r"^(mediapipe|opencv|tensorflow|ai-edge-litert)"
    assert not re.search(heavy, LOCK, re.MULTILINE)
    wanted = [*PYPROJECT["project"]["dependencies"], *EXTRAS["capture"]]
    assert not any(re.match(f"{heavy}|onnxruntime", entry) for entry in wanted), "tests alone compare with it"


def test_the_command_line_is_where_pyproject_says():
    module, _, name = PYPROJECT["project"]["scripts"]["studiolike"].partition(":")
    assert callable(getattr(importlib.import_module(module), name))
