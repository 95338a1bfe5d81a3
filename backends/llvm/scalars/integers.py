"""Emission rules of the scalar functions of integers and bools: nothing traps, sums wrap around."""

from __future__ import annotations

from ....types import bool_, i64
from ..text.scopes import Value, literal
from .functions import INTEGER_POWER
from .primitives import Primitives
from .random import philox

_INTEGER_OPCODES = {"add": "add", "sub": "sub", "mul": "mul", "shl": "shl"}
_BIT_OPCODES = {"and": "and", "or": "or", "xor": "xor"}
_BOOL_OPCODES = {"add": "or", "mul": "and", "max": "or", "min": "and"}


def bool_function(ops: Primitives, function: str, args: tuple[Value, ...]) -> Value | None:
    """A function of bools; None for one that they do not have."""
    opcode = _BIT_OPCODES.get(function) or _BOOL_OPCODES.get(function)
    if opcode:
        return ops.binary(opcode, *args)
    if function == "not":
        return ops.binary("xor", args[0], ops.same(1, args[0]))
    if function in ("isnan", "isinf"):
        return ops.same(0, args[0])
    return args[0] if function in ("abs", "floor", "ceil", "trunc") else None


def integer_function(ops: Primitives, function: str, args: tuple[Value, ...]) -> Value | None:
    """A function of integers; None for one that they do not have."""
    unsigned = args[0].dtype.kind == "u"
    opcode = _INTEGER_OPCODES.get(function) or _BIT_OPCODES.get(function)
    if opcode:
        return ops.binary(opcode, *args)
    match function, args:
        case "shr", (a, b):
            return ops.binary("lshr" if unsigned else "ashr", a, b)
        case "min" | "max", (a, b):
            return ops.intrinsic(("u" if unsigned else "s") + function, a, b)
        case "neg", (a,):
            return ops.binary("sub", ops.same(0, a), a)
        case "not", (a,):
            return ops.binary("xor", a, ops.same(-1, a))
        case "abs", (a,):
            return a if unsigned else ops.intrinsic("abs", a, "i1 false")
        case "round" | "floor" | "ceil" | "trunc", (a,):
            return a
        case "isnan" | "isinf", (a,):
            return literal(False, bool_, a.lanes)
        case "fma", (a, b, c):
            return ops.binary("add", ops.binary("mul", a, b), c)
        case "philox", (seed, stream, place):
            return philox(ops, seed, stream, place)
        case "sign", (a,):
            return _integer_sign(ops, a, unsigned)
        case "pow", (a, b):
            ops.out.declare(INTEGER_POWER)
            return ops.convert(ops.per_lane("ml.power", i64, a, b), a.dtype)
        case "floordiv" | "mod" | "truncdiv" | "truncmod", (a, b):
            return _divide(ops, function, a, b, unsigned)
    return None


def _integer_sign(ops: Primitives, a: Value, unsigned: bool) -> Value:
    low = ops.intrinsic("umin" if unsigned else "smin", a, ops.same(1, a))
    return low if unsigned else ops.intrinsic("smax", low, ops.same(-1, a))


def _divide(ops: Primitives, function: str, a: Value, b: Value, unsigned: bool) -> Value:
    """Quotients and remainders that never trap: a divisor of 0 gives 0, of -1 the negation."""
    zero, one = ops.same(0, a), ops.same(1, a)
    by_zero = ops.test("icmp eq", b, zero)
    unsafe = by_zero
    if not unsigned:
        unsafe = ops.binary("or", by_zero, ops.test("icmp eq", b, ops.same(-1, b)))
    known = b.number not in (None, 0, -1)
    safe = b if known else ops.select(unsafe, one, b)
    quotient = ops.binary("udiv" if unsigned else "sdiv", a, safe)
    rest = ops.binary("sub", a, ops.binary("mul", quotient, safe))
    if function in ("floordiv", "mod") and not unsigned:
        unlike = ops.test("icmp slt", ops.binary("xor", rest, safe), zero)
        down = ops.binary("and", unlike, ops.test("icmp ne", rest, zero))
        quotient = ops.select(down, ops.binary("sub", quotient, one), quotient)
        rest = ops.select(down, ops.binary("add", rest, safe), rest)
    if function in ("mod", "truncmod"):
        return rest  # dividing by the 1 that stands for 0 and -1 leaves 0
    if known:
        return quotient
    negated = ops.binary("sub", zero, a)
    quotient = quotient if unsigned else ops.select(unsafe, negated, quotient)
    return ops.select(by_zero, zero, quotient)
