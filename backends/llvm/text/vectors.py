"""Vector values whose operators append LLVM instructions, so that emission reads like mathematics.

`x * x + 1.0` appends

    %t0 = fmul <16 x float> %x, %x
    %t1 = fadd <16 x float> %t0, splat (float 0x3FF0000000000000)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .builder import FloatType, LlvmText, constant, element_type, splat, vector_type

HORNER_LENGTH = 8  # measured: with more coefficients latency costs more than a multiplication


@dataclass(frozen=True)
class Shape:
    """Where and how wide vector values are emitted: the text, the float type, the lane count."""

    out: LlvmText
    dtype: FloatType
    width: int

    @property
    def mantissa_bits(self) -> int:
        """Stored mantissa bits: 23 or 52."""
        return 23 if self.dtype == "f32" else 52

    @property
    def total_bits(self) -> int:
        """Bits of a lane: 32 or 64."""
        return 32 if self.dtype == "f32" else 64

    @property
    def bias(self) -> int:
        """Exponent bias: 127 or 1023."""
        return 127 if self.dtype == "f32" else 1023

    @property
    def type(self) -> str:
        return vector_type(element_type(self.dtype), self.width)

    @property
    def int_type(self) -> str:
        return vector_type("i32" if self.dtype == "f32" else "i64", self.width)

    @property
    def mask_type(self) -> str:
        return vector_type("i1", self.width)

    @property
    def suffix(self) -> str:
        """The mangled type in an intrinsic's name: `f32`, `v16f32`."""
        return self.dtype if self.width == 1 else f"v{self.width}{self.dtype}"

    def literal(self, value: float) -> Vec:
        return Vec(self, constant(value, self.dtype, self.width))

    def int_literal(self, value: int) -> Ints:
        element = "i32" if self.dtype == "f32" else "i64"
        return Ints(self, splat(str(value), element, self.width))

    def call(self, intrinsic: str, args: Sequence[Vec]) -> Vec:
        """Call `llvm.<intrinsic>` on float vectors of this shape."""
        function = f"@llvm.{intrinsic}.{self.suffix}"
        self.out.declare(f"declare {self.type} {function}({', '.join([self.type] * len(args))})")
        operands = ", ".join(f"{self.type} {arg.name}" for arg in args)
        return Vec(self, self.out.define(f"call {self.type} {function}({operands})"))


