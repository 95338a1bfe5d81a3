"""Loops whose iterations must follow one another do so, in vectors and on threads too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

import mlir_lite as ml
from mlir_lite import Function, Value, f32, i64
from mlir_lite.passes.lowering.handmade import region_kernel
from mlir_lite.passes.schedule.ordered import ordered_axes
from mlir_lite.tile.nodes import Kind

from .scheduled import LANES, TARGETS, check, kinds


def scatter(extent: int, axis: int, reduction: str) -> Function:
    shape = (3, extent)

    @ml.function(f32[shape], i64[shape], f32[shape])
    def f(x: Value, indices: Value, updates: Value) -> Value:
        return ml.scatter_elements(x, indices, updates, axis, reduction)

    return f


ORDERED: dict[str, Callable[[int], Function]] = {
    "running sum along rows": lambda n: ml.function(f32[3, n])(lambda x: ml.cumsum(x, 1)),
    "running sum along columns": lambda n: ml.function(f32[n, 37])(lambda x: ml.cumsum(x, 0)),
    "running sum of a vector": lambda n: ml.function(f32[n])(lambda x: ml.cumsum(x, 0)),
    "scatter along rows": lambda n: scatter(n, 1, "none"),
    "scatter along columns": lambda n: scatter(n, 0, "none"),
    "scattered sums along rows": lambda n: scatter(n, 1, "add"),
    "scattered sums along columns": lambda n: scatter(n, 0, "add"),
}


@LANES
@pytest.mark.parametrize("name", ORDERED)
def test_iterations_that_follow_one_another_stay_in_order(name: str, lanes: int) -> None:
    for n in (2, lanes + 1, 40):
        fn = ORDERED[name](n)
        check(fn, lanes)
        assert ordered_axes(region_kernel(fn, "kernel"))


@pytest.mark.parametrize("name", ORDERED)
def test_they_stay_in_order_on_several_threads(name: str) -> None:
    """The outermost independent loop is dealt to threads, if there is one; the verifier looks for
    races."""
    kernel = check(ORDERED[name](40), 16, replace(TARGETS[16], parallel_cycles=0))
    assert (Kind.PARALLEL in kinds(kernel)) == (name != "running sum of a vector")
