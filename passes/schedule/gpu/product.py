"""Matrix products, found in any nest that sums products of two operands' elements.

    for m: for n: {acc = 0;  for k: acc += left[m, k] * right[k, n];  y[m, n] = f(acc)}

Convolutions are such products too: the places of the result are rows, the taps are summed over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from ....expr import Apply, Const, Expr, vars_of
from ....tile.dependence import Dependences, Mode
from ....tile.nodes import Accumulate, Block, Buffer, Kernel, Loop, Ref, Space, Store, walk
from ....tile.scopes import scoped
from ....tile.tree import chain, extent_of, has_constant_limits

LEAST = 16  # rows, columns and terms: less is no matter for tiles


@dataclass(frozen=True)
class Product:
    """A nest that is a matrix product for each iteration of `batch`: the loops over its rows,
    columns and terms, the operands' elements, and what is done with a sum."""

    batch: tuple[Loop, ...]
    rows: tuple[Loop, ...]
    columns: tuple[Loop, ...]
    terms: tuple[Loop, ...]
    left: Expr
    right: Expr
    sum: Buffer
    finish: Block


def as_product(kernel: Kernel) -> Product | None:
    """The product that a kernel of one nest is, if it is large enough for tiles."""
    match kernel.body:
        case (Loop() as top,):
            loops, body = chain(top)
        case _:
            return None
    match body:
        case (Store(target=Ref(buffer=name), value=Const(value=0)), Loop() as inner, *finish):
            terms, update = chain(inner)
        case _:
            return None
    match update:
        case (
            Accumulate(
                combiner="sum",
                targets=(Ref(buffer=summed),),
                values=(Apply(function="mul", args=(left, right)),),
            ),
        ) if summed == name:
            pass
        case _:
            return None
    plain = not any(isinstance(stmt, Loop) for part in finish for stmt in walk((part,)))
    constant = all(map(has_constant_limits, (*loops, *terms)))
    total = kernel.buffers[name]
    one = total.space is Space.REGISTER and total.elements == 1 and total.dtype.is_float
    if not (plain and constant and one and _independent(kernel, loops)):
        return None
    return _sorted(loops, terms, left, right, total, tuple(finish))


def _independent(kernel: Kernel, loops: Sequence[Loop]) -> bool:
    modes = Dependences(scoped(kernel, narrow=True), kernel.params, {}).modes
    return all(modes[loop.axis] is Mode.INDEPENDENT for loop in loops)


def _sorted(
    loops: list[Loop], terms: list[Loop], left: Expr, right: Expr, total: Buffer, finish: Block
) -> Product | None:
    """The product, with the innermost loop among its columns; None where it is too small."""
    if loops[-1].axis in vars_of(left) and loops[-1].axis not in vars_of(right):
        left, right = right, left
    in_left, in_right = vars_of(left), vars_of(right)
    rows = tuple(loop for loop in loops if loop.axis in in_left - in_right)
    columns = tuple(loop for loop in loops if loop.axis in in_right - in_left)
    batch = tuple(loop for loop in loops if loop not in rows and loop not in columns)
    if any(count_of(part) < LEAST for part in (rows, columns, terms)):
        return None
    return Product(batch, rows, columns, tuple(terms), left, right, total, finish)


def count_of(loops: Sequence[Loop]) -> int:
    return prod(map(extent_of, loops))
