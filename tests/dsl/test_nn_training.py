"""Modules traced for training: norms take the batch's statistics, dropout drops."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import TypeRuleError, Value, f32, f64, nn
from mlir_lite.types import Array

if TYPE_CHECKING:
    import torch
else:
    torch = pytest.importorskip("torch")

_X = np.random.default_rng(0).standard_normal((6, 3, 4, 5)) * 2 + 1


def _evaluated(fn: ml.Function, *arrays: Array, **named: Array) -> tuple[Array, ...]:
    found = ml.evaluate(fn, *arrays, **named)
    return found if isinstance(found, tuple) else (found,)


class Net(nn.Module):
    first: nn.Dropout = nn.Dropout(0.5)
    second: nn.Dropout = nn.Dropout(0.5)

    def forward(self, x: Value) -> tuple[Value, ...]:
        return self.first(x), self.second(x), self.first(x)


class Twice(nn.Module):
    """One norm, used on two inputs one after the other."""

    norm: nn.BatchNorm1d = nn.BatchNorm1d(3, dtype=f64)

    def forward(self, x: Value) -> Value:
        return self.norm(self.norm(x) * 2 + 1)


def test_batch_norm_in_training_is_torchs() -> None:
    fn = ml.function(nn.BatchNorm2d(3, dtype=f64), f64[_X.shape], training=True)
    weights = nn.BatchNorm2d(3, dtype=f64).init() | {"weight": np.array([1.0, 2.0, 0.5])}
    layer = torch.nn.BatchNorm2d(3).double().train()
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weights["weight"]))
    expected = layer(torch.from_numpy(_X)).detach().numpy()
    y, mean, variance = _evaluated(fn, x=_X, **weights)
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(mean, layer.running_mean.numpy(), rtol=1e-12)
    np.testing.assert_allclose(variance, layer.running_var.numpy(), rtol=1e-12)


def test_the_gradient_goes_through_the_batchs_statistics() -> None:
    fn = ml.function(nn.BatchNorm2d(3, dtype=f64), f64[_X.shape], training=True)
    upstream = np.random.default_rng(1).standard_normal(_X.shape)
    layer, x = torch.nn.BatchNorm2d(3).double().train(), torch.from_numpy(_X).requires_grad_()
    layer(x).backward(torch.from_numpy(upstream))
    assert x.grad is not None and layer.weight.grad is not None
    pulled = ml.vjp(fn, ["x", "weight"])
    zeros = np.zeros(3)
    arrays = {"x": _X, "cotangent0": upstream, "cotangent1": zeros, "cotangent2": zeros}
    *_, dx, dweight = _evaluated(pulled, **nn.BatchNorm2d(3, dtype=f64).init(), **arrays)
    np.testing.assert_allclose(dx, x.grad.numpy(), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(dweight, layer.weight.grad.numpy(), rtol=1e-10, atol=1e-12)


def test_a_norm_used_twice_moves_its_statistics_twice() -> None:
    x = _X[:, :, 0, 0]
    fn = ml.function(Twice(), f64[x.shape], training=True)
    layer = torch.nn.BatchNorm1d(3).double().train()
    layer(layer(torch.from_numpy(x)) * 2 + 1)
    _, mean, variance = _evaluated(fn, x=x, **Twice().init())
    np.testing.assert_allclose(mean, layer.running_mean.numpy(), rtol=1e-12)
    np.testing.assert_allclose(variance, layer.running_var.numpy(), rtol=1e-12)


def test_each_dropout_drops_others() -> None:
    fn = ml.function(Net(), f32[64], training=True)
    assert [param.name for param in fn.params] == ["seed", "x"]
    results = _evaluated(fn, np.array(7), np.ones(64, np.float32))
    patterns = {tuple(result > 0) for result in results}
    assert len(patterns) == 3
    again = _evaluated(fn, np.array(8), np.ones(64, np.float32))
    assert tuple(again[0] > 0) not in patterns


def test_attention_drops_weights_in_training() -> None:
    layer = nn.MultiheadAttention(8, 2, causal=True, dropout=0.5, dtype=f64)
    x, weights = np.random.default_rng(2).standard_normal((3, 5, 8)), layer.init(0)
    fn = ml.function(layer, f64[3, 5, 8], training=True)
    (found,) = _evaluated(fn, seed=np.array(11), query=x, **weights)

    @ml.function(f64[3, 2, 5, 5])
    def dropped(given: Value) -> Value:
        return ml.dropout(given, 0.5, 11)

    q, k, v = np.split(x @ weights["in_proj_weight"].T + weights["in_proj_bias"], 3, -1)
    q, k, v = (part.reshape(3, 5, 2, 4).transpose(0, 2, 1, 3) for part in (q, k, v))
    scores = np.where(np.tri(5, dtype=bool), q @ k.swapaxes(-1, -2) / 2, -np.inf)
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    shares = np.asarray(ml.evaluate(dropped, powers / powers.sum(-1, keepdims=True)))
    mixed = (shares @ v).transpose(0, 2, 1, 3).reshape(3, 5, 8)
    expected = mixed @ weights["out_proj.weight"].T + weights["out_proj.bias"]
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_without_training_nothing_is_random() -> None:
    fn = ml.function(Net(), f32[64])
    assert [param.name for param in fn.params] == ["x"]
    for result in _evaluated(fn, np.ones(64, np.float32)):
        np.testing.assert_array_equal(result, 1)


def test_a_module_without_randomness_has_no_seed() -> None:
    fn = ml.function(nn.Linear(3, 4), f32["n", 3], training=True)
    assert [param.name for param in fn.params] == ["weight", "bias", "x"]
    assert len(fn.results) == 1


def test_only_modules_are_traced_for_training() -> None:
    with pytest.raises(TypeRuleError, match="only a module is traced for training"):
        ml.function(f32[3], training=True)  # type: ignore[call-overload]


def test_weights_are_not_updated_by_a_forward_pass() -> None:
    class Wrong(nn.Module):
        def own_parameters(self) -> dict[str, nn.Parameter]:
            return {"weight": nn.Parameter(f32[3], nn.filled(1))}

        def forward(self, x: Value) -> Value:
            self.update("weight", x)
            return x

    with pytest.raises(TypeRuleError, match="'weight' is trained"):
        ml.function(Wrong(), f32[3], training=True)
