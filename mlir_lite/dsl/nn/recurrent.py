"""Recurrent layers with torch's parameter names, gate orders and shapes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Literal

from ...errors import check
from ...ir import Value
from ...ops import concat, dropout, relu, sigmoid, stack, tanh, transpose, zeros
from ...types import DType, TensorType, f32
from ..recurrence import (
    Cell,
    GruCell,
    LstmCell,
    Recurrence,
    RnnCell,
    State,
    clipped,
    projected,
    recur,
)
from .initialisers import fan_in_uniform
from .module import Module, Parameter


class Recurrent(Module):
    """What the recurrent layers share; `x` is `(time, batch, input_size)`.

    With `batch_first` it is `(batch, time, input_size)`, as are the outputs; states are always
    `(num_layers * directions, batch, hidden_size)`, by default zeros. `lengths (batch,)`, integers,
    are of sequences shorter than `time`: their outputs are zeros past the end, their last states
    those at the end, and the way back starts there. In training `dropout` sets outputs between
    layers to zero.
    """

    input_size: int
    hidden_size: int
    num_layers: int = 1
    bias: bool = True
    batch_first: bool = False
    dropout: float = 0.0
    bidirectional: bool = False
    dtype: DType = f32

    gates: ClassVar[int]
    states: ClassVar[int] = 1

    @abstractmethod
    def cell(self, suffix: str) -> tuple[Cell, Value | None]:
        """One direction of one layer, and the recurrent bias that is added to its inputs."""

    def extra_parameters(self) -> Mapping[str, TensorType]:
        """Those of a direction besides its weights and biases."""
        return {}

    def own_parameters(self) -> Mapping[str, Parameter]:
        initial = fan_in_uniform(self.hidden_size)
        rows = self.gates * self.hidden_size
        found: dict[str, Parameter] = {}
        for layer in range(self.num_layers):
            width = self.input_size if layer == 0 else len(self._ways) * self.hidden_size
            for way in self._ways:
                types = {
                    "weight_ih": self.dtype[rows, width],
                    "weight_hh": self.dtype[rows, self.hidden_size],
                }
                if self.bias:
                    types |= {"bias_ih": self.dtype[rows], "bias_hh": self.dtype[rows]}
                for name, type_ in (types | dict(self.extra_parameters())).items():
                    found[f"{name}_l{layer}{way}"] = Parameter(type_, initial)
        return found

    @property
    def _ways(self) -> tuple[str, ...]:
        return ("", "_reverse") if self.bidirectional else ("",)

    def recurrence(self, suffix: str, *, bias: bool = False) -> Recurrence:
        """The recurrent weights of one direction, with their bias if it belongs into the loop."""
        used = self.own(f"bias_hh{suffix}") if bias and self.bias else None
        return Recurrence(self.own(f"weight_hh{suffix}"), used)

    def run(self, x: Value, given: State, lengths: Value | None) -> tuple[Value, ...]:
        """The last layer's outputs, and each of the states after the last step of all layers."""
        check(x.rank == 3, f"takes (time, batch, {self.input_size}), not {x.type}")
        y = transpose(x, (1, 0, 2)) if self.batch_first else x
        shape = (self.num_layers * len(self._ways), y.shape[1], self.hidden_size)
        starts = given or (zeros(shape, self.dtype),) * self.states
        for state in starts:
            check(state.shape == shape, f"a state of {state.type}; it is {self.dtype[shape]}")
        last: list[State] = []
        for layer in range(self.num_layers):
            if layer and self.training and self.dropout:
                seed, stream = self.draw()
                y = dropout(y, self.dropout, seed, stream=stream)
            outputs = []
            for way in self._ways:
                start = tuple(part[len(last)] for part in starts)
                output, ended = self._direction(y, f"_l{layer}{way}", start, lengths)
                outputs.append(output)
                last.append(ended)
            y = outputs[0] if len(outputs) == 1 else concat(outputs, -1)
        y = transpose(y, (1, 0, 2)) if self.batch_first else y
        return (y, *(stack(parts, 0) for parts in zip(*last, strict=True)))

    def _direction(
        self, x: Value, suffix: str, start: State, lengths: Value | None
    ) -> tuple[Value, State]:
        cell, bias = self.cell(suffix)
        biases = [self.own(f"bias_ih{suffix}"), bias] if self.bias else []
        inputs = projected(x, self.own(f"weight_ih{suffix}"), biases)
        return recur(cell, inputs, start, lengths=lengths, reverse=suffix.endswith("_reverse"))


