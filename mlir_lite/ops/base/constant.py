"""Constants: data that is part of the program."""

from __future__ import annotations

import numpy as np

from ...errors import check
from ...ir import Constant, ConstantData, Op, Scalar, Value, constructor
from ...types import DType

constant = constructor(Constant)


def fitting(number: Scalar, dtype: DType) -> Scalar:
    """The number as the Python number of `dtype`'s kind; `TypeRuleError` where it does not fit."""
    if dtype.is_float:
        return float(number)
    if dtype.kind == "b":
        is_bool = isinstance(number, (bool, np.bool_))
        check(is_bool, f"the number {number} does not fit into bool; write x.astype(ml.i64)")
        return bool(number)
    integral = isinstance(number, (int, np.bool_, np.integer))
    check(integral, f"the number {number} does not fit into {dtype}; write x.astype(ml.f32)")
    limits = np.iinfo(dtype.numpy)
    check(limits.min <= number <= limits.max, f"{number} is out of the range of {dtype}")
    return int(number)


def scalar_constant(number: Scalar, dtype: DType) -> Value:
    """A tensor of rank 0 holding a number; one beyond the range of floats is infinite."""
    check(isinstance(dtype, DType), f"an element type is one such as ml.f32, not {dtype!r}")
    with np.errstate(over="ignore"):
        array = np.asarray(fitting(number, dtype)).astype(dtype.numpy)
    return constant(ConstantData.of(array))


OPS: tuple[type[Op], ...] = (Constant,)
