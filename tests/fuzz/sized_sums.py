"""Steps of programs of named sizes that sum, and those that hold regions."""

from __future__ import annotations

from collections.abc import Callable

import mlir_lite as ml
from mlir_lite import Value
from mlir_lite.types import bool_, f32, i64

from .sized import M, N, Writer
from .sized_steps import Step


def reduced(w: Writer) -> None:
    x = w.pick("f", 1)
    axis = w.random.choice((None, w.random.randrange(w.values[x].rank), -1))
    keepdims = w.chance(0.5)
    functions = (ml.sum, ml.mean, ml.max, ml.min, ml.var, ml.logsumexp)
    function = w.random.choice(functions)
    w.call(lambda x: function(x, axis, keepdims=keepdims), x)


def of_integers(w: Writer) -> None:
    x = w.pick("i", 1)
    functions = (ml.sum, ml.max, ml.argmax, ml.cumsum)
    function, axis = w.random.choice(functions), w.random.randrange(w.values[x].rank)
    w.call(lambda x: function(x, axis), x)


def rows(w: Writer) -> None:
    x = w.pick("f", 1)
    axis = w.random.randrange(w.values[x].rank)
    function = w.random.choice((ml.softmax, ml.softmax, ml.log_softmax, ml.cumsum))
    w.call(lambda x: function(x, axis), x)


def norm(w: Writer) -> None:
    x = w.pick("f", 2, 4)
    value = w.values[x]
    scale = w.fresh(value.shape[-1:], value.dtype)
    if w.chance(0.5):
        w.call(lambda x, s: ml.layer_norm(x, s, epsilon=0.1), x, scale)
    else:
        w.call(lambda x, s: ml.rms_norm(x, s, epsilon=0.1), x, scale)


def product(w: Writer) -> None:
    x = w.pick("f", 2, 4)
    value = w.values[x]
    kind = w.random.randrange(3)
    if kind == 0:
        w.call(lambda x: ml.tanh(x @ ml.swapaxes(x, -1, -2) * 0.25), x)
        return
    outer = w.random.choice(((), value.shape[:-2]))
    columns = w.size()
    last = (value.shape[-1], columns) if kind == 1 else (columns, value.shape[-1])
    weight = w.fresh((*outer, *last), value.dtype)
    if kind == 1:
        w.call(lambda x, y: ml.tanh(x) @ y * 0.25, x, weight)
    else:
        w.call(lambda x, y: ml.tanh(x) @ ml.swapaxes(y, -1, -2) * 0.25, x, weight)


def attention(w: Writer) -> None:
    asked, seen = w.random.choice(((N, N), (N, M), (M, N + 1), (4, N), (1, M)))
    width, heads = w.random.choice((4, 8, 16)), w.random.choice(((), (2,), (N, 2)))
    q, k, v = (w.fresh((*heads, size, width)) for size in (asked, seen, seen))
    if w.chance(0.4):
        mask = w.fresh((asked, seen), f32)
        w.call(lambda q, k, v, m: ml.attention(q, k, v, m), q, k, v, mask)
        return
    causal = asked == seen and w.chance(0.5)
    w.call(lambda q, k, v: ml.attention(q, k, v, causal=causal), q, k, v)


def scanned(w: Writer) -> None:
    xs = w.pick("f", 1, 3)
    inner, dtype = w.values[xs].shape[1:], w.values[xs].dtype
    reverse, turned = w.chance(0.3), bool(inner) and w.chance(0.5)
    h = w.fresh(inner, dtype)

    def run(xs: Value, h: Value, *weights: Value) -> tuple[Value, ...]:
        def step(h: Value, x: Value) -> tuple[Value, Value]:
            product = h @ weights[0] * 0.125 if weights else h * 0.5
            new = ml.tanh(x + product)
            return new, new * x

        last, ys = ml.scan(step, h, xs, reverse=reverse)
        return last, ys

    weights = [w.fresh((inner[-1], inner[-1]), dtype)] if turned else []
    w.call(run, xs, h, *weights)


def branched(w: Writer) -> None:
    x = w.pick("f", 0, 3)
    condition = w.fresh((), bool_)
    w.call(lambda c, x: ml.cond(c, ml.tanh, lambda x: x * 0.5, x), condition, x)


def looped(w: Writer) -> None:
    x = w.pick("f", 0, 3)
    count = w.fresh((), i64)

    def run(count: Value, x: Value) -> Value:
        def step(state: tuple[Value, Value]) -> tuple[Value, Value]:
            left, h = state
            return left - 1, ml.tanh(h) + x * 0.5

        made: Value = ml.while_loop(lambda state: state[0] > 0, step, (count, x), limit=8)[1]
        return made

    w.call(run, count, x)


def again(w: Writer) -> None:
    w.call(lambda x: ml.checkpoint(lambda x: ml.tanh(x * 0.25) * 2.0)(x), w.pick("f", 1))


def conv(w: Writer) -> None:
    height, width = w.random.choice(((N, M), (N, N), (M, 8), (N + 2, 2 * M)))
    batch, channels = w.random.choice((1, 2, N)), w.random.choice((1, 3, 8))
    image = w.fresh((batch, channels, height, width))
    depthwise = w.chance(0.3)
    kernel, stride = w.random.choice((1, 3, 3, 5)), w.random.choice((1, 1, 2))
    filters = (channels, 1) if depthwise else (w.random.choice((1, 4, 16)), channels)
    weight = w.fresh((*filters, kernel, kernel))
    padding, groups = kernel // 2, channels if depthwise else 1
    w.call(
        lambda x, k: ml.conv2d(x, k, stride=stride, padding=padding, groups=groups) * 0.125,
        image,
        weight,
    )


def pooled(w: Writer) -> None:
    image = w.pick("f", 4, 4, lambda value: value.type.rank == 4)
    size = w.random.choice((1, 2, 3))
    makers: tuple[Callable[[Value], Value], ...] = (
        lambda x: ml.max_pool(x, (size, size), strides=(size, size), padding=size // 2),
        lambda x: ml.average_pool(x, (size, size), padding=size // 2),
        ml.global_average_pool,
        lambda x: ml.resize(x, (*x.shape[:2], x.shape[2] * 2, x.shape[3] * 2)),
        lambda x: ml.resize(x, (*x.shape[:2], x.shape[2] + 1, x.shape[3] * 2), mode="linear"),
    )
    w.call(w.random.choice(makers), image)


STEPS: tuple[tuple[Step, int], ...] = (
    *((reduced, 4), (of_integers, 1), (rows, 3), (norm, 2), (product, 5), (attention, 2)),
    *((scanned, 2), (branched, 1), (looped, 1), (again, 1), (conv, 3), (pooled, 2)),
)
