"""Pools over as many windows as the result has places, which may overlap."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .... import ops
from ....ir import ConstantData, Value
from ....ops.base.constant import constant
from ....ops.shapes.slice import slice_axis
from ....sizes import Size
from ....types import Array
from .typed import Reader
from .windows import Sizes, batched, linear_steps, numbers, spread


def adaptive_average_pool(rank: int) -> Reader:
    """The reader of means."""

    def read(x: Value, shape: Sizes) -> Value:
        axes = tuple(range(-rank, 0))
        wanted = spread(shape, rank)
        if set(wanted) == {1}:
            return ops.mean(x, axes, keepdims=True)
        extents = numbers(x, rank)
        if all(extent % size == 0 for extent, size in zip(extents, wanted, strict=True)):
            window = [extent // size for extent, size in zip(extents, wanted, strict=True)]
            return batched(rank, lambda images: ops.average_pool(images, window))(x)
        for axis, extent, size in zip(axes, extents, wanted, strict=True):
            weights = _averages(extent, size).astype(x.dtype.numpy)
            moved = ops.matmul(ops.moveaxis(x, axis, -1), constant(ConstantData.of(weights)))
            x = ops.moveaxis(moved, -1, axis)
        return x

    return read


def adaptive_max_pool(rank: int) -> Reader:
    """The reader of the largest, and where it is in the image, counted row by row.

    Axis by axis, the last first: of equal elements the first in that order is found.
    """

    def read(x: Value, shape: Sizes) -> tuple[Value, Value]:
        axes = range(x.rank - rank, x.rank)
        places = ops.zeros((1,) * x.rank, ops.argmax(x, -1).dtype)
        steps = zip(axes, spread(shape, rank), linear_steps(x, rank), strict=True)
        for axis, size, step in reversed(list(steps)):
            extent = x.shape[axis]
            parts = [(0, extent)] if size == 1 else _windows(numbers(x, rank)[axis - x.rank], size)
            found = [_largest(x, places, axis, *part, step) for part in parts]
            x, places = (ops.concat(list(side), axis) for side in zip(*found, strict=True))
        return x, places

    return read


def _largest(
    x: Value, places: Value, axis: int, first: int, last: Size, step: Size
) -> tuple[Value, Value]:
    """The largest from `first` to `last` along an axis, and its place: that which `places` has of
    the axes behind, and `step` for each element along this one."""
    part = slice_axis(x, axis, first, last - first)
    at = ops.argmax(part, axis, keepdims=True)
    behind = places
    if places.shape[axis] != 1:
        behind = ops.take_along_axis(slice_axis(places, axis, first, last - first), at, axis)
    return ops.max(part, axis, keepdims=True), behind + (at + first) * step


def _windows(extent: int, size: int) -> list[tuple[int, int]]:
    """Where each window begins and ends."""
    return [(at * extent // size, -(-(at + 1) * extent // size)) for at in range(size)]


def _averages(extent: int, size: int) -> Array:
    """The matrix `(extent, size)` of the means of windows."""
    matrix = np.zeros((extent, size))
    for at, (first, last) in enumerate(_windows(extent, size)):
        matrix[first:last, at] = 1 / (last - first)
    return matrix


READERS: Mapping[str, Reader] = {
    "aten._adaptive_avg_pool2d": adaptive_average_pool(2),
    "aten._adaptive_avg_pool3d": adaptive_average_pool(3),
    **{f"aten.adaptive_avg_pool{n}d": adaptive_average_pool(n) for n in (1, 2, 3)},
    **{f"aten.adaptive_max_pool{n}d": adaptive_max_pool(n) for n in (1, 2, 3)},
}
