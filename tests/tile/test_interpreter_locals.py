"""The tile interpreter: local buffers, calls, arguments, and random kernels in both modes."""

from __future__ import annotations

import numpy as np
import pytest

from mlir_lite.errors import InputError, VerifyError
from mlir_lite.expr import Expr, const, index, select
from mlir_lite.tile.analyses.dependence import Mode
from mlir_lite.tile.interpreter import run_kernel
from mlir_lite.tile.machine import Plan
from mlir_lite.tile.nodes import (
    Block,
    Buffer,
    Call,
    If,
    Kernel,
    Kind,
    Proc,
    Space,
    Stmt,
    Window,
)
from mlir_lite.types import Array, f32, i32, i64

from .building import acc, at, both, ld, loop, normal, st, v


def local_use(initialised: bool, kind: Kind) -> Kernel:
    """y[i] = x[i] through a local that only the first iteration, or each, initialises."""
    i = v("i")
    body: Block = (acc("t", (0,), ld("x", i)), st("y", (i,), ld("t", 0)))
    zero = st("t", (0,), const(0, f32))
    body = (zero, *body) if initialised else (If(i.eq(0), (zero,)), *body)
    return Kernel(
        "local",
        (Buffer("x", f32, (4,)), Buffer("y", f32, (4,))),
        ("y",),
        (loop("i", 4, *body, kind=kind),),
        (Buffer("t", f32, (1,), Space.SHARED),),
    )


def test_parallel_iterations_start_with_garbage() -> None:
    x = np.ones(4, np.float32)
    np.testing.assert_array_equal(both(local_use(True, Kind.PARALLEL), x=x)["y"], x)
    out = run_kernel(local_use(False, Kind.PARALLEL), {"x": x})["y"]
    assert np.isnan(out).tolist() == [False, True, True, True]


def test_serial_iterations_share_their_locals() -> None:
    x = np.ones(4, np.float32)
    out = both(local_use(False, Kind.SERIAL), x=x)["y"]
    assert out.tolist() == [1, 2, 3, 4]


def test_uninitialised_output_is_garbage() -> None:
    kernel = Kernel(
        "half",
        (Buffer("y", f32, (4,)), Buffer("n", i32, (2,))),
        ("y", "n"),
        (st("y", (0,), const(1, f32)),),
    )
    out = run_kernel(kernel, {})
    assert np.isnan(out["y"]).tolist() == [False, True, True, True]
    assert (out["n"] == -842150451).all()  # 0xCDCDCDCD


def test_proc_call_on_windows() -> None:
    j = v("j")
    scale = Proc(
        "scale",
        (Buffer("from", f32, (4,)), Buffer("to", f32, (4,))),
        ("shift",),
        (
            loop("j", 4, st("t", (j,), ld("from", j) * 2.0)),
            loop("q", 4, st("to", (v("q"),), ld("t", (v("q") + v("shift")) % 4))),
        ),
        (Buffer("t", f32, (4,), Space.REGISTER),),
    )
    i = v("i")
    call = Call("scale", (Window("x", at(i, 2)), Window("y", at(i, 0))), at(i))
    kernel = Kernel(
        "windows",
        (Buffer("x", f32, (3, 6)), Buffer("y", f32, (3, 4))),
        ("y",),
        (loop("i", 3, call), Call("scale", (Window("x", at(0, 0)), Window("y", at(2, 0))), at(0))),
        procs=(scale,),
    )
    x = normal(3, 6)
    expected = np.stack([np.roll(x[i, 2:6] * 2, -i) for i in range(3)])
    expected[2] = x[0, :4] * 2
    np.testing.assert_array_equal(both(kernel, x=x)["y"], expected)


def test_scalar_loaded_for_a_call_is_read_before_it() -> None:
    bump = Proc(
        "bump",
        (Buffer("n", i64, (2,)),),
        ("step",),
        tuple(acc("n", (place,), v("step")) for place in range(2)),
    )
    call = Call("bump", (Window("n", at(0)),), (ld("n", 0, dtype=i64),))
    kernel = Kernel("twice", (Buffer("n", i64, (2,)),), ("n",), (call,), procs=(bump,))
    assert both(kernel, n=np.array([3, 5]))["n"].tolist() == [6, 8]


def test_dependent_parallel_loop_shows_its_order() -> None:
    """A wrong `parallel` is not hidden by running iterations at once."""
    i = v("i")
    kernel = Kernel(
        "race",
        (Buffer("y", f32, (6,)),),
        ("y",),
        (loop("i", 6, st("y", (i,), ld("y", i - 1) + 1.0), kind=Kind.PARALLEL, start=1),),
    )
    zeros = np.zeros(6, np.float32)
    ascending = run_kernel(kernel, {"y": zeros})["y"]
    descending = run_kernel(kernel, {"y": zeros}, order="descending")["y"]
    assert ascending.tolist() == [0, 1, 2, 3, 4, 5]
    assert descending.tolist() == [0, 1, 1, 1, 1, 1]


