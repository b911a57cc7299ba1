"""Every exercise with code: its stub is told open, its solution right, and every typical mistake gets its own hint."""

import importlib
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from exercises import LEVELS, read_exercises
from notebooks import read_cells
from project import BookError, chapters
from studiolike.exercises import (
    Check,
    FunctionCheck,
    MatchCheck,
    Mistake,
    ValueCheck,
    ch01,
    ch02,
    ch03,
    ch04,
    ch05,
    ch06,
    ch07,
)
from studiolike.image import blur

CHAPTERS = [source.stem for source in chapters()]
ASKED = {source.stem: read_exercises(read_cells(source), source.stem) for source in chapters()}
CODED = [(name, exercise) for name, asked in ASKED.items() for exercise in asked if exercise.stub]


def module(name):
    return importlib.import_module(f"studiolike.exercises.{name[:4]}")


def checks_of(chapter):
    """A chapter's checkers by name, in order."""
    return {name: thing for name, thing in vars(chapter).items() if isinstance(thing, Check)}


CHECKS = [(f"{name[:4]}.{key}", check) for name in CHAPTERS for key, check in checks_of(module(name)).items()]


def run(source):
    """The value of the last line of a cell, as a notebook shows it, in a namespace of its own."""
    *before, last = source.rstrip().split("\n")
    space = {}
    exec("\n".join(before), space)
    return eval(last, space)


@pytest.mark.parametrize("name", CHAPTERS)
def test_every_chapter_has_exercises_from_recall_through_code_to_research(name):
    levels = [exercise.level for exercise in ASKED[name]]
    assert len(levels) >= 4 and {"Recall", "Code", "Research"} <= set(levels) <= set(LEVELS)
    assert levels[0] == "Recall" and levels[-1] == "Research"


@pytest.mark.parametrize("name", CHAPTERS)
def test_every_checker_is_called_by_one_stub(name):
    assert sorted(exercise.check for exercise in ASKED[name] if exercise.stub) == sorted(checks_of(module(name)))


@pytest.mark.parametrize("exercise", [e for _, e in CODED], ids=lambda e: e.label)
def test_a_stub_runs_by_itself_and_is_told_open(exercise):
    verdict = run(exercise.stub)
    assert verdict.state == "open" and not verdict.passed and repr(verdict).startswith("○ not answered yet")
    assert "`...`" in repr(verdict) and verdict._repr_markdown_() == " ".join(repr(verdict).split())  # breaks where the page does


@pytest.mark.parametrize("exercise", [e for _, e in CODED], ids=lambda e: e.label)
def test_a_solution_runs_by_itself_and_passes(exercise):
    verdict = run(exercise.solved)
    assert verdict.passed, verdict
    assert exercise.solved.splitlines()[-1] == exercise.stub.splitlines()[-1]


@pytest.mark.parametrize(
    ("check", "mistake"), [(c, m) for _, c in CHECKS for m in c.mistakes], ids=lambda x: getattr(x, "belief", "")
)
def test_every_typical_mistake_gets_its_own_hint(check, mistake):
    answer = check.truth | mistake.answer if isinstance(check, MatchCheck) else mistake.answer
    verdict = check(answer)
    assert verdict.mistake is mistake and verdict.message == mistake.hint, verdict


@pytest.mark.parametrize(("name", "check"), CHECKS, ids=lambda x: x if isinstance(x, str) else "")
def test_there_are_several_mistakes_and_no_two_hints_are_the_same(name, check):
    hints = [mistake.hint for mistake in check.mistakes]
    assert len(set(hints)) == len(hints) >= 3
    assert check.praise and not any(hint == check.praise for hint in hints)


def by_capture(subject, share):
    return torch.arange(len(subject)) % 2 == 0


def holes_in_numpy(textures, visibility):
    with np.errstate(invalid="ignore"):
        return (textures.numpy() * visibility.numpy()).sum(0, keepdims=True) / visibility.numpy().sum(0, keepdims=True)


# the same mistakes, in other words than the checkers know
OTHER_WORDS = [
    (ch01.check_split, by_capture, "split by capture"),
    (ch01.check_exponent, lambda x, y: float(np.polyfit(x.flatten(), y.flatten(), 1)[0]), "gradients of the values"),
    (ch02.check_modulation, lambda x, w, s: F.conv2d(x * s[:, :, None, None], w, padding=1), "divided by the norm"),
    (ch02.check_rows, 6.0, "How many convolutions"),
    (ch03.check_whiten, lambda codes: (codes - codes.mean(0)) / codes.var(0).sqrt(), "Turn it first"),
    (ch03.check_level, lambda a, b, v: (a - b).square().mean((1, 2, 3)), "values are wrong"),
    (ch04.check_mse, lambda cosine, length: 2 - 2 * cosine, "*sum* over the elements"),
    (ch04.check_overfit, lambda a, b, c: 1 - (a - b) / (a - c), "upside down"),
    (ch05.check_clean, lambda x, v, a, s: (x - s * v) / (a + 1e-8), "if the network predicted the noise"),
    (ch05.check_masked_blur, lambda x, m, s: blur(torch.where(m > 0, x * m, torch.zeros_like(x)), s), "the rim is too dark"),
    (ch06.check_cheat, lambda x, v: x.mean((1, 2, 3), keepdim=True).expand_as(x), "under another light the result is another"),
    (ch06.check_standard_error, lambda x, s: torch.tensor(np.std(x.numpy(), ddof=1) / np.sqrt(len(x))), "independent"),
    (ch07.check_mirror, lambda x, v: -10 * torch.log10((x - x.flip(-1)).square().mean((1, 2, 3))), "nobody saw count as well"),
    (ch07.check_blend, holes_in_numpy, "not finite where no frame has looked"),
]


