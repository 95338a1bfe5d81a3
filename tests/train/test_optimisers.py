"""Optimisers, clipping and schedules do what torch's do, step by step, in f64."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import InputError, Value, f32, f64, train
from mlir_lite.types import Array

if TYPE_CHECKING:
    import torch
else:
    torch = pytest.importorskip("torch")

_STEPS = 5
_RANDOM = np.random.default_rng(0)
_W, _B = _RANDOM.standard_normal((3, 4)), _RANDOM.standard_normal(4)
_BATCHES = _RANDOM.standard_normal((_STEPS, 6, 3))


@ml.function(f64[3, 4], f64[4], f64[6, 3])
def loss(w: Value, b: Value, x: Value) -> Value:
    return ml.square(ml.tanh(x @ w + b) - 0.3).mean()


def ours(
    optimiser: train.Optimiser, clipping: train.Clipping | None = None
) -> tuple[dict[str, Array], list[float]]:
    """The state after all steps, and the losses."""
    step = train.step_of(loss, optimiser, weights=("w", "b"), clipping=clipping)
    state, losses = step.initial({"w": _W, "b": _B}), []
    for batch in _BATCHES:
        results = ml.evaluate(step.function, *state.values(), batch)
        state = dict(zip(step.state, results, strict=False))
        losses.append(float(results[-1]))
    return state, losses


def theirs(
    make: Callable[..., torch.optim.Optimizer],
    options: dict[str, Any],
    clip: Callable[[list[torch.Tensor]], object] | None = None,
    schedule: Callable[[torch.optim.Optimizer], Any] | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    w, b = torch.tensor(_W, requires_grad=True), torch.tensor(_B, requires_grad=True)
    optimiser = make([w, b], **options)
    scheduler = None if schedule is None else schedule(optimiser)
    for batch in _BATCHES:
        optimiser.zero_grad()
        (torch.tanh(torch.from_numpy(batch) @ w + b) - 0.3).square().mean().backward()
        if clip is not None:
            clip([w, b])
        optimiser.step()
        if scheduler is not None:
            scheduler.step()
    return w.detach(), b.detach()


def _check(state: dict[str, Array], expected: tuple[torch.Tensor, torch.Tensor]) -> None:
    for name, tensor in zip(("w", "b"), expected, strict=True):
        np.testing.assert_allclose(state[name], tensor.numpy(), rtol=1e-11, atol=1e-12)


_OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.2}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    ("Adam", {}),
    ("Adam", {"lr": 0.05, "betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.05, "amsgrad": True}),
    ("AdamW", {"lr": 0.05}),
    ("AdamW", {"lr": 0.05, "weight_decay": 0.0, "amsgrad": True}),
    ("RMSprop", {}),
    ("RMSprop", {"lr": 0.03, "alpha": 0.8, "momentum": 0.5, "weight_decay": 0.1}),
    ("RMSprop", {"lr": 0.03, "centered": True}),
    ("RMSprop", {"lr": 0.03, "centered": True, "momentum": 0.7}),
    ("Adagrad", {}),
    ("Adagrad", {"lr_decay": 0.2, "weight_decay": 0.1, "initial_accumulator_value": 0.5}),
]


@pytest.mark.parametrize("name, options", _OPTIONS, ids=lambda entry: str(entry))
def test_an_optimiser_is_torchs(name: str, options: dict[str, Any]) -> None:
    state, losses = ours(getattr(train, name)(**options))
    _check(state, theirs(getattr(torch.optim, name), options))
    assert losses[-1] != losses[0]
    assert state["step"] == _STEPS


@pytest.mark.parametrize("largest", [0.01, 100.0])
def test_clipping_by_norm_is_torchs(largest: float) -> None:
    state, _ = ours(train.SGD(0.5), train.clip_by_norm(largest))
    clip = torch.nn.utils.clip_grad_norm_
    _check(state, theirs(torch.optim.SGD, {"lr": 0.5}, lambda given: clip(given, largest)))


def test_clipping_by_value_is_torchs() -> None:
    state, _ = ours(train.SGD(0.5), train.clip_by_value(0.01))
    clip = torch.nn.utils.clip_grad_value_
    _check(state, theirs(torch.optim.SGD, {"lr": 0.5}, lambda given: clip(given, 0.01)))


@pytest.mark.parametrize(
    "ours_, theirs_",
    [
        (train.StepDecay(0.5, 2, 0.3), lambda o: torch.optim.lr_scheduler.StepLR(o, 2, 0.3)),
        (
            train.Cosine(0.5, _STEPS, 0.1),
            lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, _STEPS, 0.1),
        ),
        (
            train.WarmUp(0.5, 3),
            lambda o: torch.optim.lr_scheduler.LinearLR(o, 0.25, 1.0, 3),
        ),
    ],
    ids=["step", "cosine", "warm-up"],
)
def test_a_schedule_is_torchs(ours_: train.Schedule, theirs_: Callable[..., Any]) -> None:
    state, _ = ours(train.SGD(ours_))
    _check(state, theirs(torch.optim.SGD, {"lr": 0.5}, schedule=theirs_))


def _rates(schedule: train.Schedule, count: int) -> list[float]:
    rates = ml.function(f64[()])(lambda step: schedule(step))
    return [float(ml.evaluate(rates, np.array(float(step)))) for step in range(count)]  # type: ignore[arg-type]


def test_a_cosine_stays_at_its_end() -> None:
    np.testing.assert_allclose(_rates(train.Cosine(1.0, 2, 0.1), 5), [1, 0.55, 0.1, 0.1, 0.1])


def test_warm_up_goes_over_into_the_schedule() -> None:
    found = _rates(train.WarmUp(train.StepDecay(1.0, 2, 0.5), 3), 8)
    np.testing.assert_allclose(found, [0.25, 0.5, 0.75, 1, 1, 0.5, 0.5, 0.25])


def test_a_rate_may_be_any_function_of_the_step() -> None:
    state, _ = ours(train.SGD(lambda step: 0.5 / (step + 1.0)))
    schedule = lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda step: 1 / (step + 1))  # noqa: E731
    _check(state, theirs(torch.optim.SGD, {"lr": 0.5}, schedule=schedule))


def test_a_weight_that_the_loss_ignores_stays() -> None:
    unused = ml.function(f32[3], f32[3])(lambda w, v: ml.square(w).sum())
    step = train.step_of(unused, train.AdamW(0.1), weights=("w", "v"))
    ones = np.ones(3, np.float32)
    w, v, *_ = ml.evaluate(step.function, *step.initial({"w": ones, "v": ones}).values())
    assert np.all(w < 1)
    np.testing.assert_array_equal(v, ones)


def test_a_loss_is_one_number() -> None:
    many = ml.function(f32[3])(lambda w: ml.square(w))
    with pytest.raises(InputError, match=r"the loss of @lambda is tensor<3xf32>, not a single"):
        train.step_of(many, train.SGD(), weights=("w",))


class SignDescent(train.Optimiser):
    """An optimiser of one's own, which keeps the last gradient's sign."""

    lr: float | train.Schedule = 0.25

    def slots(self, type_: ml.TensorType) -> dict[str, float]:
        return {"sign": 1.0}

    def update(
        self, x: Value, gradient: Value, slots: Mapping[str, Value], at: train.Moment
    ) -> tuple[Value, dict[str, Value]]:
        return x - at.rate(x) * slots["sign"], {"sign": ml.sign(gradient)}


def test_an_optimiser_of_ones_own() -> None:
    square = ml.function(f32[2])(lambda w: ml.square(w).sum())
    step = train.step_of(square, SignDescent(), weights=("w",))
    state = step.initial({"w": np.array([1.0, -1.0], np.float32)})
    for expected in ([0.75, -1.25], [0.5, -1.0]):
        results = ml.evaluate(step.function, *state.values())
        state = dict(zip(step.state, results, strict=False))
        np.testing.assert_array_equal(state["w"], np.array(expected, np.float32))
