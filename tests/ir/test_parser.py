"""Texts read back to the functions they were printed from; others are errors with a place."""

from __future__ import annotations

import numpy as np
import pytest

from mlir_lite.errors import ParseError
from mlir_lite.ir import ConstantData, Function, Value, parameter
from mlir_lite.ir.parser import parse, parse_functions
from mlir_lite.ir.printer import print_function, print_generic
from mlir_lite.ir.resources import resources_of
from mlir_lite.location import Location
from mlir_lite.sizes import Dim
from mlir_lite.types import Array, bf16, f16, f32, i8

from .sample_ops import (
    HERE,
    TABLE,
    Constant,
    Emit,
    Everything,
    Halves,
    Matmul,
    build,
    describe,
    everything,
)

HEAD = "func @f(%x: tensor<2x3xf32>, %y: tensor<3x4xf32>) -> tensor<2x4xf32> {\n"
GOOD = HEAD + "  %0 = matmul %x, %y : tensor<2x4xf32>\n  return %0\n}\n"


def constant(array: Array, name: str = "") -> Function:
    data = ConstantData.of(array, name)
    return build("f", (), lambda emit: emit(Constant(data)))


def attributes(count: int, scale: float, mode: str) -> Function:
    x = parameter("x", f32[2])
    return build("f", (x,), lambda emit: emit(Everything(x, None, count, scale, mode=mode)))


