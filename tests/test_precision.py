"""`ml.compile(.., precision="bf16")`, whole: how near results are, and what it takes."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Value, f32
from mlir_lite.backends.llvm.backend import cpu_target
from mlir_lite.tile.program import Role
from mlir_lite.types import Array, bf16

NATIVE = pytest.mark.skipif(
    "vpdpbf16ps" not in cpu_target("cpu")[0].dot_instructions,
    reason="this machine has no instruction for products of bf16",
)


def random(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def exact(x: Array) -> Array:
    return x.astype(np.float64)


@NATIVE
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    "sizes", [(1, 7, 3), (13, 65, 100), (128, 768, 96), (40, 4096, 70), (200, 1, 64)], ids=str
)
def test_a_product_is_as_near_as_its_factors(sizes: tuple[int, int, int], threads: int) -> None:
    m, k, n = sizes
    w, x = random(k, n), random(m, k)
    run = ml.compile(ml.function(f32[m, k])(lambda x: x @ w), threads=threads, precision="bf16")
    error = np.abs(run(x) - exact(x) @ exact(w))
    # Each factor is off by 2**-8 of it, the sum by an f32 rounding a term.
    allowed = (2 * 2**-8 + 2**-16 + k * 2**-23) * (np.abs(exact(x)) @ np.abs(exact(w)))
    assert np.all(error <= allowed)
    assert np.max(error) > 1e-4 * np.max(allowed)  # it is bf16 indeed


@NATIVE
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("channels", "taps", "stride", "padding", "image"),
    [
        ((5, 40), 3, 2, 1, (12, 11)),
        ((3, 32), 7, 2, 3, (37, 37)),
        ((3, 17), 7, 1, 3, (16, 9)),
        ((24, 40), 1, 1, 0, (14, 14)),
        ((37, 16), 5, 1, 2, (9, 20)),
    ],
)
def test_a_convolution_is_as_near_as_its_factors(
    channels: tuple[int, int],
    taps: int,
    stride: int,
    padding: int,
    image: tuple[int, int],
    threads: int,
) -> None:
    inner, outer = channels
    shape = (2, inner, *image)
    w, x = random(outer, inner, taps, taps), random(*shape)

    def conv(dtype: ml.DType, x: Array, w: Array, precision: str = "f32") -> Array:
        fn = ml.function(dtype[shape])(lambda x: ml.conv(x, w, strides=stride, padding=padding))
        return np.asarray(ml.compile(fn, threads=threads, precision=precision)(x))

    have = conv(f32, x, w, "bf16")
    want, sizes = (
        conv(ml.f64, exact(image), exact(weight))
        for image, weight in ((x, w), (np.abs(x), np.abs(w)))
    )
    assert np.all(np.abs(have - want) <= (2 * 2**-8 + 2**-15) * sizes)


@NATIVE
@pytest.mark.skipif(
    bool(cpu_target("cpu")[0].matrix_products),
    reason="this machine multiplies matrices of bf16, which takes less time than Winograd's way",
)
def test_winograds_factors_may_be_rounded() -> None:
    """That loses less than twice as much as to round the factors of the convolution itself."""
    w, x = random(256, 256, 3, 3), np.maximum(random(1, 256, 14, 13), 0)
    fn = ml.function(f32[1, 256, 14, 13])(lambda x: ml.conv(x, w, padding=1))
    wide = ml.function(ml.f64[1, 256, 14, 13])(lambda x: ml.conv(x, exact(w), padding=1))
    want = ml.compile(wide)(exact(x))
    runs = [
        ml.compile(fn, precision="bf16", threads=threads, winograd=choice)
        for threads, choice in ((1, "auto"), (2, "auto"), (1, "off"))
    ]
    assert [("winograd_input" in run.stages["fused"]) for run in runs] == [True, True, False]
    one, two, direct = (np.asarray(run(x)) for run in runs)
    np.testing.assert_array_equal(one, two)
    lost, usual = (np.sqrt(np.mean((have - want) ** 2)) for have in (one, direct))
    assert usual < lost < 2 * usual


@NATIVE
@pytest.mark.parametrize("shape", [(3, 128, 64), (2, 70, 32)], ids=str)
def test_attention_is_as_near_as_its_factors(shape: tuple[int, ...]) -> None:
    """A score is off by 2**-8 of the sizes of its products, and so is the exponent of a weight; the
    weights and values are off by 2**-9 each."""
    arrays = q, k, v = [random(*shape) * np.float32(scale) for scale in (0.5, 1, 2)]
    fn = ml.function(*[f32[shape]] * 3)(lambda q, k, v: ml.attention(q, k, v))
    one, two = (ml.compile(fn, precision="bf16", threads=count)(*arrays) for count in (1, 2))
    np.testing.assert_array_equal(one, two)
    scale = 1 / np.sqrt(shape[-1])
    sizes = np.abs(exact(q)) @ np.abs(exact(k)).swapaxes(-1, -2) * scale
    powers = np.exp(exact(q) @ exact(k).swapaxes(-1, -2) * scale)
    weights = powers / powers.sum(-1, keepdims=True)
    off = 2 * 2**-8 * sizes.max(-1, keepdims=True) + 2 * 2**-9 + 1e-6
    error = np.abs(one - weights @ exact(v))
    assert np.all(error <= off * (weights @ np.abs(exact(v))))
    assert np.max(error) > 1e-4 * np.max(np.abs(one))  # it is bf16 indeed


@NATIVE
def test_the_values_between_are_rounded_where_they_are_made() -> None:
    """No pass over memory for it, and half the memory for weights."""
    first, second, bias = random(64, 256), random(256, 32), random(256)

    @ml.function(f32[48, 64])
    def mlp(x: Value) -> Value:
        return ml.relu(x @ first + bias) @ second

    plain, narrow = ml.compile(mlp), ml.compile(mlp, precision="bf16")
    assert "bf16" not in plain.stages["fused"]
    labels = [step.label for step in narrow.program.calls]
    assert labels == ["flush cast", "dot_matmul broadcast add relu flush cast", "dot_matmul"]
    assert weight_bytes(plain) == 2 * weight_bytes(narrow)
    assert any(slot.type.dtype == bf16 and slot.role is Role.ARENA for slot in narrow.program.slots)


def weight_bytes(run: ml.Executable) -> int:
    """Bytes of the constant matrices."""
    slots = [slot for slot in run.program.slots if slot.role is Role.CONSTANT]
    return sum(
        prod(slot.type.static_shape) * slot.type.dtype.bytes for slot in slots if slot.type.rank > 1
    )


@NATIVE
def test_results_do_not_depend_on_threads() -> None:
    w = random(300, 512)
    fn = ml.function(f32[256, 300])(lambda x: x @ w)
    one, two = (ml.compile(fn, threads=count, precision="bf16") for count in (1, 2))
    x = random(256, 300)
    np.testing.assert_array_equal(one(x), two(x))


def test_a_machine_without_the_instruction_computes_in_f32() -> None:
    w = random(64, 32)
    fn = ml.function(f32[8, 64])(lambda x: x @ w)
    backend = ml.compile(fn, target="reference", precision="bf16")
    assert "bf16" not in backend.stages["fused"]
