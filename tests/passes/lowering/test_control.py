"""Loops and branches as steps of a Program: their results in the interpreter of scheduled kernels
and in machine code, their memory plan, and that a wrong plan is found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Function, Value, VerifyError, f32, i64
from mlir_lite.ir import run_reference
from mlir_lite.ops.regions.control import Scan
from mlir_lite.passes.manager import sample_inputs
from mlir_lite.passes.regions import in_regions
from mlir_lite.tile.analyses.uses import turns_of
from mlir_lite.tile.checks.verify import verify_program
from mlir_lite.tile.parser import parse_program
from mlir_lite.tile.program import CallStep, IfStep, LoopStep, Program, View, calls_of


@ml.function(f32[7, 2, 16], f32[16, 40], f32[40, 40])
def rnn(xs: Value, w: Value, u: Value) -> tuple[Value, Value]:
    def step(h: Value, x: Value) -> tuple[Value, Value]:
        h = ml.tanh(x @ w + h @ u * 0.1)  # contracting: rounding does not grow from step to step
        return h, h

    return ml.scan(step, ml.zeros((2, 40)), xs)


@ml.function(f32[6, 5])
def old_states(xs: Value) -> tuple[Value, Value]:
    """Each step gives the state that it was given."""
    return ml.scan(lambda s, x: (s * 0.5 + x, s), ml.ones((5,)), xs, reverse=True)


@ml.function(f32[6, 5], f32[5])
def swapped(xs: Value, y: Value) -> tuple[Value, Value, Value]:
    """States that take each other's place, and one that stays."""

    def step(
        state: tuple[Value, Value, Value], x: Value
    ) -> tuple[tuple[Value, Value, Value], None]:
        a, b, still = state
        return (b, a, still), None

    (a, b, still), _ = ml.scan(step, (y, y * 2.0, y * 3.0), xs[:5])
    return a, b, still


@ml.function(f32[6, 5], f32[5])
def fibonacci(xs: Value, y: Value) -> tuple[Value, Value]:
    """One state becomes the other's next, which is computed from both."""

    def step(state: tuple[Value, Value], x: Value) -> tuple[tuple[Value, Value], Value]:
        a, b = state
        return (b, a * 0.5 + b + x), a * b

    (a, _), products = ml.scan(step, (y, y * 2.0), xs)
    return a, products


@ml.function(f32[3, 4, 5])
def nested(xs: Value) -> tuple[Value, Value]:
    """A scan over rows in a scan over matrices, in opposite directions."""

    def outer(total: Value, matrix: Value) -> tuple[Value, Value]:
        inner = ml.scan(lambda s, row: (ml.sin(s + row), s - row), total, matrix, reverse=True)
        return inner[0] * 0.5, inner[1]

    return ml.scan(outer, ml.zeros((5,)), xs)


@ml.function(f32[6, 5])
def branching(xs: Value) -> tuple[Value, Value]:
    """A branch in a loop; one of its branches gives what it is given."""

    def step(s: Value, x: Value) -> tuple[Value, Value]:
        s = ml.cond(x.sum() > 0.0, lambda: s + x, lambda: s)
        return s, ml.cond(s.max() > 1.0, lambda a: a * 2.0, lambda a: a[::-1], s)

    return ml.scan(step, ml.zeros((5,)), xs)


@ml.function(f32[4])
def searching(x: Value) -> tuple[Value, Value]:
    """A loop of unknown length around one of known length."""

    def step(state: tuple[Value, Value]) -> tuple[Value, Value]:
        count, y = state
        y = ml.scan(lambda s, _: (s * 1.25 + 0.5, None), y, length=3)[0]
        return count + 1, y

    def below(state: tuple[Value, Value]) -> Value:
        return state[1].sum() < 300.0

    start: tuple[Value, Value] = (ml.full((), 0, i64), ml.absolute(x))
    return ml.while_loop(below, step, start, limit=100)


@ml.function(f32[0, 3], f32[3])
def no_step(xs: Value, y: Value) -> tuple[Value, Value]:
    return ml.scan(lambda s, x: (s + x, s), y, xs)


