"""The package's own small family of errors.

Every message is one line that says what is wrong and what to do about it; the command line prints it as it is
and exits with code 2, without a traceback.
"""

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
    """

    def __init__(self, extra: str, package: str):
        super().__init__(f"this needs {package}: install it with  {install_command(extra)}")
        self.extra, self.package = extra, package


class FetchError(StudioError):
    """A set cannot be downloaded: licence not accepted, no connection, or not the content that was announced."""
