"""The NumPy oracle: runs a function by each operation's `reference`, whatever its sizes."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .dsl import named_arrays, solve_sizes, specialise
from .ir import Function, run_reference
from .types import Array


def evaluate(fn: Function, *arrays: ArrayLike, **named: ArrayLike) -> Array | tuple[Array, ...]:
    """The result of a function for these arrays, by position or name; a tuple where it has several.

    It is slow and simple: what compiled code is compared with. Named sizes take their values from
    the arrays. `InputError` where an array does not fit its parameter.
    """
    given = named_arrays(fn, arrays, named)
    sizes = solve_sizes(fn, list(given.values()))
    values = {name: given.pop(name) for name in sorted(fn.static)}
    results = run_reference(specialise(fn, sizes, values), list(given.values()))
    # Copies: an operation's NumPy result may be a view of a parameter or of a constant.
    copies = tuple(np.array(result, order="C") for result in results)
    return copies[0] if len(copies) == 1 else copies
