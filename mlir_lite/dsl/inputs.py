"""The arrays of a call: counted, checked against the parameters, and asked for the named sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from numpy.typing import ArrayLike

from ..errors import InputError, check
from ..ir import Function
from ..ir.arguments import checked_array, unknown_names
from ..types import Array, Dim, Size, substitute


def named_arrays(
    fn: Function, arrays: Sequence[ArrayLike], named: Mapping[str, ArrayLike]
) -> dict[str, Array]:
    """The arrays of a call by parameter name, in the parameters' order.

    Element types and known sizes are checked, nothing is converted; `InputError` says what is
    missing, unknown, or does not fit.
    """
    names = [param.name for param in fn.params]
    unknown = unknown_names(named, names)
    check(not unknown, f"@{fn.name} has no parameter {unknown}", InputError)
    free = [name for name in names if name not in named]
    check(
        len(arrays) == len(free),
        f"@{fn.name} takes {len(free)} arrays ({', '.join(free)}), got {len(arrays)}",
        InputError,
    )
    given = {**dict(zip(free, arrays, strict=True)), **named}
    return {
        param.name: checked_array(
            given[param.name], param.type, f"parameter '{param.name}' of @{fn.name}"
        )
        for param in fn.params
    }


@dataclass(frozen=True)
class _Extent:
    """The size of one axis of a parameter, as declared and as an array has it."""

    param: str
    declared: Size
    actual: int


def solve_sizes(fn: Function, arrays: Sequence[Array]) -> dict[str, int]:
    """The named sizes of a function from the shapes of arrays for its parameters.

    A size such as `2*n + 1` is solved for `n`, or checked where `n` is known. `InputError` names
    the parameters that contradict each other, and a size that no shape decides.
    """
    sizes: dict[str, int] = {}
    found_in: dict[str, str] = {}
    open_ = [
        _Extent(param.name, declared, actual)
        for param, array in zip(fn.params, arrays, strict=True)
        for declared, actual in zip(param.shape, array.shape, strict=True)
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
