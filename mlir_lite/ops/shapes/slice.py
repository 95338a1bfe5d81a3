"""Parts of a tensor and tensors around it: slices, reversal, padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...errors import UnsupportedError, check
from ...expr import Expr, apply, index, select
from ...ir import Axes, Element, Op, Operand, Scalar, Value, op
from ...sizes import Shape, Size, static
from ...types import Array, TensorType
from ..base.axes import normal_axes, normal_axis
from ..base.body import Indices, guarded
from ..base.constant import fitting
from ..base.elements import Gradients, emit
from ..base.promote import as_value
from .shape import expand_dims, reshape


@op
class Slice(Op):
    """Elements at `start + i * step` for `i < size`, along each axis; steps may be negative.

    With named sizes the limits are trusted, and checked when the sizes have values.
    """

    x: Value
    starts: Shape
    sizes: Shape
    steps: tuple[int, ...]

    def infer(self) -> TensorType:
        rank = self.x.rank
        counts = {len(self.starts), len(self.sizes), len(self.steps)}
        check(counts == {rank}, f"a slice of {rank} axes needs {rank} starts, sizes and steps")
        check(0 not in self.steps, "a step of 0")
        bounds = zip(self.x.shape, self.starts, self.sizes, self.steps, strict=True)
        for axis, (extent, start, size, step) in enumerate(bounds):
            if isinstance(size, int) and size == 0:
                continue
            ends = (start, start + (size - 1) * step)
            known = [end for end in ends if isinstance(end, int)]
            inside = all(end >= 0 for end in known) and (
                not isinstance(extent, int) or all(end < extent for end in known)
            )
            text = f"{size} elements from {start} by {step}"
            check(inside, f"{text} lie outside of axis {axis}, of size {extent}")
        return self.x.type.with_shape(self.sizes)

    def reference(self, x: Array) -> Array:
        bounds = zip(static(self.starts), static(self.sizes), self.steps, strict=True)
        picked = [start + step * np.arange(size) for start, size, step in bounds]
        return np.asarray(x[np.ix_(*picked)]) if picked else x

    def body(self, at: Indices, x: Element) -> Expr:
        bounds = zip(at, static(self.starts), self.steps, strict=True)
        return x[tuple(position * step + start for position, start, step in bounds)]

    def gradient(self, y: Value, dy: Value) -> Gradients:
        """Turn forwards, put zeros between the elements, and pad to the operand's shape."""
        backwards = tuple(axis for axis, step in enumerate(self.steps) if step < 0)
        spread = flip(dy, backwards)
        pads: list[tuple[Size, Size]] = []
        for axis, step in enumerate(self.steps):
            extent, start, size = self.x.shape[axis], self.starts[axis], self.sizes[axis]
            spread = _dilated(spread, axis, abs(step))
            low = start + (size - 1) * step if step < 0 else start
            pads.append((low, extent - low - spread.shape[axis]))
        return (pad(spread, pads),)

    def permuted(self, perm: tuple[int, ...]) -> Op | None:
        return Slice(
            self.x,
            tuple(self.starts[axis] for axis in perm),
            tuple(self.sizes[axis] for axis in perm),
            tuple(self.steps[axis] for axis in perm),
        )


def _dilated(x: Value, axis: int, step: int) -> Value:
    """`x` with `step - 1` zeros between neighbours along an axis."""
    if step == 1 or x.shape[axis] == 0:
        return x
    apart = expand_dims(x, axis + 1)
    widths = [(0, step - 1 if place == axis + 1 else 0) for place in range(apart.rank)]
    size = x.shape[axis] * step
    spread = reshape(pad(apart, widths), (*x.shape[:axis], size, *x.shape[axis + 1 :]))
    return slice_axis(spread, axis, 0, size - (step - 1))


_MODES = ("constant", "edge", "reflect", "wrap")


@op
class Pad(Op):
    """Elements added before and after along each axis, as in NumPy.

    `mode` is "constant" (they are `value`), "edge" (the nearest element), "reflect" (mirrored at
    the edge, which is not repeated) or "wrap" (counted around). In the mode "constant" a negative
    number takes elements away.
    """

    x: Value
    low: Shape
    high: Shape
    mode: str = "constant"
    value: int | float | bool = False  # which fits every element type

    def infer(self) -> TensorType:
        rank = self.x.rank
        check(len(self.low) == len(self.high) == rank, f"padding of {rank} axes needs {rank} pairs")
        check(self.mode in _MODES, f"mode '{self.mode}' is none of {', '.join(_MODES)}")
        fitting(self.value, self.x.dtype)
        shape: list[Size] = []
        for axis, (size, low, high) in enumerate(
            zip(self.x.shape, self.low, self.high, strict=True)
        ):
            if self.mode != "constant" and (low, high) != (0, 0):
                ends = [end for end in (low, high) if isinstance(end, int)]
                check(all(end >= 0 for end in ends), f"mode '{self.mode}' cannot take away")
                check(size != 0, f"mode '{self.mode}' has nothing to repeat along axis {axis}")
            total = size + low + high
            check(not isinstance(total, int) or total >= 0, f"axis {axis} is left with {total}")
            shape.append(total)
        return self.x.type.with_shape(shape)

    def reference(self, x: Array) -> Array:
        low, high = static(self.low), static(self.high)
        cut = tuple(
            slice(max(0, -before), size - max(0, -after))
            for size, before, after in zip(x.shape, low, high, strict=True)
        )
        widths = [(max(0, a), max(0, b)) for a, b in zip(low, high, strict=True)]
        if self.mode != "constant":
            mode: Any = self.mode  # one of NumPy's names, which NumPy types as literals
            return np.pad(x, widths, mode)
        return np.pad(x[cut], widths, constant_values=self.value)

    def body(self, at: Indices, x: Element) -> Expr:
        source = tuple(
            position - low for position, low in zip(at, static(self.low), strict=True)
        )
        if self.mode == "constant":
            return guarded(x, source, self.value)
        extents = x.type.static_shape
        moved = (self._inside(p, size) for p, size in zip(source, extents, strict=True))
        return x[tuple(moved)]

    def _inside(self, position: Expr, size: int) -> Expr:
        """The element that stands at a position before or after the axis."""
        if self.mode == "edge":
            return apply("max", apply("min", position, index(size - 1)), index(0))
        if self.mode == "wrap":
            return position % size
        period = max(1, 2 * (size - 1))
        around = position % period
        return select(around < size, around, index(period) - around)

    def gradient(self, y: Value, dy: Value) -> Gradients:
        pads = list(zip(self.low, self.high, strict=True))
        if self.mode == "constant":
            return (pad(dy, [(-low, -high) for low, high in pads]),)
        for axis, (low, high) in enumerate(pads):
            if (low, high) != (0, 0):
                dy = _folded(dy, axis, self.x.shape[axis], low, self.mode)
        return (dy,)

    def permuted(self, perm: tuple[int, ...]) -> Op | None:
        low = tuple(self.low[axis] for axis in perm)
        return Pad(self.x, low, tuple(self.high[axis] for axis in perm), self.mode, self.value)


