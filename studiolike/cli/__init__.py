"""The command line: one verb per stage. Every verb is a small dataclass, which tyro turns into its options.

A wrong input gives one line on standard error and exit code 2; a folder of which some faces could not be used gives 1;
an interrupt gives 130 (a request to end, SIGTERM, 143) and leaves a resumable state. Nothing heavy is imported before a
verb needs it: help must come at once.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import tyro

from ..errors import StudioError
from .data import Data
from .experiments import ExperimentVerb
from .options import chosen_profile, named_profile, refuse_empty, say
from .pictures import Capture, Convert, View
from .training import Evaluate, Train


@dataclass(frozen=True)
class Doctor:
    """What is installed, which device and profile fit, and what to do about what is missing."""

    def run(self) -> None:
        from ..doctor import report

        print(report())


VERBS: dict[str, Callable[..., Any]] = {
    "capture": Capture,
    "convert": Convert,
    "view": View,
    "train": Train,
    "evaluate": Evaluate,
    "data": Data,
    "experiment": ExperimentVerb,
    "doctor": Doctor,
}


@contextmanager
def _end_as_interrupt() -> Iterator[list[int]]:
    """Answer SIGTERM, which batch systems and notebooks send, like Ctrl-C, so that training saves what it has.

    Yields a list that holds the signal once it came. Whoever holds Ctrl-C back for a moment holds this back as well.
    """
    came: list[int] = []

    def interrupt(number: int, _: object) -> None:
        came.append(number)
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's background job is deaf to Ctrl-C, but not to this
            raise KeyboardInterrupt
        signal.raise_signal(signal.SIGINT)

    if threading.current_thread() is not threading.main_thread():  # no other thread may set a signal
        yield came
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield came
    finally:
        signal.signal(signal.SIGTERM, before)


def main(argv: list[str] | None = None) -> int:
    """Entry point of the ``studiolike`` command; returns the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    # threads that wait must not spin: beside one other busy process that made a conversion four times as slow. It has to be
    # said before torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with _end_as_interrupt() as ended:
        try:
            refuse_empty(argv)
            chosen_profile.set(named_profile(argv))
            command = tyro.extras.subcommand_cli_from_dict(
                VERBS, prog="studiolike", args=argv, description="Studio-like face textures from phone captures."
            )
            return command.run() or 0
        except StudioError as error:
            say(f"studiolike: {' '.join(str(error).split())}")
            return 2
        except KeyboardInterrupt:
            say("studiolike: stopped")
            return 143 if ended else 130
        except BrokenPipeError:
            return 0
        except PermissionError as error:
            say(f"studiolike: no permission: {error.filename}")
            return 2
        except OSError as error:
            say(f"studiolike: {error.filename or 'a file cannot be read or written'}: {error.strerror or error}")
            return 2
