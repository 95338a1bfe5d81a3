"""Real models through the compiler: the same answers as onnxruntime, and meaningful ones."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

import mlir_lite as ml

from .case import Answer, Case
from .catalogue import every_case

TOLERANCE = 1e-4
"""Of an output's largest magnitude. Both runners compute in float32 through some hundred layers,
summing in different orders: each layer adds errors of the order of 1e-7 to 1e-6."""


@pytest.fixture(scope="module")
def executable(model_path: Path) -> ml.Executable:
    """One for all cases of a model: each new combination of sizes specialises it."""
    return ml.compile(ml.from_onnx(model_path))


@every_case
def test_compiled_model_agrees_with_onnxruntime(
    case: Case,
    executable: ml.Executable,
    session: onnxruntime.InferenceSession,
    reference: Answer,
) -> None:
    results = executable(*(case.inputs[parameter.name] for parameter in session.get_inputs()))
    outputs = results if isinstance(results, tuple) else (results,)
    assert len(outputs) == len(reference.outputs)
    for output, expected in zip(outputs, reference.outputs, strict=True):
        assert_close(output, expected)
    case.check(Answer(outputs, reference.metadata))


def assert_close(output: NDArray[np.float32], expected: NDArray[np.float32]) -> None:
    assert (output.dtype, output.shape) == (expected.dtype, expected.shape)
    np.testing.assert_allclose(output, expected, rtol=0, atol=TOLERANCE * np.abs(expected).max())
