"""Tiles of a product's operands that the card's copy engine brings as boxes, whatever of them lies
outside of the operand being zero.

    async tiles { call @bulk_bf16x128(left[stage, 0, 0], x[m, step * 64]; ..);  ..
                  call @arrive(full[stage]) }
"""

from __future__ import annotations

from dataclasses import dataclass

from .....expr import TRUE, Expr, Var, index, substitute_vars, vars_of
from .....tile.analyses.alignment import alignment_of
from .....tile.instructions.bulk import (
    BOX_ALIGNMENT,
    CHUNK_BYTES,
    box_columns,
    box_layout,
    bulk_name,
)
from .....tile.nodes import Block, Buffer, Call, Space, Window
from .....tile.tree import Names, extent_of, var
from .contraction import Contraction, Operand, narrowed

MOST_AXES = 5  # of an array that the engine knows


@dataclass(frozen=True)
class Boxed:
    """An operand whose tiles `[stage, row, term]` a block has in shared memory, or
    `[stage, term, row]` where neighbours in memory are rows."""

    contraction: Contraction
    operand: Operand
    tiles: Buffer
    first: Var  # the row that the block's tile begins with
    sizes: tuple[int, int]  # rows and terms of a tile
    ends: int  # terms that all tiles have, with those past the last one
    overlaps: bool = False  # the engine does not mind where the last row is
    last_first: int = 0

    @staticmethod
    def of(
        contraction: Contraction,
        stages: int,
        operand: Operand,
        name: str,
        sizes: tuple[int, int],
        ends: int,
        names: Names,
    ) -> Boxed:
        operand = narrowed(operand)
        load = operand.plain
        assert load is not None
        shape = sizes if contraction.runs_along_terms(operand) else sizes[::-1]
        own = names.fresh(name, "_")
        layout = box_layout((stages, *shape), load.dtype)
        tiles = Buffer(own, load.dtype, (stages, *shape), Space.SHARED, layout, BOX_ALIGNMENT)
        first = var(names.fresh(f"{name}.first"))
        return Boxed(contraction, operand, tiles, first, sizes, ends)

    @property
    def is_turned(self) -> bool:
        """Whether a row of the tiles holds one term of neighbouring rows of the operand."""
        return not self.contraction.runs_along_terms(self.operand)

    def brought(self, step: Expr, stage: Expr) -> Block:
        """Copies of a step's boxes into a stage."""
        load = self.operand.plain
        assert load is not None
        (term,), (row,) = self.contraction.terms, self.operand.loops
        _, high, across = self.tiles.shape
        width = box_columns(load.dtype)
        extents = self.contraction.kernel.buffers[load.buffer].shape[-2:]
        calls: list[Call] = []
        for column in range(0, across, width):
            starts = {term.axis: step * self.sizes[1], row.axis: self.first}
            inner = row.axis if self.is_turned else term.axis
            starts[inner] = starts[inner] + column
            at = tuple(substitute_vars(part, starts) for part in load.indices)
            to = Window(self.tiles.name, (stage, index(0), index(column)))
            left = tuple(
                index(extent) - place for extent, place in zip(extents, at[-2:], strict=True)
            )
            calls.append(Call(bulk_name(load.dtype, high), (to, Window(load.buffer, at)), left))
        return tuple(calls)


def has_boxes(contraction: Contraction, operand: Operand) -> bool:
    """Whether the engine can bring an operand, given before it was widened: its last two axes are
    rows and terms, and its rows in memory begin where the engine can begin."""
    load = operand.plain
    if load is None or operand.guard != TRUE:
        return False
    if len(contraction.terms) != 1 or len(operand.loops) != 1:
        return False
    buffer = contraction.kernel.buffers[load.buffer]
    rank = len(buffer.shape)
    if buffer.layout is not None or not 2 <= rank <= MOST_AXES:
        return False
    if buffer.shape[-1] * buffer.dtype.bytes % CHUNK_BYTES or alignment_of(buffer) % CHUNK_BYTES:
        return False
    (term,), (row,) = contraction.terms, operand.loops
    along = [var(row.axis), var(term.axis)]
    *outer, high, wide = load.indices
    free = all(not vars_of(part) & {row.axis, term.axis} for part in outer)
    starts = all(loop.start == index(0) for loop in (term, row))
    if not free or not starts or [high, wide] not in (along, along[::-1]):
        return False
    # What lies past the last term must be zero: the end of the array, not of a part of it.
    return buffer.shape[-1 if wide == var(term.axis) else -2] == extent_of(term)
