"""`x[key]` with NumPy's keys: numbers, slices, `None`, `...` and integer tensors."""

from __future__ import annotations

from types import EllipsisType
from typing import TypeAlias

import numpy as np

from ...errors import UnsupportedError, check
from ...ir import Key, Value
from ...sizes import Dim, Size, ceil_div
from ...types import i64
from ..base.cast import cast
from ..base.promote import as_value, broadcast_together
from .index import gather, gather_nd
from .join import stack
from .shape import reshape, transpose
from .slice import slice_axes

# What stands for an axis of the operand (None: for a new one), once `...` is written out.
Part: TypeAlias = int | slice | Value | None


def getitem(x: Value, key: Key | tuple[Key, ...]) -> Value:
    """Part of `x`, as NumPy's indexing gives it; a boolean mask is an `UnsupportedError`."""
    parts = _written_out(key if isinstance(key, tuple) else (key,), x.rank)
    starts: list[Size] = []
    sizes: list[Size] = []
    steps: list[int] = []
    kept: list[Size] = []  # the shape after slicing: numbers take an axis away, None adds one
    tensors: dict[int, Value] = {}  # by their axis in that shape
    for part in parts:
        if part is None:
            kept.append(1)
            continue
        axis = len(starts)
        extent = x.shape[axis]
        start, size, step = _range_of(part, extent, axis)
        starts, sizes, steps = [*starts, start], [*sizes, size], [*steps, step]
        if isinstance(part, Value):
            tensors[len(kept)] = part
        if not isinstance(part, int):
            kept.append(size)
    sliced = reshape(slice_axes(x, starts, sizes, steps), kept)
    if any(index.rank for index in tensors.values()):
        _check_adjacent(parts)
    return _taken(sliced, tensors) if tensors else sliced


def _written_out(key: tuple[Key, ...], rank: int) -> tuple[Part, ...]:
    """The key with a part for each axis: `...` replaced, and what is left out added."""
    parts = [_part(entry) for entry in key]
    used = sum(part is not None and part is not Ellipsis for part in parts)
    check(used <= rank, f"{used} indices into a tensor of rank {rank}")
    check(parts.count(Ellipsis) < 2, "an index has one `...` at most")
    place = parts.index(Ellipsis) if Ellipsis in parts else len(parts)
    whole: list[Part | EllipsisType] = [slice(None)] * (rank - used)
    written = (*parts[:place], *whole, *parts[place + 1 :])
    return tuple(part for part in written if not isinstance(part, EllipsisType))


def _part(entry: Key) -> Part | EllipsisType:
    if entry is None or isinstance(entry, (slice, EllipsisType)):
        return entry
    if isinstance(entry, list):
        entry = np.asarray(entry)
    if not isinstance(entry, (Value, np.ndarray)):
        number = isinstance(entry, (int, np.integer)) and not isinstance(entry, bool)
        check(number, f"{entry!r} is no index")
        return int(entry)
    value = as_value(entry)
    if value.dtype.kind == "b":
        raise UnsupportedError(
            "the size of x[mask] depends on the data; use ml.where(mask, x, other) instead"
        )
    check(value.dtype.is_integer, f"an index is an integer tensor, not {value.dtype}")
    return value


def _range_of(part: int | slice | Value, extent: Size, axis: int) -> tuple[Size, Size, int]:
    """Start, size and step of what a part of the key takes of an axis."""
    match part:
        case int():
            if isinstance(extent, int):
                inside = -extent <= part < extent
                check(inside, f"index {part} is out of range of axis {axis}, of size {extent}")
            return (part if part >= 0 else extent + part), 1, 1
        case slice():
            return _slice_range(part, extent)
    return 0, extent, 1


def _slice_range(part: slice, extent: Size) -> tuple[Size, Size, int]:
    bounds = (part.start, part.stop)
    step = 1 if part.step is None else part.step
    check(
        all(bound is None or isinstance(bound, (int, np.integer, Dim)) for bound in bounds)
        and isinstance(step, (int, np.integer)),
        "the limits of a slice are numbers; for a start that is data, use ml.gather",
    )
    check(step != 0, "the step of a slice is not 0")
    if isinstance(extent, int) and not any(isinstance(bound, Dim) for bound in bounds):
        taken = range(*part.indices(extent))
        return taken.start, len(taken), step
    first, last = (0, extent) if step > 0 else (extent - 1, -1)
    start = first if part.start is None else _from_front(part.start, extent)
    stop = last if part.stop is None else _from_front(part.stop, extent)
    size = ceil_div(stop - start, step) if step > 0 else ceil_div(start - stop, -step)
    return start, (max(0, size) if isinstance(size, int) else size), step


def _from_front(bound: Size, extent: Size) -> Size:
    return extent + bound if isinstance(bound, int) and bound < 0 else bound


def _check_adjacent(parts: tuple[Part, ...]) -> None:
    """NumPy puts the axes of index tensors in front where a slice stands between them."""
    places = [place for place, part in enumerate(parts) if isinstance(part, (int, Value))]
    if places != list(range(places[0], places[0] + len(places))):
        raise UnsupportedError(
            "index tensors and numbers with a slice between them; index in two steps"
        )


def _taken(x: Value, tensors: dict[int, Value]) -> Value:
    """The elements at index tensors, which stand for the axes that are their keys."""
    axes = list(tensors)
    if len(axes) == 1:
        return gather(x, tensors[axes[0]], axes[0])
    indices = broadcast_together(*(cast(index, i64) for index in tensors.values()))
    rest = [axis for axis in range(x.rank) if axis not in axes]
    found = gather_nd(transpose(x, [*axes, *rest]), stack(indices, -1))
    new, before = indices[0].rank, axes[0]
    order = [*range(new, new + before), *range(new), *range(new + before, found.rank)]
    return transpose(found, order)
