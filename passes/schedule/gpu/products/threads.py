"""The tiles of a product, their parts dealt to threads: each multiplies in registers.

    block: thread: {async tiles {left, right <- step 0};  ..
      for step: {wait tiles;  sync;  async tiles {left, right <- step + 3};
                 for k: {a = left[k];  b = right[k];  sums[i, j] += a[i] * b[j]}}
      y[m, n] = f(sums[i, j])}
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from math import prod

from .....expr import Expr, Load, const, index
from .....tile.nodes import (
    Accumulate,
    Async,
    Block,
    Buffer,
    If,
    Kernel,
    Kind,
    Let,
    Loop,
    Ref,
    Space,
    Stmt,
    Store,
    Sync,
    Wait,
)
from .....tile.tree import Names, tidy, var
from ..held import Computed
from .blocks import Blocks, steps_of, unrolled
from .contraction import Contraction, Operand
from .operand import Staged
from .results import Results
from .tiles import LANES, PADDING, QUAD, Tile

GROUP = "tiles"  # of asynchronous copies


def by_tiles(contraction: Contraction, tile: Tile) -> Kernel:
    """The kernel of a contraction whose blocks have tiles of the result."""
    return _Tiling.of(contraction, tile).kernel()


@dataclass(frozen=True)
class _Tiling:
    """The work of writing a contraction by tiles."""

    blocks: Blocks[Staged]
    tile: Tile
    thread: str
    sums: Buffer
    parts: tuple[Buffer, Buffer]  # what a thread multiplies: of rows and of columns

    @staticmethod
    def of(contraction: Contraction, tile: Tile) -> _Tiling:
        names, dtype = Names(contraction.kernel), contraction.total.dtype
        tile = replace(tile, stages=min(tile.stages, steps_of(contraction, tile) + 1))
        block, thread = names.fresh("block"), names.fresh("thread")
        blocks = Blocks.of(contraction, tile, names, block, partial(_staged, contraction, tile))
        sides = tuple(quads * QUAD for quads in tile.quads)
        sums = Buffer(names.fresh("sums", "_"), dtype, sides, Space.REGISTER)
        row, column = (
            Buffer(names.fresh(name, "_"), dtype, (side,), Space.REGISTER)
            for name, side in zip(("a", "b"), sides, strict=True)
        )
        return _Tiling(blocks, tile, thread, sums, (row, column))

    @property
    def operands(self) -> tuple[Staged, Staged]:
        return self.blocks.operands

    def kernel(self) -> Kernel:
        """All of it."""
        finished = self._finished()
        body: Block = (
            *self.blocks.begin(),
            *self._places(),
            *self._cleared(),
            *self._started(),
            *self.blocks.over_steps(self.tile.stages, self._step, together=False),
            *finished.block,
        )
        inner = Loop(self.thread, index(0), index(self.tile.threads), body, Kind.THREAD)
        count = self.blocks.count(self.tile.splits)
        outer = Loop(self.blocks.block, index(0), index(count), (inner,), Kind.BLOCK)
        brought = [side.brought for side in self.operands if side.brought is not None]
        tiles = [side.tiles for side in self.operands]
        locals_ = (*tiles, *brought, self.sums, *self.parts, *finished.registers)
        return tidy(replace(self.blocks.contraction.kernel, body=(outer,), locals=locals_))

    def _places(self) -> Block:
        """Where a thread's part of the tile begins."""
        thread = var(self.thread)
        warp, lane = thread // prod(LANES), thread % prod(LANES)
        places = (warp // self.tile.warps[1], warp % self.tile.warps[1])
        inside = (lane // LANES[1], lane % LANES[1])
        return tuple(
            Let(side.own.name, place * (quads * width * QUAD) + own * QUAD)
            for side, quads, width, place, own in zip(
                self.operands, self.tile.quads, LANES, places, inside, strict=True
            )
        )

    def _cleared(self) -> Block:
        i, j = self.blocks.axis("i"), self.blocks.axis("j")
        store = Store(Ref(self.sums.name, (var(i), var(j))), const(0, self.sums.dtype))
        rows, columns = self.sums.shape
        return (unrolled(i, rows, unrolled(j, columns, store)),)

    # Steps over the terms

    def _started(self) -> Block:
        """The tiles of the first steps on their way."""
        thread, first = var(self.thread), self.blocks.first_step
        filled = [
            stmt
            for side in self.operands
            if side.brought is not None
            for stmt in side.filled(first, index(0), thread)
        ]
        stage = self.blocks.axis("stage")
        copied = self._copied(first + var(stage), var(stage))
        ahead = (unrolled(stage, self.tile.stages - 1, Async(GROUP, copied)),)
        return (*filled, *(ahead if copied else ()))

    def _copied(self, step: Expr, stage: Expr, *, whole: bool = False) -> Block:
        return tuple(
            stmt
            for side in self.operands
            if side.brought is None
            for stmt in side.copied(step, stage, var(self.thread), whole=whole)
        )

    def _step(self, step: Expr, stage: Expr, more: bool) -> Block:
        """With a step's tiles there and those ahead on their way, add its products."""
        stages, thread = self.tile.stages, var(self.thread)
        first, last = self.blocks.first_step, self.blocks.steps
        ahead, following = step + (stages - 1), (stage + 1) % stages

        def before_last(at: Expr, block: Block) -> Block:
            return block if more else (If(at < last, block),)

        body: list[Stmt] = []
        whole = more and self.blocks.has_whole_steps
        copied = self._copied(first + ahead, (stage + (stages - 1)) % stages, whole=whole)
        if copied:
            body.append(Wait(GROUP, stages - 2))
        body.append(Sync("block"))
        if copied:
            body.append(Async(GROUP, before_last(ahead, copied)))
        computed = [side for side in self.operands if side.brought is not None]
        for side in computed:
            next_ = side.fetched(first + step + 1, thread, whole=whole)
            body += before_last(step + 1, next_)
        body.append(self._multiplied(stage))
        for side in computed:
            body += before_last(step + 1, side.put(first + step + 1, following, thread))
        return tuple(body)

    def _multiplied(self, stage: Expr) -> Stmt:
        """The products of a stage, term by term."""
        term = self.blocks.axis("term")
        body: list[Stmt] = []
        for side, part, quads, width in zip(
            self.operands, self.parts, self.tile.quads, LANES, strict=True
        ):
            q, v = self.blocks.axis("q"), self.blocks.axis("v")
            row = side.own + var(q) * (width * QUAD) + var(v)
            load = Load(part.dtype, side.tiles.name, (stage, var(term), row))
            store = Store(Ref(part.name, (var(q) * QUAD + var(v),)), load)
            body.append(unrolled(q, quads, unrolled(v, QUAD, store)))
        i, j = self.blocks.axis("i"), self.blocks.axis("j")
        factors = [
            Load(part.dtype, part.name, (var(axis),))
            for part, axis in zip(self.parts, (i, j), strict=True)
        ]
        total = Ref(self.sums.name, (var(i), var(j)))
        add = Accumulate("sum", (total,), (factors[0] * factors[1],))
        rows, columns = self.sums.shape
        body.append(unrolled(i, rows, unrolled(j, columns, add)))
        return unrolled(term, self.tile.depth, *body)

    # Results

    def _finished(self) -> Computed:
        """What is to be done with each sum of this thread, or with runs of them."""
        results = Results.of(self.blocks, self.sums, QUAD)
        at: list[Expr] = []
        places: list[Expr] = []
        loops: list[tuple[str, int]] = []
        runs = (1, results.run.width if results is not None else 1)
        for side, quads, width, run in zip(
            self.operands, self.tile.quads, LANES, runs, strict=True
        ):
            q, v = self.blocks.axis("q"), self.blocks.axis("v")
            places.append(side.own + var(q) * (width * QUAD) + var(v) * run)
            at.append(var(q) * QUAD + var(v) * run)
            loops += [(q, quads), (v, QUAD // run)]
        (row, column), (line, first) = places, at
        if results is not None:
            made = results.at(row, column, (line, first))
        else:
            sum_ = Load(self.sums.dtype, self.sums.name, (line, first))
            made = Computed(self.blocks.result(row, column, sum_), ())
        body = made.block
        for axis, extent in reversed(loops):
            body = (unrolled(axis, extent, *body),)
        return replace(made, block=body)


def _staged(
    contraction: Contraction,
    tile: Tile,
    operand: Operand,
    name: str,
    sizes: tuple[int, int],
    ends: int,
    names: Names,
) -> Staged:
    dtype, (rows, terms) = contraction.total.dtype, sizes
    shape = (tile.stages, terms, rows + PADDING)
    tiles = Buffer(names.fresh(name, "_"), dtype, shape, Space.SHARED)
    staged = Staged.of(contraction, operand, name, tiles, sizes, ends, tile.threads, names)
    if staged.is_copied:
        return staged
    brought = Buffer(names.fresh(f"{name}_next", "_"), dtype, (staged.turns,), Space.REGISTER)
    return replace(staged, brought=brought)
