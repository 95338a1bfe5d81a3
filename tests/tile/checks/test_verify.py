"""The kernel verifier: right kernels pass, and each planted mistake is named."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mlir_lite.errors import VerifyError
from mlir_lite.expr import Apply, Expr, apply, const, index, select
from mlir_lite.tile.analyses.conditions import conditional_bounds
from mlir_lite.tile.checks.verify import verify_kernel
from mlir_lite.tile.nodes import (
    Accumulate,
    Block,
    Buffer,
    Call,
    If,
    Kernel,
    Kind,
    Layout,
    Let,
    Loop,
    Proc,
    Ref,
    Space,
    Stmt,
    Sync,
    Window,
)
from mlir_lite.types import f32, i64

from ..building import acc, at, ld, loop, st, v

ZERO = const(0, f32)


def rejects(kernel: Kernel, message: str, *, strict: bool = False) -> None:
    with pytest.raises(VerifyError, match=message):
        verify_kernel(kernel, strict=strict)


def kernel_of(
    *body: Stmt, locals_: tuple[Buffer, ...] = (), shape: tuple[int, ...] = (8,)
) -> Kernel:
    params = (Buffer("x", f32, shape), Buffer("y", f32, shape), Buffer("n", i64, (8,)))
    return Kernel("k", params, ("y",), body, locals_)


def tiled_matmul(size: int = 32) -> Kernel:
    """Parallel rows, a packed panel in shared memory, a 4 x 16 tile in registers."""
    m, n, k, r, c = v("m"), v("n"), v("k"), v("r"), v("c")

    def tile(name: str, *body: Stmt) -> Stmt:
        inner = loop(f"{name}c", 16, *body, kind=Kind.VECTOR)
        return loop(f"{name}r", 4, inner, kind=Kind.UNROLL)

    row = loop("c", 16, acc("t", (r, c), ld("a", m * 4 + r, k) * ld("p", k, c)), kind=Kind.VECTOR)
    pack = loop("pc", 16, st("p", (v("pk"), v("pc")), ld("b", v("pk"), n * 16 + v("pc"))))
    finish = st("y", (m * 4 + v("fr"), n * 16 + v("fc")), ld("t", v("fr"), v("fc")))
    body = (
        loop("pk", size, pack),
        tile("z", st("t", (v("zr"), v("zc")), ZERO)),
        loop("k", size, loop("r", 4, row, kind=Kind.UNROLL)),
        tile("f", finish),
    )
    return Kernel(
        "tiled",
        tuple(Buffer(name, f32, (size, size)) for name in ("a", "b", "y")),
        ("y",),
        (loop("m", size // 4, loop("n", size // 16, *body), kind=Kind.PARALLEL),),
        (Buffer("t", f32, (4, 16), Space.REGISTER), Buffer("p", f32, (size, 16), Space.SHARED)),
    )


def test_scheduled_kernel_passes_strictly() -> None:
    verify_kernel(tiled_matmul(), strict=True)


def padded(low: int, high: int) -> Kernel:
    i = v("i")
    inside = (i >= low) & (i < high)
    return kernel_of(loop("i", 8, st("y", (i,), select(inside, ld("x", i - 2), ZERO))))


def test_conditions_prove_indices() -> None:
    verify_kernel(padded(2, 8), strict=True)
    i = v("i")
    tail = If(apply("not", v("o") * 3 + i >= 8), (st("y", (v("o") * 3 + i,), ZERO),))
    verify_kernel(kernel_of(loop("o", 3, loop("i", 3, tail))), strict=True)


@pytest.mark.parametrize(
    ("condition", "limits"),
    [
        (v("i") < 5, (0, 4)),
        (v("i") <= 5, (0, 5)),
        (v("i") > 5, (6, 9)),
        (v("i") >= 5, (5, 9)),
        (v("i").eq(5), (5, 5)),
        ((v("i") >= 2) & (v("i") < 5), (2, 4)),
        (apply("not", v("i") < 5), (5, 9)),
        (apply("not", v("i") <= 5), (6, 9)),
        (apply("not", v("i") > 5), (0, 5)),
        (apply("not", v("i") >= 5), (0, 4)),
        (apply("not", apply("ne", v("i"), index(5))), (5, 5)),
        (apply("not", apply("not", v("i") < 5)), (0, 4)),
        (apply("not", (v("i") < 2) | (v("i") > 5)), (2, 5)),
        ((v("i") < 2) | (v("i") > 5), (0, 9)),
        (v("i") + v("j") < 5, (0, 2)),
    ],
    ids=str,
)
def test_condition_narrows_limits(condition: Expr, limits: tuple[int, int]) -> None:
    known = {"i": (0, 9), "j": (2, 3)}
    assert conditional_bounds(v("i"), (condition,), known) == limits


def test_names_reach_into_nested_blocks() -> None:
    body = (Let("a", v("i") * 2), loop("j", 2, st("y", (v("a") + v("j"),), ZERO)))
    verify_kernel(kernel_of(loop("i", 4, *body)), strict=True)


def test_too_weak_a_condition_is_caught() -> None:
    rejects(padded(1, 8), r"the index of dimension 0 of 'x' is -1, its extent is 8, in `y\[i\]")


@pytest.mark.parametrize("extent", [9, 3_000_000])
def test_bound_off_by_one_is_caught(extent: int) -> None:
    i = v("i")
    kernel = kernel_of(loop("i", extent, st("y", (i,), ZERO)), shape=(extent - 1,))
    rejects(kernel, "the index of dimension 0 of 'y'")


def test_loaded_index_fails_only_strictly() -> None:
    i = v("i")
    kernel = kernel_of(loop("i", 8, st("y", (i,), ld("x", ld("n", i, dtype=i64)))))
    verify_kernel(kernel)
    rejects(kernel, "'x' is not proven to be inside", strict=True)


def test_index_that_is_never_reached_is_no_violation() -> None:
    never = If(v("i") > 9, (st("y", (20,), ZERO),))
    verify_kernel(kernel_of(loop("i", 8, never, st("y", (v("i"),), ZERO))), strict=True)


@pytest.mark.parametrize("kind", [Kind.PARALLEL, Kind.BLOCK, Kind.THREAD])
@pytest.mark.parametrize(
    "target",
    [
        v("i") // 2,
        v("i") % 2,
        index(0),
        v("i") * 2 + v("j"),
        (v("i") * 3) % 6,
        v("i") // 2 + v("i") % 2,
    ],
    ids=["quotient", "remainder", "constant", "overlap", "period", "digit sum"],
)
def test_race_is_caught(kind: Kind, target: Expr) -> None:
    body = loop("i", 4, loop("j", 3, st("y", (target,), ZERO)), kind=kind)
    kernel = kernel_of(body, shape=(9,))
    rejects(kernel, f"iterations of the {kind} loop over i touch the same element of 'y'")


def test_read_of_what_another_iteration_writes_is_a_race() -> None:
    i = v("i")
    body = loop("i", 7, st("y", (i,), ld("y", i + 1)), kind=Kind.PARALLEL)
    rejects(kernel_of(body), "touch the same element of 'y'")


@pytest.mark.parametrize(
    "target",
    [(v("i") * 3) % 8, v("i") % 2 * 4 + v("i") // 2, index(7) - v("i")],
    ids=["permutation", "interleaved", "reversed"],
)
def test_distinct_elements_are_no_race(target: Expr) -> None:
    body = loop("i", 8, st("y", (target,), ZERO), kind=Kind.PARALLEL)
    verify_kernel(kernel_of(body), strict=True)


def test_quotient_and_remainder_of_a_huge_loop_are_no_race() -> None:
    """Rows of odd length: only quotient and remainder together tell the iterations apart."""
    f, r = v("f"), v("r")
    shape = (3000, 2001)
    where = (f // 1000, f % 1000 * 2 + r)
    body = loop("f", 3_000_000, loop("r", 2, st("y", where, ZERO)), kind=Kind.PARALLEL)
    verify_kernel(kernel_of(body, shape=shape), strict=True)


def test_one_guarded_writer_is_no_race() -> None:
    i = v("i")
    body = loop("i", 8, If(i.eq(3), (st("y", (0,), ZERO),)), kind=Kind.PARALLEL)
    verify_kernel(kernel_of(body), strict=True)


@pytest.mark.parametrize(("place", "is_race"), [(v("r"), False), (v("r") // 2, True)])
def test_a_writer_of_a_huge_loop_that_is_told_by_what_it_writes(
    place: Expr, is_race: bool
) -> None:
    """Each column has one, of several turns through all columns."""
    r, i = v("r"), v("i")
    column = v("turn") * 4096 + i
    write = loop("turn", 2, If(column.eq(r), (loop("s", 8, st("y", (v("s"), place), ZERO)),)))
    kernel = kernel_of(
        loop("i", 4096, loop("r", 8192, write), kind=Kind.PARALLEL), shape=(8, 8192)
    )
    if is_race:
        rejects(kernel, "not proven not to touch the same element of 'y'")
    else:
        verify_kernel(kernel, strict=True)


def test_race_that_depends_on_data_is_not_accepted() -> None:
    where = ld("n", v("i"), dtype=i64)
    body = loop("i", 8, st("y", (where,), ZERO), kind=Kind.PARALLEL)
    rejects(kernel_of(body), "are not proven not to touch the same element of 'y'")


def test_shared_scratch_of_a_parallel_iteration_is_no_race() -> None:
    i = v("i")
    shared = Buffer("t", f32, (1,), Space.SHARED)
    body = (st("t", (0,), ld("x", i)), st("y", (i,), ld("t", 0)))
    verify_kernel(kernel_of(loop("i", 8, *body, kind=Kind.PARALLEL), locals_=(shared,)))
    # Threads of a block share it.
    threads = loop("b", 1, loop("i", 8, *body, kind=Kind.THREAD), kind=Kind.BLOCK)
    rejects(kernel_of(threads, locals_=(shared,)), "the thread loop over i touch the same .* 't'")


def test_threads_with_syncs_pass() -> None:
    t = v("t")
    body = (st("s", (t,), ld("x", t)), Sync("block"), st("y", (t,), ld("s", index(7) - t)))
    threads = loop("b", 1, loop("t", 8, *body, kind=Kind.THREAD), kind=Kind.BLOCK)
    shared = Buffer("s", f32, (8,), Space.SHARED)
    verify_kernel(kernel_of(threads, locals_=(shared,)), strict=True)
    without = loop("b", 1, loop("t", 8, body[0], body[2], kind=Kind.THREAD), kind=Kind.BLOCK)
    rejects(kernel_of(without, locals_=(shared,)), "touch the same element of 's'")


def test_missing_initialisation_is_caught() -> None:
    kernel = without_statement(tiled_matmul(), 1)
    rejects(kernel, r"'t' is read before it is written, in `t\[r, c\] \+=")


def without_statement(kernel: Kernel, place: int) -> Kernel:
    """Leave out a statement of the tile's body."""
    (rows,) = kernel.body
    assert isinstance(rows, Loop)
    (columns,) = rows.body
    assert isinstance(columns, Loop)
    left = columns.body[:place] + columns.body[place + 1 :]
    return kernel.with_body((replace(rows, body=(replace(columns, body=left),)),))


