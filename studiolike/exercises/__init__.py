"""Exercises that answer: one checker for each exercise of the book that has code, one module for each chapter.

A stub cell in a chapter ends with a call such as ``ch04.check_overfit(overfit)``. The answer is compared with what the
package itself computes, on small random cases, or with a property that every right answer has. A wrong answer is compared
with those that learners typically give, and the hint of the one that it behaves like is shown. No checker shows the
right answer: solutions stand in the chapters.

    from studiolike.exercises import ch04
    ch04.check_overfit(lambda train, held_out, fake: train - held_out)
"""

from .check import Check, FunctionCheck, MatchCheck, Mistake, ValueCheck

__all__ = ["Check", "FunctionCheck", "MatchCheck", "Mistake", "ValueCheck"]
