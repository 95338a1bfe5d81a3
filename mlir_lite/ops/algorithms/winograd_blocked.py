"""Winograd convolutions the stages of which are computed a block of tiles after the other, so that
what one stage leaves for the next stays in the caches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...errors import check
from ...expr import Expr, Load, cast, const, index
from ...ir import Op, Value, constructor, op
from ...sizes import ceil_div, static
from ...tile.nodes import Accumulate, Block, Buffer, Kernel, Loop, Ref, Space, Store
from ...tile.tree import loops_over, var
from ...types import Array, DType, TensorType
from ..base.body import computing_type
from ..base.promote import check_kind, check_same_dtype
from ..kernels.padded import padded
from ..reductions.reduce import widened
from ..windows.windows import Padding
from .winograd import transformed_input, transformed_output
from .winograd_kernel import input_code, output_code
from .winograd_tiles import TileAt, Tiles, check_tile, output_sizes, points_of

LINE = 64  # bytes of a cache line


@op
class WinogradConv(Op):
    """3×3 convolution of unit stride by F(tile, 3), `rows` by `columns` tiles at a time.

    `(batch, height, width, in) x (points, channels / width, in, width) ->
    (batch, height, width, channels)`, channels-last, by filters transformed (`WinogradFilter`) and
    packed in panels (`PackColumns`).
    """

    x: Value
    panels: Value
    channels: int
    tile: int
    padding: Padding
    rows: int
    columns: int

    def infer(self) -> TensorType:
        x, panels = self.x.type, self.panels.type
        check_kind(self.x, "f")
        check_same_dtype(self.x, self.panels)
        check_tile(self.tile)
        check(x.rank == 4, f"takes a batch of channels-last images, not {x}")
        check(panels.rank == 4, f"takes panels of points, not {panels}")
        points, count, inner, width = panels.static_shape
        check(points == points_of(self.tile), f"{points} points of tiles of {self.tile}")
        check(x.shape[-1] == inner, f"{x.shape[-1]} channels meet filters of {inner}")
        fits = ceil_div(self.channels, width) == count
        check(fits, f"{self.channels} channels in {count} panels of {width}")
        check(min(self.rows, self.columns) > 0, f"a block of {self.rows} by {self.columns} tiles")
        return x.with_shape((*output_sizes(x.static_shape, self.padding), self.channels))

    @property
    def tiles(self) -> Tiles:
        """The tiles of all images."""
        return Tiles(output_sizes(self.x.type.static_shape, self.padding), self.tile)

    def reference(self, x: Array, panels: Array) -> Array:
        count, _, inner, _ = panels.shape
        matrices = np.moveaxis(panels, 1, -2).reshape(count, inner, -1)[..., : self.channels]
        points = transformed_input(widened(x), self.tiles, self.padding)
        y = transformed_output([points @ widened(matrices)], self.tiles)
        return np.asarray(y).astype(x.dtype)

    def kernel(self, name: str) -> Kernel:
        """Three nests in a loop over the blocks; the last ones reach beyond the image."""
        x = Buffer("x", self.x.dtype, self.x.type.static_shape)
        panels = Buffer("panels", self.panels.dtype, self.panels.type.static_shape)
        out = Buffer("out", self.x.dtype, static(self.infer().shape))
        block = _Block(self.rows, self.columns, computing_type(x.dtype))
        count = points_of(self.tile)
        points = block.buffer("points", count, x.shape[-1])
        products = block.buffer("products", count, self.channels)
        total = Buffer("total", block.dtype, (), Space.REGISTER)
        images, rows, columns = self.tiles.counts
        blocks = static((ceil_div(rows, self.rows), ceil_div(columns, self.columns)))
        around = {"image": images, "block": blocks[0], "strip": blocks[1]}
        body = (
            *self._points(x, points, block, blocks),
            *_products(points, panels, products, total),
            *self._pixels(products, out, block, blocks),
        )
        locals_ = (points, products, total)
        loops = loops_over(around.items(), body)
        return Kernel(name, (x, panels, out), ("out",), loops, locals_)

    def _points(self, x: Buffer, points: Buffer, block: _Block, blocks: tuple[int, ...]) -> Block:
        """`for row: for column: for c: points[.., tile, c] = Bᵀ d B`."""
        at, number, extents = block.tile("", blocks, x.shape[-1])

        targets = {
            place: Ref(points.name, (index(place), number, at.channel))
            for place in range(points.shape[0])
        }
        code = input_code(x, self.tiles, self.padding, at, targets, points)
        return loops_over(extents.items(), code)

    def _pixels(
        self, products: Buffer, out: Buffer, block: _Block, blocks: tuple[int, ...]
    ) -> Block:
        """`for row: for column: for c: out[..] = Aᵀ m A`."""
        at, number, extents = block.tile("_out", blocks, self.channels)

        loads = {
            place: Load(products.dtype, products.name, (index(place), number, at.channel))
            for place in range(products.shape[0])
        }
        return loops_over(extents.items(), output_code(loads, self.tiles, at, out))


@dataclass(frozen=True)
class _Block:
    """A block of tiles, and what is kept of it between stages, in the type it is computed in."""

    rows: int
    columns: int
    dtype: DType

    @property
    def tiles(self) -> int:
        return self.rows * self.columns

    def buffer(self, name: str, points: int, channels: int) -> Buffer:
        """`(points, tiles, channels)`, in memory an odd number of tiles that are one cache line
        longer, so that a tile's points are not all in the same few sets of the nearest cache."""
        memory = (points, self.tiles | 1, channels + LINE // self.dtype.bytes)
        return padded(name, self.dtype, "ptc", (points, self.tiles, channels), memory)

    def tile(
        self, suffix: str, blocks: tuple[int, ...], channels: int
    ) -> tuple[TileAt, Expr, dict[str, int]]:
        """Any tile of the block, its number in it, and the loops over its tiles and channels."""
        row, column, c = (var(f"{name}{suffix}") for name in ("row", "column", "c"))
        at = TileAt(
            var("image"),
            var("block") * self.rows + row,
            var("strip") * self.columns + column,
            c,
            blocks[0] * self.rows,
            blocks[1] * self.columns,
        )
        extents = {row.name: self.rows, column.name: self.columns, c.name: channels}
        return at, row * self.columns + column, extents


def _products(points: Buffer, panels: Buffer, products: Buffer, total: Buffer) -> Block:
    """`for p, t, n: products[p, t, n] = sum over k of points[p, t, k] * panels[p, k, n]`."""
    _, _, inner, width = panels.shape
    p, t, n, k = (var(name) for name in ("p", "t", "n", "k"))
    packed = Load(panels.dtype, panels.name, (p, n // width, k, n % width))
    term = Load(points.dtype, points.name, (p, t, k)) * cast(packed, points.dtype)
    update = Accumulate("sum", (Ref(total.name, ()),), (term,))
    body: Block = (
        Store(Ref(total.name, ()), const(0, total.dtype)),
        Loop(k.name, index(0), index(inner), (update,)),
        Store(Ref(products.name, (p, t, n)), Load(total.dtype, total.name, ())),
    )
    return loops_over(zip("ptn", products.shape, strict=True), body)


winograd_conv = constructor(WinogradConv)

OPS: tuple[type[Op], ...] = (WinogradConv,)
