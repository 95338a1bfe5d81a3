"""The warpgroup that brings the tiles of an attention, and the barriers at which it meets those
that multiply: one for each stage of tiles that are there, one for each that is free again.

    async tiles {queries;  arrive queries_full}
    for step: {await keys_empty[s];  async tiles {keys <- step;  arrive keys_full[s]}
               await values_empty[s];  async tiles {values <- step;  arrive values_full[s]}}
"""

from __future__ import annotations

from dataclasses import dataclass

from .....expr import Expr, index
from .....ops.kernels.stored import Stored
from .....tile.instructions.barriers import ARRIVE, ARRIVE_WARPS, FENCE, INIT, WARPS
from .....tile.instructions.bulk import box_columns
from .....tile.instructions.warpgroups import ROWS, registers_name
from .....tile.nodes import Async, Await, Block, Buffer, Call, Kind, Loop, Ref, Space, Stmt, Window
from .....tile.tree import Names, var
from .....types import DType, i64
from ..products.blocks import unrolled
from .blocks import AttentionBlocks
from .boxes import AttentionBoxes
from .tiles import GROUP_COLUMNS, GROUP_ROWS, STAGES

TILES = "tiles"  # a group of what is asynchronous
GROUPS = GROUP_ROWS // ROWS  # of warps that multiply
REGISTERS = 40  # of a thread that brings tiles


@dataclass(frozen=True)
class Tiles:
    """Tiles of an operand and their barriers; those that come once need not be free again."""

    boxes: AttentionBoxes
    full: Buffer
    empty: Buffer | None

    @staticmethod
    def of(stored: Stored, name: str, shape: tuple[int, int, int], names: Names) -> Tiles:
        stages = shape[0]
        full, empty = (
            Buffer(names.fresh(f"{name}_{state}", "_"), i64, (stages,), Space.BARRIER)
            for state in ("full", "empty")
        )
        boxes = AttentionBoxes.of(stored, name, shape, names)
        return Tiles(boxes, full, empty if stages > 1 else None)

    @property
    def name(self) -> str:
        return self.boxes.tiles.name

    @property
    def shape(self) -> tuple[int, ...]:
        return self.boxes.tiles.shape

    @property
    def buffers(self) -> tuple[Buffer, ...]:
        barriers = (self.full,) if self.empty is None else (self.full, self.empty)
        return (self.boxes.tiles, *barriers)

    def awaited(self, step: Expr) -> Stmt:
        """Wait until the tile of a step is there."""
        return Await(Ref(self.full.name, (step % STAGES,)), step // STAGES % 2)

    def released(self, step: Expr) -> Stmt:
        """The stage of a step may have another tile."""
        assert self.empty is not None
        return Call(ARRIVE_WARPS, (Window(self.empty.name, (step % STAGES,)),))


@dataclass(frozen=True)
class Bringing:
    """The tiles of a block."""

    blocks: AttentionBlocks
    queries: Tiles
    keys: Tiles
    values: Tiles

    @staticmethod
    def of(blocks: AttentionBlocks, dtype: DType) -> Bringing:
        width = box_columns(dtype)

        def tiles(stored: Stored, name: str, stages: int, rows: int) -> Tiles:
            columns = -(-stored.shape[-1] // width) * width
            return Tiles.of(stored, name, (stages, rows, columns), blocks.names)

        return Bringing(
            blocks,
            tiles(blocks.queries, "queries", 1, GROUP_ROWS),
            tiles(blocks.keys, "keys", STAGES, GROUP_COLUMNS),
            tiles(blocks.values, "values", STAGES, GROUP_COLUMNS),
        )

    @property
    def buffers(self) -> tuple[Buffer, ...]:
        """Tiles and barriers."""
        return (*self.queries.buffers, *self.keys.buffers, *self.values.buffers)

    def begun(self) -> Stmt:
        """The barriers made: tiles arrive at once, each warp that multiplied them alone."""
        made: list[Stmt] = []
        for side in (self.queries, self.keys, self.values):
            for barrier, arrivals in ((side.full, 1), (side.empty, WARPS * GROUPS)):
                if barrier is not None:
                    stage = self.blocks.axis("stage")
                    window = Window(barrier.name, (var(stage),))
                    one = Call(INIT, (window,), (index(arrivals),))
                    made.append(unrolled(stage, barrier.shape[0], one))
        return self._alone(*made, Call(FENCE, ()))

    def brought(self) -> Block:
        """All tiles, in the order in which they are multiplied."""
        step = var(self.blocks.axis("step"))
        key, stage, phase = self.blocks.first_key(step), step % STAGES, step // STAGES
        body: list[Stmt] = []
        for side in (self.keys, self.values):
            assert side.empty is not None
            body.append(Await(Ref(side.empty.name, (stage,)), (phase + 1) % 2))
            body.append(self._copied(side, key, stage))
        first = self._copied(self.queries, self.blocks.first_row, index(0))
        steps = Loop(step.name, index(0), self.blocks.steps, tuple(body))
        return (Call(registers_name(REGISTERS), ()), self._alone(first, steps))

    def _copied(self, side: Tiles, row: Expr, stage: Expr) -> Stmt:
        copies = side.boxes.brought(self.blocks.places_of_axes, row, stage)
        return Async(TILES, (*copies, Call(ARRIVE, (Window(side.full.name, (stage,)),))))

    def _alone(self, *body: Stmt) -> Loop:
        """What the first thread of a warpgroup does."""
        return Loop(self.blocks.axis("first"), index(0), index(1), body, Kind.LANE)