def test_arguments_are_checked() -> None:
    kernel = local_use(True, Kind.SERIAL)
    with pytest.raises(InputError, match="needs the array 'x'"):
        run_kernel(kernel, {})
    with pytest.raises(InputError, match="no parameter 'c'"):
        run_kernel(kernel, {"c": normal(4)})
    with pytest.raises(InputError, match=r"'x' of kernel 'local' is f32\[4\], not float32\[5\]"):
        run_kernel(kernel, {"x": normal(5)})
    with pytest.raises(InputError, match=r"'x' of kernel 'local' is f32\[4\], not float64\[4\]"):
        run_kernel(kernel, {"x": normal(4).astype(np.float64)})


def test_writing_an_input_is_caught() -> None:
    kernel = Kernel("w", (Buffer("x", f32, (1,)),), (), (st("x", (0,), const(0, f32)),))
    with pytest.raises(VerifyError, match="writes 'x', which is no output"):
        run_kernel(kernel, {"x": normal(1)})


SIZE = 80


def random_kernel(seed: int) -> Kernel:
    """Loops over a mix of indices, reads of what is written, reductions, masks and locals.

    Half of the places are a mixed-radix number of the axes, which no two iterations share.
    """
    random = np.random.default_rng(seed)
    axes = [f"a{n}" for n in range(random.integers(1, 4))]
    extents = [int(random.integers(1, 5)) for _ in axes]
    digits, stride = dict[str, int](), 1
    for number in random.permutation(len(axes)):
        digits[axes[number]] = stride
        stride *= extents[number]

    def place() -> Expr:
        total: Expr = index(int(random.integers(0, 3)))
        draw = random.random()
        for axis in axes:
            total = total + v(axis) * (digits[axis] if draw < 0.5 else int(random.integers(0, 5)))
        if draw < 0.1:
            by = int(random.integers(2, 4))
            return total // by * by + total % by
        return total if draw < 0.9 else (total + ld("n", total, dtype=i64)) % SIZE

    def value() -> Expr:
        source = random.choice(["x", "y", "t"], p=[0.6, 0.25, 0.15])
        part: Expr = ld(source, place() % 6 if source == "t" else place())
        if random.random() < 0.3:
            part = select(place() < 12, part, const(1, f32))
        return part * 0.5 + 0.25

    def statement() -> Stmt:
        draw = random.random()
        target = "t" if random.random() < 0.2 else "y"
        where: tuple[Expr | int, ...] = (place() % 6 if target == "t" else place(),)
        if draw < 0.45:
            return st(target, where, value())
        if draw < 0.85:
            return acc(target, where, value(), str(random.choice(["sum", "max"])))
        return If(place() < 12, (st(target, where, value()),), (acc(target, where, value()),))

    def nest(depth: int) -> Block:
        if depth == len(axes):
            return tuple(statement() for _ in range(random.integers(1, 3)))
        # A local that an iteration may set before the loops inside use it.
        before = st("u", (0,), ld("x", v(axes[depth - 1]) if depth else 0))
        after = acc("y", (v(axes[depth - 1]) if depth else 0,), ld("u", 0))
        inner = loop(axes[depth], extents[depth], *nest(depth + 1))
        return (before, inner, after) if random.random() < 0.4 else (inner,)

    fill = loop("f", 6, st("t", (v("f"),), const(0.5, f32)))
    params = tuple(Buffer(name, f32 if name != "n" else i64, (SIZE,)) for name in ("x", "n", "y"))
    locals_ = (Buffer("t", f32, (6,), Space.SHARED), Buffer("u", f32, (1,), Space.REGISTER))
    return Kernel("random", params, ("y",), (fill, *nest(0)), locals_)


def random_arrays(seed: int) -> dict[str, Array]:
    random = np.random.default_rng(seed)
    return {
        "x": random.standard_normal(SIZE).astype(np.float32),
        "n": random.integers(0, SIZE, SIZE),
        "y": random.standard_normal(SIZE).astype(np.float32),
    }


def test_random_kernels_have_loops_of_every_mode() -> None:
    modes = set[Mode]()
    for seed in range(30):
        dependences = Plan.of(random_kernel(seed), vectorise=True, aliases={}).dependences
        assert dependences is not None
        modes |= {mode for axis, mode in dependences.modes.items() if axis != "f"}
    assert modes == set(Mode)


@pytest.mark.parametrize("seed", range(120))
def test_loops_at_once_equal_loops_one_by_one(seed: int) -> None:
    kernel, arrays = random_kernel(seed), random_arrays(seed)
    slow = run_kernel(kernel, arrays, vectorise=False)["y"]
    np.testing.assert_array_equal(run_kernel(kernel, arrays)["y"], slow)
