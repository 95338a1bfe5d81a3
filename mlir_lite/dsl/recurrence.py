"""Recurrent cells, and the loop that runs one over a sequence.

The inputs of all steps are multiplied by their weights at once, before the loop; a cell gets what
that gave for its step, `(batch, gates * hidden)`. Gates stand in torch's order: input, forget,
cell, output of an LSTM; reset, update, new of a GRU.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ..ir import Value
from ..ops import (
    clip,
    expand_dims,
    greater,
    iota,
    matmul,
    reshape,
    sigmoid,
    tanh,
    transpose,
    where,
)
from ..ops.shapes.slice import slice_axis
from .control import scan

Activation: TypeAlias = Callable[[Value], Value]
State: TypeAlias = tuple[Value, ...]  # the output first: `(h,)`, or `(h, c)` of an LSTM
Cell: TypeAlias = Callable[[Value, State], State]


@dataclass(frozen=True)
class Recurrence:
    """`h weightᵀ + bias` of some of the gates: `weight (gates * hidden, hidden)`."""

    weight: Value
    bias: Value | None = None

    @property
    def hidden(self) -> int:
        return self.weight.type.static_shape[1]

    def product(self, h: Value, first: int, count: int) -> Value:
        """That of `count` gates from `first` on: `(batch, count * hidden)`."""
        start, size = first * self.hidden, count * self.hidden
        y = matmul(h, transpose(slice_axis(self.weight, 0, start, size)))
        return y if self.bias is None else y + slice_axis(self.bias, 0, start, size)

    def gates(self, x: Value, first: int, count: int) -> list[Value]:
        """The gates' parts of the last axis."""
        return [slice_axis(x, -1, (first + at) * self.hidden, self.hidden) for at in range(count)]


def clipped(activation: Activation, limit: float | None) -> Activation:
    """The activation of what is first moved into `[-limit, limit]`."""
    if limit is None:
        return activation
    return lambda x: activation(clip(x, -limit, limit))


@dataclass(frozen=True)
class RnnCell:
    """`h' = f(x + h rᵀ)` (Elman, 1990)."""

    r: Recurrence
    activation: Activation = tanh

    def __call__(self, x: Value, state: State) -> State:
        (h,) = state
        return (self.activation(x + self.r.product(h, 0, 1)),)


@dataclass(frozen=True)
class GruCell:
    """Cho et al. (2014); with `linear_before_reset` the reset gate scales the product, as in torch.

    Else it scales the state, before the product.
    """

    r: Recurrence
    linear_before_reset: bool = True
    gate: Activation = sigmoid
    activation: Activation = tanh

    def __call__(self, x: Value, state: State) -> State:
        (h,) = state
        of_x = self.r.gates(x, 0, 3)
        if self.linear_before_reset:
            *of_h, past = self.r.gates(self.r.product(h, 0, 3), 0, 3)
        else:
            of_h = self.r.gates(self.r.product(h, 0, 2), 0, 2)
        reset, update = (self.gate(a + b) for a, b in zip(of_x, of_h, strict=False))
        past = reset * past if self.linear_before_reset else self.r.product(reset * h, 2, 1)
        new = self.activation(of_x[2] + past)
        return (new + update * (h - new),)


@dataclass(frozen=True)
class LstmCell:
    """Hochreiter and Schmidhuber (1997), with forget gates.

    `peepholes`, `(3, hidden)`, let the gates input, forget and output see the cell (Gers and
    Schmidhuber, 2000); `coupled` forgets as much as comes in. `output` is the activation of the
    cell before the output gate.
    """

    r: Recurrence
    peepholes: Value | None = None
    coupled: bool = False
    gate: Activation = sigmoid
    activation: Activation = tanh
    output: Activation = tanh

    def __call__(self, x: Value, state: State) -> State:
        h, c = state
        of_input, of_forget, of_cell, of_output = self.r.gates(x + self.r.product(h, 0, 4), 0, 4)
        taken = self.gate(self._peeped(of_input, 0, c))
        kept = 1.0 - taken if self.coupled else self.gate(self._peeped(of_forget, 1, c))
        c = kept * c + taken * self.activation(of_cell)
        return self.gate(self._peeped(of_output, 2, c)) * self.output(c), c

    def _peeped(self, x: Value, row: int, c: Value) -> Value:
        return x if self.peepholes is None else x + self.peepholes[row] * c


def recur(
    cell: Cell,
    x: Value,
    start: State,
    *,
    lengths: Value | None = None,
    reverse: bool = False,
) -> tuple[Value, State]:
    """The outputs `(time, batch, hidden)` and the last state of a cell run over `x`.

    `x (time, batch, gates * hidden)` is what the inputs give with their weights. `lengths (batch,)`
    are integers: past the end of a sequence the state stays and the outputs are zeros. In `reverse`
    each sequence starts at its own end.
    """

    def step(state: State, now: tuple[Value, ...]) -> tuple[State, Value]:
        new = cell(now[0], state)
        if lengths is None:
            return new, new[0]
        runs = expand_dims(greater(lengths, now[1]), 1)
        kept = tuple(where(runs, after, before) for after, before in zip(new, state, strict=True))
        return kept, where(runs, new[0], 0)

    times = () if lengths is None else (iota(x.shape[0], lengths.dtype),)
    last, y = scan(step, start, (x, *times), reverse=reverse)
    return y, last


def projected(x: Value, weight: Value, biases: Sequence[Value | None]) -> Value:
    """`x weightᵀ` with the sum of biases: all steps' inputs, as one product, for the loop."""
    given = [bias for bias in biases if bias is not None]
    y = matmul(reshape(x, (-1, x.shape[-1])), transpose(weight))
    y = y + sum(given[1:], given[0]) if given else y
    return reshape(y, (*x.shape[:-1], weight.shape[0]))
