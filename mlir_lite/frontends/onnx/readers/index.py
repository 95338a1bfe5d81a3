"""Readers of the operators that read and write at indices."""

from __future__ import annotations

import numpy as np

from .... import ops
from ....errors import ParseError, check
from ....ops.base.promote import as_value as lift
from ....ops.shapes.slice import slice_axis
from ....sizes import Size
from ..call import Call, Results
from ..sizes import Operand, Sizes, as_value, is_short, normal_axis, number
from ..weights import element_type


def gather(call: Call) -> Results:
    """Slices at indices along an axis, of known sizes at once; -1 is the last."""
    x, indices = call.operand(0), call.operand(1)
    axis = normal_axis(call.int_("axis", 0), len(x.shape))
    shape = (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])
    if isinstance(x, Sizes) and isinstance(indices, Sizes) and is_short(shape):
        return _taken(x, indices, axis)
    return ops.gather(as_value(x), as_value(indices), axis)


def _taken(x: Sizes, indices: Sizes, axis: int) -> Operand:
    extent = x.entries.shape[axis]
    places = indices.array().astype(np.int64)
    inside = bool(np.all((places >= -extent) & (places < extent)))
    check(inside, f"an index of {places.tolist()} is outside of axis {axis}", ParseError)
    return x.with_entries(np.asarray(np.take(x.entries, places, axis), object))


def gather_elements(call: Call) -> Results:
    """An element for each index along an axis."""
    axis = normal_axis(call.int_("axis", 0), len(call.shape(0)))
    return ops.gather_elements(call.value(0), call.value(1), axis)


def gather_nd(call: Call) -> Results:
    """What the tuples along the last axis of the indices point at."""
    return ops.gather_nd(call.value(0), call.value(1), call.int_("batch_dims", 0))


def scatter_elements(call: Call) -> Results:
    """A copy with an update written, or joined, at each index along an axis."""
    axis = normal_axis(call.int_("axis", 0), len(call.shape(0)))
    x, indices, updates = (call.value(position) for position in range(3))
    return ops.scatter_elements(x, indices, updates, axis, call.text("reduction", "none"))


def scatter_nd(call: Call) -> Results:
    """A copy with an update written, or joined, where each tuple of indices points."""
    x, indices, updates = (call.value(position) for position in range(3))
    return ops.scatter_nd(x, indices, updates, call.text("reduction", "none"))


def one_hot(call: Call) -> Results:
    """Negative indices count from the end; those outside give a row of the off value."""
    indices, values = call.value(0), call.value(2)
    # The depth may be of any type, floats among them.
    depth = int(call.scalar(1))
    rank = indices.rank + 1
    axis = normal_axis(call.int_("axis", -1), rank)
    if indices.dtype.is_float:
        indices = ops.cast(indices, element_type(7, "the index"))
    count = ops.cast(ops.iota(depth), indices.dtype)
    shape: list[Size] = [1] * rank
    shape[axis] = depth
    places = ops.reshape(count, shape)
    wrapped = ops.where(ops.less(indices, 0), ops.add(indices, depth), indices)
    hit = ops.equal(ops.expand_dims(wrapped, axis), places)
    off, on = (slice_axis(values, 0, position, 1) for position in (0, 1))
    return ops.where(hit, ops.reshape(on, ()), ops.reshape(off, ()))


def compress(call: Call) -> Results:
    """The slices at which a condition known while reading holds; it may end early."""
    x, axis = call.value(0), call.attribute("axis")
    places = lift(np.flatnonzero(call.known(1)))
    if axis is None:
        return ops.gather(ops.reshape(x, (-1,)), places, 0)
    return ops.gather(x, places, normal_axis(call.int_("axis"), x.rank))


def non_zero(call: Call) -> Results:
    """The places, a column each, at which a tensor known while reading is not zero.

    A scalar has no axes, so its columns are empty: the specification, unlike NumPy and onnxruntime.
    """
    array = call.known(0)
    places = np.argwhere(array) if array.ndim else np.empty((int(bool(array)), 0))
    return lift(np.ascontiguousarray(places.T, np.int64))


def tensor_scatter(call: Call) -> Results:
    """A cache with an update at its place in each row: from `write_indices` on along an axis."""
    cache, update = call.value(0), call.value(1)
    axis = normal_axis(call.int_("axis", -2), cache.rank)
    steps = [1] * cache.rank
    steps[axis] = -1
    places = ops.reshape(ops.iota(update.shape[axis]), steps)
    if call.has(2):
        starts = ops.cast(call.value(2), places.dtype)
        places = ops.add(places, ops.reshape(starts, (-1, *(1,) * (cache.rank - 1))))
    if call.text("mode", "linear") == "circular":
        places = ops.mod(places, cache.type.static_shape[axis])
    return ops.scatter_elements(cache, ops.broadcast(places, update.shape), update, axis)


def trilu(call: Call) -> Results:
    """The triangle on one side of a diagonal, zeros in place of the rest."""
    k = number(call.integer(1), "the diagonal") if call.has(1) else 0
    function = ops.triu if call.int_("upper", 1) else ops.tril
    return function(call.value(0), k)


def eye_like(call: Call) -> Results:
    """Ones on a diagonal, zeros elsewhere, of the operand's shape."""
    check(len(call.shape(0)) == 2, f"a matrix of rank {len(call.shape(0))}", ParseError)
    rows, columns = call.shape(0)
    given = call.attribute("dtype")
    dtype = call.dtype(0) if given is None else element_type(call.int_("dtype"), "the result")
    across = ops.subtract(ops.iota(columns), call.int_("k", 0))
    down = ops.reshape(ops.iota(rows), (rows, 1))
    return ops.cast(ops.equal(down, across), dtype)


def reverse_sequence(call: Call) -> Results:
    """The first `lengths[b]` elements of each row in reverse order."""
    x, lengths = call.value(0), call.value(1)
    time, batch = call.int_("time_axis", 0), call.int_("batch_axis", 1)
    check({time, batch} == {0, 1}, f"time axis {time} and batch axis {batch}", ParseError)
    check(x.rank >= 2, "takes a tensor of rank 2 or more", ParseError)
    steps = ops.reshape(ops.iota(x.shape[time]), (-1, 1) if time == 0 else (1, -1))
    ends = ops.reshape(ops.cast(lengths, steps.dtype), (1, -1) if time == 0 else (-1, 1))
    places = ops.where(ops.less(steps, ends), ops.subtract(ops.subtract(ends, steps), 1), steps)
    places = ops.reshape(places, (*places.shape, *(1,) * (x.rank - 2)))
    return ops.gather_elements(x, ops.broadcast(places, x.shape), time)


def top_k(call: Call) -> Results:
    """The first elements along an axis, in order even where the model would take them in any."""
    x = call.value(0)
    count = call.int_("k") if call.version == 1 else number(call.integer(1), "k")
    axis = normal_axis(call.int_("axis", -1), x.rank)
    return ops.topk(x, count, axis, largest=bool(call.int_("largest", 1)))
