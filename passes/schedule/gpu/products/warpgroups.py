"""The tiles of a product of narrow elements, or of f32 rounded to TF32 on its way, multiplied by
warpgroups out of shared memory. One
warpgroup brings tiles, the others multiply them; they meet at barriers only, two for each stage.

    block: warpgroup g:
      if g >= 2: for turn: for step:
                   {await empty[s];  async tiles {left, right <- step;  arrive full[s]}}
      else: for turn: {sums = 0;
                       for step: {await full[s];  async products {sums += left[s] * right[s]}
                                  wait products, 1;  arrive empty[s - 1]}
                       wait products, 0;  arrive empty[s];  y[m, n] = f(sums)}

In each turn a block has another tile of the result. What the next turn multiplies comes while the
sums of the last are stored.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from .....expr import Expr, const, index
from .....tile.instructions.barriers import ARRIVE, ARRIVE_WARPS, FENCE, INIT, WARPS
from .....tile.instructions.warpgroups import ROWS, THREADS, GroupProduct, registers_name
from .....tile.instructions.warps import terms_of
from .....tile.nodes import (
    Async,
    Await,
    Block,
    Buffer,
    Call,
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
    Window,
)
from .....tile.tree import Names, copy_block, tidy, var
from .....types import DType, f32, i64
from .blocks import Blocks, steps_of, unrolled
from .boxes import Boxed
from .contraction import Contraction, narrow_type
from .fragment_results import FragmentSums, finished
from .patches import with_boxes
from .standing import Standing
from .warpgroup_tile import WarpgroupTile, rows_together

TILES, PRODUCTS = "tiles", "products"  # groups of what is asynchronous


def by_warpgroups(contraction: Contraction, tile: WarpgroupTile) -> Kernel:
    """The kernel of a contraction whose operands come as boxes."""
    boxed = with_boxes(contraction)
    assert boxed is not None
    return _Tiling.of(boxed, tile).kernel()


@dataclass(frozen=True)
class _Tiling:
    """The work of writing a contraction by warpgroups."""

    blocks: Blocks[Boxed]
    tile: WarpgroupTile
    block: str
    group: str
    turn: str
    dtype: DType
    sums: Buffer
    full: Buffer
    empty: Buffer

    @staticmethod
    def of(contraction: Contraction, tile: WarpgroupTile) -> _Tiling:
        dtype = narrow_type(contraction)
        assert dtype is not None
        names = Names(contraction.kernel)
        names.fresh(contraction.part)  # no loop of the kernel is over it
        tile = replace(tile, stages=min(tile.stages, steps_of(contraction, tile)))
        block, group, turn, place = map(names.fresh, ("block", "group", "turn", "tile"))
        side = partial(Boxed.of, contraction, tile.stages)
        blocks = Blocks.of(contraction, tile, names, place, side)
        shape = (tile.rows, THREADS, tile.columns // 2)
        sums = Buffer(names.fresh("sums", "_"), f32, shape, Space.FRAGMENT)
        full, empty = (
            Buffer(names.fresh(name, "_"), i64, (tile.stages,), Space.BARRIER)
            for name in ("full", "empty")
        )
        if tile.blocks is not None and blocks.count(tile.splits) > tile.blocks:
            band = rows_together(blocks.grid[0], tile.sides, tile.blocks)
            blocks = replace(blocks, together=band)
        return _Tiling(blocks, tile, block, group, turn, dtype, sums, full, empty)

    def kernel(self) -> Kernel:
        """All of it."""
        registers: list[Buffer] = []
        multiplying = copy_block(self._multiplying(registers), self.blocks.names)
        brings = var(self.group) >= self.tile.groups
        body: Block = (
            If(brings, (self._begun(),)),
            Sync("block"),
            If(brings, self._bringing(), multiplying),
        )
        inner = Loop(self.group, index(0), index(self.tile.groups + 1), body, Kind.WARPGROUP)
        outer = Loop(self.block, index(0), index(self._at_once), (inner,), Kind.BLOCK)
        tiles = (side.tiles for side in self.blocks.operands)
        locals_ = (*tiles, self.full, self.empty, self.sums, *registers)
        return tidy(replace(self.blocks.contraction.kernel, body=(outer,), locals=locals_))

    @property
    def _tiles(self) -> int:
        return self.blocks.count(self.tile.splits)

    @property
    def _at_once(self) -> int:
        return min(self._tiles, self.tile.blocks or self._tiles)

    @property
    def _turns(self) -> int:
        return -(-self._tiles // self._at_once)

    def _in_turns(self, *body: Stmt) -> Loop:
        """What is done for each of a block's tiles of the result."""
        at = var(self.turn) * self._at_once + var(self.block)
        body = (Let(self.blocks.block, at), *self.blocks.begin(), *body)
        if self._tiles % self._at_once:
            body = (If(at < self._tiles, body),)
        return Loop(self.turn, index(0), index(self._turns), body)

    def _counted(self, step: Expr) -> Expr:
        """The number of a step among those of all turns."""
        return var(self.turn) * self.blocks.steps + step

    def _begun(self) -> Stmt:
        """The barriers made: tiles arrive at once, each warp that multiplied them alone."""
        stage = self.blocks.axis("stage")
        made = tuple(
            Call(INIT, (Window(barrier.name, (var(stage),)),), (index(arrivals),))
            for barrier, arrivals in ((self.full, 1), (self.empty, WARPS * self.tile.groups))
        )
        return self._alone(unrolled(stage, self.tile.stages, *made), Call(FENCE, ()))

    def _alone(self, *body: Stmt) -> Loop:
        """What the first thread of a warpgroup does."""
        return Loop(self.blocks.axis("first"), index(0), index(1), body, Kind.LANE)

    def _shared_out(self, count: int | None) -> Block:
        return () if count is None else (Call(registers_name(count), ()),)

    # The warpgroup that brings tiles

    def _bringing(self) -> Block:
        step = self.blocks.axis("step")
        number = self._counted(var(step))
        stage, phase = number % self.tile.stages, number // self.tile.stages
        terms = Standing.in_step(
            self.blocks.contraction.terms,
            self.blocks.first_step + var(step),
            self.tile.depth,
            index(0),
            "term",
            self.blocks.names,
        )
        lets: Block = ()
        tiles: Block = ()
        for side in self.blocks.operands:
            named, places = side.places(self.blocks.names)
            lets, tiles = (*lets, *named), (*tiles, *side.brought(terms.axes, places, stage))
        arrival = Call(ARRIVE, (Window(self.full.name, (stage,)),))
        body = (
            *terms.lets,
            Await(Ref(self.empty.name, (stage,)), (phase + 1) % 2),
            Async(TILES, (*tiles, arrival)),
        )
        steps = Loop(step, index(0), index(self.blocks.steps), body)
        turns = self._alone(self._in_turns(*lets, steps))
        return (*self._shared_out(self.tile.bringing_registers), turns)

    # The warpgroups that multiply

    def _multiplying(self, registers: list[Buffer]) -> Block:
        step, stages = self.blocks.axis("step"), self.tile.stages
        number = self._counted(var(step))
        stage, phase = number % stages, number // stages
        body = (
            Await(Ref(self.full.name, (stage,)), phase % 2),
            Async(PRODUCTS, (self._multiplied(stage),)),
            Wait(PRODUCTS, 1),
            If(var(step) > 0, (self._released(number + (stages - 1)),)),
        )
        last = self._counted(index(self.blocks.steps - 1))
        turns = self._in_turns(
            self._cleared(),
            Loop(step, index(0), index(self.blocks.steps), body),
            Wait(PRODUCTS, 0),
            *((self._released(last),) if self._turns > 1 else ()),
            *self._finished(registers),
        )
        return (*self._shared_out(self.tile.multiplying_registers), turns)

    def _released(self, number: Expr) -> Stmt:
        """The stage of a step may have other tiles."""
        return Call(ARRIVE_WARPS, (Window(self.empty.name, (number % self.tile.stages,)),))

    @property
    def _own(self) -> Expr:
        """The first row of a warpgroup in the block's tile."""
        return var(self.group) * (self.tile.rows * ROWS)

    def _lanes(self, lane: str, *body: Stmt) -> Loop:
        return Loop(lane, index(0), index(THREADS), body, Kind.LANE)

    def _cleared(self) -> Stmt:
        lane, i, e = (self.blocks.axis(name) for name in ("lane", "i", "e"))
        store = Store(Ref(self.sums.name, (var(i), var(lane), var(e))), const(0, f32))
        rows, _, each = self.sums.shape
        return self._lanes(lane, unrolled(i, rows, unrolled(e, each, store)))

    def _multiplied(self, stage: Expr) -> Stmt:
        """The products of a stage, as many terms at a time as an instruction multiplies."""
        term, i = (self.blocks.axis(name) for name in ("term", "i"))
        left, right = self.blocks.operands
        each = terms_of(self.dtype)
        terms, row = var(term) * each, self._own + var(i) * ROWS
        windows = (
            Window(self.sums.name, (var(i), index(0), index(0))),
            *(
                Window(side.tiles.name, (stage, *((terms, at) if side.is_turned else (at, terms))))
                for side, at in ((left, row), (right, index(0)))
            ),
        )
        turned = left.is_turned, right.is_turned
        made = GroupProduct(self.dtype, self.tile.columns, turned)
        inner = unrolled(i, self.tile.rows, Call(made.name, windows))
        return unrolled(term, self.tile.depth // each, inner)

    def _finished(self, registers: list[Buffer]) -> Block:
        """What is to be done with each sum. Adds the `registers` that it needs."""
        sums = FragmentSums(self.sums, THREADS)
        done = finished(self.blocks, sums, self._own, index(0))
        registers += done.registers
        return done.block
