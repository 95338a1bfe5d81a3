"""A training step: torch's numbers, one function that prints, overwritten state, one history."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import InputError, Value, f32, f64, i64, nn, train
from mlir_lite.demo.assets import load_training
from mlir_lite.demo.model import DigitClassifier
from mlir_lite.types import Array

from .small import Small, examples

if TYPE_CHECKING:
    import torch
else:
    torch = pytest.importorskip("torch")


class Net(nn.Module):
    """Convolution, norm, pooling and a linear layer, in f64."""

    conv: nn.Conv2d = nn.Conv2d(1, 4, 3, padding=1, dtype=f64)
    norm: nn.BatchNorm2d = nn.BatchNorm2d(4, dtype=f64)
    pool: nn.MaxPool2d = nn.MaxPool2d(2)
    head: nn.Linear = nn.Linear(36, 3, dtype=f64)

    def forward(self, x: Value) -> Value:
        return self.head(self.pool(ml.relu(self.norm(self.conv(x)))).flatten(1))


def test_steps_are_torchs() -> None:
    random = np.random.default_rng(0)
    batches = [(random.standard_normal((4, 1, 6, 6)), random.integers(0, 3, 4)) for _ in range(3)]
    net, weights = Net(), Net().init(1)
    step = train.step(
        net,
        ml.cross_entropy,
        train.SGD(0.3, momentum=0.9),
        inputs=f64[4, 1, 6, 6],
        targets=i64[4],
        clipping=train.clip_by_norm(0.5),
    )
    state = step.initial(weights)
    theirs = torch.nn.Sequential()
    theirs.add_module("conv", torch.nn.Conv2d(1, 4, 3, padding=1))
    theirs.add_module("norm", torch.nn.BatchNorm2d(4))
    theirs.add_module("relu", torch.nn.ReLU())
    theirs.add_module("pool", torch.nn.MaxPool2d(2))
    theirs.add_module("flat", torch.nn.Flatten())
    theirs.add_module("head", torch.nn.Linear(36, 3))
    theirs.double().load_state_dict({name: torch.from_numpy(w) for name, w in weights.items()})
    optimiser = torch.optim.SGD(theirs.parameters(), lr=0.3, momentum=0.9)
    for x, t in batches:
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(theirs(torch.from_numpy(x)), torch.from_numpy(t))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), 0.5)
        optimiser.step()
        results = ml.evaluate(step.function, *state.values(), x, t)
        state = dict(zip(step.state, results, strict=False))
        np.testing.assert_allclose(results[len(state)], loss.item(), rtol=1e-12)
    for name, tensor in theirs.state_dict().items():
        if name in state:
            np.testing.assert_allclose(state[name], tensor.numpy(), rtol=1e-9, atol=1e-12)


def _step(metrics: bool = False) -> train.Step:
    return train.step(
        Small(),
        ml.cross_entropy,
        train.AdamW(0.05),
        inputs=f32["batch", 5],
        targets=i64["batch"],
        metrics={"accuracy": train.accuracy} if metrics else {},
    )


def test_a_step_prints_and_says_what_is_what() -> None:
    step = _step(metrics=True)
    assert step.weights[:2] == ("first.weight", "first.bias")
    assert step.statistics == ("norm.running_mean", "norm.running_var")
    assert "last.bias.exp_avg_sq" in step.slots
    assert step.batch == ("x", "target")
    assert "cross_entropy %" in str(step)
    assert str(step).count("donated") == len(step.state)
    assert ml.parse(str(step)).donated == step.function.donated


def _trained(threads: int, steps: int = 6) -> train.Trainer:
    trainer = train.Trainer(_step(), Small().init(0), seed=5, threads=threads)
    x, t = examples(16)
    for _ in range(steps):
        trainer(x, t)
    return trainer


def _bits(trainer: train.Trainer) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in trainer.state_dict().items()}


def test_a_seed_decides_all_bits_on_any_number_of_threads() -> None:
    first = _bits(_trained(1))
    assert _bits(_trained(1)) == first
    assert _bits(_trained(2)) == first
    other = train.Trainer(_step(), Small().init(0), seed=6, threads=1)
    other(*examples(16))
    once = _trained(1, steps=1)
    assert _bits(other) != _bits(once)


def test_a_convolutional_network_has_the_same_bits_on_any_number_of_threads() -> None:
    """Large enough that convolutions, poolings, norms and their gradients are dealt out."""
    net, (images, labels) = DigitClassifier(), load_training()
    step = train.step(
        net, ml.cross_entropy, train.Adam(), inputs=f32[64, 1, 8, 8], targets=i64[64]
    )
    found = []
    for threads in (1, 2):
        trainer = train.Trainer(step, net.init(0), threads=threads)
        for at in (0, 64):
            trainer(images[at : at + 64], labels[at : at + 64])
        found.append(_bits(trainer))
    assert found[0] == found[1]


def test_a_recurrent_network_has_the_same_bits_on_any_number_of_threads() -> None:
    """Its loop is differentiated while the step is traced."""

    class Outputs(nn.Module):
        layer: nn.LSTM = nn.LSTM(8, 128)

        def forward(self, x: Value) -> Value:
            return self.layer.forward(x)[0]

    x, y = (np.random.default_rng(0).standard_normal((6, 16, n)).astype("f4") for n in (8, 128))
    step = train.step(
        Outputs(), ml.mse_loss, train.SGD(0.1), inputs=f32[x.shape], targets=f32[y.shape]
    )
    found = []
    for threads in (1, 2):
        trainer = train.Trainer(step, Outputs().init(0), threads=threads)
        losses = [trainer(x, y)["loss"] for _ in range(3)]
        assert losses[2] < losses[0]
        found.append(_bits(trainer))
    assert found[0] == found[1]


def test_each_step_drops_others() -> None:
    class Noise(nn.Module):
        drop: nn.Dropout = nn.Dropout(0.5)
        scale: nn.Linear = nn.Linear(1, 1)

        def forward(self, x: Value) -> Value:
            return self.drop(x) + 0 * self.scale(x)

    step = train.step(Noise(), lambda y: ml.sum(y), train.SGD(0.1), inputs=f32[64, 1])
    trainer = train.Trainer(step, Noise().init(0), threads=1)
    losses = {trainer(np.ones((64, 1), np.float32))["loss"] for _ in range(4)}
    assert len(losses) > 1


def test_no_step_copies_its_state() -> None:
    trainer = _trained(1, steps=1)
    (run,) = trainer._by_shapes.values()
    assert not [step for step in run.program.steps if "copy" in getattr(step, "label", "")]


def test_training_learns() -> None:
    trainer = train.Trainer(_step(metrics=True), Small().init(0), threads=1)
    found = [trainer(*batch) for batch in train.Batches(examples(), 16).epochs(40)]
    assert found[0]["loss"] > 0.9
    assert np.mean([values["accuracy"] for values in found[-9:]]) > 0.85


def test_weights_may_have_optimisers_of_their_own() -> None:
    def optimiser(name: str) -> train.Optimiser | None:
        if name.startswith("first"):
            return None
        return train.SGD(0.1) if name.endswith("weight") else train.Adam(0.1)

    step = train.step(
        Small(), ml.cross_entropy, optimiser, inputs=f32[16, 5], targets=i64[16]
    )
    assert step.weights == ("norm.weight", "norm.bias", "last.weight", "last.bias")
    assert step.statistics[-2:] == ("first.weight", "first.bias")
    assert sorted(step.slots)[:2] == ["last.bias.exp_avg", "last.bias.exp_avg_sq"]
    first = Small().init(0)
    trainer = train.Trainer(step, first, threads=1)
    trainer(*examples(16))
    same = {name for name, array in trainer.state_dict().items() if (array == first[name]).all()}
    assert same == {"first.weight", "first.bias"}


def test_weights_come_and_go_by_torchs_names() -> None:
    trainer = _trained(1, steps=2)
    theirs = torch.nn.Sequential()
    theirs.add_module("first", torch.nn.Linear(5, 8))
    theirs.add_module("norm", torch.nn.BatchNorm1d(8))
    theirs.add_module("relu", torch.nn.ReLU())
    theirs.add_module("last", torch.nn.Linear(8, 3))
    state = trainer.state_dict()
    theirs.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()})
    given: dict[str, Array] = {
        name: (tensor + 1).numpy() for name, tensor in theirs.state_dict().items()
    }
    trainer.load_state_dict(given)
    for name, array in trainer.state_dict().items():
        np.testing.assert_array_equal(array, state[name] + 1)


def test_what_does_not_fit_is_said() -> None:
    trainer = _trained(1, steps=1)
    x, t = examples(16)
    with pytest.raises(InputError, match=r"a batch is 2 arrays \(x, target\), got 1"):
        trainer(x)
    with pytest.raises(InputError, match="'x' of @step"):
        trainer(x[:, :4], t)
    wrong = {**trainer.state_dict(), "last.bias": np.zeros(4, np.float32)}
    with pytest.raises(InputError, match=r"'last.bias' is float32\[4\], expected float32\[3\]"):
        trainer.load_state_dict(wrong)
    with pytest.raises(InputError, match=r"no weights for first\.weight"):
        _step().initial({})
