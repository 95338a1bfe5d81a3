"""What C++ has for each scalar function: operators, with how tightly they bind, and calls."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ....types import DType

# How tightly operators bind, as C++ says.
ATOM, UNARY, PRODUCT, SUM, SHIFT, ORDER, EQUAL, BITS, BOTH, EITHER, CHOICE = range(11, 0, -1)

OPERATORS: Mapping[str, tuple[str, int]] = {
    "add": ("+", SUM),
    "sub": ("-", SUM),
    "mul": ("*", PRODUCT),
    "div": ("/", PRODUCT),
    "lt": ("<", ORDER),
    "le": ("<=", ORDER),
    "gt": (">", ORDER),
    "ge": (">=", ORDER),
    "eq": ("==", EQUAL),
    "ne": ("!=", EQUAL),
}
OF_BOOLS: Mapping[str, tuple[str, int]] = {
    "and": ("&&", BOTH),
    "mul": ("&&", BOTH),
    "min": ("&&", BOTH),
    "or": ("||", EITHER),
    "add": ("||", EITHER),
    "max": ("||", EITHER),
    "xor": ("!=", EQUAL),
    **{name: OPERATORS[name] for name in ("lt", "le", "gt", "ge", "eq", "ne")},
}
OF_BITS: Mapping[str, str] = {"and": "&", "or": "|", "xor": "^"}
WRAPPING: Mapping[str, str] = {
    "add": "wrapping_add",
    "sub": "wrapping_subtract",
    "mul": "wrapping_multiply",
}
INTEGER_CALLS: Mapping[str, str] = {
    "floordiv": "floor_divide",
    "mod": "floor_modulo",
    "truncdiv": "truncated_divide",
    "truncmod": "truncated_modulo",
    "pow": "integer_power",
    "sign": "sign_of",
    "abs": "magnitude",
    "min": "smaller",
    "max": "larger",
    "shl": "shift_left",
}
# Functions of C's library; with an `f` at the end they are of floats. Others have C's name.
_LIBRARY: Mapping[str, str] = {
    "pow": "pow",
    "atan2": "atan2",
    "truncmod": "fmod",
    "abs": "fabs",
    "round": "rint",
    "fma": "fma",
}
_OWN_NAMES = """
    floor ceil trunc sqrt exp exp2 expm1 log log1p log2 log10 sin cos tan asin acos atan sinh cosh
    tanh asinh acosh atanh erf
"""
OF_FLOATS = {**{name: name for name in re.findall(r"\w+", _OWN_NAMES)}, **_LIBRARY}
FLOAT_CALLS: Mapping[str, str] = {
    "min": "smaller",
    "max": "larger",
    "sign": "sign_of",
    "mod": "modulo",
    "floordiv": "floored_quotient",
    "sigmoid": "sigmoid",
    "gelu": "gelu",
    "gelu_bf16": "gelu",
    "flush": "flushed",
    "tf32": "to_tf32",
    "tf32_even": "to_tf32_even",
    "tf32_cut": "cut_to_tf32",
}
EXACT = frozenset(
    (
        "flush", "tf32", "tf32_even", "tf32_cut", "min", "max", "neg", "abs", "sign", "round",
        "floor", "ceil", "trunc", "truncmod",
    )
)  # fmt: skip
ROUNDINGS: Mapping[str, str] = {"f16": "to_f16", "bf16": "to_bf16"}


@dataclass(frozen=True)
class Text:
    """An expression's source, how tightly its outermost operator binds, and the type it has; what a
    narrow float was rounded from, where that is a float."""

    source: str
    binds: int
    type: str
    unrounded: str = ""

    def rounded(self, dtype: DType) -> Text:
        """The value of a narrow type that is nearest."""
        source = f"{ROUNDINGS[dtype.name]}({self.source})"
        return Text(source, ATOM, "float", self.source if self.type == "float" else "")

    def within(self, binds: int) -> str:
        """The source as an operand of an operator."""
        return self.source if self.binds >= binds else f"({self.source})"
