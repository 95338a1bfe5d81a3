"""Readers of the operators that move elements, and of those that make shapes.

Each works on a tensor of the program and, at once, on integers that are known while reading.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .... import ops
from ....errors import ParseError, TypeRuleError, UnsupportedError, check
from ....ops.base.broadcast import broadcast_shapes
from ....ops.base.promote import as_value as lift
from ....ops.shapes.slice import slice_axes
from ....sizes import Dim, Shape, Size, product, static
from ....types import f32, i64
from ..call import Call, Results
from ..fit import SizesDiffer
from ..sizes import (
    FAR,
    Operand,
    Sizes,
    Window,
    as_value,
    checked_shape,
    compare,
    is_short,
    normal_axis,
    number,
    reshape_target,
    window,
)


def identity(call: Call) -> Results:
    """The operand as it is, known sizes too."""
    return call.operand(0)


# What a tensor's shape is


def shape(call: Call) -> Results:
    """The sizes from axis `start` to `end`, known ones and names, as i64."""
    sizes = call.shape(0)
    start, end = call.int_("start", 0), call.int_("end", FAR)
    return Sizes.of(sizes[start:end], i64)


def size(call: Call) -> Results:
    """The number of elements, known or an expression of names, as i64."""
    return Sizes.scalar(product(call.shape(0)), i64)


# Reshaping


def reshaped(operand: Operand, target: Shape) -> Operand:
    """An operand in another shape; known sizes stay known."""
    if isinstance(operand, Sizes):
        return operand.reshaped(target)
    return ops.reshape(operand, target)


def reshape(call: Call) -> Results:
    """To a shape with -1 for what is left and, unless `allowzero`, 0 for what was.

    `SizesDiffer` where named sizes do not tell whether it fits.
    """
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
    """To a matrix: the axes before `axis` are its rows."""
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
    """Without axes of size 1: those given, or all. `SizesDiffer` for a named size."""
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
    """With new axes of size 1, at places counted in the result."""
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
    """The axes in another order, reversed if none is given."""
    x = call.operand(0)
    perm = call.ints("perm")
    if isinstance(x, Sizes):
        return x.with_entries(np.transpose(x.entries, perm))
    return ops.transpose(x, perm)


def expand(call: Call) -> Results:
    """Repeat by NumPy's rule, which keeps the operand's size where the shape says 1."""
    have, want = call.shape(0), checked_shape(call.integers(1))
    common = broadcast_shapes(have, want)
    x = call.operand(0)
    if isinstance(x, Sizes) and is_short(common):
        return x.with_entries(np.broadcast_to(x.entries, static(common)))
    return ops.broadcast(as_value(x), common)


def tile(call: Call) -> Results:
    """Repeated along each axis."""
    repeats = call.integers(1)
    return ops.tile(call.value(0), tuple(number(entry, "a repeat") for entry in repeats))


# Joining and cutting


def concat(call: Call) -> Results:
    """Joined along an axis, known sizes at once."""
    operands = [operand for operand in call.operands if operand is not None]
    check(operands, "there is nothing to join", ParseError)
    axis = normal_axis(call.int_("axis", 1 if call.version < 4 else None), len(operands[0].shape))
    known = [operand for operand in operands if isinstance(operand, Sizes)]
    short = is_short([sum(operand.entries.size for operand in known)])
    if len(known) == len(operands) and short:
        return known[0].with_entries(np.concatenate([entry.entries for entry in known], axis))
    return ops.concat([as_value(operand) for operand in operands], axis)


def split(call: Call) -> Results:
    """Cut along an axis: by sizes that are given, or in parts of one size."""
    axis = normal_axis(call.int_("axis", 0), len(call.shape(0)))
    extent = call.shape(0)[axis]
    # Version 1 has either way, later ones one of them.
    sizes: Sequence[Size] | None = call.integers(1) if call.has(1) else call.ints("split")
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
    """Every `step`-th element from start to end along axes: attributes until version 9, operands
    since."""
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


def dropout(call: Call) -> Results:
    """In inference every element is kept."""
    training = call.version >= 12 and call.has(2) and bool(call.scalar(2))
    check(not training, "dropout in training mode", UnsupportedError)
    if not call.wants(1):
        return call.operand(0)
    keep = ops.broadcast(lift(True), call.shape(0))
    return call.operand(0), keep if call.version >= 10 else ops.cast(keep, f32)
