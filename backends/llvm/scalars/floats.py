"""Emission rules of the scalar functions of floats, but for the elementary ones of `../math`.

Computed in f64, or in f32 for all narrower types.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from ....types import f64
from ..text.scopes import Value
from ..text.vectors import Shape, Vec
from .functions import FMOD, FMOD_NEEDS
from .primitives import Primitives


def classify(ops: Primitives, function: str, x: Value) -> Value:
    """`isnan` and `isinf`."""
    if function == "isnan":
        return ops.test("fcmp uno", x, x)
    return ops.test("fcmp oeq", ops.intrinsic("fabs", x), ops.same(float("inf"), x))


def _larger(ops: Primitives, a: Value, b: Value) -> Value:
    return _extreme(ops, "ogt", a, b)


def _smaller(ops: Primitives, a: Value, b: Value) -> Value:
    return _extreme(ops, "olt", a, b)


def _extreme(ops: Primitives, test: str, a: Value, b: Value) -> Value:
    """One x86 instruction gives `b` where either is NaN; a NaN in `a` is put right after it.

    A constant goes first, and then nothing is left to put right.
    """
    if b.number is not None and b.number == b.number:
        a, b = b, a
    chosen = ops.select(ops.test(f"fcmp {test}", a, b), a, b)
    if a.number is not None and a.number == a.number:
        return chosen
    return ops.select(ops.test("fcmp uno", a, a), a, chosen)


def _sign(ops: Primitives, x: Value) -> Value:
    zero = ops.same(0.0, x)
    one, minus = ops.same(1.0, x), ops.same(-1.0, x)
    at_rest = ops.select(ops.test("fcmp oeq", x, zero), zero, x)
    negative = ops.select(ops.test("fcmp olt", x, zero), minus, at_rest)
    return ops.select(ops.test("fcmp ogt", x, zero), one, negative)


def _round(ops: Primitives, x: Value) -> Value:
    return _to_integral(ops, "roundeven", x)


def _floor(ops: Primitives, x: Value) -> Value:
    return _to_integral(ops, "floor", x)


def _ceil(ops: Primitives, x: Value) -> Value:
    return _to_integral(ops, "ceil", x)


def _trunc(ops: Primitives, x: Value) -> Value:
    return _to_integral(ops, "trunc", x)


def _to_integral(ops: Primitives, how: str, x: Value) -> Value:
    if ops.modern:
        return ops.intrinsic(how, x)
    vec = Vec(Shape(ops.out, "f64" if x.dtype == f64 else "f32", x.lanes), x.name)
    size = vec.fabs()
    limit = 2.0**vec.shape.mantissa_bits  # from here on every float is an integer
    near = (size < limit).select((size + limit) - limit, size).copysign(vec)
    match how:
        case "floor":
            near = (near > vec).select(near - 1.0, near)
        case "ceil":
            near = (near < vec).select(near + 1.0, near)
        case "trunc":
            near = (near.fabs() > size).select((near.fabs() - 1.0), near.fabs())
    return Value(near.copysign(vec).name, x.dtype, x.lanes)


def _truncated_modulo(ops: Primitives, a: Value, b: Value) -> Value:
    """C's fmod; that of two f32 is exact in f64 and fits an f32."""
    for text in (FMOD, *FMOD_NEEDS):
        ops.out.declare(text)
    return ops.convert(ops.per_lane("ml.fmod", f64, a, b), a.dtype)


def _modulo(ops: Primitives, a: Value, b: Value) -> Value:
    """The remainder with the divisor's sign, as NumPy makes it from fmod."""
    rest, zero = _truncated_modulo(ops, a, b), ops.same(0.0, a)
    unlike = ops.binary(
        "xor", ops.test("fcmp olt", rest, zero), ops.test("fcmp olt", b, zero)
    )
    moved = ops.select(unlike, ops.binary("fadd", rest, b), rest)
    nothing = ops.intrinsic("copysign", zero, b)
    return ops.select(ops.test("fcmp oeq", rest, zero), nothing, moved)


