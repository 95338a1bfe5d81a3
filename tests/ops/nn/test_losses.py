"""Losses give what torch's give, values and gradients, and stay exact where formulas overflow."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Value, ops
from mlir_lite.errors import RunError, TypeRuleError
from mlir_lite.ops.nn.losses import Reduction
from mlir_lite.types import Array, f32, f64, i64

from ..sample import normal
from ..traced import run, type_of

if TYPE_CHECKING:
    import torch
    from torch.nn import functional
else:
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional

_LOGITS = normal((6, 5), f64)
_IMAGES = normal((2, 5, 3, 4), f64)
_WEIGHT = np.array([0.5, 1.0, 2.0, 0.25, 3.0])
_LABELS = np.array([0, 4, -100, 2, 2, 1])
_PIXELS = np.random.default_rng(0).integers(0, 5, (2, 3, 4))
_REDUCTIONS = ("none", "mean", "sum")


def _shares(shape: tuple[int, ...]) -> Array:
    powers = np.exp(normal(shape, f64, 3))
    return np.asarray(powers / powers.sum(1, keepdims=True))


def _check(actual: Array, expected: torch.Tensor) -> None:
    np.testing.assert_allclose(actual, expected.numpy(), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("reduction", _REDUCTIONS)
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weight", [None, _WEIGHT], ids=["even", "weighted"])
@pytest.mark.parametrize(
    "logits, target",
    [
        (_LOGITS, _LABELS),
        (_LOGITS[0], np.array(3)),
        (_IMAGES, _PIXELS),
        (_LOGITS, _shares((6, 5))),
        (_IMAGES, _shares((2, 5, 3, 4))),
    ],
    ids=["labels", "one label", "pixels", "distributions", "distributions of pixels"],
)
def test_cross_entropy(
    logits: Array, target: Array, weight: Array | None, smoothing: float, reduction: Reduction
) -> None:
    expected = functional.cross_entropy(
        torch.from_numpy(logits),
        torch.from_numpy(target),
        None if weight is None else torch.from_numpy(weight),
        reduction=reduction,
        label_smoothing=smoothing,
    )

    def loss(x: Value, t: Value) -> Value:
        return ml.cross_entropy(x, t, weight, reduction=reduction, label_smoothing=smoothing)

    _check(run(loss, logits, target), expected)


def test_ignored_labels_count_in_no_mean() -> None:
    kept = np.array([0, 1, 3, 4, 5])
    all_ = run(lambda x, t: ml.cross_entropy(x, t), _LOGITS, _LABELS)
    some = run(lambda x, t: ml.cross_entropy(x, t), _LOGITS[kept], _LABELS[kept])
    np.testing.assert_allclose(all_, some, rtol=1e-15)


def test_classes_may_lie_last() -> None:
    actual = run(lambda x, t: ml.cross_entropy(x, t, axis=-1), np.moveaxis(_IMAGES, 1, -1), _PIXELS)
    _check(actual, functional.cross_entropy(torch.from_numpy(_IMAGES), torch.from_numpy(_PIXELS)))


@pytest.mark.parametrize("reduction", _REDUCTIONS)
@pytest.mark.parametrize(
    "ours, theirs",
    [
        (ops.mse_loss, functional.mse_loss),
        (ops.l1_loss, functional.l1_loss),
        (ops.mae_loss, functional.l1_loss),
        (ops.huber_loss, functional.huber_loss),
        (
            lambda x, t, reduction: ops.huber_loss(x, t, reduction=reduction, delta=0.3),
            lambda x, t, reduction: functional.huber_loss(x, t, reduction=reduction, delta=0.3),
        ),
    ],
    ids=["mse", "l1", "mae", "huber", "huber 0.3"],
)
def test_losses_of_differences(
    ours: Callable[..., Value], theirs: Callable[..., torch.Tensor], reduction: str
) -> None:
    target = normal((6, 5), f64, 1)
    actual = run(lambda x, t: ours(x, t, reduction=reduction), _LOGITS, target)
    _check(actual, theirs(torch.from_numpy(_LOGITS), torch.from_numpy(target), reduction=reduction))


@pytest.mark.parametrize("positive", [None, 3.0])
def test_binary_cross_entropy(positive: float | None) -> None:
    target, weight = _shares((6, 5)), np.abs(normal((6, 5), f64, 4))
    expected = functional.binary_cross_entropy_with_logits(
        torch.from_numpy(_LOGITS),
        torch.from_numpy(target),
        torch.from_numpy(weight),
        pos_weight=None if positive is None else torch.tensor(positive),
    )

    def loss(x: Value, t: Value, w: Value) -> Value:
        return ml.binary_cross_entropy_with_logits(x, t, w, pos_weight=positive)

    _check(run(loss, _LOGITS, target, weight), expected)


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides")
@pytest.mark.parametrize("reduction", ["none", "mean", "sum", "batchmean"])
@pytest.mark.parametrize("log_target", [False, True])
def test_kl_div(reduction: Reduction, log_target: bool) -> None:
    likely, target = np.log(_shares((6, 5))), _shares((6, 5))[::-1].copy()
    target[0, :] = [0, 0.5, 0, 0.25, 0.25]
    if log_target:
        target = np.log(target + 1e-3)
    expected = functional.kl_div(
        torch.from_numpy(likely),
        torch.from_numpy(target),
        reduction=reduction,
        log_target=log_target,
    )

    def loss(x: Value, t: Value) -> Value:
        return ml.kl_div(x, t, reduction=reduction, log_target=log_target)

    _check(run(loss, likely, target), expected)


@pytest.mark.parametrize("label", [-1, 5])
def test_a_label_that_is_no_class_is_an_error(label: int) -> None:
    @ml.function(f32[2, 5], i64[2])
    def loss(x: Value, t: Value) -> Value:
        return ml.cross_entropy(x, t)

    x = np.zeros((2, 5), np.float32)
    with pytest.raises(RunError, match=r"test_losses\.py:\d+.*out of range"):
        ml.compile(loss, threads=1)(x, np.array([0, label]))


def test_labels_of_another_shape_are_refused() -> None:
    with pytest.raises(TypeRuleError, match=r"want labels of shape \(6\), not \(5\)"):
        type_of(lambda x, t: ml.cross_entropy(x, t), f32[6, 5], i64[5])


def test_nothing_is_broadcast() -> None:
    with pytest.raises(TypeRuleError, match="nothing is broadcast"):
        type_of(lambda x, t: ml.mse_loss(x, t), f32[6, 1], f32[6])


def test_large_logits_of_little_difference_lose_nothing() -> None:
    x = np.array([[30_000.0, 29_999.0]], np.float32)
    actual = run(lambda x, t: ml.cross_entropy(x, t), x, np.array([0]))
    np.testing.assert_allclose(actual, np.log1p(np.exp(-1.0)), rtol=3e-7)  # some roundings of f32
