"""Functions whose CUDA source is read and kept: a kernel template each, on odd shapes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

import mlir_lite as ml
from mlir_lite import Function, Value, bf16, f32, i64
from mlir_lite.types import Array


@ml.function(f32[33, 70], f32[70, 20], f32[20])
def linear(x: Value, w: Value, b: Value) -> Value:
    return ml.relu(x @ w + b)


@ml.function(f32[40, 300])
def softmax(x: Value) -> Value:
    return ml.softmax(x, axis=-1)


@ml.function(f32[40, 300], f32[300], f32[300])
def layer_norm(x: Value, scale: Value, bias: Value) -> Value:
    return ml.layer_norm(x, scale, bias)


@ml.function(f32[7, 5, 3], f32[3, 5, 7])
def turned(x: Value, y: Value) -> Value:
    return ml.transpose(x, perm=(2, 1, 0)) * 2.0 + y


@ml.function(f32[1000])
def total(x: Value) -> Value:
    return ml.sum(ml.exp(x))


@ml.function(f32[1, 3, 9, 9], f32[4, 3, 3, 3])
def conv(x: Value, w: Value) -> Value:
    return ml.conv2d(x, w, padding=1)


@ml.function(f32[10, 4], i64[6])
def picked(x: Value, at: Value) -> Value:
    return ml.gather(x, at, axis=0)


@ml.function(f32[20, 8], f32[8, 8], f32[8])
def recurrent(x: Value, w: Value, start: Value) -> tuple[Value, Value]:
    def step(state: Value, row: Value) -> tuple[Value, Value]:
        new = ml.tanh(state @ w + row)
        return new, new

    last, every = ml.scan(step, start, x)
    return last, every


def above_one(x: Value) -> Value:
    return ml.max(x) > 1.0


def half(x: Value) -> Value:
    return x * 0.5


@ml.function(f32[8])
def halved(x: Value) -> Value:
    return ml.while_loop(above_one, half, x, limit=20)


@ml.function(bf16[2, 37, 24], bf16[2, 90, 24], bf16[2, 90, 16])
def attended(q: Value, k: Value, v: Value) -> Value:
    return ml.attention(q, k, v, causal=True)


EXAMPLES: tuple[Function, ...] = (
    linear, softmax, layer_norm, turned, total, conv, picked, recurrent, halved, attended,
)  # fmt: skip


def arrays_for(fn: Function) -> list[Array]:
    """Random parameters; indices are those of rows."""
    random = np.random.default_rng(0)
    found: list[Array] = []
    for param in fn.params:
        shape = param.type.static_shape
        if param.dtype.is_integer:
            found.append(random.integers(-10, 10, shape))
        else:
            found.append(random.standard_normal(shape).astype(param.dtype.numpy))
    return found


BY_NAME: Mapping[str, Function] = {fn.name: fn for fn in EXAMPLES}
