"""Samples of checkpoints and their barriers; those of Python functions are in tests/dsl."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mlir_lite import Value, ops
from mlir_lite.ops.regions.checkpoint import Barrier, Checkpoint, StopGradient
from mlir_lite.types import f16, f64, i8

from ..sample import Sample, normal
from .control import region


def _layer(x: Value, w: Value, counts: Value) -> tuple[Value, ...]:
    """Two results of floats, one of integers."""
    y = ops.tanh(ops.matmul(x, w))
    return y, ops.exp(y), ops.add(counts, counts)


def _checkpoint(inputs: tuple[Value, ...]) -> Checkpoint:
    return Checkpoint(inputs, region("layer", [value.type for value in inputs], _layer))


def _checkpoints() -> Iterator[Sample]:
    for rows in (0, 1, 17):
        inputs = (normal((rows, 3), f64), normal((3, 5), f64, 1), np.arange(3))
        yield Sample(f"{rows} rows", _checkpoint, (inputs,), smooth=True)


def _barriers() -> Iterator[Sample]:
    for dtype in (f64, f16, i8):
        x, after = normal((3, 5), dtype), normal((2,), f64)
        yield Sample(f"of {dtype}", Barrier, (x, after), smooth=dtype is f64)
    yield Sample("after nothing", Barrier, (normal((17,), f64), None), smooth=True)


def _stops() -> Iterator[Sample]:
    for dtype in (f64, f16, i8):
        yield Sample(f"of {dtype}", StopGradient, (normal((3, 5), dtype),))


CHECKPOINTS: tuple[Sample, ...] = (*_checkpoints(), *_barriers(), *_stops())
