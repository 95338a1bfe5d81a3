"""The loop that goes back over a loop's steps with the gradients of its state.

    h, ys = scan [h0] [xs] [w]         ->   dh, dw, dxs = scan [dh, 0] [residuals, dys] [w] back

The gradient of the state is its state, those of invariants are summed in it, those of the slices
are stacked. What is read of the forward steps comes from the inputs and the stacked results.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from ...ir import Builder, Function, Node, Value, current_builder, parameter
from ...text import fresh_name
from ..shapes.creation import zeros_like
from .residuals import Joint, between, emit_nodes, joint

T = TypeVar("T")


@dataclass(frozen=True)
class Loop:
    """What a loop runs on: its step takes a carry, a slice of an input, an invariant for each."""

    carries: tuple[Value, ...]
    inputs: tuple[Value, ...]
    invariants: tuple[Value, ...]
    step: Function

    def split(self, values: Sequence[T]) -> tuple[Sequence[T], Sequence[T], Sequence[T]]:
        """What stands for the carries, the slices and the invariants."""
        first, second = len(self.carries), len(self.carries) + len(self.inputs)
        return values[:first], values[first:second], values[second:]


@dataclass(frozen=True)
class Backward:
    """The loop back, and which operands of the forward loop its results are gradients of."""

    loop: Loop
    of_carries: Sequence[bool]
    of_slices: Sequence[bool]
    of_invariants: Sequence[bool]

    def gradients(self, results: Sequence[Value]) -> tuple[tuple[Value | None, ...], ...]:
        """Those of the carries, the inputs and the invariants of the forward loop."""
        rest = iter(results)
        carries = tuple(next(rest) if has else None for has in self.of_carries)
        invariants = tuple(next(rest) if has else None for has in self.of_invariants)
        return carries, tuple(next(rest) if has else None for has in self.of_slices), invariants


def backward(
    forward: Loop, stacked: Sequence[Value], arrived: Sequence[Value | None]
) -> Backward | None:
    """The loop back for these gradients of the results, of which the last ones are `stacked`.

    None where the pullback reads a state that is not stacked.
    """
    pair = _settled(forward, arrived)
    carried = len(forward.carries)
    carries, slices, invariants = forward.split(pair.params)
    fixed = _pairs(invariants, forward.invariants)
    rows = (
        _pairs(slices, forward.inputs)
        | _pairs(pair.results[carried:], stacked)
        | _pairs(pair.cotangents[carried:], arrived[carried:])
    )
    nodes, read = between(pair, rows.keys() | fixed.keys(), _present(pair.gradients))
    if set(carries).difference(rows).intersection(read):
        return None
    of_carries, of_slices, of_invariants = forward.split(pair.gradients)
    back = _Back(
        pair,
        nodes,
        states=[at for at in range(carried) if pair.cotangents[at] is not None],
        ends=of_carries,
        summed=_present(of_invariants),
        stacked=_present(of_slices),
        inputs=[value for value in read if value in rows and value not in fixed],
        invariants=[value for value in read if value in fixed],
    )
    loop = Loop(
        back.starts(arrived),
        tuple(rows[value] for value in back.inputs),
        tuple(fixed[value] for value in back.invariants),
        back.step(),
    )
    has_state = [at in back.states for at in range(carried)]
    return Backward(loop, has_state, _presence(of_slices), _presence(of_invariants))


def backward_branches(
    branches: Sequence[Function], live: Sequence[bool]
) -> tuple[list[Function], list[bool]]:
    """`(*inputs, *cotangents) -> gradients` for each branch, and which inputs have a gradient.

    An input that has one in any of the branches has zeros in the others.
    """
    pairs = [joint(branch, live) for branch in branches]
    present = zip(*(_presence(pair.gradients) for pair in pairs), strict=True)
    wanted = [any(entry) for entry in present]
    return [_branch(pair, wanted) for pair in pairs], wanted


def _branch(pair: Joint, wanted: Sequence[bool]) -> Function:
    params = [*pair.params, *_present(pair.cotangents)]
    builder = Builder(current_builder().table)
    with builder.active():
        found = emit_nodes(pair.nodes, {param: param for param in params})
        ends = zip(pair.gradients, pair.params, wanted, strict=True)
        results = [_or_zeros(end, param, found) for end, param, has in ends if has]
    return builder.finish("back", params, results)


def _settled(forward: Loop, arrived: Sequence[Value | None]) -> Joint:
    """The joint of the step, with a gradient for each carry that one reaches in any step."""
    live = _presence(arrived)
    while True:
        pair = joint(forward.step, live)
        reached = _presence(forward.split(pair.gradients)[0])
        reached += [False] * (len(live) - len(reached))
        grown = [one or other for one, other in zip(live, reached, strict=True)]
        if grown == live:
            return pair
        live = grown


@dataclass(frozen=True)
class _Back:
    """The step back: the nodes of the pullback, what they give and what they read.

    `states` are the positions of the carries that have a gradient, `ends` gives it for each.
    """

    pair: Joint
    nodes: Sequence[Node]
    states: Sequence[int]
    ends: Sequence[Value | None]
    summed: Sequence[Value]
    stacked: Sequence[Value]
    inputs: Sequence[Value]
    invariants: Sequence[Value]

    def starts(self, arrived: Sequence[Value | None]) -> tuple[Value, ...]:
        """The state before the first step: the gradients of the last carries, and zeros."""
        given = [(arrived[at], self.pair.results[at]) for at in self.states]
        states = [zeros_like(like) if start is None else start for start, like in given]
        return (*states, *map(zeros_like, self.summed))

    def step(self) -> Function:
        """`(states, sums, inputs, invariants) -> (states, sums, stacked)`."""
        taken: set[str] = set()
        read = [*_present(self.pair.cotangents[at] for at in self.states)]
        states = [_like(value, taken) for value in read]
        sums = [_like(value, taken, "sum") for value in self.summed]
        others = [_like(value, taken) for value in (*self.inputs, *self.invariants)]
        read += [*self.inputs, *self.invariants]
        builder = Builder(current_builder().table)
        with builder.active():
            found = emit_nodes(self.nodes, dict(zip(read, (*states, *others), strict=True)))
            ends = [self.ends[at] for at in self.states]
            results = [
                *(_or_zeros(end, x, found) for end, x in zip(ends, states, strict=True)),
                *(total + found(value) for total, value in zip(sums, self.summed, strict=True)),
                *map(found, self.stacked),
            ]
        return builder.finish("back", (*states, *sums, *others), results)


def _or_zeros(value: Value | None, like: Value, found: Callable[[Value], Value]) -> Value:
    return zeros_like(like) if value is None else found(value)


def _like(value: Value, taken: set[str], name: str = "saved") -> Value:
    return parameter(fresh_name(value.name or name, taken), value.type)


def _presence(values: Iterable[Value | None]) -> list[bool]:
    return [value is not None for value in values]


def _present(values: Iterable[Value | None]) -> list[Value]:
    return [value for value in values if value is not None]


def _pairs(inner: Sequence[Value | None], outer: Sequence[Value | None]) -> dict[Value, Value]:
    """What stands outside of the loop for values of its step; absent ones are left out."""
    both = zip(inner, outer, strict=True)
    return {one: other for one, other in both if one is not None and other is not None}
