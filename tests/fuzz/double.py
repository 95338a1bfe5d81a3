"""The truth about a program's numbers: the same program with every float made an f64."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mlir_lite.ir import Builder, ConstantData, Function, Value, parameter, run_reference
from mlir_lite.ops.table import TABLE
from mlir_lite.types import Array, DType, TensorType, f64


def doubled(fn: Function) -> Function:
    """The function with parameters, constants and conversions of floats in f64."""
    builder = Builder(TABLE)
    params = [_doubled_value(param) for param in fn.params]
    values = dict(zip(fn.params, params, strict=True))
    with builder.active():
        for node in fn.nodes:
            op = node.op.rebuild(values.__getitem__, _doubled)
            values.update(zip(node.results, builder.emit(op), strict=True))
    return builder.finish(fn.name, params, [values[result] for result in fn.results])


def _doubled_value(param: Value) -> Value:
    return parameter(param.name, _doubled_type(param.type))


def _doubled_type(type_: TensorType) -> TensorType:
    return type_.with_dtype(f64) if type_.dtype.is_float else type_


def _doubled(attribute: object) -> object:
    match attribute:
        case DType(is_float=True):
            return f64
        case ConstantData(type=type_) if type_.dtype.is_float:
            return ConstantData.of(attribute.array().astype(np.float64))
        case TensorType():
            return _doubled_type(attribute)
        case Function():
            return doubled(attribute)
    return attribute


def in_double(fn: Function, arrays: Sequence[Array]) -> tuple[Array, ...]:
    """The results in float64; those of integers as they are."""
    wide = [
        array.astype(np.float64) if param.dtype.is_float else array
        for param, array in zip(fn.params, arrays, strict=True)
    ]
    return run_reference(doubled(fn), wide)
