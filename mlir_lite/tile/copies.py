"""Instructions of graphics cards that bring a few neighbouring elements into shared memory.

    async tile { call @copy_f32x4(left[0, k, m], x[m, k], valid) }
"""

from __future__ import annotations

from collections.abc import Iterator

from ..expr import INDEX, Load, Var, const, index, select
from ..types import DTYPES, DType
from .nodes import Buffer, Kind, Loop, Proc, Ref, Store

SIZES = (4, 8, 16)  # bytes that one thread copies at once


def copy_name(dtype: DType, width: int) -> str:
    """The instruction that copies `width` elements of a type."""
    return f"copy_{dtype}x{width}"


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
