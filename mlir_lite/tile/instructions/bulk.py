"""Copies of a whole box of an array into shared memory, by the card's own engine while its threads
go on; what of the box lies outside of the array becomes zero.

    async tiles { call @bulk_bf16x64(left[s, 0, 0], x[m, k]; 100 - m, 70 - k) ... }

Rows of a box have 128 bytes, whose chunks of sixteen change places by the row, so that warpgroups
read them without conflicts of banks: the layout of the tiles says so. Of f32 the engine rounds what
it copies to TF32, halves to even, infinities and NaN left alone (a tensor map of the type
CU_TENSOR_MAP_DATA_TYPE_TFLOAT32 asks for that; CUTLASS and Triton build on it).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from ...expr import INDEX, Expr, Load, Var, all_of, apply, const, index, select
from ...types import DType, f32
from ..nodes import Buffer, Kind, Layout, Loop, Proc, Ref, Store
from .warps import MULTIPLIED, factor_name

ROW_BYTES = 128  # of a box
CHUNK_BYTES = 16
BOX_ALIGNMENT = 8 * ROW_BYTES  # of tiles: chunks change places by the bits of their addresses
BOX_ROWS = (64, 128, 256)


def bulk_name(dtype: DType, rows: int, *, apart: bool = False) -> str:
    """The instruction that copies a box of so many rows; those that lie `apart` have another axis
    between them and their elements, of which the box has one place."""
    return f"bulk_{factor_name(dtype)}x{rows}{'_apart' if apart else ''}"


def box_columns(dtype: DType) -> int:
    """Elements in a row of a box."""
    return ROW_BYTES // dtype.bytes


def bulk_procs() -> Iterator[Proc]:
    """Every copy of a box."""
    for dtype, rows, apart in product(MULTIPLIED, BOX_ROWS, (False, True)):
        yield _bulk(dtype, rows, apart)


def _bulk(dtype: DType, rows: int, apart: bool) -> Proc:
    """`to[i, j] = from[i, j]`, rounded if it is f32, but zero past the last `rows` and `columns` of
    the array."""
    i, j = Var(INDEX, "i"), Var(INDEX, "j")
    inside = all_of(i < Var(INDEX, "rows"), j < Var(INDEX, "columns"))
    between = (index(0),) if apart else ()
    element: Expr = Load(dtype, "from", (i, *between, j))
    if dtype == f32:
        element = apply("tf32_even", element)
    value = select(inside, element, const(0, dtype))
    columns = box_columns(dtype)
    along = Loop("j", index(0), index(columns), (Store(Ref("to", (i, j)), value),), Kind.UNROLL)
    given = (rows, *(1 for _ in between), columns)
    return Proc(
        bulk_name(dtype, rows, apart=apart),
        (Buffer("to", dtype, (rows, columns)), Buffer("from", dtype, given)),
        ("rows", "columns"),
        (Loop("i", index(0), index(rows), (along,), Kind.UNROLL),),
    )


def box_layout(shape: tuple[int, ...], dtype: DType) -> Layout:
    """Where the elements of tiles `[stage, row, column]` lie that come as boxes side by side."""
    stages, rows, columns = shape
    width, chunk = box_columns(dtype), CHUNK_BYTES // dtype.bytes
    stage, row, column = (Var(INDEX, f"{name}#") for name in ("stage", "row", "column"))
    place = column % width
    turned = apply("xor", place // chunk, row % (ROW_BYTES // CHUNK_BYTES)) * chunk + place % chunk
    return Layout(
        ("stage#", "row#", "column#"),
        (stage, column // width, row, turned),
        (stages, columns // width, rows, width),
    )
