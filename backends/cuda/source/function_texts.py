"""Functions of scalars and of indices in C++: what they are called, and of which type their values
are. Of indices whose limits prove that nothing overflows, C++'s own operators.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from ....errors import UnsupportedError
from ....expr import INDEX, Apply, Bounds, Cast, Const, Expr, bounds_of
from ....types import DType, i32
from .c_names import value_type
from .operators import (
    ATOM,
    BITS,
    CHOICE,
    EITHER,
    EQUAL,
    EXACT,
    FLOAT_CALLS,
    INTEGER_CALLS,
    OF_BITS,
    OF_BOOLS,
    OF_FLOATS,
    OPERATORS,
    ORDER,
    PRODUCT,
    ROUNDINGS,
    SHIFT,
    UNARY,
    WRAPPING,
    Text,
)

INT = 2**31 - 2  # so that a loop may count one past it
_LONG = 2**62


class FunctionTexts(ABC):
    """Writes functions, of arguments that a subclass writes; `bounds` are the limits of indices."""

    bounds: Bounds

    @abstractmethod
    def text(self, expr: Expr) -> Text:
        """Any expression."""

    def __call__(self, expr: Expr) -> str:
        return self.text(expr).source

    def fits_int(self, expr: Expr) -> bool:
        low, high = bounds_of(expr, self.bounds)
        return low >= -INT and high <= INT

    def index_type(self, expr: Expr) -> str:
        """The C++ type of a variable that holds an index."""
        return "int" if self.fits_int(expr) else "long long"

    def select(self, condition: Expr, then: Expr, otherwise: Expr) -> Text:
        """One of two values."""
        first, second = self.text(then), self.text(otherwise)
        kind = first.type if first.type == second.type else value_type(then.dtype)
        parts = [self.text(condition), first, second]
        source = "{} ? {} : {}".format(*(part.within(CHOICE + 1) for part in parts))
        return Text(source, CHOICE, kind)

    def apply(self, expr: Apply) -> Text:
        """Any other function. `UnsupportedError` where the backend has none of that name."""
        dtype = expr.args[-1].dtype
        if dtype.kind == "b":
            found = self._of_bools(expr)
        elif dtype.is_float:
            found = self._of_floats(expr, dtype)
        else:
            found = self._of_integers(expr, dtype)
        if found is None:
            raise UnsupportedError(f"the CUDA backend has no '{expr.function}' of {dtype}")
        return found

    def _binary(self, operator: tuple[str, int], args: Sequence[Expr], kind: str) -> Text:
        sign, binds = operator
        left, right = (self.text(arg) for arg in args)
        # Comparisons do not chain, and && beside || is clearer with parentheses.
        tight = binds + 1 if binds in (ORDER, EQUAL, EITHER) else binds
        source = f"{left.within(tight)} {sign} {right.within(binds + 1)}"
        return Text(source, binds, kind)

    def _call(self, name: str, args: Sequence[Expr], kind: str) -> Text:
        return Text(f"{name}({', '.join(map(self, args))})", ATOM, kind)

    def _of_bools(self, expr: Apply) -> Text | None:
        match expr.function, expr.args:
            case "not", (value,):
                return Text(f"!{self.text(value).within(UNARY)}", UNARY, "bool")
            case "isnan" | "isinf", _:
                return Text("false", ATOM, "bool")
            case "abs" | "floor" | "ceil" | "trunc", (value,):
                return self.text(value)
        operator = OF_BOOLS.get(expr.function)
        return self._binary(operator, expr.args, "bool") if operator else None

    def _of_floats(self, expr: Apply, dtype: DType) -> Text | None:
        kind, name = value_type(dtype), expr.function
        if name in ("lt", "le", "gt", "ge", "eq", "ne"):
            return self._binary(OPERATORS[name], expr.args, "bool")
        found: Text | None = None
        match name, expr.args:
            case "isnan", (value,):
                text = self.text(value).within(EQUAL + 1)
                return Text(f"{text} != {text}", EQUAL, "bool")
            case "isinf", (value,):
                suffix = "" if kind == "double" else "f"
                return Text(f"fabs{suffix}({self(value)}) == infinity()", EQUAL, "bool")
            case "neg", (value,):
                inner = self.text(value).within(ATOM)
                return Text(f"-{inner}", UNARY, kind)
        if name in OPERATORS:
            found = self._binary(OPERATORS[name], expr.args, kind)
        elif name in FLOAT_CALLS:
            found = self._call(FLOAT_CALLS[name], expr.args, kind)
        elif name in OF_FLOATS:
            suffix = "" if kind == "double" else "f"
            found = self._call(f"{OF_FLOATS[name]}{suffix}", expr.args, kind)
        if found is not None and dtype.name in ROUNDINGS and name not in EXACT:
            return found.rounded(dtype)
        return found

    def _of_integers(self, expr: Apply, dtype: DType) -> Text | None:
        name, args = expr.function, expr.args
        if name in ("lt", "le", "gt", "ge", "eq", "ne"):
            return self._binary(OPERATORS[name], args, "bool")
        if name in ("isnan", "isinf"):
            return Text("false", ATOM, "bool")
        if name in ("round", "floor", "ceil", "trunc"):
            return self.text(args[0])
        if dtype == INDEX:
            plain = self._of_indices(expr)
            if plain is not None:
                return plain
        kind = value_type(dtype)
        if name in OF_BITS:
            operator = (OF_BITS[name], BITS)
            return self._narrowed(self._binary(operator, args, kind), dtype)
        match name, args:
            case "neg", (value,):
                return Text(f"wrapping_subtract<{kind}>(0, {self(value)})", ATOM, kind)
            case "not", (value,):
                flipped = Text(f"~{self.text(value).within(UNARY)}", UNARY, kind)
                return self._narrowed(flipped, dtype)
            case "shr", _:
                return self._narrowed(self._binary((">>", SHIFT), args, kind), dtype)
            case "shl", (Const() as bits, by) if self._stays(bits, by):
                return self._binary(("<<", SHIFT), args, kind)
            case "philox", _:
                return self._call("philox", args, kind)
            case "fma", (a, b, c):
                product = f"wrapping_multiply<{kind}>({self(a)}, {self(b)})"
                return Text(f"wrapping_add<{kind}>({product}, {self(c)})", ATOM, kind)
        calls = {**INTEGER_CALLS, **WRAPPING}
        if name not in calls:
            return None
        function = calls[name]
        if dtype.kind == "u" and name in ("floordiv", "truncdiv", "mod", "truncmod", "abs"):
            whole = {"floordiv": "unsigned_divide", "truncdiv": "unsigned_divide"}
            function = "larger" if name == "abs" else whole.get(name, "unsigned_modulo")
            if name == "abs":
                return self.text(args[0])
        return self._call(f"{function}<{kind}>", args, kind)

    def _stays(self, bits: Const, by: Expr) -> bool:
        """Whether no bit of an `int` moves up to its sign or beyond."""
        place = by.value if isinstance(by, Cast) and by.value.dtype == INDEX else by
        low, high = bounds_of(place, self.bounds)
        is_place = bits.dtype == i32 and 0 <= low <= high < i32.bits
        return is_place and 0 <= int(bits.value) << high <= INT

    def _narrowed(self, text: Text, dtype: DType) -> Text:
        """What C++ computed in `int`, in the type it is of."""
        if dtype.bits >= i32.bits:
            return text
        return Text(f"({text.type}){text.within(UNARY)}", UNARY, text.type)

    def _of_indices(self, expr: Apply) -> Text | None:
        """Arithmetic that its limits prove not to overflow, in C++'s own operators."""
        low, high = bounds_of(expr, self.bounds)
        if low <= -_LONG or high >= _LONG:
            return None
        kind = self.index_type(expr)
        name, args = expr.function, expr.args
        parts = [self.text(arg) for arg in args]
        if kind == "long long" and all(part.type == "int" for part in parts):
            parts[0] = Text(f"(long long){parts[0].within(UNARY)}", UNARY, kind)
        if any(part.type == "long long" for part in parts):
            kind = "long long"
        match name, args:
            case "add" | "sub" | "mul", (_, _):
                sign, binds = OPERATORS[name]
                source = f"{parts[0].within(binds)} {sign} {parts[1].within(binds + 1)}"
                return Text(source, binds, kind)
            case "neg", (_,):
                return Text(f"-{parts[0].within(ATOM)}", UNARY, kind)
            case "floordiv" | "mod", (value, Const(value=by)) if by > 0:
                sign = "/" if name == "floordiv" else "%"
                if bounds_of(value, self.bounds)[0] >= 0:
                    source = f"{parts[0].within(PRODUCT)} {sign} {parts[1].source}"
                    return Text(source, PRODUCT, kind)
            case "xor", (_, _):
                return self._binary(("^", BITS), args, kind)
            case "min" | "max", (_, _):
                function = f"{INTEGER_CALLS[name]}<{kind}>"
                return Text(f"{function}({', '.join(part.source for part in parts)})", ATOM, kind)
            case _:
                pass
        return None
