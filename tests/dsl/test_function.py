"""Tracing, and the errors that name the user's line."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Function, TypeRuleError, UnsupportedError, Value, f32, i64


def here(offset: int = 0) -> str:
    """`file:line` of the caller's line, `offset` lines on."""
    frame = inspect.currentframe()
    assert frame is not None and frame.f_back is not None
    return f"{__file__}:{frame.f_back.f_lineno + offset}: "


def trace(body: Callable[..., object], *types: ml.TensorType) -> Function:
    return ml.function(*types)(body)


def test_text_of_a_traced_function() -> None:
    @ml.function(f32[64, 784], f32[784, 10], f32[10])
    def classifier(x: Value, w: Value, b: Value) -> Value:
        return ml.relu(x @ w + b)

    lines = [line.split("//")[0].rstrip() for line in str(classifier).splitlines()]
    assert lines == [
        "func @classifier(%x: tensor<64x784xf32>, %w: tensor<784x10xf32>, %b: tensor<10xf32>)"
        " -> tensor<64x10xf32> {",
        "  %0 = matmul %x, %w : tensor<64x10xf32>",
        "  %1 = broadcast %b {shape = [64, 10]} : tensor<64x10xf32>",
        "  %2 = add %0, %1 : tensor<64x10xf32>",
        "  %3 = relu %2 : tensor<64x10xf32>",
        "  return %3",
        "}",
    ]


def test_every_node_knows_its_line() -> None:
    first = here()

    @ml.function(f32[3])
    def f(x: Value) -> Value:
        y = ml.exp(x)
        return y * 2.0

    line = int(first.split(":")[-2])
    assert [node.location.line - line for node in f.nodes if node.op.operands] == [4, 5, 5]
    assert {node.location.file for node in f.nodes} == {__file__}


def test_name_and_static_are_taken() -> None:
    fn = ml.function(f32[3], i64[()], name="other", static=["n"])(lambda x, n: x)
    assert fn.name == "other"
    assert fn.static == {"n"}


def test_several_results_arrays_and_numbers() -> None:
    table = np.arange(3, dtype=np.float32)
    fn = trace(lambda x: (x, [1.0, 2][0], table, np.int64(3)), f32[2])
    assert [str(type_) for type_ in fn.result_types] == [
        "tensor<2xf32>",
        "tensor<f32>",
        "tensor<3xf32>",
        "tensor<i64>",
    ]


def test_variadic_and_default_parameters() -> None:
    def total(first: Value, *rest: Value) -> Value:
        for entry in rest:
            first = first + entry
        return first

    def scaled(x: Value, factor: float = 2.0) -> Value:
        return x * factor

    params = trace(total, f32[2], f32[2], f32[2]).params
    assert [param.name for param in params] == ["first", "rest0", "rest1"]
    assert [param.name for param in trace(scaled, f32[2]).params] == ["x"]


def test_a_function_called_while_tracing_is_inlined() -> None:
    @ml.function(f32[2])
    def twice(x: Value) -> Value:
        return x + x

    @ml.function(f32[2])
    def more(x: Value) -> object:
        return twice(ml.exp(x))

    assert [node.op.name for node in more.nodes] == ["exp", "add"]


def error_of(body: Callable[..., object], *types: ml.TensorType) -> tuple[str, int]:
    """The message of the error of tracing, and the line after the first one of `body`.

    The message begins with a place in this file, which is taken off.
    """
    with pytest.raises((TypeRuleError, UnsupportedError)) as caught:
        ml.function(*types)(body)
    text = str(caught.value)
    assert text.startswith(f"{__file__}:")
    assert text.count(__file__) == 1
    line, _, message = text.removeprefix(f"{__file__}:").partition(": ")
    return message, int(line) - body.__code__.co_firstlineno


def test_a_broken_type_rule_names_the_line() -> None:
    def f(x: Value, y: Value) -> Value:
        z = x * 2.0
        return z + y

    message, line = error_of(f, f32[2], f32[3])
    assert line == 2
    assert message == (
        "'add' (tensor<2xf32>, tensor<3xf32>): the shapes (2) and (3) do not broadcast"
    )


