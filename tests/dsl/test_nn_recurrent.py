"""Variants of recurrent layers against their formulas, in f64."""

from __future__ import annotations

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Value, f32, f64, nn
from mlir_lite.types import Array

TIME, BATCH, INPUT, HIDDEN = 7, 3, 5, 4


def assert_close(found: object, wanted: list[Array]) -> None:
    assert isinstance(found, tuple)
    for have, want in zip(found, wanted, strict=True):
        # Some hundreds of operations in f64.
        np.testing.assert_allclose(have, want, rtol=1e-11, atol=1e-12)


def sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


@pytest.mark.parametrize("coupled", [False, True])
def test_lstm_with_peepholes_and_clipping_is_its_formula(coupled: bool) -> None:
    layer = nn.LSTM(INPUT, HIDDEN, dtype=f64, peepholes=True, clip=0.3, coupled=coupled)
    weights = layer.init(seed=3)
    x = np.random.default_rng(1).standard_normal((TIME, BATCH, INPUT)) * 2
    h = c = np.zeros((BATCH, HIDDEN))
    outputs = []
    for row in x:
        gates = row @ weights["weight_ih_l0"].T + weights["bias_ih_l0"]
        gates = gates + h @ weights["weight_hh_l0"].T + weights["bias_hh_l0"]
        i, f, g, o = np.split(gates, 4, axis=1)
        to_i, to_f, to_o = weights["weight_peephole_l0"]

        def clip(y: Array) -> Array:
            return np.clip(y, -0.3, 0.3)

        i = sigmoid(clip(i + to_i * c))
        f = 1 - i if coupled else sigmoid(clip(f + to_f * c))
        c = f * c + i * np.tanh(clip(g))
        h = sigmoid(clip(o + to_o * c)) * np.tanh(clip(c))
        outputs.append(h)
    found = ml.evaluate(ml.function(layer, f64[TIME, BATCH, INPUT]).bind(weights), x)
    assert_close(found, [np.stack(outputs), h[None], c[None]])


def test_gru_with_the_reset_before_the_product_is_its_formula() -> None:
    layer = nn.GRU(INPUT, HIDDEN, dtype=f64, linear_before_reset=False)
    weights = layer.init(seed=3)
    x = np.random.default_rng(1).standard_normal((TIME, BATCH, INPUT))
    h = np.zeros((BATCH, HIDDEN))
    outputs = []
    w_r, w_z, w_n = np.split(weights["weight_ih_l0"], 3)
    u_r, u_z, u_n = np.split(weights["weight_hh_l0"], 3)
    b_r, b_z, b_n = np.split(weights["bias_ih_l0"] + weights["bias_hh_l0"], 3)
    for row in x:
        r = sigmoid(row @ w_r.T + h @ u_r.T + b_r)
        z = sigmoid(row @ w_z.T + h @ u_z.T + b_z)
        n = np.tanh(row @ w_n.T + (r * h) @ u_n.T + b_n)
        h = (1 - z) * n + z * h
        outputs.append(h)
    found = ml.evaluate(ml.function(layer, f64[TIME, BATCH, INPUT]).bind(weights), x)
    assert_close(found, [np.stack(outputs), h[None]])


def test_dropout_stands_between_layers_in_training_only() -> None:
    two = nn.LSTM(INPUT, HIDDEN, 2, dropout=0.5)
    trained = ml.function(two, ml.f32[TIME, BATCH, INPUT], training=True)
    assert "seed" in [param.name for param in trained.params]
    assert "seed" not in [param.name for param in ml.function(two, ml.f32[7, 3, 5]).params]
    one = nn.LSTM(INPUT, HIDDEN, dropout=0.5)
    alone = ml.function(one, ml.f32[TIME, BATCH, INPUT], training=True)
    assert "seed" not in [param.name for param in alone.params]


@pytest.mark.parametrize("layer", [nn.RNN(3, 17), nn.GRU(3, 17), nn.LSTM(3, 17, 2)], ids=str)
def test_gradients_in_machine_code_are_the_interpreters(layer: nn.RNN | nn.GRU | nn.LSTM) -> None:
    """The same bits on one thread and on two."""
    fn = ml.function(layer, f32[5, 2, 3])

    @ml.function(*(param.type for param in fn.params))
    def loss(*params: Value) -> Value:
        results = fn(*params)
        assert isinstance(results, tuple)
        return sum((ml.square(result).mean() for result in results[1:]), results[0].sum())

    both = ml.value_and_grad(loss)
    x = np.random.default_rng(0).standard_normal((5, 2, 3)).astype("f4")
    arrays = [*layer.init(seed=1).values(), x]
    one, two = (ml.compile(both, threads=threads)(*arrays) for threads in (1, 2))
    for found, same, wanted in zip(one, two, ml.evaluate(both, *arrays), strict=True):
        np.testing.assert_array_equal(found, same)
        # Sums of some hundred products in f32, in another order.
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
