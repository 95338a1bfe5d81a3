"""One emission rule per scalar function of the table in `expr/functions.py`.

A rule takes values of equal type and lanes and appends the instructions; what it must give at NaN,
zero divisors and overflow is said in that table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ...errors import UnsupportedError
from ...types import DType, bool_, f32, f64, i64
from .emit_convert import convert, round_to
from .emit_helpers import FMOD, FMOD_NEEDS, INTEGER_POWER
from .emit_text import ScopedText, Value, literal, register_type, suffix
from .math import MATH_FUNCTIONS, emit_math
from .vector_text import Shape, Vec

_FLOAT_OPCODES = {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv"}
_INTEGER_OPCODES = {"add": "add", "sub": "sub", "mul": "mul", "shl": "shl"}
_BIT_OPCODES = {"and": "and", "or": "or", "xor": "xor"}
_BOOL_OPCODES = {"add": "or", "mul": "and", "max": "or", "min": "and"}
_FLOAT_TESTS = {"eq": "oeq", "ne": "une", "lt": "olt", "le": "ole", "gt": "ogt", "ge": "oge"}
_INTEGER_TESTS = {"eq": "eq", "ne": "ne", "lt": "lt", "le": "le", "gt": "gt", "ge": "ge"}


@dataclass(frozen=True)
class Scalars:
    """Emits scalar functions into `out`.

    `modern` says that the target rounds to integers and converts half floats in one instruction;
    otherwise LLVM would call a library for it.
    """

    out: ScopedText
    modern: bool

    def apply(self, function: str, *args: Value) -> Value:
        """The function's value; `UnsupportedError` for an element type it does not have."""
        dtype = args[-1].dtype
        if function == "select":
            return self.select(*args)
        if function in _FLOAT_TESTS:
            return self.compare(function, *args)
        if dtype.kind == "b":
            rule: Callable[[Scalars, str, tuple[Value, ...]], Value | None] = _bool_rule
        else:
            rule = _float_rule if dtype.is_float else _integer_rule
        result = rule(self, function, args)
        if result is None:
            raise UnsupportedError(f"the CPU backend has no '{function}' of {dtype}")
        return result

    def convert(self, value: Value, dtype: DType) -> Value:
        return convert(self.out, value, dtype, native_half=self.modern)

    def spread(self, value: Value, lanes: int) -> Value:
        """A scalar in all lanes; a vector as it is."""
        if value.lanes == lanes:
            return value
        if value.number is not None:
            return literal(value.number, value.dtype, lanes)
        wide = register_type(value.dtype, lanes)
        first = self.out.define(f"insertelement {wide} poison, {value}, i32 0")
        zeros = f"<{lanes} x i32> zeroinitializer"
        name = self.out.define(f"shufflevector {wide} {first}, {wide} poison, {zeros}")
        return Value(name, value.dtype, lanes)

    def lane(self, value: Value, lane: int) -> Value:
        """One lane of a vector; a scalar as it is."""
        if value.lanes == 1:
            return value
        if value.number is not None:
            return literal(value.number, value.dtype)
        return Value(self.out.define(f"extractelement {value}, i32 {lane}"), value.dtype)

    def select(self, condition: Value, then: Value, otherwise: Value) -> Value:
        if then.name == otherwise.name:
            return then
        name = self.out.define(f"select {condition}, {then}, {otherwise}")
        return Value(name, then.dtype, then.lanes)

    def compare(self, function: str, a: Value, b: Value) -> Value:
        """A comparison of the table; the result is a bool."""
        if a.dtype.is_float:
            return self.test(f"fcmp {_FLOAT_TESTS[function]}", a, b)
        test = _INTEGER_TESTS[function]
        if test not in ("eq", "ne"):
            test = ("u" if a.dtype.kind in "ub" else "s") + test
        return self.test(f"icmp {test}", a, b)

    def test(self, instruction: str, a: Value, b: Value) -> Value:
        return Value(self.out.define(f"{instruction} {a}, {b.name}"), bool_, a.lanes)

    def binary(self, opcode: str, a: Value, b: Value) -> Value:
        return Value(self.out.define(f"{opcode} {a}, {b.name}"), a.dtype, a.lanes)

    def intrinsic(self, name: str, *args: Value | str) -> Value:
        """`@llvm.NAME` of the first argument's type, giving the same type."""
        value = args[0]
        assert isinstance(value, Value)
        result = self.out.call(value.type, f"llvm.{name}.{suffix(value.type)}", *args)
        return Value(result, value.dtype, value.lanes)

    def same(self, number: int | float, like: Value) -> Value:
        return literal(number, like.dtype, like.lanes)

    def multiply_add(self, a: Value, b: Value, c: Value) -> Value:
        """a * b + c of f64 or f32, rounded once where the target can."""
        if self.out.fma:
            return self.intrinsic("fma", a, b, c)
        return self.binary("fadd", self.binary("fmul", a, b), c)

    def per_lane(self, function: str, wide: DType, *args: Value) -> Value:
        """Call a scalar helper on every lane, in type `wide`."""
        converted = [self.convert(arg, wide) for arg in args]
        lanes = args[0].lanes
        kind = register_type(wide)
        if lanes == 1:
            operands = ", ".join(str(arg) for arg in converted)
            return Value(self.out.define(f"call {kind} @{function}({operands})"), wide)
        total = "poison"
        for lane in range(lanes):
            operands = ", ".join(str(self.lane(arg, lane)) for arg in converted)
            one = self.out.define(f"call {kind} @{function}({operands})")
            vector = register_type(wide, lanes)
            total = self.out.define(f"insertelement {vector} {total}, {kind} {one}, i32 {lane}")
        return Value(total, wide, lanes)


