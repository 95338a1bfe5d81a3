"""Steps of programs of named sizes. What a step decides by chance it decides once: the functions
it calls see values alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import mlir_lite as ml
from mlir_lite import Value
from mlir_lite.ir import Key
from mlir_lite.sizes import Size
from mlir_lite.types import TensorType, bool_, f32, f64, i64

from .elementwise import TAME
from .sized import M, N, Writer

Step: TypeAlias = Callable[[Writer], None]
ANY = "fib"


def elementwise(w: Writer) -> None:
    w.call(w.random.choice(TAME), w.pick())


def arithmetic(w: Writer) -> None:
    x = w.pick()
    y = w.like(x)
    both = (ml.add, ml.subtract, ml.maximum, ml.minimum, lambda x, y: x * ml.tanh(y))
    w.call(w.random.choice(both), *((x, y) if w.chance(0.5) else (y, x)))


def with_number(w: Writer) -> None:
    number = w.random.choice((0.0, 1.0, -1.0, 2.0, 0.5))
    makers: tuple[Callable[[Value], Value], ...] = (
        *(lambda x: x + number, lambda x: number - x, lambda x: x * number),
        *(lambda x: ml.clip(x, -1.5, number), lambda x: x / (1.0 + ml.absolute(x))),
    )
    w.call(w.random.choice(makers), w.pick())


def chosen(w: Writer) -> None:
    x = w.pick("fi")
    condition = w.fresh(w.values[x].shape, bool_)
    w.call(ml.where, condition, x, w.like(x))


def cast(w: Writer) -> None:
    dtype = w.random.choice((f32, i64))  # an f64 is not made of f32, whose errors it would have
    w.call(lambda x: x.astype(dtype), w.pick("ib"))


def transposed(w: Writer) -> None:
    x = w.pick(ANY, 1)
    perm = list(range(w.values[x].rank))
    w.random.shuffle(perm)
    w.call(lambda x: ml.transpose(x, perm), x)


def reshaped(w: Writer) -> None:
    x = w.pick(ANY, 1)
    rank = w.values[x].rank
    at = w.random.randrange(rank)
    kind = w.random.randrange(4)
    w.call(lambda x: _reshaped(x, at, kind), x)


def _reshaped(x: Value, at: int, kind: int) -> Value:
    shape = x.shape
    if kind == 0 and at + 1 < len(shape):
        return x.reshape(*shape[:at], shape[at] * shape[at + 1], *shape[at + 2 :])
    if kind == 1 and at + 1 < len(shape):
        return x.reshape(*shape[:at], -1, *shape[at + 2 :])
    if kind == 2:
        return ml.flatten(x, at)
    return x.reshape(*shape[:at], 1, shape[at], *shape[at + 1 :])


def halved(w: Writer) -> None:
    """An axis in two, or the other way round: of sizes that are even whatever the names are."""
    even = w.pick("f", 1, 3, lambda value: any(_is_even(size) for size in value.shape))
    places = [at for at, size in enumerate(w.values[even].shape) if _is_even(size)]
    if not places:
        return
    at = w.random.choice(places)
    front = w.chance(0.5)

    def function(x: Value) -> Value:
        half = x.shape[at] // 2
        pair = (2, half) if front else (half, 2)
        return x.reshape(*x.shape[:at], *pair, *x.shape[at + 1 :]).sum(at + (not front))

    def rotated(x: Value) -> Value:
        one, two = ml.split(x, 2, at)
        return ml.concat([-two, one], at)

    w.call(function if w.chance(0.6) else rotated, even)


def _is_even(size: Size) -> bool:
    return size % 2 == 0


def axes_of_one(w: Writer) -> None:
    x = w.pick(ANY, 0, 3)
    at = w.random.randint(0, w.values[x].rank)
    w.call(lambda x: ml.expand_dims(x, at), x)


def repeated(w: Writer) -> None:
    x = w.pick(ANY, 1, 3)
    axis, times = w.random.randrange(w.values[x].rank), w.random.choice((1, 2, 3))
    if w.chance(0.5):
        w.call(lambda x: ml.repeat(x, times, axis), x)
    else:
        w.call(lambda x: ml.tile(x, [times if at == axis else 1 for at in range(x.rank)]), x)


def broadcast(w: Writer) -> None:
    """To a new leading axis of the size of another value's."""
    x = w.pick(ANY, 0, 3)
    y = w.pick("f", 1)
    w.call(lambda x, y: ml.broadcast(x, (y.shape[0], *x.shape)), x, y)