@pytest.mark.parametrize(("check", "answer", "said"), OTHER_WORDS)
def test_a_mistake_made_in_other_words_is_recognised(check, answer, said):
    verdict = check(answer)
    assert verdict.state == "wrong" and said in verdict.message, verdict


def test_right_answers_in_other_words_pass():
    for check, answer in (
        (ch03.check_whiten, lambda c: torch.linalg.solve(torch.linalg.cholesky(c.T.cov()), (c - c.mean(0)).T).T),
        (ch01.check_split, lambda subject, share: subject >= (1 - share) * (subject.max() + 1)),
        (ch06.check_cheat, lambda x, v: torch.zeros_like(x)),
        (ch06.check_standard_error, lambda x, s: np.std([x[s == k].mean() for k in s.unique()]) / np.sqrt(len(s.unique()))),
        (ch05.check_clean, lambda x, v, a, s: a * x - s * v),
        (ch02.check_rows, np.int64(12)),
    ):
        assert check(answer).passed, check(answer)


DOUBLE = FunctionCheck(lambda: [(torch.tensor([1.0, -2.0, 4.0]),)], lambda x: 2 * x, "yes", ())


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda x: -2 * x, "the sign is the wrong way round"),
        (lambda x: 3 * x, "1.5 times"),
        (lambda x: 2 * x + 1, "off by 1"),
        (lambda x: x.sum(), "(3,) is asked for"),
        (lambda x: 2 * x / (x > 0), "not finite"),
        (lambda x: 2 * x.abs(), "33 % of the values"),
        (lambda x: undefined, "stops with NameError"),  # noqa: F821
        (3.0, "hand it over without calling it"),
    ],
)
def test_mistakes_that_nobody_has_foreseen_get_a_hint_made_for_them(answer, said):
    verdict = DOUBLE(answer)
    assert verdict.state == "wrong" and verdict.mistake is None and said in verdict.message


def test_an_answer_may_overwrite_its_input():
    assert DOUBLE(lambda x: x.mul_(2)).passed


def test_a_half_filled_dictionary_is_open_and_an_unknown_word_is_told():
    check = MatchCheck({"a": "x", "b": "y"}, "yes", [Mistake("", "not b", {"b": "x"})])
    assert check({"a": "x", "b": ...}).state == "open" and "1 of 2" in check({"a": "x", "b": ...}).message
    assert "is not one of the words: x, y" in check({"a": "x", "b": "z"}).message
    assert check({"a": "x"}).state == "wrong" and check(["x", "y"]).state == "wrong"
    assert check({"a": "y", "b": "y"}).message == "1 of 2 are wrong; look again at “a”."
    assert check({"a": "x", "b": "x"}).message == "not b" and check({"b": "y", "a": "x"}).passed


def test_a_number_is_judged_by_its_size():
    check = ValueCheck(lambda: 10.0, "yes", [Mistake("", "half", 5)])
    assert check(10.0001).passed and check(5).message == "half"
    assert "too large" in check(11).message and "too small" in check(torch.tensor(9)).message
    assert "one number" in check("ten").message and check(...).state == "open"


def test_a_chapters_checkers_load_no_stage_before_they_are_asked():
    code = "import sys, studiolike.exercises.ch04; print(*(name for name in sys.modules if name.startswith('studiolike.')))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert {name.split(".")[1] for name in shown.split()} == {"exercises"}


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("```{exercise-start} Which?\n:label: a\n```\n```{exercise-end}\n```", "begins with Recall"),
        ("```{exercise-start} Code: which\n:label: a\n```\n", "not closed"),
        ("```{exercise-start} Code: which\n:label: a\n```\n```{exercise-end}\n```", "no solution"),
        ("```{solution} b\nText\n```", "no exercise before it"),
    ],
)
def test_an_exercise_that_is_not_whole_is_refused(source, said):
    with pytest.raises(BookError, match=said):
        read_exercises([{"cell_type": "markdown", "source": source, "metadata": {}}], "ch09")