class RNN(Recurrent):
    """`h' = tanh(W_ih x + b_ih + W_hh h + b_hh)` or relu; see `Recurrent`.

    `forward` gives the outputs `(time, batch, directions * hidden_size)` and the last states.
    """

    nonlinearity: Literal["tanh", "relu"] = "tanh"
    gates = 1

    def cell(self, suffix: str) -> tuple[Cell, Value | None]:
        known = {"tanh": tanh, "relu": relu}
        check(self.nonlinearity in known, f"'{self.nonlinearity}' is neither tanh nor relu")
        bias = self.own(f"bias_hh{suffix}") if self.bias else None
        return RnnCell(self.recurrence(suffix), known[self.nonlinearity]), bias

    def forward(
        self, x: Value, h: Value | None = None, lengths: Value | None = None
    ) -> tuple[Value, ...]:
        return self.run(x, () if h is None else (h,), lengths)


class GRU(Recurrent):
    """Gated recurrent units (Cho et al., 2014), reset, update and new; see `Recurrent`.

    `forward` gives the outputs `(time, batch, directions * hidden_size)` and the last states.
    Without `linear_before_reset` the reset gate scales the state instead of its product.
    """

    linear_before_reset: bool = True
    gates = 3

    def cell(self, suffix: str) -> tuple[Cell, Value | None]:
        # The gate scales the bias of the product too, which so stays in the loop.
        if self.linear_before_reset:
            return GruCell(self.recurrence(suffix, bias=True)), None
        bias = self.own(f"bias_hh{suffix}") if self.bias else None
        return GruCell(self.recurrence(suffix), False), bias

    def forward(
        self, x: Value, h: Value | None = None, lengths: Value | None = None
    ) -> tuple[Value, ...]:
        return self.run(x, () if h is None else (h,), lengths)


class LSTM(Recurrent):
    """Long short-term memory, gates input, forget, cell and output; see `Recurrent`.

    `forward` gives the outputs `(time, batch, directions * hidden_size)`, the last states and the
    last cells. `peepholes` let the gates see the cell, with weights `weight_peephole_l0
    (3, hidden_size)` for input, forget and output; `clip` limits what activations take;
    `coupled` forgets as much as comes in.
    """

    peepholes: bool = False
    clip: float | None = None
    coupled: bool = False
    gates = 4
    states = 2

    def extra_parameters(self) -> Mapping[str, TensorType]:
        return {"weight_peephole": self.dtype[3, self.hidden_size]} if self.peepholes else {}

    def cell(self, suffix: str) -> tuple[Cell, Value | None]:
        cell = LstmCell(
            self.recurrence(suffix),
            self.own(f"weight_peephole{suffix}") if self.peepholes else None,
            self.coupled,
            clipped(sigmoid, self.clip),
            clipped(tanh, self.clip),
            clipped(tanh, self.clip),
        )
        return cell, self.own(f"bias_hh{suffix}") if self.bias else None

    def forward(
        self,
        x: Value,
        h: Value | None = None,
        c: Value | None = None,
        lengths: Value | None = None,
    ) -> tuple[Value, ...]:
        check((h is None) == (c is None), "takes both h and c, or neither")
        return self.run(x, () if h is None or c is None else (h, c), lengths)
