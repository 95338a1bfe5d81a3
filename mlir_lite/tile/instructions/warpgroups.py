"""Instructions that the threads of a warpgroup, four warps, do together: products of matrices that
lie in shared memory, added to sums in fragments, which are registers of all its threads.

    async products { call @wgmma_m64n128k16_bf16(sums[0, 0], left[s, m, k], right[s, n, k]) }
    wait products, 0

Which thread has which sum is as in NVIDIA's PTX ISA, "Matrix fragments for wgmma.mma_async". Of f32
an instruction looks at ten bits after the first (it "will truncate lower 13 bits"), so that its
factors are to be rounded before, and it knows one order only: terms side by side.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from ...expr import INDEX, Expr, Load, Var, cast, index
from ...types import DType, f32
from ..nodes import Accumulate, Block, Buffer, Kind, Loop, Proc, Ref
from .warps import MULTIPLIED, NARROW, factor_name, terms_of

THREADS = 128
ROWS = 64  # of one product
COLUMNS = (64, 128, 256)
FEWER, MORE = (24, 40), (160, 232, 240)  # registers of a thread that a warpgroup may ask for


def product_name(dtype: DType, columns: int, *, turned: tuple[bool, bool]) -> str:
    """The instruction that adds a product of so many columns. Terms of the left and of the right
    operand lie side by side in shared memory; `turned`: rows, or columns, do."""
    ends = "".join(
        f"_{side}_turned" for side, is_turned in zip(("left", "right"), turned, strict=True)
        if is_turned
    )  # fmt: skip
    return f"wgmma_m{ROWS}n{columns}k{terms_of(dtype)}_{factor_name(dtype)}{ends}"


def registers_name(count: int) -> str:
    """The instruction after which each thread of a warpgroup has so many registers."""
    return f"{'fewer' if count in FEWER else 'more'}_registers_{count}"


def products() -> Iterator[tuple[DType, int, tuple[bool, bool]]]:
    """Every product: the type of its factors, its columns, and which operands lie turned."""
    for dtype, columns in product(MULTIPLIED, COLUMNS):
        orders = (False, True) if dtype in NARROW else (False,)
        for left, right in product(orders, repeat=2):
            yield dtype, columns, (left, right)


def product_procs() -> Iterator[Proc]:
    """The instructions of them."""
    for dtype, columns, turned in products():
        yield _product(dtype, columns, turned)


def register_procs() -> Iterator[Proc]:
    """Every number of registers that a warpgroup may ask for."""
    for count in (*FEWER, *MORE):
        yield Proc(registers_name(count), (), (), ())


def sum_at(row: Expr, column: Expr) -> tuple[Expr, Expr]:
    """The thread that has a sum, and which of its sums that is."""
    thread = row // 16 * 32 + row % 8 * 4 + column % 8 // 2
    return thread, column // 8 * 4 + row % 16 // 8 * 2 + column % 2


def _product(dtype: DType, columns: int, turned: tuple[bool, bool]) -> Proc:
    """`acc[i, j] += sum over k of a[i, k] * b[j, k]`."""
    i, j, k = (Var(INDEX, axis) for axis in "ijk")
    terms = terms_of(dtype)
    a, b = (
        (k, row) if is_turned else (row, k)
        for row, is_turned in zip((i, j), turned, strict=True)
    )
    shapes = (
        (terms, size) if is_turned else (size, terms)
        for size, is_turned in zip((ROWS, columns), turned, strict=True)
    )
    factors = cast(Load(dtype, "a", a), f32) * cast(Load(dtype, "b", b), f32)
    body: Block = (Accumulate("sum", (Ref("acc", sum_at(i, j)),), (factors,)),)
    for axis, extent in (("k", terms), ("j", columns), ("i", ROWS)):
        body = (Loop(axis, index(0), index(extent), body, Kind.UNROLL),)
    left, right = shapes
    params = (
        Buffer("acc", f32, (THREADS, columns // 2)),
        Buffer("a", dtype, left),
        Buffer("b", dtype, right),
    )
    return Proc(product_name(dtype, columns, turned=turned), params, (), body)
