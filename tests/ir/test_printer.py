"""The texts of functions, as they stand."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from textwrap import dedent

import numpy as np
import pytest

from mlir_lite.errors import VerifyError
from mlir_lite.ir import ConstantData, Function, Value, parameter
from mlir_lite.ir.printer import print_function, print_generic
from mlir_lite.ir.resources import resources_of
from mlir_lite.location import Location
from mlir_lite.types import Array, bool_, f32, f64, i64, u8

from .mlir_tool import mlir_operations
from .sample_ops import HERE, Constant, Emit, Everything, Matmul, build, everything


def classifier(location: Location = HERE) -> Function:
    x, w = parameter("x", f32["batch", 8]), parameter("layer.0.weight", f32[8, 4])
    return build("f", (x, w), lambda emit: emit(Matmul(x, w)), location=location)


def test_short_form_lines_locations_up_as_comments() -> None:
    assert print_function(classifier()) == dedent("""\
        func @f(%x: tensor<[batch]x8xf32>, %layer.0.weight: tensor<8x4xf32>) -> tensor<[batch]x4xf32> {
          %0 = matmul %x, %layer.0.weight : tensor<[batch]x4xf32>    // classifier.py:6
          return %0
        }
        """)  # noqa: E501


def test_locations_are_written_whole_on_demand() -> None:
    text = print_function(classifier(), locations=True)
    assert '%0 = matmul %x, %layer.0.weight : tensor<[batch]x4xf32> ' \
        'loc("/home/user/classifier.py":6)\n' in text
    named = print_function(classifier(Location("m.onnx", 0, "conv 1")), locations=True)
    assert 'loc("conv 1"("m.onnx":0))' in named


def test_every_kind_of_field_has_its_text() -> None:
    lines = [line.split("//")[0].rstrip() for line in str(everything()).splitlines()]
    assert lines == dedent("""\
        func @main(%x: tensor<[n]x4xf32>, %"input:0": tensor<bool> {static}) -> (tensor<[n]x12xu8>, tensor<[n]x12xbf16>, tensor<2x2xi64>, tensor<5000xf32>) {
          %0 = concat [%x, %x, %x] {axis = 1} : tensor<[n]x12xf32>
          %1, %2 = halves %0 : tensor<[n]x12xf32>, tensor<[n]x12xf32>
          %3 = everything %1, %2 {count = -3, scale = 1e-05, flag = true, mode = "a \\"b\\"\\n\\1Bé\\\\", dtype = u8, sizes = [<2*n>, 3, <((n)/(4))>], mixed = [1, 1.0, true, "x", none, [nan, -inf]]} : tensor<[n]x12xu8>
          %4 = everything %2, _ {dtype = bf16} : tensor<[n]x12xbf16>
          show %4
          %5 = constant {value = dense<[[1, 2], [3, 4]]>} : tensor<2x2xi64>
          %6 = constant {value = resource<"fc/w:0">} : tensor<5000xf32>
          %7 = group [%3, %4] {kind = "pointwise"} (%x: tensor<[n]x12xu8>) {
            %0 = everything %x, _ {scale = 0.5} : tensor<[n]x12xu8>
            return %0
          } : tensor<[n]x12xu8>
          %8 = cond %"input:0", %7 {then = (%x: tensor<[n]x12xu8>) {
            %0 = everything %x, _ {scale = 0.5} : tensor<[n]x12xu8>
            return %0
          }, otherwise = (%x: tensor<[n]x12xu8>) {
            %0 = everything %x, _ {scale = 0.5} : tensor<[n]x12xu8>
            return %0
          }} : tensor<[n]x12xu8>
          return %8, %4, %5, %6
        }""").splitlines()  # noqa: E501


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (np.array(0.1, np.float32), "dense<0.1>"),
        (np.array([0.1, 1e-5], np.float64), "dense<[0.1, 1e-05]>"),
        (np.full((3, 3), 7, np.int8), "dense<7>"),
        (np.array([True, False]), "dense<[true, false]>"),
        (np.array([[1, -2]], np.int64), "dense<[[1, -2]]>"),
        (np.array([np.nan, -np.inf], np.float32), "dense<[nan, -inf]>"),
        (np.array([-0.0, 0.0], np.float16), "dense<[-0.0, 0.0]>"),
        (np.empty((0, 3), np.float32), "dense<>"),
        (np.arange(16), f"dense<{list(range(16))}>"),
        (np.zeros(1024, np.float32), "dense<0.0>"),
        (np.array([-np.nan, 1], np.float32), 'dense<"0x0000C0FF0000803F">'),
    ],
)
def test_few_elements_are_written_out(array: Array, text: str) -> None:
    fn = build("f", (), lambda emit: emit(Constant(ConstantData.of(array))))
    assert text in str(fn)


@pytest.mark.parametrize(
    "array",
    [np.arange(17), np.arange(24, dtype=np.uint8).reshape(2, 3, 4), np.zeros(1025, np.float32)],
)
def test_more_elements_stand_by_name(array: Array) -> None:
    fn = build("f", (), lambda emit: emit(Constant(ConstantData.of(array, "w"))))
    assert "{value = resource<w>}" in str(fn)
    assert "{value = dense_resource<w> :" in print_generic(fn)
    assert list(resources_of(fn)) == ["w"]


def test_constants_without_a_name_of_their_own_get_one() -> None:
    constants = [
        ConstantData.of(np.zeros(2000, np.float32)),
        ConstantData.of(np.ones(2000, np.float32), "w"),
        ConstantData.of(np.ones(2000, np.int64), "w"),
    ]

    def body(emit: Emit) -> Sequence[Value]:
        return [emit(Constant(data))[0] for data in constants]

    fn = build("f", (), body)
    assert list(resources_of(fn)) == ["constant.0", "w", "w.0"]
    assert "resource<w.0>" in str(fn)


def test_the_bytes_of_large_constants_are_not_read() -> None:
    class Unreadable:
        def read(self) -> Array:
            raise AssertionError("read")

        def origin(self) -> Hashable:
            return self

    data = ConstantData(f64[100, 100], Unreadable(), "w")
    fn = build("f", (), lambda emit: emit(Constant(data)))
    assert "resource<w>" in print_function(fn)
    assert "dense_resource<w>" in print_generic(fn)


def test_broken_functions_print_too() -> None:
    fn, stray = classifier(), parameter("stray", i64[()])
    broken = Function("g", (fn.params[0], parameter("x", i64[()])), fn.nodes, (stray,))
    text = print_function(broken)
    assert '%x: tensor<[batch]x8xf32>, %x.1: tensor<i64>' in text
    assert "matmul %x, %?" in text and "return %?" in text


def test_an_attribute_of_a_class_without_text_shows_as_such() -> None:
    x = parameter("x", f32[2])
    fn = build("f", (x,), lambda emit: emit(Everything(x, count=np.int64(3))))  # type: ignore[arg-type]
    assert "{count = ?int64}" in print_function(fn)
    with pytest.raises(VerifyError, match="int64"):
        print_generic(fn)


@pytest.mark.parametrize("with_func", [False, True])
def test_an_mlir_parser_reads_the_generic_form(with_func: bool) -> None:
    names = mlir_operations(print_generic(everything()), with_func=with_func)
    assert "mlir_lite.everything" in names and "mlir_lite.return" in names


def test_generic_form_names_values_apart_in_regions() -> None:
    text = print_generic(everything())
    assert '%8 = "mlir_lite.everything"(%x.0)' in text
    assert 'args = [{mlir_lite.name = "x"}]' in text
    assert 'arg_attrs = [{}, {mlir_lite.name = "input:0", mlir_lite.static}]' in text


def test_generic_form_spells_types_as_mlir_does() -> None:
    x = parameter("x", bool_["n", 2])
    text = print_generic(build("f", (x,), lambda emit: emit(Everything(x, dtype=u8))))
    assert '(tensor<?x2xi1, "[n]x2">) -> tensor<?x2xui8, "[n]x2">' in text
    assert "dtype = ui8" in text and "scale = 1.0 : f64" in text
