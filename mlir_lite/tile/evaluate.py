"""Values of expressions over a grid of loop iterations, in NumPy: the interpreter's arithmetic.

Every function does for all points of a frame's grid at once what one iteration does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..errors import VerifyError
from ..expr import (
    COMBINERS,
    FUNCTIONS,
    Apply,
    Cast,
    Const,
    Expr,
    Load,
    Reduce,
    Var,
    cast_array,
    has_loads,
)
from ..types import Array, DType
from .fold import fold, masked_values, rows_of
from .frame import Frame, Index, Storage
from .nodes import Accumulate, Ref


def evaluate(expr: Expr, frame: Frame) -> Array:
    """The value at every point of the grid, in the expression's own type.

    `VerifyError` for an unknown name, or an element outside its buffer that is really read.
    """
    match expr:
        case Const(dtype=dtype, value=value):
            return np.asarray(dtype.numpy.type(value))
        case Var(name=name):
            if name not in frame.vars:
                raise VerifyError(f"kernel '{frame.kernel}': the name '{name}' is not defined")
            return frame.vars[name]
        case Load(buffer=buffer, indices=indices):
            storage, at = locate(buffer, indices, frame)
            return np.asarray(storage.data[at])
        case Apply(function="select", args=(condition, then, otherwise)):
            return _select(evaluate(condition, frame), then, otherwise, frame)
        case Apply(function=function, args=args):
            values = [evaluate(arg, frame) for arg in args]
            return _typed(FUNCTIONS[function].evaluate(*values), expr.dtype)
        case Cast(value=value, dtype=dtype):
            return cast_array(np.asarray(evaluate(value, frame)), dtype)
        case Reduce():
            return _reduce(expr, frame)
    raise VerifyError(f"kernel '{frame.kernel}': no meaning for {expr!r}")


def _typed(value: Array, dtype: DType) -> Array:
    """ml_dtypes widens where Python numbers take part; the IR's type is what counts."""
    return value if value.dtype == dtype.numpy else value.astype(dtype.numpy)


def _select(condition: Array, then: Expr, otherwise: Expr, frame: Frame) -> Array:
    """Each arm is loaded only where the condition picks it."""
    if condition.ndim == 0:
        return evaluate(then if condition else otherwise, frame)

    def arm(value: Expr, where: Array) -> Array:
        guarded = has_loads(value)
        return evaluate(value, frame.masked(where) if guarded else frame)

    return np.where(condition, arm(then, condition), arm(otherwise, ~condition))


def _reduce(expr: Reduce, frame: Frame) -> Array:
    rank = len(frame.grid)
    inner = frame
    for axis, extent in expr.axes:
        inner = inner.expanded(axis, 0, extent)
    dtypes = [value.dtype for value in expr.values]
    values = [evaluate(value, inner) for value in expr.values]
    full = inner.grid[rank:][::-1]
    shape = np.broadcast_shapes(*(value.shape for value in values), full + (1,) * rank)
    columns = [rows_of(value, shape, range(rank, len(inner.grid))) for value in values]
    identities = COMBINERS[expr.combiner].identity
    states: list[Array] = [
        np.full(shape[len(full) :], identity(dtype), dtype.numpy)
        for identity, dtype in zip(identities, dtypes, strict=True)
    ]
    result = fold(expr.combiner, states, columns)[expr.component]
    return result.reshape(shape[len(full) :])


def locate(name: str, indices: Sequence[Expr], frame: Frame) -> tuple[Storage, Index]:
    """The buffer's memory and, for every point, the flat place of the element in it.

    Where a point is not active the place is some element inside. `VerifyError` where an active
    one is outside the buffer.
    """
    storage = frame.buffers.get(name)
    if storage is None:
        raise VerifyError(f"kernel '{frame.kernel}': the buffer '{name}' is not defined")
    buffer = storage.buffer
    at = _within([evaluate(part, frame) for part in indices], buffer.shape, name, frame)
    if buffer.layout:
        names = dict(zip(buffer.layout.axes, at, strict=True))
        inner = replace(frame, vars=names, buffers={})
        mapped = [evaluate(part, inner) for part in buffer.layout.indices]
        at = _within(mapped, buffer.layout.shape, f"{name} (its memory)", frame)
    place = storage.base
    for part, stride in zip(at, storage.strides, strict=True):
        place = place + part * stride
    return storage, np.asarray(place)


