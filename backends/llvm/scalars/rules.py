"""One emission rule per scalar function of the table in `expr/functions.py`.

A rule takes values of equal type and lanes and appends the instructions; what it must give at NaN,
zero divisors and overflow is said in that table.
"""

from __future__ import annotations

from dataclasses import dataclass

from ....errors import UnsupportedError
from ....types import f32, f64
from ..math.elementary import MATH_FUNCTIONS, emit_math
from ..text.scopes import Value
from .convert import round_to
from .floats import EXACT_RULES, ROUNDED_RULES, classify
from .integers import bool_function, integer_function
from .primitives import Primitives

_OPCODES = {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv"}
_COMPARISONS = frozenset(("eq", "ne", "lt", "le", "gt", "ge"))


@dataclass(frozen=True)
class Scalars(Primitives):
    """Emits scalar functions into `out`."""

    def apply(self, function: str, *args: Value) -> Value:
        """The function's value; `UnsupportedError` for an element type it does not have."""
        dtype = args[-1].dtype
        if function == "select":
            return self.select(*args)
        if function in _COMPARISONS:
            return self.compare(function, *args)
        if dtype.is_float:
            result = self._float_function(function, args)
        elif dtype.kind == "b":
            result = bool_function(self, function, args)
        else:
            result = integer_function(self, function, args)
        if result is None:
            raise UnsupportedError(f"the CPU backend has no '{function}' of {dtype}")
        return result

    def _float_function(self, function: str, args: tuple[Value, ...]) -> Value | None:
        """Compute in f64 or f32, then round to the type of the arguments."""
        dtype, lanes = args[0].dtype, args[0].lanes
        wide = f64 if dtype.bits == 64 else f32
        if function in ("isnan", "isinf"):
            return classify(self, function, Value(args[0].name, wide, lanes))
        operands = tuple(Value(arg.name, wide, lanes, arg.number) for arg in args)
        if function in EXACT_RULES:
            result = EXACT_RULES[function](self, *operands)
            return Value(result.name, dtype, lanes)
        if function in _OPCODES:
            # `contract` lets the code generator make one fused instruction of a product and a sum.
            contract = "" if function == "div" else " contract"
            result = self.binary(_OPCODES[function] + contract, *operands)
        elif function in MATH_FUNCTIONS:
            names = [operand.name for operand in operands]
            name = emit_math(self.out, function, names, "f64" if wide == f64 else "f32", lanes)
            result = Value(name, wide, lanes)
        elif function in ROUNDED_RULES:
            result = ROUNDED_RULES[function](self, *operands)
        else:
            return None
        return round_to(self.out, result, dtype, native_half=self.modern)
