"""Softmax and its logarithm, written with other operations, so that one fused kernel does each.

Half-width floats are computed in f32 and rounded once.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from ...ir import Op, Operand, Value, op
from ...types import Array, TensorType
from ..base.axes import check_axis, normal_axis
from ..base.body import LOG2_E, computing_type
from ..base.cast import cast
from ..base.elements import Gradients, emit
from ..base.promote import as_value, check_kind
from ..elementwise.unary import exp, exp2, log, reciprocal
from ..reductions.reduce import max as max_
from ..reductions.reduce import sum as sum_
from ..reductions.reduce import widened


@op
class AlongAxis(Op):
    """An operation on floats along one axis; the result has the type of `x`."""

    x: Value
    axis: int

    def infer(self) -> TensorType:
        check_kind(self.x, "f")
        check_axis(self.axis, self.x.rank)
        return self.x.type

    def permuted(self, perm: tuple[int, ...]) -> Op | None:
        return dataclasses.replace(self, axis=perm.index(self.axis))


@op
class Softmax(AlongAxis):
    """`exp(x - max) / sum(exp(x - max))` along one axis; NaN where all of it is -inf."""

    def reference(self, x: Array) -> Array:
        powers = np.exp(_centred(x, self.axis))
        return np.asarray(powers / powers.sum(self.axis, keepdims=True)).astype(x.dtype)

    def decompose(self, x: Value) -> Value:
        wide = cast(x, computing_type(x.dtype))
        powers = _powers(wide - max_(wide, self.axis, keepdims=True))
        # One division a sum: it is at least 1, or NaN, so that nothing overflows or underflows.
        return cast(powers * reciprocal(sum_(powers, self.axis, keepdims=True)), x.dtype)

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return (y * (dy - sum_(dy * y, self.axis, keepdims=True)),)


@op
class LogSoftmax(AlongAxis):
    """`x - max - log(sum(exp(x - max)))` along one axis; NaN where all of it is -inf."""

    def reference(self, x: Array) -> Array:
        centred = _centred(x, self.axis)
        total = np.exp(centred).sum(self.axis, keepdims=True)
        with np.errstate(divide="ignore"):  # of no elements
            return np.asarray(centred - np.log(total)).astype(x.dtype)

    def decompose(self, x: Value) -> Value:
        wide = cast(x, computing_type(x.dtype))
        centred = wide - max_(wide, self.axis, keepdims=True)
        return cast(centred - log(sum_(_powers(centred), self.axis, keepdims=True)), x.dtype)

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return (dy - exp(y) * sum_(dy, self.axis, keepdims=True),)


def _centred(x: Array, axis: int) -> Array:
    """`x` in f64 less its maximum along an axis."""
    wide = widened(x)
    largest = np.max(wide, axis, keepdims=True, initial=-np.inf)
    with np.errstate(invalid="ignore"):
        return np.asarray(wide - largest)


def _powers(centred: Value) -> Value:
    """exp of differences from a maximum; see `power_below`."""
    return exp2(centred * LOG2_E)


def softmax(x: Operand, axis: int = -1) -> Value:
    """Weights that sum to 1 along an axis; see `Softmax`."""
    value = as_value(x)
    return emit(Softmax(value, normal_axis(axis, value.rank)))


def log_softmax(x: Operand, axis: int = -1) -> Value:
    """The logarithm of `softmax`, accurate where that underflows; see `LogSoftmax`."""
    value = as_value(x)
    return emit(LogSoftmax(value, normal_axis(axis, value.rank)))


OPS: tuple[type[Op], ...] = (Softmax, LogSoftmax)
