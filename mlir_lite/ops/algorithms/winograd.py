"""The three stages of a Winograd convolution, 3×3 and channels-last (Lavin and Gray, 2016).

    v = winograd_input(x)                    [points, tiles, in]
    m = matmul(v, winograd_filter(weight))   [points, tiles, out], a product for each point
    y = winograd_output(m)                   [batch, height, width, out]
"""

from __future__ import annotations

from math import prod

import numpy as np

from ...errors import check
from ...expr import Expr, Load, index
from ...ir import ConstantData, Op, Value, constructor, op
from ...sizes import ceil_div, static
from ...tile.nodes import Buffer, Kernel, Ref
from ...tile.tree import loops_over, var
from ...types import Array, TensorType
from ..base.body import computing_type
from ..base.cast import cast as cast_value
from ..base.constant import constant
from ..base.promote import check_kind
from ..products.matmul import matmul
from ..reductions.reduce import widened
from ..shapes.shape import reshape, transpose
from ..windows.windows import Padding, counts_of, windows_of
from .winograd_kernel import TileAt, input_code, output_code
from .winograd_transform import POINTS, TAPS, as_array, transform_of


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
        check_tile(self.tile)
        check(x.rank == 4, f"takes a batch of channels-last images, not {x}")
        tiles = self.tiles
        return x.with_shape((points_of(self.tile), prod(tiles), x.shape[-1]))

    @property
    def tiles(self) -> tuple[int, int, int]:
        """The number of images, and of tiles along the height and the width of each."""
        return tiles_of(output_sizes(self.x.type.static_shape, self.padding), self.tile)

    def reference(self, x: Array) -> Array:
        return transformed_input(widened(x), self.tile, self.padding).astype(x.dtype)

    def kernel(self, name: str) -> Kernel:
        """A loop over tiles and channels around straight-line code."""
        x = Buffer("x", self.x.dtype, self.x.type.static_shape)
        out = Buffer("out", self.x.dtype, self.infer().static_shape)
        at, number, extents = _all_tiles(self.tiles, x.shape[-1])

        def point(place: int) -> Ref:
            return Ref("out", (index(place), number, at.channel))

        code = input_code(x, self.tile, self.padding, at, point, out)
        return Kernel(name, (x, out), ("out",), loops_over(extents.items(), code))


@op
class WinogradFilter(Op):
    """3×3 filters transformed: `G g Gᵀ` of each, `(out, in, 3, 3) -> (points, in, out)`.

    On constants this is done once, in f64.
    """

    weight: Value
    tile: int

    def infer(self) -> TensorType:
        check_kind(self.weight, "f")
        check_tile(self.tile)
        weight = self.weight.type
        fits = weight.rank == 4 and tuple(weight.shape[2:]) == (TAPS, TAPS)
        check(fits, f"takes 3×3 filters, not {weight}")
        out, inner = weight.shape[:2]
        return weight.with_shape((points_of(self.tile), inner, out))

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
        flat = reshape(u, (*weight.shape[:2], points_of(self.tile)))
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
        check_tile(self.tile)
        products = self.products.type
        check(len(self.sizes) == 3, f"the sizes are batch, height and width, not {self.sizes}")
        check(products.rank == 3, f"takes products of points and tiles, not {products}")
        points, tiles, channels = products.static_shape
        expected = prod(tiles_of(self.sizes, self.tile))
        fits = (points, tiles) == (points_of(self.tile), expected)
        check(fits, f"{points} points of {tiles} tiles do not make images of {self.sizes}")
        return products.with_shape((*self.sizes, channels))

    def reference(self, products: Array) -> Array:
        return transformed_output(widened(products), self.tile, self.sizes).astype(products.dtype)

    def kernel(self, name: str) -> Kernel:
        """A loop over tiles and channels around straight-line code."""
        dtype = self.products.dtype
        products = Buffer("products", dtype, self.products.type.static_shape)
        out = Buffer("out", dtype, self.infer().static_shape)
        at, number, extents = _all_tiles(tiles_of(self.sizes, self.tile), out.shape[-1])

        def product(place: int) -> Load:
            return Load(dtype, "products", (index(place), number, at.channel))

        code = output_code(product, self.tile, at, out)
        return Kernel(name, (products, out), ("out",), loops_over(extents.items(), code))


