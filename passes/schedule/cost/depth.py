"""The cost model of products that sum many terms, in blocks of these."""

from __future__ import annotations

from ....target import Target
from .model import RULE_OF_THUMB, cache_cycles, decide
from .register_tiles import ProductSizes, Tile, product_cycles

MOST_STEPS = 768  # of a block: its panel, the next one and rows of sums fit in the second cache
MANY_TILES = 16  # of rows use each part of a panel again, enough to make good for sums put back
LEAST_STEPS = 128  # in which a tile's sums are worth fetching and putting back
HIDDEN = 0.2  # of the products' time
SUMS_SHARE = 2  # of the last cache, for the sums of one thread


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

