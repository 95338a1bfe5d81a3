"""Loops and branches from Python functions: `scan`, `while_loop`, `cond`.

    def step(h: Value, x: Value) -> tuple[Value, Value]:
        h = ml.tanh(x @ w_x + h @ w_h)
        return h, h

    last, states = ml.scan(step, h0, xs)      # xs (time, batch, features): one step per time

States, inputs and results are values, or tuples, lists or dictionaries of values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

from ..errors import check
from ..ir import Op, Operand, Value, current_builder
from ..ops.base.promote import as_value
from ..ops.regions.control import Cond, Scan, WhileLoop
from ..sizes import Size
from ..types import DType, bool_
from .region import merged, trace
from .structure import filled, form_text, leaves, same_form, values_of

S = TypeVar("S")


def scan(
    step: Callable[[S, Any], tuple[S, Any]],
    init: S,
    inputs: Any = None,
    *,
    length: Size | None = None,
    reverse: bool = False,
) -> tuple[S, Any]:
    """Run `step(state, x) -> (state, y)` for each entry `x` of the inputs' first axis, in order.

    Gives the last state, and each step's `y` stacked along a new first axis. `inputs` may be None
    with a `length`: then `x` is None. With `reverse` the steps go from the last entry to the first,
    and `y` of the last entry still stands last. `x` and `y` may be anything that holds values.
    It stays one loop in the program, however long. Raises `TypeRuleError` where the state that a
    step gives is not of the types it takes.
    """
    steps = values_of(inputs, "an input of ml.scan")
    known = length if length is not None or not steps else _first_axis(steps[0])
    check(known is not None, "ml.scan needs inputs to step over, or a length")
    slices = [value.type.with_shape(value.shape[1:]) if value.rank else None for value in steps]
    check(None not in slices, "ml.scan steps over the first axis of its inputs; one is a scalar")
    states = _states(init, step)

    def body(state: S, x: Any) -> object:
        returned = step(state, x)
        pair = isinstance(returned, tuple) and len(returned) == 2
        check(pair, f"a step of ml.scan returns (state, y), not {form_text(returned)}")
        _check_form("a step of ml.scan", init, returned[0])
        return _typed(returned[0], states), returned[1]

    types = filled(init, [value.type for value in states])
    traced = trace(_name(step, "step"), body, [("state", types), ("x", filled(inputs, slices))])
    results = _emit(
        Scan(
            tuple(states),
            tuple(steps),
            traced.captured,
            cast(Size, known),
            traced.taking(traced.captured),
            reverse,
        )
    )
    _, y = cast(tuple[object, object], traced.returned)
    return filled(init, results[: len(states)]), filled(y, results[len(states) :])


def while_loop(
    condition: Callable[[S], Value], step: Callable[[S], S], init: S, *, limit: int | None = None
) -> S:
    """Run `step(state) -> state` for as long as `condition(state)`, a scalar of bool, holds.

    Gives the last state. A condition that still holds after `limit` steps is a `RunError` of the
    call; gradients need a limit.
    """
    states = _states(init, step)
    types = filled(init, [value.type for value in states])

    def body(state: S) -> object:
        returned = step(state)
        _check_form("a step of ml.while_loop", init, returned)
        return _typed(returned, states)

    tested = trace(_name(condition, "condition"), condition, [("state", types)])
    stepped = trace(_name(step, "step"), body, [("state", types)])
    captured = merged((tested, stepped))
    results = _emit(
        WhileLoop(
            tuple(states), captured, tested.taking(captured), stepped.taking(captured), limit
        )
    )
    return filled(init, results)


def cond(
    predicate: Operand, then: Callable[..., S], otherwise: Callable[..., S], *operands: Any
) -> S:
    """`then(*operands)` where `predicate`, a scalar of bool, holds, else `otherwise(*operands)`.

    Only the one that is chosen runs. Both give values of the same types, in the same form. What
    they take from around them need not be among the operands.
    """
    given = values_of(operands, "an operand of ml.cond")
    types = filled(operands, [value.type for value in given])
    parts = [(f"x{number}", entry) for number, entry in enumerate(types)]
    one = trace(_name(then, "then"), then, parts)
    other = trace(_name(otherwise, "otherwise"), otherwise, parts)
    form = "the branches of ml.cond return values in the same form, not"
    alike = same_form(one.returned, other.returned)
    check(alike, f"{form} {form_text(one.returned)} and {form_text(other.returned)}")
    captured = merged((one, other))
    results = _emit(
        Cond(
            as_value(predicate, bool_),
            (*given, *captured),
            one.taking(captured),
            other.taking(captured),
        )
    )
    return cast(S, filled(one.returned, results))


def _emit(op: Op) -> tuple[Value, ...]:
    return current_builder().emit(op)


def _name(body: Callable[..., object], otherwise: str) -> str:
    """The name of a Python function; a lambda has none."""
    name = getattr(body, "__name__", type(body).__name__)
    return name if name.isidentifier() else otherwise


def _first_axis(value: Value) -> Size | None:
    return value.shape[0] if value.rank else None


def _states(init: object, step: Callable[..., object]) -> list[Value]:
    """The first state; there is one, as a step that keeps nothing is no loop."""
    states = values_of(init, "a state")
    name = _name(step, "a step")
    check(states, f"{name} carries no state; write its operations on the whole tensors")
    return states


def _check_form(what: str, init: object, state: object) -> None:
    check(
        same_form(init, state),
        f"{what} gives a state of the form {form_text(state)}, not {form_text(init)}",
    )


def _typed(state: object, first: Sequence[Value]) -> object:
    """The state with its numbers of the types that the first state has."""
    dtypes: list[DType] = [value.dtype for value in first]
    return filled(
        state,
        [
            as_value(cast(Operand, leaf), dtype)
            for leaf, dtype in zip(leaves(state), dtypes, strict=True)
        ],
    )


__all__ = ["cond", "scan", "while_loop"]
