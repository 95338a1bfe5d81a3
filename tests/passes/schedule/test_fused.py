"""The recipe for several elementwise results over the same elements."""

from __future__ import annotations

import pytest

import mlir_lite as ml
from mlir_lite import Function, Value, f32
from mlir_lite.tile.nodes import Kind, Loop
from mlir_lite.tile.traverse import walk

from .scheduled import LANES, around, check


def momentum(*shape: int) -> Function:
    """A step of an optimiser with two states: three results of one shape, and a gradient that is
    computed first and read by two of them."""

    @ml.function(*(f32[shape],) * 4)
    def step(p: Value, m: Value, v: Value, g: Value) -> tuple[Value, Value, Value]:
        g = ml.exp(ml.sin(g)) + p
        first, second = 0.9 * m + g, 0.99 * v + g * g
        return p - first / (ml.sqrt(ml.absolute(second)) + 1e-3), first, second

    return step


@LANES
def test_results_over_the_same_elements_are_one_loop(lanes: int) -> None:
    for n in around(lanes):
        for shape in ((n,), (3, n), (n, 1, 5)):
            kernel = check(momentum(*shape), lanes)
            vectors = [stmt for stmt in walk(kernel.body) if isinstance(stmt, Loop)
                       and stmt.kind is Kind.VECTOR]
            assert len(vectors) <= 2  # whole vectors, and what is left over
            assert not kernel.locals


@LANES
def test_results_in_other_orders_are_not(lanes: int) -> None:
    @ml.function(f32[lanes + 1, lanes + 1])
    def both(x: Value) -> tuple[Value, Value]:
        y = ml.exp(x)
        return y, y.T

    assert len(check(both, lanes).body) > 1


@pytest.mark.parametrize("rows", [1, 7])
def test_a_sum_of_columns_keeps_its_own_loops(rows: int) -> None:
    @ml.function(f32[rows, 40], f32[40])
    def step(x: Value, m: Value) -> tuple[Value, Value]:
        m = 0.9 * m + ml.sum(x, 0)
        return m, m * m

    check(step, 16)
