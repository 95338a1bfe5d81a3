"""Readers of the operators that move elements, and of those that make shapes.

Each works on a tensor of the program and, at once, on integers that are known while reading.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ... import ops
from ...errors import ParseError, TypeRuleError, UnsupportedError, check
from ...ir import ConstantData
from ...ops.broadcast import broadcast_shapes
from ...ops.constant import constant as constant_value
from ...ops.promote import as_value as lift
from ...ops.slice import slice_axes
from ...sizes import Dim, Shape, Size, product, static
from ...types import Array, dtype_of, f32, i64
from .call import Call, Results
from .fit import SizesDiffer
from .sizes import (
    FAR,
    MAX_KNOWN,
    Operand,
    Sizes,
    Window,
    as_value,
    compare,
    is_short,
    normal_axis,
    number,
    reshape_target,
    window,
)


def identity(call: Call) -> Results:
    return call.operand(0)


def constant(call: Call) -> Results:
    """The one attribute that is given says what it is; the output names large data."""
    data = call.tensor("value")
    if data is None:
        data = ConstantData.of(_plain_constant(call))
    named = ConstantData(data.type, data.source, data.name or call.node.name)
    return constant_operand(named)


def constant_operand(data: ConstantData) -> Operand:
    """Constant data; short integer vectors are read at once, for they may be shapes."""
    short = data.type.rank <= 1 and data.type.nbytes <= MAX_KNOWN * data.type.dtype.bytes
    if short and data.type.dtype.kind in "ib":
        return Sizes.known(data.array(), data.type.dtype)
    return constant_value(data)


def _plain_constant(call: Call) -> Array:
    for name, kind in (("value_int", np.int64), ("value_ints", np.int64)):
        if call.attribute(name) is not None:
            whole = call.int_(name) if name == "value_int" else call.ints(name)
            return np.array(whole, kind)
    for name in ("value_float", "value_floats"):
        if call.attribute(name) is not None:
            real = call.float_(name) if name == "value_float" else call.floats(name)
            return np.array(real, np.float32)
    raise UnsupportedError("a constant that is no tensor of numbers")


def constant_of_shape(call: Call) -> Results:
    data = call.tensor("value")
    value = np.zeros(1, np.float32) if data is None else data.array()
    check(value.size == 1, "the value is not one number", ParseError)
    shape = _sizes(call.integers(0))
    dtype = dtype_of(value)
    if dtype.kind in "ib" and len(shape) <= 1 and is_short(shape):
        fill = value.reshape(()).item()
        return Sizes.of([fill] * number(product(shape), "the size"), dtype).reshaped(shape)
    return ops.broadcast(lift(value.reshape(())), shape)


def _sizes(entries: Sequence[Size]) -> Shape:
    """Entries of a shape operand, none negative."""
    for entry in entries:
        check(compare(entry, 0) != -1, f"the size {entry} is negative", ParseError)
    return tuple(entries)


# What a tensor's shape is


def shape(call: Call) -> Results:
    sizes = call.shape(0)
    start, end = call.int_("start", 0), call.int_("end", FAR)
    return Sizes.of(sizes[start:end], i64)


def size(call: Call) -> Results:
    return Sizes.scalar(product(call.shape(0)), i64)


# Reshaping


def reshaped(operand: Operand, target: Shape) -> Operand:
    if isinstance(operand, Sizes):
        return operand.reshaped(target)
    return ops.reshape(operand, target)


def reshape(call: Call) -> Results:
    keep = call.version >= 14 and call.int_("allowzero", 0) == 1
    have = call.shape(0)
    target = reshape_target(have, call.integers(1), keep_zeros=keep)
    try:
        return reshaped(call.operand(0), target)
    except TypeRuleError as error:
        # The shape to reach is an operand's value, so this is told apart here.
        if all(isinstance(entry, int) for entry in (*have, *target)):
            raise
        raise SizesDiffer(
            f"{error}; import with shapes=", [(product(have), product(target))]
        ) from None


def flatten(call: Call) -> Results:
    sizes = call.shape(0)
    axis = call.int_("axis", 1)
    axis = axis if axis == len(sizes) else normal_axis(axis, len(sizes))
    return reshaped(call.operand(0), (product(sizes[:axis]), product(sizes[axis:])))


def axes_of(call: Call, *, since: int) -> tuple[int, ...] | None:
    """The axes: operand 1 from version `since` on, an attribute before; None if not given."""
    if call.version < since:
        return call.ints("axes")
    if not call.has(1):
        return None
    return tuple(number(axis, "an axis") for axis in call.integers(1))


def squeeze(call: Call) -> Results:
    sizes = call.shape(0)
    axes = axes_of(call, since=13)
    if axes is None:
        picked = {place for place, entry in enumerate(sizes) if entry == 1}
    else:
        picked = {normal_axis(axis, len(sizes)) for axis in axes}
    for place in picked:
        if isinstance(sizes[place], Dim):
            text = f"axis {place}, of size {sizes[place]}, must be 1; import with shapes="
            raise SizesDiffer(text, [(sizes[place], 1)])
        check(sizes[place] == 1, f"axis {place} of {sizes} is not 1", ParseError)
    rest = tuple(entry for place, entry in enumerate(sizes) if place not in picked)
    return reshaped(call.operand(0), rest)


def unsqueeze(call: Call) -> Results:
    axes = axes_of(call, since=13)
    check(axes is not None, "the axes are missing", ParseError)
    assert axes is not None
    sizes = list(call.shape(0))
    rank = len(sizes) + len(axes)
    places = sorted(normal_axis(axis, rank) for axis in axes)
    check(len(set(places)) == len(places), f"an axis is repeated in {axes}", ParseError)
    for place in places:
        sizes.insert(place, 1)
    return reshaped(call.operand(0), tuple(sizes))


def transpose(call: Call) -> Results:
    x = call.operand(0)
    perm = call.ints("perm")
    if isinstance(x, Sizes):
        return x.with_entries(np.transpose(x.entries, perm))
    return ops.transpose(x, perm)


def expand(call: Call) -> Results:
    """Repeat by NumPy's rule, which keeps the operand's size where the shape says 1."""
    have, want = call.shape(0), _sizes(call.integers(1))
    common = broadcast_shapes(have, want)
    x = call.operand(0)
    if isinstance(x, Sizes) and is_short(common):
        return x.with_entries(np.broadcast_to(x.entries, static(common)))
    return ops.broadcast(as_value(x), common)


def tile(call: Call) -> Results:
    repeats = call.integers(1)
    return ops.tile(call.value(0), tuple(number(entry, "a repeat") for entry in repeats))


# Joining and cutting


def concat(call: Call) -> Results:
    operands = [operand for operand in call.operands if operand is not None]
    check(operands, "there is nothing to join", ParseError)
    axis = normal_axis(call.int_("axis"), len(operands[0].shape))
    known = [operand for operand in operands if isinstance(operand, Sizes)]
    short = is_short([sum(operand.entries.size for operand in known)])
    if len(known) == len(operands) and short:
        return known[0].with_entries(np.concatenate([entry.entries for entry in known], axis))
    return ops.concat([as_value(operand) for operand in operands], axis)


def split(call: Call) -> Results:
    axis = normal_axis(call.int_("axis", 0), len(call.shape(0)))
    extent = call.shape(0)[axis]
    if call.version < 13:
        given = call.ints("split")
        sizes: Sequence[Size] | None = given
    else:
        sizes = call.integers(1) if call.has(1) else None
    if sizes is None:
        count = len(call.node.outputs)
        parts_wanted = call.int_("num_outputs", count)
        check(parts_wanted == count > 0, f"{parts_wanted} parts, {count} outputs", ParseError)
        sizes = _equal_parts(extent, count)
    total: Size = 0
    parts: list[Operand] = []
    for entry in sizes:
        parts.append(_cut(call.operand(0), {axis: Window(total, entry, 1)}))
        total = total + entry
    check(compare(total, extent) in (0, None), f"{sizes} do not add up to {extent}", ParseError)
    return tuple(parts)


def _equal_parts(extent: Size, count: int) -> list[Size]:
    """Parts of one size, but for the last, which may be smaller."""
    each = (extent + (count - 1)) // count
    return [each] * (count - 1) + [extent - each * (count - 1)]


def slice_(call: Call) -> Results:
    if call.version < 10:
        starts: Sequence[Size] = call.ints("starts") or ()
        ends: Sequence[Size] = call.ints("ends") or ()
        axes: Sequence[Size] | None = call.ints("axes")
        steps: Sequence[Size] = (1,) * len(starts)
    else:
        starts, ends = call.integers(1), call.integers(2)
        axes = call.integers(3) if call.has(3) else None
        steps = call.integers(4) if call.has(4) else (1,) * len(starts)
    sizes = call.shape(0)
    places = range(len(starts)) if axes is None else axes
    check(
        len(starts) == len(ends) == len(places) == len(steps),
        "starts, ends, axes and steps differ in length",
        ParseError,
    )
    windows: dict[int, Window] = {}
    for axis, start, end, step in zip(places, starts, ends, steps, strict=True):
        place = normal_axis(number(axis, "an axis"), len(sizes))
        check(place not in windows, f"axis {place} is given twice", ParseError)
        windows[place] = window(start, end, step, sizes[place])
    return _cut(call.operand(0), windows)


def _cut(x: Operand, windows: dict[int, Window]) -> Operand:
    """The windows of the axes, and the others whole."""
    full = [windows.get(axis, Window(0, extent, 1)) for axis, extent in enumerate(x.shape)]
    if isinstance(x, Sizes):
        entries = x.entries
        for axis, part in enumerate(full):
            start, count = number(part.start, "a start"), number(part.size, "a size")
            ends = (start, start + part.step * (count - 1)) if count else ()
            inside = all(0 <= end < entries.shape[axis] for end in ends)
            check(inside, f"{part} is outside of axis {axis}", ParseError)
            entries = entries.take(start + part.step * np.arange(count), axis)
        return x.with_entries(entries)
    return slice_axes(
        x, [part.start for part in full], [part.size for part in full],
        [part.step for part in full],
    )  # fmt: skip


def pad(call: Call) -> Results:
    """Padding by `(lows, highs)` of all axes, or of those of operand 3."""
    rank = len(call.shape(0))
    if call.version < 11:
        pads: Sequence[Size] = call.ints("pads") or ()
        fill = call.float_("value", 0.0)
    else:
        pads = call.integers(1)
        fill = call.scalar(2, finite=False) if call.has(2) else 0
    axes = (
        [normal_axis(number(axis, "an axis"), rank) for axis in call.integers(3)]
        if call.has(3)
        else list(range(rank))
    )
    check(len(pads) == 2 * len(axes), f"{len(pads)} pads for {len(axes)} axes", ParseError)
    widths: list[tuple[Size, Size]] = [(0, 0)] * rank
    for place, axis in enumerate(axes):
        widths[axis] = (pads[place], pads[place + len(axes)])
    mode = call.text("mode", "constant")
    return ops.pad(call.value(0), widths, mode, fill)


# Counting


def range_(call: Call) -> Results:
    """`start, start + delta, …` before `limit`; sizes that are named count in integers."""
    operands = [call.operand(position) for position in range(3)]
    if all(isinstance(operand, Sizes) for operand in operands):
        start, limit, delta = (call.integer(position) for position in range(3))
        step = number(delta, "the step of a range")
        check(step != 0, "a range has the step 0", ParseError)
        span = limit - start if step > 0 else start - limit
        count = 0 if compare(span, 0) in (0, -1) else (span + (abs(step) - 1)) // abs(step)
        scaled = ops.multiply(ops.iota(count, call.dtype(0)), step)
        return ops.add(scaled, as_value(Sizes.scalar(start, call.dtype(0))))
    first, last, by = (call.scalar(position) for position in range(3))
    check(by != 0, "a range has the step 0", ParseError)
    count = max(0, math.ceil((last - first) / by))
    dtype = call.dtype(0)
    return ops.add(ops.multiply(ops.iota(count, dtype), by), first)


def dropout(call: Call) -> Results:
    """In inference every element is kept."""
    training = call.version >= 12 and call.has(2) and bool(call.scalar(2))
    check(not training, "dropout in training mode", UnsupportedError)
    if not call.wants(1):
        return call.operand(0)
    keep = ops.broadcast(lift(True), call.shape(0))
    return call.operand(0), keep if call.version >= 10 else ops.cast(keep, f32)
