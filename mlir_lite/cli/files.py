"""Functions from and to files: IR text with its constants beside it; files written whole."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

from ..errors import InputError
from ..ir import ConstantData, Function
from ..ir.parser import parse_functions
from ..ir.resource_file import constants_bytes, read_constants
from ..ir.resources import resources_of
from ..lexer import decoded
from ..ops.table import TABLE


def read_text(file: str) -> str:
    """The text of a file, or of stdin for `-`; `ParseError` where it is not UTF-8."""
    raw = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    return decoded(raw, file)


def functions_of(text: str, file: str) -> tuple[Function, ...]:
    """The functions of a text that came from this file."""
    return parse_functions(text, TABLE, beside(file), "<stdin>" if file == "-" else file)


def beside(file: str) -> dict[str, ConstantData]:
    """The constants in the `.safetensors` file of the same name, if there is one."""
    path = Path(file).with_suffix(".safetensors")
    return read_constants(path) if file != "-" and path.is_file() else {}


def write_function(fn: Function, text: str, file: str) -> None:
    """Write a function's text, and beside it the constants that the text names, if any."""
    write_atomically(Path(file), text.encode())
    constants = resources_of(fn)
    if constants:
        write_atomically(Path(file).with_suffix(".safetensors"), constants_bytes(constants))


def write_atomically(path: Path, data: bytes) -> None:
    """Write beside the target and rename, so that a reader sees all of it or nothing.

    A link stays one, and what is no file (a pipe, `/dev/null`) is written to as it is. `InputError`
    names the target where it cannot be written.
    """
    target = path.resolve()
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(data)
            return
        temporary.write_bytes(data)
        temporary.replace(target)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise InputError(f"cannot write '{path}': {error.strerror}") from None


def emit(text: str, output: str | None) -> None:
    """Write a text to a file, or to stdout where there is none or it is `-`."""
    if output is None or output == "-":
        sys.stdout.write(text if text.endswith("\n") else text + "\n")
    else:
        write_atomically(Path(output), text.encode())
