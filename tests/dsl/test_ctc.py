"""The CTC loss against torch, and against the sum over all alignments, in f64."""

from __future__ import annotations

from itertools import product
from typing import Any, Literal

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Function, Value, f64, i32, i64
from mlir_lite.types import Array

TIME, BATCH, CLASSES, LABELS = 9, 5, 6, 4
Reduction = Literal["none", "mean", "sum"]


def fn_of(reduction: Reduction, blank: int = 0, zero_infinity: bool = False) -> Function:
    @ml.function(f64[TIME, BATCH, CLASSES], i64[BATCH, LABELS], i32[BATCH], i32[BATCH])
    def loss(logits: Value, targets: Value, times: Value, counts: Value) -> Value:
        log_probs = ml.log_softmax(logits, axis=2)
        options: dict[str, Any] = {"blank": blank, "zero_infinity": zero_infinity}
        return ml.ctc_loss(log_probs, targets, times, counts, reduction=reduction, **options)

    return loss


def arrays() -> list[Array]:
    """Equal neighbours, a target without labels, one that fits exactly, and one that does not."""
    logits = np.random.default_rng(0).standard_normal((TIME, BATCH, CLASSES))
    targets = np.array([[1, 2, 2, 3], [5, 5, 0, 0], [0, 0, 0, 0], [1, 2, 3, 4], [4, 4, 4, 1]])
    times = np.array([9, 7, 5, 4, 5], "i4")
    return [logits, targets, times, np.array([4, 2, 0, 4, 4], "i4")]


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("zero_infinity", [False, True])
def test_loss_is_torchs(reduction: Reduction, zero_infinity: bool) -> None:
    torch = pytest.importorskip("torch")
    logits, *rest = arrays()
    scores = torch.from_numpy(logits).log_softmax(2)
    given = map(torch.from_numpy, rest)
    wanted = torch.nn.functional.ctc_loss(
        scores, *given, reduction=reduction, zero_infinity=zero_infinity
    )
    found = ml.compile(fn_of(reduction, zero_infinity=zero_infinity))(*arrays())
    np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-12)


def test_gradient_is_torchs() -> None:
    torch = pytest.importorskip("torch")
    logits, *rest = arrays()
    x = torch.from_numpy(logits).requires_grad_()
    given = map(torch.from_numpy, rest)
    torch.nn.functional.ctc_loss(x.log_softmax(2), *given, zero_infinity=True).backward()
    found = ml.evaluate(ml.grad(fn_of("mean", zero_infinity=True)), *arrays())
    np.testing.assert_allclose(found, x.grad.numpy(), rtol=1e-9, atol=1e-12)


def test_loss_is_that_of_the_sum_over_all_alignments() -> None:
    """With the last class as the blank; an alignment is read without repetitions and blanks."""
    logits = np.random.default_rng(3).standard_normal((4, 1, 3))
    powers = np.exp(logits)
    shares = (powers / powers.sum(2, keepdims=True))[:, 0]
    total = 0.0
    for alignment in product(range(3), repeat=4):
        changes = [a for t, a in enumerate(alignment) if t == 0 or a != alignment[t - 1]]
        if [label for label in changes if label != 2] == [1, 1]:
            total += float(np.prod(shares[range(4), alignment]))

    @ml.function(f64[4, 1, 3])
    def loss(x: Value) -> Value:
        ends = np.array([[1, 1]]), np.array([4]), np.array([2])
        return ml.ctc_loss(ml.log_softmax(x, axis=2), *ends, blank=2, reduction="sum")

    np.testing.assert_allclose(ml.evaluate(loss, logits), -np.log(total), rtol=1e-12)


def test_lengths_of_another_batch_are_refused() -> None:
    with pytest.raises(ml.TypeRuleError, match=r"test_ctc.py.*lengths of tensor<2xi64>"):

        @ml.function(f64[4, 1, 3])
        def loss(x: Value) -> Value:
            return ml.ctc_loss(x, np.array([[1, 1]]), np.array([4, 4]), np.array([2]))
