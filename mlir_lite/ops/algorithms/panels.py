"""Products and convolutions by constants packed in panels, so that a kernel reads them in order.

`weight -> pack_columns`, once, when the program is built; `matmul x, weight -> panel_matmul`.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from ...errors import check
from ...expr import Expr, cast
from ...ir import Element, Op, Value, constructor, op
from ...memory import aligned_empty, copy_by_pieces
from ...sizes import ceil_div
from ...types import Array, TensorType
from ..base.body import Indices, computing_type, guarded, reduce_over
from ..base.factors import check_factors, rounded_arrays, rounded_elements
from ..base.promote import check_kind, check_same_dtype
from ..reductions.reduce import widened
from ..windows.conv import convolve
from ..windows.windows import (
    Padding,
    Windows,
    batch_of,
    channels_first,
    channels_of,
    check_layout,
    in_layout,
    read_window,
    sources,
    spatial_of,
    windows_of,
)


def check_rows(lhs: TensorType, panels: TensorType, batch: Sequence[int], inner: int) -> None:
    """Raise `TypeRuleError` where `lhs` has no rows `(*batch, .., inner)` to multiply by panels."""
    check(lhs.rank > len(batch), f"{lhs} is no batch of matrices for {panels}")
    alike = tuple(lhs.shape[: len(batch)]) == tuple(batch)
    check(alike, f"the leading sizes differ: {lhs} and {panels}")
    check(lhs.shape[-1] == inner, f"{lhs.shape[-1]} columns meet {inner} rows")


@op
class PackColumns(Op):
    """The columns of matrices in panels `width` wide: `(.., k, n) -> (.., n / width, k, width)`.

    The last panel is filled up with zeros, so that a kernel may always read whole panels.
    """

    matrix: Value
    width: int

    def infer(self) -> TensorType:
        check(self.matrix.rank >= 2, f"columns are those of a matrix, not of {self.matrix.type}")
        check(self.width > 0, f"a panel of {self.width} columns")
        *batch, k, n = self.matrix.shape
        return self.matrix.type.with_shape((*batch, ceil_div(n, self.width), k, self.width))

    def reference(self, matrix: Array) -> Array:
        return _packed(matrix, self.width)

    def body(self, at: Indices, matrix: Element) -> Expr:
        *batch, panel, k, lane = at
        return guarded(matrix, (*batch, k, panel * self.width + lane), 0)


@op
class PanelMatmul(Op):
    """Matrix product by matrices of `columns` columns packed as by `PackColumns`.

    `(*batch, .., m, k) x (*batch, columns / width, k, width) -> (*batch, .., m, columns)`

    `factors` of f32 may be rounded, as those of `Matmul`.
    """

    lhs: Value
    panels: Value
    columns: int
    factors: str = "f32"

    def infer(self) -> TensorType:
        lhs, panels = self.lhs.type, self.panels.type
        check_kind(self.lhs, "fiu")
        check_same_dtype(self.lhs, self.panels)
        check_factors(self.factors, self.lhs.dtype)
        check(panels.rank >= 3, f"packed columns have rank 3 or more, not {panels}")
        *batch, count, inner, width = panels.static_shape
        check_rows(lhs, panels, batch, inner)
        fits = ceil_div(self.columns, width) == count
        check(fits, f"{self.columns} columns in {count} panels of {width}")
        return lhs.with_shape((*lhs.shape[:-1], self.columns))

    def reference(self, lhs: Array, panels: Array) -> Array:
        *batch, _, inner, _ = panels.shape
        lhs, panels = rounded_arrays(self.factors, lhs, panels)
        matrix = np.moveaxis(_unpacked(np.moveaxis(panels, -3, 0), self.columns), 0, -1)
        rows = widened(lhs).reshape(*batch, prod(lhs.shape[len(batch) : -1]), inner)
        product = np.matmul(rows, widened(matrix))
        return np.asarray(product.reshape(*lhs.shape[:-1], self.columns)).astype(lhs.dtype)

    def body(self, at: Indices, lhs: Element, panels: Element) -> Expr:
        *rows, n = at
        *batch, _, inner, width = panels.type.static_shape
        wide = computing_type(self.lhs.dtype)
        lhs, panels = rounded_elements(self.factors, lhs, panels)

        def element(k: Expr) -> Expr:
            packed = panels[(*rows[: len(batch)], n // width, k, n % width)]
            return cast(lhs[(*rows, k)], wide) * cast(packed, wide)

        return cast(reduce_over("sum", {"k": inner}, element), self.lhs.dtype)


@op
class PackFilters(Op):
    """Filters in panels of `width` output channels: `(out, in, *kernel) -> (out / width, *kernel,
    in, width)`, the order in which a channels-last kernel reads them.

    The last panel is filled up with zeros.
    """

    weight: Value
    width: int

    def infer(self) -> TensorType:
        check(self.weight.rank >= 3, f"filters have spatial axes, {self.weight.type} has none")
        check(self.width > 0, f"a panel of {self.width} channels")
        out, inner, *kernel = self.weight.shape
        shape = (ceil_div(out, self.width), *kernel, inner, self.width)
        return self.weight.type.with_shape(shape)

    def reference(self, weight: Array) -> Array:
        out, inner, *kernel = weight.shape
        columns = np.moveaxis(weight, (0, 1), (-1, -2)).reshape(-1, out)
        panels = _packed(columns, self.width)
        return panels.reshape(panels.shape[0], *kernel, inner, self.width)

    def body(self, at: Indices, weight: Element) -> Expr:
        panel, *taps, c, lane = at
        return guarded(weight, (panel * self.width + lane, c, *taps), 0)


@op
class PanelConv(Op):
    """Channels-last convolution by `channels` filters packed as by `PackFilters`.

    `(batch, *size, in) x (channels / width, *kernel, in, width) -> (batch, *size, channels)`,
    without groups, and without padding where none is given. The input may be in another `layout`:
    it is read element by element. `factors` of f32 may be rounded, as those of `Matmul`.
    """

    x: Value
    panels: Value
    channels: int
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    layout: str = "nhwc"  # of the input
    padding: Padding = ()
    factors: str = "f32"

    def infer(self) -> TensorType:
        x, panels = self.x.type, self.panels.type
        check_kind(self.x, "fiu")
        check_same_dtype(self.x, self.panels)
        check_factors(self.factors, self.x.dtype)
        check_layout(x, self.layout)
        ranks = f"packed filters of rank {panels.rank}, an input of rank {x.rank}"
        check(x.rank >= 3 and panels.rank == x.rank + 1, ranks)
        inner, width = panels.static_shape[-2:]
        found = channels_of(x.shape, self.layout)
        check(found == inner, f"{found} channels meet filters of {inner}")
        count = panels.static_shape[0]
        fits = ceil_div(self.channels, width) == count
        check(fits, f"{self.channels} channels in {count} panels of {width}")
        counts = [window.count for window in self.windows()]
        return x.with_shape((batch_of(x.shape, self.layout), *counts, self.channels))

    def windows(self) -> Windows:
        """The windows along each spatial axis."""
        kernel = self.panels.type.static_shape[1:-2]
        padding = self.padding or ((0, 0),) * len(kernel)
        size = spatial_of(self.x.shape, self.layout)
        return windows_of(size, kernel, self.strides, padding, self.dilations)

    def reference(self, x: Array, panels: Array) -> Array:
        seen, packed = rounded_arrays(self.factors, x, panels)
        weight = np.moveaxis(_unpacked(packed, self.channels), -1, 1)
        first = widened(channels_first(seen, self.layout))
        y = convolve(first, widened(weight), self.windows(), 1)
        return in_layout(y, "nhwc").astype(x.dtype)

    def body(self, at: Indices, x: Element, panels: Element) -> Expr:
        batch, *position, channel = at
        _, *kernel, inner, width = panels.type.static_shape
        windows, wide = self.windows(), computing_type(self.x.dtype)
        x, panels = rounded_elements(self.factors, x, panels)

        def element(*along: Expr) -> Expr:
            *taps, c = along
            source = sources(windows, tuple(position), tuple(taps))
            packed = panels[(channel // width, *taps, c, channel % width)]
            seen = read_window(x, batch, c, source, windows, self.layout, 0)
            return cast(seen, wide) * cast(packed, wide)

        axes = {f"k{axis}": extent for axis, extent in enumerate(kernel)} | {"c": inner}
        return cast(reduce_over("sum", axes, element), self.x.dtype)


def _packed(matrices: Array, width: int) -> Array:
    """`(.., k, n) -> (.., n / width, k, width)`, filled up with zeros; whole runs are copied."""
    *batch, k, n = matrices.shape
    full, rest = divmod(n, width)
    panels = aligned_empty((*batch, full + bool(rest), k, width), matrices.dtype)
    columns = matrices[..., : full * width].reshape(*batch, k, full, width)
    copy_by_pieces(np.moveaxis(columns, -2, -3), panels[..., :full, :, :])
    if rest:
        copy_by_pieces(matrices[..., full * width :], panels[..., full, :, :rest])
        panels[..., full, :, rest:] = 0
    return panels


def _unpacked(panels: Array, count: int) -> Array:
    """The first `count` rows of what `_packed` made panels of."""
    rows = np.moveaxis(panels, -1, 1)
    return rows.reshape(rows.shape[0] * rows.shape[1], *rows.shape[2:])[:count]


pack_columns = constructor(PackColumns)
panel_matmul = constructor(PanelMatmul)
pack_filters = constructor(PackFilters)
panel_conv = constructor(PanelConv)

OPS: tuple[type[Op], ...] = (PackColumns, PanelMatmul, PackFilters, PanelConv)
