"""The course made from the chapters: students get no solution, teachers get everything, and all of it opens."""

import csv
import io
import json
import re
import subprocess
import sys

import nbformat
import pytest

import course
import grading
import handouts
from exercises import POINTS, POSSIBLE, read_exercises
from notebooks import book_flavour, names_of, read_cells
from pages import Page
from project import BookError, chapters
from schedules import fill, load_plan
from slides import deck, read_slides

NAMES = [source.stem for source in chapters()]
ASKED = {source.stem: read_exercises(read_cells(source), source.stem) for source in chapters()}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A course of which chapter 3 has been run: every cell took 2 s and showed a picture."""
    folder = tmp_path_factory.mktemp("course")
    source = next(source for source in chapters() if source.stem.startswith("ch03"))
    ran = json.loads(book_flavour(source))
    code = [cell for cell in ran["cells"] if cell["cell_type"] == "code"]
    for cell in code:
        picture = {"output_type": "display_data", "data": {"image/png": PIXEL}, "metadata": {"image/png": {"alt": "A <dot>"}}}
        cell["outputs"] = [picture]
    for path, content in {
        f"notebooks/smoke/{source.stem}.ipynb": ran,
        f"records/smoke/cells/{source.stem}.json": {cell["id"]: 2.0 for cell in code},
    }.items():
        (folder / "build" / path).parent.mkdir(parents=True)
        (folder / "build" / path).write_text(json.dumps(content))
    return course.make("smoke", folder / "course", folder / "build")


def text_of(made, kind, name):
    cells = json.loads((made / kind / f"{name}.ipynb").read_text())["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells)


def test_everything_that_a_teacher_was_promised_is_there(made):
    for name in NAMES:
        for path in (f"student/{name}.ipynb", f"instructor/{name}.ipynb", f"slides/{name}.html", f"quiz/{name}.md"):
            assert (made / path).stat().st_size > 300, path
    for path in ("instructor/quiz-answers.md", "six-weeks.md", "one-day.md", "grading-sheet.csv", "grading.md", "README.md"):
        assert (made / path).stat().st_size > 300, path
    assert (made / "slides" / "mathjax.js").stat().st_size > 1_000_000
    assert not list(made.parent.glob("*.new"))


@pytest.mark.parametrize("kind", ["student", "instructor"])
@pytest.mark.parametrize("name", NAMES)
def test_the_notebooks_are_valid_and_have_no_markup_of_the_book(made, kind, name):
    notebook = nbformat.read(made / kind / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            compile(re.sub(r"^%.*", "", cell.source, flags=re.MULTILINE), name, "exec")
        else:
            assert not re.search(r"^`{3,}\{", cell.source, re.MULTILINE)


@pytest.mark.parametrize("name", NAMES)
def test_no_solution_and_no_answer_leaks_to_the_students(made, name):
    given = text_of(made, "student", name)
    told = text_of(made, "instructor", name)
    assert "Solution:" not in given and "Solution:" in told
    assert handouts.FOLDED in told and "olded solution" not in given and "colab-badge" not in given
    assert "<details><summary><b>Answer</b>" not in given and "For the teacher" not in given
    for exercise in ASKED[name]:
        assert exercise.title.lower()[:20] in given.lower()
        lines = [
            line for line in exercise.code.splitlines() if line not in exercise.stub and not line.startswith(("import", "from"))
        ]
        lines += [line for line in exercise.solution.split("```")[-1].splitlines() if len(line) > 20 and "{" not in line]
        assert lines
        assert not [line for line in lines if len(line.strip()) > 8 and line in given]
    for _, _, answer in course.read_questions(read_cells(next(s for s in chapters() if s.stem == name))):
        assert not [line for line in answer if len(line) > 20 and "{" not in line and line in given]


@pytest.mark.parametrize("name", NAMES)
def test_students_have_every_stub_and_teachers_every_solution_belief_and_prompt(made, name):
    given, told = text_of(made, "student", name), text_of(made, "instructor", name)
    for exercise in ASKED[name]:
        if exercise.stub:
            assert exercise.stub in given and exercise.stub not in told and exercise.solved in told
            for mistake in handouts.checker(name, exercise.check).mistakes:
                assert mistake.belief in told and mistake.belief not in given
    assert all(prompt in told and prompt not in given for prompt in load_plan()["chapters"][name]["discussion"])


def test_measured_times_stand_above_slow_cells_and_in_a_table(made):
    told, other = text_of(made, "instructor", "ch03-inversion"), text_of(made, "instructor", "ch04-adaptation")
    code = sum(cell["cell_type"] == "code" for cell in read_cells(next(s for s in chapters() if s.stem == "ch03-inversion")))
    assert told.count("# measured: 2 s\n") == code
    assert f"| **all cells** | **{2 * code} s** |" in told and 2 * code < 90
    assert "# measured" not in other and "No cell has been measured" in other


@pytest.mark.parametrize("name", NAMES)
def test_slides_load_nothing_from_elsewhere_and_have_questions_and_prompts(made, name):
    text = (made / "slides" / f"{name}.html").read_text()
    page = Page()
    page.feed(text)
    assert not [address for address in page.loads if address.startswith(("http", "//"))]
    assert text.count("<section ") >= 12 and text.count("<summary><b>Answer</b></summary>") == 3
    assert "To discuss" in text and load_plan()["chapters"][name]["discussion"][0].split("?")[0][:40] in text
    assert "{glue" not in text and "`ch0" not in text and "```" not in text
    assert ("<img " in text) == (name == "ch03-inversion")
    assert name != "ch03-inversion" or 'alt="A &lt;dot&gt;"' in text


def test_a_section_without_a_figure_shows_its_table_once_its_results_are_known():
    claims = {
        "cell_type": "markdown",
        "source": "# T\n\n## Claims\n\nAs told.\n\n| a | b |\n| --- | --- |\n| c | {glue:text}`x:.1f` |",
    }
    drawn = {"cell_type": "code", "source": "", "outputs": [{"data": {"image/png": "AAAA"}}]}

    def shown(values, *more):
        return deck("ch01-data", read_slides([claims, *more], values), [], [], names_of(chapters()))

    assert "<td>2.5</td>" in shown({"x": 2.5}) and "<td>" not in shown({}) and "As told." in shown({})
    told = {"cell_type": "code", "source": "", "outputs": [{"data": {"text/markdown": "**Told**\n\n| a |\n| --- |\n| 3.5 |"}}]}
    assert "<td>3.5</td>" in shown({}, told) and "<td>3.5</td>" not in shown({"x": 2.5}, told)
    points = {"cell_type": "markdown", "source": "## Points\n\nOne. \nTwo.\n- a\n- b\n- c\n\nNot this.\n\n- nor that\n- nor that"}
    assert "<li>c</li>" in shown({}, points) and not re.search("Not this|nor that", shown({}, points))
    assert "<td>" not in shown({"x": 2.5}, drawn) and "<img" in shown({"x": 2.5}, drawn)


def test_quizzes_ask_and_only_the_key_answers(made):
    key = (made / "instructor" / "quiz-answers.md").read_text()
    assert key.count(" ←") == 3 * len(NAMES)
    for name in NAMES:
        asked = (made / "quiz" / f"{name}.md").read_text()
        assert asked.count("- a) ") == 3 and "←" not in asked and "hears" not in asked


def test_both_schedules_have_every_chapter_once_and_the_day_adds_up():
    plan = load_plan()
    assert [name for week in plan["six_weeks"] for name in week["chapters"]] == NAMES and len(plan["six_weeks"]) == 6
    sessions = plan["one_day"]["sessions"]
    assert [name for session in sessions for name in session.get("chapters", [])] == NAMES
    table = fill("<!-- one day -->", chapters()).splitlines()[2:]
    assert table[0].startswith("| 09:00 |") and len(table) == len(sessions)
    ends = [row.split("|")[2].strip() for row in table]
    assert [row.split("|")[1].strip() for row in table[1:]] == ends[:-1]
    assert sum(session["minutes"] for session in sessions) <= 8 * 60


def test_a_chapter_that_the_plan_does_not_know_stops_the_course(tmp_path, monkeypatch):
    plan = load_plan()
    del plan["chapters"]["ch05-detailing"]
    monkeypatch.setattr(course, "load_plan", lambda: plan)
    with pytest.raises(BookError, match="ch05-detailing"):
        course.make("smoke", tmp_path / "course", tmp_path)
    assert not (tmp_path / "course").exists()


def test_the_grading_sheet_has_a_column_and_points_for_every_exercise(made):
    head, points = csv.reader(io.StringIO((made / "grading-sheet.csv").read_text()))
    labels = [exercise.label for asked in ASKED.values() for exercise in asked]
    assert head == ["name", *labels, "sum"]
    assert sum(map(int, points[1:-1])) == int(points[-1]) == sum(POINTS[e.level] for asked in ASKED.values() for e in asked)


def test_a_teacher_is_told_what_one_hand_in_a_week_can_reach(made):
    plan = load_plan()
    checked, read = course.reachable(ASKED, plan)
    every = [exercise for asked in ASKED.values() for exercise in asked]
    assert checked == sum(POINTS[e.level] for e in every if e.check) and checked + read < sum(POINTS[e.level] for e in every)
    assert len(plan["six_weeks"]) * POINTS["Explain"] <= read <= len(plan["six_weeks"]) * POINTS["Research"]
    told = (made / "grading.md").read_text()
    assert f"at most {checked} points" in told and f"reach {checked + read}" in told


def test_handed_in_notebooks_fill_the_sheet_without_being_run(made, tmp_path):
    notebook = json.loads((made / "student" / "ch04-adaptation.ipynb").read_text())
    stubs = [cell for cell in notebook["cells"] if "exercise" in cell["metadata"].get("tags", [])]
    for cell, said in zip(stubs, ("✓ right: good", "✗ not yet: no"), strict=False):
        cell["outputs"] = [{"output_type": "execute_result", "data": {"text/plain": said}, "metadata": {}, "execution_count": 1}]
    stubs[0]["source"] = ["raise SystemExit\n", "ch04.check_players(players)"]
    (tmp_path / "Ada").mkdir()
    (tmp_path / "Ada" / "ch04-adaptation.ipynb").write_text(json.dumps(notebook))
    (tmp_path / "Bob-ch04-adaptation.ipynb").write_text(json.dumps(notebook))
    (tmp_path / "notes.ipynb").write_text("{}")
    script = course.BUILD.parent / "book" / "tools" / "grading.py"
    done = subprocess.run([sys.executable, script, tmp_path], capture_output=True, text=True, check=True)
    rows = {row["name"]: row for row in csv.DictReader(io.StringIO(done.stdout))}
    assert rows.pop(POSSIBLE)["sum"] == str(sum(POINTS[e.level] for asked in ASKED.values() for e in asked))
    assert set(rows) == {"Ada", "Bob"} and "notes.ipynb" in done.stderr
    for row in rows.values():
        assert (row["ex-ch04-players"], row["ex-ch04-faceid"], row["ex-ch04-overfit"]) == ("1", "0", "0")
        assert row["ex-ch04-cheat"] == row["ex-ch03-spaces"] == "" and row["sum"] == "1"


def answered(made, *said):
    """A handed-in notebook of chapter 4 whose checks have said so."""
    notebook = json.loads((made / "student" / "ch04-adaptation.ipynb").read_text())
    stubs = [cell for cell in notebook["cells"] if "exercise" in cell["metadata"].get("tags", [])]
    for cell, text in zip(stubs, said, strict=False):
        cell["outputs"] = [{"output_type": "execute_result", "data": {"text/plain": text}, "metadata": {}, "execution_count": 1}]
    return json.dumps(notebook)


@pytest.mark.parametrize(
    "path, student",
    [
        ("ANNA-ch04-adaptation.ipynb", "ANNA"),
        ("ANNA-ch04-adaptation (1).ipynb", "ANNA"),
        ("Copy of ANNA-ch04-adaptation.ipynb", "ANNA"),
        ("Kopie von ANNA_ch04-adaptation (2).ipynb", "ANNA"),
        ("Ada Bach/Copy of ch04-adaptation.ipynb", "Ada Bach"),
        ("Ada Bach/ch04-adaptation (1).ipynb", "Ada Bach"),
        ("Ada Bach/ch04-adaptation-Copy1.ipynb", "Ada Bach"),
        ("bach12-ch04-adaptation.ipynb", "bach12"),
    ],
)
def test_a_renamed_copy_is_still_its_students(path, student, tmp_path):
    assert grading.owner(tmp_path / path, tmp_path) == (student, "ch04")


def test_damaged_and_nameless_notebooks_cost_a_line_each_and_not_the_sheet(made, tmp_path, capsys):
    right, wrong = answered(made, "✓ right"), answered(made, "✗ not yet")
    (tmp_path / "Ada" / ".ipynb_checkpoints").mkdir(parents=True)
    for path, text in {
        "Ada/ch04-adaptation (1).ipynb": right,
        "Ada/ch04-adaptation.ipynb": wrong,  # read last; the best counts
        "Ada/.ipynb_checkpoints/ch04-adaptation-checkpoint.ipynb": "{",
        "Bob-ch04-adaptation.ipynb": right[: len(right) // 2],
        "Cyd-ch04-adaptation.ipynb": "[]",
        "Dan-ch04-adaptation.ipynb": '{"cells": [{"source": "x"}]}',
        "ch04-adaptation.ipynb": right,
    }.items():
        (tmp_path / path).write_text(text)
    (tmp_path / "Eve-ch04-adaptation.ipynb").write_bytes(b"\xff\xfe")
    sheet = tmp_path / "sheet.csv"
    assert grading.main([str(tmp_path), "--out", str(sheet)]) == 0
    rows = {row["name"]: row["sum"] for row in csv.DictReader(io.StringIO(sheet.read_text()))}
    assert rows.pop(POSSIBLE) and rows == {"Ada": "1"}
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 5 and all(line.startswith("left out, ") for line in told)
    assert {line.rsplit("/", 1)[1].split("-")[0] for line in told} == {"Bob", "Cyd", "Dan", "Eve", "ch04"}


def test_a_folder_that_is_not_there_is_an_error(tmp_path, capsys):
    assert grading.main([str(tmp_path / "none")]) == 2
    said = capsys.readouterr()
    assert "there is no folder" in said.err and not said.out


def test_the_printed_command_is_one_that_a_fresh_clone_has(made):
    makefile = (course.BUILD.parent / "Makefile").read_text()
    assert re.search(r"^grade: \$\(INSTALLED\)", makefile, re.MULTILINE)
    for text in ((course.BUILD.parent / "book" / "teach.md").read_text(), (made / "grading.md").read_text()):
        assert "make grade FOLDER=handed-in" in text and "python book/tools" not in text


def test_the_page_for_teachers_gets_all_its_tables():
    text = (course.BUILD.parent / "book" / "teach.md").read_text()
    shown = fill(text, chapters())
    assert text.count("<!-- ") == 3 and "<!-- " not in shown
    assert shown.count("\n| 6 |") == 1 and shown.count(" | Lunch |") == 1
