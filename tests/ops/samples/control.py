"""Samples of loops and branches; those of Python functions are in tests/passes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from mlir_lite import Function, Value, ops
from mlir_lite.ir import Builder, parameter
from mlir_lite.ops.regions.control import Cond, Scan, WhileLoop
from mlir_lite.ops.table import TABLE
from mlir_lite.types import Array, TensorType, f32

from ..sample import Sample, normal


def region(
    name: str, types: Sequence[TensorType], body: Callable[..., tuple[Value, ...]]
) -> Function:
    params = [parameter(f"x{number}", type_) for number, type_ in enumerate(types)]
    builder = Builder(TABLE)
    with builder.active():
        results = body(*params)
    return builder.finish(name, params, results)


def _step(h: Value, x: Value, w: Value) -> tuple[Value, ...]:
    h = ops.tanh(ops.add(ops.matmul(h, w), x))
    return h, ops.multiply(h, x)


def _scan(length: int, reverse: bool = False) -> Callable[..., Scan]:
    def build(
        carries: tuple[Value, ...], inputs: tuple[Value, ...], invariants: tuple[Value, ...]
    ) -> Scan:
        slices = [value.type.with_shape(value.shape[1:]) for value in inputs]
        others = (value.type for value in invariants)
        types = [*(value.type for value in carries), *slices, *others]
        step = region("step", types, _step if invariants else lambda s, x: (ops.add(s, x), s))
        return Scan(carries, inputs, invariants, length, step, reverse)

    return build


def _steps(length: int) -> tuple[tuple[Array, ...], ...]:
    return (
        (normal((2, 5), f32),),
        (normal((length, 2, 5), f32, 1),),
        (normal((5, 5), f32, 2) * np.float32(0.3),),
    )


def _branches(predicate: Value, inputs: tuple[Value, ...]) -> Cond:
    types = [value.type for value in inputs]
    then = region("then", types, lambda x, y: (ops.sin(x), ops.multiply(x, y)))
    otherwise = region("otherwise", types, lambda x, y: (y, ops.add(x, y)))
    return Cond(predicate, inputs, then, otherwise)


def _halving(limit: int | None) -> Callable[..., WhileLoop]:
    """Halve all until the largest is at most the bound."""

    def build(carries: tuple[Value, ...], invariants: tuple[Value, ...]) -> WhileLoop:
        types = [value.type for value in (*carries, *invariants)]
        condition = region("condition", types, lambda x, m: (ops.greater(ops.max(x), m),))
        half = region("half", types, lambda x, m: (ops.multiply(x, 0.5),))
        return WhileLoop(carries, invariants, condition, half, limit)

    return build


_PAIR = (normal((2, 3), f32), normal((2, 3), f32, 1))
_BOUND = (np.asarray(0.1, np.float32),)

CONTROL = [
    Sample("a step with a weight", _scan(7), _steps(7), smooth=True),
    Sample("from the end", _scan(4, reverse=True), _steps(4), smooth=True),
    Sample("one step", _scan(1), _steps(1), smooth=True),
    Sample("no step", _scan(0), ((normal((3,), f32),), (normal((0, 3), f32),), ())),
    Sample("gives old states", _scan(6), ((normal((3,), f32),), (normal((6, 3), f32, 1),), ())),
    Sample("the first branch", _branches, (np.asarray(True), _PAIR), smooth=True),
    Sample("the other branch", _branches, (np.asarray(False), _PAIR), smooth=True),
    Sample("some turns", _halving(None), ((normal((5,), f32),), _BOUND)),
    Sample("at most as many", _halving(60), ((normal((5,), f32),), _BOUND), smooth=True),
    Sample("no turn", _halving(None), ((np.zeros(5, np.float32),), _BOUND)),
]
