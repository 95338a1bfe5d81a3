"""The data behind the names in a text: a `.safetensors` file beside it.

`model.mlir` holds the text, `model.safetensors` the constants that stand in it as
`resource<name>`. They are mapped into memory, not read, until a pass asks for them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from operator import index
from pathlib import Path

import numpy as np
import safetensors.numpy

from ..errors import ParseError, TypeRuleError, check
from ..types import DTYPES, TensorType
from .constant import ConstantData, InFile

# What safetensors calls the element types, where it is not their name in capitals.
_SPELLED = {"BOOL": "bool"}


def read_constants(path: Path) -> dict[str, ConstantData]:
    """The tensors of a safetensors file by name, mapped when they are first used.

    The format: eight bytes with the length of a JSON header, the header, and the data, to which
    the header's offsets refer. `ParseError` for what is no such file, `OSError` for none at all.
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
            type_ = TensorType(tuple(map(index, entry["shape"])), dtype)
            start, end = map(index, entry["data_offsets"])
            inside = 0 <= start <= end <= path.stat().st_size - 8 - length
            fits = inside and end - start == type_.nbytes
            check(fits, f"{path}: the data of '{name}' is cut short", ParseError)
            data = InFile.of(str(path), 8 + length + start, type_)
            found[name] = ConstantData(type_, data, name)
    except (
        ValueError, KeyError, TypeError, AttributeError, RecursionError, TypeRuleError
    ) as error:
        raise ParseError(f"{path} is no safetensors file that can be read: {error!r}") from None
    return found


def constants_bytes(constants: Mapping[str, ConstantData]) -> bytes:
    """The content of a safetensors file with these constants."""
    serialised: bytes = safetensors.numpy.save(
        {name: np.asarray(data.array(), order="C") for name, data in constants.items()}
    )
    return serialised
