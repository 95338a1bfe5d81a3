"""Instructions of graphics cards that move a few neighbouring elements at once: into shared memory
while threads go on, or between memory and the registers of a thread.

    async tile { call @copy_f32x4(left[0, k, m], x[m, k], valid) }
    call @load_f32x4(values[0], x[i * 4]);  call @store_f32x4(y[i * 4], values[0])
"""

from __future__ import annotations

from collections.abc import Iterator

from ...expr import INDEX, Load, Var, const, index, select
from ...types import DTYPES, DType
from ..nodes import Buffer, Kind, Loop, Proc, Ref, Store

SIZES = (4, 8, 16)  # bytes that one thread moves at once


def copy_name(dtype: DType, width: int) -> str:
    """The instruction that copies `width` elements of a type."""
    return f"copy_{dtype}x{width}"


def bytes_of(run: Buffer) -> int:
    """The bytes of a run of neighbouring elements."""
    return run.elements * run.dtype.bytes


def copies() -> Iterator[Proc]:
    """Every copy that a card can do while its threads go on."""
    for dtype in DTYPES.values():
        for size in SIZES:
            if dtype.kind != "b" and size % dtype.bytes == 0:
                yield _copy(dtype, size // dtype.bytes)


def _copy(dtype: DType, width: int) -> Proc:
    """`to[e] = from[e]`, but zero from the `valid`-th on: of those nothing is read."""
    at = Var(INDEX, "e")
    there = Var(INDEX, "valid")
    value = select(at < there, Load(dtype, "from", (at,)), const(0, dtype))
    store = Store(Ref("to", (at,)), value)
    return Proc(
        copy_name(dtype, width),
        (Buffer("to", dtype, (width,)), Buffer("from", dtype, (width,))),
        ("valid",),
        (Loop("e", index(0), index(width), (store,), Kind.UNROLL),),
    )


def load_name(dtype: DType, width: int) -> str:
    """The instruction that reads `width` neighbours in memory into registers."""
    return f"load_{dtype}x{width}"


def store_name(dtype: DType, width: int) -> str:
    """The instruction that writes registers to `width` neighbours in memory."""
    return f"store_{dtype}x{width}"


def wide_accesses() -> Iterator[Proc]:
    """Every one of them."""
    for dtype in DTYPES.values():
        for size in (2, *SIZES):
            width = size // dtype.bytes
            if width > 1:
                yield _moved(load_name(dtype, width), dtype, width)
                yield _moved(store_name(dtype, width), dtype, width)


def _moved(name: str, dtype: DType, width: int) -> Proc:
    """`to[e] = from[e]`."""
    at = Var(INDEX, "e")
    store = Store(Ref("to", (at,)), Load(dtype, "from", (at,)))
    params = (Buffer("to", dtype, (width,)), Buffer("from", dtype, (width,)))
    return Proc(name, params, (), (Loop("e", index(0), index(width), (store,), Kind.UNROLL),))
