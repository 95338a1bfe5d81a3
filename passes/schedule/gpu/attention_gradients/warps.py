"""Warps that multiply fragments, for the gradients of attention: a warp has sixteen rows, or twice
as many, for which what comes by is loaded once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .....expr import Expr
from .....ops.nn.attention_gradient import BlockedAttentionGradient
from .....sizes import round_up
from .....tile.instructions.warps import COLUMNS, LANES, ROWS, TERMS
from .....tile.nodes import Block, Buffer, Space, Stmt
from .....tile.tree import Names, var
from .....types import DType, f32
from ..attention.fragment_products import PAIR, narrowed, product, summed
from ..attention.running_softmax import maxima, raised
from ..attention.tiles import WIDE_ROWS
from ..products.fragments import Fragments
from ..products.operand import Staged
from ..products.warp_tiles import swizzled
from .units import Element, Row


@dataclass(frozen=True)
class WarpUnit:
    """The warps of a block."""

    own: Fragments
    warp: str
    warps: int
    dtype: DType
    fragments: int  # of rows in a warp
    row_lanes: int = 4

    @staticmethod
    def of(
        names: Names, op: BlockedAttentionGradient, dtype: DType, depths: Mapping[str, int]
    ) -> WarpUnit:
        """With sums of such depths."""
        columns, fragments = op.columns, 2 if op.rows >= WIDE_ROWS else 1
        shapes: dict[str, tuple[DType, tuple[int, ...]]] = {
            "a": (dtype, (1, fragments, LANES, 8)),
            "b": (dtype, (PAIR, LANES, 4)),
            "weights": (dtype, (columns // TERMS, fragments, LANES, 8)),
            **dict.fromkeys(
                ("scores", "toward"), (f32, (fragments, columns // COLUMNS, LANES, 4))
            ),
            **{
                name: (f32, (fragments, round_up(depth, TERMS) // COLUMNS, LANES, 4))
                for name, depth in depths.items()
            },
            **dict.fromkeys(
                ("top", "own", "other", "total", "along"), (f32, (fragments, LANES, 2))
            ),
        }
        own = Fragments.of(names, shapes)
        warps = op.rows // (ROWS * fragments)
        return WarpUnit(own, names.fresh("warp"), warps, dtype, fragments)

    @property
    def kept(self) -> tuple[Buffer, ...]:
        return tuple(self.own.buffers.values())

    def padded(self, depth: int) -> int:
        return round_up(depth, TERMS)

    def tiles(self, name: str, stages: int, high: int, wide: int) -> Buffer:
        shape = (stages, high, wide)
        return Buffer(name, self.dtype, shape, Space.SHARED, swizzled(shape, self.dtype))

    @property
    def _first_row(self) -> Expr:
        return var(self.warp) * (ROWS * self.fragments)

    def by_row(self, body: Callable[[Row], Block]) -> Stmt:
        def one(lane: Expr, i: Expr, h: Expr) -> Block:
            place = self._first_row + i * ROWS + h * (ROWS // 2) + lane // 4
            return body(Row((i, lane, h), place))

        return self.own.lanes([self.fragments, 2], one)

    def scores_of(self, row: Row, body: Element) -> Block:
        return self.sums_of("scores", row, body)

    def sums_of(self, name: str, row: Row, body: Element) -> Block:
        i, lane, h = row.at

        def one(j: Expr, pair: Expr) -> Block:
            return body((i, j, lane, h * 2 + pair), j * COLUMNS + lane % 4 * 2 + pair)

        return self.own.unrolled([self.own.extent(name, 1), 2], one)

    def product(
        self, name: str, rows: Staged, columns: Staged, stage: Expr, begun: Stmt | None = None
    ) -> Block:
        return product(self.own, name, rows, columns, self._first_row, stage, begun=begun)

    def summed(self, name: str, terms: Staged, stage: Expr, *, again: bool = False) -> Block:
        return (*narrowed(self.own, self.dtype), *summed(self.own, name, terms, stage))

    def maxima(self) -> Block:
        return maxima(self.own)

    def raised(self) -> Block:
        return raised(self.own)
