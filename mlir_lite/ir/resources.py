"""Which constants a text writes out, and the names that stand for the others.

Written out is what a reader takes in at a glance: at most `LISTED_ELEMENTS` elements, or small data
that is one element repeated. The data of the others is not read to make a text.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from .constant import ConstantData
from .dense import is_uniform
from .function import Function
from .schema import attribute_parts

LISTED_ELEMENTS = 16


def constants_of(fn: Function) -> Iterator[ConstantData]:
    """The constant data in the operations' attributes, those in regions included."""
    for node in fn.nodes:
        for part in attribute_parts(node.op):
            if isinstance(part, ConstantData):
                yield part
            elif isinstance(part, Function):
                yield from constants_of(part)


def resource_names(fn: Function) -> dict[ConstantData, str]:
    """The name of each constant that is not written out: its own, or a new one if it has none."""
    names: dict[ConstantData, str] = {}
    by_key: dict[object, str] = {}
    taken: set[str] = set()
    for data in constants_of(fn):
        if data in names or _is_written_out(data):
            continue
        key = (data.key(), data.type, data.name)
        name = by_key.get(key) or _free_name(data.name, taken)
        taken.add(name)
        names[data] = by_key[key] = name
    return names


def _is_written_out(data: ConstantData) -> bool:
    elements = math.prod(data.type.static_shape)
    return elements <= LISTED_ELEMENTS or (data.is_small and is_uniform(data.array()))


def _free_name(wanted: str, taken: set[str]) -> str:
    if wanted and wanted not in taken:
        return wanted
    stem = wanted or "constant"
    return next(name for k in range(len(taken) + 1) if (name := f"{stem}.{k}") not in taken)


def resources_of(fn: Function) -> dict[str, ConstantData]:
    """The constants by their names in the text: what the parser wants to read it back."""
    return {name: data for data, name in resource_names(fn).items()}
