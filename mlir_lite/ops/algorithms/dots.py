"""Products and convolutions of narrow numbers, packed for instructions that sum a few neighbouring
products in each lane.

    u8 x i8 -> i32, four to a lane;  bf16 x bf16 -> f32, two to a lane

What a lane sums lies side by side in both operands: `depth` neighbouring elements of a row of the
left one, and of each column of the right one.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import numpy as np

from ...errors import check
from ...expr import Expr, cast
from ...ir import Element, Op, Value, constructor, op
from ...sizes import ceil_div
from ...types import Array, DType, TensorType, bf16, f32, i8, i32, u8
from ..base.body import Indices, guarded, reduce_over
from ..windows.conv import convolve
from ..windows.windows import (
    Windows,
    batch_of,
    channels_first,
    channels_of,
    check_layout,
    in_layout,
    join_index,
    sources,
    spatial_of,
    windows_inside,
)
from .panels import check_rows

# What products of two element types are summed in.
TOTALS: Mapping[tuple[DType, DType], DType] = {(u8, i8): i32, (bf16, bf16): f32}


@op
class PackDots(Op):
    """Columns in panels: `(.., k, n) -> (.., n / width, k / depth, width, depth)`.

    `depth` neighbours of a column lie side by side. The last panel and the last rows are filled up
    with zeros.
    """

    matrix: Value
    width: int
    depth: int

    def infer(self) -> TensorType:
        check(self.matrix.rank >= 2, f"columns are those of a matrix, not of {self.matrix.type}")
        _check_packing(self.width, self.depth)
        *batch, k, n = self.matrix.shape
        packed = (ceil_div(n, self.width), ceil_div(k, self.depth), self.width, self.depth)
        return self.matrix.type.with_shape((*batch, *packed))

    def reference(self, matrix: Array) -> Array:
        cut = _cut(_cut(matrix, -1, self.width), -3, self.depth)
        return np.ascontiguousarray(np.moveaxis(cut, (-2, -4, -1, -3), (-4, -3, -2, -1)))

    def body(self, at: Indices, matrix: Element) -> Expr:
        *batch, panel, block, lane, q = at
        k, n = block * self.depth + q, panel * self.width + lane
        return guarded(matrix, (*batch, k, n), 0)


@op
class DotMatmul(Op):
    """Narrow matrix product by matrices of `columns` columns packed as by `PackDots`.

    `(*batch, .., m, k) x (*batch, columns / width, k / depth, width, depth) -> (*batch, .., m,
    columns)`, u8 x i8 in i32 (wraps around), bf16 x bf16 in f32. `k` counts the filling, too.
    """

    lhs: Value
    panels: Value
    columns: int

    def infer(self) -> TensorType:
        lhs, panels = self.lhs.type, self.panels.type
        total = _total(self.lhs, self.panels)
        check(panels.rank >= 4, f"columns packed for dots have rank 4 or more, not {panels}")
        *batch, count, blocks, width, depth = panels.static_shape
        check_rows(lhs, panels, batch, blocks * depth)
        _check_panels(self.columns, count, width)
        return TensorType((*lhs.shape[:-1], self.columns), total)

    def reference(self, lhs: Array, panels: Array) -> Array:
        *batch, count, blocks, width, depth = panels.shape
        ordered = np.moveaxis(panels, (-3, -1, -4, -2), (-4, -3, -2, -1))
        matrix = ordered.reshape(*batch, blocks * depth, count * width)[..., : self.columns]
        rows = lhs.reshape(*batch, prod(lhs.shape[len(batch) : -1]), blocks * depth)
        product = np.matmul(_exact(rows), _exact(matrix))
        return _rounded(product.reshape(*lhs.shape[:-1], self.columns), self.infer().dtype)

    def body(self, at: Indices, lhs: Element, panels: Element) -> Expr:
        *rows, n = at
        *batch, _, blocks, width, depth = panels.type.static_shape
        total = self.infer().dtype

        def element(k: Expr, q: Expr) -> Expr:
            packed = panels[(*rows[: len(batch)], n // width, k, n % width, q)]
            return cast(lhs[(*rows, k * depth + q)], total) * cast(packed, total)

        return reduce_over("sum", {"k": blocks, "q": depth}, element)


@op
class PackDotFilters(Op):
    """Filters in panels of `width` output channels, `depth` input channels side by side.

    `(out, in, *kernel) -> (out / width, *kernel, in / depth, width, depth)`. The last panel and
    the last channels are filled up with zeros.
    """

    weight: Value
    width: int
    depth: int

    def infer(self) -> TensorType:
        check(self.weight.rank >= 3, f"filters have spatial axes, {self.weight.type} has none")
        _check_packing(self.width, self.depth)
        out, inner, *kernel = self.weight.shape
        blocks = ceil_div(inner, self.depth)
        shape = (ceil_div(out, self.width), *kernel, blocks, self.width, self.depth)
        return self.weight.type.with_shape(shape)

    def reference(self, weight: Array) -> Array:
        cut = _cut(_cut(np.moveaxis(weight, 1, -1), -1, self.depth), 0, self.width)
        return np.ascontiguousarray(np.moveaxis(cut, 1, -2))

    def body(self, at: Indices, weight: Element) -> Expr:
        panel, *taps, block, lane, q = at
        channel, c = panel * self.width + lane, block * self.depth + q
        return guarded(weight, (channel, c, *taps), 0)


@op
class DotConv(Op):
    """Narrow convolution by `channels` filters packed as by `PackDotFilters`; channels-last gives

    `(batch, *size, in) x (channels / width, *kernel, in / depth, width, depth) -> (batch, *size,
    channels)`, without padding or groups; u8 x i8 in i32 (wraps around), bf16 x bf16 in f32. `in`
    counts the filling, too. Of an input in the `layout` "nchw" neighbours of a row lie side by
    side: filters of the order `(out, width, in, ..)` are packed to `(channels / width, in, ..,
    width / depth, width, depth)`, and taps that fill up a row of theirs see pixels, times zero.
    """

    x: Value
    panels: Value
    channels: int
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    layout: str = "nhwc"  # of the input

    def infer(self) -> TensorType:
        x, panels = self.x.type, self.panels.type
        total = _total(self.x, self.panels)
        check_layout(x, self.layout)
        check(self.layout != "chwn", 'the input lies "nhwc" or "nchw"')
        ranks = f"packed filters of rank {panels.rank}, an input of rank {x.rank}"
        check(panels.rank == x.rank + 2, ranks)
        count, *_, width, depth = panels.static_shape
        found, (inner, _) = channels_of(x.shape, self.layout), self._kernel()
        check(found == inner, f"{found} channels meet filters of {inner}")
        near = self.layout == "nhwc" or depth == 1 or self.dilations[-1] == 1
        check(near, "taps that lie side by side are not apart")
        _check_panels(self.channels, count, width)
        counts = [window.count for window in self.windows()]
        return TensorType((batch_of(x.shape, self.layout), *counts, self.channels), total)

    def _kernel(self) -> tuple[int, tuple[int, ...]]:
        """The channels that filters look at, and their sizes."""
        _, *others, blocks, _, depth = self.panels.type.static_shape
        if self.layout == "nchw":
            return others[0], (*others[1:], blocks * depth)
        return blocks * depth, tuple(others)

    def windows(self) -> Windows:
        """The windows along each spatial axis."""
        _, kernel = self._kernel()
        size = spatial_of(self.x.shape, self.layout)
        return windows_inside(size, kernel, self.strides, self.dilations)

    def reference(self, x: Array, panels: Array) -> Array:
        filters = np.moveaxis(panels, -2, 1)
        count, width, *kernel, blocks, depth = filters.shape
        weight = filters.reshape(count * width, *kernel, blocks * depth)[: self.channels]
        taps = np.moveaxis(weight, -1, 1) if self.layout == "nhwc" else weight
        first = channels_first(x, self.layout)
        y = convolve(_exact(first), _exact(taps), self.windows(), 1)
        return _rounded(in_layout(y, "nhwc"), self.infer().dtype)

    def body(self, at: Indices, x: Element, panels: Element) -> Expr:
        batch, *position, channel = at
        _, *outer, blocks, width, depth = panels.type.static_shape
        windows, total = self.windows(), self.infer().dtype

        def element(*along: Expr) -> Expr:
            *taps, block, q = along
            packed = panels[(channel // width, *taps, block, channel % width, q)]
            (*seen, c) = *taps, block * depth + q
            if self.layout == "nchw":
                (c, *seen) = *taps, block * depth + q
            source = sources(windows, tuple(position), tuple(seen))
            place = join_index(batch, c, source, self.layout)
            return cast(x[place], total) * cast(packed, total)

        axes = {f"k{axis}": extent for axis, extent in enumerate(outer)}
        return reduce_over("sum", axes | {"c": blocks, "q": depth}, element)


def _check_packing(width: int, depth: int) -> None:
    check(width > 0 and depth > 0, f"panels of {width} columns, {depth} deep")


def _check_panels(columns: int, count: int, width: int) -> None:
    """The type rule of `columns` columns in `count` panels."""
    check(ceil_div(columns, width) == count, f"{columns} columns in {count} panels of {width}")


def _total(left: Value, right: Value) -> DType:
    """The element type that products of these operands are summed in."""
    known = " or ".join(f"{a} x {b}" for a, b in TOTALS)
    pair = (left.dtype, right.dtype)
    check(pair in TOTALS, f"takes {known}, not {left.dtype} x {right.dtype}")
    return TOTALS[pair]


def _cut(x: Array, axis: int, size: int) -> Array:
    """An axis in two: pieces and what is in each, the last piece filled up with zeros."""
    place = axis % x.ndim
    count = -(-x.shape[place] // size)
    filling = [(0, 0)] * x.ndim
    filling[place] = (0, count * size - x.shape[place])
    return np.pad(x, filling).reshape(*x.shape[:place], count, size, *x.shape[place + 1 :])


def _exact(x: Array) -> Array:
    """In f64, where sums of products of narrow integers are exact."""
    return x.astype(np.float64)


def _rounded(total: Array, dtype: DType) -> Array:
    """The totals in their own type: integers wrap around."""
    return (total.astype(np.int64) if dtype.is_integer else total).astype(dtype.numpy)


pack_dots = constructor(PackDots)
dot_matmul = constructor(DotMatmul)
pack_dot_filters = constructor(PackDotFilters)
dot_conv = constructor(DotConv)

OPS: tuple[type[Op], ...] = (PackDots, DotMatmul, PackDotFilters, DotConv)
