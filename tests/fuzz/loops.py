"""Steps that hold regions: scans, loops, branches, what is computed again for a gradient."""

from __future__ import annotations

import mlir_lite as ml
from mlir_lite import Value
from mlir_lite.types import bool_, i64

from .maker import Made, Maker, Step


def scan(m: Maker) -> Made:
    xs = m.pick("f", 1, 3, filled=True)
    inner = xs.type.static_shape[1:]
    h = m.fresh(inner, xs.dtype)
    bias = m.fresh(inner, xs.dtype)
    kind = m.random.randrange(4)
    w = m.fresh((inner[-1], inner[-1]), xs.dtype, low=-1, high=1) if inner else None

    def step(h: Value, x: Value) -> tuple[Value, Value]:
        new = ml.tanh(x + h * 0.5 + bias)
        if kind == 1 and w is not None:
            new = ml.tanh(x @ w + h * 0.25) if m.special else ml.tanh(x @ w * 0.125 + h @ w * 0.125)
        elif kind == 2:
            new = h * 0.5 + ml.relu(x) * 0.5
        return new, (new * x if kind == 3 else new)

    last, ys = ml.scan(step, h, xs, reverse=m.chance(0.3))
    return last, ys


def counted_scan(m: Maker) -> Made:
    x = m.pick("f", 0, 3)

    def step(state: tuple[Value, Value], _: None) -> tuple[tuple[Value, Value], Value]:
        count, h = state
        h = h * 0.5 + count.astype(h.dtype) * 0.125
        return (count + 1, h), h

    (_, h), ys = ml.scan(step, (ml.zeros((), i64), x), length=m.random.choice((0, 1, 2, 7)))
    return h, ys


def while_loop(m: Maker) -> Made:
    x = m.pick("f", 0, 3)
    count = m.fresh((), i64, low=0, high=5)

    def step(state: tuple[Value, Value]) -> tuple[Value, Value]:
        left, h = state
        return left - 1, ml.tanh(h) + x * 0.5

    return ml.while_loop(lambda state: state[0] > 0, step, (count, x), limit=8)[1]


def cond(m: Maker) -> Made:
    x = m.pick("f", 0, 4)
    y = m.same(x)
    if y.type != x.type:
        y = ml.broadcast(y, x.type.static_shape)
    kind = m.random.randrange(3)

    def then(x: Value) -> tuple[Value, Value]:
        return ml.tanh(x), x * y

    def otherwise(x: Value) -> tuple[Value, Value]:
        if kind == 0:
            return x, y
        if kind == 1:
            return y - x, ml.tanh(x)
        return ml.zeros_like(x), y

    return ml.cond(m.fresh((), bool_), then, otherwise, x)


def again(m: Maker) -> Made:
    x = m.pick("f", 1, 4)
    w = m.fresh((x.type.static_shape[-1], m.size(17)), x.dtype, low=-1, high=1)
    return ml.checkpoint(lambda x: ml.tanh(x @ w * 0.25) * 2.0)(x)


STEPS: tuple[Step, ...] = (scan, scan, counted_scan, while_loop, cond, again)
