"""Tiles of a product's operands that the card's copy engine brings as boxes, whatever of them lies
outside of the operand being zero.

    async tiles { call @bulk_bf16x128(left[stage, 0, 0], x[m, step * 64]; m, 2000, step * 64, 520)
                  ..;  call @arrive(full[stage]) }

Rows of a convolution come in patches of an image (`patches.py`), a box each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .....expr import TRUE, Expr, Load, Var, index, substitute_vars, vars_of
from .....expr.simplify import linear
from .....tile.analyses.alignment import alignment_of
from .....tile.instructions.bulk import (
    BOX_ALIGNMENT,
    CHUNK_BYTES,
    MOST_AXES,
    Box,
    box_layout,
)
from .....tile.nodes import Block, Buffer, Space, Stmt, Window
from .....tile.tree import Names, extent_of, var
from .contraction import Contraction, Operand, count, narrowed
from .standing import Standing


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

    @property
    def _load(self) -> Load:
        load = self.operand.plain
        assert load is not None
        return load

    @property
    def _array(self) -> Buffer:
        return self.contraction.kernel.buffers[self._load.buffer]

    @property
    def _box(self) -> Box:
        """What is copied at once: a patch, or all that rows of the tiles are along their axis."""
        down = self.contraction.terms[-1:] if self.is_turned else self.operand.loops
        extents = {loop.axis: extent_of(loop) for loop in self.operand.patch}
        extents = extents or {down[-1].axis: self.tiles.shape[1]}
        rows = {loop.axis for loop in down}
        parts = self._load.indices[:-1]
        first = next(axis for axis, part in enumerate(parts) if vars_of(part) & rows)
        sides = [_side(part, extents) for part in parts[first:]]
        return Box(self._load.dtype, *map(tuple, zip(*sides, strict=True)))

    def places(self, names: Names) -> tuple[Block, list[Mapping[str, Expr]]]:
        """Where the boxes of a tile begin that lie behind each other: statements that name the
        places, and the axes of the operand's rows at each of them."""
        patch = self.operand.patch
        if not patch:
            return (), [{self.operand.loops[-1].axis: self.first}]
        lets: Block = ()
        found: list[Mapping[str, Expr]] = []
        outer, each = self.operand.loops[: -len(patch)], count(patch)
        for number in range(self.sizes[0] // each):
            at = Standing.at(outer, self.first // each + number, f"{self.tiles.name}.patch", names)
            lets = (*lets, *at.lets)
            found.append({**at.axes, **{loop.axis: loop.start for loop in patch}})
        return lets, found

    def brought(
        self, terms: Mapping[str, Expr], places: list[Mapping[str, Expr]], stage: Expr
    ) -> Block:
        """Copies of the boxes into a stage that begin at these terms and at the `places`."""
        box, (_, _, across) = self._box, self.tiles.shape
        inner = (self.operand.loops if self.is_turned else self.contraction.terms)[-1].axis

        def copy(number: int, column: int) -> Stmt:
            starts = {**terms, **places[number]}
            starts[inner] = starts[inner] + column
            at = tuple(substitute_vars(part, starts) for part in self._load.indices)
            to = Window(self.tiles.name, (stage, index(number * box.rows), index(column)))
            return box.call(to, Window(self._load.buffer, at), self._array.shape)

        columns = range(0, across, box.columns)
        return tuple(copy(number, column) for number in range(len(places)) for column in columns)


def _side(part: Expr, extents: Mapping[str, int]) -> tuple[int, int]:
    """How many places a box has along an axis, by the extents of what its index moves with, and how
    far these are apart."""
    terms = linear(part)
    found = ((size, terms[var(axis)]) for axis, size in extents.items() if var(axis) in terms)
    return next(found, (1, 1))


def is_boxable(contraction: Contraction, operand: Operand) -> bool:
    """Whether the engine knows the array that an operand, given before it was widened, is an
    element of: its rows in memory begin where the engine can begin."""
    load = operand.plain
    if load is None:
        return False
    buffer = contraction.kernel.buffers[load.buffer]
    if buffer.layout is not None or not 2 <= len(buffer.shape) <= MOST_AXES:
        return False
    row = buffer.shape[-1] * buffer.dtype.bytes
    return row % CHUNK_BYTES == 0 and alignment_of(buffer) % CHUNK_BYTES == 0


def has_boxes(contraction: Contraction, operand: Operand) -> bool:
    """Whether the engine can bring an operand, given before it was widened, as it is: the last two
    axes of its array are rows and terms."""
    load = operand.plain
    if load is None or operand.guard != TRUE or not is_boxable(contraction, operand):
        return False
    if len(contraction.terms) != 1 or len(operand.loops) != 1:
        return False
    buffer = contraction.kernel.buffers[load.buffer]
    (term,), (row,) = contraction.terms, operand.loops
    along = [var(row.axis), var(term.axis)]
    *outer, high, wide = load.indices
    free = all(not vars_of(part) & {row.axis, term.axis} for part in outer)
    starts = all(loop.start == index(0) for loop in (term, row))
    if not free or not starts or [high, wide] not in (along, along[::-1]):
        return False
    # What lies past the last term must be zero: the end of the array, not of a part of it.
    return buffer.shape[-1 if wide == var(term.axis) else -2] == extent_of(term)
