"""The three stages of a Winograd convolution, 3×3 and channels-last (Lavin and Gray, 2016).

    v = winograd_input(x)                    [points, tiles, in]
    m = matmul(v, winograd_filter(weight))   [points, tiles, out], a product for each point
    y = winograd_output(m)                   [batch, height, width, out]
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from ..errors import check
from ..expr import INDEX, Expr, Load, Var, all_of, cast, const, index, select
from ..ir import ConstantData, Op, Value, constructor, op
from ..tile.nodes import Block, Buffer, If, Kernel, Loop, Ref, Store
from ..types import Array, TensorType, ceil_div, static
from .body import computing_type
from .cast import cast as cast_value
from .constant import constant
from .matmul import matmul
from .promote import check_kind
from .reduce import widened
from .shape import reshape, transpose
from .windows import Padding, counts_of, windows_of
from .winograd_transform import (
    POINTS,
    TAPS,
    StraightLine,
    as_array,
    transform_of,
    transformed,
)


@op
class WinogradInput(Op):
    """The overlapping input tiles of a 3×3 convolution, transformed: `Bᵀ d B` of each.

    `(batch, height, width, in) -> (points, tiles, in)`, where a tile is `tile + 2` pixels wide and
    high, gives `tile` × `tile` outputs, and has `(tile + 2)**2` points.
    """

    x: Value
    tile: int
    padding: Padding

    def infer(self) -> TensorType:
        x = self.x.type
        check_kind(self.x, "f")
        _check_tile(self.tile)
        check(x.rank == 4, f"takes a batch of channels-last images, not {x}")
        tiles = self.tiles
        return x.with_shape((_points(self.tile), prod(tiles), x.shape[-1]))

    @property
    def tiles(self) -> tuple[int, int, int]:
        """The number of images, and of tiles along the height and the width of each."""
        batch, *size, _ = self.x.type.static_shape
        ones = (1, 1)
        height, width = counts_of(windows_of(size, (TAPS, TAPS), ones, self.padding, ones))
        return tiles_of((batch, height, width), self.tile)

    def reference(self, x: Array) -> Array:
        batch, rows, columns = self.tiles
        step, reach = self.tile, self.tile + TAPS - 1
        last = (rows * step + TAPS - 1, columns * step + TAPS - 1)
        pads = [
            (low, max(0, end - low - size))
            for (low, _), end, size in zip(self.padding, last, x.shape[1:3], strict=True)
        ]
        padded = np.pad(widened(x), ((0, 0), *pads, (0, 0)))
        view = np.lib.stride_tricks.sliding_window_view(padded, (reach, reach), (1, 2))
        view = view[:, : rows * step : step, : columns * step : step]
        matrix = as_array(transform_of(self.tile).input)
        v = np.einsum("ik,btuckl,jl->ijbtuc", matrix, view, matrix, optimize=True)
        shape = (reach * reach, batch * rows * columns, x.shape[-1])
        return np.asarray(v.reshape(shape)).astype(x.dtype)

    def kernel(self, name: str) -> Kernel:
        """A loop over tiles and channels around straight-line code."""
        x, out = self.x.type, self.infer()
        dtype, (_, height, width, channels) = self.x.dtype, x.static_shape
        (low_row, _), (low_column, _) = self.padding
        _, rows, columns = self.tiles
        at = _TileIndex.of(self.tiles, channels)
        code, wide = StraightLine(), computing_type(dtype)

        def pixel(i: int, j: int) -> Expr:
            row, inside_rows = within(at.row, rows, i - low_row, height)
            column, inside_columns = within(at.column, columns, j - low_column, width)
            element = Load(dtype, "x", (at.image, row, column, at.channel))
            inside = all_of(*inside_rows, *inside_columns)
            return select(inside, cast(element, wide), const(0, wide))

        def within(place: Expr, count: int, first: int, extent: int) -> tuple[Expr, list[Expr]]:
            """A pixel's position by its tile's, and the conditions on it that may fail."""
            position = place * self.tile + first
            low = [position >= 0] if first < 0 else []
            reaches = (count - 1) * self.tile + first >= extent
            return position, [*low, position < extent] if reaches else low

        for i, row in enumerate(transformed(transform_of(self.tile).input, pixel, code.bind)):
            for j, value in enumerate(row):
                place = (index(i * len(row) + j), at.tile, at.channel)
                code.lines.append(Store(Ref("out", place), cast(value, dtype)))
        params = (
            Buffer("x", dtype, x.static_shape),
            Buffer("out", dtype, out.static_shape),
        )
        return Kernel(name, params, ("out",), at.nest(tuple(code.lines)))


@op
class WinogradFilter(Op):
    """3×3 filters transformed: `G g Gᵀ` of each, `(out, in, 3, 3) -> (points, in, out)`.

    On constants this is done once, in f64.
    """

    weight: Value
    tile: int

    def infer(self) -> TensorType:
        check_kind(self.weight, "f")
        _check_tile(self.tile)
        weight = self.weight.type
        fits = weight.rank == 4 and tuple(weight.shape[2:]) == (TAPS, TAPS)
        check(fits, f"takes 3×3 filters, not {weight}")
        out, inner = weight.shape[:2]
        return weight.with_shape((_points(self.tile), inner, out))

    def reference(self, weight: Array) -> Array:
        matrix = as_array(transform_of(self.tile).filter)
        both = np.kron(matrix, matrix)  # G g Gᵀ as one product of all taps, all filters beside
        out, inner = weight.shape[:2]
        taps = np.ascontiguousarray(weight.reshape(out, inner, -1).T).reshape(both.shape[1], -1)
        points = np.empty((both.shape[0], inner * out), weight.dtype)
        for start in range(0, inner * out, _FILTERS_AT_ONCE):
            some = slice(start, start + _FILTERS_AT_ONCE)
            points[:, some] = both @ widened(taps[:, some])
        return points.reshape(-1, inner, out)

    def decompose(self, weight: Value) -> Value:
        wide = computing_type(weight.dtype)
        matrix = as_array(transform_of(self.tile).filter).astype(wide.numpy)
        left, right = constant(ConstantData.of(matrix)), constant(ConstantData.of(matrix.T))
        u = matmul(matmul(left, cast_value(weight, wide)), right)
        flat = reshape(u, (*weight.shape[:2], _points(self.tile)))
        return cast_value(transpose(flat, (2, 1, 0)), weight.dtype)


@op
class WinogradOutput(Op):
    """Transformed products made pixels: `Aᵀ m A` of each tile, what is beyond the edge left out.

    `(points, tiles, out) -> (batch, height, width, out)`, where `sizes` are the first three.
    """

    products: Value
    tile: int
    sizes: tuple[int, ...]

    def infer(self) -> TensorType:
        check_kind(self.products, "f")
        _check_tile(self.tile)
        products = self.products.type
        check(len(self.sizes) == 3, f"the sizes are batch, height and width, not {self.sizes}")
        check(products.rank == 3, f"takes products of points and tiles, not {products}")
        points, tiles, channels = products.static_shape
        expected = prod(tiles_of(self.sizes, self.tile))
        fits = (points, tiles) == (_points(self.tile), expected)
        check(fits, f"{points} points of {tiles} tiles do not make images of {self.sizes}")
        return products.with_shape((*self.sizes, channels))

    def reference(self, products: Array) -> Array:
        batch, height, width = self.sizes
        _, rows, columns = tiles_of(self.sizes, self.tile)
        channels, reach = products.shape[-1], self.tile + TAPS - 1
        m = widened(products).reshape(reach, reach, batch, rows, columns, channels)
        matrix = as_array(transform_of(self.tile).output)
        y = np.einsum("ik,klbtuc,jl->btiujc", matrix, m, matrix, optimize=True)
        y = y.reshape(batch, rows * self.tile, columns * self.tile, channels)
        return np.ascontiguousarray(y[:, :height, :width]).astype(products.dtype)

    def kernel(self, name: str) -> Kernel:
        """A loop over tiles and channels around straight-line code."""
        products, dtype = self.products.type, self.products.dtype
        _, height, width = self.sizes
        at = _TileIndex.of(tiles_of(self.sizes, self.tile), products.static_shape[-1])
        code, wide = StraightLine(), computing_type(dtype)
        reach = self.tile + TAPS - 1

        def product(i: int, j: int) -> Expr:
            place = (index(i * reach + j), at.tile, at.channel)
            return cast(Load(dtype, "products", place), wide)

        for i, row in enumerate(transformed(transform_of(self.tile).output, product, code.bind)):
            for j, value in enumerate(row):
                y, x = at.row * self.tile + i, at.column * self.tile + j
                store = Store(Ref("out", (at.image, y, x, at.channel)), cast(value, dtype))
                code.lines.append(If(all_of(y < height, x < width), (store,)))
        params = (
            Buffer("products", dtype, products.static_shape),
            Buffer("out", dtype, self.infer().static_shape),
        )
        return Kernel(name, params, ("out",), at.nest(tuple(code.lines)))


_FILTERS_AT_ONCE = 1 << 16  # in f64, so that only some of them are held twice as wide


def tiles_of(sizes: tuple[int, ...], tile: int) -> tuple[int, int, int]:
    """Images, and tiles along height and width, of outputs `(batch, height, width)`."""
    batch, height, width = sizes
    rows, columns = static((ceil_div(height, tile), ceil_div(width, tile)))
    return batch, rows, columns


def _points(tile: int) -> int:
    return (tile + TAPS - 1) ** 2


def _check_tile(tile: int) -> None:
    check(tile in POINTS, f"there are tiles of {' and '.join(map(str, POINTS))}, not of {tile}")


@dataclass(frozen=True)
class _TileIndex:
    """The loops over the tiles of all images and over channels."""

    extents: tuple[int, int, int, int]
    image: Expr
    row: Expr
    column: Expr
    channel: Expr

    @staticmethod
    def of(tiles: tuple[int, int, int], channels: int) -> _TileIndex:
        image, row, column, channel = (Var(INDEX, axis) for axis in _AXES)
        return _TileIndex((*tiles, channels), image, row, column, channel)

    @property
    def tile(self) -> Expr:
        """The number of the tile among those of all images."""
        _, rows, columns, _ = self.extents
        return (self.image * rows + self.row) * columns + self.column

    def nest(self, body: Block) -> Block:
        for axis, extent in reversed(tuple(zip(_AXES, self.extents, strict=True))):
            body = (Loop(axis, index(0), index(extent), body),)
        return body


_AXES = ("image", "row", "column", "c")


winograd_input = constructor(WinogradInput)
winograd_filter = constructor(WinogradFilter)
winograd_output = constructor(WinogradOutput)

OPS: tuple[type[Op], ...] = (WinogradInput, WinogradFilter, WinogradOutput)
