"""Recurrent layers, which become loops. Gates lie in torch's order, as in `dsl.recurrence`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from .... import ops
from ....dsl.recurrence import Cell, GruCell, LstmCell, Recurrence, RnnCell, projected, recur
from ....errors import UnsupportedError, check
from ....ir import Value
from ....ops.shapes.slice import slice_axis
from .typed import Reader, Typed

# A cell of the recurrent weights and their bias.
MakeCell = Callable[[Recurrence], Cell]


def _layers(make: MakeCell, states: int) -> Reader:
    """The reader of layers of a cell, of one direction or of both."""

    def read(
        x: Value,
        start: Value | Sequence[Value],
        weights: Sequence[Value],
        has_biases: bool,
        layers: int,
        dropout: float,
        train: bool,
        bidirectional: bool,
        batch_first: bool,
    ) -> tuple[Value, ...]:
        check(not (train and dropout), "it draws random numbers: model.eval()", UnsupportedError)
        given = [start] if isinstance(start, Value) else list(start)
        check(len(weights) == layers * (1 + bidirectional) * (2 + 2 * has_biases),
              "projected states, which no other layer has", UnsupportedError)
        y = ops.swapaxes(x, 0, 1) if batch_first else x
        each = len(weights) // layers // (1 + bidirectional)
        finals: list[list[Value]] = [[] for _ in range(states)]
        for layer in range(layers):
            outputs = []
            for backwards in range(1 + bidirectional):
                place = layer * (1 + bidirectional) + backwards
                first = [ops.squeeze(slice_axis(state, 0, place, 1), 0) for state in given]
                own = weights[place * each : (place + 1) * each]
                every, last = _layer(make, y, first, own, bool(backwards))
                outputs.append(every)
                for kept, state in zip(finals, last, strict=True):
                    kept.append(state)
            y = outputs[0] if len(outputs) == 1 else ops.concat(outputs, -1)
        y = ops.swapaxes(y, 0, 1) if batch_first else y
        return (y, *(ops.stack(kept, 0) for kept in finals))

    return read


def _layer(
    make: MakeCell, x: Value, start: Sequence[Value], weights: Sequence[Value], reverse: bool
) -> tuple[Value, Sequence[Value]]:
    """One direction of a layer: all outputs, and the last states."""
    w, r, *biases = weights
    of_input, of_state = biases or (None, None)
    inputs = projected(x, w, [of_input])
    return recur(make(Recurrence(r, of_state)), inputs, tuple(start), reverse=reverse)


READERS: Mapping[str, Reader | Typed] = {
    "aten.gru.input": _layers(lambda r: GruCell(r), 1),
    "aten.lstm.input": _layers(lambda r: LstmCell(r), 2),
    "aten.rnn_relu.input": _layers(lambda r: RnnCell(r, ops.relu), 1),
    "aten.rnn_tanh.input": _layers(lambda r: RnnCell(r), 1),
}
