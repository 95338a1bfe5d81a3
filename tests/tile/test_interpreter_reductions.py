"""The tile interpreter: accumulations, in program order whether loops run at once or not."""

from __future__ import annotations

import numpy as np

from mlir_lite.expr import COMBINERS, Reduce, apply, const, index, select
from mlir_lite.tile.interpreter import run_kernel
from mlir_lite.tile.nodes import (
    Accumulate,
    Buffer,
    If,
    Kernel,
    Kind,
    Ref,
    Space,
)
from mlir_lite.types import f32, i64

from .building import acc, both, ld, loop, normal, st, v


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def test_long_reduction_of_one_element_is_sequential() -> None:
    """NumPy's own sum is pairwise; the language's is not."""
    x = normal(1000)
    i = v("i")
    kernel = Kernel(
        "total",
        (Buffer("x", f32, (1000,)), Buffer("out", f32, ())),
        ("out",),
        (st("out", (), const(0, f32)), loop("i", 1000, acc("out", (), ld("x", i)))),
    )
    total = np.float32(0)
    for value in x:
        total = total + value
    assert both(kernel, x=x)["out"] == total


def test_negative_zero_survives_masked_sums() -> None:
    i, j = v("i"), v("j")
    kernel = Kernel(
        "keep",
        (Buffer("y", f32, (2,)),),
        ("y",),
        (loop("i", 2, loop("j", 3, If(j > i, (acc("y", (i,), const(-0.0, f32)),)))),),
    )
    given = np.array([-0.0, -0.0], np.float32)
    for vectorise in (False, True):
        out = run_kernel(kernel, {"y": given}, vectorise=vectorise)["y"]
        assert np.signbit(out).all()


def test_inactive_iterations_write_nothing() -> None:
    """Their indices lie outside; clipped, they would meet the active ones."""
    i = v("i")
    body = (loop("i", 4, If(i < 2, (acc("y", (i,), const(1, f32)),))),)
    kernel = Kernel("few", (Buffer("y", f32, (2,)),), ("y",), body)
    assert both(kernel, y=np.zeros(2, np.float32))["y"].tolist() == [1, 1]


def test_serial_loop_inside_a_reduction() -> None:
    """The total of running sums: the outer loop reduces, the inner one carries."""
    i, j = v("i"), v("j")
    before = select(j > 0, ld("y", i, apply("max", j - 1, index(0))), const(0, f32))
    step = st("y", (i, j), before + ld("x", i, j))
    kernel = Kernel(
        "total",
        (Buffer("x", f32, (3, 4)), Buffer("y", f32, (3, 4)), Buffer("s", f32, ())),
        ("y", "s"),
        (
            st("s", (), const(0, f32)),
            loop("i", 3, loop("j", 4, step, acc("s", (), ld("y", i, j)))),
        ),
    )
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert both(kernel, x=x)["s"] == np.cumsum(x, 1).sum()


def test_scattered_accumulation_keeps_program_order() -> None:
    i, j = v("i"), v("j")
    row = ld("at", i, dtype=i64)
    kernel = Kernel(
        "scatter",
        (Buffer("x", f32, (50, 3)), Buffer("at", i64, (50,)), Buffer("y", f32, (4, 3))),
        ("y",),
        (loop("i", 50, loop("j", 3, acc("y", (row, j), ld("x", i, j)))),),
    )
    x, where = normal(50, 3), rng().integers(0, 4, 50)
    expected = np.zeros((4, 3), np.float32)
    for position, target in enumerate(where):
        expected[target] += x[position]
    out = both(kernel, x=x, at=where, y=np.zeros((4, 3), np.float32))["y"]
    np.testing.assert_array_equal(out, expected)


def test_overlapping_accumulation() -> None:
    """A transposed convolution: `y[i + k]` meets itself in two ways."""
    i, k = v("i"), v("k")
    kernel = Kernel(
        "spread",
        (Buffer("x", f32, (6,)), Buffer("w", f32, (3,)), Buffer("y", f32, (8,))),
        ("y",),
        (loop("i", 6, loop("k", 3, acc("y", (i + k,), ld("x", i) * ld("w", k)))),),
    )
    x, w = normal(6), normal(3)
    out = both(kernel, x=x, w=w, y=np.zeros(8, np.float32))["y"]
    np.testing.assert_allclose(out, np.convolve(x, w), rtol=1e-5)


