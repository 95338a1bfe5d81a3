"""Recurrent layers against torch: the same weights by name, the same outputs, in f64."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Function, TensorType, Value, f64, i64, nn
from mlir_lite.types import Array

if TYPE_CHECKING:
    import torch
else:
    torch = pytest.importorskip("torch")

TIME, BATCH, INPUT, HIDDEN = 7, 3, 5, 4


class WithLengths(nn.Module):
    layer: nn.RNN | nn.GRU | nn.LSTM

    def forward(self, x: Value, lengths: Value) -> tuple[Value, ...]:
        return self.layer.forward(x, lengths=lengths)


def flat(entry: Any) -> list[Array]:
    """Torch's results without its nesting."""
    if isinstance(entry, tuple):
        return [array for part in entry for array in flat(part)]
    return [entry.detach().numpy()]


def assert_close(found: object, wanted: list[Array]) -> None:
    assert isinstance(found, tuple)
    assert len(found) == len(wanted)
    for have, want in zip(found, wanted, strict=True):
        # Some hundreds of operations in f64.
        np.testing.assert_allclose(have, want, rtol=1e-11, atol=1e-12)


def weights_of(layer: Any) -> dict[str, Array]:
    return {name: value.detach().numpy() for name, value in layer.named_parameters()}


Layer = nn.RNN | nn.GRU | nn.LSTM
KINDS: dict[str, tuple[Callable[..., Layer], Callable[..., Any]]] = {
    "rnn": (nn.RNN, torch.nn.RNN),
    "gru": (nn.GRU, torch.nn.GRU),
    "lstm": (nn.LSTM, torch.nn.LSTM),
}
OPTIONS: list[dict[str, Any]] = [
    {},
    {"bias": False},
    {"num_layers": 2, "bidirectional": True},
    {"num_layers": 3, "batch_first": True},
]


def both(kind: str, options: dict[str, Any]) -> tuple[Layer, Any]:
    torch.manual_seed(0)
    ours, theirs = KINDS[kind]
    return (
        ours(INPUT, HIDDEN, dtype=f64, **options),
        theirs(INPUT, HIDDEN, dtype=torch.float64, **options),
    )


def x_type(options: dict[str, Any]) -> TensorType:
    return f64[(BATCH, TIME, INPUT) if options.get("batch_first") else (TIME, BATCH, INPUT)]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_layer_is_torchs(kind: str, options: dict[str, Any]) -> None:
    layer, theirs = both(kind, options)
    ways = 2 if options.get("bidirectional") else 1
    state = f64[options.get("num_layers", 1) * ways, BATCH, HIDDEN]
    states = [state] * layer.states
    fn = ml.function(layer, x_type(options), *states)
    random = np.random.default_rng(1)
    x, *start = (random.standard_normal(t.static_shape) for t in (x_type(options), *states))
    given = tuple(map(torch.from_numpy, start))
    wanted = theirs(torch.from_numpy(x), given if kind == "lstm" else given[0])
    assert_close(ml.evaluate(fn.bind(weights_of(theirs)), x, *start), flat(wanted))


@pytest.mark.parametrize("kind", KINDS)
def test_first_states_are_zeros(kind: str) -> None:
    layer, theirs = both(kind, {})
    x = np.random.default_rng(1).standard_normal((TIME, BATCH, INPUT))
    fn = ml.function(layer, f64["time", "batch", INPUT])
    bound = ml.specialise(fn, {"time": TIME, "batch": BATCH}).bind(weights_of(theirs))
    assert_close(ml.evaluate(bound, x), flat(theirs(torch.from_numpy(x))))


@pytest.mark.parametrize("kind", KINDS)
def test_lengths_are_those_of_packed_sequences(kind: str) -> None:
    options = {"num_layers": 2, "bidirectional": True}
    layer, theirs = both(kind, options)
    lengths = np.array([4, TIME, 1])
    x = np.random.default_rng(1).standard_normal((TIME, BATCH, INPUT))
    fn = ml.function(WithLengths(layer), f64[TIME, BATCH, INPUT], i64[BATCH])
    weights = {f"layer.{name}": array for name, array in weights_of(theirs).items()}
    rnn = torch.nn.utils.rnn
    packed = rnn.pack_padded_sequence(
        torch.from_numpy(x), torch.from_numpy(lengths), enforce_sorted=False
    )
    outputs, last = theirs(packed)
    padded = rnn.pad_packed_sequence(outputs, total_length=TIME)[0]
    assert_close(ml.evaluate(fn.bind(weights), x, lengths), flat((padded, last)))


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_torchs(kind: str) -> None:
    layer, theirs = both(kind, {"num_layers": 2, "bidirectional": True})
    fn = ml.function(layer, f64[TIME, BATCH, INPUT])
    shapes = [result.type.static_shape for result in fn.results]
    ways = [np.random.default_rng(at).standard_normal(shape) for at, shape in enumerate(shapes)]
    loss = _weighted(fn, ways)
    weights = weights_of(theirs)
    x = torch.randn(TIME, BATCH, INPUT, dtype=torch.float64, requires_grad=True)
    found = theirs(x)
    parts = (found[0], *found[1]) if kind == "lstm" else found
    total = sum((torch.from_numpy(way) * part).sum() for way, part in zip(ways, parts, strict=True))
    total.backward()
    wanted = [parameter.grad.numpy() for parameter in theirs.parameters()]
    arrays = [weights[param.name] for param in fn.params[:-1]]
    assert [param.name for param in fn.params[:-1]] == list(weights)
    assert_close(ml.evaluate(ml.grad(loss), *arrays, x.detach().numpy()), [*wanted, x.grad.numpy()])


def _weighted(fn: Function, ways: list[Array]) -> Function:
    @ml.function(*(param.type for param in fn.params))
    def loss(*params: Value) -> Value:
        results = fn(*params)
        assert isinstance(results, tuple)
        total = ml.zeros((), f64)
        for result, way in zip(results, ways, strict=True):
            total = total + (result * way).sum()
        return total

    return loss
