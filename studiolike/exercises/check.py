"""The machinery of the checkers: run an answer, compare it, and say what kind of mistake it looks like."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

SIGNS = {"passed": "✓ right", "open": "○ not answered yet", "wrong": "✗ not yet"}


@dataclass(frozen=True)
class Mistake:
    """A typical wrong answer.

    Attributes:
        belief: what a learner who answers so believes, one sentence for teachers.
        hint: what the reader is told; it points at the mistake and leaves the answer to the reader.
        answer: the wrong answer itself, in the form that the checker takes.
        finds: recognises it, and its kin, from the cases and from what the answer gave on them; None recognises answers
            that give just what ``answer`` gives. For functions only.
    """

    belief: str
    hint: str
    answer: Any
    finds: Callable[[list[tuple], list[Tensor]], bool] | None = None


@dataclass(frozen=True)
class Verdict:
    """What a checker says; shown as one paragraph of text where it is the last value of a cell."""

    state: Literal["passed", "open", "wrong"]
    message: str
    mistake: Mistake | None = None

    @property
    def passed(self) -> bool:
        """Was the answer right?"""
        return self.state == "passed"

    def __repr__(self) -> str:
        return textwrap.fill(f"{SIGNS[self.state]}: {self.message}", 80)

    def _repr_markdown_(self) -> str:  # lines as wide as the reader's screen
        return f"{SIGNS[self.state]}: {self.message}"


class Unanswered(Exception):
    """The stub is still in place; the message says what is missing."""


class Check:
    """A checker: call it with an answer, get a `Verdict`. It never raises for a wrong answer.

    Args:
        praise: what to say to a right answer: what it is good for.
        mistakes: typical wrong answers; the first one that fits is shown.
    """

    def __init__(self, praise: str, mistakes: Sequence[Mistake]):
        self.praise, self.mistakes = praise, tuple(mistakes)

    def __call__(self, answer: Any) -> Verdict:
        try:
            if answer is None or answer is ...:
                raise Unanswered("put your answer in place of `...` and run this cell again.")
            found = self.diagnose(answer)
        except Unanswered as missing:
            return Verdict("open", str(missing))
        except Exception as error:  # the reader's own code may raise anything; the book must go on
            return Verdict("wrong", f"your code stops with {type(error).__name__}: {error}")
        if isinstance(found, Mistake):
            return Verdict("wrong", found.hint, found)
        return Verdict("wrong", found) if found else Verdict("passed", self.praise)

    def diagnose(self, answer: Any) -> Mistake | str | None:
        """None if the answer is right; else the mistake that it looks like, or a hint made for it.

        Raises:
            Unanswered: the stub, or a part of it, is still in place.
        """
        raise NotImplementedError


class ValueCheck(Check):
    """An answer that is one number.

    Args:
        truth: computes the right number, when it is needed.
        tolerance: relative, and absolute around 0.
    """

    def __init__(self, truth: Callable[[], float], praise: str, mistakes: Sequence[Mistake], tolerance: float = 1e-3):
        super().__init__(praise, mistakes)
        self.truth, self.tolerance = truth, tolerance

    def _same(self, a: float, b: float) -> bool:
        return math.isclose(a, b, rel_tol=self.tolerance, abs_tol=self.tolerance)

    def diagnose(self, answer: Any) -> Mistake | str | None:
        try:
            value = float(answer)
        except (TypeError, ValueError):
            return f"one number is asked for, and this is a {type(answer).__name__}."
        wanted = self.truth()
        if self._same(value, wanted):
            return None
        known = next((m for m in self.mistakes if self._same(value, float(m.answer))), None)
        return known or f"{value:g} is too {'large' if value > wanted else 'small'}. Count, or derive, it once more."


class MatchCheck(Check):
    """An answer that gives each of some statements one of some words.

    Args:
        truth: statement → right word.
        mistakes: their ``answer`` is a dictionary with one wrong statement, ``{statement: word}``.
    """

    def __init__(self, truth: dict[str, str], praise: str, mistakes: Sequence[Mistake], words: Sequence[str] = ()):
        super().__init__(praise, mistakes)
        self.truth, self.words = truth, tuple(words) or tuple(dict.fromkeys(truth.values()))

    def diagnose(self, answer: Any) -> Mistake | str | None:
        if not isinstance(answer, dict) or set(answer) != set(self.truth):
            return "keep the dictionary of the stub, with the same keys, and put one word beside each."
        left = [key for key, word in answer.items() if word is ... or word is None]
        if left:
            few = f"{len(left)} of {len(answer)} statements have no word yet"
            raise Unanswered(f"{few}: put one of {', '.join(map(repr, self.words))} in place of each `...`.")
        unknown = [word for word in answer.values() if word not in self.words]
        if unknown:
            return f"{unknown[0]!r} is not one of the words: {', '.join(self.words)}."
        wrong = [key for key in self.truth if answer[key] != self.truth[key]]
        if not wrong:
            return None
        known = next((m for m in self.mistakes if all(answer[key] == word for key, word in m.answer.items())), None)
        return known or f"{len(wrong)} of {len(answer)} are wrong; look again at “{wrong[0]}”."


class FunctionCheck(Check):
    """An answer that is a function, tried on small cases.

    Args:
        cases: makes the arguments of every call; each answer gets copies, so that it may overwrite them.
        truth: the right function, from the package; None if many functions are right: then an answer is right in which no
            mistake is found, and every mistake needs ``finds``.
        compare: applied to what a function gave before two functions are compared, ``(case, output) -> output``; to leave
            out texels where the answer is free, for example.
        tolerance: relative to the largest value of a case.
    """

    def __init__(
        self,
        cases: Callable[[], list[tuple]],
        truth: Callable | None,
        praise: str,
        mistakes: Sequence[Mistake],
        *,
        compare: Callable[[tuple, Tensor], Tensor] | None = None,
        tolerance: float = 1e-4,
    ):
        super().__init__(praise, mistakes)
        self.cases, self.truth, self.tolerance = cases, truth, tolerance
        self.compare = compare or (lambda case, output: output)

    def _run(self, function: Callable, cases: list[tuple]) -> list[Tensor]:
        outputs = []
        for case in cases:
            copies = [x.clone() if isinstance(x, Tensor) else x for x in case]
            output = function(*copies)
            if output is None or output is ...:
                raise Unanswered("the function returns nothing yet; put your code in place of `...` and run this cell again.")
            outputs.append(torch.as_tensor(output).detach().float())
        return outputs

    def _agree(self, cases: list[tuple], a: list[Tensor], b: list[Tensor]) -> bool:
        for case, x, y in zip(cases, a, b, strict=True):
            if x.shape != y.shape:
                return False
            x, y = self.compare(case, x), self.compare(case, y)
            scale = float(y.nan_to_num(0, 0, 0).abs().max()) if y.numel() else 0.0
            if not torch.allclose(x, y, rtol=0, atol=self.tolerance * max(scale, 1e-6), equal_nan=True):
                return False
        return True

    def diagnose(self, answer: Any) -> Mistake | str | None:
        if not callable(answer):
            return f"a function is asked for, and this is a {type(answer).__name__}; hand it over without calling it."
        cases = self.cases()
        given = self._run(answer, cases)
        wanted = None if self.truth is None else self._run(self.truth, cases)
        if wanted is not None and self._agree(cases, given, wanted):
            return None
        for mistake in self.mistakes:
            found = mistake.finds
            if found(cases, given) if found else self._agree(cases, given, self._run(mistake.answer, cases)):
                return mistake
        return None if wanted is None else self._general(cases, given, wanted)

    def _general(self, cases: list[tuple], given: list[Tensor], wanted: list[Tensor]) -> str:
        """A hint for a mistake that nobody has foreseen."""
        for x, y in zip(given, wanted, strict=True):
            if x.shape != y.shape:
                return f"the result has the shape {tuple(x.shape)}, and {tuple(y.shape)} is asked for."
        x, y = (torch.cat([self.compare(case, t).flatten() for case, t in zip(cases, ts, strict=True)]) for ts in (given, wanted))
        if not bool(x.isfinite().all() | ~y.isfinite().all()):
            return "the result is not finite everywhere. Where do you divide, or take a logarithm?"
        known = x.isfinite() & y.isfinite()
        x, y = x[known], y[known]
        factor = float((x * y).sum() / y.square().sum().clamp_min(1e-12))
        if torch.allclose(x, factor * y, rtol=0, atol=self.tolerance * float(x.abs().max()) + 1e-12):
            if math.isclose(factor, -1, abs_tol=1e-3):
                return "the sign is the wrong way round, everything else is right."
            return f"the result is {factor:.3g} times what it should be, everywhere: a constant factor is wrong."
        shift = float((x - y).mean())
        if torch.allclose(x, y + shift, rtol=0, atol=self.tolerance * float(x.abs().max()) + 1e-12):
            return f"the result is off by {shift:.3g}, everywhere: a constant is added or missing."
        off = float(((x - y).abs() > self.tolerance * y.abs().max()).float().mean())
        return f"{100 * off:.0f} % of the values are wrong, by no constant and by no factor. Try a case that you can do by hand."
