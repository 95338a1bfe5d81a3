"""The cost model: the one place where figures of a target become choices.

Times are in cycles of one core. The machine model is a superscalar core with two vector FMAs and
two vector loads a cycle, an FMA latency of four cycles, and a file of vector registers.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...target import Target
from ...types import DType, f32

FMAS_PER_CYCLE = 2
LOADS_PER_CYCLE = 2
FMA_LATENCY = 4
PACKING_TILES = 16  # a copied vector costs what a tile of rows takes to use it, or two
STREAMED_ROWS = 8  # read side by side: what prefetching in hardware follows, and registers hold
STREAMED_COLUMNS = 1024  # their sums stay in the nearest cache, one page of each row is read
TILES_IN_A_RUN = 4  # cache lines of a row that are written one after the other
ROWS_IN_FLIGHT = 4  # hide the latency of joining the lanes of one
PANELS = 4  # enough to deal to threads; fixed, so that no code depends on how many there are
PARALLEL_WORK = 30_000  # cycles below which waking the other threads costs more than it gives


@dataclass(frozen=True)
class Tile:
    """A register tile of a matrix product: `rows` by `vectors` vectors of columns."""

    rows: int
    vectors: int
    lanes: int

    @property
    def columns(self) -> int:
        return self.vectors * self.lanes


def tile_cycles(rows: int, vectors: int) -> float:
    """Cycles of one step of the inner dimension for a register tile.

    Bound by the FMAs, by the loads (a vector of B a column vector, a broadcast of A a row), or,
    in a small tile, by the latency of an FMA on its own accumulator.
    """
    fmas = rows * vectors / FMAS_PER_CYCLE
    loads = (rows + vectors) / LOADS_PER_CYCLE
    return max(fmas, loads, FMA_LATENCY)


def fits_registers(rows: int, vectors: int, target: Target) -> bool:
    """Accumulators, the vectors of B and one broadcast of A, all at once in registers."""
    return rows * vectors + vectors + 1 <= target.vector_registers


def product_cycles(m: int, n: int, tile: Tile) -> float:
    """Cycles of one step of the inner dimension for a whole m x n result, its edges included."""
    full_rows, rest_rows = divmod(m, tile.rows)
    full_columns, rest = divmod(n, tile.columns)
    rest_vectors = -(-rest // tile.lanes)
    total = 0.0
    for rows, count in ((tile.rows, full_rows), (rest_rows, 1 if rest_rows else 0)):
        total += count * full_columns * tile_cycles(rows, tile.vectors)
        if rest_vectors:
            total += count * tile_cycles(rows, rest_vectors)
    return total


def choose_tile(
    m: int,
    n: int,
    target: Target,
    dtype: DType,
    *,
    columns: int | None = None,
    depth: int = 1,
) -> Tile:
    """The register tile with the least cycles; `columns` fixes its width (packed panels).

    Where rows share a panel, `depth` elements deep, two of them stay in the second cache: the one
    in use and the next.
    """
    lanes = target.lanes(dtype)
    kept = target.l2_bytes // (2 * depth * target.vector_bytes) if m > 1 else 4
    widest = max(1, min(4, -(-n // lanes), max(2, kept)))
    widths = range(1, widest + 1) if columns is None else (columns // lanes,)
    candidates = [
        Tile(rows, vectors, lanes)
        for vectors in widths
        for rows in range(1, min(m, target.vector_registers) + 1)
        if fits_registers(rows, vectors, target) or rows == 1
    ]
    # Among equals the wider one: it reads the left operand fewer times.
    return min(
        candidates,
        key=lambda tile: (round(product_cycles(m, n, tile), 3), -tile.vectors, -tile.rows),
    )


def panels_first(row_bytes: int, columns: int, tile: Tile, target: Target) -> bool:
    """Whether the panels of a product's right operand go outermost, all rows inside: where that
    operand (`row_bytes` to a column) would leave the nearest caches between two rows of tiles,
    and its panels are enough to be dealt out."""
    panels = -(-columns // tile.columns)
    return row_bytes * columns > target.l2_bytes // 2 and panels >= PANELS


def worth_packing(rows: int, depth: int, step: int, tile: Tile, target: Target) -> bool:
    """Whether a panel of the right operand is copied together before the rows stream by: where
    its `depth` rows, `step` bytes apart, meet in the same few sets of the nearest cache, and there
    are tiles of rows enough to make good for the copy."""
    apart = step & -step  # the power of two that decides which sets a row may be in
    return depth * apart > target.l1_bytes and rows >= PACKING_TILES * tile.rows


def worth_streaming(matrix_bytes: int, columns: int, target: Target) -> bool:
    """Whether a matrix that one row is multiplied by is read row by row, not in panels: where it
    comes from far away and its rows are long."""
    return matrix_bytes > target.l1_bytes and columns >= STREAMED_COLUMNS // 4


def memory_bound(moved: int, target: Target) -> bool:
    """Whether what a kernel reads and writes comes from memory rather than a cache."""
    return moved > target.l3_bytes // 4


def most_rows(moved: int, scratch: int, target: Target) -> int:
    """How many rows to work on at once, of a kernel that moves so many bytes in all and keeps
    `scratch` of each row: a few hide the latency of joining a row's lanes, but what comes from
    memory is better read steadily, one row at a time."""
    if memory_bound(moved, target):
        return 1
    return max(1, min(ROWS_IN_FLIGHT, target.l1_bytes // 2 // max(1, scratch)))


def worth_threads(cycles: float) -> bool:
    """Whether work of this many cycles is worth dispatching to other threads."""
    return cycles >= PARALLEL_WORK


def worth_turning(rows: int, columns: int, lanes: int) -> bool:
    """Whether a tile is better read in vectors and turned in registers than element by element:
    `lanes * log2(lanes)` shuffles against a load and an insertion each."""
    high, wide = min(rows, lanes), min(columns, lanes)
    return wide + lanes * (lanes.bit_length() - 1) < 2 * high * wide


# Winograd convolution


@dataclass(frozen=True)
class ConvSizes:
    """Sizes of a 3×3 convolution of unit stride: its results' and its channels."""

    batch: int
    height: int
    width: int
    inner: int
    outer: int


