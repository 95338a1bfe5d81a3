"""The cost model of register tiles: the cycles of a matrix product by the tile it is computed in.

Times are in cycles of one core. The machine model is a superscalar core with two vector FMAs and
two vector loads a cycle, an FMA latency of four cycles, six where an instruction sums products of
halves, and a file of vector registers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ....target import Target
from ....types import DType

FMAS_PER_CYCLE = 2
LOADS_PER_CYCLE = 2
FMA_LATENCY = 4
DOT_LATENCY = 6  # of a few products of floats at once, as measured; those of integers take four
MOST_VECTORS = 4  # of a register tile's columns: two rows of tiles fill 32 registers
FEW_ROWS = 32  # do not hide how a panel arrives
VECTOR_WAIT = 0.25  # cycles for a vector from the second cache, of the tiles of a few rows
ROW_WAIT = 0.25  # cycles for an element of a row that has left the nearest cache
FAR_SECONDS = 4.4e-6  # for which products need not wait at their start
FEW_STEPS = 48  # of a sum do not hide what follows it
FINISH_ROOM = 48  # operations and stores that the queue takes beside products, as measured
FINISH_WAIT = 0.6  # cycles for each of the others
TILE_WAIT = 40  # cycles around each tile of short sums of dots, as measured
SET_PERIOD = 4096  # bytes after which the sets of the nearest cache repeat: a page, mostly


@dataclass(frozen=True)
class ProductSizes:
    """The problem of `count` products `(rows, depth) x (depth, columns)`, their right operands as
    they are, or packed in panels of `panel` columns. Each meets `windows` times so many rows, which
    do not lie one after the other: those of a convolution.

    Where an instruction sums products of a few neighbours of a narrow type, `narrow`, these are one
    element, as wide as the sum's `dtype`. Each sum, once complete, goes through `finish` operations
    (0 where the sums are long enough for these not to matter).
    """

    rows: int
    depth: int
    columns: int
    dtype: DType
    count: int = 1
    windows: int = 1
    panel: int | None = None
    narrow: DType | None = None
    finish: int = 0

    def __str__(self) -> str:
        many = f"{self.count} of " if self.count > 1 else ""
        many += f"{self.windows} times " if self.windows > 1 else ""
        panels = f" in panels of {self.panel}" if self.panel else ""
        dots = f" dots of {self.narrow}" if self.narrow else ""
        after = f", finish of {self.finish}" if self.finish else ""
        sizes = f"{self.rows}x{self.depth}x{self.columns}"
        return f"product {many}{sizes} {self.dtype}{dots}{panels}{after}"

    @property
    def latency(self) -> int:
        """Cycles from one term of a sum to the next."""
        return DOT_LATENCY if self.narrow and self.narrow.is_float else FMA_LATENCY

    def far(self, target: Target) -> bool:
        """Whether the right operands leave the nearest caches before they are needed again, or are
        so long on their way from the last one that they are best asked for ahead of time."""
        right = self.count * self.depth * self.columns * self.dtype.bytes
        return right > min(target.l2_bytes // 2, FAR_SECONDS * target.l3_bandwidth)


@dataclass(frozen=True)
class Tile:
    """A register tile of a matrix product: `rows` by `vectors` vectors of columns."""

    rows: int
    vectors: int
    lanes: int

    @property
    def columns(self) -> int:
        return self.vectors * self.lanes

    def __str__(self) -> str:
        return f"{self.rows}x{self.vectors}"


def tile_cycles(rows: int, vectors: int, latency: int = FMA_LATENCY) -> float:
    """Cycles of one step of the inner dimension for a register tile.

    Bound by the FMAs, by the loads (a vector of B a column vector, a broadcast of A a row), or,
    in a small tile, by the latency of an FMA on its own accumulator.
    """
    fmas = rows * vectors / FMAS_PER_CYCLE
    loads = (rows + vectors) / LOADS_PER_CYCLE
    return max(fmas, loads, latency)


def fits_registers(rows: int, vectors: int, target: Target) -> bool:
    """Accumulators, the vectors of B and one broadcast of A, all at once in registers."""
    return rows * vectors + vectors + 1 <= target.vector_registers


def product_cycles(m: int, n: int, tile: Tile, latency: int = FMA_LATENCY) -> float:
    """Cycles of one step of the inner dimension for a whole m x n result, its edges included."""
    full_rows, rest_rows = divmod(m, tile.rows)
    full_columns, rest = divmod(n, tile.columns)
    rest_vectors = -(-rest // tile.lanes)
    total = 0.0
    for rows, count in ((tile.rows, full_rows), (rest_rows, 1 if rest_rows else 0)):
        total += count * full_columns * tile_cycles(rows, tile.vectors, latency)
        if rest_vectors:
            total += count * tile_cycles(rows, rest_vectors, latency)
    return total


def tiles_by_cycles(sizes: ProductSizes, target: Target) -> dict[Tile, float]:
    """Register tiles and their cycles for a step of the inner dimension, the best first."""
    m, n = sizes.rows, sizes.columns
    lanes = target.lanes(sizes.dtype)
    widest = max(1, min(MOST_VECTORS, -(-n // lanes)))
    widths = range(1, widest + 1) if sizes.panel is None else (sizes.panel // lanes,)
    candidates = [
        Tile(rows, vectors, lanes)
        for vectors in widths
        for rows in range(1, min(m, target.vector_registers) + 1)
        if fits_registers(rows, vectors, target) or rows == 1
    ]
    found = {
        tile: round(
            product_cycles(m, n, tile, sizes.latency) + waiting_cycles(sizes, tile, target), 3
        )
        for tile in candidates
    }
    few = m <= FEW_ROWS and sizes.far(target)

    def rank(tile: Tile) -> tuple[float, ...]:
        """Among equals one that leaves nothing over, if it is large; else one that leaves no narrow
        panel; else the wider one: it reads the left operand fewer times. But few rows stay in the
        nearest cache, and a narrow panel is there sooner, for tiles that are few and of one height.
        """
        if few:
            return found[tile], tile.vectors, -(-m // tile.rows), tile.rows
        large = 4 * tile.rows * tile.vectors >= 3 * target.vector_registers
        even = n % tile.columns == 0
        good = large and even and m % tile.rows == 0 and tile.vectors >= widest - 1
        return found[tile], not good, not even, -tile.vectors, -tile.rows

    order = sorted(found, key=rank)
    return {tile: found[tile] for tile in order}


def waiting_cycles(sizes: ProductSizes, tile: Tile, target: Target) -> float:
    """Cycles of one step of the inner dimension in which a product waits: for its operands, or for
    finished sums to make room."""
    operands = passing_cycles(sizes, tile, target) + meeting_cycles(sizes, tile, target)
    return operands + finishing_cycles(sizes, tile)


def finishing_cycles(sizes: ProductSizes, tile: Tile) -> float:
    """Cycles of one step in which the next tile's products wait behind what follows the sums of the
    last: so many of these operations fill the queue in which both wait for their operands. Of dots
    there are few enough for that, and each tile takes as long to end and to begin, large or small.
    """
    if not sizes.finish:
        return 0.0
    waiting = tile.rows * tile.vectors * (sizes.finish + 1) - FINISH_ROOM
    wait = TILE_WAIT if sizes.narrow else max(0.0, FINISH_WAIT * waiting)
    tiles = -(-sizes.rows // tile.rows) * -(-sizes.columns // tile.columns)
    return wait * tiles / max(1, sizes.depth)


def meeting_cycles(sizes: ProductSizes, tile: Tile, target: Target) -> float:
    """Cycles of one step in which tiles wait for their rows of the left operand: where so many of
    these meet in one set of the nearest cache, a multiple of its period apart, that each drives out
    another before its line is used up. Those of a convolution lie closer together."""
    period = math.gcd(sizes.depth * sizes.dtype.bytes, SET_PERIOD)
    meeting = -(-tile.rows * period // SET_PERIOD)
    if sizes.windows > 1 or meeting <= target.l1_bytes // SET_PERIOD * 2 // 3:
        return 0.0
    return ROW_WAIT * sizes.rows * -(-sizes.columns // tile.columns)


def passing_cycles(sizes: ProductSizes, tile: Tile, target: Target) -> float:
    """Cycles of one step in which tiles of a few rows wait for vectors of the right operand, which
    comes from far: the first tile of each panel, and the others where the panel has left the
    nearest cache. Many rows hide it: the next panel has arrived long before."""
    if sizes.rows > FEW_ROWS or not sizes.far(target):
        return 0.0
    panel = sizes.depth * tile.columns * sizes.dtype.bytes
    stays = panel <= target.l1_bytes * 3 // 4
    passes = 1 if stays else -(-sizes.rows // tile.rows)
    return VECTOR_WAIT * passes * -(-sizes.columns // tile.lanes)
