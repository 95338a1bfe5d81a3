"""The launch that sums pieces of columns: by warps, whose sums the first of them joins.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ....expr import COMBINERS, Expr, Load, const, index
from ....target import Gpu
from ....tile.analyses.alignment import WIDEST
from ....tile.instructions.copies import load_name, store_name
from ....tile.instructions.warps import LANES
from ....tile.nodes import (
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
    Window,
)
from ....tile.traverse import substitute_block
from ....tile.tree import Names, accesses, extent_of, nest, tidy, var
from .columns import Columns
from .grid import axes_at
from .held import Held, at_place
from .wide import Run
from .work import body_of, iterations

EACH = 4  # rows that a warp has on their way at once
MOST_PIECES = 128  # each is read again
ZERO = index(0)


def bind_columns(columns: Columns, gpu: Gpu) -> tuple[Kernel, Kernel, tuple[Buffer, ...]]:
    """The launch that sums pieces, the kernel that remains to be done, not scheduled yet, and the
    buffers with the pieces between them."""
    kernel, run = columns.kernel, columns.run()
    warps = max(1, gpu.block_threads // LANES)
    groups = -(-extent_of(columns.loops[-1]) // (LANES * run.width))
    blocks = groups * iterations(list(columns.loops[:-1]))
    rows = extent_of(columns.rows)
    wanted = -(-2 * gpu.multiprocessors // blocks)
    pieces = max(1, min(wanted, MOST_PIECES, rows // (warps * EACH)))
    size = -(-rows // (pieces * warps)) * warps
    pieces = -(-rows // size)
    names = Names(kernel)
    shape = (pieces, *map(extent_of, columns.loops))
    made = tuple(
        Buffer(names.fresh("pieces", "_"), value.dtype, shape, alignment=WIDEST)
        for value in columns.update.values
    )
    summed = Pieces(columns, run, names, made, warps, groups, pieces, size).kernel()
    return summed, _rest(columns, names, made), made


def _rest(columns: Columns, names: Names, made: tuple[Buffer, ...]) -> Kernel:
    """The kernel with the pieces in place of the rows."""
    kernel, piece = columns.kernel, names.fresh("piece")
    at = (var(piece), *(var(loop.axis) - loop.start for loop in columns.loops))
    values = tuple(Load(buffer.dtype, buffer.name, at) for buffer in made)
    join = replace(columns.update, values=values)
    body = list(body_of(kernel, list(columns.loops)))
    body[columns.place] = Loop(piece, ZERO, index(made[0].shape[0]), (join,))
    inside = nest(list(columns.loops), tuple(body))
    used = {name for name, _, _ in accesses(inside)}
    params = tuple(param for param in kernel.params if param.name in used)
    name = f"{kernel.name}_joined"
    return tidy(replace(kernel, name=name, params=(*made, *params), body=inside))


@dataclass(frozen=True)
class Pieces:
    """The work of writing the first launch."""

    columns: Columns
    run: Run
    names: Names
    pieces: tuple[Buffer, ...]
    warps: int
    groups: int
    count: int
    size: int  # rows of a piece

    def kernel(self) -> Kernel:
        """All of it."""
        names, kernel = self.names, self.columns.kernel
        *outer, last = self.columns.loops
        block, warp = names.fresh("block"), names.fresh("warp")
        first, piece = names.fresh("first"), names.fresh("piece")
        width, at = self.run.width, var(block)
        parts, shared = self._registers("part"), self._shared()
        totals, given = self._registers("total"), self._registers("given")
        held = Held.of(self.run, (), names)
        lets: Block = (
            Let(piece, at // self.groups % self.count),
            *axes_at(outer, at // (self.groups * self.count)),
        )

        def lanes(body: Block, condition: Expr | None = None) -> Stmt:
            lane, own = names.fresh("lane"), names.fresh(last.axis, "$")
            place = (at % self.groups * LANES + var(lane)) * width
            inside = var(own) < extent_of(last)
            guard = inside if condition is None else condition & inside
            body = _at_lane(body, lane, first, own)
            return Loop(
                lane, ZERO, index(LANES), (Let(own, place), If(guard, body)), Kind.LANE
            )

        summed = self._summed(warp, piece, first, held, parts)
        stored = tuple(
            stmt
            for part, to in zip(parts, shared, strict=True)
            for stmt in self._moved(to, (var(warp), var("lane#")), part, stores=True)
        )
        body: Block = (
            *lets,
            lanes((*summed, *stored)),
            Sync("block"),
            lanes(self._joined(piece, first, totals, given, shared), var(warp).eq(ZERO)),
        )
        inner = Loop(warp, ZERO, index(self.warps), body, Kind.WARP)
        blocks = index(self.groups * self.count * iterations(outer))
        grid = Loop(block, ZERO, blocks, (inner,), Kind.BLOCK)
        read = {name for name, _ in self.columns.reads()}
        return tidy(
            replace(
                kernel,
                name=f"{kernel.name}_pieces",
                params=(*(p for p in kernel.params if p.name in read), *self.pieces),
                outputs=tuple(buffer.name for buffer in self.pieces),
                body=(grid,),
                locals=(*held.registers.values(), *parts, *totals, *given, *shared),
            )
        )

    def _registers(self, name: str) -> list[Buffer]:
        shape, fresh = (self.run.width,), self.names.fresh
        values = self.columns.update.values
        return [Buffer(fresh(name, "_"), one.dtype, shape, Space.REGISTER) for one in values]

    def _shared(self) -> list[Buffer]:
        shape, fresh = (self.warps, LANES, self.run.width), self.names.fresh
        values = self.columns.update.values
        return [Buffer(fresh("parts", "_"), one.dtype, shape, Space.SHARED) for one in values]

    def _elements(self, body: Block, element: str) -> Stmt:
        return Loop(element, ZERO, index(self.run.width), body, Kind.UNROLL)

    def _summed(
        self, warp: str, piece: str, first: str, held: Held, parts: list[Buffer]
    ) -> Block:
        """The rows of a warp."""
        update, rows = self.columns.update, self.columns.rows
        n, total = self.names.fresh("e", "$"), extent_of(rows)
        read = [held.replaced(value, (), var(n)) for value in update.values]
        values = at_place(read, self.run.axis, var(first) + var(n))
        join = replace(
            update, targets=tuple(Ref(part.name, (var(n),)) for part in parts), values=values
        )
        turn, more = self.names.fresh("turn"), self.names.fresh("more")
        size = self.size
        row = (var(turn) * EACH + var(more)) * self.warps + var(warp)
        inside = (var(rows.axis) < total) & (row < size)
        body: Block = (*held.filled(var(first), ()), self._elements((join,), n))
        each: Block = (Let(rows.axis, var(piece) * size + row), If(inside, body))
        several = Loop(more, ZERO, index(EACH), each, Kind.UNROLL)
        turns = index(-(-size // (self.warps * EACH)))
        return (self._cleared(parts), Loop(turn, ZERO, turns, (several,)))

    def _cleared(self, registers: list[Buffer]) -> Stmt:
        e = self.names.fresh("e", "$")
        identities = COMBINERS[self.columns.update.combiner].identity
        clear = tuple(
            Store(Ref(one.name, (var(e),)), const(identity(one.dtype), one.dtype))
            for one, identity in zip(registers, identities, strict=True)
        )
        return self._elements(clear, e)

    def _moved(
        self, buffer: Buffer, at: tuple[Expr, ...], part: Buffer, *, stores: bool
    ) -> Block:
        """A run of registers to memory, or from there."""
        width = self.run.width
        if buffer.space is Space.SHARED:
            at = (*at, ZERO)
        if width == 1 and stores:
            return (Store(Ref(buffer.name, at), Load(part.dtype, part.name, (ZERO,))),)
        if width == 1:
            return (Store(Ref(part.name, (ZERO,)), Load(part.dtype, buffer.name, at)),)
        windows = (Window(buffer.name, at), Window(part.name, (ZERO,)))
        if stores:
            return (Call(store_name(part.dtype, width), windows),)
        return (Call(load_name(part.dtype, width), windows[::-1]),)

    def _joined(
        self,
        piece: str,
        first: str,
        totals: list[Buffer],
        given: list[Buffer],
        shared: list[Buffer],
    ) -> Block:
        """The parts of all warps, joined by the first in their order."""
        warp, e = self.names.fresh("other"), self.names.fresh("e", "$")
        taken = tuple(
            stmt
            for own, to in zip(shared, given, strict=True)
            for stmt in self._moved(own, (var(warp), var("lane#")), to, stores=False)
        )
        values = tuple(Load(one.dtype, one.name, (var(e),)) for one in given)
        targets = tuple(Ref(total.name, (var(e),)) for total in totals)
        join = replace(self.columns.update, targets=targets, values=values)
        body = (*taken, self._elements((join,), e))
        outer = (var(loop.axis) - loop.start for loop in self.columns.loops[:-1])
        start = (var(piece), *outer, var(first))
        stored = (
            stmt
            for total, to in zip(totals, self.pieces, strict=True)
            for stmt in self._moved(to, start, total, stores=True)
        )
        return (
            self._cleared(totals),
            Loop(warp, ZERO, index(self.warps), body, Kind.UNROLL),
            *stored,
        )


def _at_lane(body: Block, lane: str, first: str, own: str) -> Block:
    """Statements with the lane and the first column that they are for."""
    return substitute_block(body, {"lane#": var(lane), first: var(own)})
