"""Steps of programs of named sizes that compute elements or move them. What a step decides by
chance it decides once: the functions it calls see values alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import mlir_lite as ml
from mlir_lite import Value
from mlir_lite.ir import Key
from mlir_lite.sizes import Size
from mlir_lite.types import bool_, f32, i64

from .elementwise import TAME
from .sized import Writer

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


STEPS: tuple[tuple[Step, int], ...] = (
    *((elementwise, 4), (arithmetic, 6), (with_number, 4), (chosen, 2), (cast, 1)),
    *((transposed, 3), (reshaped, 4), (halved, 3), (axes_of_one, 1), (repeated, 2)),
    *((broadcast, 2), (sliced, 5), (joined, 4), (padded, 3), (triangle, 1), (gathered, 3)),
    *((scattered, 1), (one_hot, 1), (created, 2)),
)
