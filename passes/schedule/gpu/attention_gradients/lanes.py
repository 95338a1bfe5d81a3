"""Lanes that multiply f32 in registers, for the gradients of attention: those of a warp stand four
rows high and eight columns wide, and have four rows each. Scores go through shared memory to the
lanes that need them next.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .....expr import Expr, apply, index
from .....ops.nn.attention_gradient import BlockedAttentionGradient
from .....sizes import round_up
from .....tile.instructions.warps import LANES
from .....tile.nodes import Block, Buffer, Ref, Space, Stmt, Store, Sync
from .....tile.tree import Names, var
from .....types import DType, f32
from ..attention.lane_products import added, largest, scored
from ..attention.tiles import HIGH, LANE_ROWS, PADDING, QUAD, WEIGHTS_PADDING, WIDE
from ..products.fragments import Fragments
from ..products.operand import Staged
from .units import Element, Row, joined


@dataclass(frozen=True)
class LaneUnit:
    """The lanes of a block; `weights` are its scores in shared memory."""

    own: Fragments
    warp: str
    warps: int
    weights: Buffer
    dtype: DType = f32
    row_lanes: int = WIDE

    @staticmethod
    def of(names: Names, op: BlockedAttentionGradient, depths: Mapping[str, int]) -> LaneUnit:
        """With sums of such depths."""
        keys = op.columns // WIDE
        widths = {name: _whole(depth) // WIDE for name, depth in depths.items()}
        shapes = {
            "a": (LANE_ROWS, LANES, QUAD),
            "b": (keys, LANES, QUAD),
            "c": (LANES, max(widths.values())),
            **dict.fromkeys(("scores", "toward"), (LANE_ROWS, LANES, keys)),
            **{name: (LANE_ROWS, LANES, width) for name, width in widths.items()},
            **dict.fromkeys(("top", "own", "other", "total", "along"), (LANE_ROWS, LANES, 1)),
        }
        own = Fragments.of(names, {name: (f32, shape) for name, shape in shapes.items()})
        shape = (op.rows, op.columns + WEIGHTS_PADDING)
        weights = Buffer(names.fresh("weights", "_"), f32, shape, Space.SHARED)
        return LaneUnit(own, names.fresh("warp"), op.rows // (LANE_ROWS * HIGH), weights)

    @property
    def kept(self) -> tuple[Buffer, ...]:
        return (self.weights, *self.own.buffers.values())

    def padded(self, depth: int) -> int:
        return _whole(depth)

    def tiles(self, name: str, stages: int, high: int, wide: int) -> Buffer:
        return Buffer(name, f32, (stages, high, wide + PADDING), Space.SHARED)

    def _row(self, lane: Expr, i: Expr) -> Expr:
        """A lane's i-th row of the block."""
        return var(self.warp) * (LANE_ROWS * HIGH) + i * HIGH + lane // WIDE

    def by_row(self, body: Callable[[Row], Block]) -> Stmt:
        return self.own.lanes(
            [LANE_ROWS], lambda lane, i: body(Row((i, lane, index(0)), self._row(lane, i)))
        )

    def scores_of(self, row: Row, body: Element) -> Block:
        i, lane, _ = row.at
        return self.own.unrolled(
            [self.own.extent("scores", 2)], lambda j: body((i, lane, j), j * WIDE + lane % WIDE)
        )

    def sums_of(self, name: str, row: Row, body: Element) -> Block:
        i, lane, _ = row.at

        def one(q: Expr, u: Expr) -> Block:
            return body((i, lane, q * QUAD + u), (q * WIDE + lane % WIDE) * QUAD + u)

        return self.own.unrolled([self.own.extent(name, 2) // QUAD, QUAD], one)

    def product(
        self, name: str, rows: Staged, columns: Staged, stage: Expr, begun: Stmt | None = None
    ) -> Block:
        product = scored(self.own, name, self._row, rows, columns, stage, clears=begun is None)
        return (product,) if begun is None else (begun, product)

    def summed(self, name: str, terms: Staged, stage: Expr, *, again: bool = False) -> Block:
        def kept(row: Row) -> Block:
            def one(at: tuple[Expr, ...], column: Expr) -> Block:
                place = Ref(self.weights.name, (row.place, column))
                return (Store(place, self.own.load("scores", *at)),)

            return self.scores_of(row, one)

        # Lanes may still read what the product before was of; those of the last step do not.
        return (
            *((Sync("warp"),) if again else ()),
            self.by_row(kept),
            Sync("warp"),
            added(self.own, name, self._row, self.weights, terms, stage),
        )

    def maxima(self) -> Block:
        return (largest(self.own), *joined(self, "own", "max"))

    def raised(self) -> Block:
        def row(row: Row) -> Block:
            def one(at: tuple[Expr, ...], _: Expr) -> Block:
                power = apply("exp2", self.own.load("scores", *at))
                return (self.own.store("scores", power, *at),)

            return self.scores_of(row, one)

        return (self.by_row(row),)


def _whole(depth: int) -> int:
    return round_up(depth, WIDE * QUAD)