@ml.function(f32[1, 3], f32[3])
def one_step(xs: Value, y: Value) -> tuple[Value, Value]:
    return ml.scan(lambda s, x: (s + x, s), y, xs)


@ml.function(f32[9, 8, 30], f32[30, 30])
def two_layers(xs: Value, w: Value) -> Value:
    """Two loops of one step function each, on memory that lives and dies between them."""

    def step(h: Value, x: Value) -> tuple[Value, Value]:
        h = ml.tanh(x @ w * 0.1 + h)
        return h, h

    _, first = ml.scan(step, ml.zeros((8, 30)), xs)
    _, second = ml.scan(step, ml.zeros((8, 30)), ml.exp(first) * 0.1, reverse=True)
    total: Value = second + first
    return total


ALL = [
    rnn,
    old_states,
    swapped,
    fibonacci,
    nested,
    branching,
    searching,
    no_step,
    one_step,
    two_layers,
]


@pytest.mark.parametrize("target, threads", [("reference", 1), ("cpu", 1), ("cpu", 2)])
@pytest.mark.parametrize("fn", ALL, ids=lambda fn: fn.name)
def test_results_are_the_interpreters(fn: Function, target: str, threads: int) -> None:
    run = ml.compile(fn, target=target, threads=threads)
    for seed in range(3):
        arrays = sample_inputs(fn, seed)
        got = run(*arrays)
        results = got if isinstance(got, tuple) else (got,)
        for have, want in zip(results, run_reference(fn, arrays), strict=True):
            np.testing.assert_allclose(have, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("fn", ALL, ids=lambda fn: fn.name)
def test_program_verifies_and_reads_back(fn: Function) -> None:
    program = ml.compile(fn).program
    verify_program(program)
    assert str(parse_program(str(program))) == str(program)


def test_a_loop_beyond_its_limit_names_the_line() -> None:
    @ml.function(f32[1])
    def endless(x: Value) -> Value:
        return ml.while_loop(lambda s: s.sum() > 0.0, lambda s: s * 1.0, x, limit=7)

    for target in ("reference", "cpu"):
        run = ml.compile(endless, target=target)
        with pytest.raises(ml.RunError, match=r"test_control.py:.*the limit of 7 steps"):
            run(np.ones(1, "f4"))
        assert run(np.zeros(1, "f4")) == 0


def test_a_loop_may_end_at_its_limit() -> None:
    @ml.function(f32[()])
    def halved(x: Value) -> Value:
        return ml.while_loop(lambda s: s > 1.0, lambda s: s * 0.5, x, limit=7)

    run = ml.compile(halved)
    assert run(np.asarray(128, "f4")) == 1
    with pytest.raises(ml.RunError):
        run(np.asarray(129, "f4"))


def test_faults_inside_of_a_loop_name_the_line() -> None:
    @ml.function(f32[3, 5], i64[4])
    def picking(table: Value, rows: Value) -> Value:
        def step(s: Value, row: Value) -> tuple[Value, None]:
            return s + ml.gather(table, row, 0), None

        return ml.scan(step, ml.zeros((5,)), rows)[0]

    run = ml.compile(picking)
    table = np.arange(15, dtype="f4").reshape(3, 5)
    assert np.array_equal(run(table, np.array([0, 2, 2, 1])), table[[0, 2, 2, 1]].sum(0))
    with pytest.raises(ml.RunError, match=r"test_control.py:.*out of range"):
        run(table, np.array([0, 2, 3, 1]))


def test_a_state_that_nothing_else_reads_is_renewed_in_place() -> None:
    @ml.function(f32[6, 5], f32[5])
    def running(xs: Value, y: Value) -> Value:
        return ml.scan(lambda s, x: (s * 0.5 + x, None), y, xs)[0]

    (loop,) = [
        step for step in ml.compile(running).program.steps if isinstance(step, LoopStep)
    ]
    (call,) = calls_of(loop.body)
    assert call.args[-1] in call.args[:-1]


def test_calls_in_a_loop_count_for_each_turn() -> None:
    program = ml.compile(nested).program
    names = dict(zip((call.label for call in program.calls), turns_of(program), strict=True))
    assert {1, 3, 12} <= set(names.values())


# A memory plan or a program made wrong is found.


def _planned(fn: Function) -> Program:
    return ml.compile(fn).program


def _moved(program: Program, slot: str, onto: str) -> Program:
    place = program.slot(onto).offset
    slots = tuple(
        replace(entry, offset=place) if entry.name == slot else entry for entry in program.slots
    )
    return replace(program, slots=slots, memory=None)


def test_what_a_loop_reads_in_each_turn_may_not_be_overwritten_in_one() -> None:
    @ml.function(f32[6, 30], f32[30], f32[30, 30])
    def f(xs: Value, y: Value, w: Value) -> Value:
        outside = ml.softmax(y, 0)

        def step(s: Value, x: Value) -> tuple[Value, None]:
            inside = ml.softmax(s + x, 0)
            return ml.softmax(inside * outside + s.sum(), 0) @ w, None

        return ml.scan(step, y, xs)[0]

    program = _planned(f)
    verify_program(program)
    (loop,) = [step for step in program.steps if isinstance(step, LoopStep)]
    inside = {view.slot for call in calls_of(loop.body) for view in call.args}
    before = [step for step in program.steps if isinstance(step, CallStep)]
    outside = {call.args[-1].slot for call in before} & inside
    written = {call.args[-1].slot for call in calls_of(loop.body)} - outside
    arena = {slot.name for slot in program.slots if slot.offset is not None}
    pairs = [(a, b) for a in outside & arena for b in written & arena]
    assert pairs
    for one, other in pairs:
        with pytest.raises(VerifyError, match=r"overlap|overwrites"):
            verify_program(_moved(program, other, one))


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda step: replace(step, count=step.count + 1), "reaches beyond the slot"),
        (lambda step: replace(step, count=step.count - 1), "'result1' before it is written"),
        (lambda step: replace(step, name="other"), "there is no loop 'turn' around"),
        (lambda step: replace(step, count=0), "turns 0 times"),
    ],
)
def test_a_wrong_loop_is_found(
    change: Callable[[LoopStep], LoopStep], message: str
) -> None:
    program = _planned(rnn)
    steps = tuple(
        change(step) if isinstance(step, LoopStep) else step for step in program.steps
    )
    with pytest.raises(VerifyError, match=message):
        verify_program(replace(program, steps=steps))


