"""Published models: the sizes that are read from them, and that they mean what onnxruntime says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from models.case import RealModel
from models.catalogue import MODELS
from models.corpus import Corpus, Unavailable

from mlir_lite.frontends.onnx import OnnxModel
from mlir_lite.interpreter import evaluate
from mlir_lite.ir import results_of

# Of the largest magnitude: both sum in float32, in different orders, through some hundred layers.
TOLERANCE = 1e-4

PARAMETERS = {
    # Skip connections around five halvings: only multiples of 32 fit, though the file names no such.
    "PP-OCRv4 detection": ["tensor<[{0}]x3x[32*{1}]x[32*{2}]xf32>"],
    # The height is unknown in the file; a join with something of height 1 leaves 48 alone.
    "PP-OCRv4 recognition": ["tensor<[{0}]x3x48x[{1}]xf32>"],
    "PP-OCR direction": ["tensor<[{0}]x3x[{1}]x[{2}]xf32>"],
    "page orientation": ["tensor<[{0}]x3x224x224xf32>"],
    "MiniLM int8": ["tensor<[{0}]x[{1}]xi64>"] * 3,
    "magika": ["tensor<[{0}]x2048xi32>"],
    "basic pitch": ["tensor<[{0}]x43844x1xf32>"],
}

every_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name, scope="module")


@pytest.fixture(scope="module")
def path(model: RealModel) -> Path:
    try:
        return Corpus().path(model.file)
    except Unavailable as unavailable:
        pytest.skip(str(unavailable))


@pytest.fixture(scope="module")
def onnx_model(path: Path) -> OnnxModel:
    return OnnxModel.read(path)


@every_model
def test_unknown_sizes_stay_named(model: RealModel, onnx_model: OnnxModel) -> None:
    fn = onnx_model.function()
    names = list(dict.fromkeys(name for value in fn.params for name in _names(value.shape)))
    expected = [text.format(*names) for text in PARAMETERS[model.name]]
    assert [str(value.type) for value in fn.params] == expected
    assert not fn.static


def _names(shape: tuple[object, ...]) -> list[str]:
    return [name for size in shape for name in sorted(getattr(size, "names", ()))]


@every_model
def test_the_oracle_agrees_with_onnxruntime(
    model: RealModel, onnx_model: OnnxModel, path: Path
) -> None:
    inputs = model.cases[0].inputs
    fn = onnx_model.function()
    results = results_of(evaluate(fn, *(inputs[entry.name] for entry in onnx_model.inputs)))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for result, expected in zip(results, session.run(None, dict(inputs)), strict=True):
        assert result.shape == expected.shape
        limit = TOLERANCE * np.abs(expected).max()
        np.testing.assert_allclose(result, expected, rtol=0, atol=limit)
