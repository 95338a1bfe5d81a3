"""The verifier finds each broken invariant and shows the line around it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mlir_lite.errors import VerifyError
from mlir_lite.ir import Function, Node, Value, parameter
from mlir_lite.ir.parser import parse
from mlir_lite.ir.verify import verify
from mlir_lite.location import UNKNOWN, Location
from mlir_lite.types import f32, i64

from .sample_ops import TABLE, Everything, Group, Halves, Matmul, everything

X = parameter("x", f32[2, 2])


def node(value: Value = X, location: Location = UNKNOWN) -> Node:
    return Node(Matmul(value, value), (f32[2, 2],), location)


def function(*nodes: Node, result: Value | None = None) -> Function:
    return Function("f", (X,), nodes, (nodes[-1].results[0] if result is None else result,))


def expect_fault(fn: Function, message: str) -> str:
    with pytest.raises(VerifyError) as caught:
        verify(fn)
    assert message in str(caught.value)
    return str(caught.value)


def test_a_good_function_passes() -> None:
    verify(everything())


def test_a_value_is_defined_before_its_use() -> None:
    first = node()
    second = node(first.results[0])
    verify(function(first, second))
    expect_fault(function(second, first), "uses <Value of matmul: tensor<2x2xf32>>")


def test_an_operand_belongs_to_the_function() -> None:
    expect_fault(function(node(parameter("stray", f32[2, 2]))), "uses <Value stray")


def test_a_node_stands_once() -> None:
    one = node()
    expect_fault(function(one, one), "result 0 of 'matmul' belongs to another operation")


def test_the_results_are_defined() -> None:
    expect_fault(function(node(), result=node().results[0]), "the result <Value of matmul")


def test_parameters_have_different_names() -> None:
    fn = Function("f", (X, parameter("x", i64[()])), (), (X,))
    expect_fault(fn, "two parameters are named 'x'")


def test_a_parameter_is_no_result_of_an_operation() -> None:
    value = node().results[0]
    expect_fault(Function("f", (value,), (), (value,)), "the parameter '' is defined elsewhere")


def test_static_parameters_exist() -> None:
    fn = Function("f", (X,), (), (X,), frozenset({"n"}))
    expect_fault(fn, "no parameter is named 'n'")


def test_recorded_types_are_those_inferred() -> None:
    wrong = Node(Matmul(X, X), (f32[2, 3],))
    message = "'matmul' has tensor<2x3xf32>, its type rule says tensor<2x2xf32>"
    expect_fault(function(wrong), message)
    expect_fault(function(Node(Halves(X), (X.type,))), "its type rule says tensor<2x2xf32>, tens")


def test_a_type_rule_that_fails_is_named() -> None:
    y = parameter("y", f32[3, 3])
    bad = Node(Matmul(X, y), (f32[2, 3],))
    fn = Function("f", (X, y), (bad,), bad.results)
    expect_fault(fn, "the type rule of 'matmul' fails: the inner sizes 2 and 3 differ")


def test_attributes_are_of_their_fields_types() -> None:
    count: int = np.int64(3)  # type: ignore[assignment]
    fn = function(Node(Everything(X, count=count), (X.type,)))
    text = expect_fault(fn, "the attribute 'count' of 'everything' is np.int64(3)")
    assert "{count = ?int64}" in text


def test_regions_are_verified_and_see_no_outer_values() -> None:
    inner = Function("", (), (), (X,))
    group = Node(Group((X,), inner), (X.type,), Location("net.py", 3))
    text = expect_fault(function(group), "in a region of 'group': @: the result <Value x")
    assert text.startswith("net.py:3: @f: ")


def test_the_fault_is_shown_among_its_neighbours() -> None:
    fn = parse(
        """
        func @f(%x: tensor<2x2xf32>) -> tensor<2x2xf32> {
          %0 = matmul %x, %x : tensor<2x2xf32>
          %1 = matmul %0, %x : tensor<2x2xf32>
          %2 = matmul %1, %x : tensor<2x2xf32>
          %3 = matmul %2, %x : tensor<2x2xf32>
          %4 = matmul %3, %x : tensor<2x2xf32>
          %5 = matmul %4, %x : tensor<2x2xf32>
          return %5
        }""",
        TABLE,
    )
    wrong = Node(fn.nodes[3].op, (f32[9, 9],))
    broken = dataclasses.replace(fn, nodes=(*fn.nodes[:3], wrong, *fn.nodes[4:]))
    assert expect_fault(broken, "'matmul' has tensor<9x9xf32>").splitlines()[1:] == [
        "    %1 = matmul %0, %x : tensor<2x2xf32>",
        "    %2 = matmul %1, %x : tensor<2x2xf32>",
        ">   %3 = matmul %2, %x : tensor<9x9xf32>",
        "    %4 = matmul %?, %x : tensor<2x2xf32>",
        "    %5 = matmul %4, %x : tensor<2x2xf32>",
    ]
