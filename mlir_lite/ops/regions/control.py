"""Control flow: operations that hold functions and run them again, or one of them.

    %h, %ys = scan [%h0], [%xs], [%w] {length = 128} @step(%h: …, %x: …, %w: …) { … } : …

Their regions see only their own parameters: what a Python body takes from around it becomes an
operand. They stay loops and branches down to machine code, and are never unrolled.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from ...errors import RunError, UnsupportedError, check
from ...ir import (
    Builder,
    Function,
    Op,
    Value,
    current_builder,
    inline,
    op,
    parameter,
    run_reference,
)
from ...sizes import Dim
from ...types import Array, TensorType, bool_
from .residuals import joint, saving_step, unsaved
from .reverse_loop import Loop, backward, backward_branches
from .rule import check_region, types_text


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

    def saving(self) -> Op | None:
        """The scan that also stacks the residuals of its step."""
        loop = self._loop()
        pair = joint(self.step, [result.dtype.is_float for result in self.step.results])
        _, slices, invariants = loop.split(pair.params)
        known = (*slices, *pair.results[len(self.carries) :])
        saved = unsaved(pair, pair.at_hand(invariants, known))
        step = saving_step(self.step, pair, saved)
        return dataclasses.replace(self, step=step) if saved else None

    def gradient(self, *values: Value | None) -> Gradients:
        """A scan the other way round, whose state is the gradient of the state; see
        `reverse_loop`."""
        count = len(self.step.results)
        results, arrived = values[:count], values[count:]
        stacked = [value for value in results[len(self.carries) :] if value is not None]
        back = backward(self._loop(), stacked, arrived)
        if back is None:  # not emitted as `saving` says
            saving = self.saving()
            assert isinstance(saving, Scan)
            every = current_builder().emit(saving)
            return saving.gradient(*every, *arrived, *[None] * (len(every) - count))
        carries, inputs, invariants = back.loop.carries, back.loop.inputs, back.loop.invariants
        scan = Scan(carries, inputs, invariants, self.length, back.loop.step, not self.reverse)
        return back.gradients(current_builder().emit(scan))

    def _loop(self) -> Loop:
        return Loop(self.carries, self.inputs, self.invariants, self.step)


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

    def gradient(self, *values: Value | None) -> tuple[None, tuple[Value | None, ...]]:
        """The pullback of the branch that was taken, which runs it again."""
        arrived = values[len(self.then.results) :]
        live = [gradient is not None for gradient in arrived]
        (then, otherwise), wanted = backward_branches((self.then, self.otherwise), live)
        given = [gradient for gradient in arrived if gradient is not None]
        back = Cond(self.predicate, (*self.inputs, *given), then, otherwise)
        found = iter(current_builder().emit(back) if any(wanted) else ())
        return None, tuple(next(found) if has else None for has in wanted)


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

    def gradient(self, *values: Value | None) -> Gradients:
        """That of as many steps as the limit allows, of which those past the end do nothing."""
        advice = "the gradient of a while_loop needs a limit: ml.while_loop(..., limit=100)"
        check(self.limit is not None, advice, UnsupportedError)
        arrived = values[len(self.carries) :]
        scan = Scan(self.carries, (), self.invariants, self.limit or 0, self._bounded_step())
        saving = scan.saving() or scan
        results = current_builder().emit(saving)
        further = [None] * (len(results) - len(arrived))
        carries, _, invariants = saving.gradient(*results, *arrived, *further)
        return carries, invariants

    def _bounded_step(self) -> Function:
        """A step where the condition holds, else the state as it is."""
        params = [parameter(param.name, param.type) for param in self.step.params]
        builder = Builder(current_builder().table)
        states = params[: len(self.carries)]
        stay = Function("stay", tuple(params), (), tuple(states))
        with builder.active():
            (holds,) = inline(self.condition, dict(zip(self.condition.params, params, strict=True)))
            results = builder.emit(Cond(holds, tuple(params), self.step, stay))
        return builder.finish(self.step.name, params, results)


Gradients: TypeAlias = tuple[tuple[Value | None, ...], ...]


def over_limit(limit: int | None) -> str:
    """The fault of a loop that does not end."""
    return f"the condition still holds after the limit of {limit} steps"


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
    """`TypeRuleError` for the type of a condition that is no truth value."""
    check(
        type_.shape == () and type_.dtype == bool_,
        f"a condition is a scalar of bool, not {type_}",
    )


def static_length(length: int | Dim) -> int:
    """A number of steps that is known; `TypeRuleError` for a named size."""
    check(isinstance(length, int), f"the number of steps {length} is not known yet")
    assert isinstance(length, int)
    return length


OPS: tuple[type[Op], ...] = (Scan, Cond, WhileLoop)
