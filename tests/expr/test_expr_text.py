"""Expressions print with the fewest parentheses, and their texts read back to equal ones."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mlir_lite.errors import ParseError
from mlir_lite.expr import (
    FUNCTIONS,
    INDEX,
    Apply,
    Cast,
    Const,
    Expr,
    Load,
    Reduce,
    Var,
    apply,
    boolean,
    const,
    index,
    select,
)
from mlir_lite.expr.parser import parse_expr
from mlir_lite.expr.printer import ExprPrinter
from mlir_lite.types import DTYPES, DType, bool_, f16, f32, f64, i8, i64

TYPES = {"x": f32, "n": i64, "c": bool_, "b": i8, "t": f64, "h": f16}
AXIS, J = Var(INDEX, "i.o"), Var(INDEX, "j")
X = Load(f32, "x", (AXIS, J))
C, B = Load(bool_, "c", ()), Load(i8, "b", (AXIS,))


def neg(value: Expr) -> Expr:
    return Apply(value.dtype, "neg", (value,))


EXPRESSIONS: dict[str, Expr] = {
    "i.o * 16 + j": AXIS * 16 + J,
    "(i.o + j) * 16": (AXIS + J) * 16,
    "i.o - (j - 1)": AXIS - (J - 1),
    "i.o - j - 1": Apply(INDEX, "sub", (AXIS - J, index(1))),
    "i.o floordiv 4 * 4 + j mod 4": AXIS // 4 * 4 + J % 4,
    "i.o * (j mod 4)": AXIS * (J % 4),
    "max(x[i.o, j], 0.0)": apply("max", X, const(0, f32)),
    "max(0.0:f32, 1.0:f32)": apply("max", const(0, f32), const(1, f32)),
    "0.1:f64": const(0.1, f64),
    "nan:f16": const(math.nan, f16),
    "-inf:f32": const(-math.inf, f32),
    "x[i.o, j] * -0.5": X * -0.5,
    "-x[i.o, j] * 2.0": neg(X) * 2.0,
    "-(x[i.o, j] * 2.0)": neg(X * 2.0),
    "--x[i.o, j]": neg(neg(X)),
    "neg(1.0:f32)": neg(const(1, f32)),
    "neg(-1)": neg(index(-1)),
    "-1 * i.o": Apply(INDEX, "mul", (index(-1), AXIS)),
    "i.o + -1": Apply(INDEX, "add", (AXIS, index(-1))),
    "i.o + 0": Apply(INDEX, "add", (AXIS, index(0))),
    "not c[] and (i.o < 3 or j == i.o)": apply("not", C) & ((AXIS < 3) | J.eq(AXIS)),
    "not (c[] and c[])": apply("not", Apply(bool_, "and", (C, C))),
    "(i.o < j) == c[]": (AXIS < J).eq(C),
    "c[] == (i.o < j)": C.eq(AXIS < J),
    "c[] == true": C.eq(boolean(True)),
    "c[] ^ c[]": apply("xor", C, C),
    "c[] + c[]": apply("add", C, C),
    "b[i.o] & 15 | ~b[i.o] << 4": (B & const(15, i8)) | apply(
        "shl", apply("not", B), const(4, i8)
    ),
    "~3": Apply(INDEX, "not", (index(3),)),
    "select(i.o < 3, x[i.o, j], 0.0)": select(AXIS < 3, X, const(0, f32)),
    "select(c[], 1.0:f32, 2.0:f32)": select(C, const(1, f32), const(2, f32)),
    "f32(i.o) / 3.0": Cast(f32, AXIS) / 3.0,
    "f32(2)": Cast(f32, index(2)),
    "i8(x[i.o, j])": Cast(i8, X),
    "f32(x[i.o, j])": Cast(f32, X),
    "x[i64(b[i.o]), 0]": Load(f32, "x", (Cast(i64, B), index(0))),
    "-128:i8": const(-128, i8),
    "9223372036854775807": index(2**63 - 1),
    "v:f32 + x[i.o, j]": Var(f32, "v") + X,
    "n[0]": Load(i64, "n", (index(0),)),
    "other[0]:f16": Load(f16, "other", (index(0),)),
    '"a b" + "and" * "0"': Var(INDEX, "a b") + Var(INDEX, "and") * Var(INDEX, "0"),
    "max + 1": Var(INDEX, "max") + 1,
    "reduce sum(k in 0..4; x[i.o, k])": Reduce(
        f32, "sum", (("k", 4),), (Load(f32, "x", (AXIS, Var(INDEX, "k"))),)
    ),
    "reduce argmax(k in 0..4, l in 0..2; x[k, l], k)[1] + 1": Reduce(
        i64, "argmax", (("k", 4), ("l", 2)),
        (Load(f32, "x", (Var(INDEX, "k"), Var(INDEX, "l"))), Var(INDEX, "k")), 1,
    ) + 1,
    "fma(x[i.o, j], 2.0, 1.0)": apply("fma", X, const(2, f32), const(1, f32)),
    "isnan(x[i.o, j])": apply("isnan", X),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expr"), EXPRESSIONS.items())
def test_an_expression_prints_and_reads_back(text: str, expr: Expr) -> None:
    assert ExprPrinter(TYPES).text(expr) == text
    assert parse_expr(text, TYPES) == expr


DTYPE_LIST = list(DTYPES.values())


def random_expr(random: np.random.Generator, dtype: DType, depth: int) -> Expr:
    """A well-typed expression: functions are not checked for domains, only for types."""
    if depth == 0 or random.random() < 0.1:
        match random.integers(3):
            case 0:
                value = float(random.standard_normal() * 9)
                return const(abs(value) if dtype.kind == "u" else value, dtype)
            case 1:
                return Var(dtype, f"v_{dtype}" if random.random() < 0.7 else "k")
            case _:
                return Load(dtype, f"b_{dtype}", (random_expr(random, INDEX, 0),))
    if random.random() < 0.1:
        other = DTYPE_LIST[random.integers(len(DTYPE_LIST))]
        return Cast(dtype, random_expr(random, other, depth - 1))
    names = [name for name, entry in FUNCTIONS.items() if entry.gives_bool <= (dtype == bool_)]
    function = FUNCTIONS[names[random.integers(len(names))]]
    arg = DTYPE_LIST[random.integers(len(DTYPE_LIST))] if function.gives_bool else dtype
    types = [arg] * function.arity
    if function.name == "select":
        types[0] = bool_
    args = tuple(random_expr(random, each, depth - 1) for each in types)
    return Apply(dtype, function.name, args)


def test_any_well_typed_expression_reads_back() -> None:
    random = np.random.default_rng(0)
    types = {f"{kind}_{dtype}": dtype for dtype in DTYPE_LIST for kind in "vb"}
    for number in range(600):
        dtype = DTYPE_LIST[number % len(DTYPE_LIST)]
        expr = random_expr(random, dtype, 4)
        for expected in (None, dtype):
            text = ExprPrinter(types).text(expr, expected)
            assert parse_expr(text, types, expected) == expr, text


def test_constants_keep_what_equality_overlooks() -> None:
    for value in (-0.0, 0.0):
        read = parse_expr(ExprPrinter({}).text(const(value, f64)), {})
        assert isinstance(read, Const) and math.copysign(1, read.value) == math.copysign(1, value)
    whole = parse_expr("2:f32", {})
    assert isinstance(whole, Const) and type(whole.value) is float


@pytest.mark.parametrize(
    "expr", ["(" * 5000, "-" * 5000, "not " * 5000, "max(" * 5000, "x[" * 5000, "x + (" * 500,
             "a or b and c < d | e ^ f & g << h + i * (" * 500, "reduce sum(k in 0..4; " * 500]
)  # fmt: skip
def test_deep_expressions_are_a_parse_error(expr: str) -> None:
    with pytest.raises(ParseError, match="nested more than"):
        parse_expr(expr, {**TYPES, "x": i64})
