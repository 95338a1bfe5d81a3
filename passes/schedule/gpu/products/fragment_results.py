"""What is done with the sums that warps, or warpgroups, have of a product in fragments. A thread
has two neighbours of a row of each; where memory takes longer runs at once, the four threads that
have a row of it exchange what they have of several fragments.

    call @quad_runs(runs[0, 0, 0], sums[i, j, 0, 0])
    lane: unroll half: {unroll e: y_[e] = f(runs[half, lane, e]);  call store(y[m, n], y_[0])}
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

from .....expr import Expr, Load, index
from .....tile.instructions.warps import COLUMNS, LANES, ROWS, runs_name
from .....tile.nodes import Block, Buffer, Call, Kind, Loop, Space, Window
from .....tile.tree import var
from .....types import f32
from ..held import Computed
from .blocks import Blocks, unrolled
from .boxes import Boxed
from .operand import Staged
from .results import Results

AnyBlocks: TypeAlias = Blocks[Staged] | Blocks[Boxed]
_MOST = 8  # neighbours: sixteen bytes of narrow elements


@dataclass(frozen=True)
class FragmentSums:
    """Sums of so many `threads`: `[i, j, lane, e]` of a warp, `[i, thread, j * 4 + e]` of a
    warpgroup, whose warps have sixteen rows each."""

    buffer: Buffer
    threads: int

    @property
    def counts(self) -> tuple[int, int]:
        """Fragments of rows and of columns."""
        rows, *_, last = self.buffer.shape
        return rows, self.buffer.shape[1] if self.threads == LANES else last // 4

    def at(self, i: Expr, j: Expr, lane: Expr, e: Expr) -> tuple[Expr, ...]:
        return (i, j, lane, e) if self.threads == LANES else (i, lane, j * 4 + e)

    def row(self, i: Expr, lane: Expr) -> Expr:
        """The row of a thread's first sums; its others are eight rows further."""
        if self.threads == LANES:
            return i * ROWS + lane // 4
        return i * (self.threads // LANES * ROWS) + lane // LANES * ROWS + lane // 4 % 8


def finished(blocks: AnyBlocks, sums: FragmentSums, row: Expr, column: Expr) -> Computed:
    """What is to be done with each sum, those of a warp or a warpgroup beginning at a row and a
    column of the block's tile."""
    results = Results.of(blocks, sums.buffer, min(_MOST, 2 * sums.counts[1]))
    if results is None or results.run.width == 2:
        return _of_pairs(blocks, sums, results, row, column)
    return _of_runs(blocks, sums, results, row, column)


def _of_pairs(
    blocks: AnyBlocks, sums: FragmentSums, results: Results | None, row: Expr, column: Expr
) -> Computed:
    """Each sum, or both neighbours at once."""
    rows, columns = sums.counts
    registers: list[Buffer] = []

    def body(lane: Expr, i: Expr, j: Expr, half: Expr) -> Block:
        at_row = row + sums.row(i, lane) + half * (ROWS // 2)
        at_column = column + j * COLUMNS + lane % 4 * 2
        if results is not None:
            made = results.at(at_row, at_column, sums.at(i, j, lane, half * 2))
            registers.extend(made.registers)
            return made.block
        pair = blocks.axis("pair")
        place = sums.at(i, j, lane, half * 2 + var(pair))
        sum_ = Load(f32, sums.buffer.name, place)
        return (unrolled(pair, 2, *blocks.result(at_row, at_column + var(pair), sum_)),)

    lane = blocks.axis("lane")
    loops = (("i", rows), ("j", columns), ("half", 2))
    inner = _written_out(blocks, loops, lambda i, j, half: body(var(lane), i, j, half))
    return Computed((_lanes(sums, lane, inner),), tuple(registers))


def _of_runs(
    blocks: AnyBlocks, sums: FragmentSums, results: Results, row: Expr, column: Expr
) -> Computed:
    """Runs of neighbours, of as many fragments as a run has pairs: each of as many threads has
    those of one, or of a part of it."""
    width, zero = results.run.width, index(0)
    count, (rows, columns) = width // 2, sums.counts
    name = blocks.names.fresh("runs", "_")
    runs = Buffer(name, f32, (2, sums.threads, width), Space.FRAGMENT)
    results = replace(results, sums=runs)
    registers: list[Buffer] = [runs]

    def body(i: Expr, group: Expr) -> Block:
        lane, half = blocks.axis("lane"), blocks.axis("half")
        first = group * count
        begin = Window(sums.buffer.name, sums.at(i, first, zero, zero))
        call = Call(runs_name(width, sums.threads), (Window(name, (zero, zero, zero)), begin))
        number, part = var(lane) % count, var(lane) // count % (4 // count)
        at_row = row + sums.row(i, var(lane)) + var(half) * (ROWS // 2)
        at_column = column + (first + number) * COLUMNS + part * width
        made = results.at(at_row, at_column, (var(half), var(lane), zero))
        registers.extend(made.registers)
        return (call, _lanes(sums, lane, (unrolled(half, 2, *made.block),)))

    loops = (("i", rows), ("j", columns // count))
    return Computed(_written_out(blocks, loops, body), tuple(registers))


def _lanes(sums: FragmentSums, lane: str, body: Block) -> Loop:
    return Loop(lane, index(0), index(sums.threads), body, Kind.LANE)


def _written_out(
    blocks: AnyBlocks, loops: tuple[tuple[str, int], ...], body: Callable[..., Block]
) -> Block:
    """Loops of these names and extents, written out, around what `body` gives at their axes."""
    axes = [blocks.axis(name) for name, _ in loops]
    block = body(*map(var, axes))
    for axis, (_, extent) in reversed(list(zip(axes, loops, strict=True))):
        block = (unrolled(axis, extent, *block),)
    return block
