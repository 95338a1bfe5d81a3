"""Reductions over axes: sums, products, extremes and means.

Half-width floats are accumulated in f32; integers keep their type and wrap around.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from functools import partial
from typing import ClassVar

import numpy as np

from ...expr import COMBINERS, Expr, cast, const
from ...ir import Axes, Element, Op, Operand, Scalar, Value, current_builder, op
from ...sizes import Shape, product
from ...types import Array, DType, TensorType, bool_, f64, i64
from ..base.axes import check_axes, normal_axes, permuted_axes
from ..base.body import Indices, computing_type, reduce_over
from ..base.broadcast import broadcast
from ..base.cast import cast as cast_value
from ..base.elements import Gradients, emit
from ..base.promote import as_value, check_kind
from ..elementwise.compare import equal
from ..elementwise.select import where
from ..shapes.creation import ones_like
from ..shapes.shape import inverse_permutation, reshape, transpose


@op
class AxesOp(Op):
    """An operation over `axes`, which go or, if `keepdims`, stay with size 1."""

    x: Value
    axes: tuple[int, ...]
    keepdims: bool = False
    domain: ClassVar[str] = "fiu"

    def infer(self) -> TensorType:
        check_kind(self.x, self.domain)
        check_axes(self.axes, self.x.rank)
        sizes = enumerate(self.x.shape)
        if self.keepdims:
            return self.x.type.with_shape(1 if axis in self.axes else size for axis, size in sizes)
        return self.x.type.with_shape(size for axis, size in sizes if axis not in self.axes)

    def spread(self, reduced: Value) -> Value:
        """A value of the result's shape, repeated over the axes."""
        kept = [1 if axis in self.axes else size for axis, size in enumerate(self.x.shape)]
        return broadcast(reshape(reduced, kept), self.x.shape)

    def count(self) -> Scalar | Value:
        """The number of elements per result; as a tensor of its shape where a size is named."""
        number = product(self.x.shape[axis] for axis in self.axes)
        if isinstance(number, int):
            return number
        return sum(ones_like(self.x), self.axes, keepdims=self.keepdims)

    def permuted(self, perm: tuple[int, ...]) -> Op | None:
        axes = permuted_axes(self.axes, perm)
        return dataclasses.replace(self, axes=axes) if self.keepdims else None


@op
class Reduction(AxesOp):
    """A combiner of the table over the axes."""

    combiner: ClassVar[str]

    def body(self, at: Indices, x: Element) -> Expr:
        dtype = self.infer().dtype
        wide = self.accumulator
        total = reduce_over(
            self.combiner,
            {f"r{axis}": x.type.static_shape[axis] for axis in self.axes},
            lambda *along: cast(x[self._source(at, along)], wide),
        )
        return cast(self.finish(total), dtype)

    def _source(self, at: Indices, along: Indices) -> Indices:
        """The index into `x` of a reduced element."""
        kept = [part for axis, part in enumerate(at) if not self.keepdims or axis not in self.axes]
        rest, reduced = iter(kept), iter(along)
        return tuple(
            next(reduced) if axis in self.axes else next(rest) for axis in range(self.x.rank)
        )

    @property
    def accumulator(self) -> DType:
        """The element type of the running total."""
        return computing_type(self.x.dtype)

    def finish(self, total: Expr) -> Expr:
        """The result of the total over all elements."""
        return total


def widened(x: Array) -> Array:
    """For references: floats as f64, others as they are."""
    return x if x.dtype.kind in "iub" else x.astype(f64.numpy)


@op
class Sum(Reduction):
    """The sum; of no elements: 0. Bools are counted, in i64."""

    combiner = "sum"
    domain = "fiub"

    def infer(self) -> TensorType:
        type_ = super().infer()
        return type_.with_dtype(i64) if type_.dtype == bool_ else type_

    @property
    def accumulator(self) -> DType:
        return computing_type(self.infer().dtype)

    def reference(self, x: Array) -> Array:
        dtype = self.infer().dtype.numpy
        wide = widened(x) if x.dtype.kind not in "iub" else x.astype(dtype)
        return np.asarray(np.sum(wide, self.axes, wide.dtype, keepdims=self.keepdims)).astype(dtype)

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return (self.spread(dy) if self.x.dtype.is_float else None,)


@op
class Prod(Reduction):
    """The product; of no elements: 1."""

    combiner = "prod"

    def reference(self, x: Array) -> Array:
        wide = widened(x)
        found = np.prod(wide, self.axes, wide.dtype, keepdims=self.keepdims)
        return np.asarray(found).astype(x.dtype)

    def gradient(self, y: Value, dy: Value) -> Gradients:
        """For each element the product of the others: of those before and those after it."""
        rest = [axis for axis in range(self.x.rank) if axis not in self.axes]
        order = [*rest, *self.axes]
        moved = transpose(self.x, order)
        kept = moved.shape[: len(rest)]
        row = reshape(moved, (*kept, product(moved.shape[len(rest) :])))
        run = partial(current_builder().table.call, "cumprod", row, -1, exclusive=True)
        others = reshape(run() * run(reverse=True), moved.shape)
        return (self.spread(dy) * transpose(others, inverse_permutation(order)),)


