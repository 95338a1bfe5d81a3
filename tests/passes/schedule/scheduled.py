"""Kernels scheduled for targets of all widths of vectors, and what they compute checked."""


from __future__ import annotations

import numpy as np
import pytest

from mlir_lite import Function
from mlir_lite.backends.llvm.kernels.private import check_sums, privatise
from mlir_lite.passes.lowering.handmade import region_kernel
from mlir_lite.passes.schedule import schedule
from mlir_lite.target import Target
from mlir_lite.tile.checks.verify import verify_kernel
from mlir_lite.tile.interpreter import run_kernel
from mlir_lite.tile.nodes import Kernel, Kind, Loop
from mlir_lite.tile.traverse import walk
from mlir_lite.types import Array

TARGETS = {
    lanes: Target(f"cpu:{lanes}", vector_bytes=4 * lanes, vector_registers=32 if lanes > 8 else 16)
    for lanes in (4, 8, 16)
}
LANES = pytest.mark.parametrize("lanes", TARGETS)


def inputs(kernel: Kernel, seed: int, whole: bool) -> dict[str, Array]:
    """Arrays for the parameters that are read; indices are 0 or 1. Sums of `whole` numbers are the
    same in any order."""
    random = np.random.default_rng(seed)
    return {
        param.name: random.standard_normal(param.shape).astype(param.dtype.numpy)
        if param.dtype.is_float and not whole
        else random.integers(0, 2, param.shape).astype(param.dtype.numpy)
        for param in kernel.params
        if param.name not in kernel.outputs
    }


def check(
    fn: Function, lanes: int, target: Target | None = None, *, whole: bool = False
) -> Kernel:
    """The scheduled kernel of all of a function, after comparing it with the naive one."""
    naive = region_kernel(fn, "kernel")
    scheduled = schedule(naive, target or TARGETS[lanes])
    verify_kernel(scheduled)
    check_sums(privatise(scheduled))  # the interpreter's lanes come one after the other
    arrays = inputs(naive, lanes, whole)
    want = run_kernel(naive, arrays)
    shapes = {param.name: param.memory_shape for param in scheduled.params}
    flat = {name: array.reshape(shapes[name]) for name, array in arrays.items()}
    got = run_kernel(scheduled, flat)
    for name, expected in want.items():
        scale = float(np.max(np.abs(expected), initial=1e-30))
        error = float(np.max(np.abs(got[name].reshape(expected.shape) - expected), initial=0.0))
        # Sums of at most some hundreds of terms, in another order.
        assert error <= 32 * float(np.finfo(np.float32).eps) * scale, f"{error}\n{scheduled}"
    return scheduled


def around(lanes: int) -> tuple[int, ...]:
    return (1, 2, 7, lanes - 1, lanes, lanes + 1, 4 * lanes + 3)


def kinds(kernel: Kernel) -> set[Kind]:
    """How the loops of a kernel run."""
    return {stmt.kind for stmt in walk(kernel.body) if isinstance(stmt, Loop)}
