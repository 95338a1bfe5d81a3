"""Whole models on a card: their source runs on the CPU, with the results of the oracle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from models.catalogue import MODELS
from models.corpus import Corpus, Unavailable

import mlir_lite as ml
from mlir_lite import Value, f32, i64, nn, train
from mlir_lite.demo.assets import load
from mlir_lite.demo.model import digits
from mlir_lite.dsl import solve_sizes, specialise
from mlir_lite.frontends.onnx import OnnxModel
from mlir_lite.ir import run_reference

from .compiled import Compiled, all_orders
from .shim import needs_shim

pytestmark = needs_shim


def test_digits_are_read(tmp_path: Path) -> None:
    images = load().images[:33]
    fn = specialise(digits(), {"batch": len(images)})
    (found,) = all_orders(Compiled.of(fn, tmp_path), [images])
    (expected,) = run_reference(fn, [images])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    assert (found.argmax(1) == load().labels[: len(images)]).mean() > 0.9


@ml.function(f32[20, 6], f32[20, 3], f32[6, 3], f32[3])
def loss(x: Value, y: Value, w: Value, b: Value) -> Value:
    return ml.mean(ml.square(ml.tanh(x @ w + b) - y))


def test_gradients_are_those_of_the_oracle(tmp_path: Path) -> None:
    fn = ml.grad(loss, wrt=("w", "b"))
    random = np.random.default_rng(0)
    shapes = [param.type.static_shape for param in fn.params]
    arrays = [random.standard_normal(shape).astype(np.float32) for shape in shapes]
    found = all_orders(Compiled.of(fn, tmp_path), arrays)
    exact = run_reference(fn, [array.astype(np.float64) for array in arrays])
    for one, other in zip(found, exact, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


class Net(nn.Module):
    """Convolution, norm, pooling and a linear layer."""

    conv: nn.Conv2d = nn.Conv2d(1, 4, 3, padding=1)
    norm: nn.BatchNorm2d = nn.BatchNorm2d(4)
    pool: nn.MaxPool2d = nn.MaxPool2d(2)
    head: nn.Linear = nn.Linear(36, 3)

    def forward(self, x: Value) -> Value:
        return self.head(self.pool(ml.relu(self.norm(self.conv(x)))).flatten(1))


def test_steps_of_training_change_the_state_as_the_oracle_does(tmp_path: Path) -> None:
    optimiser = train.SGD(0.1, momentum=0.9)
    step = train.step(
        Net(), ml.cross_entropy, optimiser, inputs=f32[4, 1, 6, 6], targets=i64[4]
    )
    random = np.random.default_rng(0)
    x, t = random.standard_normal((4, 1, 6, 6)).astype(np.float32), random.integers(0, 3, 4)
    arrays = [*step.initial(Net().init(1)).values(), x, t]
    found = all_orders(Compiled.of(step.function, tmp_path), arrays)
    for one, other in zip(found, run_reference(step.function, arrays), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["PP-OCR direction", "MiniLM int8", "page orientation"])
def test_published_models(name: str, tmp_path: Path) -> None:
    (model,) = [model for model in MODELS if model.name == name]
    try:
        read = OnnxModel.read(Corpus().path(model.file))
    except Unavailable as unavailable:
        pytest.skip(str(unavailable))
    case = model.cases[0]
    fn = read.function()
    arrays = [case.inputs[param.name] for param in fn.params]
    sizes = solve_sizes(fn, arrays)
    fixed = specialise(fn, sizes)
    found = Compiled.of(fixed, tmp_path, "-O2")(*arrays)
    for one, other in zip(found, run_reference(fixed, arrays), strict=True):
        largest = np.abs(other.astype(np.float64)).max()
        assert np.abs(one.astype(np.float64) - other).max() <= 1e-4 * largest
