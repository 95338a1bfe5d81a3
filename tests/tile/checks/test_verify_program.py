"""The program verifier, the memory planner's independent judge: planted mistakes are named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mlir_lite.errors import VerifyError
from mlir_lite.expr import Expr, apply, const, index
from mlir_lite.tile.analyses.in_place import is_elementwise
from mlir_lite.tile.checks.verify import live_bytes, verify_program
from mlir_lite.tile.interpreter import run_program
from mlir_lite.tile.nodes import Buffer, If, Kernel, Let, Space, Stmt
from mlir_lite.tile.program import CallStep, LoopStep, Memory, Program, Role, Slot, View
from mlir_lite.types import f32, i64

from ..building import acc, ld, loop, normal, st, v

SIZE = 20  # 80 bytes: two cache lines, the second not full


def pointwise(name: str, source: Expr, size: int = SIZE) -> Kernel:
    """y[i] = x[source] + 1"""
    body = loop("i", size, st("y", (v("i"),), ld("x", source) + 1.0))
    return Kernel(name, (Buffer("x", f32, (size,)), Buffer("y", f32, (size,))), ("y",), (body,))


SAME = pointwise("same", v("i"))
REVERSED = pointwise("reversed", index(SIZE - 1) - v("i"))


def chain(first: int, second: int, third: int, middle: str = "same") -> Program:
    """x -> a -> b -> c -> out, with these places in the arena; `middle` makes b of a."""
    places = {"a": first, "b": second, "c": third}
    slots = tuple(Slot(name, f32[SIZE], Role.ARENA, at) for name, at in places.items())
    steps = (
        CallStep("same", (View("x"), View("a"))),
        CallStep(middle, (View("a"), View("b"))),
        CallStep("same", (View("b"), View("c"))),
        CallStep("same", (View("c"), View("out"))),
    )
    return Program(
        "chain",
        (SAME, REVERSED),
        (Slot("x", f32[SIZE], Role.PARAMETER), *slots, Slot("out", f32[SIZE], Role.RESULT)),
        steps,
        ("x",),
        ("out",),
        memory=Memory(max(places.values()) + 4 * SIZE, 0),
    )


def rejects(program: Program, message: str) -> None:
    with pytest.raises(VerifyError, match=message):
        verify_program(program)


@pytest.mark.parametrize(
    "places", [(0, 128, 256), (0, 128, 0), (0, 0, 0), (128, 0, 128)], ids=str
)
def test_right_plans_pass(places: tuple[int, int, int]) -> None:
    verify_program(chain(*places))


def test_slots_live_at_once_must_not_overlap() -> None:
    rejects(chain(0, 64, 256), r"step 1 \('same'\): 'y' overwrites what 'x' still reads")
    program = chain(0, 128, 0)
    late = CallStep("same", (View("a"), View("out")))
    rejects(
        replace(program, steps=(*program.steps, late)),
        r"step 2 \('same'\): 'a' and 'c' overlap in the arena while both are live",
    )


def test_wrong_aliasing_is_caught_as_the_interpreter_shows_it() -> None:
    """The verifier rejects the very plan whose numbers are wrong."""
    good, bad = chain(0, 128, 0, "reversed"), chain(0, 0, 128, "reversed")
    verify_program(good)
    rejects(bad, r"step 1 \('reversed'\): 'y' overwrites what 'x' still reads")
    x = normal(SIZE)
    (right,), (wrong,) = run_program(good, (x,), {}), run_program(bad, (x,), {})
    assert not np.array_equal(right, wrong)


def test_a_call_alternates_in_a_loop_only() -> None:
    program = chain(0, 128, 256)
    first, *others = program.calls
    steps = (replace(first, alternating=True), *others)
    rejects(replace(program, steps=steps), "stands in no loop")


def test_live_bytes_are_rounded_and_count_both_ends_of_a_step() -> None:
    program = chain(0, 128, 256)
    assert live_bytes(program, in_place=False) == [128, 256, 256, 128]
    late = CallStep("same", (View("a"), View("out")))
    longer = replace(program, steps=(*program.steps, late))
    assert live_bytes(longer, in_place=False) == [128, 256, 384, 256, 128]


def test_a_result_needs_no_memory_of_its_own_where_an_operand_dies() -> None:
    program = chain(0, 128, 256)
    assert live_bytes(program) == [128, 128, 128, 128]
    assert live_bytes(chain(0, 128, 256, middle="reversed")) == [128, 256, 128, 128]
    again = CallStep("same", (View("a"), View("out")))
    longer = replace(program, steps=(*program.steps, again))
    assert live_bytes(longer) == [128, 256, 256, 256, 128]


def test_the_status_word_is_always_live() -> None:
    program = chain(0, 128, 256)
    status = Slot("status", i64[1], Role.ARENA, 384)
    params = (*SAME.params, Buffer("status", i64, (1,)))
    body: tuple[Stmt, ...] = (*SAME.body, st("status", (0,), const(0, i64)))
    last = Kernel("last", params, ("y", "status"), body)
    steps = (*program.steps[:-1], CallStep("last", (View("c"), View("out"), View("status"))))
    program = replace(
        program,
        kernels=(*program.kernels, last),
        slots=(*program.slots, status),
        steps=steps,
        memory=Memory(448, 0),
    )
    verify_program(program)
    assert live_bytes(program, in_place=False) == [192, 320, 320, 192]
    moved = replace(program, slots=(*program.slots[:-1], replace(status, offset=0)))
    rejects(moved, "'(a|status)' and '(a|status)' overlap in the arena")


def mistakes() -> list[tuple[Program, str]]:
    """A right program with one planted mistake each, and what is said of it."""
    program = chain(0, 128, 256)
    steps, slots = program.steps, {slot.name: slot for slot in program.slots}

    def step(number: int, kernel: str, *args: View) -> Program:
        changed = (*steps[:number], CallStep(kernel, args), *steps[number + 1 :])
        return replace(program, steps=changed)

    def slot(name: str, changed: Slot) -> Program:
        return replace(
            program, slots=tuple(changed if it.name == name else it for it in program.slots)
        )

    a = slots["a"]
    return [
        (step(1, "other", View("a"), View("b")), r"step 1 \('other'\): there is no such kernel"),
        (step(1, "same", View("a")), "1 views for 2 parameters"),
        (step(1, "same", View("q"), View("b")), "there is no slot 'q'"),
        (step(1, "same", View("a", 1), View("b")), "'x' reaches beyond the slot 'a'"),
        (step(1, "same", View("a", -1), View("b")), "'x' reaches beyond the slot 'a'"),
        (step(1, "same", View("a"), View("x")), "'y' writes the parameter 'x'"),
        (step(0, "same", View("c"), View("a")), "'x' reads 'c' before it is written"),
        (step(3, "same", View("b"), View("c")), "the result 'out' is not wholly written"),
        (slot("a", replace(a, type=i64[SIZE])), "'y' of f32 is bound to 'a' of tensor<20xi64>"),
        (slot("a", replace(a, offset=8)), "'a' lies at 8: no multiple of 64"),
        (slot("a", replace(a, offset=None)), "'a' lies at None"),
        (slot("a", replace(a, offset=320)), "'a' ends beyond the arena's 336 bytes"),
        (slot("x", replace(slots["x"], offset=0)), "'x' is not in the arena, but has an offset"),
        (replace(program, results=("a",)), "'a' is no slot of role result"),
        (replace(program, params=()), "its parameters are not its slots of role parameter"),
        (replace(program, slots=(*program.slots, a)), "two slots have one name"),
        (replace(program, kernels=(SAME, SAME, REVERSED)), "two kernels have one name"),
    ]


MISTAKES = mistakes()


@pytest.mark.parametrize("number", range(len(MISTAKES)))
def test_mistake_is_named(number: int) -> None:
    program, message = MISTAKES[number]
    rejects(program, message)


def halves(second: int, size: int = SIZE) -> Program:
    """Two calls write pieces of a result of this size, the second at this element."""
    half = pointwise("half", v("i"), SIZE // 2)
    steps = tuple(
        CallStep("half", (View("x", at), View("out", to)))
        for at, to in ((0, 0), (SIZE // 2, second))
    )
    slots = (Slot("x", f32[SIZE], Role.PARAMETER), Slot("out", f32[size], Role.RESULT))
    return Program("halves", (half,), slots, steps, ("x",), ("out",))


def test_result_written_in_pieces() -> None:
    verify_program(halves(SIZE // 2))
    rejects(halves(SIZE // 2 - 1), "the result 'out' is not wholly written")
    rejects(halves(SIZE // 2 + 1, SIZE + 1), "the result 'out' is not wholly written")


def test_accumulating_into_what_nobody_wrote_is_caught() -> None:
    body = loop("i", SIZE, acc("y", (v("i"),), ld("x", v("i"))))
    adds = Kernel("same", SAME.params, ("y",), (body,))
    program = chain(0, 128, 256)
    rejects(replace(program, kernels=(adds, REVERSED)), "'y' reads 'a' before it is written")


def test_two_outputs_must_not_overlap() -> None:
    params = (Buffer("x", f32, (4,)), Buffer("y", f32, (4,)), Buffer("z", f32, (4,)))
    i = v("i")
    body = loop("i", 4, st("y", (i,), ld("x", i)), st("z", (i,), ld("x", i)))
    kernel = Kernel("two", params, ("y", "z"), (body,))
    slots = (Slot("x", f32[4], Role.PARAMETER), Slot("out", f32[6], Role.RESULT))
    step = CallStep("two", (View("x"), View("out"), View("out", 2)))
    rejects(
        Program("p", (kernel,), slots, (step,), ("x",), ("out",)),
        "the outputs 'y' and 'z' overlap",
    )


M, N = 4, 6


def rows(*body: Stmt, flat: bool = False) -> Kernel:
    y = Buffer("y", f32, (M * N,) if flat else (M, N))
    return Kernel("rows", (Buffer("x", f32, (M, N)), y), ("y",), body)


def chunked(last: Expr | int) -> Kernel:
    """The first M - 1 rows in chunks of two, the last one of them shorter; then row `last`."""
    end = apply("min", index(2), index(M - 1) - c * 2)
    row = c * 2 + i
    first = loop("c", 2, loop("i", end, loop("j", N, st("y", (row, j), ld("x", row, j)))))
    return rows(first, loop("q", N, st("y", (last, q), ld("x", last, q))))


def panelled(start: int) -> Kernel:
    """Whole panels of four columns, and from column `start` on what is left, as pieces that one
    loop counts, the last of each row being the rest."""
    column, left = p * 4 + j, p * start + q
    whole = loop("j", 4, st("y", (r, column), ld("x", r, column)))
    rest = loop("q", N - start, st("y", (r, left), ld("x", r, left)))
    piece = If(p < 1, (whole,), (rest,))
    counted = Let("r", v("f") // 2), Let("p", v("f") % 2)
    return rows(loop("f", 2 * M, *counted, piece))


c, i, j, p, q, r = v("c"), v("i"), v("j"), v("p"), v("q"), v("r")
PLUS = ld("x", i, j) + 1.0
TAIL = st("y", (i, q + 4), ld("x", i, q + 4))
IN_PLACE = {
    "identity": rows(loop("i", M, loop("j", N, st("y", (i, j), PLUS)))),
    "reshape": rows(loop("i", M, loop("j", N, st("y", (i * N + j,), PLUS))), flat=True),
    "softmax": rows(
        loop(
            "i",
            M,
            loop("q", N, st("t", (q,), ld("x", i, q))),
            loop("j", N, st("y", (i, j), PLUS + ld("t", j))),
        )
    ),
    "tail": rows(loop("i", M, loop("j", 4, st("y", (i, j), PLUS)), loop("q", 2, TAIL))),
    "chunks": chunked(M - 1),
    "panels": panelled(4),
}
NOT_IN_PLACE = {
    "transpose": rows(loop("i", M, loop("j", N, st("y", (i, j), ld("x", j % M, i))))),
    "shift": rows(loop("i", M, loop("j", N, st("y", (i, j), ld("x", i, (j + 1) % N))))),
    "late read": rows(
        loop("i", M, loop("j", N, st("y", (i, j), const(0, f32)), st("y", (i, j), PLUS)))
    ),
    "second pass": rows(
        loop("i", M, loop("j", N, st("y", (i, j), PLUS)), loop("q", N, st("y", (i, 0), TAIL.value)))
    ),
    "matrix-vector": rows(
        loop("i", M, loop("j", N, st("y", (i, j), ld("x", apply("max", i - 1, index(0)), j))))
    ),
    "overlapping chunks": chunked(M - 2),
    "overlapping panels": panelled(3),
}


@pytest.mark.parametrize("name", IN_PLACE)
def test_element_by_element(name: str) -> None:
    x, y = IN_PLACE[name].params
    scratch = (Buffer("t", f32, (N,), Space.SHARED),) if name == "softmax" else ()
    assert is_elementwise(replace(IN_PLACE[name], locals=scratch), x, y)


@pytest.mark.parametrize("name", NOT_IN_PLACE)
def test_not_element_by_element(name: str) -> None:
    x, y = NOT_IN_PLACE[name].params
    assert not is_elementwise(NOT_IN_PLACE[name], x, y)


def test_a_turn_reads_what_the_turns_before_it_have_written() -> None:
    def rows(read: int) -> Program:
        given, there = View("x"), (("turn", SIZE),)
        body = (CallStep("same", (View("out", read, there), View("out", SIZE, there))),)
        steps = (CallStep("same", (given, View("out"))), LoopStep("turn", 6, body))
        slots = (Slot("x", f32[SIZE], Role.PARAMETER), Slot("out", f32[7, SIZE], Role.RESULT))
        return Program("rows", (SAME,), slots, steps, ("x",), ("out",))

    verify_program(rows(0))
    rejects(rows(SIZE), "'x' reads 'out' before it is written")