def _folded(dy: Value, axis: int, size: Size, low: Size, mode: str) -> Value:
    """A gradient along an axis that elements were repeated around, added up at what they are of."""
    known = isinstance(size, int) and isinstance(low, int)
    message = f"the gradient of padding in mode '{mode}' of named sizes; give them values"
    check(known, message, UnsupportedError)
    assert isinstance(size, int) and isinstance(low, int)
    if mode == "wrap":
        return _in_turns(dy, axis, size, low)
    if mode == "reflect":
        period = max(1, 2 * (size - 1))
        around = _in_turns(dy, axis, period, low)
        there = slice_axis(around, axis, 0, size)
        back = flip(slice_axis(around, axis, size, period - size), axis) if size > 2 else None
        return there if back is None else there + _within(back, axis, 1, size)
    last = low + size
    high = dy.shape[axis] - last
    before = slice_axis(dy, axis, 0, low).sum(axis, keepdims=True)
    after = slice_axis(dy, axis, last, high).sum(axis, keepdims=True)
    middle = slice_axis(dy, axis, low, size)
    return middle + _within(before, axis, 0, size) + _within(after, axis, size - 1, size)


def _in_turns(dy: Value, axis: int, period: int, low: int) -> Value:
    """The sum of all elements that are whole periods apart, `low` being the first of one."""
    before = -low % period
    total = dy.shape[axis] + before
    after = -total % period
    whole = _within(dy, axis, before, total + after)
    apart = (*dy.shape[:axis], (total + after) // period, period, *dy.shape[axis + 1 :])
    return reshape(whole, apart).sum(axis)


def _within(x: Value, axis: int, start: int, size: Size) -> Value:
    """`x` from `start` on in an axis of this size, zeros around."""
    widths: list[tuple[Size, Size]] = [(0, 0)] * x.rank
    widths[axis] = (start, size - start - x.shape[axis])
    return pad(x, widths)


def slice_axis(x: Operand, axis: int, start: Size, size: Size, step: int = 1) -> Value:
    """The elements at `start + i * step`, `i < size`, along one axis."""
    value = as_value(x)
    place = normal_axis(axis, value.rank)
    starts: list[Size] = [0] * value.rank
    sizes, steps = list(value.shape), [1] * value.rank
    starts[place], sizes[place], steps[place] = start, size, step
    return slice_axes(value, starts, sizes, steps)


def slice_axes(
    x: Operand, starts: Sequence[Size], sizes: Sequence[Size], steps: Sequence[int] | None = None
) -> Value:
    """The elements at `start + i * step`, `i < size`, along every axis."""
    value = as_value(x)
    strides = (1,) * value.rank if steps is None else tuple(steps)
    if tuple(sizes) == value.shape and set(strides) <= {1}:
        return value
    return emit(Slice(value, tuple(starts), tuple(sizes), strides))


def flip(x: Operand, axis: Axes = None) -> Value:
    """`x` with the order of elements reversed along these axes; by default along all."""
    value = as_value(x)
    axes = normal_axes(axis, value.rank)
    if not axes:
        return value
    backwards = [place in axes for place in range(value.rank)]
    starts = [size - 1 if b else 0 for size, b in zip(value.shape, backwards, strict=True)]
    return slice_axes(value, starts, value.shape, [-1 if b else 1 for b in backwards])


def pad(
    x: Operand, widths: Sequence[tuple[Size, Size]], mode: str = "constant", value: Scalar = False
) -> Value:
    """`x` with elements added, a pair (low, high) for each axis; see `Pad` for the modes."""
    operand = as_value(x)
    pairs = hasattr(widths, "__len__") and all(
        hasattr(pair, "__len__") and len(pair) == 2 for pair in widths
    )
    example = ", ".join(["(1, 1)"] * operand.rank)
    check(pairs, f"pad takes a pair (low, high) for each axis, as in [{example}], not {widths!r}")
    check(len(widths) == operand.rank, f"{len(widths)} pairs for {operand.rank} axes")
    low, high = tuple(pair[0] for pair in widths), tuple(pair[1] for pair in widths)
    if set(low) | set(high) <= {0}:
        return operand
    return emit(Pad(operand, low, high, mode, fitting(value, operand.dtype)))


OPS: tuple[type[Op], ...] = (Slice, Pad)
