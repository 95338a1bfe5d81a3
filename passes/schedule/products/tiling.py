"""A product and the register tile that it is computed in: what its schedule is made of, whichever
of its loops goes outermost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

from ....expr import Expr, Load
from ....target import Target
from ....tile.nodes import Kernel, Kind
from ....tile.steps.loops import Tail, distribute, mark, partition, reorder, split
from ....tile.steps.sink import sink
from ....tile.tree import extent_of
from ..analysis import Nest, Product, operations_after, stride
from ..cost.model import choose_tile
from ..cost.register_tiles import FEW_STEPS, ProductSizes, Tile, product_cycles


@dataclass(frozen=True)
class Surroundings:
    """What is known of a product that is a part of a `whole` problem, and tiled as suits that: what
    is read `later`, when it is done (see `prefetch_epilogue`), and where the panel `after` this one
    is, if not behind it (see `prefetch_next`)."""

    whole: ProductSizes | None = None
    later: Mapping[str, Sequence[Load]] = field(default_factory=dict)
    after: Mapping[str, Expr] = field(default_factory=dict)


@dataclass(frozen=True)
class Tiling:
    """A product of a nest, its problem as the cost model sees it, and the tile chosen for it."""

    nest: Nest
    product: Product
    sizes: ProductSizes
    tile: Tile
    target: Target

    @property
    def m(self) -> str:
        """The axis of the rows; none has an empty name, which no step finds a loop for."""
        return self.product.m or ""

    @property
    def n(self) -> str:
        return self.product.n

    @property
    def k(self) -> str:
        """The outermost axis of the reduction."""
        return self.product.reduction[0]

    @property
    def outer(self) -> list[str]:
        """The axes around rows and columns."""
        return [axis for axis in self.nest.axes if axis not in (self.m, self.n)]

    @property
    def batch(self) -> list[str]:
        """Those of them that have right operands of their own."""
        return [axis for axis in self.outer if axis in self.product.right_axes]

    @property
    def windows(self) -> list[str]:
        """Those of them that meet the same right operand, as the windows of a convolution do."""
        return [axis for axis in self.outer if axis not in self.product.right_axes]

    @property
    def cycles(self) -> float:
        """Of the whole nest."""
        step = product_cycles(self.sizes.rows, self.sizes.columns, self.tile, self.sizes.latency)
        return step * self.sizes.depth * prod(map(self.nest.extent, self.outer))


def tiling_of(
    kernel: Kernel,
    nest: Nest,
    product: Product,
    target: Target,
    whole: ProductSizes | None = None,
) -> Tiling:
    """The product in the tile that suits it, or the `whole` problem that it is a part of."""
    sizes = whole or product_sizes(kernel, nest, product)
    return Tiling(nest, product, sizes, choose_tile(sizes, target), target)


def product_sizes(kernel: Kernel, nest: Nest, product: Product) -> ProductSizes:
    """The problem that a nest is, as the cost model sees it."""
    outer = [axis for axis in nest.axes if axis not in (product.m, product.n)]
    windows = [axis for axis in outer if axis not in product.right_axes]
    steps = [loop for loop in nest.reductions[0] if loop.axis in product.reduction]
    depth = prod(map(extent_of, steps))
    return ProductSizes(
        rows=nest.extent(product.m) if product.m else 1,
        depth=depth,
        columns=nest.extent(product.n),
        dtype=product.total,
        count=prod(nest.extent(axis) for axis in outer if axis not in windows),
        windows=prod(map(nest.extent, windows)),
        panel=product.panel,
        narrow=product.right.dtype if product.dots else None,
        finish=operations_after(nest) if depth <= FEW_STEPS else 0,
    )


def row_step(kernel: Kernel, product: Product) -> int:
    """Elements from one row of the right operand to the next."""
    buffer, inner = kernel.buffers[product.right.buffer], product.reduction[-1]
    return stride(buffer, product.right.indices, inner) or 0


def cut_rows(kernel: Kernel, m: str, rows: int, tile: Tile) -> Kernel:
    """Cut the rows into register tiles (the last one shorter)."""
    kernel = partition(kernel, m, [rows // tile.rows * tile.rows])
    return split(kernel, m, tile.rows, tail=Tail.CUT)


def cut_columns(
    kernel: Kernel, n: str, columns: int, tile: Tile, inside: tuple[str, ...] = ()
) -> Kernel:
    """Cut the columns into panels (the last one narrower), each with loops `inside` of its own."""
    rest = columns % tile.columns
    if rest and columns > rest:
        kernel = partition(kernel, n, [columns - rest])
        for axis in inside:
            kernel = distribute(kernel, axis, (n,))
    return split(kernel, n, tile.columns, tail=Tail.CUT)


def in_registers(
    kernel: Kernel,
    m: str,
    n: str,
    tile: Tile,
    around: tuple[str, ...] = (),
    windows: Sequence[str] = (),
) -> Kernel:
    """Unroll and vectorise a register tile, inside of the loops `around`, and sum inside of it; the
    tiles of some `windows` are one."""
    register_tile = (*windows, f"{m}.i", f"{n}.i.o", f"{n}.i.i")
    kernel = split(kernel, f"{n}.i", tile.lanes, tail=Tail.MASK)
    kernel = reorder(kernel, [*around, *register_tile])
    for axis in register_tile[:-1]:
        kernel = mark(kernel, axis, Kind.UNROLL)
    kernel = mark(kernel, f"{n}.i.i", Kind.VECTOR)
    return sink(kernel, register_tile)
