"""Tiles of rows, by which operands of attention come into shared memory."""

from __future__ import annotations

from typing import Protocol

from .....expr import TRUE, Load, Var, cast, index
from .....tile.nodes import Buffer, Kernel, Loop, Space
from .....tile.tree import Names
from .....types import DType, f32
from ..products.contraction import Contraction, Operand
from ..products.operand import Staged


class Named(Protocol):
    """Blocks of a kernel whose names are known."""

    @property
    def naive(self) -> Kernel: ...

    @property
    def names(self) -> Names: ...


def staged(
    blocks: Named,
    load: Load,
    rows: tuple[Loop, ...],
    depth: int,
    dtype: DType,
    sizes: tuple[int, int],
    threads: int,
    tiles: Buffer,
    first: Var,
) -> Staged:
    """Tiles of an operand of rows: the element of a row at the axes of the loops `rows` and at "d",
    of which there are `depth`."""
    operand = Operand(cast(load, dtype), TRUE, rows)
    term = Loop("d", index(0), index(depth), ())
    whole = Buffer("total", f32, (), Space.REGISTER)
    terms = Contraction(blocks.naive, (), operand, operand, (term,), whole, ())
    return Staged(
        terms, operand, tiles, None, first, first, sizes, threads, sizes[1], blocks.names, True
    )
