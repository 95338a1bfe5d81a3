"""Statistics over axes, written with other operations: variance, logarithm of sums, norms."""

from __future__ import annotations

import math

import numpy as np

from ...ir import Axes, Op, Operand, Value, op
from ...sizes import static
from ...types import Array
from ..base.axes import normal_axes
from ..base.elements import Gradients, emit
from ..base.promote import as_value, promote
from ..elementwise.compare import isfinite
from ..elementwise.select import where
from ..elementwise.unary import absolute, exp, log, sqrt, square
from ..shapes.join import stack
from ..shapes.shape import reshape
from .reduce import AxesOp, mean, reduced, widened
from .reduce import max as max_
from .reduce import sum as sum_


@op
class Var(AxesOp):
    """The variance of floats over n elements, divided by `n - correction` (0 or 1)."""

    correction: int = 0
    domain = "f"

    def reference(self, x: Array) -> Array:
        wide = widened(x)
        freedom = math.prod(x.shape[axis] for axis in self.axes) - self.correction
        with np.errstate(all="ignore"):
            count = np.float64(freedom + self.correction)
            centred = wide - np.sum(wide, self.axes, keepdims=True) / count
            total = np.sum(centred * centred, self.axes, keepdims=self.keepdims)
            return np.asarray(total / np.float64(max(0, freedom))).astype(x.dtype)

    def decompose(self, x: Value) -> Value:
        squares = square(x - mean(x, self.axes, keepdims=True))
        if self.correction == 0:
            return mean(squares, self.axes, keepdims=self.keepdims)
        shape = x.type.static_shape
        freedom = math.prod(shape[axis] for axis in self.axes) - self.correction
        return sum_(squares, self.axes, keepdims=self.keepdims) / max(0, freedom)

    def gradient(self, y: Value, dy: Value) -> Gradients:
        centred = self.x - mean(self.x, self.axes, keepdims=True)
        return (self.spread(dy / (self.count() - self.correction)) * centred * 2.0,)


@op
class Logsumexp(AxesOp):
    """`log(sum(exp(x)))` without overflow; of no elements: -inf."""

    domain = "f"

    def reference(self, x: Array) -> Array:
        wide = widened(x)
        largest = np.max(wide, self.axes, keepdims=True, initial=-np.inf)
        offset = np.where(np.isfinite(largest), largest, 0)
        with np.errstate(divide="ignore"):
            found = np.log(np.sum(np.exp(wide - offset), self.axes, keepdims=True)) + offset
        return np.reshape(found, static(self.infer().shape)).astype(x.dtype)

    def decompose(self, x: Value) -> Value:
        largest = max_(x, self.axes, keepdims=True)
        # inf - inf would be NaN: an infinite maximum is not taken out.
        offset = where(isfinite(largest), largest, 0)
        total = log(sum_(exp(x - offset), self.axes, keepdims=True)) + offset
        return reshape(total, self.infer().shape)

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return (self.spread(dy) * exp(self.x - self.spread(y)),)


def var(x: Operand, axis: Axes = None, *, keepdims: bool = False, correction: int = 0) -> Value:
    """The variance over axes, by default all; `correction=1` for the unbiased one."""
    value = as_value(x)
    return emit(Var(value, normal_axes(axis, value.rank), keepdims, correction))


def std(x: Operand, axis: Axes = None, *, keepdims: bool = False, correction: int = 0) -> Value:
    """The standard deviation over axes, by default all."""
    return sqrt(var(x, axis, keepdims=keepdims, correction=correction))


def logsumexp(x: Operand, axis: Axes = None, *, keepdims: bool = False) -> Value:
    """`log(sum(exp(x)))` over axes, by default all, without overflow."""
    return reduced(Logsumexp, x, axis, keepdims)


def logaddexp(x: Operand, y: Operand) -> Value:
    """`log(exp(x) + exp(y))` without overflow, with broadcasting."""
    return logsumexp(stack(promote(x, y)), 0)


def norm_l1(x: Operand, axis: Axes = None, *, keepdims: bool = False) -> Value:
    """The sum of magnitudes over axes, by default all."""
    return sum_(absolute(x), axis, keepdims=keepdims)


def norm_l2(x: Operand, axis: Axes = None, *, keepdims: bool = False) -> Value:
    """The square root of the sum of squares over axes, by default all."""
    return sqrt(sum_(square(x), axis, keepdims=keepdims))


OPS: tuple[type[Op], ...] = (Var, Logsumexp)