def test_a_result_of_one_branch_alone_is_found() -> None:
    @ml.function(f32[4])
    def f(x: Value) -> Value:
        return ml.cond(x.sum() > 0.0, lambda: x * 2.0, lambda: x - 1.0)

    program = _planned(f)
    *before, branch = program.steps
    assert isinstance(branch, IfStep)
    broken = replace(branch, otherwise=())
    with pytest.raises(VerifyError, match="not wholly written"):
        verify_program(replace(program, steps=(*before, broken)))


def test_views_print_their_strides() -> None:
    text = str(_planned(rnn))
    assert "loop turn in 0..6" in text  # and the first turn before it
    assert "+ 80 * turn" in text
    assert View("x", 3, (("turn", 2),)).start({"turn": 5}) == 13


def test_equal_regions_are_changed_once() -> None:
    seen: list[str] = []

    def change(part: Function) -> Function:
        seen.append(part.name)
        return part

    changed = in_regions(two_layers, change)
    assert seen == ["step", "two_layers"]
    one, other = (node.op for node in changed.nodes if isinstance(node.op, Scan))
    assert one.step is other.step


def test_regions_of_different_lines_stay_apart() -> None:
    @ml.function(f32[4, 3])
    def f(xs: Value) -> Value:
        first, _ = ml.scan(lambda s, x: (s + x, None), ml.zeros((3,)), xs)
        second, _ = ml.scan(lambda s, x: (s + x, None), first, xs)
        return first * second

    changed = in_regions(f, lambda part: part)
    one, other = (node.op for node in changed.nodes if isinstance(node.op, Scan))
    assert one.step is not other.step
