"""Loops and branches as they are written and traced; what they give in the interpreter."""

from __future__ import annotations

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Value, f32
from mlir_lite.ir.printer import print_function
from mlir_lite.types import Array


@ml.function(f32[5, 2, 3], f32[3, 4], f32[4, 4])
def rnn(xs: Value, w: Value, u: Value) -> tuple[Value, Value]:
    def step(h: Value, x: Value) -> tuple[Value, Value]:
        h = ml.tanh(x @ w + h @ u)
        return h, h

    return ml.scan(step, ml.zeros((2, 4)), xs)


@ml.function(f32[4])
def doubled(x: Value) -> tuple[Value, Value]:
    def step(state: tuple[Value, Value]) -> tuple[Value, Value]:
        count, y = state
        return count + 1, y * 2.0

    start = (ml.full((), 0, ml.i64), x)
    count, y = ml.while_loop(lambda state: state[1].sum() < 100.0, step, start, limit=50)
    return count, ml.cond(count > 3, lambda a: a * y, lambda a: a - 1.0, x)


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(0)


def _rnn(xs: Array, w: Array, u: Array) -> tuple[Array, Array]:
    h = np.zeros((2, 4), "f4")
    states = []
    for x in xs:
        h = np.tanh(x @ w + h @ u)
        states.append(h)
    return h, np.stack(states)


def test_scan_carries_a_state_and_stacks_what_steps_give(random: np.random.Generator) -> None:
    arrays = [
        random.standard_normal(shape).astype("f4") for shape in ((5, 2, 3), (3, 4), (4, 4))
    ]
    for have, want in zip(ml.evaluate(rnn, *arrays), _rnn(*arrays), strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-5, atol=1e-6)


def test_scan_in_reverse_stacks_each_result_at_its_own_entry() -> None:
    @ml.function(f32[4])
    def sums(xs: Value) -> tuple[Value, Value]:
        return ml.scan(lambda s, x: (s + x, s), ml.zeros(()), xs, reverse=True)

    last, before = ml.evaluate(sums, np.array([1, 2, 3, 4], "f4"))
    assert last == 10
    assert before.tolist() == [9, 7, 4, 0]


def test_scan_without_inputs_runs_its_length() -> None:
    @ml.function(f32[2])
    def powers(x: Value) -> Value:
        return ml.scan(lambda s, _: (s * 2.0, None), x, length=10)[0]

    assert np.asarray(ml.evaluate(powers, np.array([1, 3], "f4"))).tolist() == [1024, 3072]


def test_structures_of_states_and_results_are_kept() -> None:
    @ml.function(f32[3, 2])
    def both(xs: Value) -> tuple[Value, Value, Value]:
        def step(state: dict[str, Value], x: Value) -> tuple[dict[str, Value], list[Value]]:
            return {"a": state["a"] + x, "b": state["b"] * x}, [state["a"], x]

        first = {"a": ml.zeros((2,)), "b": ml.ones((2,))}
        state, (before, same) = ml.scan(step, first, xs)
        return state["b"], before, same

    xs = np.array([[1, 2], [3, 4], [5, 6]], "f4")
    product, before, same = ml.evaluate(both, xs)
    assert product.tolist() == [15, 48]
    assert before.tolist() == [[0, 0], [1, 2], [4, 6]]
    assert same.tolist() == xs.tolist()


@pytest.mark.parametrize("start, count, chosen", [(1.0, 5, 32.0), (20.0, 1, 19.0), (99.0, 0, 98)])
def test_while_loop_runs_as_long_as_its_condition_holds(
    start: float, count: int, chosen: float
) -> None:
    steps, y = ml.evaluate(doubled, np.full(4, start, "f4"))
    assert (int(steps), y.tolist()) == (count, [chosen] * 4)


def test_while_loop_beyond_its_limit_is_an_error() -> None:
    @ml.function(f32[1])
    def endless(x: Value) -> Value:
        return ml.while_loop(lambda s: s.sum() > 0.0, lambda s: s, x, limit=7)

    assert ml.evaluate(endless, np.zeros(1, "f4")) == 0
    with pytest.raises(ml.RunError, match="after the limit of 7 steps"):
        ml.evaluate(endless, np.ones(1, "f4"))


@pytest.mark.parametrize("fn", [rnn, doubled], ids=lambda fn: fn.name)
def test_control_flow_reads_back_in_both_forms(fn: ml.Function) -> None:
    text = print_function(fn, locations=True)
    assert print_function(ml.parse(text), locations=True) == text
    assert ml.parse(fn.generic()).generic() == fn.generic()


def test_a_state_that_changes_its_type_names_the_line() -> None:
    with pytest.raises(ml.TypeRuleError, match=r"test_control.py.*state of \(tensor<3xf32>\)"):

        @ml.function(f32[5, 3])
        def wrong(xs: Value) -> Value:
            return ml.scan(lambda s, x: (s.sum(), x), ml.zeros((3,)), xs)[0]


def test_branches_that_differ_name_the_line() -> None:
    with pytest.raises(ml.TypeRuleError, match=r"test_control.py.*in the same form"):

        @ml.function(f32[3])
        def wrong(x: Value) -> Value:
            return ml.cond(x.sum() > 0.0, lambda: (x,), lambda: (x, x))[0]


def test_named_sizes_reach_regions() -> None:
    @ml.function(f32["time", "batch"])
    def total(xs: Value) -> Value:
        return ml.scan(lambda s, x: (s + x, None), xs[0] * 0.0, xs)[0]

    fixed = ml.specialise(total, {"time": 3, "batch": 2})
    assert "length = 3" in str(fixed)
    assert np.asarray(ml.evaluate(fixed, np.ones((3, 2), "f4"))).tolist() == [3, 3]
