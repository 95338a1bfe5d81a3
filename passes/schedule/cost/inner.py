"""The cost model of products both operands of which lie along what is summed: sums are vectors."""

from __future__ import annotations

from ....target import Target
from .memory import STREAMED_ROWS
from .model import decide
from .register_tiles import ProductSizes, Tile, fits_registers, product_cycles

FEW = 12  # rows or columns; with more of them turning an operand pays, as measured
LEAST_DEPTH = 64  # below which adding up the lanes of a sum takes as long as the sum


def is_few(rows: int, depth: int, columns: int) -> bool:
    """Whether such a product is best computed as its operands lie, neither of them turned: the
    larger one is read from one end to the other, once. Of a single row or column it is a vector
    that has no order."""
    return 1 < min(rows, columns) <= FEW and depth >= LEAST_DEPTH


def inner_tile(sizes: ProductSizes, target: Target) -> Tile:
    """The register tile of a product whose sums are vectors: each of its columns is one of these.
    Among those that take as long, but for edges, one that has all of the few rows, or columns, so
    that the others are read once; else the one that reads least for a product."""
    m, n = sizes.rows, sizes.columns
    most = STREAMED_ROWS if is_few(m, sizes.depth, n) else target.vector_registers
    side = range(1, most + 1)
    candidates = {
        Tile(rows, columns, 1): product_cycles(m, n, Tile(rows, columns, 1))
        for rows in side
        for columns in side
        if rows <= m and columns <= n and fits_registers(rows, columns, target)
    }

    def rank(tile: Tile) -> tuple[float, ...]:
        few, part = (m, tile.rows) if m <= n else (n, tile.columns)
        passes = -(-few // part) if few <= FEW else 1
        return passes, 1 / tile.rows + 1 / tile.columns

    best = min(candidates.values())
    cycles = {tile: round(candidates[tile] / best, 2) for tile in sorted(candidates, key=rank)}
    return decide(sizes, "tile of inner products", cycles, target)
