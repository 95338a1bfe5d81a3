"""Named sizes: solved from shapes, put into types and attributes."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Dim, Function, InputError, TensorType, TypeRuleError, Value, f32, i64
from mlir_lite.dsl import solve_sizes
from mlir_lite.sizes import size

N = Dim.named("n")


@ml.function(f32["batch", 4], f32["batch", "width"])
def joined(x: Value, y: Value) -> Value:
    z = ml.concat([x, y], axis=1)
    return z.reshape(-1) + ml.ones((z.shape[0] * z.shape[1],))


def zeros(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.zeros(shape, np.float32)


def test_types_and_attributes_get_the_sizes() -> None:
    fn = ml.specialise(joined, {"batch": 3, "width": 2})
    assert [str(param.type) for param in fn.params] == ["tensor<3x4xf32>", "tensor<3x2xf32>"]
    assert "batch" not in str(fn) and "width" not in str(fn)
    assert str(fn.result_types[0]) == "tensor<18xf32>"


def test_some_names_may_stay() -> None:
    fn = ml.specialise(joined, {"width": 2})
    assert fn.sizes == {"batch"}
    assert str(fn.result_types[0]) == "tensor<[6*batch]xf32>"


def test_lines_of_the_user_stay() -> None:
    fn = ml.specialise(joined, {"batch": 3, "width": 2})
    lines = {node.op.name: node.location for node in joined.nodes}
    assert all(node.location == lines[node.op.name] for node in fn.nodes)


def test_regions_are_specialised() -> None:
    text = """
        func @f(%x: tensor<[n]x2xf32>) -> tensor<2x[n]xf32> {
          %0 = group [%x] {kind = "copy"} (%p: tensor<[n]x2xf32>) {
            %0 = reshape %p {shape = [2, <n>]} : tensor<2x[n]xf32>
            return %0
          } : tensor<2x[n]xf32>
          return %0
        }"""
    fn = ml.specialise(ml.parse(text), {"n": 5})
    assert "[n]" not in str(fn) and "<n>" not in str(fn)
    assert str(fn).count("tensor<2x5xf32>") == 3


def test_static_parameters_become_constants() -> None:
    fn = ml.function(f32[2], i64[1], static=["n"])(lambda x, n: (x, n + 1))
    made = ml.specialise(fn, {}, {"n": np.array([6])})
    assert not made.static
    assert ml.evaluate(made, zeros(2))[1] == 7


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"bacth": 3}, r"@joined has no named size 'bacth' \(near: 'batch'\)"),
        ({"batch": -1}, "the size 'batch' is a number from 0 on, not -1"),
        ({"batch": True}, "the size 'batch' is a number from 0 on, not True"),
    ],
)
def test_wrong_sizes(sizes: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ml.specialise(joined, sizes)


def test_a_value_for_what_is_not_static() -> None:
    with pytest.raises(InputError, match="@joined has no static parameter 'x'"):
        ml.specialise(joined, {}, {"x": zeros(3, 4)})


def test_a_type_rule_that_fails_for_these_sizes_names_the_line() -> None:
    def halves(x: Value) -> Value:
        return x.reshape(2, x.shape[0] // 2)

    fn = ml.function(f32["n"])(halves)
    ml.specialise(fn, {"n": 6})
    with pytest.raises(TypeRuleError) as caught:
        ml.specialise(fn, {"n": 7})
    assert caught.value.where == f"{__file__}:{halves.__code__.co_firstlineno + 1}"


def of_sizes(*shapes: tuple[int | str | Dim, ...]) -> Function:
    """A function whose parameters a, b, ... have these shapes."""
    types = [f32[shape] for shape in shapes]
    return ml.function(*types)(lambda a, b=None: a)


def test_sizes_are_read_off_the_shapes() -> None:
    assert solve_sizes(joined, [zeros(3, 4), zeros(3, 0)]) == {"batch": 3, "width": 0}


def test_sizes_in_expressions_are_solved() -> None:
    fn = of_sizes((size(N * 2 + 1), size(N * Dim.named("m"))), ("m",))
    assert solve_sizes(fn, [zeros(7, 12), zeros(4)]) == {"n": 3, "m": 4}


@pytest.mark.parametrize(
    ("shapes", "given", "message"),
    [
        (
            [("n", 2), ("n",)],
            [(3, 2), (4,)],
            "the size n is 3 by parameter 'a', but 4 in parameter 'b'",
        ),
        ([(N * 2,)], [(5,)], r"a size of parameter 'a' is 2\*n, which is never 5"),
        ([(N + 3,)], [(2,)], r"a size of parameter 'a' is n\+3, which is never 2"),
        ([(N * N,)], [(4,)], r"the shapes for @lambda do not decide the sizes n\*n"),
        ([("n", 2)], [(3, 1)], r"tensor<\[n\]x2xf32>, got an array of shape \(3, 1\)"),
        ([("n",)], [(3, 2)], r"tensor<\[n\]xf32>, got an array of shape \(3, 2\)"),
    ],
)
def test_shapes_that_fit_no_sizes(
    shapes: list[tuple[int | str | Dim, ...]], given: list[tuple[int, ...]], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        solve_sizes(of_sizes(*shapes), [zeros(*shape) for shape in given])


@ml.function(f32["rows", "inner"], f32["inner", 4])
def scores(x: Value, w: Value) -> Value:
    def step(total: Value, row: Value) -> tuple[Value, Value]:
        return total + row.sum(), total

    return ml.relu(x @ w) + ml.scan(step, ml.zeros(()), x)[0] / 2.0


def calling(fn: Function) -> Callable[[Value, Value], Value]:
    return lambda x, w: (cast(Value, fn(x, w)) ** 2.0).mean()


def test_the_values_of_a_call_decide_the_sizes() -> None:
    known = ml.specialise(scores, {"rows": 3, "inner": 2})
    named, expected = (
        ml.function(f32[3, 2], f32[2, 4])(calling(fn))
        for fn in (scores, known)
    )
    assert str(named) == str(expected)


def test_a_call_of_named_sizes_puts_those_in_place() -> None:
    def twice(x: Value, w: Value) -> tuple[object, ...]:
        return scores(x, w), scores(ml.concat([x, x], axis=0), w)

    fn = ml.function(f32["inner", 2], f32[2, 4])(twice)
    assert [str(type_) for type_ in fn.result_types] == [
        "tensor<[inner]x4xf32>",
        "tensor<[2*inner]x4xf32>",
    ]
    x, w = np.arange(6, dtype=np.float32).reshape(3, 2), np.ones((2, 4), np.float32)
    first, second = ml.evaluate(fn, x, w)
    np.testing.assert_array_equal(first, np.maximum(x @ w, 0) + x.sum() / 2)
    np.testing.assert_array_equal(second[:3], np.maximum(x @ w, 0) + x.sum())


@pytest.mark.parametrize(
    ("types", "message"),
    [
        (
            (f32[9, 6], f32[5, 4]),
            "@scores does not take these values: the size inner is 6 by parameter 'x', but 5 in "
            "parameter 'w'",
        ),
        ((f32[9, 6], f32[6, 5]), "parameter 'w' has the size 4, not 5"),
        ((f32["n", 6], f32["n", 4]), "the size inner is 6 by parameter 'x', but n in"),
        ((f32[9], f32[6, 4]), r"parameter 'x' of @scores is tensor<\[rows\]x\[inner\]xf32>, got"),
        ((i64[9, 6], f32[6, 4]), r"parameter 'x' of @scores is .*, got tensor<9x6xi64>"),
    ],
)
def test_a_call_with_shapes_that_fit_no_sizes(types: list[TensorType], message: str) -> None:
    with pytest.raises(TypeRuleError, match=message) as caught:
        ml.function(*types)(lambda x, w: scores(x, w))
    assert caught.value.where.startswith(__file__)