def _within(at: list[Array], shape: tuple[int, ...], name: str, frame: Frame) -> list[Index]:
    if len(at) != len(shape):
        raise VerifyError(
            f"kernel '{frame.kernel}': {name} of shape {list(shape)} takes {len(shape)} "
            f"indices, not {len(at)}"
        )
    inside: list[Index] = []
    for dimension, (part, extent) in enumerate(zip(at, shape, strict=True)):
        index = np.asarray(part, np.int64)
        if index.ndim == 0 and 0 <= int(index) < extent:  # of one thread: no arrays to tell it
            inside.append(index)
            continue
        outside = (index < 0) | (index >= extent)
        if outside.any():
            wrong = outside if frame.mask is None else outside & frame.mask
            if wrong.any() or extent == 0:
                first = np.broadcast_to(index, wrong.shape)[wrong].flat[0] if wrong.any() else 0
                raise VerifyError(
                    f"kernel '{frame.kernel}': index {first} in dimension {dimension} of {name} "
                    f"is outside its shape {list(shape)}"
                )
            index = np.where(outside, 0, index)
        inside.append(index)
    return inside


def store(target: Ref, value: Expr, frame: Frame) -> None:
    """Write a value at every active point; the points' elements are distinct."""
    result = evaluate(value, frame)
    storage, at = locate(target.buffer, target.indices, frame)
    if frame.mask is None:
        storage.data[at] = result
        return
    at, result, active = np.broadcast_arrays(at, result, frame.mask)
    storage.data[at[active]] = result[active]


def accumulate(stmt: Accumulate, frame: Frame) -> None:
    """Join the values into the states in program order: the outer loops' iterations first."""
    arrays = [evaluate(value, frame) for value in stmt.values]
    places = [locate(target.buffer, target.indices, frame) for target in stmt.targets]
    whole = frame.grid[::-1]
    name = stmt.targets[0].buffer
    reduced = [dimension for dimension, names in frame.reductions if name in names]
    if any(_extent(at, dimension) > 1 for _, at in places for dimension in reduced):
        ((storage, at),) = places
        _scatter(stmt.combiner, storage, np.broadcast_to(at, whole), arrays[0], frame)
        return
    if frame.mask is not None:
        dtypes = [value.dtype for value in stmt.values]
        arrays = masked_values(stmt.combiner, arrays, dtypes, frame.mask)
    rank = len(whole)
    met = tuple(whole[axis] if rank - 1 - axis in reduced else 1 for axis in range(rank))
    active = np.ones((), np.bool_) if frame.mask is None else frame.mask
    shapes = (array.shape for array in (*arrays, active, *(at for _, at in places)))
    shape = np.broadcast_shapes(met, *shapes)
    rows = [rows_of(array, shape, reduced) for array in arrays]
    kept = rows[0].shape[1:]
    spots = [np.broadcast_to(at, kept) for _, at in places]
    states = [storage.data[at] for (storage, _), at in zip(places, spots, strict=True)]
    joined = fold(stmt.combiner, states, rows)
    # An inactive point may share its place with an active one: it must not write at all.
    touched = rows_of(active, shape, reduced).any(axis=0)
    for (storage, _), at, state in zip(places, spots, joined, strict=True):
        storage.data[at[touched]] = np.broadcast_to(state, kept)[touched]


def _extent(array: Array, dimension: int) -> int:
    """An array's extent along a dimension of the grid."""
    return array.shape[-1 - dimension] if dimension < array.ndim else 1


def _scatter(combiner: str, storage: Storage, at: Index, value: Array, frame: Frame) -> None:
    function = FUNCTIONS[COMBINERS[combiner].function].evaluate
    assert isinstance(function, np.ufunc)
    # Transposed, the outermost loop is the first dimension: `ufunc.at` then goes in program order.
    places, values = at.T, np.broadcast_to(value, at.shape).T
    if frame.mask is None:
        function.at(storage.data, places.ravel(), values.ravel())
        return
    active = np.broadcast_to(frame.mask, at.shape).T
    function.at(storage.data, places[active], values[active])
