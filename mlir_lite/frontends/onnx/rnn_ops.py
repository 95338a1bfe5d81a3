"""Readers of the recurrent operators: the steps are written out one after the other.

Gates, biases and states lie in the order of the ONNX specification: input, output, forget, cell
for LSTM; update, reset, hidden for GRU.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ... import ops
from ...errors import ParseError, UnsupportedError, check
from ...ir import Value
from ...ops.slice import slice_axis
from .call import Call, Reader, Results
from .sizes import number

# More steps make a program that nobody wants to compile.
_MOST_STEPS = 512

Activation: TypeAlias = Callable[[Value], Value]

_ACTIVATIONS: Mapping[str, Activation] = {
    "Sigmoid": ops.sigmoid,
    "Tanh": ops.tanh,
    "Relu": ops.relu,
    "Softplus": ops.softplus,
}


@dataclass(frozen=True, eq=False)
class Weights:
    """One direction's operands: `w (gates * hidden, input)`, `r (gates * hidden, hidden)`.

    The biases of both have `gates * hidden` elements, `peephole` 3 * hidden.
    """

    w: Value
    r: Value
    w_bias: Value | None
    r_bias: Value | None
    peephole: Value | None


@dataclass(frozen=True, eq=False)
class Cell:
    """What one step does; `x` is the step's input times `w` with its bias, `(batch, gates * h)`.

    The states are `(h,)`, or `(h, c)` for LSTM, each `(batch, hidden)`.
    """

    hidden: int
    activations: Sequence[Activation]
    weights: Weights
    clip: float | None
    option: bool  # GRU: linear_before_reset; LSTM: input_forget

    def gate(self, x: Value, number_: int) -> Value:
        """One gate's part of the last axis."""
        return slice_axis(x, -1, number_ * self.hidden, self.hidden)

    def activate(self, which: int, x: Value) -> Value:
        if self.clip is not None:
            x = ops.clip(x, -self.clip, self.clip)
        return self.activations[which](x)

    def recurrent(self, h: Value, first: int, count: int) -> Value:
        """`h r^T` with its bias, for `count` gates from `first` on."""
        start, size = first * self.hidden, count * self.hidden
        product = ops.matmul(h, ops.transpose(slice_axis(self.weights.r, 0, start, size)))
        bias = self.weights.r_bias
        return product if bias is None else ops.add(product, slice_axis(bias, 0, start, size))


Step: TypeAlias = Callable[[Cell, Value, tuple[Value, ...]], tuple[Value, ...]]


def rnn_step(cell: Cell, x: Value, states: tuple[Value, ...]) -> tuple[Value, ...]:
    """`h' = f(x + h r^T)`"""
    (h,) = states
    return (cell.activate(0, ops.add(x, cell.recurrent(h, 0, 1))),)


def gru_step(cell: Cell, x: Value, states: tuple[Value, ...]) -> tuple[Value, ...]:
    """Cho et al. (2014); with `linear_before_reset` the reset gate scales the product."""
    (h,) = states
    gates = cell.recurrent(h, 0, 2)
    update = cell.activate(0, ops.add(cell.gate(x, 0), cell.gate(gates, 0)))
    reset = cell.activate(0, ops.add(cell.gate(x, 1), cell.gate(gates, 1)))
    if cell.option:
        past = ops.multiply(reset, cell.recurrent(h, 2, 1))
    else:
        past = cell.recurrent(ops.multiply(reset, h), 2, 1)
    new = cell.activate(1, ops.add(cell.gate(x, 2), past))
    kept = ops.multiply(update, h)
    return (ops.add(ops.multiply(ops.subtract(1.0, update), new), kept),)


def lstm_step(cell: Cell, x: Value, states: tuple[Value, ...]) -> tuple[Value, ...]:
    """Hochreiter, Schmidhuber (1997), with peepholes where they are given."""
    h, c = states
    gates = ops.add(x, cell.recurrent(h, 0, 4))

    def peeped(gate: int, peephole: int, state: Value) -> Value:
        part = cell.gate(gates, gate)
        if cell.weights.peephole is None:
            return part
        return ops.add(part, ops.multiply(cell.gate(cell.weights.peephole, peephole), state))

    taken = cell.activate(0, peeped(0, 0, c))
    forget = ops.subtract(1.0, taken) if cell.option else cell.activate(0, peeped(2, 2, c))
    candidate = cell.activate(1, cell.gate(gates, 3))
    new_c = ops.add(ops.multiply(forget, c), ops.multiply(taken, candidate))
    output = cell.activate(0, peeped(1, 1, new_c))
    return ops.multiply(output, cell.activations[2](new_c)), new_c


