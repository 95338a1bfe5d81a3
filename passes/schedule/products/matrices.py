"""Products of narrow numbers in matrix registers, Intel's AMX:

    parallel n.o: for m.o:
      acc = 0
      for k: {call @tile_load_bf16(a, x[m, k]);  call @tile_panel_bf16(b, w[k, n]);
              call @tdpbf16ps(acc, a, b)}
      call @tile_store_f32(sums, acc)
      for m.i: vector n.i: y[m, n] = f(sums[m.i, n.i])

A panel of the right operand stays in the nearest caches while the rows stream by; where all panels
stay in the second one, the rows go outermost. The last block of rows begins so early that it is
whole; those of its rows that are stored already are left out. What follows the sums reads them from
scratch memory, where instructions put them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Self

from ....expr import Bounds, Expr, Load, apply, index, substitute_vars
from ....target import Target
from ....tile.instructions.matrices import COLUMNS
from ....tile.nodes import Block, Buffer, Call, If, Kernel, Kind, Let, Loop, Space, Stmt, Window
from ....tile.steps.loops import mark
from ....tile.steps.pieces import flatten
from ....tile.steps.prefetch import prefetch_next
from ....tile.traverse import rewrite_block, substitute_block
from ....tile.tree import Names, base, extent_of, loops_over, rewrite_loops, tidy, var
from ....tile.tree import nest as in_loops
from ..analysis import Nest
from ..cost.matrix_tiles import matrix_cycles, matrix_panels_first
from ..cost.model import worth_sharing
from .matrix_operands import Matrices, registers_of, same_registers


def schedule_matrices(
    kernel: Kernel, nest: Nest, matrices: Matrices, target: Target
) -> Kernel:
    """Tile a product for matrix registers, caches and threads."""
    kept = tuple(local for local in kernel.locals if local.name != matrices.total)
    panels_first = matrix_panels_first(matrices.sizes, target)
    writer = _Writer.of(replace(kernel, locals=kept), nest, matrices, panels_first)
    outermost = nest.loops[0].axis

    def change(loop: Loop, _: Bounds) -> Block:
        return writer.block() if loop.axis == outermost else (loop,)

    written = rewrite_loops(kernel, (base(outermost),), change)
    added = tuple(local for local in writer.locals if local not in kept)
    written = tidy(replace(written, locals=(*kept, *added)))
    if panels_first:
        written = _prefetch(written, writer, target)
    cycles = matrix_cycles(matrices.sizes, target)[matrices.tile]
    if not nest.alone or not worth_sharing(matrices.sizes.product, cycles, target):
        return written
    axes = [loop.axis for loop in writer.around if loop.stop != index(1)]
    if len(axes) > 1:
        written = flatten(written, *axes[:2])
        return mark(written, f"{axes[0]}.f", Kind.PARALLEL)
    return mark(written, axes[0], Kind.PARALLEL) if axes else written


def _prefetch(kernel: Kernel, writer: _Writer, target: Target) -> Kernel:
    """Ask for the next panel while the last rows stream by this one, if both have room."""
    product = writer.matrices.product
    buffer, first = kernel.buffers[product.right.buffer], writer.matrices.loops[0].axis
    panel = prod(buffer.shape[1:]) * buffer.dtype.bytes
    if buffer not in kernel.params or 2 * panel > target.l2_bytes:
        return kernel
    rounds = [base(loop.axis) for loop in writer.around if loop.axis not in product.right_axes]
    rounds.remove(f"{product.n}.o")
    reduction = first if len(writer.matrices.loops) > 2 else f"{first}.o"
    place = (buffer.name, f"{product.n}.o", reduction)
    return prefetch_next(kernel, *place, rounds, places=target.asked_places)


@dataclass
class _Writer:
    """The work of writing a product in matrices."""

    matrices: Matrices
    columns: int  # of the result
    extent: int  # of the axis that registers of rows go along
    around: list[Loop]
    names: Names
    acc: Buffer
    left: Buffer
    right: Buffer
    sums: Buffer

    @classmethod
    def of(cls, kernel: Kernel, nest: Nest, matrices: Matrices, panels_first: bool) -> Self:
        made, tile, product = matrices.made, matrices.tile, matrices.product
        names = Names(kernel)
        height, width = tile.shape
        m, n, along = product.m or "", product.n, matrices.along
        block = tile.rows if tile.windows else height
        counts = {n: -(-nest.extent(n) // width), along: -(-nest.extent(along) // block)}
        batch = [loop for loop in nest.loops if loop.axis in product.right_axes - {n}]
        panels = [loop for loop in nest.loops if loop.axis == n]
        rows = [loop for loop in nest.loops if loop.axis not in product.right_axes | {m}]
        rows += [loop for loop in nest.loops if loop.axis == m == along]
        order = [*batch, *panels, *rows] if panels_first else [*batch, *rows, *panels]
        around = [
            replace(loop, axis=f"{loop.axis}.o", stop=index(counts[loop.axis]))
            if loop.axis in counts
            else loop
            for loop in order
        ]
        acc, left, right = (
            same_registers(entry, kernel) or replace(entry, name=names.fresh(entry.name))
            for entry in registers_of(made, tile)
        )
        sums = Buffer(names.fresh("sums"), made.total, (height, width), Space.SHARED)
        extents = nest.extent(n), nest.extent(along)
        return cls(matrices, *extents, around, names, acc, left, right, sums)

    @property
    def locals(self) -> tuple[Buffer, ...]:
        return self.acc, self.left, self.right, self.sums

    @property
    def size(self) -> int:
        """How far a tile goes along its axis."""
        tile = self.matrices.tile
        return tile.rows if tile.windows else tile.shape[0]

    def block(self) -> Block:
        """The nest that takes the place of the naive one."""
        along = self.matrices.along
        begin: Expr = var(f"{along}.o") * self.size
        named: Block = ()
        if self.extent % self.size:
            first = Let(f"{along}.first", apply("min", begin, index(self.extent - self.size)))
            named, begin = (first,), var(first.name)
        body = (*named, *self._begun(), *self._summed(begin), *self._stored(), *self._after(begin))
        return in_loops(self.around, body)

    def _place(self, begin: Expr, register: Expr, row: Expr) -> dict[str, Expr]:
        """Where a row of a register is, by the axes of the nest."""
        tile, m = self.matrices.tile, self.matrices.product.m or ""
        if tile.windows:
            return {self.matrices.along: begin + register, m: row}
        return {m: begin + register * tile.height + row}

    def _begun(self) -> Block:
        return self._each("z", lambda i, j: self._call(self.matrices.made.zero, self._sum(i, j)))

    def _stored(self) -> Block:
        height = self.matrices.tile.height

        def store(i: Expr, j: Expr) -> Call:
            place = Window(self.sums.name, (i * height, j * COLUMNS))
            return self._call(self.matrices.made.store, place, self._sum(i, j))

        return self._each("s", store)

    def _summed(self, begin: Expr) -> Block:
        """The steps of the sums; each register of columns meets all rows while it is there."""
        made, tile, product = self.matrices.made, self.matrices.tile, self.matrices.product
        step = self.names.fresh(f"{self.matrices.terms.axis}.o", "$")
        i, row, j = (self.names.fresh(name, "$") for name in ("i", "row", "j"))
        zero = index(0)
        at: dict[str, Expr] = {
            **self._place(begin, var(i), zero),
            product.n: self._column(var(j)),
            self.matrices.terms.axis: var(step) * tile.depth,
            product.together: zero,
        }
        rows = self.matrices.rows
        load_left = self._call(
            made.load_runs if rows.runs else made.load_left,
            Window(self.left.name, (var(i), zero, zero)),
            _window(product.left, at),
            scalars=(tile.height, tile.depth * made.together, rows.apart),
        )
        load_right = self._call(
            made.load_right,
            Window(self.right.name, (zero, zero)),
            _window(product.right, at),
            scalars=(tile.depth,),
        )
        multiply = self._call(
            made.name,
            self._sum(var(row), var(j)),
            Window(self.left.name, (var(row), zero, zero)),
            Window(self.right.name, (zero, zero)),
            scalars=(tile.height, tile.depth),
        )
        columns = (load_right, *_unrolled(row, tile.rows, multiply))
        body = (*_unrolled(i, tile.rows, load_left), *_unrolled(j, tile.columns, *columns))
        *outer, terms, _ = self.matrices.loops
        count = extent_of(terms) // tile.depth
        return in_loops([*outer, Loop(step, index(0), index(count), ())], body)

    def _after(self, begin: Expr) -> Block:
        """What follows the sums, for the rows, or the windows, that no other block has."""
        product, tile = self.matrices.product, self.matrices.tile
        m, n, along = product.m or "", product.n, self.matrices.along
        row, lane, window = (self.names.fresh(f"{axis}.i", "$") for axis in (m, n, along))
        vectors = self.names.fresh(f"{n}.v", "$")
        column = var(vectors) * COLUMNS + var(lane)
        register, at_row = (var(window), var(row)) if tile.windows else (index(0), var(row))
        at = self._place(begin, register, at_row) | {n: self._column(var(vectors)) + var(lane)}
        place = (register * tile.height + at_row, column)
        read = Load(self.sums.dtype, self.sums.name, place)

        def staged(node: Expr) -> Expr | None:
            is_sum = isinstance(node, Load) and node.buffer == self.matrices.total
            return read if is_sum else None

        body = rewrite_block(substitute_block(self.matrices.after, at), staged)
        if self.columns % tile.shape[1]:
            body = (If(at[n] < self.columns, body),)
        body = loops_over(((lane, COLUMNS),), body, Kind.VECTOR)
        body = _unrolled(vectors, tile.columns, *body)
        whole = self.extent % self.size == 0
        done = index(0) if whole else var(f"{along}.o") * self.size - begin
        if not tile.windows:
            return (Loop(row, done, index(self.size), body),)
        return (Loop(window, done, index(self.size), loops_over(((row, tile.height),), body)),)

    def _column(self, vector: Expr) -> Expr:
        """The first column of a register."""
        width = self.matrices.tile.shape[1]
        return var(f"{self.matrices.product.n}.o") * width + vector * COLUMNS

    def _sum(self, i: Expr, j: Expr) -> Window:
        return Window(self.acc.name, (i, j, index(0), index(0)))

    def _call(self, name: str, *windows: Window, scalars: tuple[int, ...] = ()) -> Call:
        given = scalars or (self.matrices.tile.height,)
        return Call(name, windows, tuple(map(index, given)))

    def _each(self, use: str, call: Callable[[Expr, Expr], Call]) -> Block:
        """A call for each register of sums."""
        tile = self.matrices.tile
        i, j = (self.names.fresh(f"{name}.{use}", "$") for name in "ij")
        return _unrolled(i, tile.rows, *_unrolled(j, tile.columns, call(var(i), var(j))))


def _unrolled(axis: str, count: int, *body: Stmt) -> Block:
    return loops_over(((axis, count),), body, Kind.UNROLL)


def _window(load: Load, at: Mapping[str, Expr]) -> Window:
    """Where a load is with its axes there."""
    return Window(load.buffer, tuple(substitute_vars(part, at) for part in load.indices))
