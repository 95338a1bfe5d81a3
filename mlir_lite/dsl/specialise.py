"""Specialisation: named sizes get their values, static parameters become constants.

The values come from the caller, or from the shapes of the arrays that a function is called with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..errors import InputError, check
from ..ir import Builder, Function, Value, parameter
from ..ir.arguments import unknown_names
from ..ops.table import TABLE
from ..sizes import Dim, Size, substitute
from ..types import TensorType
from .inputs import named_arrays

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
    has = f"; it has {', '.join(sorted(fn.sizes))}" if fn.sizes else ""
    check(not unknown, f"@{fn.name} has no named size {unknown}{has}", InputError)
    for name, size in sizes.items():
        ok = isinstance(size, (int, np.integer)) and not isinstance(size, bool) and size >= 0
        check(ok, f"the size '{name}' is a number from 0 on, not {size!r}", InputError)
    sizes = {name: int(size) for name, size in sizes.items()}
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
    return builder.remade(fn, results, params)


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


@dataclass(frozen=True)
class _Extent:
    """The size of one axis of a parameter, as declared and as an array has it."""

    param: str
    declared: Size
    actual: int


def solve_sizes(fn: Function, arrays: Sequence[object]) -> dict[str, int]:
    """The named sizes of a function from the shapes of the arrays for its parameters.

    A size such as `2*n + 1` is solved for `n`, or checked where `n` is known. `InputError` for
    arrays that do not fit, with the parameters that contradict each other, and for a size that no
    shape decides.
    """
    sizes: dict[str, int] = {}
    found_in: dict[str, str] = {}
    given = named_arrays(fn, arrays, {})
    open_ = [
        _Extent(param.name, declared, actual)
        for param in fn.params
        for declared, actual in zip(param.shape, given[param.name].shape, strict=True)
    ]
    while open_:
        left: list[_Extent] = []
        for extent in open_:
            known = substitute(extent.declared, sizes)
            solved = None if isinstance(known, int) else _solve(known, extent)
            if isinstance(known, int):
                _check_extent(extent, known, found_in)
            elif solved is None:
                left.append(extent)
            else:
                name, sizes[solved[0]] = solved
                found_in[name] = extent.param
        names = ", ".join(str(extent.declared) for extent in left)
        progress = len(left) < len(open_)
        check(progress, f"the shapes for @{fn.name} do not decide the sizes {names}", InputError)
        open_ = left
    return sizes


def _solve(size: Dim, extent: _Extent) -> tuple[str, int] | None:
    """The one named size in `a*name + b` that makes it the actual extent; None for other forms."""
    if len(size.names) != 1:
        return None
    (name,) = size.names
    terms = dict(size.terms)
    factor, rest = terms.pop((name,), 0), terms.pop((), 0)
    if factor == 0 or terms:
        return None
    value, remainder = divmod(extent.actual - rest, factor)
    check(
        remainder == 0 and value >= 0,
        f"a size of parameter '{extent.param}' is {extent.declared}, which is never "
        f"{extent.actual}",
        InputError,
    )
    return name, value


def _check_extent(extent: _Extent, known: int, found_in: Mapping[str, str]) -> None:
    if known == extent.actual:
        return
    names = extent.declared.names if isinstance(extent.declared, Dim) else ()
    others = ", ".join(f"'{found_in[name]}'" for name in sorted(names))
    raise InputError(
        f"the size {extent.declared} is {known} by parameter {others}, but {extent.actual} in "
        f"parameter '{extent.param}'"
    )