def sliced(w: Writer) -> None:
    x = w.pick(ANY, 1)
    keys: list[Callable[[Size], Key]] = [
        w.random.choice(
            (
                lambda size: slice(None),
                lambda size: slice(None),
                lambda size: slice(None, None, 2),
                lambda size: slice(None, None, -1),
                lambda size: slice(None, 1),
                lambda size: slice(1, None),
                lambda size: slice(None, -1),
                lambda size: slice(None, size // 2),
                lambda size: slice(size // 2, None),
                lambda size: 0,
                lambda size: -1,
            )
        )
        for _ in w.values[x].shape
    ]
    w.call(lambda x: x[tuple(key(size) for key, size in zip(keys, x.shape, strict=True))], x)


def joined(w: Writer) -> None:
    x = w.pick(ANY, 1)
    axis, rank = w.random.randrange(w.values[x].rank), w.values[x].rank
    type_ = w.values[x].type
    kind = w.random.randrange(4)
    if kind == 0:
        y = w.like(x)
        if w.values[y].type == type_:
            w.call(lambda x, y: ml.stack([x, y], axis), x, y)
    elif kind == 1:
        w.call(lambda x: ml.concat([x, ml.flip(x, axis), x], axis), x)
    else:
        shape = [w.size() if at == axis else type_.shape[at] for at in range(rank)]
        w.call(lambda x, y: ml.concat([x, y], axis), x, w.fresh(shape, type_.dtype))


def padded(w: Writer) -> None:
    x = w.pick("f", 1)
    widths = [(w.random.randint(0, 2), w.random.randint(0, 2)) for _ in w.values[x].shape]
    if w.chance(0.6):
        w.call(lambda x: ml.pad(x, widths, value=-1.0), x)
    else:
        w.call(lambda x: ml.pad(x, widths, "edge"), x)


def triangle(w: Writer) -> None:
    function, off = w.random.choice((ml.tril, ml.triu)), w.random.randint(-2, 2)
    w.call(lambda x: function(x, off), w.pick("f", 2))


def gathered(w: Writer) -> None:
    x = w.pick(ANY, 1)
    value = w.values[x]
    axis = w.random.randrange(value.rank)
    size = value.shape[axis]
    if w.chance(0.4):
        shape = [w.size() if at == axis else each for at, each in enumerate(value.shape)]
        w.call(lambda x, i: ml.gather_elements(x, i, axis), x, w.indices(shape, size))
        return
    w.call(lambda x, i: ml.gather(x, i, axis), x, w.indices(w.shape(0, 2), size))


def scattered(w: Writer) -> None:
    x = w.pick("f", 1, 3)
    value = w.values[x]
    axis = w.random.randrange(value.rank)
    shape = [w.size() if at == axis else each for at, each in enumerate(value.shape)]
    indices = w.indices(shape, value.shape[axis])
    reduction = w.random.choice(("add", "max", "min"))
    updates = w.fresh(shape, value.dtype)
    w.call(lambda x, i, u: ml.scatter_elements(x, i, u, axis, reduction), x, indices, updates)


def one_hot(w: Writer) -> None:
    w.call(lambda i: ml.one_hot(i, 5, axis=-1), w.indices(w.shape(1, 2), 5))


def created(w: Writer) -> None:
    x = w.pick(ANY, 1)
    makers: tuple[Callable[[Value], Value], ...] = (
        lambda x: ml.arange(x.shape[0]).astype(f32) * 0.125,
        lambda x: ml.arange(2, 2 + 3 * x.shape[-1], 3),
        lambda x: ml.eye(x.shape[0], x.shape[-1]),
        lambda x: ml.full((x.shape[-1], 2), 2.5),
        lambda x: ml.zeros((3, *x.shape)),
    )
    w.call(w.random.choice(makers), x)


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
    *((elementwise, 4), (arithmetic, 6), (with_number, 4), (chosen, 2), (cast, 1)),
    *((transposed, 3), (reshaped, 4), (halved, 3), (axes_of_one, 1), (repeated, 2)),
    *((broadcast, 2), (sliced, 5), (joined, 4), (padded, 3), (triangle, 1), (gathered, 3)),
    *((scattered, 1), (one_hot, 1), (created, 2), (reduced, 4), (of_integers, 1), (rows, 3)),
    *((norm, 2), (product, 5), (attention, 2), (scanned, 2), (branched, 1), (looped, 1)),
    *((again, 1), (conv, 3), (pooled, 2)),
)
