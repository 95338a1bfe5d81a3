"""Means of the values, from the sums that warps or warpgroups have of weighted ones in fragments:
the four threads that have a row exchange what they have of several fragments, so that each stores a
run of neighbours.

    call @quad_runs_8(runs[0, 0, 0], sums[i, j, 0, 0])
    lane: unroll half: {let inverse = 1 / total[half];
                        unroll e: y[s, c + e] = runs[half, lane, e] * inverse}
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .....expr import Expr, Load, Var, index
from .....tile.analyses.alignment import WIDEST
from .....tile.instructions.warps import COLUMNS, ROWS, RUNS, runs_name
from .....tile.nodes import Block, Buffer, Call, Kind, Let, Loop, Space, Window
from .....tile.tree import var
from .....types import f32
from ..products.blocks import unrolled
from ..products.fragment_results import FragmentSums
from .blocks import AttentionBlocks
from .parts import Parts

PAIR = 2  # neighbours that a thread has of a fragment


@dataclass(frozen=True)
class Means:
    """The sums of a warp or a warpgroup that begin at a `row` of the block, and the `total` that a
    lane has of the weights of a row of its fragment i, in a half of it; or those of a part of the
    keys, which are kept as they are."""

    blocks: AttentionBlocks
    sums: FragmentSums
    row: Expr
    total: Callable[[Expr, Expr, Expr], Expr]
    parts: Parts | None
    runs: Buffer

    @staticmethod
    def of(
        blocks: AttentionBlocks,
        sums: FragmentSums,
        row: Expr,
        total: Callable[[Expr, Expr, Expr], Expr],
        parts: Parts | None = None,
    ) -> Means:
        width = _width(blocks, sums, parts)
        shape = (2, sums.threads, width)
        runs = Buffer(blocks.names.fresh("runs", "_"), f32, shape, Space.FRAGMENT)
        return Means(blocks, sums, row, total, parts, runs)

    @property
    def width(self) -> int:
        """Neighbours of a run."""
        return self.runs.shape[-1]

    @property
    def registers(self) -> tuple[Buffer, ...]:
        """What threads exchange, if they do."""
        return (self.runs,) if self.width > PAIR else ()

    def stored(self) -> Block:
        """All of them."""
        i, group = (var(self.blocks.axis(name)) for name in ("i", "j"))
        rows, columns = self.sums.counts
        count = self.width // PAIR
        lane, half = var(self.blocks.axis("lane")), var(self.blocks.axis("half"))
        each = unrolled(half.name, 2, *self._run(i, group, lane, half))
        by_lane = Loop(lane.name, index(0), index(self.sums.threads), (each,), Kind.LANE)
        block = (*self._exchanged(i, group * count), by_lane)
        return (unrolled(i.name, rows, unrolled(group.name, columns // count, *block)),)

    def _exchanged(self, i: Expr, first: Expr) -> Block:
        """The runs of as many fragments as each has pairs."""
        if self.width == PAIR:
            return ()
        zero = index(0)
        windows = (
            Window(self.runs.name, (zero, zero, zero)),
            Window(self.sums.buffer.name, self.sums.at(i, first, zero, zero)),
        )
        return (Call(runs_name(self.width, self.sums.threads), windows),)

    def _run(self, i: Expr, group: Expr, lane: Expr, half: Expr) -> Block:
        """The neighbours that a lane has in a half of a group of fragments."""
        count, e = self.width // PAIR, var(self.blocks.axis("e"))
        number, part = lane % count, lane % 4 // count
        place = self.row + self.sums.row(i, lane) + half * (ROWS // 2)
        lets, row, axes = self.blocks.row(place)
        column = (group * count + number) * COLUMNS + part * self.width + e
        sum_ = self._sum(i, group, lane, half, e)
        inverse = Var(f32, self.blocks.axis("inverse"))
        if self.parts is None:
            lets = (*lets, Let(inverse.name, self.blocks.inverse(self.total(i, lane, half))))
            store = self.blocks.stored(sum_ * inverse, axes, column)
        else:
            store = self.parts.kept_sum(self.blocks.places(axes), column, sum_)
        depth = self.sums.counts[1] * COLUMNS
        inside = self.blocks.inside(row, column, depth, (store,))
        return (*lets, unrolled(e.name, self.width, *inside))

    def _sum(self, i: Expr, group: Expr, lane: Expr, half: Expr, e: Expr) -> Load:
        if self.width == PAIR:
            own = self.sums.at(i, group, lane, half * PAIR + e)
            return Load(f32, self.sums.buffer.name, own)
        return Load(f32, self.runs.name, (half, lane, e))


def _width(blocks: AttentionBlocks, sums: FragmentSums, parts: Parts | None) -> int:
    """Neighbours that memory takes at once: of one fragment, or of some that exchange theirs."""
    result = blocks.result
    depth, columns = result.shape[-1], sums.counts[1]
    has_rows = parts is not None or result.axes[-1] == len(result.shape) - 1
    dtype = f32 if parts is not None else result.buffer.dtype
    fitting = [
        width
        for width in RUNS
        if depth % width == 0 and columns % (width // PAIR) == 0 and width * dtype.bytes <= WIDEST
    ]
    return max(fitting, default=PAIR) if has_rows else PAIR
