"""What follows a shared step and moves much is shared; small moves and those of inputs are not."""

from __future__ import annotations

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Function, Value, f32, i64
from mlir_lite.backends.llvm.backend import cpu_target
from mlir_lite.passes.lowering.lower import lower
from mlir_lite.passes.pipelines import cpu_pipeline
from mlir_lite.tile.checks.verify import verify_kernel
from mlir_lite.tile.nodes import Kind, Loop
from mlir_lite.tile.program import Program
from mlir_lite.tile.tree import is_dealt

TARGET = cpu_target("cpu:avx512", 1)[0]


def padded(x: Value) -> Value:
    return ml.pad(x, ((1, 1), (2, 1)))


def of_product(rows: int) -> Function:
    """The pad of a product that is shared; its rows decide how much the pad moves."""
    return ml.function(f32[rows, 4096], f32[4096, 256])(lambda x, w: padded(x @ w))


def lowered(fn: Function) -> Program:
    for step in cpu_pipeline(TARGET):
        fn = step.run(fn)
    return lower(fn, TARGET).program


def shared(fn: Function) -> list[bool]:
    """Whether each pad in order is dealt to threads."""
    program = lowered(fn)
    return [
        "parallel" in str(program.kernel(call.kernel))
        for call in program.calls
        if call.label.endswith("pad")
    ]


@pytest.mark.parametrize(("rows", "is_shared"), [(200, True), (20, False)])
def test_a_pad_of_what_threads_computed_is_shared_if_it_moves_much(
    rows: int, is_shared: bool
) -> None:
    assert shared(of_product(rows)) == [is_shared]


def test_a_pad_of_an_input_is_not_shared() -> None:
    assert shared(ml.function(f32[200, 256])(padded)) == [False]


def test_a_pad_after_what_one_thread_computed_is_not_shared() -> None:
    fn = ml.function(f32[200, 256], f32[256, 1])(lambda x, w: (x @ w, padded(x))[::-1])
    assert shared(fn) == [False]


def test_zeros_around_an_image_stay_with_one_thread() -> None:
    """Of the loops of a pad only that over its rows is worth that threads wait for one another."""
    image = f32[1, 1, 40, 40, 64]
    fn = ml.function(image, f32[64, 64])(
        lambda x, w: ml.pad(x @ w, ((0, 0), (0, 0), (1, 1), (1, 1), (0, 0)))
    )
    program = lowered(fn)
    product, pad = (program.kernel(call.kernel) for call in program.calls)
    assert is_dealt(product)
    kinds = [stmt.kind for stmt in pad.body if isinstance(stmt, Loop)]
    assert kinds.count(Kind.PARALLEL) == 1 < len(kinds)


def test_the_elements_are_the_same_at_any_number_of_threads() -> None:
    random = np.random.default_rng(0)
    x, w = (random.standard_normal(shape, np.float32) for shape in ((200, 4096), (4096, 256)))
    runs = (ml.compile(of_product(200), threads=count) for count in (1, 2))
    alone, together = (np.asarray(run(x, w)) for run in runs)
    np.testing.assert_array_equal(alone, together)
    wanted = x.astype("f8") @ w
    allowed = 8 * np.finfo("f4").eps * np.abs(wanted).max()  # as for any f32 result
    assert np.abs(alone[1:-1, 2:-1] - wanted).max() <= allowed
    assert not alone[0].any() and not alone[-1].any() and not alone[:, :2].any()


def test_sums_in_memory_stay_in_order() -> None:
    """The check of the indices before them is dealt to threads; they, at places that only the data
    tell, cannot be."""
    count = 1_000_000
    fn = ml.function(i64[count, 1], f32[count])(
        lambda at, x: ml.scatter_nd(ml.zeros((100,)), at, x, "add")
    )
    for kernel in lowered(fn).kernels:
        verify_kernel(kernel)  # says so where iterations that run at once may meet
