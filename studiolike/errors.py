"""The package's own small family of errors.

Every message is one line that says what is wrong and what to do about it; the command line prints it as it is
and exits with code 2, without a traceback.
"""

from __future__ import annotations

import importlib
from types import ModuleType

REPOSITORY = "https://github.com/studiolike/studiolike"  # a package cannot read its pyproject.toml; a test compares


def install_command(extra: str = "") -> str:
    """What to type to get the package, with an ``extra`` if one is named: no package index has it, so its address is in it."""
    return f"pip install 'studiolike{f'[{extra}]' if extra else ''} @ git+{REPOSITORY}'"


class StudioError(Exception):
    """Base of all errors that a user can mend."""


class InputError(StudioError):
    """A file or array handed in is missing, unreadable, or of the wrong size, type or range."""


class CaptureError(StudioError):
    """No usable face texture can be taken from this picture (no face, several faces, profile view, too small...)."""


class WeightsError(StudioError):
    """A weight file is missing, damaged, or made for another network."""


class ProfileError(StudioError):
    """An unknown profile or an impossible setting."""


class ProtocolError(StudioError):
    """A training reads what its protocol forbids, or the protocol is unknown."""


class OutputError(StudioError):
    """A result cannot be written where it was asked for."""


class MissingExtra(StudioError):
    """An optional library is needed; the message names the extra that brings it.

    Args:
        extra: name of the optional dependency group, for example ``"capture"``.
        package: the library that could not be imported.
        cause: what its import raised, if it is there but broken.
    """

    def __init__(self, extra: str, package: str, cause: Exception | None = None):
        reason = " ".join(f"{type(cause).__name__}: {cause}".split())[:160]
        self.trouble = f"cannot be loaded ({reason})" if cause else "is missing"
        told = f", which {self.trouble}" if cause else ""
        super().__init__(f"this needs {package}{told}: install it with  {install_command(extra)}")
        self.extra, self.package, self.cause = extra, package, cause


def optional(module: str, extra: str, package: str | None = None) -> ModuleType:
    """An optional library, imported.

    A library that is there but broken raises what it pleases (a missing system library, a clash of versions), not only
    ``ImportError``; the user needs one answer to all of them.

    Args:
        module: what is imported. extra: the optional dependency group that brings it. package: its name for people.
    Raises:
        MissingExtra: with the cause.
    """
    try:
        return importlib.import_module(module)
    except Exception as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == module
        raise MissingExtra(extra, package or module, None if missing else error) from error


class FetchError(StudioError):
    """A set cannot be downloaded: licence not accepted, no connection, or not the content that was announced."""
