"""Real models through the compiler: the same answers as onnxruntime, and meaningful ones."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

import mlir_lite as ml
from mlir_lite.frontends.onnx import OnnxModel

from .case import Answer, Case
from .catalogue import every_case
from .double import in_double, run

TOLERANCE = 1e-4
"""Of an output's largest magnitude. Both runners compute in float32 through some hundred layers,
summing in different orders: each layer adds errors of the order of 1e-7 to 1e-6. Where they differ
by more, float64 decides."""


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
    model_path: Path,
) -> None:
    results = executable(*(case.inputs[parameter.name] for parameter in session.get_inputs()))
    outputs = results if isinstance(results, tuple) else (results,)
    assert len(outputs) == len(reference.outputs)
    if not all(map(close, outputs, reference.outputs)):
        truths = run(OnnxModel.read(in_double(onnx.load(model_path))), case.inputs)
        for output, other, truth in zip(outputs, reference.outputs, truths, strict=True):
            assert_nearer(output, other, truth)
    case.check(Answer(outputs, reference.metadata))


def close(output: NDArray[np.float32], expected: NDArray[np.float32]) -> bool:
    """Whether two outputs differ by no more than the tolerance."""
    assert (output.dtype, output.shape) == (expected.dtype, expected.shape)
    return bool(np.abs(output - expected).max() <= TOLERANCE * np.abs(expected).max())


def assert_nearer(
    output: NDArray[np.float32], other: NDArray[np.float32], truth: NDArray[np.float64]
) -> None:
    """Where the two runners differ by more, ours must be the one nearer to the truth."""
    error, other_error = (float(np.abs(x - truth).max()) for x in (output, other))
    allowed = max(TOLERANCE * float(np.abs(truth).max()), other_error / 2)
    message = f"off by {error:.3g}, onnxruntime by {other_error:.3g}, allowed {allowed:.3g}"
    assert error <= allowed, message
