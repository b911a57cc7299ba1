"""Running chapters: a failing cell fails, an unknown parameter fails, what was shown can be checked again."""

import json

import pytest

import execute
import parameters
import side_by_side
import validate
from notebooks import colab_flavour, names_of
from project import BookError

CHAPTER = """\
# %% [markdown]
# # The title

# %% tags=["parameters"]
profile = "auto"
steps = 2

# %%
print(f"profile {{profile}}, {{steps}} steps")

# %%
{last}
"""


def write(folder, last, name="ch01-title"):
    path = folder / f"{name}.py"
    path.write_text(CHAPTER.format(last=last))
    return path


def outputs(path):
    return [
        "".join(output.get("text", output.get("data", {}).get("text/plain", "")))
        for cell in json.loads(path.read_text())["cells"]
        for output in cell.get("outputs", [])
    ]


@pytest.mark.slow
def test_a_chapter_runs_with_its_profile_and_is_not_run_twice(tmp_path, capfd):
    source, build = write(tmp_path, "1 + 1"), tmp_path / "_build"
    (record,) = execute.run_chapters([source], "smoke", {"steps": 3}, build=build)
    executed = build / "notebooks" / "smoke" / "ch01-title.ipynb"
    assert outputs(executed) == ["profile smoke, 3 steps\n", "2"]
    assert record.seconds > 0 and record.peak_memory > 20 and record.profile == "smoke"
    assert json.loads((build / "records" / "smoke" / "ch01-title.json").read_text())["key"] == record.key
    assert "papermill" not in json.loads(executed.read_text())["metadata"]

    assert execute.run_chapters([source], "smoke", {"steps": 3}, build=build) == [record]
    said = capfd.readouterr()
    assert "nothing changed" in said.out and "over TCP" not in said.err  # ports of this machine are open to everybody on it
    different = [({"steps": 4}, None), ({}, None), ({}, 1), ({}, 2)]
    assert len({execute.key_of(source.read_text(), "smoke", *given) for given in different}) == len(different)


@pytest.mark.slow
def test_two_chapters_run_beside_each_other_with_a_thread_each_and_the_first_that_fails_ends_the_other(
    tmp_path, monkeypatch, capfd
):
    monkeypatch.setattr(side_by_side, "lanes", lambda on_gpu, profile: (2, 1))
    wait = (
        "import os, pathlib, time; print(os.environ['OMP_NUM_THREADS']); pathlib.Path('{}').touch(); deadline = time.time() + 60"
    )
    meet = wait + "\nwhile not pathlib.Path('{}').exists(): assert time.time() < deadline; time.sleep(0.05)"
    sources = [write(tmp_path, meet.format(*pair), name) for name, pair in {"ch01-a": "ab", "ch02-b": "ba"}.items()]
    build = tmp_path / "_build"
    records = execute.run_chapters(sources, "smoke", {}, build=build)
    assert [(record.chapter, record.threads, record.at_a_time) for record in records] == [("ch01-a", 1, 2), ("ch02-b", 1, 2)]
    assert outputs(build / "notebooks" / "smoke" / "ch02-b.ipynb")[1] == "1\n"
    said = capfd.readouterr()
    assert "\r" not in said.out + said.err  # no half-drawn bars

    for letter in "ab":  # now the one waits for what the other never does
        (build / "work" / "smoke" / letter).unlink()
    write(tmp_path, wait.format("c") + "\n1 / 0", "ch02-b")
    with pytest.raises(BookError, match="ch02-b: cell .* ZeroDivisionError"):
        execute.run_chapters(sources, "smoke", {}, build=build, force=True)
    assert "ch01-a: " not in capfd.readouterr().out.replace("ch01-a: running", "")
    assert outputs(build / "notebooks" / "smoke" / "ch01-a.ipynb")[1] == "1\n"  # of the last good run


@pytest.mark.slow
def test_a_failing_cell_fails_and_leaves_the_last_good_run(tmp_path):
    source, build = write(tmp_path, "raise ValueError('the light came back')"), tmp_path / "_build"
    good = build / "notebooks" / "smoke" / "ch01-title.ipynb"
    good.parent.mkdir(parents=True)
    good.write_text("the last good one")
    with pytest.raises(BookError, match="ch01-title: cell .* ValueError: the light came back"):
        execute.run_chapters([source], "smoke", {}, build=build)
    assert good.read_text() == "the last good one"
    assert not (build / "records" / "smoke" / "ch01-title.json").exists()
    assert (build / "notebooks" / "smoke" / "ch01-title.failed.ipynb").exists()


@pytest.mark.slow
def test_a_warning_that_readers_would_see_fails(tmp_path):
    source = write(tmp_path, "import warnings\nwarnings.warn('too dark')")
    with pytest.raises(BookError, match="(?s)ch01-title: a cell warned.*UserWarning: too dark"):
        execute.run_chapters([source], "smoke", {}, build=tmp_path / "_build")