def _floor_divide(ops: Primitives, a: Value, b: Value) -> Value:
    """The quotient rounded down, as NumPy makes it from fmod; a zero divisor gives a / b."""
    zero, one = ops.same(0.0, a), ops.same(1.0, a)
    rest = _truncated_modulo(ops, a, b)
    quotient = ops.binary("fdiv", ops.binary("fsub", a, rest), b)
    unlike = ops.binary(
        "xor", ops.test("fcmp olt", rest, zero), ops.test("fcmp olt", b, zero)
    )
    lower = ops.binary("and", unlike, ops.test("fcmp une", rest, zero))
    quotient = ops.select(lower, ops.binary("fsub", quotient, one), quotient)
    whole = _floor(ops, quotient)
    short = ops.test("fcmp ogt", ops.binary("fsub", quotient, whole), ops.same(0.5, a))
    whole = ops.select(short, ops.binary("fadd", whole, one), whole)
    plain = ops.binary("fdiv", a, b)
    nothing = ops.intrinsic("copysign", zero, plain)
    whole = ops.select(ops.test("fcmp oeq", quotient, zero), nothing, whole)
    return ops.select(ops.test("fcmp oeq", b, zero), plain, whole)


def _tf32(ops: Primitives, x: Value, *, to_even: bool = False) -> Value:
    """Half a step is added to the magnitude, and what is below a step left out."""
    vec = Vec(Shape(ops.out, "f64" if x.dtype == f64 else "f32", x.lanes), x.name)
    drop = vec.shape.mantissa_bits - 10
    bits, half = vec.bits(), 1 << (drop - 1)
    raised = bits + (half - 1) + ((bits >> drop) & 1) if to_even else bits + half
    near = ((raised >> drop) << drop).as_float()
    finite = vec.fabs() < float("inf")
    return Value(finite.select(near, vec).name, x.dtype, x.lanes)


def _tf32_cut(ops: Primitives, x: Value) -> Value:
    """What is below a step left out; a NaN stays one."""
    vec = Vec(Shape(ops.out, "f64" if x.dtype == f64 else "f32", x.lanes), x.name)
    drop = vec.shape.mantissa_bits - 10
    near = ((vec.bits() >> drop) << drop).as_float()
    number = vec.fabs() <= float("inf")
    return Value(number.select(near, vec).name, x.dtype, x.lanes)


def _flush(ops: Primitives, x: Value) -> Value:
    """A product with zero keeps the sign."""
    least = ops.same(2.0**-1022 if x.dtype == f64 else 2.0**-126, x)
    small = ops.test("fcmp olt", ops.intrinsic("fabs", x), least)
    return ops.select(small, ops.binary("fmul", x, ops.same(0.0, x)), x)


def _square_root(ops: Primitives, x: Value) -> Value:
    return ops.intrinsic("sqrt", x)


def _negate(ops: Primitives, x: Value) -> Value:
    return Value(ops.out.define(f"fneg {x}"), x.dtype, x.lanes)


def _magnitude(ops: Primitives, x: Value) -> Value:
    return ops.intrinsic("fabs", x)


FloatRule = Callable[..., Value]

# Results that the arguments' own type holds exactly, and those that need rounding to it.
EXACT_RULES: Mapping[str, FloatRule] = {
    "min": _smaller,
    "max": _larger,
    "neg": _negate,
    "abs": _magnitude,
    "sign": _sign,
    "round": _round,
    "flush": _flush,
    "floor": _floor,
    "ceil": _ceil,
    "trunc": _trunc,
    "tf32": _tf32,
    "tf32_even": partial(_tf32, to_even=True),
    "tf32_cut": _tf32_cut,
    "truncmod": _truncated_modulo,
}
ROUNDED_RULES: Mapping[str, FloatRule] = {
    "fma": Primitives.multiply_add,
    "sqrt": _square_root,
    "mod": _modulo,
    "floordiv": _floor_divide,
}
