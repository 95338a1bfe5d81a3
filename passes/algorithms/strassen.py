"""strassen: products by large constant matrices as seven products of halves instead of eight.

    matmul(x, w)  ->  strassen_matmul(strassen_input(x), strassen_panels(w))

That must be worth it by the cost model, and accurate by measurement on the very matrix: it takes an
eighth less time at most, and 7/4 of the memory. It is done only if that is allowed, as rows of the
left factor come in pairs, half of all rows apart: an infinite one makes its other NaN, and the
smaller one is rounded as the larger.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod

from ...errors import InputError, check
from ...ir import Constant, ConstantData, Function, Value, rewrite, rewrite_all
from ...ir.rewrite import Pattern
from ...location import Location
from ...ops.algorithms.strassen import strassen_input, strassen_matmul, strassen_panels
from ...ops.products.matmul import Matmul
from ...ops.table import TABLE
from ...target import Target
from ...types import f32
from ..regions import in_regions
from ..schedule.cost.register_tiles import ProductSizes
from ..schedule.cost.strassen import StrassenBlock, strassen_block
from .accuracy import strassen_error

LIMIT = 8 * 2.0**-23  # of the largest result: what a product of any size may be off by in f32

_LOG = logging.getLogger("mlir_lite")


@dataclass(frozen=True)
class Product:
    """A product, and the block in which its halves are multiplied; None where it stays whole, with
    an `error` if that is why. Errors are relative to the largest result."""

    product: Matmul
    location: Location
    block: StrassenBlock | None = None
    error: float | None = None


def check_strassen(choice: str) -> None:
    """`InputError` for a choice that there is not."""
    check(choice in ("auto", "off"), f"strassen is auto or off, not {choice}", InputError)


def strassen(fn: Function, *, target: Target, choice: str = "auto") -> Function:
    """Rewrite products where that pays and is accurate (`auto`), or none (`off`)."""
    check_strassen(choice)
    if choice == "off":
        return fn

    def rewritten(part: Function) -> Function:
        planned = plan_products(part, target, in_loop=part.params != fn.params)
        for entry in planned:
            if entry.block is None and entry.error is not None:
                _LOG.info("%s: not in halves: %s", entry.location, entry.error)
        blocks = iter([entry.block for entry in planned])
        return rewrite_all(part, [_as_planned(blocks)], TABLE, fuel=1)

    return in_regions(fn, rewritten)


def plan_products(
    fn: Function, target: Target, *, in_loop: bool = False
) -> tuple[Product, ...]:
    """All products of a function, which a loop may run again and again, in order."""
    planner = _Planner(target, in_loop)
    return tuple(
        planner.planned(node.op, node.location)
        for node in fn.nodes
        if isinstance(node.op, Matmul)
    )


def sizes_of(op: Matmul) -> ProductSizes:
    """The sizes of a product by one matrix."""
    *rows, depth = op.lhs.type.static_shape
    return ProductSizes(prod(rows), depth, op.rhs.type.static_shape[-1], f32)


@dataclass
class _Planner:
    """What is found of sizes and of matrices: those that are the same are looked at once."""

    target: Target
    in_loop: bool
    blocks: dict[ProductSizes, StrassenBlock | None] = field(default_factory=dict)
    errors: dict[object, float] = field(default_factory=dict)

    def planned(self, op: Matmul, location: Location) -> Product:
        block = self._block(sizes_of(op)) if applies(op) else None
        if block is None:
            return Product(op, location)
        assert isinstance(op.rhs.op, Constant)
        error = self._error(op.rhs.op.value)
        return Product(op, location, block if error <= LIMIT else None, error)

    def _block(self, sizes: ProductSizes) -> StrassenBlock | None:
        if sizes not in self.blocks:
            self.blocks[sizes] = strassen_block(sizes, self.target, in_loop=self.in_loop)
        return self.blocks[sizes]

    def _error(self, matrix: ConstantData) -> float:
        if matrix.key() not in self.errors:
            self.errors[matrix.key()] = strassen_error(matrix.array())
        return self.errors[matrix.key()]


def applies(op: Matmul) -> bool:
    """Whether a product is one by a constant matrix in f32."""
    plain = isinstance(op.rhs.op, Constant) and op.rhs.rank == 2
    return plain and op.lhs.dtype == op.rhs.dtype == f32 and op.lhs.type.is_static


def _as_planned(blocks: Iterator[StrassenBlock | None]) -> Pattern:
    """The blocks are those of a function's products in order."""

    @rewrite(Matmul)
    def multiply_halves(op: Matmul) -> Value | None:
        """matmul(x, w)  ->  strassen_matmul(strassen_input(x), strassen_panels(w))"""
        block = next(blocks)
        if block is None:
            return None
        *rows, _ = op.lhs.type.static_shape
        columns = op.rhs.type.static_shape[-1]
        points, panels = strassen_input(op.lhs), strassen_panels(op.rhs, block.width)
        return strassen_matmul(points, panels, tuple(rows), columns, block.height)

    return multiply_halves
