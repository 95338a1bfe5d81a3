"""The errors of the compiler, each saying whose mistake it is.

Errors of the user's program carry the user's file and line; errors of ours say which pass made
them and how to reproduce them.
"""

from __future__ import annotations

from typing import TypeVar

E = TypeVar("E", bound=Exception)


class MlirLiteError(Exception):
    """Base of every error raised on purpose. `where` is the user's place that it begins with."""

    def __init__(self, message: str, where: str = "") -> None:
        super().__init__(f"{where}: {message}" if where else message)
        self.where = where


class TypeRuleError(MlirLiteError):
    """The user's program breaks an operation's type rule."""


class InputError(MlirLiteError):
    """An array or an argument given to a function or an executable does not fit."""


class ParseError(MlirLiteError):
    """A text or a file cannot be read; the message holds file, line, column and a caret."""


class UnsupportedError(MlirLiteError):
    """The program is right, but this compiler or backend cannot do it (yet)."""


class VerifyError(MlirLiteError):
    """An IR breaks its own invariants: our mistake, or that of a pass plugged in."""


class PassError(MlirLiteError):
    """A pass failed or changed the meaning of a program."""


class RunError(MlirLiteError):
    """A fault that only the data shows: an index out of range, a bound exceeded."""


class MissingExtraError(MlirLiteError, ImportError):
    """An optional package is not installed; the message names the `pip install` line."""


def check(ok: object, message: str, error: type[Exception] = TypeRuleError) -> None:
    """Raise `error(message)` unless `ok`."""
    if not ok:
        raise error(message)


def missing_extra(package: str, extra: str) -> MissingExtraError:
    """The error that says how to install an optional package."""
    return MissingExtraError(
        f"the package '{package}' is needed for this; install it with "
        f"`pip install 'mlir-lite[{extra}]'`"
    )
