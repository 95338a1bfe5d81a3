"""The cost model of products that sum many terms, in blocks of these."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

from ....target import Target
from .model import (
    PACKING_TILES,
    PAGE_BYTES,
    PIECES,
    RULE_OF_THUMB,
    cache_cycles,
    decide,
    idle,
    near_cycles,
    right_bytes,
)
from .register_tiles import (
    SET_PERIOD,
    ProductSizes,
    Tile,
    fits_registers,
    product_cycles,
    tile_cycles,
)

MOST_STEPS = 768  # of a block: its panel, the next one and rows of sums fit in the second cache
MANY_TILES = 16  # of rows use each part of a panel again, enough to make good for sums put back
LEAST_STEPS = 128  # in which a tile's sums are worth fetching and putting back
HIDDEN = 0.2  # of the products' time
SUMS_SHARE = 2  # of the last cache, for the sums of one thread
SUMS_OF = 4  # of the second cache, at most, for sums that each block adds to
PARTS_OF = 16  # of it, for those of a part: with more, two threads took half as long again at times
FEWEST_TERMS, MOST_TERMS = 12, 128  # of such a block
BLOCKS_AT_ONCE = 2  # the one in use, and the next one
FEWEST_PIECES = 4  # for threads
TALL = 128  # rows, of what is summed
COPIED = 0.05  # of the products' time, for copying that to the nearest cache together
WIDE = 1024  # columns of a piece whose rows are copied together
FEWEST_COPIED = 32  # rows of it
MOST_IDLE = 0.25  # of eight threads' time, in the last round of pieces
ADDED = 4  # terms take as long as adding a block's sums to those before
TURNED = 0.25  # cycles for an element of a tile that is turned in registers


@dataclass(frozen=True)
class SumBlocks:
    """Sums are cut in so many `pieces`, and these in blocks of so many `terms`. All are added to by
    each block; or those of a `part`, so many rows and columns of one window, by all blocks, before
    the next ones."""

    pieces: int
    terms: int
    part: tuple[int, int] | None = None
    copied: bool = False  # its parts of panels, which would leave the nearest cache

    def cycles(self, sizes: ProductSizes, tile: Tile) -> float:
        """Of one step of the inner dimension, with the additions after each block."""
        step = product_cycles(sizes.rows, sizes.columns, tile, sizes.latency)
        return step * self.waits

    @property
    def waits(self) -> float:
        """How many times as long it takes as the products alone."""
        return 1 + ADDED / self.terms + (COPIED if self.copied else 0)


def sum_blocks(
    sizes: ProductSizes, loops: Sequence[int], step: int, tile: Tile, target: Target, *, tall: bool
) -> SumBlocks | None:
    """How a product's sums, over `loops` of these extents, are cut where they are so long that a
    panel of the right operand, whose rows are `step` bytes apart, leaves the second cache before
    the next tile of rows meets it; or where other recipes have no tiles for them, as both operands
    are `tall`. The sums that blocks are added to stay in the second cache, beside a block's rows of
    both operands, and if possible its part of a panel in the nearest."""
    row = min(tile.columns, sizes.columns) * sizes.dtype.bytes
    long = sizes.rows > tile.rows and sizes.depth * row > target.l2_bytes
    if not (tall or long):
        return None
    apart = max(row, min(step & -step, SET_PERIOD))  # which decides the sets that rows may be in
    most = target.l1_bytes // apart
    width = sizes.dtype.bytes

    def room(rows: int, columns: int, terms: int) -> bool:
        sums = rows * columns * width
        block = terms * (rows + columns) * width * BLOCKS_AT_ONCE
        return sums * SUMS_OF <= target.l2_bytes and sums + block <= target.l2_bytes * 3 // 4

    cuts = [cut for cut in _cuts(loops) if FEWEST_TERMS <= cut[1] <= MOST_TERMS]
    whole = [
        SumBlocks(pieces, terms)
        for pieces, terms in cuts
        if terms <= most and pieces >= FEWEST_PIECES
        and room(sizes.rows * sizes.windows, sizes.columns, terms)
    ]
    fewest = PACKING_TILES * tile.rows if sizes.windows > 1 else sizes.rows
    parts = [
        SumBlocks(1, terms, (rows, columns), copied=terms > most)
        for _, terms in cuts
        for rows in _parts(sizes.rows, fewest, 1)
        for columns in _parts(sizes.columns, tile.columns, tile.columns)
        if room(rows, columns, terms) and _dealt(sizes, rows, columns) >= FEWEST_PIECES
    ]
    found = whole or parts

    def rank(cut: SumBlocks) -> tuple[float, ...]:
        """Among equals that with pieces for all threads, then that which reads least again."""
        if cut.part is None:
            return cut.waits, -cut.pieces
        rows, columns = cut.part
        uneven = idle(_dealt(sizes, rows, columns)) > MOST_IDLE
        large = rows * columns * width * PARTS_OF > target.l2_bytes
        read = sizes.rows // rows * sizes.columns + sizes.columns // columns * sizes.rows
        return cut.waits, uneven, large, read, -columns

    return min(found, key=rank, default=None)


def _parts(extent: int, least: int, multiple: int) -> list[int]:
    """The whole of an axis, and equal parts of it that have so many elements at least."""
    parts = range(min(extent, least), extent + 1)
    return [each for each in parts if extent % each == 0 and each % multiple == 0]


def _dealt(sizes: ProductSizes, rows: int, columns: int) -> int:
    """The pieces that threads are dealt."""
    return sizes.rows // rows * (sizes.columns // columns) * sizes.windows


def worth_joining_windows(
    sizes: ProductSizes, along: int, tile: Tile, target: Target
) -> bool:
    """Whether `along` windows side by side, each of which has a single tile, have one together: of
    few rows, it does not hide how long its products take."""
    rows = sizes.rows * along
    single = sizes.rows <= tile.rows and sizes.columns <= tile.columns
    if not (single and fits_registers(rows, tile.vectors, target)):
        return False
    cycles = {
        "together": tile_cycles(rows, tile.vectors, sizes.latency),
        "apart": tile_cycles(sizes.rows, tile.vectors, sizes.latency) * along,
    }
    return decide(sizes, "windows", cycles, target) == "together"


def worth_finishing_apart(sizes: ProductSizes, target: Target) -> bool:
    """Whether sums whose columns lie apart in the result are stored as they are first, and turned
    once all are there. In place each is stored on its own, in a line that has results of all
    windows and comes again for each; threads take it from one another."""
    count = sizes.rows * sizes.columns * sizes.windows
    size = count * sizes.dtype.bytes
    pass_over = (near_cycles if size <= target.l2_bytes else cache_cycles)(size, target)
    cycles = {
        "apart": 3 * pass_over + TURNED * count,
        "in place": 2 * sizes.windows * pass_over + count,
    }
    return decide(sizes, "results", cycles, target) == "apart"


def _cuts(loops: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Equal pieces of the outermost of these loops, and terms of equal blocks of a piece: those of
    the inner loops, or some of a single one's."""
    first, *inner = loops
    if inner:
        blocks = [(first, prod(inner[at:])) for at in range(len(inner))]
    else:
        blocks = [(first // terms, terms) for terms in range(1, first) if first % terms == 0]
    for count, terms in blocks:
        yield max(pieces for pieces in range(1, 2 * PIECES) if count % pieces == 0), terms


def scattered_block(sizes: ProductSizes, step: int, tile: Tile, target: Target) -> int:
    """How many terms of `WIDE` columns are copied together for a few tiles of rows, where the right
    operand comes from memory and its rows, `step` bytes apart, lie in a page each: panel by panel
    nothing would fetch them ahead. 0 where that is no use."""
    near = right_bytes(sizes) <= target.l3_bytes * 3 // 4
    many = sizes.rows >= PACKING_TILES * tile.rows
    if sizes.panel or near or many or step < PAGE_BYTES:
        return 0
    terms = range(FEWEST_COPIED, min(MOST_TERMS + 1, sizes.depth))
    return max((count for count in terms if sizes.depth % count == 0), default=0)


def depth_block(sizes: ProductSizes, tile: Tile, target: Target) -> int:
    """How many of the terms are summed for all rows before the next ones: all of them where their
    panel of the right operand and the next one stay in the second cache while the rows stream by,
    else an even part of which they do; and where these rows would come from the last cache again
    for each panel, for longer than the panel's products hide."""
    sums = sizes.rows * tile.columns * sizes.dtype.bytes
    panel = sizes.depth * tile.columns * sizes.dtype.bytes
    parts = [
        steps for steps in range(LEAST_STEPS, sizes.depth)
        if sizes.depth % steps == 0 and steps <= MOST_STEPS
    ]
    many = sizes.rows >= MANY_TILES * tile.rows and sums * SUMS_SHARE <= target.l3_bytes
    if not parts or not many:
        return sizes.depth
    fits = 2 * panel <= target.l2_bytes * 3 // 4  # the one in use and the next, beside the rows
    rows = sizes.rows * sizes.depth * sizes.dtype.bytes
    products = sizes.depth * product_cycles(sizes.rows, tile.columns, tile, sizes.latency)
    again = 2 * panel + rows > target.l2_bytes and cache_cycles(rows, target) > HIDDEN * products
    usual = sizes.depth if fits and not again else max(parts)
    cycles = {steps: RULE_OF_THUMB ** (steps != usual) for steps in (*parts, sizes.depth)}
    return decide(sizes, "terms of a block", cycles, target)

