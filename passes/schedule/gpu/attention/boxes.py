"""Tiles of attention's operands that the card's copy engine brings as boxes; rows past the last one
are zero, and so is what is past their ends.

    async tiles { call @bulk_bf16x128(keys[stage, 0, 0], k[b, key, 0]; key, 2000, 0, 64);  ..
                  call @arrive(keys_full[stage]) }
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .....expr import Expr, index
from .....ops.kernels.stored import Stored
from .....tile.analyses.alignment import alignment_of
from .....tile.instructions.bulk import (
    BOX_ALIGNMENT,
    CHUNK_BYTES,
    MOST_AXES,
    Box,
    box_columns,
    box_layout,
)
from .....tile.nodes import Block, Buffer, Call, Space, Window
from .....tile.tree import Names


@dataclass(frozen=True)
class AttentionBoxes:
    """An operand whose tiles `[stage, row, column]` a block has in shared memory."""

    stored: Stored
    tiles: Buffer

    @staticmethod
    def of(stored: Stored, name: str, shape: tuple[int, int, int], names: Names) -> AttentionBoxes:
        """Tiles of so many stages, rows and columns; these are whole boxes."""
        dtype = stored.buffer.dtype
        layout = box_layout(shape, dtype)
        own = names.fresh(name, "_")
        return AttentionBoxes(
            stored, Buffer(own, dtype, shape, Space.SHARED, layout, BOX_ALIGNMENT)
        )

    def brought(self, batch: Sequence[Expr], row: Expr, stage: Expr) -> Block:
        """Copies of boxes that begin at a row into a stage."""
        _, high, across = self.tiles.shape
        source, axis = self.stored.buffer, self.stored.axes[-2]
        apart = len(source.shape) - 2 - axis  # axes between rows and their elements
        box = Box(source.dtype, (high, *(1 for _ in range(apart))))
        calls: list[Call] = []
        for column in range(0, across, box_columns(source.dtype)):
            at = self.stored.place(tuple(batch), row, index(column))
            to = Window(self.tiles.name, (stage, index(0), index(column)))
            calls.append(box.call(to, Window(source.name, at), source.shape))
        return tuple(calls)


def can_be_boxed(stored: Stored) -> bool:
    """Whether the engine can bring rows of an operand: elements of a row lie side by side, at most
    heads are between rows, and they begin where it can begin."""
    buffer, rank = stored.buffer, len(stored.axes)
    if buffer.layout is not None or not 2 <= rank <= MOST_AXES:
        return False
    if buffer.shape[-1] * buffer.dtype.bytes % CHUNK_BYTES or alignment_of(buffer) % CHUNK_BYTES:
        return False
    *_, row, column = stored.axes
    return column == rank - 1 and rank - row in (2, 3)
