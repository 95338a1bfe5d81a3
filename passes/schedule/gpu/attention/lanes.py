"""Attention of f32 by lanes that multiply in registers: each warp has some queries, a lane some of
them and every eighth key; weights go through shared memory to the lanes that need them next.

    block: warp: {async tiles {queries};  async tiles {keys, values <- step 0};  ..
      for step: {wait tiles;  sync;  async tiles {keys, values <- step + 1};
                 lane: scores[i, j] = sum over d of queries[i, d] * keys[j, d];
                 if max of scores > top + 8: {top = max of scores;  sums shrink by its growth};
                 lane: weights[i, j] = 2 ** (scores[i, j] - top);  sync warp;
                 lane: sums[i, e] += sum over t of weights[i, t] * values[t, e]}
      lane: y[s, e] = sums[i, e] / total}
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from .....expr import Expr, Var, apply, const, index
from .....ops.nn.blocked_attention import BlockedAttention
from .....sizes import round_up
from .....tile.instructions.warps import LANES
from .....tile.nodes import (
    Block,
    Buffer,
    If,
    Kernel,
    Let,
    Ref,
    Space,
    Stmt,
    Store,
    Sync,
)
from .....tile.tree import var
from .....types import f32
from ..products.fragments import Fragments
from .blocks import AttentionBlocks
from .lane_products import added, largest, scored
from .parts import Parts
from .running_softmax import LOWEST, exchanged, grown
from .steps import Steps, attention_kernel, staged_operand
from .tiles import (
    HIGH,
    LANE_ROWS,
    PADDING,
    QUAD,
    WEIGHTS_PADDING,
    WIDE,
    WIDE_ROWS,
)

STEPS = (1, 2, 4)  # between the lanes that have a row


def attention_by_lanes(op: BlockedAttention, naive: Kernel) -> Kernel:
    """The kernel of an attention of f32."""
    return _Lanes.of(AttentionBlocks.of(op, naive)).kernel()


@dataclass(frozen=True)
class _Lanes:
    """The work of writing an attention by lanes, which stand four rows high and eight keys wide."""

    blocks: AttentionBlocks
    steps: Steps
    rows: int  # of a warp
    weights: Buffer
    own: Fragments

    @staticmethod
    def of(blocks: AttentionBlocks) -> _Lanes:
        op = blocks.op
        each = LANE_ROWS * (2 if op.rows >= WIDE_ROWS else 1)  # rows of a lane
        threads = op.rows // (each * HIGH) * LANES
        depth = round_up(blocks.queries.shape[-1], QUAD)
        width = round_up(blocks.values.shape[-1], WIDE * QUAD)
        padded = partial(_tiles, padding=PADDING)
        sides = (
            staged_operand(blocks, "queries", blocks.queries, f32, depth, threads, padded),
            staged_operand(blocks, "keys", blocks.keys, f32, depth, threads, padded),
            staged_operand(blocks, "values", blocks.values, f32, width, threads, _tiles),
        )
        shape = (op.rows, op.columns + WEIGHTS_PADDING)
        weights = Buffer(blocks.names.fresh("weights", "_"), f32, shape, Space.SHARED)
        keys = op.columns // WIDE
        shapes = {
            "scores": (each, LANES, keys),
            "sums": (each, LANES, width // WIDE),
            "a": (each, LANES, QUAD),
            "b": (keys, LANES, QUAD),
            "c": (LANES, width // WIDE),
            **dict.fromkeys(("top", "own", "other", "total"), (each, LANES, 1)),
        }
        own = Fragments.of(blocks.names, {name: (f32, entry) for name, entry in shapes.items()})
        steps = Steps(blocks, blocks.names.fresh("warp"), sides[:1], sides[1:])
        return _Lanes(blocks, steps, each * HIGH, weights, own)

    def kernel(self) -> Kernel:
        """All of it: the blocks, and what joins their parts."""
        parts = Parts.of(self.blocks) if self.blocks.op.parts > 1 else None
        body: Block = (
            self._cleared(),
            *self.steps.started(),
            *self.steps.loops(self._step),
            *self._finished(parts),
        )
        locals_ = (self.weights, *self.own.buffers.values())
        warps = self.blocks.op.rows // self.rows
        return attention_kernel(self.blocks, self.steps, warps, body, locals_, parts)

    @property
    def _each(self) -> int:
        return self.own.extent("scores", 0)

    @property
    def _keys(self) -> int:
        return self.own.extent("scores", 2)

    def _row(self, lane: Expr, i: Expr) -> Expr:
        """A lane's i-th row of the block."""
        return var(self.steps.warp) * self.rows + i * HIGH + lane // WIDE

    def _cleared(self) -> Stmt:
        zero, lowest = const(0, f32), const(LOWEST, f32)

        def row(lane: Expr, i: Expr) -> Block:
            return (
                self.own.store("top", lowest, i, lane, index(0)),
                self.own.store("total", zero, i, lane, index(0)),
                *self.own.unrolled(
                    [self.own.extent("sums", 2)],
                    lambda e: (self.own.store("sums", zero, i, lane, e),),
                ),
            )

        return self.own.lanes([self._each], row)

    # Steps over the keys

    def _step(self, stage: Expr, first_key: Var, *, masked: bool) -> Block:
        (queries,), (keys, values) = self.steps.once, self.steps.each
        return (
            scored(self.own, "scores", self._row, queries, keys, stage),
            *((self._masked(first_key),) if masked else ()),
            *self._weighted(),
            Sync("warp"),
            added(self.own, "sums", self._row, self.weights, values, stage),
        )

    def _masked(self, first_key: Expr) -> Stmt:
        """The scores of a block of which some are not seen, or that a mask changes."""

        def row(lane: Expr, i: Expr) -> Block:
            lets, own, axes = self.blocks.row(self._row(lane, i))

            def one(j: Expr) -> Block:
                key = var(self.blocks.axis("key"))
                score = self.blocks.masked(self.own.load("scores", i, lane, j), own, axes, key)
                place = first_key + j * WIDE + lane % WIDE
                return (Let(key.name, place), self.own.store("scores", score, i, lane, j))

            return (*lets, *self.own.unrolled([self._keys], one))

        return self.own.lanes([self._each], row)

    def _weighted(self) -> Block:
        """Scores become weights, in shared memory, and totals of them."""
        zero = index(0)

        def weights(lane: Expr, i: Expr) -> Block:
            def one(j: Expr) -> Block:
                weight = Var(f32, self.blocks.axis("weight"))
                exponent = self.blocks.exponent(self.own.load("scores", i, lane, j))
                top = self.own.load("top", i, lane, zero)
                at = (self._row(lane, i), j * WIDE + lane % WIDE)
                return (
                    Let(weight.name, apply("exp2", exponent - top)),
                    self.own.add("total", weight, i, lane, zero),
                    Store(Ref(self.weights.name, at), weight),
                )

            return self.own.unrolled([self._keys], one)

        def shrunk(rate: Expr, lane: Expr, i: Expr, _: Expr) -> Block:
            def less(name: str, e: Expr) -> Store:
                return self.own.store(name, self.own.load(name, i, lane, e) * rate, i, lane, e)

            sums = self.own.unrolled([self.own.extent("sums", 2)], lambda e: (less("sums", e),))
            return (less("total", zero), *sums)

        every = [self._each]
        return (
            largest(self.own),
            *self.own.unrolled(every, lambda i: self._joined("own", "max", i)),
            grown(self.own, self.blocks.exponent, shrunk),
            self.own.lanes(every, weights),
        )

    def _joined(self, name: str, function: str, i: Expr) -> Block:
        """What the lanes of a row have of it, joined."""
        return tuple(
            part for step in STEPS for part in exchanged(self.own, name, function, i, step)
        )

    # Results

    def _finished(self, parts: Parts | None) -> Block:
        """Means of the values; of a part of the keys, sums and what is needed to join them."""
        zero, width = index(0), self.own.extent("sums", 2)

        def row(lane: Expr, i: Expr) -> Block:
            lets, own, axes = self.blocks.row(self._row(lane, i))
            total = self.own.load("total", i, lane, zero)
            inverse = Var(f32, self.blocks.axis("inverse"))

            def one(q: Expr, u: Expr) -> Block:
                sum_ = self.own.load("sums", i, lane, q * QUAD + u)
                column = var(self.blocks.axis("column"))
                if parts is None:
                    store = self.blocks.stored(sum_ * inverse, axes, column)
                else:
                    store = parts.kept_sum(self.blocks.places(axes), column, sum_)
                here = Let(column.name, (q * WIDE + lane % WIDE) * QUAD + u)
                return (here, *self.blocks.inside(own, column, width * WIDE, (store,)))

            body = self.own.unrolled([width // QUAD, QUAD], one)
            if parts is not None:
                top = self.own.load("top", i, lane, zero)
                kept = parts.kept_row(self.blocks.places(axes), top, total)
                inside = self.blocks.inside(own, None, width * WIDE, kept)
                return (*lets, If((lane % WIDE).eq(zero), inside), *body)
            return (*lets, Let(inverse.name, self.blocks.inverse(total)), *body)

        return (
            *self.own.unrolled([self._each], lambda i: self._joined("total", "add", i)),
            self.own.lanes([self._each], row),
        )


def _tiles(name: str, shape: tuple[int, int, int], padding: int = 0) -> Buffer:
    """Tiles with some elements more a row."""
    stages, high, wide = shape
    return Buffer(name, f32, (stages, high, wide + padding), Space.SHARED)
