"""The names that stand for large constants in a function's text."""

from __future__ import annotations

from collections.abc import Iterator

from .constant import ConstantData
from .function import Function
from .schema import attribute_parts


def constants_of(fn: Function) -> Iterator[ConstantData]:
    """The constant data in the operations' attributes, those in regions included."""
    for node in fn.nodes:
        for part in attribute_parts(node.op):
            if isinstance(part, ConstantData):
                yield part
            elif isinstance(part, Function):
                yield from constants_of(part)


def resource_names(fn: Function) -> dict[ConstantData, str]:
    """The name of each large constant: its own, or a new one where it has none of its own."""
    names: dict[ConstantData, str] = {}
    by_key: dict[object, str] = {}
    taken: set[str] = set()
    for data in constants_of(fn):
        if data.is_small or data in names:
            continue
        key = (data.key(), data.type, data.name)
        name = by_key.get(key) or _free_name(data.name, taken)
        taken.add(name)
        names[data] = by_key[key] = name
    return names


def _free_name(wanted: str, taken: set[str]) -> str:
    if wanted and wanted not in taken:
        return wanted
    stem = wanted or "constant"
    return next(name for k in range(len(taken) + 1) if (name := f"{stem}.{k}") not in taken)


def resources_of(fn: Function) -> dict[str, ConstantData]:
    """The large constants by the names in the text: what the parser wants to read it back."""
    return {name: data for data, name in resource_names(fn).items()}