def test_an_unknown_parameter_fails_before_anything_runs(tmp_path):
    source = write(tmp_path, "1 + 1")
    with pytest.raises(BookError, match="there is no parameter 'step'; it has: profile, steps"):
        execute.run_chapters([source], "smoke", {"step": 3}, build=tmp_path / "_build")
    assert not (tmp_path / "_build").exists()


@pytest.mark.parametrize("line", ["import torch", "steps = max(1, 2)", "a, b = 1, 2", "x[0] = 1"])
def test_the_parameters_cell_holds_literals_only(line):
    cell = {"metadata": {"tags": ["parameters"]}, "source": f'profile = "cpu"\n{line}'}
    with pytest.raises(BookError, match="name = literal"):
        parameters.parameters_of({"cells": [cell]}, "ch01")


def test_a_chapter_without_parameters_is_refused():
    with pytest.raises(BookError, match="exactly one cell"):
        parameters.parameters_of({"cells": [{"metadata": {}, "source": ""}]}, "ch01")


def test_the_package_hash_follows_the_package(tmp_path, monkeypatch):
    (tmp_path / "studiolike").mkdir()
    file = tmp_path / "studiolike" / "a.py"
    monkeypatch.setattr(execute, "ROOT", tmp_path)
    hashes = set()
    for text in ("a = 1", "a = 2"):
        file.write_text(text)
        execute.package_hash.cache_clear()
        hashes.add(execute.package_hash())
    execute.package_hash.cache_clear()
    assert len(hashes) == 2


# --- the second run, with nbval


def executed(source, results):
    """What papermill would have left, with these texts as the results of the code cells after the parameters."""
    notebook = json.loads(execute.book_flavour(source))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"][1:]
    for cell, text in zip(code, results, strict=True):
        cell["execution_count"] = 1
        cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": [text]}]
    injected = {
        "cell_type": "code",
        "execution_count": 1,
        "id": "injected-parameters",
        "outputs": [],
        "metadata": {"tags": ["injected-parameters", "remove-cell"]},
        "source": ['profile = "smoke"\n'],
    }
    notebook["cells"].insert(2, injected)
    return notebook


def test_the_committed_notebook_gets_outputs_and_parameters_of_the_run(tmp_path):
    source = write(tmp_path, "print(2)")
    committed = json.loads(colab_flavour(source, names_of([source])))
    merged = validate.reference(committed, executed(source, ["a\n", "2\n"]), "ch01-title")
    sources = ["".join(cell["source"]) for cell in merged["cells"] if cell["cell_type"] == "code"]
    assert sources[1].startswith('profile = "auto"') and sources[2] == 'profile = "smoke"\n'
    assert merged["cells"][-1]["outputs"][0]["text"] == ["2\n"]


def test_a_committed_notebook_with_other_code_is_refused(tmp_path):
    source = write(tmp_path, "print(2)")
    run = executed(source, ["a\n", "2\n"])
    write(tmp_path, "print(3)")
    committed = json.loads(colab_flavour(source, names_of([source])))
    with pytest.raises(BookError, match="make notebooks"):
        validate.reference(committed, run, "ch01-title")


@pytest.mark.slow
@pytest.mark.parametrize("at_a_time", [1, 2])
def test_a_result_that_does_not_repeat_fails_and_one_that_does_passes(tmp_path, monkeypatch, capfd, at_a_time):
    target, records = (tmp_path / "_build" / name / "smoke" for name in ("notebooks", "records"))
    for folder in (target, records):
        folder.mkdir(parents=True)
    sources = []
    for name, stored in (("ch01-lucky", "3\n"), ("ch02-steady", "2\n")):
        sources.append(source := write(tmp_path, "import os\nprint(os.environ['OMP_NUM_THREADS'])", name))
        run = executed(source, ["profile smoke, 2 steps\n", stored])
        (target / f"{name}.ipynb").write_text(json.dumps(run))
        (records / f"{name}.json").write_text(json.dumps({"threads": 2, "seconds": 1.0, "peak_memory": 100.0}))
        source.with_suffix(".ipynb").write_text(colab_flavour(source, names_of([source])))
    monkeypatch.setattr(validate, "BUILD", tmp_path / "_build")
    monkeypatch.setattr(validate, "NOTEBOOKS", tmp_path)
    monkeypatch.setattr(validate, "chapters", lambda only: sources)
    monkeypatch.setattr(side_by_side, "lanes", lambda on_gpu, profile: (at_a_time, 2))
    assert validate.main(["--profile", "smoke"]) == 1
    said = capfd.readouterr()
    assert "1 failed, 4 passed" in said.out and "FAILED ch01-lucky.ipynb::Cell 4" in said.out
    assert "5 passed" in said.out and "FAILED ch01-lucky: it does not run" in said.err and "1 of 2 chapters" in said.out
