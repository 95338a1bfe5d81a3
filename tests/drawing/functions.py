"""Functions to draw: chains, branches, groups, loops, repeated layers, names that are markup."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

import numpy as np

import mlir_lite as ml
from mlir_lite import Function, Value, f32, i64, nn
from mlir_lite.demo.model import digits
from mlir_lite.passes.manager import run_passes
from mlir_lite.passes.pipelines import cpu_pipeline
from mlir_lite.target import Target

LAYERS = 5
HOSTILE = '</text><script>alert("1")</script>&\x07'


@ml.function(f32[64, 784], f32[784, 10], f32[10])
def classifier(x: Value, w: Value, b: Value) -> Value:
    return ml.relu(x @ w + b)


@ml.function(f32[8], f32[8], i64[()])
def nothing_to_do(x: Value, same: Value, unused: Value) -> tuple[Value, Value]:
    return x, x


@ml.function(f32[8], i64[()])
def loops(x: Value, unused: Value) -> Value:
    def test(state: tuple[Value, Value]) -> Value:
        return state[1] < 10

    def body(state: tuple[Value, Value]) -> tuple[Value, Value]:
        return ml.tanh(state[0] * 2.0), state[1] + 1

    y, _ = ml.while_loop(test, body, (x, ml.zeros((), dtype=i64)))
    result: Value = ml.cond(y.sum() > 0.0, lambda a: ml.exp(a), lambda a: a, y)
    return result


@ml.function(f32[4, 30])
def fans_out(x: Value) -> tuple[Value, ...]:
    """Values that are read far below, and many from one operation."""
    parts = ml.split(x, 5, axis=1)
    y = parts[0]
    for part in parts[1:]:
        y = ml.exp(y) * parts[0] + part
    return (y, *ml.split(x @ x.T, 2, axis=0), parts[1])


def lstm() -> Function:
    return ml.function(nn.LSTM(32, 64), f32[20, 8, 32])


@cache
def transformer(layers: int = LAYERS) -> Function:
    blocks = (nn.TransformerEncoderLayer(32, 4, 64) for _ in range(layers))
    fn = ml.function(nn.Sequential(*blocks), f32[1, 16, 32], name="transformer")
    random = np.random.default_rng(0)
    weights = {
        param.name: random.standard_normal(param.type.static_shape).astype(np.float32)
        for param in fn.params
        if "." in param.name
    }
    return fn.bind(weights)


def hostile() -> Function:
    """Names that would be markup, if anybody took them for it."""
    params = (Value(classifier.params[0].type, name=HOSTILE),)
    return Function(HOSTILE, params, (), params)


@cache
def fused(fn: Function) -> Function:
    return run_passes(fn, cpu_pipeline(Target("cpu")))


def _static_digits() -> Function:
    return ml.specialise(digits(), {"batch": 64})


MAKERS: Mapping[str, Callable[[], Function]] = {
    "classifier": lambda: classifier,
    "nothing": lambda: nothing_to_do,
    "loops": lambda: loops,
    "fans out": lambda: fans_out,
    "digits": _static_digits,
    "digits, fused": lambda: fused(_static_digits()),
    "lstm": lstm,
    "lstm, fused": lambda: fused(lstm()),
    "transformer": transformer,
    "transformer, fused": lambda: fused(transformer()),
    "its gradient": lambda: ml.value_and_grad(_loss()),
    "hostile": hostile,
}


def _loss() -> Function:
    @ml.function(f32[8, 16], f32[16, 32], f32[32, 4])
    def loss(x: Value, v: Value, w: Value) -> Value:
        return ml.square(ml.softmax(ml.gelu(x @ v) @ w)).sum()

    return loss
