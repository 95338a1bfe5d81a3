"""Instructions that the threads of a warpgroup, four warps, do together: products of matrices that
lie in shared memory, added to sums in fragments, which are registers of all its threads.

    async products { call @wgmma_m64n128k16_bf16(sums[0, 0], left[s, m, k], right[s, n, k]) }
    wait products, 0

A left operand may also be in registers, as fragments (`held`), and sums may begin with a product
(`begun`) instead of what they were.

Which thread has which sum is as in NVIDIA's PTX ISA, "Matrix fragments for wgmma.mma_async". Of f32
an instruction looks at ten bits after the first (it "will truncate lower 13 bits"), so that its
factors are to be rounded before, and it knows one order only: terms side by side.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from ...expr import INDEX, Expr, Load, Var, cast, const
from ...types import DType, f32
from ..nodes import Accumulate, Buffer, Proc, Ref, Store
from .warps import (
    LANES,
    MULTIPLIED,
    NARROW,
    factor_name,
    left_element,
    terms_of,
    written_out,
)

THREADS = 128
ROWS = 64  # of one product
COLUMNS = (64, 128, 256)
SETTLED = "settled"
ATTENDED = 128  # keys whose scores are found at once
FEWER, MORE = (24, 40), (160, 232, 240)  # registers of a thread that a warpgroup may ask for


@dataclass(frozen=True)
class GroupProduct:
    """An instruction that adds a product of so many columns. Terms of the left and of the right
    operand lie side by side in shared memory; `turned`: rows, or columns, do. The left one may be
    `held` in registers; of what is `begun` the sums were nothing before."""

    dtype: DType
    columns: int
    turned: tuple[bool, bool] = (False, False)
    held: bool = False
    begun: bool = False

    @property
    def name(self) -> str:
        """What the instruction is called."""
        left, right = self.turned
        ends = (
            (self.held, "held"), (left, "left_turned"), (right, "right_turned"),
            (self.begun, "begun"),
        )
        kind = f"k{terms_of(self.dtype)}_{factor_name(self.dtype)}"
        return "_".join((
            f"wgmma_m{ROWS}n{self.columns}{kind}", *(end for has_it, end in ends if has_it)
        ))


def registers_name(count: int) -> str:
    """The instruction after which each thread of a warpgroup has so many registers."""
    return f"{'fewer' if count in FEWER else 'more'}_registers_{count}"


def products() -> Iterator[GroupProduct]:
    """Every product: of matrices in shared memory, and those of attention."""
    for dtype, columns in product(MULTIPLIED, COLUMNS):
        orders = (False, True) if dtype in NARROW else (False,)
        for left, right in product(orders, repeat=2):
            yield GroupProduct(dtype, columns, (left, right))
    for dtype in NARROW:
        yield GroupProduct(dtype, ATTENDED, begun=True)
        for columns in COLUMNS[:2]:
            yield GroupProduct(dtype, columns, (False, True), held=True)


SHARING_OUT = frozenset(map(registers_name, (*FEWER, *MORE)))


def product_procs() -> Iterator[Proc]:
    """The instructions of them."""
    yield from map(_product, products())


def register_procs() -> Iterator[Proc]:
    """Every number of registers that a warpgroup may ask for."""
    for count in (*FEWER, *MORE):
        yield Proc(registers_name(count), (), (), ())


def settled_proc() -> Proc:
    """Has no effect on values. Compilers of cards begin to wait for products before they compute
    what does not need them: what these totals are of is found before."""
    return Proc(SETTLED, (Buffer("total", f32, (THREADS, 4)),), (), ())


def sum_at(row: Expr, column: Expr) -> tuple[Expr, Expr]:
    """The thread that has a sum, and which of its sums that is."""
    thread = row // 16 * 32 + row % 8 * 4 + column % 8 // 2
    return thread, column // 8 * 4 + row % 16 // 8 * 2 + column % 2


def _product(made: GroupProduct) -> Proc:
    """`acc[i, j] += sum over k of a[i, k] * b[j, k]`."""
    i, j, k = (Var(INDEX, axis) for axis in "ijk")
    dtype, terms = made.dtype, terms_of(made.dtype)
    places: list[tuple[Expr, Expr]] = [
        (k, row) if is_turned else (row, k)
        for row, is_turned in zip((i, j), made.turned, strict=True)
    ]
    at_left, at_right = places
    left, right = (
        (terms, size) if is_turned else (size, terms)
        for size, is_turned in zip((ROWS, made.columns), made.turned, strict=True)
    )
    if made.held:
        thread, element = left_element(dtype, i % 16, k)
        at_left, left = (i // 16 * LANES + thread, element), (THREADS, ROWS * terms // THREADS)
    factors = cast(Load(dtype, "a", at_left), f32) * cast(Load(dtype, "b", at_right), f32)
    place = Ref("acc", sum_at(i, j))
    update = Accumulate("sum", (place,), (factors,))
    body = written_out((("i", ROWS), ("j", made.columns), ("k", terms)), update)
    if made.begun:
        at = sum_at(Var(INDEX, "m"), Var(INDEX, "n"))
        cleared = Store(Ref("acc", at), const(0, f32))
        body = (*written_out((("m", ROWS), ("n", made.columns)), cleared), *body)
    params = (
        Buffer("acc", f32, (THREADS, made.columns // 2)),
        Buffer("a", dtype, left),
        Buffer("b", dtype, right),
    )
    return Proc(made.name, params, (), body)
