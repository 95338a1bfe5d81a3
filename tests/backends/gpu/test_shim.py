"""The CPU in a card's place sees what a card would do wrong, some day: planted bugs show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Function, Value, bf16, f32
from mlir_lite.backends.cuda.source.kernels import CudaKernel
from mlir_lite.tile.nodes import Buffer
from mlir_lite.types import Array

from .compiled import Compiled, all_orders
from .shim import ORDERS, ShimDevice, build, needs_shim, unit_text

pytestmark = needs_shim


@ml.function(f32[40, 300])
def softmax(x: Value) -> Value:
    return ml.softmax(x, axis=-1)


@ml.function(f32[40, 300], f32[300], f32[300])
def layer_norm(x: Value, scale: Value, bias: Value) -> Value:
    return ml.layer_norm(x, scale, bias)


@ml.function(f32[20, 40], f32[40, 20])
def product(x: Value, y: Value) -> Value:
    return x @ y


def normal(fn: Function) -> list[Array]:
    random = np.random.default_rng(0)
    return [
        random.standard_normal(param.type.static_shape).astype(param.dtype.numpy)
        for param in fn.params
    ]


def differs(compiled: Compiled, arrays: list[Array], without: int) -> bool:
    """Whether the results change in any order of threads, or there are none, without a barrier."""
    expected = compiled(*arrays)
    for order in ORDERS:
        try:
            found = compiled(*arrays, order=order, without=without)
        except AssertionError:
            return True
        pairs = zip(found, expected, strict=True)
        if any(one.tobytes() != other.tobytes() for one, other in pairs):
            return True
    return False


@ml.function(bf16[40, 256], bf16[256, 40])
def narrow_product(x: Value, w: Value) -> Value:
    return x @ w


@ml.function(bf16[20, 32], bf16[140, 32], bf16[140, 32])
def attention(q: Value, k: Value, v: Value) -> Value:
    return ml.attention(q, k, v, causal=True)


def arriving(q: Value, k: Value, v: Value) -> Value:
    return ml.sum(ml.cast(ml.attention(q, k, v), f32))


attention_gradient = ml.grad(
    # An odd number of steps: the copies of the next phase come where the last step reads.
    ml.function(bf16[20, 32], bf16[140, 32], bf16[140, 32])(arriving), wrt=("q", "k", "v")
)


PROVED = [softmax, layer_norm, product, narrow_product, attention, attention_gradient]


@pytest.mark.parametrize("fn", PROVED, ids=lambda fn: fn.name)
def test_no_barrier_is_there_for_nothing(fn: Function, tmp_path: Path) -> None:
    compiled = Compiled.of(fn, tmp_path)
    arrays = normal(fn)
    all_orders(compiled, arrays)
    text = unit_text(list(compiled.source.kernels.values()))
    barriers = [
        number
        for number, line in enumerate(text.splitlines(), start=1)
        if "__syncthreads" in line or "cp_async_wait<" in line
    ]
    assert barriers
    unnoticed = [number for number in barriers if not differs(compiled, arrays, number)]
    assert not unnoticed, f"lines {unnoticed} of {tmp_path}"


def test_a_barrier_that_some_threads_miss_is_reported(tmp_path: Path) -> None:
    text = unit_text([KERNEL])
    device = ShimDevice(build(text, tmp_path, "divergent"))
    with pytest.raises(AssertionError, match="4 of 8 threads wait at a barrier"):
        device.launch(KERNEL, [device.allocate(4)])


KERNEL = CudaKernel(
    "divergent_kernel",
    """extern "C" __global__ void divergent_kernel(float* y)
{
    if (threadIdx.x < 4) {
        __syncthreads();
    }
    y[0] = 1.0f;
}""",
    (1, 1, 1),
    (8, 1, 1),
    (Buffer("y", f32, (1,)),),
)