def recurrent(
    step: Step, gates: int, default: Sequence[str], states: int, option: str = ""
) -> Reader:
    """The reader of a recurrent operator with that many gates and states."""

    def read(call: Call) -> Results:
        batch_first = call.int_("layout", 0) == 1
        x = call.value(0)
        check(x.rank == 3, f"takes (steps, batch, input), not {x.type}", ParseError)
        x = ops.transpose(x, (1, 0, 2)) if batch_first else x
        steps = number(x.shape[0], "the number of steps")
        check(steps <= _MOST_STEPS, f"{steps} steps (at most {_MOST_STEPS})", UnsupportedError)
        hidden = call.int_("hidden_size")
        direction = call.text("direction", "forward")
        known = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
        check(direction in known, f"the direction '{direction}'", ParseError)
        activations = _activations(call, default, len(known[direction]))
        lengths = call.optional(4)
        outputs: list[Value] = []
        finals: list[list[Value]] = [[] for _ in range(states)]
        for place, backwards in enumerate(known[direction]):
            cell = Cell(
                hidden,
                activations[place],
                _weights(call, place, gates * hidden),
                call.float_("clip") if call.attribute("clip") is not None else None,
                bool(option) and call.int_(option, 0) == 1,
            )
            start = tuple(
                _initial(call, 5 + state, place, x, hidden, batch_first) for state in range(states)
            )
            every, last = _run(step, cell, x, start, lengths, backwards)
            outputs.append(every)
            for kept, state in zip(finals, last, strict=True):
                kept.append(state)
        y = ops.stack(outputs, 1)
        ends = [ops.stack(kept, 0) for kept in finals]
        if batch_first:
            y = ops.transpose(y, (2, 0, 1, 3))
            ends = [ops.transpose(end, (1, 0, 2)) for end in ends]
        return (y, *ends)

    return read


def _run(
    step: Step,
    cell: Cell,
    x: Value,
    states: tuple[Value, ...],
    lengths: Value | None,
    backwards: bool,
) -> tuple[Value, tuple[Value, ...]]:
    """All steps of one direction: the outputs `(steps, batch, hidden)` and the last states."""
    inputs = ops.matmul(x, ops.transpose(cell.weights.w))
    if cell.weights.w_bias is not None:
        inputs = ops.add(inputs, cell.weights.w_bias)
    count = number(x.shape[0], "the number of steps")
    outputs: list[Value] = []
    for time in reversed(range(count)) if backwards else range(count):
        now = ops.squeeze(slice_axis(inputs, 0, time, 1), 0)
        new = step(cell, now, states)
        output = new[0]
        if lengths is not None:
            # A row that has ended keeps its states, and gives zeros.
            active = ops.reshape(ops.greater(lengths, time), (-1, 1))
            new = tuple(
                ops.where(active, after, before) for after, before in zip(new, states, strict=True)
            )
            output = ops.where(active, output, 0.0)
        states = new
        outputs.append(output)
    ordered = outputs[::-1] if backwards else outputs
    return ops.stack(ordered, 0), states


def _activations(call: Call, default: Sequence[str], directions: int) -> list[list[Activation]]:
    names = call.texts("activations") or tuple(default) * directions
    each = len(default)
    check(len(names) == each * directions, f"the activations {names}", ParseError)
    check(
        not call.floats("activation_alpha") and not call.floats("activation_beta"),
        "activations with parameters",
        UnsupportedError,
    )
    for name in names:
        check(name in _ACTIVATIONS, f"the activation '{name}'", UnsupportedError)
    found = [_ACTIVATIONS[name] for name in names]
    return [found[each * place : each * (place + 1)] for place in range(directions)]


def _weights(call: Call, place: int, rows: int) -> Weights:
    """The operands of one direction."""
    bias, peephole = call.optional(3), call.optional(7)
    both = None if bias is None else _part(bias, place)
    return Weights(
        _part(call.value(1), place),
        _part(call.value(2), place),
        None if both is None else slice_axis(both, 0, 0, rows),
        None if both is None else slice_axis(both, 0, rows, rows),
        None if peephole is None else _part(peephole, place),
    )


def _part(x: Value, place: int, axis: int = 0) -> Value:
    return ops.squeeze(slice_axis(x, axis, place, 1), axis)


def _initial(
    call: Call, position: int, place: int, x: Value, hidden: int, batch_first: bool
) -> Value:
    """A state before the first step: given, or zeros."""
    given = call.optional(position)
    if given is None:
        return ops.zeros((x.shape[1], hidden), x.dtype)
    return _part(given, place, 1 if batch_first else 0)


RNN = recurrent(rnn_step, 1, ("Tanh",), 1)
GRU = recurrent(gru_step, 3, ("Sigmoid", "Tanh"), 1, "linear_before_reset")
LSTM = recurrent(lstm_step, 4, ("Sigmoid", "Tanh", "Tanh"), 2, "input_forget")
