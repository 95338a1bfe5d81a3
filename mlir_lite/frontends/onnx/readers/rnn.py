"""Readers of the recurrent operators, which become loops.

Gates, biases and states lie in the order of the ONNX specification: input, output, forget, cell
for LSTM; update, reset, hidden for GRU. They are put into that of `dsl.recurrence`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from .... import ops
from ....dsl.recurrence import (
    Activation,
    Cell,
    GruCell,
    LstmCell,
    Recurrence,
    RnnCell,
    clipped,
    projected,
    recur,
)
from ....errors import ParseError, UnsupportedError, check
from ....ir import Value
from ....ops.shapes.slice import slice_axis
from ..call import Call, Reader, Results

_ACTIVATIONS: Mapping[str, Activation] = {
    "Elu": ops.elu,
    "LeakyRelu": ops.leaky_relu,
    "Relu": ops.relu,
    "Sigmoid": ops.sigmoid,
    "Softplus": ops.softplus,
    "Softsign": ops.softsign,
    "Tanh": ops.tanh,
}
_DIRECTIONS: Mapping[str, tuple[bool, ...]] = {
    "forward": (False,),
    "reverse": (True,),
    "bidirectional": (False, True),
}


@dataclass(frozen=True, eq=False)
class Direction:
    """One direction's operands, its gates in the order of the cells.

    `w (gates * hidden, input)`, `r (gates * hidden, hidden)`, biases `(gates * hidden,)`,
    peepholes `(3, hidden)`.
    """

    w: Value
    r: Value
    w_bias: Value | None
    r_bias: Value | None
    peepholes: Value | None
    activations: Sequence[Activation]
    option: bool  # GRU: linear_before_reset; LSTM: input_forget


# A cell, and the recurrent bias that is added to its inputs before the loop.
MakeCell = Callable[[Direction], tuple[Cell, Value | None]]


def rnn_cell(way: Direction) -> tuple[Cell, Value | None]:
    """A plain cell; its recurrent bias is added to the inputs."""
    return RnnCell(Recurrence(way.r), *way.activations), way.r_bias


def gru_cell(way: Direction) -> tuple[Cell, Value | None]:
    """A gated recurrent unit, in the variant that `linear_before_reset` names."""
    if way.option:  # the reset gate scales the bias too
        return GruCell(Recurrence(way.r, way.r_bias), True, *way.activations), None
    return GruCell(Recurrence(way.r), False, *way.activations), way.r_bias


def lstm_cell(way: Direction) -> tuple[Cell, Value | None]:
    """A long short-term memory, with peepholes if there are; its recurrent bias is added to the
    inputs."""
    cell = LstmCell(Recurrence(way.r), way.peepholes, way.option, *way.activations)
    return cell, way.r_bias


@dataclass(frozen=True)
class Kind:
    """A recurrent operator: `order` are the places of the cell's gates among ONNX's."""

    make: MakeCell
    order: tuple[int, ...]
    activations: tuple[str, ...]
    states: int
    option: str = ""


def recurrent(kind: Kind) -> Reader:
    """The reader of a recurrent operator."""

    def read(call: Call) -> Results:
        batch_first = call.int_("layout", 0) == 1
        x = call.value(0)
        check(x.rank == 3, f"takes (steps, batch, input), not {x.type}", ParseError)
        x = ops.transpose(x, (1, 0, 2)) if batch_first else x
        name = call.text("direction", "forward")
        check(name in _DIRECTIONS, f"the direction '{name}'", ParseError)
        outputs: list[Value] = []
        finals: list[list[Value]] = [[] for _ in range(kind.states)]
        for place, backwards in enumerate(_DIRECTIONS[name]):
            way = _direction(call, kind, place, len(_DIRECTIONS[name]))
            cell, bias = kind.make(way)
            inputs = projected(x, way.w, [way.w_bias, bias])
            start = tuple(_initial(call, 5 + at, place, x, way.r) for at in range(kind.states))
            every, last = recur(
                cell, inputs, start, lengths=call.optional(4), reverse=backwards
            )
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


def _direction(call: Call, kind: Kind, place: int, directions: int) -> Direction:
    gates, hidden = len(kind.order), call.int_("hidden_size")
    limit = call.float_("clip") if call.attribute("clip") is not None else None
    activations = _activations(call, kind.activations, directions)[place]
    bias, peepholes = call.optional(3), call.optional(7)
    both = None if bias is None else ops.reshape(_part(bias, place), (2, gates * hidden))
    return Direction(
        _ordered(_part(call.value(1), place), kind.order),
        _ordered(_part(call.value(2), place), kind.order),
        None if both is None else _ordered(_part(both, 0), kind.order),
        None if both is None else _ordered(_part(both, 1), kind.order),
        # ONNX has them for input, output and forget.
        None if peepholes is None else _rows(_part(peepholes, place), hidden),
        [clipped(activation, limit) for activation in activations],
        bool(kind.option) and call.int_(kind.option, 0) == 1,
    )


def _ordered(x: Value, order: Sequence[int]) -> Value:
    """The gates of the first axis in another order."""
    if list(order) == sorted(order):
        return x
    size = x.type.static_shape[0] // len(order)
    return ops.concat([slice_axis(x, 0, place * size, size) for place in order], 0)


def _rows(x: Value, hidden: int) -> Value:
    return ops.reshape(_ordered(x, (0, 2, 1)), (3, hidden))


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


def _part(x: Value, place: int, axis: int = 0) -> Value:
    return ops.squeeze(slice_axis(x, axis, place, 1), axis)


def _initial(call: Call, position: int, place: int, x: Value, r: Value) -> Value:
    """A state before the first step: given, or zeros."""
    given = call.optional(position)
    if given is None:
        return ops.zeros((x.shape[1], r.shape[1]), x.dtype)
    return _part(given, place, 1 if call.int_("layout", 0) == 1 else 0)


RNN = recurrent(Kind(rnn_cell, (0,), ("Tanh",), 1))
GRU = recurrent(Kind(gru_cell, (1, 0, 2), ("Sigmoid", "Tanh"), 1, "linear_before_reset"))
LSTM = recurrent(Kind(lstm_cell, (0, 2, 3, 1), ("Sigmoid", "Tanh", "Tanh"), 2, "input_forget"))
