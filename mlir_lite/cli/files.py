"""Functions from and to files: IR text with its large constants beside it, and ONNX models.

`model.mlir` holds the text; `model.safetensors` beside it the constants that stand in the text as
`resource<name>`. They are mapped into memory, not read, until a pass asks for them.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import safetensors.numpy

from ..errors import ParseError, check
from ..ir import ConstantData, Function, InFile
from ..ir.parser import parse_functions
from ..ir.resources import resources_of
from ..ops.table import TABLE
from ..types import DTYPES, TensorType

# What safetensors calls the element types, where it is not their name in capitals.
_SPELLED = {"U8": "u8", "BOOL": "bool"}


def read_text(file: str) -> str:
    """The text of a file, or of stdin for `-`; `ParseError` where it is not UTF-8."""
    raw = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        message = f"{file}: expected UTF-8 text, got byte {raw[error.start]:#04x}"
        raise ParseError(f"{message} at {error.start}") from None


def functions_of(text: str, file: str) -> tuple[Function, ...]:
    """The functions of a text that came from this file."""
    return parse_functions(text, TABLE, beside(file), "<stdin>" if file == "-" else file)


def beside(file: str) -> dict[str, ConstantData]:
    """The constants in the `.safetensors` file of the same name, if there is one."""
    path = Path(file).with_suffix(".safetensors")
    return read_constants(path) if file != "-" and path.is_file() else {}


def read_constants(path: Path) -> dict[str, ConstantData]:
    """The tensors of a safetensors file by name, mapped when they are first used.

    The format: eight bytes with the length of a JSON header, the header, and the data, to which
    the header's offsets refer. `ParseError` for what is no such file.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        check(length < path.stat().st_size, f"{path} is no safetensors file", ParseError)
        header = file.read(length)
    found: dict[str, ConstantData] = {}
    try:
        entries = json.loads(header)
        entries.pop("__metadata__", None)
        for name, entry in entries.items():
            spelled = entry["dtype"]
            dtype = DTYPES[_SPELLED.get(spelled, spelled.lower())]
            type_ = TensorType(tuple(entry["shape"]), dtype)
            start = 8 + length + int(entry["data_offsets"][0])
            found[name] = ConstantData(type_, InFile(str(path), start, type_), name)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ParseError(f"{path} is no safetensors file that can be read: {error!r}") from None
    return found


def write_function(fn: Function, text: str, file: str) -> None:
    """Write a function's text, and its large constants beside it if it has any."""
    write_atomically(Path(file), text.encode())
    constants: Mapping[str, ConstantData] = resources_of(fn)
    if constants:
        arrays = {name: data.array() for name, data in constants.items()}
        target = Path(file).with_suffix(".safetensors")
        write_atomically(target, safetensors.numpy.save(arrays))


def write_atomically(path: Path, data: bytes) -> None:
    """Write beside the target and rename, so that a reader sees all of it or nothing."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def emit(text: str, output: str | None) -> None:
    """Write a text to a file, or to stdout where there is none or it is `-`."""
    if output is None or output == "-":
        sys.stdout.write(text if text.endswith("\n") else text + "\n")
    else:
        write_atomically(Path(output), text.encode())
