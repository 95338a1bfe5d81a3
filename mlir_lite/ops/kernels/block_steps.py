"""What kernels of factorisations without a library are built from: steps in order, in each of which
parallel loops say what the threads of a block may do at once.

    parallel b: {for k: {parallel i: column[i] = g[i, k] / sqrt(g[k, k]);
                         parallel i: parallel j: g[i, j] -= column[i] * column[j]}}
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...expr import COMBINERS, INDEX, Expr, Load, Var, apply, const, select
from ...tile.nodes import (
    Accumulate,
    Block,
    Buffer,
    Kind,
    Let,
    Loop,
    Ref,
    Space,
    Stmt,
    Store,
)
from ...types import f32
from .batched import element, place
from .statements import Make, Statements, as_index


class BlockSteps(Statements):
    """Builds the steps of one matrix' factorisation, on elements of type `dtype`."""

    # Memory

    def matrix(self, name: str, rows: int, columns: int) -> Buffer:
        """Memory for a matrix, an odd number of elements from row to row: those of a column then
        lie in as many banks of the memory."""
        return self.shared(name, rows, columns | 1)

    # Loops

    def steps(self, start: Expr | int, stop: Expr | int, make: Make) -> Stmt:
        """One iteration after the other."""
        return self.loop_of(Kind.ROLLED, start, stop, make)

    def parallel(self, start: Expr | int, stop: Expr | int, make: Make) -> Stmt:
        """Iterations that need nothing of each other."""
        return self.loop_of(Kind.PARALLEL, start, stop, make)

    def every(self, rows: int, columns: int, make: Callable[[Var, Var], Block]) -> Stmt:
        """Something for each element of a matrix."""
        return self.parallel(
            0, rows, lambda i: (self.parallel(0, columns, lambda j: make(i, j)),)
        )

    # Values

    @property
    def epsilon(self) -> float:
        """The distance from 1 to the next number."""
        return 2.0**-23 if self.dtype == f32 else 2.0**-52

    def joined(
        self,
        combiner: str,
        extents: Sequence[Expr | int],
        values: Callable[..., tuple[Expr, ...]],
        *,
        start: Expr | int = 0,
    ) -> tuple[Block, tuple[Expr, ...]]:
        """The states `values` of all indices of an array joined, and what reads the results; the
        last index begins at `start`."""
        axes = [Var(INDEX, f"s{next(self._numbers)}") for _ in extents]
        states = values(*axes)
        totals = [self.register(dtype=state.dtype) for state in states]
        targets = tuple(Ref(total.name, ()) for total in totals)
        identities = COMBINERS[combiner].identity
        starts = tuple(
            Store(target, const(identity(total.dtype), total.dtype))
            for target, total, identity in zip(targets, totals, identities, strict=True)
        )
        block: Block = (Accumulate(combiner, targets, states),)
        for number, (axis, extent) in enumerate(reversed(list(zip(axes, extents, strict=True)))):
            block = (Loop(axis.name, as_index(0 if number else start), as_index(extent), block),)
        return (*starts, *block), tuple(Load(total.dtype, total.name, ()) for total in totals)

    def total(
        self, extent: Expr | int, value: Callable[[Var], Expr], *, start: Expr | int = 0
    ) -> tuple[Block, Expr]:
        """The sum of some values, and what reads it."""
        block, (result,) = self.joined("sum", (extent,), lambda i: (value(i),), start=start)
        return block, result

    def scales(self, largest: Expr) -> tuple[Block, Expr, Expr]:
        """Powers of two by which elements, the largest of this magnitude, are to be multiplied on
        their way in and out, so that no sum of their squares overflows, or vanishes."""
        far, down, up = (40, -90, 80) if self.dtype == f32 else (400, -700, 600)

        def chosen(large: float, small: float) -> tuple[Let, Var]:
            near = select(largest < self.number(2.0**-far), self.number(small), self.number(1))
            return self.named(select(largest > self.number(2.0**far), self.number(large), near))

        let_in, inward = chosen(2.0**down, 2.0**up)
        let_out, outward = chosen(2.0**-down, 2.0**-up)
        return (let_in, let_out), inward, outward


def at(buffer: Buffer, *indices: Expr | int) -> Load:
    """An element of one matrix."""
    return element(buffer, *map(as_index, indices))


def put(buffer: Buffer, *indices: Expr | int) -> Callable[[Expr], Stmt]:
    """A store to an element of one matrix; of a register, without indices."""
    if buffer.space is Space.REGISTER:
        return lambda value: Store(Ref(buffer.name, ()), value)
    return lambda value: Store(place(buffer, *map(as_index, indices)), value)


def held(register: Buffer) -> Load:
    """What a register holds."""
    return Load(register.dtype, register.name, ())


def sqrt(value: Expr) -> Expr:
    """The square root; NaN below 0."""
    return apply("sqrt", value)


def magnitude(value: Expr) -> Expr:
    """The absolute value."""
    return apply("abs", value)
