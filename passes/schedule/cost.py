"""The cost model: the one place where figures of a target become choices.

Times are in cycles of one core. The machine model is a superscalar core with two vector FMAs and
two vector loads a cycle, an FMA latency of four cycles, and a file of vector registers.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...target import Target
from ...types import DType

FMAS_PER_CYCLE = 2
LOADS_PER_CYCLE = 2
FMA_LATENCY = 4
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
    m: int, n: int, target: Target, dtype: DType, *, columns: int | None = None
) -> Tile:
    """The register tile with the least cycles; `columns` fixes its width (packed panels)."""
    lanes = target.lanes(dtype)
    widest = max(1, min(4, -(-n // lanes)))
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


def worth_threads(cycles: float) -> bool:
    """Whether work of this many cycles is worth dispatching to other threads."""
    return cycles >= PARALLEL_WORK
