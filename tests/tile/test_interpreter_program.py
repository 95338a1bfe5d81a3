"""Programs run in one real arena: right plans give right numbers, wrong ones wrong numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mlir_lite.errors import RunError
from mlir_lite.expr import index
from mlir_lite.location import Location
from mlir_lite.tile.interpreter import run_program
from mlir_lite.tile.nodes import (
    Buffer,
    If,
    Kernel,
)
from mlir_lite.tile.program import CallStep, Fault, Memory, Program, Role, Slot, View
from mlir_lite.types import f32, i64

from .building import ld, loop, normal, st, v


def increment(name: str, shift: int, size: int = 4) -> Kernel:
    """y[i] = x[(i + shift) % size] + 1"""
    i = v("i")
    return Kernel(
        name,
        (Buffer("x", f32, (size,)), Buffer("y", f32, (size,))),
        ("y",),
        (loop("i", size, st("y", (i,), ld("x", (i + shift) % size) + 1.0)),),
    )


def chain(first: int, second: int, shift: int = 0) -> Program:
    """x -> a -> b -> out, with a and b at these places in the arena."""
    kind = f32[4]
    return Program(
        "chain",
        (increment("inc", shift), increment("last", 0)),
        (
            Slot("x", kind, Role.PARAMETER),
            Slot("a", kind, Role.ARENA, first),
            Slot("b", kind, Role.ARENA, second),
            Slot("out", kind, Role.RESULT),
        ),
        (
            CallStep("last", (View("x"), View("a"))),
            CallStep("inc", (View("a"), View("b"))),
            CallStep("last", (View("b"), View("out"))),
        ),
        ("x",),
        ("out",),
        memory=Memory(max(first, second) + 16, 16),
    )


@pytest.mark.parametrize("vectorise", [False, True])
def test_program_runs_in_its_arena(vectorise: bool) -> None:
    x = normal(4)
    expected = (x + np.float32(1)) + np.float32(1) + np.float32(1)
    for program in (chain(0, 64), chain(64, 64), chain(0, 0)):
        (out,) = run_program(program, (x,), {}, vectorise=vectorise)
        np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("vectorise", [False, True])
@pytest.mark.parametrize("second", [64, 72])
def test_wrong_memory_plan_gives_wrong_numbers(vectorise: bool, second: int) -> None:
    """`b` overwrites parts of `a` that are still to be read."""
    x = np.arange(4, dtype=np.float32)
    (right,) = run_program(chain(0, 64, shift=3), (x,), {}, vectorise=vectorise)
    (wrong,) = run_program(chain(64, second, shift=3), (x,), {}, vectorise=vectorise)
    assert right.tolist() == [6, 3, 4, 5]
    assert wrong.tolist() != right.tolist()


def test_unwritten_arena_shows_as_nan() -> None:
    program = chain(0, 64)
    program = replace(program, steps=program.steps[1:])
    (out,) = run_program(program, (normal(4),), {})
    assert np.isnan(out).all()


def test_status_raises_the_fault_with_the_users_line() -> None:
    i = v("i")
    bad = (ld("n", i, dtype=i64) >= 4) | (ld("n", i, dtype=i64) < 0)
    kernel = Kernel(
        "gather",
        (Buffer("x", f32, (4,)), Buffer("n", i64, (3,)), Buffer("y", f32, (3,)),
         Buffer("status", i64, (1,))),
        ("y", "status"),
        (
            loop(
                "i",
                3,
                If(
                    bad,
                    (st("status", (0,), index(1)),),
                    (st("y", (i,), ld("x", ld("n", i, dtype=i64))),),
                ),
            ),
        ),
    )
    program = Program(
        "p",
        (kernel,),
        (
            Slot("x", f32[4], Role.CONSTANT),
            Slot("n", i64[3], Role.PARAMETER),
            Slot("y", f32[3], Role.RESULT),
            Slot("status", i64[1], Role.ARENA, 0),
        ),
        (CallStep("gather", (View("x"), View("n"), View("y"), View("status"))),),
        ("n",),
        ("y",),
        {1: Fault("index out of range", Location("model.py", 12))},
    )
    x = normal(4)
    (out,) = run_program(program, (np.array([2, 0, 3]),), {"x": x})
    np.testing.assert_array_equal(out, x[[2, 0, 3]])
    with pytest.raises(RunError, match=r"model.py:12: index out of range"):
        run_program(program, (np.array([2, 9, 3]),), {"x": x})


def test_views_into_parts_of_slots() -> None:
    """Two calls write the halves of one result."""
    program = Program(
        "halves",
        (increment("inc", 0),),
        (Slot("x", f32[8], Role.PARAMETER), Slot("out", f32[8], Role.RESULT)),
        (
            CallStep("inc", (View("x", 4), View("out"))),
            CallStep("inc", (View("x"), View("out", 4))),
        ),
        ("x",),
        ("out",),
    )
    x = normal(8)
    (out,) = run_program(program, (x,), {})
    np.testing.assert_array_equal(out, np.roll(x, 4) + np.float32(1))
