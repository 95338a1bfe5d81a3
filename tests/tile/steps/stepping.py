"""The test of a schedule step: text in, text out, and the same numbers in the interpreter."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mlir_lite.tile.checks.verify import verify_kernel
from mlir_lite.tile.interpreter import run_kernel
from mlir_lite.tile.nodes import Buffer, Kernel
from mlir_lite.tile.parser import parse_kernel
from mlir_lite.types import Array


def expect_step(
    step: Callable[[Kernel], Kernel], before: str, after: str | None = None, *, indices: int = 1
) -> Kernel:
    """The kernel of `before` after the step; it must be that of `after` (None: unchanged).

    Both are verified and run; integer inputs are below `indices`.
    """
    given = parse_kernel(before)
    got = step(given)
    assert str(got) == str(given if after is None else parse_kernel(after))
    same_kernel(given, got, indices=indices)
    return got


def same_kernel(naive: Kernel, scheduled: Kernel, *, indices: int = 1) -> None:
    """Verify the scheduled kernel and compare its outputs with the naive one's.

    8 ε of the largest result: what sums of some tens of elements lose in another order.
    """
    verify_kernel(scheduled)
    inputs = {param.name: sample(param, indices) for param in naive.params}
    for name in naive.outputs:
        del inputs[name]
    want = run_kernel(naive, inputs)
    shaped = {
        param.name: inputs[param.name].reshape(param.memory_shape)
        for param in scheduled.params
        if param.name in inputs
    }
    got = run_kernel(scheduled, shaped)
    for name, expected in want.items():
        actual = got[name].reshape(expected.shape)
        if expected.dtype.kind != "f":
            np.testing.assert_array_equal(actual, expected)
            continue
        largest = float(np.max(np.abs(expected), initial=1e-30))
        error = float(np.max(np.abs(actual - expected), initial=0.0))
        allowed = 8 * float(np.finfo(expected.dtype).eps) * largest
        assert error <= allowed, f"'{name}' differs by {error}, {allowed} is allowed\n{scheduled}"


def sample(param: Buffer, indices: int) -> Array:
    random = np.random.default_rng(len(param.name) + param.elements)
    if param.dtype.is_float:
        return random.standard_normal(param.memory_shape).astype(param.dtype.numpy)
    return random.integers(0, indices, param.memory_shape).astype(param.dtype.numpy)