def sizes() -> Function:
    n, m = Dim.named("n"), Dim.named("m")
    entries = (n, n * 2 - m * 3 + 7, -n, n * m, (n + 1) // 2, 5 // n, (n // 2 + m) // (m * 3))
    x = parameter("x", f32[tuple(entry for entry in entries if isinstance(entry, Dim))])
    return build("f", (x,), lambda emit: emit(Everything(x, sizes=entries)))


def named(*names: str) -> Function:
    params = [parameter(name, f32[2, 2]) for name in names]
    return build(names[0], params, lambda emit: emit(Matmul(params[0], params[-1])))


def unused() -> Function:
    """Dead and equal operations, which a pass may be there to remove."""
    x = parameter("x", f32[2])
    first, second = (build("f", (x,), lambda emit: emit(Halves(x))) for _ in range(2))
    return Function("f", (x,), first.nodes + second.nodes, (first.results[0],))


RANDOM = np.random.default_rng(0)
FUNCTIONS = {
    "every field": everything(),
    "sizes": sizes(),
    "no results": build("nothing", (), lambda emit: ()),
    "dead code": unused(),
    "strange names": named("input:0", "0", "%", "a b", 'q"\\', "größe", "\ud800"),
    "plain names": named("layer.0.weight", "_x", "return", "f32", "none"),
    "numbers": attributes(-(2**63), 0.1 + 0.2, "\n\t\0\x7f\u2028"),
    "large numbers": attributes(2**64 - 1, 1e300, "//"),
    "infinity": attributes(0, -np.inf, "}"),
    "scalar": constant(np.array(2.5, np.float32)),
    "scalar NaN": constant(np.array(-np.nan, np.float32)),
    "bools": constant(RANDOM.integers(0, 2, (9, 9)).astype(np.bool_)),
    "f16": constant(RANDOM.standard_normal(40).astype(np.float16)),
    "f32": constant(RANDOM.standard_normal((2, 2, 5)).astype(np.float32) * 1e-30, "w/0"),
    "f64 specials": constant(np.array([np.nan, np.inf, -0.0, 5e-324])),
    "bf16": constant(RANDOM.standard_normal(8).astype(bf16.numpy)),
    "bytes": constant(RANDOM.standard_normal(100).astype(np.float32)),
    "u8": constant(np.array([0, 255], np.uint8)),
    "negative NaN": constant(np.full(3, -np.nan, np.float32)),
    "empty": constant(np.empty((2, 0, 3), np.int32), "nothing"),
    "large": constant(np.zeros((100, 100)), "fc/w:0"),
    "named location": build(
        "f", (), lambda emit: emit(Constant(ConstantData.of(np.zeros(2)))),
        location=Location("m.onnx", 0, "Conv_3"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("fn", FUNCTIONS.values(), ids=FUNCTIONS.keys())
def test_short_form_reads_back(fn: Function) -> None:
    text = print_function(fn, locations=True)
    read = parse(text, TABLE, resources_of(fn))
    assert describe(read) == describe(fn)
    assert print_function(read, locations=True) == text


@pytest.mark.parametrize("fn", FUNCTIONS.values(), ids=FUNCTIONS.keys())
def test_generic_form_reads_back(fn: Function) -> None:
    text = print_generic(fn)
    read = parse(text, TABLE, resources_of(fn))
    assert describe(read) == describe(fn)
    assert print_generic(read) == text


def test_a_text_may_hold_several_functions_and_comments() -> None:
    text = f"// two\n{GOOD}\n{GOOD.replace('@f', '@g')} // end"
    assert [fn.name for fn in parse_functions(text, TABLE)] == ["f", "g"]
    with pytest.raises(ParseError, match="expected one function, got 2"):
        parse(text, TABLE)


def test_a_constant_may_have_a_type_of_its_own() -> None:
    text = """
        func @f() -> tensor<3xi8> {
          %0 = constant {value = dense<7> : tensor<3xi8>} : tensor<3xi8>
          return %0
        }"""
    op = parse(text, TABLE).nodes[0].op
    assert isinstance(op, Constant) and op.value.array().tolist() == [7, 7, 7]


def test_whole_numbers_do_for_float_attributes() -> None:
    text = """
        func @f(%x: tensor<f32>) -> tensor<f32> {
          %0 = everything %x, _ {scale = 2} : tensor<f32>
          return %0
        }"""
    op = parse(text, TABLE).nodes[0].op
    assert isinstance(op, Everything) and type(op.scale) is float


BODIES = {
    "%0 = matmull %x, %y : tensor<2x4xf32>": "no operation 'matmull'; did you mean 'matmul'?",
    "%0 = matmul %x : tensor<2x4xf32>": "'matmul' needs the operand 'rhs', got ':'",
    "%0 = matmul %x, %y, %x : tensor<2x4xf32>": "'matmul' takes lhs, rhs and no more operands",
    "%0 = matmul %x, %z : tensor<2x4xf32>": "%z is not defined here",
    "%0 = matmul %y, %x : tensor<3x3xf32>":
        "'matmul' (tensor<3x4xf32>, tensor<2x3xf32>): the inner sizes 4 and 2 differ",
    "%0 = matmul %x, %y : tensor<2x5xf32>":
        "'matmul' gives tensor<2x4xf32>, the text says tensor<2x5xf32>",
    "%0 = matmul %x, %y : tensor<2x4xf23>": "no element type 'f23'; did you mean",
    "%0 = matmul %x, %y : tensor<2x>": "'tensor<2x>' is no tensor type",
    "%0 = matmul %x, %y : tensor<[2*]x4xf32>": "'2*' is no size",
    "%0 = matmul %x, %y : tensor<?x4xf32>": "a size `?` is named by an encoding",
    "%0 = matmul %x, %y : tensor<99999999999999999999999x4xf32>": "a size is below 2**63",
    "%0 = matmul %x, %y : f32": "expected a tensor type, got 'f32'",
    "%0 = matmul %x, %y {axis = 1} : tensor<2x4xf32>": "'matmul' has no attribute 'axis'",
    "%x = matmul %x, %y : tensor<2x4xf32>": "%x is defined twice",
    "%0, %1 = matmul %x, %y : tensor<2x4xf32>": "'matmul' gives 1 results, not 2",
    "%0 = everything %x, _ {count = 1.5} : tensor<2x3xf32>": "'count' is not of the kind integer",
    "%0 = everything %x, _ {count = true} : tensor<2x3xf32>": "'count' is not of the kind integer",
    "%0 = everything %x, _ {count = 1, count = 2} : tensor<2x3xf32>": "given twice",
    "%0 = everything %x, _ {count = 123456789012345678901} : tensor<2x3xf32>": "too large",
    "%0 = everything %x, _ {cout = 1} : tensor<2x3xf32>": "did you mean 'count'?",
    "%0 = everything %x, _ {mode = \"\\q\"} : tensor<2x3xf32>": "no escape",
    "%0 = everything %x, _ {mode = \"abc": "unexpected a string without an end",
    "%0 = everything %x, _ {sizes = [1, }": "expected an attribute, got '}'",
    "%0 = everything %x _ : tensor<2x3xf32>": "needs the operand 'bias', got '_'",
    "%0 = constant : tensor<f32>": "'constant' needs the attribute 'value'",
    "%0 = constant {value = dense<[1, 2]>} : tensor<3xi64>": "not of the shape of tensor<3xi64>",
    "%0 = constant {value = dense<[1, [2]]>} : tensor<2xi64>": "not of the shape",
    "%0 = constant {value = dense<300>} : tensor<2xi8>": "out of the range of i8",
    "%0 = constant {value = dense<1.5>} : tensor<2xi64>": "1.5 is no element of a tensor of i64",
    "%0 = constant {value = dense<\"0x0G\">} : tensor<2xi8>": "hexadecimal digits",
    "%0 = constant {value = dense<\"0x000102\">} : tensor<2xi8>": "has 2 bytes, got 3",
    "%0 = constant {value = dense<1>} : tensor<[n]xi8>": "the size n is not known",
    f"%0 = constant {{value = dense<1>}} : tensor<{'1x' * 99}i8>": "maximum supported dimension",
    f"%0 = constant {{value = dense<>}} : tensor<0x{'9' * 18}x{'9' * 18}xi8>": "too big",
    "%0 = constant {value = resource<w>} : tensor<2xi8>": "the resource 'w' is not given",
    "%0 = concat [] : tensor<2xf32>": "'concat' cannot be: IndexError",
    "%0 = concat [%x, %y] {axis = 1000} : tensor<2xf32>": "'concat' cannot be: IndexError",
    "%0 = relu $ %x": "unexpected '$'",
    "return %x": "@f returns tensor<2x4xf32>, got tensor<2x3xf32>",
}  # fmt: skip


@pytest.mark.parametrize(("line", "message"), BODIES.items())
def test_a_fault_is_an_error_at_its_place(line: str, message: str) -> None:
    text = f"{HEAD}  {line}\n  return %0\n}}\n"
    with pytest.raises(ParseError) as caught:
        parse(text, TABLE, file="f.mlir")
    first, shown, caret = str(caught.value).splitlines()
    assert first.startswith("f.mlir:2:") and message in first
    column = int(first.split(":")[2])
    assert f"    {line}".startswith(shown) and caret.index("^") == column + 1


def test_the_caret_stands_under_the_fault() -> None:
    with pytest.raises(ParseError) as caught:
        parse(GOOD.replace("%y :", "%z :"), TABLE)
    assert str(caught.value) == (
        "<text>:2:19: %z is not defined here\n"
        "    %0 = matmul %x, %z : tensor<2x4xf32>\n"
        "                    ^~"
    )


def texts() -> list[str]:
    fn = everything()
    return [print_function(fn, locations=True), print_generic(fn)]


@pytest.mark.parametrize("text", texts(), ids=["short", "generic"])
def test_a_text_cut_off_anywhere_is_a_parse_error(text: str) -> None:
    resources = resources_of(everything())
    for end in range(1, len(text.rstrip()), 3):
        with pytest.raises(ParseError):
            parse(text[:end], TABLE, resources)


@pytest.mark.parametrize("text", texts(), ids=["short", "generic"])
def test_a_damaged_text_parses_or_is_a_parse_error(text: str) -> None:
    resources = resources_of(everything())
    random = np.random.default_rng(1)
    junk = list("(){}[]<>:,=%@\"-0x1.^") + ["tensor<2xf32>", "dense", "loc", "region", "size", "1 "]
    failed = 0
    for _ in range(300):
        start = int(random.integers(len(text)))
        length = int(random.integers(6))
        damaged = text[:start] + junk[random.integers(len(junk))] + text[start + length :]
        try:
            parse(damaged, TABLE, resources)
        except ParseError:
            failed += 1
    assert failed > 200


@pytest.mark.parametrize(
    "attribute", ["[" * 100_000, "<" + "((" * 5000, "dense<" + "[" * 10_000, "-" * 1000, "(" * 5000]
)
def test_deep_nesting_is_a_parse_error(attribute: str) -> None:
    line = f"%0 = everything %x, _ {{sizes = {attribute}"
    with pytest.raises(ParseError):
        parse(HEAD + line, TABLE)


def test_deep_regions_are_a_parse_error() -> None:
    line = "%0 = group [] (" + ") { %0 = group [] (" * 1000
    with pytest.raises(ParseError, match="nested more than"):
        parse(HEAD + line, TABLE)


def test_resources_are_checked_against_the_type() -> None:
    fn = constant(np.zeros((100, 100)), "w")
    other = ConstantData.of(np.zeros((100, 101)), "w")
    with pytest.raises(ParseError, match="the resource 'w' is tensor<100x101xf64>"):
        parse(str(fn), TABLE, {"w": other})


GENERIC = print_generic(parse(GOOD, TABLE))
GENERIC_FAULTS = {
    ("(%x, %y)", "(%x)"): "the operands are (tensor<2x3xf32>), the text says",
    ('"func.func"', '"func.fun"'): "expected '\"func.func\"'",
    ('sym_name = "f", ', ""): "needs the property 'sym_name'",
    ("-> tensor<2x4xf32>}>", "-> tensor<2x3xf32>}>"): "the function_type is",
    ('"mlir_lite.matmul"', '"tosa.matmul"'): "there is no operation 'tosa.matmul'",
    ("(%x, %y) :", "(%x, %y) {operand_segments = array<i64: 2>} :"): "'matmul' takes lhs, rhs",
    ("(%x, %y) :", "(%x, %y) {a = {region = 0}} :"): "neither a size, a constant nor one",
    ("(%x, %y) :", "(%x, %y) {a = {size = \"n+\"}} :"): "'n+' is no size",
    ("%0)", "%1)"): "%1 is not defined here",
}  # fmt: skip


@pytest.mark.parametrize(("change", "message"), GENERIC_FAULTS.items())
def test_a_fault_in_the_generic_form_is_an_error(change: tuple[str, str], message: str) -> None:
    assert change[0] in GENERIC
    with pytest.raises(ParseError) as caught:
        parse(GENERIC.replace(*change), TABLE)
    assert message in str(caught.value)


def test_locations_survive_both_forms() -> None:
    x = parameter("x", f16[2])

    def body(emit: Emit) -> tuple[Value, ...]:
        return emit(Everything(x, dtype=i8))

    fn = build("f", (x,), body, location=HERE)
    for text in (print_function(fn, locations=True), print_generic(fn)):
        assert parse(text, TABLE).nodes[0].location == HERE
