"""The same elements in another shape or order, or repeated."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from ...errors import check
from ...expr import Expr, index
from ...ir import Axes, Element, Op, Operand, Value, op
from ...sizes import Dim, Quotient, Shape, Size, product, static
from ...types import Array, TensorType
from ..base.axes import normal_axes, normal_axis
from ..base.body import Indices
from ..base.broadcast import broadcast, shape_text
from ..base.elements import Gradients, emit
from ..base.promote import as_value


@op
class Reshape(Op):
    """The same elements in row-major order, in another shape."""

    x: Value
    shape: Shape

    def infer(self) -> TensorType:
        have, want = self.x.type.elements, product(self.shape)
        text = f"{shape_text(self.x.shape)} holds {have} elements, {shape_text(self.shape)} {want}"
        # A quotient of named sizes may come out later: it is checked when they have values.
        check(have == want or _holds_quotient(want) or _holds_quotient(have), text)
        return self.x.type.with_shape(self.shape)

    def reference(self, x: Array) -> Array:
        return np.reshape(x, static(self.shape))

    def body(self, at: Indices, x: Element) -> Expr:
        source: list[Expr] = []
        for old, new, first in _matched_groups(x.type.static_shape, static(self.shape)):
            flat: Expr = index(0)
            for offset, extent in enumerate(new):
                flat = flat * extent + at[first + offset]
            source.extend(_unflatten(flat, old))
        return x[tuple(source)]

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return (reshape(dy, self.x.shape),)


def _holds_quotient(value: Size) -> bool:
    return isinstance(value, Dim) and any(
        isinstance(atom, Quotient) for atoms, _ in value.terms for atom in atoms
    )


def _matched_groups(
    old: tuple[int, ...], new: tuple[int, ...]
) -> list[tuple[tuple[int, ...], tuple[int, ...], int]]:
    """Cut two shapes into the shortest runs of equal products: (old run, new run, its start)."""
    if prod(old) == 0:
        return [(old, new, 0)]
    groups = []
    i = j = 0
    while i < len(old) or j < len(new):
        start_old, start_new = i, j
        have = want = 1
        while have != want or (i, j) == (start_old, start_new):
            if j == len(new) or (i < len(old) and have <= want):
                have, i = have * old[i], i + 1
            else:
                want, j = want * new[j], j + 1
        groups.append((old[start_old:i], new[start_new:j], start_new))
    return groups


def _unflatten(flat: Expr, shape: tuple[int, ...]) -> list[Expr]:
    """The index in `shape` of an element counted in row-major order."""
    parts: list[Expr] = []
    for axis, extent in enumerate(shape):
        below = prod(shape[axis + 1 :])
        above = prod(shape[:axis])
        part = flat // below if below != 1 else flat
        parts.append(index(0) if extent == 1 else part if above == 1 else part % extent)
    return parts


@op
class Transpose(Op):
    """The axes in another order: axis `i` of the result is axis `perm[i]` of `x`."""

    x: Value
    perm: tuple[int, ...]

    def infer(self) -> TensorType:
        axes = list(range(self.x.rank))
        check(sorted(self.perm) == axes, f"{self.perm} is no order of the axes {tuple(axes)}")
        return self.x.type.with_shape(self.x.shape[axis] for axis in self.perm)

    def reference(self, x: Array) -> Array:
        return np.transpose(x, self.perm)

    def body(self, at: Indices, x: Element) -> Expr:
        return x[tuple(at[self.perm.index(axis)] for axis in range(len(at)))]

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return (transpose(dy, inverse_permutation(self.perm)),)

    def permuted(self, perm: tuple[int, ...]) -> Op | None:
        return Transpose(self.x, tuple(perm.index(self.perm[axis]) for axis in perm))


def inverse_permutation(perm: Sequence[int]) -> tuple[int, ...]:
    """The order that undoes `perm`."""
    return tuple(perm.index(axis) for axis in range(len(perm)))


def reshape(x: Operand, shape: Size | Sequence[Size]) -> Value:
    """`x` in another shape; one size may be -1: what is left over."""
    value = as_value(x)
    wanted = (shape,) if isinstance(shape, (int, np.integer, Dim)) else tuple(shape)
    check(wanted.count(-1) < 2, f"two sizes of {shape_text(wanted)} are left open")
    if -1 in wanted:
        known = product(size for size in wanted if size != -1)
        check(known != 0, f"the open size of {shape_text(wanted)} could be any")
        rest = value.type.elements // known
        wanted = tuple(rest if size == -1 else size for size in wanted)
    return value if wanted == value.shape else emit(Reshape(value, wanted))


def transpose(x: Operand, perm: Sequence[int] | None = None) -> Value:
    """`x` with its axes in the order `perm`; by default reversed."""
    value = as_value(x)
    if perm is None:
        order = tuple(reversed(range(value.rank)))
    else:
        order = tuple(normal_axis(axis, value.rank) for axis in perm)
    return value if order == tuple(range(value.rank)) else emit(Transpose(value, order))


def swapaxes(x: Operand, first: int, second: int) -> Value:
    """`x` with two axes exchanged."""
    value = as_value(x)
    order = list(range(value.rank))
    a, b = normal_axis(first, value.rank), normal_axis(second, value.rank)
    order[a], order[b] = order[b], order[a]
    return transpose(value, order)


def moveaxis(x: Operand, source: int, destination: int) -> Value:
    """`x` with one axis moved, the others in their order."""
    value = as_value(x)
    order = list(range(value.rank))
    axis = order.pop(normal_axis(source, value.rank))
    order.insert(normal_axis(destination, value.rank), axis)
    return transpose(value, order)


def expand_dims(x: Operand, axis: Axes) -> Value:
    """`x` with new axes of size 1, at these places of the result."""
    value = as_value(x)
    count = 1 if isinstance(axis, (int, np.integer)) else len(axis or ())
    places = normal_axes(axis, value.rank + count) if count else ()
    rest = iter(value.shape)
    shape = [1 if place in places else next(rest) for place in range(value.rank + count)]
    return reshape(value, shape)


def squeeze(x: Operand, axis: Axes = None) -> Value:
    """`x` without these axes of size 1; by default without all of them."""
    value = as_value(x)
    if axis is None:
        axes = tuple(place for place, size in enumerate(value.shape) if size == 1)
    else:
        axes = normal_axes(axis, value.rank)
    for place in axes:
        check(value.shape[place] == 1, f"axis {place} of {shape_text(value.shape)} is not 1")
    return reshape(value, [size for place, size in enumerate(value.shape) if place not in axes])


def flatten(x: Operand, start: int = 0) -> Value:
    """`x` with all axes from `start` on made one."""
    value = as_value(x)
    first = start if start in (0, value.rank) else normal_axis(start, value.rank)
    return reshape(value, (*value.shape[:first], product(value.shape[first:])))


def tile(x: Operand, repeats: Sequence[int]) -> Value:
    """`x` as a whole repeated along each axis; `repeats` has a number for each."""
    value = as_value(x)
    check(len(repeats) == value.rank, f"{len(repeats)} numbers for {value.rank} axes")
    shape = zip(repeats, value.shape, strict=True)
    spread: list[Size] = [entry for pair in shape for entry in pair]
    apart: list[Size] = [entry for size in value.shape for entry in (1, size)]
    result = [size * times for size, times in zip(value.shape, repeats, strict=True)]
    return reshape(broadcast(reshape(value, apart), spread), result)


def repeat(x: Operand, repeats: int, axis: int) -> Value:
    """Each element repeated along an axis, next to itself."""
    value = as_value(x)
    place = normal_axis(axis, value.rank)
    apart = expand_dims(value, place + 1)
    spread = broadcast(apart, with_size(apart.shape, place + 1, repeats))
    return reshape(spread, with_size(value.shape, place, value.shape[place] * repeats))


def with_size(shape: Shape, axis: int, size: Size) -> Shape:
    """The shape with the size of one axis replaced."""
    return (*shape[:axis], size, *shape[axis + 1 :])


OPS: tuple[type[Op], ...] = (Reshape, Transpose)
