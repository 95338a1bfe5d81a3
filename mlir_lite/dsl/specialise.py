"""Specialisation: named sizes get their values, static parameters become constants.

The values come from the caller, or from the shapes of the arrays that a function is called with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from ..errors import InputError, check
from ..ir import Builder, Function
from ..ir.arguments import unknown_names
from ..ir.function import with_sizes
from ..ir.solve_sizes import Extent, solved_sizes
from ..ops.table import TABLE
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
    sized = fn
    if sizes:
        with Builder(TABLE).active():
            sized = with_sizes(fn, sizes)
    return sized.bind(values) if values else sized


def solve_sizes(fn: Function, arrays: Sequence[object]) -> dict[str, int]:
    """The named sizes of a function from the shapes of the arrays for its parameters; see
    `solved_sizes` for the errors."""
    given = named_arrays(fn, arrays, {})
    extents = [
        Extent(param.name, declared, actual)
        for param in fn.params
        for declared, actual in zip(param.shape, given[param.name].shape, strict=True)
    ]
    return {name: int(size) for name, size in solved_sizes(fn.name, extents).items()}
