"""Attention by warpgroups (Shah et al., FlashAttention-3, 2024): one brings keys and values by the
card's copy engine, each of the others has 64 queries and multiplies them out of shared memory. They
meet at barriers only. Weights are the left operand of the second product in registers; while they
are multiplied, the weights of the next keys are found.

    block: warpgroup g: if g < 1: {bring queries, keys, values} else: {
      await keys_full[0];  async products {scores = queries keysᵀ[0]};  wait products, 0
      weights = 2 ** (scores - top)
      for step in 1..steps: {
        await keys_full[s];  async products {scores = queries keysᵀ[s]}
        await values_full[s - 1];  async products {sums += weights values[s - 1]}
        wait products, 1;  arrive keys_empty[s];  scores = 2 ** (scores - top)
        wait products, 0;  arrive values_empty[s - 1];  sums *= rate;  weights = scores}
      await values_full[s];  async products {sums += weights values[s]};  wait products, 0
      y[s, e] = sums / total}
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from .....expr import Const, Expr, Var, apply, index
from .....ops.nn.blocked_attention import BlockedAttention
from .....tile.instructions.barriers import WARPS
from .....tile.instructions.warpgroups import ROWS, SETTLED, THREADS, GroupProduct, registers_name
from .....tile.instructions.warps import COLUMNS, LANES, TERMS
from .....tile.nodes import (
    Async,
    Await,
    Block,
    Call,
    If,
    Kernel,
    Kind,
    Let,
    Loop,
    Ref,
    Stmt,
    Sync,
    Wait,
    Window,
)
from .....tile.tree import copy_block, tidy, var
from .....types import DType, f32
from ..products.fragment_results import FragmentSums
from ..products.fragments import Fragments
from .blocks import AttentionBlocks
from .boxes import can_be_boxed
from .bringing import GROUPS, Bringing
from .group_softmax import begun, joined_totals, powers_of, shrunk, total_of, weights_of
from .means import Means
from .tiles import GROUP_COLUMNS, GROUP_ROWS, STAGES

PRODUCTS = "products"  # a group of what is asynchronous
REGISTERS = 232  # of a thread that multiplies


def can_attend_by_warpgroups(op: BlockedAttention, naive: Kernel, dtype: DType) -> bool:
    """Whether blocks are cut for warpgroups, and their operands come as boxes."""
    blocks = AttentionBlocks.of(op, naive)
    if (op.rows, op.columns, op.parts) != (GROUP_ROWS, GROUP_COLUMNS, 1) or len(blocks.rows) > 1:
        return False
    sides = (blocks.queries, blocks.keys, blocks.values)
    return all(side.buffer.dtype == dtype and can_be_boxed(side) for side in sides)


def attention_by_warpgroups(op: BlockedAttention, naive: Kernel, dtype: DType) -> Kernel:
    """The kernel of an attention that `can_attend_by_warpgroups`."""
    return _Groups.of(AttentionBlocks.of(op, naive), dtype).kernel()


@dataclass(frozen=True)
class _Groups:
    """The work of writing an attention by warpgroups."""

    blocks: AttentionBlocks
    group: str
    dtype: DType
    tiles: Bringing
    own: Fragments

    @staticmethod
    def of(blocks: AttentionBlocks, dtype: DType) -> _Groups:
        tiles = Bringing.of(blocks, dtype)
        out = tiles.values.shape[-1]
        shapes: dict[str, tuple[DType, tuple[int, ...]]] = {
            "scores": (f32, (THREADS, GROUP_COLUMNS // 2)),
            "weights": (dtype, (GROUP_COLUMNS // TERMS, THREADS, 8)),
            "sums": (f32, (1, THREADS, out // 2)),
            **dict.fromkeys(("total", "other"), (f32, (1, THREADS, 4))),
            **dict.fromkeys(("top", "own", "rate"), (f32, (1, THREADS, 2))),
        }
        own = Fragments.of(blocks.names, shapes, THREADS)
        return _Groups(blocks, blocks.names.fresh("group"), dtype, tiles, own)

    def kernel(self) -> Kernel:
        """All of it."""
        is_first = var(self.group) < 1
        body: Block = (
            *self.blocks.begin(),
            If(is_first, (self.tiles.begun(),)),
            Sync("block"),
            If(is_first, self.tiles.brought(), copy_block(self._multiplying(), self.blocks.names)),
        )
        inner = Loop(self.group, index(0), index(GROUPS + 1), body, Kind.WARPGROUP)
        outer = Loop(self.blocks.block, index(0), index(self.blocks.count), (inner,), Kind.BLOCK)
        locals_ = (*self.tiles.buffers, *self.own.buffers.values(), *self._means.registers)
        return tidy(replace(self.blocks.naive, body=(outer,), locals=locals_))

    @property
    def _own(self) -> Expr:
        """The warpgroup's first row of the block."""
        return (var(self.group) - 1) * ROWS

    # Steps over the keys

    def _multiplying(self) -> Block:
        last = self.blocks.steps - 1
        return (
            Call(registers_name(REGISTERS), ()),
            begun(self.own),
            Await(Ref(self.tiles.queries.full.name, (index(0),)), index(0)),
            *self._scores(index(0)),
            Wait(PRODUCTS, 0),
            self.tiles.keys.released(index(0)),
            *self._masked(index(0), is_masked=any(part.masked for part in self.blocks.stretches)),
            *powers_of(self.own, self.blocks.exponent),
            *weights_of(self.own, self.dtype),
            *self._loops(),
            *self._sums(last),
            Wait(PRODUCTS, 0),
            *joined_totals(self.own),
            *self._means.stored(),
        )

    def _loops(self) -> Block:
        """The steps after the first one."""
        loops: list[Stmt] = []
        for stretch in self.blocks.stretches:
            first = _largest(stretch.first, index(1))
            if first != stretch.last:
                step = self.blocks.axis("step")
                body = self._step(var(step), masked=stretch.masked)
                loops.append(Loop(step, first, stretch.last, body))
        return tuple(loops)

    def _step(self, step: Expr, *, masked: bool) -> Block:
        """The scores of a step, while the weights of the one before are multiplied."""
        before = step - 1
        return (
            *self._scores(step),
            *self._sums(before),
            Wait(PRODUCTS, 1),
            self.tiles.keys.released(step),
            *self._masked(step, is_masked=masked),
            *powers_of(self.own, self.blocks.exponent),
            self.own.call(SETTLED, total=(index(0),)),
            Wait(PRODUCTS, 0),
            self.tiles.values.released(before),
            shrunk(self.own),
            *weights_of(self.own, self.dtype),
        )

    def _scores(self, step: Expr) -> Block:
        """The products of queries and the keys of a step."""
        stage = step % STAGES
        scores = self.own.window("scores")
        first, rest = (
            GroupProduct(self.dtype, GROUP_COLUMNS, begun=begun) for begun in (True, False)
        )

        def term(made: GroupProduct, k: Expr) -> Stmt:
            rows = Window(self.tiles.queries.name, (index(0), self._own, k * TERMS))
            columns = Window(self.tiles.keys.name, (stage, index(0), k * TERMS))
            return Call(made.name, (scores, rows, columns))

        count = -(-self.blocks.queries.shape[-1] // TERMS)  # all others are zeros
        following = self.own.unrolled([count - 1], lambda k: (term(rest, k + 1),))
        products = (term(first, index(0)), *following)
        return (self.tiles.keys.awaited(step), Async(PRODUCTS, products))

    def _sums(self, step: Expr) -> Block:
        """The products of weights and the values of a step, added to the sums."""
        stage = step % STAGES
        made = GroupProduct(self.dtype, self.tiles.values.shape[-1], (False, True), held=True)

        def term(k: Expr) -> Block:
            values = Window(self.tiles.values.name, (stage, k * TERMS, index(0)))
            windows = (self.own.window("sums"), self.own.window("weights", k), values)
            return (Call(made.name, windows),)

        products = self.own.unrolled([GROUP_COLUMNS // TERMS], term)
        return (self.tiles.values.awaited(step), Async(PRODUCTS, products))

    def _row(self, lane: Expr, half: Expr) -> Expr:
        """The row of the block that a thread has in a half of its sums."""
        return self._own + lane // LANES * (ROWS // WARPS) + half * 8 + lane % LANES // 4

    def _masked(self, step: Expr, *, is_masked: bool) -> Block:
        """The scores of a step of which some are not seen, or that a mask changes."""
        first_key: Var = var(self.blocks.axis("key"))

        def row(lane: Expr, half: Expr) -> Block:
            lets, own, axes = self.blocks.row(self._row(lane, half))

            def one(j: Expr, pair: Expr) -> Block:
                at = (lane, j * 4 + half * 2 + pair)
                key = var(self.blocks.axis("key"))
                score = self.blocks.masked(self.own.load("scores", *at), own, axes, key)
                place = first_key + j * COLUMNS + lane % 4 * 2 + pair
                return (Let(key.name, place), self.own.store("scores", score, *at))

            return (*lets, *self.own.unrolled([GROUP_COLUMNS // COLUMNS, 2], one))

        if not is_masked:
            return ()
        return (Let(first_key.name, self.blocks.first_key(step)), self.own.lanes([2], row))

    # Results

    @cached_property
    def _means(self) -> Means:
        """Means of the values."""
        sums = FragmentSums(self.own.buffers["sums"], THREADS)

        def total(_: Expr, lane: Expr, half: Expr) -> Expr:
            return total_of(self.own, lane, half)

        return Means.of(self.blocks, sums, self._own, total)


def _largest(one: Expr, other: Expr) -> Expr:
    if isinstance(one, Const) and isinstance(other, Const):
        return index(max(int(one.value), int(other.value)))
    return apply("max", one, other)
