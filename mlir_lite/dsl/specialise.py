"""Specialisation: named sizes get their values, static parameters become constants."""

from __future__ import annotations

from collections.abc import Mapping

from numpy.typing import ArrayLike

from ..errors import InputError, check
from ..ir import Builder, Function, Value, parameter
from ..ir.arguments import unknown_names
from ..ops.table import TABLE
from ..types import Dim, TensorType

NO_VALUES: Mapping[str, ArrayLike] = {}


def specialise(
    fn: Function, sizes: Mapping[str, int], values: Mapping[str, ArrayLike] = NO_VALUES
) -> Function:
    """The function with these named sizes known, and these static parameters made constants.

    Types are inferred anew, regions included. Names that `sizes` leaves out stay. `InputError`
    for a name that the function does not have; `TypeRuleError` where a type rule does not hold
    for these sizes.
    """
    unknown = unknown_names(sizes, sorted(fn.sizes))
    check(not unknown, f"@{fn.name} has no named size {unknown}", InputError)
    for name, size in sizes.items():
        ok = isinstance(size, int) and not isinstance(size, bool) and size >= 0
        check(ok, f"the size '{name}' is a number from 0 on, not {size!r}", InputError)
    unknown = unknown_names(values, sorted(fn.static))
    check(not unknown, f"@{fn.name} has no static parameter {unknown}", InputError)
    sized = _with_sizes(fn, sizes) if sizes else fn
    return sized.bind(values) if values else sized


def _with_sizes(fn: Function, sizes: Mapping[str, int]) -> Function:
    """Emit the function again with sizes put into its parameter types and attributes."""
    params = tuple(parameter(param.name, param.type.substitute(sizes)) for param in fn.params)
    values: dict[Value, Value] = dict(zip(fn.params, params, strict=True))
    builder = Builder(TABLE)
    with builder.active():
        for node in fn.nodes:
            op = node.op.rebuild(
                values.__getitem__, lambda attribute: _substituted(attribute, sizes)
            )
            with builder.at(node.location):
                values.update(zip(node.results, builder.emit(op), strict=True))
    results = [values[result] for result in fn.results]
    return builder.finish(fn.name, params, results, static=fn.static)


def _substituted(attribute: object, sizes: Mapping[str, int]) -> object:
    """An attribute with the sizes put in; the attribute itself where it names none of them."""
    match attribute:
        case Dim() | TensorType():
            return attribute.substitute(sizes)
        case Function():
            return _with_sizes(attribute, sizes)
        case tuple():
            parts = tuple(_substituted(part, sizes) for part in attribute)
            same = all(new is old for new, old in zip(parts, attribute, strict=True))
            return attribute if same else parts
    return attribute
