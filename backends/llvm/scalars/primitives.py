"""The instructions that rules for scalar functions are made of, on values of any lanes."""

from __future__ import annotations

from dataclasses import dataclass

from ....types import DType, bool_
from ..text.scopes import ScopedText, Value, literal, register_type, suffix
from .convert import convert
from .masks import joined_masks

_FLOAT_TESTS = {"eq": "oeq", "ne": "une", "lt": "olt", "le": "ole", "gt": "ogt", "ge": "oge"}


@dataclass(frozen=True)
class Primitives:
    """Emits single instructions on values into `out`.

    `modern` says that the target rounds to integers and converts half floats in one instruction;
    otherwise LLVM would call a library for it.
    """

    out: ScopedText
    modern: bool

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
        sign = "" if function in ("eq", "ne") else "u" if a.dtype.kind in "ub" else "s"
        return self.test(f"icmp {sign}{function}", a, b)

    def test(self, instruction: str, a: Value, b: Value) -> Value:
        return Value(self.out.define(f"{instruction} {a}, {b.name}"), bool_, a.lanes)

    def binary(self, opcode: str, a: Value, b: Value) -> Value:
        known = joined_masks(opcode, a, b)
        if known is not None:
            return known
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
