"""The kernels of a sparse matrix times a dense one.

A row of the result stays in registers while the stored elements of its row are gone through: each
is multiplied by vectors of a row of the dense matrix.

    for k.o: unroll s: vector c: sum[s, c] += values[k] * x[columns[k], c]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ...expr import Expr, Var, apply, cast, index, to_index
from ...tile.nodes import Block, Buffer, Kernel, Stmt
from ...types import TensorType, f32
from ..base.body import computing_type
from ..kernels.lanes import get, put
from .rows import RowSteps

TILE_VECTORS = 8  # columns of a row's sums in registers, in vectors
SUMS = 8  # of a row at least, in vectors: additions that need not wait for one another
SCALAR_SUMS = 4  # of a row times one column
LONG = 16  # elements of a row, on average, that are worth several sums
RAGGED = 32  # fewer take less time than a loop that ends when nobody expects it
RAGGED_LANES = 8  # of the vectors that such rows are read in: most are no longer


def product_kernel(
    name: str, values: TensorType, columns: TensorType, starts: TensorType, x: TensorType
) -> Kernel:
    """The kernel that runs as it is written."""
    return _Product(values, columns, starts, x).kernel(name)


def plain_kernel(
    name: str, values: TensorType, columns: TensorType, starts: TensorType, x: TensorType
) -> Kernel:
    """The kernel that says what is computed, an element of the result after the other."""
    return _Product(values, columns, starts, x).plain(name)


class _Product:
    """A kernel under construction."""

    def __init__(self, *types: TensorType) -> None:
        fields = ("values", "columns", "starts", "x")
        self.params = [
            Buffer(name, type_.dtype, type_.static_shape)
            for name, type_ in zip(fields, types, strict=True)
        ]
        self.values, self.columns, starts, self.x = self.params
        self.steps = RowSteps(computing_type(self.x.dtype), starts, self.values.elements)
        self.height, self.width = self.x.shape
        self.out = Buffer("out", self.x.dtype, (self.steps.count, self.width))

    def kernel(self, name: str) -> Kernel:
        stored, width = self.steps.stored, self.width
        few = width == 1 and self.height and 0 < stored < RAGGED * self.steps.count
        ragged = self._ragged if few and self.x.dtype.bytes >= f32.bytes else None
        read = (self.values, self.columns) if few else ()
        return self._kernel(name, self.steps.dealt(stored * width, self._row, ragged, read))

    def plain(self, name: str) -> Kernel:
        steps = self.steps

        def element(row: Var, at: Var) -> Block:
            return steps.limited(row, lambda row, *ends: self._element(row, at, *ends))

        def row(number: Var) -> Block:
            return (steps.loop(0, self.width, lambda at: element(number, at)),)

        return self._kernel(name, steps.loop(0, steps.count, row))

    def _kernel(self, name: str, body: Stmt) -> Kernel:
        params = (*self.params, self.out)
        return Kernel(name, params, ("out",), (body,), tuple(self.steps.locals))

    # What a stored element adds

    def _entry(self, k: Expr) -> tuple[Block, Expr, Expr]:
        """The column and the value of a stored element, and what names them."""
        let_column, column = self.steps.named(to_index(get(self.columns, k)))
        let_value, value = self.steps.named(self._value(k))
        return (let_column, let_value), column, value

    def _value(self, k: Expr) -> Expr:
        return cast(get(self.values, k), self.steps.dtype)

    def _times(self, value: Expr, column: Expr, at: Expr, total: Expr) -> Expr:
        factor = cast(get(self.x, column, at), self.steps.dtype)
        if self.steps.dtype.is_float:
            return apply("fma", value, factor, total)
        return total + value * factor

    def _store(self, row: Expr, at: Expr, total: Expr) -> Stmt:
        return put(self.out, row, at)(cast(total, self.out.dtype))

    # A row in registers

    def _row(self, row: Expr, start: Expr, stop: Expr) -> Block:
        if not self.height or not self.steps.stored:
            zero = cast(self.steps.number(0), self.out.dtype)
            return (self.steps.loop(0, self.width, lambda c: (put(self.out, row, c)(zero),)),)
        if self.width == 1:
            return self._scalar(row, start, stop)
        lanes = self.steps.lanes
        tile = TILE_VECTORS * lanes
        parts: list[Stmt] = []
        for first in range(0, self.width, tile):
            parts.extend(self._tile(first, min(tile, self.width - first), row, start, stop))
        return tuple(parts)

    def _tile(
        self, first: int, extent: int, row: Expr, start: Expr, stop: Expr
    ) -> Iterator[Stmt]:
        """Some columns of a row, summed in several vectors each if they are few."""
        steps, lanes = self.steps, self.steps.lanes
        extents = [min(lanes, extent - part) for part in range(0, extent, lanes)]
        sums = max(1, min(4, SUMS // len(extents)))
        held = [[steps.register(size) for size in extents] for _ in range(sums)]

        def over(into: list[Buffer], change: Callable[[Buffer, Var, Expr], Stmt]) -> Block:
            def part(number: int, held: Buffer) -> Stmt:
                column = first + number * lanes
                return steps.vector(lambda v: (change(held, v, v + column),), held.elements)

            return tuple(part(number, held) for number, held in enumerate(into))

        def entry(k: Expr, into: list[Buffer]) -> Block:
            lets, column, value = self._entry(k)
            return *lets, *over(
                into, lambda b, v, at: put(b, v)(self._times(value, column, at, get(b, v)))
            )

        def several(turn: Var) -> Block:
            k = start + turn * sums
            return tuple(stmt for n, into in enumerate(held) for stmt in entry(k + n, into))

        for into in held:
            yield from over(into, lambda b, v, _: put(b, v)(steps.number(0)))
        let_turns, turns = steps.named((stop - start) // sums)
        yield let_turns
        yield steps.loop(0, turns, several)
        if sums > 1:
            yield steps.loop(start + turns * sums, stop, lambda k: entry(k, held[0]))

        def summed(part: int, size: int) -> Stmt:
            def store(v: Var) -> Block:
                total = tree([get(into[part], v) for into in held])
                return (self._store(row, v + (first + part * lanes), total),)

            return steps.vector(store, size)

        yield from (summed(part, size) for part, size in enumerate(extents))

    # A row times one column

    def _scalar(self, row: Expr, start: Expr, stop: Expr) -> Block:
        """The elements one after the other, in several sums if rows are long."""
        steps = self.steps
        count = SCALAR_SUMS if steps.stored >= LONG * steps.count else 1
        sums = [steps.register() for _ in range(count)]

        def entry(k: Expr, total: Buffer) -> Block:
            lets, column, value = self._entry(k)
            return *lets, put(total)(self._times(value, column, index(0), get(total)))

        def several(turn: Var) -> Block:
            parts = (entry(start + turn * count + n, total) for n, total in enumerate(sums))
            return tuple(stmt for part in parts for stmt in part)

        zeros = (put(total)(steps.number(0)) for total in sums)
        if count == 1:
            each: Block = (steps.loop(start, stop, lambda k: entry(k, sums[0])),)
        else:
            let_turns, turns = steps.named((stop - start) // count)
            rest = start + turns * count
            each = (
                let_turns,
                steps.loop(0, turns, several),
                steps.loop(rest, stop, lambda k: entry(k, sums[0])),
            )
        return *zeros, *each, self._store(row, index(0), tree(list(map(get, sums))))

    def _ragged(self, row: Expr, start: Expr, stop: Expr) -> Block:
        """A row times one column in vectors: most rows are one, whatever their length."""

        def term(k: Expr, total: Expr) -> Expr:
            column = to_index(get(self.columns, k))
            return self._times(self._value(k), column, index(0), total)

        summed, total = self.steps.in_vectors(start, stop, RAGGED_LANES, term)
        return *summed, self._store(row, index(0), total)

    # An element after the other

    def _element(self, row: Expr, at: Expr, start: Expr, stop: Expr) -> Block:
        """One element of the result: on a card the neighbours of a row go side by side."""
        total = self.steps.register()

        def entry(k: Expr) -> Block:
            lets, column = self.steps.column(self.columns, k, self.height)
            product = self._times(self._value(k), column, at, get(total))
            return *lets, put(total)(product)

        there = self.height and self.steps.stored
        summed = (self.steps.loop(start, stop, entry),) if there else ()
        return put(total)(self.steps.number(0)), *summed, self._store(row, at, get(total))


def tree(values: list[Expr]) -> Expr:
    """The sum of neighbours, and of these."""
    while len(values) > 1:
        pairs = zip(values[::2], values[1::2], strict=True)
        values = [left + right for left, right in pairs]
    return values[0]