@dataclass(frozen=True)
class Vec:
    """A float vector (or scalar): an SSA name or a literal. Plain numbers are splatted."""

    shape: Shape
    name: str

    def __add__(self, other: Vec | float) -> Vec:
        return self._binary("fadd", other)

    def __sub__(self, other: Vec | float) -> Vec:
        return self._binary("fsub", other)

    def __mul__(self, other: Vec | float) -> Vec:
        return self._binary("fmul", other)

    def __truediv__(self, other: Vec | float) -> Vec:
        return self._binary("fdiv", other)

    def __rsub__(self, other: float) -> Vec:
        return self.shape.literal(other) - self

    def __rtruediv__(self, other: float) -> Vec:
        return self.shape.literal(other) / self

    def __neg__(self) -> Vec:
        return Vec(self.shape, self.shape.out.define(f"fneg {self.shape.type} {self.name}"))

    def fma(self, factor: Vec | float, addend: Vec | float) -> Vec:
        """self * factor + addend, rounded once where the target can."""
        if not self.shape.out.fma:
            return self * factor + addend
        return self.shape.call("fma", [self, self._vec(factor), self._vec(addend)])

    def sqrt(self) -> Vec:
        return self.shape.call("sqrt", [self])

    def fabs(self) -> Vec:
        return self.shape.call("fabs", [self])

    def copysign(self, sign: Vec) -> Vec:
        return self.shape.call("copysign", [self, sign])

    def at_least(self, low: Vec | float) -> Vec:
        """max(self, low); NaN passes."""
        return (self < low).select(low, self)

    def at_most(self, high: Vec | float) -> Vec:
        """min(self, high); NaN passes."""
        return (self > high).select(high, self)

    def compare(self, predicate: str, other: Vec | float) -> Mask:
        """`fcmp` with an LLVM predicate: ordered `olt`, unordered `uno`, ..."""
        operands = f"{self.name}, {self._vec(other).name}"
        text = f"fcmp {predicate} {self.shape.type} {operands}"
        return Mask(self.shape, self.shape.out.define(text))

    def __lt__(self, other: Vec | float) -> Mask:
        return self.compare("olt", other)

    def __gt__(self, other: Vec | float) -> Mask:
        return self.compare("ogt", other)

    def __le__(self, other: Vec | float) -> Mask:
        return self.compare("ole", other)

    def __ge__(self, other: Vec | float) -> Mask:
        return self.compare("oge", other)

    def equals(self, other: Vec | float) -> Mask:
        return self.compare("oeq", other)

    def two_product(self, other: Vec) -> tuple[Vec, Vec]:
        """self * other as an unevaluated sum of the rounded product and its error (Dekker 1971)."""
        product = self * other
        if self.shape.out.fma:
            return product, self.fma(other, -product)
        (a, b), (c, d) = self._halves(), other._halves()
        return product, b * d - (((product - a * c) - b * c) - a * d)

    def _halves(self) -> tuple[Vec, Vec]:
        """self as a sum of two numbers of half the precision (Veltkamp)."""
        scaled = self * (2.0 ** ((self.shape.mantissa_bits + 2) // 2) + 1.0)
        high = scaled - (scaled - self)
        return high, self - high

    def bits(self) -> Ints:
        shape = self.shape
        text = f"bitcast {shape.type} {self.name} to {shape.int_type}"
        return Ints(shape, shape.out.define(text))

    def widened(self) -> Vec:
        """The same numbers as f64."""
        wide = Shape(self.shape.out, "f64", self.shape.width)
        text = f"fpext {self.shape.type} {self.name} to {wide.type}"
        return Vec(wide, self.shape.out.define(text))

    def narrowed(self) -> Vec:
        """The same numbers rounded to f32."""
        narrow = Shape(self.shape.out, "f32", self.shape.width)
        text = f"fptrunc {self.shape.type} {self.name} to {narrow.type}"
        return Vec(narrow, self.shape.out.define(text))

    def polynomial(self, coefficients: Sequence[float]) -> Vec:
        """c[0] + c[1]*v + c[2]*v*v + ...

        By Horner's rule; when that chain is long, by two interleaved ones in v*v, which halves
        the latency for one more multiplication. The last step is always Horner's: there the
        roundings count most.
        """
        if len(coefficients) <= HORNER_LENGTH:
            return self.horner(coefficients)
        square = self * self
        odd, even = square.horner(coefficients[2::2]), square.horner(coefficients[1::2])
        return odd.fma(self, even).fma(self, coefficients[0])

    def horner(self, coefficients: Sequence[Vec | float]) -> Vec:
        """c[0] + c[1]*v + c[2]*v*v + ... by Horner's rule."""
        result = self._vec(coefficients[-1])
        for coefficient in reversed(coefficients[:-1]):
            result = result.fma(self, coefficient)
        return result

    def _vec(self, other: Vec | float) -> Vec:
        return other if isinstance(other, Vec) else self.shape.literal(other)

    def _binary(self, opcode: str, other: Vec | float) -> Vec:
        text = f"{opcode} {self.shape.type} {self.name}, {self._vec(other).name}"
        return Vec(self.shape, self.shape.out.define(text))


@dataclass(frozen=True)
class Ints:
    """An integer vector as wide as the floats of its shape: i32 for f32, i64 for f64."""

    shape: Shape
    name: str

    def __add__(self, other: Ints | int) -> Ints:
        return self._binary("add", other)

    def __sub__(self, other: Ints | int) -> Ints:
        return self._binary("sub", other)

    def __and__(self, other: Ints | int) -> Ints:
        return self._binary("and", other)

    def __or__(self, other: Ints | int) -> Ints:
        return self._binary("or", other)

    def __xor__(self, other: Ints | int) -> Ints:
        return self._binary("xor", other)

    def __lshift__(self, count: int) -> Ints:
        return self._binary("shl", count)

    def __rshift__(self, count: int) -> Ints:
        """Logical shift: an arithmetic one on i64 has no AVX2 instruction."""
        return self._binary("lshr", count)

    def equals(self, other: int) -> Mask:
        return self._compare("eq", other)

    def __lt__(self, other: int) -> Mask:
        return self._compare("slt", other)

    def truncated(self) -> Ints:
        """The low 32 bits of each i64, shaped for f32."""
        narrow = Shape(self.shape.out, "f32", self.shape.width)
        text = f"trunc {self.shape.int_type} {self.name} to {narrow.int_type}"
        return Ints(narrow, self.shape.out.define(text))

    def as_float(self) -> Vec:
        """The floats with these bits."""
        text = f"bitcast {self.shape.int_type} {self.name} to {self.shape.type}"
        return Vec(self.shape, self.shape.out.define(text))

    def _ints(self, other: Ints | int) -> Ints:
        return other if isinstance(other, Ints) else self.shape.int_literal(other)

    def _compare(self, predicate: str, other: int) -> Mask:
        text = f"icmp {predicate} {self.shape.int_type} {self.name}, {self._ints(other).name}"
        return Mask(self.shape, self.shape.out.define(text))

    def _binary(self, opcode: str, other: Ints | int) -> Ints:
        text = f"{opcode} {self.shape.int_type} {self.name}, {self._ints(other).name}"
        return Ints(self.shape, self.shape.out.define(text))


@dataclass(frozen=True)
class Mask:
    """One truth value a lane."""

    shape: Shape
    name: str

    def select(self, when_true: Vec | float, when_false: Vec | float) -> Vec:
        yes, no = (
            value if isinstance(value, Vec) else self.shape.literal(value)
            for value in (when_true, when_false)
        )
        kind = self.shape.type
        text = f"select {self.shape.mask_type} {self.name}, {kind} {yes.name}, {kind} {no.name}"
        return Vec(self.shape, self.shape.out.define(text))

    def __and__(self, other: Mask) -> Mask:
        return self._binary("and", other)

    def __or__(self, other: Mask) -> Mask:
        return self._binary("or", other)

    def __xor__(self, other: Mask) -> Mask:
        return self._binary("xor", other)

    def any(self) -> str:
        """The name of an i1: whether one lane is true."""
        if self.shape.width == 1:
            return self.name
        out, kind = self.shape.out, self.shape.mask_type
        function = f"@llvm.vector.reduce.or.v{self.shape.width}i1"
        out.declare(f"declare i1 {function}({kind})")
        return out.define(f"call i1 {function}({kind} {self.name})")

    def inverted(self) -> Mask:
        ones = splat("true", "i1", self.shape.width)
        return self._binary("xor", Mask(self.shape, ones))

    def _binary(self, opcode: str, other: Mask) -> Mask:
        text = f"{opcode} {self.shape.mask_type} {self.name}, {other.name}"
        return Mask(self.shape, self.shape.out.define(text))
