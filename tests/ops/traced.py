"""Running functions of traced values: traced on the arrays' types, then run by the references."""

from __future__ import annotations

from collections.abc import Callable

from mlir_lite.ir import Builder, Function, Value, run_reference
from mlir_lite.ops.table import TABLE
from mlir_lite.types import Array, TensorType

from .sample import value_like


def trace(function: Callable[..., Value], *params: Value) -> Function:
    """The function of one result that this Python function makes of parameters."""
    builder = Builder(TABLE, locate=True)
    with builder.active():
        result = function(*params)
    return builder.finish("traced", params, (result,))


def run(function: Callable[..., Value], *arrays: Array) -> Array:
    """The result for these arrays."""
    params = [value_like(f"p{k}", array) for k, array in enumerate(arrays)]
    return run_reference(trace(function, *params), arrays)[0]


def type_of(function: Callable[..., Value], *types: TensorType) -> TensorType:
    """The result's type for parameters of these types."""
    params = [Value(type_, name=f"p{k}") for k, type_ in enumerate(types)]
    return trace(function, *params).results[0].type
