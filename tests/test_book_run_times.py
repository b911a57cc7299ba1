"""What a chapter costs is kept from runs and told before somebody runs it."""

import json

import pytest

import run_times
from notebooks import colab_flavour, names_of
from project import ROOT, BookError, chapters

SOURCES = chapters()
RECORD = {"seconds": 197.0, "peak_memory": 2048, "device": "CPU", "cores": 2, "torch": "2.11", "commit": "abc", "key": "x"}
RECORD |= {"threads": None, "at_a_time": 1}


def ran(folder, profile, **changes):
    path = folder / "build" / "records" / profile / "ch01.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(RECORD | changes))
    return run_times.keep(profile, folder / "build", folder / "timings.json", ["ch01"])


def test_a_run_is_kept_beside_those_of_other_profiles(tmp_path):
    ran(tmp_path, "gpu", device="Tesla T4")
    ran(tmp_path, "cpu", seconds=20.0)
    ran(tmp_path, "cpu")
    kept = run_times.load(tmp_path / "timings.json")
    assert list(kept) == ["cpu", "gpu"] and "key" not in kept["cpu"]["ch01"]
    assert kept["cpu"]["ch01"]["seconds"] == 197.0 and kept["gpu"]["ch01"]["device"] == "Tesla T4"
    with pytest.raises(BookError, match="PROFILE=smoke"):
        run_times.keep("smoke", tmp_path / "build", tmp_path / "timings.json", ["ch01"])


def test_the_page_has_a_column_for_every_profile_with_figures_and_names_those_without(tmp_path):
    cpu = ran(tmp_path, "cpu")
    alone = run_times.table({"ch01": "Data", "ch02": "More"}, cpu)
    assert "| Data | 3.3 min, 2.0 GB |" in alone and "| More | – |" in alone and "measured `gpu` yet" in alone
    both = run_times.table({"ch01": "Data"}, ran(tmp_path, "gpu", device="Tesla T4", seconds=30))
    assert "`cpu`, 2 cores, CPU | `gpu`, 2 cores, Tesla T4 |" in both and "3.3 min, 2.0 GB | 30 s, 2.0 GB |" in both
    assert "yet" not in both and run_times.table({"ch01": "Data"}, {}) == ""


def test_times_of_chapters_that_ran_together_say_so_and_are_added_up(tmp_path):
    together = ran(tmp_path, "cpu", threads=1, at_a_time=2)
    assert run_times.expected("ch01", "cpu", together).endswith("on 2 cores, 2 chapters at a time with 1 thread each, CPU")
    costs = {"ch07-your-capture": together["cpu"]["ch01"]}
    assert "the times of all chapters add up to 3.3 min" in run_times.fill(run_times.MEMORY, {"cpu": costs})
    alone = {"ch07-your-capture": RECORD}
    assert "On 2 cores, CPU, all chapters took 3.3 min" in run_times.fill(run_times.MEMORY, {"cpu": alone})


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_every_chapter_says_in_its_head_and_when_it_is_set_up_what_it_will_take(source):
    costs = run_times.load()
    assert source.stem in costs["cpu"], "run make book, then book/tools/released.py"
    cells = json.loads(colab_flavour(source, names_of([source])))["cells"]
    head, setup = "".join(cells[1]["source"]), "".join(cells[2]["source"])
    assert run_times.note(source.stem, costs) in head
    for profile in run_times.READERS:
        told = run_times.expected(source.stem, profile, costs)
        assert told in head and told in setup and " COST" not in setup
        one = costs.get(profile, {}).get(source.stem)
        assert (f"{one['peak_memory'] / 1024:.1f} GB of memory" if one else "nobody has measured") in told


def test_pages_where_one_starts_say_how_much_memory_it_takes():
    costs = {"cpu": {name.stem: RECORD for name in SOURCES}}
    costs["cpu"]["ch07-your-capture"] = RECORD | {"peak_memory": 6144}
    for name, sentence in (
        ("index.md", "the most memory, 6.0 GB, was taken by {ref}`ch07`"),
        ("own-face.md", "took at most 6.0 GB"),
    ):
        text = (ROOT / "book" / name).read_text(encoding="utf-8")
        assert sentence in run_times.fill(text, costs) and "<!-- memory" not in run_times.fill(text, costs)
        with pytest.raises(BookError, match="timings.json"):
            run_times.fill(text, {})
