"""Readers of the operators that make tensors out of none: constants, fills and ranges."""

from __future__ import annotations

import math

import numpy as np

from .... import ops
from ....errors import ParseError, UnsupportedError, check
from ....ir import ConstantData
from ....ops.base.constant import constant as constant_value
from ....ops.base.promote import as_value as lift
from ....sizes import product
from ....types import Array, dtype_of
from ..call import Call, Results
from ..sizes import MAX_KNOWN, Operand, Sizes, as_value, checked_shape, compare, is_short, number


def constant(call: Call) -> Results:
    """The one attribute that is given says what it is; the output names large data."""
    data = call.tensor("value")
    if data is None:
        data = ConstantData.of(_plain_constant(call))
    named = ConstantData(data.type, data.source, data.name or call.node.name)
    return constant_operand(named)


def constant_operand(data: ConstantData) -> Operand:
    """Constant data; short integer vectors are read at once, for they may be shapes."""
    short = data.type.rank <= 1 and data.type.nbytes <= MAX_KNOWN * data.type.dtype.bytes
    if short and data.type.dtype.kind in "ib":
        return Sizes.known(data.array(), data.type.dtype)
    return constant_value(data)


def _plain_constant(call: Call) -> Array:
    for name, kind in (("value_int", np.int64), ("value_ints", np.int64)):
        if call.attribute(name) is not None:
            whole = call.int_(name) if name == "value_int" else call.ints(name)
            return np.array(whole, kind)
    for name in ("value_float", "value_floats"):
        if call.attribute(name) is not None:
            real = call.float_(name) if name == "value_float" else call.floats(name)
            return np.array(real, np.float32)
    raise UnsupportedError("a constant that is no tensor of numbers")


def constant_of_shape(call: Call) -> Results:
    """One number, 0.0 if none is given, repeated to a shape; a short vector may be sizes."""
    data = call.tensor("value")
    value = np.zeros(1, np.float32) if data is None else data.array()
    check(value.size == 1, "the value is not one number", ParseError)
    shape = checked_shape(call.integers(0))
    dtype = dtype_of(value)
    if dtype.kind in "ib" and len(shape) <= 1 and is_short(shape):
        fill = value.reshape(()).item()
        return Sizes.of([fill] * number(product(shape), "the size"), dtype).reshaped(shape)
    return ops.broadcast(lift(value.reshape(())), shape)


def range_(call: Call) -> Results:
    """`start, start + delta, …` before `limit`; sizes that are named count in integers."""
    operands = [call.operand(position) for position in range(3)]
    if all(isinstance(operand, Sizes) for operand in operands):
        start, limit, delta = (call.integer(position) for position in range(3))
        step = number(delta, "the step of a range")
        check(step != 0, "a range has the step 0", ParseError)
        span = limit - start if step > 0 else start - limit
        count = 0 if compare(span, 0) in (0, -1) else (span + (abs(step) - 1)) // abs(step)
        scaled = ops.multiply(ops.iota(count, call.dtype(0)), step)
        return ops.add(scaled, as_value(Sizes.scalar(start, call.dtype(0))))
    first, last, by = (call.scalar(position) for position in range(3))
    check(by != 0, "a range has the step 0", ParseError)
    count = max(0, math.ceil((last - first) / by))
    dtype = call.dtype(0)
    return ops.add(ops.multiply(ops.iota(count, dtype), by), first)
