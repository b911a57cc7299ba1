"""The results of the released run, for notebooks that have not run yet."""

import json

import pytest

import released
from project import BookError


def executed(**values):
    outputs = [
        {"data": {released.MIME: repr(value)}, "metadata": {"scrapbook": {"name": name}}, "output_type": "display_data"}
        for name, value in values.items()
    ]
    return {"cells": [{"cell_type": "code", "outputs": outputs}, {"cell_type": "markdown"}]}


@pytest.fixture
def book(tmp_path, monkeypatch):
    def write(**chapters):
        paths = []
        for name, values in chapters.items():
            for folder, text in (("notebooks", executed(**values)), ("records", RECORD)):
                path = tmp_path / folder / "cpu" / f"{name}.{'ipynb' if folder == 'notebooks' else 'json'}"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps(text))
            paths.append(tmp_path / f"{name}.py")
        monkeypatch.setattr(released, "BUILD", tmp_path)
        monkeypatch.setattr(released, "RELEASED", tmp_path / "released.json")
        monkeypatch.setattr(released, "chapters", lambda: paths)
        monkeypatch.setattr(released.run_times, "TIMINGS", tmp_path / "timings.json")
        return tmp_path

    return write


RECORD = {"cores": 2, "threads": 1, "at_a_time": 2, "device": "CPU", "torch": "2.11", "commit": "abc"}
RECORD |= {"seconds": 20.0, "peak_memory": 1024}


def test_results_are_kept_with_six_digits_and_the_run_they_are_from(book, capsys):
    folder = book(ch01={"ch01_b": 1 / 3, "ch01_a": "closes both"}, ch02={"ch02_n": 7, "ch02_yes": True})
    assert released.main([]) == 0
    values = json.loads((folder / "released.json").read_text())
    assert values == {
        "released_run": "profile cpu, 2 cores, 2 chapters at a time with 1 thread each, CPU, torch 2.11, commit abc",
        "ch01_a": "closes both",
        "ch01_b": 0.333333,
        "ch02_n": 7,
        "ch02_yes": True,
    }
    costs = json.loads((folder / "timings.json").read_text())["cpu"]
    assert set(costs) == {"ch01", "ch02"} and costs["ch01"]["seconds"] == 20.0


def test_a_name_used_twice_and_a_chapter_that_did_not_run_are_told(book, capsys):
    book(ch01={"x": 1.0}, ch02={"x": 2.0})
    assert released.main([]) == 1 and "named in another chapter" in capsys.readouterr().err
    assert released.main(["--profile", "smoke"]) == 1 and "run make book PROFILE=smoke" in capsys.readouterr().err
    with pytest.raises(BookError):
        released.collect("gpu")
