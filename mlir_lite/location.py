"""Where in the user's source an operation was written.

A location is found by walking the call stack up to the first frame outside this package.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

# Both spellings: `passes/` and `backends/` are reached through links inside the package.
_PACKAGE = os.path.dirname(os.path.abspath(__file__))
_INSIDE = tuple(
    os.path.join(folder, "")
    for folder in {
        _PACKAGE,
        os.path.realpath(_PACKAGE),
        os.path.realpath(os.path.join(_PACKAGE, "passes")),
        os.path.realpath(os.path.join(_PACKAGE, "backends")),
    }
)


_DEMO = os.path.join(_PACKAGE, "demo", "")  # a user of the package that lies inside it


def is_inside(file: str) -> bool:
    """Whether a source file is of this package, and no user of it."""
    return file.startswith(_INSIDE) and not file.startswith(_DEMO)


@dataclass(frozen=True, slots=True)
class Location:
    """A file and a line (1-based); `name` is set for things that have no line, as ONNX nodes."""

    file: str
    line: int
    name: str = ""

    def __str__(self) -> str:
        if self.name:
            return f"{self.file}:{self.name}"
        return f"{os.path.basename(self.file)}:{self.line}"

    def full(self) -> str:
        """The location with the whole path, for error messages."""
        return f"{self.file}:{self.name or self.line}"


UNKNOWN = Location("<unknown>", 0)


def caller_location() -> Location:
    """The innermost frame outside this package."""
    frame = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if not is_inside(file) and not file.startswith("<frozen"):
            return Location(file, frame.f_lineno)
        if frame.f_back is None:
            break
        frame = frame.f_back
    return UNKNOWN


def raised_at(error: BaseException) -> Location:
    """The innermost frame outside this package that an error came through."""
    found = UNKNOWN
    step = error.__traceback__
    while step is not None:
        file = step.tb_frame.f_code.co_filename
        if not is_inside(file):
            found = Location(file, step.tb_lineno)
        step = step.tb_next
    return found