def test_if_on_a_value_names_the_line() -> None:
    def f(x: Value) -> Value:
        y = x.sum()
        if y > 0:
            return x
        return y

    message, line = error_of(f, f32[2])
    assert line == 2
    assert "use ml.where(condition, a, b)" in message


def test_an_error_before_the_type_rule_names_the_line() -> None:
    def f(x: Value) -> Value:
        return x.reshape(-1, -1)

    message, line = error_of(f, f32[4])
    assert line == 1
    assert "two sizes" in message


def test_what_is_unsupported_keeps_its_class_and_names_the_line() -> None:
    def f(x: Value) -> Value:
        return x[x > 0]

    with pytest.raises(UnsupportedError, match="size of x\\[mask\\]"):
        ml.function(f32[4])(f)
    assert error_of(f, f32[4])[1] == 1


def test_an_error_in_a_helper_names_the_helpers_line() -> None:
    def helper(x: Value) -> Value:
        return x.reshape(-1, -1)

    def f(x: Value) -> Value:
        return helper(x)

    _, line = error_of(f, f32[4])
    assert line == -2


def test_an_error_in_an_inner_trace_names_its_line_once() -> None:
    def f(x: Value) -> Value:
        @ml.function(f32[4])
        def inner(y: Value) -> Value:
            return y.reshape(-1, -1)

        return x

    assert error_of(f, f32[4])[1] == 3


def returns(result: object) -> Callable[[Value], object]:
    def f(x: Value) -> object:
        return result

    return f


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (None, "@f returns None; a function returns a value or a tuple of values; is a `return`"),
        ({"a": 1}, "@f returns a dict; a function returns a value or a tuple of values; results"),
        ("a", "@f returns a str; "),
        ((), "@f returns an empty tuple"),
        ([1.0, None], "@f returns None among its results; "),
        ((1.0, (2.0, 3.0)), "@f returns a tuple among its results; "),
    ],
)
def test_what_is_no_result(result: object, message: str) -> None:
    assert error_of(returns(result), f32[2])[0].startswith(message)


def test_wrong_number_of_types() -> None:
    def f(x: Value, y: Value) -> Value:
        return x + y

    assert error_of(f, f32[2])[0] == "got 1 types for the parameters (x, y)"
    message, _ = error_of(f, f32[2], f32[2], f32[2])
    assert message == "got 3 types for the parameters (x, y)"


def test_a_value_of_another_trace_is_found_where_it_is_used() -> None:
    def f(x: Value) -> Value:
        y = ml.exp(x)

        def inner(z: Value) -> Value:
            return z + y

        ml.function(f32[2])(inner)
        return y

    message, line = error_of(f, f32[2])
    assert line == 4
    assert message.startswith("'add' in @inner uses a tensor<2xf32> made at test_function.py:")
    assert message.endswith(" of another function; hand it over as a parameter")


def test_a_result_of_another_trace_is_found() -> None:
    leaked = ml.function(f32[2])(lambda x: x).params[0]
    assert error_of(lambda x: leaked, f32[2])[0] == (
        "@lambda returns the parameter 'x' of another function; hand it over as a parameter"
    )


def test_what_is_no_type() -> None:
    with pytest.raises(TypeRuleError, match=r"a scalar's type is f32\[\(\)\]"):
        ml.function(f32)  # type: ignore[call-overload]
    with pytest.raises(TypeRuleError, match="with a type for each parameter"):
        ml.function(lambda x: x)  # type: ignore[call-overload]


def test_a_static_name_that_is_no_parameter() -> None:
    with pytest.raises(TypeRuleError, match="@lambda has no parameter 'm' to be static; it has x"):
        ml.function(f32[2], static="m")(lambda x: x)


def test_calling_a_function_on_arrays_says_what_to_write() -> None:
    @ml.function(f32[2])
    def f(x: Value) -> Value:
        return x

    with pytest.raises(TypeRuleError, match=r"write ml.compile\(f\)\(...\) or ml.evaluate\(f, ..."):
        f(np.zeros(2, np.float32))  # type: ignore[arg-type]


def test_operations_outside_of_a_trace() -> None:
    value = ml.function(f32[2])(lambda x: x).params[0]
    with pytest.raises(TypeRuleError, match=r"use @ml\.function"):
        ml.exp(value)
