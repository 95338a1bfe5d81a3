"""Control flow: operations that hold functions and run them again, or one of them.

    %h, %ys = scan [%h0], [%xs], [%w] {length = 128} @step(%h: …, %x: …, %w: …) { … } : …

Their regions see only their own parameters: what a Python body takes from around it becomes an
operand. They stay loops and branches down to machine code, and are never unrolled.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import RunError, check
from ..ir import Function, Op, Value, op, run_reference
from ..types import Array, Dim, TensorType, bool_


class ControlOp(Op):
    """An operation with regions that are compiled as functions of their own."""

    @property
    def regions(self) -> tuple[Function, ...]:
        """Its functions, in the order of its attributes."""
        return tuple(entry for entry in self.attributes.values() if isinstance(entry, Function))


@op
class Scan(ControlOp):
    """A loop of known length that carries a state and stacks what each step gives.

    `step(*carries, *slices, *invariants) -> (*carries, *outputs)`: step t takes `inputs[k][t]`,
    and `outputs[k][t]` is what it gives; with `reverse` t runs from the end to 0. The results are
    the last carries, then the outputs, `(length, …)` each.
    """

    carries: tuple[Value, ...]
    inputs: tuple[Value, ...]
    invariants: tuple[Value, ...]
    length: int | Dim
    step: Function
    reverse: bool = False

    def infer(self) -> tuple[TensorType, ...]:
        for value in self.inputs:
            check(value.rank > 0, "scans over a scalar; an input has a first axis to step along")
            check(
                value.shape[0] == self.length,
                f"an input of {value.type} for {self.length} steps along the first axis",
            )
        slices = [value.type.with_shape(value.shape[1:]) for value in self.inputs]
        states = [value.type for value in self.carries]
        check_region(self.step, [*states, *slices, *(value.type for value in self.invariants)])
        given = self.step.result_types
        check_states(self.step, states, given[: len(states)])
        stacked = (type_.with_shape((self.length, *type_.shape)) for type_ in given[len(states) :])
        return (*states, *stacked)

    @property
    def outputs(self) -> int:
        """How many results are stacked."""
        return len(self.step.results) - len(self.carries)

    def reference(
        self,
        carries: tuple[Array, ...],
        inputs: tuple[Array, ...],
        invariants: tuple[Array, ...],
    ) -> tuple[Array, ...]:
        types = self.infer()[len(carries) :]
        stacked = [np.empty(type_.static_shape, type_.dtype.numpy) for type_ in types]
        steps = range(static_length(self.length))
        for t in reversed(steps) if self.reverse else steps:
            slices = (array[t] for array in inputs)
            given = run_reference(self.step, (*carries, *slices, *invariants))
            carries = given[: len(carries)]
            for place, row in zip(stacked, given[len(carries) :], strict=True):
                place[t] = row
        return (*carries, *stacked)


@op
class Cond(ControlOp):
    """One of two functions of the same inputs, by a predicate `bool[()]`; the other is not run."""

    predicate: Value
    inputs: tuple[Value, ...]
    then: Function
    otherwise: Function

    def infer(self) -> tuple[TensorType, ...]:
        check_predicate(self.predicate.type)
        types = [value.type for value in self.inputs]
        check_region(self.then, types)
        check_region(self.otherwise, types)
        one, other = self.then.result_types, self.otherwise.result_types
        check(one == other, f"its branches give {types_text(one)} and {types_text(other)}")
        return one

    def reference(self, predicate: Array, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
        return run_reference(self.then if predicate else self.otherwise, inputs)


@op
class WhileLoop(ControlOp):
    """Steps of a state for as long as a condition of it holds.

    `condition(*carries, *invariants) -> bool[()]`, `step(*carries, *invariants) -> carries`. With
    a `limit`, a condition that still holds after so many steps is an error of the data; a loop
    that has one can be differentiated.
    """

    carries: tuple[Value, ...]
    invariants: tuple[Value, ...]
    condition: Function
    step: Function
    limit: int | None = None

    def infer(self) -> tuple[TensorType, ...]:
        states = [value.type for value in self.carries]
        types = [*states, *(value.type for value in self.invariants)]
        check(self.limit is None or self.limit >= 0, f"a limit of {self.limit} steps")
        check_region(self.condition, types)
        check_region(self.step, types)
        tested = self.condition.result_types
        check(len(tested) == 1, f"the condition gives {types_text(tested)}, not one bool")
        check_predicate(tested[0])
        check_states(self.step, states, self.step.result_types)
        return tuple(states)

    def reference(
        self, carries: tuple[Array, ...], invariants: tuple[Array, ...]
    ) -> tuple[Array, ...]:
        steps = 0
        while run_reference(self.condition, (*carries, *invariants))[0]:
            check(steps != self.limit, over_limit(self.limit), RunError)
            carries = run_reference(self.step, (*carries, *invariants))
            steps += 1
        return carries


def over_limit(limit: int | None) -> str:
    """The fault of a loop that does not end."""
    return f"the condition still holds after the limit of {limit} steps"


def check_region(region: Function, types: Sequence[TensorType]) -> None:
    """The rule of a region's parameters: those of the operands it is run on."""
    wanted = tuple(param.type for param in region.params)
    check(
        wanted == tuple(types),
        f"@{region.name} takes {types_text(wanted)}, and is run on {types_text(types)}",
    )


def check_states(
    region: Function, states: Sequence[TensorType], given: Sequence[TensorType]
) -> None:
    """The rule of what is carried: a step gives it as it takes it."""
    check(
        tuple(states) == tuple(given),
        f"@{region.name} takes a state of {types_text(states)} and gives one of "
        f"{types_text(given)}",
    )


def check_predicate(type_: TensorType) -> None:
    check(
        type_.shape == () and type_.dtype == bool_,
        f"a condition is a scalar of bool, not {type_}",
    )


def types_text(types: Sequence[TensorType]) -> str:
    return f"({', '.join(map(str, types))})"


def static_length(length: int | Dim) -> int:
    check(isinstance(length, int), f"the number of steps {length} is not known yet")
    assert isinstance(length, int)
    return length


OPS: tuple[type[Op], ...] = (Scan, Cond, WhileLoop)
