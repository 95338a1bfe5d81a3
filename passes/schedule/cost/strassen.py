"""The cost model's choices for products of halves: whether seven of them take less time than the
whole product, and how many rows and panels go through them together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ....ops.algorithms.strassen import PRODUCTS
from ....target import Target
from ....types import f32
from .model import cache_cycles, decide, memory_cycles
from .register_tiles import MOST_VECTORS, ProductSizes, Tile, product_cycles, tiles_by_cycles
from .segments import ALONE, IN_BLOCKS, Segments

INPUT_CYCLES = 8  # of a vector of each quarter: its loads, sums and stores
OUTPUT_CYCLES = 10
LEFT_SPEED = 128  # bytes of the left factors a cycle, which each panel meets again
TILE_CYCLES = 80  # to begin and to end a register tile's sums, as measured
SEGMENT_CYCLES = 60  # and each of their segments
WORTH = 0.95  # of the whole product's cycles: what gains less is not worth its memory
FEWEST_ROWS = 48  # of a block: fewer do not hide how the panels arrive from memory
FEWEST_IN_LOOP = 16  # where the last turn has left them in a cache
FEWEST_TERMS = 192  # of a sum: in fewer the ends of register tiles weigh too much
FEWEST_PANELS = 4  # are dealt out evenly enough
BETWEEN = 4  # a part of the second cache that the products of a block may take


@dataclass(frozen=True)
class StrassenBlock:
    """How many rows and columns of each half go through the seven products together."""

    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.height}x{self.width}"


def strassen_block(
    whole: ProductSizes, target: Target, *, in_loop: bool = False
) -> StrassenBlock | None:
    """The block in which a product in f32 takes the least time by seven of its halves; None where
    it takes less as a whole."""
    blocks = cycles_by_block(whole, target, FEWEST_IN_LOOP if in_loop else FEWEST_ROWS)
    if not blocks:
        return None
    worth: dict[StrassenBlock | None, float] = {None: WORTH * whole_cycles(whole, target)}
    worth.update(blocks.items())
    return decide(whole, "halves", worth, target)


def cycles_by_block(
    whole: ProductSizes, target: Target, fewest: int = FEWEST_ROWS
) -> dict[StrassenBlock, float]:
    """The cycles of a product's halves in each block of so many rows that there may be."""
    has_halves = whole.rows % 2 == whole.depth % 2 == whole.columns % 2 == 0
    if target.gpu is not None or not has_halves or whole.depth // 2 < FEWEST_TERMS:
        return {}
    blocks = _blocks(whole.rows // 2, whole.depth // 2, whole.columns // 2, fewest, target)
    return {block: strassen_cycles(whole, block, target) for block in blocks}


def _blocks(
    rows: int, depth: int, columns: int, fewest: int, target: Target
) -> Iterator[StrassenBlock]:
    """Blocks of half a result, the largest first, whose products and factors the second cache has
    room for."""
    lanes, size = target.lanes(f32), f32.bytes
    for width in (vectors * lanes for vectors in range(MOST_VECTORS, 0, -1)):
        for count in range(1, rows // fewest + 1):
            height = rows // count
            products = PRODUCTS * height * width * size
            factors = (2 * width + height) * depth * size  # the next panel's, too
            fits = max(BETWEEN * products, factors) <= target.l2_bytes
            if rows % count == 0 and fits and -(-columns // width) >= FEWEST_PANELS:
                yield StrassenBlock(height, width)


def whole_cycles(sizes: ProductSizes, target: Target) -> float:
    """Cycles of a product as it stands."""
    tile, step = next(iter(tiles_by_cycles(sizes, target).items()))
    weights = memory_cycles(sizes.depth * sizes.columns * f32.bytes, target)
    tiles = _tiles(sizes.rows, sizes.columns, tile)
    ends = _ends(sizes.depth, ALONE)
    return max(step * sizes.depth + tiles * ends, weights)


def strassen_cycles(whole: ProductSizes, block: StrassenBlock, target: Target) -> float:
    """Cycles of the seven products in blocks, and of the sums before and after them."""
    lanes = target.lanes(f32)
    rows, depth, columns = whole.rows // 2, whole.depth // 2, whole.columns // 2
    panels = -(-columns // block.width)
    count = PRODUCTS * rows // block.height * panels
    sizes = ProductSizes(block.height, depth, block.width, f32, PRODUCTS)
    tile = next(iter(tiles_by_cycles(sizes, target)))
    step = product_cycles(block.height, block.width, tile)
    ends = _ends(depth, IN_BLOCKS)
    work = count * (depth * step + _tiles(block.height, block.width, tile) * ends)
    weights = memory_cycles(PRODUCTS * depth * columns * f32.bytes, target)
    points, result = PRODUCTS * rows * depth * f32.bytes, 4 * rows * columns * f32.bytes
    before = rows * -(-depth // lanes) * INPUT_CYCLES + 2 * _cycles_through(points, target)
    again = panels * points / LEFT_SPEED
    after = rows * panels * (block.width // lanes) * OUTPUT_CYCLES
    return max(work, weights) + before + again + after + _cycles_through(result, target)


def _tiles(rows: int, columns: int, tile: Tile) -> int:
    return -(-rows // tile.rows) * -(-columns // tile.columns)


def _ends(terms: int, cut: Segments) -> float:
    """Cycles of a register tile beside those of so many terms of its sums."""
    return TILE_CYCLES + SEGMENT_CYCLES * (-(-terms // cut.terms) if terms > cut.longest else 1)


def _cycles_through(count: int, target: Target) -> float:
    """Cycles for so many bytes to pass to the last cache or to memory; none in the second cache."""
    if count <= target.l2_bytes:
        return 0.0
    through = cache_cycles if count <= target.l3_bytes // 2 else memory_cycles
    return through(count, target)
