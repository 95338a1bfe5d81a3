"""Quantised tensors in the graph: recognised where they become real numbers or wide integers.

    multiply(cast(subtract(cast(whole, i32), zero), f32), scale)   is   (whole - zero) * scale
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ...ir import Value, results_of
from ...ops.base.broadcast import Broadcast
from ...ops.base.cast import Cast, cast
from ...ops.elementwise.arithmetic import Multiply, Subtract
from ...ops.shapes.creation import full
from ...ops.shapes.shape import Reshape, Transpose, reshape, transpose
from ...types import Array, DType, f32, i8, i32, u8

MOST_KNOWN = 64 << 10  # bytes of a value that is evaluated to be looked at
NARROW = (u8, i8)
OFFSET = 128  # between the integers of i8 and those of u8


@dataclass(frozen=True)
class Quantised:
    """The tensor `(whole - zero) * scale`, of u8 or i8, i32 and f32.

    `zero` and `scale` have the rank of `whole`, and size 1 along the axes they do not vary along.
    `zero` is None where it is known to be 0, `scale` where these are the integers themselves.
    """

    whole: Value
    zero: Value | None = None
    scale: Value | None = None

    def varies_along(self, axis: int) -> bool:
        """Whether zero point or scale depend on the place along an axis."""
        return any(part.shape[axis] != 1 for part in (self.zero, self.scale) if part is not None)

    @property
    def is_uniform(self) -> bool:
        """Whether all elements have one zero point and one scale."""
        return not any(map(self.varies_along, range(self.whole.rank)))

    @property
    def centred(self) -> Value:
        """`whole - zero` in i32, where it does not overflow."""
        wide = cast(self.whole, i32)
        return wide if self.zero is None else wide - self.zero

    def of_u8(self) -> Quantised:
        """The same tensor with integers of u8."""
        if self.whole.dtype == u8:
            return self
        return self._moved(cast(self.whole, u8) + OFFSET, OFFSET)

    def of_i8(self) -> Quantised:
        """The same tensor with integers of i8."""
        if self.whole.dtype == i8:
            return self
        return self._moved(cast(self.whole + OFFSET, i8), -OFFSET)

    def _moved(self, whole: Value, by: int) -> Quantised:
        one = full((1,) * whole.rank, by, i32)
        zero = one if self.zero is None else self.zero + one
        return replace(self, whole=whole, zero=_unless_zero(zero))

    def map(self, function: Callable[[Value], Value]) -> Quantised:
        """A movement of elements made on the integers and on their parameters."""
        zero, scale = (
            None if part is None else function(part) for part in (self.zero, self.scale)
        )
        return Quantised(function(self.whole), zero, scale)


def dequantised(value: Value) -> Quantised | None:
    """The quantised tensor that real numbers are made of, also through movements."""
    match value.op:
        case Multiply(lhs=lhs, rhs=rhs):
            return _scaled(lhs, rhs) or _scaled(rhs, lhs)
    return _through_movements(value, dequantised)


def centred(value: Value) -> Quantised | None:
    """The quantised tensor whose `whole - zero` integers of 32 bits are, also through movements."""
    match value.op:
        case Cast(x=x, dtype=dtype) if dtype == i32 and x.dtype in NARROW:
            return Quantised(x)
        case Subtract(lhs=Value(op=Cast(x=x)), rhs=zero) if zero.dtype == i32 and x.dtype in NARROW:
            found = Quantised(x, _unless_zero(unrepeated(zero)))
            return found if _fits(zero, x.dtype) else None
    return _through_movements(value, centred)


def unrepeated(parameter: Value) -> Value:
    """A scale or zero point without its repetition, in the rank that this has."""
    match parameter.op:
        case Broadcast(x=x):
            return reshape(x, (*(1,) * (parameter.rank - x.rank), *x.shape))
    return parameter


def known(value: Value) -> Array | None:
    """The value of a small tensor that depends on constants only."""
    if value.op is None or not value.type.is_static or value.type.nbytes > MOST_KNOWN:
        return None
    operands = {operand: known(operand) for operand in value.op.operands}
    found = {operand: array for operand, array in operands.items() if array is not None}
    if not value.op.pure or len(found) < len(operands):
        return None
    return results_of(value.op.reference(*value.op.arguments(found)))[value.position]


def depends_on_constants(value: Value) -> bool:
    """Whether no parameter of the function has a part in a value, however long its history."""
    pending, seen = [value], {value}
    while pending:
        op = pending.pop().op
        if op is None or not op.pure:
            return False
        pending += [operand for operand in op.operands if operand not in seen]
        seen.update(op.operands)
    return True


def _scaled(wide: Value, scale: Value) -> Quantised | None:
    match wide.op:
        case Cast(x=x, dtype=dtype) if dtype == f32:
            found = centred(x)
            return None if found is None else replace(found, scale=unrepeated(scale))
    return None


def _through_movements(
    value: Value, find: Callable[[Value], Quantised | None]
) -> Quantised | None:
    """What `find` says of the operand of a transpose, or of a reshape of uniform parameters."""
    match value.op:
        case Transpose(x=x, perm=perm):
            found = find(x)
            return None if found is None else found.map(lambda part: transpose(part, perm))
        case Reshape(x=x, shape=shape):
            found = find(x)
            if found is None or not found.is_uniform:
                return None
            one = (1,) * len(shape)
            return found.map(lambda part: reshape(part, shape if part is found.whole else one))
    return None


def _fits(zero: Value, dtype: DType) -> bool:
    """Whether a zero point is known to be an integer of a narrow type."""
    array = known(unrepeated(zero))
    if array is not None:
        limits = np.iinfo(dtype.numpy)
        return bool(((array >= limits.min) & (array <= limits.max)).all())
    match zero.op:
        case Broadcast(x=x) | Reshape(x=x) | Transpose(x=x):
            return _fits(x, dtype)
        case Cast(x=x):
            return x.dtype == dtype
    return False


def _unless_zero(parameter: Value) -> Value | None:
    array = known(parameter)
    return parameter if array is None or array.any() else None
