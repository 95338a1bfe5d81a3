"""The three stages of a Winograd convolution, 3×3 and channels-last (Lavin and Gray, 2016).

    v = winograd_input(x)                    [points, tiles, in]
    m = matmul(v, winograd_filter(weight))   [points, tiles, out], a product for each point
    y = winograd_output(m)                   [batch, height, width, out]

Where the last row or column of tiles reaches beyond the image, it may be cut (`Tiles`): then it has
fewer points, and there is a product for the points of each part of the tiles.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...errors import check
from ...expr import Load, index
from ...ir import ConstantData, Op, Value, constructor, op
from ...tile.nodes import Buffer, Kernel, Ref
from ...tile.tree import loops_over, var
from ...types import Array, TensorType
from ..base.body import computing_type
from ..base.cast import cast as cast_value
from ..base.constant import constant
from ..base.promote import check_kind, check_same_dtype
from ..products.matmul import matmul
from ..reductions.reduce import widened
from ..shapes.join import concat
from ..shapes.shape import reshape, transpose
from ..shapes.slice import slice_axis
from ..windows.windows import Padding
from .winograd_kernel import input_code, output_code
from .winograd_tiles import TileAt, Tiles, check_tile, output_sizes, points_of
from .winograd_transform import TAPS, as_array, continuation, transform_of


@op
class WinogradInput(Op):
    """The overlapping input tiles of a 3×3 convolution, transformed: `Bᵀ d B` of each.

    `(batch, height, width, in) -> (points, tiles, in)`, where a tile is `tile + 2` pixels wide and
    high, gives `tile` × `tile` outputs, and has `(tile + 2)**2` points. If the last ones are `cut`,
    points and tiles are in the order of `Tiles`; what is of no tile's points is about 0.
    """

    x: Value
    tile: int
    padding: Padding
    cut: bool = False

    def infer(self) -> TensorType:
        x = self.x.type
        check_kind(self.x, "f")
        check_tile(self.tile)
        check(x.rank == 4, f"takes a batch of channels-last images, not {x}")
        return x.with_shape((len(self.tiles.order), self.tiles.count, x.shape[-1]))

    @property
    def tiles(self) -> Tiles:
        """The tiles of all images."""
        sizes = output_sizes(self.x.type.static_shape, self.padding)
        return Tiles(sizes, self.tile, self.cut)

    def reference(self, x: Array) -> Array:
        return transformed_input(widened(x), self.tiles, self.padding).astype(x.dtype)

    def kernel(self, name: str) -> Kernel:
        """A loop over tiles and channels around straight-line code."""
        x = Buffer("x", self.x.dtype, self.x.type.static_shape)
        out = Buffer("out", self.x.dtype, self.infer().static_shape)
        tiles = self.tiles
        at, extents = _all_tiles(tiles, x.shape[-1])
        order, number = enumerate(tiles.order), tiles.number(at)
        targets = {point: Ref("out", (index(p), number, at.channel)) for p, point in order}
        code = input_code(x, tiles, self.padding, at, targets, out)
        return Kernel(name, (x, out), ("out",), loops_over(extents.items(), code))


@op
class WinogradFilter(Op):
    """3×3 filters transformed: `G g Gᵀ` of each, `(out, in, 3, 3) -> (points, in, out)`, of some
    points in an order, if these are given.

    On constants this is done once, in f64.
    """

    weight: Value
    tile: int
    points: tuple[int, ...] = ()

    def infer(self) -> TensorType:
        check_kind(self.weight, "f")
        check_tile(self.tile)
        weight = self.weight.type
        fits = weight.rank == 4 and tuple(weight.shape[2:]) == (TAPS, TAPS)
        check(fits, f"takes 3×3 filters, not {weight}")
        count = points_of(self.tile)
        known = all(0 <= point < count for point in self.points)
        check(known, f"points of tiles of {self.tile} are 0 to {count - 1}, not {self.points}")
        out, inner = weight.shape[:2]
        return weight.with_shape((len(self.points) or count, inner, out))

    def reference(self, weight: Array) -> Array:
        matrix = as_array(transform_of(self.tile).filter)
        both = np.kron(matrix, matrix)  # G g Gᵀ as one product of all taps, all filters beside
        both = both[list(self.points)] if self.points else both
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
        flat = transpose(reshape(u, (*weight.shape[:2], points_of(self.tile))), (2, 1, 0))
        chosen = [slice_axis(flat, 0, point, 1) for point in self.points]
        return cast_value(concat(chosen, 0) if chosen else flat, weight.dtype)


@op
class WinogradOutput(Op):
    """Transformed products made pixels: `Aᵀ m A` of each tile, what is beyond the edge left out.

    `(points, tiles, out) -> (batch, height, width, out)`, where `sizes` are the first three. If the
    last tiles are `cut`, the products are those of each part of `Tiles`.
    """

    products: tuple[Value, ...]
    tile: int
    sizes: tuple[int, ...]
    cut: bool = False

    def infer(self) -> TensorType:
        check_tile(self.tile)
        check(len(self.sizes) == 3, f"the sizes are batch, height and width, not {self.sizes}")
        wanted = [(len(part.points), part.count) for part in self.tiles.parts]
        found = [tuple(product.shape[:-1]) for product in self.products]
        check(self.products and found == wanted, f"takes points and tiles {wanted}, not {found}")
        check_same_dtype(*self.products)
        first, *others = self.products
        check_kind(first, "f")
        alike = all(product.shape[-1] == first.shape[-1] for product in others)
        check(alike, "takes products of as many channels each")
        return first.type.with_shape((*self.sizes, first.shape[-1]))

    @property
    def tiles(self) -> Tiles:
        """The tiles of all images."""
        batch, height, width = self.sizes
        return Tiles((batch, height, width), self.tile, self.cut)

    def reference(self, products: tuple[Array, ...]) -> Array:
        wide = [widened(product) for product in products]
        return transformed_output(wide, self.tiles).astype(products[0].dtype)

    def kernel(self, name: str) -> Kernel:
        """A loop over tiles and channels around straight-line code."""
        types, tiles = [product.type for product in self.products], self.tiles
        products = [
            Buffer(f"products{n}", type_.dtype, type_.static_shape) for n, type_ in enumerate(types)
        ]
        out = Buffer("out", types[0].dtype, self.infer().static_shape)
        at, extents = _all_tiles(tiles, out.shape[-1])
        number = tiles.number(at)
        loads = {
            point: Load(out.dtype, buffer.name, (index(p), number - part.start, at.channel))
            for buffer, part in zip(products, tiles.parts, strict=True)
            for p, point in enumerate(part.points)
        }
        code = output_code(loads, tiles, at, out)
        return Kernel(name, (*products, out), ("out",), loops_over(extents.items(), code))


def transformed_input(x: Array, tiles: Tiles, padding: Padding) -> Array:
    """`Bᵀ d B` of the tiles of channels-last images: `(points, tiles, in)`."""
    _, *counts = tiles.counts
    tile, reach = tiles.tile, tiles.tile + TAPS - 1
    pads = [
        (low, max(0, (count - 1) * tile + reach - low - size))
        for (low, _), count, size in zip(padding, counts, x.shape[1:3], strict=True)
    ]
    padded = np.pad(x, ((0, 0), *pads, (0, 0)))
    view = np.lib.stride_tricks.sliding_window_view(padded, (reach, reach), (1, 2))
    view = view[:, : counts[0] * tile : tile, : counts[1] * tile : tile]
    pixels = np.moveaxis(view, (4, 5, 3), (0, 1, 5)).copy()
    for axis, outputs in enumerate(tiles.outputs):
        factors = [float(factor) for factor in continuation(tile, outputs)]
        last = (pixels[:, :, :, -1:], pixels.swapaxes(0, 1)[:, :, :, :, -1:])[axis]
        for place in range(outputs + TAPS - 1, reach - 1):
            before = last[place - len(factors) : place]
            last[place] = np.tensordot(factors, before, 1)
    matrix = as_array(transform_of(tile).input)
    v = np.einsum("ik,klbtuc,jl->ijbtuc", matrix, pixels, matrix, optimize=True)
    points = v.reshape(reach * reach, *v.shape[2:])[list(tiles.order)]
    regions = [points[:, :, rows, columns] for rows, columns in tiles.regions]
    flat = [region.reshape(len(points), -1, x.shape[-1]) for region in regions]
    return np.concatenate(flat, 1)


def transformed_output(products: Sequence[Array], tiles: Tiles) -> Array:
    """`Aᵀ m A` of tiles, made images: `(batch, height, width, out)`."""
    batch, rows, columns = tiles.counts
    channels, reach = products[0].shape[-1], tiles.tile + TAPS - 1
    numbered = np.zeros((reach * reach, tiles.count, channels), products[0].dtype)
    for part, product in zip(tiles.parts, products, strict=True):
        numbered[list(part.points), part.start : part.start + part.count] = product
    m = np.zeros((reach * reach, batch, rows, columns, channels), numbered.dtype)
    start = 0
    for place in tiles.regions:
        region = m[:, :, *place]
        stop = start + region[0, ..., 0].size
        m[:, :, *place] = numbered[:, start:stop].reshape(region.shape)
        start = stop
    matrix = as_array(transform_of(tiles.tile).output)
    m = m.reshape(reach, reach, *m.shape[1:])
    y = np.einsum("ik,klbtuc,jl->btiujc", matrix, m, matrix, optimize=True)
    y = y.reshape(batch, rows * tiles.tile, columns * tiles.tile, channels)
    _, height, width = tiles.sizes
    return np.ascontiguousarray(y[:, :height, :width])


# In f64, so that only some of them are held twice as wide; and in products so small (of less than
# 2**18 multiplications) that OpenBLAS wakes no threads: where the processors are taken, waiting for
# those takes a hundred times as long as the products.
_FILTERS_AT_ONCE = 1 << 9


def _all_tiles(tiles: Tiles, channels: int) -> tuple[TileAt, dict[str, int]]:
    """Any tile of all images, and the loops over tiles and channels."""
    images, rows, columns = tiles.counts
    at = TileAt(var("image"), var("row"), var("column"), var("c"), rows, columns)
    return at, {"image": images, "row": rows, "column": columns, "c": channels}


winograd_input = constructor(WinogradInput)
winograd_filter = constructor(WinogradFilter)
winograd_output = constructor(WinogradOutput)

OPS: tuple[type[Op], ...] = (WinogradInput, WinogradFilter, WinogradOutput)
