"""The tile interpreter: the meaning of each statement, and that running loops at once keeps it."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from mlir_lite.errors import VerifyError
from mlir_lite.expr import Cast, Expr, apply, const, index, select
from mlir_lite.tile.interpreter import run_kernel
from mlir_lite.tile.nodes import (
    Block,
    Buffer,
    If,
    Kernel,
    Kind,
    Layout,
    Space,
)
from mlir_lite.types import DType, TensorType, bf16, bool_, f16, f32, f64, i8, i32, i64, u8

from .building import acc, both, ld, loop, normal, st, v


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


M, N, K = 5, 7, 6


def matmul(local: bool) -> Kernel:
    """init, update, finish; with `local`, in a buffer of one element that every (m, n) reuses."""
    m, n, k = v("m"), v("n"), v("k")
    target: tuple[Expr | int, ...] = (0,) if local else (m, n)
    name = "sum" if local else "out"
    body: Block = (
        st(name, target, const(0, f32)),
        loop("k", K, acc(name, target, ld("a", m, k) * ld("b", k, n))),
        st("out", (m, n), apply("max", ld(name, *target), const(0, f32))),
    )
    locals_ = (Buffer("sum", f32, (1,), Space.REGISTER),) if local else ()
    params = (Buffer("a", f32, (M, K)), Buffer("b", f32, (K, N)), Buffer("out", f32, (M, N)))
    return Kernel("matmul", params, ("out",), (loop("m", M, loop("n", N, *body)),), locals_)


@pytest.mark.parametrize("local", [False, True])
def test_matmul_sums_in_order_in_f32(local: bool) -> None:
    a, b = normal(M, K), normal(K, N)
    expected = np.zeros((M, N), np.float32)
    for k in range(K):
        expected += a[:, k : k + 1] * b[k]
    out = both(matmul(local), a=a, b=b)["out"]
    np.testing.assert_array_equal(out, np.maximum(expected, 0))


@pytest.mark.parametrize("dtype", [f16, bf16])
def test_narrow_floats_round_at_each_step(dtype: DType) -> None:
    x = rng().standard_normal(300).astype(dtype.numpy)
    kernel = Kernel(
        "total",
        (Buffer("x", dtype, (300,)), Buffer("out", dtype, (1,))),
        ("out",),
        (
            st("out", (0,), const(0, dtype)),
            loop("i", 300, acc("out", (0,), ld("x", v("i"), dtype=dtype))),
        ),
    )
    total = dtype.numpy.type(0)
    for value in x:
        total = dtype.numpy.type(total + value)
    assert both(kernel, x=x)["out"][0] == total


def test_integers_wrap() -> None:
    kernel = Kernel(
        "wrap",
        (Buffer("x", i8, (3,)), Buffer("y", i8, (3,))),
        ("y",),
        (loop("i", 3, st("y", (v("i"),), ld("x", v("i"), dtype=i8) * const(2, i8))),),
    )
    x = np.array([100, -128, 3], np.int8)
    assert both(kernel, x=x)["y"].tolist() == [-56, 0, 6]


def test_masked_tail_of_a_split_loop() -> None:
    """The tail's loop limit depends on the outer loop."""
    i = v("o") * 4 + v("i")
    limit = apply("min", index(4), index(10) - v("o") * 4)
    kernel = Kernel(
        "tail",
        (Buffer("x", f32, (10,)), Buffer("y", f32, (10,))),
        ("y",),
        (loop("o", 3, loop("i", limit, st("y", (i,), ld("x", i) + 1.0)), kind=Kind.PARALLEL),),
    )
    x = normal(10)
    np.testing.assert_array_equal(both(kernel, x=x)["y"], x + np.float32(1))


def guarded(condition: Expr) -> Kernel:
    i = v("i")
    return Kernel(
        "pad",
        (Buffer("x", f32, (4,)), Buffer("y", f32, (6,))),
        ("y",),
        (loop("i", 6, st("y", (i,), select(condition, ld("x", i - 1), const(0, f32)))),),
    )


def test_select_guards_its_loads() -> None:
    i = v("i")
    x = normal(4)
    out = both(guarded((i >= 1) & (i < 5)), x=x)["y"]
    np.testing.assert_array_equal(out, np.pad(x, 1))


@pytest.mark.parametrize("vectorise", [False, True])
def test_load_outside_names_kernel_buffer_and_index(vectorise: bool) -> None:
    kernel = guarded((v("i") >= 1) & (v("i") <= 5))
    with pytest.raises(VerifyError, match="kernel 'pad': index 4 in dimension 0 of x"):
        run_kernel(kernel, {"x": normal(4)}, vectorise=vectorise)


