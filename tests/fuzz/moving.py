"""Steps that move elements: shapes, slices, joins, gathers and scatters."""

from __future__ import annotations

import numpy as np

import mlir_lite as ml
from mlir_lite import Value
from mlir_lite.ir import Key
from mlir_lite.types import bool_, i32, i64

from .maker import Made, Maker, Step

ANY = "fiub"


def transposed(m: Maker) -> Made:
    x = m.pick(ANY, 1)
    perm = list(range(x.rank))
    m.random.shuffle(perm)
    if m.chance(0.2):
        return x.T
    return ml.transpose(x, perm)


def reshaped(m: Maker) -> Made:
    x = m.pick(ANY)
    sizes = list(x.type.static_shape)
    if m.chance(0.3):
        return ml.flatten(x, m.random.randint(0, x.rank))
    if len(sizes) > 1 and m.chance(0.5):
        at = m.random.randrange(len(sizes) - 1)
        sizes[at : at + 2] = [sizes[at] * sizes[at + 1]]
    elif sizes:
        at = m.random.randrange(len(sizes))
        divisors = [by for by in range(1, sizes[at] + 1) if sizes[at] % by == 0] or [1]
        by = m.random.choice(divisors)
        sizes[at : at + 1] = [by, sizes[at] // by]
    else:
        sizes = [1]
    return ml.reshape(x, tuple(sizes))


def unit_axes(m: Maker) -> Made:
    x = m.pick(ANY, 0, 4)
    return ml.expand_dims(x, m.random.randint(0, x.rank))


def squeezed(m: Maker) -> Made:
    return ml.squeeze(m.pick(ANY))


def repeated(m: Maker) -> Made:
    x = m.pick(ANY, 1)
    if m.chance(0.5):
        return ml.tile(x, [m.random.choice((1, 1, 2, 3)) for _ in range(x.rank)])
    return ml.repeat(x, m.random.choice((1, 2, 3)), m.axis(x))


def broadcast(m: Maker) -> Made:
    x = m.pick(ANY, 0, 3)
    shape = [m.size(9) if size == 1 else size for size in x.type.static_shape]
    return ml.broadcast(x, [*[m.size(5)] * m.random.randint(0, 1), *shape])


def sliced(m: Maker) -> Made:
    x = m.pick(ANY, 1)
    key: list[Key] = []
    for size in x.type.static_shape:
        if m.chance(0.15) and size:
            key.append(m.random.randrange(-size, size))
            continue
        low, high = sorted(m.random.randint(0, size) for _ in range(2))
        step = m.random.choice((1, 1, 1, 2, 3, -1, -2))
        if m.chance(0.4):
            key.append(slice(None, None, step))
        elif step > 0:
            key.append(slice(low, high if m.chance(0.9) else low, step))
        else:
            key.append(slice(high, low or None, step))
    if m.chance(0.2):
        key.insert(m.random.randint(0, len(key)), None)
    return x[tuple(key)]


def flipped(m: Maker) -> Made:
    x = m.pick(ANY, 1)
    return ml.flip(x, m.axis(x))


def joined(m: Maker) -> Made:
    x = m.pick(ANY, 1)
    axis = m.axis(x) % x.rank
    same = [
        value
        for value in m.values
        if value.dtype == x.dtype
        and value.rank == x.rank
        and all(
            a == b
            for at, (a, b) in enumerate(zip(value.shape, x.shape, strict=True))
            if at != axis
        )
    ]
    others = [m.random.choice(same or [x]) for _ in range(m.random.randint(1, 3))]
    return ml.concat([x, *others], axis)


def stacked(m: Maker) -> Made:
    x = m.pick(ANY, 0, 4)
    same = [value for value in m.values if value.type == x.type] or [x]
    return ml.stack([x, m.random.choice(same)], m.random.randint(0, x.rank))


def split(m: Maker) -> Made:
    x = m.pick(ANY, 1, filled=True)
    axis = m.axis(x)
    size = x.type.static_shape[axis]
    parts = [by for by in (2, 3, 4, 5) if size % by == 0]
    if parts and m.chance(0.5):
        return ml.split(x, m.random.choice(parts), axis)
    at = m.random.randint(0, size)
    return ml.split(x, (at, size - at), axis)


def padded(m: Maker) -> Made:
    x = m.pick("fiu", 1, filled=True)
    mode = m.random.choice(("constant", "constant", "edge", "reflect", "wrap"))
    widths: list[tuple[int, int]] = []
    for size in x.type.static_shape:
        most = {"constant": 3, "edge": 3, "reflect": size - 1, "wrap": size}[mode]
        low = -1 if mode == "constant" and size > 3 and m.chance(0.2) else 0
        most = min(most, 3)
        widths.append((m.random.randint(low, most), m.random.randint(0, most)))
    if mode == "constant":
        return ml.pad(x, widths, value=m.random.choice((0, 1, -2)) if x.dtype.kind != "u" else 3)
    return ml.pad(x, widths, mode)


def triangle(m: Maker) -> Made:
    x = m.pick("fi", 2)
    return m.random.choice((ml.tril, ml.triu))(x, m.random.randint(-3, 3))


def _indices(m: Maker, shape: tuple[int, ...], size: int) -> Value:
    dtype = m.random.choice((i64, i32))
    return m.fresh(shape, dtype, low=-size if m.chance(0.3) else 0, high=size - 1)


def gathered(m: Maker) -> Made:
    x = m.pick(ANY, 1, filled=True)
    axis = m.axis(x)
    size = x.type.static_shape[axis]
    return ml.gather(x, _indices(m, m.shape(0, 2, 0.05)[:2], size), axis)


def gathered_elements(m: Maker) -> Made:
    x = m.pick(ANY, 1, filled=True)
    axis = m.axis(x)
    shape = list(x.type.static_shape)
    size = shape[axis]
    shape[axis] = m.size(9)
    return ml.gather_elements(x, _indices(m, tuple(shape), size), axis)


def gathered_nd(m: Maker) -> Made:
    x = m.pick(ANY, 1, 4, filled=True)
    depth = m.random.randint(1, x.rank)
    outer = m.shape(0, 2, 0.05)
    least = min(x.type.static_shape[:depth])
    return ml.gather_nd(x, _indices(m, (*outer, depth), least))


def scattered(m: Maker) -> Made:
    x = m.pick("fi", 1, 4, filled=True)
    axis = m.axis(x) % x.rank
    shape = list(x.type.static_shape)
    size = shape[axis]
    reduction = m.random.choice(("none", "add", "max", "min", "mul"))
    if reduction == "none":  # the same place twice is not defined
        count = m.random.randint(1, size)
        order = np.argsort(m.numbers.random((*shape[:axis], size, *shape[axis + 1 :])), axis)
        indices = np.take(order, range(count), axis)
        shape[axis] = count
        return ml.scatter_elements(x, indices, m.fresh(shape, x.dtype), axis)
    shape[axis] = m.size(9)
    indices_ = _indices(m, tuple(shape), size)
    updates = m.fresh(shape, x.dtype, low=-1, high=1)
    return ml.scatter_elements(x, indices_, updates, axis, reduction)


def scattered_nd(m: Maker) -> Made:
    x = m.pick("fi", 1, 4, filled=True)
    depth = m.random.randint(1, x.rank)
    shape = x.type.static_shape
    count = m.size(9)
    updates = m.fresh((count, *shape[depth:]), x.dtype, low=-1, high=1)
    reduction = m.random.choice(("add", "max", "min"))
    return ml.scatter_nd(x, _indices(m, (count, depth), min(shape[:depth])), updates, reduction)


def embedded(m: Maker) -> Made:
    table = m.pick("f", 2, 2, filled=True)
    return ml.embedding(_indices(m, m.shape(0, 2), table.type.static_shape[0] - 0), table)


def one_hot(m: Maker) -> Made:
    depth = m.size(17)
    shape = m.shape(0, 2)
    axis = m.random.randint(-len(shape) - 1, len(shape))
    return ml.one_hot(_indices(m, shape, depth), depth, axis=axis)


def created(m: Maker) -> Made:
    makers = (
        lambda: ml.arange(m.size()),
        lambda: ml.arange(5, -8, -3, dtype=i32),
        lambda: ml.eye(m.size(17), m.size(17)),
        lambda: ml.full(m.shape(0, 3), 2.5),
        lambda: ml.full(m.shape(0, 3), True, bool_),
        lambda: ml.zeros(m.shape(0, 3)),
    )
    return m.random.choice(makers)()


STEPS: tuple[Step, ...] = (
    *(transposed, transposed, reshaped, reshaped, unit_axes, squeezed, repeated, broadcast),
    *(sliced, sliced, flipped, joined, joined, stacked, split, padded, triangle),
    *(gathered, gathered_elements, gathered_nd, scattered, scattered_nd, embedded, one_hot),
    created,
)