def _bool_rule(scalars: Scalars, function: str, args: tuple[Value, ...]) -> Value | None:
    opcode = _BIT_OPCODES.get(function) or _BOOL_OPCODES.get(function)
    if opcode:
        return scalars.binary(opcode, *args)
    if function == "not":
        return scalars.binary("xor", args[0], scalars.same(1, args[0]))
    if function in ("isnan", "isinf"):
        return scalars.same(0, args[0])
    return args[0] if function in ("abs", "floor", "ceil", "trunc") else None


def _float_rule(scalars: Scalars, function: str, args: tuple[Value, ...]) -> Value | None:
    """Compute in f64 or f32, then round to the type of the arguments."""
    dtype, lanes = args[0].dtype, args[0].lanes
    wide = f64 if dtype.bits == 64 else f32
    if function in ("isnan", "isinf"):
        return _classify(scalars, function, Value(args[0].name, wide, lanes))
    operands = tuple(Value(arg.name, wide, lanes, arg.number) for arg in args)
    if function in _EXACT_FLOAT:
        result = _EXACT_FLOAT[function](scalars, *operands)
        return Value(result.name, dtype, lanes)
    if function in _FLOAT_OPCODES:
        # `contract` lets the code generator make one fused instruction of a product and a sum.
        contract = "" if function == "div" else " contract"
        result = scalars.binary(_FLOAT_OPCODES[function] + contract, *operands)
    elif function in MATH_FUNCTIONS:
        names = [operand.name for operand in operands]
        name = emit_math(scalars.out, function, names, "f64" if wide == f64 else "f32", lanes)
        result = Value(name, wide, lanes)
    elif function in _ROUNDED_FLOAT:
        result = _ROUNDED_FLOAT[function](scalars, *operands)
    else:
        return None
    return round_to(scalars.out, result, dtype, native_half=scalars.modern)


def _classify(scalars: Scalars, function: str, x: Value) -> Value:
    if function == "isnan":
        return scalars.test("fcmp uno", x, x)
    return scalars.test("fcmp oeq", scalars.intrinsic("fabs", x), scalars.same(float("inf"), x))


def _larger(scalars: Scalars, a: Value, b: Value) -> Value:
    return _extreme(scalars, "ogt", a, b)


def _smaller(scalars: Scalars, a: Value, b: Value) -> Value:
    return _extreme(scalars, "olt", a, b)