@op
class Max(Reduction):
    """The largest element; NaN wins; of no elements: the least value there is."""

    combiner = "max"

    def reference(self, x: Array) -> Array:
        least = COMBINERS["max"].identity[0](self.x.dtype)
        found = np.max(widened(x), self.axes, keepdims=self.keepdims, initial=least)
        return np.asarray(found).astype(x.dtype)

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return (_to_equals(self, y, dy),)


@op
class Min(Reduction):
    """The smallest element; NaN wins; of no elements: the largest value there is."""

    combiner = "min"

    def reference(self, x: Array) -> Array:
        most = COMBINERS["min"].identity[0](self.x.dtype)
        found = np.min(widened(x), self.axes, keepdims=self.keepdims, initial=most)
        return np.asarray(found).astype(x.dtype)

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return (_to_equals(self, y, dy),)


def _to_equals(reduction: Reduction, y: Value, dy: Value) -> Value:
    """The gradient of an extreme, in equal parts to the elements that reach it."""
    reached = equal(reduction.x, reduction.spread(y))
    count = sum(cast_value(reached, dy.dtype), reduction.axes, keepdims=reduction.keepdims)
    return where(reached, reduction.spread(dy / count), 0)


@op
class Any_(Reduction):
    """Whether any element is true; of no elements: false."""

    combiner = "any"
    domain = "b"

    def reference(self, x: Array) -> Array:
        return np.asarray(np.any(x, self.axes, keepdims=self.keepdims))


@op
class All(Reduction):
    """Whether all elements are true; of no elements: true."""

    combiner = "all"
    domain = "b"

    def reference(self, x: Array) -> Array:
        return np.asarray(np.all(x, self.axes, keepdims=self.keepdims))


@op
class Mean(Reduction):
    """The arithmetic mean of floats; of no elements: NaN."""

    combiner = "sum"
    domain = "f"

    def reference(self, x: Array) -> Array:
        wide = widened(x)
        count = np.prod([x.shape[axis] for axis in self.axes], dtype=np.float64)
        with np.errstate(invalid="ignore"):
            mean = np.sum(wide, self.axes, keepdims=self.keepdims) / count
        return np.asarray(mean).astype(x.dtype)

    def finish(self, total: Expr) -> Expr:
        shape = self.x.type.static_shape
        return total / const(math.prod(shape[axis] for axis in self.axes), total.dtype)

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return (self.spread(dy / self.count()),)


def reduced(
    cls: Callable[[Value, tuple[int, ...], bool], Op], x: Operand, axis: Axes, keepdims: bool
) -> Value:
    """Emit a reduction over axes as users write them."""
    value = as_value(x)
    return emit(cls(value, normal_axes(axis, value.rank), keepdims))


def sum_to(x: Value, shape: Shape) -> Value:
    """`x` summed over the axes along which a tensor of this shape was repeated to give its."""
    new = x.rank - len(shape)
    kept = zip(x.shape[new:], shape, strict=True)
    repeated = tuple(new + axis for axis, (have, want) in enumerate(kept) if have != want)
    axes = (*range(new), *repeated)
    return reshape(sum(x, axes), shape) if axes else x


def sum(x: Operand, axis: Axes = None, *, keepdims: bool = False) -> Value:
    """The sum over axes, by default all; of bools their count, in i64."""
    return reduced(Sum, x, axis, keepdims)


def prod(x: Operand, axis: Axes = None, *, keepdims: bool = False) -> Value:
    """The product over axes, by default all."""
    return reduced(Prod, x, axis, keepdims)


def max(x: Operand, axis: Axes = None, *, keepdims: bool = False) -> Value:
    """The largest element over axes, by default all; NaN wins."""
    return reduced(Max, x, axis, keepdims)


def min(x: Operand, axis: Axes = None, *, keepdims: bool = False) -> Value:
    """The smallest element over axes, by default all; NaN wins."""
    return reduced(Min, x, axis, keepdims)


def any(x: Operand, axis: Axes = None, *, keepdims: bool = False) -> Value:
    """Whether any element is true, over axes, by default all."""
    return reduced(Any_, x, axis, keepdims)


def all(x: Operand, axis: Axes = None, *, keepdims: bool = False) -> Value:
    """Whether all elements are true, over axes, by default all."""
    return reduced(All, x, axis, keepdims)


def mean(x: Operand, axis: Axes = None, *, keepdims: bool = False) -> Value:
    """The arithmetic mean over axes, by default all."""
    return reduced(Mean, x, axis, keepdims)


OPS: tuple[type[Op], ...] = (Sum, Prod, Max, Min, Any_, All, Mean)
