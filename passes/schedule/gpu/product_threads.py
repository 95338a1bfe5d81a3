"""The tiles of a product, their parts dealt to threads: each multiplies in registers.

    block: thread: {async tiles {left, right <- step 0};  ..
      for step: {wait tiles;  sync;  async tiles {left, right <- step + 3};
                 for k: {a = left[k];  b = right[k];  sums[i, j] += a[i] * b[j]}}
      y[m, n] = f(sums[i, j])}
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

from ....expr import Expr, Load, all_of, const, index
from ....tile.nodes import (
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
    rewrite_block,
)
from ....tile.tree import Names, tidy, var
from .contraction import Contraction, Operand, count
from .grid import axes_at
from .product_operand import Staged, is_copied
from .product_tiles import LANES, PADDING, QUAD, Tile

GROUP = "tiles"  # of asynchronous copies


def by_tiles(contraction: Contraction, tile: Tile) -> Kernel:
    """The kernel of a contraction whose blocks have tiles of the result."""
    return _Tiling.of(contraction, tile).kernel()


@dataclass(frozen=True)
class _Tiling:
    """The work of writing a contraction by tiles."""

    contraction: Contraction
    tile: Tile
    names: Names
    block: str
    thread: str
    left: Staged
    right: Staged
    sums: Buffer
    parts: tuple[Buffer, Buffer]  # what a thread multiplies: of rows and of columns
    steps: int  # of a block

    @staticmethod
    def of(contraction: Contraction, tile: Tile) -> _Tiling:
        names, dtype = Names(contraction.kernel), contraction.total.dtype
        steps = -(-contraction.depth // (tile.depth * tile.splits))
        tile = replace(tile, stages=min(tile.stages, steps + 1))
        block, thread = names.fresh("block"), names.fresh("thread")
        sides = tuple(quads * QUAD for quads in tile.quads)
        left, right = (
            _staged(contraction, operand, name, rows, tile, steps, names)
            for operand, name, rows in zip(
                (contraction.left, contraction.right), ("left", "right"), tile.sides, strict=True
            )
        )
        sums = Buffer(names.fresh("sums", "_"), dtype, sides, Space.REGISTER)
        row, column = (
            Buffer(names.fresh(name, "_"), dtype, (side,), Space.REGISTER)
            for name, side in zip(("a", "b"), sides, strict=True)
        )
        parts = (row, column)
        return _Tiling(contraction, tile, names, block, thread, left, right, sums, parts, steps)

    @property
    def operands(self) -> tuple[Staged, Staged]:
        return self.left, self.right

    def kernel(self) -> Kernel:
        """All of it."""
        body: Block = (
            *self._begin(),
            *self._cleared(),
            *self._started(),
            self._loop(),
            *self._finished(),
        )
        blocks = self.tile.splits * count(self.contraction.batch) * self._grid[0] * self._grid[1]
        inner = Loop(self.thread, index(0), index(self.tile.threads), body, Kind.THREAD)
        outer = Loop(self.block, index(0), index(blocks), (inner,), Kind.BLOCK)
        brought = [side.brought for side in self.operands if side.brought is not None]
        tiles = [side.tiles for side in self.operands]
        locals_ = (*tiles, *brought, self.sums, *self.parts)
        return tidy(replace(self.contraction.kernel, body=(outer,), locals=locals_))

    @property
    def _grid(self) -> tuple[int, int]:
        """Tiles along the rows and along the columns."""
        rows, columns = (
            -(-side.operand.extent // side.sizes[0]) for side in self.operands
        )
        return rows, columns

    def _begin(self) -> Block:
        """What a block has of the result, and a thread of that."""
        rows, columns = self._grid
        at: Expr = var(self.block)
        lets: list[Stmt] = [
            Let(self.right.first.name, at % columns * self.right.sizes[0]),
            Let(self.left.first.name, at // columns % rows * self.left.sizes[0]),
        ]
        batch = at // (rows * columns)
        if self.contraction.part:
            each = count(self.contraction.batch)
            lets.append(Let(self.contraction.part, batch // each))
            batch = batch % each
        lets += axes_at(self.contraction.batch, batch)
        thread = var(self.thread)
        warp, lane = thread // prod(LANES), thread % prod(LANES)
        places = (warp // self.tile.warps[1], warp % self.tile.warps[1])
        inside = (lane // LANES[1], lane % LANES[1])
        for side, quads, width, place, own in zip(
            self.operands, self.tile.quads, LANES, places, inside, strict=True
        ):
            lets.append(Let(side.own.name, place * (quads * width * QUAD) + own * QUAD))
        return tuple(lets)

    def _cleared(self) -> Block:
        i, j = self._axis("i"), self._axis("j")
        store = Store(Ref(self.sums.name, (var(i), var(j))), const(0, self.sums.dtype))
        rows, columns = self.sums.shape
        return (_unrolled(i, rows, _unrolled(j, columns, store)),)

    def _axis(self, name: str) -> str:
        return self.names.fresh(name, "$")

    # Steps over the terms

    def _first_step(self) -> Expr:
        part = self.contraction.part
        return var(part) * self.steps if part else index(0)

    def _started(self) -> Block:
        """The tiles of the first steps on their way."""
        thread, first = var(self.thread), self._first_step()
        filled = [
            stmt
            for side in self.operands
            if side.brought is not None
            for stmt in side.filled(first, index(0), thread)
        ]
        stage = self._axis("stage")
        copied = self._copied(first + var(stage), var(stage))
        ahead = (_unrolled(stage, self.tile.stages - 1, Async(GROUP, copied)),)
        return (*filled, *(ahead if copied else ()))

    def _copied(self, step: Expr, stage: Expr) -> Block:
        return tuple(
            stmt
            for side in self.operands
            if side.brought is None
            for stmt in side.copied(step, stage, var(self.thread))
        )

    def _loop(self) -> Stmt:
        """Every step: with its tiles there and those ahead on their way, add its products."""
        stages, thread = self.tile.stages, var(self.thread)
        step = self._axis("step")
        at, first = var(step), self._first_step()
        ahead = at + (stages - 1)
        body: list[Stmt] = []
        copied = self._copied(first + ahead, ahead % stages)
        if copied:
            body.append(Wait(GROUP, stages - 2))
        body.append(Sync("block"))
        if copied:
            body.append(Async(GROUP, (If(ahead < self.steps, copied),)))
        computed = [side for side in self.operands if side.brought is not None]
        more = at + 1 < self.steps
        for side in computed:
            body.append(If(more, side.fetched(first + at + 1, thread)))
        body.append(self._multiplied(at % stages))
        for side in computed:
            body.append(If(more, side.put(first + at + 1, (at + 1) % stages, thread)))
        return Loop(step, index(0), index(self.steps), tuple(body))

    def _multiplied(self, stage: Expr) -> Stmt:
        """The products of a stage, term by term."""
        term = self._axis("term")
        body: list[Stmt] = []
        for side, part, quads, width in zip(
            self.operands, self.parts, self.tile.quads, LANES, strict=True
        ):
            q, v = self._axis("q"), self._axis("v")
            row = side.own + var(q) * (width * QUAD) + var(v)
            load = Load(part.dtype, side.tiles.name, (stage, var(term), row))
            store = Store(Ref(part.name, (var(q) * QUAD + var(v),)), load)
            body.append(_unrolled(q, quads, _unrolled(v, QUAD, store)))
        i, j = self._axis("i"), self._axis("j")
        factors = [
            Load(part.dtype, part.name, (var(axis),))
            for part, axis in zip(self.parts, (i, j), strict=True)
        ]
        total = Ref(self.sums.name, (var(i), var(j)))
        add = Accumulate("sum", (total,), (factors[0] * factors[1],))
        rows, columns = self.sums.shape
        body.append(_unrolled(i, rows, _unrolled(j, columns, add)))
        return _unrolled(term, self.tile.depth, *body)

    # Results

    def _finished(self) -> Block:
        """What is to be done with each sum of this thread."""
        lets: list[Stmt] = []
        conditions: list[Expr] = []
        at: list[Expr] = []
        loops: list[tuple[str, int]] = []
        for side, name, quads, width in zip(
            self.operands, ("row", "column"), self.tile.quads, LANES, strict=True
        ):
            q, v, own = self._axis("q"), self._axis("v"), self._axis(name)
            place = side.first + side.own + var(q) * (width * QUAD) + var(v)
            lets += [Let(own, place), *axes_at(side.operand.loops, var(own))]
            if side.operand.extent % side.sizes[0]:
                conditions.append(var(own) < side.operand.extent)
            at.append(var(q) * QUAD + var(v))
            loops += [(q, quads), (v, QUAD)]
        total, sums = self.contraction.total, self.sums

        def summed(node: Expr) -> Expr | None:
            mine = isinstance(node, Load) and node.buffer == total.name
            return Load(sums.dtype, sums.name, tuple(at)) if mine else None

        finish = rewrite_block(self.contraction.finish, summed)
        body: Block = finish
        if conditions:
            body = (If(all_of(*conditions), body),)
        body = (*lets, *body)
        for axis, extent in reversed(loops):
            body = (_unrolled(axis, extent, *body),)
        return body


def _staged(
    contraction: Contraction,
    operand: Operand,
    name: str,
    rows: int,
    tile: Tile,
    steps: int,
    names: Names,
) -> Staged:
    dtype = contraction.total.dtype
    shape = (tile.stages, tile.depth, rows + PADDING)
    tiles = Buffer(names.fresh(name, "_"), dtype, shape, Space.SHARED)
    staged = Staged(
        contraction,
        operand,
        tiles,
        None,
        first=var(names.fresh(f"{name}.first")),
        own=var(names.fresh(f"{name}.own")),
        sizes=(rows, tile.depth),
        threads=tile.threads,
        ends=steps * tile.splits * tile.depth,
        names=names,
    )
    if is_copied(contraction, operand, dtype):
        return staged
    brought = Buffer(names.fresh(f"{name}_next", "_"), dtype, (staged.turns,), Space.REGISTER)
    return replace(staged, brought=brought)


def _unrolled(axis: str, extent: int, *body: Stmt) -> Loop:
    return Loop(axis, index(0), index(extent), body, Kind.UNROLL)
