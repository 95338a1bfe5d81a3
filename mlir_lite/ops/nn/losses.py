"""Losses, with torch's names, argument order and reductions.

Those of logits are operations, so that a dump shows them in one line and their gradients are the
short ones: the probabilities less the target.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np

from ...errors import check
from ...expr import Expr, apply, const
from ...ir import Op, Operand, Value, op
from ...types import Array, TensorType, i64
from ..base.axes import check_axis, normal_axis
from ..base.body import computing_type
from ..base.broadcast import shape_text
from ..base.cast import cast
from ..base.elements import Binary, Gradients, emit
from ..base.promote import as_value, check_kind
from ..elementwise.activation import sigmoid, softplus
from ..elementwise.compare import equal, not_equal
from ..elementwise.select import where
from ..elementwise.unary import absolute, exp, log, square
from ..reductions.reduce import max as max_
from ..reductions.reduce import mean, widened
from ..reductions.reduce import sum as sum_
from ..shapes.creation import iota
from ..shapes.index import embedding, gather_elements
from ..shapes.shape import expand_dims, squeeze
from .softmax import log_softmax, softmax

Reduction: TypeAlias = Literal["none", "mean", "sum"]

# What no axis is as long as: an index that every type of labels but bytes can hold.
_BEYOND = 2**31 - 1


@op
class CrossEntropy(Op):
    """`-log(softmax(logits))` at each label: `(.., classes, ..), (.., ..) -> (.., ..)`.

    `smoothing` gives that share of each label's weight to all classes alike; where the label is
    `ignore` the loss is 0. A label that is no class is an error.
    """

    logits: Value
    labels: Value
    axis: int
    smoothing: float = 0.0
    ignore: int = -100

    def infer(self) -> TensorType:
        check_kind(self.logits, "f")
        check_kind(self.labels, "iu")
        check_axis(self.axis, self.logits.rank)
        shape = self.logits.shape
        expected = (*shape[: self.axis], *shape[self.axis + 1 :])
        check(
            self.labels.shape == expected,
            f"logits of shape {shape_text(shape)} with the classes along axis {self.axis} want "
            f"labels of shape {shape_text(expected)}, not {shape_text(self.labels.shape)}",
        )
        known = isinstance(shape[self.axis], int) or not self.smoothing
        check(known, "smoothing takes a known number of classes")
        return self.logits.type.with_shape(expected)

    def reference(self, logits: Array, labels: Array) -> Array:
        wide = widened(logits)
        ignored = labels == self.ignore
        places = np.expand_dims(np.where(ignored, 0, labels.astype(np.int64)), self.axis)
        with np.errstate(invalid="ignore"):
            wide = wide - np.max(wide, self.axis, keepdims=True, initial=-np.inf)
        total = np.log(np.exp(wide).sum(self.axis))
        picked = np.take_along_axis(wide, places, self.axis).squeeze(self.axis)
        loss = total - picked
        if self.smoothing:
            share = self.smoothing
            loss = total - (1 - share) * picked - share * wide.mean(self.axis)
        return np.where(ignored, 0, loss).astype(logits.dtype)

    def decompose(self, logits: Value, labels: Value) -> Value:
        wide = cast(logits, computing_type(logits.dtype))
        ignored = equal(cast(labels, i64), self.ignore)
        # Of a negative index the gather would count from the end.
        place = cast(labels, i64)
        place = where(ignored, 0, where(place < 0, _BEYOND, place))
        # As softmax is written out, so that loss and gradient share the sum of powers.
        largest = max_(wide, self.axis, keepdims=True)
        centred = wide - largest
        total = log(sum_(exp(centred), self.axis, keepdims=True))
        picked = gather_elements(wide, expand_dims(place, self.axis), self.axis) - largest
        if self.smoothing:
            picked = (1 - self.smoothing) * picked
            picked = picked + self.smoothing * mean(centred, self.axis, keepdims=True)
        loss = squeeze(total - picked, self.axis)
        return cast(where(ignored, 0, loss), logits.dtype)

    def gradient(self, y: Value, dy: Value) -> Gradients:
        """The probabilities less the smoothed label, which is 1 at its class."""
        labels, dtype = cast(self.labels, i64), dy.dtype
        count = self.logits.shape[self.axis]
        after = self.logits.rank - 1 - self.axis
        classes = expand_dims(iota(count), tuple(range(1, after + 1)))
        hot = equal(expand_dims(labels, self.axis), classes)
        least = self.smoothing / count if isinstance(count, int) and count else 0.0
        target = where(hot, as_value(1 - self.smoothing + least, dtype), as_value(least, dtype))
        counted = where(equal(labels, self.ignore), 0, dy)
        spread = expand_dims(counted, self.axis)
        return (softmax(self.logits, self.axis) - target) * spread, None


@op
class BinaryCrossEntropy(Binary):
    """`-t * log(sigmoid(x)) - (1 - t) * log(1 - sigmoid(x))` of logits x and targets t in 0..1."""

    domain = "f"

    def scalar(self, x: Expr, target: Expr) -> Expr:
        # Of logits far on the target's side the first two terms cancel exactly.
        near = apply("log1p", apply("exp", -apply("abs", x)))
        return apply("max", x, const(0, x.dtype)) - x * target + near

    def evaluate(self, x: Array, target: Array) -> Array:
        wide, share = widened(x), widened(target)
        near = np.log1p(np.exp(-np.abs(wide)))
        return np.asarray(np.maximum(wide, 0) - wide * share + near)

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return (sigmoid(self.lhs) - self.rhs) * dy, -self.lhs * dy


def cross_entropy(
    logits: Operand,
    target: Operand,
    weight: Operand | None = None,
    *,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
    label_smoothing: float = 0.0,
    axis: int | None = None,
) -> Value:
    """How far the softmax of logits is from the target, as torch's `cross_entropy`.

    The classes lie along `axis`: by default 1, or 0 of a vector. The target is integer labels, of
    the shape without that axis, or probabilities of the logits' shape. `weight (classes,)` counts
    classes differently; the mean over labels is then a weighted one, and labels of `ignore_index`
    count in no mean. A label that is no class is an error.
    """
    value, aim = as_value(logits), as_value(target)
    place = normal_axis((1 if value.rank > 1 else 0) if axis is None else axis, value.rank)
    check(0 <= label_smoothing <= 1, f"label_smoothing is in 0..1, not {label_smoothing}")
    scale = None if weight is None else as_value(weight, value.dtype)
    if aim.dtype.is_float:
        losses = _to_distribution(value, aim, scale, place, label_smoothing)
        # Not the mean over everything: the classes are no examples.
        return _reduced(losses, reduction)
    if scale is None:
        losses = emit(CrossEntropy(value, aim, place, label_smoothing, ignore_index))
        shares = cast(not_equal(cast(aim, i64), ignore_index), value.dtype)
    else:
        ignored = equal(cast(aim, i64), ignore_index)
        shares = where(ignored, 0, embedding(where(ignored, 0, cast(aim, i64)), scale))
        exact = emit(CrossEntropy(value, aim, place, 0.0, ignore_index)) * shares
        losses = exact
        if label_smoothing:
            counted = where(ignored, 0, as_value(1, value.dtype))
            even = _weighted_mean(log_softmax(value, place), scale, place) * counted
            losses = (1 - label_smoothing) * exact - label_smoothing * even
    if reduction == "mean":
        return sum_(losses) / sum_(shares)
    return _reduced(losses, reduction)


def _to_distribution(
    logits: Value, target: Value, weight: Value | None, axis: int, smoothing: float
) -> Value:
    """`-sum(weight * target * log(softmax(logits)))` along the classes."""
    _check_alike(logits, target)
    likely = log_softmax(logits, axis)
    if weight is not None:
        likely = likely * _along(weight, logits.rank, axis)
    losses = -sum_(target * likely, axis)
    if not smoothing:
        return losses
    return (1 - smoothing) * losses - smoothing * mean(likely, axis)


def _weighted_mean(x: Value, weight: Value, axis: int) -> Value:
    return mean(x * _along(weight, x.rank, axis), axis)


def _along(weight: Value, rank: int, axis: int) -> Value:
    """A vector laid along one axis of a tensor."""
    return expand_dims(weight, tuple(range(1, rank - axis)))


def binary_cross_entropy_with_logits(
    logits: Operand,
    target: Operand,
    weight: Operand | None = None,
    *,
    reduction: Reduction = "mean",
    pos_weight: Operand | None = None,
) -> Value:
    """Cross-entropy of independent events, from logits; targets are in 0..1.

    `weight` scales each loss, `pos_weight` the part of the events that happen.
    """
    x, aim = _pair(logits, target)
    if pos_weight is None:
        losses = emit(BinaryCrossEntropy(x, aim))
    else:
        losses = as_value(pos_weight, x.dtype) * aim * softplus(-x) + (1 - aim) * softplus(x)
    if weight is not None:
        losses = losses * weight
    return _reduced(losses, reduction)


def mse_loss(x: Operand, target: Operand, *, reduction: Reduction = "mean") -> Value:
    """The squares of the differences."""
    value, aim = _pair(x, target)
    return _reduced(square(value - aim), reduction)


def l1_loss(x: Operand, target: Operand, *, reduction: Reduction = "mean") -> Value:
    """The magnitudes of the differences."""
    value, aim = _pair(x, target)
    return _reduced(absolute(value - aim), reduction)


def mae_loss(x: Operand, target: Operand, *, reduction: Reduction = "mean") -> Value:
    """The mean absolute error: another name of `l1_loss`."""
    return l1_loss(x, target, reduction=reduction)


def huber_loss(
    x: Operand, target: Operand, *, reduction: Reduction = "mean", delta: float = 1.0
) -> Value:
    """Half the square of differences up to `delta`, from there on a line of that slope."""
    check(delta > 0, f"delta is above 0, not {delta}")
    value, aim = _pair(x, target)
    distance = absolute(value - aim)
    near, far = square(distance) * 0.5, delta * (distance - 0.5 * delta)
    return _reduced(where(distance <= delta, near, far), reduction)


def kl_div(
    x: Operand,
    target: Operand,
    *,
    reduction: Reduction | Literal["batchmean"] = "mean",
    log_target: bool = False,
) -> Value:
    """The divergence `target * (log(target) - x)` of log-probabilities `x`; at a target of 0 it
    is 0. With `log_target` the target is log-probabilities too; "batchmean" divides the sum by
    the first axis's size, which is the divergence per example.
    """
    value, aim = _pair(x, target)
    share = exp(aim) if log_target else aim
    likely = aim if log_target else log(where(aim > 0, aim, 1))
    losses = share * (likely - value)
    if reduction != "batchmean":
        return _reduced(losses, reduction)
    check(value.rank > 0, "'batchmean' takes a tensor with a first axis")
    return mean(sum_(losses, tuple(range(1, value.rank))))


def _pair(x: Operand, target: Operand) -> tuple[Value, Value]:
    """The two operands, of one type: what broadcasts here is mostly a mistake."""
    value = as_value(x)
    aim = as_value(target, value.dtype)
    _check_alike(value, aim)
    return value, aim


def _check_alike(x: Value, target: Value) -> None:
    check(
        x.type == target.type,
        f"a loss of {x.type} wants a target of that type, not {target.type}; "
        "nothing is broadcast or converted silently",
    )


def _reduced(losses: Value, reduction: str) -> Value:
    known = reduction in ("none", "mean", "sum")
    check(known, f"a reduction is 'none', 'mean' or 'sum', not {reduction!r}")
    if reduction == "none":
        return losses
    return mean(losses) if reduction == "mean" else sum_(losses)


OPS: tuple[type[Op], ...] = (CrossEntropy, BinaryCrossEntropy)