def _extreme(scalars: Scalars, test: str, a: Value, b: Value) -> Value:
    """One x86 instruction gives `b` where either is NaN; a NaN in `a` is put right after it.

    A constant goes first, and then nothing is left to put right.
    """
    if b.number is not None and b.number == b.number:
        a, b = b, a
    chosen = scalars.select(scalars.test(f"fcmp {test}", a, b), a, b)
    if a.number is not None and a.number == a.number:
        return chosen
    return scalars.select(scalars.test("fcmp uno", a, a), a, chosen)


def _sign(scalars: Scalars, x: Value) -> Value:
    zero = scalars.same(0.0, x)
    one, minus = scalars.same(1.0, x), scalars.same(-1.0, x)
    at_rest = scalars.select(scalars.test("fcmp oeq", x, zero), zero, x)
    negative = scalars.select(scalars.test("fcmp olt", x, zero), minus, at_rest)
    return scalars.select(scalars.test("fcmp ogt", x, zero), one, negative)


def _round(scalars: Scalars, x: Value) -> Value:
    return _to_integral(scalars, "roundeven", x)


def _floor(scalars: Scalars, x: Value) -> Value:
    return _to_integral(scalars, "floor", x)


def _ceil(scalars: Scalars, x: Value) -> Value:
    return _to_integral(scalars, "ceil", x)


def _trunc(scalars: Scalars, x: Value) -> Value:
    return _to_integral(scalars, "trunc", x)


def _to_integral(scalars: Scalars, how: str, x: Value) -> Value:
    if scalars.modern:
        return scalars.intrinsic(how, x)
    vec = Vec(Shape(scalars.out, "f64" if x.dtype == f64 else "f32", x.lanes), x.name)
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


def _truncated_modulo(scalars: Scalars, a: Value, b: Value) -> Value:
    """C's fmod; that of two f32 is exact in f64 and fits an f32."""
    for text in (FMOD, *FMOD_NEEDS):
        scalars.out.declare(text)
    return scalars.convert(scalars.per_lane("ml.fmod", f64, a, b), a.dtype)


def _modulo(scalars: Scalars, a: Value, b: Value) -> Value:
    """The remainder with the divisor's sign, as NumPy makes it from fmod."""
    rest, zero = _truncated_modulo(scalars, a, b), scalars.same(0.0, a)
    unlike = scalars.binary(
        "xor", scalars.test("fcmp olt", rest, zero), scalars.test("fcmp olt", b, zero)
    )
    moved = scalars.select(unlike, scalars.binary("fadd", rest, b), rest)
    nothing = scalars.intrinsic("copysign", zero, b)
    return scalars.select(scalars.test("fcmp oeq", rest, zero), nothing, moved)


def _floor_divide(scalars: Scalars, a: Value, b: Value) -> Value:
    """The quotient rounded down, as NumPy makes it from fmod; a zero divisor gives a / b."""
    zero, one = scalars.same(0.0, a), scalars.same(1.0, a)
    rest = _truncated_modulo(scalars, a, b)
    quotient = scalars.binary("fdiv", scalars.binary("fsub", a, rest), b)
    unlike = scalars.binary(
        "xor", scalars.test("fcmp olt", rest, zero), scalars.test("fcmp olt", b, zero)
    )
    lower = scalars.binary("and", unlike, scalars.test("fcmp une", rest, zero))
    quotient = scalars.select(lower, scalars.binary("fsub", quotient, one), quotient)
    whole = _floor(scalars, quotient)
    short = scalars.test("fcmp ogt", scalars.binary("fsub", quotient, whole), scalars.same(0.5, a))
    whole = scalars.select(short, scalars.binary("fadd", whole, one), whole)
    plain = scalars.binary("fdiv", a, b)
    nothing = scalars.intrinsic("copysign", zero, plain)
    whole = scalars.select(scalars.test("fcmp oeq", quotient, zero), nothing, whole)
    return scalars.select(scalars.test("fcmp oeq", b, zero), plain, whole)


def _square_root(scalars: Scalars, x: Value) -> Value:
    return scalars.intrinsic("sqrt", x)


def _negate(scalars: Scalars, x: Value) -> Value:
    return Value(scalars.out.define(f"fneg {x}"), x.dtype, x.lanes)


