"""Elementary functions as inline LLVM text, for any vector width and any target.

No libm call is emitted, only arithmetic, bit operations and selects, so the text vectorises as it
stands; large angles alone take a branch. NaN in gives NaN out; zeros, infinities, subnormals as
NumPy has them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ....errors import UnsupportedError, check
from ..text.builder import FloatType, LlvmText
from ..text.vectors import Shape, Vec
from .erf import erf, erfc, gelu, gelu_bf16
from .exp import cosh, exp, exp2, expm1, sigmoid, sinh, tanh
from .log import acosh, asinh, atanh, log, log1p, log2, log10
from .pow import power
from .trig import acos, asin, atan, atan2, cos, sin, tan

UNARY: Mapping[str, Callable[[Vec], Vec]] = {
    "acos": acos,
    "acosh": acosh,
    "asin": asin,
    "asinh": asinh,
    "atan": atan,
    "atanh": atanh,
    "cos": cos,
    "cosh": cosh,
    "erf": erf,
    "erfc": erfc,
    "exp": exp,
    "exp2": exp2,
    "expm1": expm1,
    "gelu": gelu,
    "gelu_bf16": gelu_bf16,
    "log": log,
    "log10": log10,
    "log1p": log1p,
    "log2": log2,
    "sigmoid": sigmoid,
    "sin": sin,
    "sinh": sinh,
    "tan": tan,
    "tanh": tanh,
}
BINARY: Mapping[str, Callable[[Vec, Vec], Vec]] = {"atan2": atan2, "pow": power}
MATH_FUNCTIONS = frozenset(UNARY) | frozenset(BINARY)
# several roundings in f32 would exceed two ulp here, and none is often a model's inner loop
THROUGH_F64 = frozenset({"acosh", "asinh", "atanh", "erfc", "tan"})


def emit_math(
    out: LlvmText, function: str, args: Sequence[str], dtype: FloatType, width: int
) -> str:
    """Append `function(*args)` and return the SSA name of the result.

    `args` are SSA names or literals of type `float`/`double` (width 1) or `<width x float>`; the
    result has the same type. Angles are in radians; `atan2(y, x)`, `pow(base, exponent)`. Raises
    UnsupportedError for a function not in MATH_FUNCTIONS, TypeError for a wrong number of args.
    """
    shape = Shape(out, dtype, width)
    operands = [Vec(shape, arg) for arg in args]
    match operands:
        case [x] if function in UNARY:
            if dtype == "f32" and function in THROUGH_F64:
                return UNARY[function](x.widened()).narrowed().name
            return UNARY[function](x).name
        case [x, y] if function in BINARY:
            return BINARY[function](x, y).name
    known = function in MATH_FUNCTIONS
    check(known, f"no vector code for the function {function!r}", UnsupportedError)
    arity = 1 if function in UNARY else 2
    raise TypeError(f"{function} takes {arity} argument(s), got {len(args)}")
