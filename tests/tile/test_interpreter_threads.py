"""The tile interpreter: threads that meet at Syncs, and asynchronous copies."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mlir_lite.errors import VerifyError
from mlir_lite.expr import Expr, const, index
from mlir_lite.tile.analyses.dependence import Dependences, Mode
from mlir_lite.tile.analyses.scopes import scoped
from mlir_lite.tile.interpreter import run_kernel
from mlir_lite.tile.nodes import (
    Accumulate,
    Async,
    Buffer,
    If,
    Kernel,
    Kind,
    Let,
    Ref,
    Space,
    Stmt,
    Sync,
    Wait,
)
from mlir_lite.types import f32

from .building import ORDERS, both, ld, loop, normal, st, v


def reversal(sync: Stmt | None) -> Kernel:
    """Each thread writes its element to shared memory and reads another thread's."""
    t = v("t")
    body: list[Stmt] = [st("s", (t,), ld("x", v("b"), t))]
    body += [sync] if sync else []
    body += [st("y", (v("b"), t), ld("s", index(7) - t))]
    return Kernel(
        "reverse",
        (Buffer("x", f32, (2, 8)), Buffer("y", f32, (2, 8))),
        ("y",),
        (loop("b", 2, loop("t", 8, *body, kind=Kind.THREAD), kind=Kind.BLOCK),),
        (Buffer("s", f32, (8,), Space.SHARED),),
    )


def test_threads_meet_at_a_sync() -> None:
    x = normal(2, 8)
    np.testing.assert_array_equal(both(reversal(Sync("block")), x=x)["y"], x[:, ::-1])
    np.testing.assert_array_equal(both(reversal(Sync("warp")), x=x)["y"], x[:, ::-1])


def test_missing_sync_shows_as_garbage() -> None:
    for order in ORDERS:
        out = run_kernel(reversal(None), {"x": normal(2, 8)}, order=order)["y"]
        assert np.isnan(out).any()


def test_divergent_sync_is_caught() -> None:
    kernel = reversal(If(v("t") < 4, (Sync("block"),)))
    with pytest.raises(VerifyError, match="4 of 8 threads wait"):
        run_kernel(kernel, {"x": normal(2, 8)})


def test_a_sync_that_threads_of_one_block_do_not_reach_is_caught() -> None:
    kernel = reversal(If(v("t") < v("b") * 4 + 4, (Sync("block"),)))
    with pytest.raises(VerifyError, match="4 of 8 threads wait"):
        run_kernel(kernel, {"x": normal(2, 8)})


@pytest.mark.parametrize(
    ("condition", "mode"),
    [
        (index(1) < 2, Mode.INDEPENDENT),
        (v("t") < 8, Mode.INDEPENDENT),
        (v("b") < 2, Mode.SERIAL),
        (ld("x", index(0), index(0)) < const(9.0, f32), Mode.SERIAL),
    ],
)
def test_blocks_go_in_step_where_their_threads_meet_at_the_same_points(
    condition: Expr, mode: Mode
) -> None:
    kernel = reversal(If(condition, (Sync("block"),)))
    assert Dependences(scoped(kernel, narrow=True), kernel.params, {}).modes["b"] is mode


def test_blocks_that_add_to_the_same_elements_go_one_by_one() -> None:
    """The order of a sum is that of the blocks, also where their threads meet."""
    kernel = reversal(Sync("block"))
    target = (Ref("y", (index(0), v("t"))),)
    added = Accumulate("sum", target, (ld("s", index(7) - v("t")),))
    copied = st("s", (v("t"),), ld("x", v("b"), v("t")))
    threads = loop("t", 8, copied, Sync("block"), added, kind=Kind.THREAD)
    kernel = replace(kernel, body=(loop("b", 2, threads, kind=Kind.BLOCK),))
    assert Dependences(scoped(kernel, narrow=True), kernel.params, {}).modes["b"] is Mode.SERIAL


def test_warps_without_a_loop_are_32_threads() -> None:
    def some(threads: int) -> Kernel:
        t = v("t")
        body = (If(t < threads, (Sync("warp"),)), st("y", (t,), const(1, f32)))
        nest = loop("b", 1, loop("t", 64, *body, kind=Kind.THREAD), kind=Kind.BLOCK)
        return Kernel("warps", (Buffer("y", f32, (64,)),), ("y",), (nest,))

    assert both(some(32))["y"].all()
    with pytest.raises(VerifyError, match="a Sync of the warp is not reached by all"):
        run_kernel(some(16), {})


def test_warps_of_a_block_meet_at_its_sync_through_their_lanes() -> None:
    w, lane = v("w"), v("l")
    place = w * 4 + lane
    lanes = loop(
        "l",
        4,
        st("r", (0,), ld("x", place)),
        st("s", (place,), ld("r", 0)),
        Sync("block"),
        st("y", (place,), ld("s", index(7) - place) + ld("r", 0)),
        kind=Kind.LANE,
    )
    warps = loop("w", 2, Let("unused", w), lanes, kind=Kind.WARP)
    kernel = Kernel(
        "warps",
        (Buffer("x", f32, (8,)), Buffer("y", f32, (8,))),
        ("y",),
        (loop("b", 1, warps, kind=Kind.BLOCK),),
        (Buffer("s", f32, (8,), Space.SHARED), Buffer("r", f32, (1,), Space.REGISTER)),
    )
    x = normal(8)
    np.testing.assert_array_equal(both(kernel, x=x)["y"], x[::-1] + x)


def pipeline(waits: int) -> Kernel:
    """Two stages: the copy of the next element runs while this one is used."""
    i = v("i")

    def copy(position: Expr) -> Async:
        return Async("g", (st("s", (position % 2,), ld("x", position)),))

    return Kernel(
        "pipeline",
        (Buffer("x", f32, (5,)), Buffer("y", f32, (4,))),
        ("y",),
        (
            copy(index(0)),
            loop("i", 4, copy(i + 1), Wait("g", waits), st("y", (i,), ld("s", i % 2))),
            Wait("g"),
        ),
        (Buffer("s", f32, (2,), Space.SHARED),),
    )


def test_asynchronous_copies_complete_at_their_wait() -> None:
    x = normal(5)
    np.testing.assert_array_equal(both(pipeline(1), x=x)["y"], x[:4])
    early = run_kernel(pipeline(1), {"x": x}, asynchronous="early")["y"]
    np.testing.assert_array_equal(early, x[:4])


def test_copies_waited_for_too_little_show() -> None:
    x = normal(5)
    early = run_kernel(pipeline(2), {"x": x}, asynchronous="early")["y"]
    np.testing.assert_array_equal(early, x[:4])
    assert np.isnan(run_kernel(pipeline(2), {"x": x})["y"][0])


def test_unwaited_copies_complete_at_the_end() -> None:
    body = (Async("g", (st("y", (0,), const(2, f32)),)), st("y", (0,), const(1, f32)))
    kernel = Kernel("late", (Buffer("y", f32, (1,)),), ("y",), body)
    assert run_kernel(kernel, {})["y"] == 2
    assert run_kernel(kernel, {}, asynchronous="early")["y"] == 1
