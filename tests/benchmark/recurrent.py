"""Recurrent layers of 256 inputs and 512 hidden units: in torch, in jax, and as our modules."""

# mypy: disable-error-code="misc"
# torch has no types here, so each of its subclasses is one of an unknown class.

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import mlir_lite as ml
from mlir_lite import Value, nn

STEPS, INPUT, HIDDEN = 128, 256, 512


class Outputs(nn.Module):
    """The outputs of all steps, `(time, batch, hidden)`."""

    layer: nn.LSTM | nn.RNN

    def forward(self, x: Value) -> Value:
        return self.layer.forward(x)[0]


def ours() -> nn.Module:
    return Outputs(ml.nn.LSTM(INPUT, HIDDEN))


def in_torch(kind: str) -> Any:
    import torch

    class TorchOutputs(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = getattr(torch.nn, kind)(INPUT, HIDDEN)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.layer(x)[0]
            return found

    torch.manual_seed(0)
    return TorchOutputs()


def weights(kind: str) -> dict[str, Any]:
    """Torch's, by name."""
    return {name: entry.numpy() for name, entry in in_torch(kind).state_dict().items()}


def in_jax(kind: str) -> Callable[[Mapping[str, Any], Any], Any]:
    """A function of weights by name, and of the inputs; it multiplies all steps' inputs at once."""
    import jax

    def step(weight: Any, state: Any, x: Any) -> Any:
        h, c = state
        if kind == "RNN":
            h = jax.numpy.tanh(x + h @ weight)
            return (h, c), h
        of_input, of_forget, of_cell, of_output = jax.numpy.split(x + h @ weight, 4, -1)
        kept = jax.nn.sigmoid(of_forget) * c
        c = kept + jax.nn.sigmoid(of_input) * jax.numpy.tanh(of_cell)
        h = jax.nn.sigmoid(of_output) * jax.numpy.tanh(c)
        return (h, c), h

    def run(w: Mapping[str, Any], x: Any) -> Any:
        inputs = x @ w["layer.weight_ih_l0"].T + w["layer.bias_ih_l0"] + w["layer.bias_hh_l0"]
        zeros = jax.numpy.zeros((x.shape[1], HIDDEN))
        recurrent = w["layer.weight_hh_l0"].T
        return jax.lax.scan(lambda s, y: step(recurrent, s, y), (zeros, zeros), inputs)[1]

    return run