def output_sizes(shape: tuple[int, ...], padding: Padding) -> tuple[int, int, int]:
    """The images, height and width of a 3×3 convolution of unit stride, channels-last."""
    batch, *size, _ = shape
    ones = (1, 1)
    height, width = counts_of(windows_of(size, (TAPS, TAPS), ones, padding, ones))
    return batch, height, width


def transformed_input(x: Array, tile: int, padding: Padding) -> Array:
    """`Bᵀ d B` of the tiles of channels-last images: `(points, tiles, in)`."""
    batch, rows, columns = tiles_of(output_sizes(x.shape, padding), tile)
    reach = tile + TAPS - 1
    last = (rows * tile + TAPS - 1, columns * tile + TAPS - 1)
    pads = [
        (low, max(0, end - low - size))
        for (low, _), end, size in zip(padding, last, x.shape[1:3], strict=True)
    ]
    padded = np.pad(x, ((0, 0), *pads, (0, 0)))
    view = np.lib.stride_tricks.sliding_window_view(padded, (reach, reach), (1, 2))
    view = view[:, : rows * tile : tile, : columns * tile : tile]
    matrix = as_array(transform_of(tile).input)
    v = np.einsum("ik,btuckl,jl->ijbtuc", matrix, view, matrix, optimize=True)
    return np.asarray(v.reshape(reach * reach, batch * rows * columns, x.shape[-1]))


def transformed_output(products: Array, tile: int, sizes: tuple[int, ...]) -> Array:
    """`Aᵀ m A` of tiles, made images of `sizes`: `(batch, height, width, out)`."""
    batch, height, width = sizes
    _, rows, columns = tiles_of(sizes, tile)
    channels, reach = products.shape[-1], tile + TAPS - 1
    m = products.reshape(reach, reach, batch, rows, columns, channels)
    matrix = as_array(transform_of(tile).output)
    y = np.einsum("ik,klbtuc,jl->btiujc", matrix, m, matrix, optimize=True)
    y = y.reshape(batch, rows * tile, columns * tile, channels)
    return np.ascontiguousarray(y[:, :height, :width])


# In f64, so that only some of them are held twice as wide; and in products so small (of less than
# 2**18 multiplications) that OpenBLAS wakes no threads: where the processors are taken, waiting for
# those takes a hundred times as long as the products.
_FILTERS_AT_ONCE = 1 << 9


def tiles_of(sizes: tuple[int, ...], tile: int) -> tuple[int, int, int]:
    """Images, and tiles along height and width, of outputs `(batch, height, width)`."""
    batch, height, width = sizes
    rows, columns = static((ceil_div(height, tile), ceil_div(width, tile)))
    return batch, rows, columns


def points_of(tile: int) -> int:
    """How many points, and so products, a square tile of so many outputs a side has."""
    return (tile + TAPS - 1) ** 2


def check_tile(tile: int) -> None:
    """`TypeRuleError` for tiles of which there are no matrices."""
    check(tile in POINTS, f"there are tiles of {' and '.join(map(str, POINTS))}, not of {tile}")


def _all_tiles(
    tiles: tuple[int, int, int], channels: int
) -> tuple[TileAt, Expr, dict[str, int]]:
    """Any tile of all images, its number among them, and the loops over tiles and channels."""
    images, rows, columns = tiles
    at = TileAt(var("image"), var("row"), var("column"), var("c"), rows, columns)
    extents = {"image": images, "row": rows, "column": columns, "c": channels}
    return at, (at.image * rows + at.row) * columns + at.column, extents


winograd_input = constructor(WinogradInput)
winograd_filter = constructor(WinogradFilter)
winograd_output = constructor(WinogradOutput)

OPS: tuple[type[Op], ...] = (WinogradInput, WinogradFilter, WinogradOutput)
