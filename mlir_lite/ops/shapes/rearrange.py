"""Elements moved about, as NumPy names it: roll, diff, grids, diagonals, elements along an axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from ...errors import check
from ...ir import Axes, Operand, Value
from ...sizes import Shape, Size
from ...types import i64
from ..base.axes import normal_axis
from ..base.broadcast import broadcast, common_shape, shape_text
from ..base.promote import as_value
from ..elementwise.arithmetic import mod, subtract
from ..elementwise.compare import equal, not_equal
from ..elementwise.select import where
from .creation import iota, ones
from .index import gather, gather_elements
from .join import concat
from .shape import expand_dims, flatten, reshape, with_size
from .slice import pad, slice_axis

_ONE_AXIS = (int, np.integer)


def roll(x: Operand, shift: int | Sequence[int], axis: Axes = None) -> Value:
    """`x` with its elements moved on by `shift` along an axis, those beyond its end to its start.

    With several axes there is a shift for each, or one for all. Without an axis the elements are
    moved in row-major order.
    """
    value = as_value(x)
    if axis is None:
        check(isinstance(shift, _ONE_AXIS), f"roll without an axis takes one shift, not {shift}")
        return reshape(roll(flatten(value), shift, 0), value.shape)
    axes = (axis,) if isinstance(axis, _ONE_AXIS) else tuple(axis)
    shifts = (shift,) * len(axes) if isinstance(shift, _ONE_AXIS) else tuple(shift)
    check(len(shifts) == len(axes), f"{len(shifts)} shifts for {len(axes)} axes")
    for place, by in zip(axes, shifts, strict=True):
        value = _rolled(value, by, normal_axis(place, value.rank))
    return value


def _rolled(x: Value, shift: int, axis: int) -> Value:
    size = x.shape[axis]
    if not isinstance(size, int):  # by how much the shift is beyond it is known later
        return gather(x, mod(iota(size) - shift, ones(size, i64).sum()), axis)
    first = -shift % size if size else 0
    if first == 0:
        return x
    parts = slice_axis(x, axis, first, size - first), slice_axis(x, axis, 0, first)
    return concat(parts, axis)


def diff(x: Operand, n: int = 1, axis: int = -1) -> Value:
    """The differences of neighbours along an axis, taken `n` times: each time one element fewer.

    Of bools: whether neighbours differ.
    """
    value = as_value(x)
    place = normal_axis(axis, value.rank)
    check(n >= 0, f"differences are taken {n} times")
    step = not_equal if value.dtype.kind == "b" else subtract
    for _ in range(n):
        rest = value.shape[place] - 1
        if rest == -1:  # there is nothing left to differ
            break
        later, earlier = (slice_axis(value, place, start, rest) for start in (1, 0))
        value = step(later, earlier)
    return value


def take_along_axis(x: Operand, indices: Operand, axis: int = -1) -> Value:
    """The elements at `indices` along an axis, as `argsort` or `argmax(keepdims=True)` give them.

    `x` and `indices` have as many axes; the others are broadcast. -1 is the last element, an index
    out of range an error of the run.
    """
    value, places = as_value(x), as_value(indices)
    check(value.rank == places.rank, f"x has rank {value.rank}, the indices have {places.rank}")
    place = normal_axis(axis, value.rank)
    others = [with_size(shape, place, 1) for shape in (value.shape, places.shape)]
    common = common_shape(*others)
    texts = " and ".join(shape_text(shape) for shape in (value.shape, places.shape))
    check(common is not None, f"the shapes {texts} do not broadcast beside axis {place}")
    assert common is not None
    whole, wanted = (
        broadcast(one, with_size(common, place, one.shape[place])) for one in (value, places)
    )
    return gather_elements(whole, wanted, place)


def meshgrid(*xs: Operand, indexing: Literal["xy", "ij"] = "xy") -> tuple[Value, ...]:
    """Vectors as coordinates of a grid: each repeated along the axes of the others.

    Vectors of `n` and `m` elements give two grids of shape `(m, n)` with "xy", `(n, m)` with "ij".
    """
    check(indexing in ("xy", "ij"), f"indexing '{indexing}' is neither 'xy' nor 'ij'")
    vectors = [as_value(x) for x in xs]
    for vector in vectors:
        check(vector.rank == 1, f"a grid is made of vectors, not of {vector.type}")
    count = len(vectors)
    order = list(range(count))
    if indexing == "xy" and count > 1:
        order[:2] = 1, 0
    shape: Shape = tuple(vectors[place].shape[0] for place in order)
    grids = []
    for place, vector in enumerate(vectors):
        along: list[Size] = [1] * count
        along[order.index(place)] = vector.shape[0]
        grids.append(broadcast(reshape(vector, along), shape))
    return tuple(grids)


def diagonal(x: Operand, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Value:
    """The diagonal of the matrices along two axes, as a last axis; above it with an offset > 0."""
    value = as_value(x)
    first, second = normal_axis(axis1, value.rank), normal_axis(axis2, value.rank)
    check(first != second, "the two axes of a diagonal are one")
    order = [axis for axis in range(value.rank) if axis not in (first, second)]
    matrices = value.transpose(*order, first, second)
    rows, columns = matrices.shape[-2:]
    known = isinstance(rows, int) and isinstance(columns, int)
    check(known, f"a diagonal of the named sizes {rows} and {columns}")
    assert isinstance(rows, int) and isinstance(columns, int)
    down, right = min(rows, max(0, -offset)), min(columns, max(0, offset))
    length = max(0, min(rows - down, columns - right))
    square = slice_axis(slice_axis(matrices, -2, down, length), -1, right, length)
    return flatten(square, value.rank - 2)[..., :: length + 1]


def diag(x: Operand, k: int = 0) -> Value:
    """The `k`-th diagonal of a matrix, or the matrix that has a vector as that and zeros beside."""
    value = as_value(x)
    if value.rank == 2:
        return diagonal(value, k)
    check(value.rank == 1, f"a vector or a matrix, not a tensor of rank {value.rank}")
    size = value.shape[0] + abs(k)
    rows, columns = expand_dims(iota(size), 1), iota(size)
    column = expand_dims(pad(value, [(max(0, -k), max(0, k))]), 1)
    return where(equal(columns - rows, k), column, False)


def trace(x: Operand, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Value:
    """The sum of the diagonal of the matrices along two axes; see `diagonal`."""
    return diagonal(x, offset, axis1, axis2).sum(-1)