def arg_extreme(combiner: str) -> Kernel:
    i, j = v("i"), v("j")
    start = const(-np.inf if combiner == "argmax" else np.inf, f32)
    return Kernel(
        combiner,
        (Buffer("x", f32, (5, 6)), Buffer("out", i64, (5,))),
        ("out",),
        (
            loop(
                "i",
                5,
                st("best", (), start),
                st("place", (), index(2**63 - 1)),
                loop(
                    "j",
                    6,
                    Accumulate(combiner, (Ref("best", ()), Ref("place", ())), (ld("x", i, j), j)),
                ),
                st("out", (i,), ld("place", dtype=i64)),
                kind=Kind.PARALLEL,
            ),
        ),
        (Buffer("best", f32, (), Space.REGISTER), Buffer("place", i64, (), Space.REGISTER)),
    )


def test_argmax_and_argmin_take_nan_then_best_then_first() -> None:
    x = np.array(
        [
            [1, 3, 3, 2, 3, 0],
            [1, np.nan, 5, np.nan, 2, 0],
            [-np.inf] * 6,
            [np.inf] * 6,
            [0, 0, -1, -1, 2, 2],
        ],
        np.float32,
    )
    assert both(arg_extreme("argmax"), x=x)["out"].tolist() == [1, 1, 0, 0, 4]
    assert both(arg_extreme("argmin"), x=x)["out"].tolist() == [5, 1, 0, 0, 2]


def test_reduce_expression() -> None:
    i, k = v("i"), v("k")
    total = Reduce(f32, "sum", (("k", 6),), (ld("x", i, k),))
    place = Reduce(i64, "argmax", (("q", 6),), (ld("x", i, v("q")), v("q")), 1)
    kernel = Kernel(
        "rows",
        (Buffer("x", f32, (5, 6)), Buffer("y", f32, (5,)), Buffer("z", i64, (5,))),
        ("y", "z"),
        (loop("i", 5, st("y", (i,), total), st("z", (i,), place)),),
    )
    x = normal(5, 6)
    out = both(kernel, x=x)
    np.testing.assert_allclose(out["y"], x.sum(1), rtol=1e-5)
    np.testing.assert_array_equal(out["z"], x.argmax(1))


def states_of_rows(combiner: str, *others: float) -> Kernel:
    """`out[i, s]`: states of the elements of a row, each of which brings itself and `others`."""
    i, j = v("i"), v("j")
    names = [f"state{number}" for number in range(len(others) + 1)]
    starts = [const(identity(f32), f32) for identity in COMBINERS[combiner].identity]
    values = (ld("x", i, j), *(const(other, f32) for other in others))
    update = Accumulate(combiner, tuple(Ref(name, ()) for name in names), values)
    return Kernel(
        combiner,
        (Buffer("x", f32, (4, 21)), Buffer("out", f32, (4, len(names)))),
        ("out",),
        (
            loop(
                "i",
                4,
                *(st(name, (), start) for name, start in zip(names, starts, strict=True)),
                loop("j", 21, update),
                *(st("out", (i, index(s)), ld(name)) for s, name in enumerate(names)),
            ),
        ),
        tuple(Buffer(name, f32, (), Space.REGISTER) for name in names),
    )


def test_softmax_keeps_the_maximum_and_the_sum_of_powers_below_it() -> None:
    x = normal(4, 21) * 30
    x[1, :7] = -np.inf
    x[2, 3] = np.nan
    top, total = run_kernel(states_of_rows("softmax", 1), {"x": x})["out"].T
    np.testing.assert_array_equal(top, x.max(1))
    np.testing.assert_allclose(total, np.exp(x.astype(float) - x.max(1)[:, None]).sum(1), 1e-6)


def test_moments_keep_the_mean_and_squares_of_distances() -> None:
    x = normal(4, 21) + 100
    mean, squares, count = run_kernel(states_of_rows("moments", 0, 1), {"x": x})["out"].T
    np.testing.assert_allclose(mean, x.mean(1, dtype=float), 1e-6)
    np.testing.assert_allclose(squares, x.var(1, dtype=float) * 21, 1e-4)
    assert (count == 21).all()
