"""Runs a function of values on arrays, by the references of the operations that it emits."""

from __future__ import annotations

from collections.abc import Callable

from mlir_lite.ir import Builder, Value, run_reference
from mlir_lite.ops.table import TABLE
from mlir_lite.types import Array

from .sample import value_like


def run_function(function: Callable[..., Value], *arrays: Array) -> Array:
    """The result of `function` on values that stand for the arrays."""
    params = [value_like(f"p{k}", array) for k, array in enumerate(arrays)]
    builder = Builder(TABLE)
    with builder.active():
        result = function(*params)
    (found,) = run_reference(builder.finish("f", params, (result,)), arrays)
    assert tuple(found.shape) == result.type.static_shape
    return found