@pytest.mark.parametrize("vectorise", [False, True])
def test_store_outside_is_caught(vectorise: bool) -> None:
    body = (loop("i", 5, st("y", (v("i"),), const(0, f32))),)
    kernel = Kernel("over", (Buffer("y", f32, (4,)),), ("y",), body)
    with pytest.raises(VerifyError, match="kernel 'over': index 4 in dimension 0 of y"):
        run_kernel(kernel, {}, vectorise=vectorise)


def test_if_masks_stores_and_accumulations() -> None:
    i, j = v("i"), v("j")
    kernel = Kernel(
        "triangle",
        (Buffer("x", f32, (4, 4)), Buffer("y", f32, (4,)), Buffer("z", f32, (4, 4))),
        ("y", "z"),
        (
            loop(
                "i",
                4,
                st("y", (i,), const(0, f32)),
                loop(
                    "j",
                    4,
                    If(
                        j <= i,
                        (acc("y", (i,), ld("x", i, j)), st("z", (i, j), const(1, f32))),
                        (st("z", (i, j), const(0, f32)),),
                    ),
                ),
            ),
        ),
    )
    x = normal(4, 4)
    out = both(kernel, x=x)
    np.testing.assert_allclose(out["y"], np.tril(x).sum(1), rtol=1e-6)
    np.testing.assert_array_equal(out["z"], np.tril(np.ones((4, 4))))


def test_cumulative_sum_carries_along_its_loop() -> None:
    i, j = v("i"), v("j")
    before = select(j > 0, ld("y", i, apply("max", j - 1, index(0))), const(0, f32))
    kernel = Kernel(
        "cumsum",
        (Buffer("x", f32, (3, 8)), Buffer("y", f32, (3, 8))),
        ("y",),
        (loop("i", 3, loop("j", 8, st("y", (i, j), before + ld("x", i, j)))),),
    )
    x = normal(3, 8)
    np.testing.assert_array_equal(both(kernel, x=x)["y"], np.cumsum(x, 1, dtype=np.float32))


def test_shift_by_an_outer_axis_carries_along_the_inner_loop() -> None:
    i, j = v("i"), v("j")
    kernel = Kernel(
        "shift",
        (Buffer("y", f32, (8,)),),
        ("y",),
        (loop("i", 3, loop("j", 6, st("y", (i + j,), ld("y", j) + 1.0))),),
    )
    expected = normal(8)
    out = both(kernel, y=expected.copy())["y"]
    for shift in range(3):
        for place in range(6):
            expected[shift + place] = expected[place] + np.float32(1)
    np.testing.assert_array_equal(out, expected)


def test_fused_loop_recombines_quotient_and_remainder() -> None:
    i, j = v("f") // 4, v("f") % 4
    kernel = Kernel(
        "flat",
        (Buffer("x", f32, (3, 4)), Buffer("y", f32, (3, 4))),
        ("y",),
        (loop("f", 12, st("y", (i, j), ld("x", i, j) * 2.0), kind=Kind.PARALLEL),),
    )
    x = normal(3, 4)
    np.testing.assert_array_equal(both(kernel, x=x)["y"], x * 2)


def test_layout_says_where_elements_lie() -> None:
    i, j = v("i"), v("j")
    turned = Layout(("a", "b"), (v("b"), v("a")), (4, 3))
    kernel = Kernel(
        "copy",
        (Buffer("x", f32, (3, 4)), Buffer("y", f32, (3, 4), layout=turned)),
        ("y",),
        (loop("i", 3, loop("j", 4, st("y", (i, j), ld("x", i, j)))),),
    )
    x = normal(3, 4)
    np.testing.assert_array_equal(both(kernel, x=x)["y"], x.T)


def test_every_scalar_type_runs() -> None:
    for dtype, wide in product((f64, f32, f16, bf16, i64, i32, i8, u8, bool_), (True, False)):
        extent = 3 if wide else 1
        i = v("i")
        value = Cast(dtype, ld("x", i, dtype=f64))
        kernel = Kernel(
            "cast",
            (Buffer("x", f64, (extent,)), Buffer("y", dtype, (extent,))),
            ("y",),
            (loop("i", extent, st("y", (i,), value)),),
        )
        x = np.array([1.0, 0.0, 300.5])[:extent]
        out = both(kernel, x=x)["y"]
        assert out.dtype == TensorType((extent,), dtype).dtype.numpy
        assert out[0] == 1
