"""Readers of `If`, `Loop` and `Scan`, which become branches and loops.

A condition that is known while reading picks its branch at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from .... import ops
from ....dsl.control import cond, scan, while_loop
from ....errors import ParseError, TypeRuleError, UnsupportedError, check
from ....ir import Value
from ....sizes import Size
from ....types import TensorType, bool_, i64
from ..call import Call, Results, ValueNeeded, constant_value
from ..model import OnnxGraph
from ..sizes import Operand, Sizes, as_value, number

State = tuple[Value, ...]
Way = tuple[int, bool]  # the axis to step over, and whether from its end


def conditional(call: Call) -> Results:
    """The branch that a known condition picks, else both as a `cond`."""
    branches = (call.graph("then_branch"), call.graph("else_branch"))
    try:
        chosen = bool(call.scalar(0))
    except ValueNeeded as needed:
        return _either(call, branches, needed)
    return call.enter(branches[0 if chosen else 1], ())


def _either(call: Call, branches: tuple[OnnxGraph, OnnxGraph], needed: ValueNeeded) -> Results:
    """Both branches; the condition must be known where their results differ in type, or where one
    is not meant for these shapes."""
    types: list[list[TensorType]] = []

    def run(branch: OnnxGraph) -> State:
        try:
            results = tuple(map(as_value, call.enter(branch, ())))
        except ParseError:
            raise needed from None
        types.append([result.type for result in results])
        if types[0] != types[-1]:
            raise needed
        return results

    predicate = ops.reshape(call.value(0), ())
    return cond(predicate, lambda: run(branches[0]), lambda: run(branches[1]))


class _MayEnd(Exception):
    """The body of a loop computes whether it goes on."""


class _TypeChanges(UnsupportedError):
    """The body of a loop gives a state of another type than it takes."""


def loop(call: Call) -> Results:
    """A scan where the number of steps is known, else a while loop, which can stack nothing.

    A body whose shapes depend on the number of the step or change on the way is written out.
    """
    check(call.has(0) or call.has(1), "has neither a trip count nor a condition", ParseError)
    try:
        length = _length(call)
        try:
            found = call.attempt(lambda: _counted(call, length))
        except _TypeChanges:
            found = None
        return _written_out(call, length) if found is None else found
    except (_MayEnd, ValueNeeded) as why:
        return _open(call, why)


def _length(call: Call) -> Size:
    """The number of steps, where it is known."""
    if not call.has(0):
        raise _MayEnd
    starts = not call.has(1) or bool(call.scalar(1))
    return call.integer(0) if starts else 0


def _counted(call: Call, length: Size) -> tuple[Operand, ...]:
    """A scan over the numbers of the steps."""

    def step(state: State, number: Value) -> tuple[State, State]:
        goes_on, *results = _body(call, [number, _TRUE, *state])
        if not _is_true(goes_on):
            raise _MayEnd
        values = tuple(map(as_value, results))
        return values[: len(state)], values[len(state) :]

    with _same_types():
        carried, stacked = scan(step, _values(call, 2), ops.iota(length, i64))
    return (*carried, *stacked)


def _written_out(call: Call, length: Size) -> tuple[Operand, ...]:
    """One step after the other, each with its number known."""
    steps = number(length, "the number of steps")
    check(steps <= _MOST_STEPS, f"{steps} steps written out (at most {_MOST_STEPS})")
    carried: Sequence[Operand] = _values(call, 2)
    rows: list[Sequence[Operand]] = []
    for at in range(steps):
        goes_on, *results = _body(call, [Sizes.scalar(at, i64), _TRUE, *carried])
        if not _is_true(goes_on):
            raise _MayEnd
        rows.append(results[len(carried) :])
        carried = results[: len(carried)]
    stacked = [ops.stack([as_value(row) for row in rows], 0) for rows in zip(*rows, strict=True)]
    return (*carried, *stacked)


def _open(call: Call, why: Exception) -> Results:
    """A while loop; it carries the number of the step, and whether to go on."""
    first = _values(call, 2)
    if len(call.graph("body").outputs) > 1 + len(first):
        if isinstance(why, ValueNeeded):
            raise why
        message = "results stacked by a Loop whose number of steps its condition decides"
        raise UnsupportedError(message)
    last = ops.reshape(call.value(0), ()) if call.has(0) else None
    going = ops.reshape(call.value(1), ()) if call.has(1) else as_value(_TRUE)

    def condition(state: tuple[Value, Value, State]) -> Value:
        number, going, _ = state
        return going if last is None else ops.logical_and(going, ops.less(number, last))

    def step(state: tuple[Value, Value, State]) -> tuple[Value, Value, State]:
        number, going, carried = state
        goes_on, *results = map(as_value, _body(call, [number, going, *carried]))
        return ops.add(number, 1), ops.reshape(goes_on, ()), tuple(results)

    start = (ops.full((), 0, i64), going, first)
    with _same_types():
        return while_loop(condition, step, start)[2]


def scan_op(call: Call) -> Results:
    """A scan over the axes that the attributes say."""
    values, count = _values(call, 0), call.int_("num_scan_inputs")
    return _scan_over(call, values, _ways(call, "scan_input", count))


def scan_of_batches(call: Call) -> Results:
    """The first form of Scan, where each operand has a batch axis: read for batches of one."""
    check(not call.has(0), "sequences of different lengths", UnsupportedError)
    values = _values(call, 1)
    alone = all(value.rank > 0 and value.shape[0] == 1 for value in values)
    check(alone, "a batch of more than one", UnsupportedError)
    count = call.int_("num_scan_inputs")
    ways = [(0, way == 1) for way in call.ints("directions") or (0,) * count]
    check(len(ways) == count, f"{len(ways)} directions for {count} inputs", ParseError)
    results = _scan_over(call, [ops.squeeze(value, 0) for value in values], ways)
    return tuple(ops.expand_dims(value, 0) for value in results)


def _scan_over(call: Call, values: Sequence[Value], ways: Sequence[Way]) -> State:
    """The states of the values, then the inputs, of which each has a way to be stepped over."""
    count = len(ways)
    check(0 < count <= len(values), f"scans over {count} of {len(values)} operands", ParseError)
    states, rows = tuple(values[:-count]), list(values[-count:])
    for at, (axis, backwards) in enumerate(ways):
        rows[at] = ops.moveaxis(rows[at], axis, 0)
        rows[at] = ops.flip(rows[at], 0) if backwards else rows[at]

    def step(state: State, now: State) -> tuple[State, State]:
        results = tuple(map(as_value, _body(call, [*state, *now])))
        return results[: len(state)], results[len(state) :]

    with _same_types():
        carried, stacked = scan(step, states, tuple(rows))
    found = [
        ops.moveaxis(ops.flip(y, 0) if backwards else y, 0, axis)
        for y, (axis, backwards) in zip(
            stacked, _ways(call, "scan_output", len(stacked)), strict=True
        )
    ]
    return (*carried, *found)


_TRUE = Sizes.scalar(True, bool_)
_MOST_STEPS = 512  # more, written out, make a program that nobody wants to compile


def _ways(call: Call, name: str, count: int) -> list[Way]:
    """The axis of each input or output, and whether it runs backwards."""
    axes = call.ints(f"{name}_axes") or (0,) * count
    backwards = call.ints(f"{name}_directions") or (0,) * count
    ok = len(axes) == len(backwards) == count
    check(ok, f"{name}s: {len(axes)} axes, {len(backwards)} directions for {count}", ParseError)
    return [(axis, way == 1) for axis, way in zip(axes, backwards, strict=True)]


def _values(call: Call, first: int) -> State:
    """The operands from a position on."""
    return tuple(call.value(at) for at in range(first, len(call.operands)))


def _body(call: Call, given: Sequence[Operand]) -> tuple[Operand, ...]:
    body = call.graph("body")
    fits = len(body.parameters) == len(given)
    check(fits, f"a body of {len(body.parameters)} inputs for {len(given)}", ParseError)
    return call.enter(body, given)


def _is_true(operand: Operand) -> bool:
    """Whether it is known while reading, and true."""
    try:
        known = operand.array() if isinstance(operand, Sizes) else constant_value(operand)
    except ValueNeeded:
        return False
    return bool(known.all())


@contextmanager
def _same_types() -> Iterator[None]:
    """What a step gives must be of the types it takes: a loop's memory is known beforehand."""
    try:
        yield
    except TypeRuleError as error:
        raise _TypeChanges(f"a state that changes its type: {error}") from None