def test_register_index_must_be_constant() -> None:
    i = v("i")
    register = Buffer("r", f32, (8,), Space.REGISTER)
    body = (loop("i", 8, st("r", (i,), ZERO)), st("y", (0,), ld("r", 0)))
    rejects(kernel_of(*body, locals_=(register,)), "an index of the register 'r' is not constant")


def test_register_of_two_thread_loops_is_caught() -> None:
    register = Buffer("r", f32, (1,), Space.REGISTER)
    first = loop("t", 8, st("r", (0,), ld("x", v("t"))), kind=Kind.THREAD)
    second = loop("u", 8, st("y", (v("u"),), ld("r", 0)), kind=Kind.THREAD)
    kernel = kernel_of(loop("b", 1, first, second, kind=Kind.BLOCK), locals_=(register,))
    rejects(kernel, "the register 'r' is used outside of these threads too")


def malformed() -> list[tuple[Kernel, str]]:
    """One planted mistake each, and what is said of it."""
    i = v("i")
    good = st("y", (i,), ld("x", i))
    wide = Apply(f32, "add", (ld("x", i), const(1, i64)))
    scale = Proc("scale", (Buffer("p", f32, (4,)),), (), (st("p", (0,), ZERO),))

    def over(*body: Stmt) -> Kernel:
        return kernel_of(loop("i", 8, *body))

    def call(name: str, *windows: Window) -> Kernel:
        return replace(kernel_of(Call(name, windows), good), procs=(scale,))

    return [
        (kernel_of(good), "'i' is not defined here as i64, in `y"),
        (kernel_of(loop("i", 8, good), loop("i", 8, good)), "2 axes or names are called 'i'"),
        (over(Let("i", i), good), "2 axes or names are called 'i'"),
        (over(If(i > 3, (Let("a", i),)), st("y", (v("a"),), ZERO)), "'a' is not defined here"),
        (over(st("y", (i, i), ZERO)), "'y' takes 1 indices, not 2"),
        (over(st("y", (ld("x", i),), ZERO)), "an index of 'y' is not of type i64"),
        (over(st("y", (i,), const(1, i64))), "'y' holds f32, not i64"),
        (over(st("y", (i,), ld("x", i, dtype=i64))), "'x' holds f32, not i64"),
        (over(st("y", (i,), ld("w", i))), "no buffer is called 'w'"),
        (over(st("y", (i,), wide)), "'add' of wrong types"),
        (over(st("x", (i,), ZERO), good), "'x' is written, but is no output"),
        (over(st("x", (i,), ZERO), good), r"in `x\[i\] = 0.0`"),
        (over(acc("y", (i,), ZERO, "median")), "no combiner is called 'median'"),
        (over(acc("y", (i,), ZERO, "argmax")), "'argmax' has 2 states"),
        (over(If(i, (good,))), "a condition is not of type bool"),
        (kernel_of(loop("i", 8, loop("j", i, good, kind=Kind.VECTOR))), "vector loop needs const"),
        (kernel_of(Let("a", i64_load())), "the output 'y' is never written"),
        (call("nobody", Window("y", at(0))), "nothing is called 'nobody'"),
        (call("scale"), "'scale' takes 1 windows and 0 scalars, not 0 and 0"),
        (call("scale", Window("n", at(0))), "'n' holds i64, not f32"),
        (replace(over(good), outputs=("z",)), "the output 'z' is no parameter"),
        (replace(over(good), locals=(Buffer("x", f32, (1,), Space.SHARED),)), "2 buffers are"),
        (replace(over(good), locals=(Buffer("t", f32, (1,)),)), "the local 't' is global"),
        (with_layout(Layout(("a",), (v("b"),), (8,))), "the layout of 'x' is ill-formed"),
        (with_layout(Layout(("a", "b"), (v("b"),), (8,))), "the layout of 'x' is ill-formed"),
    ]