TAPS = 9
CACHE_SPEED = 3  # the last cache is about so much faster than memory
TRANSFORM_CYCLES = 4  # of an element of a tile, one vector of it: its loads, sums and stores


def direct_cycles(sizes: ConvSizes, target: Target) -> float:
    """Cycles of a convolution as one product for each row of results."""
    tile = choose_tile(sizes.width, sizes.outer, target, f32)
    rows = sizes.batch * sizes.height
    work = TAPS * sizes.inner * rows * product_cycles(sizes.width, sizes.outer, tile)
    return max(work, memory_cycles(TAPS * sizes.inner * sizes.outer * f32.bytes, target))


def winograd_cycles(sizes: ConvSizes, tile: int, target: Target) -> float:
    """Cycles of a convolution in tiles of `tile` × `tile` results.

    One product a point, with the larger weights read meanwhile; the transforms; and what goes
    through memory between these three stages, written and read again.
    """
    points = (tile + 2) ** 2
    tiles = sizes.batch * -(-sizes.height // tile) * -(-sizes.width // tile)
    register_tile = choose_tile(tiles, sizes.outer, target, f32)
    work = points * sizes.inner * product_cycles(tiles, sizes.outer, register_tile)
    weights = memory_cycles(points * sizes.inner * sizes.outer * f32.bytes, target)
    lanes = target.lanes(f32)
    vectors = -(-sizes.inner // lanes) + -(-sizes.outer // lanes)
    transforms = TRANSFORM_CYCLES * points * tiles * vectors
    between = points * tiles * (sizes.inner + sizes.outer) * f32.bytes
    speed = CACHE_SPEED if between <= target.l3_bytes else 1
    return max(work, weights) + transforms + 2 * memory_cycles(between, target) / speed


def memory_cycles(count: int, target: Target) -> float:
    """Cycles in which one core reads or writes so many bytes of memory."""
    flops_per_cycle = 2 * FMAS_PER_CYCLE * target.lanes(f32)
    return count / target.memory_bandwidth * target.peak_flops / flops_per_cycle
