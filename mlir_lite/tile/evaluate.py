"""Values of expressions over a grid of loop iterations, in NumPy: the interpreter's arithmetic.

A frame whose grid is `(m, n)` evaluates an expression for all `m * n` iterations of two loops at
once. The axis of a deeper loop is an earlier dimension of the arrays, so that a value computed
in an outer loop broadcasts in the inner ones without being reshaped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from ..errors import VerifyError
from ..expr import COMBINERS, FUNCTIONS, Apply, Cast, Const, Expr, Load, Reduce, Var, cast_array
from ..expr.traverse import loads_of
from ..types import Array, DType
from .nodes import Accumulate, Block, Buffer, Ref

Index = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Storage:
    """The memory of a buffer: `data` is flat; the copy of each grid point starts at `base`."""

    buffer: Buffer
    data: Array
    base: Index
    strides: tuple[int, ...]

    @staticmethod
    def of(buffer: Buffer, data: Array) -> Storage:
        """One copy, in flat row-major memory that is written through."""
        return Storage(buffer, data, np.zeros((), np.int64), _strides(buffer.memory_shape))

    @staticmethod
    def garbage(buffer: Buffer, grid: tuple[int, ...]) -> Storage:
        """A copy for each point of a grid, holding what no program would compute."""
        points = prod(grid)
        base = np.arange(points, dtype=np.int64).reshape(grid[::-1]) * buffer.elements
        data = garbage(buffer.dtype, points * buffer.elements)
        return Storage(buffer, data, base, _strides(buffer.memory_shape))


@dataclass(frozen=True, slots=True)
class Frame:
    """Where an expression is evaluated: the names' values, the memory, the active iterations.

    `grid` holds the extents of the loops run at once, outer first; `mask` says which points are
    active (None: all). `reductions` are dimensions of the grid along which the accumulations into
    these buffers may meet in one element. `pending` holds the asynchronous bodies of this thread
    that have not run.
    """

    kernel: str
    vars: dict[str, Array]
    buffers: dict[str, Storage]
    grid: tuple[int, ...] = ()
    mask: Array | None = None
    reductions: tuple[tuple[int, frozenset[str]], ...] = ()
    pending: list[Pending] = field(default_factory=list)

    def masked(self, condition: Array) -> Frame:
        """The frame of the iterations in which the condition holds too."""
        mask = condition if self.mask is None else self.mask & condition
        return replace(self, mask=mask)

    def expanded(
        self, axis: str, start: int, stop: int, reduced: frozenset[str] = frozenset()
    ) -> Frame:
        """The frame that runs all of `start..stop` at once as one more dimension."""
        rank = len(self.grid)
        values = np.arange(start, stop, dtype=np.int64).reshape((stop - start,) + (1,) * rank)
        self.vars[axis] = values
        reductions = (*self.reductions, (rank, reduced)) if reduced else self.reductions
        return replace(self, grid=(*self.grid, stop - start), reductions=reductions)

    def thread(self) -> Frame:
        """A copy for an iteration of its own: names, buffers and asynchronous work are private."""
        return replace(self, vars=dict(self.vars), buffers=dict(self.buffers), pending=[])


@dataclass(frozen=True, slots=True)
class Pending:
    """An asynchronous body with the frame it was issued in."""

    group: str
    body: Block
    frame: Frame


def _strides(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(prod(shape[axis + 1 :]) for axis in range(len(shape)))


def garbage(dtype: DType, elements: int) -> Array:
    """Uninitialised memory, made visible: NaN for floats, the bytes 0xCD for integers."""
    if dtype.kind == "b":
        return np.ones(elements, dtype.numpy)
    pattern = 0xFF if dtype.is_float else 0xCD
    return np.full(elements * dtype.bytes, pattern, np.uint8).view(dtype.numpy)


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
        guarded = any(True for _ in loads_of(value))
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
    columns = [_rows(value, shape, range(rank, len(inner.grid))) for value in values]
    identities = COMBINERS[expr.combiner].identity
    states: list[Array] = [
        np.full(shape[len(full) :], identity(dtype), dtype.numpy)
        for identity, dtype in zip(identities, dtypes, strict=True)
    ]
    result = fold(expr.combiner, states, columns)[expr.component]
    return result.reshape(shape[len(full) :])


def _rows(value: Array, shape: tuple[int, ...], dimensions: Sequence[int]) -> Array:
    """The value broadcast, with these grid dimensions flattened in program order as axis 0."""
    whole = np.broadcast_to(value, shape)
    axes = [len(shape) - 1 - dimension for dimension in sorted(dimensions)]
    rest = [axis for axis in range(len(shape)) if axis not in axes]
    kept = tuple(1 if axis in axes else shape[axis] for axis in range(len(shape)))
    moved = whole.transpose(axes + rest)
    # The flattened dimensions stay as ones as well, so that the others keep their places.
    count = prod(shape[axis] for axis in axes)
    return moved.reshape((count, *kept))


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
        arrays = _masked_values(stmt.combiner, arrays, dtypes, frame.mask)
    rank = len(whole)
    met = tuple(whole[axis] if rank - 1 - axis in reduced else 1 for axis in range(rank))
    active = np.ones((), np.bool_) if frame.mask is None else frame.mask
    shapes = (array.shape for array in (*arrays, active, *(at for _, at in places)))
    shape = np.broadcast_shapes(met, *shapes)
    rows = [_rows(array, shape, reduced) for array in arrays]
    kept = rows[0].shape[1:]
    spots = [np.broadcast_to(at, kept) for _, at in places]
    states = [storage.data[at] for (storage, _), at in zip(places, spots, strict=True)]
    joined = fold(stmt.combiner, states, rows)
    # An inactive point may share its place with an active one: it must not write at all.
    touched = _rows(active, shape, reduced).any(axis=0)
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


def _masked_values(
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
