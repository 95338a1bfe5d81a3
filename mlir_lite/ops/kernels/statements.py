"""Builds the statements of a kernel by hand: names that no others have, loops, local buffers.

    n3 = x[i] - y[i];  loop s4 in 0..n {..}
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import TypeAlias

from ...expr import INDEX, Expr, Var, apply, const, index
from ...tile.nodes import Block, Buffer, Kind, Let, Loop, Space, Stmt
from ...types import DType

Make: TypeAlias = Callable[[Var], Block]


@dataclass
class Statements:
    """The names and the `locals` of a kernel whose elements are of type `dtype`."""

    dtype: DType
    locals: list[Buffer] = field(default_factory=list, init=False)
    _numbers: Iterator[int] = field(default_factory=count, init=False)

    def shared(self, name: str, *shape: int, dtype: DType | None = None) -> Buffer:
        """Memory of the block."""
        return self._local(name, shape, dtype, Space.SHARED)

    def register(self, *shape: int, dtype: DType | None = None) -> Buffer:
        """A number that each thread has for itself, or an array of them."""
        return self._local(f"r{next(self._numbers)}", shape, dtype, Space.REGISTER)

    def _local(
        self, name: str, shape: tuple[int, ...], dtype: DType | None, space: Space
    ) -> Buffer:
        self.locals.append(Buffer(name, dtype or self.dtype, shape, space))
        return self.locals[-1]

    def loop(self, start: Expr | int, stop: Expr | int, make: Make) -> Stmt:
        """One iteration after the other, of little work."""
        return self.loop_of(Kind.SERIAL, start, stop, make)

    def loop_of(self, kind: Kind, start: Expr | int, stop: Expr | int, make: Make) -> Stmt:
        """A loop around what `make` gives for its axis."""
        axis = Var(INDEX, f"{kind[0]}{next(self._numbers)}")
        return Loop(axis.name, as_index(start), as_index(stop), make(axis), kind)

    def named(self, value: Expr) -> tuple[Let, Var]:
        """A name for a value, and the statement that binds it."""
        name = Var(value.dtype, f"n{next(self._numbers)}")
        return Let(name.name, value), name

    def number(self, value: float) -> Expr:
        return const(value, self.dtype)


def as_index(value: Expr | int) -> Expr:
    """A whole number as an index; an expression as it is."""
    return value if isinstance(value, Expr) else index(value)


def minus(total: Expr, left: Expr, right: Expr) -> Expr:
    """`total - left * right`, rounded once where the machine can."""
    return apply("fma", -left, right, total)


def plus(total: Expr, left: Expr, right: Expr) -> Expr:
    """`total + left * right`, rounded once where the machine can."""
    return apply("fma", left, right, total)
