"""Instructions of AVX-512 on vectors of 64 bytes, as LLVM text; each needs what `has_avx512`,
`has_tables` or `has_halves` says of the values' shape.
"""

from __future__ import annotations

from collections.abc import Sequence

from .builder import constant, vector_type
from .vectors import Ints, Shape, Vec

WIDE_BITS = 512
CURRENT_ROUNDING = 4  # as everywhere else
WHOLE_NEAREST = 0  # what `vreduceps` takes away: the nearest whole number


def has_avx512(shape: Shape) -> bool:
    """Whether the target has `scaled` and `fraction` for these vectors."""
    return shape.out.avx512 and shape.width * shape.total_bits == WIDE_BITS


def has_tables(shape: Shape) -> bool:
    """Whether the target has `looked_up` for these vectors."""
    return has_avx512(shape) and shape.dtype == "f32"


def has_halves(shape: Shape) -> bool:
    """Whether the target has `normal_halves` for these vectors."""
    return shape.out.halves and shape.dtype == "f32" and shape.width * 32 == WIDE_BITS


def scaled(x: Vec, power: Vec) -> Vec:
    """x * 2**power for whole powers, rounded once."""
    kind, mask = x.shape.type, f"i{x.shape.width}"
    vectors = ", ".join(f"{kind} {vector.name}" for vector in (x, power, x))
    operands = f"{vectors}, {mask} -1, i32 {CURRENT_ROUNDING}"
    return _masked("scalef", x.shape, (kind, kind, kind, mask, "i32"), operands)


def fraction(x: Vec) -> Vec:
    """x - round(x), of infinities 0."""
    kind, mask = x.shape.type, f"i{x.shape.width}"
    source = f"{kind} {x.name}"
    operands = f"{source}, i32 {WHOLE_NEAREST}, {source}, {mask} -1, i32 {CURRENT_ROUNDING}"
    return _masked("reduce", x.shape, (kind, "i32", kind, mask, "i32"), operands)


def _masked(instruction: str, shape: Shape, types: Sequence[str], operands: str) -> Vec:
    """Call the intrinsic of a masked instruction."""
    suffix = "ps" if shape.dtype == "f32" else "pd"
    function = f"@llvm.x86.avx512.mask.{instruction}.{suffix}.512"
    return _called(function, shape, types, operands)


def looked_up(number: Ints, table: Sequence[float]) -> Vec:
    """The entries of a table of 16 at the lowest four bits of each number."""
    shape = number.shape
    entries = ", ".join(f"float {constant(entry, 'f32', 1)}" for entry in table)
    operands = f"{shape.type} <{entries}>, {shape.int_type} {number.name}"
    types = shape.type, shape.int_type
    return _called("@llvm.x86.avx512.permvar.sf.512", shape, types, operands)


def _called(function: str, shape: Shape, types: Sequence[str], operands: str) -> Vec:
    shape.out.declare(f"declare {shape.type} {function}({', '.join(types)})")
    return Vec(shape, shape.out.define(f"call {shape.type} {function}({operands})"))


def normal_halves(x: Vec) -> str:
    """The bits of each rounded to bf16, 16 of them, subnormal numbers to zero; a NaN is made
    quiet."""
    out, kind, halves = x.shape.out, x.shape.type, vector_type("bfloat", x.shape.width)
    function = "@llvm.x86.avx512bf16.cvtneps2bf16.512"
    out.declare(f"declare {halves} {function}({kind})")
    rounded = out.define(f"call {halves} {function}({kind} {x.name})")
    return out.define(f"bitcast {halves} {rounded} to {vector_type('i16', x.shape.width)}")
