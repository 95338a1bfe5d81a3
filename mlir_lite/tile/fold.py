"""Joining values into the states of reductions, in NumPy: in the order of the program, with a
rounding at each step.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from ..expr import COMBINERS, FUNCTIONS
from ..types import Array, DType


def rows_of(value: Array, shape: tuple[int, ...], dimensions: Sequence[int]) -> Array:
    """The value broadcast, with these grid dimensions flattened in program order as axis 0."""
    whole = np.broadcast_to(value, shape)
    axes = [len(shape) - 1 - dimension for dimension in sorted(dimensions)]
    rest = [axis for axis in range(len(shape)) if axis not in axes]
    kept = tuple(1 if axis in axes else shape[axis] for axis in range(len(shape)))
    moved = whole.transpose(axes + rest)
    # The flattened dimensions stay as ones as well, so that the others keep their places.
    count = prod(shape[axis] for axis in axes)
    return moved.reshape((count, *kept))


def masked_values(
    combiner: str, arrays: Sequence[Array], dtypes: Sequence[DType], mask: Array
) -> list[Array]:
    """Put what changes no state where a point is not active."""
    neutral: list[Array] = []
    identities = COMBINERS[combiner].identity
    for identity, array, dtype in zip(identities, arrays, dtypes, strict=True):
        # x + 0.0 turns -0.0 into 0.0; x + -0.0 is x.
        value = -0.0 if combiner == "sum" and dtype.is_float else identity(dtype)
        neutral.append(np.where(mask, array, np.asarray(dtype.numpy.type(value))))
    return neutral


def fold(combiner: str, states: list[Array], rows: list[Array]) -> list[Array]:
    """Join rows (along axis 0, in order) into states of the rows' shape, rounding at each step."""
    function = COMBINERS[combiner].function
    if not function:
        return _fold_tuples(combiner, states, rows)
    join = FUNCTIONS[function].evaluate
    (state,), (values,) = states, rows
    if len(values) > 1 and values[0].size < len(values):
        assert isinstance(join, np.ufunc)
        sequence = np.concatenate([np.broadcast_to(state, values.shape[1:])[None], values])
        return [join.accumulate(sequence, axis=0, dtype=values.dtype)[-1]]
    for value in values:
        state = join(state, value)
    return [state]


def _fold_tuples(combiner: str, states: list[Array], rows: list[Array]) -> list[Array]:
    """Join in a tree: the order matters for the rounding of sums only."""
    join = COMBINERS[combiner].join
    while len(rows[0]) > 1:
        half = len(rows[0]) // 2
        left, right = ([row[i : i + half] for row in rows] for i in (0, half))
        joined = join(left, right)
        rest = [row[2 * half :] for row in rows]
        rows = [np.concatenate(parts) for parts in zip(joined, rest, strict=True)]
    return join(states, [row[0] for row in rows])
