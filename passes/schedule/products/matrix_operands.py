"""Which products have operands that lie as instructions on matrix registers take them: rows of the
left one equally far apart, the right one in panels of whole registers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

from ....expr import Const, Expr, affine, apply, index, vars_of
from ....target import Target
from ....tile.instructions.matrices import COLUMNS, PRODUCTS, REGISTERS, MatrixProduct
from ....tile.nodes import Accumulate, Block, Buffer, Kernel, Loop, Space, Store
from ....tile.tree import chain, extent_of, var
from ..analysis import Nest, Product
from ..cost.matrix_tiles import MatrixSizes, MatrixTile, matrix_tile
from .tiling import product_sizes


@dataclass(frozen=True)
class Rows:
    """How the rows of the left operand lie: `apart` of its elements in one dimension from one to
    the next, a dimension of their own or, of `runs`, that of the terms."""

    apart: int
    runs: bool


@dataclass(frozen=True)
class Matrices:
    """A product whose operands lie as the instructions take them."""

    made: MatrixProduct
    product: Product
    rows: Rows
    sizes: MatrixSizes
    tile: MatrixTile
    along: str  # the axis that a tile's registers of rows go along, in whole rows or in windows
    total: str  # the sum in the naive nest
    loops: tuple[Loop, ...]  # around the terms of a sum, the innermost of which are multiplied
    after: Block  # what is done with a sum

    @property
    def terms(self) -> Loop:
        return self.loops[-2]


def as_matrices(
    kernel: Kernel, nest: Nest, product: Product, target: Target
) -> Matrices | None:
    """What the target's instructions on matrices do of a nest; None where they do not."""
    made = PRODUCTS[product.dots.name] if product.dots else None
    if made is None or made.name not in target.matrix_products or product.m is None:
        return None
    match nest.body:
        case (Store(target=total, value=Const(value=0)), Loop() as loop, *after):
            loops, body = chain(loop)
        case _:
            return None
    rows = _rows(kernel, product, made)
    plain = all(isinstance(stmt, Store) for stmt in after)
    terms = [entry.axis for entry in loops] == [*product.reduction, product.together]
    summed = isinstance(body[0], Accumulate) and len(body) == 1
    if rows is None or not (plain and terms and summed and _is_panel(kernel, product, made)):
        return None
    windows = _windows(nest, product)
    sizes = _sizes(kernel, nest, product, windows, loops[-2])
    tile = matrix_tile(sizes, target)
    registers = [local for local in kernel.locals if local.space is Space.MATRIX]
    registers += [entry for entry in registers_of(made, tile) if not same_registers(entry, kernel)]
    if sum(prod(entry.shape[:-2]) for entry in registers) > REGISTERS:
        return None  # other products of the kernel have some
    along = windows.axis if tile.windows and windows else product.m
    operands = made, product, rows, sizes, tile
    return Matrices(*operands, along, total.buffer, tuple(loops), tuple(after))


def _sizes(
    kernel: Kernel, nest: Nest, product: Product, windows: Loop | None, terms: Loop
) -> MatrixSizes:
    """The problem; its right operand is in panels, be it one."""
    width = kernel.buffers[product.right.buffer].shape[-2]
    sizes = replace(product_sizes(kernel, nest, product), panel=width)
    return MatrixSizes(sizes, extent_of(terms), extent_of(windows) if windows else 1)


def _windows(nest: Nest, product: Product) -> Loop | None:
    """The innermost loop over windows that meet the same right operand, if there is one."""
    others = [
        loop for loop in nest.loops if loop.axis not in product.right_axes | {product.m}
    ]
    return others[-1] if others else None


def _rows(kernel: Kernel, product: Product, made: MatrixProduct) -> Rows | None:
    """How the left operand's rows lie; None where an instruction cannot load them."""
    assert product.m is not None
    buffer, at = kernel.buffers[product.left.buffer], product.left.indices
    terms, m = {product.reduction[-1]: made.together, product.together: 1}, product.m
    if buffer.layout is not None or len(at) < 2:
        return None
    if any(vars_of(part) & {*terms, m} for part in at[:-2]):
        return None
    factors = [
        {axis: _factor(part, axis) for axis in (*terms, m)} for part in at[-2:]
    ]
    row, last = factors
    if {axis: last[axis] for axis in terms} != terms or any(row[axis] for axis in terms):
        return None
    apart, within = row[m], last[m]
    if apart is None or within is None or bool(apart) is bool(within):
        return None
    return Rows(apart or within, runs=not apart)


def _is_panel(kernel: Kernel, product: Product, made: MatrixProduct) -> bool:
    """Whether the right operand ends in terms, a panel's columns, and neighbours."""
    buffer, at = kernel.buffers[product.right.buffer], product.right.indices
    if buffer.layout is not None or len(at) < 3:
        return False
    width, together = buffer.shape[-2:]
    inside: Expr = var(product.n)  # of the only panel
    if product.panel is not None:
        inside = apply("mod", inside, index(product.panel))
    place = (var(product.reduction[-1]), inside, var(product.together))
    whole = together == made.together and width % COLUMNS == 0
    return whole and at[-3:] == place and product.panel in (None, width)


def registers_of(made: MatrixProduct, tile: MatrixTile) -> tuple[Buffer, ...]:
    """Those of the sums, of rows and of columns."""
    wide, high = tile.depth * made.together, tile.height
    sums = (tile.rows, tile.columns, high, COLUMNS)
    return (
        Buffer("acc", made.total, sums, Space.MATRIX),
        Buffer("left", made.left, (tile.rows, high, wide), Space.MATRIX),
        Buffer("right", made.right, (tile.depth, COLUMNS * made.together), Space.MATRIX),
    )


def same_registers(wanted: Buffer, kernel: Kernel) -> Buffer | None:
    """Registers of another product of a kernel, which needs them no more, with this shape."""
    found = (local for local in kernel.locals if replace(local, name=wanted.name) == wanted)
    return next(found, None)


def _factor(expr: Expr, axis: str) -> int | None:
    found = affine(expr, axis)
    return None if found is None else found[0]
