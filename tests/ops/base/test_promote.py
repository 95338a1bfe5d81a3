"""Numbers take the arrays' element type, shapes broadcast, and nothing else is converted."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from mlir_lite.errors import TypeRuleError
from mlir_lite.ir import Value, parameter
from mlir_lite.ops import add, cast, clip, where
from mlir_lite.types import TensorType, bf16, bool_, f16, f32, i8, i64, u8

from ..traced import run, trace, type_of


@pytest.mark.parametrize("dtype", [f32, f16, bf16])
def test_a_number_takes_the_type_of_the_array(dtype: object) -> None:
    assert type_of(lambda x: 2 * x + 0.5, TensorType((3,), dtype)) == TensorType((3,), dtype)  # type: ignore[arg-type]


def test_numbers_alone_have_a_type_of_their_own() -> None:
    picked = TensorType((2,), bool_)
    assert type_of(lambda c: where(c, 1, 0), picked).dtype == i64
    assert type_of(lambda c: where(c, 1, 0.5), picked).dtype == f32
    assert type_of(lambda c: where(c, True, False), picked).dtype == bool_


def test_an_array_meets_a_value_from_both_sides() -> None:
    array = np.arange(3, dtype=np.float32)
    np.testing.assert_array_equal(run(lambda x: array - x * array, array), array - array * array)


def test_broadcasting_is_explicit() -> None:
    fn = trace(add, parameter("x", f32["batch", 3]), parameter("b", f32[3]))
    assert [node.op.name for node in fn.nodes] == ["broadcast", "add"]
    assert str(fn.results[0].type) == "tensor<[batch]x3xf32>"


_BAD: list[tuple[Callable[..., Value], tuple[TensorType, ...], str]] = [
    (add, (f32[3], i64[3]), r"'add' .*the element types f32 and i64 differ.*x\.astype\(ml\.f32\)"),
    (add, (f32[2, 3], f32[4]), r"the shapes \(2, 3\) and \(4\) do not broadcast"),
    (add, (f32["n"], f32["m"]), r"the shapes \(n\) and \(m\) do not broadcast"),
    (lambda x: x * 0.5, (i64[3],), r"0\.5 does not fit into i64; write x\.astype\(ml\.f32\)"),
    (lambda x: x + 300, (u8[3],), "300 is out of the range of u8"),
    (lambda x: x + 1, (bool_[3],), "1 does not fit into bool"),
    (lambda x: x / 2, (i8[3],), "use // to round down"),
    (lambda x: x - x, (bool_[3],), "takes floats or integers, not bool"),
    (lambda x: x & x, (f32[3],), "takes integers or bools, not f32"),
    (lambda x: clip(x, 0, 0.5), (i64[3],), "does not fit into i64"),
    (lambda x: where(x, x, x), (f32[3],), r"takes bools, not f32"),
    (lambda c, x: where(c, x, x), (bool_[2], f32[3]), "do not broadcast"),
    (lambda x: add(x, "1"), (f32[3],), "expected a tensor, an array or a number, got '1'"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("function", "types", "message"), _BAD)
def test_what_does_not_fit_is_said(
    function: Callable[..., Value], types: tuple[TensorType, ...], message: str
) -> None:
    with pytest.raises(TypeRuleError, match=message):
        type_of(function, *types)


def test_a_type_error_names_the_line() -> None:
    with pytest.raises(TypeRuleError, match=r"test_promote\.py:\d+: 'add'"):
        type_of(lambda x, y: x + y, f32[3], i64[3])


def test_astype_to_the_same_type_is_nothing() -> None:
    assert trace(lambda x: cast(x, f32), parameter("x", f32[3])).nodes == ()
