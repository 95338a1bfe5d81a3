"""Published models: the sizes that are read from them, and the numbers that they compute.

The truth is the same model in float64; onnxruntime's distance from it says how far float32 may be.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from models.case import RealModel
from models.catalogue import MODELS
from models.corpus import Corpus, Unavailable
from models.double import in_double, run

from mlir_lite.frontends.onnx import OnnxModel

# Of the largest magnitude: some hundred layers of float32, each with an error of 1e-7 or so.
TOLERANCE = 1e-5

PARAMETERS = {
    # Skip connections around five halvings: only multiples of 32 fit, which no file says.
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
def test_the_numbers_are_as_good_as_those_of_onnxruntime(
    model: RealModel, onnx_model: OnnxModel, path: Path
) -> None:
    inputs = dict(model.cases[0].inputs)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    truths = run(OnnxModel.read(in_double(onnx.load(path))), inputs)
    results = run(onnx_model, inputs)
    for truth, result, other in zip(truths, results, session.run(None, inputs), strict=True):
        assert (result.shape, result.dtype) == (other.shape, other.dtype)
        scale = np.abs(truth).max()
        allowed = max(2 * np.abs(other - truth).max(), TOLERANCE * scale)
        assert np.abs(result - truth).max() <= allowed
