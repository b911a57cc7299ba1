"""What the verbs share: options that several have, and how they speak to the user."""

from __future__ import annotations

import sys
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from ..config import profile
from ..errors import InputError

Out = Annotated[Path, arg(aliases=["-o"])]
OptionalOut = Annotated[Path | None, arg(aliases=["-o"])]  # the alias of `Out | None` would be lost
# the profile named on the command line decides the defaults of the settings that can be changed beside it
chosen_profile: ContextVar[str] = ContextVar("profile", default="cpu")


def say(message: str) -> None:
    """One line for the user, on standard error."""
    # names on a disk need not be text
    print(message.encode("utf-8", "replace").decode(), file=sys.stderr, flush=True)


def check_seed(seed: int) -> None:
    """Raise `InputError` for a seed that torch does not take."""
    if not 0 <= seed < 2**63:
        raise InputError(f"--seed {seed} is not possible: use 0 to 2**63 - 1")


def refuse_empty(argv: list[str]) -> None:
    """Raise `InputError` for an empty word on the command line: as a path it would mean the folder where the user is."""
    for k, word in enumerate(argv):
        before = argv[k - 1] if k else ""
        if not word:
            what = f"{before} is followed by an empty word" if before.startswith("-") else "a word of the command is empty"
        elif word.startswith("-") and word.endswith("=") and word.count("=") == 1:
            what = f"nothing stands behind {word}"
        else:
            continue
        raise InputError(f"{what}: name a file, a folder or a value (is a variable of your shell empty?)")


def named_profile(argv: list[str]) -> str:
    """The profile that a command line names, "cpu" if none. Raises `ProfileError`: there is no such profile."""
    for k, word in enumerate(argv):
        if word.startswith("--profile="):
            return profile(word.split("=", 1)[1]).name
        if word == "--profile" and k + 1 < len(argv):
            return profile(argv[k + 1]).name
    return "cpu"