def i64_load() -> Expr:
    return ld("n", 0, dtype=i64)


def with_layout(layout: Layout) -> Kernel:
    kernel = kernel_of(loop("i", 8, st("y", (v("i"),), ld("x", v("i")))))
    first, *rest = kernel.params
    return replace(kernel, params=(replace(first, layout=layout), *rest))


MALFORMED = malformed()


@pytest.mark.parametrize("number", range(len(MALFORMED)))
def test_malformed_kernel_is_named(number: int) -> None:
    kernel, message = MALFORMED[number]
    rejects(kernel, message)


def test_argmax_states_pass() -> None:
    best: Block = (
        st("b", (), const(0, f32)),
        st("p", (), index(0)),
        loop(
            "j",
            8,
            Accumulate("argmax", (Ref("b", ()), Ref("p", ())), (ld("x", v("j")), v("j"))),
        ),
        st("y", (0,), ld("b")),
    )
    locals_ = tuple(
        Buffer(name, kind, (), Space.REGISTER) for name, kind in (("b", f32), ("p", i64))
    )
    verify_kernel(kernel_of(*best, locals_=locals_), strict=True)


def test_condition_types_are_checked_in_select() -> None:
    bad = Apply(f32, "select", (ld("x", 0), ZERO, ZERO))
    rejects(kernel_of(st("y", (0,), bad)), "'select' of wrong types")
