"""Transposes whose threads move sixteen bytes at once on both sides. In shared memory lie words: of
narrow types, those neighbours that the threads which write out want side by side.

    for m: for n: y[m, n] = x[n, m]     (x and y are bf16)
      ->  block: thread: {for k in 0..2: call load(x_[k, 0], x[p * 2 + k, r * 8]);
                          for e in 0..8: call store(tile[p, r * 8 + e, 0], x_[0..2, e]);  sync;
                          for j in 0..4: call load(y_[j * 2], tile[q * 4 + j, m, 0]);
                          call store(y[m, q * 8], y_[0])}

A column of the tile has one word more than the tile has rows. Neighbouring threads are as far apart
along one side as each has words there, and one word apart along the other, as many of them as that:
so each warp meets every bank once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from ....expr import TRUE, Expr, Load, all_of, index, substitute_vars
from ....tile.analyses.alignment import WIDEST
from ....tile.analyses.dependence import static_bounds
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
from ....tile.tree import Names, extent_of, tidy, var
from .grid import axes_at
from .held import Held, computed
from .transposed import Transposed
from .wide import Run, is_wide
from .work import iterations

BANK = 4  # bytes
SEGMENT = 8  # lanes that read side by side at most: 128 bytes
ZERO = index(0)


@dataclass(frozen=True)
class _Shape:
    """Of a tile, by the bytes of an element that is turned and how many of a row are written at
    once: the rows and words that threads have, and what of a warp lies side by side."""

    high: int  # rows that a thread reads at once
    packed: int  # elements of a word
    words: int  # that a thread writes at once
    readers: int  # lanes that read side by side
    writers: int  # lanes that write side by side

    @staticmethod
    def of(size: int, written: int) -> _Shape | None:
        packed = max(1, BANK // size)
        if size > 2 * BANK or written % packed:
            return None
        high, words = WIDEST // size, written // packed
        # Of words of two banks, half a warp goes at a time.
        together = LANES * BANK // max(BANK, size)
        return _Shape(high, packed, words, min(SEGMENT, LANES // high), together // words)

    @property
    def rows(self) -> int:
        return self.readers * self.high

    @property
    def columns(self) -> int:
        """Of words."""
        return self.writers * self.words

    @property
    def threads(self) -> int:
        return min(self.readers * self.columns, self.writers * self.rows)


def bind_wide_transposed(kernel: Kernel, turned: Transposed, most: int) -> Kernel | None:
    """The kernel by tiles, with `most` threads a block at most; None where not all that is read and
    written lies so that sixteen bytes can move at once."""
    run = _run(kernel, turned)
    sizes = {load.dtype.bytes for load in turned.loads}
    shape = _Shape.of(min(sizes), run.width) if run is not None and len(sizes) == 1 else None
    if run is None or shape is None:
        return None
    bounds = static_bounds(kernel.body)
    for load in turned.loads:
        at, buffer = turned.row.axis, kernel.buffers[load.buffer]
        if not is_wide(buffer, load.indices, at, shape.high, bounds):
            return None
    row, column = extent_of(turned.row), extent_of(turned.column)
    if row % shape.high or row < shape.rows or column < shape.columns * shape.packed:
        return None
    return _WideTiles.of(kernel, turned, run, shape, min(most, shape.threads)).kernel()


def _run(kernel: Kernel, turned: Transposed) -> Run | None:
    """The elements of a row that a thread writes at once, with all else that it reads for them."""
    column, store = turned.column, turned.store
    width = WIDEST // kernel.buffers[store.target.buffer].dtype.bytes
    run = Run(kernel, (store,), column.axis, width)
    beside = [load for load in run.loads if run.moves(load) and load not in turned.loads]
    if {turned.row.start, column.start} != {ZERO} or extent_of(column) % width or width == 1:
        return None
    bounds = static_bounds(kernel.body)
    every = [(store.target.buffer, store.target.indices)]
    every += [(load.buffer, load.indices) for load in beside]
    for name, indices in every:
        buffer = kernel.buffers[name]
        size = width * buffer.dtype.bytes
        wide = is_wide(buffer, indices, column.axis, width, bounds)
        if not wide or size > WIDEST or buffer.space is not Space.GLOBAL:
            return None
    return run


@dataclass(frozen=True)
class _WideTiles:
    """The work of writing the kernel: what threads read into tiles, and write out of them."""

    original: Kernel
    turned: Transposed
    run: Run
    shape: _Shape
    threads: int
    names: Names
    place: tuple[str, str, str, str]  # block, thread, and the row and column of the tile
    tiles: tuple[Buffer, ...]
    given: tuple[Buffer, ...]  # registers: of each load what is read at once
    word: tuple[Buffer, ...]  # and one word of it

    @staticmethod
    def of(kernel: Kernel, turned: Transposed, run: Run, shape: _Shape, threads: int) -> _WideTiles:
        names = Names(kernel)

        def each(label: str, space: Space, *extents: int) -> tuple[Buffer, ...]:
            return tuple(
                Buffer(names.fresh(label, "_"), load.dtype, extents, space)
                for load in turned.loads
            )

        return _WideTiles(
            kernel,
            turned,
            run,
            shape,
            threads,
            names,
            (names.fresh("block"), names.fresh("thread"), names.fresh("high"), names.fresh("wide")),
            each("tile", Space.SHARED, shape.columns, shape.rows + 1, shape.packed),
            each("given", Space.REGISTER, shape.packed, shape.high),
            each("word", Space.REGISTER, shape.packed),
        )

    def kernel(self) -> Kernel:
        """All of it."""
        shape, (block, thread, high, wide) = self.shape, self.place
        highs = -(-extent_of(self.turned.row) // shape.rows)
        wides = -(-extent_of(self.turned.column) // (shape.columns * shape.packed))
        held = Held.of(self.run, (), self.names)
        read = self._turns(shape.readers * shape.columns, self._read)
        results: list[Buffer] = []
        written = self._turns(
            shape.writers * shape.rows, lambda unit: self._written(unit, held, results)
        )
        body: Block = (
            Let(wide, var(block) % wides),
            Let(high, var(block) // wides % highs),
            *axes_at(self.turned.others, var(block) // (highs * wides)),
            *read,
            Sync("block"),
            *written,
        )
        inner = Loop(thread, ZERO, index(self.threads), body, Kind.THREAD)
        blocks = highs * wides * iterations(list(self.turned.others))
        outer = Loop(block, ZERO, index(blocks), (inner,), Kind.BLOCK)
        words = self.word if shape.packed > 1 else ()
        own = (*self.tiles, *self.given, *words, *held.registers.values(), *results)
        return tidy(replace(self.original, body=(outer,), locals=(*self.original.locals, *own)))

    def _turns(self, units: int, body_at: Callable[[Expr], Block]) -> Block:
        turn = self.names.fresh("turn")
        body = body_at(var(turn) * self.threads + var(self.place[1]))
        return (Loop(turn, ZERO, index(units // self.threads), body, Kind.UNROLL),)

    def _guarded(self, row: Expr, column: Expr, body: Block) -> Block:
        """What is to be done at a place, if that is inside."""
        rows, columns = extent_of(self.turned.row), extent_of(self.turned.column)
        inside = all_of(
            row < rows if rows % self.shape.rows else TRUE,
            column < columns if columns % (self.shape.columns * self.shape.packed) else TRUE,
        )
        return body if inside == TRUE else (If(inside, body),)

    def _row(self, inner: Expr) -> Expr:
        return var(self.place[2]) * self.shape.rows + inner

    def _column(self, inner: Expr) -> Expr:
        return var(self.place[3]) * (self.shape.columns * self.shape.packed) + inner

    # Into the tiles

    def _read(self, unit: Expr) -> Block:
        """A thread's runs of rows, of as many columns as a word has elements."""
        shape = self.shape
        beside, column = unit % shape.readers * shape.high, unit // shape.readers
        row, first = self._row(beside), self._column(column * shape.packed)
        loads: list[Stmt] = []
        for load, given in zip(self.turned.loads, self.given, strict=True):
            for k in range(shape.packed):
                at = self._at(load.indices, row, first + k)
                windows = (Window(given.name, (index(k), ZERO)), Window(load.buffer, at))
                loads.append(Call(load_name(load.dtype, shape.high), windows))
        element = self.names.fresh("e", "$")
        place = (column, beside + var(element), ZERO)
        words = tuple(
            part
            for number in range(len(self.tiles))
            for part in self._word(number, var(element), place)
        )
        each = Loop(element, ZERO, index(shape.high), words, Kind.UNROLL)
        return self._guarded(row, first, (*loads, each))

    def _word(self, number: int, element: Expr, place: tuple[Expr, ...]) -> Block:
        """A word of what was read, into a tile."""
        tile, given, word = self.tiles[number], self.given[number], self.word[number]
        read = [Load(given.dtype, given.name, (index(k), element)) for k in range(tile.shape[-1])]
        if len(read) == 1:
            return (Store(Ref(tile.name, place), read[0]),)
        windows = (Window(tile.name, place), Window(word.name, (ZERO,)))
        return (
            *(Store(Ref(word.name, (index(k),)), one) for k, one in enumerate(read)),
            Call(store_name(tile.dtype, len(read)), windows),
        )

    def _at(self, indices: tuple[Expr, ...], row: Expr, column: Expr) -> tuple[Expr, ...]:
        at = {self.turned.row.axis: row, self.turned.column.axis: column}
        return tuple(substitute_vars(part, at) for part in indices)

    # Out of them

    def _written(self, unit: Expr, held: Held, results: list[Buffer]) -> Block:
        """A thread's run of columns of one row."""
        shape = self.shape
        q, beside = unit % shape.writers, unit // shape.writers
        row, first = self._row(beside), self._column(q * self.run.width)
        taken: list[Stmt] = []
        for load, tile in zip(self.turned.loads, self.tiles, strict=True):
            register = held.registers[load].name
            for j in range(shape.words):
                place = (q * shape.words + j, beside, ZERO)
                taken.append(_moved(register, index(j * shape.packed), tile, place))
        others = {
            load: own for load, own in held.registers.items() if load not in self.turned.loads
        }
        made = computed(self.run, held, first, (), self.names)
        results.extend(made.registers)
        body = (*taken, *Held(self.run, others).filled(first, ()), *made.block)
        return self._guarded(row, first, substitute_block(body, {self.turned.row.axis: row}))


def _moved(register: str, first: Expr, tile: Buffer, place: tuple[Expr, ...]) -> Stmt:
    """A word of a tile, into registers."""
    packed = tile.shape[-1]
    if packed == 1:
        return Store(Ref(register, (first,)), Load(tile.dtype, tile.name, place))
    windows = (Window(register, (first,)), Window(tile.name, place))
    return Call(load_name(tile.dtype, packed), windows)