def _magnitude(scalars: Scalars, x: Value) -> Value:
    return scalars.intrinsic("fabs", x)


FloatRule = Callable[..., Value]

# Results that the arguments' own type holds exactly, and those that need rounding to it.
_EXACT_FLOAT: Mapping[str, FloatRule] = {
    "min": _smaller,
    "max": _larger,
    "neg": _negate,
    "abs": _magnitude,
    "sign": _sign,
    "round": _round,
    "floor": _floor,
    "ceil": _ceil,
    "trunc": _trunc,
    "truncmod": _truncated_modulo,
}
_ROUNDED_FLOAT: Mapping[str, FloatRule] = {
    "fma": Scalars.multiply_add,
    "sqrt": _square_root,
    "mod": _modulo,
    "floordiv": _floor_divide,
}


def _integer_rule(scalars: Scalars, function: str, args: tuple[Value, ...]) -> Value | None:
    unsigned = args[0].dtype.kind == "u"
    opcode = _INTEGER_OPCODES.get(function) or _BIT_OPCODES.get(function)
    if opcode:
        return scalars.binary(opcode, *args)
    match function, args:
        case "shr", (a, b):
            return scalars.binary("lshr" if unsigned else "ashr", a, b)
        case "min" | "max", (a, b):
            return scalars.intrinsic(("u" if unsigned else "s") + function, a, b)
        case "neg", (a,):
            return scalars.binary("sub", scalars.same(0, a), a)
        case "not", (a,):
            return scalars.binary("xor", a, scalars.same(-1, a))
        case "abs", (a,):
            return a if unsigned else scalars.intrinsic("abs", a, "i1 false")
        case "round" | "floor" | "ceil" | "trunc", (a,):
            return a
        case "isnan" | "isinf", (a,):
            return literal(False, bool_, a.lanes)
        case "fma", (a, b, c):
            return scalars.binary("add", scalars.binary("mul", a, b), c)
        case "sign", (a,):
            return _integer_sign(scalars, a, unsigned)
        case "pow", (a, b):
            scalars.out.declare(INTEGER_POWER)
            return scalars.convert(scalars.per_lane("ml.power", i64, a, b), a.dtype)
        case "floordiv" | "mod" | "truncdiv" | "truncmod", (a, b):
            return _divide(scalars, function, a, b, unsigned)
    return None


def _integer_sign(scalars: Scalars, a: Value, unsigned: bool) -> Value:
    low = scalars.intrinsic("umin" if unsigned else "smin", a, scalars.same(1, a))
    return low if unsigned else scalars.intrinsic("smax", low, scalars.same(-1, a))


def _divide(scalars: Scalars, function: str, a: Value, b: Value, unsigned: bool) -> Value:
    """Quotients and remainders that never trap: a divisor of 0 gives 0, of -1 the negation."""
    zero, one = scalars.same(0, a), scalars.same(1, a)
    by_zero = scalars.test("icmp eq", b, zero)
    unsafe = by_zero
    if not unsigned:
        unsafe = scalars.binary("or", by_zero, scalars.test("icmp eq", b, scalars.same(-1, b)))
    known = b.number not in (None, 0, -1)
    safe = b if known else scalars.select(unsafe, one, b)
    quotient = scalars.binary("udiv" if unsigned else "sdiv", a, safe)
    rest = scalars.binary("sub", a, scalars.binary("mul", quotient, safe))
    if function in ("floordiv", "mod") and not unsigned:
        unlike = scalars.test("icmp slt", scalars.binary("xor", rest, safe), zero)
        down = scalars.binary("and", unlike, scalars.test("icmp ne", rest, zero))
        quotient = scalars.select(down, scalars.binary("sub", quotient, one), quotient)
        rest = scalars.select(down, scalars.binary("add", rest, safe), rest)
    if function in ("mod", "truncmod"):
        return rest  # dividing by the 1 that stands for 0 and -1 leaves 0
    if known:
        return quotient
    negated = scalars.binary("sub", zero, a)
    quotient = quotient if unsigned else scalars.select(unsafe, negated, quotient)
    return scalars.select(by_zero, zero, quotient)
