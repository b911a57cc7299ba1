"""The files at the top: one address, one version, nothing of a machine, commands that explain themselves."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
ABOUT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
MACHINE = re.compile(
    r"(?<![\w.:])/(?:work|farm|root|home|Users|mnt|opt|private)/[\w.-]+|(?<![\w.:])/tmp/[\w.-]+"
    r"|pypi\.org|pythonhosted\.org|download\.pytorch\.org/whl|registry\.npmjs|conda\.anaconda\.org"
)


def tracked():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def text_of(path):
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


def test_tracked_files_name_no_machine_path_and_no_package_registry():
    found = {
        path.relative_to(ROOT).as_posix(): match.group()
        for path in tracked()
        if path != Path(__file__)
        for match in [MACHINE.search(text_of(path))]
        if match
    }
    assert not found


def test_tracked_files_are_small():
    # released weights together stay under 40 MB, and no single file is a surprise for who clones
    large = {path.name: path.stat().st_size for path in tracked() if path.stat().st_size > 16 * 2**20}
    assert not large


def test_the_address_of_the_repository_is_the_same_everywhere():
    address = ABOUT["urls"]["Repository"]
    slug = address.split("github.com/")[1]
    config = yaml.safe_load((ROOT / "_config.yml").read_text())
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert config["repository"]["url"] == address
    assert citation["repository-code"] == address
    assert citation["url"] == ABOUT["urls"]["Homepage"]
    for name in ("README.md", "book/index.md"):
        assert set(re.findall(r"github\.com/([\w.-]+/studiolike)\b", (ROOT / name).read_text())) == {slug}


def test_whoever_is_told_to_install_the_package_is_told_where_it_is():
    """No package index has it: a bare name would give nothing, or somebody else's package."""
    from studiolike import errors

    assert errors.REPOSITORY == ABOUT["urls"]["Repository"]
    assert errors.install_command("capture") in str(errors.MissingExtra("capture", "av"))
    for name in ("README.md", "book/own-face.md"):
        assert errors.install_command("capture").removeprefix("pip install ") in text_of(ROOT / name)
    bare = re.compile(r"pip install\b[^\n`]*?['\" ]studiolike(?:\[[^\]]*\])?(?! @ git\+)['\"`\s]")
    assert bare.search("pip install 'studiolike[capture]'") and bare.search("pip install studiolike\n")
    found = [path.relative_to(ROOT).as_posix() for path in tracked() if path != Path(__file__) and bare.search(text_of(path))]
    assert not found


def test_the_version_is_the_same_everywhere():
    import studiolike

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert studiolike.__version__ == ABOUT["version"] == citation["version"]


def test_make_help_lists_every_target_a_reader_may_want():
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    listed = dict(re.findall(r"^  ([a-z]+) +(\S.{10,})$", shown, re.MULTILINE))
    assert set(listed) >= set("book test serve weights bench lint notebooks clean help".split())
    phony = re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1].split()
    assert set(listed) == set(phony)


@pytest.mark.parametrize("target", "book test serve weights bench lint notebooks".split())
def test_every_command_sets_up_its_own_environment(target):
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(rf"^{target}: \$\(INSTALLED\) .*## ", makefile, re.MULTILINE)
    assert re.search(r"^\$\(INSTALLED\): requirements\.lock pyproject\.toml", makefile, re.MULTILINE)


def test_an_unknown_profile_is_refused_before_anything_runs():
    import execute

    with pytest.raises(SystemExit) as stop:
        execute.main(["--profile", "huge"])
    assert stop.value.code == 2


def test_ci_checks_the_style_and_runs_the_two_commands_of_the_readme():
    script = ROOT / ".ci" / "run"
    commands = [line for line in script.read_text().splitlines() if line.startswith("make ")]
    assert commands == ["make lint", "make test", "make book PROFILE=smoke"]
    assert "set -euo pipefail" in script.read_text()
    assert script.stat().st_mode & 0o111
    readme = (ROOT / "README.md").read_text()
    assert "make book" in readme and "make test" in readme


@pytest.mark.parametrize("path", sorted((ROOT / ".github" / "workflows").glob("*.yml")), ids=lambda path: path.stem)
def test_every_step_of_a_workflow_says_why(path):
    lines = path.read_text().splitlines()
    steps = [number for number, line in enumerate(lines) if re.match(r" {6}- (uses|run|id|name):", line)]
    assert len(steps) == sum(len(job["steps"]) for job in yaml.safe_load(path.read_text())["jobs"].values())
    silent = [lines[number] for number in steps if not lines[number - 1].strip().startswith("#")]
    assert not silent


def test_the_workflows_test_build_publish_and_start_from_nothing():
    texts = {path.stem: path.read_text() for path in (ROOT / ".github" / "workflows").glob("*.yml")}
    assert "make test" in texts["tests"]
    assert "make book" in texts["book"] and "actions/deploy-pages" in texts["book"]
    assert "schedule" in texts["weekly"] and ".ci/run" in texts["weekly"] and "cache" not in texts["weekly"].split("steps")[1]


def test_licence_and_notice_name_what_is_in_the_package():
    assert "MIT License" in (ROOT / "LICENSE").read_text()
    notice = (ROOT / "NOTICE").read_text()
    for word in ("MediaPipe", "Apache License 2.0", "NASA", "MathJax", "2407.19593"):
        assert word in notice


def test_the_page_on_real_sets_imports_at_the_size_that_the_profile_trains_at():
    from studiolike.config import profile

    page = (ROOT / "book" / "real-sets.md").read_text()
    size = profile("cpu").data.resolution
    assert f"data/ava-set --size {size}" in page and f"{size} in the example is that of `cpu`" in page
