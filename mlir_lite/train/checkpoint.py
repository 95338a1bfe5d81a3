"""Files of arrays that are whole at any time: written beside the old one, then put in its place."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.numpy

from ..errors import InputError, check
from ..ir.resource_file import read_constants
from ..types import Array


def save_arrays(
    path: str | Path, arrays: Mapping[str, Array], notes: Mapping[str, str] | None = None
) -> None:
    """Write a `.safetensors` file; whatever happens meanwhile, the file is the old or the new one,
    and never half of one."""
    target = Path(path)
    content = safetensors.numpy.save(dict(arrays), dict(notes or {}) or None)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # the name must not reach the disk before the data
        os.replace(name, target)
    except BaseException:
        os.unlink(name)
        raise


def load_arrays(path: str | Path) -> tuple[dict[str, Array], dict[str, str]]:
    """The arrays of a `.safetensors` file, and its notes; `ParseError` for what is none."""
    constants = read_constants(Path(path))
    with safetensors.safe_open(str(path), framework="numpy") as file:
        notes: dict[str, str] = file.metadata() or {}
    return {name: data.array().copy() for name, data in constants.items()}, notes


def take(arrays: dict[str, Array], prefix: str) -> dict[str, Array]:
    """Remove the arrays under a prefix, and give them by what follows it."""
    names = [name for name in arrays if name.startswith(prefix)]
    return {name.removeprefix(prefix): arrays.pop(name) for name in names}


def check_note(notes: Mapping[str, str], name: str, wanted: str, path: str | Path) -> None:
    """`InputError` unless a file was written with this note."""
    have = notes.get(name)
    check(have == wanted, f"{path} was made with {name} {have}, not {wanted}", InputError)
